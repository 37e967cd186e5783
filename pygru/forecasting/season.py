"""Finds the season of a series, by the difference function of de Cheveigne and Kawahara.

For each lag the mean squared change over it is computed, without the mean change, which is a
trend. At a season this is small. It is divided by its mean over all smaller lags ("cumulative
mean normalized difference function", steps 2 to 4 of YIN, J. Acoust. Soc. Am. 111, 2002, 1917).
The season is the lag where the quotient is smallest, or the first one that is nearly as good,
so that one season is found and not two. If no quotient is small enough, there is no season.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

SMALLEST = 2  # steps of a season
SEASONS = 3  # that the longest season must be in the data
# A season must take at least this part of the variance of changes away, and 1 / m more if the
# data have m seasons: in few seasons a random walk looks periodic too.
EXPLAINED = 0.3
# A smaller lag is preferred whose quotient is larger by no more than this part of what the
# best one takes away.
NEARLY = 0.15


def find_season(columns: Sequence[Values]) -> int | None:
    """Return the season of series, or None if there is none.

    Parameters
    ----------
    columns : sequence of ndarray
        (T,) each, the training part of every target of every series, NaN where a value is
        missing. Their quotients are averaged, weighted by their observed steps.

    Returns
    -------
    int or None
    """
    longest = max((len(column) // SEASONS for column in columns), default=0)
    if longest < SMALLEST:
        return None
    total, weight = np.zeros(longest + 2), np.zeros(longest + 2)
    for column in columns:
        quotient = _quotients(column, min(len(column) // SEASONS, longest) + 1)
        known = ~np.isnan(quotient)
        observed = float((~np.isnan(column)).sum())
        total[: len(quotient)][known] += observed * quotient[known]
        weight[: len(quotient)][known] += observed
    quotients = np.where(weight > 0, total / np.where(weight > 0, weight, 1), np.inf)
    lags = np.arange(SMALLEST, longest + 1)
    is_valley = (quotients[lags] <= quotients[lags - 1]) & (
        quotients[lags] <= quotients[lags + 1]
    )
    least = EXPLAINED + lags / max(map(len, columns))
    valleys = lags[is_valley & (quotients[lags] <= 1 - least)]
    if not valleys.size:
        return None
    best = quotients[valleys].min()
    return int(valleys[quotients[valleys] <= best + NEARLY * (1 - best)][0])


def _quotients(values: Values, most: int) -> Values:
    """The normalised difference function at the lags 0 to ``most``; NaN where unknown."""
    known = ~np.isnan(values)
    result = np.full(most + 1, np.nan)
    if not known.any():
        return result
    unit = np.where(known, values, 0)
    unit = np.where(known, unit - unit[known].mean(), 0)
    size = np.abs(unit).max()
    if not size > 8 * np.finfo(np.float64).eps * np.abs(values[known]).max():
        return result
    unit /= size
    lags = slice(0, most + 1)
    pairs = _correlation(known, known)[lags]
    enough = np.round(pairs) >= 3
    pairs = np.maximum(np.round(pairs), 1)
    squares = _correlation(unit * unit, known)[lags] + _correlation(known, unit * unit)[lags]
    changes = _correlation(unit, known)[lags] - _correlation(known, unit)[lags]
    products = _correlation(unit, unit)[lags]
    variance = (squares - 2 * products) / pairs - (changes / pairs) ** 2
    variance = np.where(enough, np.maximum(variance, 0), np.nan)
    variance[0] = 0
    means = np.nancumsum(variance) / np.maximum(np.cumsum(~np.isnan(variance)) - 1, 1)
    # Differences of smaller size are the rounding of the transform.
    quotient: Values = np.where(means > 1e-12, variance / np.where(means > 0, means, 1), np.nan)
    return quotient


def _correlation(later: NDArray[np.generic], earlier: NDArray[np.generic]) -> Values:
    """Sum over t of later[t] * earlier[t - lag], for the lags 0, 1, ..."""
    size = 2 * len(later)
    transform = np.fft.rfft(later, size) * np.conj(np.fft.rfft(earlier, size))
    return np.fft.irfft(transform, size)[: len(later)]
