"""The operator GRU of ONNX in ONNX Runtime as a target, in float32, without gradients.

Each layer is a model with one node, because the operator has one layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.conformance.case import ActivationName, Arrays, Case

OPSET = 14

NAMES = {
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "relu": "Relu",
    "softsign": "Softsign",
    "linear": "Affine",
    "hard_sigmoid": "HardSigmoid",
}


def about() -> str:
    """Return what this is, with its version."""
    import onnxruntime

    return f"the operator GRU in ONNX Runtime {onnxruntime.__version__}, float32"


def run(case: Case) -> Arrays:
    """Return the outputs of a case."""
    if case.mask is not None:
        raise NotImplementedError("the operator GRU of ONNX has no masks")
    if case.update == "replace":
        raise NotImplementedError("the operator GRU of ONNX has an update gate that keeps")
    D = len(case.directions)
    x, states = case.x, []
    for layer in range(case.num_layers):
        h0 = None if case.h0 is None else case.h0[layer * D : (layer + 1) * D]
        output, last = _layer(case, layer, x, h0)
        T, _, B, H = output.shape
        x = output.transpose(0, 2, 1, 3).reshape(T, B, D * H)  # from (T, D, B, H)
        states.append(last)
    return {"output": x, "h_n": np.concatenate(states)}


def _layer(
    case: Case, layer: int, x: NDArray[Any], h0: NDArray[Any] | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return Y (T, D, B, H) and Y_h (D, B, H) of one layer."""
    import onnxruntime

    inputs = {"X": x, **_weights(case, layer)}
    if h0 is not None:
        inputs["initial_h"] = h0
    arrays = {name: array.astype(np.float32) for name, array in inputs.items()}
    if case.lengths is not None:
        arrays["sequence_lens"] = case.lengths.astype(np.int32)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        _model(case, arrays), options, providers=["CPUExecutionProvider"]
    )
    output, last = session.run(None, arrays)
    return output, last


def _weights(case: Case, layer: int) -> Arrays:
    """Return W (D, 3H, I), R (D, 3H, H) and, if there are biases, B (D, 6H)."""
    parts: dict[str, list[NDArray[Any]]] = {"W": [], "R": [], "B": []}
    for suffix in case.directions:
        W, R, *biases = case.weights(f"l{layer}{suffix}", gate_order="zrn")
        parts["W"].append(W)
        parts["R"].append(R)
        if biases:
            zeros = np.zeros_like(biases[0])
            parts["B"].append(np.concatenate([*biases, zeros][:2]))
    return {name: np.stack(found) for name, found in parts.items() if found}


def _activations(case: Case) -> dict[str, Any]:
    """Return the attributes for the activations of the gates and of the candidate."""
    chosen: list[ActivationName] = [case.recurrent_activation, case.activation]
    names, alphas, betas = [], [], []
    for each in chosen:
        name, alpha, beta = (each, 1.0, 0.0) if isinstance(each, str) else each
        names.append(NAMES[name])
        alphas.append(alpha)
        betas.append(beta)
    D = len(case.directions)
    found: dict[str, Any] = {"activations": names * D}
    if {"Affine", "HardSigmoid"} & set(names):
        # Each list has entries for those functions alone that have such a parameter.
        which = [i for i, name in enumerate(names) if name in ("Affine", "HardSigmoid")]
        found["activation_alpha"] = [alphas[i] for i in which] * D
        found["activation_beta"] = [betas[i] for i in which] * D
    return found


def _model(case: Case, arrays: Arrays) -> bytes:
    """Return a model with one node GRU, whose weights are inputs."""
    import onnx
    from onnx import TensorProto, helper

    order = ("X", "W", "R", "B", "sequence_lens", "initial_h")
    attributes: dict[str, Any] = {
        "hidden_size": case.hidden_size,
        "linear_before_reset": int(case.reset == "after"),
        "direction": {"both": "bidirectional"}.get(case.direction, case.direction),
        **_activations(case),
    }
    if case.clip is not None:
        attributes["clip"] = case.clip
    node = helper.make_node(
        "GRU", [name if name in arrays else "" for name in order], ["Y", "Y_h"], **attributes
    )
    kinds = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int32): TensorProto.INT32}
    inputs = [
        helper.make_tensor_value_info(name, kinds[array.dtype], array.shape)
        for name, array in arrays.items()
    ]
    (T, B, _), D, H = case.x.shape, len(case.directions), case.hidden_size
    shapes = {"Y": (T, D, B, H), "Y_h": (D, B, H)}
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    ]
    graph = helper.make_graph([node], "gru", inputs, outputs)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
