"""Files that somebody made on purpose, and thousands that chance has damaged.

Whatever a file holds, reading it gives a model or raises FormatError or OSError: no other
exception, no warning, and no memory beyond a multiple of the file's size. What ``save`` writes
can always be read.
"""

import contextlib
import json
import os
import struct
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy
from encodings_of_names import skip_unless_encodable
from fuzz.model_files import assemble, make_models, parts
from interrupts import at_every_point

import pygru
from pygru import GRU, Attention, Embedding, FormatError, Last, Seq2Seq, Sequential
from pygru.io import files
from pygru.io.header import HEADER_LIMIT

DEEP = 100_000
HEAP = 20 * 2**20


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """The bytes of a model file of each."""
    path = tmp_path_factory.mktemp("files") / "model"
    contents = []
    for model in make_models():
        pygru.save(model, path, {"note": [1, {"x": None}]})
        contents.append(path.read_bytes())
    return contents


# ---- nesting, digits and sizes ---------------------------------------------------------


def with_texts(data, **texts):
    """The same file with other texts in its metadata."""
    header, body = parts(data)
    header["__metadata__"] |= texts
    return assemble(header, body)


def gru_config(data, **changes):
    """The configuration of the GRU in a file, as JSON, with changes."""
    description = json.loads(parts(data)[0]["__metadata__"]["config"])
    description["config"] |= changes
    return json.dumps(description)


def nested(depth):
    """A list within a list, and so on."""
    value = []
    for _ in range(depth):
        value = [value]
    return value


def load_bytes(tmp_path, data):
    """Write a file and load it."""
    (tmp_path / "bad").write_bytes(data)
    return pygru.load(tmp_path / "bad")


@pytest.mark.parametrize("name", ["config", "metadata"])
def test_text_that_is_nested_too_deeply(name, originals, tmp_path):
    with pytest.raises(FormatError, match="not valid JSON"):
        load_bytes(tmp_path, with_texts(originals[0], **{name: "[" * DEEP + "]" * DEEP}))


@pytest.mark.parametrize("depth", [100, 300, 700, 900])
@pytest.mark.parametrize("option", ["variant", "dtype", "hidden_size", "init", "surprise"])
def test_option_that_is_nested_deeply(option, depth, originals, tmp_path):
    """Python can parse it, but may not be able to show it."""
    text = gru_config(originals[0], **{option: nested(depth)})
    with pytest.raises(FormatError, match="configuration is not valid"):
        load_bytes(tmp_path, with_texts(originals[0], config=text))


def test_sequential_models_within_each_other(originals, tmp_path):
    text = '{"class": "Sequential", "layers": [' * 400 + "]}" * 400
    with pytest.raises(FormatError, match="a Sequential inside a Sequential"):
        load_bytes(tmp_path, with_texts(originals[0], config=text))


@pytest.mark.parametrize("version", ["²", "٣", "1²", "-1", "1.0", " 1", "", "1_0", "0x1"])
def test_version_that_is_no_number(version, originals, tmp_path):
    with pytest.raises(FormatError, match="format_version must be a number, got"):
        load_bytes(tmp_path, with_texts(originals[0], format_version=version))


@pytest.mark.parametrize("digits", [10, 400, 5000, 100_000])
def test_version_of_many_digits_is_newer(digits, originals, tmp_path):
    with pytest.raises(FormatError, match="written by a newer pygru") as raised:
        load_bytes(tmp_path, with_texts(originals[0], format_version="1" * digits))
    assert len(str(raised.value)) < 300


def test_version_may_have_leading_zeros(originals, tmp_path):
    load_bytes(tmp_path, with_texts(originals[0], format_version="0" * 5000 + "1"))


@pytest.mark.parametrize("digits", [400, 4000, 50_000])
@pytest.mark.parametrize("option", ["hidden_size", "num_layers", "dropout", "layer_norm_eps"])
def test_option_of_many_digits(option, digits, originals, tmp_path):
    text = gru_config(originals[0]).replace(f'"{option}": ', f'"{option}": {"9" * digits}', 1)
    with pytest.raises(FormatError):
        load_bytes(tmp_path, with_texts(originals[0], config=text))


def test_tensor_of_a_checkpoint_of_an_unknown_type(originals, tmp_path):
    header, body = parts(with_texts(originals[0], checkpoint="3"))
    end = max(entry["data_offsets"][1] for name, entry in header.items() if name[0] != "_")
    for dtype in ("BF16", "F8_E4M3", "F16", "C64", "x" * 10**5, 3):
        header["checkpoint/0"] = {"dtype": dtype, "shape": [1], "data_offsets": [end, end + 2]}
        with pytest.raises(FormatError, match=r"checkpoint/0 has .*dtype"):
            load_bytes(tmp_path, assemble(header, body + b"\0\0"))


