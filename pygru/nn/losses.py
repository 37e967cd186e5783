"""Losses: each returns its value and its gradient with respect to the first argument.

Every loss is a weighted mean over elements. ``mask`` and ``weights`` have the shape of the
target, or its shape without the last axis. Elements whose mask is False are not read, so
padding may contain anything. The value is a float with an attribute ``weight``, the total of
the weights, so that the mean of several batches can be computed: see :class:`Mean`.
"""

import operator

import numpy as np

from pygru.core import _core, backend, validation
from pygru.core.memory import allocate


class Mean(float):
    """A weighted mean: a float, with the total of the weights in ``weight``.

    Examples
    --------
    >>> from pygru import losses
    >>> value, gradient = losses.mse([1.0, 3.0], [0.0, 3.0], weights=[1.0, 3.0])
    >>> value, value.weight
    (0.25, 4.0)
    """

    def __new__(cls, value, weight):
        self = super().__new__(cls, value)
        self.weight = float(weight)
        return self

    def __getnewargs__(self):
        return float(self), self.weight


def _floating(name, prediction):
    prediction = validation.as_numeric(name, prediction)
    if prediction.dtype not in (np.float32, np.float64):
        prediction = prediction.astype(np.float64)
    return prediction


def _arrays(prediction, target):
    prediction = _floating("prediction", prediction)
    target = validation.as_real("target", target, prediction.dtype)
    if target.shape != prediction.shape:
        raise ValueError(
            f"target must have the shape of the prediction {prediction.shape}, "
            f"got {target.shape}"
        )
    return prediction, target


def _bool(name, values):
    array = np.asarray(values)
    if array.dtype != np.bool_:
        raise TypeError(f"{name} must be an array of bool, got dtype {array.dtype}")
    return array


def _weighting(shape, mask, weights, dtype):
    """Return the weights divided by their sum, and the sum.

    With these weights the mean is a plain sum.
    """
    result = np.ones(shape, dtype)
    for name, given in (("mask", mask), ("weights", weights)):
        if given is None:
            continue
        if name == "mask":
            array = _bool(name, given)
        else:
            array = validation.as_real(name, given, dtype)
            if not (np.isfinite(array) & (array >= 0)).all():
                raise ValueError("weights must be finite and >= 0")
        if array.shape == shape[:-1] and array.ndim == len(shape) - 1:
            array = array[..., np.newaxis]
        elif array.shape != shape:
            raise ValueError(
                f"{name} must have shape {shape} or {shape[:-1]}, got {array.shape}"
            )
        result = result * array
    total = result.sum(dtype=np.float64)
    share = result / dtype.type(total) if total > 0 else np.zeros(shape, dtype)
    return share, total


def _reduce(prediction, target, mask, weights, element):
    """Value and gradient of the weighted mean of ``element(prediction, target)``."""
    prediction, target = _arrays(prediction, target)
    share, total = _weighting(prediction.shape, mask, weights, prediction.dtype)
    used = share > 0
    difference = np.where(used, prediction, 0), np.where(used, target, 0)
    value, slope = element(*difference)
    return Mean((value * share).sum(dtype=np.float64), total), slope * share


