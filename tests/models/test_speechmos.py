"""speechmos: estimates of the quality of speech, with two bidirectional GRUs in each model.

Licence of the package: MIT. Each graph computes the initial states, from an input or as zeros.
"""

import numpy as np
import pytest
from onnx_nodes import File, largest_difference, sound

import pygru

pytestmark = pytest.mark.slow

# The input and the hidden size of the GRUs, and where their initial states come from.
FILES = {
    "Run_1663829550_Stage_0.onnx": ([(128, 64), (128, 64)], "the input 'h0'"),
    "Run_1663915512_Stage_0.onnx": ([(128, 64), (128, 64)], "the input 'h0'"),
    "Run_1668423760_Stage_0.onnx": ([(192, 96), (192, 96)], "the input 'h0'"),
    "plcmos_v2.onnx": ([(128, 32), (64, 32)], "zeros"),
}


@pytest.fixture(scope="module", params=FILES)
def path(request, package):
    return package("speechmos").file(request.param)


def test_what_is_found(path):
    sizes, state = FILES[path.name]
    found = pygru.io.inspect(path)
    assert [(gru.input_size, gru.hidden_size) for gru in found] == sizes
    assert {gru.bidirectional for gru in found} == {True}
    assert {gru.variant.name for gru in found} == {"pytorch"}
    assert all(state in gru.evidence["h0"] for gru in found)
    with pytest.raises(ValueError, match="holds 2 GRUs; pass node="):
        pygru.from_onnx(path)


def test_each_node_alone(path):
    pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(0)
    for node in File(path).nodes:
        gru = pygru.from_onnx(path, node.output[0])
        x = rng.normal(size=(50, 3, gru.input_size)).astype(np.float32)
        h0 = rng.normal(size=(2, 3, gru.hidden_size)).astype(np.float32)
        given = {node.input[0]: x, node.input[5]: h0}
        results = File(path).alone(node).run(None, given)
        assert largest_difference(gru, x, h0, *results) < 1e-5


def test_each_node_in_its_graph(path):
    pytest.importorskip("onnxruntime")
    file = File(path)
    session = file.whole()
    rng = np.random.default_rng(0)
    if path.name == "plcmos_v2.onnx":
        given = {"degraded_audio": sound(200, 257)[None, None], "rater_embed": np.ones((1, 64))}
    else:
        hidden = FILES[path.name][0][0][1]
        features = np.stack([sound(200, 160) / 4] * 3) + 0.1 * rng.normal(size=(3, 200, 160))
        given = {"input": features[None], "h0": rng.normal(size=(4, 1, hidden))}
    given = {name: array.astype(np.float32) for name, array in given.items()}
    names = [each.name for each in session.get_outputs()]
    values = dict(zip(names, session.run(names, given), strict=True))
    for node in file.nodes:
        gru = pygru.from_onnx(path, node.name)
        x, h0, y, y_h = (values[name] for name in (node.input[0], node.input[5], *node.output))
        assert largest_difference(gru, x, h0, y, y_h) < 1e-5
