"""Scores of forecasts: MAE, RMSE, MASE, pinball loss and coverage.

Steps whose true value is missing do not count, nor do steps without a forecast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pygru.forecasting.stack import Values

#: The columns of a table of scores.
NAMES = ("MAE", "RMSE", "MASE", "pinball", "coverage")


def mean_absolute_error(truth: Values, forecast: Values) -> float:
    """Return the mean of ``|truth - forecast|``; NaN if there is nothing to compare."""
    return _mean(np.abs(truth - forecast))


def root_mean_squared_error(truth: Values, forecast: Values) -> float:
    """Return the root of the mean of ``(truth - forecast)**2``."""
    return math.sqrt(_mean((truth - forecast) ** 2))


def mean_absolute_scaled_error(truth: Values, forecast: Values, scale: Values) -> float:
    """Return the mean of ``|truth - forecast| / scale``.

    ``scale``, which broadcasts with the others, is the mean absolute error of the one-step
    (seasonal) naive forecast on the data before the first forecast: Hyndman and Koehler 2006,
    "Another look at measures of forecast accuracy", International Journal of Forecasting 22.
    Where it is 0 or NaN, nothing is compared.
    """
    usable = scale > 0
    ratio = np.abs(truth - forecast) / np.where(usable, scale, 1)
    return _mean(np.where(usable, ratio, np.nan))


def pinball_loss(truth: Values, quantiles: Values, levels: Sequence[float]) -> float:
    """Return the mean pinball loss over all quantiles: ``max(q * d, (q - 1) * d)``.

    Here ``d = truth - quantile`` (Koenker and Bassett 1978, "Regression Quantiles"). The last
    axis of ``quantiles`` has those of ``levels``. NaN without quantiles.
    """
    if not levels:
        return math.nan
    q = np.array(levels)
    difference = truth[..., np.newaxis] - quantiles
    return _mean(np.maximum(q * difference, (q - 1) * difference))


def coverage(truth: Values, quantiles: Values, levels: Sequence[float]) -> float:
    """Return the part of the true values between the lowest and the highest quantile.

    Both belong to it. It should be near the difference of the two levels. NaN with fewer than
    two quantiles.
    """
    if len(levels) < 2:
        return math.nan
    low, high = quantiles[..., 0], quantiles[..., -1]
    inside = (truth >= low) & (truth <= high)
    return _mean(np.where(np.isnan(truth) | np.isnan(low), np.nan, inside))


def _mean(values: Values) -> float:
    known = ~np.isnan(values)
    count = int(known.sum())
    return float(np.where(known, values, 0).sum() / count) if count else math.nan
