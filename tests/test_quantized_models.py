"""Quantised GRUs as objects: conversion, files, copies, models, reports, what is refused."""

import copy
import json
import pickle
import struct

import numpy as np
import pytest
import quantized_reference as reference
from engines import HAS_SIMD
from sklearn.base import clone

import pygru
from pygru import (
    GRU,
    AttentionOverTime,
    Dropout,
    Embedding,
    FormatError,
    Last,
    Linear,
    Masking,
    QuantizedGRU,
    Sequential,
    Trainer,
)
from pygru.sklearn import GRUClassifier

pytestmark = pytest.mark.skipif(not HAS_SIMD, reason="weights of 8 bits need the SIMD engine")

F = np.float32
OPTIONS = {
    "plain": {},
    "deep": {"num_layers": 2, "bidirectional": True, "learn_h0": True},
    "normalised": {"layer_norm": True, "variant": "pytorch", "zoneout": 0.1},
    "no bias": {"bias": False, "reverse": True, "clip": 3.0},
}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(F)


@pytest.fixture(params=OPTIONS)
def gru(request):
    gru = GRU(5, 12, batch_first=True, seed=0, **OPTIONS[request.param])
    gru.flat_parameters[...] += 0.01 * normal(gru.flat_parameters.size)
    return gru


SHORT = normal(1, 2, 3)


def classifier(**options):
    return Sequential(
        GRU(5, 12, batch_first=True, bidirectional=True, **options),
        Dropout(0.2),
        GRU(24, 9, batch_first=True, **options),
        Last(),
        Linear(9, 3),
        seed=0,
    )


# ---- conversion --------------------------------------------------------------------------


def test_parameters_are_the_integers_and_scales_of_the_definition(gru):
    quantized = gru.quantized()
    names = list(quantized.parameters)
    for name, values in gru.parameters.items():
        if not name.startswith("weight_"):
            np.testing.assert_array_equal(quantized.parameters[name], values)
            continue
        integers, scales = reference.integers_of_rows(values, False)
        of_scales = name.replace("weight", "scale")
        assert names.index(of_scales) == names.index(name) + 1
        assert quantized.parameters[name].dtype == np.int8
        np.testing.assert_array_equal(quantized.parameters[name], integers)
        np.testing.assert_array_equal(quantized.parameters[of_scales], scales)
        assert np.abs(integers).max(axis=1).min() == 127
    assert len(names) == len(set(names))


def test_a_quantized_gru_is_a_copy(gru):
    x = normal(2, 4, 5)
    quantized = gru.quantized()
    before = quantized(x)[0]
    gru.flat_parameters[...] *= 2
    np.testing.assert_array_equal(quantized(x)[0], before)
    assert quantized.options == gru.options
    assert (quantized.input_size, quantized.output_size) == (5, gru.output_size)


def test_weights_take_a_quarter_of_the_bytes():
    gru = GRU(256, 256, num_layers=2)
    assert gru.quantized().nbytes < 0.26 * gru.nbytes


def test_states_are_near_those_of_float_weights(gru):
    x = normal(4, 30, 5)
    difference = np.abs(gru.quantized()(x)[0] - gru(x)[0])
    assert 0 < difference.max() < 0.1
    assert np.sqrt(np.square(difference).mean()) < 0.02


