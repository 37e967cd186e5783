"""Reads what ``torch.save`` wrote before PyTorch 1.6: pickles, and then the raw storages.

The pickles are a magic number, a version, what the machine was, the value that was saved, and
the names of the storages. Then come the storages, each with its number of elements before it.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from pygru.errors import FormatError
from pygru.io.torch.pickles import Outside, Unpickled, read_pickle
from pygru.io.torch.tensors import Unreadable, as_storage, item_size, tuple_of

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001


class Legacy(NamedTuple):
    """The value that was saved, and the begin and the end of each storage in the file."""

    value: Any
    places: dict[str, tuple[int, int]]


def read_legacy(data: bytes) -> Legacy | None:
    """Return what is in such a file, or None if it is another pickle.

    Raises
    ------
    FormatError
        If it is damaged.
    """
    first = read_pickle(data)
    if first.value != MAGIC:
        return None
    version = read_pickle(data, first.end)
    if version.value != VERSION:
        raise FormatError("the file has another version of PyTorch's old format")
    machine = read_pickle(data, version.end)
    saved = read_pickle(data, machine.end)
    keys = read_pickle(data, saved.end)
    sizes = _item_sizes(saved)
    places, position = {}, keys.end
    for key in tuple_of(keys.value):
        name = str(key)[:200]
        if name not in sizes:
            raise FormatError(f"the storage {name!r} belongs to no tensor")
        if len(data) - position < 8:
            raise FormatError("the file ends before its last storage")
        (count,) = struct.unpack_from("<q", data, position)
        begin, end = position + 8, position + 8 + count * sizes[name]
        if count < 0 or end > len(data):
            raise FormatError(f"the storage {name!r} states {count} elements, which do not fit")
        places[name] = begin, end
        position = end
    return Legacy(saved.value, places)


def _item_sizes(saved: Unpickled) -> dict[str, int]:
    """Return the bytes of an element of each storage that the pickle refers to.

    Raises
    ------
    FormatError
        If a storage holds no plain numbers, so that the one after it cannot be found.
    """
    sizes: dict[str, int] = {}
    for outside in saved.outside:
        if is_module(outside):
            continue
        storage = as_storage(outside)
        if isinstance(storage, Unreadable):
            raise FormatError(f"the file has a tensor that pygru cannot read: {storage.reason}")
        sizes.setdefault(storage.key, item_size(storage.dtype))
    return sizes


def is_module(outside: Outside) -> bool:
    """Whether a reference is to the class of a module, with its source."""
    value = outside.value
    return isinstance(value, tuple) and len(value) == 4 and value[0] in ("module", b"module")
