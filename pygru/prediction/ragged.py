"""A source of sequences that are stored one behind the other in one array."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.core import validation
from pygru.prediction import hashes
from pygru.prediction.chunks import Chunk, Measured, Size, grouped
from pygru.prediction.rows import read, row_bytes


class Ragged:
    """Sequences that are stored one behind the other in one array.

    Parameters
    ----------
    values
        What gives rows: the steps of all sequences.
    row_size : ndarray
        (N,) how many steps each sequence has.
    """

    remembers = False

    def __init__(self, values: Any, row_size: NDArray[Any]) -> None:
        steps = int(values.shape[0])
        sizes = validation.as_lengths(row_size, len(row_size), steps, "row_size")
        self._ends = np.cumsum(sizes)
        if sizes.sum() != steps:
            raise ValueError(
                f"row_size must add up to the {steps} rows of the array beside it, got "
                f"{sizes.sum()}"
            )
        self._sizes = sizes
        self._values = values
        self.count: int | None = len(sizes)
        self.longest: int | None = int(sizes.max(initial=0))

    def chunks(self, first: int, size: Size, check: Callable[[], None]) -> Iterator[Chunk]:
        """Yield chunks, each a list of sequences."""
        check()
        row = row_bytes(self._values)
        items = (Measured(int(steps), int(steps) * row) for steps in self._sizes[first:])
        if not self.count:
            like = np.zeros((1, *self._values.shape[1:]), self._values.dtype)
            yield Chunk(0, [], {}, like=[like])
        for group in grouped(items, size):
            yield Chunk(first, self._read(first, first + len(group)), {})
            first += len(group)

    def _read(self, first: int, end: int) -> list[NDArray[Any]]:
        begin = int(self._ends[first] - self._sizes[first])
        rows = read(self._values, begin, int(self._ends[end - 1]))
        return np.split(rows, self._ends[first : end - 1] - begin)

    def fingerprint(self) -> hashes.Fingerprint:
        """It is computed once."""
        return self._fingerprint

    @functools.cached_property
    def _fingerprint(self) -> hashes.Fingerprint:
        """With a hash of some sequences that are spread over the source."""
        assert self.count is not None
        lengths = hashlib.blake2b(np.ascontiguousarray(self._sizes).tobytes(), digest_size=16)
        found = hashlib.blake2b(digest_size=16)
        hashes.add_some(found, self._values, self.count, self._read)
        return {
            "number of sequences": str(self.count),
            "lengths": hashes.text(lengths),
            "values": hashes.text(found),
        }
