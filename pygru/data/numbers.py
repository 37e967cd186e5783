"""Reads columns of a table as float64: NaN where a value is missing, and no infinite value.

What is not a number is refused with its column and its first rows; nothing is guessed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.core.validation import EXACT_INTEGERS
from pygru.data.messages import cut, shown_rows


def read_numbers(what: str, column: Any) -> NDArray[np.float64]:
    """Return one column of a table, (N,), as float64.

    Parameters
    ----------
    what : str
        What messages call it, such as ``"y: column 'sales'"``.
    column : Series
        Of pandas, with numbers of any dtype, or with objects that are numbers or missing.

    Raises
    ------
    TypeError
        If it holds dates, text, or something else that is no number.
    ValueError
        If a value is infinite, or an integer that float64 cannot hold.
    """
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype) or not _may_be_numeric(dtype):
        raise TypeError(f"{what} must hold numbers, got dtype {dtype}")
    if pd.api.types.is_complex_dtype(dtype):
        raise TypeError(f"{what} must hold real numbers, got dtype {dtype}")
    if not pd.api.types.is_numeric_dtype(dtype):
        column = _objects(what, column)
    _refuse_long_integers(what, column)
    values: NDArray[np.float64] = column.to_numpy(np.float64, na_value=np.nan)
    refuse_infinite(what, values)
    return values


def read_all(what: str, table: Any) -> NDArray[np.float64]:
    """Return all columns of a table, (N, n), as float64; messages call it ``what``."""
    if all(isinstance(dtype, np.dtype) and dtype.kind == "f" for dtype in table.dtypes):
        values: NDArray[np.float64] = table.to_numpy(np.float64)
        if np.isfinite(values).all() or not np.isinf(values).any():
            return values
    result = np.empty(table.shape)
    for place, name in enumerate(table.columns):
        result[:, place] = read_numbers(f"{what}: column {cut(name)}", table.iloc[:, place])
    return result


def refuse_infinite(what: str, values: NDArray[np.float64]) -> None:
    """Raise if a value is infinite; the message names the first rows."""
    rows = np.flatnonzero(np.isinf(values))
    if rows.size:
        raise ValueError(
            f"{what} is infinite in {shown_rows(rows, values)}; NaN stands for a missing value"
        )


def holds_numbers(column: Any) -> bool:
    """Whether a column has numbers rather than categories: neither text nor truth values."""
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype) or pd.api.types.is_bool_dtype(dtype):
        return False
    if pd.api.types.is_numeric_dtype(dtype):
        return True
    if not pd.api.types.is_object_dtype(dtype):
        return False
    known = column.dropna()
    return not len(known) or all(_is_number(value) for value in known)


def _may_be_numeric(dtype: Any) -> bool:
    import pandas as pd

    is_text = pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype)
    return bool(pd.api.types.is_numeric_dtype(dtype) or is_text)


def _is_number(value: object) -> bool:
    import decimal

    if isinstance(value, (bool, np.bool_)):
        return False
    return isinstance(value, (int, float, np.integer, np.floating, decimal.Decimal))


def _objects(what: str, column: Any) -> Any:
    """A column of Python's objects, as one of float64."""
    missing = column.isna().to_numpy()
    values = column.to_numpy(object)
    wrong = [
        row
        for row, value in enumerate(values)
        if not missing[row] and not (_is_number(value) or isinstance(value, (bool, np.bool_)))
    ]
    if wrong:
        raise TypeError(f"{what} must hold numbers, got {shown_rows(wrong, values)}")
    long = [
        row
        for row, value in enumerate(values)
        if isinstance(value, int) and abs(value) > EXACT_INTEGERS
    ]
    if long:
        raise _too_long(what, long)
    import pandas as pd

    return pd.Series(np.where(missing, np.nan, values).astype(np.float64))


def _too_long(what: str, rows: Any) -> ValueError:
    return ValueError(
        f"{what} holds integers beyond 2**53, which a float cannot represent exactly, in "
        f"{shown_rows(rows)}"
    )


def _refuse_long_integers(what: str, column: Any) -> None:
    import pandas as pd

    if not pd.api.types.is_integer_dtype(column.dtype) or column.dtype.itemsize < 8:
        return
    far = ((column > EXACT_INTEGERS) | (column < -EXACT_INTEGERS)).fillna(False)
    rows = np.flatnonzero(far.to_numpy(bool))
    if rows.size:
        raise _too_long(what, rows)
