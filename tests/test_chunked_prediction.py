"""pygru.predict gives the bits of one whole call, whatever is read, written and cut up.

The expected values come from the model itself, which knows no chunks.
"""

import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quick import quick_and_slow

import pygru
from pygru import GRU, Embedding, Last, Linear, Seq2Seq, Sequential, Trainer
from pygru.prediction import chunks, files

RNG = np.random.default_rng(0)
N, T, F = 23, 7, 3
X = RNG.standard_normal((N, T, F)).astype(np.float32)
LENGTHS = RNG.integers(0, T + 1, N)
RAGGED = [X[i, : i % T] for i in range(N)]  # some of them empty

PER_SEQUENCE = Sequential(GRU(F, 5, batch_first=True), Last(), Linear(5, 2), seed=0)
PER_STEP = Sequential(GRU(F, 5, batch_first=True), Linear(5, 2), seed=1)
SIZES = quick_and_slow([5, "400 B", None], [1, N, 100, "1 GB"])


def same(found, expected):
    """Whether two results have the same type, dtypes, shapes and bits."""
    if isinstance(expected, list):
        assert isinstance(found, list) and len(found) == len(expected)
        return all(same(one, other) for one, other in zip(found, expected, strict=True))
    assert isinstance(found, np.ndarray) and found.dtype == expected.dtype
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
    "Fortran order": lambda: np.asfortranarray(X),
    "npy": npy,
    "npz": npz,
    "compressed npz": compressed,
    "zarr path": zarr_path,
    "zarr array": zarr_array,
    "stored": Stored,
    "list": lambda: list(X),
    "sequences": lambda: iter(X),
    "chunks": lambda: (X[i : i + 4] for i in range(0, N, 4)),
    "lists of sequences": lambda: (list(X[i : i + 4]) for i in range(0, N, 4)),
    "function": lambda: lambda: iter(X),
}


@pytest.mark.parametrize("chunk_size", SIZES)
@pytest.mark.parametrize("kind", SOURCES)
def test_sources(kind, chunk_size):
    found = pygru.predict(PER_SEQUENCE, SOURCES[kind](), chunk_size=chunk_size)
    assert same(found, PER_SEQUENCE(X))


def test_changes_of_a_private_memmap_stay():
    stored = np.load(npy(), mmap_mode="c")
    stored[3] = 0
    expected = PER_SEQUENCE(np.array(stored))
    assert same(pygru.predict(PER_SEQUENCE, stored, chunk_size=2), expected)
    assert not stored[3].any()


@pytest.mark.parametrize("chunk_size", SIZES)
def test_sequences_of_different_lengths(chunk_size):
    for model in (PER_SEQUENCE, PER_STEP):
        expected = model(RAGGED)
        objects = np.empty(N, object)
        objects[:] = RAGGED
        for source in (RAGGED, iter(RAGGED), objects, tuple(RAGGED)):
            assert same(pygru.predict(model, source, chunk_size=chunk_size), expected)


@pytest.mark.parametrize("chunk_size", SIZES)
def test_lengths_mask_and_reset(chunk_size):
    mask = RNG.random((N, T)) < 0.7
    reset = RNG.random((N, T)) < 0.2
    for model in (PER_SEQUENCE, PER_STEP):
        for told in (
            {"lengths": LENGTHS},
            {"mask": mask},
            {"lengths": LENGTHS, "reset": reset},
        ):
            expected = Trainer(model).predict(X, **told)
            assert same(pygru.predict(model, X, chunk_size=chunk_size, **told), expected)
        flags = [row[: len(each)] for row, each in zip(mask, RAGGED, strict=True)]
        expected = Trainer(model).predict(RAGGED, mask=flags)
        assert same(pygru.predict(model, RAGGED, mask=flags, chunk_size=chunk_size), expected)


def test_lengths_beside_an_array():
    np.savez("x.npz", X=X, lengths=LENGTHS)
    expected = Trainer(PER_STEP).predict(X, lengths=LENGTHS)
    assert same(pygru.predict(PER_STEP, "x.npz", chunk_size=4), expected)
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group("x.zarr", mode="w")
    group.create_array("X", data=X)
    group.create_array("lengths", data=LENGTHS)
    assert same(pygru.predict(PER_STEP, "x.zarr", chunk_size=4), expected)
    padded = pygru.predict(PER_STEP, "x.zarr/X", chunk_size=4)
    assert same(padded, PER_STEP(X))
    assert same(
        pygru.predict(PER_STEP, "x.zarr", name="X", lengths=np.full(N, T)), list(padded)
    )


