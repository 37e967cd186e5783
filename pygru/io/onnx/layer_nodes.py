"""The layers beside the GRU as nodes, in inference.

Each function adds one layer of a ``Sequential`` to a graph. Where the sequences of a batch have
different lengths, a layer that joins the steps of a sequence must not let the steps after its
end count. A layer that computes each step alone may leave anything there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from pygru.io.onnx.graph import Graph
from pygru.io.onnx.values import Ends, Value
from pygru.nn.activation import Activation
from pygru.nn.attention_pooling import AttentionOverTime
from pygru.nn.dropout import Dropout
from pygru.nn.embedding import Embedding
from pygru.nn.last import Last
from pygru.nn.layer_norm import LayerNorm
from pygru.nn.linear import Linear
from pygru.nn.pooling import MaxOverTime, MeanOverTime

#: The version of the operators that has LayerNormalization.
LAYER_NORMALIZATION = 17


def embedding(graph: Graph, layer: Embedding, x: Value, ends: Ends | None) -> Value:
    """Look up (B, T) or (B,) tokens."""
    table = layer.parameters["weight"].astype(x.dtype)
    if layer.padding_idx is not None:
        table[layer.padding_idx] = 0
    tokens = x.name
    if ends is not None and x.has_steps:  # after its end, a sequence may hold anything
        tokens = graph.node("Where", ends.valid_tokens, tokens, graph.constant(0))
    return x._replace(name=graph.node("Gather", graph.constant(table, "weight"), tokens))


def linear(graph: Graph, layer: Linear, x: Value, ends: Ends | None) -> Value:
    """Multiply the last axis by the weights, and add the bias."""
    y = _affine(graph, layer, x)
    return x._replace(name=y, ends_with_zeros=False)


def _affine(graph: Graph, layer: Linear | AttentionOverTime, x: Value) -> str:
    weight = layer.parameters["weight"].astype(x.dtype)
    y = graph.node("MatMul", x.name, graph.constant(weight.T, "weight"))
    if "bias" in layer.parameters:
        bias = layer.parameters["bias"].astype(x.dtype)
        y = graph.node("Add", y, graph.constant(bias, "bias"))
    return y


def layer_norm(graph: Graph, layer: LayerNorm, x: Value, ends: Ends | None) -> Value:
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
    return x._replace(name=y, ends_with_zeros=False)


def dropout(graph: Graph, layer: Dropout, x: Value, ends: Ends | None) -> Value:
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


def activation(graph: Graph, layer: Activation, x: Value, ends: Ends | None) -> Value:
    """Apply a function to each number, or to the features of each step."""
    if layer.activation == "gelu":
        y = _gelu(graph, x)
    else:
        op, attributes = OPERATORS[layer.activation]
        y = graph.node(op, x.name, **attributes)
    return x._replace(name=y, ends_with_zeros=False)


def _gelu(graph: Graph, x: Value) -> str:
    """x Phi(x) with Phi(x) = (1 + erf(x / sqrt(2))) / 2."""

    def number(value: float) -> str:
        return graph.constant(x.dtype.type(value))

    scaled = graph.node("Mul", x.name, number(1 / math.sqrt(2)))
    shifted = graph.node("Add", graph.node("Erf", scaled), number(1))
    return graph.node("Mul", graph.node("Mul", x.name, number(0.5)), shifted)


# ---- one vector per sequence ---------------------------------------------------------------


def last(graph: Graph, layer: Last, x: Value, ends: Ends | None) -> Value:
    """Take the last valid step, and of a reverse direction the first one."""
    if layer.reverse:
        return _of_sequences(graph, x, ends, _first_step(graph, x.name))
    if not layer.bidirectional:
        return _of_sequences(graph, x, ends, _last_step(graph, x.name, ends))
    if x.features is None:
        raise ValueError("no layer before it says how many features it halves")
    half = x.features // 2
    sizes = graph.constant([half, x.features - half])
    halves = graph.nodes("Split", x.name, sizes, outputs=["_1", "_2"], axis=-1)
    first = _first_step(graph, halves[1])
    last_step = _last_step(graph, halves[0], ends)
    if layer.merge == "concat":
        y = graph.node("Concat", last_step, first, axis=-1)
    else:
        y = graph.node("Mul" if layer.merge == "mul" else "Add", last_step, first)
    if layer.merge == "ave":
        y = graph.node("Mul", y, graph.constant(np.array(0.5, x.dtype)))
    return _of_sequences(graph, x, ends, y)


def _first_step(graph: Graph, x: str) -> str:
    return graph.node("Gather", x, graph.constant(0), axis=1)


def _last_step(graph: Graph, x: str, ends: Ends | None) -> str:
    if ends is None:
        return graph.node("Gather", x, graph.constant(-1), axis=1)
    places = graph.node("Sub", ends.column, graph.constant(1))
    # A sequence without steps has no last one; its result is replaced by zeros later.
    places = graph.node("Max", places, graph.constant(0))
    return graph.node("GatherND", x, places, batch_dims=1)


def mean_over_time(graph: Graph, layer: MeanOverTime, x: Value, ends: Ends | None) -> Value:
    """Take the mean over the valid steps."""
    if ends is None:
        return _of_sequences(graph, x, ends, graph.reduce("ReduceMean", x.name, 1))
    total = graph.reduce("ReduceSum", _with_zeros(graph, x, ends), 1)
    counts = graph.node("Max", ends.column, graph.constant(1))
    mean = graph.node("Div", total, graph.cast(counts, x.dtype))
    return _of_sequences(graph, x, ends, mean)


def max_over_time(graph: Graph, layer: MaxOverTime, x: Value, ends: Ends | None) -> Value:
    """Take the largest value of each feature over the valid steps."""
    shown = x.name
    if ends is not None:
        shown = graph.node("Where", ends.valid, shown, _least(graph, x))
    return _of_sequences(graph, x, ends, graph.reduce("ReduceMax", shown, 1))


def attention_over_time(
    graph: Graph, layer: AttentionOverTime, x: Value, ends: Ends | None
) -> Value:
    """Take the mean that is weighted by learned scores."""
    hidden = graph.node("Tanh", _affine(graph, layer, x))
    context = layer.parameters["weight_score"].astype(x.dtype).T
    scores = graph.node("MatMul", hidden, graph.constant(context, "weight_score"))
    steps = x.name
    if ends is not None:
        scores = graph.node("Where", ends.valid, scores, _least(graph, x))
        steps = _with_zeros(graph, x, ends)  # because 0 times NaN is NaN
    weighted = graph.node("Mul", graph.node("Softmax", scores, axis=1), steps)
    return _of_sequences(graph, x, ends, graph.reduce("ReduceSum", weighted, 1))


def _of_sequences(graph: Graph, x: Value, ends: Ends | None, y: str) -> Value:
    """One vector per sequence: zeros for a sequence without steps."""
    if ends is not None:
        y = graph.node("Where", ends.ran, y, graph.constant(x.dtype.type(0)))
    return Value(y, x.dtype, has_steps=False)


def _least(graph: Graph, x: Value) -> str:
    """The smallest number, for steps that must not count. It is finite, so it makes no NaN."""
    return graph.constant(np.finfo(x.dtype).min)


def _with_zeros(graph: Graph, x: Value, ends: Ends) -> str:
    """x with zeros in all steps after the end of each sequence."""
    if x.ends_with_zeros:
        return x.name
    return graph.node("Where", ends.valid, x.name, graph.constant(x.dtype.type(0)))


def finished(graph: Graph, x: Value, ends: Ends | None) -> str:
    """The output of a whole model: as in pygru, zeros after the end of each sequence."""
    return x.name if ends is None or not x.has_steps else _with_zeros(graph, x, ends)


LayerNodes: TypeAlias = Callable[[Graph, Any, Value, "Ends | None"], Value]

#: What adds a layer to a graph, by its class. A class that derives from one of these may
#: compute something else, so it is not taken for it.
NODES: dict[type, LayerNodes] = {
    Embedding: embedding,
    Linear: linear,
    LayerNorm: layer_norm,
    Dropout: dropout,
    Activation: activation,
    Last: last,
    MeanOverTime: mean_over_time,
    MaxOverTime: max_over_time,
    AttentionOverTime: attention_over_time,
}
