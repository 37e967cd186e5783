"""Linear keeps packed weights: always those of the present parameters, to the same bits.

These tests fail if a layer computes with packed weights that are out of date, if it packs
again although nothing has changed, or if it overwrites packed weights that another call
computes with.
"""

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import pygru
from pygru import GRU, SGD, Last, Linear, Sequential
from pygru.core import _affine, _core, _weights, backend
from pygru.core.affine import affine, affine_map, apply

DTYPES = [np.float32, np.float64]
X = np.random.default_rng(4).standard_normal((6, 5))
needs_simd = pytest.mark.skipif(
    not _core.has_simd_engine(), reason="packed weights need the SIMD engine"
)


@pytest.fixture(params=[name for name, runs in _core.kernel_names().items() if runs])
def kernels(request, monkeypatch):
    """Every set of kernels that runs here."""
    chosen = _core.Kernels(request.param, backend.current().kernels.engine)
    monkeypatch.setattr(backend, "_current", backend.current()._replace(kernels=chosen))


def same(a, b):
    assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def packed_anew(layer, x):
    """The output of a layer by a call that packs the present parameters itself."""
    rows = np.ascontiguousarray(x, layer.dtype)
    bias = layer.parameters["bias"].copy() if layer.bias else None
    return affine(rows, layer.parameters["weight"].copy(), bias)


# ---- the same bits as a call that packs --------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "size", [(1, 1, 1), (1, 64, 1), (7, 3, 17), (129, 16, 257), (40, 200, 300), (0, 3, 2)]
)
def test_kept_weights_change_no_bit(size, bias, dtype, kernels):
    """By the short way for few rows, and by the long one."""
    rows, inputs, outputs = size
    layer = Linear(inputs, outputs, bias=bias, dtype=dtype, seed=0)
    x = np.random.default_rng(1).standard_normal((rows, inputs)).astype(dtype)
    expected = packed_anew(layer, x)
    for _ in range(2):
        same(layer(x), expected)
        same(apply(layer._map, x), expected)
        same(layer.forward(np.asfortranarray(x))[0], expected)  # which must be converted


def test_threads_change_no_bit():
    layer = Linear(100, 300, seed=0)
    x = np.random.default_rng(1).standard_normal((700, 100)).astype(np.float32)
    for n_threads in (1, 2, 5):
        with pygru.num_threads(n_threads):
            same(layer(x), packed_anew(layer, x))


@pytest.mark.parametrize("given", [X.astype(np.float32), X[0].astype(np.float32), X.tolist()])
def test_inference_gives_what_training_gives(given):
    layer = Linear(5, 3, seed=0)
    same(layer(given), layer.forward(given)[0])
    same(layer(given), layer.forward(np.array(given, np.float64))[0])


@pytest.mark.parametrize(
    "x", [np.float32(1), np.ones((2, 4), np.float32), np.ones((0, 6), np.float32)]
)
def test_an_x_that_does_not_fit_is_refused(x):
    with pytest.raises(ValueError, match="x must have shape"):
        Linear(5, 3, seed=0)(x)


def test_an_x_whose_floats_are_not_aligned_is_copied():
    raw = np.zeros(5 * 4 + 1, np.uint8)
    x = raw[1:].view(np.float32)
    x[...] = X[0]
    layer = Linear(5, 3, seed=0)
    same(layer(x), layer(X[0]))


# ---- always the present parameters -------------------------------------------------------


def write_name(layer):
    layer.parameters["weight"][...] *= 2


def write_bias(layer):
    layer.parameters["bias"][...] += 1


def set_name(layer):
    layer.parameters["bias"] = np.linspace(-1, 1, 3)


def set_flat(layer):
    layer.flat_parameters = np.cos(np.arange(layer.flat_parameters.size))


def load(layer):
    layer.load_state_dict(Linear(5, 3, seed=7).state_dict())


def reseed(layer):
    layer.reseed(9)


def optimise(layer):
    layer.flat_grads[...] = 1
    SGD(0.1).step(layer)


def write_through_memoryview(layer):
    memoryview(layer.flat_parameters)[5] = 0.75


def write_through_ufunc(layer):
    np.negative(layer.parameters["weight"], out=layer.parameters["weight"])


def write_through_part_of_a_part(layer):
    layer.parameters["weight"].T[1:3][::-1][0, ::2] = 0.3


def write_in_another_thread(layer):
    worker = threading.Thread(target=write_name, args=(layer,))
    worker.start()
    worker.join()


