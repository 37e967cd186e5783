"""What pygru.predict refuses, before anything is computed or written; and what it shows."""

import io
import multiprocessing
import os
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fuzz.fuzzer import files_left_open
from test_progress import Terminal

import pygru
from pygru import GRU, FormatError, Last, Linear, Sequential, Trainer
from pygru.prediction import display

N, T, F = 11, 5, 3
X = np.random.default_rng(0).standard_normal((N, T, F)).astype(np.float32)
RAGGED = [X[i, : i % T] for i in range(N)]
MODEL = Sequential(GRU(F, 4, batch_first=True), Last(), Linear(4, 2), seed=0)
PER_STEP = Sequential(GRU(F, 4, batch_first=True), Linear(4, 2), seed=0)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class Computed(Exception):
    """The model was called for more than the first sequence."""


@pytest.fixture
def not_computed(monkeypatch):
    """Fail if more than the first sequence is computed."""
    from pygru.prediction import predictors

    call = predictors.OfModel.__call__

    def only_one(self, chunk):
        if chunk.size > 1:
            raise Computed
        return call(self, chunk)

    monkeypatch.setattr(predictors.OfModel, "__call__", only_one)


def read_only(*shape):
    out = np.zeros(shape, np.float32)
    out.flags.writeable = False
    return out


OUTPUTS = [
    (np.zeros((N, 3), "f4"), ValueError, r"out must have shape \(11, 2\), got \(11, 3\)"),
    (np.zeros((N, 2)), TypeError, "out must have dtype float32, got float64"),
    (np.zeros((N, 2), ">f4"), TypeError, "native byte order"),
    (read_only(N, 2), ValueError, "read-only"),
    (X[:, 0, :2], ValueError, "out shares memory with source"),
    (3, TypeError, "out must be an array, a path or a function, got int"),
    ([], TypeError, "out must be an array, a path or a function, got list"),
    ("out.csv", ValueError, r"out must be a path that ends with .*, got out\.csv"),
    ("out", ValueError, "out must be a path that ends with"),
    ("", ValueError, "out must be a path, got ''"),
    ("no/out.npy", FileNotFoundError, "there is no such folder"),
]


@pytest.mark.parametrize(("out", "error", "message"), OUTPUTS)
def test_outputs(out, error, message, not_computed):
    before = out.copy() if isinstance(out, np.ndarray) else None
    with pytest.raises(error, match=message):
        pygru.predict(MODEL, X, out=out)
    assert before is None or np.array_equal(before, out)
    assert os.listdir() == []


def test_an_output_between_the_numbers_of_the_source():
    both = np.zeros((N, T, 2 * F), "f4")
    both[..., ::2] = X
    found = pygru.predict(lambda x: x + 1, both[..., ::2], out=both[..., 1::2], chunk_size=4)
    assert np.array_equal(both[..., ::2], X)
    assert np.array_equal(found, X + 1)


def test_outputs_of_different_lengths(not_computed):
    with pytest.raises(ValueError, match=r"cannot hold .* different lengths; use '\.zarr' or"):
        pygru.predict(PER_STEP, RAGGED, out="out.npy")
    with pytest.raises(ValueError, match=r"out must have shape \(11, 4, 2\), got \(11, 3, 2\)"):
        pygru.predict(PER_STEP, RAGGED, out=np.zeros((N, 3, 2), "f4"))
    with pytest.raises(ValueError, match=r"out must have shape \(11, 4, 2\), got \(11, 2\)"):
        pygru.predict(PER_STEP, RAGGED, out=np.zeros((N, 2), "f4"))
    assert os.listdir() == []


def test_outputs_for_an_unknown_number_of_sequences(not_computed):
    with pytest.raises(ValueError, match=r"an \.npy file needs to know how many sequences"):
        pygru.predict(MODEL, iter(X), out="out.npy")
    with pytest.raises(ValueError, match="not known how many sequences source has"):
        pygru.predict(MODEL, iter(X), out=np.zeros((N, 2), "f4"))
    assert os.listdir() == []


