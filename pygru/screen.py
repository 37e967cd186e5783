"""Where long work can show how far it is: a bar on a terminal or in a notebook, else lines.

Everything here is for people to read. What cannot be shown, because nobody reads standard error
any more, is never an error.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any


def on_terminal() -> bool:
    """Whether standard error is a terminal."""
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:  # it is closed
        return False


def in_kernel() -> bool:
    """Whether a Jupyter kernel runs this code, so that its output appears in a notebook."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if hasattr(ipython, "get_ipython") else None
    return getattr(shell, "kernel", None) is not None


def takes_bars() -> bool:
    """Whether a bar can be drawn: on a terminal or in a notebook."""
    return in_kernel() or on_terminal()


def new_bar(**options: Any) -> Any:
    """Return a bar of tqdm: a widget where the notebook has widgets, otherwise text."""
    with warnings.catch_warnings():
        # tqdm warns where there are no widgets; its text serves there.
        warnings.simplefilter("ignore")
        # Imported here because most calls of pygru show nothing.
        from tqdm.auto import tqdm
    # A notebook shows standard error as if it were an error.
    return tqdm(file=sys.stdout if in_kernel() else sys.stderr, **options)


def write(text: str) -> bool:
    """Write to standard error; return whether that was possible."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):  # nobody reads it, or it is closed
        return False
    return True