CHANGES = [
    write_name,
    write_bias,
    set_name,
    set_flat,
    load,
    reseed,
    optimise,
    write_through_memoryview,
    write_through_ufunc,
    write_through_part_of_a_part,
    write_in_another_thread,
]
ROWS = {"one row": X[:1].astype(np.float32), "converted": X, "many": np.tile(X, (6000, 1))}


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_changed_parameters_are_used_at_once(change, rows):
    layer, x = Linear(5, 3, seed=0), ROWS[rows]
    before = layer(x)
    same(layer(x), before)
    change(layer)
    found = layer(x)
    same(found, packed_anew(layer, x))
    assert not np.array_equal(found, before)


def test_a_view_that_is_kept_may_be_written_at_any_time():
    layer = Linear(5, 3, seed=0)
    layer(X)
    view = layer.parameters["weight"]
    for value in (0.1, 0.2, 0.3):
        view[1] = value
        same(layer(X), packed_anew(layer, X))


def test_a_view_may_be_written_and_let_go():
    """The view exists at one check and not at the next; it was written in between."""
    layer = Linear(5, 3, seed=0)
    view = layer.flat_parameters
    layer(X)
    layer(X)
    view[...] *= 1.5
    del view
    found = layer(X)
    same(found, packed_anew(layer, X))


@needs_simd
@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("make", [Linear, GRU])
def test_weights_that_another_thread_writes_while_they_are_packed(make, held, monkeypatch):
    """They are written after they were compared, and later they are put back.

    The memory for packed weights is allocated between the comparison and the packing. So what
    allocates it does here what another thread may do at that time.
    """
    layer, x = make(5, 3, seed=0), X.astype(np.float32)
    right, expected = layer.flat_parameters.copy(), make(5, 3, seed=0)(x)[0]
    view = layer.flat_parameters if held else None
    allocate, written = _weights.allocate, []

    def write_and_allocate(*arguments):
        layer.flat_parameters[...] = right * 2
        written.append(arguments)
        return allocate(*arguments)

    monkeypatch.setattr(_weights, "allocate", write_and_allocate)
    layer(x)
    monkeypatch.undo()
    assert len(written) == 1
    layer.flat_parameters = right
    same(layer(x)[0], expected)
    assert view is None or (view == right).all()


def test_every_single_parameter_counts():
    layer = Linear(5, 3, seed=0)
    for index in range(layer.flat_parameters.size):
        before = layer(X)
        layer.flat_parameters[index] += 1
        found = layer(X)
        assert not np.array_equal(found, before)
        same(found, packed_anew(layer, X))


def test_a_trained_model_computes_with_its_new_weights():
    model = Sequential(GRU(2, 4, batch_first=True, seed=0), Last(), Linear(4, 1, seed=0))
    x = np.random.default_rng(0).standard_normal((8, 6, 2)).astype(np.float32)
    before = model(x)
    pygru.Trainer(model, seed=0).fit(x, np.ones((8, 1)), epochs=2, batch_size=4)
    found = model(x)
    assert not np.array_equal(found, before)
    last = model.layers[-1]
    features = Sequential(*model.layers[:-1])(x)
    same(found, packed_anew(last, features))


class Scaled(Linear):
    """A layer of a user with a parameter of its own before those of Linear."""

    @staticmethod
    def parameter_shapes(config):
        return {"scale": (1,)} | Linear.parameter_shapes(config)

    def forward(self, x, *, lengths=None, training=True):
        y, tape = super().forward(x, lengths=lengths, training=training)
        return y * self.parameters["scale"], tape


def test_a_class_derived_from_linear():
    layer = Scaled(5, 3, seed=0)
    layer.parameters["scale"] = [2]
    plain = Linear(5, 3, seed=0)
    plain.load_state_dict({name: layer.parameters[name] for name in plain.parameters})
    for _ in range(2):
        same(layer(X), 2 * plain(X))
    layer.create_parameters(seed=5)
    layer.parameters["scale"] = [1]
    same(layer(X), packed_anew(layer, X))


