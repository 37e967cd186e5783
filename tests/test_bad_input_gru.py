"""Bad input to the GRU, row by row of the project's table B-01 to B-75.

Every row of the table that concerns the layer has one or more cases here, with the row in the
test's id. A refused input must raise the right type of error with a message that names the
argument. It must leave parameters, gradients and the random generator as they were. An input
that must be accepted must give the same bits as its plain equivalent.
"""

import copy
import hashlib
import pickle
import subprocess
import sys
import threading
import types

import numpy as np
import pytest
from patience import PATIENCE
from scipy import sparse

import pygru
from pygru import GRU
from pygru.core import blas

T, B, I, H, L = 6, 3, 4, 5, 2
BIG = 10**400  # a Python int that is too large for a float


def state_hash(gru):
    """A digest of everything that a failed call must not change."""
    digest = hashlib.sha256()
    digest.update(gru.flat_parameters.tobytes())
    digest.update(gru.flat_grads.tobytes())
    digest.update(repr(gru.generator.bit_generator.state).encode())
    digest.update(repr(sorted(gru.get_config().items())).encode())
    return digest.hexdigest()


def make_gru(**options):
    """A GRU with gradients that are not zero, so that a test notices lost ones."""
    gru = GRU(I, H, L, seed=0, **options)
    gru.flat_grads[...] = np.arange(gru.flat_grads.size)
    return gru


def make_x(dtype=np.float32):
    return np.random.default_rng(1).standard_normal((T, B, I)).astype(dtype)


@pytest.fixture
def gru():
    return make_gru(dropout=0.25)


@pytest.fixture
def x():
    return make_x()


def check_refused(gru, call, exception, match):
    """``call`` must raise, and the GRU must not have changed."""
    before = state_hash(gru)
    with pytest.raises(exception, match=match):
        call()
    assert state_hash(gru) == before
    gru(make_x())  # and it still works


def case(name, *values):
    return pytest.param(*values, id=name)


# ---- constructor -----------------------------------------------------------------------

CONSTRUCTOR = [
    case("B-01-float", {"input_size": 4.0}, TypeError, "input_size must be an int, got float"),
    case("B-01-str", {"input_size": "4"}, TypeError, "input_size must be an int, got str"),
    case("B-01-None", {"input_size": None}, TypeError, "input_size must be an int, got None"),
    case("B-01-H", {"hidden_size": 4.5}, TypeError, "hidden_size must be an int, got float"),
    case("B-01-array", {"hidden_size": np.ones(2)}, TypeError, "hidden_size must be an int"),
    case("B-02", {"input_size": True}, TypeError, "input_size must be an int, got bool"),
    case("B-02-numpy", {"num_layers": np.True_}, TypeError, "num_layers must be an int, got b"),
    case("B-04-zero", {"hidden_size": 0}, ValueError, "hidden_size must be >= 1, got 0"),
    case("B-04-minus", {"hidden_size": -3}, ValueError, "hidden_size must be >= 1, got -3"),
    case("B-04-I", {"input_size": 0}, ValueError, "input_size must be >= 1, got 0"),
    case("B-05", {"num_layers": 0}, ValueError, "num_layers must be >= 1, got 0"),
    case("B-06-above", {"dropout": 1.5}, ValueError, r"dropout must .* in \[0, 1\], got 1.5"),
    case("B-06-below", {"dropout": -0.1}, ValueError, r"dropout must .* in \[0, 1\], got -0"),
    case("B-06-nan", {"dropout": np.nan}, ValueError, r"dropout must .* in \[0, 1\], got nan"),
    case("B-06-huge", {"dropout": BIG}, ValueError, r"dropout must be a number in \[0, 1\]"),
    case("B-07-bool", {"dropout": True}, TypeError, "dropout must be a float, got bool"),
    case("B-07-str", {"dropout": "0.5"}, TypeError, "dropout must be a float, got str"),
    case("B-07-None", {"dropout": None}, TypeError, "dropout must be a float, got NoneType"),
    case("B-09-bias", {"bias": "yes"}, TypeError, "bias must be a bool, got str"),
    case("B-09-first", {"batch_first": 1}, TypeError, "batch_first must be a bool, got int"),
    case("B-09-two", {"bidirectional": None}, TypeError, "bidirectional must be a bool, got N"),
    case("B-10-half", {"dtype": "float16"}, ValueError, "float32 or float64, got float16"),
    case("B-10-int", {"dtype": np.int32}, ValueError, "float32 or float64, got int32"),
    case("B-10-complex", {"dtype": "complex64"}, ValueError, "float32 or float64, got complex"),
    case("B-11", {"dtype": "nope"}, TypeError, "data type 'nope' not understood"),
    case("B-12-str", {"seed": "x"}, TypeError, "SeedSequence expects int"),
    case("B-12-float", {"seed": 1.5}, TypeError, "SeedSequence expects int"),
    case("B-13", {"seed": -1}, ValueError, "expected non-negative integer"),
    case("B-14", {"hidden_size": 2**40}, ValueError, r"hidden_size=1099511627776, .* needs "),
    case(
        "B-14-layers", {"num_layers": 2**21}, ValueError, "num_layers must be <= 1048576, got"
    ),
    case("B-14-L", {"num_layers": 2**62}, ValueError, "the largest supported count is"),
    case("B-14-I", {"input_size": 2**63}, ValueError, "the largest supported count is"),
    case("B-14-big", {"hidden_size": BIG}, ValueError, "the largest supported count is"),
    case(
        "B-15",
        {"input_size": 2**22, "hidden_size": 2**22},
        MemoryError,
        r"pygru: cannot allocate \d+ bytes for GRU weights",
    ),
    case("B-16", {"hiden_size": 3}, TypeError, "unexpected keyword argument 'hiden_size'"),
    case("B-17-init", {"init": "he"}, ValueError, "init must be one of 'torch', 'keras', got"),
    case("B-17-variant", {"variant": "x"}, ValueError, "variant must be one of 'chung', 'cho'"),
    case("B-17-int", {"variant": 1}, TypeError, "variant must be a str or a Variant, got int"),
]


