"""The two engines: same bits in any batch, agreement, packed weights, floating-point state.

These tests fail if the order of a sum depends on the batch, if a gate is computed by a formula
that differs in the last bits, if packed weights are out of date, or if a change of the
floating-point state remains after a call.
"""

import ctypes
import ctypes.util
import hashlib
import platform
import sys
import threading

import numpy as np
import pytest
from engines import ENGINES, FUSED_SETS, HAS_SIMD, SETS, THREADING, use_engine
from programs import run_program
from quick import quick_and_slow

import pygru
from pygru import GRU, SGD, Variant
from pygru.core import _calls, _core, _plans, backend

VARIANTS = ["chung", "cho", "pytorch", Variant("after", "replace")]
DTYPES = ["float32", "float64"]

needs_simd = pytest.mark.skipif(not HAS_SIMD, reason="needs the SIMD engine")
every_variant = pytest.mark.parametrize("variant", VARIANTS, ids=str)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_set = pytest.mark.parametrize("kernels", SETS)
every_engine = pytest.mark.parametrize("engine", ENGINES)


def same(actual, expected):
    np.testing.assert_array_equal(actual, expected, strict=True)


# ---- the same bits in any batch --------------------------------------------------------

T = 5
MOST = 70  # sequences: more than fit into one chunk, or into one block of rows
FEW_SHAPES = [(5, 1), (1, 7), (3, 8), (20, 15), (6, 33)]
MORE_SHAPES = [(2, 3), (5, 16), (40, 17), (9, 64), (30, 100)]
MORE_SHAPES += [(600, 300)]  # it has more weights than the first-level cache holds


def model(I, H, variant, dtype, **options):
    """A GRU, MOST sequences (T, MOST, I) and their initial states."""
    gru = GRU(I, H, variant=variant, dtype=dtype, seed=0, **options)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((T, MOST, I)).astype(dtype)
    states = gru.num_layers * gru.num_directions
    return gru, x, rng.uniform(-1, 1, (states, MOST, H)).astype(dtype)


def one_by_one(gru, x, h0):
    """Each sequence alone: the outputs (T, B, D*H) and the last states."""
    alone = [gru(x[:, b], h0[:, b]) for b in range(x.shape[1])]
    return np.stack([y for y, _ in alone], 1), np.stack([h for _, h in alone], 1)


def check_batches(gru, x, h0, sizes):
    """Compare batches, of equal and of different lengths, with single sequences."""
    rng = np.random.default_rng(2)
    output, h_n = one_by_one(gru, x, h0)
    shorter = [one_by_one(gru, x[:length], h0) for length in range(1, T + 1)]
    for B in sizes:
        found = gru(x[:, :B], h0[:, :B])
        same(found[0], output[:, :B])
        same(found[1], h_n[:, :B])
        lengths = rng.integers(0, T + 1, B)
        found = gru(x[:, :B], h0[:, :B], lengths=lengths)
        for b, length in enumerate(lengths):
            same(found[0][length:, b], np.zeros_like(output[length:, b]))
            if length:
                same(found[0][:length, b], shorter[length - 1][0][:, b])
                same(found[1][:, b], shorter[length - 1][1][:, b])
            else:
                same(found[1][:, b], h0[:, b])


@needs_simd
@every_set
@every_dtype
@every_variant
@pytest.mark.parametrize("shape", quick_and_slow(FEW_SHAPES, MORE_SHAPES), ids=str)
def test_sequence_has_the_same_bits_in_any_batch(shape, variant, dtype, kernels, monkeypatch):
    I, H = shape
    use_engine(monkeypatch, "simd", kernels)
    sizes = (1, 2, 3, 5, 8, 9, 13, 16, 33, 65, MOST) if H < 100 else (2, 7, MOST)
    check_batches(*model(I, H, variant, dtype), sizes)


@needs_simd
@every_dtype
@every_variant
def test_no_batch_size_is_an_exception(variant, dtype, monkeypatch):
    use_engine(monkeypatch, "simd")
    check_batches(*model(3, 17, variant, dtype), range(1, MOST + 1))


@needs_simd
@every_dtype
@every_variant
@pytest.mark.parametrize("bidirectional", [False, True])
def test_layers_and_directions_have_the_same_bits_in_any_batch(
    bidirectional, variant, dtype, monkeypatch
):
    use_engine(monkeypatch, "simd")
    for H in (7, 16, 33):
        gru, x, h0 = model(5, H, variant, dtype, num_layers=3, bidirectional=bidirectional)
        check_batches(gru, x, h0, (2, 8, 21, MOST))


