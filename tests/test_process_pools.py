"""Predictions by pools of processes and threads: the bits of the same model in this process.

Pools of the standard library with every start method, and joblib's. The parent has used several
threads before, which a forked child must survive; ``test_fork.py`` has more about that.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from patience import PATIENCE
from quick import quick_and_slow

import pygru
from pygru import GRU, Last, Linear, Sequential

X = np.random.default_rng(0).standard_normal((40, 12, 3))
PARTS = np.array_split(X, 8)

pytestmark = [
    # Python 3.12 and newer warn about forks while threads run, which is what we test.
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*has not converged:UserWarning"),
]


@pytest.fixture(scope="module")
def cases():
    """The predictions of functions that can be pickled, for all sequences at once."""
    model = Sequential(
        GRU(3, 40, 2, batch_first=True, bidirectional=True),
        Last(bidirectional=True),
        Linear(80, 2),
        seed=0,
    )
    found = [(model, model(X))]
    with pygru.num_threads(2):
        assert np.array_equal(model(X), found[0][1])
    pytest.importorskip("sklearn", minversion="1.6")
    from sequence_estimators import regressor

    estimator = regressor(max_iter=2).fit(X, X[:, :, 0].mean(axis=1))
    return [*found, (estimator.predict, estimator.predict(X))]


def check(found, cases):
    """The parts of every prediction, together, are the whole one."""
    for parts, (_, expected) in zip(found, cases, strict=True):
        np.testing.assert_array_equal(np.concatenate(parts), expected)


@pytest.mark.slow
@pytest.mark.parametrize("start", multiprocessing.get_all_start_methods())
def test_multiprocessing(start, cases):
    with multiprocessing.get_context(start).Pool(2) as pool:
        started = [pool.map_async(function, PARTS, chunksize=1) for function, _ in cases]
        check([each.get(timeout=PATIENCE) for each in started], cases)


@pytest.mark.slow
def test_concurrent_futures(cases):
    with ProcessPoolExecutor(2) as pool:
        started = [pool.map(function, PARTS, timeout=PATIENCE) for function, _ in cases]
        check([list(each) for each in started], cases)


def test_threads_share_a_model(cases):
    with ThreadPoolExecutor(4) as pool:
        for function, expected in cases:
            found = list(pool.map(function, PARTS * 5))
            np.testing.assert_array_equal(np.concatenate(found), np.concatenate([expected] * 5))


@pytest.mark.slow
def test_many_threads_share_a_model_for_long(cases):
    """Rows R-04 and R-12: a thousand calls of each of eight threads."""
    function, expected = cases[0]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(function, PARTS * 1000))
    for first in range(0, len(found), len(PARTS)):
        np.testing.assert_array_equal(np.concatenate(found[first : first + 8]), expected)


@pytest.mark.parametrize("backend", quick_and_slow(["threading"], ["loky", "multiprocessing"]))
def test_joblib(backend, cases):
    joblib = pytest.importorskip("joblib")
    with joblib.parallel_config(backend=backend, n_jobs=2):
        check(
            [
                joblib.Parallel(timeout=PATIENCE)(
                    joblib.delayed(function)(part) for part in PARTS
                )
                for function, _ in cases
            ],
            cases,
        )


@pytest.mark.slow
def test_joblib_gives_its_processes_one_thread():
    """``cpu_count() // n_jobs`` threads, through variables that pygru reads."""
    joblib = pytest.importorskip("joblib")
    with joblib.parallel_config(backend="loky", n_jobs=2, inner_max_num_threads=1):
        found = joblib.Parallel()(joblib.delayed(pygru.get_num_threads)() for _ in range(4))
    assert found == [1] * 4
