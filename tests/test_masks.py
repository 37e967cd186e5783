"""mask=, reset= and merge= of a GRU against the rule of a single step in stepwise.py.

These tests fail if a mask or a reset is shifted by a step or belongs to another row; if a reset
acts after its step; if an output that is repeated passes no gradient on; if a direction begins
or ends in the wrong episode; if a masked step is read; or if the steps that count are run in
another way than without the others.
"""

import interrupts
import numpy as np
import pytest
import reference
import stepwise
from engines import ENGINES, use_engine
from quick import quick_and_slow

from pygru import GRU, Variant
from pygru.pieces import Pieces

STEP = 1e-30
T, B, I, H = 9, 6, 3, 4
LENGTHS = np.array([9, 0, 7, 3, 9, 1])


def flags(seed, share):
    """Random flags (T, B): a whole row, none of a row, and the ends of rows are among them."""
    chosen = np.random.default_rng(seed).random((T, B)) < share
    chosen[:, 4] = share > 0.4
    chosen[0, :2] = True
    chosen[0, 2:4] = False
    return chosen


MASK, BEGINS = flags(0, 0.6), flags(1, 0.3)
X = np.ones((T, B, I))
CALLS = {
    "mask": {"mask": MASK},
    "mask, lengths": {"mask": MASK, "lengths": LENGTHS},
    "reset": {"reset": BEGINS},
    "both": {"mask": MASK, "reset": BEGINS, "lengths": LENGTHS},
    "to h0": {"mask": MASK, "reset": BEGINS, "lengths": LENGTHS, "reset_to": "h0"},
    "nothing counts": {"mask": np.zeros((T, B), bool)},
    "every step begins": {"reset": np.ones((T, B), bool)},
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


class Problem:
    """A GRU in float64, the arrays of a call, and the rules for the step-by-step truth."""

    def __init__(self, call, layers=1, bidirectional=False, variant="chung", **options):
        rng = np.random.default_rng([layers, bidirectional])
        reset, update = reference.VARIANTS[variant]
        self.gru = GRU(
            I,
            H,
            layers,
            bidirectional=bidirectional,
            variant=Variant(reset, update),
            dtype="float64",
            **options,
        )
        count = layers * (1 + bidirectional)
        self.tensors = {
            **reference.random_parameters(rng, I, H, layers, bidirectional),
            "x": rng.standard_normal((T, B, I)),
            "h0": rng.uniform(-1, 1, (count, B, H)),
            "initial": np.zeros((count, H)),
        }
        state = {name: self.tensors[name] for name in self.gru.parameters if name != "h0"}
        if self.gru.learn_h0:
            self.tensors["initial"] = state["h0"] = rng.uniform(-1, 1, (count, H))
        self.gru.load_state_dict(state)
        self.call = call
        self.rules = stepwise.Rules(
            reset,
            update,
            layers,
            self.gru.options.reads_backwards,
            call.get("mask"),
            call.get("reset"),
            call.get("lengths"),
            call.get("reset_to") == "h0",
            self.gru.zero_output_for_mask,
            self.gru.merge,
        )
        self.rng = rng

    def expected(self, tensors=None):
        tensors = tensors or self.tensors
        parameters = {name: tensors[name] for name in tensors if name not in NOT_OF_CELLS}
        arrays = (tensors[name] for name in NOT_OF_CELLS)
        return stepwise.forward(parameters, *arrays, self.rules)

    def check_forward(self, **more):
        output, h_n = self.gru(self.tensors["x"], self.tensors["h0"], **self.call, **more)
        for array, right in zip((output, h_n), self.expected(), strict=True):
            np.testing.assert_allclose(array, right, rtol=0, atol=1e-13)

    def check_gradients(self, memory="gates"):
        """Compare the gradients along two random directions with complex steps."""
        output, h_n, tape = self.gru.forward(
            self.tensors["x"], self.tensors["h0"], **self.call, memory=memory
        )
        d_output = self.rng.standard_normal(output.shape)
        d_h_n = self.rng.standard_normal(h_n.shape)
        before = self.rng.standard_normal(self.gru.flat_grads.shape)
        self.gru.flat_grads[...] = before  # a backward adds
        d_x, d_h0 = self.gru.backward(tape, d_output, d_h_n)
        self.gru.flat_grads -= before
        found = {"x": d_x, "h0": d_h0, **{n: g for n, g in self.gru.grads.items() if n != "h0"}}
        if self.gru.learn_h0:
            found["initial"] = self.gru.grads["h0"]
        for _ in range(2):  # directions in which all tensors change at once
            moved, slope, scale = dict(self.tensors), 0.0, 1.0
            for name, gradient in found.items():
                direction = self.rng.standard_normal(gradient.shape)
                moved[name] = self.tensors[name] + 1j * STEP * direction
                slope += (gradient * direction).sum()
                scale += abs(gradient * direction).sum()
            results = self.expected(moved)
            right = (d_output * results[0]).sum() + (d_h_n * results[1]).sum()
            assert abs(slope - right.imag / STEP) <= 1e-14 * scale


NOT_OF_CELLS = ("x", "h0", "initial")


@every_call
@pytest.mark.parametrize("layers, bidirectional", [(1, False), (2, True)])
@pytest.mark.parametrize("variant", ["chung", "pytorch"])
@pytest.mark.parametrize("zero", [False, True])
def test_forward_is_that_of_single_steps(call, layers, bidirectional, variant, zero):
    Problem(call, layers, bidirectional, variant, zero_output_for_mask=zero).check_forward()


@every_call
@pytest.mark.parametrize("layers, bidirectional", [(1, False), (2, True)])
@pytest.mark.parametrize("memory", ["gates", *quick_and_slow([], ["outputs"])])
@pytest.mark.parametrize("zero, learn", [(False, True), (True, False)])
def test_gradients_are_those_of_single_steps(call, layers, bidirectional, memory, zero, learn):
    problem = Problem(call, layers, bidirectional, zero_output_for_mask=zero, learn_h0=learn)
    problem.check_forward()
    problem.check_gradients(memory)


@pytest.mark.parametrize("memory", ["sqrt", 10**6])
@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_with_little_memory(memory, reverse):
    Problem(CALLS["both"], 2, reverse=reverse).check_gradients(memory)


@every_call
@pytest.mark.parametrize("layers", [1, 2])
def test_a_gru_that_reads_in_reverse(call, layers):
    problem = Problem(call, layers, reverse=True, learn_h0=layers == 2)
    problem.check_forward()
    problem.check_gradients()


@pytest.mark.parametrize("merge", ["sum", "mul", "ave"])
@pytest.mark.parametrize("call", [{}, CALLS["both"]], ids=["plain", "both"])
@pytest.mark.parametrize("learn", [False, True])
def test_merged_directions(merge, call, learn):
    problem = Problem(call, 1, True, merge=merge, learn_h0=learn)
    problem.check_forward()
    problem.check_gradients()
    out = np.empty((T, B, H))
    problem.check_forward(out=out)
    np.testing.assert_allclose(out, problem.expected()[0], rtol=0, atol=1e-13)


@pytest.mark.parametrize("merge", ["concat", "sum"])
def test_h0_that_is_not_given_is_the_learned_one(merge):
    problem = Problem(CALLS["both"], 1, True, learn_h0=True, merge=merge)
    gru, initial = problem.gru, problem.tensors["initial"]
    problem.tensors["h0"] = np.repeat(initial[:, np.newaxis], B, axis=1)
    output, h_n, tape = gru.forward(problem.tensors["x"], **problem.call)
    gru.backward(tape, output, h_n)
    right = problem.expected()
    np.testing.assert_allclose(output, right[0], rtol=0, atol=1e-13)
    direction = problem.rng.standard_normal(initial.shape)
    moved = initial + 1j * STEP * direction
    tensors = {**problem.tensors, "initial": moved}
    tensors["h0"] = np.repeat(moved[:, np.newaxis], B, axis=1)
    results = problem.expected(tensors)
    slope = ((output * results[0]).sum() + (h_n * results[1]).sum()).imag / STEP
    assert abs((gru.grads["h0"] * direction).sum() - slope) < 1e-12 * abs(slope)


def test_gates_at_every_step():
    problem = Problem(CALLS["both"], 2, True)
    gates = problem.gru.gates(problem.tensors["x"], problem.tensors["h0"], **problem.call)
    counted = MASK & (np.arange(T)[:, np.newaxis] < LENGTHS)
    output, _ = problem.expected()
    np.testing.assert_allclose(np.dstack([gates[2].h, gates[3].h]), output, rtol=0, atol=1e-13)
    for cell in gates:
        for gate in (cell.r, cell.z, cell.n):
            assert not gate[~counted].any() and gate[counted].all()


# ---- bits --------------------------------------------------------------------------------


def everything(gru, x, h0=None, **call):
    """All results of a forward and a backward pass as bytes."""
    gru.zero_grad()
    output, h_n, tape = gru.forward(x, h0, **call)
    d_x, d_h0 = gru.backward(tape, output, h_n)
    return [array.tobytes() for array in (output, h_n, d_x, d_h0, gru.flat_grads)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_mask_that_leaves_nothing_out_changes_no_bit(engine, dtype, monkeypatch):
    use_engine(monkeypatch, engine)
    gru = GRU(I, H, 2, bidirectional=True, dtype=dtype, seed=0)
    x = np.random.default_rng(0).standard_normal((T, B, I))
    none = np.zeros((T, B), bool)
    for lengths in (None, LENGTHS):
        plain = everything(gru, x, lengths=lengths)
        assert everything(gru, x, lengths=lengths, mask=~none, reset=none) == plain


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_mask_of_lengths_has_the_bits_of_lengths(engine, dtype, monkeypatch):
    use_engine(monkeypatch, engine)
    gru = GRU(I, H, 2, bidirectional=True, dtype=dtype, seed=0, zero_output_for_mask=True)
    rng = np.random.default_rng(0)
    x, h0 = rng.standard_normal((T, B, I)), rng.standard_normal((4, B, H))
    mask = np.arange(T)[:, np.newaxis] < LENGTHS
    assert everything(gru, x, h0, mask=mask) == everything(gru, x, h0, lengths=LENGTHS)


NOISE = {"dropout": 0.3, "recurrent_dropout": 0.2, "zoneout": 0.2}
# Episodes of similar lengths run as one batch.
EVEN = np.zeros((T, B), bool)
for row, steps in enumerate([(3, 6), (4,), (3, 7), (5,), (2, 6), (4, 8)]):
    EVEN[steps, row] = True


def by_hand(gru, x, d_y, begins, memory):
    """The results of all episodes as sequences of one batch, in the places of the steps."""
    spans = [
        (b, span)
        for b in range(B)
        for span in np.split(np.arange(T), np.flatnonzero(begins[1:, b]) + 1)
    ]
    episodes, h_n, tape = gru.forward([x[t, b] for b, t in spans], memory=memory)
    d_pieces, _ = gru.backward(tape, [d_y[t, b] for b, t in spans])
    output, d_x = np.empty(d_y.shape, gru.dtype), np.empty(x.shape, gru.dtype)
    for (b, t), episode, piece in zip(spans, episodes, d_pieces, strict=True):
        output[t, b], d_x[t, b] = episode, piece
    return output, h_n[:, [i for i, (_, t) in enumerate(spans) if t[-1] == T - 1]], d_x


@pytest.mark.parametrize("options", [{}, NOISE], ids=["plain", "noise"])
@pytest.mark.parametrize("memory", ["gates", "sqrt"])
@pytest.mark.parametrize("begins", [EVEN, BEGINS], ids=["even", "uneven"])
def test_episodes_have_the_bits_of_sequences_run_by_hand(options, memory, begins):
    """Uneven ones are divided into batches, which are added, and draw noise, one by one."""
    if options and begins is BEGINS:
        return
    gru = GRU(I, H, 2, seed=0, **options)
    rng = np.random.default_rng(2)
    x, d_y = rng.standard_normal((T, B, I)), rng.standard_normal((T, B, H))
    gru.generator = np.random.default_rng(5)
    right = by_hand(gru, x, d_y, begins, memory)
    grads = gru.flat_grads.copy()
    gru.zero_grad()
    gru.generator = np.random.default_rng(5)
    output, h_n, tape = gru.forward(x, reset=begins, memory=memory)
    d_x, _ = gru.backward(tape, d_y)
    for array, wanted in zip((output, h_n, d_x), right, strict=True):
        np.testing.assert_array_equal(array, wanted)
    tolerance = 0 if begins is EVEN else 1e-5
    np.testing.assert_allclose(gru.flat_grads, grads, rtol=tolerance, atol=tolerance)


def test_masked_steps_are_never_read():
    gru = GRU(I, H, 2, bidirectional=True, seed=0)
    x = np.random.default_rng(0).standard_normal((T, B, I))
    plain = everything(gru, x, mask=MASK, lengths=LENGTHS)
    x[~MASK] = np.nan
    x[np.arange(T)[:, np.newaxis] >= LENGTHS] = np.nan
    assert everything(gru, x, mask=MASK, lengths=LENGTHS) == plain


def test_no_step_that_counts_leaves_the_state_as_it_is():
    gru = GRU(I, H, 2, seed=0)
    h0 = np.random.default_rng(0).standard_normal((2, B, H)).astype(np.float32)
    output, h_n = gru(np.full((T, B, I), np.nan), h0, mask=np.zeros((T, B), bool))
    np.testing.assert_array_equal(h_n, h0)
    np.testing.assert_array_equal(output, np.broadcast_to(h0[-1], (T, B, H)))


# ---- forms of input ----------------------------------------------------------------------


@pytest.mark.parametrize("bidirectional", [False, True])
def test_every_form_of_input_gives_the_same(bidirectional):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((T, B, I))
    options = {"bidirectional": bidirectional, "seed": 0}
    gru, first = GRU(I, H, **options), GRU(I, H, batch_first=True, **options)
    output, h_n = gru(x, mask=MASK, reset=BEGINS, lengths=LENGTHS)
    y, h = first(x.swapaxes(0, 1), mask=MASK.T, reset=BEGINS.T, lengths=LENGTHS)
    np.testing.assert_array_equal(y.swapaxes(0, 1), output)
    np.testing.assert_array_equal(h, h_n)
    rows = range(B)
    listed = [[array[: LENGTHS[b], b] for b in rows] for array in (x, MASK, BEGINS)]
    for each in (gru, first):
        y, h, tape = each.forward(listed[0], mask=listed[1], reset=listed[2])
        d_x, _ = each.backward(tape, y, h)
        assert [len(d) for d in d_x] == LENGTHS.tolist()
        np.testing.assert_array_equal(h, h_n)
        for b in rows:
            np.testing.assert_array_equal(y[b], output[: LENGTHS[b], b])
    y, h = gru(x[:, 4], mask=MASK[:, 4], reset=BEGINS[:, 4])
    np.testing.assert_array_equal(y, output[:, 4])
    np.testing.assert_array_equal(h, h_n[:, 4])


def test_out_may_be_x_and_h0_may_lie_in_it():
    gru = GRU(H, H, seed=0)
    x = np.random.default_rng(0).standard_normal((T, B, H)).astype(np.float32)
    h0 = x[:1].copy()
    right, _ = gru(x, h0, mask=MASK)
    output, _ = gru(x, x[:1], mask=MASK, out=x)
    assert output is x
    np.testing.assert_array_equal(output, right)


def test_a_batch_without_rows_or_steps():
    gru = GRU(I, H, learn_h0=True, seed=0)
    for shape in ((T, 0), (0, B), (0, 0)):
        none = np.zeros(shape, bool)
        for reset_to in ("initial", "h0"):
            call = {"mask": none, "reset": ~none, "reset_to": reset_to}
            y, h, tape = gru.forward(np.ones((*shape, I)), **call)
            assert y.shape == (*shape, H) and h.shape == (1, shape[1], H)
            gru.backward(tape, y, h)


def test_one_thread_and_many_give_the_same_bits():
    gru = GRU(I, 40, seed=0)
    rng = np.random.default_rng(0)
    x, mask = rng.standard_normal((50, 40, I)), rng.random((50, 40)) < 0.5
    reset = rng.random((50, 40)) < 0.1
    one, four = (gru(x, mask=mask, reset=reset, n_threads=n)[0] for n in (1, 4))
    np.testing.assert_array_equal(one, four)


def test_noise_is_drawn_by_all_parts_or_by_none(monkeypatch):
    gru = GRU(I, H, 2, dropout=0.5, seed=0)
    state = gru.generator.bit_generator.state
    calls = []

    def fails(self, batch, rows):
        calls.append(1)
        raise MemoryError

    monkeypatch.setattr("pygru.pieces.Group.read", fails)
    with pytest.raises(MemoryError):
        gru.forward(np.ones((T, B, I)), mask=MASK)
    assert calls and gru.generator.bit_generator.state == state


def test_interrupts_leave_all_or_nothing():
    """Two directions are merged, one row has many short episodes, and noise is drawn."""
    reset = BEGINS.copy()
    reset[3:, 0] = True

    def make():
        options = {"learn_h0": True, "zoneout": 0.5, "merge": "mul"}
        return GRU(I, H, bidirectional=True, seed=0, **options)

    def state_of(gru):
        return repr(gru.generator.bit_generator.state), gru.flat_grads.tobytes()

    def forward(gru):
        return gru.forward(X, mask=MASK, reset=reset)

    finished = make()
    start = state_of(finished)
    output, h_n, tape = forward(finished)
    drawn = state_of(finished)
    finished.backward(tape, output, h_n)
    end = state_of(finished)
    made = []

    def prepare_forward():
        made.append(make())
        return lambda: forward(made[-1])

    def check_forward(where):
        assert state_of(made[-1]) in (start, drawn), where

    def prepare_backward():
        made.append(make())
        kept = forward(made[-1])[2]
        return lambda: made[-1].backward(kept, output, h_n)

    def check_backward(where):
        assert state_of(made[-1]) in (drawn, end), where

    assert interrupts.at_every_point(prepare_forward, check_forward, step=9) > 50
    assert interrupts.at_every_point(prepare_backward, check_backward, step=9) > 50


# ---- many short episodes beside a long one -----------------------------------------------


def test_uneven_episodes_are_divided_into_batches():
    """Padding all of them to the longest would take hundreds of times the memory."""
    steps = 2000
    reset = np.zeros((steps, 1), bool)
    reset[steps // 2 :] = True
    pieces = Pieces(np.array([steps]), None, reset.T)
    padded = sum(len(g.members) * g.lengths.max() for g in pieces.groups)
    assert len(pieces.groups) == 2 and padded == steps
    gru = GRU(I, H, dtype="float64", learn_h0=True, seed=0)
    x = np.random.default_rng(0).standard_normal((steps, 1, I))
    output, h_n, tape = gru.forward(x, reset=reset, memory="4 MB")
    alone, last = gru(x[: steps // 2])
    np.testing.assert_array_equal(output[: steps // 2], alone)
    np.testing.assert_array_equal(output[-1:], gru(x[-1:])[0])
    np.testing.assert_array_equal(h_n[0], output[-1])
    d_x, _ = gru.backward(tape, output)
    wanted = gru.forward(x[: steps // 2])[2]
    np.testing.assert_allclose(
        d_x[: steps // 2], gru.backward(wanted, alone)[0], rtol=1e-12, atol=1e-15
    )
    assert last.shape == h_n.shape


# ---- what is refused ---------------------------------------------------------------------

BAD = [
    ({"mask": np.ones((T, B))}, TypeError, "mask must be an array of bool, got dtype float64"),
    ({"mask": np.ones((T, B), int)}, TypeError, r"np.asarray\(mask, bool\) is one"),
    ({"reset": np.full((T, B), "a")}, TypeError, "reset must be an array of bool"),
    ({"mask": MASK.T}, ValueError, r"mask must have shape \(time=9, batch=6\), got \(6, 9\)"),
    ({"mask": MASK[:-1]}, ValueError, "mask must have shape"),
    ({"reset": BEGINS[..., None]}, ValueError, "reset must have shape"),
    ({"mask": [[True], [True, False]]}, ValueError, "rows of unequal length"),
    ({"reset_to": "zeros"}, ValueError, "reset_to must be one of 'initial', 'h0'"),
]


@pytest.mark.parametrize("call, error, text", BAD)
def test_bad_flags(call, error, text):
    gru = GRU(I, H, seed=0)
    for method in (gru, gru.forward, gru.gates):
        with pytest.raises(error, match=text):
            method(X, **call)


def test_bad_flags_of_lists_and_single_sequences():
    gru = GRU(I, H, seed=0)
    x = [np.ones((3, I)), np.ones((2, I))]
    with pytest.raises(ValueError, match="because x is a list of sequences, got ndarray"):
        gru(x, mask=np.ones((3, 2), bool))
    with pytest.raises(ValueError, match="got list of 1"):
        gru(x, mask=[np.ones(3, bool)])
    with pytest.raises(ValueError, match=r"mask\[1\] must have shape \(time=2,\), got \(3,\)"):
        gru(x, mask=[np.ones(3, bool)] * 2)
    with pytest.raises(ValueError, match=r"mask must have shape \(time=9,\), got \(9, 1\)"):
        gru(X[:, 0], mask=np.ones((9, 1), bool))


def test_flags_are_copied():
    gru = GRU(I, H, seed=0)
    mask = MASK.copy()
    output, _, tape = gru.forward(X, mask=mask)
    mask[...] = False
    d_x, _ = gru.backward(tape, np.ones_like(output))
    assert d_x[MASK].any(axis=-1).all() and not d_x[~MASK].any()


def test_merge_is_refused_where_it_means_nothing():
    with pytest.raises(ValueError, match="merge must be one of 'concat', 'sum', 'mul', 'ave'"):
        GRU(I, H, bidirectional=True, merge="mean")
    with pytest.raises(ValueError, match="needs bidirectional=True"):
        GRU(I, H, merge="sum")
    with pytest.raises(ValueError, match="needs num_layers=1, got 2; for more layers put"):
        GRU(I, H, 2, bidirectional=True, merge="ave")
    assert GRU(I, H, bidirectional=True, merge="sum").output_size == H
    with pytest.raises(TypeError, match="zero_output_for_mask must be a bool"):
        GRU(I, H, zero_output_for_mask=1)


def test_the_rule_for_masked_outputs_can_be_replaced():
    gru = GRU(I, H, seed=0)
    zero = gru.replace(zero_output_for_mask=True)
    assert gru(X, mask=MASK)[0][~MASK].any() and not zero(X, mask=MASK)[0][~MASK].any()
    np.testing.assert_array_equal(zero(X, mask=MASK)[1], gru(X, mask=MASK)[1])
