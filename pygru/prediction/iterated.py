"""A source of sequences, or of chunks of them, that come from an iterator."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.core import validation
from pygru.data.padding import as_sequences
from pygru.prediction import hashes
from pygru.prediction.chunks import Chunk, Size, grouped, rows_of


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
                hashes.add(self._digest, each)

    def _sequence(self, item: Any, number: int) -> NDArray[Any] | None:
        """The item as an array if it is a sequence; None for a chunk."""
        if isinstance(item, (list, tuple)) and item and np.ndim(item[0]) >= self._axes:
            return None
        if isinstance(item, Mapping):
            raise TypeError(f"source: item {number} must be a sequence or a chunk, got dict")
        array = np.asarray(item)
        if array.dtype == object or not array.ndim:
            raise TypeError(
                f"source: item {number} must be a sequence or a chunk, got "
                f"{validation.type_name(item)}"
            )
        if array.ndim > self._axes:
            return None
        return validation.as_numeric(f"source: item {number}", array)

    def _chunk_item(self, item: Any, number: int) -> Any:
        if isinstance(item, (list, tuple)):
            return as_sequences(f"source: item {number}", item)
        return validation.as_numeric(f"source: item {number}", item)

    def fingerprint(self) -> hashes.Fingerprint:
        """A hash of what has been read; what follows cannot be known."""
        return {"values": hashes.text(self._digest)}
