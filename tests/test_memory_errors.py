"""Running out of memory: every buffer of every call is refused once.

The k-th allocation fails, for k = 1, 2, ... until the call succeeds. Each failure must be a
MemoryError that says how many bytes were wanted and for what. Parameters, gradients and the
random generator must be as before, and the object must work afterwards.
"""

import hashlib
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from patience import PATIENCE

from pygru import GRU
from pygru.core import _testing, backend, memory

MESSAGE = r"pygru: cannot allocate \d+ bytes for \w+"


class FailingNumpy:
    """A NumPy for ``pygru.core.memory`` whose k-th ``empty`` raises MemoryError."""

    def __init__(self):
        self.countdown = 0  # 0: nothing fails

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, shape, dtype):
        if self.countdown > 0:
            self.countdown -= 1
            if self.countdown == 0:
                raise MemoryError("simulated")
        return np.empty(shape, dtype)


@pytest.fixture
def numpy(monkeypatch):
    failing = FailingNumpy()
    monkeypatch.setattr(memory, "np", failing)
    _testing.make_arrays_with(failing.empty)
    yield failing
    _testing.make_arrays_with(None)


@pytest.fixture
def gru():
    gru = GRU(3, 4, 2, dropout=0.5, seed=0)
    gru.flat_grads[...] = np.arange(gru.flat_grads.size)
    return gru


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((6, 2, 3)).astype(np.float32)


def state_hash(gru):
    digest = hashlib.sha256(gru.flat_parameters.tobytes())
    digest.update(gru.flat_grads.tobytes())
    digest.update(repr(gru.generator.bit_generator.state).encode())
    return digest.hexdigest()


def fail_every_allocation(numpy, call, check=lambda: None):
    """Make each allocation of ``call`` fail once; return how many it makes."""
    for k in range(1, 100):
        numpy.countdown = k
        try:
            call()
        except MemoryError as error:
            assert str(error).startswith("pygru: cannot allocate "), str(error)
            assert " bytes for " in str(error)
            numpy.countdown = 0
            check()
        else:
            numpy.countdown = 0
            return k - 1
    return pytest.fail("the call never succeeded")


def unchanged(gru):
    """A check that the state of ``gru`` is what it is now."""
    before = state_hash(gru)

    def check():
        assert state_hash(gru) == before

    return check


def test_construction(numpy):
    assert fail_every_allocation(numpy, lambda: GRU(3, 4, seed=0)) == 2


def test_inference(numpy, gru, x):
    expected = gru(x)
    assert fail_every_allocation(numpy, lambda: gru(x), unchanged(gru)) >= 3
    np.testing.assert_array_equal(gru(x)[0], expected[0])


def test_inference_into_an_overlapping_array(numpy):
    gru = GRU(4, 4, seed=0)
    x = np.ones((5, 2, 4), np.float32)
    kept = x.copy()

    def nothing_changed():
        np.testing.assert_array_equal(x, kept)

    assert fail_every_allocation(numpy, lambda: gru(x, out=x), nothing_changed) >= 3
    np.testing.assert_array_equal(x, gru(kept)[0])


@pytest.mark.parametrize("kept", ["gates", "outputs", "sqrt"])
@pytest.mark.parametrize("training", [False, True])
def test_forward(numpy, gru, x, kept, training):
    def call():
        return gru.forward(x, memory=kept, training=training)

    for _ in range(2):  # the first time also makes what a GRU keeps between calls
        assert fail_every_allocation(numpy, call, unchanged(gru)) >= 4
    assert call()[0].shape == (6, 2, 4)


def test_dropout_after_a_failure_is_as_if_there_had_been_none(numpy, x):
    expected = GRU(3, 4, 2, dropout=0.5, seed=0).forward(x)[0]
    gru = GRU(3, 4, 2, dropout=0.5, seed=0)
    outputs = []
    fail_every_allocation(numpy, lambda: outputs.append(gru.forward(x)[0]))
    np.testing.assert_array_equal(outputs[0], expected)


@pytest.mark.parametrize("kept", ["gates", "sqrt"])
def test_a_list_of_sequences(numpy, x, kept):
    """The views that a list of results needs are made before anything changes."""
    gru = GRU(3, 4, 2, dropout=0.5, zoneout=0.5, recurrent_dropout=0.5, seed=0)
    sequences = [x[:, 0], x[:2, 1]]
    tapes = []

    def call():
        tapes.append(gru.forward(sequences, memory=kept))

    assert fail_every_allocation(numpy, call, unchanged(gru)) >= 4
    output, h_n, tape = tapes[0]

    def back():
        gru.backward(tape, output, h_n)

    assert fail_every_allocation(numpy, back, unchanged(gru)) >= 3


@pytest.mark.parametrize("share", [False, True])
def test_replace(numpy, gru, share):
    made = []

    def call():
        made.append(gru.replace(zoneout=0.5, share_weights=share))

    assert fail_every_allocation(numpy, call, unchanged(gru)) == (0 if share else 2)
    np.testing.assert_array_equal(made[0].flat_parameters, gru.flat_parameters)


