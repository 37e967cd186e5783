"""The gradients of the kit's own GRU, which can also be wrong on purpose.

:class:`GradientMistakes` has the mistakes inside the backward recurrence. Those that only
change results are in :mod:`pygru.conformance.gradient_hypotheses`.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pygru.conformance.activations import activation
from pygru.conformance.case import Arrays, Case
from pygru.conformance.forward import Sweep, run


class GradientMistakes(NamedTuple):
    """What may be wrong in the backward pass; the defaults are right.

    ``recurrent_steps`` are the steps that count in the gradient of the recurrent weights.
    ``through_time`` says whether a step passes the gradient of its state to the step before.
    ``through_reset`` and ``through_update`` say whether these gates do so. ``state_in_product``
    is the state that the gradient of the recurrent weights is multiplied with.
    """

    recurrent_steps: Literal["all", "first", "last"] = "all"
    through_time: bool = True
    through_reset: bool = True
    through_update: bool = True
    state_in_product: Literal["before", "after"] = "before"
    r_in_candidate: bool = True


RIGHT = GradientMistakes()


def gradients(case: Case, mistakes: GradientMistakes = RIGHT) -> Arrays:
    """Return the gradients of a case by name: ``d_x``, ``d_h0``, ``d_weight_ih_l0`` ..."""
    _, sweeps = run(case)
    D, H = len(case.directions), case.hidden_size
    d_output = case.d_output
    d_h0: dict[int, NDArray[Any]] = {}
    found: Arrays = {}
    for layer in reversed(range(case.num_layers)):
        d_x = np.zeros_like(sweeps[layer * D].x)
        for d in range(D):
            index = layer * D + d
            d_out = d_output[:, :, d * H : (d + 1) * H]
            part, d_h0[index], of_weights = _sweep(
                case, sweeps[index], d_out, case.d_h_n[index], mistakes
            )
            d_x += part
            found |= of_weights
        d_output = d_x
    result = {"d_x": d_output, "d_h0": np.stack([d_h0[index] for index in sorted(d_h0)])}
    result |= {f"d_{name}": found[name] for name in case.parameters}
    return {name: array for name, array in result.items() if name in case.expected}


def _sweep(
    case: Case,
    sweep: Sweep,
    d_out: NDArray[Any],
    d_last: NDArray[Any],
    mistakes: GradientMistakes,
) -> tuple[NDArray[Any], NDArray[Any], Arrays]:
    """Return the gradients of one sweep's input, first state and weights."""
    H = case.hidden_size
    U = case.parameters[f"weight_hh_{sweep.suffix}"].reshape(3, H, H)
    f = activation(case.recurrent_activation, case.clip).slope
    g = activation(case.activation, case.clip).slope
    counted = case.counted[:, :, None]
    after = case.reset == "after"
    from_x, from_h, h_in = (np.zeros_like(sweep.sums) for _ in range(3))
    d_h = d_last
    for t in reversed(sweep.order):
        (a_r, a_z, a_n), (r, z, n), h = sweep.sums[t], sweep.gates[t], sweep.before[t]
        shown = counted[t] | (case.masked_output == "state")
        d_h = d_h + np.where(shown, d_out[t], 0)
        d = np.where(counted[t], d_h, 0)  # what passes through the cell; the rest passes by
        sign = 1 if case.update == "keep" else -1
        old, new = (z, 1 - z) if case.update == "keep" else (1 - z, z)
        d_z = sign * d * (h - n) * f(a_z)
        d_n = d * new * g(a_n)
        d_q = d_n * r if after and mistakes.r_in_candidate else d_n
        d_rh = d_q @ U[2]  # the gradient of h, or of r * h with reset before
        d_r = (d_n * sweep.product[t] if after else d_rh * h) * f(a_r)
        from_x[t] = d_r, d_z, d_n
        from_h[t] = d_r, d_z, d_q
        state = sweep.output[t] if mistakes.state_in_product == "after" else h
        h_in[t] = state, state, state if after else r * state
        d_h = np.where(counted[t], 0, d_h)
        if mistakes.through_time:
            d_h = d_h + d * old + (d_rh if after else d_rh * r)
            d_h = d_h + (d_r @ U[0] if mistakes.through_reset else 0)
            d_h = d_h + (d_z @ U[1] if mistakes.through_update else 0)
    W = case.parameters[f"weight_ih_{sweep.suffix}"]
    some = _steps(case, sweep.order, mistakes.recurrent_steps)
    weights = {
        "weight_ih": np.einsum("tgbh,tbi->ghi", from_x, sweep.x).reshape(W.shape),
        "weight_hh": np.einsum("tb,tgbh,tgbk->ghk", some, from_h, h_in).reshape(3 * H, H),
        "bias_ih": from_x.sum((0, 2)).reshape(-1),
        "bias_hh": from_h.sum((0, 2)).reshape(-1),
    }
    d_x = np.einsum("tgbh,ghi->tbi", from_x, W.reshape(3, H, -1))
    return d_x, d_h, {f"{name}_{sweep.suffix}": array for name, array in weights.items()}


def _steps(case: Case, order: list[int], which: str) -> NDArray[np.bool_]:
    """Return which steps (T, B) count: all, or the first or the last one of each sequence."""
    counted = case.counted
    if which == "all":
        return counted
    seen = np.zeros_like(counted)
    before = np.zeros(counted.shape[1], bool)
    for t in order if which == "first" else reversed(order):
        seen[t] = counted[t] & ~before
        before |= counted[t]
    return seen
