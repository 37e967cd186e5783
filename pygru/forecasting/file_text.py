"""From a file to its text: opened, expanded where it is compressed, decoded, and limited.

A small file must not fill the memory, whatever it says of itself. So a line has a longest
length, and what a compressed file expands to is limited by its size.
"""

from __future__ import annotations

import gzip
import importlib
import os
import sys
import zlib
from pathlib import Path
from typing import IO, Any, Protocol

from pygru.core.validation import shown
from pygru.errors import FormatError

LONGEST_LINE = 2**20  # a device such as /dev/zero is one line without an end

# A compressed file may expand to this many times its size, and this many bytes more: zeros, and
# months without a sale, compress by a factor of 500.
MOST_RATIO = 100
ALLOWANCE = 2**25  # bytes

# Bytes that expanding an .xz file may take beside its text. The file states how large a part of
# the text its decoder has to keep, at most 64 MiB if "xz -9" has written it.
MOST_KEPT = 2**27

# Modules of Python, of which some builds lack those whose libraries were missing.
MODULES = {".gz": "gzip", ".bz2": "bz2", ".xz": "lzma"}


def text_of(path: str, name: str, encoding: str | None) -> str:
    """Return the text of a file, or of standard input where the path is ``-``.

    Parameters
    ----------
    path : str
        A compressed file has a name that ends in ``.gz``, ``.bz2`` or ``.xz``.
    name : str
        What messages call the file.
    encoding : str or None
        UTF-8 if it is None, or UTF-16 where a byte-order mark says so.

    Raises
    ------
    FormatError
        If the file is not such a text, or expands to too much.
    OSError
        If it cannot be read.
    """
    return _decoded(_bytes(path, name), name, encoding)


def check_expansion(name: str, size: int, expanded: int) -> None:
    """Refuse a small file that would fill the memory."""
    limit = MOST_RATIO * size + ALLOWANCE
    if expanded > limit:
        raise FormatError(
            f"{name}: expected at most {limit} bytes after expansion ({MOST_RATIO} times the "
            f"{size} bytes of the file, and {ALLOWANCE}), got {expanded} or more; if you trust "
            "the file, expand it yourself and give the CSV file"
        )


def _bytes(path: str, name: str) -> bytearray:
    """All bytes of a file; a line that is far too long ends the reading."""
    suffix = Path(path).suffix.lower()
    try:
        if path == "-":
            if sys.stdin is None:
                raise FormatError("standard input is closed")
            return _limited(sys.stdin.buffer, name)
        with open(path, "rb") as file:
            if suffix not in MODULES:
                return _limited(file, name)
            module = _module(suffix, name)
            source = _Compressed(file)
            if suffix == ".xz":
                return _limited(_Xz(source, name, module), name, source)
            with module.open(source, "rb") as expanded:
                return _limited(expanded, name, source)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FormatError(f"{name}: not a {suffix} file, or damaged: {error}") from None
    except OSError as error:
        if error.errno is None:  # bz2's way to say the same
            raise FormatError(f"{name}: not a {suffix} file, or damaged: {error}") from None
        raise


def _module(suffix: str, name: str) -> Any:
    try:
        return importlib.import_module(MODULES[suffix])
    except ImportError:
        raise FormatError(
            f"{name}: this Python was built without the module {MODULES[suffix]}, which reads "
            f"{suffix} files; expand the file yourself and give the CSV file"
        ) from None


class _Compressed:
    """A compressed file, and how many bytes it has; of a pipe, how many it had so far."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._read = 0
        self._stated = os.fstat(file.fileno()).st_size

    @property
    def size(self) -> int:
        return max(self._stated, self._read)

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._read += len(data)
        return data

    def seekable(self) -> bool:
        return False


class _Xz:
    """Expands an ``.xz`` file like ``lzma.open``, but refuses a decoder that takes too much."""

    def __init__(self, source: _Compressed, name: str, lzma: Any) -> None:
        self._source = source
        self._name = name
        self._lzma = lzma
        self._stream = lzma.LZMADecompressor(memlimit=MOST_KEPT)
        self._data = b""  # what the stream before it has left

    def read(self, size: int) -> bytes:
        """Return the next ``size`` bytes of the text, or fewer at its end.

        Raises
        ------
        EOFError
            If the file is damaged.
        FormatError
            If it states that its decoder takes too much memory.
        """
        parts: list[bytes] = []
        left = size
        try:
            while left and self._is_inside():
                data = b""
                if self._stream.needs_input:
                    data = self._data or self._source.read(2**16)
                    self._data = b""
                    if not data:
                        raise EOFError("it ends too early")
                parts.append(self._stream.decompress(data, left))
                left -= len(parts[-1])
        except self._lzma.LZMAError as error:
            if "Memory usage limit" not in str(error):
                raise EOFError(error) from None
            raise FormatError(
                f"{self._name}: expanding the file takes more than {MOST_KEPT} bytes beside "
                "its text; if you trust it, expand it yourself and give the CSV file"
            ) from None
        return b"".join(parts)

    def _is_inside(self) -> bool:
        """Whether there is more to read; several streams may follow each other, after zeros."""
        if not self._stream.eof:
            return True
        data = self._stream.unused_data
        while not (data := data.lstrip(b"\0")):
            data = self._source.read(2**16)
            if not data:
                return False
        self._data = data
        self._stream = self._lzma.LZMADecompressor(memlimit=MOST_KEPT)
        return True


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _limited(file: _Readable, name: str, source: _Compressed | None = None) -> bytearray:
    """All bytes of a file, unless a line or what it expands to is far too long."""
    data = bytearray()
    while part := file.read(LONGEST_LINE):
        if len(part) == LONGEST_LINE and b"\n" not in part and b"\r" not in part:
            raise FormatError(f"{name}: a line has {LONGEST_LINE} characters or more")
        data += part
        if source is not None:
            check_expansion(name, source.size, len(data))
    return data


def _decoded(data: bytearray, name: str, encoding: str | None) -> str:
    if data.startswith(b"PK\x03\x04"):
        raise FormatError(f"{name}: not text but a spreadsheet or an archive; save it as CSV")
    if encoding is None:
        is_utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        encoding = "utf-16" if is_utf16 else "utf-8-sig"
        hint = "; if it is text, give its encoding, such as --encoding cp1252"
    else:
        hint = ""
    try:
        text = data.decode(encoding)
    except LookupError:
        raise FormatError(f"no encoding has the name {shown(encoding)}") from None
    except UnicodeError as error:
        what = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16"}.get(encoding, encoding)
        raise FormatError(f"{name}: not {what} text: {error}{hint}") from None
    if "\0" in text:
        raise FormatError(f"{name}: not a text file: it contains the character 0")
    return text.removeprefix("\ufeff")
