"""What ``pygru predict`` says on standard error while it goes over many files."""

from __future__ import annotations

import contextlib
from typing import Any

from pygru import screen


class Progress:
    """A bar over the files on a terminal; notes stand above it, or alone elsewhere."""

    def __init__(self, total: int) -> None:
        self.count = 0
        self.bar: Any = None
        if screen.on_terminal():
            self.bar = screen.new_bar(total=total, unit="file", leave=False)

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
        if not text:
            return
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            if self.bar is not None:
                self.bar.clear()
        screen.write(text)
