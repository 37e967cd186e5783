"""The fuzzers by their names; what one needs is imported when it is made."""

import importlib

from fuzz.fuzzer import Fuzzer

FUZZERS = {
    "models": "model_files.Models",
    "forecasters": "model_files.Forecasters",
    "checkpoints": "model_files.Checkpoints",
    "torch": "torch_files.Torch",
    "keras": "keras_files.Keras",
    "onnx": "onnx_files.Onnx",
    "npz": "array_files.Weights",
    "sequences": "array_files.Sequences",
    "states": "states.States",
    "gru": "gru_calls.Gru",
    "quantized": "gru_calls.Quantized",
    "commands": "commands.Commands",
    "arguments": "arguments.Arguments",
}


def make(name: str) -> Fuzzer:
    """Make a fuzzer, which reads or writes its good files."""
    module, _, cls = FUZZERS[name].partition(".")
    return getattr(importlib.import_module(f"fuzz.{module}"), cls)()
