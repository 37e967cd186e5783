"""What mistakes do to the inputs of a case: weights, states, lengths, masks and options.

Each function returns the case as a target with the mistake sees it, or None where the mistake
makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.conformance.case import Case
from pygru.conformance.hypotheses import Before
from pygru.conformance.layouts import from_order

# ---- changes of the weights --------------------------------------------------------------


def _with_parameters(
    case: Case, change: Callable[[NDArray[Any]], NDArray[Any]], *kinds: str
) -> Case | None:
    """Return a case with some kinds of parameters changed."""
    concerned = [name for name in case.parameters if name.startswith(kinds)]
    if not concerned:
        return None
    changed = {name: change(case.parameters[name]) for name in concerned}
    return replace(case, parameters={**case.parameters, **changed})


def order(order: str, *kinds: str) -> Before:
    """A target that takes the blocks of some kinds of parameters in another order."""
    kinds = kinds or ("weight", "bias")
    return lambda case: _with_parameters(case, lambda a: from_order(a, order), *kinds)


def transpose_each(case: Case) -> Case | None:
    """The recurrent matrix of each gate, transposed."""

    def change(U: NDArray[Any]) -> NDArray[Any]:
        H = U.shape[1]
        return U.reshape(3, H, H).transpose(0, 2, 1).reshape(3 * H, H)

    return _with_parameters(case, change, "weight_hh")


def columns(*kinds: str) -> Before:
    """The numbers of (3H, N) taken for those of (N, 3H) in memory."""
    return lambda case: _with_parameters(case, lambda a: a.reshape(a.shape[::-1]).T, *kinds)


def bias_times(input_side: float, recurrent_side: float) -> Before:
    """Biases that are added another number of times than once."""

    def before(case: Case) -> Case | None:
        if case.bias == "none" or (case.bias == "one" and input_side == 1):
            return None
        factors = {"bias_ih": input_side, "bias_hh": recurrent_side}
        changed = {
            name: array * factors.get(name[:7], 1) for name, array in case.parameters.items()
        }
        return replace(case, parameters=changed)

    return before


def candidate_of_update_gate(case: Case) -> Case | None:
    """The weights and biases of z in the place of those of n."""

    def change(array: NDArray[Any]) -> NDArray[Any]:
        r, z, _ = np.split(array, 3)
        return np.concatenate([r, z, z])

    return _with_parameters(case, change, "weight", "bias")


def recurrent_bias_parts(*kept: float) -> Before:
    """bias_hh, with the blocks of r, z and n multiplied by 0 or 1."""

    def before(case: Case) -> Case | None:
        factors = np.repeat(kept, case.hidden_size)
        return _with_parameters(case, lambda a: a * factors, "bias_hh")

    return before


def one_bias_for_both(case: Case) -> Case | None:
    """bias_ih in the place of bias_hh."""
    if case.bias == "none":
        return None
    biases = {
        name.replace("_ih_", "_hh_"): array
        for name, array in case.parameters.items()
        if name.startswith("bias_ih")
    }
    return replace(case, parameters={**case.parameters, **biases})


def biases_exchanged(case: Case) -> Case | None:
    """Each bias in the place of the other."""
    if case.bias != "two":
        return None
    other = {"bias_ih": "bias_hh", "bias_hh": "bias_ih"}
    changed = {
        other[name[:7]] + name[7:]: array
        for name, array in case.parameters.items()
        if name[:7] in other
    }
    return replace(case, parameters={**case.parameters, **changed})


def forward_weights_for_both(case: Case) -> Case | None:
    """The weights of the forward direction in both directions."""
    if case.direction != "both":
        return None
    changed = {name: case.parameters[name.removesuffix("_reverse")] for name in case.parameters}
    return replace(case, parameters=changed)


def directions_exchanged(case: Case) -> Case | None:
    """The weights of each direction in the other one."""
    if case.direction != "both":
        return None
    names = case.parameters
    changed = {
        name: names[name.removesuffix("_reverse") if "_reverse" in name else f"{name}_reverse"]
        for name in names
    }
    return replace(case, parameters=changed)


# ---- changes of the other inputs ---------------------------------------------------------


def without(name: str) -> Before:
    """A case without h0, lengths, mask or clip."""

    def before(case: Case) -> Case | None:
        if getattr(case, name) is None:
            return None
        nothing: dict[str, Any] = {name: None}
        return replace(case, **nothing)

    return before


def h0_reordered(case: Case) -> Case | None:
    """The initial states, taken in the order direction, layer."""
    L, D = case.num_layers, len(case.directions)
    if case.h0 is None or L == 1 or D == 1:
        return None
    _, B, H = case.h0.shape
    return replace(case, h0=case.h0.reshape(D, L, B, H).swapaxes(0, 1).reshape(L * D, B, H))


def first_h0_for_all(case: Case) -> Case | None:
    """The first initial state in every layer and direction."""
    if case.h0 is None or len(case.h0) == 1:
        return None
    return replace(case, h0=np.repeat(case.h0[:1], len(case.h0), axis=0))


def lengths(change: Callable[[NDArray[Any]], NDArray[Any]]) -> Before:
    """Other lengths, made from the right ones."""

    def before(case: Case) -> Case | None:
        if case.lengths is None:
            return None
        return replace(case, lengths=np.clip(change(case.lengths), 0, len(case.x)))

    return before


def mask_inverted(case: Case) -> Case | None:
    """A mask that leaves out the other steps."""
    return None if case.mask is None else replace(case, mask=~case.mask)


def other_masked_output(case: Case) -> Case | None:
    """The other kind of output at masked steps."""
    if case.mask is None:
        return None
    return replace(case, masked_output="state" if case.masked_output == "zero" else "zero")


def recurrent_activation(*name: Any) -> Before:
    """A certain activation of the gates."""

    def before(case: Case) -> Case | None:
        chosen = name if len(name) > 1 else name[0]
        if case.recurrent_activation == chosen:
            return None
        return replace(case, recurrent_activation=chosen)

    return before


def activation(name: str) -> Before:
    """A certain activation of the candidate."""

    def before(case: Case) -> Case | None:
        return None if case.activation == name else replace(case, activation=name)

    return before


def activations_exchanged(case: Case) -> Case:
    """The activations of the gates and of the candidate, exchanged."""
    return replace(
        case,
        activation=case.recurrent_activation,
        recurrent_activation=case.activation,
    )


def other_reset(case: Case) -> Case:
    """The reset gate on the other side of the product."""
    return replace(case, reset="after" if case.reset == "before" else "before")


def other_update(case: Case) -> Case:
    """The update gate with its roles exchanged."""
    return replace(case, update="keep" if case.update == "replace" else "replace")


def forwards(case: Case) -> Case | None:
    """A direction that should read backwards reads forwards."""
    return replace(case, direction="forward") if case.direction == "reverse" else None


def backwards(case: Case) -> Case | None:
    """A direction that should read forwards reads backwards."""
    return replace(case, direction="reverse") if case.direction == "forward" else None
