"""Activations, clipped sums and reversed sequences, against ONNX Runtime if it is installed.

These tests fail if pygru limits other sums than ONNX does, if a hard_sigmoid has other numbers,
or if a reversed sequence begins or ends at another step.
"""

import numpy as np
import pytest

from pygru import GRU

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

T, B, I, H = 5, 4, 3, 6
LENGTHS = [5, 1, 4, 2]
HARD = ("hard_sigmoid", 0.3, 0.4)
NAMES = {
    "tanh": ("Tanh",),
    "sigmoid": ("Sigmoid",),
    "relu": ("Relu",),
    "linear": ("Affine", 1.0, 0.0),
    "softsign": ("Softsign",),
    ("hard_sigmoid", 0.2, 0.5): ("HardSigmoid", 0.2, 0.5),
    HARD: ("HardSigmoid", *HARD[1:]),
}


def order_of_onnx(array):
    """From gates r, z, n to z, r, n, with the axis of directions."""
    r, z, n = np.split(array, 3)
    return np.concatenate([z, r, n])[np.newaxis]


def expected_of(gru, x, h0):
    """The output (T, B, H) and the last state (B, H) of the operator GRU."""
    functions = [NAMES[gru.recurrent_activation], NAMES[gru.activation]]
    # Only those functions that have numbers take some, in their order.
    numbers = [numbers for _, *numbers in functions if numbers]
    attributes = {
        "hidden_size": H,
        "linear_before_reset": int(gru.variant.reset == "after"),
        "direction": "reverse" if gru.reverse else "forward",
        "activations": [name for name, *_ in functions],
    }
    if numbers:
        attributes["activation_alpha"], attributes["activation_beta"] = zip(
            *numbers, strict=True
        )
    if gru.clip is not None:
        attributes["clip"] = gru.clip
    biases = [order_of_onnx(gru.parameters[f"bias_{of}_l0"]) for of in ("ih", "hh")]
    feeds = {
        "X": x,
        "W": order_of_onnx(gru.parameters["weight_ih_l0"]),
        "R": order_of_onnx(gru.parameters["weight_hh_l0"]),
        "B": np.concatenate(biases, axis=1),
        "lengths": np.array(LENGTHS, np.int32),
        "h0": h0,
    }
    kinds = {
        np.dtype(np.float32): onnx.TensorProto.FLOAT,
        np.dtype(np.int32): onnx.TensorProto.INT32,
    }
    inputs = [
        onnx.helper.make_tensor_value_info(name, kinds[array.dtype], array.shape)
        for name, array in feeds.items()
    ]
    outputs = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in ("Y", "Y_h")
    ]
    node = onnx.helper.make_node("GRU", list(feeds), ["Y", "Y_h"], **attributes)
    graph = onnx.helper.make_graph([node], "cell", inputs, outputs)
    opset = [onnx.helper.make_opsetid("", 14)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    output, h_n = session.run(None, feeds)
    return output[:, 0], h_n[0]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("variant", ["cho", "pytorch"])
@pytest.mark.parametrize("activation", NAMES, ids=str)
@pytest.mark.parametrize("recurrent_activation", ["sigmoid", "relu", "softsign", HARD], ids=str)
def test_a_cell_computes_what_onnx_does(
    recurrent_activation, activation, variant, clip, reverse
):
    gru = GRU(
        I,
        H,
        variant=variant,
        activation=activation,
        recurrent_activation=recurrent_activation,
        clip=clip,
        reverse=reverse,
    )
    rng = np.random.default_rng(0)
    largest = 0.3 if recurrent_activation == "relu" else 0.8
    gru.flat_parameters = rng.uniform(-largest, largest, gru.flat_parameters.size)
    x = rng.standard_normal((T, B, I)).astype(np.float32)
    h0 = rng.uniform(-1, 1, (1, B, H)).astype(np.float32)
    for found, right in zip(gru(x, h0, lengths=LENGTHS), expected_of(gru, x, h0), strict=True):
        np.testing.assert_allclose(found.reshape(right.shape), right, rtol=2e-5, atol=2e-6)
