"""What metrics are computed from: targets, predictions and weights, one row per prediction.

Rows are taken from batches without padding and without targets that the loss ignores. If a
metric needs no more, only the chosen class of each row is kept. The metrics themselves are in
:mod:`pygru.train.metrics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pygru.train.loss_kinds import Kind, ignored_by, kind_of
from pygru.train.prediction import chosen_classes
from pygru.train.sample_weights import spread
from pygru.train.windows import step_mask
from pygru.typing import Booleans, Floats


class Rows(NamedTuple):
    """Targets and predictions of some samples or steps."""

    target: NDArray[Any]  # (n,), or (n, F) if there are several targets per prediction
    output: NDArray[Any]  # (n, outputs) of the model, or (n,) the chosen classes
    weights: Floats | None  # (n,)


class Collector:
    """Makes rows from batches, for one loss and its metrics.

    Parameters
    ----------
    loss : callable
    keeps_outputs : bool
        Whether all outputs are kept and not only the chosen classes.
    """

    def __init__(self, loss: Any, *, keeps_outputs: bool) -> None:
        self.kind = kind_of(loss)
        self._ignored = ignored_by(loss)
        self._keeps_outputs = keeps_outputs or self.kind not in ("classes", "binary")

    def rows(
        self,
        prediction: Floats,
        y: Any,
        lengths: Any,
        weights: Floats | None,
        mask: Booleans | None = None,
    ) -> Rows:
        """Return what counts in a batch, as arrays of its own."""
        places = prediction.shape[: max(1, prediction.ndim - 1)]  # of single predictions
        target = np.asarray(y)
        if target.shape[: len(places)] != places:
            raise ValueError(
                f"metrics need a target for each prediction, {places}, got {target.shape}"
            )
        keep = np.ones(places, bool)
        if prediction.ndim == 3:
            mask = step_mask(target, lengths, mask)
            keep = keep if mask is None else mask
        if self._ignored is not None:
            keep = keep & (target != self._ignored)
        output: NDArray[Any] = prediction[keep]
        if not self._keeps_outputs:
            output = chosen_classes(output, self.kind, None)
        if output.ndim == 2 and output.shape[1] == 1 and self.kind != "classes":
            output = output[:, 0]
        target = target[keep]
        if target.ndim == 2 and target.shape[1] == 1:
            target = target[:, 0]
        count = None if weights is None else spread(weights, places)[keep].astype(np.float64)
        return Rows(target, output, count)


def joined(parts: Sequence[Rows]) -> Rows:
    """Return the rows of several batches as one; if any has weights, the others count 1."""
    weights = None
    if any(part.weights is not None for part in parts):
        weights = np.concatenate(
            [np.ones(len(p.target)) if p.weights is None else p.weights for p in parts]
        )
    return Rows(
        np.concatenate([part.target for part in parts]),
        np.concatenate([part.output for part in parts]),
        weights,
    )


def labels_of(
    rows: Rows, kind: Kind, classes: NDArray[Any] | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return targets and predictions as metrics compare them: as labels if there are classes.

    With the cross-entropy and with log-odds the predictions are the chosen classes, otherwise
    the outputs themselves.
    """
    target, output = rows.target, rows.output
    if kind == "classes":
        chosen = chosen_classes(output, kind, None) if output.ndim == 2 else output
        return (target, chosen) if classes is None else (classes[target], classes[chosen])
    if kind == "binary" and output.dtype.kind == "f":
        output = (output > 0).astype(np.int64)
    return target, output


def probabilities_of(rows: Rows, kind: Kind) -> Floats:
    """Return the probability of each class, (n, classes); of several log-odds each its own."""
    output: Floats = rows.output.astype(np.float64)
    if kind == "classes":
        powers = np.exp(output - output.max(axis=1, keepdims=True))
        result: Floats = powers / powers.sum(axis=1, keepdims=True)
        return result
    small = np.exp(-np.abs(output))
    positive: Floats = np.where(output >= 0, 1, small) / (1 + small)
    return positive if positive.ndim == 2 else np.stack([1 - positive, positive], axis=1)
