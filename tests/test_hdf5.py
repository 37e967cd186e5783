"""The reader of HDF5: what h5py writes, and files that somebody made on purpose.

The attacks are written byte by byte (tests/hdf5_files.py). What h5py writes is read back where
it is installed; tests/test_keras_files.py reads files of Keras without it.
"""

import io
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from hdf5_files import (
    NOWHERE,
    Writer,
    attribute,
    chunked,
    contiguous,
    filters,
    text_type,
    tree_of_chunks,
)

from pygru import FormatError
from pygru.io.hdf5.file import HDF5

MOST_SECONDS = 2  # of the processor, thousands of times what a small file needs
MOST_MEMORY = 2**25


def read_all(data):
    """Everything in a file."""
    file = HDF5(data)
    assert isinstance(file.root.attrs, dict)
    found = {}
    for path, dataset in file.root.datasets():
        found[path] = dataset.read() if dataset.is_numeric else None
    return file, found


# ---- what is right -----------------------------------------------------------------------


def test_a_file_that_was_written_by_hand():
    writer = Writer()
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    inner = writer.group({"a": writer.array(values), "b": writer.array(values.T)})
    note = attribute("note", text_type(5), (2,), b"one\0\0three")
    file, found = read_all(writer.file(writer.group({"inner": inner}, [note])))
    assert np.array_equal(found["inner/a"], values)
    assert np.array_equal(found["inner/b"], values.T)
    assert file.root.attrs == {"note": [b"one", b"three"]}
    assert list(file.root) == ["inner"]
    with pytest.raises(KeyError):
        file.root["inner/c"]


def test_chunks_and_filters():
    writer = Writer()
    values = np.arange(10, dtype=np.float32)
    places = []
    for begin in (0, 4, 8):
        part = np.zeros(4, np.float32)
        part[: len(values[begin : begin + 4])] = values[begin : begin + 4]
        shuffled = part.view(np.uint8).reshape(4, 4).T.tobytes()
        packed = zlib.compress(shuffled)
        places.append((writer.add(packed), len(packed), (begin,)))
    tree = writer.add(tree_of_chunks(*places))
    dataset = writer.dataset((10,), chunked(tree, 4), messages=[filters(2, 1)])
    _, found = read_all(writer.file(writer.group({"x": dataset})))
    assert np.array_equal(found["x"], values)


def test_what_was_never_written_is_zero():
    writer = Writer()
    dataset = writer.dataset((3, 2), contiguous(NOWHERE, 0))
    _, found = read_all(writer.file(writer.group({"x": dataset})))
    assert np.array_equal(found["x"], np.zeros((3, 2)))


def test_files_of_h5py():
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    with h5py.File(file, "w") as out:
        for kind in ("f2", "f4", "f8", ">f4", "i1", "i8", "u2", ">i4", "bool"):
            out[f"types/{kind}"] = rng.integers(0, 2, (2, 3)).astype(kind)
        out["scalar"] = 2.5
        out["empty"] = np.zeros((0, 3))
        out["text"] = "abc"
        data = rng.standard_normal((20, 12))
        out.create_dataset("gzip", data=data, chunks=(7, 5), compression="gzip", shuffle=True)
        out.create_dataset("sum", data=data, chunks=(20, 1), fletcher32=True)
        out.create_dataset("both", data=data, chunks=True, compression=9, fletcher32=True)
        for index in range(100):
            out[f"many/{index}"] = index
        out["many"].attrs["names"] = [b"a", b"bc"]
        out["many"].attrs["text"] = "x" * 100_000
        out["many"].attrs["number"] = 3
        out["many"].attrs["nothing"] = h5py.Empty("f4")
    read, found = read_all(file.getvalue())
    with h5py.File(file, "r") as out:
        for path, array in found.items():
            if path != "text":
                assert np.array_equal(array, out[path][()]), path
                is_bool = out[path].dtype == bool  # HDF5 has small integers instead
                expected = np.int8 if is_bool else out[path].dtype.newbyteorder("=")
                assert array.dtype == expected, path
        assert len(found) == 9 + 6 + 100
    attrs = read.root["many"].attrs
    assert attrs["names"] == [b"a", b"bc"]
    assert (attrs["text"], attrs["number"]) == (b"x" * 100_000, 3)
    assert "nothing" not in attrs


