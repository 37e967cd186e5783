"""Reads the tables that the command ``pygru`` is given: CSV text, compressed or not, Parquet.

pandas parses them. This file recognises how they are written, and checks what pandas would pass
over in silence: rows that are longer or shorter than the header, a header that is none, two
columns of one name. Every error is one short line with the file's name, and with the line where
there is one.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import warnings
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, BinaryIO

import pandas as pd

from pygru.core.validation import shown
from pygru.errors import FormatError
from pygru.forecasting.dialect import Dialect, recognise
from pygru.forecasting.file_table import NUMBER, OLD_PANDAS, Table
from pygru.forecasting.file_text import check_expansion, text_of

# A number in a file becomes the nearest float64; from pandas 3.1 on it always does.
EXACT: dict[str, Any] = {"float_precision": "round_trip"} if OLD_PANDAS else {}

MOST_COLUMNS = 10_000
PIECE = 2**18  # characters that pandas, and the check of the rows, get at a time

PARQUET = (".parquet", ".pq")
MISSING = ("na", "none", "NONE")  # beside those that pandas knows

WHITE = re.compile(r"[ \t\r\n]*")
COMMENT = re.compile(r"#[^\r\n]*")
DATE = re.compile(r"[0-9]{1,4}[-/.][0-9]{1,2}([-/.][0-9]{1,4})?([T ].*)?")
NOT_A_NAME = re.compile(f"|{NUMBER.pattern}|{DATE.pattern}")


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
    content = text_of(path, name, encoding)
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
    # A missing file is said as it is of others, and this one is closed after an error, too.
    with open(path, "rb") as file:
        frame = _frame_of_parquet(path, file)
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


def _frame_of_parquet(path: str, file: BinaryIO) -> pd.DataFrame:
    try:
        with contextlib.suppress(ImportError):  # said below
            _check_parquet(path, file)
        file.seek(0)
        return pd.read_parquet(file)
    except ImportError:
        raise ImportError(
            f"{path}: reading Parquet files needs pyarrow; install it with "
            'pip install "pygru[parquet]"'
        ) from None
    except FormatError:
        raise
    except (ValueError, OSError) as error:
        raise FormatError(f"{path}: not a Parquet file, or damaged: {error}") from None


def _check_parquet(path: str, file: BinaryIO) -> None:
    """Refuse a Parquet file that states far more than it has: one value may be written once."""
    from pyarrow import parquet

    stated = parquet.ParquetFile(file).metadata
    encoded = sum(stated.row_group(n).total_byte_size for n in range(stated.num_row_groups))
    cells = stated.num_rows * stated.num_columns
    check_expansion(path, os.path.getsize(path), max(encoded, 8 * cells))


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
