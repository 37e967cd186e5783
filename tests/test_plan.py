"""The plan: sizes, offsets, chunks and status codes, against Python's integers.

Sizes are 64-bit in C and unbounded here: a product that wraps around, or an overflow that is
not noticed, differs. The formulas are those of the layouts in plan.c, written down once more.
"""

import itertools

import numpy as np
import pytest
from engines import ENGINES, number_of
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pygru import GRU, InternalError
from pygru.core import _core, _plans, _testing

MOST_LAYERS = 2**30 - 1  # see pygru.h
LARGEST = 2**63 - 1
KEEPS = [_core.KEEP_NOTHING, _core.KEEP_OUTPUTS, _core.KEEP_GATES]
EXAMPLES = settings(max_examples=300, deadline=None)
every_engine = pytest.mark.parametrize("engine", ENGINES)

# Elements: a multiple of every vector, the slack behind an array that is read in vectors, the
# sums of a product before the gates, and what a sum over rows packs.
VECTOR = SLACK = 16
SUMS = 64 * 3 * 16
SUM_SCRATCH = 256 * (288 + 4 * 8) + 8 * 3 * 16
NORM = 10  # vectors of H that normalise: the gains of six products and four columns of biases
EPS = 1e-5

# Half the time a small size, otherwise anything up to 2**62.
sizes = st.one_of(
    st.integers(1, 300),
    st.integers(1, 2**62),
    st.integers(0, 62).map(lambda power: 2**power),
)
medium = st.one_of(st.integers(1, 300), st.integers(1, 2**40))


# ---- the model -------------------------------------------------------------------------


def cell_of(I, H, D, bias, layer, direction, norm=False):
    """Where the parameters of one cell stand."""

    def size(width):
        return 3 * H * (width + H + (2 if bias else 0) + (2 if norm else 0))

    width = I if layer == 0 else D * H
    begin = direction * size(I)
    if layer > 0:
        begin = D * size(I) + ((layer - 1) * D + direction) * size(D * H)
    weight_hh = begin + 3 * H * width
    bias_ih = weight_hh + 3 * H * H
    gain_ih = bias_ih + (6 * H if bias else 0)
    return {
        "input_size": width,
        "weight_ih": begin,
        "weight_hh": weight_hh,
        "bias_ih": bias_ih if bias else -1,
        "bias_hh": bias_ih + 3 * H if bias else -1,
        "gain_ih": gain_ih if norm else -1,
        "gain_hh": gain_ih + 3 * H if norm else -1,
        "end": begin + size(width),
    }


@EXAMPLES
@given(
    sizes,
    sizes,
    sizes,
    st.integers(1, 2),
    st.booleans(),
    st.booleans(),
    st.integers(0, 1),
    st.data(),
)
@example(1, 2**31, 1, 1, True, False, 0, None)
@example(2**62, 1, 1, 1, False, True, 0, None)
@example(2**62, 2**62, 2**62, 2, True, True, 1, None)
def test_cell_equals_python_or_raises(I, H, L, D, bias, norm, direction, data):
    config = _plans.Config(I, H, L, D, bias, False, False, False, EPS * norm)
    layer = L - 1 if data is None else data.draw(st.integers(0, L - 1))
    direction = min(direction, D - 1)
    expected = cell_of(I, H, D, bias, layer, direction, norm)
    if expected["end"] * 8 > LARGEST:
        with pytest.raises(ValueError, match="the sizes overflow"):
            config.cell(layer, direction)
    else:
        assert config.cell(layer, direction) == expected


@pytest.mark.parametrize(
    ("sizes", "layer", "direction"),
    [
        ((0, 4, 1, 1), 0, 0),
        ((3, 0, 1, 1), 0, 0),
        ((3, 4, 0, 1), 0, 0),
        ((-1, 4, 1, 1), 0, 0),
        ((3, -(2**63), 1, 1), 0, 0),
        ((3, 4, 1, 0), 0, 0),
        ((3, 4, 1, 3), 0, 0),
        ((3, 4, 1, 1), 1, 0),
        ((3, 4, 1, 1), -1, 0),
        ((3, 4, 1, 1), 0, 1),
        ((3, 4, 1, 1), 0, -1),
    ],
)
def test_cell_refuses_what_does_not_exist(sizes, layer, direction):
    with pytest.raises(InternalError, match="configuration is out of range"):
        _plans.Config(*sizes, True, False, False).cell(layer, direction)


