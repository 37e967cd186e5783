"""MeanOverTime and MaxOverTime: one vector per sequence, from all of its valid steps.

Steps after the end of a sequence are not read. A sequence has the same result, bit for bit, in
any batch, because it is reduced on its own, in the order of its steps.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pygru.core import validation
from pygru.nn.checks import floating, gradient_like
from pygru.nn.layer import Layer
from pygru.nn.stream_parts import RunningMax, RunningMean
from pygru.typing import Floats, Integers


class _MeanTape(NamedTuple):
    shape: tuple[int, int, int]  # of x
    lengths: Integers
    dtype: np.dtype[Any]


class _MaxTape(NamedTuple):
    shape: tuple[int, int, int]  # of x
    ran: Integers  # which sequences have any step
    steps: Integers  # (len(ran), F) the step of the largest value
    dtype: np.dtype[Any]


class _Pooling(Layer):
    """What both layers share: no options and no parameters, one output per sequence."""

    predicts_steps = False
    keeps_features = True

    def __init__(self) -> None:
        self.create_parameters()

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, of which there are none."""
        return {}

    def _read(self, x: ArrayLike, lengths: ArrayLike | None) -> tuple[Floats, Integers]:
        """x in C order and the lengths of its sequences, after checking them."""
        array = np.asarray(floating(x), order="C")
        if array.ndim != 3:
            raise ValueError(
                f"x must have 3 dimensions (batch, time, features), got {array.ndim}"
            )
        B, T, _ = array.shape
        if lengths is None:
            return array, np.full(B, T)
        return array, validation.as_lengths(lengths, B, T)


class MeanOverTime(_Pooling):
    """The mean over the valid steps of each sequence: (B, T, F) becomes (B, F).

    A sequence of length 0 gives zeros.

    Examples
    --------
    >>> import numpy as np, pygru
    >>> x = np.arange(6.0).reshape(1, 3, 2)
    >>> pygru.MeanOverTime()(x).tolist()
    [[2.0, 3.0]]
    >>> pygru.MeanOverTime()(x, lengths=[2]).tolist()
    [[1.0, 2.0]]
    """

    def forward(
        self, x: ArrayLike, *, lengths: ArrayLike | None = None, training: bool = True
    ) -> tuple[Floats, _MeanTape]:
        """Return the means over time of x (B, T, F), and the tape."""
        array, ends = self._read(x, lengths)
        B, T, F = array.shape
        y = np.zeros((B, F), array.dtype)
        for row, sequence, end in zip(y, array, ends.tolist(), strict=True):
            if end:
                row[...] = _sum_in_order(sequence[:end]) / end
        return y, _MeanTape((B, T, F), ends, array.dtype)

    def begin_stream(self, batch: int | None) -> RunningMean:
        """Return what gives the mean of the steps so far."""
        return RunningMean(batch)

    def backward(self, tape: _MeanTape, d_y: ArrayLike) -> Floats:
        """Return d_x: every valid step has an equal share of the gradient."""
        B, T, F = tape.shape
        d_y = gradient_like("d_y", d_y, (B, F), tape.dtype)
        shares = d_y / np.maximum(tape.lengths, 1)[:, np.newaxis].astype(tape.dtype)
        there = np.arange(T) < tape.lengths[:, np.newaxis]
        d_x: Floats = np.where(there[..., np.newaxis], shares[:, np.newaxis], 0)
        return d_x


def _sum_in_order(steps: Floats) -> Floats:
    """The sum of (T, F) over the steps, one after the other, as a stream adds them."""
    # NumPy would add the numbers of a single column in pairs.
    column = steps.shape[1] == 1
    total: Floats = (
        steps.cumsum(axis=0, dtype=np.float64)[-1]
        if column
        else steps.sum(axis=0, dtype=np.float64)
    )
    return total


class MaxOverTime(_Pooling):
    """The largest value of each feature over the valid steps: (B, T, F) becomes (B, F).

    The gradient belongs to the step that has the largest value, the first one if there are
    several. A sequence of length 0 gives zeros.

    Examples
    --------
    >>> import numpy as np, pygru
    >>> x = np.array([[[1.0, 5.0], [3.0, 2.0], [9.0, 9.0]]])
    >>> pygru.MaxOverTime()(x).tolist()
    [[9.0, 9.0]]
    >>> pygru.MaxOverTime()(x, lengths=[2]).tolist()
    [[3.0, 5.0]]
    """

    def forward(
        self, x: ArrayLike, *, lengths: ArrayLike | None = None, training: bool = True
    ) -> tuple[Floats, _MaxTape]:
        """Return the largest values over time of x (B, T, F), and the tape."""
        array, ends = self._read(x, lengths)
        B, T, F = array.shape
        ran = np.flatnonzero(ends)
        steps = np.zeros((len(ran), F), np.intp)
        y = np.zeros((B, F), array.dtype)
        if ran.size:
            there = np.arange(T) < ends[ran, np.newaxis]
            shown = np.where(there[..., np.newaxis], array[ran], array.dtype.type(-np.inf))
            steps = shown.argmax(axis=1)
            y[ran] = np.take_along_axis(shown, steps[:, np.newaxis], axis=1)[:, 0]
        return y, _MaxTape((B, T, F), ran, steps, array.dtype)

    def begin_stream(self, batch: int | None) -> RunningMax:
        """Return what gives the largest values so far."""
        return RunningMax(batch)

    def backward(self, tape: _MaxTape, d_y: ArrayLike) -> Floats:
        """Return d_x, which is zero except at the steps with the largest values."""
        B, _, F = tape.shape
        d_y = gradient_like("d_y", d_y, (B, F), tape.dtype)
        d_x = np.zeros(tape.shape, tape.dtype)
        d_x[tape.ran[:, np.newaxis], tape.steps, np.arange(F)] = d_y[tape.ran]
        return d_x