@pytest.mark.parametrize(
    ("error", "text", "call"),
    [
        (ValueError, "bits must be 8, got 4", lambda: GRU(2, 3).quantized(4)),
        (TypeError, "bits must be an int, got str", lambda: GRU(2, 3).quantized("8")),
        (ValueError, "replace.dtype=", lambda: GRU(2, 3, dtype="float64").quantized()),
        (TypeError, "gru must be a GRU, got Linear", lambda: QuantizedGRU(Linear(2, 3))),
        (ValueError, "lengths must be None", lambda: GRU(2, 3).quantized(lengths=[1])),
        (ValueError, "input_size=2", lambda: GRU(2, 3).quantized(data=normal(4, 1, 3))),
        (ValueError, "no GRU", lambda: Sequential(Linear(2, 3)).quantized()),
        (ValueError, "mask must be None", lambda: classifier().quantized(mask=[[True]])),
        (ValueError, r"layers\[0\].*float32 GRU", lambda: classifier(dtype=float).quantized()),
        (TypeError, "got ndarray; data are.*data=", lambda: GRU(2, 3).quantized(SHORT)),
        (TypeError, "got list; data are.*data=", lambda: classifier().quantized([SHORT[0]])),
        (ValueError, r"data\[np.newaxis\]", lambda: classifier().quantized(data=normal(7, 5))),
        (ValueError, "x must hold at least one", lambda: classifier().quantized(data=[])),
        (ValueError, r"layers\[0\].*input_size=5", lambda: classifier().quantized(data=SHORT)),
    ],
)  # fmt: skip
def test_what_cannot_be_converted(error, text, call):
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["weight_hh_l1_reverse", "bias_ih_l0", "h0"])
def test_parameters_that_are_not_finite_are_named(name, value):
    gru = GRU(2, 3, 2, bidirectional=True, learn_h0=True)
    gru.parameters[name][1] = value
    with pytest.raises(ValueError, match=f"{name} contains NaN or infinity"):
        gru.quantized()


def test_the_advice_for_a_float64_model_works():
    model = classifier(dtype="float64")
    with pytest.raises(ValueError, match=r"new\.load_state_dict\(model\.state_dict\(\)\)"):
        model.quantized()
    new = classifier(dtype="float32")
    new.load_state_dict(model.state_dict())
    x = normal(2, 7, 5)
    np.testing.assert_allclose(new(x), model(x), atol=1e-5)
    np.testing.assert_allclose(new.quantized()(x), model(x), atol=0.05)


def test_data_of_one_sequence_are_those_of_a_batch_of_one():
    x = normal(7, 5)
    report = classifier().quantized(data=x[np.newaxis]).report
    assert (report.sequences, report.steps) == (1, 7)


# ---- parameters --------------------------------------------------------------------------


@pytest.mark.parametrize("model", [GRU(5, 12, seed=0), classifier()])
def test_loading_says_which_weights_are_of_8_bits(model):
    quantized = model.quantized()
    before = quantized.state_dict()
    with pytest.raises(KeyError, match=r"mapping holds no scales.*call quantized"):
        quantized.load_state_dict(model.state_dict())
    with pytest.raises(KeyError, match=r"mapping holds weights of 8 bits.*floats"):
        model.load_state_dict(quantized.state_dict())
    with pytest.raises(KeyError, match="missing parameters: "):
        quantized.load_state_dict({})
    for name, values in quantized.state_dict().items():
        np.testing.assert_array_equal(values, before[name])


def test_parameters_cannot_be_written_past_the_checks():
    quantized = GRU(2, 3, seed=0).quantized()
    for view in quantized.parameters.values():
        with pytest.raises(ValueError, match="read-only"):
            view[...] = 1
    for name, value, text in [
        ("weight_ih_l0", np.full((9, 2), -128, np.int8), "from -127 to 127, got -128"),
        ("weight_ih_l0", np.zeros((9, 2)), "must have dtype int8, got float64"),
        ("weight_ih_l0", np.zeros((9, 3), np.int8), "must have shape"),
        ("scale_ih_l0", np.full(9, -1.0), "finite numbers >= 0"),
        ("scale_ih_l0", np.full(9, np.nan), "finite numbers >= 0"),
        ("bias_ih_l0", np.zeros(8), "must have shape"),
    ]:
        with pytest.raises(ValueError, match=text):
            quantized.parameters[name] = value
    with pytest.raises(KeyError, match="did you mean 'scale_ih_l0'"):
        quantized.parameters["scale_ih_10"] = 0


