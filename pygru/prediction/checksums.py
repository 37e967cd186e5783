"""Checksums of predictions on the disk, by which a run knows its unfinished output again.

They are kept by the number of sequences that are done, because an interrupt may come between a
write and the record that counts it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np


class Checksums:
    """The CRC-32 of what an output has of its first sequences.

    Parameters
    ----------
    done : int
        How many sequences are there.
    checksum : int
        That of what is there.
    """

    def __init__(self, done: int = 0, checksum: int = 0) -> None:
        self._after = {done: checksum}

    def add(self, first: int, end: int, data: Any) -> None:
        """Add the bytes of some sequences; to do it again changes nothing."""
        self._after[end] = zlib.crc32(data, self._after[first])

    def after(self, done: int) -> int:
        """Return that of the first ``done`` sequences; those of fewer are forgotten."""
        self._after = {end: each for end, each in self._after.items() if end >= done}
        return self._after[done]


def of_blocks(blocks: Iterable[Any]) -> int:
    """Return the checksum of bytes that come in blocks."""
    found = 0
    for block in blocks:
        found = zlib.crc32(block, found)
    return found


def bytes_of(values: Any) -> memoryview:
    """Return the bytes of an array, in C order."""
    array = np.ascontiguousarray(values)
    return array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")
