"""The elements of a dataset: in its header, in one piece, or in compressed chunks."""

from __future__ import annotations

import math
import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pygru.errors import FormatError
from pygru.io.hdf5.bounds import Cursor, Limits
from pygru.io.hdf5.headers import NOWHERE

COMPACT, CONTIGUOUS, CHUNKED, VIRTUAL = 0, 1, 2, 3
DEFLATE, SHUFFLE, CHECKSUM = 1, 2, 3
DEEPEST_TREE = 32


class Layout(NamedTuple):
    """Where the elements are."""

    kind: int
    address: int = NOWHERE  # of the elements, or of the tree of chunks
    compact: bytes = b""
    chunk: tuple[int, ...] = ()  # the shape of a chunk


def read_layout(data: bytes) -> Layout:
    """Return what a layout message describes.

    Raises
    ------
    FormatError
        If it is damaged, or elements are stored in a way that is not read, such as in other
        files.
    """
    cursor = Cursor(data)
    version = cursor.number(1)
    if version in (1, 2):
        axes, kind = cursor.number(1), cursor.number(1)
        cursor.skip(5)
        address = NOWHERE if kind == COMPACT else cursor.number(8)
        sizes = tuple(cursor.number(4) for _ in range(axes))
        if kind == COMPACT:
            return Layout(kind, compact=cursor.take(cursor.number(4)))
        if kind == CHUNKED:
            cursor.skip(4)  # the size of an element
        return _checked(Layout(kind, address, chunk=sizes[:-1]))
    if version not in (3, 4):
        raise FormatError(f"HDF5 layouts of version {version} are not read")
    kind = cursor.number(1)
    if kind == COMPACT:
        return Layout(kind, compact=cursor.take(cursor.number(2)))
    if kind == CONTIGUOUS:
        return Layout(kind, cursor.number(8))
    if kind == CHUNKED and version == 3:
        axes = cursor.number(1)
        address = cursor.number(8)
        sizes = tuple(cursor.number(4) for _ in range(axes))
        return _checked(Layout(kind, address, chunk=sizes[:-1]))
    raise FormatError(
        "HDF5 datasets that are virtual, or chunked in the way of HDF5's newest files, are not "
        "read"
    )


def _checked(layout: Layout) -> Layout:
    if layout.kind not in (CONTIGUOUS, CHUNKED):
        raise FormatError(f"HDF5 layouts of class {layout.kind} are not read")
    if layout.kind == CHUNKED and (not layout.chunk or 0 in layout.chunk):
        raise FormatError("damaged HDF5 file: chunks without elements")
    return layout