def test_every_call_uses_the_parameters_of_now():
    x = normal(4, 2, 5)
    one, other = (GRU(5, 12, seed=seed).quantized() for seed in (0, 1))
    stream = one.stream(2)
    expected, before = other(x)[0], one(x)[0]
    one.load_state_dict(other.state_dict())
    np.testing.assert_array_equal(one(x)[0], expected)
    np.testing.assert_array_equal(stream(x[0]), expected[0])
    scales = one.parameters["scale_hh_l0"].copy()
    one.parameters["scale_hh_l0"] = scales * 2
    assert not np.array_equal(one(x)[0], expected)
    with pytest.raises(ValueError, match="bias_hh_l0 must have shape"):
        one.load_state_dict({**other.state_dict(), "bias_hh_l0": np.zeros(2)})
    np.testing.assert_array_equal(one.parameters["scale_hh_l0"], scales * 2)
    assert not np.array_equal(before, expected)


# ---- files and copies --------------------------------------------------------------------

WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "clone": lambda model: clone(model, safe=False),
}


@pytest.mark.parametrize("way", WAYS)
def test_copies_have_the_same_bits_and_share_nothing(gru, way):
    x = normal(2, 6, 5)
    quantized = gru.quantized(data=x)
    other = WAYS[way](quantized)
    assert type(other) is QuantizedGRU
    assert repr(other) == repr(quantized)
    assert str(other.report) == str(quantized.report)
    np.testing.assert_array_equal(other(x)[0], quantized(x)[0])
    name = "scale_ih_l0"
    other.parameters[name] = 0 * other.parameters[name]
    assert quantized.parameters[name].all()


def test_a_saved_model_has_the_same_bits(gru, tmp_path):
    path = tmp_path / "model.safetensors"
    x = normal(2, 6, 5)
    quantized = gru.quantized(data=x)
    pygru.save(quantized, path, metadata={"from": "a test"})
    loaded = pygru.load(path, check_finite=True)
    assert repr(loaded) == repr(quantized)
    assert loaded.report is None
    assert pygru.read_metadata(path) == {"from": "a test"}
    np.testing.assert_array_equal(loaded(x)[0], quantized(x)[0])
    again = tmp_path / "again.safetensors"
    pygru.save(loaded, again, metadata={"from": "a test"})
    assert again.read_bytes() == path.read_bytes()
    arrays = pygru.io.read_arrays(path)
    assert {array.dtype.name for array in arrays.values()} == {"int8", "float32"}
    assert list(arrays) == list(quantized.parameters)


def test_a_file_is_about_a_quarter_as_large(tmp_path):
    model = Sequential(GRU(64, 256, batch_first=True), Last(), Linear(256, 4), seed=0)
    pygru.save(model, tmp_path / "float.safetensors")
    pygru.save(model.quantized(), tmp_path / "int8.safetensors")
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("int8", "float")]
    assert 0.25 < sizes[0] / sizes[1] < 0.27


def changed(path, change):
    """Change the bytes of a file's tensors by name, keeping its header."""
    data = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    change(data, {k: v["data_offsets"][0] + 8 + length for k, v in header.items() if "_l" in k})
    path.write_bytes(data)


def test_files_with_other_numbers_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"

    def with_minus_128(data, places):
        data[places["weight_ih_l0"]] = 128

    def with_negative_scale(data, places):
        data[places["scale_hh_l0"] + 3] |= 128

    for change, text in [
        (with_minus_128, "weight_ih_l0 must be integers from -127 to 127"),
        (with_negative_scale, "scale_hh_l0 must be finite numbers >= 0"),
    ]:
        pygru.save(GRU(2, 3, seed=0).quantized(), path)
        changed(path, change)
        with pytest.raises(FormatError, match=f"{path.name}: {text}"):
            pygru.load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("bits", 4), ("bits", True), ("dtype", "float64"), ("num_layers", 10**9)],
)
def test_files_with_other_options_are_refused(tmp_path, name, value):
    path = tmp_path / "model.safetensors"
    quantized = GRU(2, 3, seed=0).quantized()
    description = {"class": "QuantizedGRU", "config": {**quantized.get_config(), name: value}}
    path.write_bytes(pygru.io.native.to_bytes(description, quantized.state_dict()))
    with pytest.raises(FormatError, match=r"configuration is not valid|must have dtype"):
        pygru.load(path)


