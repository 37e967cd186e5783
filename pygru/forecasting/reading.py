"""Reads the tables that the command ``pygru`` is given: CSV text, compressed or not, Parquet.

pandas parses them. This file opens them, recognises how they are written, and checks what
pandas would pass over in silence: rows that are longer or shorter than the header, a header
that is none, two columns of one name, a text column that was meant to hold numbers. Every error
is one short line with the file's name, and with the line where there is one.
"""

from __future__ import annotations

import bz2
import contextlib
import csv
import difflib
import gzip
import io
import lzma
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from pygru.core.validation import shown
from pygru.errors import FormatError
from pygru.forecasting.dialect import Dialect, recognise

# A number in a file becomes the nearest float64; from pandas 3.1 on it always does.
OLD_PANDAS = tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1)
EXACT: dict[str, Any] = {"float_precision": "round_trip"} if OLD_PANDAS else {}

LONGEST_LINE = 2**20  # a device such as /dev/zero is one line without an end
MOST_COLUMNS = 10_000
SHOWN_NAMES = 500  # characters of a list of columns in a message

OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
PARQUET = (".parquet", ".pq")
MISSING = ("na", "none", "NONE")  # beside those that pandas knows

# Lines before the header: empty ones, and comments.
PREFACE = re.compile(r"(?:[ \t]*(?:#[^\r\n]*)?(?:\r\n|\r|\n))*")
NUMBER = re.compile(r"[+-]?([0-9]+[.,]?[0-9]*|[.,][0-9]+)([eE][+-]?[0-9]+)?")
DATE = re.compile(r"[0-9]{1,4}[-/.][0-9]{1,2}([-/.][0-9]{1,4})?([T ].*)?")
NOT_A_NAME = re.compile(f"|{NUMBER.pattern}|{DATE.pattern}")


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


def read_table(
    path: str,
    *,
    separator: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    missing: Sequence[str] = (),
    text: Sequence[str] = (),
) -> Table:
    """Read a table with a header from a file.

    Parameters
    ----------
    path : str
        The file; ``-`` is standard input, which must be CSV text. Text may be compressed
        (``.gz``, ``.bz2``, ``.xz``). A name that ends in ``.parquet`` is a Parquet file.
    separator, decimal : str, optional
        One character each; recognised by default.
    encoding : str, optional
        The text's encoding. UTF-8 by default, or UTF-16 where a byte-order mark says so.
    missing : sequence of str
        Cells that stand for a missing value, beside those that pandas knows.
    text : sequence of str
        Columns, if there are such, whose cells stay text also where all are numbers.

    Returns
    -------
    Table

    Raises
    ------
    FormatError
        If the file is not such a table.
    OSError
        If it cannot be read.
    ImportError
        If it is a Parquet file and pyarrow is not installed.
    """
    if path.lower().endswith(PARQUET):
        return _read_parquet(path)
    name = "standard input" if path == "-" else path
    content = _text(_bytes(path, name), name, encoding)
    preface = PREFACE.match(content)
    assert preface is not None  # it may be empty
    content = content[preface.end() :]
    if not content.strip():
        raise FormatError(f"{name}: the file is empty")
    skipped = len(re.findall(r"\r\n|\r|\n", preface[0]))
    dialect = recognise(content, separator, decimal)
    lines, blank = _check_rows(content, name, dialect, skipped)
    options = {"na_values": [*MISSING, *missing], "dtype": dict.fromkeys(text, str)}
    frame = _parse(content, name, dialect, options)
    if len(frame) != len(lines):
        raise FormatError(f"{name}: the rows cannot be told apart; check its quotation marks")
    left_out = 0
    if len(frame.columns) == 1:  # an empty line is a missing value, but not at the very end
        while blank and blank[-1] == len(lines) - 1 - left_out:
            blank.pop()
            left_out += 1
        kept = np.arange(len(lines) - left_out)
    else:
        kept = np.delete(np.arange(len(lines)), blank)
    if not len(kept):
        raise FormatError(f"{name}: the file has a header and no rows")
    frame = frame.iloc[kept].reset_index(drop=True)
    return Table(name, frame, [lines[row] for row in kept], dialect, left_out)


# ---- from a file to text -----------------------------------------------------------------


def _bytes(path: str, name: str) -> bytes:
    """All bytes of a file; a line that is far too long ends the reading."""
    suffix = Path(path).suffix.lower()
    try:
        if path == "-":
            if sys.stdin is None:
                raise FormatError("standard input is closed")
            return _limited(sys.stdin.buffer, name)
        with OPENERS.get(suffix, open)(path, "rb") as file:
            return _limited(file, name)
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise FormatError(f"{name}: not a {suffix} file, or damaged: {error}") from None
    except OSError as error:
        if error.errno is None:  # bz2's way to say the same
            raise FormatError(f"{name}: not a {suffix} file, or damaged: {error}") from None
        raise


def _limited(file: IO[bytes], name: str) -> bytes:
    parts = []
    while part := file.read(LONGEST_LINE):
        if len(part) == LONGEST_LINE and b"\n" not in part and b"\r" not in part:
            raise FormatError(f"{name}: a line has {LONGEST_LINE} characters or more")
        parts.append(part)
    return b"".join(parts)


