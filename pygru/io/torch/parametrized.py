"""Weights that a file keeps in two parts: weight normalisation and pruning.

PyTorch computes such a weight from its parts before each use. Weight normalisation has a
length and a direction for each row, ``w = g v / |v|``, and pruning has a mask. Of other
parametrisations the file does not hold the formula, so they are refused.

The older functions of PyTorch name the parts by what they are. ``torch.nn.utils.parametrize``
numbers them, whatever the formula is. So there the class of the parametrisation must be known.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: The endings of the parts in the older form, and the names of the whole in the newer one.
PART = re.compile(
    r"(?P<old>.*(?:weight|bias)_(?:ih|hh)[a-z0-9_]*?)_(?P<end>g|v|orig|mask|u|raw)"
    r"|(?P<before>(?:.*\.)?|)parametrizations\.(?P<new>(?:weight|bias)_(?:ih|hh)[a-z0-9_]*)"
    r"\.(?P<part>[^.]+(?:\..*)?)"
)

#: The class whose parts ``original0`` and ``original1`` are a length and a direction.
WEIGHT_NORM = "torch.nn.utils.parametrizations._WeightNorm"
#: What the caller can do about a formula that pygru does not know.
REMOVE = (
    "in PyTorch call torch.nn.utils.parametrize.remove_parametrizations(module, {name!r}), "
    "which keeps the computed weight, and take that"
)


class Combined(NamedTuple):
    """A weight that is computed from two tensors of a file, which are given by their names."""

    shape: tuple[int, ...]
    kind: Literal["weight normalisation", "pruning"]
    first: str  # the length of each row, or the weight
    second: str  # the direction of each row, or the mask

    def read(self, read: Callable[[str], NDArray[Any]]) -> NDArray[Any]:
        """Return the weight, computed in float64 and rounded to the dtype of the parts."""
        first, second = read(self.first), read(self.second)
        if self.kind == "pruning":
            pruned: NDArray[Any] = first * second.astype(first.dtype)
            return pruned
        direction = second.astype(np.float64)
        lengths = np.sqrt(np.sum(direction**2, axis=1, keepdims=True))
        with np.errstate(invalid="ignore", divide="ignore"):
            weight: NDArray[Any] = (first * (direction / lengths)).astype(second.dtype)
        return weight


class Opaque(NamedTuple):
    """A weight whose formula is not in the file."""

    reason: str


def combined(tensors: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Any]:
    """Return tensors by name, with the weights that are in two parts under their own names.

    Parameters
    ----------
    tensors : mapping of str to object
        All tensors of a file or module.
    kinds : mapping of str to str
        The classes of the modules in it by name; a state dict has none.
    """
    parts: dict[str, dict[str, str]] = {}
    classes: dict[str, list[str]] = {}
    result = {}
    for name, tensor in tensors.items():
        match = PART.fullmatch(name)
        if match is None:
            result[name] = tensor
        elif match["old"]:
            parts.setdefault(match["old"], {})[match["end"]] = name
        else:
            weight = match["before"] + match["new"]
            parts.setdefault(weight, {})[match["part"]] = name
            if weight not in classes:
                classes[weight] = _classes(kinds, name.removesuffix(f".{match['part']}"))
    for name, named in parts.items():
        # The older form of pruning and of weight normalisation may leave a copy of the result.
        result[name] = _joined(name, tensors, named, classes.get(name))
    return result


def _classes(kinds: Mapping[str, str], list_name: str) -> list[str]:
    """Return the classes of the parametrisations of one weight, in the order of their use."""
    names = (f"{list_name}.{index}" for index in range(len(kinds)))
    return [kinds[name] for name in itertools.takewhile(kinds.__contains__, names)]


def _joined(
    weight: str, tensors: Mapping[str, Any], parts: dict[str, str], classes: list[str] | None
) -> Combined | Opaque:
    """Return a weight of its parts, which are given by their endings and full names.

    ``classes`` are those of its parametrisations, or None for the names of the older functions.
    """
    first = next(iter(parts.values()))
    if classes and classes != [WEIGHT_NORM]:
        return Opaque(
            f"it is computed from {first!r} by {', then '.join(classes)}, whose formula pygru "
            f"does not know; {_remove(weight)}"
        )
    shapes: dict[str, Any] = {
        end: getattr(tensors[name], "shape", None) for end, name in parts.items()
    }
    for length, direction in (("g", "v"), ("original0", "original1")):
        if shapes.keys() == {length, direction}:
            shape = shapes[direction]
            if shape is None or len(shape) != 2 or shapes[length] != (shape[0], 1):
                return Opaque(f"{parts[length]!r} is no weight normalisation of rows (dim=0)")
            if classes == []:
                return Opaque(
                    f"it is computed from {parts[length]!r} and {parts[direction]!r}, by "
                    "weight normalisation or by another formula: these names do not tell; pass "
                    f"the module instead of its state dict, or {_remove(weight)}"
                )
            return Combined(shape, "weight normalisation", parts[length], parts[direction])
    if shapes.keys() == {"orig", "mask"} and shapes["orig"] == shapes["mask"] is not None:
        return Combined(shapes["orig"], "pruning", parts["orig"], parts["mask"])
    if "raw" in parts:
        return Opaque("it is a weight before dropout, which other code applies")
    reason = (
        f"it is computed from {first!r} by a formula that is not among the weights, such as "
        "spectral normalisation"
    )
    return Opaque(reason if classes is None else f"{reason}; {_remove(weight)}")


def _remove(weight: str) -> str:
    """What to do about a weight, which is given by its full name."""
    return REMOVE.format(name=weight.rpartition(".")[2])
