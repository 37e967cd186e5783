"""Reads the times of a table: dates, periods, or whole numbers; nothing uncertain is guessed.

Text is read in one format for the whole column. Times that are missing, unreadable, or in more
than one offset from UTC are an error that shows the first such rows. pandas is imported when a
table is read, never before.
"""

from __future__ import annotations

import datetime
import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from pygru.core.validation import type_name
from pygru.data.messages import cut, shown_rows

if TYPE_CHECKING:
    import pandas as pd

# What pandas does not try by itself, because the day is not in it.
MONTHS = ("%b %Y", "%B %Y", "%b-%Y", "%b-%y", "%m/%Y", "%Y/%m", "%m.%Y")
# What pandas does not guess: years of two digits, and times before and after noon.
CLOCKS = ("", " %H:%M", " %H:%M:%S")
NOON = (" %I:%M %p", " %I:%M:%S %p")
MONTH_FIRST = (*(f"%m/%d/%y{clock}" for clock in CLOCKS), *(f"%m/%d/%Y{n}" for n in NOON))
DAY_FIRST = (
    *(f"%d.%m.%y{clock}" for clock in CLOCKS),
    *(f"%d/%m/%y{clock}" for clock in CLOCKS),
    *(f"%d/%m/%Y{n}" for n in NOON),
)
LONGEST = 64  # characters of a date; pandas would try for minutes to read a very long text
OFFSET = r":\d\d(?:[.,]\d+)?\s?(Z|UTC|[+-]\d\d(?::?\d\d)?)$"
QUARTER = r"\d{4}\s?-?Q[1-4]"


def read_stamps(what: str, values: Any) -> pd.Index:
    """Return times as a DatetimeIndex, a PeriodIndex, or an Index of int64.

    Parameters
    ----------
    what : str
        What messages call them, such as ``"y: the time column 'when'"``.
    values : Index or Series
        Of pandas.

    Raises
    ------
    TypeError
        If they are neither dates, periods, whole numbers nor text.
    ValueError
        If one is missing or cannot be read, or if they have more than one offset from UTC.
    """
    import pandas as pd

    # pandas 2 would look at objects itself, and warn.
    index = values if isinstance(values, pd.Index) else pd.Index(values, dtype=values.dtype)
    if isinstance(index.dtype, pd.CategoricalDtype):
        index = pd.Index(np.asarray(index))
    missing = np.flatnonzero(index.isna())
    if missing.size:
        raise ValueError(f"{what} is missing in {shown_rows(missing)}")
    if isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex)):
        return index
    dtype = index.dtype
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_complex_dtype(dtype):
        raise _wrong_kind(what, str(dtype))
    if pd.api.types.is_numeric_dtype(dtype):
        return _whole_numbers(what, index)
    if isinstance(dtype, np.dtype) and dtype.kind in "mV":
        raise _wrong_kind(what, str(dtype))
    if hasattr(dtype, "pyarrow_dtype") and "timestamp" in str(dtype):
        return pd.DatetimeIndex(index.astype(_numpy_dates(dtype)))
    return _objects(what, index)


