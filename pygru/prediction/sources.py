"""Where sequences come from: each source gives chunks, from any chunk on, in one order.

Files are opened in :mod:`.files`, and long tables in :mod:`.tables`. A source checks what it
can before anything is computed; the values are checked chunk by chunk.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pygru.core import validation
from pygru.data.padding import as_sequences
from pygru.prediction import files
from pygru.prediction.chunks import Chunk, Size, grouped, rows_of
from pygru.train.stored import is_stored

#: Sequences, spread over a source, whose values are in its fingerprint.
LOOKED_AT = 16


class Source(Protocol):
    """Sequences in an order."""

    #: How many there are; None if only reading shows it.
    count: int | None
    #: The most steps of a sequence; None if it is not known.
    longest: int | None
    #: Whether the run is recorded, so that the fingerprint is needed.
    remembers: bool

    def chunks(self, first: int, size: Size, check: Callable[[], None]) -> Iterator[Chunk]:
        """Yield chunks from the sequence with the number ``first`` on.

        ``check`` is called before the first one, when everything before it has been read.
        """

    def fingerprint(self) -> str:
        """What tells these data from others, after what has been read of them."""


def of_arrays(source: Any, told: Mapping[str, Any], tokens: bool) -> Source:
    """Return the source of arrays, lists, mappings and iterators, whatever it is.

    Parameters
    ----------
    source
        As for :func:`pygru.predict`, but no path and no long table.
    told : mapping
        Those of lengths, mask and reset that were given.
    tokens : bool
        Whether a step is an integer and not a vector.
    """
    if isinstance(source, Mapping):
        return Rows(
            {key: _array(f"source[{key!r}]", each) for key, each in source.items()}, told
        )
    validation.refuse_foreign("source", source)
    if isinstance(source, Sequence) and not isinstance(source, (str, bytes)):
        return Rows(source if isinstance(source, list) else list(source), told)
    if hasattr(source, "iloc"):
        return Rows(list(source) if len(source.shape) == 1 else source, told)
    if is_stored(source) or hasattr(source, "__array__"):
        return Rows(_array("source", source), told)
    is_text = isinstance(source, (str, bytes, bytearray))
    if callable(source) or (isinstance(source, Iterable) and not is_text):
        for name in told:
            raise ValueError(f"{name} must be None if source is an iterator")
        return Iterated(source, tokens)
    raise TypeError(
        "source must be an array, a list of sequences, an iterator, a path or a table, got "
        f"{validation.type_name(source)}"
    )


def of_opened(opened: files.Opened, told: Mapping[str, Any], tokens: bool) -> Source:
    """Return the source of an array in a file, with what lies beside it there."""
    if opened.row_size is not None:
        for name in told:
            raise ValueError(f"{name} must be None, because the file has row_size")
        return Ragged(_array("source", opened.values), opened.row_size)
    if opened.lengths is not None and "lengths" not in told:
        told = {"lengths": opened.lengths, **told}
    return of_arrays(opened.values, told, tokens)


def _array(name: str, values: Any) -> Any:
    """An array that is in memory or not, or a list of sequences."""
    if isinstance(values, Sequence):
        return values if isinstance(values, list) else list(values)
    if not is_stored(values):
        values = np.asarray(values) if not isinstance(values, np.ndarray) else values
        if values.dtype == object:
            return list(values)
    if not values.shape:
        raise ValueError(f"{name} must have one entry per sample, got a single number")
    if values.dtype.kind not in "biuf":
        if values.dtype.kind == "c":
            raise ValueError(f"Complex data not supported: {name} has dtype {values.dtype}")
        raise TypeError(f"{name} must be numeric, got dtype {values.dtype}")
    return values


class Rows:
    """An array, whose rows are the sequences, a list, a table, or a mapping of such.

    Parameters
    ----------
    values
        What gives rows when it is indexed with a slice, or a mapping with such parts.
    told : mapping
        Those of lengths, mask and reset that were given, for all rows.
    """

    remembers = False

    def __init__(self, values: Any, told: Mapping[str, Any]) -> None:
        self._parts = list(values.values()) if isinstance(values, Mapping) else [values]
        self._values = values
        sizes = {
            len(part) if not hasattr(part, "shape") else part.shape[0] for part in self._parts
        }
        if len(sizes) != 1:
            raise ValueError(
                f"source must have parts with equal numbers of samples, got {sorted(sizes)}"
            )
        self.count: int | None = int(sizes.pop())
        if not self.count:
            raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
        self.longest: int | None = max(map(_longest, self._parts))
        self._told = dict(told)
        self._check_told()

    def _check_told(self) -> None:
        """Check lengths, and how many rows of the others there are."""
        assert self.count is not None
        part = self._parts[0]
        for name, values in self._told.items():
            if isinstance(values, Mapping):  # of source and target, checked with each chunk
                continue
            if name == "lengths":
                if isinstance(self._values, (list, Mapping)):
                    raise ValueError("lengths must be None when source is a list of sequences")
                if len(part.shape) < 2:
                    raise ValueError(
                        f"lengths need source with a time axis, got shape {part.shape}"
                    )
                self._told[name] = validation.as_lengths(values, self.count, part.shape[1])
            elif not hasattr(values, "__len__"):
                raise TypeError(f"{name} must be an array of bool, got {values!r}")
            elif len(values) != self.count:
                raise ValueError(
                    f"{name} must have {self.count} rows, one for each sequence of source, got "
                    f"{len(values)}"
                )

    def chunks(self, first: int, size: Size, check: Callable[[], None]) -> Iterator[Chunk]:
        """Yield chunks; of an array all have the same number of rows, but for the last one."""
        assert self.count is not None
        check()
        if any(isinstance(part, list) for part in self._parts):
            lists = [part for part in self._parts if isinstance(part, list)]
            items = (_Several([part[i] for part in lists]) for i in range(first, self.count))
            for group in grouped(items, size):
                yield self._chunk(first, first + len(group))
                first += len(group)
            return
        # Those of a mapped file are in memory twice while they are copied.
        row_bytes = sum(_row_bytes(part) * (1 + files.is_mapped(part)) for part in self._parts)
        rows = size.of_rows(row_bytes, self.longest or 0)
        for begin in range(first, self.count, rows):
            yield self._chunk(begin, min(begin + rows, self.count))

    def _chunk(self, first: int, end: int) -> Chunk:
        X = self._values
        read = (
            {key: _read(part, first, end) for key, part in X.items()}
            if isinstance(X, Mapping)
            else _read(X, first, end)
        )
        told = {name: _told_rows(values, first, end) for name, values in self._told.items()}
        return Chunk(first, read, told)

    def _told_parts(self) -> list[Any]:
        """Lengths, mask and reset as arrays or lists."""
        parts: list[Any] = []
        for values in self._told.values():
            each = values.values() if isinstance(values, Mapping) else [values]
            parts.extend(part for part in each if part is not None)
        return parts

    def fingerprint(self) -> str:
        """A hash, which is computed once."""
        return self._fingerprint

    @functools.cached_property
    def _fingerprint(self) -> str:
        """A hash of the shapes, and of some sequences that are spread over the source."""
        assert self.count is not None
        found = hashlib.blake2b(digest_size=16)
        for part in (*self._parts, *self._told_parts()):
            _add_some(found, part, self.count, functools.partial(_read, part))
        shapes = [getattr(part, "shape", ()) for part in self._parts]
        return f"{self.count} {shapes} {found.hexdigest()}"


class _Several:
    """The parts of one sample of lists; it has the size of all of them."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self.nbytes = sum(np.asarray(part).nbytes for part in parts)
        self._longest = max(len(part) if np.ndim(part) else 1 for part in parts)

    def __len__(self) -> int:
        return self._longest


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
        if not len(sizes):
            raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
        if self._ends[-1] != steps:
            raise ValueError(
                f"row_size must add up to the {steps} rows of the array beside it, got "
                f"{self._ends[-1]}"
            )
        self._sizes = sizes
        self._values = values
        self.count: int | None = len(sizes)
        self.longest: int | None = int(sizes.max())

    def chunks(self, first: int, size: Size, check: Callable[[], None]) -> Iterator[Chunk]:
        """Yield chunks, each a list of sequences."""
        check()
        row = _row_bytes(self._values)
        items = (Measured(int(steps), int(steps) * row) for steps in self._sizes[first:])
        for group in grouped(items, size):
            yield Chunk(first, self._read(first, first + len(group)), {})
            first += len(group)

    def _read(self, first: int, end: int) -> list[NDArray[Any]]:
        begin = int(self._ends[first] - self._sizes[first])
        rows = _read(self._values, begin, int(self._ends[end - 1]))
        return np.split(rows, self._ends[first : end - 1] - begin)

    def fingerprint(self) -> str:
        """A hash, which is computed once."""
        return self._fingerprint

    @functools.cached_property
    def _fingerprint(self) -> str:
        """A hash of the lengths, and of some sequences that are spread over the source."""
        assert self.count is not None
        found = hashlib.blake2b(np.ascontiguousarray(self._sizes).tobytes(), digest_size=16)
        _add_some(found, self._values, self.count, self._read)
        return f"{self.count} {found.hexdigest()}"


