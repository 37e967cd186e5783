"""pygru.GRU as a target."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from pygru.conformance.case import Arrays, Case


def about() -> str:
    """Return what this is, with its version."""
    import pygru

    config = pygru.show_config("dicts") or {}
    return f"pygru.GRU {pygru.__version__}, engine {config['engine']}"


def run(case: Case, dtype: DTypeLike = np.float64) -> Arrays:
    """Return the outputs and gradients of a case."""
    import pygru

    gru = pygru.GRU(
        case.input_size,
        case.hidden_size,
        case.num_layers,
        bias=case.bias != "none",
        bidirectional=case.direction == "both",
        variant=pygru.Variant(case.reset, case.update),
        dtype=dtype,
        **_options(case),
    )
    gru.load_state_dict(_with_both_biases(case))
    output, h_n, tape = gru.forward(case.x, case.h0, lengths=case.lengths, mask=case.mask)
    d_x, d_h0 = gru.backward(tape, case.d_output, case.d_h_n)
    found = {"output": output, "h_n": h_n, "d_x": d_x, "d_h0": d_h0}
    found |= {f"d_{name}": gradient for name, gradient in gru.grads.items()}
    return {name: array for name, array in found.items() if name in case.expected}


def _options(case: Case) -> dict[str, Any]:
    """Return the options of the cell; the usual ones are left to the defaults."""
    options: dict[str, Any] = {
        "activation": case.activation,
        "recurrent_activation": case.recurrent_activation,
        "clip": case.clip,
        "reverse": case.direction == "reverse",
        "zero_output_for_mask": case.masked_output == "zero",
    }
    usual = {"activation": "tanh", "recurrent_activation": "sigmoid"}
    return {
        name: value for name, value in options.items() if value and value != usual.get(name)
    }


def _with_both_biases(case: Case) -> Arrays:
    """Return the parameters, with zeros for the bias that a case does not have."""
    if case.bias != "one":
        return case.parameters
    zeros = {
        name.replace("_ih_", "_hh_"): np.zeros_like(array)
        for name, array in case.parameters.items()
        if name.startswith("bias_ih")
    }
    return {**case.parameters, **zeros}
