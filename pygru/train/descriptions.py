"""Descriptions of how a trainer was made, which are the same text in every process.

A checkpoint stores these descriptions, and training resumes only if they are equal. Only
``properties_of`` makes text for people.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from pygru.io.native import frozen_in

LONGEST_LIST = 16  # elements of an array which a description lists; longer ones are hashed


def describe_function(function: Any) -> str:
    """Describe a function: its name, and the values it was made with if these are visible.

    A ``repr`` may contain an address, which differs between processes. So it is not used for
    functions, and for objects that inherit Python's own ``repr``.
    """
    if isinstance(function, functools.partial):
        positional = [_describe_value(value) for value in function.args]
        named = [f"{name}={_describe_value(v)}" for name, v in function.keywords.items()]
        return f"{describe_function(function.func)}({', '.join([*positional, *named])})"
    if getattr(type(function), "has_stable_repr", False):  # a schedule of pygru
        return repr(function)
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name)


def _describe_value(value: Any) -> str:
    """A value that a function was made with."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_describe_value(each) for each in value)}]"
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        if value.size > LONGEST_LIST:
            digest = hashlib.sha256(value.tobytes()).hexdigest()[:16]
            return f"array of shape {value.shape} with SHA-256 {digest}"
        return repr(value.tolist())
    if isinstance(value, np.generic):
        return repr(value.item())
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    return describe_function(value)


def properties_of(trainer: Any) -> list[tuple[str, str]]:
    """Names and texts that say how a trainer was made and how far it is."""
    callbacks = ", ".join(type(callback).__name__ for callback in trainer.callbacks)
    metrics = ", ".join(metric.name for metric in trainer.metrics)
    properties = [
        ("loss", describe_function(trainer.loss)),
        ("metrics", f"[{metrics}]" if metrics else ""),
        ("optimizer", repr(trainer.optimizer)),
        ("clip_norm", "" if trainer.clip_norm is None else repr(trainer.clip_norm)),
        ("callbacks", f"[{callbacks}]" if callbacks else ""),
        ("epochs_trained", str(len(trainer.history))),
    ]
    return [(name, text) for name, text in properties if text]


def describe_optimizer(optimizer: Any) -> dict[str, Any]:
    """Describe an optimiser: class, settings, and the schedule if there is one."""
    rate = optimizer.learning_rate
    return {
        "class": type(optimizer).__name__,
        **optimizer.get_config(),
        "learning_rate": describe_function(rate) if callable(rate) else "a number",
    }


def refuse_difference(what: str, saved: Any, own: Any) -> None:
    """Raise ValueError if two descriptions differ, and name the first place where they do."""
    place = first_difference(saved, own)
    if place is not None:
        raise ValueError(f"the checkpoint is of another {what}: {place}")


def refuse_frozen(saved: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raise ValueError if two descriptions of models do not have the same frozen layers."""
    names = [", ".join(frozen_in(each)) or "no layers" for each in (saved, own)]
    if frozen_in(saved) != frozen_in(own):
        raise ValueError(
            f"the checkpoint is of a model in which {names[0]} were frozen, but here "
            f"{names[1]} are; set layer.trainable as it was"
        )


def first_difference(
    one: Any, other: Any, path: str = "", where: tuple[str, str] = ("in the checkpoint", "here")
) -> str | None:
    """Return in words where two JSON values differ; None if they do not.

    ``path`` is a name for both values, and ``where`` says where each of them is.
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        inner = [
            (one.get(key), other.get(key), path if key == "config" else f"{path}.{key}")
            for key in dict.fromkeys([*one, *other])
        ]
    elif isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            name = path.strip(".")
            return f"{len(one)} {name} {where[0]}, {len(other)} {where[1]}"
        inner = [
            (each, beside, f"{path}[{index}]")
            for index, (each, beside) in enumerate(zip(one, other, strict=True))
        ]
    elif one == other:
        return None
    else:
        return f"{path.strip('.') or 'it'} is {one} {where[0]}, {other} {where[1]}"
    places = (first_difference(*item, where) for item in inner)
    return next((place for place in places if place is not None), None)
