"""Losses: each returns its value and its gradient with respect to the first argument.

Every loss is a weighted mean over elements. ``mask`` and ``weights`` have the shape of the
losses of single elements (the target's), or of all but its last axis; elements with mask
False are not read, so padding may hold anything.
"""

import numpy as np

from pygru.core import _core, validation
from pygru.core.kernels import KERNELS
from pygru.core.memory import allocate


def _arrays(prediction, target):
    prediction = np.asarray(prediction)
    if prediction.dtype not in (np.float32, np.float64):
        prediction = prediction.astype(np.float64)
    target = validation.as_real("target", target, prediction.dtype)
    if target.shape != prediction.shape:
        raise ValueError(
            f"target must have the shape of the prediction {prediction.shape}, "
            f"got {target.shape}"
        )
    return prediction, target


def _weighting(shape, mask, weights, dtype):
    """The weight of each element, divided by their sum: the mean is then a plain sum."""
    result = np.ones(shape, dtype)
    for name, given in (("mask", mask), ("weights", weights)):
        if given is None:
            continue
        array = np.asarray(given)
        if name == "mask" and array.dtype != np.bool_:
            raise TypeError(f"mask must be an array of bool, got dtype {array.dtype}")
        if name == "weights":
            array = validation.as_real(name, given, dtype)
            if (array < 0).any():
                raise ValueError("weights must be >= 0")
        if array.shape == shape[:-1] and array.ndim == len(shape) - 1:
            array = array[..., np.newaxis]
        elif array.shape != shape:
            raise ValueError(
                f"{name} must have shape {shape} or {shape[:-1]}, got {array.shape}"
            )
        result = result * array
    total = result.sum(dtype=np.float64)
    return result / dtype.type(total) if total > 0 else np.zeros(shape, dtype)


def _reduce(prediction, target, mask, weights, element):
    """Value and gradient of the weighted mean of ``element(prediction, target)``."""
    prediction, target = _arrays(prediction, target)
    share = _weighting(prediction.shape, mask, weights, prediction.dtype)
    used = share > 0
    difference = np.where(used, prediction, 0), np.where(used, target, 0)
    value, slope = element(*difference)
    return float((value * share).sum(dtype=np.float64)), slope * share


def mse(prediction, target, *, mask=None, weights=None):
    """Mean squared error, the mean of ``(prediction - target)**2``.

    Parameters
    ----------
    prediction, target : array_like
        Of the same shape.
    mask : array_like of bool, optional
        Which elements count.
    weights : array_like, optional
        How much each element counts, >= 0.

    Returns
    -------
    value : float
    gradient : ndarray
        With respect to the prediction, in its shape and dtype.

    Examples
    --------
    >>> from pygru import losses
    >>> value, gradient = losses.mse([1.0, 3.0], [0.0, 3.0])
    >>> value, gradient.tolist()
    (0.5, [1.0, 0.0])
    """

    def element(p, t):
        d = p - t
        return d * d, 2 * d

    return _reduce(prediction, target, mask, weights, element)


def mae(prediction, target, *, mask=None, weights=None):
    """Mean absolute error; the gradient is 0 where prediction and target are equal.

    Parameters and results as in :func:`mse`.

    Examples
    --------
    >>> from pygru import losses
    >>> losses.mae([1.0, 3.0], [0.0, 3.0])[0]
    0.5
    """
    return _reduce(prediction, target, mask, weights, lambda p, t: (abs(p - t), np.sign(p - t)))


def huber(prediction, target, *, delta=1.0, mask=None, weights=None):
    """Huber's loss: ``d**2 / 2`` for ``|d| <= delta`` and ``delta * (|d| - delta / 2)`` beyond.

    Parameters and results as in :func:`mse`; ``delta`` is a float > 0.

    Examples
    --------
    >>> from pygru import losses
    >>> losses.huber([3.0], [0.0])[0]
    2.5
    """
    delta = validation.check_positive("delta", delta)

    def element(p, t):
        d = p - t
        inside = np.clip(d, -delta, delta)
        return inside * (d - inside / 2), inside

    return _reduce(prediction, target, mask, weights, element)


def bce_with_logits(logits, target, *, mask=None, weights=None):
    """Binary cross-entropy of ``sigmoid(logits)`` with targets in [0, 1].

    Parameters and results as in :func:`mse`.

    Examples
    --------
    >>> from pygru import losses
    >>> round(losses.bce_with_logits([0.0], [1.0])[0], 4)
    0.6931
    """

    def element(p, t):
        e = np.exp(-abs(p))
        sigmoid = np.where(p >= 0, 1, e) / (1 + e)
        return np.maximum(p, 0) - p * t + np.log1p(e), sigmoid - t

    return _reduce(logits, target, mask, weights, element)


def cross_entropy(logits, target, *, mask=None, weights=None):
    """Cross-entropy of ``softmax(logits)`` with the target classes, in nats.

    Parameters
    ----------
    logits : array_like
        (..., C) unnormalised log-probabilities.
    target : array_like of int
        (...) classes in [0, C).
    mask, weights : array_like, optional
        (...) as in :func:`mse`.

    Returns
    -------
    value : float
    gradient : ndarray
        With respect to the logits, (..., C).

    Raises
    ------
    ValueError
        If a class is out of bounds, or the shapes do not fit.

    Examples
    --------
    >>> from pygru import losses
    >>> round(losses.cross_entropy([[0.0, 0.0]], [1])[0], 4)
    0.6931
    """
    logits = np.asarray(logits)
    if logits.dtype not in (np.float32, np.float64):
        logits = logits.astype(np.float64)
    target = validation.as_numeric("target", target)
    if target.dtype.kind not in "iu":
        raise TypeError(f"target must be integers, got dtype {target.dtype}")
    if target.shape != logits.shape[:-1]:
        raise ValueError(
            f"target must have shape {logits.shape[:-1]} like logits without its last axis, "
            f"got {target.shape}"
        )
    classes = logits.shape[-1]
    share = _weighting(target.shape, mask, weights, logits.dtype)
    used = share > 0
    outside = np.argwhere(used & ((target < 0) | (target >= classes)))
    if len(outside):
        at = tuple(outside[0].tolist())
        raise ValueError(
            f"target[{', '.join(map(str, at))}] = {target[at]} is out of bounds for "
            f"{classes} classes"
        )
    gradient = allocate(logits.shape, logits.dtype, "the gradient of the logits")
    value = _core.cross_entropy(
        KERNELS,
        np.ascontiguousarray(logits).reshape(-1),
        np.where(used, target, 0).astype(np.int64).reshape(-1),
        np.ascontiguousarray(share).reshape(-1),
        gradient.reshape(-1),
        classes,
    )
    return value, gradient


LOSSES = {
    "mse": mse,
    "mae": mae,
    "huber": huber,
    "bce_with_logits": bce_with_logits,
    "cross_entropy": cross_entropy,
}
