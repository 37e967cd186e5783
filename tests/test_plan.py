"""The plan: sizes, offsets and chunks, against Python's integers.

Sizes are 64-bit in C and unbounded here, so a product that wraps around differs. What pygru.h
documents is computed here too: the flat parameters, the masks, the arrays of the tape. Of
scratch memory only properties are checked: it is at least what the call cannot do without, it
grows with the sizes and with every thread by the same amount, and it overflows only where it
is truly too large. That its buffers keep apart and are large enough is checked in C, where
every buffer can be seen: tests/core/scratch_checks.h.
"""

import itertools
from typing import NamedTuple

import numpy as np
import pytest
from engines import ENGINES, HAS_SIMD, number_of
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pygru import GRU, InternalError
from pygru.core import _core, _plans

MOST_LAYERS = 2**30 - 1  # see pygru.h
LARGEST = 2**63 - 1
KEEPS = [_core.KEEP_NOTHING, _core.KEEP_OUTPUTS, _core.KEEP_GATES]
EXAMPLES = settings(max_examples=300, deadline=None)
every_engine = pytest.mark.parametrize("engine", ENGINES)

EPS = 1e-5

# Half the time a small size, otherwise anything up to 2**62.
sizes = st.one_of(
    st.integers(1, 300),
    st.integers(1, 2**62),
    st.integers(0, 62).map(lambda power: 2**power),
)
medium = st.one_of(st.integers(1, 300), st.integers(1, 2**40))
precisions = st.sampled_from([("float32", 4), ("float64", 8)])


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


def overflows(call, *arguments):
    """Whether a call says that the sizes overflow, and what it returns otherwise."""
    try:
        return False, call(*arguments)
    except ValueError as error:
        assert "the sizes overflow" in str(error)
        return True, None


@EXAMPLES
@given(sizes, sizes, sizes, st.one_of(st.just(0), sizes), st.booleans(), precisions)
def test_workspace_of_a_step_is_enough_and_grows(I, H, L, B, norm, precision):
    name, item = precision
    config = _plans.Config(I, H, L, 1, True, False, False, False, EPS * norm, name)
    # The gates and the state of every row, and what stands beside the products.
    least = item * (5 * B * H + 4 * H)
    most = item * (9 * B * H + 20 * H + 2**14)
    too_large, found = overflows(config.step_workspace, B)
    assert too_large or least <= found <= min(most, LARGEST)
    assert not too_large or most > LARGEST
    if not too_large and B > 0:
        assert config.step_workspace(B - 1) < found


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


@EXAMPLES
@given(sizes, sizes, sizes, st.integers(1, 2), st.booleans(), st.booleans(), precisions)
@example(2**58, 1, 1, 1, True, False, ("float32", 4))
def test_packed_parameters_hold_all_and_little_more(I, H, L, D, bias, norm, precision):
    name, item = precision
    config = _plans.Config(I, H, L, D, bias, False, False, False, EPS * norm, name)
    count = cell_of(I, H, D, bias, L - 1, D - 1, norm)["end"]
    matrices = cell_of(I, H, D, False, L - 1, D - 1, False)["end"]
    # At most 15 columns more for every gate, and a few vectors beside the products.
    most = item * (matrices + 45 * D * (I + L * D * H + L * H) + L * D * (14 * H + 256))
    too_large, found = overflows(config.packed_size)
    assert too_large or item * matrices < found <= most
    assert too_large or found % 64 == 0
    assert not too_large or max(most, 8 * count) > LARGEST


# ---- the sizes of a plan ---------------------------------------------------------------


