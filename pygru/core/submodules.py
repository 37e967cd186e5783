"""Submodules that are imported when they are used first, as in ``pygru.nn.losses``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType


def submodules_of(package: str) -> Callable[[str], ModuleType]:
    """Return the function ``__getattr__`` of a package, which imports its submodules.

    ``import pygru`` loads few of them, and nobody should have to know which.
    """

    def submodule(name: str) -> ModuleType:
        full = f"{package}.{name}"
        if name.isidentifier() and not name.startswith("__"):
            try:
                return importlib.import_module(full)
            except ModuleNotFoundError as error:
                if error.name != full:  # the submodule itself needs something that is missing
                    raise
        raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name)

    return submodule
