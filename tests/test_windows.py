"""pygru.data.windows against plain loops: every window, its target, and nothing beyond them."""

import numpy as np
import pytest

from pygru.data import windows


def by_loops(values, window, horizon=None, stride=1, gap=0):
    """All windows of one sequence, one after the other."""
    X, y, index = [], [], []
    last = window - 1
    while last + (gap + horizon if horizon else 0) < len(values):
        X.append(values[last - window + 1 : last + 1])
        if horizon:
            y.append(values[last + gap + 1 : last + gap + 1 + horizon])
        index.append(last)
        last += stride
    return np.array(X), np.array(y), np.array(index)


@pytest.mark.parametrize("shape", [(23,), (23, 3)])
@pytest.mark.parametrize("window", [1, 4, 23])
@pytest.mark.parametrize(("horizon", "gap"), [(None, 0), (1, 0), (3, 0), (2, 2)])
@pytest.mark.parametrize("stride", [1, 2, 5, 30])
def test_windows_are_those_of_a_loop(shape, window, horizon, gap, stride):
    values = np.random.default_rng(0).normal(size=shape)
    X, y, index = by_loops(values, window, horizon, stride, gap)
    if not len(X):
        with pytest.raises(ValueError, match="values has 23 steps, and one window needs"):
            windows(values, window, horizon=horizon, stride=stride, gap=gap)
        return
    found = windows(values, window, horizon=horizon, stride=stride, gap=gap, return_index=True)
    np.testing.assert_array_equal(found[0], X)
    np.testing.assert_array_equal(found[-1], index)
    if horizon:
        np.testing.assert_array_equal(found[1], y)


def test_one_array_is_not_copied_and_cannot_be_changed_by_mistake():
    values = np.arange(1000.0)
    X, y = windows(values, 100, horizon=10)
    assert np.shares_memory(X, values) and np.shares_memory(y, values)
    for view in (X, y):
        with pytest.raises(ValueError, match="read-only"):
            view[0, 0] = 1
    X, y = windows(values.reshape(500, 2), 100, horizon=10, target=[1])
    assert np.shares_memory(y, values) and y.shape == (391, 10, 1)


def test_a_file_is_read_as_it_is(tmp_path):
    np.save(tmp_path / "long.npy", np.arange(100.0))
    mapped = np.load(tmp_path / "long.npy", mmap_mode="r")
    assert np.shares_memory(windows(mapped, 10), mapped)


def test_no_window_reaches_from_one_sequence_into_the_next():
    first, second = np.arange(0, 6), np.arange(100, 105)
    X, y, index = windows([first, second], 3, horizon=2, return_index=True)
    assert X.tolist() == [[0, 1, 2], [1, 2, 3], [100, 101, 102]]
    assert y.tolist() == [[3, 4], [4, 5], [103, 104]]
    assert index.tolist() == [[0, 2], [0, 3], [1, 2]]


def test_a_sequence_that_is_too_short_has_no_window():
    X, index = windows([[], [1], [1, 2, 3], [[4]][0]], 2, return_index=True)
    assert X.tolist() == [[1, 2], [2, 3]] and index.tolist() == [[2, 1], [2, 2]]


def test_changing_the_future_changes_no_window_before_it():
    values = np.random.default_rng(1).normal(size=60)
    X, y, last = windows(values, 8, horizon=3, return_index=True)
    changed = values.copy()
    changed[40:] = np.nan
    X2, y2, _ = windows(changed, 8, horizon=3, return_index=True)
    np.testing.assert_array_equal(X[last < 40], X2[last < 40])
    np.testing.assert_array_equal(y[last + 3 < 40], y2[last + 3 < 40])
    assert np.isnan(y2[last + 3 >= 40]).any(axis=1).all()


def test_the_target_can_be_some_features():
    values = np.arange(12).reshape(6, 2)
    assert windows(values, 2, horizon=1, target=1)[1].tolist() == [[5], [7], [9], [11]]
    assert windows(values, 2, horizon=1, target=[1, 0])[1][0].tolist() == [[5, 4]]
    for target in ([0, 1], None):
        assert windows(values, 2, horizon=1, target=target)[1][0].tolist() == [[4, 5]]


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64, bool])
def test_the_dtype_stays(dtype):
    X, y = windows(np.zeros((9, 2), dtype), 2, horizon=1)
    assert X.dtype == y.dtype == dtype
    X = windows([np.zeros(4, dtype), np.zeros(5, dtype)], 2)
    assert X.dtype == dtype


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (([1.0, 2.0], 0), {}, ValueError, "window must be >= 1, got 0"),
        (([1.0, 2.0], 1.0), {}, TypeError, "window must be an int, got float"),
        (([1.0, 2.0], 1), {"horizon": 0}, ValueError, "horizon must be >= 1"),
        (([1.0, 2.0], 1), {"stride": 0}, ValueError, "stride must be >= 1"),
        (([1.0, 2.0], 1), {"gap": 1}, TypeError, "gap needs horizon="),
        (([1.0, 2.0], 1), {"target": 0}, TypeError, "target needs horizon="),
        (([1.0, 2.0], 1), {"horizon": 1, "target": 0}, ValueError, "has one"),
        ((np.ones((4, 2)), 1), {"horizon": 1, "target": 2}, ValueError, "below 2"),
        ((np.ones((4, 2)), 1), {"horizon": 1, "target": []}, ValueError, "at least one"),
        ((np.ones((4, 2)), 1), {"horizon": 1, "target": "a"}, TypeError, "must be an int"),
        ((np.ones((4, 2, 2)), 1), {}, ValueError, r"\(T,\) or \(T, F\)"),
        (([], 1), {}, ValueError, "values has 0 steps"),
        (([[1.0], [2.0]], 2), {}, ValueError, "the longest sequence of values has 1 steps"),
        (([np.ones((3, 2)), np.ones((3, 1))], 2), {}, ValueError, r"values\[1\] must have"),
        ((["a", "b"], 1), {}, TypeError, "must be numeric"),
        ((None, 1), {}, TypeError, "NoneType"),
        (([1.0, 2.0], 2), {"horizon": 2**62}, ValueError, "has 2 steps"),
        (([1.0, 2.0], 1), {"return_index": 1}, TypeError, "must be a bool"),
    ],
)
def test_what_it_refuses(arguments, options, error, message):
    with pytest.raises(error, match=message):
        windows(*arguments, **options)
