"""Windows of a forecaster against a version that makes them one number at a time."""

import itertools

import numpy as np
import pytest
import slow_forecasts as slow

from pygru.forecasting.filling import fill_forward, fill_seasonal, last_observed
from pygru.forecasting.panel import read_panel
from pygru.forecasting.scaling import Affine, Spread
from pygru.forecasting.stack import Origins, Stack, joined
from pygru.forecasting.task import Task, default_window
from pygru.forecasting.windows import Scaling, Windows, measure, naive_with_drift, relative


def holey(n, seed, share=0.3):
    """A random walk with holes, of which some are long and one is at the beginning."""
    rng = np.random.default_rng(seed)
    values = np.cumsum(rng.standard_normal(n)) + 10 * np.sin(np.arange(n))
    values[rng.random(n) < share] = np.nan
    values[: seed % 5] = np.nan
    values[n // 3 : n // 3 + 8] = np.nan
    return values


def none(k=0):
    return Affine(np.zeros(k), np.ones(k))


def stack_of(columns, season, window, horizon):
    """A stack of series that are each a list of columns."""
    series = []
    for each in columns:
        series.extend(read_panel(np.column_stack(each)).series)
    return Stack(series, Task(horizon, season, window))


TASKS = [(None, 6, 3), (None, 1, 1), (5, 10, 4), (5, 7, 12), (3, 20, 3), (2, 2, 9)]


@pytest.mark.parametrize(("season", "window", "horizon"), TASKS)
def test_fill_against_the_definition(season, window, horizon):
    for seed in range(6):
        values = holey(50, seed)
        filled = (
            fill_seasonal(values[:, np.newaxis], season)
            if season
            else fill_forward(values[:, np.newaxis])
        )
        np.testing.assert_allclose(filled[:, 0], slow.filled(values.tolist(), season))


def test_fill_by_hand():
    nan = np.nan
    values = np.array([[nan, 1, nan, nan, 4, nan]]).T
    assert last_observed(values)[:, 0].tolist() == [-1, 1, 1, 1, 4, 4]
    np.testing.assert_array_equal(fill_forward(values)[:, 0], [nan, 1, 1, 1, 4, 4])
    # Seasons of 3: the second is 10 above the first, and its missing end goes on like that.
    values = np.array([[1.0, 2, 3, 11, nan, nan, nan, 22]]).T
    filled = fill_seasonal(values, 3)[:, 0]
    np.testing.assert_array_equal(filled, [1, 2, 3, 11, 12, 13, 21, 22])


@pytest.mark.parametrize(("season", "window", "horizon"), TASKS)
def test_windows_against_the_definition(season, window, horizon):
    """Two series of two targets, at every origin, the first ones and the last ones included."""
    columns = [[holey(40, 1), holey(40, 2)], [holey(25, 3), holey(25, 4)]]
    stack = stack_of(columns, season, window, horizon)
    origins = joined(stack.at(i, np.arange(len(each[0]))) for i, each in enumerate(columns))
    read, mask = relative(stack, origins)
    errors = stack.truth(origins) - naive_with_drift(stack, origins)
    for target in (0, 1):
        parts = [
            slow.windows(each[target], season, window, horizon, range(len(each[target])))
            for each in columns
        ]
        inputs = np.concatenate([part[0] for part in parts])
        known = np.where(np.isnan(read[..., target]), 0, read[..., target])
        np.testing.assert_allclose(known, inputs[..., 0], atol=1e-12)
        np.testing.assert_array_equal(mask[..., target], inputs[..., 1] > 0)
        expected = np.concatenate([part[1] for part in parts])
        np.testing.assert_allclose(errors[..., target], expected, atol=1e-12)


def test_inputs_are_scaled_and_laid_out_as_described():
    n, window, horizon = 30, 5, 3
    rng = np.random.default_rng(0)
    table = rng.standard_normal((n, 2))
    past, future = rng.standard_normal((n, 1)), rng.standard_normal((n + horizon, 2))
    table[7, 1] = past[9, 0] = future[11, 1] = np.nan
    (series,) = read_panel(table).series
    series.__dict__.update(past=past, future=future, static=np.array([4.0]))
    stack = Stack([series], Task(horizon, None, window))
    scaling = Scaling(
        (Spread(np.array([2.0, 0.0]), np.array([3.0, 1.0])),),
        Affine(np.array([1.0]), np.array([10.0])),
        none(2),
        Affine(np.array([1.0]), np.array([6.0])),
    )
    windows = Windows(stack, scaling)
    origin = 12
    X = windows.inputs(stack.at(0, np.array([origin])))[0]
    assert X.shape == (window + horizon, windows.features) == (8, 4 + 2 + 4 + 1)
    steps = np.arange(origin + 1 - window, origin + 1)
    first = (table[steps, 0] - table[origin, 0]) / 2
    np.testing.assert_allclose(X[:window, 0], first, rtol=1e-6)
    assert not X[:window, 1].any()  # its spread is 0
    np.testing.assert_array_equal(X[:window, 2:4], ~np.isnan(table[steps]))
    scaled = np.nan_to_num((past[steps, 0] - 1) / 10)
    np.testing.assert_allclose(X[:window, 4], scaled, rtol=1e-6)
    np.testing.assert_array_equal(X[:window, 5], ~np.isnan(past[steps, 0]))
    ahead = np.arange(origin + 1 - window, origin + 1 + horizon)
    np.testing.assert_allclose(X[:, 6:8], np.nan_to_num(future[ahead]), rtol=1e-6)
    np.testing.assert_array_equal(X[:, 8:10], ~np.isnan(future[ahead]))
    np.testing.assert_array_equal(X[:, 10], np.full(8, np.float32(0.5)))
    # At the steps of the forecast neither targets nor past covariates are given.
    assert not X[window:, :6].any()
    y = windows.targets(stack.at(0, np.array([origin])))[0]
    expected = (table[origin + 1 : origin + 4, 0] - table[origin, 0]) / 3
    np.testing.assert_allclose(y[:, 0, 0], expected, rtol=1e-6)
    assert y[:, 0, 1].all()
    # A target that is missing does not count, nor does one without a scale.
    table[origin + 2, 0] = np.nan
    stack = Stack([*read_panel(table).series], Task(horizon, None, window))
    scaling = Scaling((Spread(np.ones(2), np.array([3.0, 0.0])),), none(), none(), none())
    y = Windows(stack, scaling).targets(stack.at(0, np.array([origin])))[0]
    np.testing.assert_array_equal(y[..., 1], [[1, 0], [0, 0], [1, 0]])
    assert y[1, 0, 0] == 0


def test_a_spread_that_is_only_rounding_is_none():
    rng = np.random.default_rng(0)
    for level in (1e-5, 0.3, 1e12):
        wobbling = np.where(rng.random(80) < 0.5, level, np.nextafter(level, np.inf))
        for season in (None, 4):
            stack = stack_of([[wobbling]], season, 8, 3)
            spread = measure(stack, 0, stack.origins(0, 20, 80))
            assert (spread.read.item(), spread.error.item()) == (0, 0)
        real = level + level * 1e-9 * rng.standard_normal(80)
        stack = stack_of([[real]], None, 8, 3)
        spread = measure(stack, 0, stack.origins(0, 20, 80))
        assert spread.error.item() > 0.1 * level * 1e-9


def test_the_spread_is_the_error_of_the_naive_forecast():
    values = holey(60, 3)
    stack = stack_of([[values]], 5, 8, 4)
    origins = range(20, 56)
    spread = measure(stack, 0, stack.at(0, np.array(origins)))
    inputs, errors = slow.windows(values, 5, 8, 4, origins)
    observed = inputs[..., 1] > 0
    assert spread.read.item() == pytest.approx(np.sqrt(np.mean(inputs[observed][:, 0] ** 2)))
    known = errors[~np.isnan(errors)]
    assert spread.error.item() == pytest.approx(np.sqrt(np.mean(known**2)))


def test_nothing_in_a_window_depends_on_what_comes_after_its_origin():
    n, horizon = 40, 4
    rng = np.random.default_rng(0)
    for season, window in itertools.product((None, 5), (3, 12)):
        table = np.column_stack([holey(n, 7), holey(n, 8)])
        past = rng.standard_normal((n, 1))
        for origin in (6, 20, n - 1):
            results = []
            for change in (False, True):
                y, p = table.copy(), past.copy()
                if change:
                    y[origin + 1 :] = rng.standard_normal(y[origin + 1 :].shape) * 1e6
                    p[origin + 1 :] = np.nan
                (series,) = read_panel(y).series
                series.__dict__.update(past=p)
                stack = Stack([series], Task(horizon, season, window))
                scaling = Scaling((Spread(np.ones(2), np.ones(2)),), none(1), none(), none())
                windows = Windows(stack, scaling)
                at = stack.at(0, np.array([origin]))
                results.append(
                    (windows.inputs(at), naive_with_drift(stack, at), stack.last(at))
                )
            for one, other in zip(*results, strict=True):
                assert one.tobytes() == other.tobytes()


def test_origins_lie_within_their_part():
    stack = stack_of([[np.arange(20.0)]], None, 4, 3)
    assert stack.steps_of(stack.origins(0, 10, 20)).tolist() == list(range(9, 17))
    assert stack.steps_of(stack.origins(0, 0, 20, 5)).tolist() == [0, 5, 10, 15]
    assert len(stack.origins(0, 18, 20)) == 0
    truth = stack.truth(stack.origins(0, 10, 20))
    assert (truth.min(), truth.max()) == (10, 19)
    both = joined([stack.at(0, np.array([1])), Origins(np.zeros(0, int), np.zeros(0, int))])
    assert len(both) == 1


def test_default_window():
    assert [default_window(4, None), default_window(50, None), default_window(4, 12)] == [
        32,
        100,
        24,
    ]
