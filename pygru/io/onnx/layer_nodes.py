"""The layers beside the GRU as nodes, in inference.

Each function adds one layer of a ``Sequential`` to a graph. A layer that joins the steps of a
sequence must leave out those that do not count. A layer that computes each step alone may
return anything there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from pygru.io.onnx.graph import Graph
from pygru.io.onnx.values import Steps, Value
from pygru.nn.activation import Activation
from pygru.nn.attention_pooling import AttentionOverTime
from pygru.nn.dropout import Dropout
from pygru.nn.embedding import Embedding
from pygru.nn.feature_scale import FeatureScale
from pygru.nn.last import Last
from pygru.nn.layer_norm import LayerNorm
from pygru.nn.linear import Linear
from pygru.nn.masking import Masking
from pygru.nn.pooling import MaxOverTime, MeanOverTime

#: The version of the operators that has LayerNormalization.
LAYER_NORMALIZATION = 17


def embedding(graph: Graph, layer: Embedding, x: Value, steps: Steps) -> Value:
    """Look up (B, T) or (B,) tokens."""
    table = layer.parameters["weight"].astype(x.dtype)
    if layer.padding_idx is not None:
        table[layer.padding_idx] = 0
    tokens = x.name
    if steps.lengths is not None and x.has_steps:  # after its end, there may be anything
        tokens = graph.node("Where", steps.valid, tokens, graph.constant(0))
    return x._replace(name=graph.node("Gather", graph.constant(table, "weight"), tokens))


def linear(graph: Graph, layer: Linear, x: Value, steps: Steps) -> Value:
    """Multiply the last axis by the weights, and add the bias."""
    return x._replace(name=_affine(graph, layer, x))


def _affine(graph: Graph, layer: Linear | AttentionOverTime, x: Value) -> str:
    weight = layer.parameters["weight"].astype(x.dtype)
    y = graph.node("MatMul", x.name, graph.constant(weight.T, "weight"))
    if "bias" in layer.parameters:
        bias = layer.parameters["bias"].astype(x.dtype)
        y = graph.node("Add", y, graph.constant(bias, "bias"))
    return y


def layer_norm(graph: Graph, layer: LayerNorm, x: Value, steps: Steps) -> Value:
    """Normalise the features of each step."""
    if graph.opset < LAYER_NORMALIZATION:
        raise ValueError(
            f"opset={graph.opset} has no layer normalisation; it needs "
            f"opset={LAYER_NORMALIZATION} or a later one"
        )
    names = [
        graph.constant(layer.parameters[name].astype(x.dtype), name)
        for name in ("weight", "bias")
    ]
    y = graph.node("LayerNormalization", x.name, *names, axis=-1, epsilon=layer.eps)
    return x._replace(name=y)


def feature_scale(graph: Graph, layer: FeatureScale, x: Value, steps: Steps) -> Value:
    """Scale and shift each feature."""
    weight, bias = (
        graph.constant(layer.parameters[name].astype(x.dtype), name)
        for name in ("weight", "bias")
    )
    y = graph.node("Add", graph.node("Mul", x.name, weight), bias)
    return x._replace(name=y)


def dropout(graph: Graph, layer: Dropout, x: Value, steps: Steps) -> Value:
    """Pass x on: dropout acts in training only."""
    return x


#: The activations that are one node, with its attributes.
OPERATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "tanh": ("Tanh", {}),
    "sigmoid": ("Sigmoid", {}),
    "softmax": ("Softmax", {"axis": -1}),
    "softplus": ("Softplus", {}),
}


def activation(graph: Graph, layer: Activation, x: Value, steps: Steps) -> Value:
    """Apply a function to each number, or to the features of each step."""
    if layer.activation == "gelu":
        y = _gelu(graph, x)
    else:
        op, attributes = OPERATORS[layer.activation]
        y = graph.node(op, x.name, **attributes)
    return x._replace(name=y)


def _gelu(graph: Graph, x: Value) -> str:
    """x Phi(x) with Phi(x) = (1 + erf(x / sqrt(2))) / 2."""

    def number(value: float) -> str:
        return graph.constant(x.dtype.type(value))

    scaled = graph.node("Mul", x.name, number(1 / math.sqrt(2)))
    shifted = graph.node("Add", graph.node("Erf", scaled), number(1))
    return graph.node("Mul", graph.node("Mul", x.name, number(0.5)), shifted)


# ---- one vector per sequence ---------------------------------------------------------------


def last(graph: Graph, layer: Last, x: Value, steps: Steps) -> Value:
    """Take the last step that counts, and of a reverse direction the first one."""
    if layer.reverse:
        return _of_sequences(graph, x, steps, _first_step(graph, x.name, steps))
    if not layer.bidirectional:
        return _of_sequences(graph, x, steps, _last_step(graph, x.name, steps))
    if x.features is None:
        raise ValueError("no layer before it says how many features it halves")
    half = x.features // 2
    sizes = graph.constant([half, x.features - half])
    halves = graph.nodes("Split", x.name, sizes, outputs=["_1", "_2"], axis=-1)
    both = _last_step(graph, halves[0], steps), _first_step(graph, halves[1], steps)
    if layer.merge == "concat":
        y = graph.node("Concat", *both, axis=-1)
    else:
        y = graph.node("Mul" if layer.merge == "mul" else "Add", *both)
    if layer.merge == "ave":
        y = graph.node("Mul", y, graph.constant(np.array(0.5, x.dtype)))
    return _of_sequences(graph, x, steps, y)


def _first_step(graph: Graph, x: str, steps: Steps) -> str:
    if steps.mask is None:
        return graph.node("Gather", x, graph.constant(0), axis=1)
    return graph.node("GatherND", x, steps.first_place, batch_dims=1)


def _last_step(graph: Graph, x: str, steps: Steps) -> str:
    if steps.all_count:
        return graph.node("Gather", x, graph.constant(-1), axis=1)
    return graph.node("GatherND", x, steps.last_place, batch_dims=1)


def mean_over_time(graph: Graph, layer: MeanOverTime, x: Value, steps: Steps) -> Value:
    """Take the mean over the steps that count."""
    if steps.all_count:
        return _of_sequences(graph, x, steps, graph.reduce("ReduceMean", x.name, 1))
    total = graph.reduce("ReduceSum", _with_zeros(graph, x, steps), 1)
    counts = graph.node("Max", steps.counts, graph.constant(1))
    mean = graph.node("Div", total, graph.cast(counts, x.dtype))
    return _of_sequences(graph, x, steps, mean)


def max_over_time(graph: Graph, layer: MaxOverTime, x: Value, steps: Steps) -> Value:
    """Take the largest value of each feature over the steps that count."""
    shown = x.name
    if not steps.all_count:
        shown = graph.node("Where", steps.counted_features, shown, _least(graph, x))
    return _of_sequences(graph, x, steps, graph.reduce("ReduceMax", shown, 1))


def attention_over_time(
    graph: Graph, layer: AttentionOverTime, x: Value, steps: Steps
) -> Value:
    """Take the mean that is weighted by learned scores."""
    hidden = graph.node("Tanh", _affine(graph, layer, x))
    context = layer.parameters["weight_score"].astype(x.dtype).T
    scores = graph.node("MatMul", hidden, graph.constant(context, "weight_score"))
    values = x.name
    if not steps.all_count:
        scores = graph.node("Where", steps.counted_features, scores, _least(graph, x))
        values = _with_zeros(graph, x, steps)  # because 0 times NaN is NaN
    weighted = graph.node("Mul", graph.node("Softmax", scores, axis=1), values)
    return _of_sequences(graph, x, steps, graph.reduce("ReduceSum", weighted, 1))


def _of_sequences(graph: Graph, x: Value, steps: Steps, y: str) -> Value:
    """One vector per sequence: zeros for a sequence without steps."""
    if not steps.all_count:
        y = graph.node("Where", steps.ran, y, graph.constant(x.dtype.type(0)))
    return Value(y, x.dtype, has_steps=False)


def _least(graph: Graph, x: Value) -> str:
    """The smallest number, for steps that must not count. It is finite, so it makes no NaN."""
    return graph.constant(np.finfo(x.dtype).min)


def _with_zeros(graph: Graph, x: Value, steps: Steps) -> str:
    """x with zeros at all steps that do not count."""
    return graph.node("Where", steps.counted_features, x.name, graph.constant(x.dtype.type(0)))


def finished(graph: Graph, x: Value, steps: Steps, batch_first: bool) -> str:
    """The output of a whole model: as in pygru, zeros after the end of each sequence."""
    if steps.lengths is None or not x.has_steps:
        return x.name
    valid = steps.valid if batch_first else graph.node("Transpose", steps.valid, perm=[1, 0])
    valid = graph.node("Unsqueeze", valid, graph.constant([2]))
    return graph.node("Where", valid, x.name, graph.constant(x.dtype.type(0)))


# ---- which steps count ---------------------------------------------------------------------


def masking(graph: Graph, layer: Masking, x: Value, steps: Steps) -> Value:
    """Set the steps that do not count to zeros; ``steps`` knows them already."""
    return x._replace(name=_with_zeros(graph, x, steps))


def mask_of(graph: Graph, layer: Masking | Embedding, x: Value) -> str | None:
    """Return which steps count for the layers from this one on, (B, T), or None for all."""
    if isinstance(layer, Embedding):
        if not layer.mask_zero:
            return None
        return graph.node("Not", graph.node("Equal", x.name, graph.constant(0)))
    same = graph.node("Equal", x.name, graph.constant(x.dtype.type(layer.mask_value)))
    differs = graph.cast(graph.node("Not", same), np.int32)
    return graph.cast(graph.reduce("ReduceMax", differs, 2), np.bool_)


LayerNodes: TypeAlias = Callable[[Graph, Any, Value, Steps], Value]

#: What adds a layer to a graph, by its class. A class that derives from one of these may
#: compute something else, so it is not taken for it.
NODES: dict[type, LayerNodes] = {
    Embedding: embedding,
    Masking: masking,
    Linear: linear,
    LayerNorm: layer_norm,
    FeatureScale: feature_scale,
    Dropout: dropout,
    Activation: activation,
    Last: last,
    MeanOverTime: mean_over_time,
    MaxOverTime: max_over_time,
    AttentionOverTime: attention_over_time,
}
