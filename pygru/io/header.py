"""The header of a model file: read alone, and checked before anything else is read.

A file consists of the length of its header (8 bytes), the header (JSON), and the numbers of all
tensors. Nothing in the header is trusted here. :mod:`pygru.io.native`, the caller, knows which
tensors belong to a configuration.
"""

import json
import math
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple, NoReturn

from pygru.errors import FormatError
from pygru.io import kinds

FORMAT_VERSION = 1

# The largest header, in bytes, that save writes and load reads. Parsed JSON takes up to fifty
# times its size, so this limits the memory that a small file can take.
HEADER_LIMIT = 2**20

# The types of tensors that a model file may contain, by their names in safetensors and NumPy.
DTYPES = {
    "BOOL": "bool",
    "F32": "float32",
    "F64": "float64",
    **{
        f"{kind}{bits}": f"{name}{bits}"
        for kind, name in (("I", "int"), ("U", "uint"))
        for bits in (8, 16, 32, 64)
    },
}
BYTES = {"BOOL": 1} | {name: int(name[1:]) // 8 for name in DTYPES if name != "BOOL"}

NAMES_SHOWN = 5
MOST_AXES = 32  # the limit of NumPy 1


class Header(NamedTuple):
    """The contents of a header."""

    raw: bytes  # including the eight bytes of its length
    tensors: dict[str, Any]
    notes: dict[str, str]


def read_header(file: BinaryIO, size: int) -> Header:
    """Read the header of a file of ``size`` bytes, and nothing after it.

    Raises
    ------
    FormatError
        If the file is not a pygru model, or was written by a newer pygru.
    """
    start = file.read(8)
    if len(start) < 8:
        raise FormatError(f"file too short for a safetensors header ({len(start)} bytes)")
    (length,) = struct.unpack("<Q", start)
    if length > size - 8:
        _refuse_foreign(file, size, f"header length {length} exceeds file size {size}")
    if length > HEADER_LIMIT:
        _refuse_foreign(
            file, size, f"header length {length} exceeds the limit of {HEADER_LIMIT}"
        )
    raw = start + file.read(length)
    if len(raw) != 8 + length:
        raise FormatError("the file has become shorter while it was read")
    try:
        text = raw[8:].decode()
    except UnicodeDecodeError:
        raise FormatError("the header is not UTF-8") from None
    if not text.startswith("{"):
        raise FormatError("the header does not start with '{'")
    tensors = parse_json("the header", text)
    notes = tensors.pop("__metadata__", {})
    _check_notes(notes)
    return Header(raw, tensors, notes)


def _refuse_foreign(file: BinaryIO, size: int, otherwise: str) -> NoReturn:
    """Raise for a file of another format, and say which call reads it if there is one."""
    try:
        kind = kinds.kind_of(file, size)
    except FormatError:
        kind = kinds.ZIP
    if kind is kinds.PICKLE:
        raise FormatError(
            "not a pygru model file (looks like a pickle); pygru never unpickles. If PyTorch "
            f"has written it, {kind.call} reads its weights without running it"
        )
    if kind in (kinds.UNKNOWN, kinds.OWN, kinds.TENSORS):
        raise FormatError(f"not a pygru model file, or a damaged one: {otherwise}")
    reads = f"; {kind.call} reads it" if kind.call else ""
    raise FormatError(f"not a pygru model file (looks like {kind.title}){reads}")


def _check_notes(notes: Any) -> None:
    """Check the format of the header, and that all its texts are texts."""
    if not isinstance(notes, dict) or notes.get("format") != "pygru":
        raise FormatError(
            "not a pygru model file: its metadata does not say format=pygru; "
            f"{kinds.TENSORS.call} reads safetensors files of PyTorch"
        )
    version = notes.get("format_version", "")
    # str.isdigit() is true for digits such as "²", which are not numbers to int().
    if not isinstance(version, str) or not re.fullmatch("[0-9]+", version):
        raise FormatError(f"format_version must be a number, got {str(version)[:80]!r}")
    number = version.lstrip("0")
    if len(number) > 9 or int(number or "0") > FORMAT_VERSION:
        raise FormatError(
            f"file was written by a newer pygru (format {number[:80]}); "
            f"this version reads up to {FORMAT_VERSION}"
        )
    for name in ("config", "metadata"):
        if name not in notes:
            raise FormatError(f"the metadata has no {name}")
    for name, text in notes.items():
        if not isinstance(text, str):
            raise FormatError(f"{name[:80]} in the metadata is not a text")


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise FormatError("the header has a duplicate key")
    return result


def parse_json(what: str, text: str) -> Any:
    """Return the value of a JSON text in which no object has a key twice.

    Raises
    ------
    FormatError
        If it is not such a text, or is nested too deeply to be read.
    """
    try:
        return json.loads(text, object_pairs_hook=_refuse_duplicates)
    except FormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{what} is not valid JSON: {error}") from None


def check_tensors(
    header: Header,
    size: int,
    expected: Mapping[str, tuple[str, tuple[int, ...]]],
    is_extra: Callable[[str], bool],
) -> None:
    """Compare the tensors that a header lists with those that the configuration needs.

    Parameters
    ----------
    header : Header
    size : int
        Bytes of the whole file.
    expected : mapping of str to (str, tuple)
        The dtype and the shape of each parameter by name.
    is_extra : callable
        Whether a tensor with another name is allowed.

    Raises
    ------
    FormatError
        If one is missing, unexpected, of another type or shape, or if the file is not as long
        as its tensors.
    """
    missing = [name for name in expected if name not in header.tensors]
    if missing:
        raise FormatError(f"missing tensors: {_listed(missing)}")
    unexpected = [
        name for name in header.tensors if name not in expected and not is_extra(name)
    ]
    if unexpected:
        raise FormatError(f"unexpected tensors: {_listed(unexpected)}")
    total = 0
    for name, entry in header.tensors.items():
        dtype, shape = _type_of(name, entry)
        if name in expected:
            wanted, wanted_shape = expected[name]
            if DTYPES.get(dtype) != wanted:
                raise FormatError(f"{name} must have dtype {wanted}, got {dtype[:80]}")
            if shape != wanted_shape:
                raise FormatError(f"{name} must have shape {wanted_shape}, got {shape}")
        elif dtype not in DTYPES:
            raise FormatError(
                f"{name[:80]} has dtype {dtype[:80]}, which model files cannot have"
            )
        elif len(shape) > MOST_AXES or any(not 0 <= axis < 2**63 for axis in shape):
            raise FormatError(f"{name[:80]} has an impossible shape")
        total += math.prod(shape) * BYTES[dtype]
    if len(header.raw) + total != size:
        raise FormatError(
            f"damaged file: its tensors take {total} bytes, but there are "
            f"{size - len(header.raw)}"
        )


def _type_of(name: str, entry: Any) -> tuple[str, tuple[int, ...]]:
    """The dtype and the shape that a header gives a tensor."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise FormatError(f"{name[:80]} must have a dtype, a shape and data_offsets")
    dtype, shape = entry["dtype"], entry["shape"]
    if not isinstance(dtype, str):
        raise FormatError(f"{name[:80]} has a dtype that is not a text")
    if not isinstance(shape, list) or any(type(axis) is not int for axis in shape):
        raise FormatError(f"{name[:80]} has a shape that is not made of integers")
    return dtype, tuple(shape)


def _listed(names: list[str]) -> str:
    """Some names, in the form for messages."""
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(name[:80] for name in names[:NAMES_SHOWN]) + more
