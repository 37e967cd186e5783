"""The sizes of numbers in the training part, by which what is read and predicted is divided.

Targets are scaled for each series by itself, covariates jointly for all series, since a
difference between series can be what a covariate tells. Everything is computed in float64. The
model is never given the level of a target, only differences from a known value; so levels of
1e12 lose nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pygru.forecasting.stack import Origins, Stack, Values

#: Larger values are refused: the squares of such values, and sums of them, have no float64.
LARGEST = 1e100

# A spread below so many roundings of the largest value is rounding and not information.
ROUNDINGS = 64 * np.finfo(np.float64).eps

# Spreads are measured on at most so many windows of a series, evenly distributed.
MOST_WINDOWS = 2000


@dataclass(frozen=True)
class Spread:
    """The sizes of numbers of one series, (n,) for its targets.

    Attributes
    ----------
    read : ndarray
        Root mean square of what the GRU reads of each target, relative to the anchor.
    error : ndarray
        Root mean square of the errors of the naive forecast with drift. It is 0 for a target
        that did not vary; its forecast is then the naive one.
    """

    read: Values
    error: Values


@dataclass(frozen=True)
class Affine:
    """Covariates are read as ``(values - centre) / spread``, each (k,)."""

    centre: Values
    spread: Values

    def apply(self, values: Values) -> Values:
        """Return scaled covariates."""
        return (values - self.centre) / self.spread


def root_mean_square(values: Values, axis: int | tuple[int, ...]) -> Values:
    """Return the root mean square of the values that are not NaN; 0 if there are none."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0)
    # Divided by the largest value, because squares of 1e-200 are 0.
    largest = np.abs(filled).max(axis=axis, keepdims=True, initial=0)
    unit = filled / np.where(largest > 0, largest, 1)
    mean = (unit * unit).sum(axis=axis) / np.maximum(known.sum(axis=axis), 1)
    result: Values = np.squeeze(largest, axis) * np.sqrt(mean)
    return result


def spread_of(stack: Stack, origins: Origins, relative: Values, errors: Values) -> Spread:
    """Return the spread of one series.

    Parameters
    ----------
    stack : Stack
    origins : Origins
        Those of the windows, all of one series.
    relative : ndarray
        (M, window, n) what the GRU reads, not scaled yet, NaN where it is unknown.
    errors : ndarray
        (M, horizon, n) the truth without the naive forecast, NaN where it is unknown.
    """
    number = int(origins.series[0])
    block = slice(stack.starts[number], origins.rows.max() + stack.task.horizon + 1)
    values = np.abs(np.nan_to_num(stack.values[block]))
    floor = ROUNDINGS * values.max(axis=0, initial=0)
    read, error = root_mean_square(relative, (0, 1)), root_mean_square(errors, (0, 1))
    return Spread(np.where(read > floor, read, 0), np.where(error > floor, error, 0))


def thinned(origins: Origins) -> Origins:
    """Return at most ``MOST_WINDOWS`` of the origins of a series, evenly distributed."""
    if len(origins) <= MOST_WINDOWS:
        return origins
    return origins.take(np.linspace(0, len(origins) - 1, MOST_WINDOWS).astype(np.int64))


def affine_of(parts: Sequence[Values], is_number: NDArray[np.bool_]) -> Affine:
    """Return the scaling of covariates from their values in the training parts.

    Columns of categories, which are 0 or 1, stay as they are.
    """
    values = np.concatenate(parts) if parts else np.zeros((0, len(is_number)))
    known = ~np.isnan(values)
    filled = np.where(known, values, 0)
    count = np.maximum(known.sum(axis=0), 1)
    centre = (filled / count).sum(axis=0)
    spread = root_mean_square(values - centre, 0)
    floor = ROUNDINGS * np.abs(filled).max(axis=0, initial=0)
    # A covariate that did not vary is read as it is, without its level.
    spread = np.where(spread > floor, spread, np.maximum(np.abs(centre), 1))
    return Affine(np.where(is_number, centre, 0), np.where(is_number, spread, 1))
