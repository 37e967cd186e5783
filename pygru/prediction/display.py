"""Shows how far a prediction is, as training does: a bar on a terminal, elsewhere lines."""

from __future__ import annotations

import multiprocessing
import sys
import time
from typing import Any

from pygru import screen
from pygru.train.progress import PAUSE

#: Lines that a whole run writes where there is no terminal, at most.
LINES = 10
#: Seconds in which nothing is shown, so that short runs show nothing at all.
QUIET = 1.0


class Display:
    """A bar over the sequences.

    Parameters
    ----------
    count : int or None
        How many there are, if it is known.
    first : int
        How many were done before.
    shown : bool or None
        Whether anything is shown; None means not in worker processes.
    """

    def __init__(self, count: int | None, first: int, shown: bool | None) -> None:
        if shown is None:
            shown = multiprocessing.parent_process() is None
        self._count = count
        self._first = self._done = self._told = first
        self._began = time.monotonic()
        self._bar: Any = None
        self._writes = False
        if not shown or sys.stderr is None:
            return
        if screen.takes_bars():
            self._bar = screen.new_bar(
                total=count, initial=first, unit="sequence", delay=QUIET, mininterval=PAUSE
            )
        else:
            self._writes = True

    def update(self, done: int) -> None:
        """Show that so many sequences are done."""
        if self._bar is not None:
            self._bar.update(done - self._done)
        self._done = done
        if self._writes and self._is_time():
            self._write()

    def _is_time(self) -> bool:
        """Whether a tenth more is done, or twice as much where the whole is not known."""
        if time.monotonic() - self._began < QUIET:
            return False
        if self._count is None:
            return self._done >= 2 * self._told
        step = self._count / LINES
        return self._done // step > self._told // step

    def _write(self) -> None:
        rate = (self._done - self._first) / max(time.monotonic() - self._began, 1e-9)
        whole = "" if self._count is None else f"/{self._count}"
        self._told = max(1, self._done)
        self._writes = screen.write(
            f"predicted {self._done}{whole} sequences, {rate:.0f} sequences/s\n"
        )

    def close(self) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
