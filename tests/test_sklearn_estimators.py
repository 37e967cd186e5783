"""GRUClassifier, GRURegressor, GRUTransformer: forms of input, results, tools of scikit-learn.

The common checks of scikit-learn are in test_sklearn_checks.py.
"""

import io
import pickle
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")
import joblib
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pygru import Embedding, MaxOverTime, MeanOverTime
from pygru.sklearn import GRUClassifier, GRURegressor, GRUTransformer

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::FutureWarning"
)

RNG = np.random.default_rng(0)
N, T, F = 48, 9, 2
X3 = RNG.standard_normal((N, T, F))
LENGTHS = RNG.integers(3, T + 1, N)
RAGGED = [sequence[:length] for sequence, length in zip(X3, LENGTHS, strict=True)]
UP = np.array([sequence[:, 0].sum() > 0 for sequence in RAGGED])
LABELS = np.where(UP, "up", "down")
VALUES = np.array([sequence[:, 0].mean() for sequence in RAGGED])
TOKENS = [RNG.integers(0, 5, length) for length in LENGTHS]
HAS_FOUR = np.array([(tokens == 4).any() for tokens in TOKENS])


def classifier(**options):
    settings = {"max_iter": 5, "learning_rate_init": 0.02, "random_state": 0, "n_threads": 1}
    return GRUClassifier(8, **(settings | options))


def regressor(**options):
    settings = {"max_iter": 5, "learning_rate_init": 0.02, "random_state": 0, "n_threads": 1}
    return GRURegressor(8, **(settings | options))


def transformer(**options):
    settings = {"max_iter": 3, "learning_rate_init": 0.02, "random_state": 0, "n_threads": 1}
    return GRUTransformer(4, **(settings | options))


def objects(sequences):
    array = np.empty(len(sequences), object)
    array[:] = sequences
    return array


# ---- what X may be -------------------------------------------------------------------------

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


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
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
        (X3[:, :, np.newaxis], r"dim"),
        (X3[:, :0], "X must have at least one step and one feature"),
        ([X3[0], X3[1][:, 0]], r"X\[1\] must be a sequence \(T_i,\) or \(T_i, F\) like"),
        ([X3[0], X3[1][:4, :1]], r"X\[1\] must have 2 features per step like X\[0\], got 1"),
        ([X3[0], X3[1][:3] * np.nan], "Input X contains NaN"),
        ([X3[0], np.where(X3[1][:3] == X3[1, 1, 1], np.inf, 0)], "Input X contains infinity"),
    ],
)
def test_wrong_sequences_are_named(X, text):
    with pytest.raises(ValueError, match=text):
        classifier().fit(X, LABELS[: len(X)])


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


# ---- classification ------------------------------------------------------------------------


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


# ---- regression ----------------------------------------------------------------------------


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


# ---- how training ends ---------------------------------------------------------------------


def test_training_ends_when_nothing_improves_and_else_warns():
    model = classifier(max_iter=50, tol=10.0, n_iter_no_change=3).fit(RAGGED, LABELS)
    assert model.n_iter_ == len(model.loss_curve_) == 5  # the first one improves
    assert model.best_loss_ == min(model.loss_curve_)
    slower = classifier(
        max_iter=50, tol=10.0, n_iter_no_change=3, learning_rate="adaptive"
    ).fit(RAGGED, LABELS)
    assert slower.n_iter_ > 20
    with pytest.warns(ConvergenceWarning, match=r"maximum iterations \(2\) reached"):
        classifier(max_iter=2).fit(RAGGED, LABELS)


@pytest.mark.parametrize("make", [classifier, regressor])
def test_early_stopping_keeps_the_best_weights(make):
    y = UP if make is classifier else VALUES
    model = make(
        max_iter=30, early_stopping=True, validation_fraction=0.25, n_iter_no_change=5
    ).fit(RAGGED, y)
    assert len(model.validation_scores_) == model.n_iter_
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.best_loss_ is None
    best = int(np.argmax(model.validation_scores_)) + 1
    shorter = make(
        max_iter=best, early_stopping=True, validation_fraction=0.25, n_iter_no_change=50
    ).fit(RAGGED, y)
    assert (shorter.predict(RAGGED) == model.predict(RAGGED)).all()


@pytest.mark.parametrize("make", [classifier, regressor])
def test_warm_start_goes_on_from_the_weights(make):
    y = UP if make is classifier else VALUES
    model = make(warm_start=True, max_iter=3).fit(RAGGED, y)
    before = model.loss_curve_[-1]
    kept = model.model_
    model.fit(RAGGED, y)
    assert model.model_ is kept and model.loss_curve_[-1] < before and model.n_iter_ == 3


