"""The GRU forward against reference.py: whole sequences, gates, single steps, weights' forms.

These tests fail if gates are exchanged; if a matrix is transposed; if the reset, the update or
a bias acts on the wrong side; if a state is lost between steps or blocks of steps; if the time
axis is reversed or shifted; if layers or directions are in the wrong order; or if padding
changes a result.
"""

import numpy as np
import pytest
import reference

from pygru import GRU, Variant

PRECISION = {"float64": 1e-13, "float32": 2e-6}  # absolute error of values that are at most 1

every_variant = pytest.mark.parametrize("variant", list(reference.VARIANTS))


class Problem:
    """A GRU with random weights, an input, and the results of the reference."""

    def __init__(
        self,
        variant,
        T=9,
        B=5,
        I=4,
        H=7,
        layers=1,
        bidirectional=False,
        bias=True,
        ragged=False,
        dtype="float64",
        seed=0,
        **options,
    ):
        rng = np.random.default_rng([seed, T, B, I, H, layers])
        reset, update = reference.VARIANTS[variant]
        named = Variant(reset, update) if variant == "unnamed" else variant
        self.gru = GRU(
            I,
            H,
            layers,
            bias,
            bidirectional=bidirectional,
            variant=named,
            dtype=dtype,
            **options,
        )
        self.parameters = reference.random_parameters(rng, I, H, layers, bidirectional, bias)
        self.x = rng.standard_normal((T, B, I))
        self.h0 = rng.uniform(-1, 1, (layers * self.gru.num_directions, B, H))
        self.round_to(dtype)
        self.gru.load_state_dict(self.parameters)
        self.lengths = None
        if ragged:
            self.lengths = rng.integers(0, T + 1, B)
            self.lengths[: min(B, 3)] = [T, 0, 1][: min(B, 3)]
            self.lengths = rng.permutation(self.lengths)
        self.options = {
            "num_layers": layers,
            "bidirectional": bidirectional,
            "reset": reset,
            "update": update,
        }
        self.tolerance = PRECISION[dtype]

    def round_to(self, dtype):
        """Give the reference exactly the numbers that a GRU of ``dtype`` uses."""
        self.x = self.x.astype(dtype).astype(np.float64)
        self.h0 = self.h0.astype(dtype).astype(np.float64)
        for name, array in self.parameters.items():
            self.parameters[name] = array.astype(dtype).astype(np.float64)

    def expected(self, lengths=None):
        if lengths is None:
            lengths = self.lengths
        return reference.forward(self.parameters, self.x, self.h0, lengths, **self.options)

    def check(self):
        expected_output, expected_h_n = self.expected()
        output, h_n = self.gru(self.x, self.h0, lengths=self.lengths)
        assert output.dtype == h_n.dtype == self.gru.dtype
        close(output, expected_output, self.tolerance)
        close(h_n, expected_h_n, self.tolerance)


def close(actual, expected, tolerance):
    """The shapes are equal, and no element differs by more than ``tolerance``."""
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


# ---- whole sequences ---------------------------------------------------------------------


@every_variant
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("dtype", list(PRECISION))
def test_matches_reference(variant, layers, bidirectional, bias, ragged, dtype):
    Problem(
        variant,
        layers=layers,
        bidirectional=bidirectional,
        bias=bias,
        ragged=ragged,
        dtype=dtype,
    ).check()


@every_variant
@pytest.mark.parametrize("H", [1, 3, 7, 8, 9, 15, 16, 17, 31, 33])
@pytest.mark.parametrize("dtype", list(PRECISION))
def test_hidden_sizes(variant, H, dtype):
    T, B, I = 2 + H % 5, 1 + H % 4, 1 + H % 6  # never I = H
    Problem(variant, T, B, I, H, 2, True, ragged=H % 2 == 0, dtype=dtype).check()


