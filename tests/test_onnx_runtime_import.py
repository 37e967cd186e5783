"""from_onnx against ONNX Runtime, on random nodes with every attribute, where it is installed.

The package ``onnx`` makes the models, so that nothing of pygru takes part in writing them.
"""

import itertools

import numpy as np
import pytest
from onnx_models import FUNCTIONS, as_pygru, onnx_gru, random_weights

import pygru
from pygru.io.onnx import reading

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

pytestmark = pytest.mark.slow

MODELS = 200
OPSETS = (7, 9, 11, 13, 14, 17, 21, 22, 23)
NEWEST = onnx.defs.onnx_opset_version()  # an older runtime refuses what comes after it

#: Activations, whether they have alpha and beta, and what makes both of a random number.
ACTIVATIONS = {
    "Sigmoid": None,
    "Tanh": None,
    "Relu": None,
    "Softsign": None,
    "HardSigmoid": lambda rng: (float(rng.uniform(0.1, 0.6)), float(rng.uniform(0.2, 0.8))),
    "Affine": lambda rng: (1.0, 0.0),
    "ScaledTanh": lambda rng: (1.0, 1.0),
    "LeakyRelu": lambda rng: (0.0,),
}
BOUNDED = ("Sigmoid", "HardSigmoid", "Tanh", "Softsign")


def random_activations(rng):
    """The attributes for two activations, and the functions themselves."""
    # Gates that are not bounded would make every rounding error grow from step to step.
    names = [str(rng.choice(list(each))) for each in (BOUNDED, ACTIVATIONS)]
    parameters = [ACTIVATIONS[name](rng) if ACTIVATIONS[name] else () for name in names]
    if names[0] == "HardSigmoid" and rng.random() < 0.3:
        parameters[0] = ()
        if ACTIVATIONS[names[1]]:
            names[1], parameters[1] = "Tanh", ()  # the lists are taken in turn
    return names, parameters


class Case:
    """A random node, its arrays and its inputs."""

    def __init__(self, number):
        self.rng = rng = np.random.default_rng(number)
        self.direction = str(rng.choice(["forward", "reverse", "bidirectional"]))
        self.D = 2 if self.direction == "bidirectional" else 1
        self.T, self.B, self.I, self.H = (int(n) for n in rng.integers(1, 7, 4))
        self.arrays = random_weights(rng, self.I, self.H, self.D, rng.random() < 0.7)
        self.x = rng.normal(size=(self.T, self.B, self.I)).astype(np.float32)
        self.lengths = self.h0 = None
        if rng.random() < 0.5:
            self.lengths = rng.integers(0, self.T, self.B, endpoint=True).astype(np.int32)
            self.lengths[rng.integers(self.B)] = self.T
        if rng.random() < 0.5:
            self.h0 = rng.normal(size=(self.D, self.B, self.H)).astype(np.float32)
        self.attributes = {"hidden_size": self.H}
        if self.direction != "forward" or rng.random() < 0.5:
            self.attributes["direction"] = self.direction
        if rng.random() < 0.7:
            self.attributes["linear_before_reset"] = int(rng.integers(2))
        if rng.random() < 0.6:
            names, parameters = random_activations(rng)
            self.attributes["activations"] = names * self.D
            for place, name in enumerate(("activation_alpha", "activation_beta")):
                values = [each[place] for each in parameters if len(each) > place] * self.D
                if values:
                    self.attributes[name] = values
        if rng.random() < 0.3:
            self.attributes["clip"] = float(rng.uniform(0.2, 2))

    def model(self):
        """The model as onnx writes it, with what is random about the form of a file."""
        rng = self.rng
        names = ["X", "W", "R", "B" if "B" in self.arrays else ""]
        names += ["L" if self.lengths is not None else "", "S" if self.h0 is not None else ""]
        while not names[-1]:
            names.pop()
        nodes, stored = [], []
        for name, array in self.arrays.items():
            if rng.random() < 0.3:
                value = numpy_helper.from_array(array)
                nodes.append(helper.make_node("Constant", [], [name], value=value))
            elif rng.random() < 0.5:
                stored.append(helper.make_tensor(name, 1, array.shape, array.ravel()))
            else:
                stored.append(numpy_helper.from_array(array, name))
        nodes.append(helper.make_node("GRU", names, ["Y", "Y_h"], "gru", **self.attributes))
        inputs = [helper.make_tensor_value_info("X", 1, self.x.shape)]
        for name, kind, array in (("L", 6, self.lengths), ("S", 1, self.h0)):
            if array is not None:
                inputs.append(helper.make_tensor_value_info(name, kind, array.shape))
        outputs = [helper.make_tensor_value_info(name, 1, None) for name in ("Y", "Y_h")]
        graph = helper.make_graph(nodes, "graph", inputs, outputs, stored)
        opset = helper.make_opsetid("", min(int(rng.choice(OPSETS)), NEWEST))
        return helper.make_model(graph, opset_imports=[opset], ir_version=8)

    def run(self, model):
        """Y and Y_h of ONNX Runtime."""
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        settings.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
        )
        given = {"X": self.x, "L": self.lengths, "S": self.h0}
        given = {name: array for name, array in given.items() if array is not None}
        return session.run(["Y", "Y_h"], given)


