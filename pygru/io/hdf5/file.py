"""HDF5 files: their groups, datasets and attributes, as mappings.

It reads what h5py writes by default, which is what Keras does: groups with symbol tables or
compact links, attributes in headers, and datasets whose elements are in the same file. Links
to other places and to other files are refused, as is everything else that lets a reader leave
the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.errors import FormatError
from pygru.io.hdf5 import headers
from pygru.io.hdf5.bounds import Cursor, Limits
from pygru.io.hdf5.datatypes import Datatype, read_datatype, read_shape
from pygru.io.hdf5.headers import NOWHERE, Message, read_messages, read_superblock
from pygru.io.hdf5.storage import read_elements, read_filters, read_layout

DEEPEST_GROUP = 100
DEEPEST_TREE = 32


class HDF5:
    """An HDF5 file that is in memory.

    Parameters
    ----------
    data : bytes
        The whole file.

    Attributes
    ----------
    root : Group
        The outermost group.

    Raises
    ------
    FormatError
        If it is not an HDF5 file, or one that is not read. This holds for every access, too.

    Examples
    --------
    >>> from pygru.io.hdf5.file import HDF5
    >>> HDF5(b"PK")
    Traceback (most recent call last):
        ...
    pygru.errors.FormatError: not an HDF5 file: it does not begin with the signature of HDF5
    """

    def __init__(self, data: bytes) -> None:
        self.data = memoryview(data)
        self.limits = Limits(len(data))
        self._heaps: dict[int, dict[int, bytes]] = {}
        self.root = Group(self, read_superblock(self.data).root, ())

    def heap(self, address: int) -> dict[int, bytes]:
        """Return the texts of a global heap by their numbers."""
        if address not in self._heaps:
            self._heaps[address] = self._read_heap(address)
        return self._heaps[address]

    def _read_heap(self, address: int) -> dict[int, bytes]:
        cursor = Cursor(self.data, address)
        cursor.expect(b"GCOL", "heap of texts")
        cursor.skip(4)
        size = cursor.number(8)
        self.limits.structure(size)
        heap = Cursor(Cursor(self.data, address).take(size), 16)
        objects: dict[int, bytes] = {}
        while heap.left >= 16:
            number = heap.number(2)
            heap.skip(6)
            length = heap.number(8)
            if number == 0:  # the rest is free
                break
            self.limits.structure()
            objects[number] = heap.take(length)
            heap.skip(min(-length % 8, heap.left))
        return objects


class _Object:
    """What groups and datasets share: a header, and attributes in it."""

    def __init__(self, file: HDF5, address: int, messages: list[Message]) -> None:
        self._file = file
        self._address = address
        self._messages = messages

    def _all(self, kind: int) -> list[bytes]:
        return [data for type_, data in self._messages if type_ == kind]

    def _one(self, kind: int, what: str) -> bytes:
        found = self._all(kind)
        if len(found) != 1:
            raise FormatError(f"damaged HDF5 file: a dataset with {len(found)} {what}")
        return found[0]

    @property
    def attrs(self) -> dict[str, Any]:
        """The attributes by name: arrays, numbers, and texts as bytes.

        One whose type is not read is left out.
        """
        for data in self._all(headers.ATTRIBUTE_INFO):
            cursor = Cursor(data)
            cursor.skip(1)
            cursor.skip(2 if cursor.number(1) & 1 else 0)
            if cursor.number(8) != NOWHERE:
                raise FormatError(
                    "HDF5 files with more attributes than a header holds are not read"
                )
        found: dict[str, Any] = {}
        for data in self._all(headers.ATTRIBUTE):
            name, value = self._attribute(data)
            if value is not None:
                found[name] = value
        return found

    def _attribute(self, data: bytes) -> tuple[str, Any]:
        self._file.limits.structure(len(data))
        cursor = Cursor(data)
        version, flags = cursor.number(1), cursor.number(1)
        if version not in (1, 2, 3) or (version > 1 and flags & 3):
            raise FormatError(f"HDF5 attributes of version {version} are not read")
        sizes = [cursor.number(2) for _ in range(3)]
        if version == 3:
            cursor.skip(1)

        def part(size: int) -> bytes:
            piece = cursor.take(size)
            if version == 1:
                cursor.skip(min(-size % 8, cursor.left))
            return piece

        name, type_data, space = (part(size) for size in sizes)
        text = name.split(b"\0")[0].decode("utf-8", "replace")
        try:
            datatype = read_datatype(type_data)
        except FormatError:
            return text, None
        shape = read_shape(space)
        if shape is None:
            return text, None
        count = int(np.prod(shape, dtype=np.float64))
        raw = cursor.take(count * datatype.dtype.itemsize)
        return text, self._decoded(np.frombuffer(raw, datatype.dtype), datatype, shape)

    def _decoded(self, values: NDArray[Any], datatype: Datatype, shape: tuple[int, ...]) -> Any:
        """An attribute's or dataset's elements: an array, or a scalar as Python's own."""
        if datatype.is_variable_text:
            texts = [self._text(reference) for reference in values.reshape(-1).tolist()]
            return texts if shape else texts[0]
        if datatype.dtype.kind == "S":
            return values.reshape(-1).tolist() if shape else bytes(values.reshape(-1)[0])
        return values.reshape(shape) if shape else values.reshape(-1)[0]

    def _text(self, reference: bytes) -> bytes:
        cursor = Cursor(reference)
        length, address, number = cursor.number(4), cursor.number(8), cursor.number(4)
        if not length or address == 0:
            return b""
        self._file.limits.plain(length)
        return self._file.heap(address).get(number, b"")[:length]


