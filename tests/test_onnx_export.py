"""to_onnx: the files that it writes, computed by an interpreter that shares no code with it.

``test_onnx_runtime.py`` runs the same kinds of models in ONNX Runtime, where it is installed.
"""

import itertools
import os

import numpy as np
import pytest
from exported_models import (
    ACTIVATIONS,
    EPS,
    VARIANTS,
    H,
    I,
    layers_of,
    models,
    padded,
    with_large_weights,
)
from onnx_interpreter import Model

import pygru
from pygru.io.onnx import export
from pygru.io.onnx.export import onnx_bytes

T, B = 4, 4
LENGTHS = [4, 0, 1, 2]
MODELS = models(np.float64)
gru, linear = layers_of(np.float64)


def model_of(rng, *layers):
    return with_large_weights(rng, pygru.Sequential(*layers))


def read(model, **options):
    return Model(onnx_bytes(model, **options))


# ---- a GRU ---------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_gru_over_whole_sequences(layers, bidirectional, variant):
    rng = np.random.default_rng(0)
    for batch_first, with_lengths, with_h0 in itertools.product([False, True], repeat=3):
        bias = with_h0 or layers > 1
        options = {"variant": variant, "dtype": np.float64}
        gru = pygru.GRU(I, H, layers, bias, batch_first, 0.0, bidirectional, **options)
        with_large_weights(rng, gru)
        lengths = LENGTHS if with_lengths else None
        x = padded(rng, B, T, I, lengths=lengths)
        x = x if batch_first else x.swapaxes(0, 1)
        h0 = rng.standard_normal((gru.options.num_states, B, H)) if with_h0 else None
        given = {"x": x}
        given |= {"lengths": np.array(lengths)} if with_lengths else {}
        given |= {"h0": h0} if with_h0 else {}
        result = read(gru, lengths=with_lengths, h0=with_h0)(**given)
        output, h_n = gru(x, h0, lengths=lengths)
        np.testing.assert_allclose(result["output"], output, rtol=0, atol=1e-13)
        np.testing.assert_allclose(result["h_n"], h_n, rtol=0, atol=1e-13)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_learned_states_are_those_of_every_sequence(batch_first, lengths):
    rng = np.random.default_rng(1)
    options = {"batch_first": batch_first, "learn_h0": True, "dtype": np.float64}
    gru = with_large_weights(rng, pygru.GRU(I, H, 2, **options))
    x = padded(rng, B, T, I)
    x = x if batch_first else x.swapaxes(0, 1)
    ends = {} if lengths is None else {"lengths": np.array(lengths)}
    result = read(gru, lengths=lengths is not None)(x=x, **ends)
    output, h_n = gru(x, **ends)
    np.testing.assert_allclose(result["output"], output, rtol=0, atol=1e-13)
    np.testing.assert_allclose(result["h_n"], h_n, rtol=0, atol=1e-13)
    # An input of this name takes their place.
    h0 = rng.standard_normal((2, B, H))
    result = read(gru, h0=True)(x=x, h0=h0)
    np.testing.assert_allclose(result["h_n"], gru(x, h0)[1], rtol=0, atol=1e-13)


@pytest.mark.parametrize("reset", ["before", "after"])
@pytest.mark.parametrize("activations", ACTIVATIONS, ids=str)
def test_other_cells(activations, reset):
    rng = np.random.default_rng(10)
    recurrent_activation, activation = activations
    options = {
        "recurrent_activation": recurrent_activation,
        "activation": activation,
        "dtype": np.float64,
    }
    # ONNX holds alpha, which is 0.2 in the first case, as float32.
    near = 1e-7 if recurrent_activation == "hard_sigmoid" else 1e-12
    x = padded(rng, T, B, I)
    ends = {"lengths": np.array(LENGTHS)}
    for direction in ({}, {"reverse": True}, {"bidirectional": True}):
        for clip in (None, 0.5):
            gru = pygru.GRU(
                I, H, 2, variant=pygru.Variant(reset, "keep"), clip=clip, **options, **direction
            )
            with_large_weights(rng, gru, 1.0)
            result = read(gru, lengths=True)(x=x, **ends)
            output, h_n = gru(x, **ends)
            np.testing.assert_allclose(result["output"], output, rtol=0, atol=near)
            np.testing.assert_allclose(result["h_n"], h_n, rtol=0, atol=near)


