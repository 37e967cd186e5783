"""Arrays in files, read by rows: ``.npy``, members of ``.npz``, and Zarr.

What is opened has a shape and a dtype, and gives rows when it is indexed with a slice. Nothing
is unpickled. Files are read and not mapped, so that memory does not grow with them, and so that
a file that becomes shorter is an error and not the end of the process.
"""

from __future__ import annotations

import contextlib
import errno
import io
import math
import mmap
import os
import zipfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pygru.core import validation
from pygru.data.messages import shown_names
from pygru.io.archives import check_memory

#: Bytes that are skipped at a time in a compressed member.
SKIP = 2**20
#: Bytes of a header; NumPy refuses most of these.
MOST_HEADER = 2**16
#: Bytes of a row of which there is none; the model is run on one such row, of zeros.
LARGEST_OF_NONE = 2**24
#: Deflate never makes more of a byte.
MOST_RATIO = 1032
#: Names of arrays in a file that say where the sequences of another array end.
BESIDE = ("lengths", "row_size")


def _head(path: str, file: Any) -> bytes:
    """Return the bytes of a file up to the end of the header that it states."""
    head: bytes = file.read(npy.MAGIC_LEN)
    if not head.startswith(npy.MAGIC_PREFIX):
        return head
    stated: bytes = file.read(2 if head[-2:] == b"\x01\x00" else 4)
    size = int.from_bytes(stated, "little")
    if size > MOST_HEADER:  # a read takes memory before it begins
        raise ValueError(
            f"source: {path} holds no array of NumPy: it states a header of {size} bytes"
        )
    text: bytes = file.read(size)
    return head + stated + text


class Header:
    """What the header of an array in NumPy's format says."""

    def __init__(self, path: str, file: Any) -> None:
        head = io.BytesIO(_head(path, file))
        try:
            version = npy.read_magic(head)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            self.shape, self.is_fortran, self.dtype = read(head)
        except Exception as error:  # of the Python literal that a header is, also MemoryError
            why = str(error)[:200] or "its header is nested too deeply"
            raise ValueError(f"source: {path} holds no array of NumPy: {why}") from None
        if any(not isinstance(axis, int) or axis < 0 for axis in self.shape):
            raise ValueError(f"source: {path} has the impossible shape {str(self.shape)[:80]}")
        if self.dtype.hasobject:
            raise TypeError(
                f"source: {path} holds Python objects, which only unpickling would "
                "read. Pass a list of sequences, or save one array and its lengths"
            )
        if self.is_fortran and len(self.shape) > 1:
            raise ValueError(
                f"source: {path} is in Fortran order, so its rows are not together. Save it "
                "again with numpy.ascontiguousarray, or pass numpy.load(path, mmap_mode='r')"
            )
        self.row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        if self.shape[:1] == (0,) and self.row_bytes > LARGEST_OF_NONE:
            raise ValueError(
                f"source: {path} states no rows, of {self.row_bytes} bytes each: {self.shape}"
            )


class NpyRows:
    """The rows of an ``.npy`` file.

    Parameters
    ----------
    path : str
    """

    def __init__(self, path: str) -> None:
        self._path = path
        with open(path, "rb") as file:
            self._header = Header(path, file)
            self._begin = file.tell()
            size = os.fstat(file.fileno()).st_size
        self.shape, self.dtype = self._header.shape, self._header.dtype
        if self.shape and size - self._begin < self.shape[0] * self._header.row_bytes:
            raise ValueError(
                f"source: {path} must hold {self.shape} of {self.dtype}, but the file is too "
                f"short, {size} bytes"
            )

    def __getitem__(self, key: slice) -> NDArray[Any]:
        first, end, _ = key.indices(self.shape[0])
        with open(self._path, "rb") as file:
            file.seek(self._begin + first * self._header.row_bytes)
            return _read(file, self._path, self._header, max(0, end - first))


