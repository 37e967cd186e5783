"""pygru: gated recurrent units for NumPy, compiled, for inference and training.

>>> import numpy as np
>>> from pygru import GRU
>>> output, h_n = GRU(input_size=4, hidden_size=8, seed=0)(np.ones((10, 2, 4)))
>>> output.shape
(10, 2, 8)
"""

from typing import TYPE_CHECKING, Any

try:
    # First what may be missing or wrong on this machine: the compiled modules, the libraries
    # that they need, and environment variables.
    import pygru.core._core
    import pygru.core.backend
    import pygru.core.threads  # noqa: F401
except ImportError as error:
    from pygru.commands.beginning import end_command, explained

    end_command(error)
    if text := explained(error):
        raise ImportError(text) from None
    raise

from pygru import io
from pygru.concatenated import ConcatenatedWeights
from pygru.core.config import show_config
from pygru.core.sources import get_include, get_sources
from pygru.core.threads import get_num_threads, num_threads, set_num_threads
from pygru.errors import DataWarning, DivergenceError, FormatError, InternalError, RankError
from pygru.gates import Gates
from pygru.gru import GRU
from pygru.options import GRUOptions
from pygru.stream import Stream
from pygru.tape import Tape
from pygru.variant import Variant

if TYPE_CHECKING:
    from pygru import plot
    from pygru.data.padding import pad_sequences, unpad_sequences
    from pygru.io.from_arrays import from_arrays
    from pygru.io.keras.export import to_keras
    from pygru.io.keras.reading import from_keras
    from pygru.io.native import load, read_metadata, save
    from pygru.io.onnx.export import to_onnx
    from pygru.io.onnx.reading import from_onnx
    from pygru.io.torch.export import to_torch
    from pygru.io.torch.from_torch import from_torch
    from pygru.nn import losses
    from pygru.nn.activation import Activation
    from pygru.nn.attention import Attention
    from pygru.nn.attention_pooling import AttentionOverTime
    from pygru.nn.beam import Translation
    from pygru.nn.dropout import Dropout
    from pygru.nn.embedding import Embedding
    from pygru.nn.feature_scale import FeatureScale
    from pygru.nn.last import Last
    from pygru.nn.layer import Layer, RecurrentLayer
    from pygru.nn.layer_norm import LayerNorm
    from pygru.nn.linear import Linear
    from pygru.nn.masking import Masking
    from pygru.nn.pooling import MaxOverTime, MeanOverTime
    from pygru.nn.seq2seq import Seq2Seq
    from pygru.nn.sequential import Sequential
    from pygru.nn.sequential_stream import SequentialStream
    from pygru.nn.summary import Summary
    from pygru.prediction.chunked import predict
    from pygru.quantized.gru import QuantizedGRU
    from pygru.quantized.report import QuantizationReport
    from pygru.tests.run import test
    from pygru.train import schedules
    from pygru.train.callbacks import Callback, EarlyStopping, ReduceLROnPlateau, WeightAverage
    from pygru.train.clipping import clip_grad_norm
    from pygru.train.history import History
    from pygru.train.loggers import CSVLogger, ModelCheckpoint, TensorBoard
    from pygru.train.lr_finder import find_learning_rate
    from pygru.train.optimizers import SGD, Adam, AdamW, RMSprop
    from pygru.train.optuna import OptunaPruning
    from pygru.train.progress import ProgressBar
    from pygru.train.trainer import Trainer

