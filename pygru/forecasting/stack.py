"""The series of a panel one below the other, so that a batch of windows is one look-up.

Each series is followed by rows for the steps of its last forecast, and preceded by rows of
missing values, so that windows at its beginning need no special case. Memory is proportional
to the rows of the data. Windows are made when they are asked for and belong to an origin, the
last step that is known. Nothing that is returned for an origin as input depends on a target or
on a past covariate of a later step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pygru.forecasting.filling import fill_forward, fill_seasonal
from pygru.forecasting.panel import OneSeries
from pygru.forecasting.task import Task

Values = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Origins:
    """Where forecasts begin: the row of the last known step, and the number of its series."""

    rows: Rows
    series: Rows

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: NDArray[np.int64] | slice) -> Origins:
        """Return some of the origins."""
        return Origins(self.rows[index], self.series[index])


def joined(parts: Iterable[Origins]) -> Origins:
    """Return the origins of several parts, in their order."""
    listed = list(parts)
    empty = np.zeros(0, np.int64)
    return Origins(
        np.concatenate([empty, *(part.rows for part in listed)]),
        np.concatenate([empty, *(part.series for part in listed)]),
    )


class Stack:
    """Series one below the other, R rows with the rows between them.

    Parameters
    ----------
    series : sequence of OneSeries
    task : Task

    Attributes
    ----------
    values : ndarray
        (R, n) the targets, NaN where one is missing.
    filled : ndarray
        (R, n) the targets with gaps filled from before; NaN before the first observed value.
    changes : ndarray
        (R, n) what the GRU reads: with a season the change over one season, else the values.
    observed : ndarray of bool
        (R, n) whether the value and its change are known.
    past, future : ndarray
        (R, p), (R, q) the covariates, NaN where one is missing.
    static : ndarray
        (S, k) those of each series.
    starts, lengths : ndarray of int
        (S,) the first row of each series, and how many rows it has.
    """

    def __init__(self, series: Sequence[OneSeries], task: Task) -> None:
        self.task = task
        before, after = max(task.window, task.season or 0), task.horizon
        self.lengths = np.array([len(one.targets) for one in series], np.int64)
        self.starts = before + np.concatenate(
            [[0], np.cumsum(self.lengths + before + after)[:-1]]
        ).astype(np.int64)
        rows = int((self.lengths + before + after).sum())
        first = series[0]
        n, p, q = (part.shape[1] for part in (first.targets, first.past, first.future))
        self.values, self.filled, self.changes = (np.full((rows, n), np.nan) for _ in range(3))
        self.past, self.future = np.full((rows, p), np.nan), np.full((rows, q), np.nan)
        self.static = np.array([one.static for one in series]).reshape(len(series), -1)
        for one, start in zip(series, self.starts, strict=True):
            block = slice(start, start + len(one.targets))
            self.values[block] = one.targets
            self.past[block] = one.past
            known = one.future[: len(one.targets) + after]
            self.future[start : start + len(known)] = known
            self._fill(block)
        self.observed = ~np.isnan(self.values) & ~np.isnan(self.changes)

    def _fill(self, block: slice) -> None:
        season, values = self.task.season, self.values[block]
        if season is None:
            self.filled[block] = self.changes[block] = fill_forward(values)
        else:
            self.filled[block] = filled = fill_seasonal(values, season)
            self.changes[block][season:] = filled[season:] - filled[:-season]

    @cached_property
    def observed_before(self) -> Rows:
        """How many rows before each row have a target, (R + 1,)."""
        observed = (~np.isnan(self.values)).any(axis=1)
        return np.concatenate([[0], np.cumsum(observed)])

    # ---- origins ---------------------------------------------------------------------------

    def origins(self, number: int, begin: int, end: int, step: int = 1) -> Origins:
        """Return the origins of series ``number`` whose forecasts lie within [begin, end).

        Steps are counted within the series. The first forecast of a series needs one step.
        """
        steps = np.arange(max(begin - 1, 0), end - self.task.horizon, step, dtype=np.int64)
        return self.at(number, steps)

    def at(self, number: int, steps: NDArray[np.int64]) -> Origins:
        """Return the origins at some steps of series ``number``."""
        return Origins(self.starts[number] + steps, np.full(len(steps), number, np.int64))

    def steps_of(self, origins: Origins) -> Rows:
        """Return at which step of its series each origin is."""
        return origins.rows - self.starts[origins.series]

    # ---- what belongs to an origin ---------------------------------------------------------

    def ahead(self, origins: Origins) -> Rows:
        """Return the rows (M, horizon) of the steps that are forecast."""
        return origins.rows[:, np.newaxis] + self.task.ahead

    def truth(self, origins: Origins) -> Values:
        """Return the targets (M, horizon, n) of the steps that are forecast."""
        return self.values[self.ahead(origins)]

    def last(self, origins: Origins) -> Values:
        """Return the last known targets (M, n), with gaps filled."""
        return self.filled[origins.rows]

    def seen(self, origins: Origins) -> tuple[Values, NDArray[np.bool_]]:
        """Return the changes (M, window, n) up to the origins, and which were observed."""
        rows = origins.rows[:, np.newaxis] + np.arange(1 - self.task.window, 1)
        return self.changes[rows], self.observed[rows]

    def drift(self, origins: Origins, steps: int) -> Values:
        """Return the mean change (M, n) over one season, in the last ``steps`` steps.

        It is 0 where no change is known, and without a season.
        """
        rows = origins.rows[:, np.newaxis] + np.arange(1 - steps, 1)
        if self.task.season is None:
            return np.zeros((len(origins), self.values.shape[1]))
        return _mean_of_known(self.changes[rows])

    def naive(self, origins: Origins) -> Values:
        """Return the naive forecasts (M, horizon, n): the last season, or the last value.

        Where the last season is not known, it is the last value; NaN before the first one.
        """
        last = self.last(origins)[:, np.newaxis]
        if self.task.season is None:
            return np.repeat(last, self.task.horizon, axis=1)
        rows = self.ahead(origins) - self.task.seasons_ahead * self.task.season
        before = self.filled[rows]
        return np.where(np.isnan(before), last, before)


def _mean_of_known(values: Values) -> Values:
    """Return the mean (M, n) of those of (M, T, n) that are not NaN; 0 if all are."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0).sum(axis=1)
    mean: Values = total / np.maximum(known.sum(axis=1), 1)
    return mean
