"""Which columns of a table are targets and covariates, and how they become numbers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pygru.data.messages import cut, shown_names, shown_rows
from pygru.data.numbers import holds_numbers, read_all, read_numbers
from pygru.data.stamps import seems_to_hold_dates
from pygru.forecasting.categories import find_categories, one_hot
from pygru.forecasting.schema import Column

Values = NDArray[np.float64]


def describe(what: str, table: Any, names: Sequence[Hashable]) -> tuple[Column, ...]:
    """Return the columns as the training data has them: numbers, or categories."""
    found = []
    for name in names:
        column = table[name]
        dtype = column.dtype
        if pd.api.types.is_datetime64_any_dtype(dtype) or isinstance(dtype, pd.PeriodDtype):
            raise TypeError(
                f"{what}: column {cut(name)} holds dates, which are no covariate; derive "
                "numbers or categories from them, such as the month"
            )
        if pd.api.types.is_timedelta64_dtype(dtype):
            raise TypeError(
                f"{what}: column {cut(name)} holds lengths of time, which are no covariate; "
                "derive numbers from them, such as hours"
            )
        is_number = holds_numbers(column)
        categories = (
            None if is_number else find_categories(f"{what}: column {cut(name)}", column)
        )
        found.append(Column(name, categories))
    return tuple(found)


def check_targets(what: str, table: Any, names: Sequence[Hashable]) -> tuple[Column, ...]:
    """Return the targets, which must be columns of numbers."""
    dtypes = dict(zip(table.columns, table.dtypes, strict=True))
    for name in names:
        if isinstance(dtypes[name], np.dtype) and dtypes[name].kind in "iuf":
            continue
        column = table[name]
        if seems_to_hold_dates(column):
            raise TypeError(
                f"{what}: column {cut(name)} holds dates, not numbers to forecast. If it is "
                f"the time, pass time={cut(name)}"
            )
        if not holds_numbers(column) and not pd.api.types.is_bool_dtype(column.dtype):
            raise TypeError(
                f"{what}: column {cut(name)} holds {_kind(column)}, not numbers to forecast. "
                "List the columns to forecast in target=, or name it in id=, time=, past=, "
                "future= or static="
            )
    return tuple(Column(name) for name in names)


def _kind(column: Any) -> str:
    """What a column holds that is no column of numbers, with the first rows."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return "categories"
    values = column.to_numpy(object)
    rows = np.flatnonzero([isinstance(value, str) for value in values])
    if not rows.size:
        return f"values of dtype {column.dtype}"
    return f"text, in {shown_rows(rows, values)}"


def require(what: str, argument: str, table: Any, names: Sequence[Hashable]) -> None:
    """Raise unless a table has all the columns that an argument names."""
    missing = [name for name in names if name not in table.columns]
    if missing:
        prefix = "" if what == argument else f"{argument}: "
        raise ValueError(
            f"{prefix}{what} has no column {shown_names(missing)}; its columns are "
            f"{shown_names(table.columns)}"
        )


def encode(what: str, table: Any, columns: Sequence[Column]) -> Values:
    """Return columns as numbers, (N, width): categories are one column for each."""
    if not columns:
        return np.zeros((len(table), 0))
    if all(column.categories is None for column in columns):
        return read_all(what, table[[column.name for column in columns]])
    parts = []
    for column in columns:
        values = table[column.name]
        if column.categories is None:
            parts.append(read_numbers(f"{what}: column {cut(column.name)}", values)[:, None])
        else:
            parts.append(one_hot(values, column.categories))
    return np.concatenate(parts, 1)


def blank_row(columns: Sequence[Column]) -> Values:
    """Return what a step without a row has: NaN for a number, 0 for each category."""
    row = [np.full(c.width, np.nan if c.categories is None else 0.0) for c in columns]
    return np.concatenate(row) if row else np.zeros(0)
