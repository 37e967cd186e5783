"""Gives every tensor in the plain data of a pickle the name that PyTorch's state dict has.

A checkpoint may be a state dict, a dict or list with one in it, or a whole module. The path to
a tensor becomes its name, with dots between the parts. A module keeps its parameters, buffers
and modules in three dicts, which are no parts of names. Its plain attributes are kept beside,
because they say what a layer of it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from pygru.errors import FormatError
from pygru.io.torch.numpy_pickles import as_numpy
from pygru.io.torch.pickles import Name, Record
from pygru.io.torch.tensors import StoredTensor, Unreadable, as_tensor

DEEPEST = 100
LONGEST_NAME = 1000  # characters
MOST_TENSORS = 100_000

#: The dicts of a module that are no parts of names, in the order of a state dict.
TRANSPARENT = ("_parameters", "_buffers", "_modules")
#: A list of the parameters of a recurrent module, which its other dicts have by name.
REPEATED = "_flat_weights"

Leaf = StoredTensor | Unreadable | NDArray[Any]


@dataclass(frozen=True, slots=True)
class Module:
    """A module in a file: the name of its class, and those attributes that are plain values."""

    kind: str
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Named:
    """The tensors of a checkpoint and its modules, by name."""

    tensors: dict[str, Leaf] = field(default_factory=dict)
    modules: dict[str, Module] = field(default_factory=dict)


def named(root: Any) -> Named:
    """Return all tensors and modules in the value of a pickle by name.

    A container that is found in several places is walked once, and so are the parents that some
    modules refer to.

    Raises
    ------
    FormatError
        If it is nested beyond any real checkpoint, or describes an impossible tensor.
    """
    result = Named()
    seen: dict[int, Any] = {}  # the values are kept, so that no address is used again
    waiting: list[Iterator[tuple[str, Any]]] = [iter([("", root)])]
    while waiting:
        name, value = next(waiting[-1], (None, None))
        if name is None:
            waiting.pop()
            continue
        leaf = _leaf(name, value)
        if leaf is not None:
            if name in result.tensors:
                raise FormatError(f"two tensors have the name {name!r}")
            if len(result.tensors) == MOST_TENSORS:
                raise FormatError(f"the file has more than {MOST_TENSORS} tensors")
            result.tensors[name] = leaf
        elif isinstance(value, (dict, list, tuple, Record)) and id(value) not in seen:
            if len(waiting) > DEEPEST:
                raise FormatError(f"the pickle is nested more than {DEEPEST} levels deep")
            seen[id(value)] = value
            module = _module(value)
            if module is not None and len(result.modules) < MOST_TENSORS:
                result.modules[name] = module
            waiting.append(_named_below(name, value))
    return result


def _leaf(name: str, value: Any) -> Leaf | None:
    if not isinstance(value, Record):
        return None
    try:
        tensor = as_tensor(value)
        return as_numpy(value) if tensor is None else tensor
    except FormatError as error:
        raise FormatError(f"{name!r}: {error}") from None


def _named_below(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield name and value of each part of a container or an object."""
    if isinstance(value, dict):
        yield from _named_items(name, value)
    elif isinstance(value, Record):
        states = value.state if isinstance(value.state, tuple) else (value.state,)
        for state in states:  # two, if the class has slots
            if not isinstance(state, dict):
                continue
            for key in TRANSPARENT:
                if isinstance(state.get(key), dict):
                    yield from _named_items(name, state[key])
            skipped = (*TRANSPARENT, REPEATED)
            yield from _named_items(
                name, {key: each for key, each in state.items() if key not in skipped}
            )
        yield from _named_items(name, value.items or {})
        yield from _named_items(name, dict(enumerate(value.elements or ())))
        yield from _named_items(name, dict(enumerate(value.arguments)))
    else:
        yield from _named_items(name, dict(enumerate(value)))


def _named_items(prefix: str, items: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in items.items():
        if isinstance(value, (dict, list, tuple, Record)):
            text = key if isinstance(key, str) else str(key)[:LONGEST_NAME]
            name = f"{prefix}.{text}" if prefix else text
            if len(name) > LONGEST_NAME:
                raise FormatError(f"the pickle has a name of {len(name)} characters")
            yield name, value


def _module(value: Any) -> Module | None:
    """Return an object that says whether it is training, as modules do; None for another."""
    if not isinstance(value, Record) or not isinstance(value.made_by, Name):
        return None
    if not isinstance(value.state, dict) or "training" not in value.state:
        return None
    plain = (bool, int, float, str)
    attributes = {
        key: each
        for key, each in value.state.items()
        if isinstance(key, str) and isinstance(each, plain)
    }
    return Module(str(value.made_by), attributes)
