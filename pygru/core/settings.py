"""The environment variables that pygru reads, once, when it is imported.

A value that chooses what computes, and that pygru cannot follow, is an error: a program that
silently runs with other kernels than its user has asked for is hard to understand. A variable
without a value is not set.
"""

import os


class SettingError(ImportError):
    """pygru cannot be imported, because an environment variable has a wrong value."""


def setting(name: str) -> str | None:
    """The text of an environment variable without blanks around it, or None."""
    return os.environ.get(name, "").strip() or None
