"""The weight of each element in a loss: masks and weights become shares that add up to 1.

With these shares a loss is a plain sum over elements. They are computed in double precision and
converted at the end, so the sum of the weights may be beyond float32's range. The losses
themselves, and the checks of their targets, are elsewhere.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pygru.core import validation
from pygru.core.pickled import naming
from pygru.typing import Booleans, Floats

DOUBLE = np.dtype(np.float64)


class Mean(float):
    """A weighted mean: a float, with the total of the weights in ``weight``.

    Examples
    --------
    >>> from pygru import losses
    >>> value, gradient = losses.mse([1.0, 3.0], [0.0, 3.0], weights=[1.0, 3.0])
    >>> value, value.weight
    (0.25, 4.0)
    """

    weight: float

    def __new__(cls, value: float, weight: float) -> Mean:
        self = super().__new__(cls, value)
        self.weight = float(weight)
        return self

    def __setstate__(self, state: Any) -> None:
        with naming(Mean):
            vars(self).update(state, weight=validation.check_number("weight", state["weight"]))

    def __getnewargs__(self) -> tuple[float, float]:  # type: ignore[override]
        return float(self), self.weight


def as_mask(name: str, values: ArrayLike) -> Booleans:
    """Return a copy of an array of bool; raise for other types."""
    array = np.array(validation.as_numeric(name, values), order="C")
    if not array.size:  # an empty list has no element to tell its dtype
        array = array.astype(np.bool_)
    if array.dtype != np.bool_:
        raise TypeError(f"{name} must be an array of bool, got dtype {array.dtype}")
    return array


def shares(
    shape: tuple[int, ...],
    mask: ArrayLike | None,
    weights: ArrayLike | None,
    dtype: np.dtype[Any],
) -> tuple[Floats, float]:
    """Return the weight of each element divided by their sum, and the sum.

    Parameters
    ----------
    shape : tuple of int
        The shape of the elements.
    mask, weights : array_like or None
        Which elements count, and how much; of ``shape``, or of ``shape`` without its last axis.
    dtype : dtype
        The dtype of the result.

    Raises
    ------
    TypeError, ValueError
        If a shape does not fit, or weights or their sum are negative or not finite.
    """
    result: Floats = np.ones(shape, DOUBLE if weights is not None else dtype)
    if mask is not None:
        result = result * _spread("mask", as_mask("mask", mask), shape)
    if weights is not None:
        array = _finite("weights", weights)
        result = result * _spread("weights", array, shape)
    with np.errstate(over="ignore"):
        total = float(result.sum(dtype=np.float64))
    if not math.isfinite(total):
        raise ValueError("weights must have a sum that is finite in float64")
    if total == 0:
        return np.zeros(shape, dtype), total
    # Where the sum is a number of this precision, the division below rounds to the same bits
    # as one in this precision would.
    if result.dtype == dtype and float(dtype.type(total)) == total:
        return result / dtype.type(total), total
    return np.divide(result, total, dtype=DOUBLE).astype(dtype), total


def equal_shares(count: int, dtype: np.dtype[Any]) -> tuple[Any, float]:
    """Return what :func:`shares` does without mask and weights: one number for all elements."""
    total = float(count)
    if total == 0:
        return dtype.type(0), total
    if float(dtype.type(total)) == total:
        return dtype.type(1) / dtype.type(total), total
    return dtype.type(1 / total), total


def _spread(name: str, array: Any, shape: tuple[int, ...]) -> Any:
    """Return an array of ``shape`` unchanged; add a last axis of 1 if that is missing."""
    if array.shape == shape:
        return array
    if shape and array.shape == shape[:-1]:
        return array[..., np.newaxis]
    raise ValueError(f"{name} must have shape {shape} or {shape[:-1]}, got {array.shape}")


def _finite(name: str, values: ArrayLike) -> Floats:
    """Return weights in double precision; raise unless they are finite and not negative."""
    array = np.asarray(validation.as_real(name, values, DOUBLE), order="C")
    if not (np.isfinite(array) & (array >= 0)).all():
        raise ValueError(f"{name} must be finite and >= 0")
    return array


def class_weights(
    values: ArrayLike, classes: int, dtype: np.dtype[Any]
) -> tuple[Floats, float]:
    """Return weights of classes, divided so that the largest is in [1, 2), and the divisor.

    A loss does not depend on a common factor of the weights. The divisor is a power of 2, so
    nothing is rounded, unless weights differ by more than the whole range of the precision.
    """
    array = _finite("class_weight", values)
    validation.check_shape("class_weight", array, (classes,), f"(classes={classes},)")
    largest = float(array.max(initial=0.0))
    factor = math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest > 0 else 1.0
    return np.ascontiguousarray((array / factor).astype(dtype)), factor