class Measured:
    """The size of a sequence that has not been read."""

    def __init__(self, steps: int, nbytes: int) -> None:
        self._steps = steps
        self.nbytes = nbytes

    def __len__(self) -> int:
        return self._steps


class Iterated:
    """What an iterator gives: sequences, or chunks of them.

    An array with one axis more than a sequence is a chunk, and so is a list of arrays.

    Parameters
    ----------
    items : iterable or callable
        Or a function that returns an iterable, which can be begun again.
    tokens : bool
        Whether a step is an integer and not a vector.
    """

    count: int | None = None
    longest: int | None = None

    def __init__(
        self, items: Iterable[Any] | Callable[[], Iterable[Any]], tokens: bool
    ) -> None:
        self._items = items
        self._axes = 1 if tokens else 2
        self._is_single = False
        self._digest = hashlib.blake2b(digest_size=16)
        self.remembers = False

    def chunks(self, first: int, size: Size, check: Callable[[], None]) -> Iterator[Chunk]:
        """Yield chunks; what lies before ``first`` is read, and then left out."""
        items = self._items() if callable(self._items) else self._items
        if not isinstance(items, Iterable):
            raise TypeError(
                f"source must return an iterator, got {validation.type_name(items)}"
            )
        place = 0
        rest = []
        units = self._units(items)
        while place < first:
            unit = next(units, None)
            if unit is None:
                raise ValueError(
                    f"source has ended after {place} sequences, but {first} had been read "
                    "before"
                )
            before = rows_of(unit, 0, first - place)
            self._remember(before)
            place += len(before)
            rest = rows_of(unit, len(before), len(unit))
        check()
        following = self._joined(units, size)
        for X in itertools.chain([rest], following) if len(rest) else following:
            self._remember(X)
            yield Chunk(place, X, {})
            place += len(X)
        if not place:
            raise ValueError("source must give at least one sequence, got none")

    def _units(self, items: Iterable[Any]) -> Iterator[Any]:
        """Yield chunks, and each sequence as a list of one."""
        for number, item in enumerate(items):
            array = self._sequence(item, number)
            is_single = array is not None
            if number and is_single != self._is_single:
                kinds = ("sequence", "chunk") if is_single else ("chunk", "sequence")
                raise ValueError(
                    f"source: item {number} is a {kinds[0]}, but item 0 a {kinds[1]}"
                )
            self._is_single = is_single
            unit = [array] if is_single else self._chunk_item(item, number)
            if len(unit):
                yield unit

    def _joined(self, units: Iterator[Any], size: Size) -> Iterator[Any]:
        """Yield chunks, made of sequences where the items are sequences."""
        first = next(units, None)
        if first is None:
            return
        if self._is_single:
            yield from grouped((unit[0] for unit in itertools.chain([first], units)), size)
        else:
            yield first
            yield from units

    def _remember(self, X: Any) -> None:
        if self.remembers:
            for each in X:
                _add(self._digest, each)

    def _sequence(self, item: Any, number: int) -> NDArray[Any] | None:
        """The item as an array if it is a sequence; None for a chunk."""
        if isinstance(item, (list, tuple)) and item and np.ndim(item[0]) >= self._axes:
            return None
        if isinstance(item, Mapping):
            raise TypeError(f"source: item {number} must be a sequence or a chunk, got dict")
        array = np.asarray(item)
        if array.dtype == object:
            raise TypeError(
                f"source: item {number} must be a sequence or a chunk, got "
                f"{validation.type_name(item)}"
            )
        return (
            None
            if array.ndim > self._axes
            else validation.as_numeric(f"source: item {number}", array)
        )

    def _chunk_item(self, item: Any, number: int) -> Any:
        if isinstance(item, (list, tuple)):
            return as_sequences(f"source: item {number}", item)
        return validation.as_numeric(f"source: item {number}", item)

    def fingerprint(self) -> str:
        """A hash of what has been read; what follows cannot be known."""
        return self._digest.hexdigest()


