"""to_onnx against ONNX's own checker and ONNX Runtime, where they are installed."""

import itertools

import numpy as np
import pytest
from exported_models import (
    ACTIVATIONS,
    VARIANTS,
    H,
    I,
    layers_of,
    models,
    padded,
    with_large_weights,
)

import pygru
from pygru.io.onnx.export import onnx_bytes
from pygru.io.onnx.graph import IR_VERSIONS

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.slow

T, B = 7, 4
LENGTHS = [7, 0, 3, 1]
MODELS = models(np.float32)
gru, linear = layers_of(np.float32)


class Session:
    """A file in ONNX Runtime, after a full check with inference of all shapes."""

    def __init__(self, model, **options):
        data = onnx_bytes(model, **options)
        onnx.checker.check_model(data, full_check=True)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = settings.inter_op_num_threads = 1
        settings.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            data, settings, providers=["CPUExecutionProvider"]
        )

    def __call__(self, **given):
        arrays = {name: as_float32(array) for name, array in given.items()}
        names = [each.name for each in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, arrays), strict=True))


def as_float32(array):
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def assert_close(actual, expected):
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_gru_over_whole_sequences(bidirectional, variant):
    rng = np.random.default_rng(0)
    for layers, *options in itertools.product([1, 2, 3], *([[False, True]] * 5)):
        bias, batch_first, learn_h0, with_lengths, with_h0 = options
        gru = pygru.GRU(
            *(5, 6, layers, bias, batch_first, 0.0, bidirectional),
            variant=variant,
            learn_h0=learn_h0,
        )
        with_large_weights(rng, gru, 1.0)
        lengths = LENGTHS if with_lengths else None
        x = padded(rng, B, T, 5, lengths=lengths)
        x = x if batch_first else x.swapaxes(0, 1)
        given = {"x": x}
        h0 = rng.standard_normal((gru.options.num_states, B, 6)) if with_h0 else None
        given |= {"lengths": np.array(lengths)} if with_lengths else {}
        given |= {"h0": h0} if with_h0 else {}
        result = Session(gru, lengths=with_lengths, h0=with_h0)(**given)
        output, h_n = gru(x, h0, lengths=lengths)
        assert_close(result["output"], output)
        assert_close(result["h_n"], h_n)


@pytest.mark.parametrize("reset", ["before", "after"])
@pytest.mark.parametrize("activations", ACTIVATIONS, ids=str)
def test_other_cells(activations, reset):
    rng = np.random.default_rng(11)
    recurrent_activation, activation = activations
    options = {"recurrent_activation": recurrent_activation, "activation": activation}
    x = padded(rng, B, T, I, lengths=LENGTHS).swapaxes(0, 1)
    ends = {"lengths": np.array(LENGTHS)}
    for direction in ({}, {"reverse": True}, {"bidirectional": True}):
        for clip in (None, 0.5):
            gru = pygru.GRU(
                I, H, 2, variant=pygru.Variant(reset, "keep"), clip=clip, **options, **direction
            )
            with_large_weights(rng, gru, 0.5)
            result = Session(gru, lengths=True)(x=x, **ends)
            output, h_n = gru(x, **ends)
            assert_close(result["output"], output)
            assert_close(result["h_n"], h_n)


@pytest.mark.parametrize("merge", ["sum", "mul", "ave"])
def test_merged_directions(merge):
    rng = np.random.default_rng(1)
    gru = with_large_weights(rng, pygru.GRU(I, H, bidirectional=True, merge=merge))
    x = padded(rng, B, T, I, lengths=LENGTHS).swapaxes(0, 1)
    output, h_n = gru(x, lengths=LENGTHS)
    result = Session(gru, lengths=True)(x=x, lengths=np.array(LENGTHS))
    assert_close(result["output"], output)
    assert_close(result["h_n"], h_n)


def test_random_sizes():
    rng = np.random.default_rng(2)
    for _ in range(100):
        inputs, hidden, steps, rows = rng.integers(1, [40, 40, 30, 9]).tolist()
        layers, bidirectional = int(rng.integers(1, 4)), bool(rng.integers(2))
        variant = VARIANTS[rng.integers(4)]
        gru = pygru.GRU(inputs, hidden, layers, bidirectional=bidirectional, variant=variant)
        with_large_weights(rng, gru, 2 / np.sqrt(hidden))
        lengths = rng.integers(0, steps + 1, rows)
        x = padded(rng, rows, steps, inputs, lengths=lengths.tolist()).swapaxes(0, 1)
        h0 = rng.standard_normal((gru.options.num_states, rows, hidden))
        result = Session(gru, lengths=True, h0=True)(x=x, lengths=lengths, h0=h0)
        output, h_n = gru(x, h0, lengths=lengths)
        assert_close(result["output"], output)
        assert_close(result["h_n"], h_n)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("name", MODELS)