@pytest.mark.parametrize("shape", [[2**63], [-1], [0] * 33, [2**62, 2**62], [2**40]])
def test_tensor_of_a_checkpoint_of_an_impossible_shape(shape, originals, tmp_path):
    header, body = parts(with_texts(originals[0], checkpoint="3"))
    end = len(body)
    header["checkpoint/0"] = {"dtype": "U8", "shape": shape, "data_offsets": [end, end]}
    with pytest.raises(FormatError):
        load_bytes(tmp_path, assemble(header, body))


def test_own_class_that_raises_anything(tmp_path):
    """Its constructor meets arguments that nobody meant for it."""

    class Picky(pygru.Layer):
        def __init__(self, count):
            self.count = 10 // count
            self.given = count
            self.create_parameters()

        def get_config(self):
            return {"count": self.given}

    pygru.save(Picky(2), tmp_path / "m")
    assert pygru.load(tmp_path / "m", layers={"Picky": Picky}).count == 5
    header, body = parts((tmp_path / "m").read_bytes())
    header["__metadata__"]["config"] = json.dumps({"class": "Picky", "config": {"count": 0}})
    (tmp_path / "m").write_bytes(assemble(header, body))
    with pytest.raises(FormatError, match="not valid: ZeroDivisionError"):
        pygru.load(tmp_path / "m", layers={"Picky": Picky})


# ---- large files and memory ------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="needs sparse files")
@pytest.mark.parametrize("start", ["zeros", "pickle", "header", "tensors", "metadata"])
def test_large_file_is_refused_or_read_in_part(start, originals, tmp_path):
    """A sparse file of 3 GB, of which a few kilobytes are looked at."""
    path = tmp_path / "large"
    header, _ = parts(originals[0])
    beginning = {
        "zeros": b"",
        "pickle": b"\x80\x04\x95",
        "header": struct.pack("<Q", 2**31),
        "tensors": assemble(header, b""),
        "metadata": assemble(header, b""),
    }[start]
    path.write_bytes(beginning)
    os.truncate(path, 3 * 2**30)
    tracemalloc.start()
    try:
        if start == "metadata":
            assert pygru.read_metadata(path) == {"note": [1, {"x": None}]}
        else:
            with pytest.raises(FormatError):
                pygru.load(path)
        assert tracemalloc.get_traced_memory()[1] < HEAP
    finally:
        tracemalloc.stop()


def lists_within_lists(room):
    """JSON of about this length that becomes the most objects: lists in lists."""
    unit = "[" * 100 + "]" * 100
    return f"[{','.join([unit] * (room // (len(unit) + 1)))}]"


@pytest.mark.parametrize("place", ["metadata", "config", "tensors"])
def test_memory_of_the_largest_headers(place, originals, tmp_path):
    """What ``docs/security.md`` promises: 64 MiB, whatever the header holds."""
    header, body = parts(originals[0])
    room = HEADER_LIMIT - len(json.dumps(header)) - 100
    text = f'{{"class": "GRU", "config": {lists_within_lists(room)}}}'
    if place == "tensors":
        header = f'{json.dumps(header)[:-1]}, "x": {lists_within_lists(room)}}}'.encode()
    else:
        header["__metadata__"][place] = text
    path = tmp_path / "m"
    path.write_bytes(assemble(header, body))
    assert HEADER_LIMIT - 3000 < path.stat().st_size - len(body) <= HEADER_LIMIT + 8
    tracemalloc.start()
    try:
        with contextlib.nullcontext() if place == "metadata" else pytest.raises(FormatError):
            pygru.load(path)
        assert 2**25 < tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


LARGE = {
    "GRU": lambda: GRU(150, 150, seed=0),
    "keras": lambda: GRU(150, 150, init="keras", seed=0),
    "double": lambda: GRU(150, 150, dtype="float64", seed=0),
    "8 bits": lambda: GRU(300, 300, seed=0).quantized(),
    "Embedding": lambda: Sequential(Embedding(9000, 30, seed=0), GRU(30, 2, batch_first=True)),
    "Attention": lambda: Attention(500, 500, seed=0),
    "Seq2Seq": lambda: Seq2Seq(2000, 2000, 64, 64, seed=0),
}
MOST_TIMES = {"load": 9, "inspect": 3, "read_arrays": 3, "read_metadata": 0}


