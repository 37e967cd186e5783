"""Dask without a cluster: arrays, bags, tables and xarray; dtype, shape and names of results.

The truth is the prediction of the same model for all sequences at once, to the last bit. Here
Dask runs in this process; ``test_dask_cluster.py`` has worker processes, of which some die.
"""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("dask.array")
pytest.importorskip("sklearn", minversion="1.6")
import dask
import dask.array as da
import dask.bag
from dask.base import tokenize
from dask_workers import predict_group, predict_part
from sequence_estimators import classifier, regressor, transformer
from sklearn.pipeline import make_pipeline

import pygru
import pygru.dask
from pygru import GRU, Embedding, Last, Linear, Sequential, Trainer
from pygru.data import Scaler

pytestmark = pytest.mark.filterwarnings("ignore:.*has not converged:UserWarning")

N, T, F = 23, 5, 3
X = np.random.default_rng(0).standard_normal((N, T, F))
Y = np.where(X[:, :, 0].sum(axis=1) > 0, "up", "down")
UP = (Y == "up").astype(float)


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def sequential(seed=0, **options):
    gru = GRU(F, 4, batch_first=True, dtype="float64", **options)
    return Sequential(gru, Last(), Linear(4, 2, dtype="float64"), seed=seed)


def fitted(make, **params):
    return make(max_iter=2, **params).fit(X, Y if make is classifier else UP)


# What predicts, the method, and the prediction for all sequences at once.
CASES = {
    "regressor": lambda: (fitted(regressor), "predict"),
    "labels": lambda: (fitted(classifier), "predict"),
    "probabilities": lambda: (fitted(classifier), "predict_proba"),
    "steps": lambda: (regressor(max_iter=2, pooling=None).fit(X, X[:, :, 0]), "predict"),
    "two outputs": lambda: (regressor(max_iter=2).fit(X, X[:, 0, :2]), "predict"),
    "features": lambda: (fitted(transformer), "transform"),
    "states": lambda: (fitted(transformer, output="states"), "transform"),
    "pipeline": lambda: (make_pipeline(Scaler(), regressor(max_iter=2)).fit(X, UP), "predict"),
    "transformer": lambda: (fitted(transformer), None),
    "function": lambda: (fitted(regressor).predict, None),
    "trainer": lambda: (Trainer(sequential(), loss="cross_entropy"), "predict_classes"),
}


def check(found, expected):
    """What Dask said before is what it computes, and both are the expected array."""
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert type(found._meta) is np.ndarray and found._meta.dtype == expected.dtype
    computed = found.compute()
    assert computed.dtype == expected.dtype
    np.testing.assert_array_equal(computed, expected)


@pytest.mark.parametrize("case", CASES)
def test_predictions_of_estimators(case):
    model, method = CASES[case]()
    x = da.from_array(X, chunks=(7, T, F))
    if method is not None:
        expected = getattr(model, method)(X)
    else:
        expected = model.transform(X) if hasattr(model, "transform") else model(X)
    check(pygru.dask.predict(model, x, method=method), expected)


@pytest.mark.parametrize(
    "chunks", [(N, T, F), (1, T, F), (7, 2, F), (7, T, 2), ((20, 3), 2, 1)]
)
def test_predictions_of_models_however_the_array_is_divided(chunks):
    """An axis of steps that is divided is put together, and not predicted piece by piece."""
    x = da.from_array(X, chunks=chunks)
    for model in (
        sequential(),
        GRU(F, 4, batch_first=True, bidirectional=True, seed=0),
        Linear(F, 2, seed=0),
    ):
        check(pygru.dask.predict(model, x), model.infer(X))


def test_predictions_of_a_loaded_model(tmp_path):
    model = sequential()
    pygru.save(model, tmp_path / "model.safetensors")
    loaded = pygru.load(tmp_path / "model.safetensors")
    check(pygru.dask.predict(loaded, da.from_array(X, chunks=(7, T, F))), model(X))


def test_tables_and_tokens():
    table = X[:, :, 0]
    model = regressor(max_iter=2).fit(table, UP)
    check(pygru.dask.predict(model, da.from_array(table, chunks=(7, 2))), model.predict(table))
    tokens = np.random.default_rng(1).integers(0, 6, (N, T))
    model = Sequential(Embedding(6, 2), GRU(2, 3, batch_first=True), seed=0)
    check(pygru.dask.predict(model, da.from_array(tokens, chunks=(7, T))), model(tokens))