class Group(_Object, Mapping[str, "Group | Dataset"]):
    """A group: a mapping of names to the groups and datasets in it, in order of their names."""

    def __init__(
        self,
        file: HDF5,
        address: int,
        above: tuple[int, ...],
        messages: list[Message] | None = None,
    ) -> None:
        if address in above or len(above) > DEEPEST_GROUP:
            raise FormatError("damaged HDF5 file: a group that contains itself")
        if messages is None:
            messages = read_messages(file.data, address, file.limits)
        super().__init__(file, address, messages)
        self._above = (*above, address)
        self._links: dict[str, int] | None = None
        self._opened: dict[str, Group | Dataset] = {}

    def __getitem__(self, path: str) -> Group | Dataset:
        name, _, rest = path.partition("/")
        if name not in self._opened:
            self._opened[name] = self._open(self._all_links()[name])
        found = self._opened[name]
        if not rest:
            return found
        if not isinstance(found, Group):
            raise KeyError(path)
        return found[rest]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all_links())

    def __len__(self) -> int:
        return len(self._all_links())

    def _open(self, address: int) -> Group | Dataset:
        messages = read_messages(self._file.data, address, self._file.limits)
        if any(kind == headers.LAYOUT for kind, _ in messages):
            return Dataset(self._file, address, messages)
        return Group(self._file, address, self._above, messages)

    def datasets(self, prefix: str = "") -> Iterator[tuple[str, Dataset]]:
        """Yield (path, dataset) of all datasets in this group and in those below."""
        for name, found in self.items():
            path = f"{prefix}{name}"
            if isinstance(found, Group):
                yield from found.datasets(f"{path}/")
            else:
                yield path, found

    def _all_links(self) -> dict[str, int]:
        if self._links is None:
            links: dict[str, int] = {}
            for data in self._all(headers.SYMBOL_TABLE):
                links.update(self._of_table(data))
            for data in self._all(headers.LINK_INFO):
                cursor = Cursor(data)
                cursor.skip(1)
                cursor.skip(8 if cursor.number(1) & 1 else 0)
                if cursor.number(8) != NOWHERE:
                    raise FormatError(
                        "HDF5 groups with their links in a heap, as HDF5's newest files have "
                        "them, are not read"
                    )
            for data in self._all(headers.LINK):
                name, address = self._of_message(data)
                links[name] = address
            for name in links:
                if not name or "/" in name:  # it would be a path
                    raise FormatError(f"damaged HDF5 file: it names a link {name[:80]!r}")
            self._links = links
        return self._links

    def _of_table(self, data: bytes) -> dict[str, int]:
        """Names and addresses in the old way: a tree of nodes, and a heap of names."""
        cursor = Cursor(data)
        tree, heap = cursor.number(8), cursor.number(8)
        file, limits = self._file.data, self._file.limits
        cursor = Cursor(file, heap)
        cursor.expect(b"HEAP", "heap of names")
        cursor.skip(4)
        size = cursor.number(8)
        cursor.skip(8)
        limits.structure(size)
        names = Cursor(file, cursor.number(8)).take(size)
        links: dict[str, int] = {}
        nodes = [(tree, DEEPEST_TREE)]
        while nodes:
            address, highest = nodes.pop()
            limits.structure(24)
            cursor = Cursor(file, address)
            if highest:
                cursor.expect(b"TREE", "tree of links")
                kind, level, count = cursor.number(1), cursor.number(1), cursor.number(2)
                if kind != 0 or level >= highest:
                    raise FormatError(
                        "damaged HDF5 file: a tree of links that leads back to itself"
                    )
                cursor.skip(16)
                for _ in range(count):
                    limits.structure()
                    cursor.skip(8)
                    nodes.append((cursor.number(8), level))
                continue
            cursor.expect(b"SNOD", "list of links")
            cursor.skip(2)
            for _ in range(cursor.number(2)):
                limits.structure()
                name = Cursor(names, cursor.number(8)).text().decode("utf-8", "replace")
                target, cache = cursor.number(8), cursor.number(4)
                cursor.skip(20)
                if cache == 2 or target == NOWHERE:
                    raise FormatError(f"HDF5 files with soft links are refused: {name[:80]!r}")
                links[name] = target
        return dict(sorted(links.items()))

    def _of_message(self, data: bytes) -> tuple[str, int]:
        """Name and address in the new way: a message for each link."""
        cursor = Cursor(data)
        version, flags = cursor.number(1), cursor.number(1)
        if version != 1:
            raise FormatError(f"HDF5 links of version {version} are not read")
        kind = cursor.number(1) if flags & 0x08 else 0
        cursor.skip((8 if flags & 0x04 else 0) + (1 if flags & 0x10 else 0))
        name = cursor.take(cursor.number(1 << (flags & 3))).decode("utf-8", "replace")
        if kind != 0:
            raise FormatError(
                f"HDF5 files with soft or external links are refused: {name[:80]!r}"
            )
        return name, cursor.number(8)


