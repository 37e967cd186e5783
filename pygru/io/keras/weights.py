"""Where a file keeps the weights of a layer, as a list in the order of Keras' ``get_weights``.

Keras 3 (and Keras 2 in a ``.keras`` file) numbers them below a path that is made of the names
of classes. The HDF5 files of Keras 1 and 2 list them by name for each outer layer.
"""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from pygru.errors import FormatError
from pygru.io.hdf5.file import Dataset, Group
from pygru.io.keras.nodes import Node

Arrays = list[NDArray[Any]]

#: The container of layers in files of Keras 2.12 and 2.13.
OLD_CONTAINER = "_layer_checkpoint_dependencies"
MOST_PARTS = 1000  # of an attribute that is cut into parts


class Weights(Protocol):
    """What gives the weights of a layer."""

    def of(self, node: Node, part: str = "") -> Arrays:
        """Return the weights of a layer, or of a part such as ``"forward_layer"``."""
        ...


class NumberedWeights:
    """The weights in a file of Keras 3, below the paths of classes.

    Parameters
    ----------
    root : Group
        The outermost group of the file.
    """

    def __init__(self, root: Group) -> None:
        self.root = root

    def of(self, node: Node, part: str = "") -> Arrays:
        """Return the weights of a layer, or of a part of it."""
        group = self._group(node.path)
        if group is None:
            return []
        self._check_name(node, group)
        if part:
            if part not in group:
                raise FormatError(f"the weights of {node.name!r} have no {part!r}")
            inner = group[part]
            group = inner if isinstance(inner, Group) else group
        return [dataset.read() for dataset in numbered_below(group)]

    def _group(self, path: str) -> Group | None:
        for each in (path, path.replace("layers", OLD_CONTAINER)):
            try:
                found = self.root[each]
            except KeyError:
                continue
            if isinstance(found, Group):
                return found
        return None

    @staticmethod
    def _check_name(node: Node, group: Group) -> None:
        """Compare the name that newer versions of Keras write beside the weights."""
        own = group.get("vars")
        name = own.attrs.get("name") if own is not None else None
        if isinstance(name, bytes) and name.decode("utf-8", "replace") != node.name:
            raise FormatError(
                f"damaged Keras file: the weights of {node.name!r} are those of "
                f"{name.decode('utf-8', 'replace')[:80]!r}"
            )


def numbered_below(group: Group) -> list[Dataset]:
    """Return the datasets of all groups ``vars`` in a layer's group, in Keras' order.

    Of a stack of cells they come in the order of the cells, ``gru_cell`` before ``gru_cell_1``.
    """
    found = own_datasets(group)
    for key in sorted(group, key=place):
        below = group[key]
        # The generator of the dropout masks has a state, which is no weight.
        if key not in ("vars", "seed_generator") and isinstance(below, Group):
            found += numbered_below(below)
    return found


def has_names(group: Group) -> bool:
    """Whether the names of layers stand beside their weights, as in Keras 3 alone.

    Files of Keras 2.12 and later, and the first ones of Keras 3, do not have them.
    """
    own = group.get("vars")
    if isinstance(own, Group) and isinstance(own.attrs.get("name"), bytes):
        return True
    return any(
        has_names(each)
        for key, each in group.items()
        if key != "vars" and isinstance(each, Group)
    )


def own_datasets(group: Group) -> list[Dataset]:
    """Return the datasets of a layer itself, without those of the layers in it."""
    own = group.get("vars")
    if not isinstance(own, Group):
        return []
    each = [own[key] for key in sorted(own, key=_number)]
    return [dataset for dataset in each if isinstance(dataset, Dataset)]


def _number(key: str) -> int:
    return int(key) if key.isascii() and key.isdigit() and len(key) < 10 else -1


def place(key: str) -> tuple[str, int]:
    """Return what sorts ``gru_2`` before ``gru_10``."""
    base, _, last = key.rpartition("_")
    return (base, _number(last)) if base and _number(last) >= 0 else (key, 0)


class NamedWeights:
    """The weights in an HDF5 file of Keras 1 or 2, which are listed for each outer layer.

    Parameters
    ----------
    group : Group
        ``model_weights``, or the outermost group of a file of weights alone.
    """

    def __init__(self, group: Group) -> None:
        self.group = group

    def names(self) -> list[str]:
        """Return the names of the outer layers, in their order."""
        return texts(self.group.attrs, "layer_names")

    def listed(self, layer: str) -> list[tuple[str, Dataset]]:
        """Return (name, dataset) of all weights of an outer layer, in Keras' order."""
        try:
            group = self.group[layer]
        except KeyError:
            raise FormatError(f"damaged Keras file: it has no weights of {layer!r}") from None
        if not isinstance(group, Group):
            raise FormatError(f"damaged Keras file: {layer[:80]!r} is no group")
        found = []
        for name in texts(group.attrs, "weight_names"):
            try:
                dataset = group[name]
            except KeyError:
                raise FormatError(
                    f"damaged Keras file: {layer!r} lists {name[:80]!r}, which is not there"
                ) from None
            if not isinstance(dataset, Dataset):
                raise FormatError(f"damaged Keras file: {name[:80]!r} is no array")
            found.append((name, dataset))
        return found

    def of(self, node: Node, part: str = "") -> Arrays:
        """Return the weights of a layer, or one half of them for a direction of it."""
        if not node.trail or node.trail[0] not in self.group:
            return []
        listed = self.listed(node.trail[0])
        if len(node.trail) > 1:
            listed = [(name, each) for name, each in listed if _belongs(name, node)]
        if part:
            if len(listed) % 2:
                raise FormatError(
                    f"{node.name!r} has {len(listed)} weights, not equally many in both "
                    "directions"
                )
            half = len(listed) // 2
            listed = listed[:half] if part == "forward_layer" else listed[half:]
        return [dataset.read() for _, dataset in listed]


def _belongs(weight: str, node: Node) -> bool:
    """Whether the name of a weight of an outer model is that of an inner layer."""
    return node.name in weight.split("/")[:-1]


def texts(attributes: dict[str, Any], name: str) -> list[str]:
    """Return a list of texts, which may be cut into attributes ``name0``, ``name1`` and so on.

    Raises
    ------
    FormatError
        If there is none.
    """
    if name in attributes:
        parts = [attributes[name]]
    else:
        keys = [f"{name}{index}" for index in range(MOST_PARTS)]
        parts = [attributes[key] for key in keys if key in attributes]
        if not parts:
            raise FormatError(f"damaged Keras file: a group has no {name!r}")
    found: list[str] = []
    for part in parts:
        # An empty list stands there as an empty array of numbers.
        each = part if isinstance(part, list) else []
        found += [item.decode("utf-8", "replace") for item in each if isinstance(item, bytes)]
    return found
