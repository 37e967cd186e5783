"""from_onnx: what a node GRU says becomes the same GRU, and what pygru has not is refused.

The truth is the operator's page of ONNX, written in ``onnx_models.py`` with NumPy.
``test_onnx_runtime_import.py`` compares many random nodes with ONNX Runtime.
"""

import os

import numpy as np
import onnx_models
import pytest
from onnx_models import as_pygru, gru_model, model, node, onnx_gru, random_weights, tensor

import pygru
from pygru import FormatError
from pygru.io.onnx import messages, reading
from pygru.io.onnx.messages import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    SparseTensorProto,
    StringStringEntryProto,
    TensorProto,
    encode,
)

T, B, I, H = 4, 3, 2, 3
LENGTHS = [4, 0, 2]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def assert_same(gru, x, expected, lengths=None, h0=None):
    """Compare a GRU in float64 with Y and Y_h."""
    y, y_h = expected
    output, h_n = gru(x, h0, lengths=lengths)
    np.testing.assert_allclose(output, as_pygru(y), atol=1e-12)
    np.testing.assert_allclose(h_n, y_h, atol=1e-12)


# ---- the equations ------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("linear_before_reset", [None, 0, 1])
@pytest.mark.parametrize("bias", [False, True])
def test_a_gru_computes_what_its_node_computes(rng, direction, linear_before_reset, bias):
    D = 2 if direction == "bidirectional" else 1
    arrays = random_weights(rng, I, H, D, bias)
    attributes = {"direction": direction, "hidden_size": H}
    if linear_before_reset is not None:
        attributes["linear_before_reset"] = linear_before_reset
    data = gru_model(arrays, "L", "H", ("X", "L", "H"), **attributes)
    gru = pygru.from_onnx(data, dtype="float64")
    assert gru.variant.name == ("pytorch" if linear_before_reset else "cho")
    assert (gru.input_size, gru.hidden_size, gru.num_layers) == (I, H, 1)
    assert (gru.bidirectional, gru.bias) == (D == 2, bias)
    x, h0 = rng.normal(size=(T, B, I)), rng.normal(size=(D, B, H))
    expected = onnx_gru(x, arrays, LENGTHS, h0, direction, linear_before_reset)
    assert_same(gru, x, expected, LENGTHS, h0)


