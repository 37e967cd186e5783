"""The activations of Keras inside a GRU, by their names in a configuration."""

from __future__ import annotations

from typing import Any

#: Those that have the same meaning in every version of Keras, by Keras' names.
PLAIN = ("tanh", "sigmoid", "relu", "linear", "softsign")
#: The slope and the offset of hard_sigmoid in Keras 1 and 2, and in Keras 3.
OLD_HARD_SIGMOID = ("hard_sigmoid", 0.2, 0.5)
NEW_HARD_SIGMOID = ("hard_sigmoid", 1 / 6, 0.5)


class Unsupported(ValueError):
    """A layer that pygru does not have, or not with these arguments; the text says why."""


def cell_activation(value: Any, version: int | None) -> str | tuple[str, float, float] | None:
    """Return an activation of a cell as pygru has it; None if it cannot be known.

    Parameters
    ----------
    value
        What the configuration says: a name, None for no function, or an object.
    version : int or None
        The major version of Keras that has written it, if the file says it.

    Raises
    ------
    Unsupported
        If pygru does not have it.
    """
    name = activation_name(value)
    if name in PLAIN:
        return name
    if name == "hard_sigmoid":
        if version is None:
            return None
        return NEW_HARD_SIGMOID if version >= 3 else OLD_HARD_SIGMOID
    raise Unsupported(
        f"the activation {name!r}; a GRU of pygru can have {', '.join(PLAIN)} and hard_sigmoid"
    )


def activation_name(value: Any) -> str:
    """Return the name of an activation in a configuration.

    Raises
    ------
    Unsupported
        If it is no function of Keras itself.
    """
    if value is None:
        return "linear"
    if isinstance(value, str):
        return value
    inner = value.get("config") if isinstance(value, dict) else None
    name = inner if isinstance(inner, str) else None
    if name is None and isinstance(value, dict):
        name = str(value.get("class_name"))
    raise Unsupported(f"the activation {str(name)[:80]!r}, which is not one of Keras' own")