class Case(NamedTuple):
    """A model and a batch of equally long sequences."""

    engine: str
    I: int
    H: int
    L: int
    D: int
    bias: bool
    T: int
    B: int
    precision: tuple[str, int]
    keep: int
    drops: bool
    norm: bool

    @property
    def parameters(self):
        """Elements of all parameters."""
        return cell_of(self.I, self.H, self.D, self.bias, self.L - 1, self.D - 1, self.norm)[
            "end"
        ]

    @property
    def widest(self):
        """The widest input of a layer."""
        return self.I if self.L == 1 else max(self.I, self.D * self.H)

    def plan(self):
        """The plan, or an error."""
        config = _plans.Config(
            self.I,
            self.H,
            self.L,
            self.D,
            self.bias,
            False,
            False,
            self.drops,
            EPS * self.norm,
            self.precision[0],
        )
        return _plans.Plan(config, number_of(self.engine), self.T, self.B, None, self.keep)

    def masks(self):
        """Elements of the masks, as pygru.h gives their shapes."""
        rows, cells = self.T * self.B, self.L * self.D
        return {
            "dropout": (self.L - 1) * rows * self.D * self.H,
            "recurrent": cells * self.B * self.H,
            "zoneout": cells * rows * self.H,
        }

    def least(self, n_threads):
        """Values of the tape and of the workspaces that no implementation can do without."""
        rows, states = self.T * self.B, self.L * self.D * self.B * self.H
        keeps = self.keep != _core.KEEP_NOTHING
        columns = 5 if self.keep == _core.KEEP_GATES else 1
        block = min(rows, 1)
        thread = n_threads * block * (4 * self.H + self.I)
        return {
            "tape": keeps
            * (rows * self.I + states + self.L * self.D * rows * columns * self.H),
            "forward_workspace": thread,
            "backward_workspace": thread + self.parameters + 4 * self.D * rows * self.H,
        }

    def most(self, n_threads):
        """Values that all of it can never exceed: every factor is generous."""
        H, widest, rows = self.H, self.widest, self.T * self.B
        cells = self.L * self.D
        thread = (2**15 + 64) * (widest + 40 * H) + 2**18
        weights = cells * 3 * (H + 16) * (H + widest + 32)
        return 2 * (
            n_threads * thread
            + weights
            + self.parameters
            + 16 * cells * (rows + self.B + 64) * (20 * H + widest)
        )


cases = st.builds(
    Case,
    st.sampled_from(ENGINES),
    medium,
    medium,
    medium,
    st.integers(1, 2),
    st.booleans(),
    st.integers(0, 40),
    st.integers(0, 200),
    precisions,
    st.sampled_from(KEEPS),
    st.booleans(),
    st.booleans(),
)
DOUBLE, SINGLE = ("float64", 8), ("float32", 4)
WORKSPACES = ("forward_workspace", "backward_workspace")


