"""One model in pygru, PyTorch and ONNX Runtime, for the application of ``examples/service``.

Each ``Served`` computes the same function on one thread, and each library gets a ragged batch
in its own best form. "nothing" answers without a model: what is left is the cost of HTTP.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import pygru
from pygru import GRU, Last, Linear, Sequential

sys.path.insert(0, str(Path(__file__).parent.parent / "examples" / "service"))

import app

#: Features, units, layers, and the longest sequence.
CELLS = [(8, 32, 1, 50), (16, 64, 1, 100), (16, 128, 2, 100)]
NAMES = ("pygru", "torch", "onnxruntime", "nothing")


def model_of(cell):
    """Return the model of a cell, with the equations that all three libraries compute."""
    features, units, layers, _ = cell
    gru = GRU(features, units, layers, batch_first=True, variant="pytorch")
    return Sequential(gru, Last(), Linear(units, 4), seed=0)


def served(name, cell):
    """Return what the application serves, computed by one of the libraries."""
    return app.Served(globals()[f"with_{name}"](model_of(cell)), cell[0], np.float32)


def equally_long(sequences):
    """Return whether the sequences need no padding."""
    return len({len(x) for x in sequences}) == 1


def with_pygru(model):
    """pygru, as the application itself uses it."""
    pygru.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        pygru.save(model, path)
        return app.load(path).predict


def with_torch(model):
    """PyTorch; sequences of different lengths are packed."""
    import torch

    torch.set_num_threads(1)
    gru = pygru.to_torch(model.layers[0])
    head = torch.nn.Linear(model.layers[2].input_size, 4)
    weights = model.layers[2].state_dict()
    head.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})

    @torch.inference_mode()
    def predict(sequences):
        if equally_long(sequences):
            x = torch.from_numpy(np.stack(sequences))
        else:
            tensors = [torch.from_numpy(x) for x in sequences]
            x = torch.nn.utils.rnn.pack_sequence(tensors, enforce_sorted=False)
        return head(gru(x)[1][-1]).numpy()

    return predict


def with_onnxruntime(model):
    """ONNX Runtime; sequences of different lengths have a file with lengths."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    sessions = {}
    with tempfile.TemporaryDirectory() as folder:
        for lengths in (False, True):
            path = Path(folder, f"{lengths}.onnx")
            pygru.to_onnx(model, path, lengths=lengths)
            sessions[lengths] = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )

    def predict(sequences):
        if equally_long(sequences):
            return sessions[False].run(["output"], {"x": np.stack(sequences)})[0]
        x, lengths = pygru.pad_sequences(sequences)
        return sessions[True].run(["output"], {"x": x, "lengths": lengths})[0]

    return predict


def with_nothing(model):
    """No model: all answers are 0."""
    return lambda sequences: np.zeros((len(sequences), 4), np.float32)
