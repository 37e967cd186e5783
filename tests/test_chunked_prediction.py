"""pygru.predict gives the bits of one whole call, whatever is read, written and cut up."""

import numpy as np
import pytest

import pygru
from pygru import GRU, Last, Linear, Sequential, Trainer

RNG = np.random.default_rng(0)
N, T, F = 23, 7, 3
X = RNG.standard_normal((N, T, F)).astype(np.float32)
LENGTHS = RNG.integers(0, T + 1, N)
RAGGED = [X[i, : 1 + i % T] for i in range(N)]

PER_SEQUENCE = Sequential(GRU(F, 5, batch_first=True), Last(), Linear(5, 2), seed=0)
PER_STEP = Sequential(GRU(F, 5, batch_first=True), Linear(5, 2), seed=1)
SIZES = [1, 5, N, 100, None, "400 B", "1 GB"]


def whole(model, source=X, **options):
    """What one call gives, with code that knows no chunks."""
    return Trainer(model).predict(source, **options)


def same(found, expected):
    if isinstance(expected, list):
        assert isinstance(found, list) and len(found) == len(expected)
        return all(same(one, other) for one, other in zip(found, expected, strict=True))
    assert found.dtype == expected.dtype
    return np.array_equal(found, expected)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def npy():
    np.save("x.npy", X)
    return "x.npy"


def npz():
    np.savez("x.npz", X=X, other=np.ones(2))
    return "x.npz"


def compressed():
    np.savez_compressed("c.npz", sequences=X)
    return "c.npz"


def zarr_path():
    zarr = pytest.importorskip("zarr")
    zarr.create_array("x.zarr", data=X, chunks=(4, T, F))
    return "x.zarr"


def zarr_array():
    return pytest.importorskip("zarr").open(zarr_path())


class Stored:
    """An array like those of h5py, which gives rows for slices only."""

    shape, dtype = X.shape, X.dtype

    def __getitem__(self, key):
        assert isinstance(key, slice)
        return X[key]


SOURCES = {
    "array": lambda: X,
    "memmap": lambda: np.load(npy(), mmap_mode="r"),
    "private memmap": lambda: np.load(npy(), mmap_mode="c"),
    "npy": npy,
    "npz": npz,
    "compressed npz": compressed,
    "zarr path": zarr_path,
    "zarr array": zarr_array,
    "stored": Stored,
    "list": lambda: list(X),
    "nested lists": X.tolist,
    "sequences": lambda: iter(X),
    "chunks": lambda: (X[i : i + 4] for i in range(0, N, 4)),
    "function": lambda: lambda: iter(X),
}


@pytest.mark.parametrize("chunk_size", SIZES)
@pytest.mark.parametrize("kind", SOURCES)
def test_sources(kind, chunk_size):
    source = SOURCES[kind]()
    expected = whole(PER_SEQUENCE, source if kind == "nested lists" else X)
    assert same(pygru.predict(PER_SEQUENCE, source, chunk_size=chunk_size), expected)


@pytest.mark.parametrize("chunk_size", SIZES)
def test_ragged(chunk_size):
    for model in (PER_SEQUENCE, PER_STEP):
        expected = whole(model, RAGGED)
        assert same(pygru.predict(model, RAGGED, chunk_size=chunk_size), expected)
        assert same(pygru.predict(model, iter(RAGGED), chunk_size=chunk_size), expected)
