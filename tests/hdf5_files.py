"""Writes small HDF5 files byte by byte, so that tests can write impossible ones.

What it writes is the old format of HDF5, as h5py does by default: superblock 0, groups with
symbol tables, object headers of version 1.
"""

import struct

SIGNATURE = b"\x89HDF\r\n\x1a\n"
NOWHERE = 2**64 - 1
FLOAT32 = struct.pack("<B3BIHHBBBBI", 0x11, 0x20, 0x1F, 0, 4, 0, 32, 23, 8, 0, 23, 127)


def text_type(size):
    """Return the datatype of texts of a fixed size."""
    return struct.pack("<B3BI", 0x13, 0, 0, 0, size)


def space(*shape):
    """Return the dataspace of a shape."""
    return struct.pack("<BBB5x", 1, len(shape), 0) + struct.pack(f"<{len(shape)}Q", *shape)


def padded(data):
    return data + bytes(-len(data) % 8)


def attribute(name, type_, shape, data):
    """Return the message of an attribute."""
    name = name.encode() + b"\0"
    sizes = struct.pack("<BxHHH", 1, len(name), len(type_), len(space(*shape)))
    return (0x0C, sizes + padded(name) + padded(type_) + padded(space(*shape)) + data)


class Writer:
    """A file that grows; what is added returns its address."""

    def __init__(self):
        self.data = bytearray(96)

    def add(self, piece):
        """Append bytes, and return where they begin."""
        self.data += bytes(-len(self.data) % 8)
        begin = len(self.data)
        self.data += piece
        return begin

    def header(self, messages):
        """Add an object header of (type, bytes)."""
        body = b"".join(
            struct.pack("<HHB3x", kind, len(padded(data)), 0) + padded(data)
            for kind, data in messages
        )
        return self.add(struct.pack("<BxHII4x", 1, len(messages), 1, len(body)) + body)

    def group(self, links, messages=(), *, tree=None, cache=0):
        """Add a group of names and addresses."""
        names, offsets = bytearray(8), []
        for name in links:
            offsets.append(len(names))
            names += padded(name.encode() + b"\0")
        heap = self.add(
            b"HEAP" + struct.pack("<B3xQQQ", 0, len(names), NOWHERE, self.add(bytes(names)))
        )
        entries = b"".join(
            struct.pack("<QQI20x", offset, address, cache)
            for offset, address in zip(offsets, links.values(), strict=True)
        )
        leaf = self.add(b"SNOD" + struct.pack("<BxH", 1, len(links)) + entries)
        if tree is None:
            tree = self.add(
                b"TREE" + struct.pack("<BBHQQQQQ", 0, 0, 1, NOWHERE, NOWHERE, 0, leaf, 8)
            )
        return self.header([(0x11, struct.pack("<QQ", tree, heap)), *messages])

    def dataset(self, shape, layout, *, type_=FLOAT32, messages=()):
        """Add a dataset with a layout message."""
        return self.header([(0x01, space(*shape)), (0x03, type_), (0x08, layout), *messages])

    def array(self, values):
        """Add a dataset of float32 in one piece."""
        data = self.add(values.astype("<f4").tobytes())
        return self.dataset(values.shape, contiguous(data, values.nbytes))

    def file(self, root):
        """Return the whole file with a group as its outermost one."""
        self.data[:96] = (
            SIGNATURE
            + bytes([0, 0, 0, 0, 0, 8, 8, 0])
            + struct.pack("<HHI", 4, 16, 0)
            + struct.pack("<QQQQ", 0, NOWHERE, len(self.data), NOWHERE)
            + struct.pack("<QQI20x", 0, root, 0)
        )
        return bytes(self.data)


def contiguous(address, size):
    """Return the layout of elements in one piece."""
    return struct.pack("<BBQQ", 3, 1, address, size)


def chunked(tree, *chunk):
    """Return the layout of elements in chunks of a shape."""
    return struct.pack(f"<BBBQ{len(chunk) + 1}I", 3, 2, len(chunk) + 1, tree, *chunk, 4)


def tree_of_chunks(*chunks, axes=1, level=0):
    """Return the node of a tree of (address, bytes, offsets)."""
    keys = b"".join(
        struct.pack(f"<II{axes + 1}QQ", size, 0, *offsets, 0, address)
        for address, size, offsets in chunks
    )
    head = b"TREE" + struct.pack("<BBHQQ", 1, level, len(chunks), NOWHERE, NOWHERE)
    return head + keys + bytes(8 + 8 * (axes + 1))


def filters(*kinds):
    """Return the message of filters without values."""
    return (0x0B, struct.pack("<BB6x", 1, len(kinds)) + b"".join(
        struct.pack("<HHHH", kind, 0, 0, 0) for kind in kinds
    ))  # fmt: skip