def test_config_refuses_integers_beyond_64_bits():
    with pytest.raises(OverflowError):
        _plans.Config(2**63, 1, 1, 1, True, False, False)


@EXAMPLES
@given(sizes, sizes, sizes, st.one_of(st.just(0), sizes), st.booleans())
def test_step_workspace_equals_python_or_raises(I, H, L, B, norm):
    config = _plans.Config(I, H, L, 1, True, False, False, False, EPS * norm)
    expected = 4 * ((4 + NORM * norm) * H + (5 + 3 * norm) * B * H + SUMS + SLACK)
    if expected > LARGEST:
        with pytest.raises(ValueError, match="the sizes overflow"):
            config.step_workspace(B)
    else:
        assert config.step_workspace(B) == expected


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("I", "H", "L"), list(itertools.product((1, 2, 7), (1, 5), (1, 2, 3))))
def test_parameters_stand_where_the_core_looks_for_them(I, H, L, bidirectional, bias, norm):
    gru = GRU(I, H, L, bias, bidirectional=bidirectional, seed=0, layer_norm=norm)
    begin = gru.flat_parameters.__array_interface__["data"][0]
    seen = []
    for layer, direction in itertools.product(range(L), range(gru.num_directions)):
        cell = gru._runner.config.cell(layer, direction)
        width = I if layer == 0 else gru.num_directions * H
        assert cell["input_size"] == width
        shapes = {"weight_ih": (3 * H, width), "weight_hh": (3 * H, H)}
        if bias:
            shapes |= {"bias_ih": (3 * H,), "bias_hh": (3 * H,)}
        if norm:
            shapes |= {"gain_ih": (3 * H,), "gain_hh": (3 * H,)}
        for kind, shape in shapes.items():
            name = f"{kind}_l{layer}{'_reverse' if direction else ''}"
            view = gru.parameters[name]
            assert view.shape == shape
            assert view.__array_interface__["data"][0] == begin + cell[kind] * view.itemsize
            seen.append(name)
    assert list(gru.parameters) == seen
    assert cell["end"] == gru.flat_parameters.size == gru.flat_grads.size


# ---- packed parameters -----------------------------------------------------------------


