"""Where predictions go: into memory, into an array, or to a function.

Those that write files are in :mod:`.npy_file`, :mod:`.zarr_file` and :mod:`.parquet_file`.
A sink checks what it is given before anything is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pygru.core import validation
from pygru.core.memory import overlap
from pygru.prediction import files
from pygru.prediction.checksums import Checksums, bytes_of
from pygru.prediction.chunks import Chunk
from pygru.prediction.predictors import Predictions

#: Bytes that are read back at a time.
BLOCK = 4_000_000


class Outcome(NamedTuple):
    """What all predictions of a run look like, known from those for one sequence."""

    sequences: int | None  # how many, None if only reading shows it
    longest: int | None  # the most steps of a sequence, None if it is not known
    is_ragged: bool  # whether there is an array for each sequence, with a row for each step
    has_steps: bool  # whether there is a prediction for each step
    tail: tuple[int, ...]  # the shape of a row of an array, or of a step
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape of all predictions as one array, the longest sequences deciding."""
        return (self.sequences, *((self.longest,) if self.is_ragged else ()), *self.tail)

    @property
    def row_bytes(self) -> int:
        """The bytes of a row, or of a step of ragged predictions."""
        return int(np.prod(self.tail, dtype=object)) * self.dtype.itemsize

    def check(self, chunk: Chunk, predictions: Predictions) -> None:
        """Raise unless the predictions for a chunk look like the others."""
        parts = predictions if isinstance(predictions, list) else [predictions]
        for each in parts:
            if (
                isinstance(predictions, list) != self.is_ragged
                or each.shape[1:] != self.tail
                or not _fits(each.dtype, self.dtype)
            ):
                kind = "arrays (T_i" if self.is_ragged else "one array (n"
                sizes = "".join(f", {size}" for size in self.tail)
                raise ValueError(
                    f"the predictions for {chunk.place} must be {kind}{sizes}) of "
                    f"{self.dtype}, like those for the first sequence, got shape "
                    f"{each.shape} and dtype {each.dtype}"
                )


