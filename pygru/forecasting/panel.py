"""Reads what users pass for forecasting into series on complete grids.

A :class:`Panel` is what the forecaster works on: for each series its index, its targets and its
covariates as float64, with NaN where a value is missing. Nothing is filled in and nothing is
scaled here. results.py writes forecasts back in the shape of the input.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.core import validation
from pygru.data.messages import cut
from pygru.data.order import as_integers
from pygru.forecasting.calendar import Steps
from pygru.forecasting.columns import encode, require
from pygru.forecasting.covariates import (
    Covariates,
    blank,
    extended_grid,
    static_columns,
    static_table,
)
from pygru.forecasting.results import to_frame as to_frame
from pygru.forecasting.roles import (
    ARRAYS,
    Roles,
    fitted_roles,
    own_table,
    renamed,
    trained_roles,
)
from pygru.forecasting.schema import Schema
from pygru.forecasting.tables import Keys, Source, as_table, find_keys, read_source
from pygru.forecasting.timeline import (
    complete,
    index_kind,
    steps_of_all,
    steps_of_schema,
    warn_of_holes,
)

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


def check_panel(panel: Any, schema: Schema) -> None:
    """Raise unless the data of a pickle are a panel with the columns of a schema."""
    if not isinstance(panel, Panel) or not isinstance(panel.series, tuple) or not panel.series:
        raise TypeError(f"the data must be a Panel with series, got {validation.shown(panel)}")
    Schema.from_json(panel.schema.to_json())  # raises for what is damaged
    for one in panel.series:
        if not isinstance(one, OneSeries) or not isinstance(one.steps, Steps):
            raise TypeError("each series of the data must be a OneSeries with Steps")
        if one.steps.name != schema.frequency:
            raise ValueError(
                f"the steps must be {schema.frequency!r} as in fit, got {one.steps.name!r}"
            )
        for role in ("targets", "past", "future", "static"):
            _check_values(role, getattr(one, role), len(one), schema.width(role))


def _check_values(role: str, values: Any, steps: int, width: int) -> None:
    """Raise unless the values of a series are numbers for its steps and the columns of a role.

    Those of the future may go on, and static ones have no steps.
    """
    if not isinstance(values, np.ndarray) or values.dtype != np.float64:
        raise TypeError(
            f"{role} must be an array of float64, got {validation.type_name(values)}"
        )
    expected: tuple[int, ...] = (width,) if role == "static" else (steps, width)
    if role == "future" and values.ndim == 2:
        expected = (max(steps, len(values)), width)
    if values.shape != expected:
        raise ValueError(f"{role} must have shape {expected}, got {values.shape}")


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
    """Read one series, or many, with their covariates.

    Rows are sorted by time, with a :class:`pygru.DataWarning`. Steps without a row become rows
    of missing values. Rows of ``y`` after the last one that has a target are no part of the
    series if ``future`` names columns of ``y``: they hold covariates that are known already.

    Parameters
    ----------
    y : Series, DataFrame, or array_like
        (T,) or (T, n); a DataFrame has a column for each target, or is a long table with
        ``id``.
    past, future : list of hashable, DataFrame, Series, or array_like, optional
        Columns of ``y``, or tables of their own; arrays only where ``y`` is one.
    id, time, target : hashable or list of hashable, optional
        Columns of ``y``. Without ``time`` the index is the time.
    static : list of hashable, or DataFrame, optional
        Columns of ``y`` that are constant within a series, or a table with a row for each.
    freq : str, DateOffset or int, optional
        The frequency; by default it is found, see frequency.py.
    schema : Schema, optional
        That of the training data. ``id``, ``time``, ``target`` and ``freq`` come from it. The
        schema of the result describes the columns as it does, and the container of this ``y``.

    Raises
    ------
    TypeError, ValueError
        If something does not fit; the message names the argument and the first rows.
    """
    table, container = as_table("y", y)
    if schema is not None:
        id, time = _trained_keys(schema, table)
    keys = find_keys("y", table, id, time)
    if schema is None:
        roles = fitted_roles(table, container, keys, past, future, target, static)
    else:
        roles, table = trained_roles(schema, table, container, past, future, static)
    source = read_source("y", table, keys)
    steps = steps_of_all(source, freq) if schema is None else steps_of_schema(source, schema)
    found = Schema(
        roles.targets,
        roles.past,
        roles.future,
        roles.static,
        id=keys.id,
        time=keys.time,
        frequency=steps[0].name,
        index=index_kind(source.stamps),
        container=_container(container, keys),
        has_time_column=keys.has_time_column,
    )
    series = _Reader(source, roles).read(steps)
    warn_of_holes(source, len(source.stamps), sum(map(len, series)), steps[0].name, schema)
    return Panel(series, found)


def _container(container: str, keys: Keys) -> str:
    if not keys.id:
        return container
    return "multi" if keys.in_index else "long"


def _trained_keys(schema: Schema, table: Any) -> tuple[Any, Any]:
    """Where a table has the ids and times of the training data; None for its index."""
    levels = table.index.names
    if len(levels) > 1 and None in schema.id:
        return None, None
    known = [*table.columns, *(level for level in levels if level is not None)]
    id = list(schema.id) if schema.id and all(name in known for name in schema.id) else None
    time = schema.time if schema.time is not None and schema.time in table.columns else None
    if id is not None and time is None and len(levels) > 1:
        time = schema.time if schema.time in levels else None
    return id, time


class _Reader:
    """Assembles the series of ``y``'s table and of the tables of covariates."""

    def __init__(self, source: Source, roles: Roles) -> None:
        self.source, self.roles = source, roles
        self.last: tuple[Any, Any] | None = None
        self.targets = encode(source.what, source.table, roles.targets)
        self.past = self._tables("past", roles.past, roles.past_table)
        # Columns of y first: a table of its own, which may cover the future only, adds to them.
        self.future = self._tables("future", roles.future, roles.future_table)
        names = [column.name for column in roles.static]
        self.static: dict[Hashable, Values] | None = None
        if roles.static_table is not None:
            self.static = static_table(roles.static_table, source.keys, roles.static)
        elif names:
            self.static = static_columns(source, roles.static)

    def _tables(self, what: str, columns: Any, own: Any) -> list[Covariates]:
        """The tables that hold the covariates of a role, the one that wins last."""
        tables = []
        if columns and all(column.name in self.source.table.columns for column in columns):
            tables.append(Covariates.of(self.source, columns))
        if own is not None:
            tables.append(Covariates.read(what, own, self.source.keys, columns))
        return tables

    def read(self, steps: list[Steps]) -> tuple[OneSeries, ...]:
        return tuple(self._one(number, own) for number, own in enumerate(steps))

    def _one(self, number: int, steps: Steps) -> OneSeries:
        id = self.source.ids[number]
        grid, place = self._complete(number, steps)
        targets = np.full((len(grid), self.targets.shape[1]), np.nan)
        targets[place] = self.targets[self.source.rows(number)]
        known = self.future and self.future[0].source is self.source
        length = _last_target(targets) if known else len(grid)
        own = [table for table in self.future if table.source is not self.source]
        longer = extended_grid(grid, steps, id, own)
        covariates = []
        for tables, columns, index in (
            (self.past, self.roles.past, grid),
            (self.future, self.roles.future, longer),
        ):
            values = blank(len(index), columns)
            for table in tables:
                if table.source is self.source:
                    values[place] = table.values[self.source.rows(number)]
                else:
                    table.fill(values, id, steps, index)
            covariates.append(values)
        return OneSeries(
            id,
            grid[:length],
            steps,
            targets[:length],
            covariates[0][:length],
            covariates[1],
            self._static_of(id),
        )

    def _complete(self, number: int, steps: Steps) -> tuple[Any, Any]:
        """The grid of a series and its places; many series of a table have the same times."""
        key = steps, as_integers(self.source.times(number)).tobytes()
        if self.last is None or self.last[0] != key:
            self.last = key, complete(self.source, number, steps)
        return self.last[1]

    def _static_of(self, id: Hashable) -> Values:
        if self.static is None:
            return np.zeros(0)
        if id not in self.static:
            raise ValueError(f"static has no row of the series {cut(id)}")
        return self.static[id]


