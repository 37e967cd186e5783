"""What pygru.sklearn accepts as X, and what it says about the rest."""

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")
from sequence_estimators import (
    HAS_FOUR,
    LABELS,
    LENGTHS,
    RAGGED,
    TOKENS,
    UP,
    VALUES,
    X3,
    F,
    N,
    T,
    classifier,
    objects,
    regressor,
    transformer,
)
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError

from pygru import AttentionOverTime, Embedding, MaxOverTime, MeanOverTime

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::FutureWarning"
)


FORMS = {
    "table": (X3[:, :, 0], X3[:, :, 0][..., np.newaxis]),
    "table as lists": (X3[:, :, 0].tolist(), X3[:, :, 0]),
    "list of equal": (list(X3), X3),
    "objects of equal": (objects(list(X3)), X3),
    "objects": (objects(RAGGED), RAGGED),
    "lists of lists": ([sequence.tolist() for sequence in RAGGED], RAGGED),
    "univariate": ([s[:, 0] for s in RAGGED], [s[:, :1] for s in RAGGED]),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_the_same_sequences_give_the_same_bits(form):
    first, second = FORMS[form]
    for estimator, y in ((classifier(), LABELS), (regressor(), VALUES)):
        predictions = [clone(estimator).fit(X, y).predict(X) for X in (first, second)]
        assert (predictions[0] == predictions[1]).all()
    features = [transformer().fit_transform(X) for X in (first, second)]
    assert (features[0] == features[1]).all()


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_never_counts(pooling, bidirectional):
    """The model is the one that a Trainer gets with the padded array and its lengths."""
    model = classifier(pooling=pooling, bidirectional=bidirectional).fit(RAGGED, LABELS)
    padded = np.where(np.arange(T)[:, np.newaxis] < LENGTHS[:, np.newaxis, np.newaxis], X3, 1e9)
    logits = model.model_(padded, lengths=LENGTHS)
    found = model.decision_function(RAGGED)
    np.testing.assert_allclose(found, logits[:, 1] - logits[:, 0], rtol=1e-12, atol=1e-13)
    alone = np.concatenate([model.decision_function([sequence]) for sequence in RAGGED])
    assert (alone == found).all()
    kinds = [type(layer) for layer in model.model_.layers]
    assert (MeanOverTime in kinds) == (pooling == "mean")
    assert (MaxOverTime in kinds) == (pooling == "max")
    assert (AttentionOverTime in kinds) == (pooling == "attention")


def test_tokens():
    options = {"embedding": 6, "max_iter": 60, "pooling": "max"}
    model = classifier(**options).fit(TOKENS, HAS_FOUR)
    assert model.score(TOKENS, HAS_FOUR) > 0.95
    assert isinstance(model.model_.layers[0], Embedding)
    assert model.model_.layers[0].num_embeddings == 5
    whole = [tokens.astype(float) for tokens in TOKENS]
    assert (model.predict(whole) == model.predict(TOKENS)).all()
    with pytest.raises(ValueError, match=r"token 7 is not in 0\.\.4"):
        model.predict([np.array([1, 7])])
    more = classifier(**options | {"embedding": (10, 3), "max_iter": 1}).fit(TOKENS, HAS_FOUR)
    assert more.predict([np.array([1, 9])]).shape == (1,)
    with pytest.raises(ValueError, match="X must hold integers if embedding is given"):
        classifier(embedding=3).fit(X3[:, :, 0], LABELS)
    with pytest.raises(ValueError, match=r"X must be \(n, T\) or a list of \(T_i,\)"):
        classifier(embedding=3).fit(X3, LABELS)
    states = transformer(embedding=3, output="states").fit_transform(TOKENS)
    assert [len(state) for state in states] == LENGTHS.tolist()


def test_float32_stays_float32():
    X = X3.astype(np.float32)
    assert classifier().fit(X, LABELS).model_.flat_pairs[0][0].dtype == np.float32
    assert classifier().fit(X3, LABELS).model_.flat_pairs[0][0].dtype == np.float64
    assert transformer().fit_transform(X).dtype == np.float32


@pytest.mark.parametrize(
    ("X", "text"),
    [
        (X3[:, :, np.newaxis], r"X must have shape \(n, T\) or \(n, T, F\), got .* dim 4"),
        ([X3[0], None], r"X\[1\] must be a sequence .* like the others, got NoneType"),
        ([X3[0], 3.0], r"X\[1\] must be a sequence .* like the others, got float"),
        (X3[:, :0], "X must have at least one step and one feature"),
        ([X3[0], X3[1][:, 0]], r"X\[1\] must be a sequence \(T_i,\) or \(T_i, F\) like"),
        ([X3[0], X3[1][:4, :1]], r"X\[1\] must have 2 features per step like X\[0\], got 1"),
    ],
)
def test_wrong_sequences_are_named(X, text):
    with pytest.raises(ValueError, match=text):
        classifier().fit(X, LABELS[: len(X)])


def test_what_is_no_list_is_named():
    for X, text in (
        (None, "X must be an array or a list of sequences, got NoneType"),
        (iter(RAGGED), r"got list_iterator; list\(X\) makes a list"),
        ({"a": RAGGED}, "got dict"),
    ):
        with pytest.raises(TypeError, match=text):
            classifier().fit(X, LABELS)
    model = classifier().fit(RAGGED, LABELS)
    with pytest.raises(ValueError, match=r"expecting 2 features as input; .* is \[X\]"):
        model.predict(RAGGED[0])
    assert model.predict([RAGGED[0]]).shape == (1,)


def test_sequences_must_have_the_features_of_fit():
    model = classifier().fit(RAGGED, LABELS)
    assert model.n_features_in_ == 2
    for other in (X3[:, :, :1], [s[:, :1] for s in RAGGED], X3[:, :, 0]):
        with pytest.raises(ValueError, match="X has 1 features per step, but GRUClassifier is"):
            model.predict(other)
    table = classifier().fit(X3[:, :, 0], LABELS)
    assert table.n_features_in_ == T
    with pytest.raises(ValueError, match="X has 4 features, but GRUClassifier is expecting 9"):
        table.predict(X3[:, :4, 0])
    assert table.predict([s[:, 0] for s in RAGGED]).shape == (N,)  # one number per step too
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(RAGGED, LABELS[:-1])
    with pytest.raises(NotFittedError):
        classifier().predict(RAGGED)


@pytest.mark.parametrize("make", [classifier, regressor, transformer])
def test_a_fit_that_fails_leaves_the_estimator_as_it_was(make):
    y = UP.astype(int)
    model = make().fit(RAGGED, y)
    method = "transform" if make is transformer else "predict"
    expected, before = getattr(model, method)(RAGGED), dict(vars(model))
    table = X3[:, :, 0].copy()
    table[5, 3] = np.nan
    calls = [lambda: model.fit(table, y), lambda: model.set_params(solver="x").fit(X3, y)]
    if make is not transformer:
        calls += [lambda: model.fit(X3[:, :, 0], y[:-1]), lambda: model.fit(X3[:, :, 0], None)]
        calls += [lambda: model.partial_fit(X3[:, :, 0], y)]
    for call in calls:
        with pytest.raises(ValueError, match=r"."):
            call()
        model.set_params(solver="adam")
        assert vars(model) == before
    assert (getattr(model, method)(RAGGED) == expected).all()
    new = make()
    with pytest.raises(ValueError, match=r"."):
        new.fit(table, y)
    assert not hasattr(new, "n_features_in_")


# ---- pandas and polars ---------------------------------------------------------------------


def test_a_series_or_a_frame_of_arrays_is_a_list_of_sequences():
    pandas = pytest.importorskip("pandas")
    expected = classifier().fit(RAGGED, LABELS).decision_function(RAGGED)
    frame = pandas.DataFrame({"who": LABELS}, index=np.arange(N) + 100)
    frame["sequence"] = RAGGED
    for name in ("a", "b"):
        frame[name] = [sequence[:, "ab".index(name)] for sequence in RAGGED]
    for X in (frame["sequence"], frame[["a", "b"]]):
        for y in (frame["who"], frame["who"].astype("category"), LABELS.tolist()):
            model = classifier().fit(X, y)
            assert (model.decision_function(X) == expected).all()
            assert model.n_features_in_ == F
    assert model.feature_names_in_.tolist() == ["a", "b"]
    assert (model.decision_function(RAGGED) == expected).all()
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["b", "a"]])
    frame.loc[103, "b"] = [0.0]
    with pytest.raises(ValueError, match=r"cells of row 3 of X must be .* \(1,\)"):
        model.predict(frame[["a", "b"]])
    one = [sequence[:, 0] for sequence in RAGGED]
    series = pandas.Series([pandas.Series(values) for values in one])
    first = classifier().fit(series, LABELS).predict_proba(series)
    assert (first == classifier().fit(one, LABELS).predict_proba(one)).all()
    frames = [pandas.DataFrame(sequence) for sequence in RAGGED]
    assert (classifier().fit(frames, LABELS).decision_function(frames) == expected).all()


