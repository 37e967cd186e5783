"""Reads safetensors files of others: a JSON header, and then the numbers of all tensors.

pygru's own model files have this form too. They say which GRU they hold and are refused here,
because their variant need not be that of PyTorch.
"""

from __future__ import annotations

import math
import struct
from typing import Any

from pygru.errors import FormatError
from pygru.io.header import parse_json
from pygru.io.torch.tensors import Storage, StoredTensor, Unreadable, item_size

#: The largest header in bytes: one of a model with ten thousand tensors has a tenth of this.
MOST_HEADER = 2**23
MOST_AXES = 32

DTYPES = {
    "BOOL": "bool",
    "BF16": "bfloat16",
    "C64": "complex64",
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}


def is_safetensors(data: bytes) -> bool:
    """Whether a file begins with a length that fits, and with JSON."""
    if len(data) < 9 or data[8:9] != b"{":
        return False
    (length,) = struct.unpack_from("<Q", data)
    return bool(length < 2**32)


def read_header(data: bytes) -> tuple[dict[str, StoredTensor | Unreadable], dict[str, int]]:
    """Return the tensors by name, and where in the file the numbers of each begin.

    Raises
    ------
    FormatError
        If the header is damaged, or does not fit the size of the file, or is that of a pygru
        model.
    """
    (length,) = struct.unpack_from("<Q", data)
    if length > min(len(data) - 8, MOST_HEADER):
        raise FormatError(f"header length {length} exceeds file size {len(data)} or the limit")
    try:
        text = data[8 : 8 + length].decode()
    except UnicodeDecodeError:
        raise FormatError("the header is not UTF-8") from None
    header = parse_json("the header", text)
    notes = header.pop("__metadata__", None) or {}
    if not isinstance(notes, dict):
        raise FormatError("__metadata__ in the header is not an object")
    if notes.get("format") == "pygru":
        raise FormatError("this is a model file of pygru; read it with pygru.load")
    size = len(data) - 8 - length
    tensors = {name: _tensor(name, entry, size) for name, entry in header.items()}
    ranges = sorted(entry["data_offsets"] for entry in header.values())
    begins = [0, *(end for _, end in ranges)]
    if begins != [*(begin for begin, _ in ranges), size]:
        raise FormatError("the tensors overlap, or there are bytes that belong to none")
    begins_of = {n: 8 + length + entry["data_offsets"][0] for n, entry in header.items()}
    return tensors, begins_of


def _tensor(name: str, entry: Any, size: int) -> StoredTensor | Unreadable:
    key, name = name, name[:80]
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise FormatError(f"{name!r} must have a dtype, a shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    for what, values in (("shape", shape), ("data_offsets", offsets)):
        is_list = isinstance(values, list) and all(type(value) is int for value in values)
        if not is_list or any(not 0 <= value < 2**48 for value in values):
            raise FormatError(f"{name!r} has an impossible {what}")
    if len(shape) > MOST_AXES or len(offsets) != 2 or not offsets[0] <= offsets[1] <= size:
        raise FormatError(f"{name!r} has an impossible shape or place")
    if not isinstance(dtype, str):
        raise FormatError(f"{name!r} has a dtype that is not a text")
    if dtype not in DTYPES:
        return Unreadable(f"its numbers are {dtype[:20]}")
    stored = Storage(key, DTYPES[dtype], math.prod(shape))
    if stored.count * item_size(stored.dtype) != offsets[1] - offsets[0]:
        raise FormatError(f"{name!r} of shape {tuple(shape)} does not have the bytes for it")
    strides, step = [], 1
    for axis in reversed(shape):
        strides.append(step)
        step *= axis
    return StoredTensor(stored, stored.dtype, 0, tuple(shape), tuple(reversed(strides)))