@pytest.mark.slow
@needs_simd
@every_set
@every_dtype
@every_variant
def test_steps_have_the_bits_of_whole_sequences(variant, dtype, kernels, monkeypatch):
    use_engine(monkeypatch, "simd", kernels)
    for I, H in FEW_SHAPES + MORE_SHAPES:
        gru, x, h0 = model(I, H, variant, dtype, num_layers=2)
        output, h_n = gru(x, h0)
        for batch in (None, 1, 6, MOST):
            rows = 4 if batch is None else slice(batch)
            h = h0[:, rows].copy()
            stream = gru.stream(batch)
            stream.h = h
            for x_t, y_t in zip(x[:, rows], output[:, rows], strict=True):
                h = gru.step(x_t, h)
                same(h[-1], y_t)
                same(stream(x_t), y_t)
            same(h, h_n[:, rows])
            same(stream.h, h)


@needs_simd
@every_dtype
@every_variant
@pytest.mark.parametrize("bidirectional", [False, True])
def test_training_has_the_bits_of_inference(bidirectional, variant, dtype, monkeypatch):
    """In every kind of forward pass, with any number of threads."""
    use_engine(monkeypatch, "simd")
    options = {"num_layers": 2, "bidirectional": bidirectional}
    for I, H in ((1, 7), (5, 16), (6, 33), (30, 100)):
        gru, x, h0 = model(I, H, variant, dtype, **options)
        output, h_n = gru(x, h0, n_threads=1)
        for n_threads in (1, 2, 5):
            same(gru(x, h0, n_threads=n_threads)[0], output)
            for memory in ("gates", "outputs"):
                found = gru.forward(x, h0, memory=memory, n_threads=n_threads)
                same(found[0], output)
                same(found[1], h_n)


@needs_simd
@every_dtype
@every_variant
@pytest.mark.parametrize("batch_first", [False, True])
def test_short_call_like_one_before_has_its_bits(batch_first, variant, dtype, monkeypatch):
    """The second call with the same shape takes a shorter way through Python."""
    use_engine(monkeypatch, "simd")
    options = {"num_layers": 2, "bidirectional": True, "batch_first": batch_first}
    gru, x, h0 = model(5, 16, variant, dtype, **options)
    for B in (1, 4):
        batch = x[:, :B].swapaxes(0, 1).copy() if batch_first else x[:, :B].copy()
        output, h_n = gru(batch, np.zeros_like(h0[:, :B]))
        for _ in range(3):
            found = gru(batch)
            same(found[0], output)
            same(found[1], h_n)


@needs_simd
@every_dtype
@every_variant
def test_states_computed_again_give_the_gradients_of_those_kept(variant, dtype, monkeypatch):
    """memory="outputs" computes the gates a second time, in blocks of other sizes."""
    use_engine(monkeypatch, "simd")
    for H in (7, 16, 33):
        gru, x, h0 = model(5, H, variant, dtype, num_layers=2)
        found = []
        for memory in ("gates", "outputs"):
            gru.zero_grad()
            output, h_n, tape = gru.forward(x, h0, memory=memory)
            found.append((*gru.backward(tape, np.cos(output), h_n), gru.flat_grads.copy()))
        for kept, again in zip(*found, strict=True):
            same(again, kept)


@needs_simd
@every_dtype
@every_variant
def test_gates_of_a_sequence_have_the_same_bits_in_any_batch(variant, dtype, monkeypatch):
    use_engine(monkeypatch, "simd")
    for I, H in ((1, 7), (5, 16), (6, 33)):
        gru, x, h0 = model(I, H, variant, dtype, num_layers=2, bidirectional=True)
        together = gru.gates(x, h0)
        for b in (0, 11, MOST - 1):
            alone = gru.gates(x[:, b], h0[:, b])
            for cell, cell_alone in zip(together, alone, strict=True):
                for array, array_alone in zip(cell, cell_alone, strict=True):
                    same(array[:, b], array_alone)


# ---- agreement -------------------------------------------------------------------------


def everything(monkeypatch, engine, kernels, variant, dtype, memory, **options):
    """All results of a forward and backward pass on one engine, by name."""
    use_engine(monkeypatch, engine, kernels)
    gru, x, h0 = model(6, 19, variant, dtype, num_layers=2, **options)
    lengths = np.random.default_rng(3).integers(0, T + 1, MOST)
    output, h_n, tape = gru.forward(x, h0, lengths=lengths, memory=memory)
    d_x, d_h0 = gru.backward(tape, np.cos(output), np.sin(h_n))
    return {
        "output": output,
        "h_n": h_n,
        "d_x": d_x,
        "d_h0": d_h0,
        "grads": gru.flat_grads.copy(),
    }


