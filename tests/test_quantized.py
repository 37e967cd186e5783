"""GRUs with weights of 8 bits compute what the definition says, whatever their options are.

The sums of integers must be exact, so with an identity in the place of each activation a state
has the bits of the reference. With other activations a state may differ by their rounding; each
step is then computed from pygru's own state before it, so that no difference grows.
"""

import numpy as np
import pytest
import quantized_reference as reference
from engines import CHOSEN, ENGINES, HAS_SIMD, SETS, THREADING, choose, use, use_engine

import pygru
from pygru import GRU, QuantizedGRU, Variant

F = np.float32
SIZES = [(1, 1), (5, 3), (16, 16), (31, 33), (100, 64), (130, 40)]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(F)


pytestmark = pytest.mark.skipif(not HAS_SIMD, reason="weights of 8 bits need the SIMD engine")


@pytest.fixture(params=SETS)
def kernels(request, monkeypatch):
    use_engine(monkeypatch, "simd", request.param)
    return request.param


def is_fused(kernels):
    return kernels != "baseline"


# ---- the sums of integers ----------------------------------------------------------------


def linear_recurrence(input_size, hidden_size, update):
    """A GRU whose new state is W_n x + b_in + U_n h + b_hn, with nothing rounded after that.

    r is 1, and z is such that the state becomes the candidate.
    """
    gru = GRU(
        input_size,
        hidden_size,
        variant=Variant("after", update),
        activation="linear",
        recurrent_activation="linear",
        seed=0,
    )
    H = hidden_size
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        gru.parameters[name][: 2 * H] = 0
    gru.parameters["bias_ih_l0"][:H] = 1
    gru.parameters["bias_ih_l0"][H : 2 * H] = 0 if update == "keep" else 1
    return gru


@pytest.mark.parametrize("rows", [1, 3, 9])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_states_of_a_linear_recurrence_have_the_bits_of_the_definition(kernels, sizes, rows):
    gru = linear_recurrence(*sizes, "keep")
    x = normal(5, rows, sizes[0]) * np.exp(normal(5, rows, 1, seed=1) * 3)
    h0 = normal(1, rows, sizes[1], seed=2)
    output, h_n = gru.quantized()(x, h0)
    cell = reference.cell_of(gru.parameters)
    expected = reference.run(
        cell,
        x,
        h0[0],
        reset="after",
        update="keep",
        activation="linear",
        recurrent_activation="linear",
        fused=is_fused(kernels),
    )
    np.testing.assert_array_equal(output, expected)
    np.testing.assert_array_equal(h_n[0], expected[-1])


@pytest.mark.parametrize("reset", ["before", "after"])
def test_the_largest_sums_are_exact(kernels, reset):
    """All integers are 127 or -127: no sum of products may saturate on its way."""
    K = 1030
    signs = np.where(np.arange(3 * K) % 3, 1, -1).reshape(3, K).astype(F)
    gru = linear_recurrence(K, 1, "keep")
    gru = gru.from_options(gru.options.replace(variant=Variant(reset, "keep")))
    for view in gru.parameters.values():
        view[...] = 0
    gru.parameters["weight_ih_l0"] = signs * F(0.5)
    gru.parameters["weight_ih_l0"][:2] = 0
    x = np.stack([signs[2], -signs[2], np.abs(signs[2]), -np.abs(signs[2])])[np.newaxis]
    output, _ = gru.quantized()(x * F(3))
    sums = np.array([K, -K, (signs[2] > 0).sum() * 2 - K, K - (signs[2] > 0).sum() * 2])
    scale = (F(0.5) / F(127)) * (F(3) / F(127))
    np.testing.assert_array_equal(output.ravel(), (sums * 127 * 127).astype(F) * scale)