def padded(n):
    """``n`` elements rounded up to whole vectors."""
    return -(-n // VECTOR) * VECTOR


def packed_size_of(I, H, L, D, norm):
    """Bytes of packed float32 parameters: vectors and the columns of three gates, padded."""
    inputs = D * (I + (L - 1) * D * H)
    vectors = padded(4 * H + SLACK) + padded(NORM * norm * H)
    return 4 * (L * D * vectors + 3 * padded(H) * (inputs + L * D * H))


@EXAMPLES
@given(sizes, sizes, sizes, st.integers(1, 2), st.booleans(), st.booleans())
@example(2**58, 1, 1, 1, True, False)
def test_packed_size_equals_python_or_raises(I, H, L, D, bias, norm):
    config = _plans.Config(I, H, L, D, bias, False, False, False, EPS * norm)
    count = cell_of(I, H, D, bias, L - 1, D - 1, norm)["end"]
    expected = packed_size_of(I, H, L, D, norm)
    if max(expected, 8 * count) > LARGEST:
        with pytest.raises(ValueError, match="the sizes overflow"):
            config.packed_size()
    else:
        assert config.packed_size() == expected


# ---- the sizes of a plan ---------------------------------------------------------------


def chunk_of(engine, H, B):
    """Sequences in a chunk."""
    least = max(16, H // 8) if engine == "blas" else max(8, H // 16)
    return max(1, min(B, max(least, (B - 1) // 16 + 1), 64))


def splits(engine, H, D, B, item, norm):
    """Whether the units of the only chunk may be split over threads."""
    one_chunk = 0 < B <= chunk_of(engine, H, B) and not norm
    return engine == "simd" and D == 1 and one_chunk and 3 * H * H * item > 2**19


class Extent:
    """How far a buffer reaches while one section after another is added to it."""

    def __init__(self, *sections):
        self.end = 0
        for count in sections:
            self.add(count)

    def add(self, count):
        self.end += count

    def add_vectors(self, count):
        """A section that begins on a vector and may be read one vector beyond its end."""
        self.end = padded(padded(self.end) + count + SLACK)


def sizes_of(engine, I, H, L, D, bias, T, B, item, keep, n_threads, drops, norm):
    """The sizes of a plan of equally long sequences, as plan.c lays them out."""
    is_simd = engine == "simd"
    chunk = min(B, chunk_of(engine, H, B))
    rows = T * B
    block = min(rows, max(chunk, 2**17 // (4 * item * H)))
    widest = I if L == 1 else max(I, D * H)
    parameters = cell_of(I, H, D, bias, L - 1, D - 1, norm)["end"]
    tape = 0
    if keep != _core.KEEP_NOTHING:
        row = 5 * H + norm * 6 * (H + 1) if keep == _core.KEEP_GATES else H
        tape = rows * I + L * D * B * H + L * D * rows * row + SLACK
    dropout = (L - 1) * rows * D * H
    zoneout = L * D * rows * H
    stored = rows if keep == _core.KEEP_NOTHING and L > 1 else 0
    vectors = 0 if is_simd else (4 + NORM * norm) * H
    forward = Extent(0 if is_simd else L * D * 3 * H * H, 2 * D * stored * H)
    if splits(engine, H, D, B, item, norm):
        forward.add_vectors(block * 4 * H)
        forward.add_vectors(2 * chunk * H)
        forward.add_vectors(2 * drops * chunk * H)
    each = Extent(vectors, block * widest)
    for count in (block * 4 * H, is_simd * SUMS, 2 * chunk * H, 2 * drops * chunk * H):
        each.add_vectors(count)
    each.add_vectors(norm * chunk * 3 * H)
    forward_total = padded(forward.end) + n_threads * each.end
    recomputed = block if keep == _core.KEEP_OUTPUTS else 0
    gathers = D if L > 1 or D > 1 else 0
    backward = Extent(
        is_simd * L * D * 3 * H * (padded(H) + padded(widest)),
        parameters,
        (1 + norm) * D * rows * 4 * H,
        norm * D * -(-B // chunk_of(engine, H, B)) * NORM * H,
        gathers * rows * widest,
        drops * D * rows * H,
        2 * (rows if L > 1 else 0) * D * H,
    )
    each = Extent(vectors)
    for count in (recomputed * 4 * H, is_simd * SUMS, recomputed * H):
        each.add_vectors(count)
    each.add_vectors(block * widest)
    each.add_vectors(is_simd * SUM_SCRATCH)
    each.add(8 * H)
    each.add_vectors(chunk * H)
    each.add_vectors(drops * chunk * H)
    each.add(chunk * H)
    each.add_vectors(chunk * H)
    for _ in ("the states' products", "x_hat", "h_hat"):
        each.add_vectors(norm * recomputed * 3 * H)
    each.add(norm * 6 * recomputed)
    each.add_vectors(norm * NORM * H)
    backward_total = padded(backward.end) + n_threads * each.end
    product = (block if keep == _core.KEEP_NOTHING else rows) * 3 * H * max(widest, H)
    found = {
        "rows": rows,
        "parameters": parameters,
        "tape": tape,
        "dropout": dropout,
        "recurrent": L * D * B * H,
        "zoneout": zoneout,
        "forward_workspace": 64 + forward_total * item,
        "backward_workspace": 64 + backward_total * item,
        "largest_product": min(product, LARGEST),
        "operations": min(rows * parameters, LARGEST),
    }
    largest = max(
        dropout, zoneout, tape * item, found["forward_workspace"], found["backward_workspace"]
    )
    return found, largest > LARGEST


@EXAMPLES
@given(
    st.sampled_from(ENGINES),
    medium,
    medium,
    medium,
    st.integers(1, 2),
    st.booleans(),
    st.integers(0, 40),
    st.integers(0, 200),
    st.sampled_from([("float32", 4), ("float64", 8)]),
    st.sampled_from(KEEPS),
    st.integers(1, 64),
    st.booleans(),
    st.booleans(),
)
@example(ENGINES[-1], 1, 2**28, 1, 1, True, 40, 200, ("float64", 8), KEEPS[2], 64, True, False)
@example(ENGINES[0], 1, 2**28, 1, 1, True, 40, 200, ("float64", 8), KEEPS[2], 64, False, False)
@example(ENGINES[-1], 2**40, 2, 2, 2, True, 40, 200, ("float32", 4), KEEPS[1], 1, True, False)
@example(ENGINES[-1], 3, 300, 2, 2, True, 40, 200, ("float32", 4), KEEPS[1], 4, True, True)
@example(ENGINES[0], 3, 300, 2, 2, False, 40, 200, ("float64", 8), KEEPS[2], 4, False, True)
def test_plan_sizes_equal_python_or_raise(
    engine, I, H, L, D, bias, T, B, kind, keep, n_threads, drops, norm
):
    config = _plans.Config(I, H, L, D, bias, False, False, drops, EPS * norm, kind[0])
    arguments = (config, number_of(engine), T, B, None, keep)
    if cell_of(I, H, D, bias, L - 1, D - 1, norm)["end"] * 8 > LARGEST or L > MOST_LAYERS:
        with pytest.raises(ValueError, match="the sizes overflow"):
            _plans.Plan(*arguments)
        return
    expected, overflows = sizes_of(
        engine, I, H, L, D, bias, T, B, kind[1], keep, n_threads, drops, norm
    )
    plan = _plans.Plan(*arguments)
    if overflows:
        with pytest.raises(ValueError, match="the sizes overflow"):
            plan.sizes(n_threads)
    else:
        found = plan.sizes(n_threads)
        max_threads = found.pop("max_threads")
        assert found == expected
        # Chunks and directions are work for threads; with a tape so are 128 rows of weights.
        chunks = max(1, D * -(-B // chunk_of(engine, H, B)))
        tiles = 0 if keep == _core.KEEP_NOTHING else 2 * D * (3 * H // 128 + 2)
        parts = H // 64 if splits(engine, H, D, B, kind[1], norm) else 0
        assert max(chunks, parts) <= max_threads <= max(chunks + tiles, parts)


@every_engine
@EXAMPLES
@given(T=sizes, B=sizes)
@example(T=2**62, B=2**62)
@example(T=2**62, B=1)
@example(T=1, B=2**62)
@example(T=2**60, B=1)
def test_plan_that_cannot_be_held_raises(engine, T, B):
    """Only batches whose plan fits into no memory, or into little: none is half of it."""
    config = _plans.Config(1, 1, 1, 1, True, False, False)
    entries = 2 * B + (T + 1) * -(-B // 64)
    arguments = (config, number_of(engine), T, B, None, _core.KEEP_NOTHING)
    if entries > 2**47 or T * B > LARGEST:
        with pytest.raises((ValueError, MemoryError)):
            _plans.Plan(*arguments)
    elif entries < 10_000:
        plan = _plans.Plan(*arguments)
        assert plan.sizes(1)["rows"] == T * B


@every_engine
@pytest.mark.parametrize("T", [0, 2**62])
def test_plan_without_sequences_has_no_rows(T, engine):
    config = _plans.Config(3, 4, 1, 1, True, False, False)
    plan = _plans.Plan(config, number_of(engine), T, 0, None, _core.KEEP_GATES)
    assert plan.sizes(2)["rows"] == 0


@pytest.mark.parametrize("engine", [-1, 2, 2**31 - 1])
def test_plan_refuses_an_engine_that_does_not_exist(engine):
    config = _plans.Config(3, 4, 1, 1, True, False, False)
    with pytest.raises(InternalError, match="configuration is out of range"):
        _plans.Plan(config, engine, 3, 2, None, _core.KEEP_GATES)


@pytest.mark.parametrize(
    ("T", "B", "lengths"),
    [(-1, 1, None), (1, -1, None), (3, 2, [4, 0]), (3, 2, [1, -1]), (3, 1, [2**62])],
)
def test_plan_refuses_a_bad_batch(T, B, lengths):
    config = _plans.Config(3, 4, 1, 1, True, False, False)
    lengths = None if lengths is None else np.array(lengths, np.int64)
    with pytest.raises(InternalError, match="a length is negative or exceeds"):
        _plans.Plan(config, _core.ENGINE_BLAS, T, B, lengths, _core.KEEP_GATES)


@pytest.mark.parametrize("lengths", [np.ones(1, np.int64), np.ones(2, np.float64)])
def test_plan_refuses_lengths_of_another_form(lengths):
    config = _plans.Config(3, 4, 1, 1, True, False, False)
    with pytest.raises(InternalError, match="expected"):
        _plans.Plan(config, _core.ENGINE_BLAS, 3, 2, lengths, _core.KEEP_GATES)


# ---- rows ------------------------------------------------------------------------------


def rows_of(engine, T, B, lengths, H=4):
    config = _plans.Config(3, H, 1, 1, True, False, False)
    plan = _plans.Plan(config, number_of(engine), T, B, lengths, _core.KEEP_GATES)
    n = plan.sizes(1)["rows"]
    step, sequence = np.full(n, -7, np.int64), np.full(n, -7, np.int64)
    plan.rows(step, sequence)
    return step, sequence


@every_engine
@EXAMPLES
@given(
    T=st.integers(0, 12),
    wanted=st.lists(st.integers(0, 12), max_size=150),
    H=st.sampled_from([1, 400]),
)
def test_every_valid_step_is_one_row(engine, T, wanted, H):
    lengths = np.minimum(np.array(wanted, np.int64), T)
    step, sequence = rows_of(engine, T, len(lengths), lengths, H)
    expected = {(b, t) for b, length in enumerate(lengths) for t in range(length)}
    found = list(zip(sequence.tolist(), step.tolist(), strict=True))
    assert len(found) == len(expected)
    assert set(found) == expected
    again = rows_of(engine, T, len(lengths), lengths.copy(), H)
    np.testing.assert_array_equal(step, again[0])
    np.testing.assert_array_equal(sequence, again[1])


@every_engine
@given(T=st.integers(0, 6), B=st.integers(0, 100))
def test_rows_without_lengths_are_those_of_equal_lengths(engine, T, B):
    expected = rows_of(engine, T, B, np.full(B, T, np.int64))
    found = rows_of(engine, T, B, None)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@every_engine
@EXAMPLES
@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=150))
def test_chunks_hold_the_sequences_from_long_to_short(engine, lengths):
    """Inside a chunk: step by step, longest sequences first, equal ones in batch order."""
    lengths = np.array(lengths, np.int64)
    step, sequence = rows_of(engine, 9, len(lengths), lengths)
    chunk = chunk_of(engine, 4, len(lengths))
    order = np.argsort(-lengths, kind="stable")
    expected = [
        (t, b)
        for begin in range(0, len(order), chunk)
        for t in range(9)
        for b in order[begin : begin + chunk]
        if lengths[b] > t
    ]
    assert list(zip(step.tolist(), sequence.tolist(), strict=True)) == expected


def test_rows_refuses_arrays_that_are_too_short():
    config = _plans.Config(3, 4, 1, 1, True, False, False)
    plan = _plans.Plan(config, _core.ENGINE_BLAS, 3, 2, None, _core.KEEP_GATES)
    with pytest.raises(InternalError, match="expected 6 elements, got 5"):
        plan.rows(np.empty(5, np.int64), np.empty(6, np.int64))


# ---- status codes ----------------------------------------------------------------------

EXCEPTIONS = {
    "ValueError": ValueError,
    "InternalError": InternalError,
    "KeyboardInterrupt": KeyboardInterrupt,
}


def test_first_status_is_success():
    assert _core.status_table()[0] == (0, "None", "success")
    assert _testing.raise_status(0) is None


def test_every_status_has_a_text_of_its_own():
    table = _core.status_table()
    assert [code for code, _, _ in table] == list(range(len(table)))
    texts = [text for _, _, text in table]
    assert all(texts)
    assert "unknown status code" not in texts
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(
    ("code", "name", "text"), _core.status_table()[1:], ids=lambda value: str(value)[:12]
)
def test_every_status_raises_what_the_table_says(code, name, text):
    with pytest.raises(EXCEPTIONS[name]) as raised:
        _testing.raise_status(code)
    assert type(raised.value) is EXCEPTIONS[name]
    assert str(raised.value) == text


@pytest.mark.parametrize("code", [-1, 1000, 2**31 - 1, len(_core.status_table())])
def test_unknown_status_is_an_internal_error(code):
    with pytest.raises(InternalError, match="unknown status code"):
        _testing.raise_status(code)