def _fits(found: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    """Whether values keep what they are; text may be shorter."""
    if wanted.kind in "US":
        return found.kind == wanted.kind and found.itemsize <= wanted.itemsize
    return found == wanted


def outcome_of(
    sample: Predictions, has_steps: bool, count: int | None, longest: int | None
) -> Outcome:
    """Return what predictions look like, from those for one sequence."""
    is_ragged = isinstance(sample, list)
    one: NDArray[Any] = sample[0] if isinstance(sample, list) else sample
    steps = is_ragged or one.ndim == 3 or (one.ndim == 2 and has_steps)
    return Outcome(count, longest, is_ragged, steps, one.shape[1:], one.dtype)


class Sink(Protocol):
    """Takes predictions, chunk by chunk."""

    #: What it writes, for the record of a run.
    kind: str
    #: The name of the output, beside which a record may be kept; None without one.
    path: str | None
    #: Where the output is until it is complete; set before all calls if there is a path.
    folder: Path
    #: Those of what is written, if there is a path.
    checksums: Checksums

    @property
    def where(self) -> str:
        """What holds the unfinished output, for messages."""

    def written(self, done: int) -> Iterator[Any]:
        """Yield the bytes of the first ``done`` predictions, as the checksums count them.

        It is called before :meth:`begin`. Nothing is too broken to be read: an error says that
        it has changed.
        """

    def begin(self, outcome: Outcome, first: int) -> None:
        """Check that the predictions fit, and open what is written.

        The first ``first`` sequences are there already. What may be behind them, from a run
        that was killed, is written again.
        """

    def write(self, chunk: Chunk, predictions: Predictions) -> None:
        """Write the predictions for a chunk."""

    def flush(self, done: int) -> None:
        """Bring the predictions for the first ``done`` sequences to the disk."""

    def finish(self) -> Any:
        """Complete the output; return the predictions if they are in memory.

        Everything has been flushed, and :meth:`begin` may not have been called, if a run was
        killed when there was nothing else to do.
        """

    def close(self) -> None:
        """Close what is open, whatever has happened."""


class Simple:
    """What sinks without files share."""

    path: str | None = None
    folder: Path
    where = ""
    checksums = Checksums()

    def written(self, done: int) -> Iterator[Any]:
        """Yield nothing: what has no path cannot be resumed."""
        return iter(())

    def begin(self, outcome: Outcome, first: int) -> None:
        """Do nothing: any predictions fit."""

    def flush(self, done: int) -> None:
        """Do nothing: nothing waits."""

    def finish(self) -> Any:
        """Do nothing: everything is where it belongs."""

    def close(self) -> None:
        """Do nothing: nothing is open."""


class InMemory(Simple):
    """Collects all predictions."""

    kind = "memory"

    def __init__(self) -> None:
        self._parts: list[Any] = []
        self._is_list = False

    def write(self, chunk: Chunk, predictions: Predictions) -> None:
        """Keep them."""
        if isinstance(predictions, list):
            self._is_list = True
            self._parts.extend(predictions)
        else:
            self._parts.append(predictions)

    def finish(self) -> Any:
        """Return one array, or a list."""
        return self._parts if self._is_list else np.concatenate(self._parts)


class ToFunction(Simple):
    """Calls a function with the number of the first sequence and the predictions."""

    kind = "function"

    def __init__(self, function: Callable[[int, Any], Any]) -> None:
        self._function = function

    def write(self, chunk: Chunk, predictions: Predictions) -> None:
        """Call the function."""
        self._function(chunk.first, predictions)


class IntoArray(Simple):
    """Writes into an array of the user's: of NumPy, mapped from a file or not, or of Zarr.

    Sequences that are shorter than the array get zeros at their ends.
    """

    kind = "array"

    def __init__(self, array: Any, source: Any) -> None:
        self._array = array
        if isinstance(array, np.ndarray):
            if isinstance(source, np.ndarray) and overlap(array, source):
                raise ValueError("out shares memory with source")
            self.path = files.whole_file(array)
        self.where = f"{self.path} (to map it again, use mode 'r+', because 'w+' makes it anew)"
        self.checksums = Checksums()

    def written(self, done: int) -> Iterator[Any]:
        """Yield the rows that are there."""
        rows = max(1, BLOCK * len(self._array) // max(1, self._array.nbytes))
        for first in range(0, min(done, len(self._array)), rows):
            yield bytes_of(self._array[first : min(done, first + rows)])
            files.release(self._array)

    def begin(self, outcome: Outcome, first: int) -> None:
        """Check shape and dtype."""
        array = self._array
        if outcome.sequences is None:
            raise ValueError(
                "out must be a function or the path of a .zarr or .parquet file, because it is "
                "not known how many sequences source has, got an array"
            )
        shape = outcome.shape
        found = tuple(array.shape)
        if outcome.is_ragged and len(found) == len(shape) and found[1] >= (shape[1] or 0):
            shape = (shape[0], found[1], *shape[2:])  # with room for padding
        if isinstance(array, np.ndarray):
            validation.check_out("out", array, outcome.dtype, shape)  # type: ignore[arg-type]
            return
        if array.dtype != outcome.dtype:
            raise TypeError(f"out must have dtype {outcome.dtype}, got {array.dtype}")
        if found != shape:
            raise ValueError(f"out must have shape {shape}, got {found}")

    def write(self, chunk: Chunk, predictions: Predictions) -> None:
        """Write some rows."""
        if isinstance(predictions, list):
            rows = np.zeros((len(predictions), *self._array.shape[1:]), self._array.dtype)
            for row, each in zip(rows, predictions, strict=True):
                row[: len(each)] = each
            predictions = rows
        self._array[chunk.first : chunk.end] = predictions
        if self.path is not None:
            stored = self._array[chunk.first : chunk.end]
            self.checksums.add(chunk.first, chunk.end, bytes_of(stored))
        files.release(self._array)

    def flush(self, done: int) -> None:
        """Bring a mapped file to the disk."""
        if self.path is not None:
            self._array.flush()
