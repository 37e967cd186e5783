"""The file format of checkpoints: plain values and arrays beside a model, in one file.

A checkpoint is a model file of :mod:`pygru.io.native` with more tensors. The tensor
``checkpoint/state`` contains JSON text. In the place of an array it has a number, and the array
is the tensor ``checkpoint/<number>``. The header contains a digest of all tensors.

This module does not know what the values mean: :mod:`pygru.train.state` makes them, and
:mod:`pygru.train.restoring` checks and restores them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pygru.core import validation
from pygru.errors import FormatError
from pygru.io.files import write_atomically
from pygru.io.native import CHECKPOINT, read_file, to_bytes
from pygru.typing import Path

VERSION = 4
STATE = f"{CHECKPOINT}state"

Arrays = dict[str, NDArray[Any]]


class Contents(NamedTuple):
    """What a checkpoint file holds."""

    description: dict[str, Any]  # of the model
    parameters: Arrays  # those of the model by name
    state: dict[str, Any]


def write(
    path: Path | bytes,
    description: Mapping[str, Any],
    parameters: Mapping[str, NDArray[Any]],
    state: Mapping[str, Any],
) -> None:
    """Write a checkpoint, atomically.

    Raises
    ------
    TypeError
        If the state contains anything but JSON values and arrays.
    OSError
        If the file cannot be written.
    """
    arrays: list[NDArray[Any]] = []
    try:
        text = json.dumps(_without_arrays("the checkpoint", state, arrays)).encode()
    except RecursionError:
        raise TypeError("the checkpoint holds values that are nested too deeply") from None
    tensors = {f"{CHECKPOINT}{number}": array for number, array in enumerate(arrays)}
    tensors |= {STATE: np.frombuffer(text, np.uint8)} | dict(parameters)
    notes = {"checkpoint": str(VERSION), "digest": digest(tensors)}.items()
    write_atomically(path, to_bytes(description, tensors, notes=notes))


def read(path: Path | bytes, classes: Mapping[str, Any]) -> Contents:
    """Return what a file holds.

    Parameters
    ----------
    path : path-like
    classes : mapping of str to type
        The classes of a user's own layers by name, as for :func:`pygru.io.native.read_file`.

    Raises
    ------
    FormatError
        If it is damaged or not a checkpoint.
    OSError
        If it cannot be read.
    """
    description, shapes, _, notes, arrays = read_file(path, classes)
    if "checkpoint" not in notes:
        raise FormatError("the file holds a model but no checkpoint: use pygru.load")
    if notes["checkpoint"] != str(VERSION):
        raise FormatError(f"checkpoint version {notes['checkpoint']}, expected {VERSION}")
    if notes.get("digest") != digest(arrays):
        raise FormatError("damaged file: its digest does not fit its contents")
    try:
        state = _with_arrays(json.loads(arrays[STATE].tobytes()), arrays)
    except (KeyError, ValueError, RecursionError) as error:
        raise FormatError(f"the checkpoint is not valid: its state is {error!r}") from None
    if not isinstance(state, dict):
        raise FormatError(f"the checkpoint is not valid: its state is {state!r}")
    return Contents(description, {name: arrays[name] for name in shapes}, state)


def digest(tensors: Mapping[str, NDArray[Any]]) -> str:
    """The SHA-256 of the names, types, shapes and contents of tensors, in hexadecimal."""
    total = hashlib.sha256()
    for name, array in sorted(tensors.items()):
        total.update(f"{name} {array.dtype} {array.shape} ".encode())
        total.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return total.hexdigest()


def _without_arrays(name: str, value: Any, arrays: list[NDArray[Any]]) -> Any:
    """Return ``value`` as JSON; arrays become their numbers in the list ``arrays``."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key == "array":
                raise TypeError(f"{name} has the key {key!r}; keys must be str and not 'array'")
        return {key: _without_arrays(key, item, arrays) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_arrays(name, item, arrays) for item in value]
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
            raise TypeError(f"{name} holds an array of {value.dtype}, which checkpoints cannot")
        arrays.append(np.asarray(value, value.dtype.newbyteorder("="), order="C"))
        return {"array": len(arrays) - 1}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{name} holds a {validation.type_name(value)}, which checkpoints cannot")


def _with_arrays(value: Any, arrays: Arrays) -> Any:
    """The inverse of :func:`_without_arrays`."""
    if isinstance(value, list):
        return [_with_arrays(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"array"}:
        return arrays[f"{CHECKPOINT}{value['array']}"]
    return {key: _with_arrays(item, arrays) for key, item in value.items()}