@every_variant
@pytest.mark.parametrize("T, B", [(1, 1), (1, 4), (6, 1), (2, 17), (3, 70)])
@pytest.mark.parametrize("ragged", [False, True])
def test_batch_sizes(variant, T, B, ragged):
    Problem(variant, T, B, 3, 5, 2, True, ragged=ragged).check()


@every_variant
def test_weights_larger_than_a_tile(variant):
    Problem(variant, 4, 3, 131, 130, ragged=True).check()


@every_variant
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_thousand_steps(variant, bidirectional):
    # There are more rows than one time block holds, so the state must pass between blocks.
    Problem(variant, 1000, 3, 2, 9, bidirectional=bidirectional, ragged=True).check()


@every_variant
def test_h0_is_zero_by_default(variant):
    problem = Problem(variant, layers=2, bidirectional=True)
    problem.h0 = np.zeros_like(problem.h0)
    output, h_n = problem.gru(problem.x)
    expected_output, expected_h_n = problem.expected()
    close(output, expected_output, 1e-13)
    close(h_n, expected_h_n, 1e-13)


@every_variant
@pytest.mark.parametrize("memory", ["gates", "outputs"])
def test_forward_gives_the_bits_of_a_call(variant, memory):
    problem = Problem(variant, layers=2, bidirectional=True, ragged=True)
    called = problem.gru(problem.x, problem.h0, lengths=problem.lengths)
    output, h_n, _ = problem.gru.forward(
        problem.x, problem.h0, lengths=problem.lengths, memory=memory
    )
    assert output.tobytes() == called[0].tobytes()
    assert h_n.tobytes() == called[1].tobytes()


@every_variant
def test_padding_and_empty_sequences(variant):
    problem = Problem(variant, layers=2, bidirectional=True)
    lengths = [9, 0, 4, 1, 0]
    output, h_n = problem.gru(problem.x, problem.h0, lengths=lengths)
    for b, length in enumerate(lengths):
        assert not output[length:, b].any()
        alone = problem.gru(problem.x[:length, b], problem.h0[:, b])
        close(output[:length, b], alone[0], 1e-13)
        close(h_n[:, b], alone[1], 1e-13)
    np.testing.assert_array_equal(h_n[:, [1, 4]], problem.h0[:, [1, 4]])


def test_reverse_direction_starts_at_the_last_valid_step():
    problem = Problem("pytorch", bidirectional=True)
    length, H = 6, 7
    output, h_n = problem.gru(problem.x, problem.h0, lengths=[length] * 5)
    cell = reference.Cell(problem.parameters, "l0_reverse", "after", "keep")
    for b in range(5):
        first = cell.step(problem.x[length - 1, b], problem.h0[1, b])[-1]
        close(output[length - 1, b, H:], first, 1e-13)
    close(h_n[1], output[0, :, H:], 0)
    close(h_n[0], output[length - 1, :, :H], 0)


@every_variant
def test_long_float32_stays_near_float64(variant):
    T = 100_000
    double = Problem(variant, T, 2, 3, 8, dtype="float32")
    single = double.gru
    wide = GRU(3, 8, variant=single.variant, dtype="float64")
    wide.load_state_dict(double.parameters)
    output, h_n = single(double.x, double.h0)
    expected_output, expected_h_n = wide(double.x, double.h0)
    close(output, expected_output, 1e-4)
    close(h_n, expected_h_n, 1e-4)


# ---- forms of the input and output -------------------------------------------------------


@every_variant
@pytest.mark.parametrize("ragged", [False, True])
def test_batch_first(variant, ragged):
    problem = Problem(variant, layers=2, bidirectional=True, ragged=ragged, batch_first=True)
    expected_output, expected_h_n = problem.expected()
    output, h_n = problem.gru(problem.x.swapaxes(0, 1), problem.h0, lengths=problem.lengths)
    close(output, expected_output.swapaxes(0, 1), 1e-13)
    close(h_n, expected_h_n, 1e-13)


