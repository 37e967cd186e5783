"""Losses and predictions of a model over batches of data; nothing here trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from pygru.core import validation
from pygru.nn.step_flags import StepFlags
from pygru.train.batches import BatchStream
from pygru.train.datasets import Batch, Data
from pygru.train.sample_weights import spread
from pygru.train.windows import Window, step_mask, windows_of
from pygru.typing import Booleans, Floats

#: A function ``(prediction, target, *, mask) -> (value, gradient)``.
Loss: TypeAlias = Callable[..., tuple[float, Floats]]


def evaluate_loss(
    loss: Loss,
    prediction: Floats,
    y: Any,
    lengths: Any,
    weights: Floats | None = None,
    mask: Booleans | None = None,
) -> tuple[float, Floats, float]:
    """Return the loss, its gradient, and the weight with which it counts among others.

    ``weights`` are those of the samples, (B,) or (B, T), and ``mask`` (B, T) says which steps
    of the prediction count.
    """
    mask = step_mask(y, lengths, mask) if prediction.ndim == 3 else None
    if weights is None:
        result = loss(prediction, y, mask=mask)
    else:
        result = loss(prediction, y, mask=mask, weights=spread(weights, np.shape(y)))
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"loss must return (value, gradient), got {type_and_length(result)}")
    value, gradient = result
    if np.shape(gradient) != prediction.shape:
        raise ValueError(
            f"loss must return a gradient with the prediction's shape {prediction.shape}, "
            f"got {np.shape(gradient)}"
        )
    predictions = prediction.shape[: max(1, prediction.ndim - 1)]
    if weights is None:
        count: float = math.prod(predictions) if mask is None else int(mask.sum())
    else:
        wide = spread(weights, predictions)
        count = float(wide.sum() if mask is None else wide[mask].sum())
    return value, gradient, getattr(value, "weight", count)


def type_and_length(value: Any) -> str:
    """The type of a value, and of a sequence how many it holds."""
    name = validation.type_name(value)
    return f"{name} of {len(value)}" if isinstance(value, (tuple, list)) else name


def mean(total: float, weight: float) -> float:
    """The mean of losses; 0 if nothing counts, like a loss without elements."""
    return total / weight if weight > 0 else 0.0


class Predicted(NamedTuple):
    """What a model predicts for a batch, and which steps of it count; None for all."""

    output: Floats
    batch: Batch
    mask: Booleans | None


def predict(model: Any, X: Any, lengths: Any, flags: StepFlags) -> tuple[Floats, Any]:
    """Return what a model predicts, without dropout, and which steps of it count."""
    output, mask = model.infer_and_mask(X, lengths=lengths, **flags.told(model))
    return output, flags.mask if mask is None and model.predicts_steps else mask


def predict_batches(
    model: Any, data: Data | BatchStream, batch_size: int, *, may_be_empty: bool = False
) -> Iterator[Predicted]:
    """Yield the predictions for consecutive batches; a user's may be none if that is said."""
    if isinstance(data, BatchStream):
        for part in data.parts(may_be_empty=may_be_empty):
            if part is not None:
                yield from predict_batches(model, part, len(part))
        return
    for first in range(0, len(data), batch_size):
        index = np.arange(first, min(first + batch_size, len(data)))
        batch = data.take(index)
        output, mask = predict(model, batch.X, batch.lengths, batch.flags)
        yield Predicted(output, batch, mask)


def try_model(model: Any, data: Data, bptt_steps: int | None) -> tuple[Window, Floats] | None:
    """Return one sample, or the first window of it, and what a model predicts for it.

    If the model cannot read such data, this raises before training. Returns None if the model
    predicts every step and there is none.
    """
    for sample in range(len(data)):
        index = np.array([sample])
        _, lengths = data.targets(index)
        if not (model.predicts_steps and Window(None, None, lengths, 0, True).is_empty):
            window = windows_of(data.take(index), bptt_steps)[0]
            return window, predict(model, window.X, window.lengths, window.flags)[0]
    return None