def test_a_model(name, lengths):
    rng = np.random.default_rng(3)
    model = with_large_weights(rng, pygru.Sequential(*MODELS[name]))
    x = as_float32(padded(rng, B, T, I, lengths=lengths))
    ends = {} if lengths is None else {"lengths": np.array(lengths)}
    result = Session(model, lengths=lengths is not None)(x=x, **ends)
    expected = model(x, **ends)
    if name == "nothing but a dropout":  # passes on what comes
        expected = np.nan_to_num(expected)
    assert_close(result["output"], expected)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("zero_output_for_mask", [False, True])
@pytest.mark.parametrize("direction", [{}, {"reverse": True}, {"bidirectional": True}], ids=str)
def test_a_gru_with_a_mask(direction, zero_output_for_mask, lengths):
    rng = np.random.default_rng(12)
    options = {"zero_output_for_mask": zero_output_for_mask, **direction}
    ends = {} if lengths is None else {"lengths": np.array(lengths)}
    for batch_first in (False, True):
        gru = pygru.GRU(I, H, 2, batch_first=batch_first, **options)
        with_large_weights(rng, gru)
        mask = rng.random((B, T)) < 0.5
        x = np.where(mask[..., np.newaxis], rng.standard_normal((B, T, I)), np.nan)
        given = {"x": as_float32(x), "mask": mask}
        if not batch_first:
            given = {name: array.swapaxes(0, 1) for name, array in given.items()}
        given["h0"] = as_float32(rng.standard_normal((gru.options.num_states, B, H)))
        result = Session(gru, lengths=lengths is not None, mask=True, h0=True)(**given, **ends)
        output, h_n = gru(given.pop("x"), **given, **ends)
        assert_close(result["output"], output)
        assert_close(result["h_n"], h_n)


@pytest.mark.parametrize("opset", [13, 17, 18, 26])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
def test_models_with_masks(lengths, opset):
    if opset > onnx.defs.onnx_opset_version():
        pytest.skip(f"onnx {onnx.__version__} does not know it yet")
    rng = np.random.default_rng(13)
    ends = {} if lengths is None else {"lengths": np.array(lengths)}
    options = {"lengths": lengths is not None, "mask": True, "opset": opset}
    mask = rng.random((B, T)) < 0.5
    x = as_float32(np.where(mask[..., np.newaxis], rng.standard_normal((B, T, I)), np.nan))
    for name, layers in MODELS.items():
        if name == "nothing but a dropout" or (name == "a layer norm" and opset < 17):
            continue
        model = with_large_weights(rng, pygru.Sequential(*layers))
        result = Session(model, **options)(x=x, mask=mask, **ends)["output"]
        assert_close(result, model(x, mask=mask, **ends))
    options["mask"] = False
    tokens = rng.integers(0, 3, (B, T))
    x = np.where(mask[..., np.newaxis], x, np.float32(-0.5))
    for last in ([], [pygru.Last()], [pygru.MaxOverTime()]):
        embedding = pygru.Embedding(3, I, mask_zero=True)
        model = with_large_weights(rng, pygru.Sequential(embedding, gru(I, H), *last))
        result = Session(model, **options)(x=tokens, **ends)["output"]
        assert_close(result, model(tokens, **ends))
        model = with_large_weights(rng, pygru.Sequential(pygru.Masking(-0.5), gru(I, H), *last))
        result = Session(model, **options)(x=x, **ends)["output"]
        assert_close(result, model(x, **ends))


