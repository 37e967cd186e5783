"""What ``pygru predict`` says on standard error while it goes over many files."""

from __future__ import annotations

import contextlib
import sys
from typing import Any


def on_terminal() -> bool:
    """Whether somebody watches standard error."""
    with contextlib.suppress(ValueError):  # it is closed
        return sys.stderr is not None and sys.stderr.isatty()
    return False


class Progress:
    """A bar over the files on a terminal; notes stand above it, or alone elsewhere."""

    def __init__(self, total: int) -> None:
        self.count = 0
        self.bar: Any = None
        if on_terminal():
            from tqdm import tqdm

            self.bar = tqdm(total=total, unit="file", leave=False, file=sys.stderr)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def advance(self) -> None:
        """One more file is done."""
        self.count += 1
        if self.bar is not None:
            self.bar.update()

    def say(self, text: str) -> None:
        """Write a note to standard error, if anybody can read it."""
        if not text or sys.stderr is None:
            return
        with contextlib.suppress(OSError, ValueError):
            if self.bar is not None:
                self.bar.clear()
            sys.stderr.write(text)
            sys.stderr.flush()
