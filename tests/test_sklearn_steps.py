"""One prediction for every step: ``pooling=None`` of the classifier and the regressor."""

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")
from sequence_estimators import (
    LABELS,
    LENGTHS,
    RAGGED,
    TOKENS,
    VALUES,
    X3,
    F,
    N,
    T,
    classifier,
    objects,
    regressor,
)
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::FutureWarning"
)

#: Whether the sum of the numbers so far is above 0, and the sum.
SUMS = [sequence[:, 0].cumsum() for sequence in RAGGED]
ABOVE = [np.where(total > 0, "above", "below") for total in SUMS]
ALL = np.concatenate(ABOVE)


def tagger(**options):
    return classifier(**{"pooling": None, "bidirectional": False, "max_iter": 40} | options)


def filter_of(**options):
    return regressor(**{"pooling": None, "bidirectional": False, "max_iter": 60} | options)


def test_a_label_for_every_step():
    model = tagger().fit(RAGGED, ABOVE)
    found = model.predict(RAGGED)
    assert isinstance(found, list) and [len(steps) for steps in found] == LENGTHS.tolist()
    assert model.classes_.tolist() == ["above", "below"]
    assert model.score(RAGGED, ABOVE) == np.mean(np.concatenate(found) == ALL) > 0.95
    scores, probabilities = model.decision_function(RAGGED), model.predict_proba(RAGGED)
    logarithms = model.predict_log_proba(RAGGED)
    for sequence, s, p, log in zip(RAGGED, scores, probabilities, logarithms, strict=True):
        assert s.shape == (len(sequence),) and p.shape == log.shape == (len(sequence), 2)
        np.testing.assert_allclose(p[:, 1], 1 / (1 + np.exp(-s)))
        np.testing.assert_allclose(np.exp(log), p)
    # The model is causal, so a step depends on no later one.
    np.testing.assert_allclose(
        model.predict_proba([RAGGED[0][:2]])[0], probabilities[0][:2], rtol=1e-12
    )


def test_numbers_for_every_step():
    model = filter_of().fit(RAGGED, [1e3 + 50 * total for total in SUMS])
    found = model.predict(RAGGED)
    assert [steps.shape for steps in found] == [(length,) for length in LENGTHS]
    y = 1e3 + 50 * np.concatenate(SUMS)
    assert model.score(RAGGED, [1e3 + 50 * total for total in SUMS]) > 0.9
    assert model.score(RAGGED, [1e3 + 50 * total for total in SUMS]) == r2_score(
        y, np.concatenate(found)
    )
    np.testing.assert_allclose(model.y_mean_, y.mean())
    np.testing.assert_allclose(model.y_scale_, y.std())
    two = [np.column_stack([total, -3 * total]) for total in SUMS]
    model = filter_of(max_iter=3).fit(RAGGED, two)
    assert model.n_outputs_ == 2
    assert [steps.shape for steps in model.predict(RAGGED)] == [(n, 2) for n in LENGTHS]


@pytest.mark.parametrize("make", [tagger, filter_of])
def test_padding_never_counts(make):
    """A padded batch with masked steps has the same loss as the sequences, by hand."""
    y = ABOVE if make is tagger else SUMS
    model = make(max_iter=1, batch_size=N, learning_rate_init=1e-300, alpha=0.0).fit(RAGGED, y)
    if make is tagger:
        right = np.concatenate(model.predict_proba(RAGGED))[
            np.arange(len(ALL)), (ALL == "below").astype(int)
        ]
        expected = -np.log(right).mean()
    else:
        error = np.concatenate(model.predict(RAGGED)) - np.concatenate(SUMS)
        expected = (error**2).mean() / np.concatenate(SUMS).var()
    np.testing.assert_allclose(model.loss_curve_, [expected], rtol=1e-12)


@pytest.mark.parametrize("make", [tagger, filter_of])
def test_the_form_of_the_input_is_that_of_the_result(make):
    labels = (X3[:, :, 0] > 0).astype(int)
    forms = [
        (X3, labels),
        (X3.astype(np.float64), labels.tolist()),
        (list(X3), list(labels)),
        (objects(list(X3)), objects(list(labels))),
        (X3.tolist(), labels.tolist()),
    ]
    results = [make(max_iter=2).fit(X, y).predict(X) for X, y in forms]
    assert isinstance(results[0], np.ndarray) and results[0].shape == (N, T)
    assert isinstance(results[2], list) and isinstance(results[4], list)
    assert results[3].dtype == object and results[3].shape == (N,)
    for result in results[1:]:
        assert (np.concatenate(list(result)) == np.concatenate(results[0])).all()
    # Each row of an array has the prediction that its sequence has on its own.
    model = make(max_iter=2).fit(X3, labels)
    for sequence, steps in zip(X3, model.predict(X3), strict=True):
        alone = model.predict([sequence, sequence[:3]])
        assert (alone[0] == steps).all() and (alone[1] == steps[:3]).all()
    learned = make(max_iter=40).fit(X3, labels)
    assert np.mean((learned.predict(X3) > 0.5) == labels) > 0.95
    table = make(max_iter=2).fit(X3[:, :, 0], labels)
    assert table.predict(X3[:, :, 0]).shape == (N, T)


def test_tokens_with_a_tag_each():
    """The tag says whether the token before was a 4; lists of lists work too."""
    tokens = [sample.tolist() for sample in TOKENS]
    tags = [["x", *("yn"[token != 4] for token in sample[:-1])] for sample in tokens]
    model = tagger(embedding=6, max_iter=60).fit(tokens, tags)
    assert model.score(tokens, tags) > 0.95
    assert model.predict([[4, 4, 1], []])[0].tolist() == ["x", "y", "y"]
    assert model.predict([[4, 4, 1], []])[1].shape == (0,)
    assert model.predict_proba([[0], [4, 4, 1]])[1].shape == (3, 3)


