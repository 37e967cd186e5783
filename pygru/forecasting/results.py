"""Writes forecasts as a table in the shape of the input: index, names, time zone and ids."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pygru.forecasting.schema import Schema


def to_frame(
    schema: Schema, blocks: Iterable[tuple[Any, Any, Any, Sequence[Hashable]]]
) -> pd.DataFrame:
    """Return forecasts as a DataFrame.

    A long table comes back as one, with its id columns and its time column or index. A table
    whose index has the ids comes back with such an index. Everything else comes back with the
    time as its index, or as the column that it was.

    Parameters
    ----------
    schema : Schema
        That of the panel whose series were forecast.
    blocks : iterable of (OneSeries, Index, array, names)
        For each series: the times (H,), the values (H, n), and the names of the n columns,
        which are the same for all.
    """
    ids: list[Hashable] = []
    counts: list[int] = []
    indices, parts = [], []
    names: list[Hashable] = []
    for series, index, values, columns in blocks:
        ids.append(series.id)
        counts.append(len(index))
        indices.append(index)
        parts.append(np.asarray(values, np.float64))
        names = list(columns)
    times = indices[0].append(indices[1:]) if len(indices) > 1 else indices[0]
    frame = pd.DataFrame(np.concatenate(parts), columns=pd.Index(names, tupleize_cols=False))
    if names and all(isinstance(name, tuple) for name in names):
        frame.columns = pd.MultiIndex.from_tuples(names)
    id_values = _id_columns(schema, ids, counts)
    if schema.container == "multi":
        frame.index = pd.MultiIndex.from_arrays(
            [*id_values, times], names=[*schema.id, schema.time]
        )
        return frame
    if not schema.has_time_column:
        frame.index = times.rename(schema.time)
    else:
        frame.insert(0, schema.time, times)
    for name, values in reversed(list(zip(schema.id, id_values, strict=True))):
        frame.insert(0, name, values)
    return frame


def _id_columns(schema: Schema, ids: list[Hashable], counts: list[int]) -> list[Any]:
    """The values of each id column, (N,)."""
    if not schema.id:
        return []
    parts: Any = zip(*ids, strict=True) if len(schema.id) > 1 else [ids]
    return [np.repeat(pd.Index(list(part)).to_numpy(), counts) for part in parts]
