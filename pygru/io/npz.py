"""Weights in NumPy's own archives, which say nothing about them but names and shapes.

A GRU is found by pairs of matrices with the shapes of its input and recurrent weights, whose
names differ as such names usually do. The equations and the order of the gates are never in the
file, so they stay unknown.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pygru.errors import FormatError
from pygru.io.archives import open_zip, read_member
from pygru.io.cells import GATES, other_kind
from pygru.io.files import open_regular_file, write_atomically
from pygru.io.found import Contents, FoundGRU
from pygru.io.header import parse_json
from pygru.io.native import describe
from pygru.io.own import grus_in
from pygru.nn.model import Model
from pygru.typing import Path

FORMAT = "NumPy archive"

#: The array with the description of the model in an archive of pygru.
DESCRIPTION = "pygru"


class Names(NamedTuple):
    """How a convention names the four arrays of a cell; a name may contain more before it."""

    weight_hh: str
    weight_ih: str
    bias_ih: str
    bias_hh: str | None


CONVENTIONS = (
    Names("w_hh", "w_ih", "b_ih", "b_hh"),
    Names("weight_hh", "weight_ih", "bias_ih", "bias_hh"),
    Names("recurrent_kernel", "kernel", "bias", None),
    Names("recurrent_weights", "input_weights", "input_bias", "recurrent_bias"),
    Names("Wh", "Wx", "b", None),
    Names("W_h", "W_x", "b", None),
    Names("U", "W", "b", None),
    Names("R", "W", "b", None),
)


def arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a ``.npz`` by name; that of a ``.npy`` has the empty name."""
    with open_regular_file(path) as (file, size):
        if file.read(6) == npy.MAGIC_PREFIX:
            file.seek(0)
            return {"": _read_array("the file", file.read(size))}
        file.seek(0)
        archive = open_zip(file)
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        return {
            name.removesuffix(".npy"): _read_array(name, read_member(archive, name))
            for name in names
        }


def save(model: Model, path: Path) -> None:
    """Write the parameters of a model by name, and its description, to a ``.npz``.

    ``numpy.load`` reads such a file. The description is JSON, and says the variant.
    """
    file = io.BytesIO()
    description = np.array(json.dumps(describe(model)))
    arrays: dict[str, Any] = {**model.state_dict(), DESCRIPTION: description}
    np.savez(file, **arrays)
    write_atomically(path, file.getvalue())


def _read_array(name: str, data: bytes) -> NDArray[Any]:
    """The array of a ``.npy`` file; one of Python objects is refused, as it would be unpickled.

    The size that the header states is compared with that of the data before memory is taken.
    """
    file = io.BytesIO(data)
    try:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version} of the format is not one for numbers")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, is_fortran, dtype = read(file)
    except Exception as error:  # the header is a Python literal, which can fail in many ways
        raise FormatError(f"{name}: the header is damaged: {str(error)[:200]}") from None
    if dtype.hasobject:
        raise FormatError(f"{name} holds Python objects, which pygru never unpickles")
    if any(not isinstance(axis, int) or axis < 0 for axis in shape):
        raise FormatError(f"{name} has the impossible shape {str(shape)[:80]}")
    count = 1
    for axis in shape:
        count *= axis
    values = data[file.tell() :]
    if count * dtype.itemsize != len(values):
        raise FormatError(
            f"{name} states the shape {str(shape)[:80]} and dtype {dtype}, but holds "
            f"{len(values)} bytes"
        )
    try:
        array = np.frombuffer(values, dtype).reshape(shape, order="F" if is_fortran else "C")
    except ValueError as error:
        raise FormatError(f"{name}: {error}") from None
    return array.copy()


def contents(path: Path) -> Contents:
    """Return the GRUs in a NumPy archive.

    In one of pygru's own everything is known; in others the variant and the gate order are
    not.
    """
    named = arrays(path)
    if DESCRIPTION not in named:
        return find(named, FORMAT)
    description = parse_json(DESCRIPTION, str(named.pop(DESCRIPTION)))
    return grus_in(description, named, FORMAT)


def find(named: Mapping[str, NDArray[Any]], kind: str) -> Contents:
    """Return the GRUs among arrays that are only known by name and shape."""
    grus, refused = [], {}
    for name in named:
        for convention in CONVENTIONS:
            match = re.fullmatch(rf"(.*?){re.escape(convention.weight_hh)}(.*)", name)
            partner = match and f"{match[1]}{convention.weight_ih}{match[2]}"
            if not match or partner not in named:
                continue
            prefix = _prefix(match[1], match[2])
            found = _gru(named, match[1], match[2], convention, prefix, kind)
            if isinstance(found, str):
                refused[prefix] = found
            elif found is not None:
                grus.append(found)
            break
    return Contents(grus, refused)


def _prefix(before: str, after: str) -> str:
    return f"{before.rstrip('_./')}{after}" or "gru"


def _gru(
    named: Mapping[str, NDArray[Any]],
    before: str,
    after: str,
    convention: Names,
    prefix: str,
    kind: str,
) -> FoundGRU | str | None:
    """The GRU of these names, the reason why it is none, or None if these are no weights."""
    of = {
        part: named.get(f"{before}{name}{after}") if name else None
        for part, name in convention._asdict().items()
    }
    U, W = of["weight_hh"], of["weight_ih"]
    assert U is not None and W is not None
    if U.ndim != 2 or W.ndim != 2 or U.dtype.kind != "f" or W.dtype.kind != "f":
        return None
    is_columns = U.shape[0] < U.shape[1]
    if is_columns:
        U, W = U.T, W.T
    other = other_kind(U)
    if other is not None:
        return f"it is {other}"
    H = U.shape[1]
    if W.shape[0] != GATES * H:
        return f"the matrices have {W.shape[0]} and {GATES * H} rows"
    biases = {name: of[name] for name in ("bias_ih", "bias_hh")}
    if any(
        bias is not None and (bias.shape != (GATES * H,) or bias.dtype.kind != "f")
        for bias in biases.values()
    ):
        return "a bias does not have one float for each row"
    arrays = {"weight_ih_l0": W, "weight_hh_l0": U}
    has_bias = any(bias is not None for bias in biases.values())
    for name, bias in biases.items() if has_bias else ():
        arrays[f"{name}_l0"] = np.zeros(GATES * H, U.dtype) if bias is None else bias
    shapes = f"{before}{convention.weight_hh}{after} is {of['weight_hh'].shape}"  # type: ignore[union-attr]
    return FoundGRU(
        name=prefix,
        format=kind,
        options={
            "input_size": W.shape[1],
            "hidden_size": H,
            "bias": has_bias,
            "dtype": U.dtype.name,
        },
        evidence={"hidden_size": shapes, "bias": "the names of the arrays"},
        unknown=("variant", "gate_order", "activation", "recurrent_activation"),
        arrays=arrays,
    )
