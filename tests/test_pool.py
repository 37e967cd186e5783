"""The pool of large buffers: memory in use is not used again, and old contents do not matter.

These tests fail if a buffer is used again while it is still read, if two calls use it at once,
or if its old contents are taken for zeros.
"""

import copy
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest
from engines import ENGINES, use_engine
from patience import PATIENCE
from quick import quick_and_slow

from pygru import GRU
from pygru.core import _testing, memory
from pygru.core.memory import POOL, Pool

MEGABYTE = 2**20


@pytest.fixture(autouse=True)
def empty_pool():
    gc.collect()  # tapes of other tests would come back in the middle of one
    POOL.clear()
    yield
    POOL.clear()


def poison():
    """Fill what the pool would hand out again with NaN; return how many buffers that are."""
    free = []
    for size in sorted({each.buffer.nbytes for each in POOL._remembered}):
        while (remembered := POOL._free_buffer(size)) is not None:
            remembered.buffer.fill(0xFF)
            free.append(remembered)
    POOL._remembered += free
    return len(free)


# ---- results ---------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kept", ["gates", "outputs"])
@pytest.mark.parametrize("bidirectional", quick_and_slow([True], [False]))
def test_old_contents_of_buffers_do_not_matter(bidirectional, kept, engine, monkeypatch):
    use_engine(monkeypatch, engine)
    gru = GRU(9, 40, 2, bidirectional=bidirectional, seed=0)
    x = np.random.default_rng(0).standard_normal((60, 50, 9)).astype(np.float32)
    lengths = np.random.default_rng(1).integers(0, 61, 50)

    def results():
        gru.zero_grad()
        inference = gru(x, lengths=lengths, n_threads=2)[0]
        output, h_n, tape = gru.forward(x, lengths=lengths, memory=kept, n_threads=2)
        poison()
        d_x, d_h0 = gru.backward(tape, np.cos(output), h_n)
        return inference, output, h_n, d_x, d_h0, gru.flat_grads.copy()

    expected = results()
    for _ in range(3):
        assert poison() >= 1  # otherwise nothing is tested here
        for found, right in zip(results(), expected, strict=True):
            np.testing.assert_array_equal(found, right)


def model():
    return GRU(16, 64, seed=0), np.ones((100, 64, 16), np.float32)


def test_buffers_are_used_again():
    gru, x = model()
    tape = gru.forward(x)[2]
    address = tape.memory.__array_interface__["data"][0]
    del tape
    assert gru.forward(x)[2].memory.__array_interface__["data"][0] == address


def held_by_finalizer(array):
    """A cycle of garbage whose finalizer brings the array back to life."""

    class Saver:
        def __init__(self):
            self.array, self.cycle = array, self

        def __del__(self):
            saved.append(self.array)

    saved = []
    Saver()
    gc.collect()
    return saved[0]


class Subclass(np.ndarray):
    pass


HOLDERS = {
    "the array": lambda array: array,
    "a part": lambda array: array[5:10],
    "a part of a part": lambda array: array[5:100][::2],
    "another type": lambda array: array.view(np.uint8),
    "a subclass": lambda array: array.view(Subclass)[5:].reshape(-1, 1),
    "a memoryview": memoryview,
    "a memoryview of a part": lambda array: memoryview(array[5:10]),
    "an array of a memoryview": lambda array: np.frombuffer(memoryview(array), np.uint8),
    "as_strided": lambda array: np.lib.stride_tricks.as_strided(array[3:], (4,)),
    "DLPack": np.from_dlpack,
    "its base": lambda array: array.base,
    "the array interface": lambda array: np.asarray(OnlyInterface(array)),
    "a finalizer": held_by_finalizer,
}


class OnlyInterface:
    def __init__(self, array):
        self.array = array
        self.__array_interface__ = array.__array_interface__


