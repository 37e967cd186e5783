"""The model that predicts times on many threads, against cases that can be counted by hand."""

import runpy
from pathlib import Path

import pytest

MODEL = runpy.run_path(Path(__file__).parent.parent / "benchmarks" / "scaling_model.py")
BARRIER, WAKE, Shape = MODEL["BARRIER"], MODEL["WAKE"], MODEL["Shape"]
makespan, forward, backward = MODEL["makespan"], MODEL["forward"], MODEL["backward"]


@pytest.mark.parametrize(
    ("tasks", "threads", "expected"),
    [
        ([1, 1, 1, 1], 2, 2),
        ([1, 1, 1], 2, 2),
        ([3, 3, 2, 2, 2], 2, 7),
        ([2, 2, 2, 3, 3], 2, 7),
        ([1] * 16, 12, 2),
        ([1] * 32, 12, 3),
        ([5], 4, 5),
    ],
)
def test_threads_take_tasks_in_their_order(tasks, threads, expected):
    assert makespan(tasks, threads) == expected


def test_equal_chunks_on_as_many_threads():
    shape = Shape(256, 100, 512, 512, 4, 16)
    assert shape.chunks == [16] * 16
    assert forward(shape, 1.6, 1) == 1.6
    assert forward(shape, 1.6, 16) == pytest.approx(0.1 + WAKE * 15 / 16)
    assert forward(shape, 1.6, 12) == pytest.approx(0.2 + WAKE * 11 / 12)


def test_one_row_meets_after_every_step():
    shape = Shape(1, 100, 512, 512, 4, 1)
    expected = 0.5 + 100 * BARRIER + WAKE / 2
    assert shape.splits
    assert forward(shape, 1.0, 2) == pytest.approx(expected)


def test_backward_of_one_row_shares_only_the_gradients_of_weights():
    """Of four parts of the time, one is the recurrence, one d_x, and two are shared."""
    shape = Shape(1, 100, 512, 512, 4, 1)
    expected = 0.1 + 1.0 + 1.5 + WAKE / 2 + 2 * BARRIER  # 1 + 0.5 beside 3 times 0.5
    assert backward(shape, 4.1, 2, serial=0.1) == pytest.approx(expected)


def test_the_last_chunk_has_the_rest():
    assert Shape(31, 1, 8, 8, 4, 8).chunks == [8, 8, 8, 7]
    assert Shape(32, 1, 8, 8, 4, 8).chunks == [8] * 4
