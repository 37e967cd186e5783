"""Cells with other activations, clipped sums, or that read in reverse, against reference.py.

These tests fail if an activation or its derivative is that of another one, or of another gate;
if a sum is not clipped, or its gradient passes through the limit; if alpha and beta are
swapped; if a reversed sequence begins at the end of its padding, or its results stand at
another step; or if a configuration loses one of these options.
"""

import copy
import json
import pickle

import numpy as np
import pytest
import reference
from engines import ENGINES, SETS, use_engine
from quick import quick_and_slow
from test_noise import LENGTHS, STEP, B, H, I, T, data, expected_of, make, noise_of

import pygru
from pygru import GRU, Last, Linear, Sequential, Trainer

every_engine = pytest.mark.parametrize("engine", ENGINES)
every_variant = pytest.mark.parametrize("variant", list(reference.VARIANTS))
both_choices = pytest.mark.parametrize(
    "variant", quick_and_slow(["chung", "pytorch"], ["cho", "unnamed"])
)

HARD = ("hard_sigmoid", 0.4, 0.45)
# Each activation occurs in both places, and the last ones also with a limit that matters.
STYLES = {
    "sigmoid-tanh": ("sigmoid", "tanh", None),
    "relu-hard": ("relu", "hard_sigmoid", None),
    "linear-hard": ("linear", HARD, None),
    "softsign-relu": ("softsign", "relu", None),
    "hard-linear": (HARD, "linear", None),
    "hard-softsign": ("hard_sigmoid", "softsign", None),
    "clip": ("tanh", "sigmoid", 0.4),
    "relu-sigmoid-clip": ("relu", "sigmoid", 0.4),
    "softsign-hard-clip": ("softsign", HARD, 0.4),
    "hard-relu-clip": (HARD, "relu", 0.4),
    "linear-softsign-clip": ("linear", "softsign", 0.4),
}
every_style = pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
ZONED = {"recurrent_dropout": 0.4, "zoneout": 0.3}
NOISY = {**ZONED, "dropout": 0.5}


def styled(style, variant="chung", **options):
    """A GRU of random weights, so large that kinks and limits lie between its sums."""
    activation, recurrent_activation, clip = style
    gru = make(
        variant,
        activation=activation,
        recurrent_activation=recurrent_activation,
        clip=clip,
        **options,
    )
    # With gates that have no limit, states would grow beyond all numbers.
    largest = 0.25 if recurrent_activation in ("relu", "linear") and not clip else 0.8
    size = gru.flat_parameters.size
    gru.flat_parameters = np.random.default_rng(3).uniform(-largest, largest, size)
    return gru


def agree(actual, expected):
    scale = max(1.0, abs(expected).max())
    assert scale < 1e4
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-13 * scale)


def check_gradients(gru, memory):
    """Compare with complex steps along one random direction for each array."""
    x, h0 = data(gru.num_layers, gru.num_directions)
    rng = np.random.default_rng(9)
    output, h_n, tape = gru.forward(x, h0, lengths=LENGTHS, memory=memory)
    d_output, d_h_n = rng.standard_normal(output.shape), rng.standard_normal(h_n.shape)
    gru.zero_grad()
    d_x, d_h0 = gru.backward(tape, d_output, d_h_n)
    noise = noise_of(tape)
    tensors = {"x": x, "h0": h0, **gru.state_dict()}
    actual = {"x": d_x, "h0": d_h0, **gru.grads}
    for name, array in tensors.items():
        direction = rng.standard_normal(array.shape)
        moved = {**tensors, name: array + 1j * STEP * direction}
        parameters = {n: a for n, a in moved.items() if n not in ("x", "h0")}
        y, h = expected_of(gru, moved["x"], moved["h0"], LENGTHS, noise, parameters)
        right = ((d_output * y).sum() + (d_h_n * h).sum()).imag / STEP
        error = (actual[name] * direction).sum() - right
        assert abs(error) <= 1e-12 * max(1.0, np.linalg.norm(actual[name])), name


# ---- activations and limits against the reference -------------------------------------------