# The home of each public name that is imported when it is used first: many programs need no
# more than a GRU, few read files of other libraries, and `import pygru` should be quick.
LAZY = {
    "Activation": "pygru.nn.activation",
    "Adam": "pygru.train.optimizers",
    "AdamW": "pygru.train.optimizers",
    "Attention": "pygru.nn.attention",
    "AttentionOverTime": "pygru.nn.attention_pooling",
    "CSVLogger": "pygru.train.loggers",
    "Callback": "pygru.train.callbacks",
    "Dropout": "pygru.nn.dropout",
    "EarlyStopping": "pygru.train.callbacks",
    "Embedding": "pygru.nn.embedding",
    "FeatureScale": "pygru.nn.feature_scale",
    "History": "pygru.train.history",
    "Last": "pygru.nn.last",
    "Layer": "pygru.nn.layer",
    "LayerNorm": "pygru.nn.layer_norm",
    "Linear": "pygru.nn.linear",
    "Masking": "pygru.nn.masking",
    "MaxOverTime": "pygru.nn.pooling",
    "MeanOverTime": "pygru.nn.pooling",
    "ModelCheckpoint": "pygru.train.loggers",
    "OptunaPruning": "pygru.train.optuna",
    "ProgressBar": "pygru.train.progress",
    "QuantizationReport": "pygru.quantized.report",
    "QuantizedGRU": "pygru.quantized.gru",
    "RMSprop": "pygru.train.optimizers",
    "RecurrentLayer": "pygru.nn.layer",
    "ReduceLROnPlateau": "pygru.train.callbacks",
    "SGD": "pygru.train.optimizers",
    "Seq2Seq": "pygru.nn.seq2seq",
    "Sequential": "pygru.nn.sequential",
    "SequentialStream": "pygru.nn.sequential_stream",
    "Summary": "pygru.nn.summary",
    "TensorBoard": "pygru.train.loggers",
    "Trainer": "pygru.train.trainer",
    "Translation": "pygru.nn.beam",
    "WeightAverage": "pygru.train.callbacks",
    "clip_grad_norm": "pygru.train.clipping",
    "find_learning_rate": "pygru.train.lr_finder",
    "from_arrays": "pygru.io.from_arrays",
    "from_keras": "pygru.io.keras.reading",
    "from_onnx": "pygru.io.onnx.reading",
    "from_torch": "pygru.io.torch.from_torch",
    "load": "pygru.io.native",
    "pad_sequences": "pygru.data.padding",
    "predict": "pygru.prediction.chunked",
    "read_metadata": "pygru.io.native",
    "save": "pygru.io.native",
    "test": "pygru.tests.run",
    "to_keras": "pygru.io.keras.export",
    "to_onnx": "pygru.io.onnx.export",
    "to_torch": "pygru.io.torch.export",
    "unpad_sequences": "pygru.data.padding",
}

# Submodules that are imported when they are used first.
LAZY_MODULES = {
    "conformance": "pygru.conformance",
    "data": "pygru.data",
    "losses": "pygru.nn.losses",
    "nn": "pygru.nn",
    "plot": "pygru.plot",
    "quantized": "pygru.quantized",
    "schedules": "pygru.train.schedules",
    "train": "pygru.train",
}

__all__ = [
    "GRU",
    "SGD",
    "Activation",
    "Adam",
    "AdamW",
    "Attention",
    "AttentionOverTime",
    "CSVLogger",
    "Callback",
    "ConcatenatedWeights",
    "DataWarning",
    "DivergenceError",
    "Dropout",
    "EarlyStopping",
    "Embedding",
    "FeatureScale",
    "FormatError",
    "GRUOptions",
    "Gates",
    "History",
    "InternalError",
    "Last",
    "Layer",
    "LayerNorm",
    "Linear",
    "Masking",
    "MaxOverTime",
    "MeanOverTime",
    "ModelCheckpoint",
    "OptunaPruning",
    "ProgressBar",
    "QuantizationReport",
    "QuantizedGRU",
    "RMSprop",
    "RankError",
    "RecurrentLayer",
    "ReduceLROnPlateau",
    "Seq2Seq",
    "Sequential",
    "SequentialStream",
    "Stream",
    "Summary",
    "Tape",
    "TensorBoard",
    "Trainer",
    "Translation",
    "Variant",
    "WeightAverage",
    "clip_grad_norm",
    "find_learning_rate",
    "from_arrays",
    "from_keras",
    "from_onnx",
    "from_torch",
    "get_include",
    "get_num_threads",
    "get_sources",
    "io",
    "load",
    "losses",
    "num_threads",
    "pad_sequences",
    "plot",
    "predict",
    "read_metadata",
    "save",
    "schedules",
    "set_num_threads",
    "show_config",
    "test",
    "to_keras",
    "to_onnx",
    "to_torch",
    "unpad_sequences",
]


def __getattr__(name: str) -> Any:
    """A lazy name, or the version: what takes a while is looked up when it is used."""
    if name in LAZY or name in LAZY_MODULES:
        import importlib

        if name in LAZY_MODULES:
            value: Any = importlib.import_module(LAZY_MODULES[name])
        else:
            value = getattr(importlib.import_module(LAZY[name]), name)
        globals()[name] = value  # so that the next look is an ordinary one
        return value
    if name == "__version__":
        from importlib import metadata

        return metadata.version("pygru")
    from pygru.core.hints import unknown_attribute

    raise AttributeError(unknown_attribute(name), name=name)


def __dir__() -> list[str]:
    """The public names, for completion at a prompt."""
    return sorted([*__all__, "__all__", "__doc__", "__file__", "__name__", "__version__"])
