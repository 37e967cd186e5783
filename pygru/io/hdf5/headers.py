"""Object headers: the messages that say what a group, a dataset or an attribute is.

There are two versions of headers. In both a header is a list of messages that may continue
elsewhere in the file. Here they become a list of (type, bytes), and nothing more is read.
"""

from __future__ import annotations

from typing import NamedTuple

from pygru.errors import FormatError
from pygru.io.hdf5.bounds import Cursor, Limits

SIGNATURE = b"\x89HDF\r\n\x1a\n"
NOWHERE = 2**64 - 1  # the address of what does not exist

# Types of messages; the others say nothing about the contents.
DATASPACE, LINK_INFO, DATATYPE, LINK, EXTERNAL = 0x01, 0x02, 0x03, 0x06, 0x07
LAYOUT, FILTERS, ATTRIBUTE, CONTINUATION = 0x08, 0x0B, 0x0C, 0x10
SYMBOL_TABLE, ATTRIBUTE_INFO = 0x11, 0x15

IS_SHARED = 0x02  # a flag of a message: its contents stand elsewhere


class Message(NamedTuple):
    """A message of an object header."""

    kind: int
    data: bytes


class Superblock(NamedTuple):
    """The beginning of a file."""

    root: int  # the address of the root group's header


def read_superblock(data: memoryview) -> Superblock:
    """Return what the beginning of a file says.

    Raises
    ------
    FormatError
        If it is not that of an HDF5 file, or addresses do not have 8 bytes.
    """
    cursor = Cursor(data)
    if len(data) < len(SIGNATURE) or cursor.take(8) != SIGNATURE:
        raise FormatError("not an HDF5 file: it does not begin with the signature of HDF5")
    version = cursor.number(1)
    if version in (0, 1):
        cursor.skip(4)
        sizes = cursor.number(1), cursor.number(1)
        cursor.skip(9 if version == 0 else 13)
        base = cursor.number(8)
        cursor.skip(24 + 8)  # three addresses, and the offset of the root's name
        root = cursor.number(8)
    elif version in (2, 3):
        sizes = cursor.number(1), cursor.number(1)
        cursor.skip(1)
        base = cursor.number(8)
        cursor.skip(16)
        root = cursor.number(8)
    else:
        raise FormatError(f"HDF5 files with a superblock of version {version} are not read")
    if sizes != (8, 8):
        raise FormatError(f"HDF5 addresses and lengths must have 8 bytes, got {sizes}")
    if base != 0:
        raise FormatError(f"HDF5 files that begin at byte {base} of a file are not read")
    return Superblock(root)


def read_messages(data: memoryview, address: int, limits: Limits) -> list[Message]:
    """Return the messages of the object header at an address.

    Raises
    ------
    FormatError
        If there is no object header, it is damaged, or parts of it stand elsewhere in a way
        that Keras and h5py do not use.
    """
    cursor = Cursor(data, address)
    is_new = bytes(data[address : address + 4]) == b"OHDR"
    # What is still to be read: (begin, size) of blocks of messages.
    blocks = [_begin_new(cursor)] if is_new else [_begin_old(cursor)]
    has_order = is_new and bool(data[address + 5] & 0x04)
    messages: list[Message] = []
    while blocks:
        begin, size = blocks.pop(0)
        limits.structure(size)
        block = Cursor(Cursor(data, begin).take(size))
        read = _new_messages(block, has_order) if is_new else _old_messages(block)
        for kind, flags, contents in read:
            limits.structure()
            if kind == CONTINUATION:
                blocks.append(_continued(data, contents, is_new))
                continue
            if flags & IS_SHARED and kind in (DATASPACE, DATATYPE, LAYOUT, FILTERS, ATTRIBUTE):
                raise FormatError("HDF5 files with shared messages are not read")
            messages.append(Message(kind, contents))
    return messages


def _begin_old(cursor: Cursor) -> tuple[int, int]:
    version = cursor.number(1)
    if version != 1:
        raise FormatError(
            f"damaged HDF5 file: there is no object header at byte {cursor.at - 1}"
        )
    cursor.skip(7)  # reserved, number of messages, references
    size = cursor.number(4)
    cursor.skip(4)
    return cursor.at, size


def _begin_new(cursor: Cursor) -> tuple[int, int]:
    cursor.skip(4)
    version, flags = cursor.number(1), cursor.number(1)
    if version != 2:
        raise FormatError(f"HDF5 object headers of version {version} are not read")
    cursor.skip((16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0))
    size = cursor.number(1 << (flags & 3))
    return cursor.at, size


def _continued(data: memoryview, contents: bytes, is_new: bool) -> tuple[int, int]:
    """Where the messages go on."""
    cursor = Cursor(contents)
    begin, size = cursor.number(8), cursor.number(8)
    if not is_new:
        return begin, size
    Cursor(data, begin).expect(b"OCHK", "part of an object header")
    if size < 8:
        raise FormatError("damaged HDF5 file: a part of an object header is too short")
    return begin + 4, size - 8  # without the signature and the checksum


def _old_messages(block: Cursor) -> list[tuple[int, int, bytes]]:
    messages = []
    while block.left >= 8:
        kind, size, flags = block.number(2), block.number(2), block.number(1)
        block.skip(3)
        messages.append((kind, flags, block.take(size)))
    return messages


def _new_messages(block: Cursor, has_order: bool) -> list[tuple[int, int, bytes]]:
    messages = []
    least = 6 if has_order else 4
    while block.left >= least:
        kind, size, flags = block.number(1), block.number(2), block.number(1)
        if has_order:
            block.skip(2)
        messages.append((kind, flags, block.take(size)))
    return messages
