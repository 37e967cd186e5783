"""Sources without any sequence, such as one empty shard of many, have predictions without rows.

The expected shapes, types and columns are those of the same run over a source with sequences.
"""

import os

import numpy as np
import pytest

import pygru
from pygru import GRU, Embedding, Last, Linear, Seq2Seq, Sequential, Trainer

N, T, F = 4, 5, 3
X = np.random.default_rng(0).standard_normal((N, T, F)).astype(np.float32)
MODEL = Sequential(GRU(F, 4, batch_first=True), Last(), Linear(4, 2), seed=0)
PER_STEP = Sequential(GRU(F, 4, batch_first=True), Linear(4, 2), seed=0)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def same_but_for_rows(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, list):
        assert found == []
        return
    assert found.shape == (0, *expected.shape[1:])
    assert found.dtype == expected.dtype


@pytest.mark.parametrize("model", [MODEL, PER_STEP, Trainer(MODEL), lambda x: x[:, 0]])
def test_arrays(model):
    expected = pygru.predict(model, X)
    same_but_for_rows(pygru.predict(model, X[:0]), expected)
    np.save("x.npy", X[:0])
    np.savez("x.npz", X[:0])
    for source in ("x.npy", "x.npz"):
        pygru.predict(model, source, out="y.npy")
        same_but_for_rows(np.load("y.npy"), expected)
    assert not os.path.exists("y.npy.unfinished")
    out = np.zeros_like(expected[:0])
    assert pygru.predict(model, X[:0], out=out) is out


def test_lengths_pairs_and_tokens():
    none = np.zeros((0, T), bool)
    found = pygru.predict(MODEL, X[:0], lengths=np.zeros(0, int))
    same_but_for_rows(found, pygru.predict(MODEL, X))
    same_but_for_rows(pygru.predict(MODEL, X[:0], mask=none), pygru.predict(MODEL, X))
    tokens = Sequential(Embedding(9, 3), GRU(3, 4, batch_first=True), Last(), seed=0)
    ids = np.ones((N, T), int)
    same_but_for_rows(pygru.predict(tokens, ids[:0]), pygru.predict(tokens, ids))
    pairs = Seq2Seq(5, 6, embedding_dim=3, hidden_size=4, seed=0)
    source = {"source": ids, "target": ids}
    nothing = {key: each[:0] for key, each in source.items()}
    same_but_for_rows(pygru.predict(pairs, nothing), pygru.predict(pairs, source))


@pytest.mark.parametrize("model", [MODEL, PER_STEP])
def test_zarr(model):
    zarr = pytest.importorskip("zarr")
    pygru.predict(PER_STEP, list(X), out="x.zarr")
    own = Sequential(GRU(2, 4, batch_first=True), *model.layers[1:], seed=0)
    pygru.predict(own, "x.zarr", out="expected.zarr")
    zarr.open_group("x.zarr")["values"].resize((0, 2))
    zarr.open_group("x.zarr")["row_size"].resize((0,))
    pygru.predict(own, "x.zarr", out="y.zarr")
    found, expected = (zarr.open(path, mode="r") for path in ("y.zarr", "expected.zarr"))
    assert type(found) is type(expected)
    if model is PER_STEP:
        assert found["row_size"].shape == (0,)
        found, expected = found["values"], expected["values"]
    same_but_for_rows(found[:], expected[:])


@pytest.mark.parametrize("model", [MODEL, PER_STEP])
@pytest.mark.parametrize("time", [None, "day"])
@pytest.mark.parametrize("id", ["who", ["who", "where"]])
def test_tables(model, time, id):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    table = pd.DataFrame({"who": ["a", "a"], "where": ["b", "b"], "day": [0, 1]})
    table = table.assign(**{name: np.float32(i) for i, name in enumerate("uvw")})
    columns = {"id": id, "time": time, "values": ["u", "v", "w"]}
    table[:0].to_parquet("x.parquet")
    expected = pygru.predict(model, table, **columns)
    for source in (table[:0], "x.parquet"):
        pygru.predict(model, source, out="y.parquet", **columns)
        for found in (pygru.predict(model, source, **columns), pd.read_parquet("y.parquet")):
            assert len(found) == 0
            assert found.columns.tolist() == expected.columns.tolist()
            assert found["prediction_0"].dtype == np.float32


def test_a_function_that_takes_predictions_gets_none():
    got = []
    pygru.predict(MODEL, X[:0], out=lambda first, predictions: got.append(len(predictions)))
    assert sum(got) == 0
