"""Data larger than memory: ``np.memmap``, and objects like those of h5py and zarr."""

import tracemalloc

import numpy as np
import pytest

from pygru import GRU, Adam, Callback, Last, Linear, Sequential, Trainer

N, T, F = 3000, 40, 8  # 3.84 MB in float32
ALLOWED = 3_000_000  # bytes; checks go in blocks of one megabyte


def trainer_of(outputs=1, per_step=False, loss="mse"):
    layers = [GRU(F, 2, batch_first=True), Last(), Linear(2, outputs)]
    if per_step:
        del layers[1]
    return Trainer(Sequential(*layers, seed=0), loss=loss, optimizer=Adam(0.01), seed=0)


class Stored:
    """An array that can only be read by integers and slices, as some formats allow no more."""

    def __init__(self, array):
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype
        self.largest_read = 0

    def __getitem__(self, key):
        assert isinstance(key, (int, slice)), key
        rows = np.array(self._array[key])
        self.largest_read = max(self.largest_read, rows.nbytes)
        return rows

    def __len__(self):
        return len(self._array)


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, T, F)).astype(np.float32)
    return X, X[:, :, :1].sum(axis=1)


def on_disk(folder, array, dtype=None):
    dtype = array.dtype if dtype is None else np.dtype(dtype)
    stored = np.memmap(folder / "data.bin", dtype, "w+", shape=array.shape)
    stored[...] = array
    stored.flush()
    return np.memmap(folder / "data.bin", dtype, "r", shape=array.shape)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "int16", ">f4", "h5py-like"])
def test_no_copy_of_the_whole_is_made(kind, arrays, tmp_path):
    """Fit, evaluate and predict, with conversion to the model's dtype."""
    X, y = arrays
    if kind == "int16":
        X = (10 * X).astype(np.int16)
    source = Stored(X) if kind == "h5py-like" else on_disk(tmp_path, X, kind)
    trainer = trainer_of()
    trainer.evaluate(X[:2], y[:2])  # imports and buffers
    limit = ALLOWED * max(1, np.dtype(source.dtype).itemsize // 4)
    tracemalloc.start()
    trainer.fit(source, y, batch_size=50, validation=(source, y))
    trainer.evaluate(source, y, batch_size=50)
    trainer.predict(source, batch_size=50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < limit
    assert X.size * max(4, np.dtype(source.dtype).itemsize) > limit or kind in (
        "float16",
        "int16",
    )
    in_memory = trainer_of()
    data = np.asarray(source._array if kind == "h5py-like" else source)
    in_memory.fit(data, y, batch_size=50, validation=(data, y))
    for name, view in trainer.model.parameters.items():
        np.testing.assert_array_equal(view, in_memory.model.parameters[name])


def test_targets_of_every_step_may_be_on_disk_too(arrays):
    X = arrays[0][:300]
    lengths = np.random.default_rng(1).integers(1, T + 1, 300)
    for y, outputs, loss in (
        (X[:, :, :1], 1, "mse"),
        (X[:, :, 0], 1, "mse"),
        ((X[:, :, 0] > 0).astype(int), 2, "cross_entropy"),
    ):
        one, other = trainer_of(outputs, True, loss), trainer_of(outputs, True, loss)
        options = {"lengths": lengths, "batch_size": 50, "validation_split": 0.2, "epochs": 2}
        expected = one.fit(X, y, **options)
        found = other.fit(Stored(X), Stored(y), **options)
        assert found["val_loss"] == expected["val_loss"]
        for name, view in one.model.parameters.items():
            np.testing.assert_array_equal(view, other.model.parameters[name])
        assert one.predict(Stored(X)).shape == (300, T, outputs)


def test_a_checkpoint_knows_the_data_on_disk(arrays, tmp_path):
    X, y = arrays[0][:200], arrays[1][:200]
    whole, first, second = trainer_of(), trainer_of(), trainer_of()
    whole.fit(X, y, epochs=3, batch_size=50)

    class Stop(Callback):
        def on_batch_end(self, trainer, loss, sequences):
            if trainer.optimizer.steps == 6:
                raise KeyboardInterrupt

    first.callbacks.append(Stop())
    with pytest.raises(KeyboardInterrupt):
        first.fit(X, y, epochs=3, batch_size=50)
    first.save_checkpoint(tmp_path / "c")
    second.resume(tmp_path / "c")
    second.fit(Stored(X), Stored(y), epochs=3, batch_size=50)  # the same numbers
    for name, view in whole.model.parameters.items():
        np.testing.assert_array_equal(view, second.model.parameters[name])


def test_what_is_wrong_on_disk_is_named_with_its_place(arrays):
    X, y = arrays[0][:300].copy(), arrays[1][:300]
    X[271, 5, 3] = np.nan
    with pytest.raises(ValueError, match=r"Input X contains NaN: X\[271, 5, 3\] = nan"):
        trainer_of().fit(Stored(X), y)
    with pytest.raises(TypeError, match="X must be numeric, got dtype <U1"):
        trainer_of().fit(Stored(np.full((3, 2, F), "a")), y[:3])
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[300, 3\]"):
        trainer_of().fit(Stored(X), Stored(y[:3]))

    class Liar(Stored):
        def __getitem__(self, key):
            return super().__getitem__(key)[..., :1]

    with pytest.raises(ValueError, match=r"X says that it has shape \(300, 40, 8\)"):
        trainer_of().fit(Liar(arrays[0][:300]), y)


def test_h5py(arrays, tmp_path):
    """The real one, where it is installed."""
    h5py = pytest.importorskip("h5py")
    X, y = arrays[0][:100], arrays[1][:100]
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["X"], file["y"] = X, y
    one, other = trainer_of(), trainer_of()
    one.fit(X, y)
    with h5py.File(tmp_path / "data.h5") as file:
        other.fit(file["X"], file["y"])
    for name, view in one.model.parameters.items():
        np.testing.assert_array_equal(view, other.model.parameters[name])
