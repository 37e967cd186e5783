"""A call keeps nothing that it does not need: process memory and reference counts.

A buffer view that is not released keeps its array alive, and a plan that is not freed makes the
process grow. After 300 repetitions either exceeds the limit.
"""

import gc
import os
import pickle
import sys
import threading
import weakref

import numpy as np
import pytest
from quick import quick_and_slow

import pygru
from pygru import GRU
from pygru.core import _calls, _core

REPETITIONS = 300
MOST_GROWTH = 8 * 2**20
B = 32  # sequences


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def grown_by(call):
    """By how many bytes the process grows during 300 calls, after 30 calls to warm up."""
    if sys.platform != "linux":
        pytest.skip("needs /proc")
    for _ in range(30):
        call()
    gc.collect()
    before = resident_bytes()
    for _ in range(REPETITIONS):
        call()
    gc.collect()
    return resident_bytes() - before


@pytest.fixture(autouse=True)
def one_thread():
    """Use two threads where they matter; elsewhere they would only take time."""
    with pygru.num_threads(1):
        yield


@pytest.fixture(scope="module")
def gru():
    return GRU(16, 32, 2, bidirectional=True, dropout=0.1, seed=0)


@pytest.fixture(scope="module")
def x():
    """24 kB; its output takes 96 kB, so that 300 lost outputs exceed the limit."""
    return np.random.default_rng(0).standard_normal((12, B, 16)).astype(np.float32)


def test_inference_does_not_leak(gru, x):
    assert grown_by(lambda: gru(x)) < MOST_GROWTH


@pytest.mark.parametrize("n_threads", quick_and_slow([2], [1]))
@pytest.mark.parametrize("memory", ["gates", "outputs"])
def test_forward_and_backward_do_not_leak(gru, x, memory, n_threads):
    lengths = np.arange(B) % 13

    def call():
        output, h_n, tape = gru.forward(x, lengths=lengths, memory=memory, n_threads=n_threads)
        gru.backward(tape, output, h_n)

    assert grown_by(call) < MOST_GROWTH


@pytest.mark.slow
def test_tapes_that_are_never_used_do_not_leak(gru, x):
    assert grown_by(lambda: gru.forward(x)) < MOST_GROWTH


@pytest.mark.slow
def test_lists_of_sequences_do_not_leak(gru, x):
    sequences = [x[: 1 + i % 12, i] for i in range(B)]
    assert grown_by(lambda: gru(sequences)) < MOST_GROWTH


@pytest.mark.slow
def test_gates_do_not_leak(gru, x):
    assert grown_by(lambda: gru.gates(x)) < MOST_GROWTH


def test_steps_do_not_leak(x):
    gru = GRU(16, 256, seed=0)
    h = {batch: np.zeros((1, batch, 256), np.float32) for batch in (3, B)}

    def call():  # each change of the batch size makes new buffers
        for batch, state in h.items():
            gru.step(x[0][:batch], state)

    assert grown_by(call) < MOST_GROWTH


@pytest.mark.slow
def test_streams_do_not_leak(x):
    gru = GRU(16, 256, seed=0)
    assert grown_by(lambda: gru.stream(B)(x[0])) < MOST_GROWTH


def test_construction_does_not_leak():
    assert grown_by(lambda: GRU(32, 64, 2, seed=0)) < MOST_GROWTH


@pytest.mark.slow
def test_saving_and_loading_do_not_leak(gru, tmp_path):
    path = tmp_path / "model.safetensors"

    def call():
        pygru.save(gru, path)
        pygru.load(path)

    assert grown_by(call) < MOST_GROWTH


def test_files_that_are_refused_do_not_leak(gru, tmp_path):
    """The file ends too early, so that nearly everything has been read before the error."""
    path = tmp_path / "model.safetensors"
    pygru.save(gru, path)
    path.write_bytes(path.read_bytes()[:-8])

    def call():
        with pytest.raises(pygru.FormatError):
            pygru.load(path)

    assert grown_by(call) < MOST_GROWTH


def test_pickles_do_not_leak(gru):
    """Half of the copies are refused, after their weights have been unpacked."""

    def call():
        pickle.loads(pickle.dumps(gru))
        state = gru.__getstate__()
        # 300 of these exceed the limit, and some that malloc keeps for later do not.
        state["parameters"] = {**state["parameters"], "weight_hh_l0": np.ones((100, 100))}
        with pytest.raises(ValueError, match="weight_hh_l0"):
            GRU.__new__(GRU).__setstate__(state)

    assert grown_by(call) < MOST_GROWTH


@pytest.mark.slow
def test_construction_with_steps_does_not_leak(x):
    """The buffers of a step refer to the parameters, and these do not refer to the GRU."""

    def call():
        GRU(16, 64, seed=0).step(x[0], np.zeros((1, B, 64)))

    assert grown_by(call) < MOST_GROWTH


