"""Makes the forecasts of a backtest: by the GRU and by simple methods, at many origins.

All forecasts of a method are made together: time and memory are linear in the rows. With
``refit`` each origin has a model of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from pygru.core import validation
from pygru.data.messages import cut, warn
from pygru.forecasting.backtest import GRU, Backtest, Made
from pygru.forecasting.baselines import last_value, seasonal_naive, seasonal_naive_with_drift
from pygru.forecasting.fitting import Fitted, fit_panel, training_origins, usable
from pygru.forecasting.linear import autoregress, fit_autoregression
from pygru.forecasting.panel import OneSeries, Panel
from pygru.forecasting.scaling import ROUNDINGS, thinned
from pygru.forecasting.settings import MEDIAN
from pygru.forecasting.stack import Origins, Stack, Values, joined
from pygru.forecasting.windows import Windows
from pygru.nn.linear import Linear
from pygru.typing import Integers

BATCH = 2048  # origins of one product of the autoregression


def run_backtest(
    fitted: Fitted,
    panel: Panel,
    data: Panel | None,
    *,
    start: Any,
    step: Any,
    gap: Any,
    refit: Any,
) -> Backtest:
    """Return the backtest of a forecaster on a panel; ``data`` is that of its ``fit``."""
    step = validation.check_int("step", step, 1)
    gap = validation.check_int("gap", gap, 0)
    refit = validation.check_bool("refit", refit)
    horizon = fitted.task.horizon
    if gap >= horizon:
        raise ValueError(f"gap must be below the horizon of {horizon} steps, got {gap}")
    series = panel.series
    starts = _starts(panel, data, start)
    if start is not None and data is not None and not refit:
        _warn_of_seen_steps(panel, data, starts)
    windows = fitted.windows(series, starts)
    stack = windows.stack
    origins = joined(
        stack.origins(number, begin, len(one.targets), step)
        for number, (one, begin) in enumerate(zip(series, starts, strict=True))
    )
    origins = origins.take(np.flatnonzero(~np.isnan(stack.filled[origins.rows]).all(axis=1)))
    actual = stack.truth(origins)
    if not len(origins):
        longest = max(
            len(one.targets) - begin for one, begin in zip(series, starts, strict=True)
        )
        raise ValueError(
            f"there is nothing to judge: after start there are {max(longest, 0)} steps, "
            f"and a forecast has {horizon}"
        )
    if np.isnan(actual[:, gap:]).all():
        raise ValueError("there is nothing to judge: no value after start is observed")
    if refit:
        made = _refitted(fitted, panel, stack, origins)
    else:
        before = _training(stack, starts)
        made = _forecasts(fitted, windows, origins, before)
    steps = stack.steps_of(origins)
    return Backtest(
        panel,
        Origins(steps, origins.series),
        actual[:, gap:],
        {
            name: Made(each.point[:, gap:], each.quantiles[:, gap:])
            for name, each in made.items()
        },
        fitted.settings.quantiles,
        gap,
        _naive_errors(series, starts, fitted.task.season or 1),
    )


def _starts(panel: Panel, data: Panel | None, start: Any) -> list[int]:
    """The first step of each series that is forecast."""
    if start is not None:
        return [_position(one, start) for one in panel.series]
    if data is None:
        raise ValueError(
            "start must be given: the forecaster was loaded from a file, which does not say "
            "where the data of fit end"
        )
    ends = {one.id: one.index[-1] for one in data.series}
    result = []
    for one in panel.series:
        if one.id not in ends:
            raise ValueError(f"start must be given: fit has not seen the series {cut(one.id)}")
        if _has_zone(one.index) != (getattr(ends[one.id], "tzinfo", None) is not None):
            raise ValueError(
                "start must be given: either the times of y or those of fit have a time zone, "
                "so that they cannot be compared"
            )
        result.append(int(one.index.searchsorted(ends[one.id], side="right")))
    if all(begin >= len(one.targets) for one, begin in zip(panel.series, result, strict=True)):
        raise ValueError(
            "there is nothing to judge: y has no step after the data of fit; give a longer y, "
            "or start"
        )
    return result


def _warn_of_seen_steps(panel: Panel, data: Panel, starts: Sequence[int]) -> None:
    """Warn if steps that ``fit`` has seen are judged: their errors are too small.

    Other series may have the same ids and times, so the values must be the same, too.
    """
    seen = {one.id: one for one in data.series}
    for one, begin in zip(panel.series, starts, strict=True):
        if one.id not in seen or begin >= len(one.targets):
            continue
        old = seen[one.id]
        if _has_zone(one.index) != _has_zone(old.index):
            continue
        place = int(old.index.searchsorted(one.index[begin]))
        known = old.targets[place:]
        judged = one.targets[begin : begin + len(known)]
        both = known[: len(judged)]
        if np.isfinite(both).any() and np.array_equal(both, judged, equal_nan=True):
            warn(
                f"start lies before the end of the data of fit, {cut(old.index[-1])}: errors "
                "of steps that fit has seen are too small; fit to the steps before start, or "
                "pass refit=True"
            )
            return


def _has_zone(index: Any) -> bool:
    return getattr(index, "tz", None) is not None


def _position(series: OneSeries, start: Any) -> int:
    """The step of a series that ``start`` means."""
    length = len(series.targets)
    is_number = isinstance(start, (int, np.integer)) and not isinstance(start, bool)
    if is_number and start < 0:
        return max(length + int(start), 0)
    has_numbers = series.index.dtype.kind in "iu"
    if is_number and not has_numbers:
        return min(int(start), length)
    try:
        if has_numbers and not is_number:
            raise TypeError("the index has numbers")
        return int(series.index.slice_locs(start=start)[0])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"start must be a label of the index or a number of steps, got "
            f"{validation.shown(start)}: {error}"
        ) from None


def _training(stack: Stack, ends: Sequence[int]) -> Origins:
    """The origins whose forecasts lie before the first one that is judged."""
    return usable(
        stack, joined(training_origins(stack, number, end) for number, end in enumerate(ends))
    )


def _forecasts(
    fitted: Fitted, windows: Windows, origins: Origins, before: Origins
) -> dict[str, Made]:
    """The forecasts of all methods; ``before`` are the origins that they may learn from."""
    levels, wanted = fitted.settings.levels, fitted.settings.quantiles
    grid = fitted.forecast(windows, origins)
    made = {
        GRU: Made(grid[..., levels.index(MEDIAN)], grid[..., [levels.index(q) for q in wanted]])
    }
    methods: dict[str, Callable[[Stack, Origins], Values]] = {"last value": last_value}
    if fitted.task.season:
        methods["seasonal naive"] = seasonal_naive
        methods["seasonal naive + drift"] = seasonal_naive_with_drift
    if len(before):
        order, horizon = fitted.model.shape.order, fitted.task.horizon
        lines = [Linear(order, horizon) for _ in fitted.schema.targets]
        fit_autoregression(windows, before, lines)
        methods["linear autoregression"] = partial(_autoregression, windows, lines)
    some = thinned(before)
    for name, method in methods.items():
        points = method(windows.stack, origins)
        made[name] = Made(points, _bands(windows, method, origins, points, some, wanted))
    return made


def _autoregression(
    windows: Windows, lines: Sequence[Linear], stack: Stack, origins: Origins
) -> Values:
    corrections = np.empty((len(origins), stack.task.horizon, len(lines)), np.float32)
    for first in range(0, len(origins), BATCH):
        block = slice(first, first + BATCH)
        corrections[block] = autoregress(lines, windows.read_targets(origins.take(block)))
    return windows.forecasts(origins, corrections[..., np.newaxis])[..., 0]


def _bands(
    windows: Windows,
    method: Callable[[Stack, Origins], Values],
    origins: Origins,
    points: Values,
    before: Origins,
    quantiles: tuple[float, ...],
) -> Values:
    """The points plus the quantiles of the errors at the origins ``before``."""
    shape = (*points.shape, len(quantiles))
    if not quantiles or not len(before):
        return np.full(shape, np.nan)
    errors = windows.stack.truth(before) - method(windows.stack, before)
    spread = windows.error[before.series][:, np.newaxis]
    scaled = np.where(spread > 0, errors / np.where(spread > 0, spread, 1), np.nan)
    bands = np.zeros((*points.shape[1:], len(quantiles)))
    for step in range(points.shape[1]):
        for target in range(points.shape[2]):
            known = scaled[:, step, target]
            known = known[~np.isnan(known)]
            if known.size:
                bands[step, target] = np.quantile(known, quantiles)
    of_series = windows.error[origins.series][:, np.newaxis, :, np.newaxis]
    result: Values = points[..., np.newaxis] + bands * of_series
    return result


def _refitted(fitted: Fitted, panel: Panel, stack: Stack, origins: Origins) -> dict[str, Made]:
    """The forecasts of models that are fitted again at each origin in time."""
    steps = stack.steps_of(origins)
    labels = [panel.series[s].index[t] for s, t in zip(origins.series, steps, strict=True)]
    places: dict[Any, list[int]] = {}
    for place, label in enumerate(labels):
        places.setdefault(label, []).append(place)
    parts: list[tuple[Integers, dict[str, Made]]] = []
    settings = fitted.settings
    if settings.progress is None:  # not a bar for each of many fits, unless it is asked for
        settings = dataclasses.replace(settings, progress=False)
    for label in sorted(places):
        ends = [int(one.index.searchsorted(label, side="right")) for one in panel.series]
        known = dataclasses.replace(
            panel,
            series=tuple(
                _until(one, end, fitted.task.horizon)
                for one, end in zip(panel.series, ends, strict=True)
                if end
            ),
        )
        again = fit_panel(settings, known, fitted.validation_size)
        windows = again.windows(panel.series, ends)
        some = np.array(places[label])
        before = _training(windows.stack, ends)
        there = Origins(
            windows.stack.starts[origins.series[some]] + steps[some], origins.series[some]
        )
        parts.append((some, _forecasts(again, windows, there, before)))
    order = np.argsort(np.concatenate([some for some, _ in parts]))
    names = [name for name in parts[0][1] if all(name in made for _, made in parts)]
    return {
        name: Made(
            np.concatenate([made[name].point for _, made in parts])[order],
            np.concatenate([made[name].quantiles for _, made in parts])[order],
        )
        for name in names
    }


def _until(series: OneSeries, end: int, horizon: int) -> OneSeries:
    """The first ``end`` steps of a series, with the future covariates of a forecast there."""
    return dataclasses.replace(
        series,
        index=series.index[:end],
        targets=series.targets[:end],
        past=series.past[:end],
        future=series.future[: end + horizon],
    )


def _naive_errors(series: Sequence[OneSeries], ends: Sequence[int], season: int) -> Values:
    """The mean absolute change over a season, (S, n), before the first origin."""
    result = np.full((len(series), series[0].targets.shape[1]), np.nan)
    for row, one, end in zip(result, series, ends, strict=True):
        known = one.targets[:end]
        changes = np.abs(known[season:] - known[:-season])
        observed = ~np.isnan(changes)
        count = observed.sum(axis=0)
        mean = np.where(observed, changes, 0).sum(axis=0) / np.maximum(count, 1)
        floor = ROUNDINGS * np.abs(np.nan_to_num(known)).max(axis=0, initial=0)
        row[mean > floor] = mean[mean > floor]
    return result
