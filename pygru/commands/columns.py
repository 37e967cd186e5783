"""The columns of a file that a forecaster gets: chosen by the options, checked, and converted.

Targets become float64, times become dates or numbers of steps, covariates numbers or
categories. The other columns stay in the table and have no effect.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pygru.commands.errors import CommandError, UsageError
from pygru.commands.lists import names as names
from pygru.commands.wording import in_words_of_the_file
from pygru.core.validation import shown
from pygru.data.messages import shown_rows
from pygru.data.stamps import read_stamps
from pygru.forecasting.file_table import Table
from pygru.forecasting.reading import read_table

ROLES = ("target", "time", "id", "features", "future_features", "static")
SAMPLE = 20  # cells that say whether a column has dates

DATE = re.compile(
    r"\s*([0-9]{4}-?[0-9]{2}(-?[0-9]{2})?([T ].*)?|[0-9]{4}\s?-?Q[1-4]|"
    r"[0-9]{1,4}[-/.][0-9]{1,2}([-/.][0-9]{1,4})?([T ].*)?|"
    r"([0-9]{1,2}[- ])?[A-Za-z]{3,9}[-, ]+([0-9]{1,2},? )?[0-9]{2,4}([T ].*)?)\s*"
)


@dataclass(frozen=True)
class Chosen:
    """A table as the forecaster reads it, and the names of its columns."""

    table: Table
    frame: pd.DataFrame
    target: list[str]
    time: str | None
    id: list[str]
    features: list[str]
    future_features: list[str]
    static: list[str]

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of ``GRUForecaster.fit`` beside the table."""
        return {
            "past": self.features or None,
            "future": self.future_features or None,
            "static": self.static or None,
            "target": self.target,
            "time": self.time,
            "id": self.id or None,
        }


def read(path: str, options: argparse.Namespace, text: Sequence[str] = ()) -> Table:
    """Read a file as the options say; ids stay text, so that ``007`` comes back as it was."""
    return read_table(
        path,
        separator=options.sep,
        decimal=options.decimal,
        encoding=options.encoding,
        missing=options.na_values or (),
        text=text,
    )


def names_in(table: Table, option: str, value: str | None) -> list[str]:
    """Return names of columns that exist; a column's own name may have commas."""
    if value is None:
        return []
    if value in table.frame.columns:
        return [value]
    found = [table.require(name) for name in names(value)]
    for name in found:
        if found.count(name) > 1:
            raise UsageError(f"{option} names the column {shown(name)} twice")
    return found


def choose(table: Table, options: argparse.Namespace) -> Chosen:
    """Return the columns that the options name; find the target and the time if they do not.

    Raises
    ------
    CommandError, FormatError, UsageError
        If a column does not exist, is named twice, or has cells of the wrong kind.
    """
    found = {
        role: names_in(table, f"--{role.replace('_', '-')}", getattr(options, role))
        for role in ROLES
    }
    taken: dict[str, str] = {}
    for role, columns in found.items():
        option = f"--{role.replace('_', '-')}"
        for name in columns:
            if name in taken:
                raise UsageError(
                    f"{taken[name]} and {option} name the same column {shown(name)}"
                )
            taken[name] = option
    if len(found["time"]) > 1:
        raise UsageError("--time names more than one column")
    if not found["time"]:
        found["time"] = find_time(table.frame, taken)
    if not found["target"]:
        found["target"] = [_only_column(table, {*taken, *found["time"]})]
    time = found["time"][0] if found["time"] else None
    return Chosen(
        table,
        convert(table, found, options.time_zone),
        found["target"],
        time,
        found["id"],
        found["features"],
        found["future_features"],
        found["static"],
    )


def _only_column(table: Table, taken: set[str]) -> str:
    """The one column of numbers that has no role yet, as the target."""
    left = [
        name
        for name in table.frame.columns
        if name not in taken
        and pd.api.types.is_numeric_dtype(table.frame[name].dtype)
        and table.frame[name].notna().any()
    ]
    if len(left) == 1:
        return str(left[0])
    shown_names = ", ".join(map(shown, left[:8])) + (", ..." if len(left) > 8 else "")
    raise UsageError(
        f"--target must say which column to forecast: {table.name} has "
        + (f"{len(left)} columns of numbers, {shown_names}" if left else "no column of numbers")
    )


def find_time(frame: pd.DataFrame, taken: Sequence[str] | dict[str, str]) -> list[str]:
    """Return the name of the column that obviously has the times, or nothing.

    That is the first column of dates. If there is none, it is the first column of the table,
    if that counts in equal steps, as years do.
    """
    for name in frame.columns:
        if name not in taken and _has_dates(frame[name], name):
            return [name]
    first = frame.columns[0]
    if first not in taken and len(frame.columns) > 1 and _counts(frame[first]):
        return [first]
    return []