# ---- outputs -------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk_size", SIZES)
def test_arrays_to_write_into(chunk_size):
    for path, model in {"sequences.npy": PER_SEQUENCE, "steps.npy": PER_STEP}.items():
        expected = model(X)
        out = np.full(expected.shape, np.nan, np.float32)
        assert pygru.predict(model, X, out=out, chunk_size=chunk_size) is out
        assert same(out, expected)
        mapped = np.lib.format.open_memmap(path, "w+", np.float32, expected.shape)
        pygru.predict(model, X, out=mapped, chunk_size=chunk_size)
        assert same(np.load(path), expected)
    padded, _ = pygru.pad_sequences(PER_STEP(RAGGED))
    out = np.full((N, T + 2, 2), np.nan, np.float32)  # with room
    pygru.predict(PER_STEP, RAGGED, out=out, chunk_size=chunk_size)
    assert same(out[:, : T - 1], padded)
    assert not out[:, T - 1 :].any()


@pytest.mark.parametrize("chunk_size", SIZES)
def test_npy_files(chunk_size):
    for model in (PER_SEQUENCE, PER_STEP):
        assert pygru.predict(model, X, out="out.npy", chunk_size=chunk_size) == "out.npy"
        assert same(np.load("out.npy"), model(X))


@pytest.mark.parametrize("chunk_size", SIZES)
def test_zarr(chunk_size):
    zarr = pytest.importorskip("zarr")
    for source in (X, iter(X)):  # of unknown length
        for model in (PER_SEQUENCE, PER_STEP):
            if source is X or model is PER_SEQUENCE:
                pygru.predict(model, source, out="out.zarr", chunk_size=chunk_size)
                assert same(zarr.open("out.zarr")[:], model(X))
    own = zarr.create_array("own.zarr", shape=(N, 2), dtype="f4", chunks=(4, 2))
    assert pygru.predict(PER_SEQUENCE, X, out=own, chunk_size=chunk_size) is own
    assert same(own[:], PER_SEQUENCE(X))


@pytest.mark.parametrize("chunk_size", SIZES)
def test_zarr_of_different_lengths_is_read_again(chunk_size):
    zarr = pytest.importorskip("zarr")
    expected = PER_STEP(RAGGED)
    for source in (RAGGED, iter(RAGGED)):
        pygru.predict(PER_STEP, source, out="out.zarr", chunk_size=chunk_size)
        group = zarr.open("out.zarr")
        assert same(group["values"][:], np.concatenate(expected))
        assert group["row_size"][:].tolist() == [len(each) for each in expected]
    head = Sequential(Linear(2, 3), seed=0)
    assert same(pygru.predict(head, "out.zarr", chunk_size=chunk_size), head(expected))


@pytest.mark.parametrize("chunk_size", SIZES)
def test_functions_get_all_in_order(chunk_size):
    for source, model in ((X, PER_SEQUENCE), (RAGGED, PER_STEP)):
        got = []

        def keep(first, predictions, got=got):
            assert first == len(got)
            got.extend(predictions)

        assert pygru.predict(model, source, out=keep, chunk_size=chunk_size) is keep
        assert same(got, list(model(source)))


# ---- models --------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk_size", SIZES)
def test_models(chunk_size):
    def check(model, source, expected, **options):
        assert same(pygru.predict(model, source, chunk_size=chunk_size, **options), expected)

    gru = GRU(F, 4, 2, batch_first=True, bidirectional=True, dtype="float64", seed=0)
    check(gru, X, gru(X)[0])
    tokens = [RNG.integers(0, 9, size) for size in RNG.integers(0, 6, N)]
    tagger = Sequential(Embedding(9, 4), GRU(4, 3, batch_first=True), seed=0)
    check(tagger, tokens, tagger(tokens))
    check(tagger, iter(tokens), tagger(tokens))
    head = Linear(F, 2, seed=0)
    check(head, X, head(X))
    check(lambda x: x.sum(axis=(1, 2)), X, X.sum(axis=(1, 2)))
    check(lambda x: [each[:2] for each in x], RAGGED, [each[:2] for each in RAGGED])


def test_trainers_predict_outputs_and_classes():
    for loss, classes in (("cross_entropy", ["no", "yes"]), ("bce_with_logits", None)):
        trainer = Trainer(PER_STEP, loss=loss, classes=classes)
        for source in (X, RAGGED):
            for method in ("predict", "predict_classes"):
                expected = getattr(trainer, method)(source)
                assert same(
                    pygru.predict(trainer, source, method=method, chunk_size=4), expected
                )


@pytest.mark.parametrize("per_step", [False, True])
def test_estimators(per_step):
    pytest.importorskip("sklearn")
    from pygru.sklearn import GRUClassifier, GRUTransformer

    labels = [each[:, 0] > 0 for each in X] if per_step else X[:, 0, 0] > 0
    pooling = None if per_step else "last"
    model = GRUClassifier(2, pooling=pooling).partial_fit(X, labels, classes=[False, True])
    states = GRUTransformer(2, max_iter=1, output="states" if per_step else "vector")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has not converged
        states.fit(X)
    cases = [(model, name) for name in ("predict", "predict_proba", "decision_function")]
    for estimator, method in [*cases, (states, "transform")]:
        for source in (X, RAGGED):
            expected = getattr(estimator, method)(source)
            for size in (1, 4, N):
                assert same(
                    pygru.predict(estimator, source, method=method, chunk_size=size), expected
                )
        cut = [row[:length] for row, length in zip(X, LENGTHS, strict=True)]
        found = pygru.predict(estimator, X, method=method, lengths=LENGTHS, chunk_size=4)
        assert same(found, getattr(estimator, method)(cut))
    assert same(pygru.predict(states, X, chunk_size=4), states.transform(X))