@pytest.mark.slow
@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)
def test_memory_of_a_tape_is_not_used_again_while_somebody_holds_it(hold):
    gru, x = model()
    tape = gru.forward(x)[2]
    held = hold(tape.memory)
    before = np.array(held)
    del tape
    again = gru.forward(2 * x)[2]
    assert not np.shares_memory(np.asarray(held), again.memory)
    np.testing.assert_array_equal(np.asarray(held), before)


TAPE_COPIES = {
    "copy": copy.copy,
    "by hand": lambda tape: copied_by_hand(tape),
    "a second reference": lambda tape: tape,
    "in a copied container": lambda tape: copy.copy([tape])[0],
}


def copied_by_hand(tape):
    other = type(tape).__new__(type(tape))
    other.__dict__.update(tape.__dict__)
    return other


# The attributes of a tape of gates are compiled, and no other code can set them.
COPIES = [
    pytest.param(make_copy, memory, id=f"{name}-{memory}")
    for name, make_copy in TAPE_COPIES.items()
    for memory in (["sqrt"] if name == "by hand" else ["gates", "sqrt"])
]


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 1], ids=["copy-dies", "original-dies"])
@pytest.mark.parametrize(("make_copy", "memory"), COPIES)
def test_a_copied_tape_gives_the_right_gradients_when_the_other_is_gone(
    make_copy, first, memory
):
    """The copy gave the buffer back when it died, while the original still used it."""
    gru, x = model()
    output, h_n, tape = gru.forward(x, memory=memory)
    expected = gru.backward(tape, output, h_n)[0]
    pair = [tape, make_copy(tape)]
    del tape
    del pair[first]
    gc.collect()
    for scale in (2, 3):
        gru.backward(gru.forward(scale * x, memory=memory)[2], output)
    poison()
    np.testing.assert_array_equal(gru.backward(pair[0], output, h_n)[0], expected)