@pytest.mark.parametrize("limit", [0.5, 1e9], ids=["some", "none"])
def test_blocks_may_be_empty_and_their_sizes_unknown(limit):
    """An estimator refuses an empty array; a selection may leave nothing of a block."""
    x = da.from_array(X, chunks=(2, T, F))
    chosen = X[X[:, 0, 0] > limit]
    for model in (fitted(classifier), sequential()):
        found = pygru.dask.predict(model, x[x[:, 0, 0] > limit])
        assert np.isnan(found.shape[0])
        whole = model.predict(X) if hasattr(model, "predict") else model(X)
        np.testing.assert_array_equal(found.compute(), whole[X[:, 0, 0] > limit])
        assert len(found.compute()) == len(chosen)


def test_nothing_is_computed_before_dask_is_asked():
    def refuse(block):
        raise AssertionError("this block was read")

    x = da.from_array(X, chunks=(7, T, F)).map_blocks(refuse, meta=X[:0])
    found = pygru.dask.predict(sequential(), x)
    with pytest.raises(AssertionError, match="was read"):
        found.compute()


def test_a_block_is_computed_by_one_thread():
    class Threads:
        def predict(self, x):
            return np.full(len(x), pygru.get_num_threads())

    x = da.from_array(X, chunks=(7, T, F))
    with pygru.num_threads(3):
        assert pygru.dask.predict(Threads(), x).compute().tolist() == [1] * N
        assert pygru.get_num_threads() == 3


def test_wrong_arguments():
    x = da.from_array(X, chunks=(7, T, F))
    model = fitted(regressor)
    predict = pygru.dask.predict
    with pytest.raises(TypeError, match=r"x must be a dask.array.Array, got ndarray; .*from_a"):
        predict(model, X)
    with pytest.raises(ValueError, match=r"x must have shape \(n, T\).*, got \(23,\)"):
        predict(model, x[:, 0, 0])
    with pytest.raises(ValueError, match=r"of which only n may be unknown, got \(5, nan"):
        predict(model, x[:, :, 0][x[:, 0, 0] > 0].T)
    with pytest.raises(ValueError, match="X has 2 features per step"):
        predict(model, x[:, :, :2])
    with pytest.raises(ValueError, match="input_size=3, got 2"):
        predict(sequential(), x[:, :, :2])
    with pytest.raises(ValueError, match="batch_first=True"):
        predict(GRU(F, 4), x)
    with pytest.raises(TypeError, match="model must be a model of pygru, a Trainer"):
        predict(3, x)
    with pytest.raises(ValueError, match="method: a GRURegressor has no method 'predict_prob"):
        predict(model, x, method="predict_proba")
    with pytest.raises(TypeError, match="method must be a text, got int"):
        predict(model, x, method=3)
    with pytest.raises(ValueError, match="not fitted yet"):
        predict(regressor(), x)


class MeanOnly:
    def predict(self, x):
        return x.mean(axis=0)


def test_a_method_without_a_row_for_each_sequence_is_refused():
    with pytest.raises(ValueError, match=r"must return 1 predictions, .* got 5"):
        pygru.dask.predict(MeanOnly(), da.from_array(X))


def test_map_blocks_needs_only_the_dtype_and_the_axes():
    """Dask itself calls the function with arrays that have no or one feature, and gives up."""
    x = da.from_array(X, chunks=(7, T, F))
    for model in (fitted(regressor), Trainer(sequential())):
        axes = {"drop_axis": 2, "chunks": (x.chunks[0], 2)}
        if not isinstance(model, Trainer):
            axes = {"drop_axis": [1, 2]}
        with pytest.raises(ValueError, match="specify the dtype explicitly"):
            x.map_blocks(model.predict, **axes)
        check(x.map_blocks(model.predict, dtype=np.float64, **axes), model.predict(X))


def test_bags_of_sequences_of_any_lengths():
    rng = np.random.default_rng(2)
    sequences = [rng.standard_normal((rng.integers(1, 9), F)) for _ in range(20)]
    model = regressor(max_iter=2).fit(sequences, np.arange(20.0))

    bag = dask.bag.from_sequence(sequences, npartitions=4)
    found = bag.map_partitions(predict_part, model=dask.delayed(model))
    assert found.compute() == model.predict(sequences).tolist()
    none = bag.filter(lambda sequence: len(sequence) > 9)
    assert none.map_partitions(predict_part, model=dask.delayed(model)).compute() == []


def test_xarray_with_axes_in_any_order_and_place():
    xarray = pytest.importorskip("xarray")
    model = fitted(regressor)
    values = np.stack([X, X[::-1]], axis=1)  # (N, 2, T, F)
    grid = xarray.DataArray(values, dims=("lat", "lon", "time", "feature"))

    def predict(x):
        return model.predict(x.reshape(-1, *x.shape[-2:])).reshape(x.shape[:-2])

    found = xarray.apply_ufunc(
        predict,
        grid.transpose("feature", "lat", "time", "lon").chunk(lat=7, lon=1),
        input_core_dims=[["time", "feature"]],
        dask="parallelized",
        output_dtypes=[np.float64],
    )
    assert found.dims == ("lat", "lon") and found.dtype == np.float64
    expected = np.stack([model.predict(X), model.predict(X[::-1])], axis=1)
    np.testing.assert_array_equal(found.values, expected)


