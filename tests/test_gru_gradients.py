"""GRU.backward against complex-step derivatives of reference.py, and the rules of tapes.

With a step of 1e-30 the imaginary part of the reference's result is its derivative, exact to
the last bits. So these tests fail if a sign is wrong, if a term is missing, if a gradient
belongs to the wrong gate, if a matrix is transposed, if a sum over steps or blocks loses a
part, or if padding adds to a sum. No test compares absolute values only.
"""

import numpy as np
import pytest
import reference
from quick import quick_and_slow

from pygru import GRU, Variant
from pygru.errors import InternalError

STEP = 1e-30
PRECISION = 1e-12  # of the difference, relative to the gradient of a tensor

every_variant = pytest.mark.parametrize("variant", list(reference.VARIANTS))


class Problem:
    """A GRU in float64, an input, and a random linear functional of output and h_n."""

    def __init__(
        self,
        variant,
        T=4,
        B=3,
        I=2,
        H=3,
        layers=1,
        bidirectional=False,
        bias=True,
        lengths=None,
        dtype="float64",
        **options,
    ):
        rng = np.random.default_rng([T, B, I, H, layers])
        reset, update = reference.VARIANTS[variant]
        parameters = reference.random_parameters(rng, I, H, layers, bidirectional, bias)
        states = (layers * (1 + bidirectional), B, H)
        self.tensors = {
            "x": rng.standard_normal((T, B, I)),
            "h0": rng.uniform(-1, 1, states),
            **parameters,
        }
        self.lengths = lengths
        self.d_output = rng.standard_normal((T, B, H * (1 + bidirectional)))
        self.d_h_n = rng.standard_normal(states)
        self.rng = rng
        self.options = {
            "num_layers": layers,
            "bidirectional": bidirectional,
            "reset": reset,
            "update": update,
        }
        self.gru = GRU(
            I,
            H,
            layers,
            bias,
            bidirectional=bidirectional,
            variant=Variant(reset, update) if variant == "unnamed" else variant,
            dtype=dtype,
            **options,
        )
        self.gru.load_state_dict(parameters)

    def functional(self, tensors):
        """What is differentiated: sum(d_output * output) + sum(d_h_n * h_n)."""
        parameters = {name: array for name, array in tensors.items() if name not in ("x", "h0")}
        output, h_n = reference.forward(
            parameters, tensors["x"], tensors["h0"], self.lengths, **self.options
        )
        return (self.d_output * output).sum() + (self.d_h_n * h_n).sum()

    def derivative(self, name, direction):
        """The derivative of the functional when ``name`` changes along ``direction``."""
        moved = self.tensors[name] + 1j * STEP * direction
        return self.functional({**self.tensors, name: moved}).imag / STEP

    def gradient(self, name):
        """The derivative by each element of one tensor."""
        array = self.tensors[name]
        gradient = np.empty(array.shape)
        for index in np.ndindex(array.shape):
            direction = np.zeros(array.shape)
            direction[index] = 1
            gradient[index] = self.derivative(name, direction)
        return gradient

    def forward(self, **options):
        return self.gru.forward(
            self.tensors["x"], self.tensors["h0"], lengths=self.lengths, **options
        )

    def backward(self, **options):
        """What pygru computes: a dict of gradients with the names of ``tensors``."""
        _, _, tape = self.forward(**options)
        self.gru.zero_grad()
        d_x, d_h0 = self.gru.backward(tape, self.d_output, self.d_h_n)
        return {"x": d_x, "h0": d_h0, **{name: g.copy() for name, g in self.gru.grads.items()}}

    def check_elements(self, memories=("gates", "outputs")):
        expected = {name: self.gradient(name) for name in self.tensors}
        for memory in memories:
            check_equal(self.backward(memory=memory), expected, PRECISION)

    def check_directions(self, memory, count=2, n_threads=None):
        actual = self.backward(memory=memory, n_threads=n_threads)
        assert set(actual) == set(self.tensors)
        for name, array in self.tensors.items():
            assert actual[name].shape == array.shape
            for _ in range(count):
                direction = self.rng.standard_normal(array.shape)
                error = (actual[name] * direction).sum() - self.derivative(name, direction)
                assert abs(error) <= PRECISION * np.linalg.norm(actual[name]), (name, memory)


def check_equal(actual, expected, precision):
    """Compare for every tensor the norm of the difference with that of the gradient."""
    assert set(actual) == set(expected)
    for name, wanted in expected.items():
        assert actual[name].shape == wanted.shape, name
        error = np.linalg.norm(actual[name] - wanted)
        assert error <= precision * np.linalg.norm(wanted), (name, error)


# ---- against complex steps ---------------------------------------------------------------