class Dataset(_Object):
    """An array in the file; it is read when :meth:`read` is called."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, () for a single value; nothing is read for it."""
        shape = read_shape(self._one(headers.DATASPACE, "shapes"))
        return (0,) if shape is None else shape

    @property
    def is_numeric(self) -> bool:
        """Whether the elements are numbers, and not texts or of a type that is not read."""
        try:
            return self._datatype.dtype.kind in "iuf"
        except FormatError:
            return False

    @property
    def _datatype(self) -> Datatype:
        return read_datatype(self._one(headers.DATATYPE, "types"))

    def read(self) -> NDArray[Any]:
        """Return the elements as a new array; texts are refused, and bfloat16 is float32.

        Raises
        ------
        FormatError
            If they are not numbers, not in the file, or too many.
        """
        datatype, shape = self._datatype, self.shape
        if datatype.dtype.kind not in "iuf":
            raise FormatError("an HDF5 dataset of texts where numbers are expected")
        if self._all(headers.EXTERNAL):
            raise FormatError("HDF5 datasets with elements in other files are refused")
        filters = self._all(headers.FILTERS)
        values: NDArray[Any] = read_elements(
            self._file.data,
            read_layout(self._one(headers.LAYOUT, "layouts")),
            read_filters(filters[0]) if filters else (),
            datatype.dtype,
            shape,
            self._file.limits,
        )
        if datatype.is_bfloat16 or self.attrs.get("dtype") == b"bfloat16":
            return from_bfloat16(values)
        return values.astype(values.dtype.newbyteorder("="), copy=False)


def from_bfloat16(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return float32 of numbers whose 16 bits are those of bfloat16, its upper half."""
    if values.dtype.itemsize != 2:
        raise FormatError("damaged HDF5 file: bfloat16 must have two bytes")
    bits = values.view(values.dtype.str.replace("i", "u").replace("f", "u"))
    result: NDArray[np.float32] = (bits.astype(np.uint32) << 16).view(np.float32)
    return result
