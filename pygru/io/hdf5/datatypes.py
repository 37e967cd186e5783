"""Datatypes and shapes of HDF5, as dtypes and tuples of NumPy.

Numbers, texts of a fixed length, texts of any length and booleans are read. Those are what
Keras writes. Compound types, references and others are refused.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from pygru.errors import FormatError
from pygru.io.hdf5.bounds import Cursor

MOST_AXES = 32  # of HDF5 and of NumPy 1
INTEGER, FLOAT, TEXT, OPAQUE, ENUMERATION, VARIABLE = 0, 1, 3, 5, 8, 9
VARIABLE_SIZE = 16  # bytes of an element that refers to a heap

#: (bytes, bits of the exponent, of the mantissa, bias) of the floats that are read.
FLOATS = {
    (2, 5, 10, 15): "f2",
    (4, 8, 23, 127): "f4",
    (8, 11, 52, 1023): "f8",
    (2, 8, 7, 127): "bfloat16",
}


class Datatype(NamedTuple):
    """The type of an element as it stands in the file."""

    dtype: np.dtype[Any]  # of the bytes; for a variable text, of its reference
    is_variable_text: bool = False
    is_bfloat16: bool = False


def read_datatype(data: bytes) -> Datatype:
    """Return the type that a datatype message describes.

    Raises
    ------
    FormatError
        If it is damaged, or of a kind that is not read.
    """
    cursor = Cursor(data)
    first = cursor.number(1)
    kind, version = first & 0x0F, first >> 4
    flags = cursor.number(3)
    size = cursor.number(4)
    if not 1 <= version <= 5:
        raise FormatError(f"HDF5 datatypes of version {version} are not read")
    if kind == INTEGER:
        if size not in (1, 2, 4, 8):
            raise FormatError(f"HDF5 integers of {size} bytes are not read")
        letter = "i" if flags & 0x08 else "u"
        return Datatype(np.dtype(f"{'>' if flags & 1 else '<'}{letter}{size}"))
    if kind == FLOAT:
        return _float(cursor, flags, size)
    if kind == TEXT:
        if not 1 <= size <= 2**31 - 1:
            raise FormatError(f"HDF5 texts of {size} bytes are not read")
        return Datatype(np.dtype(f"S{size}"))
    if kind == ENUMERATION:  # h5py writes booleans as an enumeration of FALSE and TRUE
        base = read_datatype(cursor.take(cursor.left))
        if base.dtype.kind not in "iu" or base.dtype.itemsize != size:
            raise FormatError("damaged HDF5 file: an enumeration that is not of integers")
        return base
    if kind == OPAQUE and size == 2:  # h5py writes the bfloat16 of ml_dtypes so
        return Datatype(np.dtype("<u2"), is_bfloat16=True)
    if kind == VARIABLE and flags & 0x0F == 1 and size == VARIABLE_SIZE:
        return Datatype(np.dtype(f"V{VARIABLE_SIZE}"), is_variable_text=True)
    raise FormatError(f"HDF5 datatypes of class {kind} are not read")


def _float(cursor: Cursor, flags: int, size: int) -> Datatype:
    cursor.skip(4)  # offset and precision
    cursor.skip(1)  # location of the exponent
    exponent = cursor.number(1)
    cursor.skip(1)
    mantissa, bias = cursor.number(1), cursor.number(4)
    name = FLOATS.get((size, exponent, mantissa, bias))
    if name is None:
        raise FormatError(
            f"HDF5 floats of {size} bytes with {exponent} bits of exponent and {mantissa} of "
            "mantissa are not read"
        )
    order = ">" if flags & 1 else "<"
    if name == "bfloat16":
        return Datatype(np.dtype(f"{order}u2"), is_bfloat16=True)
    return Datatype(np.dtype(f"{order}{name}"))


def read_shape(data: bytes) -> tuple[int, ...] | None:
    """Return the shape that a dataspace message describes; None if it holds nothing at all.

    Raises
    ------
    FormatError
        If it is damaged, or the number of elements is beyond all files.
    """
    cursor = Cursor(data)
    version, axes = cursor.number(1), cursor.number(1)
    cursor.skip(1)  # whether there are sizes to which it may grow
    if version == 1:
        cursor.skip(5)
        is_null = False
    elif version == 2:
        is_null = cursor.number(1) == 2
    else:
        raise FormatError(f"HDF5 dataspaces of version {version} are not read")
    if axes > MOST_AXES:
        raise FormatError(f"damaged HDF5 file: an array of {axes} axes")
    shape = tuple(cursor.number(8) for _ in range(axes))
    if math.prod(max(axis, 1) for axis in shape) >= 2**62:
        raise FormatError("damaged HDF5 file: an array of an impossible shape")
    return None if is_null else shape
