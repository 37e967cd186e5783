"""Dask's threads in one process: predictions and fits of several tasks at the same time.

The truth is the same tasks one after the other, in this thread and with one thread of pygru, to
the last bit. A model that tasks share is read only; each fit has a model of its own.
"""

import contextlib

import numpy as np
import pytest

pytest.importorskip("dask.array")
pytest.importorskip("sklearn", minversion="1.6")
import dask
import dask.array as da
from patience import PATIENCE
from sequence_estimators import regressor

import pygru
import pygru.dask
from pygru import GRU, Dropout, Last, Linear, Sequential, Trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*has not converged:UserWarning")

# Several chunks of the batch, so that a call may use several threads of its own.
N, T, F, BLOCK = 240, 10, 3, 30
X = np.random.default_rng(0).standard_normal((N, T, F)).astype(np.float32)
Y = X.sum(axis=(1, 2))


@contextlib.contextmanager
def four_threads():
    with dask.config.set(scheduler="threads", num_workers=4):
        yield


@contextlib.contextmanager
def cluster_in_this_process():
    """A client becomes Dask's scheduler; its worker has two threads of this process."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(1, timeout=PATIENCE)
        yield


SCHEDULERS = [four_threads, cluster_in_this_process]


def network(seed=0):
    return Sequential(
        GRU(F, 40, 2, batch_first=True, bidirectional=True, recurrent_dropout=0.1),
        Last(bidirectional=True),
        Dropout(0.2),
        Linear(80, 1),
        seed=seed,
    )


def trained(seed, n_threads):
    """The weights, the losses and the predictions of a training of its own."""
    model = network(seed)
    trainer = Trainer(model, seed=seed, n_threads=n_threads, clip_norm=1.0)
    history = trainer.fit(X, Y, epochs=2, batch_size=96, progress=False)
    weights = b"".join(values.tobytes() for values in model.state_dict().values())
    return weights, history["loss"], trainer.predict(X[:BLOCK]).tobytes()


def estimated(seed, n_threads):
    estimator = regressor(max_iter=2, random_state=seed, n_threads=n_threads).fit(X, Y)
    return estimator.loss_curve_, estimator.predict(X[:BLOCK]).tobytes()


def stepped(model, first):
    """What a stream of a shared GRU says, step by step."""
    stream = model.stream(BLOCK)
    return np.array([stream(x_t).copy() for x_t in X[first : first + BLOCK].swapaxes(0, 1)])


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_predictions_of_blocks(scheduler):
    model, blocks = network(), da.from_array(X, chunks=(BLOCK, T, F))
    quantized = model.quantized()
    shared = GRU(F, 40, seed=0)
    with pygru.num_threads(1):
        expected = [each(X) for each in (model, quantized)]
        steps = [stepped(shared, first) for first in range(0, N, BLOCK)]
    with scheduler():
        for each, right in zip((model, quantized), expected, strict=True):
            for _ in range(3):
                found = pygru.dask.predict(each, blocks).compute()
                np.testing.assert_array_equal(found, right)
            by_calls = blocks.map_blocks(each, dtype=np.float32, drop_axis=2).compute()
            np.testing.assert_array_equal(by_calls, right)
        tasks = [dask.delayed(stepped)(shared, first) for first in range(0, N, BLOCK)]
        for found, right in zip(dask.compute(*tasks), steps, strict=True):
            np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("fit", [trained, estimated])
def test_fits_at_the_same_time(fit, scheduler):
    expected = [fit(seed, 1) for seed in range(4)]
    with scheduler():
        tasks = [dask.delayed(fit)(seed, 1 + seed % 2) for seed in range(4)]
        assert list(dask.compute(*tasks)) == expected


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_predictions_of_a_model_while_others_are_trained(scheduler):
    model = network()
    with pygru.num_threads(1):
        expected = model(X)
        right = trained(3, 1)
    with scheduler():
        blocks = da.from_array(X, chunks=(BLOCK, T, F))
        fits = [dask.delayed(trained)(3, 2) for _ in range(2)]
        found, *others = dask.compute(pygru.dask.predict(model, blocks), *fits)
        np.testing.assert_array_equal(found, expected)
        assert others == [right, right]