def _last_target(targets: Values) -> int:
    """The number of steps up to the last one that has a target; all, if none has one."""
    rows = np.flatnonzero(~np.isnan(targets).all(axis=1))
    return int(rows[-1]) + 1 if rows.size else len(targets)


# ---- the future --------------------------------------------------------------------------


def future_index(series: OneSeries, horizon: int) -> Any:
    """Return the index of the ``horizon`` steps after the end of a series."""
    count = validation.check_int("horizon", horizon, 1)
    return series.steps.after(series.index[-1], count, series.index.name)


def with_future(panel: Panel, future: Any) -> Panel:
    """Return a panel whose series have the covariates of another ``future`` as well.

    Parameters
    ----------
    panel : Panel
        Of data that has been read before.
    future : DataFrame, Series, or array_like
        A table as for :func:`read_panel`. The rows of an array are the steps after the end.
    """
    schema = panel.schema
    if not schema.future:
        raise ValueError(
            "future was given, and the forecaster was trained without future covariates"
        )
    table = own_table("future", future, schema.container)
    if table is None:
        raise TypeError(
            f"future must be a table of the next steps, got {validation.type_name(future)}"
        )
    if schema.container in ARRAYS:
        table = renamed("future", table, [column.name for column in schema.future])
        if not hasattr(future, "columns"):
            only = panel.series[0]
            table.index = future_index(only, len(table))
    require("future", "future", table, [column.name for column in schema.future])
    keys = Keys(schema.id, schema.time, schema.has_time_column, schema.container == "multi")
    covariates = Covariates.read("future", table, keys, schema.future)
    return dataclasses.replace(
        panel, series=tuple(_longer(series, covariates) for series in panel.series)
    )


def _longer(series: OneSeries, table: Covariates) -> OneSeries:
    known = series.index
    if len(series.future) > len(known):
        known = known.append(future_index(series, len(series.future) - len(known)))
    grid = extended_grid(known, series.steps, series.id, [table])
    values = blank(len(grid), table.columns)
    values[: len(series.future)] = series.future
    table.fill(values, series.id, series.steps, grid)
    return dataclasses.replace(series, future=values)


def require_future(panel: Panel, horizon: int) -> None:
    """Raise unless the future covariates of every series cover the next ``horizon`` steps."""
    if not panel.schema.future:
        return
    for series in panel.series:
        more = len(series.future) - len(series)
        if more < horizon:
            which = f" of series {cut(series.id)}" if panel.schema.id else ""
            missing = future_index(series, horizon)[max(more, 0)]
            raise ValueError(
                f"future must cover the {horizon} steps after {cut(series.index[-1])}{which}: "
                f"it covers {max(more, 0)} of them, and {cut(missing)} is missing"
            )