def _text(data: bytes, name: str, encoding: str | None) -> str:
    if data[:4] == b"PK\x03\x04":
        raise FormatError(f"{name}: not text but a spreadsheet or an archive; save it as CSV")
    if encoding is None:
        is_utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        encoding = "utf-16" if is_utf16 else "utf-8-sig"
        hint = "; if it is text, give its encoding, such as --encoding cp1252"
    else:
        hint = ""
    try:
        text = data.decode(encoding)
    except LookupError:
        raise FormatError(f"no encoding has the name {shown(encoding)}") from None
    except UnicodeError as error:
        what = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16"}.get(encoding, encoding)
        raise FormatError(f"{name}: not {what} text: {error}{hint}") from None
    if "\0" in text:
        raise FormatError(f"{name}: not a text file: it contains the character 0")
    return text.removeprefix("\ufeff")


# ---- from text to a table ----------------------------------------------------------------


def _parse(text: str, name: str, dialect: Dialect, options: dict[str, Any]) -> pd.DataFrame:
    """Let pandas read the text; every line after the header is a row, also an empty one."""
    try:
        frame = pd.read_csv(
            io.StringIO(text, newline=""),
            sep=dialect.separator,
            decimal=dialect.decimal,
            index_col=False,
            skip_blank_lines=False,
            skipinitialspace=dialect.separator != " ",
            low_memory=False,  # or else a column may have numbers in one part, text in another
            **EXACT,
            **options,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise FormatError(f"{name}: not a CSV file: {error}") from None
    frame.columns = pd.Index([str(column).strip() for column in frame.columns])
    return frame


def _check_rows(
    text: str, name: str, dialect: Dialect, skipped: int
) -> tuple[list[int], list[int]]:
    """Return the line of every row, and the numbers of the empty ones.

    pandas fills a row that is too short with missing values, and takes the first column for
    an index where all rows are too long. Both are refused here.
    """
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=dialect.separator,
        skipinitialspace=dialect.separator != " ",
    )
    lines: list[int] = []
    blank: list[int] = []
    try:
        header = [cell.strip() for cell in next(reader)]
        _check_header(header, name, dialect)
        for row in reader:
            if not row or (len(header) > 1 and not "".join(row).strip() and len(row) == 1):
                blank.append(len(lines))
            elif len(row) != len(header):
                raise FormatError(
                    f"{name}:{reader.line_num + skipped}: expected {len(header)} columns, "
                    f"got {len(row)}"
                )
            lines.append(reader.line_num + skipped)
    except csv.Error as error:
        raise FormatError(f"{name}: not a CSV file: {error}") from None
    return lines, blank


def _check_header(header: list[str], name: str, dialect: Dialect) -> None:
    if len(header) > MOST_COLUMNS:
        raise FormatError(
            f"{name}: the header has {len(header)} columns; at most {MOST_COLUMNS} are read"
        )
    if all(NOT_A_NAME.fullmatch(cell) for cell in header):
        raise FormatError(
            f"{name}: the first row has no names but {shown(dialect.separator.join(header))}; "
            "give the file a header line"
        )
    for cell, count in Counter(header).items():
        if cell and count > 1:
            raise FormatError(f"{name}: the header has more than one column {shown(cell)}")


def _read_parquet(path: str) -> Table:
    with open(path, "rb"):  # a missing file is said as it is of others
        pass
    try:
        frame = pd.read_parquet(path)
    except ImportError:
        raise ImportError(
            f"{path}: reading Parquet files needs pyarrow; install it with "
            'pip install "pygru[parquet]"'
        ) from None
    except (ValueError, OSError) as error:
        raise FormatError(f"{path}: not a Parquet file, or damaged: {error}") from None
    if not isinstance(frame.index, pd.RangeIndex) or frame.index.name is not None:
        frame = frame.reset_index()
    frame.columns = pd.Index([str(column) for column in frame.columns])
    if len(frame.columns) > MOST_COLUMNS:
        raise FormatError(
            f"{path}: the file has {len(frame.columns)} columns; at most {MOST_COLUMNS} are "
            "read"
        )
    if not frame.columns.is_unique:
        raise FormatError(f"{path}: two columns have the same name")
    if not len(frame):
        raise FormatError(f"{path}: the file has no rows")
    return Table(path, _without_objects(frame.reset_index(drop=True)))


def _without_objects(frame: pd.DataFrame) -> pd.DataFrame:
    """A table in which days are dates, and bytes are text; pandas has objects for both."""
    changed: dict[str, Any] = {}
    for name in frame.columns[[dtype.kind == "O" for dtype in frame.dtypes]]:
        kind = pd.api.types.infer_dtype(frame[name], skipna=True)
        with contextlib.suppress(ValueError):  # a year that pandas does not have, or no UTF-8
            if kind == "date":
                changed[name] = pd.to_datetime(frame[name])
            elif kind == "bytes":
                changed[name] = frame[name].map(bytes.decode, na_action="ignore")
    return frame.assign(**changed)