def read_filters(data: bytes) -> tuple[int, ...]:
    """Return the filters of a filter message, in the order in which they were applied.

    Raises
    ------
    FormatError
        If it is damaged, or a filter is none of gzip, shuffle and the checksum of fletcher32.
    """
    cursor = Cursor(data)
    version, count = cursor.number(1), cursor.number(1)
    if version == 1:
        cursor.skip(6)
    elif version != 2:
        raise FormatError(f"HDF5 filters of version {version} are not read")
    filters = []
    for _ in range(count):
        kind = cursor.number(2)
        length = cursor.number(2) if version == 1 or kind >= 256 else 0
        cursor.skip(2)
        values = cursor.number(2)
        if kind not in (DEFLATE, SHUFFLE, CHECKSUM):
            raise FormatError(f"HDF5 datasets with filter {kind} are not read")
        padding = 4 if version == 1 and values % 2 else 0
        cursor.skip((-(-length // 8) * 8 if version == 1 else length) + 4 * values + padding)
        filters.append(kind)
    return tuple(filters)


def read_elements(
    data: memoryview,
    layout: Layout,
    filters: tuple[int, ...],
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    limits: Limits,
) -> NDArray[np.generic]:
    """Return the elements of a dataset; what was never written is zero.

    Raises
    ------
    FormatError
        If they are not all in the file, or more than it can hold.
    """
    size = math.prod(shape) * dtype.itemsize
    if layout.kind == COMPACT:
        found = layout.compact
        if len(found) < size:
            raise FormatError(f"damaged HDF5 file: {len(found)} bytes for {size}")
        limits.plain(size)
        return np.frombuffer(found[:size], dtype).reshape(shape).copy()
    if layout.address == NOWHERE or not size:
        limits.expanded(size)
        return np.zeros(shape, dtype)
    if layout.kind == CONTIGUOUS:
        if layout.address + size > len(data):
            raise FormatError(
                f"damaged HDF5 file: an array of {size} bytes at byte {layout.address} of "
                f"{len(data)}"
            )
        limits.plain(size)
        piece = data[layout.address : layout.address + size]
        return np.frombuffer(piece, dtype).reshape(shape).copy()
    return _in_chunks(data, layout, filters, dtype, shape, limits)


def _in_chunks(
    data: memoryview,
    layout: Layout,
    filters: tuple[int, ...],
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    limits: Limits,
) -> NDArray[np.generic]:
    chunk = layout.chunk
    if len(chunk) != len(shape):
        raise FormatError(
            f"damaged HDF5 file: chunks of {len(chunk)} axes in an array of {len(shape)}"
        )
    limits.expanded(math.prod(shape) * dtype.itemsize)
    result = np.zeros(shape, dtype)
    size = math.prod(chunk) * dtype.itemsize
    for address, stored, skipped, offsets in _chunks(data, layout.address, len(chunk), limits):
        if any(begin >= axis for begin, axis in zip(offsets, shape, strict=True)):
            raise FormatError("damaged HDF5 file: a chunk outside its array")
        limits.expanded(size)
        raw = Cursor(data, address).take(stored)
        for index in reversed(range(len(filters))):
            if not skipped >> index & 1:
                raw = _undone(filters[index], raw, size, dtype.itemsize)
        if len(raw) != size:
            raise FormatError(f"damaged HDF5 file: a chunk of {len(raw)} bytes, not {size}")
        values = np.frombuffer(raw, dtype).reshape(chunk)
        place = tuple(
            slice(begin, min(begin + length, axis))
            for begin, length, axis in zip(offsets, chunk, shape, strict=True)
        )
        result[place] = values[tuple(slice(each.stop - each.start) for each in place)]
    return result


def _chunks(
    data: memoryview, root: int, axes: int, limits: Limits
) -> list[tuple[int, int, int, tuple[int, ...]]]:
    """(address, bytes, filters that were left out, offsets) of all chunks of a tree."""
    chunks = []
    nodes = [(root, DEEPEST_TREE)]
    while nodes:
        address, highest = nodes.pop()
        limits.structure(24)
        cursor = Cursor(data, address)
        cursor.expect(b"TREE", "tree of chunks")
        kind, level, count = cursor.number(1), cursor.number(1), cursor.number(2)
        if kind != 1 or level >= highest:
            raise FormatError("damaged HDF5 file: a tree of chunks that leads back to itself")
        cursor.skip(16)
        for _ in range(count):
            limits.structure()
            stored, skipped = cursor.number(4), cursor.number(4)
            offsets = tuple(cursor.number(8) for _ in range(axes + 1))[:axes]
            child = cursor.number(8)
            if level:
                nodes.append((child, level))
            else:
                chunks.append((child, stored, skipped, offsets))
    return chunks


def _undone(kind: int, raw: bytes, size: int, itemsize: int) -> bytes:
    """The bytes before a filter was applied; ``size`` is that of the whole chunk."""
    if kind == CHECKSUM:
        return raw[:-4]
    if kind == SHUFFLE:
        if itemsize < 2 or len(raw) % itemsize:
            return raw
        return np.frombuffer(raw, np.uint8).reshape(itemsize, -1).T.tobytes()
    inflater = zlib.decompressobj()
    try:
        # A checksum that was added before the compression takes 4 bytes more.
        plain = inflater.decompress(raw, size + 4)
    except zlib.error as error:
        raise FormatError(f"damaged HDF5 file: {error}") from None
    if inflater.unconsumed_tail:
        raise FormatError("damaged HDF5 file: a chunk that expands beyond its size")
    return plain