@every_variant
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("length", [None, 4])
def test_unbatched(variant, batch_first, length):
    problem = Problem(variant, B=1, layers=2, bidirectional=True, batch_first=batch_first)
    expected_output, expected_h_n = problem.expected(None if length is None else [length])
    output, h_n = problem.gru(problem.x[:, 0], problem.h0[:, 0], lengths=length)
    close(output, expected_output[:, 0], 1e-13)
    close(h_n, expected_h_n[:, 0], 1e-13)


@every_variant
@pytest.mark.parametrize("batch_first", [False, True])
def test_list_of_sequences(variant, batch_first):
    problem = Problem(variant, layers=2, bidirectional=True, batch_first=batch_first)
    lengths = [4, 9, 1, 0, 6]
    sequences = [problem.x[:length, b] for b, length in enumerate(lengths)]
    expected_output, expected_h_n = problem.expected(lengths)
    outputs, h_n = problem.gru(sequences, problem.h0)
    assert isinstance(outputs, list) and len(outputs) == 5
    for b, length in enumerate(lengths):
        close(outputs[b], expected_output[:length, b], 1e-13)
    close(h_n, expected_h_n, 1e-13)


@every_variant
@pytest.mark.parametrize("batch_first", [False, True])
def test_out(variant, batch_first):
    problem = Problem(variant, bidirectional=True, ragged=True, batch_first=batch_first)
    x = problem.x.swapaxes(0, 1) if batch_first else problem.x
    expected, _ = problem.gru(x, problem.h0, lengths=problem.lengths)
    for out in (
        np.full(expected.shape, np.nan),
        np.full(expected.shape, np.nan, order="F"),
        np.full((*expected.shape[:2], 3 * expected.shape[2]), np.nan)[..., ::3],
        np.full(expected.shape, np.nan)[::-1],
    ):
        output, _ = problem.gru(x, problem.h0, lengths=problem.lengths, out=out)
        assert output is out
        assert out.tobytes() == expected.tobytes()


def test_out_may_be_x():
    problem = Problem("chung", I=7, H=7)
    x = problem.x.copy()
    output, _ = problem.gru(x, problem.h0, out=x)
    assert output is x
    close(x, problem.expected()[0], 1e-13)


# ---- gates -------------------------------------------------------------------------------


@every_variant
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
def test_gates(variant, layers, bidirectional, ragged):
    problem = Problem(variant, layers=layers, bidirectional=bidirectional, ragged=ragged)
    expected = reference.gates(
        problem.parameters, problem.x, problem.h0, problem.lengths, **problem.options
    )
    actual = problem.gru.gates(problem.x, problem.h0, lengths=problem.lengths)
    assert len(actual) == len(expected)
    for got, wanted in zip(actual, expected, strict=True):
        for name in ("r", "z", "n", "h"):
            close(getattr(got, name), getattr(wanted, name), 1e-13)


def test_gates_follow_the_layout_of_the_input():
    problem = Problem("chung", bidirectional=True, batch_first=True)
    options = (problem.parameters, problem.x, problem.h0, problem.lengths)
    expected = reference.gates(*options, **problem.options)
    batched = problem.gru.gates(problem.x.swapaxes(0, 1), problem.h0)
    alone = problem.gru.gates(problem.x[:, 2], problem.h0[:, 2])
    for index, wanted in enumerate(expected):
        for name in ("r", "z", "n", "h"):
            array = getattr(wanted, name)
            close(getattr(batched[index], name), array.swapaxes(0, 1), 1e-13)
            close(getattr(alone[index], name), array[:, 2], 1e-13)


# ---- single steps ------------------------------------------------------------------------


@every_variant
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", list(PRECISION))
def test_step(variant, layers, bias, dtype):
    problem = Problem(variant, layers=layers, bias=bias, dtype=dtype)
    expected_output, expected_h_n = problem.expected()
    h = problem.h0
    for x_t, expected in zip(problem.x, expected_output, strict=True):
        h = problem.gru.step(x_t, h)
        assert h.dtype == dtype
        close(h[-1], expected, problem.tolerance)
    close(h, expected_h_n, problem.tolerance)