def test_a_frame_of_numbers_is_a_table_with_names():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X3[:, :, 0], columns=[f"t{i}" for i in range(T)])
    y = pandas.DataFrame({"up": LABELS})
    model = classifier().fit(frame, y["up"])
    assert model.feature_names_in_.tolist() == frame.columns.tolist()
    assert model.n_features_in_ == T
    with pytest.warns(DataConversionWarning):
        classifier().fit(frame, y)  # a frame with one column
    direct = classifier().fit(X3[:, :, 0], LABELS)
    assert (model.predict_proba(frame) == direct.predict_proba(X3[:, :, 0])).all()


def test_polars():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(X3[:, :, 0], schema=[f"t{i}" for i in range(T)])
    labels = polars.Series(LABELS)
    direct = classifier().fit(X3[:, :, 0], LABELS)
    model = classifier().fit(frame, labels)
    assert (model.predict_proba(frame) == direct.predict_proba(X3[:, :, 0])).all()
    series = polars.Series([sequence[:, 0] for sequence in RAGGED])
    univariate = [sequence[:, 0] for sequence in RAGGED]
    found = classifier().fit(series, labels).predict_proba(series)
    assert (found == classifier().fit(univariate, LABELS).predict_proba(univariate)).all()


# ---- chance does not decide ----------------------------------------------------------------