def test_the_table_of_a_file_says_what_a_quantized_gru_is(tmp_path):
    path = tmp_path / "model.safetensors"
    pygru.save(classifier().quantized(), path)
    found = pygru.io.inspect(path)
    assert list(found) == []
    assert list(found.refused) == ["0", "2"]
    assert "8 bits" in found.refused["0"]


# ---- models ------------------------------------------------------------------------------


def test_the_grus_of_a_model_are_quantized_and_the_rest_is_copied(tmp_path):
    model = classifier()
    x = [normal(size, 5, seed=size) for size in (7, 3, 12)]
    quantized = model.quantized(data=x)
    kinds = [type(layer).__name__ for layer in quantized.layers]
    assert kinds == ["QuantizedGRU", "Dropout", "QuantizedGRU", "Last", "Linear"]
    expected = quantized(x)
    assert 0 < np.abs(expected - model(x)).max() < 0.05
    assert quantized.layers[4] is not model.layers[4]
    for pair in model.flat_pairs:
        pair[0][...] += 1
    np.testing.assert_array_equal(quantized(x), expected)
    pygru.save(quantized, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(pygru.load(tmp_path / "model.safetensors")(x), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(quantized))(x), expected)
    np.testing.assert_array_equal(pygru.predict(quantized, x), expected)
    np.testing.assert_array_equal(Trainer(quantized).predict(x), expected)
    assert "QuantizedGRU(input_size=5" in quantized._repr_html_()


def test_a_layer_that_occurs_twice_is_one_layer_in_the_copy():
    gru = GRU(4, 4, batch_first=True, seed=0)
    linear = Linear(4, 4, seed=0)
    quantized = Sequential(gru, linear, gru, linear).quantized()
    assert quantized.layers[0] is quantized.layers[2]
    assert quantized.layers[1] is quantized.layers[3]


def test_a_quantized_model_in_a_stream_and_in_pieces():
    model = Sequential(GRU(5, 12, batch_first=True), Linear(12, 3), seed=0).quantized()
    x = normal(2, 8, 5)
    expected = model(x)
    stream = model.stream(2)
    for t in range(8):
        np.testing.assert_array_equal(stream(x[:, t]), expected[:, t])
    states, pieces = None, []
    for piece in (x[:, :3], x[:, 3:]):
        y, states, _ = model.forward_from(states, piece, training=False)
        pieces.append(y)
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), expected)
    with pytest.raises(ValueError, match=r"layers\[0\].*cannot run step by step"):
        classifier().quantized().stream()


def test_masks_reach_a_quantized_gru():
    model = Sequential(Masking(), GRU(5, 12, batch_first=True), Last(), seed=0)
    x = normal(3, 9, 5)
    x[0, 2:4] = 0
    quantized = model.quantized(data=x)
    assert quantized.report.steps == 25
    shorter = np.delete(x[0], [2, 3], axis=0)[np.newaxis]
    np.testing.assert_array_equal(quantized(x)[:1], quantized(shorter))


def test_tokens_and_other_layers_around():
    model = Sequential(
        Embedding(9, 6), GRU(6, 8, batch_first=True), AttentionOverTime(8), Linear(8, 2), seed=0
    )
    tokens = np.random.default_rng(0).integers(0, 9, (4, 11))
    quantized = model.quantized(data=tokens, lengths=[11, 3, 7, 1])
    assert quantized.report.steps == 22
    assert np.abs(quantized(tokens) - model(tokens)).max() < 0.02


# ---- reports -----------------------------------------------------------------------------