@pytest.mark.parametrize("reader", MOST_TIMES)
@pytest.mark.parametrize("name", LARGE)
def test_memory_is_a_multiple_of_the_file(name, reader, tmp_path):
    path = tmp_path / "m"
    pygru.save(LARGE[name](), path)
    read = getattr(pygru, reader, None) or getattr(pygru.io, reader)
    with contextlib.suppress(FormatError):  # what io.inspect says of an Attention
        read(path)  # once, so that modules are imported
    tracemalloc.start()
    try:
        with contextlib.suppress(FormatError):
            read(path)
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Beside it a buffer for the file, which has 128 KiB from Python 3.14 on.
    assert used < MOST_TIMES[reader] * path.stat().st_size + 2**18


def test_file_that_shrinks_while_it_is_read(originals, tmp_path, monkeypatch):
    class Shrinking:
        def __init__(self, file):
            self.file = file

        def read(self, size):
            return self.file.read(size)[: size - 3]

        def seek(self, place):
            self.file.seek(place)

    from pygru.io import native

    original = native.read_header
    monkeypatch.setattr(native, "read_header", lambda f, size: original(Shrinking(f), size))
    with pytest.raises(FormatError, match=r"file too short|has become shorter"):
        load_bytes(tmp_path, originals[0])


def test_file_that_is_written_while_it_is_read(tmp_path, monkeypatch):
    from pygru.io import native

    path, original = tmp_path / "m", native.check_tensors
    pygru.save(GRU(1, 1, seed=0), path, {"text": "x" * 500_000})  # more than a buffer

    def check_and_write(*arguments):
        original(*arguments)
        path.write_bytes(path.read_bytes().replace(b"xx", b"xy"))

    monkeypatch.setattr(native, "check_tensors", check_and_write)
    with pytest.raises(FormatError, match="the file has changed while it was read"):
        pygru.load(path)


# ---- saving ----------------------------------------------------------------------------


def test_header_that_could_not_be_read_again_is_refused(tmp_path):
    path = tmp_path / "m"
    pygru.save(GRU(1, 1, seed=0), path)
    before = path.read_bytes()
    vocabulary = {"vocabulary": ["word"] * 150_000}
    with pytest.raises(ValueError, match=r"would have \d+ bytes, .* metadata .* is 1048576"):
        pygru.save(GRU(1, 1, seed=0), path, vocabulary)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m"]


def test_largest_header_that_is_written_can_be_read(tmp_path):
    path = tmp_path / "m"
    least, most = 0, HEADER_LIMIT
    while most - least > 1:
        size = (least + most) // 2
        try:
            pygru.save(GRU(1, 1, seed=0), path, {"text": "x" * size})
        except ValueError:
            most = size
        else:
            least = size
    pygru.save(GRU(1, 1, seed=0), path, {"text": "x" * least})
    assert least > HEADER_LIMIT - 2000
    assert pygru.read_metadata(path) == {"text": "x" * least}
    assert pygru.load(path).hidden_size == 1
    (length,) = struct.unpack("<Q", path.read_bytes()[:8])
    assert HEADER_LIMIT - 8 < length <= HEADER_LIMIT


@pytest.mark.parametrize(
    ("metadata", "exception", "match"),
    [
        ({"a": {"b": [1, {2}]}}, TypeError, r"metadata\['a'\]\['b'\]\[1\] is of type set"),
        (
            {"n": np.int64(3)},
            TypeError,
            r"metadata\['n'\] is of type int64, which JSON does not",
        ),
        ({"x": np.zeros(2)}, TypeError, r"metadata\['x'\] is of type ndarray"),
        ({"a": {1: 2}}, TypeError, r"metadata\['a'\] has the key 1; JSON has keys of type str"),
        ([1], TypeError, "metadata must be a dict, got list"),
        ([], TypeError, "metadata must be a dict, got list"),
        ({"a": nested(2000)}, ValueError, r"metadata\['a'\].* is nested more than 100 levels"),
        (
            {"a": 10**5000},
            ValueError,
            r"metadata\['a'\] is too large: an integer of 16610 bits",
        ),
    ],
)
def test_metadata_that_is_no_json_is_refused_by_its_key(metadata, exception, match, tmp_path):
    with pytest.raises(exception, match=match):
        pygru.save(GRU(1, 1, seed=0), tmp_path / "m", metadata)
    assert os.listdir(tmp_path) == []


