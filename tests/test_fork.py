"""Fork after a parallel region: the child must finish, serially, with the parent's bits.

The OpenMP runtime does not survive a fork. Without the core's guard every test here hangs until
its alarm kills the child.
"""

import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import traceback

import numpy as np
import pytest
from patience import PATIENCE

import pygru
from pygru import GRU
from pygru.core.threads import single_threaded_blas

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    # Python 3.12 and newer warn about forks while threads run, which is what we test.
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


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
            signal.alarm(PATIENCE)
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
    assert compute(*model) == expected  # the parent still works, with several threads


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


def test_child_leaves_the_limit_of_blas_that_its_parent_entered(model):
    expected = compute(*model)

    def leave_and_compute():
        limit.__exit__(None, None, None)
        results = compute(*model)
        with limit, limit:
            return results + compute(*model)

    limit = single_threaded_blas()
    with limit:
        assert in_child(leave_and_compute) == expected * 2
    assert compute(*model) == expected


def test_child_reports_one_thread(model):
    compute(*model)
    assert in_child(lambda: str(pygru.get_num_threads()).encode()) == b"1"
    assert pygru.get_num_threads() >= 1


def test_child_of_a_parent_that_never_ran_a_team(tmp_path):
    """The first call of pygru happens in the child, which may then use threads."""
    code = f"""
import os, signal, numpy as np, pygru
gru = pygru.GRU(16, 64, seed=0)
x = np.ones((20, 64, 16), np.float32)
child = os.fork()
signal.alarm({PATIENCE})
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
        timeout=2 * PATIENCE,
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
        results = pool.map_async(pool_task, range(4), chunksize=1).get(timeout=PATIENCE)
    assert results == [expected] * 4


WHILE_BUSY = """
import hashlib, os, signal, threading, numpy as np
from pygru import GRU
from pygru.core import threads

big, x_big = GRU(16, 64, 2, bidirectional=True, seed=0), np.ones((60, 64, 16), np.float32)
small, x_small = GRU(4, 16, seed=1), np.ones((12, 8, 4), np.float32)

def compute(gru, x):
    gru.zero_grad()
    output, h_n, tape = gru.forward(x, n_threads=2)
    d_x, d_h0 = gru.backward(tape, np.cos(output), h_n)
    parts = (output, h_n, d_x, d_h0, gru.flat_grads)
    return b"".join(part.tobytes() for part in parts)

def call_big():
    big(x_big, n_threads=2)

def enter_and_leave():
    with threads.single_threaded_blas(10**9):
        pass

busy, count, model, x = {arguments}
expected = compute(model, x)
call_big()
stop, turns = threading.Event(), [0]

def again_and_again():
    while not stop.is_set():
        busy()
        turns[0] += 1

workers = [threading.Thread(target=again_and_again, daemon=True) for _ in range(count)]
for worker in workers:
    worker.start()
for _ in range(10):
    before = turns[0]
    while turns[0] == before:  # the parent's threads must go on after each fork
        pass
    child = os.fork()
    if child == 0:
        signal.alarm({patience})
        os._exit(compute(model, x) != expected)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, f"the child hung, crashed or gave other bits: {{status}}"
stop.set()
for worker in workers:
    worker.join()
assert compute(model, x) == expected
"""


def run_busy(tmp_path, arguments):
    """Fork ten times while other threads are busy; in another process, as it may hang."""
    code = WHILE_BUSY.format(arguments=arguments, patience=PATIENCE)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr


def test_fork_while_another_thread_is_inside_a_call(tmp_path):
    """Child and parent must both continue.

    The child makes small products only: OpenBLAS multiplies them without taking locks of its
    own, which pygru does not control.
    """
    run_busy(tmp_path, "call_big, 1, small, x_small")


@pytest.mark.slow
def test_fork_while_other_threads_lower_the_limit_of_blas(tmp_path):
    """A child that is forked while other threads are inside the block can enter it too."""
    run_busy(tmp_path, "enter_and_leave, 3, big, x_big[:10]")