def test_tables_of_dask():
    """Dask moves the rows of a group together, but not in their order: the function sorts."""
    pytest.importorskip("dask.dataframe")
    pandas = pytest.importorskip("pandas")
    import dask.dataframe

    model = fitted(regressor)
    table = pandas.DataFrame(X.reshape(-1, F), columns=list("abc"))
    table["id"], table["time"] = np.repeat(np.arange(N), T), np.tile(np.arange(T), N)
    parts = dask.dataframe.from_pandas(table, npartitions=3)
    assert any(start % T for start in parts.divisions[1:-1])  # some sequence is divided
    found = parts.groupby("id")[["time", *"abc"]].apply(
        predict_group, model=model, meta=("prediction", float)
    )
    assert found.dtype == float
    found = found.compute().sort_index()
    np.testing.assert_array_equal(found.to_numpy(), model.predict(X))


# ---- tokens ----------------------------------------------------------------------------------

COPIES = {
    "made again": lambda model, make: make(),
    "deepcopy": lambda model, make: copy.deepcopy(model),
    "pickle": lambda model, make: pickle.loads(pickle.dumps(model)),
}
MODELS = {
    "GRU": lambda: GRU(3, 4, 2, bidirectional=True, seed=0),
    "Sequential": sequential,
    "Seq2Seq": lambda: pygru.Seq2Seq(5, 6, embedding_dim=2, hidden_size=4, seed=0),
    "Linear": lambda: Linear(3, 2, seed=0),
    "classifier": lambda: fitted(classifier, dropout=0.2),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_equal_models_have_equal_tokens(make, how):
    model = make()
    token = tokenize(model, ensure_deterministic=True)
    assert tokenize(COPIES[how](model, make), ensure_deterministic=True) == token


def test_a_file_has_the_token_of_its_model(tmp_path):
    model = sequential(recurrent_dropout=0.3)
    Trainer(model, loss="cross_entropy", seed=0).fit(X, Y == "up")
    assert model.grads["0.weight_hh_l0"].any()  # which a file does not hold
    pygru.save(model, tmp_path / "model.safetensors")
    for _ in range(2):
        assert tokenize(pygru.load(tmp_path / "model.safetensors")) == tokenize(model)


def test_tokens_are_the_same_in_another_process():
    code = (
        "import pygru; from dask.base import tokenize; "
        "print(tokenize(pygru.Sequential(pygru.GRU(2, 3, batch_first=True), seed=0)))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", code],
        env={"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    here = tokenize(Sequential(GRU(2, 3, batch_first=True), seed=0))
    assert done.stdout.strip() == here


class Doubled(Linear):
    def infer(self, x, **told):
        return 2 * super().infer(x, **told)


def test_models_that_compute_something_else_have_other_tokens():
    model = sequential()
    tokens = {tokenize(model)}
    Trainer(model, loss="cross_entropy", seed=0).fit(X[:1], np.zeros(1, int))
    tokens.add(tokenize(model))  # after one step
    model.parameters["0.bias_hh_l0"][-1] += 1e-9
    tokens.add(tokenize(model))
    others = [
        sequential(seed=1),
        sequential(variant="pytorch"),
        sequential(zoneout=0.5),
        Sequential(*sequential().layers[:2]),
        GRU(2, 8, seed=0),
        GRU(2, 8, seed=0, dtype="float64"),
        GRU(2, 8, seed=0, batch_first=True),
        Linear(3, 2, seed=0),
        Doubled(3, 2, seed=0),
        Sequential(Linear(3, 2, seed=0)),
    ]
    frozen = sequential()
    frozen.layers[0].trainable = False
    others.append(frozen)
    doubled = Doubled(3, 2)
    doubled.flat_parameters = others[-4].flat_parameters
    others.append(Sequential(doubled))
    tokens |= {tokenize(other) for other in others}
    assert len(tokens) == 3 + len(others)
    assert tokenize(model.infer) != tokenize(sequential().infer)


def test_results_of_equal_models_have_the_same_name():
    """So Dask computes them once."""
    x = da.from_array(X, chunks=(7, T, F))
    one, same = (pygru.dask.predict(sequential(), x) for _ in range(2))
    other = pygru.dask.predict(sequential(seed=1), x)
    assert one.name == same.name != other.name


def test_the_module_needs_dask():
    code = (
        "import sys; sys.modules['dask'] = None\n"
        "import pygru; assert 'pygru.dask' not in sys.modules\n"
        "try:\n    import pygru.dask\n"
        "except ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert 'pygru.dask needs dask>=2024.8; install it with  pip install "pygru[dask]"' in (
        done.stdout
    ), done.stderr
