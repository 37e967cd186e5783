"""Layers and models of Keras that are in memory; Keras itself is not imported here."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from pygru.io.hdf5.file import from_bfloat16
from pygru.io.keras.grus import Version
from pygru.io.keras.nodes import Node, tree_of
from pygru.io.keras.weights import Arrays

MODULES = ("keras", "tf_keras")


def keras_package(value: object) -> str | None:
    """Return the package of Keras whose layer or model an object is, or None.

    Examples
    --------
    >>> from pygru.io.keras.live import keras_package
    >>> keras_package("model.keras") is None
    True
    """
    if isinstance(value, type) or not hasattr(value, "get_weights"):
        return None
    for cls in type(value).__mro__:
        module = cls.__module__
        if module.split(".")[0] in MODULES:
            return module.split(".")[0]
        if module.startswith("tensorflow.python.keras"):
            return "tensorflow.python.keras"
    return None


def live_version(package: str) -> Version:
    """Return the version of the Keras whose objects are in memory."""
    text = getattr(sys.modules.get(package), "__version__", None)
    return Version(text if isinstance(text, str) else None)


def live_tree(source: Any) -> Node:
    """Return a layer or a model of Keras as a configuration in a file would describe it.

    A layer is the only one in a model. Where a model cannot say how its layers are connected,
    they are listed, and make no chain.
    """
    listed = getattr(source, "layers", None)
    if not isinstance(listed, list):
        config = {"name": "", "layers": [_of_layer(source)]}
        return tree_of(_description("Sequential", "keras", config))
    try:
        tree = tree_of(_of_layer(source))
    except NotImplementedError:  # a class of the user's
        tree = None
    if tree is None or not tree.is_model:
        layers = [_of_layer(layer) for layer in listed]
        kind, module = type(source).__name__, type(source).__module__
        tree = tree_of(_description(kind, module, {"layers": layers}))
    return tree


def _of_layer(layer: Any) -> dict[str, Any]:
    return _description(type(layer).__name__, type(layer).__module__, layer.get_config())


def _description(kind: str, module: str, config: Mapping[str, Any]) -> dict[str, Any]:
    # Through JSON, so that it has the types of a configuration in a file.
    text = json.dumps({"class_name": kind, "module": module, "config": config}, default=str)
    description: dict[str, Any] = json.loads(text)
    return description


class LiveWeights:
    """The weights of layers that are in memory.

    Parameters
    ----------
    source
        A layer or a model of Keras.
    """

    def __init__(self, source: Any) -> None:
        self.source = source

    def of(self, node: Node, part: str = "") -> Arrays:
        """Return copies of the weights of a layer, or of a direction of it.

        Raises
        ------
        ValueError
            If the layer has no weights yet.
        """
        layer = self._layer(node)
        if part:
            layer = getattr(layer, part)
        if not getattr(layer, "built", True):
            raise ValueError(f"the layer {node.name!r} has no weights yet; call it once")
        return [_plain(np.array(weight)) for weight in layer.get_weights()]

    def _layer(self, node: Node) -> Any:
        found = self.source
        if not isinstance(getattr(found, "layers", None), list):
            return found
        for name in node.trail:
            inner = getattr(found, "layers", None)
            candidates = inner if isinstance(inner, list) else [found.layer]
            named = list({id(each): each for each in candidates if each.name == name}.values())
            if len(named) > 1:
                raise ValueError(
                    f"the model has {len(named)} layers named {name!r}; pass one of these "
                    "layers to from_keras instead of the model, or give each its own name"
                )
            (found,) = named
        return found


def _plain(weight: Any) -> Any:
    """A weight in a dtype of NumPy itself."""
    return from_bfloat16(weight.view("u2")) if weight.dtype.name == "bfloat16" else weight
