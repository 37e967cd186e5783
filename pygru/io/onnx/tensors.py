"""The arrays in an ONNX file, and in the files of data beside it.

A tensor says its type, its dimensions, and its numbers in one of several fields or in another
file. Before an array is made, the numbers that are there are compared with the dimensions.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.errors import FormatError
from pygru.io.files import open_regular_file
from pygru.io.onnx.messages import TensorProto

Array = NDArray[Any]

#: TensorProto.data_type: the type of the elements, and the field of numbers that it uses.
#: bfloat16 is no type of NumPy. It is the upper half of a float32, and becomes one.
TYPES = {
    1: ("float32", "float_data"),
    2: ("uint8", "int32_data"),
    3: ("int8", "int32_data"),
    4: ("uint16", "int32_data"),
    5: ("int16", "int32_data"),
    6: ("int32", "int32_data"),
    7: ("int64", "int64_data"),
    9: ("bool", "int32_data"),
    10: ("float16", "int32_data"),
    11: ("float64", "double_data"),
    12: ("uint32", "uint64_data"),
    13: ("uint64", "uint64_data"),
    16: ("bfloat16", "int32_data"),
}
OTHER_TYPES = {
    8: "text",
    14: "complex64",
    15: "complex128",
    17: "float8e4m3fn",
    18: "float8e4m3fnuz",
    19: "float8e5m2",
    20: "float8e5m2fnuz",
    21: "uint4",
    22: "int4",
    23: "float4e2m1",
}
EXTERNAL = 1  # TensorProto.data_location
MOST_AXES = 32  # the limit of NumPy 1
MOST_READ = 4  # how often a file of data may be read, on average over its bytes


def type_name(tensor: TensorProto) -> str:
    """Return the name of the type of the elements, as ONNX calls it."""
    number = tensor.data_type or 0
    return TYPES[number][0] if number in TYPES else OTHER_TYPES.get(number, f"type {number}")


def is_readable(tensor: TensorProto) -> bool:
    """Return whether NumPy has arrays of these elements."""
    return tensor.data_type in TYPES


def to_array(tensor: TensorProto, files: DataFiles) -> Array:
    """Return the array of a tensor, which may be a read-only view of the file's bytes.

    Raises
    ------
    FormatError
        If the numbers do not fit the dimensions, or cannot be read from the file in which they
        stand.
    """
    name = tensor.name[:80] or "a constant"
    if not is_readable(tensor):
        raise FormatError(f"{name} holds {type_name(tensor)}, which pygru does not read")
    kind, field = TYPES[tensor.data_type or 0]
    stored = np.dtype("uint16" if kind in ("float16", "bfloat16") else kind)
    shape = tuple(tensor.dims)
    count = math.prod(shape)
    # NumPy refuses a huge shape even if one of its axes is empty.
    size = math.prod(axis or 1 for axis in shape) * stored.itemsize
    if any(axis < 0 for axis in shape) or len(shape) > MOST_AXES or size >= 2**63:
        raise FormatError(f"{name} has an impossible shape")
    raw: bytes | memoryview
    if tensor.data_location == EXTERNAL:
        raw = files.read(tensor, name, count * stored.itemsize)
    elif tensor.raw_data is not None:
        raw = tensor.raw_data
    else:
        numbers = np.asarray(getattr(tensor, field))
        if len(numbers) != count:
            raise FormatError(
                f"{name} has the shape {shape}, but {len(numbers)} numbers in {field}"
            )
        return _decoded(numbers.astype(stored, copy=False), kind).reshape(shape)
    if len(raw) != count * stored.itemsize:
        raise FormatError(
            f"{name} has the shape {shape} and the type {kind}, but {len(raw)} bytes of data"
        )
    elements = np.frombuffer(raw, stored)
    if sys.byteorder == "big":
        elements = elements.byteswap()
    return _decoded(elements, kind).reshape(shape)


def _decoded(numbers: Array, kind: str) -> Array:
    """The elements that are stored as numbers of the same size."""
    if kind == "float16":
        return numbers.view(np.float16)
    if kind == "bfloat16":
        return (numbers.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return numbers


# ---- data in other files --------------------------------------------------------------------


class DataFiles:
    """The files beside a model that hold numbers of its tensors.

    Parameters
    ----------
    folder : str or None
        The folder of the model. A file outside it is never opened, nor is one to which a
        symbolic link leads out of it. None if the model came from memory: then it must be
        complete.
    """

    def __init__(self, folder: str | None) -> None:
        self.folder = folder
        self._read: dict[str, int] = {}

    def read(self, tensor: TensorProto, name: str, size: int) -> bytes:
        """Return the bytes of a tensor, which must be ``size``."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        path = self._inside(location, name)
        offset = _number(entries.get("offset", "0"), name)
        length = _number(entries.get("length", str(size)), name)
        try:
            with open_regular_file(path) as (file, file_size):
                if length != size or offset > file_size - size:
                    raise FormatError(
                        f"{name} needs {size} bytes, but its entry says {length} bytes at "
                        f"{offset} of {location[:80]!r}, which has {file_size}"
                    )
                # Many tensors could be one part of a file, and take a multiple of its size.
                self._read[path] = self._read.get(path, 0) + size
                if self._read[path] > MOST_READ * file_size:
                    raise FormatError(f"tensors read {location[:80]!r} again and again")
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise FormatError(
                f"{name} stands in another file, which cannot be read: {location[:80]!r}: "
                f"{error.strerror}"
            ) from None
        if len(data) != size:
            raise FormatError(f"{location[:80]!r} has become shorter while it was read")
        return data

    def _inside(self, location: str, name: str) -> str:
        """The path of a file, after all symbolic links, if it is in the folder."""
        if self.folder is None:
            raise FormatError(
                f"{name} stands in another file, {location[:80]!r}; give the path of the model "
                "instead of its bytes"
            )
        windows, posix = PureWindowsPath(location), PurePosixPath(location)
        base = path = os.path.realpath(self.folder)
        if not (windows.anchor or posix.anchor or ".." in windows.parts or "\0" in location):
            path = os.path.realpath(os.path.join(base, location))
        if path == base or os.path.commonpath([base, path]) != base:
            raise FormatError(
                f"{name} stands in {location[:80]!r}, which is not a file in the model's folder"
            )
        return path


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise FormatError(f"{name}: an offset or a length is {text[:80]!r}")
    return int(text)