class NpzRows:
    """The rows of one array in an ``.npz`` file, compressed or not.

    Rows are best read from the first to the last: to go back means to begin again.

    Parameters
    ----------
    path : str
    name : str
        Of the array.

    Attributes
    ----------
    content : str
        A checksum, which the archive has.
    """

    def __init__(self, path: str, name: str) -> None:
        self._path = f"{path}, array {name!r},"
        self._archive = zipfile.ZipFile(path)
        self._file: Any = None
        self._member = f"{name}.npy"
        try:
            with self._damage_named():
                self._begin()
            self.shape, self.dtype = self._header.shape, self._header.dtype
            if not self.shape:
                raise ValueError(f"source: {self._path} is a single number and has no rows")
            found = self._archive.getinfo(self._member)
            self._check_size(found)
        except BaseException:
            self.close()
            raise
        self.content = f"{found.CRC:08x} {found.file_size}"

    def close(self) -> None:
        """Close the file; no rows can be read then."""
        if self._file is not None:
            self._file.close()
        self._archive.close()

    def _check_size(self, found: zipfile.ZipInfo) -> None:
        """Raise unless the member can be as large as it and its header say."""
        stated = self.shape[0] * self._header.row_bytes + self._file.tell()
        ratio = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: MOST_RATIO}.get(
            found.compress_type, math.inf
        )
        if stated != found.file_size or stated > ratio * found.compress_size:
            raise ValueError(
                f"source: {self._path} is too short or too long: its header states "
                f"{self.shape} of {self.dtype}, but {found.compress_size} bytes hold "
                f"{found.file_size}"
            )

    @contextlib.contextmanager
    def _damage_named(self) -> Iterator[None]:
        """A block in which errors of zipfile get the name of the file."""
        try:
            yield
        except Exception as error:  # of zipfile, and of each way to compress a member
            if isinstance(error, (TypeError, ValueError)) and not isinstance(
                error, UnicodeError
            ):
                raise
            if _is_of_system(error):
                raise
            raise ValueError(f"source: {self._path} is damaged: {str(error)[:200]}") from error

    def _begin(self) -> None:
        check_memory(self._archive, self._archive.getinfo(self._member))
        self._file = self._archive.open(self._member)
        self._header = Header(self._path, self._file)
        self._next = 0

    def __getitem__(self, key: slice) -> NDArray[Any]:
        first, end, _ = key.indices(self.shape[0])
        with self._damage_named():
            if first < self._next:
                self._file.close()
                self._begin()
            skipped = (first - self._next) * self._header.row_bytes
            while skipped:
                part = self._file.read(min(skipped, SKIP))
                if not part:
                    raise ValueError(f"source: {self._path} is too short")
                skipped -= len(part)
            rows = _read(self._file, self._path, self._header, max(0, end - first))
        self._next = max(first, end)
        return rows


def _is_of_system(error: Exception) -> bool:
    """Whether the system is the cause of an error while an archive is read, and no damage.

    The module bz2 says by an OSError without a number that data are damaged, and the system
    says by EINVAL that a place before the beginning of the file was asked for.
    """
    if isinstance(error, OSError):
        return error.errno not in (None, errno.EINVAL)
    return isinstance(error, MemoryError)


def _read(file: Any, path: str, header: Header, count: int) -> NDArray[Any]:
    """Return the next ``count`` rows."""
    rows: NDArray[Any] = np.empty((count, *header.shape[1:]), header.dtype)
    view = rows.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(view):
        read = file.readinto(view[done:])
        if not read:
            raise ValueError(
                f"source: {path} is too short: it must hold {header.shape} of {header.dtype}"
            )
        done += read
    return rows


class Opened(NamedTuple):
    """An array of a file, and what lies beside it.

    Attributes
    ----------
    values
        What has a shape and a dtype, and gives rows.
    lengths : ndarray or None
        (N,) the valid steps of each row.
    row_size : ndarray or None
        (N,) how many rows make each sequence, if the sequences are stored one behind the other.
    """

    values: Any
    lengths: NDArray[Any] | None = None
    row_size: NDArray[Any] | None = None


