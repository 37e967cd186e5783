"""Converts the input arrays of one call to the form of the core, and results back.

Here a batch is the input of one call of a GRU. The mini-batches of a training run are made in
``train/``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pygru.core import validation
from pygru.core._sequences import Batch
from pygru.data.padding import pad_sequences, padded_flags
from pygru.typing import Booleans, Floats

if TYPE_CHECKING:
    from pygru.gru_inference import GRUInference


class Inputs(Batch):
    """The input of one call as (T, B, I), and the conversion back to the caller's layout.

    The constructor converts arguments, or raises with a text that explains. Arguments that need
    no conversion do not come here: ``_sequences`` makes such an object of them.

    Attributes
    ----------
    options : GRUOptions
        Of the GRU.
    given : ndarray
        x in the caller's layout, with a dense last axis; may be the caller's own memory.
    h0 : ndarray or None
        The initial states in the caller's shape, contiguous.
    lengths : ndarray of int64 or None
        (B,) a copy that nobody else can change: the core uses lengths as indices.
    T, B : int
        Steps and sequences.
    is_single, is_list : bool
        Whether the caller gave one sequence without a batch axis, or a list of sequences.
    batch_first : bool
        Whether arrays of the caller are (B, T, n).
    output_size : int
        The features of the output in the caller's form.
    """

    def __init__(
        self, gru: GRUInference, x: ArrayLike, h0: ArrayLike | None, lengths: ArrayLike | None
    ) -> None:
        self.options = gru.options
        self.batch_first = gru.batch_first
        self.output_size = gru.output_size
        if _is_list_of_sequences(x):
            self.is_list = True
            if lengths is not None:
                raise ValueError("lengths must be None when x is a list of sequences")
            x, lengths = pad_sequences(x, dtype=gru.dtype, batch_first=gru.batch_first)
        if isinstance(x, (list, tuple)) and not x:
            raise ValueError("x must hold at least one sequence or step, got an empty list")
        array = validation.as_real("x", x, gru.dtype)
        axes = "(batch, time, input_size)" if gru.batch_first else "(time, batch, input_size)"
        if array.ndim not in (2, 3):
            raise ValueError(
                f"x must have 3 dimensions {axes}, or 2 (time, input_size), got {array.ndim}"
            )
        if array.shape[-1] != gru.input_size:
            raise ValueError(
                f"x.shape[-1] must equal input_size={gru.input_size}, got {array.shape[-1]}"
            )
        self.is_single = array.ndim == 2
        self.given = validation.dense_last_axis(array)
        self.T, self.B = self.x.shape[:2]
        if lengths is not None:
            of_each: Any = [lengths] if self.is_single and np.ndim(lengths) == 0 else lengths
            self.lengths = validation.as_lengths(of_each, self.B, self.T)
        self.h0 = self.state("h0", h0)

    @classmethod
    def of_core(
        cls, gru: GRUInference, x: Floats, h0: Floats | None, lengths: NDArray[np.int64] | None
    ) -> Inputs:
        """Return the input of a call inside of another one, in the form of the core.

        Its arrays are (T, B, n) whatever ``gru.batch_first`` is, and the output has the
        features of all directions. Nothing is checked.
        """
        self = cls.__new__(cls)
        self.options = gru.options
        self.output_size = gru.options.states_size
        self.given, self.h0, self.lengths = validation.dense_last_axis(x), h0, lengths
        self.T, self.B = x.shape[:2]
        return self

    @property
    def x(self) -> Floats:
        """The input as (T, B, I), a view."""
        return self.time_major(self.given)

    def release(self) -> None:
        """Drop the caller's arrays, because the tape has its own copies."""
        self.given = self.h0 = None

    def time_major(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a (T, B, n) view of an array in the caller's layout."""
        if self.is_single:
            return array[:, np.newaxis, :]
        return array.swapaxes(0, 1) if self.batch_first else array

    def shape_of(self, width: int) -> tuple[int, ...]:
        """Return the caller's shape of an array with ``width`` features per step."""
        if self.is_single:
            return (self.T, width)
        return (self.B, self.T, width) if self.batch_first else (self.T, self.B, width)

    def state_shape(self) -> tuple[int, ...]:
        """Return the caller's shape of a state: (L*D, B, H), or (L*D, H) of one sequence."""
        options = self.options
        if self.is_single:
            return (options.num_states, options.hidden_size)
        return (options.num_states, self.B, options.hidden_size)

    def state(self, name: str, value: ArrayLike | None) -> Floats | None:
        """Check a state (h0, d_h_n) and return it contiguous, in its own shape, or None."""
        if value is None:
            return None
        options = self.options
        meaning = (
            f"(num_layers*num_directions={options.num_states}, "
            + ("" if self.is_single else f"batch={self.B}, ")
            + f"hidden_size={options.hidden_size})"
        )
        return validation.as_state(name, value, options.dtype, self.state_shape(), meaning)

    def refuse_huge(self) -> None:
        """Raise if the output cannot be addressed."""
        width = self.output_size
        if self.T * self.B * width * self.options.dtype.itemsize > sys.maxsize:
            raise ValueError(f"output of shape {self.shape_of(width)} is too big")

    def step_flags(self, name: str, value: Any) -> Booleans | None:
        """Check one bool per step (mask, reset) and return a copy (B, T), or None.

        The flags have the shape of x without its features; a list if x is one.
        """
        if value is None:
            return None
        if self.is_list:
            return padded_flags(name, value, self.full_lengths().tolist())
        array = validation.as_flags(name, value)
        axes = "(time={},)"
        shape: tuple[int, ...] = (self.T,)
        if not self.is_single:
            axes = "(batch={}, time={})" if self.batch_first else "(time={1}, batch={0})"
            shape = (self.B, self.T) if self.batch_first else (self.T, self.B)
            axes = axes.format(self.B, self.T)
        validation.check_shape(name, array, shape, axes.format(self.T))
        if self.is_single:
            return array[np.newaxis]
        return array if self.batch_first else np.ascontiguousarray(array.T)

    def full_lengths(self) -> NDArray[np.int64]:
        """Return the length of each sequence, which is T if no lengths were given."""
        if self.lengths is not None:
            return self.lengths
        return np.full(self.B, self.T, np.int64)

    def sequences(self, array: Floats) -> Floats | list[Floats]:
        """Return a padded result in the caller's form: views of it in a list if x was one."""
        if not self.is_list:
            return array
        rows = array if self.batch_first else array.swapaxes(0, 1)
        return [row[:length] for row, length in zip(rows, self.full_lengths(), strict=True)]


def _is_list_of_sequences(x: object) -> TypeGuard[list[ArrayLike]]:
    return (
        isinstance(x, (list, tuple))
        and len(x) > 0
        and all(getattr(sequence, "ndim", None) == 2 for sequence in x)
    )