@pytest.mark.parametrize("activation", ["sigmoid", "hard_sigmoid", ("hard_sigmoid", 2.0, 0.5)])
def test_an_update_that_replaces_with_other_gates(activation):
    rng = np.random.default_rng(11)
    options = {"recurrent_activation": activation, "clip": 1.0, "dtype": np.float64}
    gru = with_large_weights(rng, pygru.GRU(I, H, **options))
    x = padded(rng, T, B, I)
    # ONNX holds alpha as float32.
    np.testing.assert_allclose(read(gru)(x=x)["output"], gru(x)[0], rtol=0, atol=1e-8)


def test_default_values_are_left_out():
    (node,) = (each for each in read(pygru.GRU(I, H)).nodes if each.op == "GRU")
    assert set(node.attributes) == {"hidden_size", "direction", "linear_before_reset"}


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("merge", ["sum", "mul", "ave"])
def test_merged_directions(merge, batch_first):
    rng = np.random.default_rng(9)
    options = {"batch_first": batch_first, "bidirectional": True, "dtype": np.float64}
    gru = with_large_weights(rng, pygru.GRU(I, H, merge=merge, **options))
    x = padded(rng, B, T, I, lengths=LENGTHS)
    x = x if batch_first else x.swapaxes(0, 1)
    for opset in (17, 18):
        result = read(gru, lengths=True, opset=opset)(x=x, lengths=np.array(LENGTHS))
        output, h_n = gru(x, lengths=LENGTHS)
        np.testing.assert_allclose(result["output"], output, rtol=0, atol=1e-13)
        np.testing.assert_allclose(result["h_n"], h_n, rtol=0, atol=1e-13)


def test_the_noise_of_training_has_no_effect():
    gru = pygru.GRU(I, H, 2, dropout=0.5, recurrent_dropout=0.5, seed=0)
    x = np.ones((T, B, I))
    np.testing.assert_allclose(read(gru)(x=x)["output"], gru(x)[0], rtol=0, atol=1e-6)


def test_float32_weights_are_written_bit_for_bit():
    gru = pygru.GRU(I, H, variant="pytorch", seed=0)
    constants = read(gru).constants
    r, z, n = np.split(gru.parameters["weight_hh_l0"], 3)
    assert constants["R_l0"].dtype == np.float32
    assert (constants["R_l0"] == np.concatenate([z, r, n])).all()
    other = read(pygru.io.to_variant(gru, pygru.Variant("after", "replace"))).constants
    assert all((other[name] == constants[name]).all() for name in ("W_l0", "R_l0", "B_l0"))


# ---- models --------------------------------------------------------------------------------


class Scale(pygru.Layer):
    """A layer of the user's own."""

    def __init__(self):
        self.create_parameters()

    def get_config(self):
        return {}

    def forward(self, x, *, lengths=None, training=True):
        return 2 * x, None


