"""Opens zip archives of unknown origin, and refuses those that would fill the memory.

A zip file states the size of each member. A small file can state a huge size, and be right. So
the stated sizes are compared with the compressed ones before a member is read, and no member is
read beyond its stated size.
"""

from __future__ import annotations

import copy
import io
import zipfile
import zlib
from typing import BinaryIO

from pygru.errors import FormatError

try:
    from lzma import LZMAError
except ImportError:  # zipfile raises RuntimeError then
    LZMAError = zlib.error  # type: ignore[misc, assignment]

# Weights hardly compress. Zeros do, by a factor of about 1000, so there is an allowance.
MOST_RATIO = 100
ALLOWANCE = 2**24  # bytes
MOST_MEMBERS = 100_000

# Bytes of a member that its decoder may keep. zipfile writes 2**23; LZMA could state 2**32.
MOST_KEPT = 2**25

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)

#: What zipfile raises for a damaged member; RuntimeError is for an encrypted one.
DAMAGE = (
    zipfile.BadZipFile, zlib.error, LZMAError, OSError, EOFError, RuntimeError, ValueError
)  # fmt: skip


def open_zip(source: BinaryIO | bytes) -> zipfile.ZipFile:
    """Return the archive in a file or in bytes.

    Raises
    ------
    FormatError
        If it is not a zip file, is damaged, or states sizes far beyond its own.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        archive = zipfile.ZipFile(file)
        members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise FormatError(f"the zip archive is damaged: {error}") from None
    if len(members) > MOST_MEMBERS:
        raise FormatError(f"the zip archive has {len(members)} members, too many for weights")
    stated = sum(member.file_size for member in members)
    stored = sum(member.compress_size for member in members)
    file.seek(0, io.SEEK_END)
    if stored > file.tell():
        raise FormatError("the zip archive is damaged: its members overlap")
    if stated > MOST_RATIO * stored + ALLOWANCE:
        raise FormatError(
            f"the zip archive states that its {stored} bytes expand to {stated}; "
            f"more than {MOST_RATIO} times as many are refused"
        )
    return archive


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return the bytes of one member, never more than its stated size.

    Raises
    ------
    FormatError
        If there is no such member, or it is damaged.
    """
    try:
        described = _described(archive.getinfo(name))
        check_memory(archive, described)
        with archive.open(described) as member:
            size = described.file_size
            data = member.read(size)
    except KeyError:
        raise FormatError(f"the zip archive has no member {name!r:.200}") from None
    except DAMAGE as error:
        text = str(error)[:200]  # it may quote a name of 64 kB
        raise FormatError(f"{name!r:.200} in the zip archive is damaged: {text}") from None
    if len(data) != size:
        raise FormatError(f"{name!r:.200} in the zip archive is shorter than it says")
    return data


def check_memory(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Refuse a member whose decoder could take more memory than those that programs write.

    The first bytes of a member that is compressed by LZMA state how much it takes. Newer
    Pythons know more ways to compress a member, which no program uses for arrays.

    Raises
    ------
    zipfile.BadZipFile
        If it is compressed in another way than by deflate, bzip2 and LZMA, or if it states more
        than 32 MiB.
    """
    if member.compress_type not in METHODS:
        raise zipfile.BadZipFile(f"the compression method {member.compress_type} is not read")
    if member.compress_type != zipfile.ZIP_LZMA or archive.fp is None:
        return
    archive.fp.seek(member.header_offset + 26)
    name, extra = (int.from_bytes(archive.fp.read(2), "little") for _ in range(2))
    archive.fp.seek(name + extra, io.SEEK_CUR)
    kept = int.from_bytes(archive.fp.read(9)[5:], "little")
    if kept > MOST_KEPT:
        raise zipfile.BadZipFile(f"expanding it takes {kept} bytes, more than {MOST_KEPT}")


def _described(member: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """Return the description of a member, without a check sum that its writer left out.

    PyTorch writes 0 in its place after ``torch.serialization.set_crc32_options(False)``.
    """
    if member.CRC == 0 and member.compress_type == zipfile.ZIP_STORED:
        member = copy.copy(member)
        del member.CRC  # zipfile checks it where there is one
    return member


def gunzip(data: bytes) -> bytes:
    """Return what a gzip file holds.

    Raises
    ------
    FormatError
        If it is damaged, or expands to more than a hundred times its size.
    """
    left = MOST_RATIO * len(data) + ALLOWANCE
    pieces = []
    while data.startswith(b"\x1f\x8b"):  # there may be several streams, one after the other
        stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            pieces.append(stream.decompress(data, left + 1))
        except zlib.error as error:
            raise FormatError(f"the gzip file is damaged: {error}") from None
        left -= len(pieces[-1])
        if left < 0:
            raise FormatError(
                f"the gzip file expands to more than {MOST_RATIO} times its own size"
            )
        if not stream.eof:
            raise FormatError("the gzip file is damaged: it ends too early")
        data = stream.unused_data
    return b"".join(pieces)
