"""Writing files so that a reader never sees half of one, and reading them whole."""

import contextlib
import os
import re
import secrets
import stat

from pygru.errors import FormatError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

TEMPORARY = ".tmp-"  # between a file's name and what makes a temporary one's unique


def write_atomically(path, data):
    """Write ``data`` (bytes) to ``path``: either all of it arrives, or the old file stays.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and the file
    is renamed; then the folder is flushed. A file that is replaced leaves its permissions to
    the new one (not on Windows), and a link goes on pointing to where it did. What is no
    regular file, such as ``/dev/stdout``, is written to as it is.

    A process that is killed while it writes leaves its temporary file; the next call for the
    same path removes it.

    Raises
    ------
    OSError
        If the folder cannot be written or the disk is full; nothing is left behind.
    """
    path = os.fsdecode(path)
    if os.path.isdir(path):
        raise IsADirectoryError(21, "is a folder, not a file", path)
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as file:
            file.write(data)
        return
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    _remove_leftovers(folder, name)
    temporary, file = _create_temporary(folder, name)
    try:
        if fcntl is not None and os.path.exists(path):  # before the first byte is there
            os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        if fcntl is None:  # Windows renames no open file
            file.close()  # elsewhere the lock lasts until the file has its name
        os.replace(temporary, path)
        file.close()
    except BaseException:
        for undo in (file.close, lambda: os.unlink(temporary)):
            with contextlib.suppress(OSError):
                undo()
        raise
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# A temporary file is locked while its process writes, so that another one can tell a file in
# use from what a killed process left. Where there are no such locks, files are only removed by
# the process that made them.


def _create_temporary(folder, name):
    """Return the path of a new file beside the target, and the file, locked."""
    while True:
        unique = f"{os.getpid()}-{secrets.token_hex(4)}"
        temporary = os.path.join(folder, f".{name}{TEMPORARY}{unique}")
        file = open(temporary, "xb")  # noqa: SIM115, the caller closes it
        with contextlib.suppress(OSError):
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)
        # Between the two lines above another process may have taken it for a leftover.
        if fcntl is None or os.fstat(file.fileno()).st_nlink:
            return temporary, file
        file.close()


def _remove_leftovers(folder, name):
    """Remove the temporary files of processes that were killed while they wrote ``name``."""
    if fcntl is None:
        return
    ours = re.compile(re.escape(f".{name}{TEMPORARY}") + r"\d+-[0-9a-f]{8}")
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if ours.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                _remove_if_unused(entry.path)


def _remove_if_unused(path):
    """Remove a temporary file unless its process still holds the lock."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)


def read_regular_file(path, limit=None):
    """Return the bytes of a file, at most ``limit`` of them; pipes and devices are refused.

    Raises
    ------
    OSError
        If it cannot be opened.
    FormatError
        If it is not a regular file.
    """
    # A device or a pipe could block for ever when opened: look before.
    if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
        raise FormatError(f"{os.fspath(path)}: must be a regular file")
    with open(path, "rb") as file:
        return file.read() if limit is None else file.read(limit)
