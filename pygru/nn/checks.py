"""What layers check of their arguments, and to what they convert them. Nothing is computed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from pygru.core import validation
from pygru.typing import Floats


def floating(x: ArrayLike) -> Floats:
    """Return x unchanged, but integers as float64, because gradients are fractions."""
    array = validation.as_numeric("x", x)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def check_sequences(name: str, array: Floats) -> None:
    """Raise unless an array is a batch of sequences, (B, T, F)."""
    if array.ndim != 3:
        advice = f"; one sequence is {name}[np.newaxis]" if array.ndim == 2 else ""
        raise ValueError(
            f"{name} must have 3 dimensions (batch, time, features), got {array.ndim}{advice}"
        )


def gradient_like(
    name: str, value: ArrayLike, shape: tuple[int, ...], dtype: DTypeLike
) -> Floats:
    """Return the gradient of an output of ``shape``; raise if it has another shape."""
    array = validation.as_real(name, value, dtype)
    validation.check_shape(name, array, shape, f"{shape} of the output")
    return array