def test_an_output_is_not_the_source_and_no_folder():
    np.save("x.npy", X)
    before = Path("x.npy").read_bytes()
    with pytest.raises(ValueError, match="out must be another file than source"):
        pygru.predict(MODEL, "x.npy", out="./x.npy")
    assert Path("x.npy").read_bytes() == before
    os.mkdir("out.npy")
    with pytest.raises(FileExistsError, match="out is a folder"):
        pygru.predict(MODEL, X, out="out.npy")
    pytest.importorskip("zarr")
    Path("out.zarr").write_bytes(b"")
    with pytest.raises(FileExistsError, match="out is a file"):
        pygru.predict(MODEL, X, out="out.zarr")


def test_a_folder_that_holds_other_things_is_not_replaced():
    zarr = pytest.importorskip("zarr")
    Path("notes.zarr").mkdir()
    Path("notes.zarr/precious.txt").write_text("mine")
    zarr.create_array("array.zarr", data=X)
    Path("array.zarr/precious.txt").write_text("mine")
    zarr.open_group("group.zarr", mode="w").create_array("c", data=X)
    pygru.predict(PER_STEP, RAGGED, out="own.zarr")
    zarr.open_group("own.zarr", mode="r+").create_array("lengths", data=np.arange(3))
    before = sorted(map(str, Path().rglob("*")))
    for path, message in (
        ("notes.zarr", "holds no Zarr array, which is not replaced"),
        ("array.zarr", "also holds 'precious.txt', which is not replaced"),
        ("group.zarr", "also holds 'c'"),
        ("own.zarr", "also holds 'lengths'"),
    ):
        with pytest.raises(FileExistsError, match=message):
            pygru.predict(MODEL, X, out=path)
    assert sorted(map(str, Path().rglob("*"))) == before


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_zarr_array_and_an_empty_folder_are_replaced(zarr_format):
    zarr = pytest.importorskip("zarr")
    Path("empty.zarr").mkdir()
    zarr.create_array("array.zarr", data=X, zarr_format=zarr_format)
    pygru.predict(PER_STEP, RAGGED, out="own.zarr")
    for path in ("empty.zarr", "array.zarr", "own.zarr"):
        pygru.predict(MODEL, X, out=path)
        assert np.array_equal(zarr.open_array(path, mode="r")[:], MODEL(X))


def test_a_folder_that_gets_other_things_is_not_replaced():
    pytest.importorskip("zarr")

    def model(x):
        Path("y.zarr").mkdir(exist_ok=True)
        Path("y.zarr/precious.txt").write_text("mine")
        return x[:, 0]

    with pytest.raises(FileExistsError, match="not replaced"):
        pygru.predict(model, X, out="y.zarr")
    assert os.listdir("y.zarr") == ["precious.txt"]
    os.remove("y.zarr/precious.txt")
    pygru.predict(model, X, out="y.zarr", resume=True)


