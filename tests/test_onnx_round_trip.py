"""What to_onnx writes, from_onnx reads: the same weights, bit for bit, in every variant."""

import numpy as np
import pytest
from exported_models import ACTIVATIONS, VARIANTS, H, I

import pygru
from pygru.io.onnx.export import onnx_bytes

# Options that a node GRU states; those of the graph around it, such as merge, are not read.
OPTIONS = [
    {},
    {"bias": False},
    {"bidirectional": True},
    {"reverse": True},
    {"clip": 0.1},
    {"dtype": "float64"},
]


def assert_same(gru, read):
    assert read.options == gru.options
    assert all(
        (read.parameters[name] == values).all() for name, values in gru.parameters.items()
    )


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_gru_comes_back(variant, options):
    gru = pygru.GRU(I, H, variant=variant, seed=0, **options)
    for inputs in ({}, {"lengths": True, "h0": True}, {"mask": True}):
        assert_same(gru, pygru.from_onnx(onnx_bytes(gru, **inputs), variant=variant))
    # Without the variant it is the one that ONNX has, which keeps the old state.
    other = pygru.from_onnx(onnx_bytes(gru))
    assert (other.variant.reset, other.variant.update) == (gru.variant.reset, "keep")


@pytest.mark.parametrize("activations", ACTIVATIONS, ids=str)
def test_other_activations_come_back(activations):
    recurrent_activation, activation = activations
    options = {"activation": activation, "recurrent_activation": recurrent_activation}
    gru = pygru.GRU(I, H, variant="pytorch", seed=0, **options)
    assert_same(gru, pygru.from_onnx(onnx_bytes(gru)))


def test_learned_states_come_back():
    gru = pygru.GRU(I, H, variant="cho", bidirectional=True, learn_h0=True, seed=0)
    gru.parameters["h0"] = np.arange(2.0 * H).reshape(2, H)
    assert_same(gru, pygru.from_onnx(onnx_bytes(gru)))


def test_a_single_step_is_the_same_gru():
    gru = pygru.GRU(I, H, variant="pytorch", seed=0)
    assert_same(gru, pygru.from_onnx(onnx_bytes(gru, step=True)))


def test_the_layers_of_a_model_are_found_by_their_place():
    model = pygru.Sequential(
        pygru.GRU(I, H, 2, batch_first=True, variant="cho"),
        pygru.GRU(H, 4, batch_first=True),
        pygru.Last(),
        seed=0,
    )
    data = onnx_bytes(model)
    with pytest.raises(ValueError, match=r"'0\.gru_l0', '0\.gru_l1', '1\.gru_l0'"):
        pygru.from_onnx(data)
    second = pygru.from_onnx(data, "0.gru_l1")
    weights = model.layers[0].parameters["weight_hh_l1"]
    assert (second.parameters["weight_hh_l0"] == weights).all()
    third = pygru.from_onnx(data, "1.gru_l0", variant="chung", batch_first=True)
    assert_same(model.layers[1], third)
