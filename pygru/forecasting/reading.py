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
import os
import re
import sys
import warnings
import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
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

# A compressed file may expand to this many times its size, and this many bytes more: zeros, and
# months without a sale, compress by a factor of 500.
MOST_RATIO = 100
ALLOWANCE = 2**25  # bytes
PIECE = 2**18  # characters that pandas, and the check of the rows, get at a time

OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
PARQUET = (".parquet", ".pq")
MISSING = ("na", "none", "NONE")  # beside those that pandas knows

WHITE = re.compile(r"[ \t\r\n]*")
COMMENT = re.compile(r"#[^\r\n]*")
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
        (``.gz``, ``.bz2``, ``.xz``), by a factor of 100 where it has more than 32 MiB. A name
        that ends in ``.parquet`` is a Parquet file.
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
    start, skipped = _preface(content)
    content = content[start:]
    if not content or content.isspace():
        raise FormatError(f"{name}: the file is empty")
    dialect = recognise(content, separator, decimal)
    rows = _check_rows(content, name, dialect, skipped)
    if not rows.lines:
        raise FormatError(f"{name}: the file has a header and no rows")
    if rows.left_out:
        content = content.rstrip("\r\n")
    options = {"na_values": [*MISSING, *missing], "dtype": dict.fromkeys(text, str)}
    frame = _parse(content, rows.blank, name, dialect, options)
    if len(frame) != len(rows.lines):
        raise FormatError(f"{name}: the rows cannot be told apart; check its quotation marks")
    return Table(name, frame, rows.lines, dialect, rows.left_out)


# ---- from a file to text -----------------------------------------------------------------


def _bytes(path: str, name: str) -> bytearray:
    """All bytes of a file; a line that is far too long ends the reading."""
    suffix = Path(path).suffix.lower()
    try:
        if path == "-":
            if sys.stdin is None:
                raise FormatError("standard input is closed")
            return _limited(sys.stdin.buffer, name)
        with open(path, "rb") as file:
            if suffix not in OPENERS:
                return _limited(file, name)
            source = _Compressed(file)
            with OPENERS[suffix](source, "rb") as expanded:
                return _limited(expanded, name, source)
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error) as error:
        raise FormatError(f"{name}: not a {suffix} file, or damaged: {error}") from None
    except OSError as error:
        if error.errno is None:  # bz2's way to say the same
            raise FormatError(f"{name}: not a {suffix} file, or damaged: {error}") from None
        raise


