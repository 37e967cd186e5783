"""From a long table, one row per step, to sequences, one array for each id.

pandas is imported when a table is read. No value is filled in, and no row is left out.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pygru.data.identity import check_table, field, names_of, series_codes
from pygru.data.messages import cut, shown_rows
from pygru.data.numbers import read_numbers
from pygru.data.order import Order, order_rows, refuse_repeats, warn_if_sorted
from pygru.data.padding import converted
from pygru.data.stamps import read_stamps, seems_to_hold_dates


class Sequences(NamedTuple):
    """What :func:`from_long` returns.

    Attributes
    ----------
    X : list of ndarray
        For each id an array (T_i, F), or (T_i,) where ``values`` is a single name.
    y : ndarray, list of ndarray, or None
        (n,) the label of each id, or with ``step_label`` a list of (T_i,).
    ids : list of hashable
        (n,) the ids; a tuple for each where ``id`` names several columns.
    """

    X: list[NDArray[Any]]
    y: Any
    ids: list[Hashable]


def from_long(
    table: Any,
    *,
    id: Any,
    time: Hashable = None,
    values: Any = None,
    label: Hashable = None,
    step_label: Hashable = None,
    dtype: DTypeLike | None = None,
) -> Sequences:
    """Return the sequences of a long table, which has one row for each step of each sequence.

    The sequences are in the order in which their ids first appear. Rows may be in any order if
    ``time`` is given; they are then sorted, with a :class:`pygru.DataWarning`.

    Parameters
    ----------
    table : DataFrame
        Of pandas.
    id : hashable or list of hashable
        The column, or columns, that say to which sequence a row belongs; a level of the index
        has a name too.
    time : hashable, optional
        The column that says in which order the rows of a sequence are: dates, periods, numbers,
        or text that is read as dates. Without it they are in the order of the table.
    values : hashable or list of hashable, optional
        The columns of numbers that make the steps; a single name, not in a list, makes
        sequences (T_i,), for tokens for example. By default all columns that no other argument
        names.
    label : hashable, optional
        The column that holds the label of each sequence, which is the same in all of its rows.
    step_label : hashable, optional
        The column that holds a label for every step. Only one of both can be given.
    dtype : dtype, optional
        Of ``X``; by default the type that holds all the columns. Scale large values before
        they become float32: :class:`Scaler`.

    Returns
    -------
    Sequences
        A named tuple of ``X``, ``y`` and ``ids``. A missing value is NaN in ``X``.

    Raises
    ------
    ImportError
        If pandas is not installed.
    TypeError
        If ``table`` is no DataFrame, or a column of ``values`` holds no numbers.
    ValueError
        If a column does not exist, an id, time or label is missing, a time is repeated within
        a sequence, a value is infinite, or the label of a sequence changes.

    See Also
    --------
    pygru.pad_sequences : one array from such sequences.

    Examples
    --------
    >>> import pandas as pd
    >>> from pygru.data import from_long
    >>> table = pd.DataFrame(
    ...     {
    ...         "patient": ["a", "a", "b", "b", "b"],
    ...         "hour": [0, 1, 0, 1, 2],
    ...         "pulse": [62.0, 64.0, 80.0, 79.0, 85.0],
    ...         "ill": ["no", "no", "yes", "yes", "yes"],
    ...     }
    ... )
    >>> X, y, ids = from_long(table, id="patient", time="hour", label="ill")
    >>> [sequence.shape for sequence in X], y.tolist(), ids
    ([(2, 1), (3, 1)], ['no', 'yes'], ['a', 'b'])
    """
    try:
        import pandas  # noqa: F401 (looked at first, for a clear message)
    except ModuleNotFoundError as error:
        if error.name != "pandas":
            raise
        raise ImportError(
            'pygru.data.from_long needs pandas; install it with  pip install "pygru[forecast]"'
        ) from None
    check_table("table", table)
    id_names = names_of("id", id)
    if not id_names:
        raise ValueError("id must name the column that says to which sequence a row belongs")
    id_columns = [field("table", "id", table, name) for name in id_names]
    codes, ids = series_codes("table", id_columns)
    stamps = None
    if time is not None:
        column = field("table", "time", table, time)
        stamps = read_stamps(f"table: the time column {cut(time)}", column)
    order = order_rows(np.arange(len(table)) if stamps is None else stamps, codes, len(ids))
    numbers = _numbers(table, (*id_names, time, label, step_label), values, dtype)
    y = _labels(table, order, ids, label, step_label)
    if stamps is not None:
        refuse_repeats("table", stamps, codes, order)
        warn_if_sorted("table", stamps, codes)
    return Sequences(_cut_up(numbers, order), y, ids)


def _cut_up(values: NDArray[Any], order: Order) -> list[NDArray[Any]]:
    """One array for each sequence; all are views of one copy of the values."""
    ordered = values[order.rows]
    return [ordered[a:b] for a, b in zip(order.starts[:-1], order.starts[1:], strict=True)]


def _numbers(
    table: Any, taken: tuple[Hashable, ...], values: Any, dtype: DTypeLike | None
) -> NDArray[Any]:
    """The values of all rows, (N, F) or (N,)."""
    names = list(names_of("values", values))
    if values is None:
        names = [name for name in table.columns if name not in taken]
    if not names:
        raise ValueError("values must name at least one column of numbers")
    columns = [_column(table, name) for name in names]
    wanted = np.dtype(dtype) if dtype is not None else np.result_type(*columns)
    if wanted.kind not in "biuf":
        raise TypeError(f"dtype must be one of real numbers, got {wanted}")
    columns = [
        converted(f"table: column {cut(name)}", column, wanted)
        for name, column in zip(names, columns, strict=True)
    ]
    is_single = not isinstance(values, (list, np.ndarray)) and names == [values]
    return columns[0] if is_single else np.stack(columns, 1)


def _column(table: Any, name: Hashable) -> NDArray[Any]:
    """One column as an array of numbers: integers stay integers where no value is missing."""
    column = field("table", "values", table, name)
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biu":
        result: NDArray[Any] = column.to_numpy()
        return result
    if seems_to_hold_dates(column):
        raise TypeError(
            f"values: column {cut(name)} holds dates, not numbers. If it is the time, pass "
            f"time={cut(name)}; otherwise leave it out of values="
        )
    try:
        numbers = read_numbers(f"table: column {cut(name)}", column)
    except TypeError as error:
        raise TypeError(
            f"{error}. List the columns of numbers in values=, or name the column in label="
        ) from None
    kept = getattr(dtype, "numpy_dtype", dtype)  # of a nullable column
    if isinstance(kept, np.dtype) and kept.kind in "biuf" and not np.isnan(numbers).any():
        return column.to_numpy(kept) if kept.kind != "f" else numbers.astype(kept)
    if isinstance(kept, np.dtype) and kept.kind == "f":
        return numbers.astype(kept)
    return numbers


def _labels(
    table: Any, order: Order, ids: list[Hashable], label: Hashable, step_label: Hashable
) -> Any:
    if label is not None and step_label is not None:
        raise ValueError("label and step_label cannot both be given")
    name = label if label is not None else step_label
    if name is None:
        return None
    argument = "label" if label is not None else "step_label"
    column = field("table", argument, table, name)
    missing = np.flatnonzero(column.isna().to_numpy())
    if missing.size:
        raise ValueError(f"{argument}: column {cut(name)} is missing in {shown_rows(missing)}")
    every = column.to_numpy(getattr(column.dtype, "numpy_dtype", None))
    if step_label is not None:
        return _cut_up(every, order)
    codes = column.factorize()[0][order.rows]
    sequence = np.repeat(np.arange(len(ids)), np.diff(order.starts))
    first = codes[order.starts[:-1]]
    wrong = np.flatnonzero(codes != first[sequence])
    if wrong.size:
        number = int(sequence[wrong[0]])
        rows = [int(order.of(number)[0]), int(order.rows[wrong[0]])]
        raise ValueError(
            f"label: column {cut(name)} changes within the sequence {cut(ids[number])}: "
            f"{shown_rows(rows, every)}. For a label of every step, pass step_label="
        )
    return every[order.rows[order.starts[:-1]]]