def test_a_report_holds_the_differences_of_all_states():
    gru = GRU(5, 12, 2, bidirectional=True, learn_h0=True, seed=0)
    gru.parameters["h0"] = normal(4, 12)
    x, lengths = normal(20, 3, 5), [20, 4, 11]
    quantized = gru.quantized(data=x, lengths=lengths)
    report = quantized.report
    assert [cell.name for cell in report.cells] == gru.options.cell_names()
    assert (report.sequences, report.steps) == (3, 35)
    assert (report.nbytes_before, report.nbytes) == (gru.nbytes, quantized.nbytes)
    valid = np.arange(20)[:, np.newaxis] < lengths
    outputs = [model(x, lengths=lengths)[0][valid].astype(float) for model in (gru, quantized)]
    for direction in (0, 1):
        one, other = (output[:, direction * 12 :][:, :12] for output in outputs)
        cell = report.cells[2 + direction]
        assert cell.largest == np.abs(one - other).max()
        assert cell.rms == pytest.approx(np.sqrt(np.square(one - other).mean()))
        assert cell.rms_value == pytest.approx(np.sqrt(np.square(one).mean()))
    first = Sequential(*[GRU(5, 12, batch_first=True, bidirectional=True, learn_h0=True)])
    for name in first.layers[0].parameters:
        values = gru.parameters[name]
        first.layers[0].parameters[name] = values[:2] if name == "h0" else values
    below = first.quantized(data=x.swapaxes(0, 1), lengths=lengths).report
    assert [cell[1:] for cell in below.cells] == [cell[1:] for cell in report.cells[:2]]
    assert "l1_reverse" in str(report) and "<table>" in report._repr_html_()


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_report_reads_data_in_every_form_of_a_call(batch_first):
    gru = GRU(5, 8, batch_first=batch_first, seed=0)
    x = normal(9, 5)
    padded = np.zeros((2, 12, 5), F)
    padded[0, :9], padded[1, :4] = x, x[:4]
    batch = padded if batch_first else padded.swapaxes(0, 1)
    costs = [
        gru.quantized(data=data, lengths=lengths).report
        for data, lengths in [([x, x[:4]], None), (batch, [9, 4])]
    ]
    assert str(costs[0]) == str(costs[1])
    assert gru.quantized(data=x).report.steps == 9
    assert gru.quantized().report is None


def test_the_report_of_a_model_follows_the_error_through_its_layers():
    model = classifier()
    x = normal(4, 10, 5)
    report = model.quantized(data=x).report
    assert [cell.name for cell in report.cells] == ["0.l0", "0.l0_reverse", "2.l0"]
    difference = model.quantized()(x).astype(float) - model(x)
    assert report.output.largest == np.abs(difference).max()
    assert (report.nbytes_before, report.sequences, report.steps) == (model.nbytes, 4, 40)
    assert model.quantized().report is None


# ---- what costs more -----------------------------------------------------------------------


def test_one_large_feature_costs_what_the_page_says():
    gru = GRU(4, 128, batch_first=True, seed=0)
    x = normal(20, 30, 4)
    even = gru.quantized(data=x).report.cells[0]
    sizes = np.array([1, 1, 1, 1000], F)
    gru.parameters["weight_ih_l0"] = gru.parameters["weight_ih_l0"] / sizes
    uneven = gru.quantized(data=x * sizes).report.cells[0]
    assert even.rms_value == pytest.approx(uneven.rms_value, rel=1e-4)
    assert even.rms < 0.005 * even.rms_value
    assert uneven.rms > 0.5 * uneven.rms_value


def test_an_infinity_makes_the_rest_of_its_sequence_nan():
    gru = GRU(4, 24, batch_first=True, seed=0)
    x = normal(2, 6, 4)
    x[0, 2, 1] = np.inf
    assert np.isfinite(gru(x)[0]).all()
    y = gru.quantized()(x)[0]
    assert np.isnan(y[0, 2:]).all()
    assert np.isfinite(y[0, :2]).all() and np.isfinite(y[1]).all()


# ---- training is refused -----------------------------------------------------------------