def _has_dates(cells: pd.Series, name: str) -> bool:
    dtype = cells.dtype
    if pd.api.types.is_datetime64_any_dtype(dtype) or isinstance(dtype, pd.PeriodDtype):
        return True
    if pd.api.types.is_numeric_dtype(dtype):
        return _compact_dates(cells) is not None
    sample = cells.dropna().head(SAMPLE)
    # Most of them: a date that cannot be read is an error, and no reason to ignore the others.
    dates = [isinstance(cell, str) and bool(DATE.fullmatch(cell)) for cell in sample]
    return sum(dates) > len(dates) / 2


def _compact_dates(cells: pd.Series) -> Any:
    """Dates such as 20241231, or None where some cell is no such number."""
    first, last = 1000_01_01, 2999_12_31
    if not pd.api.types.is_integer_dtype(cells.dtype) or cells.isna().any():
        return None
    if not first <= cells.iloc[0] <= last or not cells.between(first, last).all():
        return None
    dates = pd.to_datetime(cells.astype(str), format="%Y%m%d", errors="coerce")
    return None if dates.isna().any() else dates


def _counts(cells: pd.Series) -> bool:
    if not pd.api.types.is_integer_dtype(cells.dtype) or len(cells) < 3 or cells.isna().any():
        return False
    steps = cells.diff().iloc[1:]
    return bool(steps.iloc[0] != 0 and (steps == steps.iloc[0]).all())


# ---- conversion --------------------------------------------------------------------------


def convert(table: Table, roles: dict[str, list[str]], zone: str | None) -> pd.DataFrame:
    """Return the table with the columns of each role as the forecaster reads them."""
    changed: dict[str, Any] = {}
    for name in roles.get("target", ()):
        changed[name] = table.numbers(name)
    for role in ("features", "future_features", "static"):
        changed |= {name: table.covariate(name) for name in roles.get(role, ())}
    for name in roles.get("time", ()):
        changed[name] = times(table, name, zone, roles.get("id", []))
    return table.frame.assign(**changed) if changed else table.frame


def times(table: Table, name: str, zone: str | None, id: list[str]) -> Any:
    """Return a column as dates, periods, or numbers of steps; with ``zone`` as its local time.

    ``id`` are the columns that tell the series apart, each of which goes through the hours.

    Raises
    ------
    CommandError
        If a cell cannot be read; the message shows the first ones.
    """
    cells = table.frame[name]
    compact = _compact_dates(cells) if pd.api.types.is_numeric_dtype(cells.dtype) else None
    what = f"y: the time column {shown(name)}"
    try:
        if zone is not None and _has_offsets(cells):
            stamps = pd.DatetimeIndex(pd.to_datetime(cells, utc=True, format="ISO8601"))
        else:
            stamps = read_stamps(what, cells if compact is None else compact)
        if zone is None:
            return stamps
        series = (
            table.frame.groupby(id, sort=False, dropna=False).indices.values() if id else ()
        )
        return _in_zone(what, stamps, zone, list(series) or [np.arange(len(stamps))])
    except (ValueError, TypeError) as error:
        said = in_words_of_the_file(str(error), table)
        said = re.sub(r"Convert it first, with pandas\S*.*$", _hint(said), said)
        raise CommandError(said) from None


def _hint(text: str) -> str:
    if "two ways" in text:
        return "Write the dates as year-month-day"
    return "Name the time zone with --time-zone, such as --time-zone Europe/Berlin"


def _in_zone(what: str, stamps: Any, zone: str, series: list[Any]) -> Any:
    """Give local times their time zone, or convert times of another one.

    Parameters
    ----------
    what : str
        What messages call the times.
    stamps : Index
    zone : str
    series : list of ndarray of int
        The rows of each series.
    """
    if not isinstance(stamps, pd.DatetimeIndex):
        raise ValueError(f"{what} has no dates, so that --time-zone does not fit")
    if stamps.tz is not None:
        return stamps.tz_convert(zone)
    parts = [pd.Series(_localized(stamps[rows], zone), rows) for rows in series]
    found = pd.concat(parts).reindex(np.arange(len(stamps)))
    left_out = np.flatnonzero(found.isna())
    if left_out.size:
        raise ValueError(
            f"{what} has a time that the clocks of {zone} leave out: "
            f"{shown_rows(left_out, stamps)}"
        )
    return found


def _localized(stamps: Any, zone: str) -> Any:
    """Local times of one series in their zone; NaT where the clocks leave a time out."""
    is_backwards = len(stamps) > 1 and stamps[0] > stamps[-1]
    stamps = stamps[::-1] if is_backwards else stamps
    try:
        found = stamps.tz_localize(zone, ambiguous="infer", nonexistent="NaT")
    except Exception:  # an hour that the clocks repeat is there once: it is the first one
        # (With pandas 2 the error is one of pytz, and no ValueError.)
        first = np.ones(len(stamps), np.bool_)
        found = stamps.tz_localize(zone, ambiguous=first, nonexistent="NaT")
    return found[::-1] if is_backwards else found


def _has_offsets(cells: Any) -> bool:
    if not pd.api.types.is_string_dtype(cells.dtype):
        return False
    return bool(cells.astype(str).str.contains(r":\d\d.*(?:Z|[+-]\d\d(?::?\d\d)?)$").any())
