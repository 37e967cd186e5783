"""Standard output whose reader may end before the program, as in ``pygru train | head``."""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO


def give_up_output() -> None:
    """Write nothing more to standard output, also not at exit, where it would be an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class ReportStream:
    """A stream for a report that nobody needs to read: the run goes on without a reader."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write the text, or drop it if the reader has ended."""
        try:
            return self.stream.write(text)
        except BrokenPipeError:
            give_up_output()
            return len(text)

    def flush(self) -> None:
        """Flush the stream, unless the reader has ended."""
        try:
            self.stream.flush()
        except BrokenPipeError:
            give_up_output()
