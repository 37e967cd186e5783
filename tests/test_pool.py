"""The pool of large buffers: memory in use is not used again, and old contents do not matter.

These tests fail if a buffer is given back while it is still read, if two calls use it at once,
or if its old contents are taken for zeros.
"""

import gc
import threading

import numpy as np
import pytest
from engines import ENGINES, use_engine

from pygru import GRU
from pygru.core import memory
from pygru.core.memory import POOL, Pool

MEGABYTE = 2**20


@pytest.fixture(autouse=True)
def empty_pool():
    gc.collect()  # tapes of other tests would come back in the middle of one
    POOL.clear()
    yield
    POOL.clear()


def poison():
    """Fill what the pool keeps with NaN; return how many buffers that are."""
    for buffer in POOL._kept:
        buffer.fill(0xFF)
    return len(POOL._kept)


# ---- results ---------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kept", ["gates", "outputs"])
@pytest.mark.parametrize("bidirectional", [False, True])
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


HOLDERS = {
    "the array": lambda array: array,
    "a part": lambda array: array[5:10],
    "a part of a part": lambda array: array[5:100][::2],
    "another type": lambda array: array.view(np.uint8),
    "a memoryview": memoryview,
}


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)
def test_memory_of_a_tape_is_not_used_again_while_somebody_holds_it(hold):
    gru, x = model()
    tape = gru.forward(x)[2]
    held = hold(tape.memory)
    before = np.array(held)
    del tape
    again = gru.forward(2 * x)[2]
    assert not np.shares_memory(np.asarray(held), again.memory)
    np.testing.assert_array_equal(held, before)


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
        worker.join(60)
    assert not wrong


# ---- the pool itself -------------------------------------------------------------------


def test_small_buffers_are_not_kept():
    pool = Pool(10 * MEGABYTE)
    pool.give(pool.take(1000, np.float32, "a test"))
    assert pool.nbytes == 0


def test_what_is_kept_is_bounded_and_the_oldest_goes_first():
    pool = Pool(5 * MEGABYTE)
    taken = [pool.take(megabytes * MEGABYTE, np.uint8, "a test") for megabytes in (1, 2, 3)]
    newest = taken[-1].__array_interface__["data"][0]
    while taken:
        pool.give(taken.pop(0))
    assert pool.nbytes == 5 * MEGABYTE
    assert pool.take(3 * MEGABYTE, np.uint8, "a test").__array_interface__["data"][0] == newest


def test_buffer_that_is_much_too_large_stays():
    pool = Pool(10 * MEGABYTE)
    pool.give(pool.take(4 * MEGABYTE, np.uint8, "a test"))
    taken = pool.take(MEGABYTE + 4, np.uint8, "a test")
    assert taken.nbytes == MEGABYTE + 4
    assert pool.nbytes == 4 * MEGABYTE


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_buffer_of_another_type_is_used_again_from_its_beginning(dtype):
    pool = Pool(10 * MEGABYTE)
    first = pool.take(MEGABYTE // 2, np.float64, "a test")
    address = first.__array_interface__["data"][0]
    pool.give(first)
    del first
    count = 3 * MEGABYTE // np.dtype(dtype).itemsize
    again = pool.take(count, dtype, "a test")
    assert (again.dtype, again.shape) == (dtype, (count,))
    assert again.__array_interface__["data"][0] == address
    assert pool.nbytes == 0


def test_kept_buffers_go_before_memory_runs_out(monkeypatch):
    pool = Pool(10 * MEGABYTE)
    pool.give(pool.take(MEGABYTE, np.uint8, "a test"))
    allocate = memory.allocate

    def refuse_while_something_is_kept(*arguments):
        if pool.nbytes:
            raise MemoryError("simulated")
        return allocate(*arguments)

    monkeypatch.setattr(memory, "allocate", refuse_while_something_is_kept)
    assert pool.take(4 * MEGABYTE, np.uint8, "a test").nbytes == 4 * MEGABYTE
