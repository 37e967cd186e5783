"""Last: takes the last valid step of each sequence, one vector per sequence."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pygru.core import validation
from pygru.nn.checks import floating, gradient_like
from pygru.nn.layer import Layer
from pygru.nn.model import Model
from pygru.nn.stream_parts import Step
from pygru.typing import Floats, Integers


class _LastTape(NamedTuple):
    shape: tuple[int, int, int]  # of x
    lengths: Integers
    dtype: np.dtype[Any]


class Last(Layer):
    """Takes the last valid step of each sequence: (B, T, F) becomes (B, F).

    Parameters
    ----------
    bidirectional : bool
        Use this for the output of a bidirectional GRU. The second half of the features is then
        taken from the first step, where the reverse direction has read the whole sequence.

    Examples
    --------
    >>> import numpy as np, pygru
    >>> x = np.arange(6.0).reshape(1, 3, 2)
    >>> pygru.Last().forward(x, lengths=[2])[0].tolist()
    [[2.0, 3.0]]
    """

    predicts_steps = False
    keeps_features = True

    def __init__(self, bidirectional: bool = False) -> None:
        self._fix(bidirectional=validation.check_bool("bidirectional", bidirectional))
        self.create_parameters()

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, ready for JSON."""
        return {"bidirectional": self.bidirectional}

    def begin_stream(self, batch: int | None) -> Step:
        """Return what passes each step on, because it is the last one so far."""
        if self.bidirectional:
            raise ValueError("its reverse direction begins at the end of a sequence")
        return floating

    def check_follows(self, recurrent: Model) -> None:
        """Raise if the recurrent layer before this one has another number of directions."""
        if self.bidirectional != recurrent.bidirectional:
            raise ValueError(
                f"must be Last(bidirectional={recurrent.bidirectional}), like the "
                f"{type(recurrent).__name__} before it, got {self}"
            )

    def forward(
        self, x: ArrayLike, *, lengths: ArrayLike | None = None, training: bool = True
    ) -> tuple[Floats, _LastTape]:
        """Take the last steps of x (B, T, F); a sequence of length 0 gives zeros."""
        array = floating(x)
        if array.ndim != 3:
            raise ValueError(
                f"x must have 3 dimensions (batch, time, features), got {array.ndim}"
            )
        B, T, F = array.shape
        lengths = np.full(B, T) if lengths is None else validation.as_lengths(lengths, B, T)
        y = np.zeros((B, F), array.dtype)
        for rows, steps, columns in self._places(lengths, F):
            y[rows, columns] = array[rows, steps, columns]
        return y, _LastTape((B, T, F), lengths, array.dtype)

    def backward(self, tape: _LastTape, d_y: ArrayLike) -> Floats:
        """Return d_x, which is zero except at the steps that were taken."""
        B, _, F = tape.shape
        d_y = gradient_like("d_y", d_y, (B, F), tape.dtype)
        d_x = np.zeros(tape.shape, tape.dtype)
        for rows, steps, columns in self._places(tape.lengths, F):
            d_x[rows, steps, columns] = d_y[rows, columns]
        return d_x

    def _places(self, lengths: Integers, features: int) -> list[tuple[Integers, Any, slice]]:
        """Where the output comes from: sequences, the step that is taken of each, features.

        Sequences without steps are left out, because their x has no step to read.
        """
        ran = np.flatnonzero(lengths)
        if not ran.size:
            return []
        half = features // 2 if self.bidirectional else features
        last = (ran, lengths[ran] - 1, slice(half))
        return [last, (ran, 0, slice(half, features))] if self.bidirectional else [last]
