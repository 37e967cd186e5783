"""Finds a target by its name: one of the built-in ones, or ``module:function``."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

from pygru.conformance.answers import Target

#: The built-in targets: what they are, and the packages that they need.
BUILT_IN = {
    "torch": ("torch.nn.GRU", ("torch",)),
    "keras": ("keras.layers.GRU, with the backend torch or jax", ("keras",)),
    "onnxruntime": ("the operator GRU in ONNX Runtime", ("onnxruntime", "onnx")),
    "pygru": ("pygru.GRU", ()),
}


class TargetError(ValueError):
    """A target cannot be found by its name; the message says why."""


class Found(NamedTuple):
    """A target: its name, what it is, and the function."""

    name: str
    about: str
    run: Target


def find_target(target: Target | str) -> Found:
    """Return the target of a name, or of a function."""
    if isinstance(target, str):
        return _built_in(target) if ":" not in target else _of_user(target)
    if not callable(target):
        raise TypeError(f"target must be a function or a str, got {type(target).__name__}")
    name = getattr(target, "__name__", type(target).__name__)
    return Found(name, "a function", target)


def missing_packages(name: str) -> list[str]:
    """Return the packages of a built-in target that are not installed."""
    return [each for each in BUILT_IN[name][1] if importlib.util.find_spec(each) is None]


def _built_in(name: str) -> Found:
    if name not in BUILT_IN:
        near = difflib.get_close_matches(name, BUILT_IN, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise TargetError(
            f"unknown target {name!r}; the built-in ones are {', '.join(BUILT_IN)}, and a "
            f"function of your own is named module:function.{hint}"
        )
    missing = missing_packages(name)
    if missing:
        raise TargetError(
            f"the target {name!r} needs {' and '.join(missing)}, not installed here"
        )
    module = importlib.import_module(f"pygru.conformance.targets.{name}_target")
    return Found(name, module.about(), module.run)


def _of_user(name: str) -> Found:
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute or module_name.startswith("."):
        raise TargetError(f"a target is named module:function, got {name!r}")
    module = _imported(module_name)
    function: Any = module
    for part in attribute.split("."):
        if not hasattr(function, part):
            raise TargetError(f"module {module_name!r} has no function {attribute!r}")
        function = getattr(function, part)
    if not callable(function):
        kind = type(function).__name__
        raise TargetError(f"{name} must be a function, it is of type {kind}")
    run: Callable[..., Any] = function
    return Found(name, "a function", run)


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise TargetError(
                f"there is no module {name!r} in this folder or on the path of Python"
            ) from None
        raise TargetError(
            f"module {name!r} needs {error.name!r}, not installed here"
        ) from error
    except Exception as error:
        raise TargetError(
            f"module {name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