@pytest.mark.parametrize("solver", ["adam", "adamw", "sgd", "rmsprop"])
def test_solvers_and_options_of_the_model(solver):
    model = GRUClassifier(
        (6, 4),
        solver=solver,
        dropout=0.2,
        recurrent_dropout=0.1,
        variant="pytorch",
        alpha=1e-4,
        max_iter=25,
        learning_rate_init=0.05 if solver == "sgd" else 0.01,
        random_state=0,
    ).fit(RAGGED, LABELS)
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    again = clone(model).fit(RAGGED, LABELS)
    assert (again.decision_function(RAGGED) == model.decision_function(RAGGED)).all()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"hidden_layer_sizes": ()}, "hidden_layer_sizes must be an int or a sequence"),
        ({"hidden_layer_sizes": 0}, "hidden_layer_sizes must be"),
        ({"pooling": "sum"}, "pooling must be one of 'last', 'mean', 'max'"),
        ({"solver": "lbfgs"}, "solver must be one of"),
        ({"learning_rate": "invscaling"}, "learning_rate must be one of"),
        ({"max_iter": 0}, "max_iter must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"alpha": -1.0}, "alpha must be"),
        ({"tol": -1.0}, "tol must be"),
        ({"embedding": "a"}, "embedding must be None, an int or"),
    ],
)
def test_wrong_parameters_are_named(options, text):
    X = TOKENS if "embedding" in options else RAGGED
    with pytest.raises(ValueError, match=text):
        classifier().set_params(**options).fit(X, LABELS)


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


# ---- the tools of scikit-learn -------------------------------------------------------------


def test_pipelines():
    table = X3[:, :, 0]
    y = table.sum(axis=1) > 0
    scaled = make_pipeline(StandardScaler(), classifier(max_iter=30)).fit(table, y)
    assert scaled.score(table, y) > 0.9
    features = make_pipeline(transformer(pooling="mean"), LogisticRegression()).fit(RAGGED, UP)
    assert features.score(RAGGED, UP) > 0.6


@pytest.mark.parametrize(
    ("X", "backend"),
    [
        (RAGGED, "loky"),
        (RAGGED, "threading"),
        (X3, "threading"),
        (objects(RAGGED), "threading"),
    ],
    ids=["list-loky", "list", "array", "objects"],
)
def test_searches_in_parallel_give_the_results_of_serial_ones(X, backend):
    grid = {"hidden_layer_sizes": [(4,), (6, 4)], "pooling": ["last", "mean"]}
    serial = GridSearchCV(classifier(max_iter=2), grid, cv=2).fit(X, LABELS)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        parallel = GridSearchCV(classifier(max_iter=2), grid, cv=2).fit(X, LABELS)
    assert parallel.best_params_ == serial.best_params_
    for name in ("mean_test_score", "std_test_score"):
        assert (parallel.cv_results_[name] == serial.cv_results_[name]).all()
    assert (parallel.predict_proba(X) == serial.predict_proba(X)).all()


def test_halving_search_and_cross_validation():
    search = HalvingGridSearchCV(
        classifier(), {"max_iter": [1, 20]}, cv=2, random_state=0, min_resources=24
    ).fit(RAGGED, LABELS)
    assert search.best_params_["max_iter"] in (1, 20)
    assert cross_val_score(regressor(), RAGGED, VALUES, cv=3).shape == (3,)


@pytest.mark.parametrize("make", [classifier, regressor, transformer])
def test_pickle_and_joblib_keep_the_bits(make):
    y = UP.astype(int)
    model = make().fit(RAGGED, y)
    method = "transform" if make is transformer else "predict"
    expected = getattr(model, method)(RAGGED)
    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    buffer.seek(0)
    for copied in (pickle.loads(pickle.dumps(model)), joblib.load(buffer)):
        assert (getattr(copied, method)(RAGGED) == expected).all()


def test_calibration_and_permutation_importance():
    calibrated = CalibratedClassifierCV(classifier(max_iter=20), cv=2).fit(RAGGED, LABELS)
    np.testing.assert_allclose(calibrated.predict_proba(RAGGED).sum(axis=1), 1)
    table = RNG.standard_normal((80, 6))
    y = table[:, 4] > 0
    model = classifier(max_iter=40).fit(table, y)
    importance = permutation_importance(model, table, y, n_repeats=3, random_state=0)
    assert importance.importances_mean.argmax() == 4  # over time: the step that decides


def test_metadata_routing_passes_sample_weight():
    weights = np.arange(N) + 1.0
    with sklearn.config_context(enable_metadata_routing=True):
        routed = classifier().set_fit_request(sample_weight=True)
        routed.set_score_request(sample_weight=True)
        pipeline = make_pipeline(routed).fit(RAGGED, LABELS, sample_weight=weights)
        scores = cross_val_score(
            routed, RAGGED, LABELS, cv=2, params={"sample_weight": weights}
        )
    direct = classifier().fit(RAGGED, LABELS, sample_weight=weights)
    assert (pipeline.predict_proba(RAGGED) == direct.predict_proba(RAGGED)).all()
    assert scores.shape == (2,)
    assert direct.score(RAGGED, LABELS, sample_weight=weights) == accuracy_score(
        LABELS, direct.predict(RAGGED), sample_weight=weights
    )


def test_import_pygru_does_not_import_scikit_learn():
    code = "import sys, pygru; assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "try:\n    import pygru.sklearn\n"
        "except ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert "pygru.sklearn needs scikit-learn>=1.6" in done.stdout, done.stderr


def test_n_threads_does_not_change_the_bits():
    one, two = (classifier(n_threads=n).fit(RAGGED, LABELS) for n in (1, 2))
    assert (one.predict_proba(RAGGED) == two.predict_proba(RAGGED)).all()
