"""One call's arrays, brought to the form of the core, and the way back to the caller's."""

import numpy as np

from pygru.core import validation
from pygru.data.padding import pad_sequences, unpad_sequences


class Batch:
    """One call's input, brought to (T, B, I), and the way back to the caller's layout."""

    def __init__(self, gru, x, h0, lengths):
        self.gru = gru
        self.is_list = _is_list_of_sequences(x)
        if self.is_list:
            if lengths is not None:
                raise ValueError("lengths must be None when x is a list of sequences")
            x, lengths = pad_sequences(x, dtype=gru.dtype, batch_first=gru.batch_first)
        x = validation.as_real("x", x, gru.dtype)
        axes = "(batch, time, input_size)" if gru.batch_first else "(time, batch, input_size)"
        if x.ndim not in (2, 3):
            raise ValueError(
                f"x must have 3 dimensions {axes}, or 2 (time, input_size), got {x.ndim}"
            )
        if x.shape[-1] != gru.input_size:
            raise ValueError(
                f"x.shape[-1] must equal input_size={gru.input_size}, got {x.shape[-1]}"
            )
        self.is_single = x.ndim == 2
        self.x = validation.dense_last_axis(self.time_major(x))
        self.T, self.B = self.x.shape[:2]
        self.lengths = lengths
        if lengths is not None:
            lengths = [lengths] if self.is_single and np.ndim(lengths) == 0 else lengths
            self.lengths = validation.as_lengths(lengths, self.B, self.T)
        self.h0 = self.state("h0", h0)

    def time_major(self, array):
        """A (T, B, n) view of an array in the caller's layout."""
        if self.is_single:
            return array[:, np.newaxis, :]
        return array.swapaxes(0, 1) if self.gru.batch_first else array

    def shape_of(self, width):
        """The caller's shape of an array with ``width`` features per step."""
        if self.is_single:
            return (self.T, width)
        return (self.B, self.T, width) if self.gru.batch_first else (self.T, self.B, width)

    def state_shape(self):
        gru = self.gru
        count = gru.num_layers * gru.num_directions
        if self.is_single:
            return (count, gru.hidden_size)
        return (count, self.B, gru.hidden_size)

    def state(self, name, value):
        """Check a state (h0, d_h_n) and return it flat, or None."""
        if value is None:
            return None
        gru = self.gru
        meaning = (
            f"(num_layers*num_directions={gru.num_layers * gru.num_directions}, "
            + ("" if self.is_single else f"batch={self.B}, ")
            + f"hidden_size={gru.hidden_size})"
        )
        state = validation.as_state(name, value, gru.dtype, self.state_shape(), meaning)
        return state.reshape(-1)

    def sequences(self, array):
        """The caller's form of a padded result: a list if x was one."""
        if not self.is_list:
            return array
        return unpad_sequences(array, self.lengths, batch_first=self.gru.batch_first)


def _is_list_of_sequences(x):
    return (
        isinstance(x, (list, tuple))
        and len(x) > 0
        and all(getattr(sequence, "ndim", None) == 2 for sequence in x)
    )
