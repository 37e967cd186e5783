"""Losses: each returns its value and its gradient with respect to the first argument.

Every loss is a weighted mean over elements. ``mask`` and ``weights`` have the shape of the
target, or its shape without the last axis. Elements whose mask is False are not read, so
padding may contain anything. The value is a float with an attribute ``weight``, the total of
the weights, so that the mean of several batches can be computed: see :class:`Mean`.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from pygru.core import _training, backend, validation
from pygru.core.memory import allocate
from pygru.nn import targets
from pygru.nn.weighting import Mean, as_mask, class_weights, equal_shares, shares
from pygru.typing import Floats, Integers

#: Value and slope of each element, from prediction and target.
Element: TypeAlias = Callable[[Floats, Floats], tuple[Floats, Floats]]


def _floating(name: str, prediction: ArrayLike) -> Floats:
    """A prediction as a native array: float32 of any byte order stays float32."""
    array = validation.as_numeric(name, prediction)
    is_single = array.dtype.kind == "f" and array.dtype.itemsize == 4
    return _as_real(name, array, np.dtype(np.float32 if is_single else np.float64))


def _as_real(name: str, value: ArrayLike, dtype: np.dtype[Any]) -> Floats:
    """Numbers of ``dtype`` in C order: sums then have one order, whatever the layout."""
    return np.asarray(validation.as_real(name, value, dtype), order="C")


def _reduce(
    prediction: ArrayLike,
    target: ArrayLike,
    mask: ArrayLike | None,
    weights: ArrayLike | None,
    element: Element,
    rule: targets.Rule | None = None,
) -> tuple[Mean, Floats]:
    """Value and gradient of the weighted mean of ``element(prediction, target)``.

    ``rule`` says which targets can be learned; elements that do not count are not looked at.
    """
    p = _floating("prediction", prediction)
    t = _as_real("target", target, p.dtype)
    if t.shape != p.shape:
        raise ValueError(
            f"target must have the shape of the prediction {p.shape}, got {t.shape}"
        )
    if mask is None and weights is None:
        share, total = equal_shares(p.size, p.dtype)
    else:
        share, total = shares(p.shape, mask, weights, p.dtype)
        used = share > 0
        p, t = np.where(used, p, 0), np.where(used, t, 0)
    if rule is not None:
        targets.refuse_first("target", t, rule("target", t, {}, None))
    value, slope = element(p, t)
    return Mean((value * share).sum(dtype=np.float64), total), slope * share


def mse(
    prediction: ArrayLike,
    target: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> tuple[Mean, Floats]:
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

    def element(p: Floats, t: Floats) -> tuple[Floats, Floats]:
        d = p - t
        return d * d, 2 * d

    return _reduce(prediction, target, mask, weights, element)


def mae(
    prediction: ArrayLike,
    target: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> tuple[Mean, Floats]:
    """Mean absolute error; the gradient is 0 where prediction and target are equal.

    Parameters and results as in :func:`mse`.

    Examples
    --------
    >>> from pygru import losses
    >>> losses.mae([1.0, 3.0], [0.0, 3.0])[0]
    0.5
    """
    return _reduce(prediction, target, mask, weights, lambda p, t: (abs(p - t), np.sign(p - t)))


def huber(
    prediction: ArrayLike,
    target: ArrayLike,
    *,
    delta: float = 1.0,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> tuple[Mean, Floats]:
    """Huber's loss: ``d**2 / 2`` for ``|d| <= delta`` and ``delta * (|d| - delta / 2)`` beyond.

    Parameters and results as in :func:`mse`; ``delta`` is a float > 0.

    Examples
    --------
    >>> from pygru import losses
    >>> losses.huber([3.0], [0.0])[0]
    2.5
    """
    delta = validation.check_positive("delta", delta)

    def element(p: Floats, t: Floats) -> tuple[Floats, Floats]:
        d = p - t
        largest = d.dtype.type(min(delta, float(np.finfo(d.dtype).max)))  # of this precision
        inside = np.clip(d, -largest, largest)
        return inside * (d - inside / 2), inside

    return _reduce(prediction, target, mask, weights, element)


def bce_with_logits(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    pos_weight: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> tuple[Mean, Floats]:
    """Binary cross-entropy of ``sigmoid(logits)`` with targets in [0, 1].

    Parameters
    ----------
    logits, target : array_like
        Two arrays of the same shape.
    pos_weight : array_like, optional
        How much the positive part of a target counts, a number >= 0, or one for each output:
        any shape that can be broadcast to that of the target. As in PyTorch, the loss of an
        element is ``-(pos_weight * t * log(p) + (1 - t) * log(1 - p))`` with
        ``p = sigmoid(logit)``. The number by which the sum is divided does not depend on it.
    mask, weights : array_like, optional
        As in :func:`mse`.

    Returns
    -------
    value : Mean
    gradient : ndarray
        As in :func:`mse`.

    Raises
    ------
    ValueError
        If a target that counts is not in [0, 1]. Labels 1 and 2, for example, would train to a
        loss without a lower bound. Also if ``pos_weight`` is negative, is not finite, or does
        not fit the target.

    Examples
    --------
    >>> import functools
    >>> from pygru import losses
    >>> round(losses.bce_with_logits([0.0], [1.0])[0], 4)
    0.6931
    >>> round(losses.bce_with_logits([0.0], [1.0], pos_weight=3.0)[0], 4)
    2.0794
    >>> loss = functools.partial(losses.bce_with_logits, pos_weight=3.0)  # for a Trainer
    """

    def element(p: Floats, t: Floats) -> tuple[Floats, Floats]:
        e = np.exp(-abs(p))
        sigmoid = np.where(p >= 0, 1, e) / (1 + e)
        if pos_weight is None:
            return np.maximum(p, 0) - p * t + np.log1p(e), sigmoid - t
        # With w = pos_weight: (1 - t) softplus(p) + w t softplus(-p)
        weight = _pos_weight(pos_weight, t)
        negative = np.where(p >= 0, e, 1) / (1 + e)  # 1 - sigmoid, without cancellation
        softplus = np.log1p(e)
        value = (1 - t) * (np.maximum(p, 0) + softplus)
        value += weight * t * (np.maximum(-p, 0) + softplus)
        return value, (1 - t) * sigmoid - weight * t * negative

    return _reduce(logits, target, mask, weights, element, targets.probabilities)


def _pos_weight(values: ArrayLike, target: Floats) -> Floats:
    """The weights of the positive parts of targets, in their dtype."""
    array = _as_real("pos_weight", values, np.dtype(np.float64))
    if not (np.isfinite(array) & (array >= 0)).all():
        raise ValueError("pos_weight must be finite and >= 0")
    if array.ndim > target.ndim or any(
        size not in (1, wide)
        for size, wide in zip(array.shape[::-1], target.shape[::-1], strict=False)
    ):
        raise ValueError(
            f"pos_weight must have a shape that fits that of the target {target.shape}, got "
            f"{array.shape}"
        )
    limit = np.finfo(target.dtype).max
    if array.size and array.max() > limit:
        raise ValueError(f"pos_weight must be at most {limit} for {target.dtype}")
    return array.astype(target.dtype)


def quantile(
    prediction: ArrayLike,
    target: ArrayLike,
    *,
    quantiles: Sequence[float],
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> tuple[Mean, Floats]:
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
    target = _as_real("target", target, prediction.dtype)
    wide = (*target.shape[:-1], target.shape[-1] * len(q)) if target.ndim else None
    if prediction.shape not in ((*target.shape, len(q)), wide):
        raise ValueError(
            f"prediction must have shape {(*target.shape, len(q))} for {len(q)} quantiles of "
            f"a target of shape {target.shape}"
            + (f", or {wide}" if wide else "")
            + f", got {prediction.shape}"
        )
    share, total = shares(target.shape, mask, weights, prediction.dtype)
    share = share[..., np.newaxis] / len(q)
    grid = prediction.reshape(*target.shape, len(q))
    # Elements that do not count are not read. Their difference is 0.
    d = np.where(share > 0, target[..., np.newaxis], 0) - np.where(share > 0, grid, 0)
    slope = np.where(d > 0, q, np.where(d < 0, q - 1, 0))
    value = (slope * d * share).sum(dtype=np.float64)
    return Mean(value, total), (-slope * share).reshape(prediction.shape)


def _quantiles(values: Sequence[float], dtype: np.dtype[Any]) -> Floats:
    array = validation.as_real("quantiles", values, np.dtype(np.float64))
    if array.ndim != 1 or not array.size or not ((array > 0) & (array < 1)).all():
        raise ValueError(f"quantiles must be a list of numbers in (0, 1), got {values}")
    return array.astype(dtype)


def cross_entropy(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> tuple[Mean, Floats]:
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
        If a class is out of bounds, if there is only one class, or the shapes do not fit.

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
    x = _floating("logits", logits)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f"logits must have shape (..., classes), got {x.shape}")
    classes = x.shape[-1]
    targets.check_classes(classes)
    label_smoothing = validation.check_fraction("label_smoothing", label_smoothing)
    t = _classes(target, x)
    if ignore_index is not None:
        counts = t != _index("ignore_index", ignore_index)
        mask = counts if mask is None else as_mask("mask", mask) & counts
    share, total = shares(t.shape, mask, weights, x.dtype)
    t = np.where(share > 0, t, 0)
    targets.refuse_first("target", t, targets.class_numbers("target", t, {}, classes))
    factors = None
    if class_weight is not None:
        factors, divisor = class_weights(class_weight, classes, x.dtype)
        share, of_classes = _with_class_weights(share, factors[t])
        total *= of_classes * divisor
        if not np.isfinite(total):
            raise ValueError("class_weight must have a sum over the targets that is finite")
    gradient: Floats = allocate(x.shape, x.dtype, "the gradient of the logits")
    value = _training.cross_entropy(
        backend.current().kernels,
        x.reshape(-1),
        t.astype(np.int64).reshape(-1),
        np.ascontiguousarray(share).reshape(-1),
        factors,
        label_smoothing,
        gradient.reshape(-1),
        classes,
    )
    return Mean(value, total), gradient


def _with_class_weights(share: Floats, factors: Floats) -> tuple[Floats, float]:
    """Shares divided by their sum times the factors of their classes, and that sum."""
    total = float((share * factors).sum(dtype=np.float64))
    if total == 0:
        return np.zeros_like(share), total
    return share / share.dtype.type(total), total


def _index(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, got {validation.type_name(value)}") from None


def _classes(target: ArrayLike, logits: Floats) -> Integers:
    array = validation.as_numeric("target", target)
    if array.dtype.kind not in "iu":
        raise TypeError(f"target must be integers, got dtype {array.dtype}")
    if array.shape != logits.shape[:-1]:
        raise ValueError(
            f"target must have shape {logits.shape[:-1]} like logits without its last axis, "
            f"got {array.shape}"
        )
    return array.copy()  # what is checked is what the core reads, whoever writes to it


def check_targets(
    loss: Callable[..., Any],
    y: Any,
    *,
    lengths: ArrayLike | None = None,
    classes: int | None = None,
    name: str = "y",
) -> None:
    """Raise for the first target of a data set that a loss cannot learn.

    Parameters
    ----------
    loss : callable
        A loss of this module, or a :func:`functools.partial` of one. Targets of any other
        function are not looked at: it may mean something by NaN. Nor are they if the partial
        holds a mask or weights, since those say what counts.
    y : ndarray or list of array_like
        Targets of N samples.
    lengths : array_like of int, optional
        (N,) how many steps of each sample's targets count.
    classes : int, optional
        How many outputs the model has, if that is known.
    name : str
        What to call the targets in the error.

    Raises
    ------
    TypeError
        If classes are not integers.
    ValueError
        If a target cannot be learned; the text names its sample and its place.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru import losses
    >>> losses.check_targets(losses.bce_with_logits, np.array([[0.0], [1.0], [2.0]]))
    Traceback (most recent call last):
        ...
    ValueError: y[2, 0] = 2.0 must be in [0, 1] for bce_with_logits
    """
    options: dict[str, Any] = {}
    while isinstance(loss, functools.partial):
        options = {**loss.keywords, **options}
        loss = loss.func
    rule = next((rule for known, rule in _RULES.items() if known is loss), None)
    if rule is None or not options.keys().isdisjoint(("mask", "weights")):
        return
    array = None if lengths is None else np.array(lengths)
    targets.check_all(rule, options, y, array, classes, name)


_RULES: dict[Callable[..., Any], targets.Rule] = {
    mse: targets.finite,
    mae: targets.finite,
    huber: targets.finite,
    quantile: targets.finite,
    bce_with_logits: targets.probabilities,
    cross_entropy: targets.class_numbers,
}

LOSSES: dict[str, Callable[..., tuple[Mean, Floats]]] = {
    "mse": mse,
    "mae": mae,
    "huber": huber,
    "bce_with_logits": bce_with_logits,
    "cross_entropy": cross_entropy,
}
