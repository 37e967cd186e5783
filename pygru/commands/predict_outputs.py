"""Where the predictions of a model that is no forecaster go: a file for each file of data.

Everything is checked before the first prediction. ``{}`` in ``--output`` stands for the name of
the file of data without its ending.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pygru.commands.errors import CommandError, UsageError
from pygru.commands.predict_files import STDIN, TABLES
from pygru.commands.predict_results import STDOUT, TEXT, check_folder, write
from pygru.prediction.chunked import ARRAYS, FILES
from pygru.prediction.record import folder_of

if TYPE_CHECKING:
    import pandas as pd

PLACE = "{}"


@dataclass(frozen=True)
class Output:
    """A file of predictions; ``is_text`` says that it is CSV, which is made in memory."""

    path: str
    is_text: bool

    def write(self, frame: pd.DataFrame) -> None:
        """Write predictions as CSV."""
        write(self.path, frame)

    def is_older_than(self, *read: str) -> bool:
        """Whether something that it was made from has changed since."""
        made = _changed(self.path)
        return any(_changed(path) > made for path in read if os.path.exists(path))

    def is_unfinished(self) -> bool:
        """Whether a run has left what ``--resume`` continues."""
        return not self.is_text and os.path.exists(folder_of(self.path))


class Outputs:
    """The outputs of all files of data.

    Parameters
    ----------
    options : Namespace
        Those of ``pygru predict``.
    paths : sequence of str
        The files of data.
    is_many : bool
        Whether there may be several.

    Raises
    ------
    CommandError
        If an output exists, or is unfinished, and no option says what to do with it.
    UsageError
        If the name of the outputs does not fit.
    OSError
        If the folder of an output does not exist.
    """

    def __init__(
        self, options: argparse.Namespace, paths: Sequence[str], is_many: bool
    ) -> None:
        pattern = options.output
        suffix = os.path.splitext(pattern)[1].lower()
        is_text = pattern == STDOUT or suffix in TEXT
        if not is_text and suffix not in FILES:
            *first, last = (".csv", *FILES)
            raise UsageError(
                f"--output must end in {', '.join(first)} or {last}, got "
                f"{os.path.basename(pattern)!r}"
            )
        if is_many and PLACE not in pattern:
            raise UsageError(
                "--output must have {} for several files, such as 'out/{}.npy'; it stands for "
                "the name of each file without its ending"
            )
        if options.resume and (pattern == STDOUT or options.force):
            why = "the screen keeps nothing" if pattern == STDOUT else "--force keeps nothing"
            raise UsageError(f"--resume does not fit: {why}")
        self._of = {
            path: Output(pattern.replace(PLACE, _stem(path)), is_text) for path in paths
        }
        self._check_names(options.model)
        done = [path for path, each in self._of.items() if _is_done(each, options)]
        old = {path for path in done if self._of[path].is_older_than(path, options.model)}
        self.left = [path for path in paths if path not in done or path in old]
        if sys.stderr is not None:
            if len(done) > len(old):
                kept = len(done) - len(old)
                print(f"note: {kept} of {len(paths)} files were done before", file=sys.stderr)
            if old:
                print(
                    f"note: {len(old)} of {len(paths)} files are predicted again, because the "
                    "model or the data have changed since",
                    file=sys.stderr,
                )

    def __getitem__(self, path: str) -> Output:
        """Return the output of a file of data."""
        return self._of[path]

    def _check_names(self, model: str) -> None:
        """Raise if two outputs are one file, or if one is a file that is read."""
        read = {os.path.realpath(path): path for path in (model, *self._of) if path != STDIN}
        written: dict[str, str] = {}
        for path, output in self._of.items():
            if output.path == STDOUT:
                continue
            name = os.path.realpath(output.path)
            if name in written:
                raise UsageError(
                    f"--output: {written[name]} and {path} would both be written to "
                    f"{output.path}"
                )
            if name in read:
                raise UsageError(
                    f"--output must be another file than {read[name]}, which is read"
                )
            written[name] = path


def _is_done(output: Output, options: argparse.Namespace) -> bool:
    """Whether an earlier run has written an output; raise if it must not be written."""
    path = output.path
    if path == STDOUT:
        return False
    if output.is_unfinished():
        if not options.resume:
            raise CommandError(
                f"{folder_of(path)} holds an unfinished run; use --resume to continue it, or "
                "remove the folder"
            )
        return False
    if os.path.exists(path):
        if os.path.isdir(path) and not path.lower().rstrip(os.sep).endswith(".zarr"):
            raise IsADirectoryError(errno.EISDIR, "is a folder, not a file", path)
        if not (options.resume or options.force):
            raise CommandError(f"{path} exists; use --force to replace it")
        return bool(options.resume)
    check_folder(path)
    return False


def _changed(path: str) -> int:
    """When a file has changed, or anything in the folder of a Zarr array or group."""
    files = (os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
    return max(os.stat(each).st_mtime_ns for each in (path, *files))


def _stem(path: str) -> str:
    """The name of a file without its folder and its ending, which may be ``.csv.gz``."""
    name = os.path.basename(path.rstrip("/" + os.sep))
    for ending in sorted((*TABLES, *ARRAYS), key=len, reverse=True):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return os.path.splitext(name)[0]
