"""A chunk: the sequences that are read, computed and written together; and how many they are.

Results do not depend on the size of chunks, except in the last bits of models that say so.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from pygru.budget import BUDGET, UNITS
from pygru.core import validation
from pygru.data.messages import cut, shown_names

#: Bytes of a chunk if nothing else is said. The C library takes larger pieces of memory from
#: the system each time anew, which costs more than it saves.
DEFAULT = 32_000_000
#: Sequences that run together; a chunk may be larger.
BATCH = 256
#: What messages say about a size.
SIZES = "a number of sequences, or of bytes in B, kB, MB, GB or TB, such as '256 MB'"


class Keys(NamedTuple):
    """What identifies the rows of a long table.

    Attributes
    ----------
    ids : mapping of str to ndarray
        For each id column (n,) the values of the sequences of a chunk.
    times : tuple of str and list of ndarray, or None
        The name of the time column, and for each sequence its times (T_i,).
    """

    ids: Mapping[str, Any]
    times: tuple[str, list[Any]] | None = None

    def part(self, first: int, end: int) -> Keys:
        """Return those of some of the sequences."""
        ids = {name: values[first:end] for name, values in self.ids.items()}
        times = None if self.times is None else (self.times[0], self.times[1][first:end])
        return Keys(ids, times)


class Chunk(NamedTuple):
    """Some consecutive sequences of a source."""

    first: int  # the number of the first sequence
    X: Any  # an array, a list, a table, or a mapping of such
    told: Mapping[str, Any]  # those of lengths, mask and reset that were given
    keys: Keys | None = None
    like: Any = None  # a sequence of zeros as X would have it, in a chunk without sequences
    columns: tuple[Hashable, ...] = ()  # of a table, the names of the features

    @property
    def size(self) -> int:
        """How many sequences there are."""
        values = next(iter(self.X.values())) if isinstance(self.X, Mapping) else self.X
        return len(values)

    @property
    def end(self) -> int:
        """The number of the sequence after the last one."""
        return self.first + self.size

    @property
    def place(self) -> str:
        """What messages call the chunk, as Python would write it."""
        return f"source[{self.first}:{self.end}]"

    def head(self) -> Chunk:
        """Return the first sequence alone; one of zeros, if there is none."""
        if not self.size:
            return Chunk(self.first, self.like, {}, columns=self.columns)
        told = {name: rows_of(values, 0, 1) for name, values in self.told.items()}
        keys = None if self.keys is None else self.keys.part(0, 1)
        return Chunk(self.first, rows_of(self.X, 0, 1), told, keys, columns=self.columns)

    def in_words_of_the_source(self, message: str) -> str:
        """Return a message about this chunk as one about the whole source.

        What reads a chunk counts its sequences, and knows neither ids nor columns.
        """
        place = re.escape(f"[{self.first}:{self.end}]")
        message = re.sub(
            rf"{place}(\['\w+'\])?\[(\d+)",
            lambda match: f"{match[1] or ''}[{self.first + int(match[2])}",
            message,
        )
        message = re.sub(r"\bsample (\d+)", lambda match: self._sample(int(match[1])), message)
        if not self.columns:
            return message
        if "input_size=" in message:
            message += f"; the columns of values are {shown_names(self.columns)}"
        return re.sub(
            r"\[\d+, (\d+)\] = \S+",
            lambda match: f"{match[0]} in column {cut(self.columns[int(match[1])])}",
            message,
        )

    def _sample(self, number: int) -> str:
        """The number that a sequence has in the source, and its id."""
        named = f"sample {self.first + number}"
        if self.keys is None:
            return named
        ids = [values[number] for values in self.keys.ids.values()]
        return f"{named} with id {cut(ids[0] if len(ids) == 1 else tuple(ids))}"


def rows_of(values: Any, first: int, end: int) -> Any:
    """Return some rows of an array, a list or a table, or of all parts of a mapping."""
    if isinstance(values, Mapping):
        return {
            name: None if each is None else rows_of(each, first, end)
            for name, each in values.items()
        }
    if hasattr(values, "iloc"):
        return values.iloc[first:end]
    return values[first:end]


class Size(NamedTuple):
    """How large a chunk may be: a number of sequences, or of bytes."""

    samples: int | None
    nbytes: int
    step_bytes: int = 0  # what computing a step of one sequence takes beside its data

    def fits(self, count: int, nbytes: int, longest: int) -> bool:
        """Whether a chunk of ``count`` sequences and ``nbytes`` of data is small enough.

        The model pads those that run together to the longest of them, which counts too.
        """
        if self.samples is not None:
            return count <= self.samples
        padded = min(count, BATCH) * longest * self.step_bytes
        return count <= 1 or nbytes + padded <= self.nbytes

    def of_rows(self, row_bytes: int, steps: int) -> int:
        """Return how many rows of one size make a chunk."""
        if self.samples is not None:
            return self.samples
        running = steps * self.step_bytes
        count = self.nbytes // max(1, row_bytes + running)
        if count > BATCH:
            count = (self.nbytes - BATCH * running) // max(1, row_bytes)
        return max(1, count)


def check_chunk_size(chunk_size: object) -> Size:
    """Return the size that an argument ``chunk_size`` means.

    Raises
    ------
    TypeError, ValueError
        If it is neither a number of sequences nor a text such as ``"256 MB"``.

    Examples
    --------
    >>> from pygru.prediction.chunks import check_chunk_size
    >>> check_chunk_size(100).samples, check_chunk_size("1.5 MB").nbytes
    (100, 1500000)
    """
    if chunk_size is None:
        return Size(None, DEFAULT)
    if isinstance(chunk_size, str):
        text = BUDGET.fullmatch(chunk_size)
        nbytes = 0 if text is None else int(Decimal(text[1]) * UNITS[text[2].lower()])
        if nbytes < 1:
            raise ValueError(f"chunk_size must be {SIZES}, got {validation.shown(chunk_size)}")
        return Size(None, nbytes)
    return Size(validation.check_int("chunk_size", chunk_size, 1), DEFAULT)


def grouped(sequences: Iterable[Any], size: Size) -> Iterator[list[Any]]:
    """Yield lists of consecutive sequences, each list as long as ``size`` allows."""
    group: list[Any] = []
    nbytes, longest = 0, 0
    for each in sequences:
        more = nbytes + bytes_of(each)
        steps = max(longest, len(each))
        if group and not size.fits(len(group) + 1, more, steps):
            yield group
            group, more, steps = [], bytes_of(each), len(each)
        group.append(each)
        nbytes, longest = more, steps
    if group:
        yield group


def bytes_of(sequence: Any) -> int:
    """The bytes of a sequence, about those of floats if it is a list of numbers."""
    nbytes = getattr(sequence, "nbytes", None)
    return int(np.size(sequence)) * 8 if nbytes is None else int(nbytes)


class Measured:
    """The size of a sequence that has not been read."""

    def __init__(self, steps: int, nbytes: int) -> None:
        self._steps = steps
        self.nbytes = nbytes

    def __len__(self) -> int:
        return self._steps
