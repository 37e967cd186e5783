"""The rows of a table in the order of time, each series by itself; repeated times are refused.

Rows that are out of order are sorted, with a warning that says so. Two rows of one series with
the same time are an error: no choice between them would be right.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pygru.data.messages import cut, shown_names, shown_rows, warn

Rows = NDArray[np.int64]


class Order(NamedTuple):
    """Where the rows of each series are in a table.

    Attributes
    ----------
    rows : ndarray of int64
        (N,) the rows of the table: series after series, each in the order of time.
    starts : ndarray of int64
        (S + 1,) where each series begins in ``rows``, and the end of the last one.
    """

    rows: Rows
    starts: Rows

    def of(self, number: int) -> Rows:
        """Return the rows of one series, in the order of time."""
        return self.rows[self.starts[number] : self.starts[number + 1]]


def as_integers(stamps: Any) -> NDArray[np.int64]:
    """Return dates, periods or numbers as integers of the same order."""
    return np.asarray(stamps.asi8 if hasattr(stamps, "asi8") else stamps, np.int64)


def order_rows(stamps: Any, codes: Rows, count: int) -> Order:
    """Sort the rows of a table by series and time.

    Parameters
    ----------
    stamps : Index
        (N,) the times, as :func:`pygru.data.stamps.read_stamps` returns them.
    codes : ndarray of int64
        (N,) the number of each row's series.
    count : int
        How many series there are.
    """
    times = as_integers(stamps)
    rows = np.lexsort((times, codes)).astype(np.int64, copy=False)
    starts = np.searchsorted(codes[rows], np.arange(count + 1)).astype(np.int64)
    return Order(rows, starts)


def warn_if_sorted(what: str, stamps: Any, codes: Rows) -> None:
    """Warn if the rows of a table were not in the order of time."""
    times = as_integers(stamps)
    by_series = np.argsort(codes, kind="stable")
    same = codes[by_series[1:]] == codes[by_series[:-1]]
    step = np.diff(times[by_series])
    back = np.flatnonzero(same & (step < 0))
    if not back.size:
        return
    if not (same & (step > 0)).any():
        warn(f"{what}: the rows were newest first; they have been sorted by time")
        return
    earlier, later = sorted((by_series[back[0]], by_series[back[0] + 1]))
    warn(
        f"{what}: the rows were not in the order of time: row {later} ({cut(stamps[later])}) "
        f"comes after row {earlier} ({cut(stamps[earlier])}). They have been sorted"
    )


def repeated_rows(stamps: Any, codes: Rows, order: Order) -> Rows:
    """Return the rows whose series and time an earlier row has too, in the table's order."""
    times = as_integers(stamps)[order.rows]
    same = (np.diff(times) == 0) & (np.diff(codes[order.rows]) == 0)
    return np.sort(order.rows[1:][same])


def refuse_repeats(
    what: str, stamps: Any, codes: Rows, order: Order, table: Any = None
) -> None:
    """Raise if a series has two rows of one time.

    If ``table`` is given, it is a long table that was read as one series: where a column tells
    the repeated rows apart, the message names it for ``id=``.
    """
    rows = repeated_rows(stamps, codes, order)
    if not rows.size:
        return
    first = int(rows[0])
    alike = (as_integers(stamps) == as_integers(stamps)[first]) & (codes == codes[first])
    earlier = int(np.flatnonzero(alike)[0])
    text = f"{what}: a time is repeated: row {earlier} and {shown_rows(rows, stamps)}"
    columns = [] if table is None else telling_columns(stamps, table)
    if len(columns) == 1:
        raise ValueError(
            f"{text}. The table seems to hold several series, which the column "
            f"{cut(columns[0])} tells apart: pass id={cut(columns[0])}"
        )
    if columns:
        raise ValueError(
            f"{text}. The table seems to hold several series, which two columns together tell "
            f"apart: pass id=[{shown_names(columns)}]"
        )
    if hasattr(stamps, "tz") and stamps.tz is None and (stamps != stamps.normalize()).any():
        text += (
            ". If these are local times when the clocks went back, give them their time zone, "
            "with tz_localize(..., ambiguous='infer')"
        )
    raise ValueError(
        f"{text}. Keep one row of each time, for example by drop_duplicates or a mean"
    )


def telling_columns(stamps: Any, table: Any) -> list[Any]:
    """Return the column, or two columns, that make each time unique; ``[]`` if there is none.

    Columns of floats are values, not names. A column that differs in nearly each row tells
    nothing about the series.
    """
    import pandas as pd

    times = pd.factorize(as_integers(stamps))[0]
    candidates = []
    for place, dtype in enumerate(table.dtypes):
        if pd.api.types.is_float_dtype(dtype) or pd.api.types.is_datetime64_any_dtype(dtype):
            continue
        codes, unique = _codes_of(table.iloc[:, place])
        if 2 <= len(unique) <= len(table) / 2:
            is_number = pd.api.types.is_numeric_dtype(dtype)
            candidates.append((is_number, len(unique), place, codes))
        if len(candidates) == 20:
            break
    candidates.sort(key=lambda each: each[:3])  # text before numbers, few values before many
    for _, _, place, codes in candidates:
        if _are_unique(times, codes):
            return [table.columns[place]]
    for i, (_, _, place, codes) in enumerate(candidates[:8]):
        for _, _, other, more in candidates[i + 1 : 8]:
            if _are_unique(times, codes, more):
                return [table.columns[min(place, other)], table.columns[max(place, other)]]
    return []


def _codes_of(column: Any) -> Any:
    import pandas as pd

    try:
        return pd.factorize(column)
    except TypeError:  # values such as lists, which cannot be told apart
        return np.zeros(len(column), np.int64), []


def _are_unique(*keys: Any) -> bool:
    import pandas as pd

    return not pd.DataFrame(dict(enumerate(keys))).duplicated().any()
