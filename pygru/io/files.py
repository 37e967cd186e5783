"""Writes files so that a reader never sees half of one, and opens files without waiting."""

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from typing import BinaryIO

from pygru.errors import FormatError
from pygru.typing import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TEMPORARY = ".tmp-"  # in the names of temporary files, before their unique part

# In the names of temporary files, a longer name is replaced by its digest. Together with the
# unique part it could be longer than the file system allows, which is at most 255 bytes.
LONGEST_NAME = 100

# Seconds before Windows is asked again to replace a file that another program reads.
PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)

# How often a file is written that other processes take for a leftover each time. Once is rare.
ATTEMPTS = 10

SEPARATORS = tuple(filter(None, (os.sep, os.altsep)))


def write_atomically(path: Path | bytes, data: bytes) -> None:
    """Write ``data`` (bytes) to ``path``: either all of it is written, or the old file stays.

    The bytes are written to a temporary file in the same folder and flushed to the disk. Then
    the file is renamed, and the folder is flushed. If a file is replaced, the new one gets its
    permissions (not on Windows). If ``path`` is a symbolic link, the link stays and its target
    is replaced. If ``path`` is not a regular file, such as ``/dev/stdout``, the bytes are
    written to it directly.

    A process that is killed while it writes leaves its temporary file. The next call for the
    same path removes it.

    If the folder cannot be flushed, for example because it cannot be read, this is not an
    error, because the file is complete by then.

    Raises
    ------
    OSError
        If the folder cannot be written or the disk is full; nothing is left behind. Its
        ``filename`` is ``path``, also where the temporary file is what cannot be made.
    """
    path = os.fsdecode(path)
    if not path:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    if os.path.isdir(path) or path.endswith(SEPARATORS):
        raise IsADirectoryError(errno.EISDIR, "is a folder, not a file", path)
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as file:
            file.write(data)
        return
    given, path = path, os.path.realpath(path)
    folder, name = os.path.split(path)
    _remove_leftovers(folder, name)
    for _ in range(ATTEMPTS):
        unique = f"{os.getpid()}-{secrets.token_hex(4)}"
        temporary = os.path.join(folder, _prefix(name) + unique)
        try:
            if _write_and_rename(temporary, path, data):
                break
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            if isinstance(error, OSError) and error.filename == temporary:
                error.filename = given  # what the caller knows
                if error.filename2 is not None:
                    del error.filename2
            raise
    else:
        raise OSError(
            errno.EBUSY, "another process removes each new file before it is whole", given
        )
    if hasattr(os, "O_DIRECTORY"):
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


# A temporary file is locked while its process writes. So another process can distinguish a file
# in use from one that a killed process left. Windows has no such locks, but there nobody can
# remove or rename a file that is open.


def _prefix(name: str) -> str:
    """The beginning of the names of the temporary files of ``name``."""
    encoded = os.fsencode(name)
    stem = name if len(encoded) <= LONGEST_NAME else hashlib.sha256(encoded).hexdigest()[:32]
    return f".{stem}{TEMPORARY}"


def _write_and_rename(temporary: str, path: str, data: bytes) -> bool:
    """Write a new file and give it its name; False if it was taken for a leftover before."""
    with open(temporary, "xb") as file:
        if fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            # Until it was locked, another process may have removed it as a leftover.
            if not os.fstat(file.fileno()).st_nlink:
                return False
            if os.path.exists(path):  # before the first byte is written
                os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        if fcntl is not None:
            os.replace(temporary, path)  # the lock is held until the file has its name
            return True
    return _rename_closed(temporary, path)


def _rename_closed(temporary: str, path: str) -> bool:
    """Rename a file on Windows; False if another process took it for a leftover.

    Nobody can replace a file there while a program reads it, which may be one that looks for
    viruses. As a rule this does not last long.
    """
    for pause in PAUSES:
        try:
            return _rename_if_there(temporary, path)
        except PermissionError:
            time.sleep(pause)
    return _rename_if_there(temporary, path)


def _rename_if_there(temporary: str, path: str) -> bool:
    """Rename a file; False if it is no longer there."""
    try:
        os.replace(temporary, path)
    except FileNotFoundError:
        # Windows says this also of a new name that is too long.
        if os.path.lexists(temporary):
            raise
        return False
    return True


def _remove_leftovers(folder: str, name: str) -> None:
    """Remove the temporary files of processes that were killed while they wrote ``name``."""
    ours = re.compile(re.escape(_prefix(name)) + r"\d+-[0-9a-f]{8}")
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if ours.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                _remove_if_unused(entry.path)


def _remove_if_unused(path: str) -> None:
    """Remove a temporary file unless its process still holds the lock, or has it open."""
    with contextlib.suppress(OSError):
        if fcntl is None:
            os.unlink(path)  # refused while it is open
            return
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)


@contextlib.contextmanager
def open_regular_file(path: Path | bytes) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file for reading, in a ``with`` block that gets it and its size in bytes.

    Raises
    ------
    TypeError
        If ``path`` is not a path.
    OSError
        If it cannot be opened; IsADirectoryError for a folder.
    FormatError
        If it is not a regular file, but a pipe or a device, for example.
    """
    path = os.fspath(path)  # an integer would be a file descriptor of the process
    if os.path.isdir(path):  # Windows would say that it is not permitted
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    # Without O_NONBLOCK, opening a pipe would wait until a process writes to it.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise FormatError("must be a regular file, and not a pipe or a device")
        yield file, status.st_size


@contextlib.contextmanager
def named_in_errors(path: Path | bytes) -> Iterator[None]:
    """Put the name of the file before the text of every FormatError of a ``with`` block."""
    try:
        yield
    except FormatError as error:
        raise FormatError(f"{os.fsdecode(path)}: {error}") from None