@pytest.mark.parametrize(("opset", "lengths"), [(17, None), (18, None), (18, LENGTHS)])
@pytest.mark.parametrize("name", MODELS)
def test_a_model(name, opset, lengths):
    rng = np.random.default_rng(2)
    model = model_of(rng, *MODELS[name])
    x = padded(rng, B, T, I, lengths=lengths)
    ends = {} if lengths is None else {"lengths": np.array(lengths)}
    dtype = np.float64  # also for models whose layers do not say one
    result = read(model, opset=opset, lengths=lengths is not None, dtype=dtype)(x=x, **ends)
    expected = model(x, **ends)
    if name == "nothing but a dropout":  # passes on what comes
        expected = np.nan_to_num(expected)
    np.testing.assert_allclose(result["output"], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
def test_tokens(lengths):
    rng = np.random.default_rng(3)
    embedding = pygru.Embedding(6, 4, padding_idx=1, dtype=np.float64)
    model = model_of(rng, embedding, gru(4, H), pygru.Last(), linear(H, 2))
    assert model.parameters["0.weight"][1].any()  # and yet the token 1 gives zeros
    tokens = rng.integers(0, 6, (B, T))
    ends = {} if lengths is None else {"lengths": np.array(lengths)}
    for row, end in zip(tokens, lengths or (), strict=False):
        row[end:] = 99  # which are not looked up
    result = read(model, lengths=lengths is not None)(x=tokens, **ends)
    np.testing.assert_allclose(result["output"], model(tokens, **ends), rtol=0, atol=1e-13)


def test_a_model_over_pieces_of_sequences():
    rng = np.random.default_rng(4)
    model = model_of(rng, gru(I, H, 2), linear(H, 5), gru(5, 2), pygru.Activation("tanh"))
    written = read(model, h0=True, lengths=True)
    assert [each.name for each in written.inputs] == ["x", "lengths", "0.h0", "2.h0"]
    assert [each.name for each in written.outputs] == ["output", "0.h_n", "2.h_n"]
    x = padded(rng, B, 6, I)
    states = [np.zeros((2, B, H)), np.zeros((1, B, 2))]
    expected_states = None
    for piece, lengths in ((x[:, :4], [4, 4, 1, 4]), (x[:, 4:], [2, 1, 0, 2])):
        given = {"0.h0": states[0], "2.h0": states[1]}
        result = written(x=piece, lengths=np.array(lengths), **given)
        states = [result["0.h_n"], result["2.h_n"]]
        y, expected_states, _ = model.forward_from(
            expected_states, piece, lengths=lengths, training=False
        )
        np.testing.assert_allclose(result["output"], y, rtol=0, atol=1e-13)
        for state, expected in zip(states, expected_states, strict=True):
            np.testing.assert_allclose(state, expected, rtol=0, atol=1e-13)


def test_layers_of_different_dtypes():
    rng = np.random.default_rng(5)
    model = pygru.Sequential(
        pygru.GRU(I, H, batch_first=True), linear(H, 4), pygru.Linear(4, 2), seed=0
    )
    written = read(model)
    assert {each.dtype for each in written.inputs + written.outputs} == {np.dtype(np.float32)}
    assert written.constants["1.weight"].dtype == np.float64
    x = padded(rng, B, T, I)
    np.testing.assert_allclose(written(x=x)["output"], model(x), rtol=0, atol=1e-5)
    for dtype in (np.float32, np.float64):
        written = read(model, dtype=dtype)
        kinds = {array.dtype for array in written.constants.values() if array.dtype.kind == "f"}
        assert kinds == {each.dtype for each in written.outputs} == {np.dtype(dtype)}
        np.testing.assert_allclose(written(x=x)["output"], model(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("options", [{"h0": True}, {"step": True}], ids=str)
def test_states_have_the_dtype_of_their_layer(options):
    model = pygru.Sequential(pygru.Linear(I, I), gru(I, H), pygru.Linear(H, 4))
    written = read(model, **options)
    for values in (written.inputs, written.outputs):
        assert [each.dtype for each in values] == [np.float32, np.float64]


# ---- masks ---------------------------------------------------------------------------------

# One row without a step that counts, one that begins and one that ends with steps left out.
MASK = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 1]], bool)
MASKED_LENGTHS = [4, 3, 4, 3]


def with_junk(x, mask, lengths=None):
    """Put NaN where a step does not count, or a token that does not exist."""
    counted = mask.copy()
    for row, end in zip(counted, lengths or (), strict=False):
        row[end:] = False
    return np.where(counted if x.ndim == 2 else counted[..., np.newaxis], x, np.nan)


