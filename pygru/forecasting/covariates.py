"""Covariates of one series on its grid, from ``y``'s own table or from a table of their own.

Covariates that are known for the future reach beyond the end of the series. A table of its own
that has no id columns holds for every series, as a calendar of holidays does.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pygru.data.identity import check_table, series_codes
from pygru.data.messages import cut, shown_names, shown_rows
from pygru.forecasting.calendar import Steps
from pygru.forecasting.columns import blank_row, encode, require
from pygru.forecasting.schema import Column
from pygru.forecasting.tables import Keys, Source, find_keys, id_columns, read_source
from pygru.forecasting.timeline import index_kind

Values = NDArray[np.float64]


def keys_of_covariates(what: str, table: Any, keys: Keys) -> Keys:
    """Say where a table of covariates has the ids and times that ``y`` has."""
    if isinstance(table.index, pd.MultiIndex):
        return find_keys(what, table, None, None)
    present = [name is not None and name in table.columns for name in keys.id]
    if any(present) and not all(present):
        raise ValueError(f"{what} must have all of the id columns {shown_names(keys.id)}")
    time = keys.time if keys.time is not None and keys.time in table.columns else None
    if keys.has_time_column and time is None and isinstance(table.index, pd.RangeIndex):
        raise ValueError(
            f"{what} has no time column {cut(keys.time)}; its columns are "
            f"{shown_names(table.columns)}"
        )
    return find_keys(what, table, list(keys.id) if keys.id and all(present) else None, time)


@dataclass(frozen=True)
class Covariates:
    """A table of covariates: where its rows belong, and its values as numbers."""

    source: Source
    values: Values
    columns: tuple[Column, ...]
    numbers: dict[Hashable, int]  # id -> number of the series in the source

    @classmethod
    def read(cls, what: str, table: Any, keys: Keys, columns: tuple[Column, ...]) -> Covariates:
        """Read a table of covariates for series that have ``keys``."""
        check_table(what, table)
        source = read_source(what, table, keys_of_covariates(what, table, keys))
        return cls.of(source, columns)

    @classmethod
    def of(cls, source: Source, columns: tuple[Column, ...]) -> Covariates:
        """Return the covariates that are columns of a table that has been read."""
        values = encode(source.what, source.table, columns)
        return cls(source, values, columns, {id: n for n, id in enumerate(source.ids)})

    def number(self, id: Hashable) -> int:
        """Return the number of a series here; a table without ids holds for all."""
        if not self.source.keys.id:
            return 0
        if id not in self.numbers:
            raise ValueError(f"{self.source.what} has no rows of the series {cut(id)}")
        return self.numbers[id]

    def times(self, id: Hashable, grid: Any) -> Any:
        """Return the times of a series, in the time zone of its grid."""
        stamps = self.source.times(self.number(id))
        what = self.source.what
        if index_kind(stamps) != index_kind(grid):
            raise ValueError(
                f"{what}: its times are {index_kind(stamps)}, and those of y are "
                f"{index_kind(grid)}"
            )
        if isinstance(stamps, pd.PeriodIndex) and stamps.dtype != grid.dtype:
            raise ValueError(
                f"{what}: its times are {stamps.dtype}, and those of y {grid.dtype}"
            )
        zone, other = getattr(grid, "tz", None), getattr(stamps, "tz", None)
        if (zone is None) != (other is None):
            raise ValueError(
                f"{what}: its times have {_zone(other)}, and those of y have {_zone(zone)}"
            )
        return stamps if zone is None else stamps.tz_convert(zone)

    def end(self, id: Hashable, grid: Any) -> Any:
        """Return the last time of a series."""
        return self.times(id, grid)[-1]

    def fill(self, target: Values, id: Hashable, steps: Steps, grid: Any) -> None:
        """Write the known values of a series into ``target``, (len(grid), width).

        Rows beside the grid are left out, such as the weekends of a daily table for a series
        of business days; a table none of whose rows is on the grid is refused.
        """
        stamps = self.times(id, grid)
        rows = self.source.rows(self.number(id))
        inside = (stamps >= grid[0]) & (stamps <= grid[-1])
        place = steps.place(grid, stamps[inside])
        if inside.any() and (place < 0).all():
            wrong = rows[np.flatnonzero(inside)]
            raise ValueError(
                f"{self.source.what}: no time of it is a time of y, which has steps of "
                f"{steps.name!r} from {cut(grid[0])}: {shown_rows(wrong, self.source.stamps)}"
            )
        found = self.values[rows[inside][place >= 0]]
        place = place[place >= 0]
        target[place] = np.where(np.isnan(found), target[place], found)


def _zone(zone: Any) -> str:
    return "no time zone" if zone is None else f"the time zone {zone}"


def extended_grid(grid: Any, steps: Steps, id: Hashable, tables: Sequence[Covariates]) -> Any:
    """Return a grid that goes on to the last row of the covariates that are known further."""
    ends = [table.end(id, grid) for table in tables]
    last = max(ends, default=grid[-1])
    if not last > grid[-1]:
        return grid
    more = steps.until(grid[-1], last, grid.name)
    return grid.append(more) if len(more) else grid


def blank(rows: int, columns: Sequence[Column]) -> Values:
    """Return covariates of which nothing is known, (rows, width)."""
    return np.tile(blank_row(columns), (rows, 1))


# ---- static ------------------------------------------------------------------------------


def static_table(table: Any, keys: Keys, columns: tuple[Column, ...]) -> dict[Hashable, Values]:
    """Return the static covariates of each id, from a table with one row for each."""
    check_table("static", table)
    require("static", "static", table, [column.name for column in columns])
    if not keys.id:
        if len(table) != 1:
            raise ValueError(f"static must have one row for one series, got {len(table)}")
        return {None: encode("static", table, columns)[0]}
    present = [name is not None and name in table.columns for name in keys.id]
    if all(present):
        found = Keys(keys.id, None, False, False)
        id_values = id_columns("static", table, found)
    elif table.index.nlevels == len(keys.id):
        id_values = [
            pd.Series(table.index.get_level_values(level), name=name)
            for level, name in enumerate(keys.id)
        ]
    else:
        raise ValueError(
            f"static must have the id in the columns {shown_names(keys.id)} or as its index"
        )
    codes, ids = series_codes("static", id_values)
    if len(ids) != len(table):
        row = int(np.flatnonzero(pd.Series(codes).duplicated())[0])
        raise ValueError(
            f"static must have one row for each series; row {row} is another one of "
            f"{cut(ids[codes[row]])}"
        )
    return dict(zip(ids, encode("static", table, columns), strict=True))


def static_columns(source: Source, columns: tuple[Column, ...]) -> dict[Hashable, Values]:
    """Return the static covariates of each id, from columns that are constant within it."""
    values = encode(source.what, source.table, columns)
    result: dict[Hashable, Values] = {}
    for number, id in enumerate(source.ids):
        rows = source.rows(number)
        result[id] = blank_row(columns)
        place = 0
        for column in columns:
            known = rows[source.table[column.name].iloc[rows].notna().to_numpy()]
            part = slice(place, place + column.width)
            place += column.width
            if not len(known):
                continue
            own = values[known, part]
            if (own != own[0]).any():
                row = np.flatnonzero((own != own[0]).any(axis=1))[:1]
                raise ValueError(
                    f"{source.name(number)}: the static column {cut(column.name)} is not "
                    f"constant: "
                    f"{shown_rows(known[[0, int(row[0])]], source.table[column.name])}"
                )
            result[id][part] = own[0]
    return result
