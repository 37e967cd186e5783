"""A table with its times and ids: what users pass as ``y``, ``past`` and ``future``.

A :class:`Source` knows which rows belong to which series, in the order of time. How its columns
become numbers is said in columns.py.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pygru.core import validation
from pygru.data.identity import check_table, field, names_of, series_codes
from pygru.data.messages import cut, shown_names
from pygru.data.order import Order, Rows, order_rows, refuse_repeats, warn_if_sorted
from pygru.data.stamps import read_stamps, seems_to_hold_dates


@dataclass(frozen=True)
class Keys:
    """Where a table has its ids and its times.

    Attributes
    ----------
    id : tuple of hashable
        The names of the id columns or levels of the index; empty for one series.
    time : hashable
        The name of the time column, or of the index.
    has_time_column : bool
    in_index : bool
        Whether the ids are levels of the index.
    """

    id: tuple[Hashable, ...]
    time: Hashable
    has_time_column: bool
    in_index: bool


@dataclass(frozen=True)
class Source:
    """The rows of a table, told apart by series and sorted by time.

    Attributes
    ----------
    what : str
        What messages call the table: ``"y"``, ``"past"`` or ``"future"``.
    table : DataFrame
        (N, ...) with its rows as the user has them, and the index 0, 1, 2, ...
    keys : Keys
    stamps : Index
        (N,) the times.
    ids : list of hashable
        The series; ``[None]`` without id columns.
    order : Order
    """

    what: str
    table: Any
    keys: Keys
    stamps: Any
    ids: list[Hashable]
    order: Order

    def rows(self, number: int) -> Rows:
        """Return the rows of a series, in the order of time."""
        return self.order.of(number)

    def times(self, number: int) -> Any:
        """Return the times of a series in their order; the frequency of an index is kept."""
        rows = self.rows(number)
        if len(rows) == len(self.stamps) and (np.diff(rows) == 1).all():
            return self.stamps
        return self.stamps[rows]

    def name(self, number: int) -> str:
        """What messages call a series."""
        return f"{self.what}: series {cut(self.ids[number])}" if self.keys.id else self.what


def as_table(what: str, value: Any) -> tuple[Any, str]:
    """Return a DataFrame and the kind of container that the user has passed."""
    if isinstance(value, pd.DataFrame):
        check_table(what, value)
        return value, "frame"
    if isinstance(value, pd.Series):
        if not len(value):
            raise ValueError(f"{what} has no rows")
        return value.to_frame(what if value.name is None else value.name), "series"
    if value is None or hasattr(value, "to_pandas") or hasattr(value, "columns"):
        hint = "; convert it with .to_pandas()" if hasattr(value, "to_pandas") else ""
        raise TypeError(
            f"{what} must be a list, an array, or a Series or DataFrame of pandas, got "
            f"{validation.type_name(value)}{hint}"
        )
    values = validation.as_real(what, value, np.float64)
    if values.ndim not in (1, 2):
        raise ValueError(
            f"{what} must have shape (T,) for one series or (T, n) for n columns, got "
            f"{values.shape}; many series are a long table with id="
        )
    if not values.size:
        raise ValueError(f"{what} has no values: its shape is {values.shape}")
    if values.ndim == 1:
        return pd.DataFrame({what: values}), "array"
    return pd.DataFrame(
        values, columns=[f"{what}{i}" for i in range(values.shape[1])]
    ), "matrix"


def find_keys(what: str, table: Any, id: Any, time: Any) -> Keys:
    """Say where a table has its ids and times; ``id`` and ``time`` are the user's arguments.

    A table whose index has several levels, and for which neither is given, has the ids in all
    levels but the last, and the time in the last.
    """
    levels = list(table.index.names)
    if len(levels) > 1 and id is None and time is None:
        return Keys(tuple(levels[:-1]), levels[-1], False, True)
    names = names_of("id", id)
    for name in names:
        field(what, "id", table, name)
    in_index = any(name not in table.columns for name in names)
    if time is not None:
        (name,) = names_of("time", time) if not isinstance(time, tuple) else (time,)
        field(what, "time", table, name)
        if name in names:
            raise ValueError(f"time and id name the same column {cut(name)}")
        return Keys(names, name, name in table.columns, in_index)
    left = [level for level in levels if not in_index or level not in names]
    if len(left) != 1:
        raise ValueError(
            f"{what}: its index has the levels {shown_names(levels)}; name the one of the time "
            "with time="
        )
    if names and isinstance(table.index, pd.RangeIndex):
        dates = date_column(table)
        raise ValueError(
            f"{what}: a table of several series needs its time: name the column with time="
            + ("" if dates is None else f", such as time={cut(dates)}")
        )
    return Keys(names, left[0], False, in_index)


def read_source(what: str, table: Any, keys: Keys) -> Source:
    """Read the times and ids of a table, sort its rows, and refuse repeated times."""
    if keys.has_time_column:
        stamps = read_stamps(f"{what}: the time column {cut(keys.time)}", table[keys.time])
    else:
        index = table.index
        if isinstance(index, pd.MultiIndex):
            known = set(keys.id) if keys.in_index else set()
            left = [i for i, name in enumerate(index.names) if name not in known]
            index = index.get_level_values(left[-1] if left else -1)
        stamps = read_stamps(f"{what}: the index", index)
    stamps = stamps.rename(keys.time)
    if keys.id:
        columns = id_columns(what, table, keys)
        codes, ids = series_codes(what, columns)
    else:
        codes, ids = np.zeros(len(table), np.int64), [None]
    order = order_rows(stamps, codes, len(ids))
    plain = table.reset_index(drop=True)
    others = None if keys.id else plain
    if others is not None and keys.has_time_column:
        others = plain.drop(columns=[keys.time])
    refuse_repeats(what, stamps, codes, order, others)
    warn_if_sorted(what, stamps, codes)
    return Source(what, plain, keys, stamps, ids, order)


def id_columns(what: str, table: Any, keys: Keys) -> list[Any]:
    """Return the id columns of a table, from its columns or from its index."""
    if keys.in_index and None in keys.id:  # levels without names
        return [
            pd.Series(table.index.get_level_values(level)).reset_index(drop=True)
            for level in range(len(keys.id))
        ]
    return [field(what, "id", table, name) for name in keys.id]


def date_column(table: Any) -> Hashable:
    """Return the name of the first column that seems to hold dates or periods, or None."""
    for place, name in enumerate(table.columns):
        if seems_to_hold_dates(table.iloc[:, place]):
            return name  # type: ignore[no-any-return]
    return None