def test_zarr_holds_no_text():
    pytest.importorskip("zarr")
    trainer = Trainer(MODEL, loss="cross_entropy", classes=["a", "b"])
    with pytest.raises(
        TypeError, match=r"a \.zarr file holds numbers, but the predictions are <U"
    ):
        pygru.predict(trainer, X, method="predict_classes", out="out.zarr")
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"chunk_size": 0}, ValueError, "chunk_size must be >= 1, got 0"),
        ({"chunk_size": 1.5}, TypeError, "chunk_size must be an int, got float"),
        ({"chunk_size": True}, TypeError, "chunk_size must be an int, got bool"),
        (
            {"chunk_size": "32 KiB"},
            ValueError,
            "in B, kB, MB, GB or TB, such as '256 MB', got '32 KiB'",
        ),
        (
            {"chunk_size": "many"},
            ValueError,
            "chunk_size must be a number of sequences, or of b",
        ),
        (
            {"chunk_size": "0 MB"},
            ValueError,
            "chunk_size must be a number of sequences, or of b",
        ),
        ({"resume": 1}, TypeError, "resume must be a bool, got int"),
        (
            {"resume": True},
            ValueError,
            "resume must be False, unless out is a path or an array",
        ),
        ({"resume": True, "out": print}, ValueError, "resume must be False, unless out"),
        ({"resume": True, "out": np.zeros((N, 2), "f4")}, ValueError, "resume must be False"),
        ({"progress": 1}, TypeError, "progress must be a bool, got int"),
        ({"n_threads": 0}, ValueError, "n_threads"),
        ({"n_threads": "2"}, TypeError, "n_threads"),
        ({"method": "transform"}, ValueError, "method must be None for a Sequential"),
        ({"name": "x"}, ValueError, "name must be None, unless source is the path"),
        ({"lengths": [1]}, ValueError, "lengths must have shape"),
        ({"lengths": [T + 1] * N}, ValueError, r"lengths\[0\] = 6 exceeds"),
        ({"mask": np.ones((N - 1, T), bool)}, ValueError, "mask must have 11 rows"),
        ({"mask": 3}, TypeError, "mask must be an array of bool, got 3"),
        ({"mask": np.ones((N, T + 1), bool)}, ValueError, r"mask\[0:1\] must have shape"),
    ],
)
def test_options(options, error, message, not_computed):
    with pytest.raises(error, match=message):
        pygru.predict(MODEL, X, **options)


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (
            3,
            {},
            TypeError,
            "model must be a model of pygru, a Trainer, an estimator or a functi",
        ),
        (None, {}, TypeError, "got NoneType"),
        (GRU, {}, TypeError, "model must be an object, got the class GRU"),
        (GRU(F, 2), {}, ValueError, "batch_first"),
        (
            Trainer(MODEL),
            {"method": "fit"},
            ValueError,
            "method must be one of 'predict', 'pred",
        ),
        (
            Trainer(MODEL),
            {"method": "predict_classes"},
            ValueError,
            "predict_classes' needs loss",
        ),
        (np.sum, {"method": "predict"}, ValueError, "method: a .* has no method 'predict'"),
        (lambda x: 3, {}, TypeError, "model must return an array, or a list .*, got int"),
        (
            lambda x: x[1:],
            {},
            ValueError,
            r"must return 11 predictions, .* source\[0:11\], got 10",
        ),
        (lambda x: [x[0], x[1, 0]], {}, ValueError, "must return arrays of equal features"),
    ],
)
def test_models(model, options, error, message):
    with pytest.raises(error, match=message):
        pygru.predict(model, X, **options)


def test_a_function_whose_results_change():
    for change in (
        lambda x: x[:, :1] if len(x) < 4 else x,
        lambda x: x.astype("f8") if len(x) < 4 else x,
        lambda x: list(x) if len(x) < 4 else x,
    ):
        with pytest.raises(
            ValueError, match=r"predictions for source\[8:11\] must be one array"
        ):
            pygru.predict(change, X, chunk_size=4)


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (None, TypeError, "source must be array-like of numbers, got NoneType"),
        (3, TypeError, "source must be an array, a list of sequences, an iterator"),
        (b"x.npy", TypeError, "source must be an array, a list"),
        (
            "x.csv",
            ValueError,
            r"source must be a path that ends with one of \.npy, .*, got x\.csv",
        ),
        ("no.npy", FileNotFoundError, "no.npy"),
        ("no.npz", FileNotFoundError, "no.npz"),
        (np.array(3.0), ValueError, "one entry per sample, got a single number"),
        (np.array(["a"]), TypeError, "source must be numeric, got dtype <U1"),
        (
            X.astype(complex),
            ValueError,
            "Complex data not supported: source has dtype complex128",
        ),
        ([], ValueError, "source must have at least one sequence, because an empty list"),
        ({"source": [], "target": []}, ValueError, "source must have at least one sequence"),
        (iter(()), ValueError, "source must give at least one sequence, got none"),
        (iter([X[0], X]), ValueError, "source: item 1 is a chunk, but item 0 a sequence"),
        (iter([{}]), TypeError, "source: item 0 must be a sequence or a chunk, got dict"),
        (iter(["ab"]), TypeError, "source: item 0 must be a sequence"),
        (iter([None]), TypeError, "source: item 0 must be a sequence or a chunk, got NoneType"),
        (lambda: 3, TypeError, "source must return an iterator, got int"),
        (X[..., :2], ValueError, r"x.shape\[-1\] must equal input_size=3, got 2"),
        ([X[0], X[0, :, :2]], ValueError, r"source\[1\] must have shape \(time, 3\)"),
    ],
)
def test_sources(source, error, message):
    with pytest.raises(error, match=message):
        pygru.predict(MODEL, source, out=lambda *_: pytest.fail("was computed"))


