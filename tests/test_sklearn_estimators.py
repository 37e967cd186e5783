"""What the estimators of pygru.sklearn predict: classes, numbers, features.

The common checks of scikit-learn are in test_sklearn_checks.py.
"""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")
from sequence_estimators import (
    LABELS,
    RAGGED,
    UP,
    VALUES,
    X3,
    N,
    classifier,
    regressor,
    transformer,
)
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning

from pygru.sklearn import GRUTransformer

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::FutureWarning"
)


@pytest.mark.parametrize("labels", [LABELS, UP, UP * 7 - 3, LABELS.astype(object)])
def test_labels_of_any_kind(labels):
    model = classifier(max_iter=40).fit(RAGGED, labels)
    assert model.classes_.tolist() == np.unique(labels).tolist()
    assert model.score(RAGGED, labels) > 0.95
    assert model.predict(RAGGED).dtype == np.asarray(labels).dtype


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities(classes):
    y = np.arange(N) % classes
    model = classifier().fit(RAGGED, y)
    probabilities, scores = model.predict_proba(RAGGED), model.decision_function(RAGGED)
    assert probabilities.shape == (N, classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(np.log(probabilities), model.predict_log_proba(RAGGED))
    assert (model.predict(RAGGED) == probabilities.argmax(axis=1)).all()
    if classes == 2:
        np.testing.assert_allclose(probabilities[:, 1], 1 / (1 + np.exp(-scores)))
    else:
        powers = np.exp(scores)
        np.testing.assert_allclose(probabilities, powers / powers.sum(axis=1, keepdims=True))


def test_class_weight_is_a_sample_weight():
    weights = np.where(UP, 3.0, 0.5)
    first = classifier(class_weight={"up": 3.0, "down": 0.5}).fit(RAGGED, LABELS)
    second = classifier().fit(RAGGED, LABELS, sample_weight=weights)
    assert (first.decision_function(RAGGED) == second.decision_function(RAGGED)).all()
    both = classifier(class_weight={"up": 3.0, "down": 0.5})
    both.fit(RAGGED, LABELS, sample_weight=1 / weights)
    plain = classifier().fit(RAGGED, LABELS, sample_weight=np.ones(N))
    np.testing.assert_allclose(both.decision_function(RAGGED), plain.decision_function(RAGGED))


@pytest.mark.parametrize("make", [classifier, regressor])
def test_wrong_weights_are_refused(make):
    y = UP.astype(float)
    for weights, text in (
        (-np.ones(N), "Negative values in data passed to `sample_weight`"),
        (np.zeros(N), "Sample weights must contain at least one non-zero number"),
        (np.ones(N - 1), "inconsistent numbers of samples"),
        (np.full(N, np.nan), "Input sample_weight contains NaN"),
    ):
        with pytest.raises(ValueError, match=text):
            make().fit(RAGGED, y, sample_weight=weights)


def test_partial_fit_goes_on_epoch_by_epoch():
    model = classifier()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        model.partial_fit(RAGGED[:24], LABELS[:24])
    for _ in range(20):
        model.partial_fit(RAGGED, LABELS, classes=["down", "up"])
    assert model.n_iter_ == len(model.loss_curve_) == 20
    assert model.score(RAGGED, LABELS) > 0.9
    again = pickle.loads(pickle.dumps(model))
    for one in (model, again):
        one.partial_fit(RAGGED, LABELS)
    assert (again.decision_function(RAGGED) == model.decision_function(RAGGED)).all()
    with pytest.raises(ValueError, match=r"labels that are not in classes: .*'left'"):
        model.partial_fit(RAGGED, np.where(UP, "up", "left"))
    number = regressor()
    for _ in range(20):
        number.partial_fit(RAGGED, VALUES)
    assert number.n_iter_ == 20 and number.score(RAGGED, VALUES) > 0.3


def test_one_class_and_changed_classes_are_refused():
    with pytest.raises(ValueError, match="needs at least 2 classes in y, got 1 class"):
        classifier().fit(RAGGED, ["a"] * N)
    model = classifier(warm_start=True).fit(RAGGED, LABELS)
    with pytest.raises(ValueError, match="warm_start needs the classes of the last fit"):
        model.fit(RAGGED, np.arange(N) % 3)
    with pytest.warns(DataConversionWarning):
        classifier().fit(RAGGED, LABELS[:, np.newaxis])


def test_regression_in_any_unit_and_with_several_outputs():
    two = np.column_stack([VALUES * 1e6 + 3e8, -VALUES * 1e-5])
    model = regressor(max_iter=80).fit(RAGGED, two)
    assert model.predict(RAGGED).shape == (N, 2) and model.n_outputs_ == 2
    assert model.score(RAGGED, two) > 0.9
    flat = regressor().fit(RAGGED, VALUES)
    column = regressor().fit(RAGGED, VALUES[:, np.newaxis])
    assert flat.predict(RAGGED).shape == (N,) and column.predict(RAGGED).shape == (N, 1)
    assert (flat.predict(RAGGED) == column.predict(RAGGED)[:, 0]).all()
    constant = regressor().fit(RAGGED, np.full(N, 7.1))
    assert constant.y_scale_.tolist() == [1.0]


def test_weights_of_a_regressor_count_like_duplicates():
    counts = np.arange(N) % 3
    again = np.repeat(np.arange(N), counts)
    one_batch = {"batch_size": 1000, "max_iter": 4}
    weighted = regressor(**one_batch).fit(RAGGED, VALUES, sample_weight=counts)
    repeated = regressor(**one_batch).fit([RAGGED[i] for i in again], VALUES[again])
    np.testing.assert_allclose(weighted.predict(RAGGED), repeated.predict(RAGGED), rtol=1e-8)


# ---- the transformer -----------------------------------------------------------------------


def test_the_transformer_learns_to_predict_the_next_step():
    X = np.sin(np.arange(20) / 2 + np.arange(40)[:, np.newaxis])
    model = GRUTransformer(8, max_iter=60, learning_rate_init=0.02, random_state=0).fit(X)
    assert model.loss_curve_[-1] < 0.05 * X.var()
    predicted = model.model_(X[:, :-1, np.newaxis])[:, :, 0]
    assert ((predicted - X[:, 1:]) ** 2).mean() < 0.05 * X.var()
    ragged = [row[: 8 + i % 12] for i, row in enumerate(X)]
    predicted = clone(model).fit(ragged).model_(X[:, :-1, np.newaxis])[:, :, 0]
    assert ((predicted - X[:, 1:]) ** 2).mean() < 0.1 * X.var()
    states = clone(model).set_params(output="states").fit(X).transform(X)
    assert states.shape == (40, 20, 8)
    as_list = clone(model).set_params(output="states").fit(X).transform(list(X))
    assert isinstance(as_list, list) and (np.stack(as_list) == states).all()
    assert (states[:, -1] == model.transform(X)).all()
    vectors = GRUTransformer(8, max_iter=1, pooling="mean", random_state=0).fit_transform(
        RAGGED
    )
    assert vectors.shape == (N, 8)
    single = GRUTransformer(8, random_state=0).fit(X[:, :1])
    assert single.best_loss_ is None and single.transform(X[:, :1]).shape == (40, 8)


def test_set_output_and_names_of_features():
    pandas = pytest.importorskip("pandas")
    frame = transformer().set_output(transform="pandas").fit_transform(X3[:, :, 0])
    assert isinstance(frame, pandas.DataFrame)
    assert frame.columns.tolist() == [f"grutransformer{i}" for i in range(4)]