@pytest.mark.parametrize("lengths", [None, MASKED_LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("zero_output_for_mask", [False, True])
@pytest.mark.parametrize(
    "direction",
    [
        *({}, {"reverse": True}, {"bidirectional": True}),
        {"bidirectional": True, "merge": "mul", "num_layers": 1},
    ],
    ids=str,
)
def test_a_gru_with_a_mask(direction, zero_output_for_mask, lengths):
    rng = np.random.default_rng(12)
    x = with_junk(rng.standard_normal((B, T, I)), MASK, lengths)
    ends = {} if lengths is None else {"lengths": np.array(lengths)}
    for batch_first, start in itertools.product([False, True], ["zeros", "h0", "learned"]):
        options = {"num_layers": 2, "batch_first": batch_first, "dtype": np.float64}
        options |= {"learn_h0": start == "learned", **direction}
        gru = pygru.GRU(I, H, zero_output_for_mask=zero_output_for_mask, **options)
        with_large_weights(rng, gru)
        given = {"x": x, "mask": MASK}
        if not batch_first:
            given = {name: array.swapaxes(0, 1) for name, array in given.items()}
        if start == "h0":
            given["h0"] = rng.standard_normal((gru.options.num_states, B, H))
        written = read(gru, lengths=lengths is not None, mask=True, h0=start == "h0")
        output, h_n = gru(given.pop("x"), **given, **ends)
        result = written(x=x if batch_first else x.swapaxes(0, 1), **given, **ends)
        np.testing.assert_allclose(result["output"], output, rtol=0, atol=1e-13)
        np.testing.assert_allclose(result["h_n"], h_n, rtol=0, atol=1e-13)


@pytest.mark.parametrize("lengths", [None, MASKED_LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_with_a_mask(name, lengths):
    rng = np.random.default_rng(13)
    model = model_of(rng, *MODELS[name])
    x = with_junk(padded(rng, B, T, I), MASK, lengths)
    ends = {} if lengths is None else {"lengths": np.array(lengths)}
    written = read(model, lengths=lengths is not None, mask=True, dtype=np.float64)
    result = written(x=x, mask=MASK, **ends)
    expected = model(x, mask=MASK, **ends)
    if name == "nothing but a dropout":  # passes on what comes
        expected = np.nan_to_num(expected)
    np.testing.assert_allclose(result["output"], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("with_mask", [False, True])
@pytest.mark.parametrize("lengths", [None, MASKED_LENGTHS], ids=["whole", "ragged"])
def test_masks_that_are_found_in_the_input(lengths, with_mask):
    rng = np.random.default_rng(14)
    ends = {} if lengths is None else {"lengths": np.array(lengths)}
    options = {"lengths": lengths is not None, "mask": with_mask}
    later = [gru(I, H, 2), linear(H, 2), gru(2, H, bidirectional=True)]
    tokens = np.where(MASK, rng.integers(1, 5, (B, T)), 0)
    x = np.where(MASK[..., np.newaxis], rng.standard_normal((B, T, I)), -0.5)
    embedding = pygru.Embedding(5, I, mask_zero=True, dtype=np.float64)
    given = {"mask": rng.integers(0, 2, (B, T)).astype(bool)} if with_mask else {}
    for first, array in ((embedding, tokens), (pygru.Masking(-0.5), x)):
        lasts = ([], [pygru.Last(bidirectional=True)], [pygru.MeanOverTime()])
        for layers in ([linear(I, 2)], *([*later, *last] for last in lasts)):
            model = model_of(rng, first, *layers)
            result = read(model, **options)(x=array, **given, **ends)
            expected = model(array, **given, **ends)
            np.testing.assert_allclose(result["output"], expected, rtol=0, atol=1e-13)


# ---- single steps --------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_steps_of_a_gru(layers, variant):
    rng = np.random.default_rng(6)
    options = {"variant": variant, "dtype": np.float64}
    gru = with_large_weights(rng, pygru.GRU(I, H, layers, **options))
    written = read(gru, step=True)
    stream = gru.stream(batch=B)
    h = stream.h = rng.standard_normal((layers, B, H))
    for _ in range(5):
        x_t = rng.standard_normal((B, I))
        result = written(x_t=x_t, h=h)
        h = result["h_next"]
        np.testing.assert_allclose(result["y_t"], stream(x_t), rtol=0, atol=1e-13)
        np.testing.assert_allclose(h, stream.h, rtol=0, atol=1e-13)


def test_steps_of_a_model():
    rng = np.random.default_rng(7)
    layers = [gru(I, H, 2), pygru.LayerNorm(H, EPS, dtype=np.float64), gru(H, 4), pygru.Last()]
    model = model_of(rng, *layers, linear(4, 2), pygru.Activation("softmax"))
    written = read(model, step=True)
    stream = model.stream(batch=B)
    states = {"0.h": np.zeros((2, B, H)), "2.h": np.zeros((1, B, 4))}
    assert [each.name for each in written.inputs] == ["x_t", "0.h", "2.h"]
    assert [each.name for each in written.outputs] == ["y_t", "0.h_next", "2.h_next"]
    for _ in range(5):
        x_t = rng.standard_normal((B, I))
        result = written(x_t=x_t, **states)
        states = {name: result[f"{name}_next"] for name in states}
        np.testing.assert_allclose(result["y_t"], stream(x_t), rtol=0, atol=1e-13)


def test_steps_of_tokens():
    rng = np.random.default_rng(8)
    embedding = pygru.Embedding(6, 4, padding_idx=1, dtype=np.float64)
    model = model_of(rng, embedding, gru(4, H), linear(H, 6))
    stream = model.stream(batch=B)
    h = np.zeros((1, B, H))
    for _ in range(4):
        tokens = rng.integers(0, 6, B)
        result = read(model, step=True)(x_t=tokens, **{"1.h": h})
        h = result["1.h_next"]
        np.testing.assert_allclose(result["y_t"], stream(tokens), rtol=0, atol=1e-13)


# ---- the file ------------------------------------------------------------------------------


def test_what_stands_in_the_file_beside_the_graph():
    model = pygru.GRU(I, H, seed=0)
    written = read(model, metadata={"units": "ppm", "ä": ""})
    assert (written.producer, written.version) == ("pygru", pygru.__version__)
    assert (written.opset, written.ir_version) == (17, 8)
    assert repr(model) in written.about
    assert written.metadata == {"units": "ppm", "ä": ""}
    (x,) = written.inputs
    assert (x.name, x.axes, x.about) == ("x", ["time", "batch", I], "the input of every step")
    assert [(each.name, each.axes) for each in written.outputs] == [
        ("output", ["time", "batch", H]),
        ("h_n", [1, "batch", H]),
    ]


def test_equal_models_give_equal_bytes():
    layers = [models(np.float32)["attention"] for _ in range(2)]
    first, second = (
        onnx_bytes(pygru.Sequential(*each, seed=0), lengths=True, metadata={"b": "1", "a": "2"})
        for each in layers
    )
    assert first == second


def test_a_file_is_replaced_or_stays(tmp_path):
    path = tmp_path / "model.onnx"
    good = pygru.GRU(I, H, seed=0)
    for form in (path, str(path), os.fsencode(path)):
        path.unlink(missing_ok=True)
        pygru.to_onnx(good, form)
        assert path.read_bytes() == onnx_bytes(good)
    with pytest.raises(ValueError, match="layer_norm=True"):
        pygru.to_onnx(pygru.GRU(I, H, layer_norm=True), path)
    assert path.read_bytes() == onnx_bytes(good)
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]
    with pytest.raises(IsADirectoryError):
        pygru.to_onnx(good, tmp_path)
    with pytest.raises(FileNotFoundError):
        pygru.to_onnx(good, tmp_path / "nowhere" / "model.onnx")


def test_a_file_that_nobody_could_read_is_not_made(monkeypatch):
    model = pygru.GRU(I, H, seed=0)  # 63 float32
    monkeypatch.setattr(export, "MOST_BYTES", 251)
    with pytest.raises(ValueError, match="the weights take 252 bytes, and an ONNX file may"):
        onnx_bytes(model)
    monkeypatch.setattr(export, "MOST_BYTES", 252)
    onnx_bytes(model)
    with pytest.raises(ValueError, match="the weights take 504 bytes"):
        onnx_bytes(model, dtype=np.float64)


def test_the_model_is_not_changed():
    model = pygru.Sequential(*MODELS["attention"], seed=0)
    before = model.state_dict()
    draws = [generator.bit_generator.state for generator in model.generators]
    onnx_bytes(model, lengths=True, dtype=np.float32)
    assert all((model.parameters[name] == before[name]).all() for name in before)
    assert draws == [generator.bit_generator.state for generator in model.generators]


# ---- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer_norm": True}, "the GRU cannot be written as ONNX: layer_norm=True: "),
        ({"zoneout": 0.1}, "the GRU cannot be written as ONNX: zoneout=0.1: "),
        (
            {"recurrent_activation": "relu"},
            "the GRU cannot be written as ONNX: .*recurrent_activation='relu' no weights make",
        ),
    ],
)
def test_an_option_that_onnx_does_not_have(options, message):
    model = pygru.GRU(I, H, batch_first=True, **options)
    for step in (False, True):
        with pytest.raises(ValueError, match=message):
            onnx_bytes(model, step=step)
    inside = pygru.Sequential(pygru.Linear(I, I), model)
    where = r"layers\[1\], GRU\(input_size=2, hidden_size=3\): cannot be written as ONNX: "
    with pytest.raises(ValueError, match=where + message.partition("ONNX: ")[2]):
        onnx_bytes(inside)


def test_halves_of_an_unknown_number_of_features():
    model = pygru.Sequential(pygru.Dropout(), pygru.Last(bidirectional=True))
    with pytest.raises(ValueError, match=r"layers\[1\], Last.*says how many features"):
        onnx_bytes(model)


class Derived(pygru.GRU):
    """A GRU that may compute something else."""


@pytest.mark.parametrize("layer", [Scale(), Derived(I, I, batch_first=True)], ids=repr)
def test_a_layer_of_the_users_own(layer):
    model = pygru.Sequential(pygru.Linear(I, I), layer)
    name = type(layer).__name__
    message = (
        rf"layers\[1\], {name}\(.*\): cannot be .*: the layers that can be are Activation, "
    )
    with pytest.raises(ValueError, match=message):
        onnx_bytes(model)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([gru(I, H, bidirectional=True)], r"layers\[0\], GRU.*its reverse direction begins"),
        ([gru(I, H, reverse=True)], r"layers\[0\], GRU.*it reads each sequence from its end"),
        ([pygru.Last(reverse=True)], r"layers\[0\], Last.*it takes the first step"),
        ([pygru.Masking(), gru(I, H)], r"layers\[0\], Masking.*would have to refuse a step"),
        ([pygru.Embedding(4, I, mask_zero=True)], r"layers\[0\], Embedding.*would have to"),
        ([gru(I, H), pygru.MeanOverTime()], r"layers\[1\], MeanOverTime.*needs all steps"),
        ([gru(I, H), pygru.MaxOverTime()], r"layers\[1\], MaxOverTime.*needs all steps"),
        ([gru(I, H), pygru.AttentionOverTime(H)], r"layers\[1\], AttentionOverTime.*needs all"),
    ],
)
def test_what_cannot_run_step_by_step(layers, message):
    with pytest.raises(ValueError, match=message):
        onnx_bytes(pygru.Sequential(*layers), step=True)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"opset": 12}, ValueError, "opset must be from 13 to 26, got 12"),
        ({"opset": 27}, ValueError, "opset must be from 13 to 26, got 27"),
        ({"opset": 17.0}, TypeError, "opset must be an int, got float"),
        ({"lengths": [3, 2]}, TypeError, "lengths must be a bool, got list"),
        ({"h0": np.zeros(3)}, TypeError, "h0 must be a bool, got ndarray"),
        ({"step": 1}, TypeError, "step must be a bool, got int"),
        ({"step": True, "lengths": True}, ValueError, "lengths must be False with step=True"),
        ({"mask": np.ones(3)}, TypeError, "mask must be a bool, got ndarray"),
        ({"step": True, "mask": True}, ValueError, "mask must be False with step=True"),
        ({"step": True, "h0": True}, ValueError, "h0 must be False with step=True"),
        ({"dtype": "float16"}, ValueError, "dtype must be float32 or float64, got float16"),
        ({"metadata": "units"}, TypeError, "metadata must be a mapping of names to texts"),
        ({"metadata": {"a": 1}}, TypeError, "mapping of str to str, got int in the entry 'a'"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        onnx_bytes(pygru.GRU(I, H), **options)


def test_an_opset_without_layer_normalisation():
    model = pygru.Sequential(pygru.LayerNorm(I))
    message = r"layers\[0\], LayerNorm.*opset=16 has no layer norm.*it needs opset=17"
    with pytest.raises(ValueError, match=message):
        onnx_bytes(model, opset=16)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (None, "model must be a pygru.GRU or a pygru.Sequential, got NoneType"),
        (pygru.GRU, "got type"),
        (pygru.Linear(1, 1), r"got Linear; Sequential\(layer\) makes a model of one layer"),
        (pygru.Seq2Seq(5, 5, embedding_dim=2, hidden_size=2), "got Seq2Seq$"),
    ],
    ids=["None", "a class", "Linear", "Seq2Seq"],
)
def test_what_is_no_model(model, message, tmp_path):
    with pytest.raises(TypeError, match=message):
        pygru.to_onnx(model, tmp_path / "model.onnx")


def test_an_estimator_has_the_model_in_an_attribute():
    class Estimator:
        model_ = pygru.Sequential()

    with pytest.raises(TypeError, match="got Estimator; pass its attribute model_"):
        onnx_bytes(Estimator())


def test_the_path_is_checked_first():
    with pytest.raises(TypeError, match="NoneType"):
        pygru.to_onnx(pygru.GRU(I, H), None)
