"""Forecasts that need no training: what a forecaster has to be better than.

Missing values are NaN. A forecast made at step ``origin`` uses no value after it. The arguments
are checked, since a negative index would silently read from the end of the series.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pygru.core import validation

#: Values of a series, NaN where one is missing.
Values = NDArray[np.float64]


def as_values(name: str, values: ArrayLike) -> Values:
    """Return a series as a copy: one axis of float64, none of them infinite.

    Raises
    ------
    TypeError, ValueError
        If it is not numeric, has more axes, or contains an infinity.
    """
    array = validation.as_real(name, values, np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must have shape (N,), got {array.shape}")
    if np.isinf(array).any():
        raise ValueError(f"{name}[{int(np.argmax(np.isinf(array)))}] is infinite")
    return np.array(array, np.float64)


def as_origins(origins: ArrayLike, least: int, length: int) -> NDArray[np.int64]:
    """Return the last known steps of forecasts as a copy, each in [least, length).

    Raises
    ------
    TypeError
        If they are not integers.
    ValueError
        If they have more than one axis, or one of them is out of range.
    """
    array = np.array(validation.as_numeric("origins", origins))
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"origins must be integers, got {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"origins must have shape (M,), got {array.shape}")
    for origin in array[(array < least) | (array >= length)]:
        if origin < least:
            raise ValueError(
                f"the series must have at least {least + 1} steps before a forecast, "
                f"got {max(int(origin) + 1, 0)}"
            )
        raise ValueError(f"origins must be below {length}, the steps of the series: {origin}")
    return array.astype(np.int64)


def fill_forward(values: ArrayLike) -> Values:
    """Return a copy in which each missing value is the last observed one before it.

    Missing values at the very beginning become the first observed one.

    Raises
    ------
    ValueError
        If no value is observed.
    """
    array = as_values("values", values)
    observed = np.flatnonzero(~np.isnan(array))
    if array.size and not observed.size:
        raise ValueError(f"none of the {array.size} values is observed: all are NaN")
    last = np.searchsorted(observed, np.arange(len(array)), side="right") - 1
    filled: Values = array[observed[np.maximum(last, 0)]] if array.size else array
    return filled


def _past(values: ArrayLike, origin: int, least: int) -> tuple[Values, int]:
    """The values up to ``origin``, without gaps, and the origin; at least ``least`` of them."""
    array = as_values("values", values)
    (origin,) = as_origins([origin], least - 1, len(array)).tolist()
    return fill_forward(array[: origin + 1]), origin


def last_value(values: ArrayLike, origin: int, horizon: int) -> Values:
    """Forecast the steps after ``origin`` by the last observed value."""
    horizon = validation.check_int("horizon", horizon, 1)
    past, _ = _past(values, origin, 1)
    return np.full(horizon, past[-1])


def seasonal_naive(
    values: ArrayLike, origin: int, horizon: int, season: int, drift: bool = False
) -> Values:
    """Forecast each step by the value one season (or several) before it.

    With ``drift`` the mean change over the last season is added for each season ahead.
    """
    horizon = validation.check_int("horizon", horizon, 1)
    season = validation.check_int("season", season, 1)
    drift = validation.check_bool("drift", drift)
    past, origin = _past(values, origin, 2 * season if drift else season)
    steps: NDArray[Any] = np.arange(1, horizon + 1)
    seasons = (steps - 1) // season + 1
    forecast: Values = past[origin + steps - seasons * season]
    if drift:
        forecast = forecast + seasons * np.mean(past[-season:] - past[-2 * season : -season])
    return forecast
