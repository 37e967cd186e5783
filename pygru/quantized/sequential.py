"""A Sequential whose GRUs have weights of 8 bits, and what that costs."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from pygru.gru import GRU
from pygru.nn.model import Model
from pygru.nn.ragged import counted_of
from pygru.nn.sequential import Sequential
from pygru.nn.shapes import name_in, place
from pygru.nn.shortcuts import CALLS, overridden
from pygru.quantized.gru import QuantizedGRU, check_bits
from pygru.quantized.report import Cost, QuantizationReport, cost, costs_of_cells


def quantized_model(
    model: Sequential, bits: int, data: Any, lengths: Any, mask: Any, reset: Any
) -> Sequential:
    """Implement ``Sequential.quantized``; see there."""
    check_bits(bits)
    own = overridden(type(model), Sequential, (*CALLS, "_infer", "stream"))
    if own:
        raise TypeError(
            f"the result would be a plain Sequential, which would not call {own[0]}() of a "
            f"{type(model).__name__}"
        )
    if not any(isinstance(layer, GRU) for layer in model.layers):
        raise ValueError("the model has no GRU whose weights could become integers")
    for name, value in (("lengths", lengths), ("mask", mask), ("reset", reset)):
        if data is None and value is not None:
            raise ValueError(f"{name} must be None without data")
    if data is not None:
        model.check_batch("data", data)
    for index, layer in enumerate(model.layers):
        if isinstance(layer, GRU) and layer.dtype != np.float32:
            raise ValueError(
                f"{place(index, layer)}: only a float32 GRU can be quantized, and this one is "
                f'{layer.dtype.name}; make a model of the same layers with dtype="float32", '
                "and let it load the weights: new.load_state_dict(model.state_dict())"
            )
    quantized: dict[int, Model] = {}  # by the identity of a layer, which may occur twice
    copies: dict[int, Any] = {}
    for index, layer in enumerate(model.layers):
        if id(layer) in quantized:
            continue
        try:
            if isinstance(layer, GRU):
                quantized[id(layer)] = QuantizedGRU(layer, bits)
            else:
                quantized[id(layer)] = copy.deepcopy(layer, copies)
        except (TypeError, ValueError) as error:
            name_in(error, index, layer)
            raise
    result = Sequential(*(quantized[id(layer)] for layer in model.layers))
    if data is not None:
        result._fix(report=_compare(model, result, data, lengths, mask, reset))
    return result


def _compare(
    model: Sequential, quantized: Sequential, data: Any, lengths: Any, mask: Any, reset: Any
) -> QuantizationReport:
    """Run both models over the same data, layer by layer, and return the differences."""
    x, lengths, flags = model._prepared(data, lengths, mask, reset)
    sequences, steps = len(x), None
    cells: list[Cost] = []
    other = x
    for index, (layer, changed) in enumerate(zip(model.layers, quantized.layers, strict=True)):
        try:
            told = {"lengths": lengths, **flags.told(layer)}
            if isinstance(layer, GRU) and isinstance(changed, QuantizedGRU):
                counted = counted_of(lengths, flags.mask, *np.shape(x)[:2])
                steps = int(counted.sum()) if steps is None else steps
                cells += costs_of_cells(layer, changed, x, other, counted, told, f"{index}.")
            y, other = layer.infer(x, **told), changed.infer(other, **told)
            flags = flags.after(layer, x)
            x = y
        except Exception as error:
            name_in(error, index, layer)
            raise
    if model.predicts_steps:
        counted = counted_of(lengths, flags.mask, *np.shape(x)[:2])
        x, other = x[counted], other[counted]
    output = cost("output", np.asarray(x), np.asarray(other))
    return QuantizationReport(
        cells, output, sequences, steps or 0, model.nbytes, quantized.nbytes
    )