@every_variant
def test_step_unbatched_into_its_own_state(variant):
    problem = Problem(variant, B=1, layers=2)
    expected_output, _ = problem.expected()
    h = problem.h0[:, 0].copy()
    for x_t, expected in zip(problem.x[:, 0], expected_output[:, 0], strict=True):
        assert problem.gru.step(x_t, h, out=h) is h
        close(h[-1], expected, 1e-13)


def test_steps_of_different_batch_sizes_do_not_mix():
    wide, narrow = Problem("cho", B=5, seed=1), Problem("cho", B=2, seed=2)
    narrow.parameters = wide.parameters
    h_wide, h_narrow = wide.h0, narrow.h0
    for x_wide, x_narrow in zip(wide.x, narrow.x, strict=True):
        h_wide = wide.gru.step(x_wide, h_wide)
        h_narrow = wide.gru.step(x_narrow, h_narrow)
    close(h_wide, wide.expected()[1], 1e-13)
    close(h_narrow, narrow.expected()[1], 1e-13)


@every_variant
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("batch", [None, 1, 5])
def test_stream(variant, layers, batch):
    problem = Problem(variant, B=batch or 1, layers=layers)
    rows = (slice(None), 0) if batch is None else slice(None)
    expected_output, expected_h_n = problem.expected()
    stream = problem.gru.stream(batch)
    stream.h = problem.h0[rows]
    for t in range(len(problem.x)):
        close(
            stream(problem.x[t, 0] if batch is None else problem.x[t]).copy(),
            expected_output[t, 0] if batch is None else expected_output[t],
            1e-13,
        )
    close(stream.h, expected_h_n[rows], 1e-13)


def test_stream_reset_and_new_weights():
    problem = Problem("chung")
    stream = problem.gru.stream(5)
    stream(problem.x[0])
    stream.reset([1, 3])
    expected = problem.gru(problem.x[:1])[1]
    expected[:, [1, 3]] = 0
    close(stream.h, expected, 1e-15)
    stream.reset()
    assert not stream.h.any()
    problem.gru.flat_parameters *= -0.5
    close(stream(problem.x[1]), problem.gru(problem.x[1:2])[0][0], 1e-15)


# ---- weights -----------------------------------------------------------------------------


def step_of_concatenated(cell, reset, update, x, h):
    """One step as the textbooks write it, on the concatenation of state and input."""
    both = np.concatenate([h, x])
    r = reference.sigmoid(cell.W_r @ both + cell.b_r)
    z = reference.sigmoid(cell.W_z @ both + cell.b_z)
    if reset == "before":
        assert cell.b_hn is None
        n = np.tanh(cell.W_n @ np.concatenate([r * h, x]) + cell.b_n)
    else:
        U, W = cell.W_n[:, : len(h)], cell.W_n[:, len(h) :]
        n = np.tanh(W @ x + cell.b_n + r * (U @ h + cell.b_hn))
    return (1 - z) * h + z * n if update == "replace" else z * h + (1 - z) * n


@every_variant
@pytest.mark.parametrize("bias", [False, True])
def test_concatenated_weights(variant, bias):
    problem = Problem(variant, T=1, layers=2, bidirectional=True, bias=bias)
    cells = problem.gru.concatenated_weights()
    _, h_n = problem.gru(problem.x, problem.h0)
    reset, update = reference.VARIANTS[variant]
    for b in range(5):
        x = problem.x[0, b]
        for layer in range(2):
            of_layer = range(2 * layer, 2 * layer + 2)
            states = [
                step_of_concatenated(cells[k], reset, update, x, problem.h0[k, b])
                for k in of_layer
            ]
            close(h_n[of_layer, b], np.array(states), 1e-13)
            x = np.concatenate(states)