@pytest.mark.slow
def test_threads_that_end_do_not_leak_their_buffers(x):
    gru = GRU(16, 256, seed=0)
    h = np.zeros((1, B, 256), np.float32)

    def call():
        worker = threading.Thread(target=gru.step, args=(x[0], h))
        worker.start()
        worker.join()

    assert grown_by(call) < MOST_GROWTH


@pytest.mark.slow
def test_errors_do_not_leak(gru, x):
    other = GRU(16, 32, seed=0)
    tape = gru.forward(x)[2]
    big_h = np.zeros((4, B, 33), np.float32)
    calls = [
        lambda: gru(x[:, :, :5]),
        lambda: gru(x, big_h),
        lambda: gru(x, lengths=[99] * B),
        lambda: gru(x, out=np.empty((12, B, 63), np.float32)),
        lambda: gru(x, n_threads=0),
        lambda: gru(x.astype(complex)),
        lambda: gru([x[:, 0], "no"]),
        lambda: other.backward(tape),
        lambda: gru.backward(tape, d_output=x),
        lambda: gru.backward(tape, d_h_n=big_h),
        lambda: gru.step(x[0], big_h),
        lambda: gru.parameters.__setitem__("weight_ih_l0", np.empty((500, 500))),
        lambda: GRU(16, 0),
        lambda: GRU(2**22, 2**22),
        lambda: pygru.set_num_threads("2"),
    ]

    def call():
        for bad in calls:
            with pytest.raises((TypeError, ValueError, MemoryError)):
                bad()

    assert grown_by(call) < MOST_GROWTH


@pytest.mark.slow
def test_calls_stopped_by_a_failing_array_do_not_leak(gru, x):
    """If a check of the core raises after it borrowed arrays, all are given back."""
    runner = gru._runner
    plan, _ = runner.plan(48, B, None, _core.KEEP_NOTHING)

    def call():
        arrays = {
            "parameters": gru.flat_parameters,
            "packed": runner.packed_weights(),
            "x": np.tile(x, (4, 1, 1)),
            "h0": None,
            "y": np.empty((48, B, 63), np.float32),
            **dict.fromkeys(("h_n", "tape", "noise", "workspace")),
        }
        with pytest.raises(pygru.InternalError, match="expected shape"):
            _calls.forward(plan, runner.backend.blas, runner.backend.kernels, 1, True, **arrays)

    assert grown_by(call) < MOST_GROWTH


def counted(array):
    return sys.getrefcount(array)


def test_reference_counts_of_inputs_are_unchanged(gru, x):
    h0 = np.zeros((4, B, 32), np.float32)
    lengths = np.full(B, 12)
    d_output = np.ones((12, B, 64), np.float32)
    d_h_n = np.ones((4, B, 32), np.float32)
    out = np.empty((12, B, 64), np.float32)
    arrays = [x, h0, lengths, d_output, d_h_n, out, gru.flat_parameters, gru.flat_grads]
    gc.collect()  # other tests: one that failed keeps x in its traceback
    before = [counted(array) for array in arrays]
    for _ in range(20):
        gru(x, h0, lengths=lengths, out=out)
        tape = gru.forward(x, h0, lengths=lengths)[2]
        gru.backward(tape, d_output, d_h_n)
        with pytest.raises(ValueError, match="h0 must have"):
            gru(x, d_output)
    del tape
    gc.collect()
    assert [counted(array) for array in arrays] == before


def test_tape_holds_none_of_its_inputs(gru, x):
    mine = x.copy()
    h0 = np.zeros((4, B, 32), np.float32)
    before = counted(mine), counted(h0)
    tape = gru.forward(mine, h0)[2]
    assert (counted(mine), counted(h0)) == before
    assert tape.nbytes > 0


def test_reference_counts_of_steps_are_unchanged(x):
    gru = GRU(16, 32, seed=0)
    h = np.zeros((1, B, 32), np.float32)
    out = np.empty_like(h)
    x_t = x[0].copy()
    gru.step(x_t, h)
    stream = gru.stream(B)
    before = counted(x_t), counted(h), counted(out)
    for _ in range(20):
        gru.step(x_t, h, out=out)
        stream(x_t)
        stream.h = h
    assert (counted(x_t), counted(h), counted(out)) == before


def test_parameters_are_freed_with_their_gru(x):
    """Parameters are freed when the GRU, its step buffers and its streams are gone."""
    gru = GRU(16, 32, seed=0)
    gru.step(x[0], np.zeros((1, B, 32)))
    gru.stream(2)
    alive = weakref.ref(gru._parameters_owner)  # every array over the parameters refers to it
    view = gru.flat_parameters
    del gru
    gc.collect()
    assert alive() is not None
    del view
    assert alive() is None