def seems_to_hold_dates(column: Any) -> bool:
    """Whether a column seems to be one of times: by its dtype, or by the look of its text."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return True
    if isinstance(column.dtype, pd.PeriodDtype):
        return True
    first = next((value for value in column if isinstance(value, str)), "")
    return re.match(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}", first.strip()) is not None


def _numpy_dates(dtype: Any) -> str:
    """The dtype of NumPy or pandas for a column of dates that Arrow holds."""
    kind = dtype.pyarrow_dtype
    return f"datetime64[{kind.unit}{', ' + kind.tz if kind.tz else ''}]"


def _wrong_kind(what: str, kind: str) -> TypeError:
    return TypeError(f"{what} must hold dates, periods or whole numbers, got {kind}")


def _whole_numbers(what: str, index: Any) -> Any:
    import pandas as pd

    numbers = index.to_numpy()
    if numbers.dtype.kind not in "iu":
        numbers = np.asarray(numbers, np.float64)
        broken = np.flatnonzero(~np.isfinite(numbers) | (np.trunc(numbers) != numbers))
        if broken.size:
            raise _wrong_kind(what, shown_rows(broken, index))
    if numbers.size and max(abs(int(numbers.max())), abs(int(numbers.min()))) >= 2**53:
        far = np.flatnonzero(np.abs(numbers.astype(np.float64)) >= 2**53)
        raise ValueError(
            f"{what} has numbers of 2**53 or more, the first in {shown_rows(far, index)}; "
            "convert times that count from 1970 with pandas.to_datetime(..., unit=...)"
        )
    numbers = numbers.astype(np.int64)
    dates = _days_in_digits(what, numbers)
    return pd.Index(numbers, name=index.name) if dates is None else dates.rename(index.name)


def _days_in_digits(what: str, numbers: Any) -> Any:
    """Dates written as numbers such as 20240131, or None; months such as 202401 are refused."""
    import pandas as pd

    if not numbers.size:
        return None
    least, most = int(numbers.min()), int(numbers.max())
    if least >= 19000101 and most <= 21991231:
        found = _attempt(pd.Series(numbers.astype(str)), format="%Y%m%d")
        return None if found is None else pd.DatetimeIndex(found)
    months = numbers % 100
    are_months = least >= 190001 and most <= 219912 and ((months >= 1) & (months <= 12)).all()
    if are_months and most - least > 12:  # a counter would have passed a month of 13
        raise ValueError(
            f"{what} holds numbers such as {numbers[0]}, which seem to be months; convert "
            "them with pandas.to_datetime(..., format='%Y%m')"
        )
    return None


def _objects(what: str, index: Any) -> Any:
    """Times that are objects of Python: text, dates, or periods of pandas."""
    import pandas as pd

    kinds = np.array([_kind_of(value) for value in index], object)
    found = set(kinds)
    if len(found) > 1:
        first = kinds[0]
        odd = np.flatnonzero(kinds != first)
        raise ValueError(
            f"{what} mixes kinds of values: row 0 is {first} ({cut(index[0])}), other than "
            f"{shown_rows(odd, index)}"
        )
    kind = found.pop() if found else "text"
    if kind == "text":
        return read_text(what, index)
    if kind == "a period":
        try:
            return pd.PeriodIndex(index, name=index.name)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{what} mixes periods: {str(error)[:200]}") from None
    if kind != "a date":
        raise _wrong_kind(what, f"{kind} in row 0")
    offsets = [_offset_of(value) for value in index]
    _refuse_mixed(what, index, np.array([str(offset) for offset in offsets], object))
    return pd.DatetimeIndex(pd.to_datetime(index), name=index.name)


def _kind_of(value: object) -> str:
    import pandas as pd

    if isinstance(value, str):
        return "text"
    if isinstance(value, (datetime.date, np.datetime64)):  # also datetime and Timestamp
        return "a date"
    if isinstance(value, pd.Period):
        return "a period"
    return type_name(value)


def _offset_of(value: Any) -> object:
    """A named time zone, or a fixed offset from UTC, or None for a local time."""
    zone = getattr(value, "tzinfo", None)
    if zone is None:
        return None
    name = getattr(zone, "key", None) or getattr(zone, "zone", None)
    return name or value.utcoffset()


def _refuse_mixed(what: str, index: Any, offsets: Any) -> None:
    odd = np.flatnonzero(offsets != offsets[0]) if len(offsets) else np.zeros(0, int)
    if odd.size:
        raise ValueError(
            f"{what} has more than one offset from UTC: row 0 ({cut(index[0])}), but "
            f"{shown_rows(odd, index)}. Convert it first, with "
            "pandas.to_datetime(..., utc=True).dt.tz_convert('Europe/Berlin') or your time zone"
        )


# ---- text --------------------------------------------------------------------------------


def read_text(what: str, index: Any) -> Any:
    """Return text as dates, or as quarters such as ``"2024Q1"``."""
    import pandas as pd

    text = pd.Series(index.astype(object)).str.strip()
    blank = np.flatnonzero(text.to_numpy() == "")
    if blank.size:
        raise ValueError(f"{what} is missing in {shown_rows(blank)}")
    long = np.flatnonzero(text.str.len() > LONGEST)
    if long.size:
        raise ValueError(f"{what} cannot be read as dates: {shown_rows(long, text)}")
    if text.str.fullmatch(QUARTER).all() and len(text):
        plain = text.str.replace(r"\s?-?Q", "Q", regex=True)
        return pd.PeriodIndex(plain.to_numpy(), freq="Q", name=index.name)
    offsets = text.str.extract(OFFSET, expand=False)
    if offsets.notna().any():
        offsets = offsets.fillna("none")
        offsets = offsets.str.replace(":", "").replace({"Z": "+0000", "UTC": "+0000"})
        offsets = offsets.where(offsets.str.len() != 3, offsets + "00")
        _refuse_mixed(what, index, offsets.to_numpy())
    found = _iso(text)
    if found is None:
        found = _by_day_or_month(what, text)
    for month in MONTHS:
        found = _attempt(text, format=month) if found is None else found
    if found is None:
        raise _unreadable(what, text)
    return pd.DatetimeIndex(found, name=index.name)


def _attempt(text: Any, **options: Any) -> Any:
    """Dates that were read in one format, or None."""
    import pandas as pd

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            found = pd.to_datetime(text, **options)
        except (ValueError, TypeError, OverflowError):
            return None
    if any("Could not infer format" in str(each.message) for each in warned):
        return None  # each value would have been read by a format of its own
    return found if found.notna().all() else None


def _iso(text: Any) -> Any:
    return _attempt(text, format="ISO8601")


def _by_day_or_month(what: str, text: Any) -> Any:
    """Dates such as 31/12/2024 or 12/31/2024: the order of day and month must be certain."""
    month_first = None
    if not text.str.match(r"\d{1,2}\.").all():  # a date with dots begins with the day
        month_first = _first_that_fits(text, {}, MONTH_FIRST)
    day_first = _first_that_fits(text, {"dayfirst": True}, DAY_FIRST)
    if month_first is None or day_first is None:
        return day_first if month_first is None else month_first
    if month_first.equals(day_first):
        return month_first
    regular = [reading for reading in (month_first, day_first) if _is_regular(reading)]
    if len(regular) == 1:
        return regular[0]
    row = int(np.flatnonzero((month_first != day_first).to_numpy())[0])
    raise ValueError(
        f"{what} can be read in two ways: row {row} ({cut(text[row])}) is "
        f"{month_first[row].date()} or {day_first[row].date()}. Convert it first, with "
        "pandas.to_datetime(..., dayfirst=True) or dayfirst=False"
    )


def _first_that_fits(text: Any, guess: dict[str, Any], formats: tuple[str, ...]) -> Any:
    found = _attempt(text, **guess)
    for form in formats:
        found = _attempt(text, format=form) if found is None else found
    return found


def _is_regular(dates: Any) -> bool:
    import pandas as pd

    unique = pd.DatetimeIndex(dates.drop_duplicates().sort_values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas 3 will return an offset instead of its name
        return len(unique) > 2 and pd.infer_freq(unique) is not None


def _unreadable(what: str, text: Any) -> ValueError:
    """The error for text that has no single format: the rows that the best one cannot read."""
    import pandas as pd

    best = np.ones(len(text), bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for options in ({"format": "ISO8601"}, {}, {"dayfirst": True}):
            try:
                failed = pd.to_datetime(text, errors="coerce", **options).isna().to_numpy()
            except (ValueError, TypeError, OverflowError):
                continue
            best = failed if failed.sum() < best.sum() else best
    rows = np.flatnonzero(best)
    if not rows.size:  # each value can be read, but only by a format of its own
        rows = np.arange(len(text))
    return ValueError(f"{what} cannot be read as dates of one format: {shown_rows(rows, text)}")
