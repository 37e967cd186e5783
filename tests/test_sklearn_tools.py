"""The estimators in the tools of scikit-learn: searches, pipelines, files, routing."""

import copy
import io
import pickle

import numpy as np
import pytest
from programs import run_program

pytest.importorskip("sklearn", minversion="1.6")
import joblib
import sklearn
from sequence_estimators import (
    LABELS,
    LENGTHS,
    RAGGED,
    RNG,
    UP,
    VALUES,
    X3,
    N,
    classifier,
    objects,
    regressor,
    transformer,
)
from sklearn.calibration import CalibratedClassifierCV
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import pygru
from pygru.data import Scaler
from pygru.sklearn import GRUClassifier

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::FutureWarning"
)


def test_pipelines():
    table = X3[:, :, 0]
    y = table.sum(axis=1) > 0
    scaled = make_pipeline(StandardScaler(), classifier(max_iter=30)).fit(table, y)
    assert scaled.score(table, y) > 0.9
    large = [1e4 + 10 * sequence for sequence in RAGGED]
    sequences = make_pipeline(Scaler(), classifier(max_iter=40))
    search = GridSearchCV(sequences, {"scaler__method": ["standard", "minmax"]}, cv=2)
    assert search.fit(large, LABELS).score(large, LABELS) > 0.9
    features = make_pipeline(transformer(pooling="mean"), LogisticRegression()).fit(RAGGED, UP)
    assert features.score(RAGGED, UP) > 0.6