def test_chunks_are_not_followed_by_sequences():
    got = []
    with pytest.raises(ValueError, match="source: item 1 is a sequence, but item 0 a chunk"):
        pygru.predict(MODEL, iter([X, X[0]]), out=lambda first, _: got.append(first))
    assert got == [0]


def test_lengths_of_what_has_its_own():
    with pytest.raises(ValueError, match="lengths must be None when source is a list"):
        pygru.predict(MODEL, RAGGED, lengths=[1] * N)
    with pytest.raises(ValueError, match="lengths must be None if source is an iterator"):
        pygru.predict(MODEL, iter(RAGGED), lengths=[1] * N)
    with pytest.raises(ValueError, match="mask must be None for an estimator"):
        pygru.predict(Estimator(), X, mask=np.ones((N, T), bool))


class Estimator:
    def predict(self, X):
        return X


# ---- files ---------------------------------------------------------------------------------


def test_npy_files():
    objects = np.empty(2, object)
    np.save("objects.npy", objects)
    np.save("fortran.npy", np.asfortranarray(X))
    np.save("x.npy", X)
    Path("text.npy").write_text("0, 1, 2, 3, 4, 5")
    Path("empty.npy").write_bytes(b"")
    whole = Path("x.npy").read_bytes()
    Path("short.npy").write_bytes(whole[:-1])
    for name, error, message in (
        ("objects", TypeError, "holds Python objects, which only unpickling would read"),
        ("fortran", ValueError, "is in Fortran order"),
        ("text", ValueError, r"source: text\.npy holds no array of NumPy"),
        ("empty", ValueError, r"source: empty\.npy holds no array of NumPy"),
        ("short", ValueError, r"must hold \(11, 5, 3\) of float32, but the file is too short"),
    ):
        with pytest.raises(error, match=message):
            pygru.predict(MODEL, f"{name}.npy")
    with pytest.raises(ValueError, match=r"name must be None, because x\.npy holds one array"):
        pygru.predict(MODEL, "x.npy", name="x")


def test_a_file_that_becomes_shorter_is_an_error():
    np.save("x.npy", X)

    def cut(first, predictions):
        os.truncate("x.npy", 200)

    with pytest.raises(ValueError, match=r"source: x\.npy is too short"):
        pygru.predict(MODEL, "x.npy", chunk_size=4, out=cut)


def test_npz_files():
    np.savez("several.npz", a=X, b=X)
    np.savez("none.npz")
    Path("no.npz").write_bytes(b"text")
    for name, options, message in (
        ("several", {}, r"name must say which array of several\.npz to read; it has 'a', 'b'"),
        ("several", {"name": "c"}, r"name: several\.npz has no array 'c'; it has 'a', 'b'"),
        ("none", {}, r"name must say which array of none\.npz to read; it has none"),
        ("no", {}, r"source: no\.npz is no \.npz archive"),
    ):
        with pytest.raises(ValueError, match=message):
            pygru.predict(MODEL, f"{name}.npz", **options)
    found = pygru.predict(MODEL, "several.npz", name="b")
    assert np.array_equal(found, MODEL(X))
    np.savez("x.npz", X)
    with zipfile.ZipFile("x.npz") as archive:
        header = archive.read("arr_0.npy")[:-100]
    with zipfile.ZipFile("short.npz", "w") as archive:
        archive.writestr("arr_0.npy", header)
    with pytest.raises(ValueError, match=r"short\.npz, array 'arr_0', is too short"):
        pygru.predict(MODEL, "short.npz")


