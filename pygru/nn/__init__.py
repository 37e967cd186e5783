"""Layers beside the GRU, losses and initial weights."""

from typing import TYPE_CHECKING

from pygru.core.submodules import submodules_of

if not TYPE_CHECKING:  # to a type checker, names that do not exist are errors
    __getattr__ = submodules_of(__name__)