class _Compressed:
    """A compressed file, and how many bytes it has; of a pipe, how many it had so far."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._read = 0
        self._stated = os.fstat(file.fileno()).st_size

    @property
    def size(self) -> int:
        return max(self._stated, self._read)

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._read += len(data)
        return data

    def seekable(self) -> bool:
        return False


def _limited(file: IO[bytes], name: str, source: _Compressed | None = None) -> bytearray:
    """All bytes of a file, unless a line or what it expands to is far too long."""
    data = bytearray()
    while part := file.read(LONGEST_LINE):
        if len(part) == LONGEST_LINE and b"\n" not in part and b"\r" not in part:
            raise FormatError(f"{name}: a line has {LONGEST_LINE} characters or more")
        data += part
        if source is not None:
            _check_expansion(name, source.size, len(data))
    return data


def _check_expansion(name: str, size: int, expanded: int) -> None:
    """Refuse a small file that would fill the memory."""
    limit = MOST_RATIO * size + ALLOWANCE
    if expanded > limit:
        raise FormatError(
            f"{name}: expected at most {limit} bytes after expansion ({MOST_RATIO} times the "
            f"{size} bytes of the file, and {ALLOWANCE}), got {expanded} or more; if you trust "
            "the file, expand it yourself and give the CSV file"
        )


def _text(data: bytearray, name: str, encoding: str | None) -> str:
    if data.startswith(b"PK\x03\x04"):
        raise FormatError(f"{name}: not text but a spreadsheet or an archive; save it as CSV")
    if encoding is None:
        is_utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
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


def _preface(text: str) -> tuple[int, int]:
    """Where the header begins after empty lines and comments, and how many lines these are.

    One regular expression for all of it would take a hundred bytes of memory for each line.
    """
    end = 0
    while True:
        end = WHITE.match(text, end).end()  # type: ignore[union-attr]  # it may be empty
        comment = COMMENT.match(text, end)
        if comment is None:
            break
        end = comment.end()
    start = max(text.rfind("\n", 0, end), text.rfind("\r", 0, end)) + 1
    count = sum(text.count(mark, 0, start) for mark in "\r\n") - text.count("\r\n", 0, start)
    return start, count


def _pieces(text: str) -> Iterator[str]:
    """A text in pieces that end with a line, or are long."""
    start = 0
    while start < len(text):
        least = start + PIECE
        end = text.find("\n", least, least + PIECE) + 1  # this also ends \r\n
        if not end:
            end = text.find("\r", least) + 1 or len(text)
            end += text.startswith("\n", end)
        yield text[start:end]
        start = end


def _lines(text: str) -> Iterator[str]:
    """The lines of a text; one StringIO would take four bytes for each character."""
    return chain.from_iterable(io.StringIO(piece, newline="") for piece in _pieces(text))


def _without(text: str, runs: Sequence[int]) -> Iterator[str]:
    """A text in pieces, without runs of lines: the first and the last line of each, from 1."""
    lines = _lines(text)
    at = 1
    for first, last in zip(runs[::2], runs[1::2], strict=True):
        yield from _joined(islice(lines, first - at))
        next(islice(lines, last - first, None))
        at = last + 1
    yield from _joined(lines)


def _joined(lines: Iterator[str]) -> Iterator[str]:
    while piece := "".join(islice(lines, 1000)):
        yield piece


class _Pieces:
    """Pieces of a text, as a file for pandas."""

    def __init__(self, pieces: Iterable[str]) -> None:
        self._pieces = iter(pieces)

    def __iter__(self) -> Iterator[str]:
        return self._pieces

    def read(self, size: int = -1) -> str:
        return next(self._pieces, "")


def _parse(
    text: str, blank: Sequence[int], name: str, dialect: Dialect, options: dict[str, Any]
) -> pd.DataFrame:
    """Let pandas read the text without its blank lines; every other line is a row."""

    def parsed(low_memory: bool) -> pd.DataFrame:
        source: Any = _Pieces(_without(text, blank) if blank else _pieces(text))
        return pd.read_csv(
            source,
            sep=dialect.separator,
            decimal=dialect.decimal,
            index_col=False,
            skip_blank_lines=False,
            skipinitialspace=dialect.separator != " ",
            low_memory=low_memory,
            **EXACT,
            **options,
        )

    try:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.DtypeWarning)
                frame = parsed(low_memory=True)
        except pd.errors.DtypeWarning:  # a column has numbers in one part, text in another
            frame = parsed(low_memory=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise FormatError(f"{name}: not a CSV file: {error}") from None
    frame.columns = pd.Index([str(column).strip() for column in frame.columns])
    return frame


@dataclass(frozen=True)
class _Rows:
    """Where rows stand in a text, in few bytes for each.

    Attributes
    ----------
    lines : array of int
        The line of the file in which each row ends.
    blank : array of int
        The runs of lines of the text that are no rows: the first and the last of each.
    left_out : int
        How many empty lines at the end of a file with one column are no rows.
    """

    lines: array[int]
    blank: array[int]
    left_out: int


def _check_rows(text: str, name: str, dialect: Dialect, skipped: int) -> _Rows:
    """Find the rows.

    pandas fills a row that is too short with missing values, and takes the first column for
    an index where all rows are too long. Both are refused here.
    """
    reader = csv.reader(
        _lines(text),
        delimiter=dialect.separator,
        skipinitialspace=dialect.separator != " ",
    )
    lines, blank = array("q"), array("q")
    empty = 0  # lines of a file with one column, which are missing values if a row follows
    try:
        header = [cell.strip() for cell in next(reader)]
        _check_header(header, name, dialect)
        width, before = len(header), reader.line_num
        for row in reader:
            line = reader.line_num
            if len(row) == width:
                if empty:
                    lines.extend(range(line + skipped - empty, line + skipped))
                    empty = 0
                lines.append(line + skipped)
            elif not row and width == 1:
                empty += 1
            elif not row or (len(row) == 1 and not row[0].strip()):
                if blank and blank[-1] == before:
                    blank[-1] = line
                else:
                    blank.extend((before + 1, line))
            else:
                raise FormatError(
                    f"{name}:{line + skipped}: expected {width} columns, got {len(row)}"
                )
            before = line
    except csv.Error as error:
        raise FormatError(f"{name}: not a CSV file: {error}") from None
    return _Rows(lines, blank, empty)


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
        with contextlib.suppress(ImportError):  # said below
            _check_parquet(path)
        frame = pd.read_parquet(path)
    except ImportError:
        raise ImportError(
            f"{path}: reading Parquet files needs pyarrow; install it with "
            'pip install "pygru[parquet]"'
        ) from None
    except FormatError:
        raise
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


def _check_parquet(path: str) -> None:
    """Refuse a Parquet file that states far more than it has: one value may be written once."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        stated = file.metadata
        encoded = sum(stated.row_group(n).total_byte_size for n in range(stated.num_row_groups))
        cells = stated.num_rows * stated.num_columns
    _check_expansion(path, os.path.getsize(path), max(encoded, 8 * cells))


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
