"""Runs a GRU of a file in the library that wrote it, and compares the result with pygru's.

This is the only module that imports a framework to read a file, because it asks that framework
what the file means. Nothing else in pygru uses it, except ``pygru convert --check``.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import pickle
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pygru.gru import GRU
from pygru.io.found import FoundGRU
from pygru.typing import Path

#: Runs the original on (B, T, I), and returns (B, T, D*H).
Original: TypeAlias = Callable[[Path, FoundGRU, NDArray[Any]], NDArray[Any]]

STEPS, SEQUENCES = 20, 3
#: A difference that rounding in float32 cannot explain, beside results of about 1.
TOLERANCE = 1e-4


class Unchecked(Exception):
    """The original cannot be run; the text says why."""


class Comparison(NamedTuple):
    """The library that ran the original, and the largest difference of an output."""

    library: str
    difference: float

    @property
    def agrees(self) -> bool:
        """Whether rounding explains the difference."""
        return self.difference <= TOLERANCE


def check(path: Path, found: FoundGRU, gru: GRU) -> Comparison:
    """Run the original of a GRU and ``gru`` on the same random sequences.

    Parameters
    ----------
    path : path-like
        The file.
    found : FoundGRU
        What was found in it.
    gru : GRU
        What was made of it.

    Raises
    ------
    Unchecked
        If no library can run the original here.
    """
    package, run = _original_of(found)
    x = np.random.default_rng(0).standard_normal((SEQUENCES, STEPS, found.input_size))
    x = x.astype(np.float32)
    try:
        version = importlib.metadata.version(package)
        expected = run(path, found, x)
    except (ImportError, importlib.metadata.PackageNotFoundError) as error:
        raise Unchecked(f"it needs the package {package}: {error}") from None
    except (Unchecked, MemoryError):
        raise
    except Exception as error:  # a framework that fails may raise anything
        raise Unchecked(
            f"{package} cannot run it: {type(error).__name__}: {str(error)[:200]}"
        ) from None
    output = np.asarray(gru.replace(batch_first=True, dtype=expected.dtype)(x)[0])
    return Comparison(f"{package} {version}", float(np.abs(output - expected).max()))


def _original_of(found: FoundGRU) -> tuple[str, Original]:
    """The package that runs the original, and the function that does it."""
    for beginning, original in ORIGINALS.items():
        if found.format.startswith(beginning):
            return original
    raise Unchecked(f"no other library runs the weights of this file ({found.format})")


# ---- PyTorch ---------------------------------------------------------------------------------


def _in_torch(path: Path, found: FoundGRU, x: NDArray[Any]) -> NDArray[Any]:
    """The output of ``torch.nn.GRU`` with the weights as PyTorch reads them, in float64."""
    import torch

    module = torch.nn.GRU(
        found.input_size,
        found.hidden_size,
        found.num_layers,
        found.bias,
        batch_first=True,
        bidirectional=found.bidirectional,
        dtype=torch.float64,
    )
    tensors = _tensors(path)
    names = module.state_dict()
    is_cell = not any(name.endswith("weight_hh_l0") for name in tensors)
    state = {
        name: _one(tensors, found.name, name.removesuffix("_l0") if is_cell else name)
        for name in names
    }
    module.load_state_dict(state)
    with torch.no_grad():
        result: NDArray[Any] = module(torch.from_numpy(x).double())[0].numpy()
    return result


def _tensors(path: Path) -> dict[str, Any]:
    """All tensors of a file by their dotted names, read by PyTorch or safetensors."""
    import torch

    with open(path, "rb") as file:
        is_safetensors = file.read(9)[8:] == b"{"
    if is_safetensors:
        import safetensors.torch

        return dict(safetensors.torch.load_file(path))
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        line = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines()[0][:200]
        raise Unchecked(f"torch does not load it without running its code: {line}") from None
    return _flat(loaded)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping):
        found: dict[str, Any] = {}
        for name, each in value.items():
            found |= _flat(each, f"{prefix}.{name}" if prefix else str(name))
        return found
    return {prefix: value} if hasattr(value, "detach") else {}


def _one(tensors: Mapping[str, Any], prefix: str, name: str) -> Any:
    """The tensor of one parameter, whatever else is before its prefix."""
    full = f"{prefix}.{name}" if prefix else name
    fitting = [key for key in tensors if key == full or key.endswith(f".{full}")]
    if len(fitting) != 1:
        raise Unchecked(f"torch finds {len(fitting)} tensors named {full}, and not one")
    return tensors[fitting[0]]


# ---- Keras -----------------------------------------------------------------------------------


def _in_keras(path: Path, found: FoundGRU, x: NDArray[Any]) -> NDArray[Any]:
    """The output of the layer in the model that Keras loads, at every step."""
    import keras

    model = keras.saving.load_model(path, compile=False)
    layer = _layer(model, found.name)
    if layer is None:
        raise Unchecked(f"the model that keras loads has no layer {found.name!r}")
    config = layer.get_config()
    inner = config["layer"]["config"] if "layer" in config else config
    inner["return_sequences"], inner["return_state"] = True, False
    inner["go_backwards"] = inner.get("go_backwards", False)
    if "backward_layer" in config:
        config["backward_layer"]["config"]["return_sequences"] = True
    same = type(layer).from_config(config)
    same.build((None, None, found.input_size))
    same.set_weights(layer.get_weights())
    output: NDArray[Any] = keras.ops.convert_to_numpy(same(x))
    return output[:, ::-1] if inner["go_backwards"] else output


def _layer(model: Any, name: str) -> Any:
    """The layer of this name, also in a model inside the model."""
    for each in getattr(model, "layers", ()):
        found = each if each.name == name else _layer(each, name)
        if found is not None:
            return found
    return None


# ---- ONNX ------------------------------------------------------------------------------------

FLOAT = 1  # TensorProto.data_type


def _in_onnx_runtime(path: Path, found: FoundGRU, x: NDArray[Any]) -> NDArray[Any]:
    """The output of the node alone, with the weights as they stand in the file."""
    import onnxruntime

    from pygru.io.onnx.messages import (
        GraphProto,
        ModelProto,
        TensorTypeProto,
        TypeProto,
        ValueInfoProto,
        decode,
        encode,
    )

    with open(path, "rb") as file:
        model = decode(ModelProto, file.read())
    graph = model.graph
    nodes = [node for node in graph.node if node.op_type == "GRU"] if graph else []
    node = next((n for n in nodes if found.name in (n.name, *n.output)), None)
    if graph is None or node is None:
        raise Unchecked("the node is not in the main graph")
    weights = [name for name in node.input[1:4] if name]
    stored = [tensor for tensor in graph.initializer if tensor.name in weights]
    made = [n for n in graph.node if n.op_type == "Constant" and n.output[0] in weights]
    if len(stored) + len(made) != len(weights):
        raise Unchecked("its weights are computed in the graph")
    # Lengths and an initial state are left out: they belong to a call.
    node = dataclasses.replace(node, input=[*node.input[:4]])
    inputs = [ValueInfoProto(node.input[0], TypeProto(TensorTypeProto(elem_type=FLOAT)))]
    alone = GraphProto(
        node=[*made, node],
        name="one",
        initializer=stored,
        input=inputs,
        output=[ValueInfoProto(name) for name in node.output if name],
    )
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        encode(dataclasses.replace(model, graph=alone)),
        settings,
        providers=["CPUExecutionProvider"],
    )
    if not node.output or not node.output[0]:
        raise Unchecked("the node has no output for every step")
    (y,) = session.run([node.output[0]], {node.input[0]: x.swapaxes(0, 1)})
    T, D, B, H = y.shape
    result: NDArray[Any] = y.transpose(2, 0, 1, 3).reshape(B, T, D * H)
    return result


#: By how the name of a format begins, the package that runs the original, and how.
ORIGINALS: Mapping[str, tuple[str, Original]] = {
    "PyTorch": ("torch", _in_torch),
    "safetensors": ("torch", _in_torch),
    "Keras": ("keras", _in_keras),
    "ONNX": ("onnxruntime", _in_onnx_runtime),
}
