"""Time series from CSV files, and the one that ships with pygru."""

import csv
import datetime
import math
from dataclasses import dataclass
from importlib import resources

import numpy as np

from pygru.errors import FormatError

MISSING = {"", "na", "n/a", "nan", "null", "none"}


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

    values: np.ndarray
    labels: list
    name: str

    def __len__(self):
        return len(self.values)

    def positions(self):
        """Return dates where all labels are ISO dates, else 0, 1, 2, ...; for an axis."""
        try:
            return [datetime.datetime.fromisoformat(label) for label in self.labels]
        except ValueError:
            return list(range(len(self)))


def read_csv(path, target):
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
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return _parse(csv.reader(file), str(path), target)
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: not UTF-8 text: {error}") from None
    except csv.Error as error:
        raise FormatError(f"{path}: not a CSV file: {error}") from None


def _parse(reader, path, target):
    header = [name.strip() for name in next(reader, [])]
    if not any(header):
        raise FormatError(f"{path}: the file is empty")
    if header.count(target) != 1:
        found = "no" if target not in header else "more than one"
        raise FormatError(
            f"{path}: {found} column {target!r}; the columns are {', '.join(header)}"
        )
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


def _number(cell, where, column):
    if cell.lower() in MISSING:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise FormatError(f"{where}: column {column!r}: {cell!r} is not a number")
    return value


def load_co2():
    """Return the weekly CO2 concentration at Mauna Loa, 1958 to 2001, with its gaps.

    2,284 weeks from 29 March 1958 to 29 December 2001, in parts per million; 59 are missing.
    Source: C. D. Keeling and T. P. Whorf, "Atmospheric CO2 concentrations derived from flask
    air samples at sites in the SIO network", in Trends: A Compendium of Data on Global Change,
    Carbon Dioxide Information Analysis Center, Oak Ridge National Laboratory, 2004; public
    domain.

    Returns
    -------
    Series

    Examples
    --------
    >>> from pygru.data.series import load_co2
    >>> co2 = load_co2()
    >>> len(co2), co2.labels[0], float(co2.values[0])
    (2284, '1958-03-29', 316.1)
    """
    with resources.as_file(resources.files("pygru.data") / "mauna_loa_co2.csv") as path:
        return read_csv(path, "co2")
