"""Losses and predictions of a model over batches of data; nothing here trains."""

import math

import numpy as np

from pygru.train.arguments import describe
from pygru.train.batches import step_mask


def evaluate_loss(loss, prediction, y, lengths):
    """Return the loss, its gradient, and the weight with which it counts among others."""
    per_step = lengths is not None and prediction.ndim == 3
    mask = step_mask(y, lengths) if per_step else None
    result = loss(prediction, y, mask=mask)
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"loss must return (value, gradient), got {describe(result)}")
    value, gradient = result
    if np.shape(gradient) != prediction.shape:
        raise ValueError(
            f"loss must return a gradient with the prediction's shape {prediction.shape}, "
            f"got {np.shape(gradient)}"
        )
    predictions = prediction.shape[: max(1, prediction.ndim - 1)]
    count = math.prod(predictions) if mask is None else int(mask.sum())
    return value, gradient, getattr(value, "weight", count)


def mean(total, weight):
    """The mean of losses; 0 where nothing counts, as a loss of nothing is."""
    return total / weight if weight > 0 else 0.0


def predict_batches(model, data, batch_size):
    """Yield (prediction, y, lengths) of consecutive batches, without dropout."""
    for first in range(0, len(data), batch_size):
        index = np.arange(first, min(first + batch_size, len(data)))
        X, y, lengths = data.take(index)
        yield model.infer(X, lengths=lengths), y, lengths


def mean_loss(model, loss, data, batch_size):
    """The mean loss over data."""
    total = total_weight = 0.0
    for prediction, y, lengths in predict_batches(model, data, batch_size):
        value, _, weight = evaluate_loss(loss, prediction, y, lengths)
        total, total_weight = total + value * weight, total_weight + weight
    return mean(total, total_weight)
