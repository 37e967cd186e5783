"""Simple forecasts that a forecaster is compared with, from many origins at once.

None of them uses a value after its origin. The linear autoregression, which is fitted, is in
linear.py.
"""

from __future__ import annotations

import numpy as np

from pygru.forecasting.stack import Origins, Stack, Values


def last_value(stack: Stack, origins: Origins) -> Values:
    """Return the last observed value for all steps, (M, horizon, n)."""
    last = stack.last(origins)[:, np.newaxis]
    return np.repeat(last, stack.task.horizon, axis=1)


def seasonal_naive(stack: Stack, origins: Origins) -> Values:
    """Return the value of the last season that is known, (M, horizon, n).

    Hyndman and Athanasopoulos 2021, "Forecasting: principles and practice", 5.2. Where the last
    season is not known, it is the last observed value.
    """
    return stack.naive(origins)


def seasonal_naive_with_drift(stack: Stack, origins: Origins) -> Values:
    """Return the seasonal naive forecast plus the mean change over the last season.

    The change, mean of y_t - y_{t-S} over the last S steps, is added for each season ahead.
    """
    season = stack.task.season or 1
    drift = stack.drift(origins, season)[:, np.newaxis]
    return stack.naive(origins) + stack.task.seasons_ahead[:, np.newaxis] * drift