@pytest.mark.parametrize("kept", ["gates", "outputs", "sqrt"])
@pytest.mark.parametrize("learn_h0", [False, True])
def test_backward(numpy, x, kept, learn_h0):
    gru = GRU(3, 4, 2, dropout=0.5, zoneout=0.5, learn_h0=learn_h0, seed=0)
    output, h_n, tape = gru.forward(x, memory=kept)
    gru.zero_grad()
    expected = gru.backward(tape, output, h_n)
    grads = gru.flat_grads.copy()
    gru.zero_grad()
    results = []

    def call():
        results.append(gru.backward(tape, output, h_n))

    assert fail_every_allocation(numpy, call, unchanged(gru)) >= 3
    np.testing.assert_array_equal(results[0][0], expected[0])
    np.testing.assert_array_equal(results[0][1], expected[1])
    np.testing.assert_array_equal(gru.flat_grads, grads)  # added once


def test_gates(numpy, gru, x):
    gru.gates(x)
    assert fail_every_allocation(numpy, lambda: gru.gates(x), unchanged(gru)) >= 4


def test_step(numpy, gru):
    h = np.zeros((2, 2, 4), np.float32)
    expected = GRU(3, 4, 2, seed=0).step(np.ones((2, 3)), h)
    results = []

    def call():
        results.append(gru.step(np.ones((2, 3)), h))

    assert fail_every_allocation(numpy, call, unchanged(gru)) >= 1
    np.testing.assert_array_equal(results[0], expected)


def test_step_of_another_batch_size(numpy, gru):
    """The old buffers remain in use if those of another size cannot be made."""
    one, two = np.zeros((2, 4), np.float32), np.zeros((2, 5, 4), np.float32)
    expected = gru.step(np.ones(3), one)

    def still_works():
        np.testing.assert_array_equal(gru.step(np.ones(3), one), expected)

    calls = fail_every_allocation(numpy, lambda: gru.step(np.ones((5, 3)), two), still_works)
    assert calls >= 1
    np.testing.assert_array_equal(gru.step(np.ones((5, 3)), two)[:, 3], expected)


def test_stream(numpy, gru):
    assert fail_every_allocation(numpy, lambda: gru.stream(3), unchanged(gru)) >= 1
    stream = gru.stream(3)
    numpy.countdown = 1
    stream(np.ones((3, 3)))  # a step of a stream allocates nothing
    assert numpy.countdown == 1


def test_messages_name_the_purposes(numpy, gru, x):
    purposes = set()

    def call():
        try:
            gru.forward(x)
        except MemoryError as error:
            assert re.fullmatch(MESSAGE + ".*", str(error))
            purposes.add(str(error).split(" bytes for ")[1])
            raise

    # The first time the plan and the packed weights are made. The allocations after them are
    # refused in the second round.
    for _ in range(2):
        fail_every_allocation(numpy, call)
    wanted = {"the output", "h_n", "the tape of 6 steps", "the workspace of forward"}
    assert wanted | {"the dropout mask"} <= purposes
    assert ("the packed weights" in purposes) == backend.current().is_simd


# ---- memory that really is not there ---------------------------------------------------


def test_more_steps_than_memory_can_hold():
    """The plan allocates in the compiled module; its error has the same words."""
    gru = GRU(1, 1, seed=0)
    x = np.broadcast_to(np.zeros((1, 1, 1), np.float32), (2**46, 1, 1))
    before = state_hash(gru)
    with pytest.raises(MemoryError, match=MESSAGE):
        gru(x)
    assert state_hash(gru) == before


def test_stream_of_more_rows_than_memory_can_hold():
    gru = GRU(1, 1, seed=0)
    with pytest.raises(MemoryError, match=MESSAGE):
        gru.stream(batch=2**46)


def test_limited_address_space_is_a_clean_error(tmp_path):
    pytest.importorskip("resource")
    if sys.platform != "linux":
        pytest.skip("needs /proc")
    code = """
import re, resource
import numpy as np
from pygru import GRU

gru = GRU(16, 64, seed=0)
small = np.ones((20, 64, 16), np.float32)
expected, _, tape = gru.forward(small, n_threads=1)
gru.backward(tape, expected)
grads, weights = gru.flat_grads.copy(), gru.flat_parameters.copy()
large = np.broadcast_to(np.float32(1), (30_000, 64, 16))  # the output takes 491 MB
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
resource.setrlimit(resource.RLIMIT_AS, (used + 200 * 2**20, hard))
for call in (gru, gru.forward):
    try:
        call(large, n_threads=1)
    except MemoryError as error:
        assert re.fullmatch(r"pygru: cannot allocate [0-9]+ bytes for .+", str(error)), error
    else:
        raise SystemExit("no error")
assert np.array_equal(gru.flat_grads, grads) and np.array_equal(gru.flat_parameters, weights)
assert np.array_equal(gru(small, n_threads=1)[0], expected)
print("clean")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "clean\n"


def test_files_in_a_limited_address_space(tmp_path):
    """The library that writes and reads them would end the process."""
    pytest.importorskip("resource")
    if sys.platform != "linux":
        pytest.skip("needs /proc")
    code = """
import resource
import pygru

gru, path = pygru.GRU(64, 256, seed=0), "model.safetensors"
pygru.load(pygru.save(gru, path) or path)
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
for call in (lambda: pygru.save(gru, path), lambda: pygru.load(path)):
    for quarter in range(200):  # of a megabyte
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + quarter * 2**18, hard))
        try:
            call()
            break
        except MemoryError:
            pass
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    print(quarter > 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},  # memory that is freed is gone
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True\nTrue\n"