def mse(prediction, target, *, mask=None, weights=None):
    """Mean squared error, the mean of ``(prediction - target)**2``.

    Parameters
    ----------
    prediction, target : array_like
        Two arrays of the same shape.
    mask : array_like of bool, optional
        Which elements count.
    weights : array_like, optional
        The weight of each element, >= 0.

    Returns
    -------
    value : Mean
        A float whose ``weight`` is the total of the weights.
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


def quantile(prediction, target, *, quantiles, mask=None, weights=None):
    """Quantile loss ("pinball loss"), the mean of ``max(q * d, (q - 1) * d)``.

    Here ``d = target - prediction``. The conditional quantile q makes this loss smallest
    (Koenker and Bassett 1978, "Regression Quantiles"). The gradient is 0 where d is 0.

    Parameters
    ----------
    prediction : array_like
        (..., Q), the predictions of the Q quantiles of each target. For targets (..., F) it is
        (..., F * Q), with the Q predictions of one target side by side.
    target : array_like
        (...) or (..., F).
    quantiles : sequence of float
        The Q quantiles, each in (0, 1).
    mask, weights : array_like, optional
        In the shape of the target, or in this shape without the last axis; see :func:`mse`.

    Returns
    -------
    value : Mean
        The mean over targets and quantiles; its ``weight`` is that of the targets.
    gradient : ndarray
        With respect to the prediction, in its shape and dtype.

    Raises
    ------
    ValueError
        If the shapes do not fit or a quantile is out of range.

    Examples
    --------
    >>> import functools
    >>> from pygru import losses
    >>> value, gradient = losses.quantile([[0.0, 0.0]], [1.0], quantiles=[0.1, 0.9])
    >>> value, gradient.tolist()
    (0.5, [[-0.05, -0.45]])
    >>> loss = functools.partial(losses.quantile, quantiles=[0.1, 0.5, 0.9])  # for a Trainer
    """
    prediction = _floating("prediction", prediction)
    q = _quantiles(quantiles, prediction.dtype)
    target = validation.as_real("target", target, prediction.dtype)
    wide = (*target.shape[:-1], target.shape[-1] * len(q)) if target.ndim else None
    if prediction.shape not in ((*target.shape, len(q)), wide):
        raise ValueError(
            f"prediction must have shape {(*target.shape, len(q))} for {len(q)} quantiles of "
            f"a target of shape {target.shape}"
            + (f", or {wide}" if wide else "")
            + f", got {prediction.shape}"
        )
    share, total = _weighting(target.shape, mask, weights, prediction.dtype)
    share = share[..., np.newaxis] / len(q)
    grid = prediction.reshape(*target.shape, len(q))
    # Elements that do not count are not read. Their difference is 0.
    d = np.where(share > 0, target[..., np.newaxis], 0) - np.where(share > 0, grid, 0)
    slope = np.where(d > 0, q, np.where(d < 0, q - 1, 0))
    value = (slope * d * share).sum(dtype=np.float64)
    return Mean(value, total), (-slope * share).reshape(prediction.shape)


def _quantiles(values, dtype):
    array = validation.as_real("quantiles", values, np.dtype(np.float64))
    if array.ndim != 1 or not array.size or not ((array > 0) & (array < 1)).all():
        raise ValueError(f"quantiles must be a list of numbers in (0, 1), got {values}")
    return array.astype(dtype)


def cross_entropy(
    logits,
    target,
    *,
    mask=None,
    weights=None,
    class_weight=None,
    ignore_index=None,
    label_smoothing=0.0,
):
    """Cross-entropy of ``softmax(logits)`` with the target classes, in nats.

    Class weights, ignored classes and smoothing work as in PyTorch: the loss is the sum over
    rows, divided by the sum of the class weights of their targets.

    Parameters
    ----------
    logits : array_like
        (..., C) unnormalised log-probabilities.
    target : array_like of int
        (...) classes in [0, C).
    mask, weights : array_like, optional
        (...) as in :func:`mse`.
    class_weight : array_like, optional
        (C,) the weight of each class, >= 0.
    ignore_index : int, optional
        Rows with this target do not count and are not read. It need not be one of the classes.
    label_smoothing : float
        A number in [0, 1]: this part of the target's probability is distributed evenly over all
        classes (Szegedy et al. 2016, arXiv:1512.00567).

    Returns
    -------
    value : Mean
        Its ``weight`` is the total of the weights of the rows that count.
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
    >>> value, gradient = losses.cross_entropy(
    ...     [[0.0, 0.0], [9.0, 0.0]], [1, -1], ignore_index=-1, label_smoothing=0.1
    ... )
    >>> round(value, 4), gradient.round(3).tolist()
    (0.6931, [[0.45, -0.45], [0.0, 0.0]])
    """
    logits = _floating("logits", logits)
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(f"logits must have shape (..., classes), got {logits.shape}")
    classes = logits.shape[-1]
    label_smoothing = validation.check_fraction("label_smoothing", label_smoothing)
    target = _classes(target, logits)
    if ignore_index is not None:
        counts = target != _index("ignore_index", ignore_index)
        mask = counts if mask is None else _bool("mask", mask) & counts
    share, total = _weighting(target.shape, mask, weights, logits.dtype)
    target = _checked_classes(target, share > 0, classes)
    if class_weight is not None:
        class_weight = _class_weight(class_weight, classes, logits.dtype)
        of_classes = (share * class_weight[target]).sum(dtype=np.float64)
        total *= of_classes
        share = share / logits.dtype.type(of_classes) if total > 0 else np.zeros_like(share)
    gradient = allocate(logits.shape, logits.dtype, "the gradient of the logits")
    value = _core.cross_entropy(
        backend.current().kernels,
        np.ascontiguousarray(logits).reshape(-1),
        target.reshape(-1),
        np.ascontiguousarray(share).reshape(-1),
        class_weight,
        label_smoothing,
        gradient.reshape(-1),
        classes,
    )
    return Mean(value, total), gradient


def _index(name, value):
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, got {validation.type_name(value)}") from None


def _classes(target, logits):
    target = validation.as_numeric("target", target)
    if target.dtype.kind not in "iu":
        raise TypeError(f"target must be integers, got dtype {target.dtype}")
    if target.shape != logits.shape[:-1]:
        raise ValueError(
            f"target must have shape {logits.shape[:-1]} like logits without its last axis, "
            f"got {target.shape}"
        )
    return target


def _checked_classes(target, used, classes):
    """Return the target as contiguous int64, 0 where it is not used, after checking it."""
    outside = np.argwhere(used & ((target < 0) | (target >= classes)))
    if len(outside):
        at = tuple(outside[0].tolist())
        raise ValueError(
            f"target[{', '.join(map(str, at))}] = {target[at]} is out of bounds for "
            f"{classes} classes"
        )
    return np.where(used, target, 0).astype(np.int64)


def _class_weight(values, classes, dtype):
    array = np.ascontiguousarray(validation.as_real("class_weight", values, dtype))
    validation.check_shape("class_weight", array, (classes,), f"(classes={classes},)")
    if not (np.isfinite(array) & (array >= 0)).all():
        raise ValueError("class_weight must be finite and >= 0")
    return array


LOSSES = {
    "mse": mse,
    "mae": mae,
    "huber": huber,
    "bce_with_logits": bce_with_logits,
    "cross_entropy": cross_entropy,
}