def _add(found: Any, values: Any) -> None:
    """Add a sequence, or several, to a hash."""
    if values is None or isinstance(values, str):
        found.update(str(values).encode())
        return
    array = None if isinstance(values, list) else np.asarray(values)
    if array is None or array.dtype == object:
        for each in values if array is None else array.ravel().tolist():
            _add(found, each)
        return
    found.update(f"{array.dtype.str} {array.shape} ".encode())
    found.update(array.tobytes())


def _add_some(found: Any, values: Any, count: int, read: Callable[[int, int], Any]) -> None:
    """Add a checksum of the values to a hash, or some rows that are spread over them."""
    content = getattr(values, "content", None)
    if content is not None:
        found.update(content.encode())
        return
    places = {i * (count - 1) // (LOOKED_AT - 1) for i in range(LOOKED_AT)}
    for row in sorted(places):
        _add(found, read(row, row + 1))


def _longest(part: Any) -> int:
    """The most steps of a sequence."""
    if isinstance(part, list):
        return max((len(each) if np.ndim(each) else 1 for each in part), default=0)
    return int(part.shape[1]) if len(part.shape) > 1 else 1


def _row_bytes(part: Any) -> int:
    """The bytes of one row."""
    if hasattr(part, "iloc"):
        return 8 * int(np.prod(part.shape[1:], dtype=object))
    return int(np.prod(part.shape[1:], dtype=object)) * int(part.dtype.itemsize)


def _read(part: Any, first: int, end: int) -> Any:
    """Return some rows, in memory."""
    if isinstance(part, list) or hasattr(part, "iloc"):
        return rows_of(part, first, end)
    if not isinstance(part, np.ndarray):
        return _stored_rows(part, first, end)
    if files.is_mapped(part):
        rows = np.array(part[first:end])
        files.release(part)
        return rows
    return part[first:end]


def _stored_rows(part: Any, first: int, end: int) -> NDArray[Any]:
    rows = np.asarray(part[first:end])
    if rows.shape != (end - first, *part.shape[1:]) or rows.dtype != part.dtype:
        raise ValueError(
            f"source says that it has shape {tuple(part.shape)} and dtype {part.dtype}, but "
            f"its rows {first} to {end} have shape {rows.shape} and dtype {rows.dtype}"
        )
    return rows


def _told_rows(values: Any, first: int, end: int) -> Any:
    """Some rows of lengths, mask or reset."""
    if isinstance(values, (Mapping, list, tuple)):
        return rows_of(values, first, end)
    return np.asarray(values[first:end])