def test_metadata_that_contains_itself_is_refused(tmp_path):
    metadata = {}
    metadata["a"] = metadata
    with pytest.raises(ValueError, match="nested more than 100 levels"):
        pygru.save(GRU(1, 1, seed=0), tmp_path / "m", metadata)


def test_metadata_comes_back(tmp_path):
    metadata = {"": None, "é\ud800\0": [True, 1.5, 2**70, {"x": []}], "t": (1, "a")}
    pygru.save(GRU(1, 1, seed=0), tmp_path / "m", metadata)
    assert pygru.read_metadata(tmp_path / "m") == metadata | {"t": [1, "a"]}


def test_dropout_without_effect_is_no_warning_in_load(tmp_path):
    with pytest.warns(UserWarning, match="dropout has no effect"):
        gru = GRU(2, 3, dropout=0.5, batch_first=True, seed=0)
    for model in (gru, Sequential(gru, Last())):
        pygru.save(model, tmp_path / "m")
        pygru.load(tmp_path / "m")  # pytest runs with -W error


@pytest.mark.skipif(os.name == "nt", reason="Windows counts names in other units")
@pytest.mark.parametrize("name", ["m" * 255, "é" * 127 + "m", "m" * 240, "m" * 101])
def test_names_as_long_as_the_file_system_allows(name, tmp_path):
    skip_unless_encodable(name)
    path = tmp_path / name
    left = tmp_path / f"{files._prefix(name)}1-0123abcd"
    left.touch()
    for seed in (0, 1):
        pygru.save(GRU(1, 1, seed=seed), path)
    np.testing.assert_array_equal(
        pygru.load(path).flat_parameters, GRU(1, 1, seed=1).flat_parameters
    )
    assert os.listdir(tmp_path) == [name]


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX folders")
@pytest.mark.parametrize("fails", ["open", "fsync"])
def test_folder_that_cannot_be_flushed_is_no_error(fails, tmp_path, monkeypatch):
    """After the rename the file is there: an exception would say that it is not."""
    path = tmp_path / "m"
    original = getattr(os, fails)

    def fail_for_folders(target, *arguments):
        is_folder = (
            os.path.isdir(target) if fails == "open" else os.path.isdir(f"/dev/fd/{target}")
        )
        if is_folder:
            raise PermissionError(13, "Permission denied", target)
        return original(target, *arguments)

    monkeypatch.setattr(os, fails, fail_for_folders)
    pygru.save(GRU(2, 2, seed=0), path)
    monkeypatch.undo()
    assert pygru.load(path).hidden_size == 2
    assert os.listdir(tmp_path) == ["m"]


# Interrupted between open() and the with block, a file or folder is closed by its own end.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_interrupt_at_every_point_leaves_the_old_file_or_the_new_one(tmp_path):
    path = tmp_path / "m"
    models = [GRU(2, 3, seed=seed) for seed in (0, 1)]
    contents = []
    for model in models:
        pygru.save(model, path)
        contents.append(path.read_bytes())
    leftovers, seen = set(), set()

    def prepare():
        path.write_bytes(contents[0])
        return lambda: pygru.save(models[1], path)

    def check(where):
        found = path.read_bytes()
        assert found in contents, where
        seen.add(found)
        leftovers.update(set(os.listdir(tmp_path)) - {"m"})

    assert at_every_point(prepare, check, os.path.dirname(pygru.__file__)) > 100
    assert seen == set(contents)
    assert not leftovers


@pytest.mark.parametrize(
    ("path", "exception"),
    [
        ("", FileNotFoundError),
        ("new-folder/", IsADirectoryError),
        ("a\0b", ValueError),
        ("x" * 256, OSError),
        (3, TypeError),
        (None, TypeError),
        ([], TypeError),
    ],
)
def test_paths_that_cannot_be_written(path, exception, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(exception):
        pygru.save(GRU(1, 1, seed=0), path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("path", [0, 1, True, None, [], 1.5])
def test_what_is_no_path_is_not_read(path):
    """An integer would be a file descriptor, which reading would close."""
    for read in (pygru.load, pygru.read_metadata):
        with pytest.raises(TypeError):
            read(path)
    os.fstat(1)


def test_arrays_of_a_file_are_as_other_readers_see_them(originals, tmp_path):
    """The header that pygru sorts is still the package's format."""
    for data in originals:
        arrays = safetensors.numpy.load(data)
        model = load_bytes(tmp_path, data)
        for name, view in model.parameters.items():
            np.testing.assert_array_equal(arrays[name], view)
