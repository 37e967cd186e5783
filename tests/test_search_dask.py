"""Searches of scikit-learn whose fits run on the workers of a Dask cluster.

The truth is the same search in this process: the same scores, and a best model with the same
bits. One test kills a worker in the middle of a fit.
"""

import os

import numpy as np
import pytest

pytest.importorskip("distributed")
pytest.importorskip("sklearn", minversion="1.6")
import joblib
from dask.distributed import Client
from dask_workers import KillsItsProcessOnce, two_workers
from patience import PATIENCE
from sequence_estimators import LABELS, RAGGED, X3, classifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::FutureWarning"
    ),
]

GRID = {"hidden_layer_sizes": [(4,), (6, 4)], "pooling": ["last", "mean"]}


@pytest.fixture(scope="module")
def cluster():
    with two_workers() as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with Client(cluster) as client:
        client.wait_for_workers(2, timeout=PATIENCE)
        # Workers inherit no filters, and would print every warning of convergence.
        client.run(os.environ.setdefault, "PYTHONWARNINGS", "ignore")
        yield client


def same_results(found, expected, X):
    assert found.best_params_ == expected.best_params_
    for name in ("mean_test_score", "std_test_score"):
        assert (found.cv_results_[name] == expected.cv_results_[name]).all()
    assert (found.predict_proba(X) == expected.predict_proba(X)).all()


@pytest.mark.parametrize("X", [RAGGED, X3], ids=["list", "array"])
def test_a_grid_search_has_the_results_of_a_serial_one(X, client):
    search = GridSearchCV(classifier(max_iter=2), GRID, cv=2, error_score="raise")
    expected = GridSearchCV(classifier(max_iter=2), GRID, cv=2).fit(X, LABELS)
    with joblib.parallel_config("dask"):
        same_results(search.fit(X, LABELS), expected, X)


@pytest.mark.parametrize("resource", ["n_samples", "max_iter"])
def test_halving_has_the_results_of_a_serial_one(resource, client):
    options = {"cv": 2, "random_state": 0, "factor": 2, "error_score": "raise"}
    if resource == "max_iter":
        options |= {"resource": resource, "min_resources": 1, "max_resources": 4}
    expected = HalvingGridSearchCV(classifier(max_iter=2), GRID, **options).fit(X3, LABELS)
    with joblib.parallel_config("dask"):
        found = HalvingGridSearchCV(classifier(max_iter=2), GRID, **options).fit(X3, LABELS)
    assert found.n_resources_ == expected.n_resources_
    assert len(found.n_resources_) > 1
    same_results(found, expected, X3)


def test_a_search_goes_on_after_a_worker_was_killed(client, tmp_path):
    note = tmp_path / "the process that was killed"
    before = set(client.run(os.getpid).values())
    expected = GridSearchCV(classifier(max_iter=2), GRID, cv=2).fit(X3, LABELS)
    search = GridSearchCV(classifier(max_iter=2), GRID, cv=2, error_score="raise", refit=False)
    # Without scatter= some array may be on one worker only, and be lost with it.
    with joblib.parallel_config("dask", scatter=[X3, LABELS]):
        search.fit(X3, LABELS, callbacks=[KillsItsProcessOnce(note)])
    assert int(note.read_text()) in before
    for name in ("mean_test_score", "std_test_score"):
        np.testing.assert_array_equal(search.cv_results_[name], expected.cv_results_[name])
