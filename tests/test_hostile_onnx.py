"""ONNX files that somebody made on purpose, and thousands that chance has damaged."""

import random
import tracemalloc

import numpy as np
import pytest
from fuzz.onnx_files import originals, read
from onnx_models import model, node, random_weights

import pygru
from pygru import FormatError
from pygru.io.onnx import messages, reading, wire
from pygru.io.onnx.messages import (
    FunctionProto,
    ModelProto,
    decode,
    encode,
)

I, H = 2, 3
MEBIBYTE = 2**20


@pytest.mark.filterwarnings("ignore:gru. the lengths of its sequences:pygru.DataWarning")
def test_the_originals_are_read():
    for data in originals():
        assert len(reading.contents(data).grus) == 1
        assert pygru.from_onnx(data).hidden_size == H


# ---- files that are made to hurt -----------------------------------------------------------


def refused_within(memory, data, match):
    """Read a file, which must be refused, with Python's own memory limited."""
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=match):
            read(data)
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()


def with_weights_from(nodes, arrays):
    """A model whose W is made by nodes."""
    weights = random_weights(np.random.default_rng(0), I, H)
    gru = node("GRU", ["X", "W", "R", "B"], ["Y"], "gru")
    return encode(model([*nodes, gru], arrays | {name: weights[name] for name in "RB"}))


def reason(data):
    """Why the GRU of a model is refused."""
    grus, refused = reading.contents(data)
    assert not grus
    return refused["gru"]


def test_constants_that_would_be_huge_are_not_made():
    for shape in ([2**31, 2**31], [10**9], [2**20, 2**20, 2**20]):
        size = np.array(shape)
        nodes = [node("ConstantOfShape", ["E"], ["W"])]
        refused_within(MEBIBYTE, with_weights_from(nodes, {"E": size}), "too much memory")
        nodes = [node("Expand", ["A", "E"], ["W"])]
        arrays = {"E": size, "A": np.float32(1)}
        refused_within(MEBIBYTE, with_weights_from(nodes, arrays), "too much memory|cannot be")
    nodes = [node("Gather", ["A", "E"], ["W"])]
    arrays = {"A": np.ones((2, 2**12), np.float32), "E": np.zeros(2**14, np.int64)}
    refused_within(MEBIBYTE, with_weights_from(nodes, arrays), "too much memory")


def test_a_value_that_is_doubled_again_and_again():
    nodes = [node("Concat", [f"W{i}", f"W{i}"], [f"W{i + 1}"], axis=0) for i in range(50)]
    nodes[-1].output = ["W"]
    data = with_weights_from(nodes, {"W0": np.ones((1, 9, 2), np.float32)})
    refused_within(32 * MEBIBYTE, data, "too much memory")


def test_circles_and_long_chains_of_nodes():
    circle = [node("Identity", ["V"], ["W"]), node("Identity", ["W"], ["V"])]
    assert "more than 64 nodes" in reason(with_weights_from(circle, {}))
    itself = [node("Concat", ["W", "W"], ["W"], axis=0)]
    assert "more than 64 nodes" in reason(with_weights_from(itself, {}))
    chain = [node("Identity", [f"W{i}"], [f"W{i + 1}"]) for i in range(10_000)]
    chain[-1].output = ["W"]
    data = with_weights_from(chain, {"W0": np.ones((1, 9, 2), np.float32)})
    assert "more than 64 nodes" in reason(data)