@pytest.mark.parametrize(("options", "exception", "match"), CONSTRUCTOR)
def test_constructor_refuses(options, exception, match):
    arguments = {"input_size": I, "hidden_size": H, "num_layers": L, **options}
    with pytest.raises(exception, match=match):
        GRU(**arguments)


def test_constructor_takes_keywords_after_the_seventh_argument():
    with pytest.raises(TypeError, match="positional argument"):
        GRU(I, H, 1, True, False, 0.0, False, "cho")


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint16], ids="B-03-{0.__name__}".format)
def test_constructor_accepts_numpy_integers(kind):
    gru = GRU(kind(I), kind(H), seed=0)
    assert type(gru.input_size) is int
    assert type(gru.hidden_size) is int
    np.testing.assert_array_equal(gru.flat_parameters, GRU(I, H, seed=0).flat_parameters)


@pytest.mark.parametrize("row", ["B-08"])
def test_dropout_of_one_layer_warns(row):
    with pytest.warns(UserWarning, match="dropout has no effect with num_layers=1"):
        GRU(I, H, dropout=0.5)


# ---- x ---------------------------------------------------------------------------------


class RaisingArray:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no array today")


class LyingArray:
    """Has one shape, and another one after conversion."""

    shape = (T, B, I)
    ndim = 3

    def __array__(self, dtype=None, copy=None):
        return np.zeros((T, B, I + 1), np.float32)


def masked_x():
    return np.ma.masked_array(make_x(), mask=np.arange(T * B * I).reshape(T, B, I) == 7)


X = [
    case("B-18-1", np.ones(I), ValueError, r"x must have 3 dim.*\(time, batch, input_.*got 1"),
    case("B-18-4", np.ones((1, T, B, I)), ValueError, "x must have 3 dimensions.*got 4"),
    case("B-18-0", 1.0, ValueError, "x must have 3 dimensions.*got 0"),
    case("B-20", np.ones((T, B, 3)), ValueError, r"x.shape\[-1\] must equal input_size=4, got"),
    case("B-20-single", np.ones((T, 5)), ValueError, "must equal input_size=4, got 5"),
    case("B-20-empty", np.ones((T, B, 0)), ValueError, "must equal input_size=4, got 0"),
    case("B-21", None, TypeError, "x must be array-like of numbers, got NoneType"),
    case("B-22-str", ["a"], TypeError, "x must be numeric, got dtype <U1"),
    case("B-22-bytes", b"ab", TypeError, "x must be numeric, got dtype [|]S2"),
    case("B-23", [[[1.0] * I], [[1.0] * (I - 1)]], ValueError, "x: .*inhomog.*pad_sequences"),
    case("B-24", np.full((T, B, I), None), TypeError, "x must be numeric, got dtype object"),
    case("B-24-dict", {"x": 1}, TypeError, "x must be numeric, got dtype object"),
    case("B-24-int", [[[2**70] * I]], TypeError, "x must be numeric, got dtype object"),
    case(
        "B-25", np.ones((T, B, I), complex), ValueError, "Complex data not supported: x has dty"
    ),
    case(
        "B-26-datetime",
        np.zeros((T, B, I), "datetime64[ns]"),
        TypeError,
        r"x must be numeric, got dtype datetime64\[ns\]",
    ),
    case("B-26-timedelta", np.zeros((T, B, I), "timedelta64[s]"), TypeError, "dtype timedelta"),
    case("B-26-record", np.zeros((T, I), [("a", "f4")]), TypeError, "x must be numeric, got "),
    case("B-26-void", np.zeros((T, I), "V4"), TypeError, r"x must be numeric, got dtype [|]V4"),
    case("B-27-exact", np.full((T, I), 2**53 + 1), ValueError, "x holds the integer 90071992"),
    case("B-27-min", np.full((T, I), -(2**63)), ValueError, "x holds the integer 922337203685"),
    case("B-39", masked_x(), TypeError, "masked arrays are not supported: fill it, or use len"),
    case("B-41", sparse.csr_matrix(np.eye(I)), TypeError, "Sparse data was passed for x, but"),
    case("B-41-array", sparse.coo_array(np.eye(I)), TypeError, r"Use '\.toarray\(\)'"),
    case("B-43-raises", RaisingArray(), RuntimeError, "no array today"),
    case("B-43-lies", LyingArray(), ValueError, "must equal input_size=4, got 5"),
    case(
        "list-3d", [np.ones((T, I)), np.ones((T, 3))], ValueError, r"sequences\[1\] must have"
    ),
]


@pytest.mark.parametrize("method", ["__call__", "forward", "gates"])
@pytest.mark.parametrize(("bad", "exception", "match"), X)
def test_x_is_refused(gru, method, bad, exception, match):
    check_refused(gru, lambda: getattr(gru, method)(bad), exception, match)


