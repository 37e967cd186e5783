"""Predictions as rows of a long table: one for each sequence, or one for each step of each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.data.messages import cut
from pygru.prediction.chunks import Chunk, Keys
from pygru.prediction.predictors import Predictions
from pygru.prediction.sinks import Outcome, Simple

ID, STEP, PREDICTION = "id", "step", "prediction"


def columns_of(chunk: Chunk, predictions: Predictions, outcome: Outcome) -> dict[str, Any]:
    """Return the columns of a chunk: ids, times or steps, and the predictions.

    A sequence is identified by the ids of the table it comes from, or by its number. Several
    numbers for each row are ``prediction_0``, ``prediction_1`` and so on.

    Raises
    ------
    ValueError
        If an id column has the name of another column.
    """
    keys = chunk.keys or Keys({ID: np.arange(chunk.first, chunk.end)})
    if not outcome.has_steps:
        assert not isinstance(predictions, list)
        return _named(dict(keys.ids), _numbered(predictions))
    if isinstance(predictions, list):
        sizes = np.array([len(each) for each in predictions], np.intp)
        values = _joined(predictions, np.zeros((0, *outcome.tail), outcome.dtype))
    else:
        sizes = np.full(len(predictions), predictions.shape[1])
        values = predictions.reshape(-1, *predictions.shape[2:])
    columns = {name: np.repeat(np.asarray(ids), sizes) for name, ids in keys.ids.items()}
    if keys.times is None:
        steps = [np.arange(size) for size in sizes.tolist()]
        columns = _named(columns, {STEP: _joined(steps, np.arange(0))})
    else:
        name, times = keys.times
        columns = _named(columns, {name: _joined(times, np.empty(0, object))})
    return _named(columns, _numbered(values))


def _joined(parts: list[NDArray[Any]], nothing: NDArray[Any]) -> NDArray[Any]:
    """The parts one behind the other; ``nothing`` if there are none."""
    return np.concatenate(parts) if parts else nothing


def _numbered(values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The columns of (n,) or (n, ...) predictions."""
    if values.ndim == 1:
        return {PREDICTION: values}
    flat = values.reshape(len(values), int(np.prod(values.shape[1:], dtype=object)))
    if flat.shape[1] == 1:
        return {PREDICTION: flat[:, 0]}
    return {f"{PREDICTION}_{i}": flat[:, i] for i in range(flat.shape[1])}


def _named(columns: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return both, or raise if they have a name in common."""
    for name in more:
        if name in columns:
            raise ValueError(
                f"id: the column {cut(name)} has the name of a column of the predictions; "
                "rename it"
            )
    return columns | more


class InFrame(Simple):
    """Collects the rows of a DataFrame, for sequences that come from a long table."""

    kind = "frame"

    def __init__(self) -> None:
        self._parts: list[Any] = []

    def begin(self, outcome: Outcome, first: int) -> None:
        """Remember what the predictions look like."""
        self._outcome = outcome

    def write(self, chunk: Chunk, predictions: Predictions) -> None:
        """Keep some rows."""
        import pandas as pd

        self._parts.append(pd.DataFrame(columns_of(chunk, predictions, self._outcome)))

    def finish(self) -> Any:
        """Return the table; its ids have the type that they had."""
        import pandas as pd

        return pd.concat(self._parts, ignore_index=True).infer_objects()
