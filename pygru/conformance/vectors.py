"""Reads the cases from the file of vectors that comes with pygru."""

from __future__ import annotations

import json
import struct
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pygru.conformance.case import Arrays, Case
from pygru.core.validation import type_name

FILE = Path(__file__).with_name("vectors.safetensors")

#: The dtypes in the file, by their names there.
DTYPES = {"BOOL": "?", "F64": "<f8", "I64": "<i8"}

#: The variants that have a name in pygru.
NAMES = {"pytorch": "after-keep", "cho": "before-keep", "chung": "before-replace"}


def cases(name: str = "*", *, variant: str = "*") -> list[Case]:
    """Return the cases of the conformance vectors, simple ones first.

    Parameters
    ----------
    name : str, default "*"
        The name of a case, or a pattern with ``*`` and ``?``, such as ``"layers*"``.
    variant : str, default "*"
        A variant, such as ``"after-keep"``, or a pattern; or one of pygru's names,
        ``"pytorch"``, ``"cho"`` or ``"chung"``.

    Returns
    -------
    list of Case
        Their arrays are copies, and may be written to.

    Raises
    ------
    TypeError
        If an argument is not a str.
    ValueError
        If no case has such a name and variant.

    Examples
    --------
    >>> import pygru.conformance
    >>> len(pygru.conformance.cases())
    76
    >>> [case.name for case in pygru.conformance.cases("mask*", variant="after-*")][:2]
    ['mask/after-keep', 'mask/after-replace']
    """
    for argument, value in (("name", name), ("variant", variant)):
        if not isinstance(value, str):
            raise TypeError(f"{argument} must be a str, got {type_name(value)}")
    variant = NAMES.get(variant, variant)
    found = [
        case.copy()
        for case in _all_cases()
        if fnmatchcase(case.name, name if "/" in name else f"{name}/*")
        and fnmatchcase(case.variant, variant)
    ]
    if not found:
        raise ValueError(f"no case is called {name!r} and has the variant {variant!r}")
    return found


@cache
def _all_cases() -> tuple[Case, ...]:
    described, tensors = _read(FILE.read_bytes())
    return tuple(_case_of(description, tensors) for description in described)


def _read(data: bytes) -> tuple[list[dict[str, Any]], Arrays]:
    """Return the descriptions of all cases and the tensors by name.

    Read without the safetensors package, so that the cases can test pygru where it is missing.
    """
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    described = json.loads(header.pop("__metadata__")["cases"])
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        values = np.frombuffer(data[begin:end], DTYPES[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return described, tensors


def _case_of(description: dict[str, Any], tensors: Arrays) -> Case:
    """Return the case of a description and of the arrays of all cases."""
    options = dict(description)
    problem, name = options.pop("problem"), options["name"]
    for key in ("activation", "recurrent_activation"):
        if not isinstance(options[key], str):
            options[key] = tuple(options[key])
    inputs: dict[str, Any] = _below(problem, tensors)
    parameters = {key: inputs.pop(key) for key in _parameter_names(options) if key in inputs}
    optional: dict[str, Any] = {key: inputs.pop(key, None) for key in ("h0", "lengths", "mask")}
    results = _below(name, tensors)
    names = ("output", "h_n", "d_x", "d_h0", *(f"d_{key}" for key in parameters))
    expected = {key: results[key] for key in names if key in results}
    return Case(**options, **inputs, **optional, parameters=parameters, expected=expected)


def _parameter_names(options: dict[str, Any]) -> list[str]:
    """Return the names that the parameters of a GRU may have, in order."""
    return [
        f"{kind}_l{layer}{suffix}"
        for layer in range(options["num_layers"])
        for suffix in (("", "_reverse") if options["direction"] == "both" else ("",))
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]


def _below(path: str, tensors: Arrays) -> dict[str, Any]:
    """Return the arrays directly below a path, by the rest of their names."""
    start = f"{path}/"
    rest = {
        name[len(start) :]: array for name, array in tensors.items() if name.startswith(start)
    }
    return {name: np.asarray(array) for name, array in rest.items() if "/" not in name}
