"""Finds the steps of an index: the frequency of dates, of periods and of numbers.

The first of these that gives an answer decides:

1. ``freq=``; every time must then be on its grid.
2. The frequency that the index itself carries, as one of ``pandas.date_range`` does.
3. ``pandas.infer_freq``, which needs three times or more and no hole.
4. With holes, or with two times: the calendar on which all times lie and on which most of them
   follow each other directly. The calendars are month ends and month starts (also of business
   days), one day of the week, business days, days at one time of day, and equal lengths of
   time. A step is the largest number of units that divides all differences, such as three
   months. At least half of the differences must be exactly one step.

Otherwise the frequency is not found, and the error says how to name it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pygru.core import validation
from pygru.data.messages import cut, shown_rows
from pygru.forecasting.calendar import (
    DateSteps,
    NumberedSteps,
    PeriodSteps,
    Steps,
    as_offset,
    has_name,
    length_of,
)

DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
HALF = 0.5
DAY = 86_400e9  # in nanoseconds


def given_steps(stamps: Any, freq: object) -> Steps:
    """Return the steps that ``freq=`` names for an index.

    Raises
    ------
    TypeError, ValueError
        If ``freq`` is no frequency, or none for this kind of index.
    """
    if isinstance(stamps, pd.DatetimeIndex):
        return DateSteps(as_offset(freq))
    if isinstance(stamps, pd.PeriodIndex):
        steps = PeriodSteps(stamps.dtype)
        if str(freq) != steps.name:
            raise ValueError(
                f"freq={validation.shown(freq)} does not fit: the index has periods of "
                f"{steps.name!r}. Change it with index.asfreq"
            )
        return steps
    if isinstance(freq, (str, pd.offsets.BaseOffset)):
        raise ValueError(
            f"freq={validation.shown(freq)} needs dates, and the index has numbers. Name the "
            "time column with time=, or make it the index"
        )
    return NumberedSteps(validation.check_int("freq", freq, 1))


def find_steps(stamps: Any) -> Steps | None:
    """Return the steps of an index that is sorted and has no repeats; None if not found."""
    if isinstance(stamps, pd.PeriodIndex):
        return PeriodSteps(stamps.dtype)
    if not isinstance(stamps, pd.DatetimeIndex):
        return _numbered(stamps)
    own = stamps.freq
    if own is not None and own.n > 0 and has_name(own):
        return DateSteps(own)
    found = _inferred(stamps) or _most_direct(stamps)
    return None if found is None else DateSteps(found)


def steps_like(steps: Steps, stamps: Any) -> Steps | None:
    """Return steps of the same length on which all stamps lie, such as weeks of another day."""
    if isinstance(steps, NumberedSteps):
        numbers = np.asarray(stamps, np.int64)
        return None if ((numbers - numbers[0]) % steps.step).any() else steps
    if isinstance(steps, DateSteps):
        return _dates_like(steps, stamps)
    own = PeriodSteps(stamps.dtype)
    return own if own.same_length(steps) else None


def _dates_like(steps: DateSteps, stamps: Any) -> Steps | None:
    if is_on_grid(steps, stamps):
        return steps
    kind, length = length_of(steps.freq)
    for calendar in _calendars(stamps):
        n = length / calendar.length
        if calendar.kind != kind or n != int(n) or (np.diff(calendar.units) % int(n)).any():
            continue
        return DateSteps(calendar.offset(int(n)))
    return None


def is_on_grid(steps: Steps, stamps: Any) -> bool:
    """Whether all stamps, sorted, lie on the grid that begins at the first."""
    return not (steps.place(steps.grid(stamps), stamps) < 0).any()


def no_steps(what: str, stamps: Any) -> ValueError:
    """The error for an index whose frequency is not found."""
    few = "has one row" if len(stamps) == 1 else f"runs from {cut(stamps[0])}"
    text = f"{what}: the frequency of the time could not be found: it {few}"
    if len(stamps) > 1:
        step = np.diff(stamps.asi8 if hasattr(stamps, "asi8") else np.asarray(stamps))
        usual, counts = np.unique(step, return_counts=True)
        row = int(np.flatnonzero(step != usual[counts.argmax()])[:1].sum())
        text += f", and {cut(stamps[row + 1])} follows {cut(stamps[row])}"
    if not isinstance(stamps, pd.DatetimeIndex):
        text += (
            ". Name the difference of one step with freq=, such as freq=1; if the numbers are "
            "dates such as 20240131, convert them with pandas.to_datetime(..., format='%Y%m%d')"
        )
        return ValueError(text)
    text += ". Name it with freq=, such as freq='D' or freq='15min'"
    if len(stamps) > 2 and len(set(stamps.day)) == 1:
        return ValueError(f"{text}; for one day of each month use index.to_period('M')")
    return ValueError(f"{text}; for times that are not exact, round them: index.round('15min')")


def off_grid(
    what: str, steps: Steps, rows: Any, wrong: Any, first: Any, stamps: Any
) -> ValueError:
    """The error for rows, in the order of the table, whose time is not on the grid."""
    values = {int(row): stamp for row, stamp in zip(rows, wrong, strict=True)}
    order = sorted(values)
    other = find_steps(stamps)
    hint = "" if other is None or other.name == steps.name else f" (they fit {other.name!r})"
    return ValueError(
        f"{what}: the steps are {steps.name!r}, counted from {cut(first)}, and "
        f"{shown_rows(order, values)} {'is' if len(order) == 1 else 'are'} not on them{hint}. "
        "Correct the times, or name another frequency with freq="
    )


# ---- numbers -----------------------------------------------------------------------------


def _numbered(stamps: Any) -> Steps | None:
    differences = np.diff(np.asarray(stamps, np.int64))
    step = int(np.gcd.reduce(differences)) if differences.size else 1
    if differences.size and (differences == step).mean() < HALF:
        return None
    return NumberedSteps(step)


# ---- dates -------------------------------------------------------------------------------


def _inferred(stamps: Any) -> Any:
    if len(stamps) < 3:
        return None
    with warnings.catch_warnings():
        # pandas 3 announces that this will return an offset instead of its name.
        warnings.simplefilter("ignore")
        found = pd.infer_freq(stamps)
    return None if found is None else pd.tseries.frequencies.to_offset(found)


class _Calendar(NamedTuple):
    kind: str  # of length, as calendar.length_of names it
    length: float  # of one unit
    units: NDArray[np.int64]  # the place of each stamp, in units
    offset: Callable[[int], Any]  # number of units -> the offset of pandas


def _most_direct(stamps: Any) -> Any:
    """The offset on whose grid most stamps follow each other directly."""
    if len(stamps) < 2:
        return None
    best, best_share = None, HALF
    for calendar in _calendars(stamps):
        units = np.diff(calendar.units)
        step = int(np.gcd.reduce(units))
        if calendar.kind == "B" and step > 1:
            continue
        share = (units == step).mean()
        if share > best_share or (best is None and share == best_share):
            best, best_share = calendar.offset(step), share
    return best


def _calendars(stamps: Any) -> Iterator[_Calendar]:
    """The calendars on which all stamps lie, the ones with the longest units first."""
    local = stamps.tz_localize(None)
    days = local.normalize()
    if (local - days).nunique() == 1:  # one time of day
        number = days.to_numpy().astype("datetime64[D]")
        months = (number.astype("datetime64[M]")).astype(np.int64)
        for rule, offset in MONTHLY.items():
            if all(map(offset.is_on_offset, days)):
                yield _Calendar("months", 1, months, _by_month(rule, int(months[0])))
        day, count = int(days.day_of_week[0]), number.astype(np.int64)
        if (days.day_of_week == day).all():
            weeks = (count - count[0]) // 7
            yield _Calendar("time", 7 * DAY, weeks, _by_rule(f"W-{DAYS[day]}"))
        business = np.busday_count(number[0], number).astype(np.int64)
        if (days.day_of_week < 5).all() and _has_weekend(business, count):
            yield _Calendar("B", 1, business, _by_rule("B"))
        yield _Calendar("time", DAY, count, _by_rule("D"))
    unit = stamps.unit
    yield _Calendar(
        "time",
        pd.Timedelta(1, unit) / pd.Timedelta(1, "ns"),
        stamps.asi8,
        lambda n: pd.tseries.frequencies.to_offset(pd.Timedelta(n, unit)),
    )


MONTHLY = {
    "ME": pd.offsets.MonthEnd(),
    "MS": pd.offsets.MonthBegin(),
    "BME": pd.offsets.BMonthEnd(),
    "BMS": pd.offsets.BMonthBegin(),
}


def _has_weekend(business: NDArray[np.int64], days: NDArray[np.int64]) -> bool:
    """Whether a weekend lies between the first and the last day: only then it is left out."""
    return bool(business[-1] - business[0] != days[-1] - days[0])


def _by_month(rule: str, first: int) -> Callable[[int], Any]:
    """Offsets of months; of quarters and years where the number of months allows it."""
    side = rule.removeprefix("B")[-1]  # E or S
    prefix = "B" if rule.startswith("B") else ""

    def offset(months: int) -> Any:
        month = first % 12
        if months % 12 == 0:
            name, n = f"{prefix}Y{side}-{MONTHS[month]}", months // 12
        elif months % 3 == 0:
            # The quarters' months are three apart: pandas names the last of a year.
            name, n = f"{prefix}Q{side}-{MONTHS[9 + month % 3]}", months // 3
        else:
            name, n = rule, months
        return pd.tseries.frequencies.to_offset(f"{n}{name}")

    return offset


def _by_rule(rule: str) -> Callable[[int], Any]:
    return lambda n: pd.tseries.frequencies.to_offset(f"{n}{rule}")