def open_npz(path: str, name: str | None) -> Opened:
    """Return an array of an archive, and its lengths if they are there."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except Exception as error:  # of zipfile, of a name, and of a number that is too large
        if _is_of_system(error):
            raise
        raise ValueError(f"source: {path} is no .npz archive: {str(error)[:200]}") from None
    names = [each.removesuffix(".npy") for each in members if each.endswith(".npy")]
    chosen = _chosen(path, names, name)
    beside = {}
    for each in BESIDE:
        if each in names:
            with contextlib.closing(NpzRows(path, each)) as rows:
                beside[each] = rows[:]
    return _opened(chosen, NpzRows(path, chosen), beside)


def open_zarr(path: str, name: str | None) -> Opened:
    """Return an array of Zarr, and the lengths beside it in a group, if they are there."""
    zarr = import_zarr("source")
    if not os.path.exists(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    try:
        found = zarr.open(path, mode="r")
    except FileNotFoundError:
        raise ValueError(f"source: {path} holds no Zarr array and no group") from None
    if hasattr(found, "shape"):
        if name is not None:
            raise ValueError(f"name must be None, because {path} is an array and not a group")
        return Opened(found)
    names = sorted(found.array_keys())
    chosen = _chosen(path, names, name)
    beside = {each: np.asarray(found[each][:]) for each in BESIDE if each in names}
    return _opened(chosen, found[chosen], beside)


def _chosen(path: str, names: list[str], name: str | None) -> str:
    """The array that is meant: the one with a name, the only one, or the one called X."""
    if name is not None:
        if name not in names:
            raise ValueError(f"name: {path} has no array {name!r}; it has {shown_names(names)}")
        return name
    others = [each for each in names if each not in BESIDE]
    if "X" in others:
        return "X"
    if len(others) != 1:
        has = f"it has {shown_names(names)}" if names else "it has none"
        raise ValueError(f"name must say which array of {path} to read; {has}")
    return others[0]


def _opened(chosen: str, values: Any, beside: dict[str, NDArray[Any]]) -> Opened:
    return Opened(values) if chosen in BESIDE else Opened(values, **beside)


def import_zarr(argument: str) -> Any:
    """Return the package zarr, or raise with the way to get it."""
    try:
        import zarr
    except ModuleNotFoundError as error:
        if error.name != "zarr":
            raise
        raise ImportError(
            f"{argument}: Zarr needs the package zarr; install it with  "
            'pip install "pygru[zarr]"'
        ) from None
    if not hasattr(zarr, "create_array"):
        raise ImportError(f"{argument}: Zarr needs version 3 or later of the package zarr")
    return zarr


def is_mapped(values: object) -> bool:
    """Whether an array is memory-mapped from a file."""
    return isinstance(values, np.ndarray) and next(_mappings(values), None) is not None


def whole_file(values: NDArray[Any]) -> str | None:
    """Return the name of the file that an array maps; None for parts of one, and for others."""
    if isinstance(values, np.memmap) and isinstance(values.base, mmap.mmap):
        is_kept = values.mode != "c" and values.filename is not None
        return os.fspath(values.filename) if is_kept else None
    return None


def release(values: object) -> None:
    """Let the system take back the memory of a mapped file; the values are read again.

    Without this, the memory that a process seems to take grows with what it has read.
    """
    if not isinstance(values, np.ndarray) or not hasattr(mmap, "MADV_DONTNEED"):
        return
    for mapping, is_private in _mappings(values):
        if not is_private:  # changes of a private mapping would be lost
            with contextlib.suppress(OSError, ValueError):
                mapping.madvise(mmap.MADV_DONTNEED)


def _mappings(values: NDArray[Any]) -> Iterator[tuple[mmap.mmap, bool]]:
    """Yield the mapping below an array, and whether it is private; or nothing."""
    base: Any = values
    modes = set()
    while isinstance(base, np.ndarray):
        modes.add(base.mode if isinstance(base, np.memmap) else None)
        base = base.base
    # Other mappings than those of np.memmap need not be of a file, and could lose their values.
    if isinstance(base, mmap.mmap) and modes & {"r", "r+", "w+", "c"}:
        yield base, "c" in modes


def path_of(argument: str, value: Any) -> str | None:
    """Return a path as text; None for what is no path."""
    if isinstance(value, (str, os.PathLike)):
        path = os.fspath(value)
        if isinstance(path, bytes) or not path or "\0" in path:
            raise ValueError(f"{argument} must be a path, got {validation.shown(value)}")
        return path
    return None