@pytest.mark.parametrize(
    ("names", "alpha", "beta", "own"),
    [
        (["Sigmoid", "Tanh"], [], [], ("sigmoid", "tanh")),
        (["sigmoid", "TANH"], [], [], ("sigmoid", "tanh")),
        (["HardSigmoid", "Relu"], [], [], ("hard_sigmoid", "relu")),
        (["HardSigmoid", "Softsign"], [0.2], [0.5], ("hard_sigmoid", "softsign")),
        (["HardSigmoid", "Tanh"], [0.3], [], (("hard_sigmoid", 0.3, 0.5), "tanh")),
        (["HardSigmoid", "Tanh"], [], [0.4], (("hard_sigmoid", 0.2, 0.4), "tanh")),
        (["Sigmoid", "HardSigmoid"], [0.25], [0.5], ("sigmoid", ("hard_sigmoid", 0.25, 0.5))),
        (
            ["HardSigmoid", "HardSigmoid"],
            [0.25, 0.5],
            [0.5, 0.125],
            (("hard_sigmoid", 0.25, 0.5), ("hard_sigmoid", 0.5, 0.125)),
        ),
        (["HardSigmoid", "Affine"], [0.25, 1.0], [0.5, 0.0],
         (("hard_sigmoid", 0.25, 0.5), "linear")),
        (["Sigmoid", "LeakyRelu"], [0.0], [], ("sigmoid", "relu")),
        (["Sigmoid", "ScaledTanh"], [1.0], [1.0], ("sigmoid", "tanh")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("D", [1, 2])
def test_activations_take_their_parameters_in_turn(names, alpha, beta, own, D):
    attributes = {"activations": names * D}
    if alpha:
        attributes["activation_alpha"] = alpha * D
    if beta:
        attributes["activation_beta"] = beta * D
    if D == 2:
        attributes["direction"] = "bidirectional"
    arrays = random_weights(np.random.default_rng(0), I, H, D)
    ((found,), _) = reading.contents(gru_model(arrays, **attributes))
    assert (found.recurrent_activation, found.activation) == own
    assert "activations" in found.evidence["activation"]


@pytest.mark.parametrize(
    ("recurrent", "candidate", "alpha", "beta"),
    [("HardSigmoid", "Softsign", 0.2, 0.5), ("HardSigmoid", "Relu", 0.125, 0.25)],
)
@pytest.mark.parametrize("D", [1, 2])
def test_other_activations_compute_the_same(rng, recurrent, candidate, alpha, beta, D):
    arrays = random_weights(rng, I, H, D)
    attributes = {"activations": [recurrent, candidate] * D, "activation_alpha": [alpha] * D}
    attributes["activation_beta"] = [beta] * D
    direction = "bidirectional" if D == 2 else "forward"
    gru = pygru.from_onnx(gru_model(arrays, direction=direction, **attributes), dtype="float64")
    x = rng.normal(size=(T, B, I))

    def hard(value):
        return np.clip(alpha * value + beta, 0, 1)

    activations = [(hard, onnx_models.FUNCTIONS[candidate])] * D
    assert_same(gru, x, onnx_gru(x, arrays, direction=direction, activations=activations))


@pytest.mark.parametrize("linear_before_reset", [0, 1])
def test_clip_bounds_what_the_activations_get(rng, linear_before_reset):
    arrays = random_weights(rng, I, H)
    attributes = {"clip": 0.5, "linear_before_reset": linear_before_reset}
    gru = pygru.from_onnx(gru_model(arrays, **attributes), dtype="float64")
    x = rng.normal(size=(T, B, I))
    assert_same(gru, x, onnx_gru(x, arrays, **attributes))


def test_layout_1_is_batch_first(rng):
    arrays = random_weights(rng, I, H)
    gru = pygru.from_onnx(gru_model(arrays, layout=1), dtype="float64")
    x = rng.normal(size=(T, B, I))
    output, _ = gru(x.swapaxes(0, 1))
    np.testing.assert_allclose(output.swapaxes(0, 1), as_pygru(onnx_gru(x, arrays)[0]))
    assert not pygru.from_onnx(gru_model(arrays, layout=1), batch_first=False).batch_first


@pytest.mark.parametrize("layout", [0, 1])
def test_a_constant_initial_state_becomes_the_parameter_h0(rng, layout):
    arrays = random_weights(rng, I, H, 2)
    state = rng.normal(size=(2, 1, H)).repeat(B, axis=1)
    arrays["S"] = state.swapaxes(0, 1) if layout else state
    data = gru_model(arrays, None, "S", direction="bidirectional", layout=layout)
    ((found,), _) = reading.contents(data)
    assert "becomes the parameter h0" in found.evidence["h0"]
    gru = found.build(batch_first=False, dtype="float64")
    x = rng.normal(size=(T, B, I))
    expected = onnx_gru(x, arrays, None, state, "bidirectional")
    assert_same(gru, x, expected)
    arrays["S"] = rng.normal(size=arrays["S"].shape)
    with pytest.raises(FormatError, match="differs within the batch"):
        pygru.from_onnx(gru_model(arrays, None, "S", direction="bidirectional", layout=layout))


@pytest.mark.parametrize("op_type", ["Expand", "Tile"])
def test_a_learned_initial_state_is_repeated_for_a_batch_of_any_size(rng, op_type):
    arrays = random_weights(rng, I, H)
    states = rng.normal(size=(2, 1, H)).astype(np.float32)  # of two layers
    arrays |= {"S2": states, "one": np.array([1]), "two": np.array([2])}
    nodes = [
        node(op_type, ["S2", "N"], ["A"]),
        node("Gather", ["A", "N"], ["C"], axis=1),
        node("Slice", ["C", "one", "two"], ["S"]),
        node("GRU", ["X", "W", "R", "B", "", "S"], ["Y"]),
    ]
    gru = pygru.from_onnx(encode(model(nodes, arrays, ("X", "N"))))
    np.testing.assert_array_equal(gru.parameters["h0"], states[1])


def where_the_state_comes_from(nodes, arrays=None, inputs=("X", "I")):
    """The evidence for the initial state S that nodes make."""
    rng = np.random.default_rng(0)
    arrays = {**random_weights(rng, I, H), **(arrays or {})}
    gru = node("GRU", ["X", "W", "R", "B", "", "S"], ["Y"])
    grus, refused = reading.contents(encode(model([*nodes, gru], arrays, inputs)))
    assert not refused
    (found,) = grus
    assert "h0" not in found.arrays
    return found.evidence["h0"]


def test_the_source_of_the_initial_state_is_named():
    zeros = {"S": np.zeros((1, 1, H), np.float32)}
    assert where_the_state_comes_from([], zeros) == "zeros"
    made = node("ConstantOfShape", ["I"], ["A"])
    parts = [node("Slice", ["A", "I", "I"], ["C"]), node("Concat", ["C", "A"], ["S"], axis=0)]
    assert where_the_state_comes_from([made, *parts]) == "zeros"
    ones = node("ConstantOfShape", ["I"], ["A"], value=tensor("", np.ones(1, np.float32)))
    assert "I" in where_the_state_comes_from([node("Identity", ["I"], ["S"])])
    assert where_the_state_comes_from([node("Transpose", ["I"], ["S"])]) == (
        "given by the input 'I' of the graph; pass h0="
    )
    assert where_the_state_comes_from([node("Tanh", ["I"], ["S"])]) == (
        "given by a node Tanh of the graph; pass h0="
    )
    assert where_the_state_comes_from([ones, node("Identity", ["A"], ["S"])]) == (
        "computed by the graph from constants; pass h0="
    )
    picked = node("Gather", ["A", "I"], ["S"])
    assert "computed" in where_the_state_comes_from([picked], {"A": np.ones((2, 2, H))})


def test_constant_lengths_are_named(rng):
    arrays = random_weights(rng, I, H) | {"L": np.array([4, 2], np.int32)}
    ((found,), _) = reading.contents(gru_model(arrays, "L"))
    assert found.evidence["lengths"] == "a constant of the graph, [4, 2]; pass lengths="
    with pytest.warns(pygru.DataWarning, match=r"lengths of its sequences are .*\[4, 2\]"):
        pygru.from_onnx(gru_model(arrays, "L"))
    del arrays["L"]
    ((found,), _) = reading.contents(gru_model(arrays, "L", inputs=("X", "L")))
    assert found.evidence["lengths"] == "given by the graph; pass lengths="


# ---- what cannot be expressed -------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"activations": ["Sigmoid", "Softplus"]}, "Softplus does not exist in pygru"),
        ({"activations": ["Sigmoid", "Elu"]}, r"Elu\(1\) does not exist in pygru"),
        ({"activations": ["Sigmoid", "LeakyRelu"]}, r"LeakyRelu\(0.01\) does not exist"),
        ({"activations": ["Sigmoid", "Affine"]}, r"Affine\(\?, \?\) does not exist"),
        (
            {"activations": ["Sigmoid", "Affine"], "activation_alpha": [2.0],
             "activation_beta": [0.0]},
            r"Affine\(2, 0\) does not exist",
        ),
        ({"activations": ["Sigmoid", "ScaledTanh"]}, r"ScaledTanh\(\?, \?\) does not exist"),
        ({"activations": ["Sigmoid", "ThresholdedRelu"]}, "ThresholdedRelu"),
        ({"activations": ["Sigmoid", "Gelu"]}, "Gelu does not exist in ONNX"),
        (
            {"activations": ["HardSigmoid", "Tanh"], "activation_alpha": [float("inf")]},
            "alpha of recurrent_activation must be in",
        ),
        ({"activations": ["Sigmoid"]}, "it has 1 activations instead of 2"),
        (
            {"activations": ["Sigmoid", "HardSigmoid"], "activation_alpha": [0.0, 0.3]},
            "more values than activations use",
        ),
        (
            {"direction": "bidirectional", "activations": ["Sigmoid", "Tanh"] * 1},
            "2 activations instead of 4",
        ),
        (
            {"direction": "bidirectional",
             "activations": ["Sigmoid", "Tanh", "Sigmoid", "Relu"]},
            "its two directions have different activations",
        ),
        ({"direction": "sideways"}, "its direction is b'sideways'"),
        ({"clip": 0.0}, "its clip is 0.0"),
        ({"clip": float("nan")}, "its clip is nan"),
        ({"layout": 2}, "its layout is 2"),
        ({"hidden_size": 4}, "hidden_size is 4, but the weights are for 3"),
        ({"peephole": 1}, "the attribute peephole, which pygru does not know"),
    ],
)  # fmt: skip
def test_what_pygru_cannot_compute_is_refused_by_name(rng, attributes, reason):
    arrays = random_weights(rng, I, H, 2 if "direction" in attributes else 1)
    data = gru_model(arrays, **attributes)
    with pytest.raises(FormatError, match=f"the model: no GRU was found; 'gru': .*{reason}"):
        pygru.from_onnx(data)
    with pytest.raises(ValueError, match=f"'gru' is not a GRU that pygru can take: .*{reason}"):
        pygru.from_onnx(data, "gru")


@pytest.mark.parametrize(
    ("op_type", "domain", "reason"),
    [
        ("LSTM", "", "it is an LSTM"),
        ("RNN", "ai.onnx", "it is a plain RNN"),
        ("DynamicQuantizeLSTM", "com.microsoft", "the operator DynamicQuantizeLSTM of com.mi"),
        ("GRU", "my.own", "the operator GRU of my.own, which is none of ONNX itself"),
    ],
)
def test_other_recurrent_nodes_are_refused_by_name(op_type, domain, reason):
    other = node(op_type, ["X", "W", "R"], ["Y"], "other", domain)
    grus, refused = reading.contents(encode(model([other], {})))
    assert not grus
    assert list(refused) == ["other"]
    assert reason in refused["other"]


def test_a_recurrent_layer_that_is_written_out_in_a_loop_is_named():
    steps = [node("MatMul", ["h", "U"], ["a"]), node("Sigmoid", ["a"], ["z"])]
    loop = node("Loop", ["n", "c", "h0"], ["h_n"], "while", body=GraphProto(node=steps))
    with pytest.raises(FormatError, match="no GRU was found; 'while': its steps are single"):
        pygru.from_onnx(encode(model([loop], {})))
    loop = node("Loop", ["n", "c"], ["y"], "while", body=GraphProto(node=steps[:1]))
    assert not reading.contents(encode(model([loop], {}))).refused
    lstm = node("LSTM", ["x", "w", "r"], ["o"], "lstm")
    loop = node("Loop", ["n", "c"], ["y"], "while", body=GraphProto(node=[*steps, lstm]))
    assert list(reading.contents(encode(model([loop], {}))).refused) == ["lstm"]


def test_long_lists_of_names_are_shortened(rng):
    arrays = random_weights(rng, I, H)
    nodes = [node("GRU", ["X", "W", "R"], [f"Y{i}"]) for i in range(50)]
    with pytest.raises(ValueError, match=r"holds 50 GRUs; .*'Y39', and 10 more$"):
        pygru.from_onnx(encode(model(nodes, arrays)))
    nodes = [node("LSTM", ["X", "W", "R"], [f"Y{i}"]) for i in range(50)]
    with pytest.raises(FormatError, match=r"'Y39': it is an LSTM; and 10 more$"):
        pygru.from_onnx(encode(model(nodes, arrays)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"W": (1, 9, 2, 1)}, r"W must be \(1, 3H, I\), got \(1, 9, 2, 1\)"),
        ({"W": (2, 9, 2)}, r"W must be \(1, 3H, I\)"),
        ({"W": (1, 12, 2)}, r"input weights must be \(9, I\)"),
        ({"W": (1, 9, 0)}, "input_size must be"),
        ({"R": (1, 12, 3)}, "this is an LSTM"),
        ({"R": (1, 0, 0)}, r"R must be \(1, 3H, H\), got \(1, 0, 0\)"),
        ({"B": (1, 9)}, r"B must be \(1, 18\), got \(1, 9\)"),
        ({"B": (18,)}, r"B must be \(1, 6H\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(rng, change, reason):
    arrays = random_weights(rng, I, H)
    arrays |= {name: np.zeros(shape, np.float32) for name, shape in change.items()}
    with pytest.raises(FormatError, match=reason):
        pygru.from_onnx(gru_model(arrays))


def test_weights_that_the_file_does_not_hold_are_named(rng):
    arrays = random_weights(rng, I, H)
    weights = arrays.pop("W")
    with pytest.raises(FormatError, match="not hold its weights W: 'W' is an input of the gr"):
        pygru.from_onnx(gru_model(arrays, inputs=("X", "W")))
    with pytest.raises(FormatError, match="no value of the graph is called 'W'"):
        pygru.from_onnx(gru_model(arrays))
    gru = node("GRU", ["X", "W", "R", "B"], ["Y"])
    made = node("Relu", ["V"], ["W"])
    with pytest.raises(FormatError, match="weights W: it is computed by Relu"):
        pygru.from_onnx(encode(model([made, gru], arrays | {"V": weights})))
    with pytest.raises(FormatError, match="its input R is missing"):
        pygru.from_onnx(encode(model([node("GRU", ["X", "V"], ["Y"])], {"V": weights})))
    integers = arrays | {"W": np.zeros((1, 9, 2), np.int32)}
    with pytest.raises(FormatError, match="W has the type int32"):
        pygru.from_onnx(gru_model(integers))


# ---- which GRU ----------------------------------------------------------------------------


def two_grus(rng, name="second"):
    """A model with two layers and what makes them."""
    first, second = random_weights(rng, I, H), random_weights(rng, H, 5)
    arrays = {
        f"{key}{i}": a for i, layer in enumerate((first, second)) for key, a in layer.items()
    }
    nodes = [
        node("GRU", ["X", "W0", "R0", "B0"], ["Y0", "H0"]),
        node("Squeeze", ["Y0"], ["Z"], axes=[1]),
        node("GRU", ["Z", "W1", "R1", "B1"], ["", "H1"], name),
    ]
    return nodes, arrays


def test_a_gru_is_named_by_its_node_or_an_output(rng):
    data = encode(model(*two_grus(rng)))
    for name, hidden in (("Y0", H), ("H0", H), ("second", 5), ("H1", 5)):
        assert pygru.from_onnx(data, name).hidden_size == hidden
    with pytest.raises(ValueError, match="holds 2 GRUs; pass node= one of 'Y0', 'second'"):
        pygru.from_onnx(data)
    with pytest.raises(ValueError, match="holds no GRU named 'third'"):
        pygru.from_onnx(data, "third")
    with pytest.raises(TypeError, match="node must be a str, got int"):
        pygru.from_onnx(data, 1)


def test_a_name_of_a_node_counts_before_an_output(rng):
    data = encode(model(*two_grus(rng, "Y0")))
    assert [gru.name for gru in reading.contents(data).grus] == ["Y0", "Y0#2"]
    assert pygru.from_onnx(data, "Y0").hidden_size == H
    assert pygru.from_onnx(data, "H1").hidden_size == 5
    data = encode(model(*two_grus(rng, "H0")))  # the name of one, and an output of the other
    assert pygru.from_onnx(data, "H0").hidden_size == 5


def test_grus_within_nodes_are_found(rng):
    nodes, arrays = two_grus(rng)
    inner = GraphProto(node=nodes[:2], initializer=[tensor("W0", arrays.pop("W0"))])
    empty = GraphProto(node=[node("Identity", ["X"], ["Z"])])
    choice = node("If", ["X"], ["Z"], then_branch=inner, else_branch=empty)
    data = encode(model([choice, nodes[2]], arrays))
    assert [gru.name for gru in reading.contents(data).grus] == ["Y0", "second"]
    assert {"W0", "R0"} <= reading.arrays(data).keys()  # one inside and one outside


def test_grus_in_functions_are_found(rng):
    first, second = random_weights(rng, I, H), random_weights(rng, I, H)
    arrays = {
        f"{key}{i}": a for i, layer in enumerate((first, second)) for key, a in layer.items()
    }
    inner = node("GRU", ["x", "w", "r", "b", "", "h"], ["y"], "gru")
    inner.attribute = [
        AttributeProto(name="linear_before_reset", ref_attr_name="after", type=messages.INT),
        AttributeProto(name="direction", ref_attr_name="absent", type=messages.STRING),
    ]
    function = FunctionProto(
        domain="my", name="Layer", input=list("xwrbh"), output=["y"], attribute=["after"],
        node=[inner],
    )  # fmt: skip
    nodes = [
        node("Layer", ["X", "W0", "R0"], ["Y"], "one", "my"),
        node("Layer", ["Y", "W1", "R1", "B1"], ["Z"], "two", "my", after=1),
    ]
    data = encode(model(nodes, arrays, functions=[function]))
    one, two = reading.contents(data).grus
    assert (one.name, one.bias, one.variant.name) == ("one/gru", False, "cho")
    assert (two.name, two.bias, two.variant.name) == ("two/gru", True, "pytorch")
    np.testing.assert_array_equal(two.arrays["weight_ih_l0"][:H], arrays["W1"][0, H : 2 * H])
    function.node = [node("Layer", ["x"], ["y"], "again", "my")]
    with pytest.raises(FormatError, match="functions call each other more than"):
        reading.contents(encode(model(nodes, arrays, functions=[function])))


# ---- how weights are stored ---------------------------------------------------------------


def stored(array, how):
    """A tensor with the same numbers in one of the forms that ONNX has."""
    array = np.asarray(array)
    whole = tensor("", array)
    if how == "raw":
        return whole
    whole.raw_data = None
    field = {"float32": "float_data", "float64": "double_data"}.get(array.dtype.name)
    if array.dtype == np.float16:
        field, array = "int32_data", array.view(np.uint16)
    setattr(whole, field, array.reshape(-1))
    return whole


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("how", ["raw", "typed"])
@pytest.mark.parametrize("where", ["initializer", "Constant"])
def test_each_form_of_storage(rng, dtype, how, where):
    arrays = random_weights(rng, I, H, dtype=dtype)
    data = model([node("GRU", ["X", "W", "R", "B"], ["Y"])], {})
    for name, array in arrays.items():
        whole = stored(array, how)
        if where == "Constant":
            data.graph.node = [node("Constant", [], [name], value=whole), *data.graph.node]
        else:
            whole.name = name
            data.graph.initializer = [*data.graph.initializer, whole]
    gru = pygru.from_onnx(encode(data))
    assert gru.dtype == ("float64" if dtype == "float64" else "float32")
    rows = np.r_[H : 2 * H, :H, 2 * H : 3 * H]
    np.testing.assert_array_equal(gru.parameters["weight_ih_l0"], arrays["W"][0, rows])
    np.testing.assert_array_equal(gru.parameters["bias_hh_l0"], arrays["B"][0, 3 * H :][rows])
    dtypes = {name: array.dtype for name, array in reading.arrays(encode(data)).items()}
    assert dtypes == dict.fromkeys(arrays, np.dtype(dtype))


@pytest.mark.parametrize("how", ["raw", "typed"])
def test_bfloat16_becomes_float32_without_loss(how):
    bits = np.array([0x3F80, 0xC000, 0x3E80], np.uint16)  # 1, -2 and 1/4
    whole = TensorProto(name="A", dims=[3], data_type=16)
    if how == "raw":
        whole.raw_data = bits.astype("<u2").tobytes()
    else:
        whole.int32_data = bits
    data = ModelProto(graph=GraphProto(initializer=[whole]))
    array = reading.arrays(encode(data))["A"]
    assert array.dtype == np.float32
    assert array.tolist() == [1, -2, 0.25]


FOLDED = {
    "Transpose": lambda W: ([node("Transpose", ["V"], ["W"], perm=[0, 2, 1])],
                            {"V": W.transpose(0, 2, 1)}),
    "Transpose, no perm": lambda W: ([node("Transpose", ["V"], ["W"])], {"V": W.T}),
    "Unsqueeze, attribute": lambda W: ([node("Unsqueeze", ["V"], ["W"], axes=[0])],
                                       {"V": W[0]}),
    "Unsqueeze, input": lambda W: ([node("Unsqueeze", ["V", "A"], ["W"])],
                                   {"V": W[0], "A": np.array([-3])}),
    "Squeeze": lambda W: ([node("Squeeze", ["V", "A"], ["W"])],
                          {"V": W[:, None], "A": np.array([1])}),
    "Reshape": lambda W: ([node("Reshape", ["V", "A"], ["W"])],
                          {"V": W[0].reshape(3 * H, I), "A": np.array([1, -1, I])}),
    "Reshape with 0": lambda W: ([node("Reshape", ["V", "A"], ["W"])],
                                 {"V": W.reshape(1, -1), "A": np.array([0, 3 * H, -1])}),
    "Concat": lambda W: ([node("Concat", ["V1", "V2"], ["W"], axis=1)],
                         {"V1": W[:, :4], "V2": W[:, 4:]}),
    "Slice, inputs": lambda W: (
        [node("Slice", ["V", "S", "E", "A", "P"], ["W"])],
        {"V": W[:, ::-1].repeat(2, 1), "S": np.array([-1]), "E": np.array([-(2**63)]),
         "A": np.array([1]), "P": np.array([-2])}),
    "Slice, attributes": lambda W: (
        [node("Slice", ["V"], ["W"], starts=[3], ends=[2**31], axes=[1])],
        {"V": np.concatenate([W[:, :3], W], 1)}),
    "Split": lambda W: (
        [node("Split", ["V"], ["U", "W"], axis=1, split=[2, 3 * H])],
        {"V": np.concatenate([W[:, :2], W], 1)}),
    "Gather": lambda W: ([node("Gather", ["V", "A"], ["W"], axis=1)],
                         {"V": W[:, ::-1], "A": np.arange(3 * H)[::-1]}),
    "Cast": lambda W: ([node("Cast", ["V"], ["W"], to=1)], {"V": W.astype(np.float64)}),
    "Identity": lambda W: ([node("Identity", ["V"], ["U"]), node("Identity", ["U"], ["W"])],
                           {"V": W}),
    "Add": lambda W: ([node("Add", ["V", "U"], ["W"])], {"V": W / 2, "U": W / 2}),
    "Sub of Neg": lambda W: ([node("Neg", ["V"], ["U"]), node("Sub", ["V", "U"], ["W"])],
                             {"V": W / 2}),
    "Mul": lambda W: ([node("Mul", ["V", "A"], ["W"])], {"V": W / 2, "A": np.float32(2)}),
    "Expand": lambda W: ([node("Expand", ["A", "E"], ["Z"]), node("Add", ["V", "Z"], ["W"])],
                         {"V": W, "A": np.float32(0), "E": np.array([1, 3 * H, I])}),
    "ConstantOfShape": lambda W: (
        [node("Shape", ["V"], ["E"]), node("ConstantOfShape", ["E"], ["Z"]),
         node("Add", ["V", "Z"], ["W"])], {"V": W}),
    "DequantizeLinear": lambda W: (
        [node("DequantizeLinear", ["V", "S", "Z"], ["W"])],
        {"V": np.round(W * 32 + 3).astype(np.int8), "S": np.float32(1 / 32),
         "Z": np.int8(3)}),
    "DequantizeLinear per row": lambda W: (
        [node("DequantizeLinear", ["V", "S"], ["W"], axis=1)],
        {"V": np.round(W * 32).astype(np.int8), "S": np.full(3 * H, 1 / 32, np.float32)}),
}  # fmt: skip


@pytest.mark.parametrize("how", FOLDED)
def test_nodes_between_a_constant_and_the_gru_are_computed(rng, how):
    arrays = random_weights(rng, I, H)
    arrays["W"] = W = np.round(arrays["W"] * 32) / 32  # numbers of few bits
    nodes, constants = FOLDED[how](arrays.pop("W"))
    gru = node("GRU", ["X", "W", "R", "B"], ["Y"])
    gru = pygru.from_onnx(encode(model([gru, *nodes], arrays | constants)))
    rows = np.r_[H : 2 * H, :H, 2 * H : 3 * H]
    np.testing.assert_array_equal(gru.parameters["weight_ih_l0"], W[0, rows])


def test_arrays_are_all_constants_by_name_and_ones_own(rng):
    constants = [
        node("Constant", [], ["a"], value_float=0.5),
        node("Constant", [], ["b"], value_floats=[0.5, 1.0]),
        node("Constant", [], ["c"], value_int=3),
        node("Constant", [], ["d"], value_ints=[3, 4]),
        node("Constant", [], ["e"], value_string="text"),
        node("Constant", [], ["A"], value=tensor("other", np.zeros(2, np.int64))),
    ]
    data = model(constants, {"A": np.eye(2, dtype=np.float32)})
    text = TensorProto(name="text", dims=[1], data_type=8, string_data=[b"x"])
    data.graph.initializer = [*data.graph.initializer, text]
    data.graph.sparse_initializer = [SparseTensorProto(values=TensorProto(name="sparse"))]
    arrays = reading.arrays(encode(data))
    assert {name: array.tolist() for name, array in arrays.items()} == {
        "A": [[1, 0], [0, 1]], "a": 0.5, "b": [0.5, 1], "c": 3, "d": [3, 4], "A#2": [0, 0],
    }  # fmt: skip
    arrays["A"][0, 0] = 7  # not a view of the file


# ---- the argument -------------------------------------------------------------------------


def test_a_path_bytes_and_a_model_of_onnx_are_the_same(rng, tmp_path):
    data = gru_model(random_weights(rng, I, H))

    class ModelProto:
        """What pygru sees of onnx.ModelProto."""

        def SerializeToString(self):
            return data

    path = tmp_path / "ü.onnx"
    path.write_bytes(data)
    sources = [path, str(path), data, bytearray(data), memoryview(data), ModelProto()]
    states = {pygru.from_onnx(source).flat_parameters.tobytes() for source in sources}
    assert len(states) == 1
    for wrong in (None, 3, object(), {"W": 1}, [data]):
        with pytest.raises(TypeError, match="source must be a path, the bytes of an ONNX file"):
            pygru.from_onnx(wrong)
    with pytest.raises(FileNotFoundError):
        pygru.from_onnx(tmp_path / "missing.onnx")
    with pytest.raises(IsADirectoryError):
        pygru.from_onnx(tmp_path)
    path.write_bytes(data[:-1])
    with pytest.raises(FormatError, match=r"ü.onnx: not an ONNX file, or a damaged one: Mod"):
        pygru.from_onnx(path)
    path.write_bytes(encode(messages.ModelProto(ir_version=8)))
    with pytest.raises(FormatError, match=r"ü.onnx: not an ONNX model: it has no graph"):
        pygru.from_onnx(path)
    path.write_bytes(encode(model([node("Relu", ["X"], ["Y"])], {})))
    with pytest.raises(FormatError, match=r"ü.onnx: no GRU was found$"):
        pygru.from_onnx(path)


def test_options_that_the_file_does_not_decide(rng):
    data = gru_model(random_weights(rng, I, H), linear_before_reset=1)
    gru = pygru.from_onnx(data, dtype="float64", batch_first=True, dropout=0.5, seed=1)
    assert (gru.dtype, gru.batch_first, gru.dropout) == (np.float64, True, 0.5)
    with pytest.raises(ValueError, match="hidden_size=4 contradicts"):
        pygru.from_onnx(data, hidden_size=4)
    with pytest.raises(ValueError, match="variant='cho'"):
        pygru.from_onnx(data, variant="cho")
    with pytest.raises(TypeError, match="'hiden_size'; did you mean 'hidden_size'"):
        pygru.from_onnx(data, hiden_size=4)


def test_a_file_that_pytorch_has_exported_wrongly_is_not_silent(rng):
    arrays = random_weights(rng, I, H)
    parts = ([node("GRU", ["X", "W", "R", "B"], ["Y"], "gru")], arrays)
    data = encode(model(*parts, producer="pytorch"))
    with pytest.warns(pygru.DataWarning, match="gru: the file says linear_before_reset=0"):
        gru = pygru.from_onnx(data)
    assert gru.variant.name == "cho"
    assert "no such GRU" in reading.contents(data).grus[0].evidence["variant"]
    x = rng.normal(size=(T, B, I))
    gru = pygru.from_onnx(data, variant="pytorch", dtype="float64")  # and no warning
    assert_same(gru, x, onnx_gru(x, arrays, linear_before_reset=1))
    unnamed = pygru.Variant("after", "replace")
    gru = pygru.from_onnx(data, variant=unnamed, dtype="float64")
    assert_same(gru, x, onnx_gru(x, arrays, linear_before_reset=1))
    gru = pygru.from_onnx(data, variant="chung", dtype="float64")
    assert_same(gru, x, onnx_gru(x, arrays))


# ---- data in other files ------------------------------------------------------------------


def with_external_data(arrays, **entries):
    """A model whose W stands in another file."""
    data = model([node("GRU", ["X", "W", "R", "B"], ["Y"], "gru")], arrays)
    (whole,) = (each for each in data.graph.initializer if each.name == "W")
    whole.raw_data, whole.data_location = None, 1
    whole.external_data = [StringStringEntryProto(*each) for each in entries.items()]
    return encode(data)


@pytest.fixture
def folder(tmp_path, rng):
    """A folder with a file of weights in it, and one outside it."""
    inside = tmp_path / "model"
    (inside / "deeper").mkdir(parents=True)
    arrays = random_weights(rng, I, H)
    for name in ("model/data", "model/deeper/data", "secret"):
        (tmp_path / name).write_bytes(b"12345678" + arrays["W"].tobytes() + b"12345678")
    return inside, arrays


def linked(link, target):
    if os.name == "nt":
        pytest.skip("Windows lets only some users make links")
    link.symlink_to(target)


@pytest.mark.parametrize("location", ["data", "./data", "deeper/data", "link"])
def test_data_in_the_folder_of_the_model_is_read(folder, location):
    inside, arrays = folder
    if location == "link":
        linked(inside / "link", "deeper/data")
    path = inside / "model.onnx"
    for entries in ({"length": "72"}, {}):
        path.write_bytes(with_external_data(arrays, location=location, offset="8", **entries))
        gru = pygru.from_onnx(path)
        np.testing.assert_array_equal(gru.parameters["weight_ih_l0"][:H], arrays["W"][0, H:-H])
        np.testing.assert_array_equal(reading.arrays(path)["W"], arrays["W"])
    with pytest.raises(FormatError, match="give the path of the model instead of its bytes"):
        pygru.from_onnx(path.read_bytes())


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"location": "../secret"}, "not a file in the model's folder"),
        ({"location": "deeper/../../secret"}, "not a file in the model's folder"),
        ({"location": "..\\secret"}, "not a file in the model's folder"),
        ({"location": "{parent}/secret"}, "not a file in the model's folder"),
        ({"location": "C:\\secret"}, "not a file in the model's folder"),
        ({"location": "\\\\server\\secret"}, "not a file in the model's folder"),
        ({"location": "way/secret"}, "not a file in the model's folder"),
        ({"location": "way"}, "not a file in the model's folder"),
        ({"location": "secret link"}, "not a file in the model's folder"),
        ({"location": ""}, "not a file in the model's folder"),
        ({}, "not a file in the model's folder"),
        ({"location": "."}, "not a file in the model's folder"),
        ({"location": "data\0"}, "not a file in the model's folder"),
        ({"location": "deeper"}, "cannot be read"),
        ({"location": "missing"}, "cannot be read"),
        ({"location": "x" * 5000}, "cannot be read"),
        ({"location": "pipe"}, "must be a regular file"),
        ({"location": "data", "offset": "17"}, "needs 72 bytes, but .* at 17 of 'data'"),
        ({"location": "data", "offset": "9" * 19}, "needs 72 bytes"),
        ({"location": "data", "offset": "-8"}, "an offset or a length is '-8'"),
        ({"location": "data", "offset": "٨"}, "an offset or a length is '٨'"),
        ({"location": "data", "offset": "1" * 5000}, "an offset or a length is"),
        ({"location": "data", "length": "71"}, "needs 72 bytes, but its entry says 71"),
        ({"location": "data", "length": ""}, "an offset or a length is ''"),
    ],
)
def test_no_other_file_is_opened(folder, entries, reason):
    inside, arrays = folder
    if entries.get("location") in ("way", "way/secret", "secret link"):
        linked(inside / "way", "..")
        linked(inside / "secret link", "../secret")
    if entries.get("location") == "pipe":
        if os.name == "nt":
            pytest.skip("needs named pipes")
        os.mkfifo(inside / "pipe")
    path = inside / "model.onnx"
    entries = {name: text.format(parent=inside.parent) for name, text in entries.items()}
    path.write_bytes(with_external_data(arrays, **entries))
    with pytest.raises(FormatError, match=reason):
        pygru.from_onnx(path)
    with pytest.raises(FormatError, match=reason):
        reading.arrays(path)


def test_a_file_of_data_cannot_be_read_again_and_again(folder):
    inside, arrays = folder
    data = messages.decode(messages.ModelProto, with_external_data(arrays, location="data"))
    whole = data.graph.initializer[0]
    data.graph.initializer = [whole] * 8
    path = inside / "model.onnx"
    path.write_bytes(encode(data))
    with pytest.raises(FormatError, match="again and again"):
        reading.arrays(path)


# ---- files of pygru -----------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["chung", "cho", "pytorch", pygru.Variant("after")])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_what_to_onnx_writes_is_read_without_loss(tmp_path, variant, bidirectional):
    gru = pygru.GRU(I, H, bidirectional=bidirectional, variant=variant, learn_h0=True, seed=0)
    gru.flat_parameters = np.random.default_rng(1).normal(size=gru.flat_parameters.size)
    path = tmp_path / "model.onnx"
    pygru.to_onnx(gru, path)
    again = pygru.from_onnx(path, variant=variant)
    assert again.variant == gru.variant
    for name, array in again.parameters.items():
        np.testing.assert_array_equal(array, gru.parameters[name], err_msg=name)