def zipped(X, **others):
    """The bytes of an ``.npz`` archive of some ``.npy`` files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in {"X": X, **others}.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def in_directory(data, place, byte):
    """An archive with another byte in the entry of the directory for its first member."""
    at = data.index(b"PK\1\2") + place
    return data[:at] + bytes([byte]) + data[at + 1 :]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_npz_file_is_named(save):
    save("x.npz", X)
    data = bytearray(Path("x.npz").read_bytes())
    data[len(data) // 2] ^= 255
    Path("x.npz").write_bytes(data)
    with pytest.raises(ValueError, match=r"source: x\.npz, array 'arr_0', is damaged: "):
        pygru.predict(MODEL, "x.npz")


def npy(shape, text="{{'descr': '<f4', 'fortran_order': False, 'shape': {}}}", data=b""):
    """The bytes of an ``.npy`` file whose header states a shape."""
    header = text.format(shape).ljust(117).encode() + b"\n"
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + data


# What fuzzers have found: exceptions that were not documented, or memory for what is not there.
LONG_HEADER = b"\x93NUMPY\2\0" + (2**31).to_bytes(4, "little")
DAMAGED = {
    "no literal": (npy("(1,)", '{{\'descr\': """\n'), "no array of NumPy"),
    "a header of 2 GB": (LONG_HEADER, "states a header of"),
    "no rows of 16 GB": (
        npy("(0, 2147483648, 2)"),
        "no rows, of 17179869184 bytes each",
    ),
    "a deep header": (
        b"\x93NUMPY\1\0" + (9001).to_bytes(2, "little") + b"-" * 9000 + b"1",
        "no array of NumPy",
    ),
    "a negative axis": (npy("(3, -1, 3)"), "impossible shape"),
    "16 GB in some bytes": (npy("(1, 1431655765, 3)", data=bytes(12)), "too short"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("kind", ["npz", "parquet", "damaged parquet"])
def test_a_source_is_closed_when_an_error_is_raised(kind):
    """The traceback keeps what the call used, and Windows deletes no file that is open."""
    path, options, message = Path("X.npz"), {}, "input_size=3, got 9"
    if kind == "npz":
        path.write_bytes(zipped(npy("(2, 5, 9)", data=bytes(2 * 5 * 9 * 4))))
    else:
        pytest.importorskip("pyarrow")
        path, options = Path("X.parquet"), {"id": "id"}
        columns = {f"x{i}": np.zeros(4) for i in range(9)}
        pd.DataFrame({"id": [1, 1, 2, 2], **columns}).to_parquet(path)
    if kind == "damaged parquet":
        path.write_bytes(path.read_bytes()[:-30] + bytes(30))
        message = "no Parquet file"
    with pytest.raises(ValueError, match=message) as caught:
        pygru.predict(MODEL, path, **options)
    assert files_left_open(str(path.absolute())) == []
    del caught


@pytest.mark.parametrize("wrap", [bytes, zipped], ids=["npy", "npz"])
@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_headers_are_refused_without_memory(name, wrap):
    data, message = DAMAGED[name]
    path = Path("X.npz" if wrap is zipped else "X.npy")
    path.write_bytes(wrap(data))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message):
            pygru.predict(MODEL, path)
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: in_directory(data, 6, 0xFF), "is no .npz archive"),  # version 25.5
        (lambda data: in_directory(data, 8, 1), "is damaged: .*encrypted"),
        (lambda data: in_directory(data, 10, 77), "is damaged: .*compression"),
        (
            lambda data: data.replace(b"X.npy", b"Y" * 5, 1),
            "is damaged: File name in directory",
        ),
        (lambda data: zipped(npy("(9, 5, 3)", data=X.tobytes())), "is too short or too long"),
        (lambda data: zipped(npy("(11,)"), lengths=npy("()", data=bytes(4))), "single number"),
    ],
)
def test_what_only_a_damaged_archive_has(change, message):
    data = zipped(npy(X.shape, data=X.tobytes()))
    Path("X.npz").write_bytes(data)
    assert pygru.predict(MODEL, "X.npz").shape == (N, 2)
    Path("X.npz").write_bytes(change(data))
    with pytest.raises(ValueError, match=message):
        pygru.predict(MODEL, "X.npz")


