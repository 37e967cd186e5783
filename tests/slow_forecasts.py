"""The definitions of a forecaster's windows and scores, one number at a time, for tests.

Nothing here is vectorised, and every function is given only what it may use: a series up to its
origin. The truth is a separate argument.
"""

import math

import numpy as np


def filled(past, season):
    """The values of one series up to its last step, with gaps filled from before."""
    result = []
    for step, value in enumerate(past):
        if not math.isnan(value):
            result.append(value)
            continue
        source = step - 1
        while source >= 0 and math.isnan(past[source]):
            source -= 1
        if source < 0:
            result.append(math.nan)
            continue
        choice = result[source]
        if season and source >= season:
            change = result[source] - result[source - season]
            if not math.isnan(result[step - season] + change):
                choice = result[step - season] + change
        result.append(choice)
    return result


def changes(past, season):
    """What is read at each step, NaN where it is unknown."""
    full = filled(past, season)
    if not season:
        return full
    return [full[t] - full[t - season] if t >= season else math.nan for t in range(len(full))]


def drift(past, season, steps):
    """The mean change over one season in the last ``steps`` steps."""
    known = [c for c in changes(past, season)[-steps:] if not math.isnan(c)]
    return sum(known) / len(known) if season and known else 0.0


def read(past, season, window):
    """What is read relative to the anchor, and whether it was observed, at each step."""
    values = changes(past, season)
    anchor = drift(past, season, window) if season else values[-1]
    result = []
    for back in range(window - 1, -1, -1):
        step = len(past) - 1 - back
        if step < 0 or math.isnan(values[step]):
            result.append((0.0, False))
        else:
            result.append((values[step] - anchor, not math.isnan(past[step])))
    return result


def naive(past, season, horizon, drift_of=None):
    """The seasonal naive forecast, or the last value, with the drift of so many steps."""
    full = filled(past, season)
    origin = len(past) - 1
    change = 0.0 if drift_of is None else drift(past, season, drift_of)
    result = []
    for ahead in range(1, horizon + 1):
        seasons = 1
        base = full[origin]
        if season:
            while origin + ahead - seasons * season > origin:
                seasons += 1
            step = origin + ahead - seasons * season
            if step >= 0 and not math.isnan(full[step]):
                base = full[step]
        result.append(base + seasons * change)
    return result


def windows(series, season, window, horizon, origins):
    """Inputs (M, window, 2) and errors of the naive forecast (M, horizon), not scaled."""
    inputs, errors = [], []
    for origin in origins:
        past = list(series[: origin + 1])
        truth = [
            series[origin + h] if origin + h < len(series) else math.nan
            for h in range(1, horizon + 1)
        ]
        inputs.append(read(past, season, window))
        forecast = naive(past, season, horizon, window)
        errors.append([t - f for t, f in zip(truth, forecast, strict=True)])
    return np.array(inputs, float), np.array(errors)