@every_variant
@pytest.mark.parametrize("bias", [False, True])
def test_load_concatenated_weights(variant, bias):
    problem = Problem(variant, layers=2, bidirectional=True, bias=bias)
    other = Problem(variant, layers=2, bidirectional=True, bias=bias, seed=9).gru
    other.load_concatenated_weights(problem.gru.concatenated_weights())
    output, h_n = other(problem.x, problem.h0)
    expected_output, expected_h_n = problem.expected()
    close(output, expected_output, 1e-13)
    close(h_n, expected_h_n, 1e-13)


def test_concatenated_weights_are_copies():
    problem = Problem("pytorch", bias=True)
    before = problem.gru.flat_parameters.copy()
    for array in problem.gru.concatenated_weights()[0]:
        array.fill(5)
    np.testing.assert_array_equal(problem.gru.flat_parameters, before)


@every_variant
@pytest.mark.parametrize("dtype", list(PRECISION))
def test_state_dict_round_trip(variant, dtype):
    problem = Problem(variant, layers=2, bidirectional=True, dtype=dtype)
    state = problem.gru.state_dict()
    assert list(state) == list(problem.parameters)
    other = Problem(variant, layers=2, bidirectional=True, dtype=dtype, seed=9).gru
    other.load_state_dict(state)
    assert other.flat_parameters.tobytes() == problem.gru.flat_parameters.tobytes()
    state["weight_hh_l0"].fill(7)  # a copy: neither GRU may change
    output, h_n = other(problem.x, problem.h0)
    assert output.tobytes() == problem.gru(problem.x, problem.h0)[0].tobytes()
    close(h_n, problem.expected()[1], problem.tolerance)


# ---- dropout -----------------------------------------------------------------------------


def test_dropout_acts_in_training_only():
    problem = Problem("chung", layers=2, bidirectional=True, dropout=0.5, seed=3)
    expected, _ = problem.expected()
    close(problem.gru(problem.x, problem.h0)[0], expected, 1e-13)
    quiet, _, _ = problem.gru.forward(problem.x, problem.h0, training=False)
    close(quiet, expected, 1e-13)
    dropped, _, _ = problem.gru.forward(problem.x, problem.h0)
    assert np.abs(dropped - expected).max() > 1e-3


@every_variant
def test_dropout_of_everything_silences_the_layers_below(variant):
    problem = Problem(variant, layers=2, dropout=1.0)
    output, h_n, _ = problem.gru.forward(problem.x, problem.h0)
    cell = reference.Cell(problem.parameters, "l1", *reference.VARIANTS[variant])
    for b in range(5):
        h = problem.h0[1, b]
        for t in range(9):
            h = cell.step(np.zeros(7), h)[-1]
            close(output[t, b], h, 1e-13)
    close(h_n[0], problem.expected()[1][0], 1e-13)


def test_dropout_scales_what_it_keeps():
    # The upper layer returns its input: z = 1, and tanh of a small input is nearly linear.
    gru = GRU(2, 40, 2, dropout=0.3, dtype="float64", seed=0)
    x = np.random.default_rng(0).standard_normal((50, 20, 2))
    small = 1e-5
    gru.parameters["weight_hh_l1"] = np.zeros((120, 40))
    gru.parameters["weight_ih_l1"] = np.concatenate([np.zeros((80, 40)), small * np.eye(40)])
    gru.parameters["bias_ih_l1"] = np.concatenate([np.zeros(40), np.full(40, 60), np.zeros(40)])
    gru.parameters["bias_hh_l1"] = np.zeros(120)
    output, _, _ = gru.forward(x)
    below = gru.gates(x)[0].h
    ratio = output / (small * below)
    kept = ratio != 0
    np.testing.assert_allclose(ratio[kept], 1 / 0.7, rtol=1e-8)
    assert 0.69 < kept.mean() < 0.71  # 40 000 elements: 4 standard deviations
