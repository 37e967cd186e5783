"""Where sequences come from: each source gives chunks, from any chunk on, in one order.

The sources are in :mod:`.rows`, :mod:`.ragged`, :mod:`.iterated` and :mod:`.tables`, and files
are opened in :mod:`.files`. A source checks what it can before anything is computed; the values
are checked chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from pygru.core import validation
from pygru.prediction import files
from pygru.prediction.chunks import Chunk, Size
from pygru.prediction.hashes import Fingerprint
from pygru.prediction.iterated import Iterated
from pygru.prediction.ragged import Ragged
from pygru.prediction.rows import Rows
from pygru.train.stored import is_stored


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

    def fingerprint(self) -> Fingerprint:
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