@every_variant
@pytest.mark.parametrize("layers", quick_and_slow([2], [1]))
@pytest.mark.parametrize("bidirectional", quick_and_slow([True], [False]))
@pytest.mark.parametrize("bias", quick_and_slow([True], [False]))
@pytest.mark.parametrize(
    "lengths", quick_and_slow([(2, 4, 0)], [None]), ids=["ragged", "whole"]
)
def test_every_element(variant, layers, bidirectional, bias, lengths):
    Problem(
        variant,
        layers=layers,
        bidirectional=bidirectional,
        bias=bias,
        lengths=lengths,
    ).check_elements()


@every_variant
@pytest.mark.parametrize("H", quick_and_slow([1, 8, 17], [3, 7, 9, 15, 16, 31, 33]))
@pytest.mark.parametrize("memory", quick_and_slow(["outputs"], ["gates"]))
def test_hidden_sizes(variant, H, memory):
    layers, bidirectional = (2, False) if H % 2 else (1, True)
    lengths = None if H % 3 else (17, 50)
    Problem(
        variant, 50, 2, 1 + H % 6, H, layers, bidirectional, lengths=lengths
    ).check_directions(memory)


@every_variant
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_sums_over_several_blocks_and_rounds(variant, n_threads, bidirectional):
    # 20 sequences are three chunks, and their rows are more than three blocks of a sum. They
    # end in the middle of a block, and so do the first two chunks.
    lengths = np.random.default_rng(1).integers(35, 46, 20)
    Problem(
        variant, 45, 20, 3, 18, bidirectional=bidirectional, lengths=lengths
    ).check_directions("gates", count=1, n_threads=n_threads)


@every_variant
@pytest.mark.parametrize(("I", "H"), [(200, 5), (2, 200), (197, 26)])
def test_sums_of_more_columns_than_are_packed_at_a_time(variant, I, H):
    Problem(variant, 3, 4, I, H).check_directions("gates", count=1)


@every_variant
@pytest.mark.parametrize("rows", [1, 3, 4])
@pytest.mark.parametrize(("I", "H"), [(16, 16), (1, 16), (16, 9)])
def test_a_single_step_of_a_few_sequences(variant, rows, I, H):
    # Weights whose columns fill vectors are read in place, and a few rows are not packed.
    Problem(variant, 1, rows, I, H).check_directions("gates", count=1)


@every_variant
def test_gradients_of_short_calls_are_added_too(variant):
    problem = Problem(variant, 1, 2, 3, 16)
    expected = problem.backward()
    _, _, tape = problem.forward()
    problem.gru.backward(tape, problem.d_output, problem.d_h_n)
    for name, grad in problem.gru.grads.items():
        np.testing.assert_array_equal(grad, expected[name] + expected[name])


@pytest.mark.slow
@every_variant
@pytest.mark.parametrize("memory", ["gates", "outputs"])
def test_weights_larger_than_a_tile(variant, memory):
    Problem(variant, 3, 2, 131, 130).check_directions(memory)


@pytest.mark.slow
@every_variant
@pytest.mark.parametrize("memory", ["gates", "outputs"])
def test_more_sequences_than_a_chunk(variant, memory):
    lengths = np.random.default_rng(0).integers(0, 4, 70)
    Problem(variant, 3, 70, 2, 5, 2, True, lengths=lengths).check_directions(memory)


@pytest.mark.slow
@every_variant
@pytest.mark.parametrize("memory", ["gates", "outputs"])
def test_a_thousand_steps(variant, memory):
    # There are more rows than one time block, or one product of the weight gradients, holds.
    lengths = (1000, 1000, 998, 1000, 700)
    Problem(variant, 1000, 5, 2, 7, lengths=lengths).check_directions(memory, count=1)


@pytest.mark.parametrize("lengths", [None, (2, 4, 0)])
def test_batch_first(lengths):
    problem = Problem("chung", layers=2, bidirectional=True, lengths=lengths)
    expected = problem.backward()
    turned = Problem("chung", layers=2, bidirectional=True, lengths=lengths, batch_first=True)
    turned.tensors["x"] = turned.tensors["x"].swapaxes(0, 1)
    turned.d_output = turned.d_output.swapaxes(0, 1)
    actual = turned.backward()
    actual["x"] = actual["x"].swapaxes(0, 1)
    check_equal(actual, expected, PRECISION)