def test_random_nodes():
    seen = set()
    for number in range(MODELS):
        case = Case(number)
        model = case.model()
        y, y_h = case.run(model)
        gru = pygru.from_onnx(model if number % 2 else model.SerializeToString())
        output, h_n = gru(case.x, case.h0, lengths=case.lengths)
        message = f"case {number}: {case.attributes}"
        # A state of linear activations grows with each step, and so do rounding errors.
        scale = max(1, abs(y).max())
        np.testing.assert_allclose(
            output / scale, as_pygru(y) / scale, 0, 1e-5, err_msg=message
        )
        last = np.array(y_h)
        if case.lengths is not None:  # ONNX Runtime gives 0 where there is no step
            last[:, case.lengths == 0] = 0 if case.h0 is None else case.h0[:, case.lengths == 0]
        np.testing.assert_allclose(h_n / scale, last / scale, 0, 1e-5, err_msg=message)
        seen |= {*case.attributes, *case.attributes.get("activations", ()), case.direction}
    assert {"reverse", "bidirectional", "clip", "Softsign", "Affine", "HardSigmoid"} <= seen


def test_the_equations_of_the_quick_tests_are_those_of_onnx_runtime():
    options = itertools.product(["forward", "reverse", "bidirectional"], [0, 1], [None, 0.5])
    for number, (direction, after, clip) in enumerate(options):
        case = Case(number)
        case.direction, case.D = direction, 2 if direction == "bidirectional" else 1
        case.arrays = random_weights(case.rng, case.I, case.H, case.D)
        case.h0 = case.rng.normal(size=(case.D, case.B, case.H)).astype(np.float32)
        names = ["HardSigmoid", "Softsign"]
        case.attributes = {"direction": direction, "linear_before_reset": after}
        case.attributes |= {"activations": names * case.D, "hidden_size": case.H}
        case.attributes |= {"clip": clip} if clip else {}
        y, y_h = case.run(case.model())
        functions = [tuple(FUNCTIONS[name] for name in names)] * case.D
        settings = {"activations": functions, "clip": clip or np.inf}
        expected = onnx_gru(
            case.x, case.arrays, case.lengths, case.h0, direction, after, **settings
        )
        np.testing.assert_allclose(y, expected[0], 0, 1e-5)
        if case.lengths is None:
            np.testing.assert_allclose(y_h, expected[1], 0, 1e-5)


def test_a_model_that_onnx_has_loaded_with_its_data_in_another_file(tmp_path):
    case = Case(0)
    model = case.model()
    whole = model.SerializeToString()
    path = tmp_path / "model.onnx"
    settings = {"save_as_external_data": True, "size_threshold": 0, "location": "weights"}
    onnx.save_model(model, path, **settings)
    states = [pygru.from_onnx(each).flat_parameters for each in (path, onnx.load(path), whole)]
    for state in states:
        np.testing.assert_array_equal(state, states[0])
    names = {each.name for each in onnx.load(path).graph.initializer}
    assert names <= reading.arrays(path).keys()