@every_engine
@every_variant
@every_style
@pytest.mark.parametrize("layer_norm", quick_and_slow([False], [True]))
def test_outputs_equal_the_reference(style, variant, layer_norm, engine, monkeypatch):
    use_engine(monkeypatch, engine)
    gru = styled(style, variant, layer_norm=layer_norm)
    x, h0 = data()
    expected, expected_h_n = expected_of(gru, x, h0, LENGTHS, reference.NO_NOISE)
    for output, h_n in (gru(x, h0, lengths=LENGTHS), gru.forward(x, h0, lengths=LENGTHS)[:2]):
        agree(output, expected)
        agree(h_n, expected_h_n)


@every_engine
@both_choices
@every_style
@pytest.mark.parametrize("memory", quick_and_slow(["gates"], ["outputs"]))
@pytest.mark.parametrize("options", quick_and_slow([{}], [ZONED, {"layer_norm": True}]))
def test_gradients_equal_complex_steps(style, variant, memory, options, engine, monkeypatch):
    use_engine(monkeypatch, engine)
    check_gradients(styled(style, variant, layers=1, **options), memory)


@both_choices
def test_gradients_with_noise_and_normalised_sums(variant):
    gru = styled(STYLES["softsign-hard-clip"], variant, layer_norm=True, **NOISY)
    check_gradients(gru, "outputs")


@every_style
def test_the_limits_and_kinks_of_these_tests_matter(style):
    """With a clip some sums are limited and others are not; and the parts of a kink occur."""
    activation, recurrent_activation, clip = style
    x, h0 = data()
    gates = styled(style).gates(x, h0)
    for function, values in (
        (activation, [gate.n for gate in gates]),
        (recurrent_activation, [gate.r for gate in gates] + [gate.z for gate in gates]),
    ):
        y = np.concatenate([each.ravel() for each in values])
        ends = {y.min(), y.max()}
        share = np.isin(y, list(ends)).mean()
        if clip is not None:
            assert 0.05 < share < 0.95
        elif function == "relu":
            assert 0.1 < (y == 0).mean() < 0.9
        elif function == HARD:
            assert ends == {0.0, 1.0} and share < 0.95


