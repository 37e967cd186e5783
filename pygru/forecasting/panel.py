"""Reads what users pass for forecasting into series on complete grids, and writes forecasts.

A :class:`Panel` is what the forecaster works on: for each series its index, its targets and its
covariates as float64, with NaN where a value is missing.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pygru.core import validation
from pygru.forecasting.calendar import Steps
from pygru.forecasting.frequency import find_steps
from pygru.forecasting.schema import Column, Schema

Values = NDArray[np.float64]


@dataclass(frozen=True)
class OneSeries:
    """One series on the complete grid of its frequency.

    Attributes
    ----------
    id : hashable
        What the id columns hold: a value, a tuple for several of them, None without ids.
    index : pandas.Index
        (T,) dates, periods or numbers: regular, ascending, without repeats.
    steps : Steps
        How the index goes on.
    targets, past : ndarray of float64
        (T, n) with NaN where a value is missing; a category column is several columns of 0
        and 1.
    future : ndarray of float64
        (T + F, n) covariates that are known for F further steps too, F >= 0.
    static : ndarray of float64
        (n,)
    """

    id: Hashable
    index: Any
    steps: Steps
    targets: Values
    past: Values
    future: Values
    static: Values

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True)
class Panel:
    """The series of a table, and their schema."""

    series: tuple[OneSeries, ...]
    schema: Schema


def read_panel(
    y: Any,
    past: Any = None,
    future: Any = None,
    *,
    id: Any = None,
    time: Any = None,
    target: Any = None,
    static: Any = None,
    freq: Any = None,
    schema: Schema | None = None,
) -> Panel:
    """Read one series, or many, into a panel."""
    if isinstance(y, pd.Series):
        values, index, container = y.to_numpy(np.float64), y.index, "series"
        columns: tuple[Hashable, ...] = ("y" if y.name is None else y.name,)
    else:
        values = validation.as_real("y", y, np.float64)
        index, container = pd.RangeIndex(len(values)), "array"
        columns = ("y",)
        if values.ndim == 2:
            container, columns = "matrix", tuple(f"y{i}" for i in range(values.shape[1]))
    targets = values.reshape(len(values), -1)
    steps = find_steps(index, freq)
    grid = steps.grid(index)
    place = grid.get_indexer(index)
    complete = np.full((len(grid), targets.shape[1]), np.nan)
    complete[place] = targets
    kind = "numbers"
    if isinstance(index, pd.DatetimeIndex):
        kind = "dates"
    elif isinstance(index, pd.PeriodIndex):
        kind = "periods"
    found = Schema(
        tuple(Column(name) for name in columns),
        time=index.name,
        frequency=steps.name,
        index=kind,
        container=container,
    )
    none = np.zeros((len(grid), 0))
    one = OneSeries(None, grid, steps, complete, none, none, np.zeros(0))
    return Panel((one,), found)


def future_index(series: OneSeries, horizon: int) -> Any:
    """Return the index of the ``horizon`` steps after the end of a series."""
    count = validation.check_int("horizon", horizon, 1)
    return series.steps.after(series.index[-1], count, series.index.name)


def to_frame(
    schema: Schema, blocks: Iterable[tuple[OneSeries, Any, Any, Sequence[Hashable]]]
) -> Any:
    """Return forecasts in the shape of the input.

    Parameters
    ----------
    schema : Schema
        That of the panel whose series were forecast.
    blocks : iterable of (series, index, values, names)
        For each series: its index (H,), the values (H, n) and the names of the n columns.
    """
    frames = [
        pd.DataFrame(np.asarray(values), index, list(names))
        for _, index, values, names in blocks
    ]
    return pd.concat(frames)
