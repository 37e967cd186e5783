"""Training: optimisers, the trainer, its callbacks and its history.

The public names are those of :mod:`pygru`; as in ``pygru.train.OptunaPruning``, the names that
belong to training can be read here too.
"""

from typing import Any

from pygru.core.submodules import submodules_of


def __getattr__(name: str) -> Any:
    """A public name of pygru that is defined in this package, or a submodule."""
    import pygru

    value = getattr(pygru, name, None) if name in pygru.__all__ else None
    if getattr(value, "__module__", "").startswith(f"{__name__}."):
        return value
    return submodules_of(__name__)(name)
