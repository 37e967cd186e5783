"""GRUs in a file of Keras weights without a configuration, found by names and shapes.

Such a file does not say which activations a GRU has. Its biases say where the reset acts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from pygru.io.cells import GATES, OTHERS
from pygru.io.found import Contents, FoundGRU
from pygru.io.hdf5.file import Dataset, Group
from pygru.io.keras.functions import Unsupported
from pygru.io.keras.grus import BACKWARD, FORWARD, Version, found_gru
from pygru.io.keras.nodes import Node
from pygru.io.keras.weights import Arrays, NamedWeights, numbered_below, own_datasets, place
from pygru.options import DEFAULTS

#: What Keras 2 adds to the name of a layer for the cells in it.
CELL = re.compile(r"(^|/)(stacked_rnn_cells(_\d+)?/)?(gru|lstm|simple_rnn)_cell(_\d+)?$")
#: Parts of a file that hold no weights of layers.
OPTIMIZERS = ("optimizer", "optimizer_weights", "_optimizer", "top_level_model_weights")


class GivenWeights:
    """The weights of one layer, by its parts."""

    def __init__(self, parts: dict[str, list[Dataset]]) -> None:
        self.parts = parts

    def of(self, node: Node, part: str = "") -> Arrays:
        """Return the weights of the layer, or of a direction."""
        return [dataset.read() for dataset in self.parts[part]]


def scan_numbered(
    places: Mapping[str, Group], source: str, version: Version, taken: Collection[str] = ()
) -> Contents:
    """Return the GRUs in a file of Keras 3.

    Parameters
    ----------
    places : dict of str to Group
        The groups that are searched, by their paths.
    source : str
        What the kind of file is called.
    version : Version
        Of Keras.
    taken : collection of str
        Names of other layers. A layer with one of them is called by its path in the file, and
        so are layers that have one name together.
    """
    contents = Contents([], {})
    layers = [
        layer
        for path, group in places.items()
        for layer in _layers(group, path)
        if any(map(_kind, layer.parts.values()))
    ]
    counts = Counter([*taken, *(layer.name for layer in layers)])
    for layer in layers:
        is_unique = counts[layer.name] == 1
        add(contents, layer.name if is_unique else layer.path, layer.parts, source, version)
    return contents


class Layer(NamedTuple):
    """A layer in a file that may be recurrent."""

    name: str
    path: str
    parts: dict[str, list[Dataset]]


def _layers(group: Group, path: str) -> Iterator[Layer]:
    """Yield the layers with cells or directions in them, or with weights like those of a cell.

    The weights of what else is in a group are those of other layers.
    """
    seen = {"vars", *OPTIMIZERS}
    both = {part: _datasets(group.get(part)) for part in (FORWARD, BACKWARD)}
    if all(both.values()):
        yield Layer(_name(path, group), path, both)
        seen |= {FORWARD, BACKWARD}
    elif isinstance(group.get("cell"), Group):
        yield Layer(_name(path, group), path, {"": _datasets(group["cell"])})
        seen.add("cell")
    elif "vars" in group:
        yield Layer(_name(path, group), path, {"": own_datasets(group)})
    for key in sorted(group.keys() - seen, key=place):
        below = group[key]
        if isinstance(below, Group):
            yield from _layers(below, f"{path}/{key}" if path else key)


def _datasets(group: Any) -> list[Dataset]:
    return numbered_below(group) if isinstance(group, Group) else []


def _name(path: str, group: Group) -> str:
    """What the layer is called: its own name, if this version of Keras has written it."""
    own = group.get("vars")
    name = own.attrs.get("name") if own is not None else None
    return name.decode("utf-8", "replace") if isinstance(name, bytes) and name else path


def scan_named(weights: NamedWeights, source: str, version: Version) -> Contents:
    """Return the GRUs in an HDF5 file of weights of Keras 1 and 2."""
    contents = Contents([], {})
    for layer in weights.names():
        by_prefix: dict[str, list[Dataset]] = {}
        for name, dataset in weights.listed(layer):
            prefix = CELL.sub("", name.rpartition("/")[0])
            by_prefix.setdefault(prefix, []).append(dataset)
        forward = [each for each in by_prefix if _direction(each) == FORWARD]
        backward = [each for each in by_prefix if _direction(each) == BACKWARD]
        if len(by_prefix) == 2 and len(forward) == len(backward) == 1:
            parts = {FORWARD: by_prefix[forward[0]], BACKWARD: by_prefix[backward[0]]}
            add(contents, layer, parts, source, version)
            continue
        for prefix, datasets in by_prefix.items():
            inner = f"{layer}/{prefix}" if len(by_prefix) > 1 else layer
            add(contents, inner, {"": datasets}, source, version)
    return contents


def _direction(prefix: str) -> str | None:
    for part in prefix.split("/"):
        for begin, direction in (("forward_", FORWARD), ("backward_", BACKWARD)):
            if part.startswith(begin):
                return direction
    return None


def add(
    contents: Contents,
    name: str,
    parts: dict[str, list[Dataset]],
    source: str,
    version: Version,
) -> None:
    """Add what these weights are, if they are those of a recurrent layer."""
    kinds = {_kind(datasets) for datasets in parts.values()}
    if kinds != {"a GRU"}:
        for kind in kinds - {None}:
            contents.refused[name] = str(kind)
        return
    node = _node(name, parts)
    try:
        found = found_gru(node, GivenWeights(parts), version, source)
    except Unsupported as error:
        contents.refused[name] = str(error)
        return
    contents.grus.append(_with_usual(found))


def _with_usual(found: FoundGRU) -> FoundGRU:
    """The same, with what need not be given where it is as usual."""
    usual = ("activation", "merge" if found.bidirectional else "reverse")
    said = {
        name: f"{DEFAULTS[name]!r} unless you pass another: weights alone do not say it"
        for name in usual
    }
    return replace(
        found,
        options={name: value for name, value in found.options.items() if name not in usual},
        unknown=tuple(name for name in found.unknown if name not in usual),
        usual=usual,
        evidence={**found.evidence, **said},
    )


def _kind(datasets: list[Dataset]) -> str | None:
    """What weights of these shapes belong to: None if to no recurrent layer at all."""
    shapes = [dataset.shape for dataset in datasets if dataset.is_numeric]
    if len(shapes) == 9 and all(len(shape) == 2 for shape in shapes[0::3] + shapes[1::3]):
        # Keras 1 stores the gates one by one.
        return "a GRU" if shapes[1] == (shapes[0][1],) * 2 else None
    if len(shapes) < 2 or any(len(shape) != 2 for shape in shapes[:2]):
        return None
    (_, columns), (H, recurrent_columns) = shapes[:2]
    if not H or columns != recurrent_columns or columns % H:
        return None
    gates = columns // H
    # Two matrices of (I, H) and (H, H) may as well be those of two dense layers.
    return "a GRU" if gates == GATES else OTHERS.get(gates) if gates > 1 else None


def _node(name: str, parts: dict[str, list[Dataset]]) -> Node:
    """A layer as a configuration would describe it, as far as the weights tell."""
    datasets = next(iter(parts.values()))
    is_old = len(datasets) == 9 and datasets[1].shape == (datasets[0].shape[1],) * 2
    has_bias = len(datasets) % 3 == 0 and (
        len(datasets[2].shape) == 1 or datasets[2].shape == (2, datasets[0].shape[1])
    )
    config = {"use_bias": has_bias}
    if len(parts) == 2:
        return Node("Bidirectional", name, {"layer": {"class_name": "GRU", "config": config}})
    cells = 1 if is_old else len(datasets) // (3 if has_bias else 2)
    return Node("RNN", name, {"cell": [{"class_name": "GRUCell", "config": config}] * cells})
