"""Makes NumPy arrays of the records that a pickle of them gives.

NumPy's own functions for this are not called: they take any state. An array of numbers has a
shape, a dtype of one letter and its size, and the bytes; everything else is left alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.errors import FormatError
from pygru.io.torch.pickles import Name, Record

MOST_AXES = 32
MODULES = (
    "numpy",
    *(
        f"numpy.{core}.{name}"
        for core in ("core", "_core")
        for name in ("multiarray", "numeric")
    ),
)
NUMBERS = "biufc"  # the kinds of dtype that are numbers


def as_numpy(record: Record) -> NDArray[Any] | None:
    """Return the array that a record describes; None if it is not that of an array of numbers.

    Raises
    ------
    FormatError
        If the shape does not fit the bytes.
    """
    if _is_from_numpy(record, "_reconstruct"):
        if not isinstance(record.state, tuple) or len(record.state) != 5:
            return None
        _, shape, described, is_fortran, raw = record.state
    elif _is_from_numpy(record, "_frombuffer"):  # protocol 5
        if len(record.arguments) != 4:
            return None
        raw, described, shape, order = record.arguments
        is_fortran = order == "F"
    else:
        return None
    dtype = _dtype_of(described)
    if dtype is None or not isinstance(raw, bytes) or not isinstance(shape, tuple):
        return None
    if any(type(n) is not int or n < 0 for n in shape) or len(shape) > MOST_AXES:
        raise FormatError("the pickle describes an array of an impossible shape")
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise FormatError(f"the pickle describes an array of shape {shape} by {len(raw)} bytes")
    numbers = np.frombuffer(raw, dtype)
    if dtype.kind == "b":
        numbers = np.frombuffer(raw, np.uint8) != 0
    elif not dtype.isnative:
        numbers = numbers.astype(dtype.newbyteorder("="))
    try:
        return numbers.reshape(shape, order="F" if is_fortran is True else "C")
    except ValueError as error:  # an empty array with axes beyond the memory
        raise FormatError(f"an array of shape {shape}: {error}") from None


def _is_from_numpy(record: Any, name: str) -> bool:
    return (
        isinstance(record, Record)
        and isinstance(record.made_by, Name)
        and record.made_by.module in MODULES
        and record.made_by.name == name
    )


def _dtype_of(record: Any) -> np.dtype[Any] | None:
    """Return the dtype of numbers that a record describes, or None."""
    if not _is_from_numpy(record, "dtype"):
        return None
    state = record.state
    code = record.arguments[0] if record.arguments else None
    if not isinstance(code, str) or len(code) > 3 or code[:1] not in tuple(NUMBERS):
        return None
    if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
        return None
    try:
        return np.dtype(code).newbyteorder("<" if state[1] == "|" else state[1])
    except TypeError:
        return None
