"""Time series from CSV files."""

import csv
import datetime
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from pygru.core.validation import shown, type_name
from pygru.errors import FormatError
from pygru.typing import Path

MISSING = {"", "na", "n/a", "nan", "null", "none"}

# Python's float() reads more than this: "1_000", and the digits of every script.
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)

LONGEST_LINE = 2**20  # a device such as /dev/zero is one line without an end


@dataclass(frozen=True)
class Series:
    """Values at equal intervals, with NaN where one is missing, and what each is called.

    Attributes
    ----------
    values : ndarray of float64
        (N,) the observations.
    labels : list of str
        (N,) the first column of the file, a date as a rule.
    name : str
        The column's name.
    """

    values: NDArray[np.float64]
    labels: list[str]
    name: str

    def __len__(self) -> int:
        return len(self.values)

    def positions(self) -> list[datetime.datetime] | list[int]:
        """Return dates where all labels are ISO dates, else 0, 1, 2, ...; for an axis.

        Dates with a time zone and dates without cannot be compared; they are not mixed.
        """
        try:
            dates = [datetime.datetime.fromisoformat(label) for label in self.labels]
        except ValueError:
            return list(range(len(self)))
        if len({date.tzinfo is None for date in dates}) > 1:
            return list(range(len(self)))
        return dates


def read_csv(path: Path, target: str) -> Series:
    """Read one column of a CSV file with a header line.

    Empty cells and ``NA``, ``NaN`` and the like are missing values.

    Parameters
    ----------
    path : path-like
        The file, in UTF-8, with or without a byte-order mark.
    target : str
        Name of the column.

    Returns
    -------
    Series

    Raises
    ------
    FormatError
        If the file is empty, has no such column, or a cell is not a number; the message
        gives the line.
    OSError
        If the file cannot be read.
    TypeError
        If ``target`` is not a str.
    """
    path = os.fspath(path)  # an integer would be a file descriptor of the process
    if not isinstance(target, str):
        raise TypeError(f"target must be a str, got {type_name(target)}")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return _parse(file, str(path), target)
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: not UTF-8 text: {error}") from None
    except csv.Error as error:
        raise FormatError(f"{path}: not a CSV file: {error}") from None


def _lines(file: TextIO, path: str) -> Iterator[str]:
    """The lines of a file, none of which is read to its end if it is far too long."""
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise FormatError(f"{path}: a line has {LONGEST_LINE} characters or more")
        yield line


def _parse(file: TextIO, path: str, target: str) -> Series:
    reader = csv.reader(_lines(file, path))
    header = [name.strip() for name in next(reader, [])]
    if not any(header):
        raise FormatError(f"{path}: the file is empty")
    if header.count(target) != 1:
        found = "no" if target not in header else "more than one"
        columns = ", ".join(header)
        if len(columns) > 500:
            columns = f"{columns[:500]}... ({len(header)} of them)"
        raise FormatError(f"{path}: {found} column {shown(target)}; the columns are {columns}")
    column = header.index(target)
    values, labels = [], []
    for row in reader:
        if not row:
            continue
        if len(row) != len(header):
            raise FormatError(
                f"{path}:{reader.line_num}: expected {len(header)} columns, got {len(row)}"
            )
        cell = row[column].strip()
        values.append(_number(cell, f"{path}:{reader.line_num}", target))
        labels.append(row[0].strip())
    if not values:
        raise FormatError(f"{path}: the file has a header and no rows")
    return Series(np.array(values), labels, target)


def _number(cell: str, where: str, column: str) -> float:
    if cell.lower() in MISSING:
        return math.nan
    value = float(cell) if NUMBER.fullmatch(cell) else math.inf
    if not math.isfinite(value):
        raise FormatError(f"{where}: column {shown(column)}: {shown(cell)} is not a number")
    return value