@pytest.mark.parametrize(
    ("X", "backend"),
    [
        pytest.param(RAGGED, "loky", marks=pytest.mark.slow),
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
        classifier(),
        {"learning_rate_init": [1e-9, 0.02]},
        cv=2,
        factor=2,
        random_state=0,
        resource="max_iter",
        max_resources=40,
        min_resources=20,
    ).fit(RAGGED, LABELS)
    assert search.best_params_ == {"learning_rate_init": 0.02, "max_iter": 40}
    samples = HalvingGridSearchCV(
        classifier(), {"max_iter": [1, 20]}, cv=2, random_state=0, min_resources=24
    ).fit(RAGGED, LABELS)
    assert samples.n_resources_ == [24] and samples.n_candidates_ == [2]
    assert cross_val_score(regressor(), RAGGED, VALUES, cv=3).shape == (3,)


def through_skops(model):
    io_ = pytest.importorskip("skops.io")
    data = io_.dumps(model)
    trusted = io_.get_untrusted_types(data=data)
    # Nobody has to trust what pygru is made of inside.
    assert trusted == [f"{type(model).__module__}.{type(model).__name__}"]
    return io_.loads(data, trusted=trusted)


def through_joblib(model):
    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


COPIES = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "joblib": through_joblib,
    "skops": through_skops,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("make", [classifier, regressor, transformer])
def test_copies_predict_and_go_on_with_the_same_bits(make, how):
    """Dropout's generator and the optimiser's averages are copied too."""
    y = UP.astype(int)
    pooling = "last" if make is transformer else "attention"
    model = make(pooling=pooling, dropout=0.3, recurrent_dropout=0.2).fit(RAGGED, y)
    copied = COPIES[how](model)
    method = "transform" if make is transformer else "predict"
    assert (getattr(copied, method)(RAGGED) == getattr(model, method)(RAGGED)).all()
    assert copied.get_params() == model.get_params()
    assert copied.loss_curve_ == model.loss_curve_
    for one in (model, copied):
        if make is transformer:
            one.fit(RAGGED)
        else:
            one.partial_fit(RAGGED, y)
    assert copied.loss_curve_ == model.loss_curve_
    assert (getattr(copied, method)(RAGGED) == getattr(model, method)(RAGGED)).all()
    new = COPIES[how](make())
    assert not hasattr(new, "model_") and new.get_params() == make().get_params()


def test_a_damaged_state_is_refused_before_its_size_is_believed():
    state = classifier().fit(RAGGED, LABELS).__getstate__()
    text = state["model_"]["description"]
    for wrong in (text.replace('"hidden_size": 8', '"hidden_size": 1099511627776'), "{}"):
        broken = {**state, "model_": {**state["model_"], "description": wrong}}
        with pytest.raises(pygru.FormatError, match="the configuration is not valid"):
            GRUClassifier().__setstate__(broken)


def test_calibration_and_permutation_importance():
    calibrated = CalibratedClassifierCV(classifier(max_iter=20), cv=2).fit(RAGGED, LABELS)
    np.testing.assert_allclose(calibrated.predict_proba(RAGGED).sum(axis=1), 1)
    table = RNG.standard_normal((80, 6))
    y = table[:, 4] > 0
    model = classifier(max_iter=40).fit(table, y)
    importance = permutation_importance(model, table, y, n_repeats=3, random_state=0)
    assert importance.importances_mean.argmax() == 4  # over time: the step that decides


def test_permutation_importance_over_features():
    """A frame with one column of arrays per feature: scikit-learn permutes whole columns."""
    pandas = pytest.importorskip("pandas")
    X = RNG.standard_normal((80, 6, 3))
    y = X[:, :, 1].sum(axis=1) > 0
    frame = pandas.DataFrame({name: list(X[:, :, i]) for i, name in enumerate("abc")})
    model = classifier(max_iter=40).fit(frame, y)
    found = permutation_importance(model, frame, y, n_repeats=3, random_state=0, n_jobs=1)
    assert found.importances_mean.argmax() == 1
    assert found.importances_mean[1] > 0.3 > abs(found.importances_mean[[0, 2]]).max()


class CountEpochs(pygru.Callback):
    epochs = 0

    def on_epoch_end(self, trainer, record):
        self.epochs += 1


def test_metadata_routing_passes_sample_weight():
    weights = np.arange(N) + 1.0
    with sklearn.config_context(enable_metadata_routing=True):
        routed = classifier().set_fit_request(sample_weight=True)
        routed.set_score_request(sample_weight=True)
        pipeline = make_pipeline(routed).fit(RAGGED, LABELS, sample_weight=weights)
        scores = cross_val_score(
            routed, RAGGED, LABELS, cv=2, params={"sample_weight": weights}
        )
        steps = objects([np.full(n, w) for n, w in zip(LENGTHS, weights, strict=True)])
        labels = objects(
            [np.repeat(label, n) for n, label in zip(LENGTHS, LABELS, strict=True)]
        )
        tagger = classifier(pooling=None).set_score_request(sample_weight=True)
        tagger.set_fit_request(sample_weight=True)
        per_step = cross_val_score(
            tagger, objects(RAGGED), labels, cv=2, params={"sample_weight": steps}
        )
        stop = CountEpochs()
        make_pipeline(classifier().set_fit_request(callbacks=True)).fit(
            RAGGED, LABELS, callbacks=[stop]
        )
    assert stop.epochs == 5 and per_step.shape == (2,)
    direct = classifier().fit(RAGGED, LABELS, sample_weight=weights)
    assert (pipeline.predict_proba(RAGGED) == direct.predict_proba(RAGGED)).all()
    assert scores.shape == (2,)
    assert direct.score(RAGGED, LABELS, sample_weight=weights) == accuracy_score(
        LABELS, direct.predict(RAGGED), sample_weight=weights
    )


def test_import_pygru_does_not_import_scikit_learn():
    code = "import sys, pygru; assert not {'sklearn', 'sktime', 'aeon'} & set(sys.modules)"
    done = run_program(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("package", "module", "extra"),
    [
        ("scikit-learn>=1.6", "sklearn", "sklearn"),
        ("sktime", "sktime", "sktime"),
        ("aeon", "aeon", "aeon"),
    ],
)
def test_a_missing_package_is_named(package, module, extra):
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        f"try:\n    import pygru.{module}\n"
        "except ImportError as error:\n    print(error)"
    )
    done = run_program(code)
    assert f"pygru.{module} needs {package}; install it with  pip install" in done.stdout
    assert f'"pygru[{extra}]"' in done.stdout, done.stderr


def test_n_threads_does_not_change_the_bits():
    one, two = (classifier(n_threads=n).fit(RAGGED, LABELS) for n in (1, 2))
    assert (one.predict_proba(RAGGED) == two.predict_proba(RAGGED)).all()
