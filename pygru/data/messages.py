"""How messages show rows and columns of a table: the first few, and how many more there are.

Rows are counted from 0, as by ``iloc``. No message grows with the table.
"""

import sys
import warnings
from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np

from pygru.core.validation import shown
from pygru.errors import DataWarning

SHOWN = 3
SHOWN_NAMES = 8


def cut(value: object) -> str:
    """A value as messages show it, without the name of its type; midnight is left out."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str) or not hasattr(value, "isoformat"):
        return shown(value)
    return str(value)[:200].removesuffix(" 00:00:00")


def shown_rows(rows: Any, values: Any = None) -> str:
    """``"row 3 ('x'), row 5 ('y') and 7 more rows"``; values is indexed by row."""
    first = [
        f"row {int(row)}" + ("" if values is None else f" ({cut(values[int(row)])})")
        for row in rows[:SHOWN]
    ]
    more = len(rows) - len(first)
    if more:
        return f"{', '.join(first)} and {more} more row{'s' if more > 1 else ''}"
    return ", ".join(first[:-1]) + (" and " if len(first) > 1 else "") + first[-1]


def shown_names(names: Iterable[object]) -> str:
    """``"'a', 'b' and 998 more"``."""
    every = list(names)
    first = ", ".join(cut(name) for name in islice(every, SHOWN_NAMES))
    return first + (f" and {len(every) - SHOWN_NAMES} more" if len(every) > SHOWN_NAMES else "")


def warn(message: str) -> None:
    """Warn, and name the line of the user's program that called pygru."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_back):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, DataWarning, stacklevel=level + 1)


def _is_ours(frame: Any) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] == "pygru"
