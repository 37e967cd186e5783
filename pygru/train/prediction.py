"""Predictions for all samples of a data set, as outputs of the model or as classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.train.datasets import Data
from pygru.train.evaluation import predict_batches
from pygru.train.loss_kinds import Kind
from pygru.train.windows import output_lengths
from pygru.typing import Floats


def outputs_of(
    model: Any,
    data: Data,
    batch_size: int,
    change: Callable[[Floats], NDArray[Any]] = lambda output: output,
) -> NDArray[Any] | list[NDArray[Any]]:
    """Return what a model predicts, one row per sample.

    Parameters
    ----------
    model : Model
    data : Dataset or PairDataset
    batch_size : int
    change : callable
        What is done with the outputs of each batch.

    Returns
    -------
    ndarray or list of ndarray
        A list without padding if there is one output per step and the samples have lengths.
    """
    rows: list[NDArray[Any]] = []
    is_list = False
    parts: list[NDArray[Any]] = []
    for output, batch, _ in predict_batches(model, data, batch_size):
        lengths = output_lengths(batch.lengths)
        changed = change(output)
        if output.ndim == 3 and lengths is not None:
            is_list = True
            rows.extend(row[:length] for row, length in zip(changed, lengths, strict=True))
        else:
            parts.append(changed)
    return rows if is_list else np.concatenate(parts)


def chosen_classes(output: Floats, kind: Kind, classes: NDArray[Any] | None) -> NDArray[Any]:
    """Return the class of each output: of scores the largest, of log-odds 1 above 0."""
    if kind == "binary":
        positive = (output > 0).astype(np.int64)
        return positive[..., 0] if output.shape[-1] == 1 else positive
    columns: NDArray[Any] = output.argmax(axis=-1)
    return columns if classes is None else classes[columns]