def test_message_names_the_axes_of_batch_first():
    gru = make_gru(batch_first=True)
    with pytest.raises(ValueError, match=r"3 dimensions \(batch, time, input_size\)"):
        gru(np.ones(I))


@pytest.mark.parametrize("row", ["B-40"])
def test_pandas_object_column_is_refused(gru, row):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(np.ones((T, I))).astype({2: object})
    frame.iloc[0, 2] = None
    check_refused(gru, lambda: gru(frame), TypeError, "x must be numeric, got dtype object")


@pytest.mark.parametrize("row", ["B-42-grad", "B-42-device"])
def test_torch_tensors_of_the_wrong_kind_are_refused(gru, row):
    torch = pytest.importorskip("torch")
    if row == "B-42-grad":
        bad, match = (
            torch.ones(T, B, I, requires_grad=True),
            r"x requires grad; .*x\.detach\(\)",
        )
    else:
        bad, match = torch.ones(T, B, I, device="meta"), r"x is on device meta; .*x\.cpu\(\)"
    check_refused(gru, lambda: gru(bad), TypeError, match)


@pytest.mark.parametrize("row", ["B-42-plain"])
def test_plain_torch_tensor_is_accepted(gru, x, row):
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(gru(torch.from_numpy(x))[0], gru(x)[0])


@pytest.mark.parametrize("row", ["B-45"])
def test_result_beyond_the_address_space_is_refused_before_allocation(row):
    gru = GRU(1, 5, seed=0)
    x = np.broadcast_to(np.zeros((1, 1, 1), np.float32), (2**30, 2**30, 1))
    before = state_hash(gru)
    with pytest.raises(
        ValueError, match=r"output of shape \(1073741824, 1073741824, 5\) is too"
    ):
        gru(x)
    with pytest.raises(ValueError, match="is too big"):
        gru.forward(x)
    assert state_hash(gru) == before


def misaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)
    view = raw[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    assert not view.flags.aligned
    return view


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


SPELLED_OUT = {"little": "<", "big": ">"}[sys.byteorder]
LAYOUTS = [
    case("B-35-F", np.asfortranarray),
    case("B-35-slice", lambda x: np.repeat(x, 2, axis=2)[:, :, ::2]),
    case("B-35-sliced-batch", lambda x: np.repeat(x, 3, axis=1)[:, ::3]),
    case("B-35-reversed", lambda x: x[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1]),
    case("B-35-swapped", lambda x: x.swapaxes(0, 1).copy().swapaxes(0, 1)),
    case("B-36", misaligned),
    case("B-37", lambda x: x.astype(x.dtype.newbyteorder(">"))),
    case("B-37-native", lambda x: x.view(x.dtype.newbyteorder(SPELLED_OUT))),
    case("B-38", read_only),
    case("B-39-unmasked", np.ma.masked_array),
    case("list", lambda x: x.tolist()),
    case("B-28", lambda x: x.astype(np.float64)),
    case("B-30", lambda x: x.astype(np.longdouble)),
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_gives_the_same_bits(gru, x, layout):
    other = layout(x)
    before = np.array(other, copy=True)
    output, h_n = gru(x)
    output2, h_n2 = gru(other)
    np.testing.assert_array_equal(output2, output)
    np.testing.assert_array_equal(h_n2, h_n)
    np.testing.assert_array_equal(np.asarray(other), before)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_of_a_gradient_gives_the_same_bits(x, layout):
    gru = make_gru()
    gru.zero_grad()
    d_output = np.random.default_rng(2).standard_normal((T, B, H)).astype(np.float32)
    d_h_n = np.random.default_rng(3).standard_normal((L, B, H)).astype(np.float32)
    tape = gru.forward(x)[2]
    d_x, d_h0 = gru.backward(tape, d_output, d_h_n)
    grads = gru.flat_grads.copy()
    gru.zero_grad()
    d_x2, d_h02 = gru.backward(tape, layout(d_output), layout(d_h_n))
    np.testing.assert_array_equal(d_x2, d_x)
    np.testing.assert_array_equal(d_h02, d_h0)
    np.testing.assert_array_equal(gru.flat_grads, grads)


@pytest.mark.parametrize("row", ["B-35-stride-0"])
def test_stride_zero_is_accepted(gru, row):
    x = np.broadcast_to(np.float32(0.5), (T, B, I))
    np.testing.assert_array_equal(gru(x)[0], gru(x.copy())[0])


@pytest.mark.parametrize("row", ["B-38-memmap"])
def test_read_only_memmap_is_accepted(gru, x, tmp_path, row):
    path = tmp_path / "x.npy"
    np.save(path, x)
    np.testing.assert_array_equal(gru(np.load(path, mmap_mode="r"))[0], gru(x)[0])


@pytest.mark.parametrize("row", ["B-19"])
def test_two_dimensions_are_one_sequence(gru, x, row):
    output, h_n = gru(x[:, 1])
    assert output.shape == (T, H)
    assert h_n.shape == (L, H)
    np.testing.assert_allclose(output, gru(x)[0][:, 1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "dtype",
    [bool, np.int8, np.uint16, np.int64, np.float16],
    ids=lambda dtype: f"B-27-{np.dtype(dtype)}",
)
def test_other_numbers_are_converted(gru, dtype):
    x = np.random.default_rng(3).integers(0, 2, (T, B, I)).astype(dtype)
    np.testing.assert_array_equal(gru(x)[0], gru(x.astype(np.float32))[0])


@pytest.mark.parametrize("row", ["B-29"])
def test_too_large_for_float32_becomes_infinite_in_the_core(gru, x, row):
    wide = x.astype(np.float64)
    wide[0, 0, 0] = 1e300
    narrow = x.copy()
    narrow[0, 0, 0] = np.inf
    np.testing.assert_array_equal(gru(wide)[0], gru(narrow)[0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids="B-32-{}".format)
def test_non_finite_input_stays_in_its_sequence(gru, x, value):
    bad = x.copy()
    bad[2, 1] = value
    output, clean = gru(bad)[0], gru(x)[0]
    np.testing.assert_array_equal(output[:, [0, 2]], clean[:, [0, 2]])
    np.testing.assert_array_equal(output[:2, 1], clean[:2, 1])
    if np.isnan(value):
        assert np.isnan(output[2:, 1]).all()


@pytest.mark.parametrize(
    "shape", [(0, B, I), (T, 0, I), (0, 0, I), (0, I)], ids=lambda shape: f"B-33-{shape}"
)
def test_empty_input_gives_an_empty_result(shape):
    gru = make_gru()
    before = gru.flat_grads.copy()
    h0_shape = (L, *shape[1:-1], H)
    h0 = np.random.default_rng(0).standard_normal(h0_shape).astype(np.float32)
    x = np.ones(shape, np.float32)
    output, h_n = gru(x, h0)
    assert output.shape == (*shape[:-1], H)
    np.testing.assert_array_equal(h_n, h0)
    _, _, tape = gru.forward(x, h0)
    d_x, d_h0 = gru.backward(tape, np.ones_like(output), h0)
    assert d_x.shape == shape
    np.testing.assert_array_equal(d_h0, h0)
    np.testing.assert_array_equal(gru.flat_grads, before)


@pytest.mark.parametrize("row", ["B-44"])
def test_input_changed_during_the_call_does_not_crash(row):
    gru = GRU(8, 64, seed=0)
    x = np.zeros((200, 32, 8), np.float32)
    stop = threading.Event()

    def scribble():
        while not stop.is_set():
            x[...] = np.nan
            x[...] = 1

    writer = threading.Thread(target=scribble)
    writer.start()
    try:
        for _ in range(5):
            output, _ = gru(x)
            assert output.shape == (200, 32, 64)
    finally:
        stop.set()
        writer.join()


# ---- h0, lengths, out ------------------------------------------------------------------

ARGUMENTS = [
    case(
        "B-47-layers",
        {"h0": np.zeros((1, B, H))},
        ValueError,
        r"h0 must have shape \(num_layers\*num_directions=2, batch=3, hidden_size=5\), got "
        r"\(1, 3, 5\)",
    ),
    case(
        "B-47-H", {"h0": np.zeros((L, B, 4))}, ValueError, r"hidden_size=5\), got \(2, 3, 4\)"
    ),
    case("B-47-ndim", {"h0": np.zeros((B, H))}, ValueError, "h0 must have 3 dimensions"),
    case("B-48", {"h0": np.zeros((L, 1, H))}, ValueError, r"batch=3, .*got \(2, 1, 5\)"),
    case(
        "B-50-complex", {"h0": np.zeros((L, B, H), complex)}, ValueError, "Complex .*: h0 has"
    ),
    case("B-50-str", {"h0": "zero"}, TypeError, "h0 must be numeric, got dtype <U4"),
    case("B-51", {"lengths": [1, 2]}, ValueError, r"lengths .* \(batch=3,\), got \(2,\)"),
    case("B-51-2d", {"lengths": [[1, 2, 3]]}, ValueError, r"\(batch=3,\), got \(1, 3\)"),
    case("B-51-scalar", {"lengths": 3}, ValueError, r"lengths .* \(batch=3,\), got \(\)"),
    case("B-51-empty", {"lengths": []}, ValueError, r"\(batch=3,\), got \(0,\)"),
    case(
        "B-52-float", {"lengths": [2.0] * B}, TypeError, "lengths must be integers, got float"
    ),
    case("B-52-bool", {"lengths": [True] * B}, TypeError, "lengths must be integers, got bool"),
    case("B-52-str", {"lengths": ["2"] * B}, TypeError, "lengths must be integers, got <U1"),
    case("B-52-None", {"lengths": [None] * B}, TypeError, "lengths must be integers, got obj"),
    case("B-53", {"lengths": [1, 9, 2]}, ValueError, r"lengths\[1\] = 9 exceeds .* steps 6"),
    case("B-54", {"lengths": [-1, 2, 2]}, ValueError, r"lengths\[0\] = -1 must be >= 0"),
    case(
        "B-55",
        {"lengths": np.array([1, 2, 2**63 + 1], np.uint64)},
        ValueError,
        r"lengths\[2\] = 9223372036854775809 exceeds the number of time steps 6",
    ),
    case("B-55-object", {"lengths": [1, 2, 2**70]}, TypeError, "lengths must be integers, got"),
    case("B-68", {"n_threads": 0}, ValueError, "n_threads = 0 is invalid"),
    case(
        "B-70-float", {"n_threads": 1.5}, TypeError, "n_threads must be an int or None, got f"
    ),
    case(
        "B-70-whole", {"n_threads": 2.0}, TypeError, "n_threads must be an int or None, got f"
    ),
    case(
        "B-70-str", {"n_threads": "2"}, TypeError, "n_threads must be an int or None, got str"
    ),
    case("B-70-bool", {"n_threads": True}, TypeError, "n_threads must be .* None, got bool"),
    case(
        "B-70-bool_", {"n_threads": np.True_}, TypeError, "n_threads must be .* None, got bool"
    ),
    case(
        "B-70-array", {"n_threads": np.ones(2, int)}, TypeError, "n_threads must be an int or"
    ),
    case(
        "B-70-0d", {"n_threads": np.array(1.5)}, TypeError, "n_threads must be an int or None"
    ),
]


@pytest.mark.parametrize("method", ["__call__", "forward"])
@pytest.mark.parametrize(("options", "exception", "match"), ARGUMENTS)
def test_arguments_of_a_call_are_refused(gru, x, method, options, exception, match):
    check_refused(gru, lambda: getattr(gru, method)(x, **options), exception, match)


@pytest.mark.parametrize("row", ["B-49"])
def test_state_of_a_batch_with_a_single_sequence_is_refused(gru, x, row):
    check_refused(
        gru,
        lambda: gru(x[:, 0], np.zeros((L, 1, H))),
        ValueError,
        "for unbatched 2-D x, h0 must be 2-D, got 3-D",
    )


@pytest.mark.parametrize("row", ["B-50"])
def test_state_is_converted_and_may_hold_nan(gru, x, row):
    h0 = np.random.default_rng(4).standard_normal((L, B, H))
    np.testing.assert_array_equal(gru(x, h0)[0], gru(x, h0.astype(np.float32))[0])
    bad = h0.copy()
    bad[0, 1] = np.nan
    np.testing.assert_array_equal(gru(x, bad)[0][:, [0, 2]], gru(x, h0)[0][:, [0, 2]])
    assert np.isnan(gru(x, bad)[0][:, 1]).all()


@pytest.mark.parametrize("row", ["B-56"])
def test_length_zero_keeps_the_state(gru, x, row):
    h0 = np.random.default_rng(5).standard_normal((L, B, H)).astype(np.float32)
    output, h_n = gru(x, h0, lengths=[0, T, 2])
    np.testing.assert_array_equal(h_n[:, 0], h0[:, 0])
    assert not output[:, 0].any()
    assert not output[2:, 2].any()


@pytest.mark.parametrize("row", ["B-56-padding"])
def test_padding_is_not_read(gru, x, row):
    poisoned = x.copy()
    poisoned[2:, 2] = np.nan
    np.testing.assert_array_equal(
        gru(poisoned, lengths=[T, T, 2])[0], gru(x, lengths=[T, T, 2])[0]
    )


def test_lengths_with_a_list_of_sequences_are_refused(gru):
    check_refused(
        gru,
        lambda: gru([np.ones((2, I)), np.ones((3, I))], lengths=[2, 3]),
        ValueError,
        "lengths must be None when x is a list of sequences",
    )


def frozen(array):
    array.flags.writeable = False
    return array


OUT = [
    case(
        "B-57-shape", np.empty((T, B, 4), "f4"), ValueError, r"out must have shape \(6, 3, 5\)"
    ),
    case("B-57-ndim", np.empty((T, H), "f4"), ValueError, r"\(6, 3, 5\), got \(6, 5\)"),
    case("B-57-dtype", np.empty((T, B, H)), TypeError, "dtype float32, got float64"),
    case(
        "B-57-order", np.empty((T, B, H), ">f4"), TypeError, "out must have native byte order"
    ),
    case("B-58", frozen(np.empty((T, B, H), "f4")), ValueError, "output array is read-only"),
    case("B-60-list", [0.0], TypeError, "out must be a numpy.ndarray, got list"),
    case("B-60-tuple", (), TypeError, "out must be a numpy.ndarray, got tuple"),
    case(
        "B-58-stride-0",
        np.lib.stride_tricks.as_strided(np.zeros(H, "f4"), (T, B, H), (0, 0, 4)),
        ValueError,
        "out writes several elements to one place",
    ),
]


@pytest.mark.parametrize(("out", "exception", "match"), OUT)
def test_out_is_refused(gru, x, out, exception, match):
    check_refused(gru, lambda: gru(x, out=out), exception, match)


def test_out_with_a_list_of_sequences_is_refused(gru):
    out = np.empty((3, 2, H), np.float32)
    check_refused(
        gru,
        lambda: gru([np.ones((2, I)), np.ones((3, I))], out=out),
        ValueError,
        "out must be None when x is a list of sequences",
    )


@pytest.mark.parametrize("shift", [0, 1, -1], ids="B-59-x-{}".format)
def test_out_may_overlap_x(shift):
    gru = GRU(4, 4, seed=0)
    x = np.random.default_rng(6).standard_normal((T + 2, B, 4)).astype(np.float32)
    expected = gru(x[1:-1])[0]
    out = x[1 + shift : T + 1 + shift]
    assert gru(x[1:-1], out=out)[0] is out
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("row", ["B-59-h0"])
def test_out_may_overlap_h0(x, row):
    gru = GRU(I, H, seed=0)
    memory = np.random.default_rng(7).standard_normal((T, B, H)).astype(np.float32)
    h0 = memory[2:3]
    expected = gru(x, h0.copy())
    output, h_n = gru(x, h0, out=memory)
    np.testing.assert_array_equal(output, expected[0])
    np.testing.assert_array_equal(h_n, expected[1])


@pytest.mark.parametrize("row", ["B-59-strided"])
def test_out_may_have_any_strides(gru, x, row):
    expected = gru(x)[0]
    out = np.full((T, B, 2 * H), 7, np.float32)[:, :, ::2]
    gru(x, out=out)
    np.testing.assert_array_equal(out, expected)
    assert (out.base[:, :, 1::2] == 7).all()


# ---- backward --------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [None, 3, (1, 2, 3)], ids=lambda bad: f"B-61-{bad}")
def test_backward_without_a_tape_is_refused(gru, bad):
    check_refused(
        gru, lambda: gru.backward(bad), RuntimeError, r"backward\(\) needs a tape: .*forward\(x"
    )


@pytest.mark.parametrize("row", ["B-62-other"])
def test_tape_of_another_gru_is_refused(gru, x, row):
    tape = make_gru(dropout=0.25).forward(x)[2]
    check_refused(gru, lambda: gru.backward(tape), ValueError, "tape belongs to another GRU")


@pytest.mark.parametrize("row", ["B-62-changed"])
def test_tape_of_older_weights_is_refused(gru, x, row):
    tape = gru.forward(x)[2]
    kept = gru.parameters["weight_hh_l1"][0, 0]
    gru.parameters["weight_hh_l1"][0, 0] += 1
    check_refused(
        gru, lambda: gru.backward(tape), RuntimeError, "weights changed since forward"
    )
    gru.parameters["weight_hh_l1"][0, 0] = kept
    gru.backward(tape)  # the same weights again


@pytest.mark.parametrize("row", ["B-63"])
def test_tape_may_be_used_twice(gru, x, row):
    output, _, tape = gru.forward(x)
    gru.zero_grad()
    first = gru.backward(tape, np.ones_like(output))
    grads = gru.flat_grads.copy()
    second = gru.backward(tape, np.ones_like(output))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    np.testing.assert_array_equal(gru.flat_grads, 2 * grads)


GRADIENTS = [
    case(
        "B-64",
        {"d_output": np.zeros((B, T, H))},
        ValueError,
        r"d_output must have shape \(time, batch, D\*H\) = \(6, 3, 5\), got \(3, 6, 5\)",
    ),
    case("B-64-single", {"d_output": np.zeros((T, H))}, ValueError, r"d_output .*got \(6, 5\)"),
    case("B-64-scalar", {"d_output": 1.0}, ValueError, r"d_output must have shape .*got \(\)"),
    case("B-64-d_h_n", {"d_h_n": np.zeros((L, B, 4))}, ValueError, "d_h_n must have shape"),
    case("B-64-ndim", {"d_h_n": np.zeros((B, H))}, ValueError, "d_h_n must have 3 dimensions"),
    case("B-64-str", {"d_output": "x"}, TypeError, "d_output must be numeric, got dtype <U1"),
    case(
        "B-64-complex", {"d_h_n": np.zeros((L, B, H), complex)}, ValueError, "Complex data no"
    ),
]


@pytest.mark.parametrize(("options", "exception", "match"), GRADIENTS)
def test_gradients_of_the_wrong_form_are_refused(gru, x, options, exception, match):
    tape = gru.forward(x)[2]
    check_refused(gru, lambda: gru.backward(tape, **options), exception, match)


@pytest.mark.parametrize("row", ["B-64-list"])
def test_list_of_gradients_of_other_lengths_is_refused(gru, row):
    tape = gru.forward([np.ones((2, I)), np.ones((3, I))])[2]
    check_refused(
        gru,
        lambda: gru.backward(tape, [np.ones((3, H)), np.ones((2, H))]),
        ValueError,
        r"d_output must be a list of arrays of lengths \[2, 3\], got \[3, 2\]",
    )


@pytest.mark.parametrize("row", ["B-65"])
def test_non_finite_gradient_propagates(x, row):
    gru = make_gru()
    output, _, tape = gru.forward(x)
    d_output = np.ones_like(output)
    d_output[3, 1] = np.nan
    d_x, _ = gru.backward(tape, d_output)
    assert np.isnan(gru.grads["weight_ih_l0"]).any()
    assert np.isfinite(d_x[:, [0, 2]]).all()


@pytest.mark.parametrize(
    ("options", "exception", "match"),
    [
        case("training", {"training": 1}, TypeError, "training must be a bool, got int"),
        case(
            "memory", {"memory": "all"}, ValueError, "memory must be one of 'gates', 'outputs'"
        ),
        case("memory-None", {"memory": None}, ValueError, "memory must be one of .*got None"),
    ],
)
def test_options_of_forward_are_refused(gru, x, options, exception, match):
    check_refused(gru, lambda: gru.forward(x, **options), exception, match)


# ---- weights ---------------------------------------------------------------------------

SHAPE = (3 * H, I)
WEIGHTS = [
    case(
        "B-66-shape",
        ("weight_ih_l0", np.zeros((I, 3 * H))),
        ValueError,
        r"weight_ih_l0 must have shape \(15, 4\), got \(4, 15\)",
    ),
    case("B-66-scalar", ("weight_ih_l0", 0.0), ValueError, r"shape \(15, 4\), got \(\)"),
    case(
        "B-66-complex", ("weight_ih_l0", np.zeros(SHAPE, complex)), ValueError, "Complex data"
    ),
    case(
        "B-66-None", ("weight_ih_l0", None), TypeError, "weight_ih_l0 must be array-like of n"
    ),
    case("B-66-str", ("bias_ih_l0", "zeros"), TypeError, "bias_ih_l0 must be numeric, got dty"),
    case(
        "B-66-name",
        ("weight_ihl0", np.zeros(SHAPE)),
        KeyError,
        "unexpected key 'weight_ihl0'; did you mean 'weight_ih_l0'[?]",
    ),
    case("B-66-int", (0, np.zeros(SHAPE)), KeyError, "unexpected key 0"),
]


@pytest.mark.parametrize("which", ["parameters", "grads"])
@pytest.mark.parametrize(("item", "exception", "match"), WEIGHTS)
def test_weight_that_does_not_fit_is_refused(gru, which, item, exception, match):
    name, value = item
    check_refused(gru, lambda: getattr(gru, which).__setitem__(name, value), exception, match)


def changed(state, **changes):
    """A state dict of ones with these changes; None removes a name."""
    state = {name: np.ones_like(value) for name, value in state.items()} | changes
    return {name: value for name, value in state.items() if value is not None}


STATES = [
    case(
        "B-66-state-shape",
        lambda state: changed(state, bias_hh_l1=np.zeros(3)),
        ValueError,
        r"bias_hh_l1 must have shape \(15,\), got \(3,\)",
    ),
    case(
        "B-66-state-missing", lambda s: changed(s, bias_hh_l1=None), KeyError, "missing .*hh_l1"
    ),
    case(
        "B-66-state-extra", lambda s: changed(s, bias_hh_l9=0), KeyError, "unexpected key 'bia"
    ),
    case(
        "B-66-lstm",
        lambda s: changed(s, weight_ih_l0=np.zeros((4 * H, I))),
        ValueError,
        r"weight_ih_l0 has 4\*H rows: this looks like an LSTM",
    ),
    case("B-66-state-None", lambda s: None, TypeError, "mapping must be a mapping"),
    case("B-66-state-list", lambda s: list(s.values()), TypeError, "mapping must be a mapping"),
]


@pytest.mark.parametrize(("change", "exception", "match"), STATES)
def test_state_dict_that_does_not_fit_changes_nothing(gru, change, exception, match):
    state = change(gru.state_dict())
    check_refused(gru, lambda: gru.load_state_dict(state), exception, match)


@pytest.mark.parametrize("row", ["B-66-torch"])
def test_torch_weights_need_the_variant_of_torch(gru, row):
    torch = pytest.importorskip("torch")
    state = torch.nn.GRU(I, H, L).state_dict()
    check_refused(gru, lambda: gru.load_state_dict(state), ValueError, "variant='pytorch'")


@pytest.mark.parametrize(
    ("change", "exception", "match"),
    [
        case("count", lambda cells: cells[:1], ValueError, r"\(2\), got 1"),
        case(
            "shape",
            lambda cells: [cells[0]._replace(W_z=np.ones((H, H))), cells[1]],
            ValueError,
            r"W_z must have shape \(hidden_size=5, 9\), got \(5, 5\)",
        ),
        case(
            "last-cell",
            lambda cells: [cells[0], cells[1]._replace(b_r=np.ones(H + 1))],
            ValueError,
            r"must have shape",
        ),
        case(
            "b_hn",
            lambda cells: [cells[0]._replace(b_hn=np.ones(H)), cells[1]],
            ValueError,
            "b_hn must be None for a variant with the reset before",
        ),
    ],
)
def test_concatenated_weights_that_do_not_fit_change_nothing(gru, change, exception, match):
    cells = [
        cell._replace(W_r=cell.W_r + 1) for cell in gru.concatenated_weights()
    ]  # so that the test would notice a partial load
    check_refused(gru, lambda: gru.load_concatenated_weights(change(cells)), exception, match)


def resized(array, by):
    """The same array with ``by`` rows more, or fewer if it is negative."""
    return np.resize(array, (len(array) + by, *array.shape[1:]))


PIECES = ["W_r", "W_z", "W_n", "b_r", "b_z", "b_n", "b_hn"]


@pytest.mark.parametrize("number", range(L))
@pytest.mark.parametrize("other", PIECES)
@pytest.mark.parametrize("piece", PIECES)
def test_every_piece_of_concatenated_weights_has_its_own_shape(piece, other, number):
    """A piece that is too long beside one that is too short has shifted the gates between."""
    gru = make_gru(variant="pytorch")
    cells = gru.concatenated_weights()
    cell = cells[number]._replace(**{piece: resized(getattr(cells[number], piece), 1)})
    if other != piece:
        cell = cell._replace(**{other: resized(getattr(cell, other), -1)})
    first = min(piece, other, key=PIECES.index)
    match = rf"^cells\[{number}\]\.{first} must have shape \(hidden_size={H},.*\), got"
    cells[number] = cell
    check_refused(gru, lambda: gru.load_concatenated_weights(cells), ValueError, match)


@pytest.mark.parametrize(
    ("value", "exception", "match"),
    [
        (
            (H, 1),
            ValueError,
            r"cells\[1\]\.b_z must have shape \(hidden_size=5,\), got \(5, 1\)",
        ),
        ((), ValueError, r"cells\[1\]\.b_z must have shape .*, got \(\)"),
        (None, TypeError, r"cells\[1\]\.b_z must be array-like of numbers, got NoneType"),
        ("zero", TypeError, r"cells\[1\]\.b_z must be numeric"),
    ],
)
def test_a_piece_of_concatenated_weights_that_is_no_vector(gru, value, exception, match):
    cells = gru.concatenated_weights()
    value = np.ones(value, np.float32) if isinstance(value, tuple) else value
    cells[1] = cells[1]._replace(b_z=value)
    check_refused(gru, lambda: gru.load_concatenated_weights(cells), exception, match)


@pytest.mark.parametrize("cells", [None, 3, "ab", {}])
def test_concatenated_weights_that_are_no_list(gru, cells):
    match = "cells must be a list of ConcatenatedWeights, got"
    check_refused(gru, lambda: gru.load_concatenated_weights(cells), TypeError, match)


@pytest.mark.parametrize("cell", [3, (1, 2), None, "abcdefgh"])
def test_a_cell_that_is_none_of_concatenated_weights(gru, cell):
    cells = [*gru.concatenated_weights()[:1], cell]
    match = r"cells\[1\] must hold W_r, W_z, W_n, b_r, b_z, b_n, b_hn, got"
    check_refused(gru, lambda: gru.load_concatenated_weights(cells), TypeError, match)


# ---- weights that look like an LSTM's ----------------------------------------------------


def test_only_weights_are_taken_for_those_of_an_lstm(tmp_path):
    """h0 has L*D rows, and a model whose L*D is 4H could be saved and never loaded."""
    gru = GRU(2, 1, 2, bidirectional=True, learn_h0=True, seed=0)
    assert len(gru.parameters["h0"]) == 4 * gru.hidden_size
    gru.parameters["h0"] = np.arange(4.0)[:, np.newaxis]
    pygru.save(gru, tmp_path / "gru")
    for other in (
        pygru.load(tmp_path / "gru"),
        pickle.loads(pickle.dumps(gru)),
        copy.deepcopy(gru),
        gru.replace(zoneout=0.5),
    ):
        np.testing.assert_array_equal(other.flat_parameters, gru.flat_parameters)


@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0", "weight_ih_l1_reverse"])
def test_weights_of_an_lstm_are_called_so(name):
    gru = GRU(I, H, L, bidirectional=True, learn_h0=True, seed=0)
    state = gru.state_dict()
    state[name] = np.ones((4 * H, state[name].shape[1]))
    match = rf"{name} has 4\*H rows: this looks like an LSTM"
    check_refused(gru, lambda: gru.load_state_dict(state), ValueError, match)
    for other in ("bias_ih_l0", "h0"):
        state = gru.state_dict() | {other: np.ones((4 * H, *gru.parameters[other].shape[1:]))}
        match = rf"{other} must have shape"
        check_refused(gru, lambda state=state: gru.load_state_dict(state), ValueError, match)


@pytest.mark.parametrize("row", ["B-67"])
def test_weight_may_be_nan(gru, x, row):
    gru.parameters["bias_ih_l0"] = np.full(3 * H, np.nan)
    assert np.isnan(gru(x)[0]).all()


# ---- threads and environment -----------------------------------------------------------


@pytest.mark.parametrize("count", [-1, -2, -(10**9), 10**9, 2**70, np.int64(2)])
def test_any_other_thread_count_is_accepted(gru, x, count):
    """B-69 and B-71; test_threads.py checks what each value means."""
    np.testing.assert_array_equal(gru(x, n_threads=count)[0], gru(x)[0])


@pytest.mark.parametrize(
    ("bad", "exception", "match"),
    [
        case("B-68", 0, ValueError, "n_threads = 0 is invalid"),
        case("B-70-float", 1.5, TypeError, "n_threads must be an int or None, got float"),
        case("B-70-str", "2", TypeError, "n_threads must be an int or None, got str"),
        case("B-70-bool", True, TypeError, "n_threads must be an int or None, got bool"),
    ],
)
def test_process_wide_thread_count_is_refused(bad, exception, match):
    before = pygru.get_num_threads()
    with pytest.raises(exception, match=match):
        pygru.set_num_threads(bad)
    match = match.replace("an int or None", "an int")
    with pytest.raises(exception, match=match), pygru.num_threads(bad):
        pytest.fail("the block was entered")
    assert pygru.get_num_threads() == before


@pytest.mark.parametrize("threading", [case("B-74", "pool"), case("B-74-openmp", "openmp")])
def test_a_thread_that_cannot_be_created_does_no_harm(tmp_path, threading):
    """If the system refuses a thread, the call runs on those that there are.

    libgomp prints a message instead and exits with 1, which pygru cannot change. But the
    process must not crash or hang, and no result may be wrong.
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("needs RLIMIT_AS and /proc")
    if threading == "openmp" and not pygru.show_config("dicts")["openmp"]["enabled"]:
        pytest.skip("needs OpenMP")
    code = (
        "import resource, numpy as np, pygru\n"
        "gru = pygru.GRU(16, 64, seed=0)\n"
        "x = np.ones((50, 64, 16), np.float32)\n"
        "expected = gru(x, n_threads=1)[0]\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "limit = pages * resource.getpagesize() + 2**22  # less than the stack of a thread\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "assert np.array_equal(gru(x, n_threads=2)[0], expected)\n"
        "print('completed')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "OMP_STACKSIZE": "64G", "PYGRU_THREADING": threading},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    if threading == "pool" or "completed" in done.stdout:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 1, done.stderr
        assert "Thread creation failed" in done.stderr


@pytest.mark.parametrize(
    "module",
    [
        case("B-75-empty", types.SimpleNamespace()),
        case("B-75-no-capi", types.SimpleNamespace(__pyx_capi__={})),
    ],
)
def test_scipy_without_the_functions_is_refused(module):
    with pytest.raises(ImportError, match=r"pygru cannot use .* from SciPy .*it has no sgemm"):
        blas.blas_table(module)
