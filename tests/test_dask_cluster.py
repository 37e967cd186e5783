"""Dask with two worker processes, one of which is killed half-way.

The truth is the prediction of the same model in this process, to the last bit. A worker kills
itself with SIGKILL when it meets a mark in the data, once: no test depends on time.
"""

import os
import pickle

import numpy as np
import pytest

pytest.importorskip("distributed")
pytest.importorskip("sklearn", minversion="1.6")
import dask
import dask.array as da
import dask.bag
from dask.distributed import Client
from dask_workers import MARK, CountsCopies, DiesOnce, predict_part, threads, two_workers
from patience import PATIENCE
from sequence_estimators import regressor

import pygru.dask
from pygru import GRU, Last, Linear, Sequential, Trainer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*has not converged:UserWarning"),
]

N, T, F, CHUNK = 80, 5, 3, 4
X = np.random.default_rng(0).standard_normal((N, T, F))


@pytest.fixture(scope="module")
def cluster():
    with two_workers() as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with Client(cluster) as client:
        client.wait_for_workers(2, timeout=PATIENCE)
        yield client


def pids(client):
    """The workers' processes."""
    return set(client.run(os.getpid).values())


@pytest.fixture(scope="module")
def estimator():
    return regressor(max_iter=2).fit(X, X[:, :, 0].mean(axis=1))


def by_predict(client, model, x):
    return pygru.dask.predict(model, da.from_array(x, chunks=(CHUNK, T, F))).compute()


def by_map_blocks(client, model, x):
    blocks = da.from_array(x, chunks=(CHUNK, T, F))
    return blocks.map_blocks(model.predict, dtype=np.float64, drop_axis=[1, 2]).compute()


def by_bag(client, model, x):
    bag = dask.bag.from_sequence(list(x), partition_size=CHUNK)
    return np.array(bag.map_partitions(predict_part, model=dask.delayed(model)).compute())


def by_futures(client, model, x):
    (everywhere,) = client.scatter([model], broadcast=True)
    parts = [list(x[i : i + CHUNK]) for i in range(0, len(x), CHUNK)]
    futures = client.map(predict_part, parts, model=everywhere)
    return np.concatenate(client.gather(futures))


def by_xarray(client, model, x):
    xarray = pytest.importorskip("xarray")
    sequences = xarray.DataArray(x, dims=("id", "time", "feature")).chunk(id=CHUNK)
    return xarray.apply_ufunc(
        model.predict,
        sequences,
        input_core_dims=[["time", "feature"]],
        dask="parallelized",
        output_dtypes=[np.float64],
    ).to_numpy()


WAYS = [by_predict, by_map_blocks, by_bag, by_futures, by_xarray]


@pytest.mark.parametrize("way", WAYS)
def test_all_predictions_are_there_after_a_worker_was_killed(way, client, estimator, tmp_path):
    note = tmp_path / "the process that was killed"
    x = X.copy()
    x[N // 2, -1, -1] = MARK
    before = pids(client)
    found = way(client, DiesOnce(estimator, note), x)
    assert int(note.read_text()) in before  # it has died
    np.testing.assert_array_equal(found, estimator.predict(x))
    client.wait_for_workers(2, timeout=PATIENCE)
    assert len(pids(client) - before) == 1  # and another one took its place


def test_a_model_that_is_on_one_worker_only_is_lost_with_it(client, estimator, tmp_path):
    """Why the page says ``broadcast=True``."""
    (once,) = client.scatter([DiesOnce(estimator, tmp_path / "note")])
    (worker,) = client.who_has(once)[once.key]
    lost = client.submit(predict_part, [np.full((T, F), MARK)], model=once, workers=[worker])
    with pytest.raises(Exception, match="cancelled"):
        lost.result(timeout=PATIENCE)


def test_models_and_trainers(client, tmp_path):
    model = Sequential(GRU(F, 8, 2, batch_first=True), Last(), Linear(8, 2), seed=0)
    pygru.save(model, tmp_path / "model.safetensors")
    loaded = pygru.load(tmp_path / "model.safetensors")
    expected = Trainer(model).predict(X)
    x = da.from_array(X, chunks=(CHUNK, T, F))
    for one in (model, loaded, Trainer(model)):
        found = pygru.dask.predict(one, x)
        assert found.dtype == expected.dtype and found.shape == expected.shape
        np.testing.assert_array_equal(found.compute(), expected)


@pytest.mark.parametrize("way", [by_predict, by_bag, by_futures])
def test_a_model_travels_once_to_each_worker(way, client, estimator, tmp_path):
    """And not with each of the 20 blocks."""
    note = tmp_path / "copies"
    found = way(client, CountsCopies(estimator, note), X)
    np.testing.assert_array_equal(found, estimator.predict(X))
    copies = [pid for pid in map(int, note.read_text().split()) if pid != os.getpid()]
    assert copies
    assert len(copies) == len(set(copies))


def test_workers_respect_the_number_of_threads(client):
    """Dask sets OMP_NUM_THREADS=1 before a worker starts."""
    assert set(client.run(threads).values()) == {("1", 1)}


def test_the_size_of_a_pickled_model():
    """The parameters and their gradients; with an optimiser, also what that keeps."""
    gru = GRU(64, 256, seed=0)
    assert gru.nbytes * 2 < len(pickle.dumps(gru)) < gru.nbytes * 2 + 4096
