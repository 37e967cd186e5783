"""Reads the table of a tar archive, as places in its bytes.

Only plain files are found. Sparse files, links and devices are left out, and no file is
written. Python's own module reads far more forms than checkpoints come in.
"""

from __future__ import annotations

from pygru.errors import FormatError

BLOCK = 512
MOST_MEMBERS = 10_000
LONGEST_NAME = 1000
PLAIN = (b"0", b"\x00", b"7")


def is_tar(data: bytes) -> bool:
    """Whether bytes begin with the header of a tar archive."""
    return data[257:262] == b"ustar" and len(data) >= BLOCK


def tar_members(data: bytes) -> dict[str, tuple[int, int]]:
    """Return for each plain file in a tar archive the begin and the end of its bytes.

    Raises
    ------
    FormatError
        If the archive is damaged.
    """
    members: dict[str, tuple[int, int]] = {}
    position, long_name = 0, ""
    for _ in range(MOST_MEMBERS):
        header = data[position : position + BLOCK]
        if len(header) < BLOCK or not header.strip(b"\0"):
            return members
        if _octal(header[148:156]) != sum(header) - sum(header[148:156]) + 8 * ord(" "):
            raise FormatError("the tar archive is damaged: the checksum of a header is wrong")
        size = _octal(header[124:136])
        begin = position + BLOCK
        if size > len(data) - begin:
            raise FormatError("the tar archive is damaged: it ends within a file")
        kind = header[156:157]
        if kind == b"L":  # GNU: the next file has this name
            long_name = _text(data[begin : begin + min(size, LONGEST_NAME)])
        elif kind == b"x":  # POSIX: records of the next file
            long_name = _path_in(data[begin : begin + size]) or long_name
        else:
            if kind in PLAIN:
                prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
                short = _text(header[:100])
                name = long_name or (f"{prefix}/{short}" if prefix else short)
                members[name.removeprefix("./")] = begin, begin + size
            long_name = ""
        position = begin + -(-size // BLOCK) * BLOCK
    raise FormatError(f"the tar archive has more than {MOST_MEMBERS} members")


def _octal(field: bytes) -> int:
    text = field.strip(b" \0")
    if not all(ord("0") <= digit <= ord("7") for digit in text):
        raise FormatError("the tar archive is damaged: a size is no octal number")
    return int(text or b"0", 8)


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "replace")


def _path_in(records: bytes) -> str:
    """Return the name in records of the form ``length path=name``, or the empty text."""
    for line in records[: 64 * BLOCK].split(b"\n"):
        _, _, record = line.partition(b" ")
        if record.startswith(b"path="):
            return _text(record[len(b"path=") :][:LONGEST_NAME])
    return ""