def test_pairs_of_source_and_target():
    model = Seq2Seq(5, 6, embedding_dim=3, hidden_size=4, seed=0)
    pairs = [([2, 3], [2, 4, 3]), ([4], [5]), ([2, 2, 4], [2, 2])] * 3
    data, _ = model.training_data(*zip(*pairs, strict=True))
    expected = Trainer(model).predict(data, batch_size=2)
    for one, other in zip(pygru.predict(model, data, chunk_size=2), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_wrong_token_of_a_pair_is_named_by_its_place_in_the_source():
    model = Seq2Seq(5, 6, embedding_dim=3, hidden_size=4, seed=0)
    source = {"source": np.ones((9, 2), int), "target": np.ones((9, 2), int)}
    source["source"][7, 1] = 5
    message = r"sample 7: token 5 is not in 0\.\.4 \(source\['source'\]\[7, 1\]\)"
    with pytest.raises(ValueError, match=message):
        pygru.predict(model, source, chunk_size=2)


# ---- the size of chunks --------------------------------------------------------------------

sizes = st.one_of(st.integers(1, 40), st.integers(1, 5000).map("{} B".format), st.none())


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=30),
    size=sizes,
    per_step=st.booleans(),
    padded=st.booleans(),
)
def test_any_size_gives_the_same_bits(lengths, size, per_step, padded):
    rng = np.random.default_rng(len(lengths))
    model = PER_STEP if per_step else PER_SEQUENCE
    array = rng.standard_normal((len(lengths), 12, F))
    if padded:
        expected = Trainer(model).predict(array, lengths=lengths)
        assert same(pygru.predict(model, array, lengths=lengths, chunk_size=size), expected)
    else:
        sequences = [row[:n] for row, n in zip(array, lengths, strict=True)]
        assert same(pygru.predict(model, sequences, chunk_size=size), model(sequences))


@pytest.mark.parametrize("case", range(100))
def test_groups_are_as_large_as_they_may_be(case):
    rng = np.random.default_rng(case)
    lengths = rng.integers(0, 51, rng.integers(0, 41)).tolist()
    nbytes, step_bytes = int(rng.integers(1, 5001)), int(rng.integers(0, 21))
    size = chunks.Size(None, nbytes, step_bytes)
    sequences = [np.zeros(length) for length in lengths]
    groups = list(chunks.grouped(sequences, size))

    def fits(group):
        padded = len(group) * max(map(len, group)) * step_bytes
        return len(group) == 1 or sum(each.nbytes for each in group) + padded <= nbytes

    assert [len(each) for group in groups for each in group] == lengths
    assert all(map(fits, groups))
    assert not any(fits([*a, b[0]]) for a, b in pairwise(groups))


def test_only_those_that_run_together_are_padded():
    """A group of many sequences of 8 bytes, of which 256 are padded at a time, to 100 bytes."""
    size = chunks.Size(None, 256 * 100 + 8 * 1000, 100)
    groups = list(chunks.grouped([np.zeros(1)] * 1500, size))
    assert [len(group) for group in groups] == [1000, 500]


def test_rows_of_a_compressed_file_are_read_in_any_order():
    np.savez_compressed("x.npz", X=X)
    rows = files.NpzRows("x.npz", "X")
    for first, end in ((3, 5), (5, 9), (12, 12), (20, 40), (0, 2), (1, 4), (0, N)):
        assert same(rows[first:end], X[first:end])


@pytest.mark.parametrize("nbytes", [1, 1000, 10_000, 10**6, 10**9])
def test_rows_of_an_array_take_what_they_may(nbytes):
    size = chunks.Size(None, nbytes, 40)
    count = size.of_rows(400, 10)
    needed = lambda n: n * 400 + min(n, chunks.BATCH) * 10 * 40  # noqa: E731
    assert count == 1 or needed(count) <= nbytes
    assert needed(count + 1) > nbytes


def test_an_iterator_is_not_read_ahead():
    read = []

    def sequences():
        for i in range(N):
            read.append(i)
            yield X[i]

    seen = []
    out = lambda first, predictions: seen.append(len(read))  # noqa: E731
    pygru.predict(PER_SEQUENCE, sequences(), chunk_size=5, out=out)
    assert seen == [6, 11, 16, 21, 23]  # a sequence more shows that a chunk is full
