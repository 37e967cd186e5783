"""The GRU nodes of an ONNX file in ONNX Runtime: alone with their weights, and in their graph.

The functions here cut a file into pieces, but leave nodes and weights as they are in it.
"""

import dataclasses

import numpy as np

from pygru.io.onnx.messages import (
    GraphProto,
    ModelProto,
    TensorTypeProto,
    TypeProto,
    ValueInfoProto,
    decode,
    encode,
)

FLOAT, INT32 = 1, 6  # TensorProto.data_type


def session(model):
    """A session of ONNX Runtime with one thread."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(encode(model), settings, providers=providers)


class File:
    """An ONNX file and its GRU nodes."""

    def __init__(self, path):
        self.model = decode(ModelProto, path.read_bytes())
        self.nodes = [node for node in self.model.graph.node if node.op_type == "GRU"]

    def alone(self, node):
        """A session of a node with its weights, whose other inputs are those of the graph."""
        names = dict(
            zip(("X", "W", "R", "B", "lengths", "initial_h"), node.input, strict=False)
        )
        weights = [names[name] for name in ("W", "R", "B") if names.get(name)]
        stored = [each for each in self.model.graph.initializer if each.name in weights]
        types = {"X": FLOAT, "lengths": INT32, "initial_h": FLOAT}
        inputs = [
            ValueInfoProto(name, TypeProto(TensorTypeProto(elem_type=types[place])))
            for place, name in names.items()
            if name and name not in weights
        ]
        outputs = [ValueInfoProto(name) for name in node.output if name]
        graph = GraphProto([node], "one", stored, "", inputs, outputs)
        return session(dataclasses.replace(self.model, graph=graph))

    def whole(self):
        """A session of the whole graph, which also gives what goes in and out of each GRU."""
        names = [each.name for each in self.model.graph.output]
        for node in self.nodes:
            for name in (node.input[0], node.input[5], *node.output):
                if name and name not in names:
                    names.append(name)
        outputs = [ValueInfoProto(name) for name in names]
        graph = dataclasses.replace(self.model.graph, output=outputs)
        return session(dataclasses.replace(self.model, graph=graph))


def largest_difference(gru, x, h0, y, y_h):
    """Compare a GRU with Y (T, D, B, H) and Y_h (D, B, H) of ONNX."""
    output, h_n = gru(x, h0)
    T, D, B, H = y.shape
    expected = y.swapaxes(1, 2).reshape(T, B, D * H)
    return max(abs(output - expected).max(), abs(h_n - y_h).max())


def sound(frames, bins):
    """Log spectra like those of speech, (frames, bins): harmonics with pauses, and noise."""
    rng = np.random.default_rng(0)
    time = np.arange(frames * 160 + 512) / 16000
    pitch = 120 + 30 * np.sin(2 * np.pi * 1.5 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / 16000
    voice = sum(np.sin(k * phase) / k for k in range(1, 20))
    signal = voice * (np.sin(2 * np.pi * 2 * time) > -0.3) + 0.01 * rng.normal(size=len(time))
    windows = np.lib.stride_tricks.sliding_window_view(signal, 512)[::160][:frames]
    power = abs(np.fft.rfft(windows * np.hanning(512))) ** 2
    places = np.linspace(0, power.shape[1] - 1, bins)
    return np.stack([np.interp(places, np.arange(257), row) for row in np.log10(power + 1e-6)])