def test_two_values_of_one_name_are_ambiguous():
    same = {"W": np.ones((1, 9, 2), np.float32)}
    data = with_weights_from([node("Identity", ["R"], ["W"])], same)
    with pytest.raises(FormatError, match="two values of a graph are called 'W'"):
        read(data)
    whole = decode(ModelProto, with_weights_from([], same))
    whole.graph.initializer = [*whole.graph.initializer, whole.graph.initializer[0]]
    with pytest.raises(FormatError, match="two values of a graph are called 'W'"):
        read(encode(whole))
    whole.graph.node = []  # where nothing uses it, nothing is ambiguous
    assert list(reading.arrays(encode(whole))) == ["W", "R", "B", "W#2"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"dims": [1, 9, 3]},
            r"W has the shape \(1, 9, 3\) and the type float32, but 72 bytes",
        ),
        ({"dims": [-1, -9, 2]}, "W has an impossible shape"),
        ({"dims": [2**62, 2**62, 2]}, "W has an impossible shape"),
        ({"dims": [0, 2**62, 2**62]}, "W has an impossible shape"),
        ({"dims": [2**32, 2**32]}, "W has an impossible shape"),
        ({"dims": [1] * 33}, "W has an impossible shape"),
        ({"dims": [2**40]}, "but 72 bytes of data"),
        ({"data_type": 8}, "W holds text, which pygru does not read"),
        ({"data_type": 22}, "W holds int4"),
        ({"data_type": 77}, "W holds type 77"),
        ({"data_type": None}, "W holds type 0"),
        ({"raw_data": None}, r"W has the shape \(1, 9, 2\), but 0 numbers in float_data"),
        ({"raw_data": None, "float_data": [1.0] * 17}, "but 17 numbers in float_data"),
        ({"raw_data": None, "double_data": [1.0] * 18}, "but 0 numbers in float_data"),
        ({"raw_data": b""}, "but 0 bytes of data"),
    ],
)
def test_tensors_whose_numbers_do_not_fit(change, message):
    data = decode(ModelProto, with_weights_from([], {"W": np.ones((1, 9, 2), np.float32)}))
    for name, value in change.items():
        setattr(data.graph.initializer[0], name, value)
    with pytest.raises(FormatError, match=message):
        pygru.from_onnx(encode(data))


def test_millions_of_tiny_things(monkeypatch):
    count = 5000
    read(encode(model([node("Relu", ["X"], ["Y"])], {})))
    for field in (b"\x0a\0", b"\x2a\0", b"\x5a\0", b"\x0a\2\x12\0"):
        graph = field * count
        read(b"\x3a" + wire.varint(len(graph)) + graph)
    monkeypatch.setattr(messages, "MOST_MESSAGES", count - 1)
    with pytest.raises(FormatError, match="messages"):
        read(b"\x3a" + wire.varint(len(graph)) + graph)


def test_functions_that_call_each_other_more_and_more(monkeypatch):
    monkeypatch.setattr(reading, "MOST_NODES", 1000)
    functions = [
        FunctionProto(domain="f", name=f"F{i}", node=[node(f"F{i + 1}", [], [], "", "f")] * 2)
        for i in range(30)
    ]
    data = encode(model([node("F0", ["X"], ["Y"], "", "f")], {}, functions=functions))
    with pytest.raises(FormatError, match="runs more than 1000 nodes"):
        read(data)


def test_many_grus_with_the_same_weights_take_no_more_than_a_multiple_of_the_file():
    arrays = random_weights(np.random.default_rng(0), 100, 200)
    nodes = [node("GRU", ["X", "W", "R", "B"], [f"Y{i}"]) for i in range(1000)]
    refused_within(40 * MEBIBYTE, encode(model(nodes, arrays)), "too much memory")


def test_every_prefix_of_a_file_is_refused_or_read():
    (data, _) = originals()
    for end in range(len(data)):
        with pytest.raises(FormatError):
            pygru.from_onnx(data[:end])


def test_files_of_other_kinds(tmp_path):
    path = tmp_path / "model.onnx"
    pygru.save(pygru.GRU(2, 3), path)
    rng = random.Random(0)
    texts = [
        b"",
        b"x",
        b"PK\x03\x04" + bytes(100),
        b"\x80\x04.",
        b"\x89HDF\r\n\x1a\n",
        b"{}" * 50,
    ]
    for data in [path.read_bytes(), *texts, *(rng.randbytes(100) for _ in range(100))]:
        path.write_bytes(data)
        with pytest.raises(FormatError, match=r"model.onnx: not an ONNX (file|model)"):
            pygru.from_onnx(path)