@EXAMPLES
@given(cases, st.integers(1, 64))
@example(Case(ENGINES[-1], 1, 2**28, 1, 1, True, 40, 200, DOUBLE, KEEPS[2], True, False), 64)
@example(Case(ENGINES[0], 1, 2**28, 1, 1, True, 40, 200, DOUBLE, KEEPS[2], False, False), 64)
@example(Case(ENGINES[-1], 2**40, 2, 2, 2, True, 40, 200, SINGLE, KEEPS[1], True, False), 1)
@example(Case(ENGINES[-1], 3, 300, 2, 2, True, 40, 200, SINGLE, KEEPS[1], True, True), 4)
@example(Case(ENGINES[0], 3, 300, 2, 2, False, 40, 200, DOUBLE, KEEPS[2], False, True), 4)
def test_sizes_are_enough_or_overflow(case, n_threads):
    too_large, plan = overflows(case.plan)
    assert too_large == (case.parameters * 8 > LARGEST or case.L > MOST_LAYERS)
    if too_large:
        return
    item, rows = case.precision[1], case.T * case.B
    least, most = case.least(n_threads), case.most(n_threads)
    too_large, found = overflows(plan.sizes, n_threads)
    if too_large:
        assert most * item > LARGEST
        return
    assert max(*case.masks().values(), *least.values()) <= LARGEST
    assert found["rows"] == rows
    assert found["parameters"] == case.parameters
    assert found["operations"] == min(rows * case.parameters, LARGEST)
    for name, count in case.masks().items():
        assert found[name] == count
    assert least["tape"] <= found["tape"]
    assert found["tape"] * item <= LARGEST
    for name in WORKSPACES:
        assert least[name] * item <= found[name] <= most * item + 64
    wide = 3 * case.H * max(case.widest, case.H)
    assert min(rows, 1) * min(wide, LARGEST) <= found["largest_product"] <= rows * wide
    # Chunks and directions are work for threads; with a tape so are 128 rows of weights, and
    # with split units so are a few vectors of them.
    work = case.D * (case.B + 2 * (3 * case.H // 128 + 2)) + case.H
    assert 1 <= found["max_threads"] <= work


grown = st.sampled_from(["I", "L", "T", "bias", "drops"])


@EXAMPLES
@given(cases, grown, st.integers(1, 1000))
def test_sizes_grow_with_the_model_and_the_batch(case, name, more):
    old = getattr(case, name)
    larger = case._replace(**{name: True if isinstance(old, bool) else old + more})
    too_large, large = overflows(lambda: larger.plan().sizes(3))
    if not too_large:  # then the smaller one is not too large either
        small = case.plan().sizes(3)
        for size in ("parameters", "tape", "zoneout", *WORKSPACES):
            assert small[size] <= large[size]


@EXAMPLES
@given(cases, st.integers(1, 20))
def test_every_thread_takes_as_much_as_the_first(case, n_threads):
    too_large, _ = overflows(lambda: case.plan().sizes(21))
    if not too_large:
        plan = case.plan()
        for name in WORKSPACES:
            one, two, n, next_one = (
                plan.sizes(count)[name] for count in (1, 2, n_threads, n_threads + 1)
            )
            assert two - one == next_one - n
            assert (two - one) % 64 == 0


@EXAMPLES
@given(cases)
def test_arrays_of_the_tape_keep_apart(case):
    case = case._replace(L=min(case.L, 3), H=case.H % 500 + 1, I=case.I % 500 + 1)
    plan = case.plan()
    rows, cells, H = case.T * case.B, case.L * case.D, case.H
    taken = []
    for layer, direction in itertools.product(range(case.L), range(case.D)):
        view = plan.tape_view(layer, direction)
        counts = {
            "h_prev": rows * H,
            "h_last": case.B * H,
            "gates": rows * 4 * H if case.keep == _core.KEEP_GATES else -1,
            "norm": rows * 6 * (H + 1) if case.norm and case.keep == _core.KEEP_GATES else -1,
        }
        for name, count in counts.items():
            if case.keep == _core.KEEP_NOTHING or count < 0:
                assert view[name] == -1
            else:
                taken.append((view[name], view[name] + count))
    tape = plan.sizes(1)["tape"]
    ends = [(rows * case.I, None)] if taken else []
    for begin, end in sorted(span for span in taken if span[1] > span[0]):
        assert begin >= ends[-1][0]  # the inputs of all rows come first
        ends.append((end, cells))
    assert not ends or ends[-1][0] <= tape


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


def chunks_of(step, sequence):
    """Cut rows into chunks: a chunk begins at every first row of step 0 after other steps."""
    begins = [i for i in range(len(step)) if step[i] == 0 and (i == 0 or step[i - 1] > 0)]
    return [
        list(zip(step[begin:end].tolist(), sequence[begin:end].tolist(), strict=True))
        for begin, end in itertools.pairwise([*begins, len(step)])
    ]


@every_engine
@EXAMPLES
@given(lengths=st.lists(st.integers(2, 9), min_size=1, max_size=150))
def test_chunks_hold_the_sequences_from_long_to_short(engine, lengths):
    """Inside a chunk: step by step, longest sequences first, equal ones in batch order."""
    lengths = np.array(lengths, np.int64)
    chunks = chunks_of(*rows_of(engine, 9, len(lengths), lengths))
    members = [[b for t, b in chunk if t == 0] for chunk in chunks]
    assert list(itertools.chain(*members)) == np.argsort(-lengths, kind="stable").tolist()
    assert {len(chunk) for chunk in members[:-1]} <= {len(members[0])}
    assert len(members[-1]) <= len(members[0])
    for chunk, sequences in zip(chunks, members, strict=True):
        expected = [(t, b) for t in range(9) for b in sequences if lengths[b] > t]
        assert chunk == expected


@pytest.mark.skipif(not HAS_SIMD, reason="the sizes are those of the SIMD engine")
@pytest.mark.parametrize(
    ("H", "B", "expected"),
    [
        (128, 7, [7]),
        (128, 8, [4, 4]),
        (128, 9, [5, 4]),
        (128, 31, [8, 8, 8, 7]),
        (128, 256, [8] * 32),
        (64, 15, [15]),
        (64, 16, [8, 8]),
        (32, 64, [8] * 8),
        (256, 64, [4] * 16),
        (512, 31, [31]),
        (512, 32, [16, 16]),
        (512, 256, [16] * 16),
        (1024, 64, [32, 32]),
        (2048, 128, [64, 64]),
        (32, 5000, [53] * 94 + [18]),
    ],
)
def test_chunks_are_equally_large_and_their_number_is_a_power_of_two(H, B, expected):
    chunks = chunks_of(*rows_of("simd", 2, B, None, H))
    assert [len(chunk) // 2 for chunk in chunks] == expected


def test_rows_refuses_arrays_that_are_too_short():
    config = _plans.Config(3, 4, 1, 1, True, False, False)
    plan = _plans.Plan(config, _core.ENGINE_BLAS, 3, 2, None, _core.KEEP_GATES)
    with pytest.raises(InternalError, match="expected 6 elements, got 5"):
        plan.rows(np.empty(5, np.int64), np.empty(6, np.int64))