def test_what_has_no_scale_is_zero_or_not_a_number(kernels):
    gru = linear_recurrence(4, 2, "keep")
    gru.parameters["weight_ih_l0"][4] = 0  # a row of zeros
    gru.parameters["weight_ih_l0"][5] = [1e-39, 0, -1e-39, 0]  # and one that is denormal
    bias = gru.parameters["bias_ih_l0"][4:] + gru.parameters["bias_hh_l0"][4:]
    quantized = gru.quantized()
    rows = np.array([[0, 0, 0, 0], [1e-39, 0, 0, 0], [1, np.nan, 0, 0], [np.inf, 1, 0, 0]], F)
    rows = np.vstack([rows, [[-1, 2, 3, 4]]]).astype(F)
    output, _ = quantized(rows[np.newaxis])
    for row in (0, 1, 4):
        np.testing.assert_array_equal(output[0, row], bias)
    assert np.isnan(output[0, 2:4, 0]).all()


# ---- all options -------------------------------------------------------------------------

CELLS = {
    "chung": {},
    "cho": {"variant": "cho"},
    "pytorch": {"variant": "pytorch"},
    "unnamed": {"variant": Variant("after", "replace")},
    "no bias": {"bias": False},
    "layer norm": {"layer_norm": True},
    "layer norm, pytorch": {"layer_norm": True, "variant": "pytorch", "layer_norm_eps": 1e-3},
    "relu": {"activation": "relu", "recurrent_activation": "hard_sigmoid"},
    "softsign": {"activation": "softsign", "variant": "cho"},
    "clip": {"clip": 0.2},
    "zoneout": {"zoneout": 0.25},
}


def options_of_reference(gru):
    function = gru.recurrent_activation
    return {
        "reset": gru.variant.reset,
        "update": gru.variant.update,
        "activation": gru.activation,
        "recurrent_activation": function if isinstance(function, str) else function[0],
        "clip": gru.clip or np.inf,
        "eps": gru.layer_norm_eps,
        "kept": gru.zoneout,
    }


def check_steps(states, before, x, cell, **options):
    """Compare each state of (T, B, H) with a step of the reference from the state before."""
    for t, state in enumerate(states):
        expected = reference.step(cell, x[t], before, **options)
        np.testing.assert_allclose(state, expected, atol=2e-6)
        before = state


@pytest.mark.parametrize("name", CELLS)
def test_every_option(kernels, name):
    gru = GRU(6, 11, seed=3, **CELLS[name])
    if gru.layer_norm:
        gru.parameters["gain_ih_l0"] *= normal(33)
    x, h0 = normal(6, 3, 6), normal(1, 3, 11, seed=1) / 3
    output, h_n = gru.quantized()(x, h0)
    np.testing.assert_array_equal(output[-1], h_n[0])
    cell = reference.cell_of(gru.parameters)
    fused = is_fused(kernels)
    check_steps(output, h0[0], x, cell, fused=fused, **options_of_reference(gru))


def test_directions_and_layers():
    """Each layer and direction is a cell that reads the output of the layer below."""
    gru = GRU(4, 7, 2, bidirectional=True, learn_h0=True, seed=0)
    gru.parameters["h0"] = normal(4, 7) / 4
    x = normal(5, 3, 4)
    quantized = gru.quantized()
    output, h_n = quantized(x)
    below = one_layer(gru, 0).quantized()(x)[0]
    np.testing.assert_array_equal(one_layer(gru, 1).quantized()(below)[0], output)
    for direction, name in enumerate(("l1", "l1_reverse")):
        states = output[..., direction * 7 :][..., :7]
        read, order = below, slice(None, None, -1 if direction else 1)
        before = np.broadcast_to(gru.parameters["h0"][2 + direction], (3, 7))
        options = {"fused": is_fused(CHOSEN), **options_of_reference(gru)}
        cell = reference.cell_of(gru.parameters, name)
        check_steps(states[order], before, read[order], cell, **options)
        np.testing.assert_array_equal(h_n[2 + direction], states[order][-1])


def one_layer(gru, layer):
    """One layer of a bidirectional GRU as a GRU of its own."""
    width = gru.input_size if layer == 0 else 2 * gru.hidden_size
    made = GRU(width, gru.hidden_size, bidirectional=True, learn_h0=True)
    for name in made.parameters:
        of = gru.parameters[name.replace("l0", f"l{layer}") if name != "h0" else name]
        made.parameters[name] = of[2 * layer : 2 * layer + 2] if name == "h0" else of
    return made


