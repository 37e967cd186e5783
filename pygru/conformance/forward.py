"""A small GRU in NumPy that can also be wrong on purpose.

It computes the cases as they are, and as a library with a certain mistake would. The vectors do
not come from it: the tests compare it with them. :class:`Mistakes` has the mistakes inside the
recurrence. Those that only change the inputs or the results are in
:mod:`pygru.conformance.hypotheses`.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pygru.conformance.activations import activation
from pygru.conformance.case import Arrays, Case


class Mistakes(NamedTuple):
    """What may be wrong inside the recurrence; the defaults are right.

    ``carried`` is the state with which a step begins: that of the step before, zeros, or h0.
    ``reset_acts_on`` is what r multiplies in the candidate: the state's part, everything,
    everything but the recurrent bias, or nothing. ``padding_read_by`` says which directions run
    over the padding. ``masked_state_is`` is what a masked step does to the state.
    ``output_order`` is the order of the outputs in each layer: that of time, or that in which
    the steps were read, on the whole time axis or within the length of each sequence.
    """

    carried: Literal["state", "zeros", "h0"] = "state"
    reset_acts_on: Literal["state", "all", "product", "nothing"] = "state"
    padding_read_by: Literal["none", "reverse", "all"] = "none"
    masked_state_is: Literal["kept", "zeroed"] = "kept"
    backward_reads: Literal["backwards", "forwards"] = "backwards"
    output_order: Literal["time", "reading", "reading within"] = "time"


RIGHT = Mistakes()


class Sweep(NamedTuple):
    """One layer in one direction: what it had and what it made, step by step.

    ``order`` lists the steps in the order of reading. ``sums`` are the arguments of the
    activations of r, z and n, and ``product`` is ``U_n h + b_hn`` with reset after.
    """

    suffix: str
    order: list[int]
    x: NDArray[Any]  # (T, B, its input size)
    before: NDArray[Any]  # (T, B, H): the state before each step
    sums: NDArray[Any]  # (T, 3, B, H)
    gates: NDArray[Any]  # (T, 3, B, H)
    product: NDArray[Any]  # (T, B, H)
    output: NDArray[Any]  # (T, B, H)
    last: NDArray[Any]  # (B, H)


def run(case: Case, mistakes: Mistakes = RIGHT) -> tuple[Arrays, list[Sweep]]:
    """Return ``output`` and ``h_n`` of a case, and all sweeps in the order of ``h_n``."""
    D = len(case.directions)
    x, sweeps = case.x, []
    for layer in range(case.num_layers):
        for d, suffix in enumerate(case.directions):
            h0 = _first_state(case, layer * D + d)
            sweeps.append(_sweep(case, f"l{layer}{suffix}", x, h0, mistakes))
        x = np.concatenate([sweep.output for sweep in sweeps[-D:]], axis=2)
    return {"output": x, "h_n": np.stack([sweep.last for sweep in sweeps])}, sweeps


def _first_state(case: Case, index: int) -> NDArray[Any]:
    if case.h0 is None:
        return np.zeros((case.x.shape[1], case.hidden_size))
    first: NDArray[Any] = case.h0[index]
    return first


def biases(case: Case, suffix: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both biases, (3, H) each; a missing one is zeros."""
    H = case.hidden_size
    names = (f"bias_ih_{suffix}", f"bias_hh_{suffix}")
    b_i, b_h = (case.parameters.get(name, np.zeros(3 * H)).reshape(3, H) for name in names)
    return b_i, b_h


def reading_order(case: Case, suffix: str, mistakes: Mistakes = RIGHT) -> list[int]:
    """Return the steps in the order in which one direction reads them."""
    backwards = suffix.endswith("_reverse") or case.direction == "reverse"
    steps = list(range(len(case.x)))
    return steps[::-1] if backwards and mistakes.backward_reads == "backwards" else steps


def _steps_that_change(case: Case, backwards: bool, mistakes: Mistakes) -> NDArray[np.bool_]:
    """Return the steps (T, B) at which a state changes."""
    over = mistakes.padding_read_by
    if over == "all" or (over == "reverse" and backwards):
        return np.ones(case.x.shape[:2], bool) if case.mask is None else case.mask
    return case.counted


def _sweep(
    case: Case, suffix: str, x: NDArray[Any], h0: NDArray[Any], mistakes: Mistakes
) -> Sweep:
    """Run one layer in one direction."""
    T, B, _ = x.shape
    H = case.hidden_size
    W = case.parameters[f"weight_ih_{suffix}"].reshape(3, H, -1)
    U = case.parameters[f"weight_hh_{suffix}"].reshape(3, H, H)
    b_i, b_h = biases(case, suffix)
    f = activation(case.recurrent_activation, case.clip).value
    g = activation(case.activation, case.clip).value
    order = reading_order(case, suffix, mistakes)
    changes = _steps_that_change(case, order[0] > 0, mistakes)
    from_x = np.einsum("tbi,ghi->tgbh", x, W) + b_i[:, None, :]
    before, product, states = (np.zeros((T, B, H)) for _ in range(3))
    sums, gates = (np.zeros((T, 3, B, H)) for _ in range(2))
    h = h0
    for t in order:
        h_in = {"state": h, "zeros": np.zeros_like(h), "h0": h0}[mistakes.carried]
        a_r, a_z = from_x[t, :2] + h_in @ U[:2].transpose(0, 2, 1) + b_h[:2, None, :]
        r, z = f(a_r), f(a_z)
        q = h_in @ U[2].T + b_h[2]
        a_n = _candidate(
            case.reset, mistakes.reset_acts_on, from_x[t, 2], q, r, h_in, U[2], b_h[2]
        )
        n = g(a_n)
        old, new = (z, 1 - z) if case.update == "keep" else (1 - z, z)
        before[t], product[t] = h_in, q
        sums[t], gates[t] = (a_r, a_z, a_n), (r, z, n)
        kept = np.zeros_like(h) if mistakes.masked_state_is == "zeroed" else h
        h = np.where(changes[t][:, None], old * h_in + new * n, kept)
        states[t] = h
    shown = case.counted
    if case.masked_output == "state":
        shown = np.ones_like(shown)
    output = np.where(shown[:, :, None], states, 0)
    if order[0] > 0 and mistakes.output_order != "time":
        output = _in_order_of_reading(case, output, within=mistakes.output_order != "reading")
    return Sweep(suffix, order, x, before, sums, gates, product, output, h)


def _in_order_of_reading(case: Case, output: NDArray[Any], within: bool) -> NDArray[Any]:
    """Reverse the time axis (T, B, H), on the whole or within the length of each sequence."""
    if case.lengths is None or not within:
        return output[::-1]
    reversed_ = output.copy()
    for row, end in enumerate(case.lengths):
        reversed_[:end, row] = output[:end, row][::-1]
    return reversed_


def _candidate(
    reset: str,
    acts_on: str,
    from_x: NDArray[Any],
    q: NDArray[Any],
    r: NDArray[Any],
    h: NDArray[Any],
    U: NDArray[Any],
    b: NDArray[Any],
) -> NDArray[Any]:
    """Return the argument of the candidate's activation."""
    a: NDArray[Any]
    if acts_on == "nothing":
        a = from_x + q
    elif acts_on == "all":
        a = r * (from_x + q)
    elif acts_on == "product":
        a = from_x + r * (q - b) + b
    elif reset == "after":
        a = from_x + r * q
    else:
        a = from_x + (r * h) @ U.T + b
    return a
