"""MeanOverTime and MaxOverTime: one vector per sequence, from all of its steps that count.

Steps after the end of a sequence, and those that a mask leaves out, are not read. A sequence
has the same result, bit for bit, in any batch, because it is reduced on its own, in the order
of its steps.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pygru.nn import ragged
from pygru.nn.checks import check_sequences, floating, gradient_like
from pygru.nn.layer import Layer
from pygru.nn.shortcuts import FORWARD, Shortcut, no_steps
from pygru.nn.stream_parts import RunningMax, RunningMean
from pygru.typing import Booleans, Floats, Integers


class _MeanTape(NamedTuple):
    shape: tuple[int, int, int]  # of x
    counted: Booleans  # (B, T)
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
    takes_mask = True

    def __init__(self) -> None:
        self.create_parameters()

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, of which there are none."""
        return {}

    def _read(
        self, x: ArrayLike, lengths: ArrayLike | None, mask: ArrayLike | None
    ) -> tuple[Floats, Booleans]:
        """x in C order and which of its steps count, after checking them."""
        array = np.asarray(floating(x), order="C")
        check_sequences("x", array)
        return array, ragged.counted_of(lengths, mask, *array.shape[:2])


class MeanOverTime(_Pooling):
    """The mean over the steps of each sequence that count: (B, T, F) becomes (B, F).

    A sequence without steps gives zeros.

    Examples
    --------
    >>> import numpy as np, pygru
    >>> x = np.arange(6.0).reshape(1, 3, 2)
    >>> pygru.MeanOverTime()(x).tolist()
    [[2.0, 3.0]]
    >>> pygru.MeanOverTime()(x, lengths=[2]).tolist()
    [[1.0, 2.0]]
    """

    _shortcuts: ClassVar[dict[str, Shortcut]] = {"begin_stream": Shortcut(FORWARD, no_steps)}

    def forward(
        self,
        x: ArrayLike,
        *,
        lengths: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        training: bool = True,
    ) -> tuple[Floats, _MeanTape]:
        """Return the means over time of x (B, T, F), and the tape."""
        array, counted = self._read(x, lengths, mask)
        B, T, F = array.shape
        y = np.zeros((B, F), array.dtype)
        counts = counted.sum(axis=1).tolist()
        for row, sequence, steps, count in zip(y, array, counted, counts, strict=True):
            if count:
                row[...] = _sum_in_order(sequence if count == T else sequence[steps]) / count
        return y, _MeanTape((B, T, F), counted, array.dtype)

    def begin_stream(self, batch: int | None) -> RunningMean:
        """Return what gives the mean of the steps so far."""
        return RunningMean(batch)

    def backward(self, tape: _MeanTape, d_y: ArrayLike) -> Floats:
        """Return d_x: every step that counts has an equal share of the gradient."""
        B, _, F = tape.shape
        d_y = gradient_like("d_y", d_y, (B, F), tape.dtype)
        counts = np.maximum(tape.counted.sum(axis=1), 1)
        shares = d_y / counts[:, np.newaxis].astype(tape.dtype)
        d_x: Floats = np.where(tape.counted[..., np.newaxis], shares[:, np.newaxis], 0)
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
    """The largest value of each feature over the steps that count: (B, T, F) becomes (B, F).

    The gradient belongs to the step that has the largest value, the first one if there are
    several. A sequence without steps gives zeros.

    Examples
    --------
    >>> import numpy as np, pygru
    >>> x = np.array([[[1.0, 5.0], [3.0, 2.0], [9.0, 9.0]]])
    >>> pygru.MaxOverTime()(x).tolist()
    [[9.0, 9.0]]
    >>> pygru.MaxOverTime()(x, lengths=[2]).tolist()
    [[3.0, 5.0]]
    """

    _shortcuts: ClassVar[dict[str, Shortcut]] = {"begin_stream": Shortcut(FORWARD, no_steps)}

    def forward(
        self,
        x: ArrayLike,
        *,
        lengths: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        training: bool = True,
    ) -> tuple[Floats, _MaxTape]:
        """Return the largest values over time of x (B, T, F), and the tape."""
        array, counted = self._read(x, lengths, mask)
        B, T, F = array.shape
        ran = np.flatnonzero(counted.any(axis=1))
        steps = np.zeros((len(ran), F), np.intp)
        y = np.zeros((B, F), array.dtype)
        if ran.size:
            there = np.broadcast_to(counted[ran][..., np.newaxis], array[ran].shape)
            shown = np.where(there, array[ran], array.dtype.type(-np.inf))
            steps = shown.argmax(axis=1)
            # If all values are -inf, a step that does not count may have been found.
            is_there = np.take_along_axis(there, steps[:, np.newaxis], axis=1)[:, 0]
            steps = np.where(is_there, steps, there.argmax(axis=1))
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
