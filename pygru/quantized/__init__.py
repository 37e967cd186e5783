"""GRUs with weights of 8 bits, for inference: parameters, classes, and what they cost."""

from typing import TYPE_CHECKING

from pygru.core.submodules import submodules_of

if not TYPE_CHECKING:  # to a type checker, names that do not exist are errors
    __getattr__ = submodules_of(__name__)