def test_newer_forms_of_h5py_are_read_or_refused():
    h5py = pytest.importorskip("h5py")
    few, many = io.BytesIO(), io.BytesIO()
    for file, count in ((few, 5), (many, 50)):
        with h5py.File(file, "w", track_order=True) as out:
            for index in range(count):
                out[f"{index}"] = index
    _, found = read_all(few.getvalue())
    assert {name: int(value) for name, value in found.items()} == {str(i): i for i in range(5)}
    with pytest.raises(FormatError, match="links in a heap"):
        read_all(many.getvalue())


def test_links_and_elements_elsewhere_are_refused(tmp_path):
    h5py = pytest.importorskip("h5py")

    def soft(out):
        out["a"] = 1
        out["b"] = h5py.SoftLink("/a")

    def external(out):
        out["a"] = h5py.ExternalLink("/etc/passwd", "/a")

    def elsewhere(out):
        out.create_dataset("a", (4,), "f4", external=[(str(tmp_path / "raw"), 0, 16)])

    def virtual(out):
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "a", (4,))
        out.create_virtual_dataset("a", layout)

    def named_type(out):
        out["t"] = np.dtype("f4")
        out.create_dataset("a", (4,), out["t"])

    for make in (soft, external, elsewhere, virtual, named_type):
        file = io.BytesIO()
        with h5py.File(file, "w") as out:
            make(out)
        with pytest.raises(FormatError):
            read_all(file.getvalue())


# ---- what somebody made on purpose -------------------------------------------------------


def group_in_itself():
    writer = Writer()
    inner = writer.group({"x": 0})
    # The address in its only link, which stands before it, is that of the group itself.
    place = bytes(writer.data).rindex(b"SNOD") + 8 + 8
    writer.data[place : place + 8] = struct.pack("<Q", inner)
    return writer.file(writer.group({"inner": inner}))


def tree_in_itself():
    writer = Writer()
    place = writer.add(bytes(48))
    node = b"TREE" + struct.pack("<BBHQQQQQ", 0, 1, 1, NOWHERE, NOWHERE, 0, place, 8)
    writer.data[place : place + 48] = node
    return writer.file(writer.group({"x": 0}, tree=place))


def wide_tree_in_itself():
    """Each node points to the next level many times."""
    writer = Writer()
    below = writer.add(b"SNOD" + struct.pack("<BxH", 1, 0))
    for level in range(30):
        children = b"".join(struct.pack("<QQ", 0, below) for _ in range(64))
        below = writer.add(
            b"TREE"
            + struct.pack("<BBHQQ", 0, level, 64, NOWHERE, NOWHERE)
            + children
            + bytes(8)
        )
    return writer.file(writer.group({"x": 0}, tree=below))


def doubling_groups():
    """Each group holds the next one twice: 2 to the power of 60 paths."""
    writer = Writer()
    below = writer.array(np.zeros(2))
    for _ in range(60):
        below = writer.group({"a": below, "b": below})
    return writer.file(below)


def deep_groups():
    writer = Writer()
    below = writer.array(np.zeros(2))
    for _ in range(2000):
        below = writer.group({"a": below})
    return writer.file(below)


def header_in_itself():
    """A continuation of a header that leads back to it."""
    writer = Writer()
    begin = len(writer.data) + -len(writer.data) % 8
    root = writer.header([(0x10, struct.pack("<QQ", begin + 16, 24))])
    assert root == begin
    return writer.file(root)