@needs_simd
@every_set
@every_dtype
@every_variant
@pytest.mark.parametrize("memory", ["gates", "outputs"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_engines_agree(bidirectional, memory, variant, dtype, kernels, monkeypatch):
    arguments = (kernels, variant, dtype, memory)
    found = everything(monkeypatch, "simd", *arguments, bidirectional=bidirectional)
    expected = everything(monkeypatch, "blas", *arguments, bidirectional=bidirectional)
    eps = np.finfo(dtype).eps
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, 200 * eps, 200 * eps, err_msg=name)
        assert array.any()


@needs_simd
@pytest.mark.parametrize("kernels", FUSED_SETS)
@every_dtype
@every_variant
def test_sets_that_fuse_give_the_same_bits(variant, dtype, kernels, monkeypatch):
    """Their vectors differ in length, so remainders that are computed otherwise show."""
    arguments = (variant, dtype, "gates")
    found = everything(monkeypatch, "simd", kernels, *arguments)
    expected = everything(monkeypatch, "simd", FUSED_SETS[0], *arguments)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


# ---- which engine ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "complaint", "choice"),
    [
        ({"PYGRU_ENGINE": "cuda"}, "PYGRU_ENGINE='cuda' is not supported", ", ".join(ENGINES)),
        ({"PYGRU_ENGINE": "SIMD"}, "PYGRU_ENGINE='SIMD' is not supported", ", ".join(ENGINES)),
        ({"PYGRU_SIMD": "sse9"}, "PYGRU_SIMD='sse9' is not supported", ", ".join(SETS)),
        ({"PYGRU_THREADING": "tbb"}, "PYGRU_THREADING='tbb' is not", ", ".join(THREADING)),
    ],
    ids=str,
)
def test_what_does_not_exist_is_refused_at_import(variables, complaint, choice):
    done = run_program("import pygru", **variables)
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert message.startswith(f"ImportError: {complaint}")
    assert message.endswith((f"have: {choice})", f"has: {choice})"))


@pytest.mark.parametrize("kernels", SETS)
@every_engine
def test_engine_and_kernels_are_those_of_the_environment(engine, kernels):
    code = (
        "import pygru; c = pygru.show_config('dicts'); print(c['engine'], c['kernels']);"
        "pygru.GRU(2, 3, seed=0).step([1, 2], [[0, 0, 0]])"
    )
    done = run_program(code, PYGRU_ENGINE=engine, PYGRU_SIMD=kernels)
    assert (done.returncode, done.stdout) == (0, f"{engine} {kernels}\n"), done.stderr


@pytest.mark.parametrize("threading", THREADING)
def test_threads_are_those_of_the_environment(threading):
    """The pool and OpenMP, and a call on one thread, give the same bits."""
    code = """
import hashlib, numpy as np, pygru
gru = pygru.GRU(16, 64, seed=0)
x = np.random.default_rng(0).standard_normal((40, 64, 16)).astype(np.float32)
for n_threads in (1, 2, 3, 2):
    gru.zero_grad()
    output, h_n, tape = gru.forward(x, n_threads=n_threads)
    gru.backward(tape, np.cos(output))
    digest = hashlib.sha256(output.tobytes() + gru.flat_grads.tobytes()).hexdigest()
    print(pygru.show_config("dicts")["threading"], digest)
"""
    done = run_program(code, PYGRU_THREADING=threading)
    assert done.returncode == 0, done.stderr
    gru = pygru.GRU(16, 64, seed=0)
    x = np.random.default_rng(0).standard_normal((40, 64, 16)).astype(np.float32)
    output, _, tape = gru.forward(x)
    gru.backward(tape, np.cos(output))
    digest = hashlib.sha256(output.tobytes() + gru.flat_grads.tobytes()).hexdigest()
    assert done.stdout.splitlines() == [f"{threading} {digest}"] * 4


# ---- packed weights --------------------------------------------------------------------


def write_name(gru):
    gru.parameters["weight_hh_l0"][...] *= 2


def set_name(gru):
    gru.parameters["bias_ih_l0"] = np.linspace(-1, 1, 12)


