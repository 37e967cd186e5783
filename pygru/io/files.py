"""Writing files so that a reader never sees half of one, and reading them whole."""

import contextlib
import os
import secrets
import stat

from pygru.errors import FormatError


def write_atomically(path, data):
    """Write ``data`` (bytes) to ``path``: either all of it arrives, or the old file stays.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and the file
    is renamed; then the folder is flushed.

    Raises
    ------
    OSError
        If the folder cannot be written or the disk is full; nothing is left behind.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        raise IsADirectoryError(21, "is a folder, not a file", path)
    folder = os.path.dirname(os.path.abspath(path))
    temporary = os.path.join(
        folder, f".{os.path.basename(path)}.tmp-{os.getpid()}-{secrets.token_hex(4)}"
    )
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
