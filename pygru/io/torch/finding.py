"""Finds the GRUs among named tensors, by the names and shapes that ``torch.nn.GRU`` gives them.

A layer has ``weight_ih_l0`` (3H, I), ``weight_hh_l0`` (3H, H) and perhaps two biases, and so on
for later layers and for the reverse direction. The gates stand in the order r, z, n, which is
pygru's own. Whatever else has such names is refused, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pygru.io.cells import other_kind
from pygru.io.found import Contents, FoundGRU
from pygru.io.torch.parametrized import Combined, combined
from pygru.io.torch.walk import Module
from pygru.options import GRUOptions

PARAMETER = re.compile(
    r"(?P<prefix>(?:.*[._:])?|)"
    r"(?P<parameter>(?:weight|bias)_(?:ih|hh|hr)(?:_l(?P<layer>[0-9]{1,6})(?:_reverse)?)?)"
)
#: Names that only quantised recurrent modules have.
QUANTIZED = re.compile(
    r"(?P<prefix>(?:.*\.)?|)_(?:all_weight_values|packed_weight_[ih]h)(\..*)?"
)

#: The module of pygru for PyTorch, which computes what ``torch.nn.GRU`` does.
OWN = "pygru.torch.module.GRU"
MOST_TIMES = 16  # how often the parameters of one GRU may repeat the numbers of a file


class Source(NamedTuple):
    """Where tensors come from: their shapes by name, how to read one, and what is known."""

    format: str
    tensors: Mapping[str, Any]  # each has a shape, or a reason why it is no array
    read: Callable[[str], NDArray[Any]]
    modules: Mapping[str, Module]
    size: int  # bytes of all numbers


class Refusal(Exception):
    """A layer is no GRU that pygru can take; the text says why."""


def contents_of(sources: list[Source]) -> Contents:
    """Return what :func:`find` finds in all sources together."""
    result = Contents([], {})
    for source in sources:
        found = find(source)
        result.grus.extend(found.grus)
        result.refused.update(found.refused)
    return result


def without_copies(grus: list[FoundGRU]) -> list[FoundGRU]:
    """Return GRUs without those whose parameters are those of another one, in the same memory.

    A checkpoint may hold a module and its state dict. Of the two, the one stays that the file
    says more about.
    """
    kept: dict[tuple[Any, ...], FoundGRU] = {}
    for gru in grus:
        places = tuple(
            (name, array.__array_interface__["data"], array.shape, array.strides)
            for name, array in gru.arrays.items()
        )
        other = kept.get(places)
        if other is None or len(other.options) < len(gru.options):
            kept[places] = gru
    return list(kept.values())


def find(source: Source) -> Contents:
    """Return the GRUs among the tensors of a source, and why other recurrent layers are none.

    The name of a GRU is the beginning of the names of its parameters, without the last dot.
    """
    groups: dict[str, dict[str, str]] = {}  # for each prefix the full names of its parameters
    refused: dict[str, str] = {}
    quantized = set()
    kinds = {name: _class_of(module) for name, module in source.modules.items()}
    tensors = combined(source.tensors, kinds)
    for name in tensors:
        match = PARAMETER.fullmatch(name)
        if match:
            groups.setdefault(match["prefix"], {})[match["parameter"]] = name
        match = QUANTIZED.fullmatch(name)
        if match:
            quantized.add(match["prefix"])
    grus = []
    for prefix, parameters in groups.items():
        name = prefix.removesuffix(".")
        if prefix in quantized:
            continue
        try:
            grus.append(_found(source, tensors, prefix, parameters))
        except Refusal as reason:
            refused[name] = str(reason)
    refused.update(
        (prefix.removesuffix("."), "it is a quantised layer") for prefix in quantized
    )
    return Contents(grus, refused)


def _found(
    source: Source, tensors: Mapping[str, Any], prefix: str, parameters: Mapping[str, str]
) -> FoundGRU:
    """Return the GRU whose parameters have a prefix; they are given with their full names.

    Raises
    ------
    Refusal
        If they are another recurrent layer, or not all of a GRU.
    """
    is_cell = not any("_l" in key for key in parameters)
    if is_cell:  # a GRUCell does not number its only layer
        parameters = {f"{key}_l0": name for key, name in parameters.items()}
    shapes = {}
    for key, name in parameters.items():
        tensor = tensors[name]
        if not hasattr(tensor, "shape"):
            raise Refusal(f"{name!r}: {tensor.reason}")
        shapes[key] = tuple(tensor.shape)
    sizes = _sizes(prefix, shapes, "" if is_cell else "_l0")
    arrays = {
        key: _read(source, tensors, parameters[key])
        for key in GRUOptions(**sizes).parameter_shapes()
    }
    if sum(array.nbytes for array in arrays.values()) > MOST_TIMES * source.size:
        raise Refusal("its parameters are far more numbers than the file has")
    is_double = any(array.dtype == np.float64 for array in arrays.values())
    options = {**sizes, "dtype": "float64" if is_double else "float32"}
    evidence = dict.fromkeys(sizes, "the names and shapes of the parameters")
    name = prefix.removesuffix(".")
    unknown = _describe(source.modules.get(name), is_cell, options, evidence)
    return FoundGRU(name, source.format, options, evidence, unknown, arrays=arrays)


def _sizes(prefix: str, shapes: Mapping[str, tuple[int, ...]], first: str) -> dict[str, Any]:
    """Return the sizes of a GRU, after checking that it has all parameters and no others.

    ``first`` is what the names of the parameters of the first layer end with in the file.

    Raises
    ------
    Refusal
        If they are those of another layer, or one is missing, or does not fit.
    """

    def shown(key: str) -> str:
        return repr(prefix + (key if first else key.removesuffix("_l0")))

    for key in shapes:
        if "_hr" in key:
            raise Refusal(f"{shown(key)} is a projection (proj_size), which only an LSTM has")
    for key, shape in shapes.items():
        if key.startswith("weight_hh"):
            kind = other_kind(np.broadcast_to(np.float32(0), shape))
            if kind is not None:
                raise Refusal(f"it is {kind}: {shown(key)} has the shape {shape}")
    layers = 1 + max(int(key.partition("_l")[2].removesuffix("_reverse")) for key in shapes)
    is_bidirectional = any(key.endswith("_reverse") for key in shapes)
    has_bias = any(key.startswith("bias") for key in shapes)
    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[: 4 if has_bias else 2]
    for layer in range(layers):
        for suffix in ("", "_reverse")[: 1 + is_bidirectional]:
            for kind in kinds:
                key = f"{kind}_l{layer}{suffix}"
                if key not in shapes:
                    there = ", ".join(shown(other) for other in list(shapes)[:4])
                    raise Refusal(f"{shown(key)} is missing; there are {there} ...")
    width = shapes["weight_ih_l0"]
    if len(width) != 2 or not width[1]:
        raise Refusal(f"{shown('weight_ih_l0')} must have shape (3H, I), got {width}")
    sizes: dict[str, Any] = {
        "input_size": width[1],
        "hidden_size": shapes["weight_hh_l0"][1],
        "num_layers": layers,
        "bias": has_bias,
        "bidirectional": is_bidirectional,
    }
    for key, shape in GRUOptions(**sizes).parameter_shapes().items():
        if shapes[key] != shape:
            raise Refusal(f"{shown(key)} must have shape {shape}, got {shapes[key]}")
    return sizes


def _read(source: Source, tensors: Mapping[str, Any], name: str) -> NDArray[Any]:
    """Return a parameter as an array of float16, float32 or float64.

    Raises
    ------
    Refusal
        If it holds other numbers.
    """
    tensor = tensors[name]
    array = tensor.read(source.read) if isinstance(tensor, Combined) else source.read(name)
    if array.dtype.kind != "f":
        raise Refusal(
            f"{name!r} holds numbers of {array.dtype}, and a GRU needs floating-point numbers; "
            "the layer may be quantised"
        )
    return array


def _describe(
    module: Module | None, is_cell: bool, options: dict[str, Any], evidence: dict[str, str]
) -> tuple[str, ...]:
    """Add what the module says to options and evidence; return what is unknown."""
    kind = "GRUCell" if is_cell else "GRU"
    if module is None:
        options["variant"] = "pytorch"
        evidence["variant"] = f"the parameters have the names that torch.nn.{kind} gives them"
        return ()
    for option in ("batch_first", "dropout"):
        value = module.attributes.get(option)
        if type(value) is bool if option == "batch_first" else type(value) in (int, float):
            options[option] = value
            evidence[option] = "the attribute of the module"
    named = _class_of(module)
    if named in (f"torch.nn.modules.rnn.{kind}", OWN):
        options["variant"] = "pytorch"
        own = "pygru.torch.GRU" if named == OWN else f"torch.nn.{kind}"
        evidence["variant"] = f"the module is a {own}"
        return ()
    evidence["variant"] = f"the module is a {module.kind}, whose code may be another"
    return ("variant",)


def _class_of(module: Module) -> str:
    """Return the class of a module, without what TorchScript adds to its name."""
    return re.sub(r"^__torch__\.|___torch_mangle_[0-9]+\.", "", module.kind)
