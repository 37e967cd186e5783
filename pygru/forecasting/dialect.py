"""Which separator and which decimal mark a text of columns has.

A file says neither. Both are recognised from the text, and each can be given instead. What
cannot be told apart is read as a plain CSV file: a comma between columns, a decimal point.
"""

from __future__ import annotations

import csv
import io
import re
from itertools import islice
from typing import NamedTuple

SEPARATORS = (";", "\t", "|", ",")
SAMPLE_ROWS, SAMPLE_CHARACTERS = 50, 2**20


class Dialect(NamedTuple):
    """How columns and numbers are written."""

    separator: str
    decimal: str


def recognise(text: str, separator: str | None, decimal: str | None) -> Dialect:
    """Return the dialect of a text that begins with its header; what is given stays."""
    if separator is None:
        separator = _separator(text)
    if decimal is None:
        decimal = "," if separator != "," and _has_decimal_commas(text, separator) else "."
    return Dialect(separator, decimal)


def _separator(text: str) -> str:
    """The first candidate that gives every row of a sample the header's number of columns.

    The comma comes last, because in a file with another separator it is a decimal mark.
    """
    counts = {}
    sample = text[:SAMPLE_CHARACTERS]
    for candidate in SEPARATORS:
        reader = csv.reader(io.StringIO(sample, newline=""), delimiter=candidate)
        try:
            rows = [len(row) for row in islice(reader, SAMPLE_ROWS) if row]
        except csv.Error:  # said again, and with the file's name, when the file is read
            continue
        if rows and rows[0] > 1:
            if set(rows) == {rows[0]}:
                return candidate
            counts[candidate] = rows[0]
    # No separator fits all rows: the one that cuts the header into most columns. Where there
    # is none at all, a comma could only be a decimal mark.
    return max(counts, key=counts.__getitem__) if counts else ";"


def _has_decimal_commas(text: str, separator: str) -> bool:
    """Whether some cell is a number such as 1,5, and none is one such as 1.5."""
    begin = rf'(?:^|{re.escape(separator)})[ ]*"?[+-]?'
    end = rf'(?:[eE][+-]?[0-9]+)?"?[ ]*(?={re.escape(separator)}|\r|\n|\Z)'

    def has(mark: str) -> bool:
        number = f"(?:[0-9]+{mark}[0-9]*|{mark}[0-9]+)"
        return re.search(begin + number + end, text, re.MULTILINE) is not None

    return has(",") and not has(r"\.")