def write_flat(gru):
    gru.flat_parameters[3:40] += 0.5


def set_flat(gru):
    gru.flat_parameters = np.cos(np.arange(gru.flat_parameters.size))


def load(gru):
    gru.load_state_dict(GRU(3, 4, seed=7).state_dict())


def optimise(gru):
    gru.flat_grads[...] = 1
    SGD(0.1).step(gru)


def write_through_memoryview(gru):
    memoryview(gru.flat_parameters)[5] = 0.75


def write_through_ufunc(gru):
    np.negative(gru.parameters["weight_ih_l0"], out=gru.parameters["weight_ih_l0"])


def write_through_part_of_a_part(gru):
    gru.parameters["weight_hh_l0"].T[1:3][::-1][0, ::2] = 0.3


def write_in_another_thread(gru):
    worker = threading.Thread(target=write_flat, args=(gru,))
    worker.start()
    worker.join()


CHANGES = [
    write_name,
    set_name,
    write_flat,
    set_flat,
    load,
    optimise,
    write_through_memoryview,
    write_through_ufunc,
    write_through_part_of_a_part,
    write_in_another_thread,
]


@pytest.fixture
def simd(monkeypatch):
    if not HAS_SIMD:
        pytest.skip("needs the SIMD engine")
    use_engine(monkeypatch, "simd")


X = np.random.default_rng(4).standard_normal((6, 3)).astype(np.float32)
H0 = np.random.default_rng(5).uniform(-1, 1, (1, 4)).astype(np.float32)


def from_stream(gru):
    stream = gru.stream()

    def call():
        stream.h = H0
        return np.array([stream(x_t).copy() for x_t in X])

    return call


def from_gradients(gru):
    def call():
        gru.zero_grad()
        output, h_n, tape = gru.forward(X, H0)
        d_x, d_h0 = gru.backward(tape, output, h_n)
        return np.concatenate([d_x.ravel(), d_h0.ravel(), gru.flat_grads])

    return call


# For a GRU, functions that compute something with its current weights.
USES = {
    "call": lambda gru: lambda: gru(X, H0)[0],
    "short call": lambda gru: lambda: gru(X[:, None])[0],
    "step": lambda gru: lambda: gru.step(X[0], H0),
    "stream": from_stream,
    "backward": from_gradients,
    "gates": lambda gru: lambda: np.array(gru.gates(X, H0)[0]),
}


def with_the_weights_of(gru):
    fresh = GRU(3, 4, seed=99)
    fresh.load_state_dict(gru.state_dict())
    return fresh


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_changed_weights_are_used_at_once(change, use, simd):
    """Look at the first result after the change, before any other call could repack."""
    gru = GRU(3, 4, seed=0)
    call = USES[use](gru)
    before = call().copy()
    same(call(), before)
    change(gru)
    found = call().copy()
    same(found, USES[use](with_the_weights_of(gru))())
    assert not np.array_equal(found, before)


@pytest.mark.parametrize("use", USES)
def test_view_that_is_kept_may_be_written_at_any_time(use, simd):
    gru = GRU(3, 4, seed=0)
    call = USES[use](gru)
    view = gru.parameters["weight_hh_l0"]
    for value in (0.1, 0.2, 0.3):
        view[1] = value
        found = call().copy()
        same(found, USES[use](with_the_weights_of(gru))())


@pytest.mark.parametrize("use", USES)
def test_view_may_be_written_and_let_go(use, simd):
    """The view exists at one check and not at the next; it was written in between."""
    gru = GRU(3, 4, seed=0)
    call = USES[use](gru)
    view = gru.flat_parameters
    call()
    call()
    view[...] *= 1.5
    del view
    found = call().copy()
    same(found, USES[use](with_the_weights_of(gru))())


def test_every_single_weight_counts(simd):
    gru = GRU(3, 4, seed=0)
    x = np.concatenate([X, X])
    for index in range(gru.flat_parameters.size):
        before = gru(x, H0)[0]
        gru.flat_parameters[index] += 1
        found = gru(x, H0)[0]
        assert not np.array_equal(found, before)
        same(found, with_the_weights_of(gru)(x, H0)[0])


def test_weights_that_return_give_the_old_result(simd):
    gru = GRU(3, 4, seed=0)
    before, weights = gru(X, H0)[0], gru.flat_parameters.copy()
    gru.flat_parameters = weights * 2
    gru(X, H0)
    gru.flat_parameters = weights
    same(gru(X, H0)[0], before)


