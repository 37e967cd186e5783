"""The encoding of protocol buffers: numbers and byte strings, without their meaning.

A message is a sequence of fields. A field is a number and a wire type in one varint, and then
its value. :mod:`pygru.io.onnx.messages` knows what the fields of ONNX mean.

Nothing here trusts the bytes: each function gets the end of what it may read, and a length is
compared with this end before anything is sliced. Whatever the bytes are, a reader returns a
value or raises FormatError.
"""

from __future__ import annotations

import struct
import sys
from array import array

import numpy as np

from pygru.errors import FormatError

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5

#: A varint has 7 bits in each byte and 64 in all.
LONGEST_VARINT = 10
SHORT = 16  # bytes of a list which Python reads more quickly than NumPy
MOST_FIELD_NUMBER = 2**29 - 1


def read_varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    """Return the number from 0 to 2**64 - 1 at ``at``, and where the bytes after it start."""
    if at < end and data[at] < 0x80:  # most numbers in a file are small
        return data[at], at + 1
    value = shift = 0
    for place in range(at, min(end, at + LONGEST_VARINT)):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                raise FormatError("a number has more than 64 bits")
            return value, place + 1
        shift += 7
    if end - at < LONGEST_VARINT:
        raise FormatError("a number is cut off")
    raise FormatError(f"a number has more than {LONGEST_VARINT} bytes")


def read_key(data: memoryview, at: int, end: int) -> tuple[int, int, int]:
    """Return the number and the wire type of the field at ``at``, and its value's start."""
    key, at = read_varint(data, at, end)
    number, kind = key >> 3, key & 7
    if not 1 <= number <= MOST_FIELD_NUMBER:
        raise FormatError(f"a field has the number {number}")
    return number, kind, at


def value_end(data: memoryview, at: int, end: int, kind: int) -> tuple[int, int]:
    """Return where the bytes of a field's value start and end.

    The bytes of a value with a length start after its length. Groups, which protocol buffers
    had before 2008, are refused: ONNX has never had one.
    """
    if kind == VARINT:
        return at, read_varint(data, at, end)[1]
    if kind == LENGTH:
        size, at = read_varint(data, at, end)
    elif kind == FIXED32:
        size = 4
    elif kind == FIXED64:
        size = 8
    else:
        raise FormatError(f"a field has the wire type {kind}, which ONNX does not use")
    if size > end - at:
        raise FormatError(f"a value of {size} bytes starts {end - at} bytes before the end")
    return at, at + size


def signed(value: int, bits: int) -> int:
    """Return the lowest bits of a varint as a signed number, which may be negative."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def read_varints(data: memoryview) -> np.ndarray:
    """Return all numbers of a packed field as uint64, without a step of Python for each.

    Files may hold lists of millions of numbers, and also millions of short lists.
    """
    if len(data) < SHORT:
        numbers, at = [], 0
        while at < len(data):
            number, at = read_varint(data, at, len(data))
            numbers.append(number)
        return np.array(numbers, np.uint64)
    raw = np.frombuffer(data, np.uint8)
    last = np.flatnonzero(raw < 0x80)
    if not len(last) or last[-1] != len(raw) - 1:
        raise FormatError("a number is cut off")
    first = np.concatenate([[0], last[:-1] + 1])
    sizes = last - first + 1
    longest = int(sizes.max())
    if longest > LONGEST_VARINT:
        raise FormatError(f"a number has more than {LONGEST_VARINT} bytes")
    if longest == LONGEST_VARINT and raw[last[sizes == longest]].max() > 1:
        raise FormatError("a number has more than 64 bits")
    values = np.zeros(len(last), np.uint64)
    for place in range(longest):
        longer = sizes > place
        bits = (raw[first[longer] + place] & 0x7F).astype(np.uint64)
        values[longer] |= bits << np.uint64(7 * place)
    return values


def read_fixed(typecode: str, data: memoryview) -> array[float]:
    """Return the packed numbers of 4 (``"f"``) or 8 (``"d"``) bytes each."""
    numbers: array[float] = array(typecode)
    if len(data) % numbers.itemsize:
        raise FormatError(
            f"a list of numbers of {numbers.itemsize} bytes each has {len(data)} bytes"
        )
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


# ---- writing ------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    """Return the encoding of a number from -2**63 to 2**64 - 1; a negative one takes 10 bytes.

    Examples
    --------
    >>> from pygru.io.onnx.wire import varint
    >>> varint(1).hex(), varint(300).hex(), len(varint(-1))
    ('01', 'ac02', 10)
    """
    if not -(2**63) <= value < 2**64:
        raise OverflowError(f"{value} does not fit in 64 bits")
    value &= 2**64 - 1
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def key(number: int, kind: int) -> bytes:
    """Return what stands before a value: the field's number and its wire type."""
    return varint(number << 3 | kind)


def fixed(typecode: str, value: float) -> bytes:
    """Return a number in 4 (``"f"``) or 8 (``"d"``) bytes."""
    return struct.pack(f"<{typecode}", value)
