"""Which kind of file a file is, by its first bytes and, for archives, by the names in it.

The name of a file says nothing here: checkpoints have many endings, and some have none.
"""

from __future__ import annotations

import importlib
from codecs import BOM_UTF8
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, BinaryIO

from pygru.errors import FormatError
from pygru.io.archives import open_zip

HDF5 = b"\x89HDF\r\n\x1a\n"
LONGEST_START = 512
# HDF5 allows a block of the user's own before its signature, of these sizes.
USER_BLOCKS = (0, 512, 1024, 2048)


@dataclass(frozen=True)
class Kind:
    """A kind of file: what messages call it, who reads it, and which call is for it.

    Attributes
    ----------
    title : str
        With its article, as in "a Keras file".
    module : str or None
        The module with ``contents`` and ``arrays``.
    function : str or None
        The function of pygru that makes a GRU of such a file, or None if there is none.
    argument : str
        The argument of that function which chooses one of several GRUs.
    """

    title: str
    module: str | None = None
    function: str | None = None
    argument: str = "name"

    @property
    def call(self) -> str | None:
        """The call that makes a GRU of such a file, as messages show it."""
        given = "..." if self.function == "from_arrays" else "path"
        return f"pygru.{self.function}({given})" if self.function else None

    def contents(self, path: Any) -> Any:
        """Return the :class:`Contents` of such a file."""
        return self._reader().contents(path)

    def arrays(self, path: Any) -> Any:
        """Return all arrays of such a file, by name."""
        return self._reader().arrays(path)

    def _reader(self) -> Any:
        if self.module is None:
            raise FormatError(f"{self.title} holds no weights that pygru can read")
        return importlib.import_module(self.module)


OWN = Kind("a model file of pygru", "pygru.io.own", "load")
TORCH = Kind("a PyTorch file", "pygru.io.torch.reading", "from_torch", "prefix")
PICKLE = Kind("a pickle", "pygru.io.torch.reading", "from_torch", "prefix")
TENSORS = Kind("a safetensors file", "pygru.io.torch.reading", "from_torch", "prefix")
KERAS = Kind("a Keras file", "pygru.io.keras.reading", "from_keras", "name")
ONNX = Kind("an ONNX file", "pygru.io.onnx.reading", "from_onnx", "node")
NPZ = Kind("a NumPy archive", "pygru.io.npz", "from_arrays")
ZIP = Kind("a zip archive")
COMPRESSED = Kind("a bzip2 or xz archive")
TEXT = Kind("text")
EMPTY = Kind("an empty file")
UNKNOWN = Kind("a file of an unknown kind")


def kind_of(file: BinaryIO, size: int) -> Kind:
    """Return the kind of an open file of ``size`` bytes; its position changes.

    Raises
    ------
    FormatError
        If it begins like a zip archive and is damaged, or would expand to a huge size.
    """
    file.seek(0)
    start = file.read(LONGEST_START)
    if not start:
        return EMPTY
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _kind_of_zip(file)
    if any(_has(file, HDF5, at) for at in USER_BLOCKS):
        return KERAS
    length = int.from_bytes(start[:8], "little")
    if start[8:9] == b"{" and 2 <= length <= size - 8:
        return _kind_of_safetensors(file, length)
    if start.startswith(b"\x1f\x8b") or start[257:262] == b"ustar":
        return TORCH  # archives of one checkpoint
    if len(start) > 1 and start[0] == 0x80 and start[1] <= 5:
        return PICKLE
    if start.startswith((b"BZh", b"\xfd7zXZ\0")):
        return COMPRESSED
    if start.startswith(b"\x93NUMPY"):
        return NPZ
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start.removeprefix(BOM_UTF8)):
        return TEXT
    return ONNX if _begins_like_onnx(start) else UNKNOWN


def _has(file: BinaryIO, what: bytes, at: int) -> bool:
    file.seek(at)
    return file.read(len(what)) == what


def _kind_of_zip(file: BinaryIO) -> Kind:
    names = [PurePath(name) for name in open_zip(file).namelist()]
    if any(name.name == "data.pkl" for name in names):
        return TORCH
    if any(name.name.endswith((".weights.h5", ".keras", ".h5", ".hdf5")) for name in names):
        return KERAS
    if any(name.suffix == ".npy" for name in names):
        return NPZ
    if any(name.suffix in (".pt", ".pth", ".bin", ".safetensors", ".ckpt") for name in names):
        return TORCH
    return ZIP


def _kind_of_safetensors(file: BinaryIO, length: int) -> Kind:
    file.seek(8)
    header = file.read(min(length, 2**20))
    return OWN if b'"format": "pygru"' in header or b'"format":"pygru"' in header else TENSORS


def _begins_like_onnx(start: bytes) -> bool:
    """Whether the first field is one of a ModelProto, most often ``ir_version``."""
    field, wire_type = start[0] >> 3, start[0] & 7
    if (field, wire_type) == (1, 0):
        return len(start) > 1 and start[1] < 0x80
    return field in (2, 3, 4, 6, 7, 8, 14) and wire_type == 2
