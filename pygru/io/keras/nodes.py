"""The layers that a Keras model's configuration lists, as a tree that is checked once.

The configuration is JSON of unknown origin, written by versions 1 to 3 of Keras, which differ.
Nothing here knows about weights; see :mod:`pygru.io.keras.weights`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pygru.errors import FormatError

DEEPEST = 30  # models in models
MOST_LAYERS = 100_000
SEQUENTIAL = "Sequential"
WRAPPER = "TimeDistributed"  # of another layer, which may be a model
#: The packages whose classes are those of Keras itself.
PACKAGES = ("keras", "tf_keras", "tensorflow")
#: What stands after the name of a class of somebody else, which may have any name.
NOT_KERAS = " (not of Keras)"


@dataclass(frozen=True)
class Node:
    """A layer or a model in a configuration.

    Attributes
    ----------
    kind : str
        The name of its class, as :func:`class_of` returns it.
    name : str
        Its own name, such as ``"gru_7"``.
    config : dict
        The arguments of its constructor.
    trail : tuple of str
        Its name after the names of the models around it, without the outermost.
    path : str
        Where Keras 3 keeps its weights, such as ``"layers/gru"``; it is made of the names of
        the classes, and not of those of the layers.
    inbound : list
        The calls of the layer in a functional model, as they stand there.
    children : tuple of Node
        The layers of a model; the model in a wrapper.
    """

    kind: str
    name: str
    config: Mapping[str, Any]
    trail: tuple[str, ...] = ()
    path: str = ""
    inbound: list[Any] = field(default_factory=list)
    children: tuple[Node, ...] = ()

    @property
    def is_model(self) -> bool:
        """Whether it is a model of layers that the configuration lists."""
        return bool(self.children) and self.kind != WRAPPER

    def leaves(self) -> list[Node]:
        """Return the layers in it that are no models, or itself if it is none."""
        if not self.children:
            return [self]
        return [leaf for child in self.children for leaf in child.leaves()]


def tree_of(description: object) -> Node:
    """Return the model that a configuration describes.

    Raises
    ------
    FormatError
        If it is no configuration of Keras.
    """
    return _node(description, (), "", [0], 0)


def _node(
    description: object, above: tuple[str, ...], path: str, count: list[int], depth: int
) -> Node:
    count[0] += 1
    if depth > DEEPEST or count[0] > MOST_LAYERS:
        raise FormatError("the configuration of the Keras model is too deep or too long")
    entry = mapping("the configuration", description)
    kind = class_of(entry)
    config = entry.get("config", {})
    # Until Keras 2.2 the configuration of a Sequential was the list of its layers.
    layers = config if isinstance(config, list) else mapping("config", config).get("layers")
    config = {} if isinstance(config, list) else config
    name = config.get("name", entry.get("name", entry["class_name"]))
    name = text("name", name)
    trail = (*above, name) if path else ()
    inbound = entry.get("inbound_nodes", [])
    children: list[Node] = []
    if isinstance(layers, list) and all(isinstance(layer, dict) for layer in layers):
        prefix = f"{path}/layers" if path else "layers"
        children = _children(layers, trail, prefix, count, depth, kind == SEQUENTIAL)
    elif kind == WRAPPER:
        inner = _node(config.get("layer"), trail, f"{path}/layer", count, depth + 1)
        children = [inner] if inner.children else []
    inbound = inbound if isinstance(inbound, list) else []
    return Node(kind, name, config, trail, path, inbound, tuple(children))


def _children(
    layers: list[Any],
    trail: tuple[str, ...],
    prefix: str,
    count: list[int],
    depth: int,
    is_sequential: bool,
) -> list[Node]:
    """The layers of a model, each with the path that Keras gives to the class at its place."""
    used: dict[str, int] = {}
    children = []
    for index, layer in enumerate(layers):
        kind = text("class_name", layer.get("class_name"))
        # A Sequential does not count its InputLayer, and an operation is no layer.
        is_counted = not (
            (is_sequential and index == 0 and kind == "InputLayer")
            or ".ops." in str(layer.get("module", ""))
        )
        base = snake_case(kind)
        path = f"{prefix}/{base}"
        if is_counted:
            path += f"_{used[base]}" if base in used else ""
            used[base] = used.get(base, 0) + 1
        children.append(_node(layer, trail, path, count, depth + 1))
    return children


def class_of(entry: Mapping[str, Any]) -> str:
    """Return the name of the class that a configuration names.

    If it says that the class is none of Keras, :data:`NOT_KERAS` stands after the name, so that
    a class of somebody else is never taken for the one of Keras with the same name. Old
    versions of Keras say it of registered classes only, by a ``>`` in the name.

    Raises
    ------
    FormatError
        If there is no such name.

    Examples
    --------
    >>> from pygru.io.keras.nodes import class_of
    >>> class_of({"class_name": "GRU", "module": "keras.layers"})
    'GRU'
    >>> class_of({"class_name": "GRU", "module": None, "registered_name": "mine>GRU"})
    'mine>GRU (not of Keras)'
    """
    kind = text("class_name", entry.get("class_name"))
    if "module" not in entry:
        return f"{kind}{NOT_KERAS}" if ">" in kind else kind
    module = entry["module"]
    if isinstance(module, str) and module.split(".")[0] in PACKAGES:
        return kind
    registered = entry.get("registered_name")
    return f"{registered if isinstance(registered, str) else kind}{NOT_KERAS}"


def snake_case(name: str) -> str:
    """Return the name of a class as Keras makes paths of it.

    Examples
    --------
    >>> from pygru.io.keras.nodes import snake_case
    >>> snake_case("GRU"), snake_case("TimeDistributed"), snake_case("GlobalMaxPooling1D")
    ('gru', 'time_distributed', 'global_max_pooling1d')
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def mapping(what: str, value: object) -> Mapping[str, Any]:
    """Return ``value`` if it is a JSON object, or raise FormatError."""
    if not isinstance(value, dict):
        raise FormatError(f"{what} of a Keras model must be an object, got {kind_of(value)}")
    return value


def text(what: str, value: object) -> str:
    """Return ``value`` if it is a text, or raise FormatError."""
    if not isinstance(value, str):
        raise FormatError(f"{what} in a Keras model must be a text, got {kind_of(value)}")
    return value


def kind_of(value: object) -> str:
    """Return the name of the type of a JSON value."""
    return "null" if value is None else type(value).__name__