def test_training_says_what_to_do():
    x, y = normal(4, 6, 5), normal(4, 3)
    quantized = classifier().quantized()
    layer = quantized.layers[0]
    advice = "train a GRU, and then call gru.quantized()"
    with pytest.raises(
        ValueError, match=rf"layers\[0\], QuantizedGRU\(.*\): weights.*{advice}"
    ):
        Trainer(quantized).fit(x, y, epochs=1)
    with pytest.raises(
        ValueError, match=f"^weights of 8 bits are for inference only; {advice}"
    ):
        Trainer(layer).fit(x, normal(4, 6, layer.output_size), epochs=1)
    with pytest.raises(ValueError, match=rf"layers\[0\].*{advice}"):
        quantized.forward(x)
    with pytest.raises(ValueError, match=f"trainable must be False: weights.*{advice}"):
        layer.trainable = True
    for name in ("forward", "backward", "flat_parameters", "quantized", "replace", "gates"):
        with pytest.raises(AttributeError, match=f"QuantizedGRU has no {name}: "):
            getattr(layer, name)
    with pytest.raises(ValueError, match=advice):
        layer.reseed(0)
    with pytest.raises(AttributeError, match="call quantized"):
        layer.zoneout = 0.5
    with pytest.raises(AttributeError, match="has no attribute 'foo'"):
        _ = layer.foo
    assert not layer.trainable and layer.flat_pairs == []


def test_unfreezing_reaches_what_can_be_trained():
    model = Sequential(GRU(5, 12, batch_first=True), Linear(12, 3)).quantized()
    model.trainable = False
    assert [layer.trainable for layer in model.layers] == [False, False]
    model.trainable = True
    assert [layer.trainable for layer in model.layers] == [False, True]
    with pytest.raises(ValueError, match="trainable must be False"):
        Sequential(model.layers[0]).trainable = True
    reversed_model = Sequential(Linear(5, 5), model.layers[0])
    reversed_model.freeze_only(("0", "1"))
    with pytest.raises(ValueError, match="trainable must be False"):
        reversed_model.freeze_only(())
    assert reversed_model.frozen_parts == ("0", "1")


def test_drawing_weights_names_the_layer_and_changes_nothing():
    quantized = GRU(5, 12, batch_first=True).quantized()
    linear = Linear(5, 5, seed=0)
    before = linear.state_dict()
    with pytest.raises(ValueError, match=r"layers\[1\], QuantizedGRU\(.*no initial weights"):
        Sequential(linear, quantized, seed=1)
    np.testing.assert_array_equal(linear.parameters["weight"], before["weight"])


# ---- estimators --------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:GRUClassifier. maximum iterations")
def test_the_model_of_a_fitted_estimator_can_be_replaced():
    x = normal(40, 6, 3)
    X, y = x, (x[:, -1, 0] > 0).astype(int)
    classifier = GRUClassifier((16,), max_iter=20, random_state=0).fit(X, y)
    expected = classifier.model_.quantized()(X)
    answers, score = classifier.predict(X), classifier.decision_function(X)
    classifier.model_ = classifier.model_.quantized()
    difference = expected[:, 1] - expected[:, 0]
    np.testing.assert_allclose(classifier.decision_function(X), difference, atol=1e-6)
    decided = np.abs(score) > 0.05
    assert decided.any()
    np.testing.assert_array_equal(classifier.predict(X)[decided], answers[decided])
    copied = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(copied.predict_proba(X), classifier.predict_proba(X))


# ---- files of other libraries have float weights -------------------------------------------


@pytest.mark.parametrize("export", [pygru.to_keras, pygru.to_torch, pygru.io.to_variant])
def test_weights_for_other_libraries_are_those_of_the_float_gru(export):
    arguments = ("cho",) if export is pygru.io.to_variant else ()
    text = "got QuantizedGRU, whose weights are integers; pass the GRU that it was made from"
    with pytest.raises(TypeError, match=text):
        export(GRU(3, 4, seed=0).quantized(), *arguments)


def test_onnx_files_are_those_of_the_float_gru(tmp_path):
    path = tmp_path / "model.onnx"
    with pytest.raises(TypeError, match="are integers; pass the GRU that it was made from"):
        pygru.to_onnx(GRU(3, 4, seed=0).quantized(), path)
    with pytest.raises(ValueError, match=r"layers\[0\].*are integers; write the model that"):
        pygru.to_onnx(classifier().quantized(), path)
    assert not path.exists()