def test_unbatched_and_list():
    problem = Problem("cho", layers=2, bidirectional=True, lengths=(2, 4, 0))
    expected = problem.backward()
    gru, tensors = problem.gru, problem.tensors

    sequences = [tensors["x"][:n, b] for b, n in enumerate(problem.lengths)]
    _, _, tape = gru.forward(sequences, tensors["h0"])
    gru.zero_grad()
    d_output = [problem.d_output[:n, b] for b, n in enumerate(problem.lengths)]
    d_x, d_h0 = gru.backward(tape, d_output, problem.d_h_n)
    for b, n in enumerate(problem.lengths):
        np.testing.assert_allclose(d_x[b], expected["x"][:n, b], rtol=1e-12, atol=1e-14)
    actual = {"h0": d_h0, **gru.grads}
    check_equal(actual, {name: expected[name] for name in actual}, PRECISION)

    gru.zero_grad()
    for b, n in enumerate(problem.lengths):
        _, _, tape = gru.forward(tensors["x"][:, b], tensors["h0"][:, b], lengths=n)
        d_x, d_h0 = gru.backward(tape, problem.d_output[:, b], problem.d_h_n[:, b])
        np.testing.assert_allclose(d_x, expected["x"][:, b], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(d_h0, expected["h0"][:, b], rtol=1e-12, atol=1e-14)
    check_equal(dict(gru.grads), {name: expected[name] for name in gru.grads}, PRECISION)


@every_variant
@pytest.mark.parametrize("memory", ["gates", "outputs"])
def test_float32_is_near_float64(variant, memory):
    options = {
        "T": 50,
        "B": 6,
        "I": 5,
        "H": 17,
        "layers": 2,
        "bidirectional": True,
        "lengths": (50, 0, 3, 20, 49, 50),
    }
    expected = Problem(variant, **options).backward(memory=memory)
    actual = Problem(variant, dtype="float32", **options).backward(memory=memory)
    assert all(array.dtype == np.float32 for array in actual.values())
    check_equal(actual, expected, 1e-5)


@every_variant
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_memories_give_the_same_gradient(variant, dtype):
    problem = Problem(variant, 40, 20, 4, 9, 2, True, lengths=np.arange(20) * 2, dtype=dtype)
    precision = 1e-13 if dtype == "float64" else 1e-5
    check_equal(problem.backward(memory="outputs"), problem.backward(memory="gates"), precision)


# ---- parts of the loss -------------------------------------------------------------------


@every_variant
@pytest.mark.parametrize("given", ["d_output", "d_h_n", "neither"])
@pytest.mark.parametrize("lengths", [None, (2, 4, 0)], ids=["whole", "ragged"])
def test_gradients_that_are_not_given_are_zero(variant, given, lengths):
    problem = Problem(variant, layers=2, bidirectional=True, lengths=lengths)
    if given != "d_output":
        problem.d_output = np.zeros_like(problem.d_output)
    if given != "d_h_n":
        problem.d_h_n = np.zeros_like(problem.d_h_n)
    expected = problem.backward()
    _, _, tape = problem.forward()
    problem.gru.zero_grad()
    arguments = {} if given == "neither" else {given: getattr(problem, given)}
    d_x, d_h0 = problem.gru.backward(tape, **arguments)
    actual = {"x": d_x, "h0": d_h0, **problem.gru.grads}
    if given == "neither":
        assert not any(array.any() for array in actual.values())
    check_equal(actual, expected, 1e-15)
    if given == "d_h_n":
        # d_h_n alone, which enters at the end of each sequence, also against the reference.
        problem.check_directions("gates")


# ---- tapes -------------------------------------------------------------------------------


@every_variant
@pytest.mark.parametrize("memory", ["gates", "outputs"])
def test_backward_twice(variant, memory):
    problem = Problem(variant, 9, 20, 3, 5, 2, True, lengths=np.arange(20) % 10)
    gru = problem.gru
    _, _, tape = problem.forward(memory=memory)
    gru.zero_grad()
    first = gru.backward(tape, problem.d_output, problem.d_h_n)
    grads = gru.flat_grads.copy()
    gru.zero_grad()
    second = gru.backward(tape, problem.d_output, problem.d_h_n)
    assert gru.flat_grads.tobytes() == grads.tobytes()
    assert [array.tobytes() for array in second] == [array.tobytes() for array in first]
    gru.backward(tape, problem.d_output, problem.d_h_n)
    assert gru.flat_grads.tobytes() == (grads + grads).tobytes()


@pytest.mark.parametrize("memory", ["gates", "outputs"])
def test_the_tape_owns_what_it_needs(memory):
    problem = Problem("chung", layers=2, bidirectional=True, lengths=(2, 4, 0))
    expected = problem.backward(memory=memory)
    x, h0 = problem.tensors["x"].copy(), problem.tensors["h0"].copy()
    lengths = np.array(problem.lengths)
    output, h_n, tape = problem.gru.forward(x, h0, lengths=lengths, memory=memory)
    for array in (x, h0, output, h_n):
        array.fill(np.nan)
    lengths.fill(1)
    problem.gru.zero_grad()
    d_x, d_h0 = problem.gru.backward(tape, problem.d_output, problem.d_h_n)
    check_equal({"x": d_x, "h0": d_h0, **problem.gru.grads}, expected, 0)


def test_two_tapes_at_once():
    first, second = Problem("cho", T=5), Problem("cho", T=7)
    second.gru = first.gru
    second.tensors = {**first.tensors, "x": second.tensors["x"]}
    expected = [problem.backward() for problem in (first, second)]
    tapes = [problem.forward()[2] for problem in (first, second)]
    for problem, tape, wanted in zip((first, second), tapes, expected, strict=True):
        first.gru.zero_grad()
        d_x, d_h0 = first.gru.backward(tape, problem.d_output, problem.d_h_n)
        check_equal({"x": d_x, "h0": d_h0, **first.gru.grads}, wanted, 0)


@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l1_reverse", "bias_hh_l0_reverse"])
def test_changed_weights_are_refused(name):
    problem = Problem("pytorch", layers=2, bidirectional=True)
    _, _, tape = problem.forward()
    before = problem.gru.flat_grads.copy()
    element = problem.gru.parameters[name].reshape(-1)[-1:]
    kept = element.copy()
    element[...] = np.nextafter(kept, 9)
    with pytest.raises(RuntimeError, match="weights changed since forward"):
        problem.gru.backward(tape, problem.d_output)
    np.testing.assert_array_equal(problem.gru.flat_grads, before)
    element[...] = kept
    problem.gru.backward(tape, problem.d_output)


def test_inputs_that_do_not_belong_to_a_tape_are_noticed():
    """They say how large the gradient of x is."""
    problem = Problem("chung")
    output, _, tape = problem.forward()
    tape.inputs.T = 1
    with pytest.raises(InternalError, match="the inputs of a tape"):
        problem.gru.backward(tape, np.ones_like(output[:1]))


@pytest.mark.slow
@pytest.mark.parametrize("lengths", [None, [0]])
def test_many_weights_and_no_steps_have_no_gradient(lengths):
    gru = GRU(10, 2400, seed=0)
    x = np.ones((2, 1, 10), np.float32)
    output, _, tape = gru.forward(x)
    gru.backward(tape, output)  # leaves numbers in the memory that the next call takes
    del output, tape
    gru.zero_grad()
    output, _, tape = gru.forward(x[:0] if lengths is None else x, lengths=lengths)
    gru.backward(tape, np.ones_like(output), np.ones((1, 1, 2400), np.float32))
    assert not gru.flat_grads.any()


def test_foreign_tapes_are_refused():
    ours, theirs = Problem("chung"), Problem("chung")
    _, _, tape = theirs.forward()
    with pytest.raises(ValueError, match="tape belongs to another GRU"):
        ours.gru.backward(tape, ours.d_output)
    with pytest.raises(RuntimeError, match="backward\\(\\) needs a tape"):
        ours.gru.backward((1, 2), ours.d_output)


# ---- dropout -----------------------------------------------------------------------------


@every_variant
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("memory", ["gates", "outputs"])
def test_dropout(variant, bidirectional, memory):
    problem = Problem(
        variant,
        T=5,
        layers=2,
        bidirectional=bidirectional,
        lengths=(5, 3, 0),
        dropout=0.5,
    )
    gru, tensors = problem.gru, problem.tensors

    def forward():
        gru.generator = np.random.default_rng(7)  # the same mask every time
        return problem.forward(memory=memory)

    def functional():
        output, h_n, _ = forward()
        return (problem.d_output * output).sum() + (problem.d_h_n * h_n).sum()

    def difference(array, direction, step=1e-5):
        kept = array.copy()
        array += step * direction
        above = functional()
        array[...] = kept - step * direction
        below = functional()
        array[...] = kept
        return (above - below) / (2 * step)

    dropped = forward()[0]
    assert np.abs(dropped - problem.forward(training=False)[0]).max() > 1e-3
    _, _, tape = forward()
    gru.zero_grad()
    d_x, d_h0 = gru.backward(tape, problem.d_output, problem.d_h_n)
    actual = {"x": d_x, "h0": d_h0, **gru.grads}
    moved = {"x": tensors["x"], "h0": tensors["h0"], **gru.parameters}
    for name, array in moved.items():
        for _ in range(3):
            direction = problem.rng.standard_normal(array.shape)
            error = (actual[name] * direction).sum() - difference(array, direction)
            assert abs(error) <= 1e-8 * (1 + np.linalg.norm(actual[name])), name
