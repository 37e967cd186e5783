"""Fork after a parallel region: the child must finish, serially, with the parent's bits.

The OpenMP runtime does not survive a fork; without the core's guard every test here hangs
until its alarm of 20 seconds kills the child.
"""

import hashlib
import multiprocessing
import os
import signal
import threading
import traceback

import numpy as np
import pytest

import pygru
from pygru import GRU

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    # Python 3.12 and newer warn about forks while threads run; that is what is tested.
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

SECONDS = 20


@pytest.fixture(scope="module")
def model():
    gru = GRU(16, 64, 2, bidirectional=True, seed=0)
    x = np.random.default_rng(0).standard_normal((15, 48, 16)).astype(np.float32)
    return gru, x


def compute(gru, x, n_threads=2):
    """Forward and backward; the sha256 of every result."""
    gru.zero_grad()
    output, h_n, tape = gru.forward(x, n_threads=n_threads)
    gradients = gru.backward(tape, np.cos(output), h_n)
    digest = hashlib.sha256()
    for array in (output, h_n, *gradients, gru.flat_grads):
        digest.update(array.tobytes())
    return digest.digest()


def in_child(function):
    """Return the bytes that ``function()`` returns in a forked child."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(SECONDS)
            os.write(writer, function())
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "the child hung, crashed or raised"
    return answer


def test_child_gives_the_bits_of_the_parent(model):
    expected = compute(*model)
    assert in_child(lambda: compute(*model)) == expected
    assert compute(*model) == expected  # the parent still works, with its threads


def test_child_of_a_child(model):
    expected = compute(*model)

    def nested():
        own = compute(*model)
        below = in_child(lambda: compute(*model))
        return own + below + compute(*model)

    assert in_child(nested) == expected * 3


def test_many_children_at_once(model):
    expected = compute(*model)

    def several():
        return b"".join(in_child(lambda: compute(*model)) for _ in range(3))

    assert in_child(several) == expected * 3


def test_child_reports_one_thread(model):
    compute(*model)
    assert in_child(lambda: str(pygru.get_num_threads()).encode()) == b"1"
    assert pygru.get_num_threads() >= 1


def test_child_of_a_parent_that_never_ran_a_team(tmp_path):
    """The first call of all happens in the child, which may then use threads."""
    import subprocess
    import sys

    code = """
import os, signal, numpy as np, pygru
gru = pygru.GRU(16, 64, seed=0)
x = np.ones((20, 64, 16), np.float32)
child = os.fork()
signal.alarm(20)
output = gru(x, n_threads=2)[0]
again = gru(x, n_threads=1)[0]
assert np.array_equal(output, again)
if child == 0:
    os._exit(0)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_steps_in_the_child(model):
    gru = GRU(3, 5, seed=0)
    h = np.zeros((1, 5), np.float32)
    expected = gru.step(np.ones(3), h)
    stream = gru.stream()
    assert in_child(lambda: gru.step(np.ones(3), h).tobytes()) == expected.tobytes()
    assert in_child(lambda: stream(np.ones(3)).tobytes()) == expected.tobytes()


_shared = {}


def pool_task(index):
    return compute(*_shared["model"])


def test_pool_of_forked_workers(model):
    expected = compute(*model)
    _shared["model"] = model
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = pool.map_async(pool_task, range(4), chunksize=1).get(timeout=SECONDS)
    assert results == [expected] * 4


def test_fork_while_another_thread_is_inside_a_call(model):
    """No lock of pygru may stay locked in the child: its BLAS limit's lock is made anew.

    Small products are multiplied without OpenBLAS's own locks, which pygru does not control.
    """
    gru, _ = model
    small = GRU(4, 16, seed=1)
    x_small = np.random.default_rng(1).standard_normal((12, 8, 4)).astype(np.float32)
    expected = compute(small, x_small)
    inside = threading.Event()
    stop = threading.Event()
    x_long = np.ones((60, 64, 16), np.float32)

    def call_again_and_again():
        while not stop.is_set():
            inside.set()
            gru(x_long, n_threads=2)

    worker = threading.Thread(target=call_again_and_again)
    worker.start()
    try:
        assert inside.wait(SECONDS)
        for _ in range(5):
            assert in_child(lambda: compute(small, x_small)) == expected
    finally:
        stop.set()
        worker.join(SECONDS)
    assert compute(small, x_small) == expected


def test_fork_inside_the_lock_of_the_blas_limit(model):
    """Forked between a large call's lock and unlock, the child still makes large calls."""
    gru, x = model
    expected = compute(gru, x)
    stop = threading.Event()
    other = GRU(16, 64, seed=2)

    def enter_and_leave():
        while not stop.is_set():
            with pygru.core.threads.single_threaded_blas(10**9):
                pass

    workers = [threading.Thread(target=enter_and_leave) for _ in range(3)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(10):
            assert in_child(lambda: compute(gru, x)) == expected
    finally:
        stop.set()
        for worker in workers:
            worker.join(SECONDS)
    other(x)