@pytest.mark.parametrize(("module", "compression"), [("bz2", 12), ("lzma", 14)])
def test_other_compressions(module, compression):
    """What these modules say of damage is an OSError without a number, and an LZMAError."""
    pytest.importorskip(module)
    with zipfile.ZipFile("X.npz", "w", compression) as archive:
        archive.writestr("X.npy", npy(X.shape, data=X.tobytes()))
    assert pygru.predict(MODEL, "X.npz").shape == (N, 2)
    data = Path("X.npz").read_bytes()
    for place in (60, len(data) // 2):  # of the header, of the values
        Path("X.npz").write_bytes(data[:place] + bytes(8) + data[place + 8 :])
        with pytest.raises(ValueError, match=r"source: X\.npz, array 'X', is damaged: "):
            pygru.predict(MODEL, "X.npz")


def test_a_decoder_that_would_fill_the_memory():
    """A fuzzer's find: LZMA takes the memory that the first bytes of a member state."""
    pytest.importorskip("lzma")
    with zipfile.ZipFile("X.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("X.npy", npy(X.shape, data=X.tobytes()))
    data = bytearray(Path("X.npz").read_bytes())
    assert data[39:44] == b"]" + (2**23).to_bytes(4, "little")  # after 30 bytes, name, 4 bytes
    data[40:44] = (2**31).to_bytes(4, "little")
    Path("X.npz").write_bytes(data)
    message = "damaged: expanding it takes 2147483648 bytes, more than 33554432"
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message):
            pygru.predict(MODEL, "X.npz")
        with pytest.raises(FormatError, match=message):
            pygru.io.read_arrays("X.npz")
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


def test_names_that_are_no_text():
    """With the flag that says that they are UTF-8: in the directory, and before the member."""
    data = zipped(npy(X.shape, data=X.tobytes()))
    directory = data.index(b"PK\1\2")
    flag, name = bytes([8]), b"\xff.npy"
    for places, message in (
        (
            [(directory + 9, flag), (directory + 46, name)],
            r"X\.npz is no \.npz archive: .*utf-8",
        ),
        ([(7, flag), (30, name)], r"X\.npz, array 'X', is damaged: .*utf-8"),
    ):
        damaged = bytearray(data)
        for place, new in places:
            damaged[place : place + len(new)] = new
        Path("X.npz").write_bytes(damaged)
        with pytest.raises(ValueError, match=message):
            pygru.predict(MODEL, "X.npz")


def test_errors_of_the_system_stay(monkeypatch):
    """They say nothing about the file."""
    Path("X.npz").write_bytes(zipped(npy(X.shape, data=X.tobytes())))
    for error in (OSError(5, "Input/output error"), MemoryError()):

        def read(*_, error=error):
            raise error

        for method in ("__init__", "open"):
            with monkeypatch.context() as patch, pytest.raises(type(error)) as caught:
                patch.setattr(zipfile.ZipFile, method, read)
                pygru.predict(MODEL, "X.npz")
            assert caught.value is error


def test_an_error_of_arrow_that_says_nothing_about_the_file(monkeypatch):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    Path("x.parquet").touch()
    errors = [
        (arrow.ArrowMemoryError("malloc"), arrow.ArrowMemoryError, "malloc"),
        (arrow.ArrowCancelled("Ctrl-C"), arrow.ArrowCancelled, "Ctrl-C"),
        (arrow.ArrowInvalid("x" * 5000), ValueError, r"source: x\.parquet is no .*: x{200}$"),
        (OSError("thrift"), ValueError, r"source: x\.parquet is no Parquet file: thrift"),
        (OSError(5, "Input/output error"), OSError, "Errno 5"),
    ]
    for error, kind, message in errors:

        def opened(*_, error=error, **__):
            raise error

        monkeypatch.setattr(parquet, "ParquetFile", opened)
        with pytest.raises(kind, match=message):
            pygru.predict(MODEL, "x.parquet", id="id")


def test_a_parquet_file_of_a_type_that_arrow_does_not_know(monkeypatch):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    Path("x.parquet").touch()

    def opened(*arguments, **options):
        raise arrow.ArrowNotImplementedError("Integers with less than 8 bits not implemented")

    monkeypatch.setattr(parquet, "ParquetFile", opened)
    with pytest.raises(ValueError, match=r"is no Parquet file: Integers with less than 8"):
        pygru.predict(MODEL, "x.parquet", id="id")


def test_items_that_are_no_sequences():
    with pytest.raises(
        TypeError, match="source: item 0 must be a sequence or a chunk, got int"
    ):
        pygru.predict(MODEL, {1})


def test_zarr_folders():
    zarr = pytest.importorskip("zarr")
    os.mkdir("empty.zarr")
    group = zarr.open_group("group.zarr", mode="w")
    group.create_array("values", data=X[0])
    group.create_array("row_size", data=np.array([2, 2]))
    zarr.create_array("array.zarr", data=X)
    for path, options, error, message in (
        ("no.zarr", {}, FileNotFoundError, "no.zarr"),
        ("empty.zarr", {}, ValueError, "empty.zarr holds no Zarr array and no group"),
        (
            "array.zarr",
            {"name": "x"},
            ValueError,
            "name must be None, because array.zarr is an a",
        ),
        ("group.zarr", {}, ValueError, "row_size must add up to the 5 rows .*, got 4"),
        ("group.zarr", {"name": "x"}, ValueError, "name: group.zarr has no array 'x'"),
        (
            "group.zarr",
            {"mask": [1]},
            ValueError,
            "mask must be None, because the file has row",
        ),
    ):
        with pytest.raises(error, match=message):
            pygru.predict(MODEL, path, **options)


@pytest.mark.parametrize(
    ("package", "extra", "options"),
    [
        ("zarr", "zarr", {"source": "x.zarr"}),
        ("zarr", "zarr", {"out": "y.zarr"}),
        ("pyarrow", "parquet", {"source": "x.parquet", "id": "id"}),
        ("pyarrow", "parquet", {"out": "y.parquet"}),
    ],
)
def test_a_missing_package_is_named(package, extra, options, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ImportError, match=rf'pip install "pygru\[{extra}\]"'):
        pygru.predict(MODEL, **{"source": X, **options})
    assert os.listdir() == []


# ---- what is shown -------------------------------------------------------------------------


@pytest.fixture
def at_once(monkeypatch):
    """Show progress from the beginning, and not after a second."""
    monkeypatch.setattr(display, "QUIET", 0.0)


def test_a_short_run_shows_nothing(capsys):
    pygru.predict(MODEL, X, chunk_size=1)
    assert capsys.readouterr().err == ""


def test_lines(at_once, capsys):
    pygru.predict(MODEL, np.concatenate([X] * 10), chunk_size=1)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == [f"{n}/110" for n in range(11, 111, 11)]
    pygru.predict(MODEL, iter(X), chunk_size=1)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == ["1", "2", "4", "8"]
    pygru.predict(MODEL, X, chunk_size=1, progress=False)
    assert capsys.readouterr().err == ""


def test_a_bar(at_once, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", Terminal())
        pygru.predict(MODEL, X, chunk_size=1)
        text = __import__("sys").stderr.getvalue()
    assert "11/11" in text and "sequence" in text


def test_workers_and_closed_streams_show_nothing(at_once, monkeypatch, capsys):
    for stream in (None, io.StringIO()):
        with monkeypatch.context() as patch:
            patch.setattr("sys.stderr", stream)
            if stream is not None:
                stream.close()
            pygru.predict(MODEL, X, chunk_size=1)
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: 1)
    pygru.predict(MODEL, X, chunk_size=1)
    assert capsys.readouterr().err == ""
    pygru.predict(MODEL, X, chunk_size=1, progress=True)
    assert capsys.readouterr().err
