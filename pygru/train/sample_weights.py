"""Weights of samples: how much each sequence, or each step of a sequence, counts in a loss.

The weights are copied and checked once, before training. Steps after the end of a sequence get
the weight 0, whatever the user's array contains there. The losses themselves apply the weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pygru.core import validation
from pygru.train.scan import Samples, blocks_of, first_problem
from pygru.typing import Floats, Integers

#: The largest sum of all weights. Sums over batches and outputs must be finite in float64.
LARGEST_SUM = 1e300


def checked_weights(
    name: str, samples: Samples, shape: tuple[int, int | None], steps: Integers | None
) -> Samples:
    """Return a copy of the weights in double precision, after checking them.

    Parameters
    ----------
    name : str
        What to call the weights in messages.
    samples : ndarray or list of ndarray
        (N,) one weight per sequence; or (N, T) or a list of (T_i,), one weight per step.
    shape : tuple
        The number of samples, and the number of steps of the padded batch. It is None if there
        are no steps that could have a weight.
    steps : ndarray or None
        (N,) the valid steps of each sample; None if all are valid.

    Raises
    ------
    TypeError, ValueError
        If the weights do not fit the samples, or one that is read is negative or not finite.
    """
    N, T = shape
    if isinstance(samples, list):
        _check_list(name, samples, N, T, steps)
        copies: Samples = [_doubles(name, sample) for sample in samples]
        read = None
    else:
        allowed = ((N,),) if T is None else ((N,), (N, T))
        if samples.shape not in allowed:
            per_step = "" if T is None else f" or ({N}, {T})"
            raise ValueError(f"{name} must have shape ({N},){per_step}, got {samples.shape}")
        copies = _doubles(name, samples)
        read = steps if copies.ndim == 2 else None
    total = 0.0
    for block in blocks_of(copies, read):
        found = first_problem(
            name, copies, block, ~((block.values >= 0) & (block.values < np.inf))
        )
        if found:
            raise ValueError(f"{found} must be finite and >= 0")
        with np.errstate(over="ignore"):
            total += float(block.values.sum())
    if not 0 < total <= LARGEST_SUM:
        raise ValueError(
            f"{name} must have a sum above 0 and at most {LARGEST_SUM}, got {total}"
        )
    if read is not None:
        assert isinstance(copies, np.ndarray)
        copies[np.arange(copies.shape[1]) >= read[:, np.newaxis]] = 0
    return copies


def _doubles(name: str, values: NDArray[np.generic]) -> Floats:
    return np.array(validation.as_real(name, values, np.dtype(np.float64)), order="C")


def _check_list(
    name: str, samples: list[NDArray[np.generic]], N: int, T: int | None, steps: Integers | None
) -> None:
    """Raise unless a list holds one weight for every valid step of every sample."""
    if T is None:
        raise ValueError(
            f"{name} must have shape ({N},), one weight per sample, because the model does not "
            "predict every step"
        )
    if len(samples) != N:
        raise ValueError(
            f"{name} must have one entry for each of {N} samples, got {len(samples)}"
        )
    for index, sample in enumerate(samples):
        expected = T if steps is None else int(steps[index])
        if sample.shape != (expected,):
            raise ValueError(
                f"{name}[{index}] must have shape ({expected},), one weight per step, got "
                f"{sample.shape}"
            )


def spread(weights: Floats, shape: tuple[int, ...]) -> Floats:
    """Return weights (B,) or (B, T) as an array of the shape of the targets (B, T, ...)."""
    wide = weights.reshape(*weights.shape, *[1] * (len(shape) - weights.ndim))
    return np.broadcast_to(wide, shape)
