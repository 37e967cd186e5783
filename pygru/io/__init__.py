"""Model files: pygru's own, and those that PyTorch, Keras and ONNX have written.

Nothing in a file is guessed, no framework is imported to read one, and no code in it is run.

>>> import pygru
>>> pygru.io.to_variant(pygru.GRU(2, 3, seed=0), "cho")
GRU(2, 3, variant='cho', dtype='float32')
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pygru.core.submodules import submodules_of

if TYPE_CHECKING:
    from pygru.io.found import FoundGRU
    from pygru.io.inspection import inspect, read_arrays
    from pygru.io.variants import to_variant

__all__ = ["FoundGRU", "inspect", "read_arrays", "to_variant"]

# Where the public names are. A module is imported when one of its names is used first, because
# most programs read no file of another library.
HOMES = {
    "FoundGRU": "pygru.io.found",
    "inspect": "pygru.io.inspection",
    "read_arrays": "pygru.io.inspection",
    "to_variant": "pygru.io.variants",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        return submodules_of(__name__)(name)
    return getattr(importlib.import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
