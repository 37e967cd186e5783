"""Opens a file of PyTorch, in whichever of its formats, and reads what is asked for.

The formats are the zip archives of ``torch.save`` and of TorchScript, the older pickles with
storages behind them, safetensors, and other pickles. A zip or tar archive may contain one or
more of them, one level deep.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from numpy.typing import NDArray

from pygru.errors import FormatError
from pygru.io.archives import gunzip, open_zip, read_member
from pygru.io.files import open_regular_file
from pygru.io.tar import is_tar, tar_members
from pygru.io.torch import safetensors
from pygru.io.torch.legacy import read_legacy
from pygru.io.torch.pickles import read_pickle
from pygru.io.torch.script_code import with_constants
from pygru.io.torch.tensors import (
    Order,
    Storage,
    StoredTensor,
    Unreadable,
    as_array,
    item_size,
    numbers_of,
)
from pygru.io.torch.walk import Leaf, Named, named
from pygru.typing import Path

ENDINGS = (".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".pkl", ".pickle", ".th", ".tar")
#: How zip archives, pickles of protocol 2 and later, and gzip files begin.
BEGINNINGS = (b"PK\x03\x04", b"\x80", b"\x1f\x8b")
MOST_PICKLE = 2**28  # bytes
#: Bytes that the numbers may take in memory beyond four times the size of the file.
ALLOWANCE = 2**26


class Checkpoint:
    """The tensors of one file by name; numbers are read when they are asked for.

    Attributes
    ----------
    member : str
        The name of the file within an archive, or the empty text.
    format : str
        What messages call it.
    named : Named
    """

    def __init__(
        self,
        format: str,
        contents: Named,
        size: int,
        raw: Callable[[Storage], bytes],
        order: Order = "<",
    ) -> None:
        self.member = ""
        self.format = format
        self.named = contents
        self._raw = raw
        self._order = order
        self._size = size
        self._room = 4 * size + ALLOWANCE
        self._numbers: dict[tuple[Storage, str], NDArray[Any]] = {}

    @property
    def size(self) -> int:
        """Bytes of the file that it was read from."""
        return self._size

    def read(self, name: str) -> NDArray[Any]:
        """Return a tensor as an array, which cannot be written.

        Raises
        ------
        FormatError
            If its numbers are damaged, or it is no array of numbers.
        """
        leaf: Leaf = self.named.tensors[name]
        if isinstance(leaf, Unreadable):
            raise FormatError(f"{name!r} cannot be read: {leaf.reason}")
        if not isinstance(leaf, StoredTensor):
            return leaf
        kept = (leaf.storage, leaf.dtype)
        if kept not in self._numbers:
            try:
                read = self._raw if leaf.storage.inside is None else _inside
                raw = read(leaf.storage)
                numbers = numbers_of(leaf.storage, leaf.dtype, raw, self._order)
            except FormatError as error:
                raise FormatError(f"{name!r}: {error}") from None
            self._room -= numbers.nbytes
            if self._room < 0:
                raise FormatError("the tensors refer to one storage in too many ways")
            self._numbers[kept] = numbers
        return as_array(leaf, self._numbers[kept])


@contextlib.contextmanager
def opened(source: Path | bytes) -> Iterator[list[Checkpoint]]:
    """Open a file for reading, in a ``with`` block that gets the checkpoints in it.

    There is one, except if the file is an archive with several.

    Parameters
    ----------
    source : path-like or bytes
        The file, or its contents.

    Raises
    ------
    FormatError
        If it is no file of PyTorch, or is damaged.
    OSError
        If it cannot be read.
    """
    if isinstance(source, bytes):
        yield _of_bytes(source)
        return
    with open_regular_file(source) as (file, size):
        if file.read(4) == b"PK\x03\x04":
            file.seek(0)
            yield _of_zip(open_zip(file), size)
        else:
            file.seek(0)
            yield _of_bytes(file.read(size))


def _of_bytes(data: bytes, is_inner: bool = False) -> list[Checkpoint]:
    if data.startswith(b"PK\x03\x04"):
        return _of_zip(open_zip(data), len(data), is_inner)
    if data.startswith(b"\x1f\x8b") and not is_inner:
        data = gunzip(data)
        if not is_tar(data):
            return _of_bytes(data, True)
    if is_tar(data):
        members = tar_members(data)
        if "pickle" in members and "storages" in members:
            raise FormatError(
                "this is the tar format of PyTorch 0.1, which pygru does not read; load it "
                "with PyTorch and save it again"
            )
        if is_inner:
            raise FormatError("the archive is within an archive within another one")
        return _of_members(list(members), lambda name: data[slice(*members[name])])
    if safetensors.is_safetensors(data):
        tensors, begins = safetensors.read_header(data)
        contents = Named(dict(tensors))

        def raw(storage: Storage) -> bytes:
            begin = begins[storage.key]
            return data[begin : begin + storage.count * item_size(storage.dtype)]

        return [Checkpoint("safetensors", contents, len(data), raw)]
    return [_of_pickle(data)]


def _of_pickle(data: bytes) -> Checkpoint:
    if len(data) < 2 or (data[0] != 0x80 and data[:1] not in b"(cdlN]}"):
        raise FormatError("this is no file of PyTorch, and no safetensors file")
    legacy = read_legacy(data)
    if legacy is not None:
        places = legacy.places

        def raw(storage: Storage) -> bytes:
            if storage.key not in places:
                raise FormatError(f"the file has no storage {storage.key!r}")
            return data[slice(*places[storage.key])]

        return Checkpoint("PyTorch before 1.6", named(legacy.value), len(data), raw)

    return Checkpoint("pickle", named(read_pickle(data).value), len(data), _inside)


def _inside(storage: Storage) -> bytes:
    """Return the bytes of a storage that is a file of the old format within the pickle."""
    legacy = None if storage.inside is None else read_legacy(storage.inside)
    if storage.inside is None or legacy is None or storage.key not in legacy.places:
        raise FormatError("the numbers are not in the pickle")
    return storage.inside[slice(*legacy.places[storage.key])]


def _of_zip(archive: zipfile.ZipFile, size: int, is_inner: bool = False) -> list[Checkpoint]:
    names = archive.namelist()
    roots = [name[: -len("data.pkl")] for name in names if name.split("/")[-1] == "data.pkl"]
    if roots:
        return [_of_torch_zip(archive, min(roots, key=len), set(names), size)]
    for name in names:
        if name.split("/")[-1] == "archive_format" and read_member(archive, name) == b"pt2":
            raise FormatError(
                "this is an exported program of PyTorch (.pt2), which pygru does not read; "
                "save its weights: torch.save(torch.export.load(path).state_dict, 'weights.pt')"
            )
    if is_inner:
        raise FormatError("the archive is within an archive within another one")
    return _of_members(names, lambda name: read_member(archive, name))


def _of_torch_zip(
    archive: zipfile.ZipFile, root: str, names: set[str], size: int
) -> Checkpoint:
    pickled = f"{root}data.pkl"
    if archive.getinfo(pickled).file_size > MOST_PICKLE:
        raise FormatError(f"{pickled!r} has more than {MOST_PICKLE} bytes")
    order: Order = "<"
    if f"{root}byteorder" in names:
        stated = read_member(archive, f"{root}byteorder")
        if stated not in (b"little", b"big"):
            raise FormatError(f"the byte order must be little or big, got {stated[:20]!r}")
        order = "<" if stated == b"little" else ">"
    value = read_pickle(read_member(archive, pickled)).value
    is_script = f"{root}constants.pkl" in names
    contents = named(value)
    if is_script and not contents.tensors:
        raise FormatError(
            "this is a TorchScript archive without named parameters: torch.jit.freeze made "
            "constants of them"
        )
    if is_script:
        contents = Named(contents.tensors, with_constants(contents.modules, archive, root))
    return Checkpoint(
        "TorchScript" if is_script else "PyTorch",
        contents,
        size,
        lambda storage: read_member(archive, f"{root}data/{storage.key}"),
        order,
    )


def _of_members(names: list[str], read: Callable[[str], bytes]) -> list[Checkpoint]:
    """Return the checkpoints among the members of an archive, which may hold other files."""
    found = []
    for name in names:
        if not name.lower().endswith(ENDINGS):
            continue
        data = read(name)
        if not data.startswith(BEGINNINGS) and not safetensors.is_safetensors(data):
            continue  # many files end with .bin
        try:
            checkpoints = _of_bytes(data, True)
        except FormatError as error:
            raise FormatError(f"{name!r} in the archive: {error}") from None
        for checkpoint in checkpoints:
            checkpoint.member = name
        found += checkpoints
    if not found:
        raise FormatError("the archive holds no file of PyTorch and no safetensors file")
    # Beside the weights there may be a pickle with settings.
    with_tensors = [checkpoint for checkpoint in found if checkpoint.named.tensors]
    if len(with_tensors) == 1:
        with_tensors[0].member = ""
    return with_tensors or found