@pytest.mark.parametrize("kernels", SETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_style
def test_every_set_of_kernels(style, dtype, kernels, monkeypatch):
    use_engine(monkeypatch, ENGINES[-1], kernels)
    activation, recurrent_activation, clip = style
    gru = GRU(
        I,
        37,
        dtype=dtype,
        variant="pytorch",
        activation=activation,
        recurrent_activation=recurrent_activation,
        clip=clip,
        seed=0,
    )
    x = np.random.default_rng(0).standard_normal((3, 2, I)).astype(dtype)
    output, _, tape = gru.forward(x)
    expected, _ = expected_of(gru, x, None, None, reference.NO_NOISE)
    tolerance = 2e-6 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(output, expected, rtol=tolerance, atol=tolerance)
    d_x, _ = gru.backward(tape, np.ones_like(output))
    wide = gru.replace(dtype="float64")
    output, _, tape = wide.forward(x.astype("float64"))
    np.testing.assert_allclose(
        d_x, wide.backward(tape, np.ones_like(output))[0], atol=20 * tolerance
    )


@every_style
def test_rows_have_the_same_bits_in_any_batch_and_with_any_threads(style):
    activation, recurrent_activation, clip = style
    gru = GRU(
        I,
        19,
        2,
        activation=activation,
        recurrent_activation=recurrent_activation,
        clip=clip,
        seed=0,
    )
    x = np.random.default_rng(0).standard_normal((5, 70, I)).astype(np.float32)
    output = gru(x, n_threads=1)[0]
    assert np.array_equal(gru(x, n_threads=3)[0], output)
    assert np.array_equal(gru.forward(x, memory="outputs")[0], output)
    if gru._runner.is_simd:
        assert np.array_equal(gru(x[:, 3:4])[0], output[:, 3:4])


@pytest.mark.parametrize("style", [STYLES["softsign-hard-clip"], STYLES["relu-hard"]])
@pytest.mark.parametrize("variant", ["chung", "pytorch"])
def test_units_that_threads_share_have_the_same_bits(variant, style):
    """Few rows and large weights: each thread computes some units of every step."""
    activation, recurrent_activation, clip = style
    gru = GRU(
        I,
        230,
        variant=variant,
        activation=activation,
        recurrent_activation=recurrent_activation,
        clip=clip,
        seed=0,
    )
    x = np.random.default_rng(0).standard_normal((4, 2, I)).astype(np.float32)
    alone = gru.forward(x, n_threads=1)
    shared = gru.forward(x, n_threads=3)
    for found, right in zip(shared[:2], alone[:2], strict=True):
        assert np.array_equal(found, right)
    d_output = np.ones_like(alone[0])
    for found, right in zip(
        gru.backward(shared[2], d_output), gru.backward(alone[2], d_output), strict=True
    ):
        assert np.array_equal(found, right)


@every_engine
@every_variant
def test_steps_streams_and_gates(variant, engine, monkeypatch):
    use_engine(monkeypatch, engine)
    gru = styled(STYLES["relu-sigmoid-clip"], variant, bidirectional=False, zoneout=0.25)
    x, h0 = data(directions=1)
    output, h_n = gru(x, h0)
    stream, h = gru.stream(batch=B), h0
    stream.h = h0
    for x_t, y_t in zip(x, output, strict=True):
        h = gru.step(x_t, h)
        np.testing.assert_allclose(h[-1], y_t, rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(stream(x_t), y_t, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(h, h_n, rtol=1e-13, atol=1e-15)
    gru = styled(STYLES["relu-sigmoid-clip"], variant)
    x, h0 = data()
    expected = reference.gates(
        dict(gru.parameters),
        x,
        h0,
        LENGTHS,
        num_layers=2,
        bidirectional=True,
        reset=gru.variant.reset,
        update=gru.variant.update,
        style=reference.Style("relu", "sigmoid", 0.4),
    )
    for found, right in zip(gru.gates(x, h0, lengths=LENGTHS), expected, strict=True):
        for array, wanted in zip(found, right, strict=True):
            np.testing.assert_allclose(array, wanted, rtol=1e-12, atol=1e-14)


@every_engine
@pytest.mark.parametrize("explicit", [{}, {"activation": "tanh"}, {"clip": 1e30}])
def test_the_usual_cell_by_another_way(explicit, engine, monkeypatch):
    """A limit that no sum reaches gives the same numbers, through the other kernels."""
    use_engine(monkeypatch, engine)
    x, h0 = data()
    output, h_n, _ = make("cho", **explicit).forward(x, h0, lengths=LENGTHS)
    usual = make("cho").forward(x, h0, lengths=LENGTHS)
    np.testing.assert_allclose(output, usual[0], rtol=1e-14)
    if "clip" not in explicit:
        assert np.array_equal(output, usual[0]) and np.array_equal(h_n, usual[1])


# ---- kinks and special values ---------------------------------------------------------------


def slope(activation, x, clip=None):
    """The derivative of the candidate's activation at x, through a GRU with z = 1."""
    gru = GRU(
        1,
        1,
        variant=pygru.Variant("after", "replace"),
        activation=activation,
        recurrent_activation="linear",
        clip=clip,
        dtype="float64",
    )
    gru.flat_parameters[...] = 0
    gru.parameters["weight_ih_l0"][2] = 1
    gru.parameters["bias_ih_l0"][1] = 1 if clip is None else min(1, clip)
    output, _, tape = gru.forward([[x]])
    z = gru.parameters["bias_ih_l0"][1]
    d_x, _ = gru.backward(tape, np.ones((1, 1)))
    return output.item() / z, d_x.item() / z


@pytest.mark.parametrize(
    ("activation", "clip", "points"),
    [
        ("relu", None, {0.0: (0, 0), 1e-300: (1e-300, 1), -1e-300: (0, 0)}),
        (("hard_sigmoid", 0.25, 0.5), None, {-2.0: (0, 0), 2.0: (1, 0), 0.0: (0.5, 0.25)}),
        ("softsign", None, {0.0: (0, 1), -1.0: (-0.5, 0.25), 3.0: (0.75, 0.0625)}),
        ("linear", 0.5, {0.5: (0.5, 0), -0.5: (-0.5, 0), 0.25: (0.25, 1), 9.0: (0.5, 0)}),
        ("relu", 0.5, {0.5: (0.5, 0), -9.0: (0, 0), 0.25: (0.25, 1)}),
        ("tanh", 0.5, {0.5: (np.tanh(0.5), 0), 0.0: (0, 1), -2.0: (-np.tanh(0.5), 0)}),
        (
            ("hard_sigmoid", 0.25, 0.5),
            1.0,
            {1.0: (0.75, 0), -7.0: (0.25, 0), 0.5: (0.625, 0.25)},
        ),
    ],
)
def test_values_and_slopes_at_kinks(activation, clip, points):
    for x, (value, derivative) in points.items():
        found = slope(activation, x, clip)
        np.testing.assert_allclose(found, (value, derivative), rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_style
def test_nan_stays_in_its_row_and_infinity_gives_the_limits(style, dtype):
    activation, recurrent_activation, clip = style
    gru = GRU(
        1,
        17,
        activation=activation,
        recurrent_activation=recurrent_activation,
        clip=clip,
        dtype=dtype,
        seed=0,
    )
    x = np.ones((1, 3, 1), dtype)
    x[0, 1] = np.nan
    output, _, tape = gru.forward(x)
    assert np.isnan(output[0, 1]).all() and np.isfinite(output[0, [0, 2]]).all()
    d_x, _ = gru.backward(tape, np.ones_like(output))
    assert np.isnan(d_x[0, 1]).all() and np.isfinite(d_x[0, [0, 2]]).all()
    if {activation, recurrent_activation} <= {"tanh", "sigmoid", "softsign", HARD} or clip:
        x[0, 1] = np.inf
        y = gru.replace(dtype="float64")(np.full((1, 1, 1), 1e9))[0]
        np.testing.assert_allclose(gru(x)[0][0, 1], y[0, 0], rtol=1e-5, atol=1e-6)


# ---- reverse --------------------------------------------------------------------------------


def flipped(array, lengths):
    """The valid steps of every sequence in the opposite order; zeros after its end."""
    turned = np.zeros_like(array)
    for b, length in enumerate(lengths):
        turned[:length, b] = array[:length, b][::-1]
    return turned


def pair(**options):
    """A GRU that reads in reverse, and one with the same weights that does not."""
    both = [make("cho", bidirectional=False, reverse=each, **options) for each in (True, False)]
    both[1].flat_parameters[...] = both[0].flat_parameters
    return both


@every_engine
@every_variant
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
def test_reverse_equals_the_reference(variant, lengths, engine, monkeypatch):
    use_engine(monkeypatch, engine)
    gru = make(variant, bidirectional=False, reverse=True)
    x, h0 = data(directions=1)
    for found, right in zip(
        gru(x, h0, lengths=lengths),
        expected_of(gru, x, h0, lengths, reference.NO_NOISE),
        strict=True,
    ):
        np.testing.assert_allclose(found, right, rtol=1e-13, atol=1e-14)


@every_engine
@both_choices
@pytest.mark.parametrize("memory", ["gates", "outputs"])
@pytest.mark.parametrize("noise", [{}, NOISY], ids=["plain", "noise"])
def test_gradients_in_reverse(variant, memory, noise, engine, monkeypatch):
    use_engine(monkeypatch, engine)
    gru = make(variant, bidirectional=False, reverse=True, activation="softsign", **noise)
    check_gradients(gru, memory)


def test_reverse_has_the_bits_of_a_flipped_sequence():
    backward, forward = pair()
    x, h0 = data(directions=1)
    output, h_n = backward(x, h0, lengths=LENGTHS)
    turned, turned_h_n = forward(flipped(x, LENGTHS), h0, lengths=LENGTHS)
    assert np.array_equal(output, flipped(turned, LENGTHS))
    assert np.array_equal(h_n, turned_h_n)
    for b, length in enumerate(LENGTHS):  # h_n is the state after the first step
        assert np.array_equal(h_n[-1, b], output[0, b] if length else h0[-1, b])


def test_gates_in_reverse():
    backward, forward = pair(zoneout=0.25)
    x, h0 = data(directions=1)
    turned = forward.gates(flipped(x, LENGTHS), h0, lengths=LENGTHS)
    for found, right in zip(backward.gates(x, h0, lengths=LENGTHS), turned, strict=True):
        for array, wanted in zip(found, right, strict=True):
            assert np.array_equal(array, flipped(wanted, LENGTHS))


def test_reverse_is_the_second_direction_of_a_bidirectional_gru():
    both = make("chung", layers=1)
    gru = GRU(I, H, dtype="float64", reverse=True)
    assert list(gru.parameters) == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    gru.load_state_dict({name: both.parameters[f"{name}_reverse"] for name in gru.parameters})
    x, h0 = data(layers=1)
    output, h_n = both(x, h0, lengths=LENGTHS)
    found, found_h_n = gru(x, h0[1:], lengths=LENGTHS)
    assert np.array_equal(found, output[..., H:]) and np.array_equal(found_h_n, h_n[1:])


def test_masks_and_resets_in_reverse():
    """Steps that do not count are as if they were absent, and nothing passes a reset."""
    gru = GRU(I, H, dtype="float64", reverse=True, seed=0, zero_output_for_mask=True)
    x = data(directions=1)[0][:, 0]
    mask = np.arange(T) % 3 != 1
    output, h_n = gru(x, mask=mask)
    expected, expected_h_n = gru(x[mask])
    np.testing.assert_allclose(output[mask], expected, rtol=1e-14)
    np.testing.assert_allclose(h_n, expected_h_n, rtol=1e-14)
    assert not output[~mask].any()
    reset = np.arange(T) == 2
    output, h_n = gru(x, reset=reset)
    np.testing.assert_allclose(output[:2], gru(x[:2])[0], rtol=1e-14)
    np.testing.assert_allclose(output[2:], gru(x[2:])[0], rtol=1e-14)


@every_engine
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
@pytest.mark.parametrize("noise", [{}, NOISY], ids=["plain", "noise"])
@pytest.mark.parametrize("segment", [1, 3])
def test_segments_in_reverse(segment, noise, lengths, engine, monkeypatch):
    """A tape of segments gives the gradients, with the same noise, of one that keeps gates."""
    use_engine(monkeypatch, engine)
    monkeypatch.setattr("math.isqrt", lambda n: segment)
    x, h0 = data(directions=1)
    found = []
    for memory in ("sqrt", "gates"):
        gru = make("chung", bidirectional=False, reverse=True, **noise)
        rng = np.random.default_rng(2)
        output, h_n, tape = gru.forward(x, h0, lengths=lengths, memory=memory)
        gradients = gru.backward(
            tape, rng.standard_normal(output.shape), rng.standard_normal(h_n.shape)
        )
        found.append([output, h_n, *gradients, gru.flat_grads.copy()])
    for array, right in zip(*found, strict=True):
        np.testing.assert_allclose(array, right, rtol=1e-12, atol=1e-13)


def test_what_needs_the_end_of_a_sequence_is_refused():
    gru = GRU(I, H, batch_first=True, reverse=True, seed=0)
    with pytest.raises(ValueError, match="step needs a GRU that reads forward"):
        gru.step(np.zeros(I), np.zeros((1, H)))
    with pytest.raises(ValueError, match="stream needs a GRU that reads forward"):
        gru.stream()
    model = Sequential(gru, Linear(H, 1))
    with pytest.raises(ValueError, match="reverse direction begins at the end"):
        model.stream()
    with pytest.raises(ValueError, match="a reversed GRU cannot run over pieces"):
        model.forward_from(None, np.zeros((1, 4, I), np.float32))
    trainer = Trainer(model, loss="mse", optimizer="sgd")
    with pytest.raises(ValueError, match="needs whole sequences"):
        x = np.zeros((2, 4, I), np.float32)
        trainer.fit(x, np.zeros((2, 4, 1)), epochs=1, batch_size=2, bptt_steps=2)
    with pytest.raises(ValueError, match="reverse and bidirectional cannot both be True"):
        GRU(I, H, reverse=True, bidirectional=True)


def test_the_last_step_of_a_reversed_sequence_is_its_first():
    gru = GRU(I, H, batch_first=True, reverse=True, seed=0)
    model = Sequential(gru, Last(reverse=True))
    x = np.random.default_rng(0).standard_normal((2, 4, I)).astype(np.float32)
    lengths = [4, 2]
    assert np.array_equal(model(x, lengths=lengths), gru(x, lengths=lengths)[1][0])
    assert Last.from_config(Last(reverse=True).get_config()).reverse
    with pytest.raises(ValueError, match=r"must be Last\(reverse=True\), like the GRU"):
        Sequential(gru, Last())
    with pytest.raises(ValueError, match=r"must be Last\(bidirectional=False\)"):
        Sequential(GRU(I, H, batch_first=True), Last(reverse=True))
    with pytest.raises(ValueError, match="bidirectional and reverse cannot both be True"):
        Last(True, reverse=True)


# ---- options ---------------------------------------------------------------------------

OPTIONS = {
    "activation": "relu",
    "recurrent_activation": ("hard_sigmoid", 1 / 6, 0.5),
    "clip": 2.5,
    "reverse": True,
}


def test_configurations_copies_and_files_keep_these_options(tmp_path):
    gru = GRU(I, H, seed=0, **OPTIONS)
    x = np.random.default_rng(0).standard_normal((4, 2, I)).astype(np.float32)
    pygru.save(gru, tmp_path / "gru.safetensors")
    config = json.loads(json.dumps(gru.get_config()))
    assert config["recurrent_activation"] == ["hard_sigmoid", 1 / 6, 0.5]
    from_config = GRU.from_config(config)
    from_config.load_state_dict(gru.state_dict())
    for same in (
        copy.deepcopy(gru),
        pickle.loads(pickle.dumps(gru)),
        pygru.load(tmp_path / "gru.safetensors"),
        from_config,
        gru.replace(zoneout=0.5).replace(zoneout=0.0),
    ):
        assert {name: getattr(same, name) for name in OPTIONS} == OPTIONS
        assert same.options == gru.options
        assert np.array_equal(same(x)[0], gru(x)[0])
    shown = "activation='relu', recurrent_activation=('hard_sigmoid', 0.16666666666666666, 0.5)"
    assert repr(gru).endswith(f"{shown}, clip=2.5, reverse=True)")


def test_one_activation_has_one_form():
    gru = GRU(I, H, activation="hard_sigmoid", recurrent_activation=["hard_sigmoid", 1, 0])
    assert gru.activation == ("hard_sigmoid", 0.2, 0.5)
    assert gru.recurrent_activation == ("hard_sigmoid", 1.0, 0.0)
    assert "activation" not in repr(GRU(I, H, activation="tanh"))


def test_configuration_of_a_version_without_these_options():
    config = GRU(I, H).get_config()
    for name in OPTIONS:
        del config[name]
    gru = GRU.from_config(config)
    assert (gru.activation, gru.recurrent_activation) == ("tanh", "sigmoid")
    assert gru.clip is None and gru.reverse is False


@pytest.mark.parametrize("option", OPTIONS)
def test_weights_belong_to_their_equations(option):
    gru = GRU(I, H)
    with pytest.raises(ValueError, match=f"{option}=.* does not fit these weights"):
        gru.replace(**{option: OPTIONS[option]})


@pytest.mark.parametrize("option", ["activation", "recurrent_activation"])
@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ("swish", ValueError, "'swish' is not among them because its slope"),
        ("gelu", ValueError, "'gelu' is not among them because its slope"),
        ("elu", ValueError, r"alpha, beta\), got 'elu'$"),
        ("Tanh", ValueError, "did you mean 'tanh'"),
        ("logistic", ValueError, "did you mean 'sigmoid'"),
        ("identity", ValueError, "did you mean 'linear'"),
        ("hard sigmoid", ValueError, "did you mean 'hard_sigmoid'"),
        ("x" * 1000, ValueError, "must be one of 'tanh', 'sigmoid', 'relu'"),
        (None, TypeError, "got NoneType"),
        (np.tanh, TypeError, "must be the name of an activation"),
        ((), ValueError, r"must be \('hard_sigmoid', alpha, beta\) if it is not a name"),
        (("hard_sigmoid", 1), ValueError, "if it is not a name"),
        (("relu", 0.1, 0), ValueError, "no other activation has parameters"),
        (("hard_sigmoid", "1", 0), TypeError, "alpha of"),
        (("hard_sigmoid", 1, True), TypeError, "beta of"),
        (("hard_sigmoid", 0, 0.5), ValueError, "alpha of"),
        (("hard_sigmoid", -1, 0.5), ValueError, "alpha of"),
        (("hard_sigmoid", float("nan"), 0.5), ValueError, "alpha of"),
        (("hard_sigmoid", 1, float("inf")), ValueError, "beta of"),
    ],
)
def test_activation_that_is_none(option, bad, error, message):
    with pytest.raises(error, match=message) as raised:
        GRU(I, H, **{option: bad})
    assert option in str(raised.value) and len(str(raised.value)) < 500


@pytest.mark.parametrize("bad", [0, -1.0, float("nan"), float("inf"), 1e-40, "1", True])
def test_clip_that_is_none(bad):
    with pytest.raises((TypeError, ValueError), match="clip must be"):
        GRU(I, H, clip=bad)


@pytest.mark.parametrize("bad", [1, "yes", None])
def test_reverse_that_is_no_bool(bad):
    with pytest.raises(TypeError, match="reverse must be a bool"):
        GRU(I, H, reverse=bad)
