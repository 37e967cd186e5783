"""What must hold for every GRU with any weights: splits, permutations, layouts, threads.

These tests fail if state passes between sequences, steps or threads where it must not; if a
padded value is read; if a stride is ignored; if the order of a sum depends on the number of
threads; or if a size of zero is forgotten. "The same bits" compares bytes; everything else has
a tolerance.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quick import quick_and_slow

from pygru import GRU, Variant
from pygru.core import threads

TOLERANCE = {"rtol": 1e-11, "atol": 1e-12}
VARIANTS = ["chung", "cho", "pytorch", Variant("after", "replace")]

checked = settings(max_examples=40, deadline=None, derandomize=True, database=None)
every_variant = pytest.mark.parametrize("variant", VARIANTS, ids=str)
every_memory = pytest.mark.parametrize("memory", ["gates", "outputs"])


class Case:
    """A GRU, an input and gradients of all outputs, made from a few numbers."""

    def __init__(
        self, variant, T, B, I, H, layers, bidirectional, bias=True, dtype="float64", seed=0
    ):
        rng = np.random.default_rng(seed)
        self.gru = GRU(
            I,
            H,
            layers,
            bias,
            bidirectional=bidirectional,
            variant=variant,
            dtype=dtype,
            seed=rng,
        )
        self.x = rng.standard_normal((T, B, I)).astype(dtype)
        states = (layers * self.gru.num_directions, B, H)
        self.h0 = rng.uniform(-1, 1, states).astype(dtype)
        self.lengths = rng.integers(0, T + 1, B)
        self.d_output = rng.standard_normal((T, B, H * self.gru.num_directions)).astype(dtype)
        self.d_h_n = rng.standard_normal(states).astype(dtype)

    def run(self, x=None, h0=None, lengths=None, d_output=None, d_h_n=None, **options):
        """Forward and backward, by default of this case; all results by name."""
        x = self.x if x is None else x
        h0 = self.h0 if h0 is None else h0
        output, h_n, tape = self.gru.forward(x, h0, lengths=lengths, **options)
        self.gru.zero_grad()
        d_x, d_h0 = self.gru.backward(
            tape,
            self.d_output if d_output is None else d_output,
            self.d_h_n if d_h_n is None else d_h_n,
        )
        return {
            "output": output,
            "h_n": h_n,
            "d_x": d_x,
            "d_h0": d_h0,
            "grads": self.gru.flat_grads.copy(),
        }


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, **TOLERANCE)


def all_close(actual, expected):
    assert set(actual) == set(expected)
    for name, array in actual.items():
        np.testing.assert_allclose(array, expected[name], err_msg=name, **TOLERANCE)


def same_bits(actual, expected):
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype and actual[name].shape == array.shape, name
        assert actual[name].tobytes() == array.tobytes(), name


cases = st.builds(
    Case,
    variant=st.sampled_from(VARIANTS),
    T=st.integers(1, 12),
    B=st.integers(1, 40),
    I=st.integers(1, 6),
    H=st.integers(1, 20),
    layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    bias=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
one_way_cases = st.builds(
    Case,
    variant=st.sampled_from(VARIANTS),
    T=st.integers(2, 12),
    B=st.integers(1, 20),
    I=st.integers(1, 6),
    H=st.integers(1, 20),
    layers=st.integers(1, 3),
    bidirectional=st.just(False),
    bias=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
memories = st.sampled_from(["gates", "outputs"])


# ---- splits and permutations -------------------------------------------------------------


@checked
@given(cases, memories, st.floats(0, 1))
def test_a_split_batch_gives_what_the_whole_gives(case, memory, where):
    B = case.x.shape[1]
    cut = round(where * B)
    whole = case.run(lengths=case.lengths, memory=memory)
    parts = [
        case.run(
            case.x[:, rows],
            case.h0[:, rows],
            case.lengths[rows],
            case.d_output[:, rows],
            case.d_h_n[:, rows],
            memory=memory,
        )
        for rows in (slice(0, cut), slice(cut, B))
    ]
    joined = {
        name: np.concatenate([part[name] for part in parts], axis=1)
        for name in ("output", "h_n", "d_x", "d_h0")
    }
    all_close({**joined, "grads": parts[0]["grads"] + parts[1]["grads"]}, whole)


@checked
@given(one_way_cases, memories, st.floats(0, 1))
def test_a_split_in_time_gives_what_one_pass_gives(case, memory, where):
    T = len(case.x)
    cut = round(where * T)
    whole = case.run(memory=memory)
    gru = case.gru
    first, h, tape_1 = gru.forward(case.x[:cut], case.h0, memory=memory)
    second, h_n, tape_2 = gru.forward(case.x[cut:], h, memory=memory)
    gru.zero_grad()
    d_x_2, d_h = gru.backward(tape_2, case.d_output[cut:], case.d_h_n)
    d_x_1, d_h0 = gru.backward(tape_1, case.d_output[:cut], d_h)
    joined = {
        "output": np.concatenate([first, second]),
        "h_n": h_n,
        "d_x": np.concatenate([d_x_1, d_x_2]),
        "d_h0": d_h0,
        "grads": gru.flat_grads,
    }
    all_close(joined, whole)


@checked
@given(cases, memories, st.randoms(use_true_random=False))
def test_a_permuted_batch_gives_permuted_results(case, memory, random):
    order = list(range(case.x.shape[1]))
    random.shuffle(order)
    expected = case.run(lengths=case.lengths, memory=memory)
    actual = case.run(
        case.x[:, order],
        case.h0[:, order],
        case.lengths[order],
        case.d_output[:, order],
        case.d_h_n[:, order],
        memory=memory,
    )
    grads = expected.pop("grads")
    all_close(actual, {name: a[:, order] for name, a in expected.items()} | {"grads": grads})


@checked
@given(cases, memories)
def test_reversed_input_swaps_the_directions(case, memory):
    """A GRU of one layer with its two cells exchanged, on the reversed input."""
    gru = case.gru
    if not gru.bidirectional or gru.num_layers > 1:
        return
    turned = GRU.from_config(gru.get_config())
    for name in gru.parameters:
        other = name.removesuffix("_reverse") if "reverse" in name else f"{name}_reverse"
        turned.parameters[name] = gru.parameters[other]
    output, h_n, _ = gru.forward(case.x, case.h0, memory=memory)
    other_output, other_h_n, _ = turned.forward(case.x[::-1], case.h0[::-1], memory=memory)
    H = gru.hidden_size
    close(other_output[::-1, :, :H], output[:, :, H:])
    close(other_output[::-1, :, H:], output[:, :, :H])
    close(other_h_n[::-1], h_n)


# ---- mathematics -------------------------------------------------------------------------


def negate_update_rows(named_arrays):
    """Turn sigma(a) into sigma(-a) = 1 - sigma(a) in every update gate."""
    for array in named_arrays.values():
        H = len(array) // 3
        array[H : 2 * H] *= -1


@checked
@given(cases)
def test_negated_update_rows_turn_keep_into_replace(case):
    gru = case.gru
    other = {"keep": "replace", "replace": "keep"}[gru.variant.update]
    converted = GRU.from_config({**gru.get_config(), "variant": [gru.variant.reset, other]})
    converted.load_state_dict(gru.state_dict())
    negate_update_rows(converted.parameters)
    expected = case.run(lengths=case.lengths)
    case.gru = converted
    actual = case.run(lengths=case.lengths)
    negate_update_rows(converted.grads)
    actual["grads"] = converted.flat_grads
    all_close(actual, expected)


@checked
@given(cases, memories, st.floats(-4, 4), st.floats(-4, 4))
def test_backward_is_linear(case, memory, a, b):
    gru = case.gru
    _, _, tape = gru.forward(case.x, case.h0, lengths=case.lengths, memory=memory)

    def backward(d_output, d_h_n):
        gru.zero_grad()
        return [*gru.backward(tape, d_output, d_h_n), gru.flat_grads.copy()]

    other_d_output, other_d_h_n = case.d_output[::-1] ** 2, -(case.d_h_n[::-1] ** 2)
    first = backward(case.d_output, case.d_h_n)
    second = backward(other_d_output, other_d_h_n)
    both = backward(a * case.d_output + b * other_d_output, a * case.d_h_n + b * other_d_h_n)
    for combined, one, two in zip(both, first, second, strict=True):
        close(combined, a * one + b * two)


# ---- padding -----------------------------------------------------------------------------


@checked
@given(cases, memories, st.sampled_from([np.nan, np.inf, -1e300]))
def test_padding_is_never_read(case, memory, poison):
    padded = np.arange(len(case.x))[:, np.newaxis] >= case.lengths
    results = []
    for value in (0, poison):
        x, d_output = case.x.copy(), case.d_output.copy()
        x[padded] = value
        d_output[padded] = value
        results.append(case.run(x, lengths=case.lengths, d_output=d_output, memory=memory))
    same_bits(results[1], results[0])
    assert not results[1]["output"][padded].any()
    assert not results[1]["d_x"][padded].any()


@checked
@given(cases, memories)
def test_full_lengths_are_no_lengths(case, memory):
    T, B = case.x.shape[:2]
    same_bits(case.run(lengths=[T] * B, memory=memory), case.run(memory=memory))


# ---- layouts -----------------------------------------------------------------------------


def misaligned(array):
    memory = bytearray(array.nbytes + 1)
    result = np.ndarray(array.shape, array.dtype, buffer=memory, offset=1)
    result[...] = array
    assert not result.flags.aligned or not array.size
    return result


def negative_strides(array):
    turned = tuple(slice(None, None, -1) for _ in array.shape)
    return array[turned].copy()[turned]


def sliced(array):
    wide = np.full([3 * size + 1 for size in array.shape], 77, array.dtype)
    view = wide[tuple(slice(1, None, 3) for _ in array.shape)]
    view[...] = array
    return view


def sliced_rows(array):
    wide = np.full((*array.shape[:-1], array.shape[-1] + 5), 77, array.dtype)
    wide[..., : array.shape[-1]] = array
    return wide[..., : array.shape[-1]]


def transposed(array):
    return np.ascontiguousarray(array.T).T


def packed_in_a_record(array):
    """Strides that are not a multiple of the item size."""
    records = np.zeros(array.shape, [("flag", "i1"), ("value", array.dtype)])
    records["value"] = array
    return records["value"]


def byte_swapped(array):
    return array.astype(array.dtype.newbyteorder())


def read_only(array):
    result = array.copy()
    result.flags.writeable = False
    return result


LAYOUTS = {
    "fortran": np.asfortranarray,
    "transposed": transposed,
    "negative": negative_strides,
    "sliced": sliced,
    "sliced rows": sliced_rows,
    "record": packed_in_a_record,
    "misaligned": misaligned,
    "byte-swapped": byte_swapped,
    "read-only": read_only,
    "list": np.ndarray.tolist,
}


def layout_case(dtype, **options):
    return Case("chung", 6, 5, 4, 3, 2, True, dtype=dtype, **options)


def check_arguments(case, arguments, expected):
    """``arguments`` must give the expected bits and must not be changed."""
    before = {name: np.array(value).tobytes() for name, value in arguments.items()}
    actual = case.run(**arguments)
    same_bits(actual, expected)
    for name, value in arguments.items():
        assert np.array(value).tobytes() == before[name], f"{name} was changed"


ARGUMENTS = ("x", "h0", "lengths", "d_output", "d_h_n")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("which", [*ARGUMENTS, "all"])
def test_layouts(dtype, layout, which):
    case = layout_case(dtype)
    arguments = {name: getattr(case, name) for name in ARGUMENTS}
    expected = case.run(**arguments)
    for name in ARGUMENTS if which == "all" else (which,):
        arguments[name] = LAYOUTS[layout](arguments[name])
    check_arguments(case, arguments, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "list"])
def test_layouts_of_batch_first(dtype, layout):
    case = layout_case(dtype)
    config = {**case.gru.get_config(), "batch_first": True}
    state = case.gru.state_dict()
    case.gru = GRU.from_config(config)
    case.gru.load_state_dict(state)
    case.x = case.x.swapaxes(0, 1).copy()
    case.d_output = case.d_output.swapaxes(0, 1).copy()
    expected = case.run(lengths=case.lengths)
    arguments = {name: LAYOUTS[layout](getattr(case, name)) for name in ARGUMENTS}
    check_arguments(case, arguments, expected)


@pytest.mark.parametrize("axis", [0, 1, 2, (0, 1), (0, 1, 2)])
@pytest.mark.parametrize("name", ["x", "h0", "d_output", "d_h_n"])
def test_broadcast_arguments(name, axis):
    case = layout_case("float64")
    arguments = {key: getattr(case, key) for key in ARGUMENTS}
    value = arguments[name]
    thin = value.mean(axis=axis, keepdims=True)
    view = np.broadcast_to(thin, value.shape)
    assert 0 in view.strides
    expected = case.run(**{**arguments, name: view.copy()})
    check_arguments(case, {**arguments, name: view}, expected)


def test_broadcast_lengths():
    case = layout_case("float64")
    expected = case.run(lengths=[4] * 5)
    check_arguments(case, {"lengths": np.broadcast_to(np.int64(4), 5)}, expected)


@pytest.mark.parametrize("kind", ["i1", "u1", ">i2", "u2", "<i4", "u4", ">i8", "u8"])
def test_integer_kinds_of_lengths(kind):
    case = layout_case("float64")
    expected = case.run(lengths=case.lengths.astype(np.int64))
    check_arguments(case, {"lengths": case.lengths.astype(kind)}, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["f2", ">f2", "f4", "f8", "g", "i1", "u1", "i4", "i8", "?"])
def test_numeric_kinds(dtype, kind):
    case = layout_case(dtype)
    names = ("x", "h0", "d_output", "d_h_n")
    arguments = {name: np.abs(2 * getattr(case, name)).astype(kind) for name in names}
    plain = {name: array.astype(dtype) for name, array in arguments.items()}
    check_arguments(case, arguments, case.run(**plain))


def test_memory_maps(tmp_path):
    case = layout_case("float32")
    arguments = {name: getattr(case, name) for name in ARGUMENTS}
    expected = case.run(**arguments)
    for name, array in arguments.items():
        np.save(tmp_path / f"{name}.npy", array)
    maps = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in arguments}
    check_arguments(case, maps, expected)


# ---- threads -----------------------------------------------------------------------------


@every_variant
@every_memory
@pytest.mark.parametrize("dtype", quick_and_slow(["float32"], ["float64"]))
def test_the_number_of_threads_changes_no_bit(variant, memory, dtype):
    case = Case(variant, 30, 70, 9, 40, 2, True, dtype=dtype)
    operations = 30 * 70 * 3 * 40 * (9 + 40)
    assert operations > threads.SERIAL_OPERATIONS
    for lengths in (None, case.lengths):
        expected = case.run(lengths=lengths, memory=memory, n_threads=1)
        called = case.gru(case.x, case.h0, lengths=lengths, n_threads=1)
        assert called[0].tobytes() == expected["output"].tobytes()
        for n_threads in (2, 3, 4):
            actual = case.run(lengths=lengths, memory=memory, n_threads=n_threads)
            same_bits(actual, expected)
            output, h_n = case.gru(case.x, case.h0, lengths=lengths, n_threads=n_threads)
            assert output.tobytes() == called[0].tobytes()
            assert h_n.tobytes() == called[1].tobytes()


# ---- sizes of zero -----------------------------------------------------------------------


@every_memory
@pytest.mark.parametrize("T, B", list(itertools.product((0, 1, 2), repeat=2)))
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
def test_small_and_empty(memory, T, B, layers, bidirectional, ragged):
    case = Case("chung", T, B, 3, 4, layers, bidirectional)
    lengths = np.zeros(B, int) if ragged else None
    results = case.run(lengths=lengths, memory=memory)
    D = case.gru.num_directions
    assert results["output"].shape == (T, B, D * 4)
    assert results["h_n"].shape == results["d_h0"].shape == (layers * D, B, 4)
    assert results["d_x"].shape == (T, B, 3)
    output, h_n = case.gru(case.x, case.h0, lengths=lengths)
    assert output.tobytes() == results["output"].tobytes()
    assert h_n.tobytes() == results["h_n"].tobytes()
    if T == 0 or ragged:  # no step: h_n is h0, and so are their gradients
        np.testing.assert_array_equal(h_n, case.h0)
        np.testing.assert_array_equal(results["d_h0"], case.d_h_n)
        assert not results["output"].any() and not results["d_x"].any()
    assert results["grads"].any() == (T * B > 0 and not ragged)


@every_variant
@pytest.mark.parametrize("batch_first", [False, True])
def test_no_steps_in_every_form(variant, batch_first):
    gru = GRU(3, 4, 2, batch_first=batch_first, variant=variant, dtype="float64", seed=0)
    h0 = np.random.default_rng(0).standard_normal((2, 5, 4))
    empty = np.zeros((5, 0, 3) if batch_first else (0, 5, 3))
    output, h_n = gru(empty, h0)
    assert output.shape == ((5, 0, 4) if batch_first else (0, 5, 4))
    np.testing.assert_array_equal(h_n, h0)
    output, h_n = gru(np.zeros((0, 3)), h0[:, 0])
    assert output.shape == (0, 4)
    np.testing.assert_array_equal(h_n, h0[:, 0])
    outputs, h_n = gru([np.zeros((0, 3))] * 5, h0)
    assert [output.shape for output in outputs] == [(0, 4)] * 5
    np.testing.assert_array_equal(h_n, h0)
    shape = (5, 0, 4) if batch_first else (0, 5, 4)
    assert [cell.r.shape for cell in gru.gates(empty, h0)] == [shape, shape]
