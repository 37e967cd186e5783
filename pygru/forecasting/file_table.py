"""The table that a file holds: its columns as numbers or categories, and where its rows stand.

Text in a column that was meant to hold numbers is an error here, which pandas would pass over
in silence.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pygru.core.validation import shown
from pygru.errors import FormatError
from pygru.forecasting.dialect import Dialect

# Before pandas 3.1 a number in a text does not always become the nearest float64.
OLD_PANDAS = tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1)

SHOWN_NAMES = 500  # characters of a list of columns in a message
NUMBER = re.compile(r"[+-]?([0-9]+[.,]?[0-9]*|[.,][0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Table:
    """A table, and where its rows stand in the file.

    Attributes
    ----------
    name : str
        The file's name, as messages show it.
    frame : pandas.DataFrame
        The rows, numbered from 0. Dates are text still.
    lines : sequence of int or None
        (N,) the line in which each row ends; None where the file has no lines.
    dialect : Dialect or None
        The separator and the decimal mark; None where the file has none.
    left_out : int
        How many empty lines at the end of a file with one column are no rows.
    """

    name: str
    frame: pd.DataFrame
    lines: Sequence[int] | None = None
    dialect: Dialect | None = None
    left_out: int = 0

    def where(self, row: int) -> str:
        """Return the file and the line of a row, as messages show them."""
        line = f" row {row + 1}" if self.lines is None else str(self.lines[row])
        return f"{self.name}:{line}"

    def require(self, column: str) -> str:
        """Return the name of a column that the table has.

        Raises
        ------
        FormatError
            If it has no such column.
        """
        names = list(self.frame.columns)
        if column not in names:
            close = difflib.get_close_matches(column[:100], names[:1000], 1)
            hint = f" (did you mean {shown(close[0])}?)" if close else ""
            raise FormatError(
                f"{self.name}: no column {shown(column)}{hint}; the columns are "
                f"{_listed(names)}"
            )
        return column

    def numbers(self, column: str) -> pd.Series:
        """Return a column as float64, NaN where a value is missing.

        Raises
        ------
        FormatError
            If a cell is not a finite number; the message gives the line and the cell.
        """
        cells = self.frame[column]
        if pd.api.types.is_numeric_dtype(cells.dtype):
            values = pd.Series(cells.to_numpy(np.float64, na_value=np.nan), cells.index)
        elif pd.api.types.is_datetime64_any_dtype(cells.dtype):
            raise FormatError(f"{self.name}: column {shown(column)} has dates, not numbers")
        elif pd.api.types.is_timedelta64_dtype(cells.dtype):
            raise FormatError(
                f"{self.name}: column {shown(column)} has lengths of time, not numbers"
            )
        else:
            values = pd.to_numeric(cells, errors="coerce").astype(np.float64)
            if OLD_PANDAS:
                are_numbers = values.notna()
                values[are_numbers] = cells[are_numbers].map(float)
        wrong = np.asarray(np.isinf(values) | (values.isna() & cells.notna()))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise FormatError(
                f"{self.where(row)}: column {shown(column)}: {shown(str(cells.iloc[row]))} is "
                f"not a number{self._hint(str(cells.iloc[row]))}"
            )
        return values

    def covariate(self, column: str) -> pd.Series:
        """Return a column as numbers if it has any, or else as the categories that it has.

        Raises
        ------
        FormatError
            If most cells are numbers and one of them is not.
        """
        cells = self.frame[column]
        if pd.api.types.is_numeric_dtype(cells.dtype):
            is_bool = pd.api.types.is_bool_dtype(cells.dtype)
            return cells if is_bool else self.numbers(column)
        there = cells[cells.notna()]
        are_numbers = pd.to_numeric(there, errors="coerce").notna().mean() if len(there) else 0
        return self.numbers(column) if are_numbers > 0.5 else cells

    def _hint(self, cell: str) -> str:
        if self.dialect is not None and NUMBER.fullmatch(cell):
            other = "." if self.dialect.decimal == "," else ","
            return f"; if {other!r} is the decimal mark, say --decimal {other!r}"
        return ""


def _listed(names: Sequence[str]) -> str:
    columns = ", ".join(names)
    if len(columns) > SHOWN_NAMES:
        return f"{columns[:SHOWN_NAMES]}... ({len(names)} of them)"
    return columns