@pytest.mark.parametrize("copier", [copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("memory", ["gates", "sqrt"])
def test_a_tape_is_neither_pickled_nor_copied_deeply(copier, memory):
    gru, x = model()
    output, h_n, tape = gru.forward(x, memory=memory)
    expected = gru.backward(tape, output, h_n)[0]
    for thing in (tape, [tape]):
        with pytest.raises(TypeError, match="a Tape can be neither pickled nor copied deeply"):
            copier(thing)
    poison()
    np.testing.assert_array_equal(gru.backward(tape, output, h_n)[0], expected)


def test_a_weak_reference_keeps_no_memory_and_frees_none():
    gru, x = model()
    output, h_n, tape = gru.forward(x)
    expected = gru.backward(tape, output, h_n)[0]
    reference = weakref.ref(tape)
    of_memory = weakref.ref(tape.memory)
    held = tape.memory
    poison()
    np.testing.assert_array_equal(gru.backward(tape, output, h_n)[0], expected)
    before = held.copy()
    del tape
    assert reference() is None and of_memory() is held
    poison()
    np.testing.assert_array_equal(held, before)
    free = poison()
    del held
    assert of_memory() is None
    assert poison() == free + 1


def test_a_workspace_is_free_after_a_call_that_failed():
    gru, x = model()

    def fail(*arguments, **arrays):
        raise KeyboardInterrupt

    _testing.watch_calls_with(fail)
    try:
        with pytest.raises(KeyboardInterrupt):
            gru.forward(x)
    finally:
        _testing.watch_calls_with(None)
    gc.collect()
    assert poison() == len(POOL._remembered) >= 1


def test_tapes_at_the_same_time_have_memory_of_their_own():
    gru, x = model()
    tapes = [gru.forward(scale * x)[2] for scale in (1, 2, 3)]
    for tape, other in ((0, 1), (0, 2), (1, 2)):
        assert not np.shares_memory(tapes[tape].memory, tapes[other].memory)


def test_tape_may_be_used_after_other_calls():
    gru, x = model()
    output, h_n, tape = gru.forward(x)
    expected = gru.backward(tape, output, h_n)[0]
    for _ in range(3):
        gru(2 * x)
        other = gru.forward(3 * x)[2]
        gru.backward(other, output)
        del other
        poison()
        np.testing.assert_array_equal(gru.backward(tape, output, h_n)[0], expected)


def test_calls_in_many_threads_have_memory_of_their_own():
    gru, x = model()
    xs = [x * scale for scale in (0.1, 0.2, 0.3, 0.4)]

    def run(index):
        output, h_n, tape = gru.forward(xs[index], n_threads=1)
        return output, h_n, gru(xs[index], n_threads=1)[0], tape.memory[:1000].copy()

    expected = [run(index) for index in range(4)]
    wrong = []

    def body(index):
        for _ in range(10):
            for found, right in zip(run(index), expected[index], strict=True):
                if not np.array_equal(found, right):
                    wrong.append(index)

    workers = [threading.Thread(target=body, args=(index,)) for index in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
    assert not wrong


# ---- the pool itself -------------------------------------------------------------------


def address(array):
    return array.__array_interface__["data"][0]


def test_small_buffers_are_not_remembered():
    pool = Pool(10 * MEGABYTE)
    pool.take(1000, np.float32, "a test")
    assert pool.nbytes == 0


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first():
    pool = Pool(5 * MEGABYTE)
    taken = [pool.take(megabytes * MEGABYTE, np.uint8, "a test") for megabytes in (1, 2, 3)]
    assert pool.nbytes == 5 * MEGABYTE
    newest = address(taken[-1])
    del taken
    assert pool.nbytes == 5 * MEGABYTE
    assert address(pool.take(3 * MEGABYTE, np.uint8, "a test")) == newest


def test_a_buffer_above_the_bound_makes_the_pool_forget_nothing():
    pool = Pool(5 * MEGABYTE)
    pool.take(MEGABYTE, np.uint8, "a test")
    large = pool.take(6 * MEGABYTE, np.uint8, "a test")
    assert (large.nbytes, pool.nbytes) == (6 * MEGABYTE, MEGABYTE)


def test_a_buffer_in_use_may_be_forgotten_and_stays_whole():
    pool = Pool(2 * MEGABYTE)
    first = pool.take(2 * MEGABYTE, np.uint8, "a test")
    first.fill(7)
    pool.take(2 * MEGABYTE, np.uint8, "a test").fill(1)
    pool.take(2 * MEGABYTE, np.uint8, "a test").fill(2)
    pool.clear()
    assert (first == 7).all()


def test_buffer_that_is_much_too_large_stays():
    pool = Pool(10 * MEGABYTE)
    pool.take(4 * MEGABYTE, np.uint8, "a test")
    assert pool.nbytes == 4 * MEGABYTE
    taken = pool.take(MEGABYTE + 4, np.uint8, "a test")
    assert taken.nbytes == MEGABYTE + 4
    assert pool.nbytes == 5 * MEGABYTE + 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_buffer_of_another_type_is_used_again_from_its_beginning(dtype):
    pool = Pool(10 * MEGABYTE)
    first = pool.take(MEGABYTE // 2, np.float64, "a test")
    before = address(first)
    del first
    count = 3 * MEGABYTE // np.dtype(dtype).itemsize
    again = pool.take(count, dtype, "a test")
    assert (again.dtype, again.shape) == (dtype, (count,))
    assert address(again) == before
    assert pool.nbytes == 4 * MEGABYTE


def test_kept_buffers_go_before_memory_runs_out(monkeypatch):
    pool = Pool(10 * MEGABYTE)
    pool.take(MEGABYTE, np.uint8, "a test")
    allocate = memory.allocate

    def refuse_while_something_is_kept(*arguments):
        if pool.nbytes:
            raise MemoryError("simulated")
        return allocate(*arguments)

    monkeypatch.setattr(memory, "allocate", refuse_while_something_is_kept)
    assert pool.take(4 * MEGABYTE, np.uint8, "a test").nbytes == 4 * MEGABYTE
