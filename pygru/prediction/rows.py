"""A source that is an array, a list, a table in memory, or a mapping of such."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.core import validation
from pygru.prediction import files, hashes
from pygru.prediction.chunks import Chunk, Size, grouped, rows_of


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
        sizes = {part.shape[0] if hasattr(part, "shape") else len(part) for part in self._parts}
        if len(sizes) != 1:
            raise ValueError(
                f"source must have parts with equal numbers of samples, got {sorted(sizes)}"
            )
        self.count: int | None = int(sizes.pop())
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
        if not self.count:
            yield self._chunk(0, 0)._replace(like=self._zeros())
            return
        if any(isinstance(part, list) for part in self._parts):
            lists = [part for part in self._parts if isinstance(part, list)]
            items = (_Several([part[i] for part in lists]) for i in range(first, self.count))
            for group in grouped(items, size):
                yield self._chunk(first, first + len(group))
                first += len(group)
            return
        # Those of a mapped file are in memory twice while they are copied.
        nbytes = sum(row_bytes(part) * (1 + files.is_mapped(part)) for part in self._parts)
        rows = size.of_rows(nbytes, self.longest or 0)
        for begin in range(first, self.count, rows):
            yield self._chunk(begin, min(begin + rows, self.count))

    def _chunk(self, first: int, end: int) -> Chunk:
        X = self._values
        if isinstance(X, Mapping):
            X = {key: read(part, first, end) for key, part in X.items()}
        else:
            X = read(X, first, end)
        told = {name: _told_rows(values, first, end) for name, values in self._told.items()}
        return Chunk(first, X, told)

    def _zeros(self) -> Any:
        """One sequence of zeros, like those that an array without rows would have."""
        if any(isinstance(part, list) for part in self._parts):
            raise ValueError(
                "source must have at least one sequence, because an empty list does not say "
                "what a sequence looks like"
            )
        parts = [
            np.zeros((1, *part.shape[1:]), getattr(part, "dtype", None)) for part in self._parts
        ]
        is_mapping = isinstance(self._values, Mapping)
        return dict(zip(self._values, parts, strict=True)) if is_mapping else parts[0]

    def _told_parts(self) -> list[Any]:
        """Lengths, mask and reset as arrays or lists."""
        parts: list[Any] = []
        for values in self._told.values():
            each = values.values() if isinstance(values, Mapping) else [values]
            parts.extend(part for part in each if part is not None)
        return parts

    def fingerprint(self) -> hashes.Fingerprint:
        """It is computed once."""
        return self._fingerprint

    @functools.cached_property
    def _fingerprint(self) -> hashes.Fingerprint:
        """With hashes of some sequences that are spread over the source."""
        stored = [part for part in self._parts if hasattr(part, "shape")]
        return {
            "number of sequences": str(self.count),
            "shape": " and ".join(str(tuple(part.shape)) for part in stored),
            "dtype": " and ".join(str(getattr(part, "dtype", "mixed")) for part in stored),
            "values": self._hash(self._parts),
            "lengths, mask or reset": self._hash(self._told_parts()),
        }

    def _hash(self, parts: list[Any]) -> str:
        assert self.count is not None
        found = hashlib.blake2b(digest_size=16)
        for part in parts:
            hashes.add_some(found, part, self.count, functools.partial(read, part))
        return hashes.text(found)


class _Several:
    """The parts of one sample of lists; it has the size of all of them."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self.nbytes = sum(np.asarray(part).nbytes for part in parts)
        self._longest = max(len(part) if np.ndim(part) else 1 for part in parts)

    def __len__(self) -> int:
        return self._longest


def _longest(part: Any) -> int:
    """The most steps of a sequence."""
    if isinstance(part, list):
        return max((len(each) if np.ndim(each) else 1 for each in part), default=0)
    return int(part.shape[1]) if len(part.shape) > 1 else 1


def row_bytes(part: Any) -> int:
    """The bytes of one row."""
    if hasattr(part, "iloc"):
        return 8 * int(np.prod(part.shape[1:], dtype=object))
    return int(np.prod(part.shape[1:], dtype=object)) * int(part.dtype.itemsize)


def read(part: Any, first: int, end: int) -> Any:
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
