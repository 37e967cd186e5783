"""The examples of the operator GRU that ONNX itself ships, with their inputs and outputs.

They are in the Debian package libonnx-testdata (Apache 2.0), and in the wheels of ``onnx`` up
to 1.22.0. The weights are inputs of these models, so a test makes them constants first.
"""

import numpy as np
import pytest

import pygru
from pygru.io.onnx.messages import ModelProto, TensorProto, decode, encode
from pygru.io.onnx.tensors import DataFiles, to_array

pytestmark = pytest.mark.slow

CASES = ["batchwise", "defaults", "seq_length", "with_initial_bias"]


def read(path):
    return to_array(decode(TensorProto, path.read_bytes()), DataFiles(None))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["libonnx-testdata", "onnx"])
def test_the_examples_of_onnx(package, name, case):
    files = package(name)
    folder = f"data/node/test_gru_{case}"
    path = files.file(f"{folder}/model.onnx")
    refused = pygru.io.inspect(path).refused
    assert all("'W' is an input of the graph" in reason for reason in refused.values())

    model = decode(ModelProto, path.read_bytes())
    (node,) = model.graph.node
    data = f"{folder}/test_data_set_0"
    inputs = [files.file(f"{data}/input_{i}.pb") for i in range(len(node.input))]
    stored = [decode(TensorProto, each.read_bytes()) for each in inputs]
    model.graph.initializer = [each for each in stored if each.name != "X"]
    model.graph.input = model.graph.input[:1]
    gru = pygru.from_onnx(encode(model))
    assert gru.variant.name == "cho"
    assert gru.batch_first == (case == "batchwise")
    output, h_n = gru(read(inputs[0]))
    named = [output_name for output_name in node.output if output_name]
    expected = {each: read(files.file(f"{data}/output_{i}.pb")) for i, each in enumerate(named)}
    if gru.batch_first:  # Y is (B, T, D, H) and Y_h is (B, D, H) there
        np.testing.assert_allclose(output[:, :, None], expected["Y"], atol=1e-6)
        h_n = h_n.swapaxes(0, 1)
    np.testing.assert_allclose(h_n, expected["Y_h"], atol=1e-6)
