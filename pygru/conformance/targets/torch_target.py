"""torch.nn.GRU as a target, in float64, with gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from pygru.conformance.case import Arrays, Case


def about() -> str:
    """Return what this is, with its version."""
    import torch

    return f"torch.nn.GRU, torch {torch.__version__}"


def _check_supported(case: Case) -> None:
    """Raise NotImplementedError for what torch.nn.GRU does not have."""
    lacks = {
        "torch.nn.GRU has the reset gate after the product": case.reset == "before",
        "torch.nn.GRU has an update gate that keeps": case.update == "replace",
        "torch.nn.GRU has no direction that reads backwards alone": case.direction == "reverse",
        "torch.nn.GRU has no masks": case.mask is not None,
        "torch.nn.GRU has no other activations": (case.activation, case.recurrent_activation)
        != ("tanh", "sigmoid"),
        "torch.nn.GRU has no clip": case.clip is not None,
        "torch.nn.GRU refuses sequences of length 0": case.lengths is not None
        and not case.lengths.all(),
    }
    for reason, applies in lacks.items():
        if applies:
            raise NotImplementedError(reason)


def run(case: Case) -> Arrays:
    """Return the outputs and gradients of a case."""
    import torch

    _check_supported(case)
    gru = torch.nn.GRU(
        case.input_size,
        case.hidden_size,
        case.num_layers,
        bias=case.bias != "none",
        bidirectional=case.direction == "both",
        dtype=torch.float64,
    )
    with torch.no_grad():
        for name, parameter in gru.named_parameters():
            stored = case.parameters.get(name)
            parameter.copy_(torch.zeros(1) if stored is None else torch.from_numpy(stored))
    inputs = {"x": torch.from_numpy(case.x).requires_grad_()}
    if case.h0 is not None:
        inputs["h0"] = torch.from_numpy(case.h0).requires_grad_()
    output, h_n = _forward(torch, gru, inputs, case)
    gradients = [torch.from_numpy(array) for array in (case.d_output, case.d_h_n)]
    torch.autograd.backward([output, h_n], gradients)
    found = {"output": output.detach(), "h_n": h_n.detach()}
    found |= {f"d_{name}": tensor.grad for name, tensor in inputs.items()}
    found |= {f"d_{name}": tensor.grad for name, tensor in gru.named_parameters()}
    return {name: np.asarray(array) for name, array in found.items() if name in case.expected}


def _forward(torch: Any, gru: Any, inputs: dict[str, Any], case: Case) -> Any:
    x, h0 = inputs["x"], inputs.get("h0")
    if case.lengths is None:
        return gru(x, h0)
    rnn = torch.nn.utils.rnn
    packed = rnn.pack_padded_sequence(x, torch.from_numpy(case.lengths), enforce_sorted=False)
    output, h_n = gru(packed, h0)
    output, _ = rnn.pad_packed_sequence(output, total_length=len(x))
    return output, h_n
