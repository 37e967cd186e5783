"""The rows of a padded batch that hold data. Layers compute only these rows.

A batch of sequences is an array (B, T, ...) whose sequence b ends after ``lengths[b]`` steps.
``steps`` contains the positions of the data in the (B * T) rows of the batch. None means that
all rows hold data; then nothing is copied.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pygru.core import validation


def counted_of(
    lengths: ArrayLike | None, mask: ArrayLike | None, batch: int, steps: int
) -> NDArray[np.bool_]:
    """Return which steps count, (B, T): those before the end that the mask does not leave out.

    Raises
    ------
    TypeError, ValueError
        If ``lengths`` or ``mask`` do not fit.
    """
    counted = np.ones((batch, steps), np.bool_)
    if mask is not None:
        counted = validation.as_flags("mask", mask)
        meaning = f"(batch={batch}, time={steps})"
        validation.check_shape("mask", counted, (batch, steps), meaning)
    if lengths is not None:
        valid = validation.as_lengths(lengths, batch, steps)
        counted &= np.arange(steps) < valid[:, np.newaxis]
    return counted


def steps_of(lengths: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.intp] | None:
    """Return the rows that hold data in a batch of ``shape``, (B, T, ...); None for all.

    Without a time axis, or without lengths, all rows hold data.
    """
    if lengths is None or len(shape) < 2:
        return None
    B, T = shape[:2]
    valid = validation.as_lengths(lengths, B, T)
    if (valid == T).all():
        return None
    return np.flatnonzero(np.arange(T) < valid[:, np.newaxis])


def take(x: NDArray[Any], steps: NDArray[Any] | None) -> NDArray[Any]:
    """Return the rows of x (B, T, ...) that hold data, (n, ...); x itself if all do."""
    if steps is None:
        return x
    B, T = x.shape[:2]
    chosen: NDArray[Any] = x.reshape(B * T, *x.shape[2:])[steps]
    return chosen


def put(rows: NDArray[Any], steps: NDArray[Any] | None, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an array of ``shape`` (B, T) + features with ``rows`` in place, 0 elsewhere."""
    if steps is None:
        return rows
    B, T = shape[:2]
    y = np.zeros((B * T, *rows.shape[1:]), rows.dtype)
    y[steps] = rows
    return y.reshape(B, T, *rows.shape[1:])