@pytest.mark.parametrize("as_objects", [False, True])
def test_sequences_that_happen_to_have_one_length_are_still_sequences(as_objects):
    """A model of a fold with equal lengths works for the other folds."""
    make = objects if as_objects else list
    univariate = make([sequence[:3, 0] for sequence in X3])
    model = classifier().fit(univariate, LABELS)
    assert model.n_features_in_ == 1
    assert model.predict(make([sequence[:, 0] for sequence in RAGGED])).shape == (N,)
    assert model.predict(make([sequence[:5, 0] for sequence in X3])).shape == (N,)
    assert model.predict(X3[:, :, 0]).shape == (N,)
    tokens = classifier(embedding=(5, 3)).fit([[1, 2, 3], [2, 3, 4]] * 4, [0, 1] * 4)
    assert tokens.n_features_in_ == 1
    assert tokens.predict([[1, 2], [1, 2]]).shape == (2,)
    assert tokens.predict(np.array([[1, 2], [1, 2]])).shape == (2,)


# ---- missing values ------------------------------------------------------------------------

HINT = r"np\.concatenate\(\[np\.nan_to_num\({0}\), np\.isnan\({0}\)\], axis=-1\)"


def with_value(X, place, value):
    copied = [np.array(sample) for sample in X]
    copied[place[0]][place[1:]] = value
    return copied


@pytest.mark.parametrize("make", [classifier, regressor, transformer])
@pytest.mark.parametrize(
    ("X", "text"),
    [
        (with_value(RAGGED, (2, 1, 0), np.nan), r"NaN: X\[2\]\[1, 0\].*" + HINT.format("x")),
        (
            np.array(with_value(X3, (2, 1, 0), np.nan)),
            r"NaN: X\[2, 1, 0\].*" + HINT.format("X"),
        ),
        (
            np.array(with_value(X3[:, :, 0], (4, 8), np.nan)),
            r"NaN: X\[4, 8\].*np\.stack\(\[np\.nan_to_num\(X\), np\.isnan\(X\)\], axis=-1\)",
        ),
        (
            with_value([s[:, 0] for s in RAGGED], (4, 2), np.nan),
            r"NaN: X\[4\]\[2\].*np\.stack\(\[np\.nan_to_num\(x\), .*for each sequence x",
        ),
        (with_value(RAGGED, (2, 1, 0), -np.inf), r"infinity or .* float64: X\[2\]\[1, 0\]"),
    ],
)
def test_a_missing_value_is_named_with_a_hint(make, X, text):
    with pytest.raises(ValueError, match=text):
        make().fit(X, UP.astype(float))


def test_the_hint_for_missing_values_works():
    missing = with_value(RAGGED, (2, 1, 0), np.nan)
    X = [np.concatenate([np.nan_to_num(x), np.isnan(x)], axis=-1) for x in missing]
    assert classifier().fit(X, LABELS).n_features_in_ == 2 * F
    table = np.array(with_value(X3[:, :, 0], (4, 8), np.nan))
    X = np.stack([np.nan_to_num(table), np.isnan(table)], axis=-1)
    assert classifier().fit(X, LABELS).n_features_in_ == 2


def test_large_numbers_are_finite():
    """Their sum is beyond float64, but each of them is not."""
    X = [np.full((3, 1), 1e308), np.full((4, 1), -1e308)] * 4
    assert np.isfinite(
        transformer(max_iter=1)
        .set_params(output="states")
        .fit([x * 1e-308 for x in X])
        .transform(X)[0]
    ).all()
