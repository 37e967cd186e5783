"""The order of the layers of a Keras model, if each reads the output of the one before."""

from __future__ import annotations

from typing import Any

from pygru.io.keras.functions import Unsupported
from pygru.io.keras.nodes import SEQUENTIAL, WRAPPER, Node

INPUT = "InputLayer"
FUNCTIONAL = ("Functional", "Model")


def chain_of(tree: Node) -> list[Node]:
    """Return the layers of a model in the order in which they run, without its inputs.

    Models in models are replaced by their layers.

    Raises
    ------
    Unsupported
        If the layers are no chain; the text says why.
    """
    if not tree.is_model:
        raise Unsupported(f"the layers of a {tree.kind} are not listed in its configuration")
    if tree.kind not in (SEQUENTIAL, *FUNCTIONAL):
        # Such a class may have a call of its own.
        raise Unsupported(f"{tree.name!r} is a model of class {tree.kind}")
    children = list(tree.children) if tree.kind == SEQUENTIAL else _in_order(tree)
    layers: list[Node] = []
    for child in children:
        if child.kind == WRAPPER and child.children:
            raise Unsupported(f"{child.name!r} is a {WRAPPER} of a whole model")
        if child.is_model:
            layers += chain_of(child)
        elif child.kind != INPUT:
            layers.append(child)
    return layers


def _in_order(model: Node) -> list[Node]:
    """The layers of a functional model, from its output back to its only input."""
    masks, operations = _masks(model)
    by_name = {each.name: each for each in model.children if each.name not in operations}
    outputs = _outputs(model.config.get("output_layers"))
    if len(outputs) != 1:
        raise Unsupported(f"{model.name!r} has {len(outputs)} outputs")
    name = outputs[0]
    order: list[Node] = []
    while True:
        node = by_name.pop(name, None)
        if node is None:
            raise Unsupported(f"the layer {name[:80]!r} is called more than once")
        order.append(node)
        if node.kind == INPUT:
            break
        name = _before(node, masks)
    if by_name:
        raise Unsupported(f"{next(iter(by_name))!r} is beside the chain of the other layers")
    return order[::-1]


def _outputs(value: Any) -> list[str]:
    """The names in ``output_layers``: ``[name, 0, 0]``, or a list of such lists."""
    if not isinstance(value, list):
        return []
    entries = [value] if value and isinstance(value[0], str) else value
    return [entry[0] for entry in entries if _is_reference(entry)]


def _masks(model: Node) -> tuple[set[str], set[str]]:
    """The operations whose results are masks, and all that compute these masks.

    New versions of Keras 3 write down how an Embedding and a Masking make their masks, as
    operations beside the layers. Only those are taken that compute exactly this.
    """
    masks: set[str] = set()
    operations: set[str] = set()
    compared = {}
    for node in model.children:
        arguments = _arguments(node)
        if node.kind == "NotEqual" and len(arguments) == 2:
            compared[node.name] = _referred(arguments[0]), arguments[1]
    for node in model.children:
        if node.kind == "Embedding" and node.config.get("mask_zero") is True:
            wanted = _referred(*_arguments(node)[:1]), 0
            masks |= {name for name, each in compared.items() if each == wanted}
        elif node.kind == "Masking":
            wanted = _referred(*_arguments(node)[:1]), node.config.get("mask_value", 0.0)
            for other in model.children:
                source = _referred(*_arguments(other)[:1])
                is_any = other.kind == "Any" and other.config.get("axis") in (-1, [-1])
                if is_any and source is not None and compared.get(source) == wanted:
                    masks.add(other.name)
                    operations.add(source)
    return masks, operations | masks


def _arguments(node: Node) -> list[Any]:
    """The arguments of the only call of a layer in Keras 3."""
    call = node.inbound[0] if len(node.inbound) == 1 else None
    return _listed(call.get("args")) if isinstance(call, dict) else []


def _before(node: Node, masks: set[str]) -> str:
    """The name of the only layer whose output a layer reads, beside one of these masks."""
    if len(node.inbound) != 1:
        raise Unsupported(f"the layer {node.name!r} is called {len(node.inbound)} times")
    call = node.inbound[0]
    if isinstance(call, dict):  # Keras 3
        given = _listed(call.get("args"))
        given = given[0] if len(given) == 1 and isinstance(given[0], list) else given
        arguments = [_referred(each) for each in given]
        more = call.get("kwargs")
        more = more if isinstance(more, dict) else {}
    else:  # [[name, node, tensor, arguments]] in Keras 1 and 2
        entries = [entry for entry in _listed(call) if _is_reference(entry)]
        arguments = [entry[0] for entry in entries]
        more = {}
        for entry in entries:
            more |= entry[3] if len(entry) > 3 and isinstance(entry[3], dict) else {}
    if len(arguments) != 1 or arguments[0] is None:
        count = len(arguments)
        raise Unsupported(f"the layer {node.name!r} has {count} input{'s' * (count != 1)}")
    for name, value in more.items():
        is_mask = name == "mask" and _referred(value) in masks
        if value is not None and not isinstance(value, bool) and not is_mask:
            raise Unsupported(f"the layer {node.name!r} is called with {name[:80]}=")
    return str(arguments[0])


def _referred(value: Any = None) -> str | None:
    """The layer whose output an argument of Keras 3 is."""
    config = value.get("config") if isinstance(value, dict) else None
    history: Any = config.get("keras_history") if isinstance(config, dict) else None
    return str(history[0]) if history and _is_reference(history) else None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_reference(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], str)
