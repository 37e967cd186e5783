"""The rows of a ``PackedSequence``, and the padded arrays that the core reads and writes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pygru.core.memory import allocate
from pygru.typing import Floats


class PackedRows:
    """Where each row of packed data is in a padded (T, B, width) array.

    Packed data have the rows of the first step of all sequences, then those of the second step,
    and so on. The sequences are sorted, longest first.

    Attributes
    ----------
    T, B : int
        Steps of the longest sequence, and sequences.
    lengths : ndarray of int64, or None
        (B,) the length of each sequence; None if all have T steps.
    starts : ndarray of int64
        (T,) the row at which each step begins.
    """

    def __init__(self, batch_sizes: NDArray[np.int64]) -> None:
        self.T, self.B = len(batch_sizes), int(batch_sizes[0])
        self.starts = np.cumsum(batch_sizes) - batch_sizes
        self.lengths: NDArray[np.int64] | None = None
        if batch_sizes[-1] == self.B:
            return
        # Sequence b has every step at which more than b sequences are left.
        ended = self.B - batch_sizes  # sequences that have ended before each step
        self.lengths = np.searchsorted(ended, self.B - np.arange(self.B), "left")
        step = np.repeat(np.arange(self.T), batch_sizes)
        sequence = np.arange(len(step)) - self.starts[step]
        self._places = step * self.B + sequence

    def pad(self, rows: Floats) -> Floats:
        """Return packed rows as (T, B, width); the places after a sequence are not set."""
        padded = self.target(rows)
        if self.lengths is None:
            return padded
        padded.reshape(-1, padded.shape[2])[self._places] = rows
        return padded

    def target(self, rows: Floats) -> Floats:
        """Return the (T, B, width) array from which :meth:`unpad` fills ``rows``.

        It is a view of the rows themselves if all sequences have the same length.
        """
        width = rows.shape[1]
        if self.lengths is None:
            return rows.reshape(self.T, self.B, width)
        return allocate((self.T, self.B, width), rows.dtype, "packed sequences with padding")

    def unpad(self, padded: Floats, rows: Floats) -> None:
        """Copy the steps of the sequences from (T, B, width) into packed rows."""
        if self.lengths is not None:
            np.take(padded.reshape(-1, padded.shape[2]), self._places, axis=0, out=rows)