def huge_array():
    writer = Writer()
    dataset = writer.dataset((2**40,), contiguous(writer.add(bytes(8)), 2**42))
    return writer.file(writer.group({"x": dataset}))


def huge_array_that_was_never_written():
    writer = Writer()
    dataset = writer.dataset((2**20, 2**20), contiguous(NOWHERE, 0))
    return writer.file(writer.group({"x": dataset}))


def impossible_shape():
    writer = Writer()
    dataset = writer.dataset((2**63, 2**63), contiguous(NOWHERE, 0))
    return writer.file(writer.group({"x": dataset}))


def many_axes():
    writer = Writer()
    dataset = writer.dataset((1,) * 200, contiguous(NOWHERE, 0))
    return writer.file(writer.group({"x": dataset}))


def array_beyond_the_file():
    writer = Writer()
    dataset = writer.dataset((2,), contiguous(2**62, 8))
    return writer.file(writer.group({"x": dataset}))


def chunk_bomb():
    writer = Writer()
    packed = zlib.compress(bytes(2**24))
    tree = writer.add(tree_of_chunks((writer.add(packed), len(packed), (0,))))
    dataset = writer.dataset((16,), chunked(tree, 16), messages=[filters(1)])
    return writer.file(writer.group({"x": dataset}))


def chunks_without_end():
    """A million chunks that stand at the same place."""
    writer = Writer()
    data = writer.add(bytes(2**18))
    chunks = [(data, 2**18, (0,))] * 1000
    tree = writer.add(tree_of_chunks(*chunks))
    return writer.file(writer.group({"x": writer.dataset((2**16,), chunked(tree, 2**16))}))


def huge_chunk():
    writer = Writer()
    tree = writer.add(tree_of_chunks((writer.add(bytes(8)), 8, (0,))))
    dataset = writer.dataset((16,), chunked(tree, 2**32 - 1))
    return writer.file(writer.group({"x": dataset}))


def arrays_that_overlap():
    writer = Writer()
    data = writer.add(bytes(2**18))
    one = writer.dataset((2**16,), contiguous(data, 2**18))
    return writer.file(writer.group({f"{i}": one for i in range(500)}))


def texts_without_end():
    writer = Writer()
    return writer.file(writer.group({}, [attribute("x", text_type(2**31 - 1), (9,), b"")]))


def name_that_is_a_path():
    writer = Writer()
    return writer.file(writer.group({"a/b": writer.array(np.zeros(2))}))


def name_that_is_empty():
    writer = Writer()
    return writer.file(writer.group({"": writer.array(np.zeros(2))}))


ATTACKS = [
    name_that_is_a_path,
    name_that_is_empty,
    group_in_itself,
    tree_in_itself,
    wide_tree_in_itself,
    doubling_groups,
    deep_groups,
    header_in_itself,
    huge_array,
    huge_array_that_was_never_written,
    impossible_shape,
    many_axes,
    array_beyond_the_file,
    chunk_bomb,
    chunks_without_end,
    huge_chunk,
    arrays_that_overlap,
    texts_without_end,
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_refused_quickly_and_in_little_memory(attack):
    data = attack()
    began = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            read_all(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < MOST_SECONDS
    assert peak < MOST_MEMORY + 10 * len(data)


def test_what_lies_outside_of_an_array_is_not_read():
    writer = Writer()
    secret = np.full(64, 7, np.float32)
    writer.add(secret.tobytes())
    values = writer.array(np.zeros(4))
    _, found = read_all(writer.file(writer.group({"x": values})))
    assert found["x"].tolist() == [0, 0, 0, 0]


def test_every_truncation_is_refused():
    writer = Writer()
    data = writer.file(writer.group({"x": writer.array(np.ones(3))}))
    # The last bytes are those of the list of links, of which all but padding is read.
    for size in range(len(data)):
        with pytest.raises(FormatError):
            read_all(data[:size])
