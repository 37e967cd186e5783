"""Gaps in a series, filled by what was known before them; nothing here looks ahead.

The filled value of a step depends on that step and on earlier ones only. Steps before the first
observed value of a column have no such value and stay NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def last_observed(values: Values) -> NDArray[np.int64]:
    """Return for each step of (T, n) the last observed step up to it; -1 without one."""
    steps = np.arange(len(values))[:, np.newaxis]
    return np.maximum.accumulate(np.where(np.isnan(values), -1, steps), axis=0)


def fill_forward(values: Values) -> Values:
    """Return (T, n) values with the last observed value of the column in each gap."""
    last = last_observed(values)
    columns = np.arange(values.shape[1])
    return np.where(last < 0, np.nan, values[np.maximum(last, 0), columns])


def fill_seasonal(values: Values, season: int) -> Values:
    """Return (T, n) values in which a gap goes on like the season before it.

    A missing value is the value of one season before it, plus the change over one season of
    the last step before the gap. In the first season, where there is no such change, it is the
    last observed value.
    """
    filled = fill_forward(values)
    last = last_observed(values)
    for column in range(values.shape[1]):
        observed_before = last[:, column]
        series = filled[:, column].tolist()
        missing = np.flatnonzero(np.isnan(values[:, column])).tolist()
        for step in missing:
            source = int(observed_before[step])
            if source < season:
                continue
            before, change = series[step - season], series[source] - series[source - season]
            if before == before and change == change:  # neither is NaN
                series[step] = before + change
        filled[:, column] = series
    return filled
