"""Remembers how far a run is, so that it continues after it was killed.

The record is a small file in JSON, written atomically after the results that it counts are on
the disk. It is in a folder beside the output, ``<output>.unfinished``, together with the part
of the output that is there. The folder is removed when the run is complete.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pygru.core import validation
from pygru.io.files import write_atomically
from pygru.prediction import checksums
from pygru.prediction.hashes import Fingerprint, difference

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: Seconds between two records, at least and at most, and as a share of the time of the run.
#: After a kill, the work of so long is done again.
PAUSE, LONGEST_PAUSE, SHARE = 0.5, 60.0, 0.01
#: What is added to the name of an output.
ENDING = ".unfinished"
FILE = "progress.json"

#: What each value of a record is called in messages.
MEANINGS = {
    "model": "another model",
    "source": "other data",
    "method": "another method",
    "output": "another kind of output",
    "version": "another version of pygru",
}


class Record:
    """How far a run is.

    Parameters
    ----------
    folder : path-like
        Where the record is kept, and also what belongs to the unfinished output.
    settings : mapping of str to Fingerprint
        Those of everything that the results depend on, by the names of
        ``MEANINGS``. That of the source is compared by :meth:`check_source`.
    """

    def __init__(
        self, folder: str | os.PathLike[str], settings: dict[str, Fingerprint]
    ) -> None:
        self.folder = Path(folder)
        self._settings = settings
        self._lock: int | None = None
        self._began = self._saved = time.monotonic()
        self.done = 0
        self.is_complete = False
        self.source: Fingerprint = {}  # the fingerprint of what has been read
        self.checksum = 0  # that of what has been written

    @property
    def _path(self) -> Path:
        return self.folder / FILE

    def begin(self, resume: bool) -> None:
        """Make the folder, or continue with the one that is there.

        Raises
        ------
        FileExistsError
            If there is an unfinished run and ``resume`` is False.
        ValueError
            If the run there had other settings.
        RuntimeError
            If another process works on it.
        """
        if self.folder.exists() and not resume:
            raise FileExistsError(
                f"{self.folder} holds an unfinished run; pass resume=True to continue it, or "
                "remove the folder"
            )
        self.folder.mkdir(exist_ok=True)
        self._take()
        if not self._path.exists():
            return
        try:
            found = json.loads(self._path.read_text("utf-8"))
            self.done = validation.check_int("done", found["done"], 0)
            self.is_complete = validation.check_bool("complete", found["complete"])
            self.source = dict(found["source"])
            self.checksum = validation.check_int("checksum", found["checksum"], 0)
            for name, value in self._settings.items():
                self._compare(name, found[name], value)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self.release()
            if isinstance(error, ValueError) and str(error).startswith("resume"):
                raise
            raise ValueError(
                f"resume: {self._path} is not valid ({error!r}); remove the folder"
            ) from None

    def _compare(self, name: str, found: Fingerprint, own: Fingerprint) -> None:
        differs = difference(found, own)
        if differs:
            raise ValueError(
                f"resume: the unfinished run in {self.folder} had {MEANINGS[name]} "
                f"({differs}); pass what it had, or remove the folder to begin again"
            )

    def check_source(self, fingerprint: Fingerprint) -> None:
        """Raise unless the run read the same data, as far as it has come."""
        if self.done:
            self._compare("source", self.source, fingerprint)

    def check_output(self, written: Iterable[Any], hint: str) -> None:
        """Raise unless the output still has what the run wrote, which is read once.

        Parameters
        ----------
        written : iterable of bytes
            What the output has of the sequences that are done.
        hint : str
            What may have happened to it, for the message.
        """
        # Whatever fails here, such as a package that unpacks a damaged part, fails because the
        # output is not what it was.
        try:
            is_there = checksums.of_blocks(written) == self.checksum
            why = ""
        except Exception as error:
            is_there, why = False, f" ({type(error).__name__}: {error})"
        if not is_there:
            raise ValueError(
                f"resume: {hint} has changed since the run was interrupted{why}; remove "
                f"{self.folder} to begin again"
            )

    @property
    def is_due(self) -> bool:
        """Whether it is time to write the record again."""
        now = time.monotonic()
        pause = min(LONGEST_PAUSE, max(PAUSE, SHARE * (now - self._began)))
        return now - self._saved > pause

    def save(
        self, done: int, source: Fingerprint, checksum: int, *, is_complete: bool = False
    ) -> None:
        """Write that so many sequences are done, after reading and writing these data."""
        values = {
            **self._settings,
            "source": source,
            "checksum": checksum,
            "done": done,
            "complete": is_complete,
        }
        write_atomically(self._path, json.dumps(values, indent=1).encode())
        self.done, self.source, self.checksum = done, source, checksum
        self.is_complete = is_complete
        self._saved = time.monotonic()

    @property
    def is_alone(self) -> bool:
        """Whether nothing else is in the folder, because the output has got its name."""
        return os.listdir(self.folder) == [FILE]

    def _take(self) -> None:
        """Refuse to work on what another process works on."""
        try:
            if fcntl is None:
                # Windows removes this file when the process ends, in whatever way.
                flags = os.O_CREAT | os.O_EXCL | getattr(os, "O_TEMPORARY", 0)
                self._lock = os.open(f"{self.folder}.lock", flags)
            else:
                self._lock = os.open(self.folder, os.O_RDONLY)
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, FileExistsError):
            self.release()
            raise RuntimeError(
                f"another process is writing {self.folder.name.removesuffix(ENDING)}"
            ) from None

    def release(self) -> None:
        """Let other processes work on it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove(self) -> None:
        """Remove the folder, because the run is complete or nothing is done."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.release()


def folder_of(output: str) -> str:
    """Where the record of an output is."""
    return output.rstrip("/" + os.sep) + ENDING
