"""Goes over the files of ``pygru predict``: notes, errors, and what Ctrl-C leaves."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from pygru.commands.errors import CommandError, InterruptedRun
from pygru.commands.predict_progress import Progress
from pygru.commands.predict_workers import outcomes


class FileError(Exception):
    """The traceback of an error, as text; ``--debug`` shows it as the cause."""


def go_over(
    function: Callable[[str], Any],
    paths: Sequence[str],
    options: argparse.Namespace,
    keep: Callable[[str, Any], None],
    left: str,
) -> int:
    """Call ``function(path)`` for each file; return how many were skipped.

    Parameters
    ----------
    function : callable
        It runs in ``options.workers`` processes.
    paths : sequence of str
    options : Namespace
        Those of ``pygru predict``.
    keep : callable
        ``keep(path, value)`` takes each result, in the order of the files. A CommandError that
        it raises is an error of the file.
    left : str
        What is there after an interrupt, such as ``"nothing was written"``.

    Raises
    ------
    CommandError
        The first error of a file, unless ``options.skip_errors``.
    InterruptedRun
        After Ctrl-C.
    """
    skipped = 0
    with Progress(len(paths)) as progress:
        try:
            results = outcomes(function, paths, options.workers, progress.advance)
            with contextlib.closing(results):
                for outcome in results:
                    progress.say(outcome.said)
                    try:
                        if outcome.error is not None:
                            raise CommandError(outcome.error) from FileError(outcome.trace)
                        keep(outcome.path, outcome.value)
                    except CommandError as error:
                        if not options.skip_errors:
                            raise
                        skipped += 1
                        progress.say(f"skipped: {error}\n")
        except KeyboardInterrupt:
            text = f"interrupted after {progress.count} of {len(paths)} files; {left}"
            raise InterruptedRun(text) from None
    return skipped
