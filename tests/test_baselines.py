"""The simple forecasts: by hand, one number at a time, and least squares by SciPy."""

import numpy as np
import pytest
import scipy.linalg
import slow_forecasts as slow

from pygru.forecasting.baselines import last_value, seasonal_naive, seasonal_naive_with_drift
from pygru.forecasting.linear import autoregress, fit_autoregression
from pygru.forecasting.panel import read_panel
from pygru.forecasting.scaling import Affine, Spread
from pygru.forecasting.stack import Stack, joined
from pygru.forecasting.task import Task
from pygru.forecasting.windows import Scaling, Windows
from pygru.nn.linear import Linear


def stack_of(series, season, window, horizon):
    return Stack([read_panel(each).series[0] for each in series], Task(horizon, season, window))


def holey(n, seed, share=0.2):
    rng = np.random.default_rng(seed)
    values = np.cumsum(rng.standard_normal(n)) + 5 * np.sin(np.arange(n))
    values[rng.random(n) < share] = np.nan
    return values


def test_by_hand():
    stack = stack_of([[1.0, 2, 3, 11, 12, 13, 99, 99]], 3, 4, 5)
    at = stack.at(0, np.array([5]))
    assert last_value(stack, at).ravel().tolist() == [13] * 5
    assert seasonal_naive(stack, at).ravel().tolist() == [11, 12, 13, 11, 12]
    assert seasonal_naive_with_drift(stack, at).ravel().tolist() == [21, 22, 23, 31, 32]


def test_before_a_whole_season_it_is_the_last_value():
    stack = stack_of([[np.nan, 2.0, 3, 11, 12]], 4, 4, 3)
    assert seasonal_naive(stack, stack.at(0, np.array([2]))).ravel().tolist() == [3, 3, 2]
    assert np.isnan(last_value(stack, stack.at(0, np.array([0])))).all()


@pytest.mark.parametrize(("season", "horizon"), [(None, 3), (4, 3), (4, 11), (7, 7)])
def test_against_the_definition(season, horizon):
    series = [holey(40, 1), holey(23, 2)]
    stack = stack_of(series, season, 6, horizon)
    origins = joined(stack.at(i, np.arange(len(each))) for i, each in enumerate(series))
    pasts = [each[: t + 1].tolist() for each in series for t in range(len(each))]
    for method, season_of, drift in (
        (last_value, None, None),
        (seasonal_naive, season, None),
        (seasonal_naive_with_drift, season, season or 1),
    ):
        expected = [slow.naive(past, season_of, horizon, drift) for past in pasts]
        found = method(stack, origins)[..., 0]
        if season_of is None and season is not None:  # gaps are filled with the season
            full = [slow.filled(past, season)[-1] for past in pasts]
            expected = np.repeat(np.array(full)[:, np.newaxis], horizon, axis=1)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def least_squares(windows, origins, order):
    """The coefficients of each target and step, by SciPy, one after the other."""
    read, wanted = windows.read_targets(origins), windows.targets(origins)
    result = []
    for target in range(read.shape[2]):
        inputs = np.column_stack([read[:, -order:, target], np.ones(len(read))]).astype(float)
        steps = []
        for step in range(wanted.shape[1]):
            seen = wanted[:, step, target, 1] > 0
            steps.append(
                scipy.linalg.lstsq(inputs[seen], wanted[seen, step, target, 0].astype(float))[0]
            )
        result.append(np.array(steps))
    return np.array(result)


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_least_squares(share, monkeypatch):
    """Without the ridge it is plain least squares; steps that are missing are left out."""
    from pygru.forecasting import linear

    monkeypatch.setattr(linear, "RIDGE", 1e-12)
    monkeypatch.setattr(linear, "BATCH", 64)  # several batches
    columns = [
        np.column_stack([holey(200, s, share), holey(200, s + 9, share)]) for s in (1, 2)
    ]
    stack = stack_of(columns, None, 8, 3)
    scaling = Scaling(
        (Spread(np.array([2.0, 3.0]), np.array([4.0, 5.0])),) * 2,
        *(Affine(np.zeros(0), np.ones(0)),) * 3,
    )
    windows = Windows(stack, scaling)
    origins = joined(stack.origins(i, 20, 200) for i in (0, 1))
    order = 5
    lines = [Linear(order, 3) for _ in range(2)]
    fit_autoregression(windows, origins, lines)
    expected = least_squares(windows, origins, order)
    for line, rows in zip(lines, expected, strict=True):
        np.testing.assert_allclose(line.parameters["weight"], rows[:, :-1], atol=2e-5)
        np.testing.assert_allclose(line.parameters["bias"], rows[:, -1], atol=2e-5)
    read = windows.read_targets(origins)
    found = autoregress(lines, read)
    for target in (0, 1):
        inputs = np.column_stack([read[:, -order:, target], np.ones(len(read))])
        np.testing.assert_allclose(
            found[..., target], inputs @ expected[target].T, rtol=1e-3, atol=1e-4
        )


def test_an_autoregressive_series_is_forecast_almost_exactly():
    """A sum of two sines satisfies a linear recurrence of order 4."""
    t = np.arange(300)
    values = np.sin(t / 5) + 0.5 * np.sin(t / 3 + 1)
    stack = stack_of([values], None, 12, 4)
    scaling = Scaling(
        (Spread(np.array([1.0]), np.array([1.0])),), *(Affine(np.zeros(0), np.ones(0)),) * 3
    )
    windows = Windows(stack, scaling)
    lines = [Linear(12, 4)]
    fit_autoregression(windows, stack.origins(0, 20, 200), lines)
    origins = stack.origins(0, 200, 300)
    found = windows.forecasts(
        origins, autoregress(lines, windows.read_targets(origins))[..., None]
    )
    assert np.abs(found[..., 0] - stack.truth(origins)).max() < 0.05


def test_a_step_that_is_never_observed_keeps_the_naive_forecast():
    values = np.arange(60.0)
    values[1::2] = np.nan
    stack = stack_of([values], None, 4, 2)
    scaling = Scaling(
        (Spread(np.array([1.0]), np.array([1.0])),), *(Affine(np.zeros(0), np.ones(0)),) * 3
    )
    windows = Windows(stack, scaling)
    lines = [Linear(4, 2)]
    fit_autoregression(windows, stack.at(0, np.arange(10, 50, 2)), lines)
    weight = lines[0].parameters["weight"]
    assert not weight[0].any() and weight[1].any()