@pytest.mark.parametrize("look", [lambda gru: None, lambda gru: gru.flat_parameters.copy()])
@pytest.mark.parametrize("use", USES)
def test_unchanged_weights_are_packed_once(use, look, simd):
    """Packing again would overwrite the mark that the test leaves in the packed weights."""
    gru = GRU(3, 4, seed=0)
    call = USES[use](gru)
    expected = call().copy()
    packed = gru._runner.packed_weights()
    right = packed.copy()
    packed.view(gru.dtype)[...] = np.nan
    look(gru)
    assert np.isnan(call()).any()
    assert gru._runner.packed_weights().ctypes.data == packed.ctypes.data
    packed[...] = right
    same(call(), expected)


def test_packed_weights_that_somebody_holds_are_not_overwritten(simd):
    """A call in another thread may still compute with them."""
    gru, other = GRU(3, 4, seed=0), GRU(3, 4, seed=1)
    held = gru._runner.packed_weights()
    kept = held.copy()
    gru.load_state_dict(other.state_dict())
    same(gru(X)[0], other(X)[0])
    same(held, kept)


def test_packed_weights_that_nobody_holds_are_packed_in_place(simd):
    """Every training step packs; new memory each time would cost as much as packing."""
    gru = GRU(3, 4, seed=0)
    address = gru._runner.packed_weights().ctypes.data
    for seed in (1, 2):
        other = GRU(3, 4, seed=seed)
        gru.load_state_dict(other.state_dict())
        same(gru(X)[0], other(X)[0])
        assert gru._runner.packed_weights().ctypes.data == address


def test_models_have_packed_weights_of_their_own(simd):
    one, two = GRU(3, 4, seed=0), GRU(3, 4, seed=1)
    expected = one(X)[0]
    two(X)
    same(one(X)[0], expected)
    copied = with_the_weights_of(one)
    write_flat(copied)
    copied(X)
    same(one(X)[0], expected)


# ---- floating-point state --------------------------------------------------------------


def halving(dtype, B=64, H=16):
    """A GRU that halves its state in each step: z is 1/2 and the candidate 0."""
    gru = GRU(3, H, dtype=dtype, seed=0)
    gru.flat_parameters = np.zeros_like(gru.flat_parameters)
    steps = 200 if dtype == "float32" else 1200
    return gru, np.zeros((steps, B, 3), dtype), np.ones((1, B, H), dtype)


def no_denormals(array):
    return bool(((array == 0) | (np.abs(array) >= np.finfo(array.dtype).tiny)).all())


@every_engine
@every_dtype
@pytest.mark.parametrize("n_threads", [1, 2])
def test_states_and_gradients_that_decay_end_at_zero(n_threads, dtype, engine, monkeypatch):
    """On every thread of the call."""
    use_engine(monkeypatch, engine)
    gru, x, h0 = halving(dtype)
    output, h_n, tape = gru.forward(x, h0, n_threads=n_threads)
    same(output[10], np.full_like(output[10], 2.0**-11))
    assert no_denormals(output)
    assert not h_n.any()
    _, d_h0 = gru.backward(tape, d_h_n=np.ones_like(h_n))
    assert not d_h0.any()
    assert no_denormals(gru.flat_grads)


@every_engine
@every_dtype
@pytest.mark.parametrize("batch", [None, 64])
def test_state_of_a_stream_ends_at_zero(batch, dtype, engine, monkeypatch):
    use_engine(monkeypatch, engine)
    gru, x, h0 = halving(dtype)
    rows = 0 if batch is None else slice(None)
    stream = gru.stream(batch)
    stream.h = h = h0[:, rows].copy()
    for x_t in x[:, rows]:
        h = gru.step(x_t, h)
        assert no_denormals(h)
        same(stream(x_t), h[-1])
    assert not h.any()


def extreme():
    """Inputs on which the core overflows, underflows and makes NaN."""
    x = np.zeros((7, 64, 3), np.float32)
    x[1] = 3e38
    x[2, :, ::2] = -np.inf
    x[3] = 1e-42
    x[4, 5] = np.nan
    return x


def call_everything(gru, x):
    """The results of every function of the core, by name."""
    output, h_n, tape = gru.forward(x, n_threads=2)
    d_x, d_h0 = gru.backward(tape, output, h_n)
    return {
        "call": gru(x, n_threads=2)[0],
        "output": output,
        "d_x": d_x,
        "d_h0": d_h0,
        "step": gru.step(x[1], h_n),
        "stream": gru.stream(64)(x[2]).copy(),
    }


