"""How the index of a series goes on: its complete grid, and the stamps after its end.

All dates come from the offsets of pandas. Three kinds of index have steps: dates, periods and
numbers. Nothing is guessed here: frequency.py finds the steps of an index.

A step of a day or longer counts on the wall clock: with a time zone, the next day has the same
local time, also when the clocks change. A step of hours or less counts elapsed time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pygru.core import validation

# A hole becomes rows of missing values. A stamp that is wrong by centuries would become
# millions of them: more rows than this for each row of the data are refused.
MOST_STEPS_PER_ROW = 1000
ALWAYS_ALLOWED = 100_000


@dataclass(frozen=True)
class Steps:
    """The steps of an index; the subclasses say which index."""

    @property
    def name(self) -> str | int:
        """The frequency as pandas writes it, or the difference of numbered steps."""
        raise NotImplementedError

    def grid(self, stamps: Any) -> Any:
        """Return the complete index from the first of ``stamps`` to the last.

        ``stamps`` is sorted and has no repeats. Stamps that are not on the grid are missing in
        the result; the caller refuses them, since only the caller knows their rows.
        """
        raise NotImplementedError

    def place(self, grid: Any, stamps: Any) -> Any:
        """Return where each stamp is on a grid, (N,), and -1 where it is not on it."""
        return grid.get_indexer(stamps)

    def after(self, last: Any, count: int, name: Any = None) -> Any:
        """Return the index of the ``count`` steps after ``last``."""
        raise NotImplementedError

    def until(self, last: Any, end: Any, name: Any = None) -> Any:
        """Return the index of the steps after ``last`` that are not after ``end``."""
        return self.grid(pd.Index([last, end], name=name))[1:]

    def same_length(self, other: Steps) -> bool:
        """Whether two series have steps of one length, such as weeks that end on any day."""
        raise NotImplementedError


def _check_size(steps: float, rows: int, first: Any, last: Any, name: str | int) -> None:
    if steps > max(ALWAYS_ALLOWED, MOST_STEPS_PER_ROW * rows):
        raise ValueError(
            f"the time runs from {first} to {last}, which is {steps:.0f} steps of {name!r} for "
            f"only {rows} rows. Look for a wrong time, or name the frequency with freq="
        )


@dataclass(frozen=True)
class NumberedSteps(Steps):
    """Steps that are counted: 0, 1, 2, ..., or with another difference."""

    step: int

    @property
    def name(self) -> int:
        return self.step

    def grid(self, stamps: Any) -> Any:
        first, last = int(stamps[0]), int(stamps[-1])
        _check_size((last - first) / self.step, len(stamps), first, last, self.step)
        return pd.RangeIndex(first, last + 1, self.step, name=stamps.name)

    def after(self, last: Any, count: int, name: Any = None) -> Any:
        first = int(last) + self.step
        return pd.RangeIndex(first, first + count * self.step, self.step, name=name)

    def same_length(self, other: Steps) -> bool:
        return self == other


@dataclass(frozen=True)
class PeriodSteps(Steps):
    """Periods of one frequency, such as months or quarters."""

    dtype: Any  # a PeriodDtype of pandas

    @property
    def name(self) -> str:
        return str(self.dtype.name).removeprefix("period[").removesuffix("]")

    def _index(self, ordinals: Any, name: Any) -> Any:
        return pd.PeriodIndex(pd.PeriodIndex.from_ordinals(ordinals, freq=self.name), name=name)

    def grid(self, stamps: Any) -> Any:
        first, last, step = stamps[0].ordinal, stamps[-1].ordinal, self.dtype.freq.n
        _check_size((last - first) / step, len(stamps), stamps[0], stamps[-1], self.name)
        return self._index(np.arange(first, last + 1, step), stamps.name)

    def after(self, last: Any, count: int, name: Any = None) -> Any:
        return self._index(last.ordinal + self.dtype.freq.n * np.arange(1, count + 1), name)

    def same_length(self, other: Steps) -> bool:
        if not isinstance(other, PeriodSteps):
            return False
        return length_of(self.dtype.freq) == length_of(other.dtype.freq)


@dataclass(frozen=True)
class DateSteps(Steps):
    """Dates at a frequency of pandas, such as ``"D"``, ``"ME"``, ``"W-SUN"`` or ``"15min"``."""

    freq: Any

    @property
    def name(self) -> str:
        return str(self.freq.freqstr)

    @property
    def is_elapsed(self) -> bool:
        """Whether a step is a length of time, and no date of the calendar."""
        # A Day is a Tick in pandas 2 and none in pandas 3; here it is a date.
        is_day = isinstance(self.freq, pd.offsets.Day)
        return isinstance(self.freq, pd.offsets.Tick) and not is_day

    def _plain(self, stamps: Any) -> Any:
        """Return stamps without a time zone, in which the steps are regular."""
        if stamps.tz is None:
            return stamps
        return stamps.tz_convert(None) if self.is_elapsed else stamps.tz_localize(None)

    def _in_zone(self, plain: Any, tz: Any) -> Any:
        """Return plain stamps with their time zone.

        A local time that happens twice is the first one. A local time that is left out when the
        clocks go forward becomes the next one that exists.
        """
        if tz is None:
            return plain
        if self.is_elapsed:
            return plain.tz_localize("UTC").tz_convert(tz)
        first_of_two = np.ones(len(plain), bool)
        return plain.tz_localize(tz, ambiguous=first_of_two, nonexistent="shift_forward")

    def grid(self, stamps: Any) -> Any:
        plain = self._plain(stamps)
        first, last = plain[0], plain[-1]
        ahead = pd.date_range(first, periods=2, freq=self.freq, unit=first.unit)
        length = ahead[1] - ahead[0]
        _check_size((last - first) / length, len(stamps), stamps[0], stamps[-1], self.name)
        found = pd.date_range(first, last, freq=self.freq, unit=first.unit, name=stamps.name)
        return self._in_zone(found, stamps.tz)

    def place(self, grid: Any, stamps: Any) -> Any:
        # On the wall clock: a local time that happens twice is one day, whichever it is.
        return self._plain(grid).get_indexer(self._plain(stamps))

    def after(self, last: Any, count: int, name: Any = None) -> Any:
        plain = self._plain(last)
        try:
            ahead = pd.date_range(
                plain, periods=count + 1, freq=self.freq, unit=last.unit, name=name
            )
        except (OverflowError, pd.errors.OutOfBoundsDatetime):
            raise ValueError(
                f"{count} steps of {self.name!r} after {last} lie beyond the dates that pandas "
                "can hold"
            ) from None
        return self._in_zone(ahead[1:], last.tz)

    def same_length(self, other: Steps) -> bool:
        return isinstance(other, DateSteps) and length_of(self.freq) == length_of(other.freq)


def length_of(freq: Any) -> tuple[str, float]:
    """The length of a step without the day on which it falls: weeks, months, business days."""
    rule = str(freq.rule_code).partition("-")[0]
    if isinstance(freq, (pd.offsets.Tick, pd.offsets.Day)):
        nanos = freq.n * 86_400e9 if isinstance(freq, pd.offsets.Day) else float(freq.nanos)
        return "time", nanos
    if rule == "W":
        return "time", freq.n * 7 * 86_400e9
    months = {"M": 1, "ME": 1, "MS": 1, "BM": 1, "BME": 1, "BMS": 1}
    months |= {f"{start}{end}": 3 for start in ("Q", "BQ") for end in ("", "E", "S")}
    months |= {
        f"{start}{end}": 12 for start in ("Y", "A", "BY", "BA") for end in ("", "E", "S")
    }
    if rule in months:
        return "months", freq.n * months[rule]
    return rule, freq.n


def as_offset(freq: object) -> Any:
    """Return ``freq=`` as an offset of pandas.

    Raises
    ------
    TypeError, ValueError
        If it is no frequency, runs backwards, or has no name that pandas can read back, such
        as business days with holidays of their own.
    """
    if not isinstance(freq, (str, pd.offsets.BaseOffset)):
        raise TypeError(
            "freq must be a frequency of pandas such as 'D', 'ME' or '15min', got "
            f"{validation.type_name(freq)}"
        )
    try:
        offset = pd.tseries.frequencies.to_offset(freq)
    except ValueError:
        raise ValueError(
            f"freq must be a frequency of pandas such as 'D', 'ME' or '15min', got "
            f"{validation.shown(freq)}"
        ) from None
    if offset is None or offset.n < 1:
        raise ValueError(f"freq must step forward, got {validation.shown(freq)}")
    if not has_name(offset):
        raise ValueError(
            f"freq={validation.shown(freq)} has no name that a file could hold. Use one that "
            "has, such as 'B' for business days: days without a row are missing steps"
        )
    return offset


def steps_named(index: str, name: str | int) -> Steps:
    """Return the steps of an index of ``"dates"``, ``"periods"`` or ``"numbers"`` by name.

    Raises
    ------
    TypeError, ValueError
        If there are no such steps.
    """
    if index == "numbers":
        step = validation.check_int("the frequency", name, 1)
        if step > validation.EXACT_INTEGERS:
            raise ValueError(f"the frequency is too large: {validation.shown(step)}")
        return NumberedSteps(step)
    if index == "dates":
        return DateSteps(as_offset(name))
    try:
        dtype = pd.PeriodDtype(str(name))
    except (ValueError, AttributeError):
        raise ValueError(f"no period has the frequency {validation.shown(name)}") from None
    if dtype.freq.n < 1:
        raise ValueError(f"the frequency must step forward, got {validation.shown(name)}")
    return PeriodSteps(dtype)


def has_name(offset: Any) -> bool:
    """Whether pandas reads the same offset from its name."""
    try:
        return bool(pd.tseries.frequencies.to_offset(offset.freqstr) == offset)
    except (ValueError, NotImplementedError):
        return False
