"""ONNX files, damaged in their bytes, and with other values in their messages."""

import dataclasses
import warnings

import numpy as np
from onnx_models import gru_model, model, node, random_weights, tensor

from fuzz.fuzzer import Fuzzer
from fuzz.mutations import mutant
from pygru import DataWarning
from pygru.io.onnx import messages, reading
from pygru.io.onnx.messages import FunctionProto, GraphProto, ModelProto, decode, encode

I, H = 2, 3


def read(data):
    """Everything that is done with a file."""
    grus, _ = reading.contents(data)
    for gru in grus:
        gru.build(dtype="float32")
    reading.arrays(data)


def originals():
    """Small models in which everything occurs that the reader looks at."""
    rng = np.random.default_rng(0)
    arrays = random_weights(rng, I, H, 2) | {"L": np.array([2], np.int32)}
    arrays["S"] = np.ones((1, 2, H), np.float32)
    attributes = {"direction": "bidirectional", "hidden_size": H, "linear_before_reset": 1}
    whole = gru_model(arrays, "L", "S", layout=1, **attributes)
    arrays = random_weights(rng, I, H)
    nodes = [
        node("Constant", [], ["A"], value=tensor("", arrays["W"][0].T)),
        node("Transpose", ["A"], ["C"], perm=[1, 0]),
        node("Slice", ["C", "n", "p"], ["D"]),
        node("Concat", ["D", "E"], ["F"], axis=0),
        node("Split", ["F"], ["F1", "F2"], axis=0, split=[4, 5]),
        node("Concat", ["F1", "F2"], ["G"], axis=0),
        node("Unsqueeze", ["G"], ["Wx"], axes=[0]),
        node("Reshape", ["R", "s"], ["Rx"]),
        node("ConstantOfShape", ["b"], ["Bx"]),
        node("Expand", ["z", "s"], ["Zx"]),
        node("Gather", ["Zx", "n"], ["Sx"], axis=1),
        node("DequantizeLinear", ["q", "k"], ["Q"]),
        node("GRU", ["x", "Wx", "Rx", "Bx", "", "Sx"], ["Y"], "gru"),
    ]
    constants = {
        "E": arrays["W"][0, 7:], "n": np.array([0]), "p": np.array([7]),
        "R": arrays["R"].reshape(-1), "s": np.array([1, 9, 3]), "b": np.array([1, 18]),
        "z": np.zeros(1, np.float32), "q": np.ones(3, np.int8), "k": np.ones((), np.float32),
    }  # fmt: skip
    body = FunctionProto(domain="f", name="F", input=["x"], output=["Y"], node=nodes)
    for name, array in constants.items():
        body.node = [node("Constant", [], [name], value=tensor("", array)), *body.node]
    inner = GraphProto(node=[node("F", ["X"], ["Z"], "call", "f")])
    choice = node("If", ["X"], ["Z"], then_branch=inner)
    return [whole, encode(model([choice], {}, functions=[body]))]


def a_part(message, rng):
    """A random message in a message, or itself."""
    while True:
        parts = [
            part
            for field in messages.FIELDS[type(message)]
            if field.kind == "message"
            for part in as_list(getattr(message, field.name))
        ]
        if not parts or rng.random() < 0.15:
            return message
        message = rng.choice(parts)


def as_list(value):
    return [] if value is None else [value] if dataclasses.is_dataclass(value) else list(value)


NUMBERS = [
    0, 1, 2, 3, 4, 9, 18, 100, 2**20, 2**31, 2**62, 2**63 - 1, -1, -2, -(2**31), -(2**63),
]  # fmt: skip
TEXTS = [
    "", "X", "W", "R", "B", "Y", "A", "G", "Wx", "GRU", "LSTM", "Concat", "Identity", "F", "f",
    "Expand", "ConstantOfShape", "Tile", "axis", "axes", "to", "value", "direction", "perm",
    "activations", "clip", "layout", "ai.onnx", "\0", "\U0001f600",
]  # fmt: skip


def structured(data, rng):
    """A model in which fields of some messages have other values of the right kind."""
    whole = decode(ModelProto, data)
    for _ in range(rng.choice([1, 1, 2, 4])):
        part = a_part(whole, rng)
        field = rng.choice(messages.FIELDS[type(part)])
        before = getattr(part, field.name)
        if field.kind == "message":
            value = rng.choice(as_list(before) or [field.message()])
        elif field.kind == "string":
            value = rng.choice(TEXTS)
        elif field.kind in ("bytes", "blob"):
            value = rng.choice([b"", b"Relu", b"reverse", bytes(4), b"\xff" * 72])
        elif field.kind in ("float", "double"):
            value = rng.choice([0.0, -1.0, float("nan"), float("inf"), 1e30, 0.5])
        else:
            value = rng.choice([n for n in NUMBERS if abs(n) < 2**31 or "64" in field.kind])
            value = max(value, 0) if field.kind == "uint64" else value
        if field.many:
            values = list(before)
            at = rng.randrange(len(values) + 1)
            values[at : at + rng.choice([0, 0, 1, 2])] = [value] * rng.choice([0, 1, 1, 3])
            value = values
        elif rng.random() < 0.2 and field.kind != "string":
            value = None
        setattr(part, field.name, value)
    return encode(whole)


class Onnx(Fuzzer):
    """ONNX files: the encoding, the graph, and what is computed of constants."""

    name = "onnx"
    cases = 2500
    memory = 20 * 2**20

    def __init__(self):
        self.files = originals()
        for data in self.files:
            self.run(data)

    def case(self, rng):
        change = rng.choice([mutant, structured])
        return change(rng.choice(self.files), rng)

    def run(self, case):
        with warnings.catch_warnings():
            # A file may give the lengths of the sequences, which pygru says it leaves out.
            warnings.filterwarnings("ignore", ".*the lengths of its sequences", DataWarning)
            read(case)
        return "read"