@pytest.mark.parametrize("opset", IR_VERSIONS)
def test_every_version_of_the_operators(opset):
    if opset > onnx.defs.onnx_opset_version():
        pytest.skip(f"onnx {onnx.__version__} does not know it yet")
    rng = np.random.default_rng(4)
    ends = {"lengths": np.array(LENGTHS)}
    for name, layers in MODELS.items():
        if name == "a layer norm" and opset < 17:
            continue
        model = with_large_weights(rng, pygru.Sequential(*layers))
        x = as_float32(padded(rng, B, T, I, lengths=LENGTHS))
        result = Session(model, lengths=True, opset=opset)(x=x, **ends)["output"]
        expected = model(x, **ends)
        if name == "nothing but a dropout":
            expected = np.nan_to_num(expected)
        assert_close(result, expected)


def test_means_over_many_steps():
    rng = np.random.default_rng(5)
    model = pygru.Sequential(gru(I, H), pygru.MeanOverTime(), seed=0)
    attention = pygru.Sequential(gru(I, H), pygru.AttentionOverTime(H), seed=0)
    x = as_float32(rng.standard_normal((2, 5000, I)))
    for each in (model, attention):
        assert_close(Session(each)(x=x)["output"], each(x))


def test_tokens_out_of_range_after_the_end():
    rng = np.random.default_rng(6)
    embedding = pygru.Embedding(6, 4, padding_idx=1)
    model = pygru.Sequential(embedding, gru(4, H), pygru.Last())
    with_large_weights(rng, model)
    tokens = rng.integers(0, 6, (B, T))
    for row, end in zip(tokens, LENGTHS, strict=True):
        row[end:] = 99
    lengths = np.array(LENGTHS)
    result = Session(model, lengths=True)(x=tokens, lengths=lengths)
    assert_close(result["output"], model(tokens, lengths=lengths))


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_fifty_steps_of_a_gru(layers, variant):
    rng = np.random.default_rng(7)
    gru = with_large_weights(rng, pygru.GRU(5, 6, layers, variant=variant), 0.8)
    session, stream = Session(gru, step=True), gru.stream(batch=B)
    h = np.zeros((layers, B, 6))
    for _ in range(50):
        x_t = rng.standard_normal((B, 5))
        result = session(x_t=x_t, h=h)
        h = result["h_next"]
        assert_close(result["y_t"], stream(x_t))
        assert_close(h, stream.h)


def test_fifty_steps_of_a_model():
    rng = np.random.default_rng(8)
    model = pygru.Sequential(
        *(pygru.Embedding(9, 4), gru(4, 6, 2), pygru.LayerNorm(6), gru(6, 5), pygru.Dropout()),
        *(pygru.Last(), linear(5, 3), pygru.Activation("softmax")),
        seed=0,
    )
    session, stream = Session(model, step=True), model.stream(batch=B)
    states = {"1.h": np.zeros((2, B, 6)), "3.h": np.zeros((1, B, 5))}
    for _ in range(50):
        tokens = rng.integers(0, 9, B)
        result = session(x_t=tokens, **states)
        states = {name: result[f"{name}_next"] for name in states}
        assert_close(result["y_t"], stream(tokens))


def test_pieces_of_a_long_sequence():
    rng = np.random.default_rng(9)
    model = pygru.Sequential(gru(I, H, 2), linear(H, 2), seed=0)
    session = Session(model, h0=True)
    x = as_float32(rng.standard_normal((B, 12, I)))
    state = np.zeros((2, B, H))
    outputs = []
    for piece in np.split(x, 3, axis=1):
        result = session(x=piece, **{"0.h0": state})
        state = result["0.h_n"]
        outputs.append(result["output"])
    assert_close(np.concatenate(outputs, axis=1), model(x))


@pytest.mark.parametrize("name", ["two GRUs", "both ends", "attention", "a layer norm"])
def test_the_standard_allows_float64(name):
    model = pygru.Sequential(*models(np.float64)[name], seed=0)
    onnx.checker.check_model(onnx_bytes(model, lengths=True), full_check=True)
    x = np.random.default_rng(10).standard_normal((B, T, I))
    ends = {"lengths": np.array(LENGTHS)}
    result = Session(model, lengths=True, dtype=np.float32)(x=x, **ends)["output"]
    np.testing.assert_allclose(result, model(x, **ends), rtol=0, atol=1e-5)


def test_the_metadata_reach_the_runtime():
    model = pygru.GRU(I, H, seed=0)
    session = Session(model, metadata={"classes": "cat,dog"}).session
    facts = session.get_modelmeta()
    assert facts.custom_metadata_map == {"classes": "cat,dog"}
    assert (facts.producer_name, repr(model) in facts.description) == ("pygru", True)