@every_engine
def test_warnings_of_numpy_are_not_disturbed(engine, monkeypatch):
    use_engine(monkeypatch, engine)
    x = extreme()
    with np.errstate(all="ignore"):
        expected = call_everything(GRU(3, 40, seed=0), x)
    with np.errstate(all="raise"):
        found = call_everything(GRU(3, 40, seed=0), x)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert np.isnan(expected["output"]).any()


@every_engine
def test_denormals_of_the_caller_survive(engine, monkeypatch):
    use_engine(monkeypatch, engine)
    small, smaller = np.array([1e-40], np.float32), np.array([5e-324])
    gru = GRU(3, 40, seed=0)
    x = np.ones((7, 64, 3), np.float32)
    h_n = gru(x)[1]
    stream = gru.stream(64)
    tape = gru.forward(x)[2]
    calls = [
        lambda: gru(x, n_threads=2),
        lambda: gru.forward(x),
        lambda: gru.backward(tape, d_h_n=h_n),
        lambda: gru.step(x[0], h_n),
        lambda: stream(x[0]),
        lambda: gru.step(x[0, 0], h_n[:, 0]),
        lambda: gru(x[:, :0]),
    ]
    for call in calls:
        call()
        assert (small * np.float32(1))[0] == small[0]
        assert (smaller * 1.0)[0] != 0
        assert sys.float_info.min / 2 != 0


@pytest.fixture
def libm():
    """Set flags and rounding through the C library, and check them afterwards."""
    name = ctypes.util.find_library("m")
    if platform.machine() != "x86_64" or name is None or sys.platform == "win32":
        pytest.skip("the numbers of the flags are those of x86-64")
    library = ctypes.CDLL(name)
    kept = library.fegetround()
    yield library
    library.fesetround(kept)
    library.feclearexcept(0x3F)


@every_engine
def test_flags_of_the_caller_are_kept(engine, libm, monkeypatch):
    """The core neither sets nor clears them. (0x20, inexact, is set by any computation.)"""
    use_engine(monkeypatch, engine)
    gru, x = GRU(3, 40, seed=0), extreme()
    stream = gru.stream(64)
    h = gru(x)[1]
    for call in (lambda: gru.step(x[1], h, out=h), lambda: stream(x[2])):
        call()
        for flags in (0, 0x04, 0x01 | 0x08 | 0x10):
            libm.feclearexcept(0x3F)
            libm.feraiseexcept(flags)
            before = libm.fetestexcept(0x1F)
            call()
            assert libm.fetestexcept(0x1F) == before


@every_engine
def test_rounding_of_the_caller_matters_not_and_is_kept(engine, libm, monkeypatch):
    use_engine(monkeypatch, engine)
    gru, x = GRU(3, 40, seed=0), np.ones((7, 64, 3), np.float32)
    expected = gru(x, n_threads=1)[0]
    out = np.empty_like(expected)
    upward = 0x800
    libm.fesetround(upward)
    gru(x, out=out, n_threads=1)
    rounding = libm.fegetround()
    libm.fesetround(0)
    assert rounding == upward
    same(out, expected)


def test_core_refuses_packed_weights_that_are_missing(simd):
    """Without the check the core would read from address 0."""
    gru = GRU(3, 4, seed=0)
    plan = _plans.Plan(gru._runner.config, _core.ENGINE_SIMD, 6, 1, None, _core.KEEP_NOTHING)
    arrays = {
        "parameters": gru.flat_parameters,
        "packed": None,
        "x": X[:, None],
        "h0": None,
        "y": np.empty((6, 1, 4), np.float32),
        "h_n": np.empty(4, np.float32),
        "tape": None,
        "noise": None,
        "workspace": np.empty(plan.sizes(1)["forward_workspace"], np.uint8),
    }
    kernels = _core.Kernels(SETS[-1], _core.ENGINE_SIMD)
    with pytest.raises(pygru.InternalError):
        _calls.forward(plan, backend.current().blas, kernels, 1, True, **arrays)
    arrays["packed"] = gru._runner.packed_weights()[:-1]
    with pytest.raises(pygru.InternalError, match=r"expected \d+ elements"):
        _calls.forward(plan, backend.current().blas, kernels, 1, True, **arrays)
    arrays["packed"] = gru._runner.packed_weights()
    _calls.forward(plan, backend.current().blas, kernels, 1, True, **arrays)
    same(arrays["y"][:, 0], gru(X)[0])