def test_weights_of_steps_and_of_sequences():
    """A weight of 0 leaves out a step; a weight of a sequence is that of its steps."""
    one_batch = {"batch_size": N, "max_iter": 3}
    of_sequences = np.arange(N) % 3
    of_steps = [np.full(n, w) for n, w in zip(LENGTHS, of_sequences, strict=True)]
    for make, y in ((tagger, ABOVE), (filter_of, SUMS)):
        first = make(**one_batch).fit(RAGGED, y, of_sequences)
        second = make(**one_batch).fit(RAGGED, y, of_steps)
        assert first.loss_curve_ == second.loss_curve_
        assert first.loss_curve_ != make(**one_batch).fit(RAGGED, y).loss_curve_
        assert first.score(RAGGED, y, of_sequences) == second.score(RAGGED, y, of_steps)
    first_only = [np.arange(n) == 0 for n in LENGTHS]
    wrong = [np.where(keep, y, "below") for keep, y in zip(first_only, ABOVE, strict=True)]
    weighted = [tagger(**one_batch).fit(RAGGED, y, first_only) for y in (ABOVE, wrong)]
    assert weighted[0].loss_curve_ == weighted[1].loss_curve_
    found = np.array([steps[0] for steps in weighted[0].predict(RAGGED)])
    right = np.array([steps[0] for steps in ABOVE])
    assert weighted[0].score(RAGGED, ABOVE, first_only) == accuracy_score(right, found)
    by_class = tagger(class_weight={"above": 3.0, "below": 0.5}, **one_batch)
    by_hand = [np.where(y == "above", 3.0, 0.5) for y in ABOVE]
    expected = tagger(**one_batch).fit(RAGGED, ABOVE, by_hand)
    assert by_class.fit(RAGGED, ABOVE).loss_curve_ == expected.loss_curve_


@pytest.mark.parametrize("make", [tagger, filter_of])
def test_early_stopping_and_partial_fit(make):
    y = ABOVE if make is tagger else SUMS
    weights = [np.ones(n) for n in LENGTHS]
    model = make(early_stopping=True, validation_fraction=0.25).fit(RAGGED, y, weights)
    assert model.best_validation_score_ == max(model.validation_scores_) > 0.5
    goes_on = make()
    options = {"classes": ["above", "below"]} if make is tagger else {}
    for _ in range(3):
        goes_on.partial_fit(RAGGED, y, **options)
    assert goes_on.n_iter_ == 3 and len(goes_on.predict(RAGGED)) == N
    goes_on.set_params(pooling="last")  # changes no trained model
    assert len(goes_on.predict(RAGGED)[0]) == LENGTHS[0]


def test_searches_and_cross_validation():
    X, y = objects(RAGGED), objects(ABOVE)
    scores = cross_val_score(tagger(), X, y, cv=3)
    assert scores.min() > 0.8
    search = GridSearchCV(tagger(), {"learning_rate_init": [1e-6, 0.02]}, cv=2).fit(X, y)
    assert search.best_params_ == {"learning_rate_init": 0.02}
    found = cross_val_predict(tagger(), X, y, cv=3)
    assert [len(steps) for steps in found] == LENGTHS.tolist()
    assert cross_val_score(tagger(), RAGGED, ABOVE, cv=3).tolist() == scores.tolist()


@pytest.mark.parametrize(
    ("make", "y", "text"),
    [
        (classifier, ABOVE, r"one value per sequence, got one per step; .*\(pooling=None\)"),
        (classifier, objects(ABOVE), r"GRUClassifier\(pooling=None\) predicts every step"),
        (regressor, SUMS, r"GRURegressor\(pooling=None\) predicts every step"),
        (tagger, LABELS, r"y\[0\] must have one value for each of the \d steps of X\[0\]"),
        (filter_of, VALUES, r"because pooling=None, got shape \(\)"),
        (tagger, [*ABOVE[:-1], ABOVE[-1][:-1]], r"y\[47\] must have one value for each"),
        (filter_of, SUMS[:-1], "inconsistent numbers of samples"),
        (filter_of, [*SUMS[:-1], SUMS[-1][:, np.newaxis]], r"y\[47\] must have shape \(\d,\)"),
        (filter_of, [*SUMS[:-1], SUMS[-1] * np.nan], "Input y contains NaN"),
        (tagger, [["a"] * n for n in LENGTHS], "at least 2 classes"),
        (tagger, [sequence > 0 for sequence in RAGGED], "one label for each step, got 2"),
    ],
)
def test_targets_that_do_not_fit_are_named(make, y, text):
    with pytest.raises(ValueError, match=text):
        make().fit(RAGGED, y)


def test_an_array_of_labels_per_step_gets_the_hint_but_a_regressor_has_as_many_outputs():
    labels = X3[:, :, 0] > 0
    with pytest.raises(ValueError, match=r"GRUClassifier\(pooling=None\) predicts every step"):
        classifier().fit(X3, labels)
    assert regressor().fit(X3, X3[:, :, 0]).n_outputs_ == T
    assert filter_of(max_iter=1).fit(X3, X3[:, :, 0]).n_outputs_ == 1
    assert filter_of(max_iter=1).fit(X3, X3).n_outputs_ == F


@pytest.mark.parametrize("weights", [[np.ones(n + 1) for n in LENGTHS], np.ones(N - 1)])
def test_weights_that_do_not_fit_are_named(weights):
    with pytest.raises(
        ValueError, match=r"sample_weight\[0\] must have one|inconsistent numbers"
    ):
        tagger().fit(RAGGED, ABOVE, weights)