WAYS = {
    **{
        f"pickle{protocol}": lambda layer, protocol=protocol: pickle.loads(
            pickle.dumps(layer, protocol)
        )
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("inside", [False, True])
def test_copies_keep_packed_weights_of_their_own(way, inside):
    one = Sequential(Linear(5, 3, seed=0)) if inside else Linear(5, 3, seed=0)
    expected = one(X)
    other = WAYS[way](one)
    same(other(X), expected)
    layer = other.layers[0] if inside else other
    write_name(layer)
    same(other(X), packed_anew(layer, X))
    same(one(X), expected)


def test_a_shallow_copy_shares_the_parameters():
    one = Linear(5, 3, seed=0)
    other = copy.copy(one)
    one(X), other(X)
    write_name(other)
    same(one(X), packed_anew(other, X))


# ---- when it packs, and into which memory -------------------------------------------------


@needs_simd
@pytest.mark.parametrize("look", [lambda layer: None, lambda layer: layer.state_dict()])
@pytest.mark.parametrize("rows", ROWS)
def test_unchanged_parameters_are_packed_once(rows, look):
    """Packing again would overwrite the mark that the test leaves in the packed weights."""
    layer, x = Linear(5, 3, seed=0), ROWS[rows]
    expected = layer(x)
    packed = layer._map.current()
    right = packed.copy()
    packed.view(layer.dtype)[...] = np.nan
    look(layer)
    assert np.isnan(layer(x)).any()
    packed[...] = right
    same(layer(x), expected)


@needs_simd
def test_packed_weights_that_somebody_holds_are_not_overwritten():
    """A call in another thread may still compute with them."""
    layer, other = Linear(5, 3, seed=0), Linear(5, 3, seed=1)
    held = layer._map.current()
    kept = held.copy()
    layer.load_state_dict(other.state_dict())
    same(layer(X), other(X))
    same(held, kept)


class Interrupting(np.ndarray):
    """An array that does something while a call, which has its weights, looks at its length."""

    def __len__(self):
        self.action()
        return super().__len__()


def test_a_call_that_has_begun_keeps_its_weights():
    layer, other = Linear(5, 3, seed=0), Linear(5, 3, seed=1)
    rows = X.astype(np.float32)
    expected = layer(rows)

    def change():
        layer.load_state_dict(other.state_dict())
        same(layer(rows), other(rows))

    x = rows.view(Interrupting)
    x.action = change
    y = np.empty_like(expected)
    workspace = np.empty(layer._map.workspace(1), np.uint8)
    layer._map.run(1, True, x=x, y=y, workspace=workspace)
    same(y, expected if _core.has_simd_engine() else other(rows))


@needs_simd
def test_packed_weights_that_nobody_holds_are_packed_in_place():
    layer = Linear(5, 3, seed=0)
    address = layer._map.current().ctypes.data
    for seed in (1, 2):
        layer.load_state_dict(Linear(5, 3, seed=seed).state_dict())
        same(layer(X), packed_anew(layer, X))
        assert layer._map.current().ctypes.data == address


def test_threads_that_find_changed_weights_compute_with_whole_ones():
    """The GIL is released while so many weights are packed, so all threads do it at once."""
    layer, others = Linear(200, 300, seed=0), [Linear(200, 300, seed=n) for n in range(6)]
    x = np.random.default_rng(0).standard_normal((20, 200)).astype(np.float32)
    for other in others:
        layer.load_state_dict(other.state_dict())
        with ThreadPoolExecutor(4) as workers:
            found = list(workers.map(layer, [x] * 4))
        for y in found:
            same(y, other(x))


# ---- what the boundary refuses ------------------------------------------------------------


def test_a_core_without_packed_products_reads_the_parameters(monkeypatch):
    monkeypatch.setattr(_affine, "has_simd_engine", lambda: False)
    layer = Linear(5, 3, seed=0)
    assert layer._map.current() is None
    for x in ROWS.values():
        same(layer(x), packed_anew(layer, x))
    write_name(layer)
    same(layer(X), packed_anew(layer, X))


@pytest.mark.parametrize("wrong", [{"weight": -1}, {"weight": 4}, {"bias": 16}, {"inputs": 7}])
def test_a_place_outside_the_parameters_is_refused(wrong):
    owner = Linear(5, 3, seed=0)._parameters_owner
    given = {"inputs": 5, "outputs": 3, "weight": 0, "bias": 15} | wrong
    with pytest.raises(pygru.InternalError, match="not inside the parameters"):
        affine_map(owner, **given)
    given["inputs"] = 2**62
    with pytest.raises((pygru.InternalError, ValueError)):
        affine_map(owner, **given)


def test_arrays_that_do_not_fit_are_refused():
    """Without these checks the core would read or write after their ends."""
    kept = Linear(5, 3, seed=0)._map
    good = {
        "x": np.ones((2, 5), np.float32),
        "y": np.ones((2, 3), np.float32),
        "workspace": np.empty(kept.workspace(1), np.uint8),
    }
    kept.run(1, True, **good)
    for wrong in (
        {"x": np.ones((2, 6), np.float32)},
        {"x": np.ones((2, 5))},
        {"x": np.ones((3, 5), np.float32)},
        {"y": np.ones((2, 2), np.float32)},
        {"workspace": good["workspace"][:-1]},
    ):
        with pytest.raises(pygru.InternalError):
            kept.run(1, True, **good | wrong)