# ---- equal bits --------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}], ids=str)
def test_bits_depend_on_neither_batch_nor_threads_nor_padding(options):
    quantized = GRU(20, 48, seed=0, batch_first=True, **options).quantized()
    sequences = [normal(size, 20, seed=size) for size in (9, 1, 30, 4, 17, 30, 2)]
    outputs, h_n = quantized(sequences)
    padded = pygru.pad_sequences(sequences, batch_first=True)[0]
    lengths = [len(x) for x in sequences]
    for n_threads in (1, 2, 3):
        again, h_again = quantized(padded, lengths=lengths, n_threads=n_threads)
        np.testing.assert_array_equal(h_again, h_n)
        for row, output in zip(again, outputs, strict=True):
            np.testing.assert_array_equal(row[: len(output)], output)
            assert not row[len(output) :].any()
    for x, output in zip(sequences, outputs, strict=True):
        np.testing.assert_array_equal(quantized(x)[0], output)


def test_single_steps_have_the_bits_of_a_whole_call():
    quantized = GRU(10, 24, 2, variant="cho", zoneout=0.1, seed=0).quantized()
    x = normal(7, 3, 10)
    output, h_n = quantized(x)
    stream, h = quantized.stream(3), np.zeros((2, 3, 24))
    for x_t, y_t in zip(x, output, strict=True):
        np.testing.assert_array_equal(stream(x_t), y_t)
        h = quantized.step(x_t, h)
    np.testing.assert_array_equal(stream.h, h_n)
    np.testing.assert_array_equal(h, h_n)


def test_masks_and_resets_cut_sequences_as_in_a_gru():
    quantized = GRU(3, 8, seed=0).quantized()
    x = normal(6, 2, 3)
    mask = np.ones((6, 2), bool)
    mask[2, 0] = False
    reset = np.zeros((6, 2), bool)
    reset[3, 1] = True
    output, _ = quantized(x, mask=mask, reset=reset)
    np.testing.assert_array_equal(
        np.delete(output[:, 0], 2, axis=0), quantized(np.delete(x[:, 0], 2, axis=0))[0]
    )
    np.testing.assert_array_equal(output[2, 0], output[1, 0])
    np.testing.assert_array_equal(output[3:, 1], quantized(x[3:, 1])[0])


def test_other_forms_of_a_call():
    gru = GRU(3, 8, bidirectional=True, merge="ave", batch_first=True, seed=0)
    quantized = gru.quantized()
    x, h0 = normal(4, 5, 3), normal(2, 4, 8)
    output, h_n = quantized(x, h0)
    whole = gru.replace(merge="concat").quantized()(x, h0)[0]
    np.testing.assert_array_equal(output, (whole[..., :8] + whole[..., 8:]) * F(0.5))
    out = np.empty_like(output)
    assert quantized(x, h0, out=out)[0] is out
    np.testing.assert_array_equal(out, output)
    np.testing.assert_array_equal(quantized(x.tolist(), h0)[1], h_n)
    reverse = GRU(3, 8, reverse=True, seed=0).quantized()
    forward = GRU(3, 8, seed=0).quantized()
    one = normal(5, 3)
    np.testing.assert_array_equal(reverse(one)[0], forward(one[::-1])[0][::-1])


@pytest.mark.parametrize("threading", THREADING)
@pytest.mark.parametrize("engine", ENGINES)
def test_it_has_its_own_engine_on_the_threads_of_all(monkeypatch, engine, threading):
    expected = GRU(5, 9, seed=0).quantized()(normal(4, 2, 5))[0]
    use(monkeypatch, kernels=choose(CHOSEN, engine, threading))
    quantized = GRU(5, 9, seed=0).quantized()
    assert isinstance(quantized, QuantizedGRU)
    used = quantized._runner.backend
    assert (used.engine, used.threading) == ("simd", threading)
    np.testing.assert_array_equal(quantized(normal(4, 2, 5))[0], expected)
