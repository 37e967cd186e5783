"""Finds columns and index levels of a table by name, and tells its series apart by the ids."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.core.validation import type_name
from pygru.data.messages import cut, shown_names, shown_rows


def check_table(what: str, table: Any) -> None:
    """Raise unless ``table`` is a DataFrame of pandas with rows and no repeated column."""
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        hint = "; convert it with .to_pandas()" if hasattr(table, "to_pandas") else ""
        raise TypeError(f"{what} must be a DataFrame of pandas, got {type_name(table)}{hint}")
    if not len(table):
        raise ValueError(f"{what} has no rows")
    names = table.columns
    unnamed: Any = () if isinstance(names, pd.MultiIndex) else np.flatnonzero(names.isna())
    if len(unnamed):
        raise ValueError(f"{what}: column number {unnamed[0]}, counted from 0, has no name")
    if not table.columns.is_unique:
        repeated = table.columns[table.columns.duplicated()].unique()
        raise ValueError(f"{what} has more than one column {shown_names(repeated)}")


def names_of(argument: str, names: Any) -> tuple[Hashable, ...]:
    """Return one name, or a list of names, as a tuple; None is no name."""
    if names is None:
        return ()
    if isinstance(names, (list, set, frozenset, np.ndarray)) or _is_index(names):
        found = tuple(names)
    else:
        found = (names,)
    for name in found:
        try:
            hash(name)
        except TypeError:
            raise TypeError(
                f"{argument} must be the name of a column or a list of names, got "
                f"{type_name(name)}"
            ) from None
    if len(set(found)) != len(found):
        raise ValueError(f"{argument} names a column twice: {shown_names(found)}")
    return found


def _is_index(value: Any) -> bool:
    import pandas as pd

    return isinstance(value, pd.Index)


def field(what: str, argument: str, table: Any, name: Hashable) -> Any:
    """Return the column, or the level of the index, that is called ``name``, as a Series."""
    import pandas as pd

    if name in table.columns:
        return table[name].reset_index(drop=True)
    if name is not None and name in table.index.names:
        return pd.Series(table.index.get_level_values(name)).reset_index(drop=True)
    raise ValueError(
        f"{argument}: {what} has no column {cut(name)}; its columns are "
        f"{shown_names(table.columns)}"
    )


def series_codes(what: str, columns: Sequence[Any]) -> tuple[NDArray[np.int64], list[Hashable]]:
    """Return the number of each row's series, (N,), and the id of each series.

    The series are numbered in the order in which they first appear. The id is a value, or a
    tuple of the values of several columns.

    Raises
    ------
    ValueError
        If an id is missing.
    """
    import pandas as pd

    numbered = []
    for column in columns:
        missing = np.flatnonzero(column.isna().to_numpy())
        if missing.size:
            raise ValueError(
                f"{what}: the id column {cut(column.name)} is missing in {shown_rows(missing)}"
            )
        numbered.append(pd.factorize(column))
    codes = numbered[0][0]
    for more, _ in numbered[1:]:
        codes = pd.factorize(codes.astype(np.int64) * (int(more.max()) + 1) + more)[0]
    first = np.unique(codes, return_index=True)[1]
    parts = [np.asarray(unique, object)[own[first]].tolist() for own, unique in numbered]
    ids: list[Hashable] = list(zip(*parts, strict=True)) if len(parts) > 1 else parts[0]
    return codes.astype(np.int64), ids
