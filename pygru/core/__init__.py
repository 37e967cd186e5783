"""The compiled boundary, and the Python code that is called directly before it."""

from typing import TYPE_CHECKING

from pygru.core.submodules import submodules_of

if not TYPE_CHECKING:  # to a type checker, names that do not exist are errors
    __getattr__ = submodules_of(__name__)
