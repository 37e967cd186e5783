"""The mistakes that the kit knows: what a library with each of them would compute.

A hypothesis changes the inputs of a case before the kit's own GRU runs, or the recurrence
itself, or the results. If a target's results are those of a hypothesis, this mistake explains
them. The ones that occur more often stand first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pygru.conformance.case import Arrays, Case
from pygru.conformance.forward import RIGHT, Mistakes, run
from pygru.conformance.layouts import from_order

#: Returns the case as a target with the mistake sees it, or None where it makes no difference.
Before: TypeAlias = Callable[[Case], Case | None]

#: Returns the results as a target with the mistake gives them.
After: TypeAlias = Callable[[Case, Arrays], Arrays]


@dataclass(frozen=True)
class Hypothesis:
    """A mistake: its short name, what to say about it, and how it comes about.

    In ``text``, ``{reset}``, ``{update}`` and the other words of :func:`words_of` are filled in.
    """

    key: str
    text: str
    advice: str = ""
    before: Before = lambda case: case
    mistakes: Mistakes = RIGHT
    after: After = lambda case, results: results

    def says(self, case: Case) -> str:
        """Return the text for a case."""
        return self.text.format(**words_of(case))


def words_of(case: Case) -> dict[str, str]:
    """Return the words that the texts of hypotheses may contain."""
    other = {"before": "after", "after": "before", "keep": "replace", "replace": "keep"}
    name = case.recurrent_activation
    return {
        "reset": case.reset,
        "other_reset": other[case.reset],
        "update": f"{case.update}s",
        "other_update": f"{other[case.update]}s",
        "activation": str(case.activation),
        "recurrent_activation": name if isinstance(name, str) else f"{name[0]}{name[1:]}",
        "masked_output": case.masked_output or "",
    }


def simulate(case: Case, hypotheses: Iterable[Hypothesis]) -> Arrays | None:
    """Return ``output`` and ``h_n`` of a target with these mistakes.

    None stands for mistakes that exclude each other, or that do not concern the case.
    """
    changed, mistakes = case, RIGHT
    for hypothesis in hypotheses:
        after_this = hypothesis.before(changed)
        if after_this is None:
            return None
        changed = after_this
        wrong = {
            name: value
            for name, value in hypothesis.mistakes._asdict().items()
            if value != getattr(RIGHT, name)
        }
        if any(getattr(mistakes, name) != getattr(RIGHT, name) for name in wrong):
            return None
        mistakes = mistakes._replace(**wrong)
    results, _ = run(changed, mistakes)
    for hypothesis in hypotheses:
        results = hypothesis.after(case, results)
    return results


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


def _order(order: str, *kinds: str) -> Before:
    kinds = kinds or ("weight", "bias")
    return lambda case: _with_parameters(case, lambda a: from_order(a, order), *kinds)


def _transpose_each(case: Case) -> Case | None:
    def change(U: NDArray[Any]) -> NDArray[Any]:
        H = U.shape[1]
        return U.reshape(3, H, H).transpose(0, 2, 1).reshape(3 * H, H)

    return _with_parameters(case, change, "weight_hh")


def _columns(*kinds: str) -> Before:
    """The numbers of (3H, N) taken for those of (N, 3H) in memory."""
    return lambda case: _with_parameters(case, lambda a: a.reshape(a.shape[::-1]).T, *kinds)


def _bias_times(input_side: float, recurrent_side: float) -> Before:
    def before(case: Case) -> Case | None:
        if case.bias == "none" or (case.bias == "one" and input_side == 1):
            return None
        factors = {"bias_ih": input_side, "bias_hh": recurrent_side}
        changed = {
            name: array * factors.get(name[:7], 1) for name, array in case.parameters.items()
        }
        return replace(case, parameters=changed)

    return before


def _one_bias_for_both(case: Case) -> Case | None:
    if case.bias == "none":
        return None
    biases = {
        name.replace("_ih_", "_hh_"): array
        for name, array in case.parameters.items()
        if name.startswith("bias_ih")
    }
    return replace(case, parameters={**case.parameters, **biases})


def _biases_exchanged(case: Case) -> Case | None:
    if case.bias != "two":
        return None
    other = {"bias_ih": "bias_hh", "bias_hh": "bias_ih"}
    changed = {
        other[name[:7]] + name[7:]: array
        for name, array in case.parameters.items()
        if name[:7] in other
    }
    return replace(case, parameters={**case.parameters, **changed})


def _forward_weights_for_both(case: Case) -> Case | None:
    if case.direction != "both":
        return None
    changed = {name: case.parameters[name.removesuffix("_reverse")] for name in case.parameters}
    return replace(case, parameters=changed)


def _directions_exchanged(case: Case) -> Case | None:
    if case.direction != "both":
        return None
    names = case.parameters
    changed = {
        name: names[name.removesuffix("_reverse") if "_reverse" in name else f"{name}_reverse"]
        for name in names
    }
    return replace(case, parameters=changed)


# ---- changes of the other inputs ---------------------------------------------------------


def _without(name: str) -> Before:
    def before(case: Case) -> Case | None:
        if getattr(case, name) is None:
            return None
        return replace(case, **{name: None})

    return before


def _h0_reordered(case: Case) -> Case | None:
    L, D = case.num_layers, len(case.directions)
    if case.h0 is None or L == 1 or D == 1:
        return None
    _, B, H = case.h0.shape
    return replace(case, h0=case.h0.reshape(D, L, B, H).swapaxes(0, 1).reshape(L * D, B, H))


def _first_h0_for_all(case: Case) -> Case | None:
    if case.h0 is None or len(case.h0) == 1:
        return None
    return replace(case, h0=np.repeat(case.h0[:1], len(case.h0), axis=0))


def _lengths(change: Callable[[NDArray[Any]], NDArray[Any]]) -> Before:
    def before(case: Case) -> Case | None:
        if case.lengths is None:
            return None
        return replace(case, lengths=np.clip(change(case.lengths), 0, len(case.x)))

    return before


def _mask_inverted(case: Case) -> Case | None:
    return None if case.mask is None else replace(case, mask=~case.mask)


def _other_masked_output(case: Case) -> Case | None:
    if case.mask is None:
        return None
    return replace(case, masked_output="state" if case.masked_output == "zero" else "zero")


def _recurrent_activation(*name: Any) -> Before:
    def before(case: Case) -> Case | None:
        chosen = name if len(name) > 1 else name[0]
        if case.recurrent_activation == chosen:
            return None
        return replace(case, recurrent_activation=chosen)

    return before


def _activation(name: str) -> Before:
    def before(case: Case) -> Case | None:
        return None if case.activation == name else replace(case, activation=name)

    return before


def _activations_exchanged(case: Case) -> Case:
    return replace(
        case,
        activation=case.recurrent_activation,
        recurrent_activation=case.activation,
    )


def _other_reset(case: Case) -> Case:
    return replace(case, reset="after" if case.reset == "before" else "before")


def _other_update(case: Case) -> Case:
    return replace(case, update="keep" if case.update == "replace" else "replace")


def _forwards(case: Case) -> Case | None:
    return replace(case, direction="forward") if case.direction == "reverse" else None


def _backwards(case: Case) -> Case | None:
    return replace(case, direction="reverse") if case.direction == "forward" else None


# ---- changes of the results --------------------------------------------------------------


def _backward_columns(case: Case) -> slice:
    """The columns of the output that belong to the direction that reads backwards."""
    if case.direction == "forward":
        return slice(0, 0)
    return slice(case.hidden_size if case.direction == "both" else 0, None)


def _last_output_in_order_of_reading(case: Case, results: Arrays) -> Arrays:
    output = results["output"].copy()
    columns = _backward_columns(case)
    output[:, :, columns] = output[::-1, :, columns]
    return {**results, "output": output}


def _halves_exchanged(case: Case, results: Arrays) -> Arrays:
    if case.direction != "both":
        return results
    return {**results, "output": np.roll(results["output"], case.hidden_size, axis=2)}


def _h_n_direction_major(case: Case, results: Arrays) -> Arrays:
    L, D = case.num_layers, len(case.directions)
    h_n = results["h_n"]
    return {**results, "h_n": h_n.reshape(L, D, *h_n.shape[1:]).swapaxes(0, 1).reshape(h_n.shape)}


def _last_layer_h_n(case: Case, results: Arrays, steps: tuple[int, int]) -> Arrays:
    """Take h_n of the last layer from the output, at a step for each way of reading."""
    h_n, H = results["h_n"].copy(), case.hidden_size
    for d in range(len(case.directions)):
        backwards = d == 1 or case.direction == "reverse"
        part = results["output"][steps[backwards], :, d * H : (d + 1) * H]
        h_n[d - len(case.directions)] = part
    return {**results, "h_n": h_n}


def _h_n_of_the_padded_end(case: Case, results: Arrays) -> Arrays:
    return _last_layer_h_n(case, results, (-1, 0))


def _h_n_of_the_last_step(case: Case, results: Arrays) -> Arrays:
    return _last_layer_h_n(case, results, (-1, -1))


def _state_after_the_end(case: Case, results: Arrays) -> Arrays:
    if case.lengths is None:
        return results
    output = results["output"].copy()
    last = np.concatenate(list(results["h_n"][-len(case.directions) :]), axis=1)
    over = np.arange(len(output))[:, None] >= case.lengths
    return {**results, "output": np.where(over[:, :, None], last, output)}


def _nothing_for_empty(case: Case, results: Arrays) -> Arrays:
    if case.lengths is None:
        return results
    return {**results, "h_n": np.where((case.lengths == 0)[:, None], 0, results["h_n"])}


def _state_before_each_step(case: Case, results: Arrays) -> Arrays:
    if case.num_layers > 1 or case.direction != "forward":
        return results
    first = np.zeros_like(results["h_n"][0]) if case.h0 is None else case.h0[0]
    return {**results, "output": np.concatenate([first[None], results["output"][:-1]])}


# ---- all of them -------------------------------------------------------------------------

_ASK = "case.weights(gate_order={!r}) gives the weights in this order."
_REFUSE = "If the target has this GRU only, raise NotImplementedError for the other variants."

RESET = Hypothesis(
    "reset",
    "reset {other_reset} instead of {reset}: the reset gate acts {other_reset} the product with "
    "the recurrent matrix",
    f"No change of the weights makes up for it. {_REFUSE}",
    _other_reset,
)
UPDATE = Hypothesis(
    "update",
    "z is inverted: a large update gate {other_update} the old state, where the case {update} it",
    f"It is exact to negate the rows of z in all weights and biases. {_REFUSE}",
    _other_update,
)


def _gate_orders() -> list[Hypothesis]:
    said = {
        "zrn": "gates r and z are swapped",
        "nzr": "gates r and n are swapped",
        "rnz": "gates z and n are swapped",
        "znr": "all three gates are exchanged",
        "nrz": "all three gates are exchanged",
    }
    whole = [
        Hypothesis(
            f"gates-{order}",
            f"{text}: the target takes the gates in the order {', '.join(order)}",
            _ASK.format(order),
            _order(order),
        )
        for order, text in said.items()
    ]
    parts = {
        "weight_ih": "input weights",
        "weight_hh": "recurrent weights",
        "bias": "biases",
    }
    return whole + [
        Hypothesis(
            f"gates-{kind}",
            f"gates r and z are swapped in the {text} alone",
            before=_order("zrn", kind),
        )
        for kind, text in parts.items()
    ]


HYPOTHESES: tuple[Hypothesis, ...] = (
    RESET,
    UPDATE,
    *_gate_orders(),
    Hypothesis(
        "recurrent-transposed",
        "the recurrent matrix of each gate is transposed",
        "A row of weight_hh has the weights of one unit of the new state.",
        _transpose_each,
    ),
    Hypothesis(
        "recurrent-columns",
        "the recurrent matrix is read as if its units stood in columns",
        "case.weights(units='columns') gives weights of this shape.",
        _columns("weight_hh"),
    ),
    Hypothesis(
        "input-columns",
        "the input matrix is transposed: it is read as if its units stood in columns",
        "case.weights(units='columns') gives weights of this shape.",
        _columns("weight_ih"),
    ),
    Hypothesis(
        "both-columns",
        "both matrices are read as if their units stood in columns",
        "case.weights(units='columns') gives weights of this shape.",
        _columns("weight_ih", "weight_hh"),
    ),
    Hypothesis(
        "not-carried",
        "the state is not carried from step to step: each step begins with zeros",
        mistakes=Mistakes(carried="zeros"),
    ),
    Hypothesis(
        "always-h0",
        "the state is not carried from step to step: each step begins with h0",
        mistakes=Mistakes(carried="h0"),
    ),
    Hypothesis("h0-ignored", "h0 is ignored: the first state is zeros", before=_without("h0")),
    Hypothesis(
        "bias-outside-reset",
        "the recurrent bias of the candidate stands outside of r * (...)",
        "With reset after, the candidate is g(W x + b_in + r * (U h + b_hn)).",
        lambda case: case if case.reset == "after" and case.bias == "two" else None,
        Mistakes(reset_acts_on="product"),
    ),
    Hypothesis(
        "reset-acts-on-all",
        "the reset gate multiplies the input's part of the candidate too",
        mistakes=Mistakes(reset_acts_on="all"),
    ),
    Hypothesis(
        "reset-not-used",
        "the reset gate is not used",
        mistakes=Mistakes(reset_acts_on="nothing"),
    ),
    Hypothesis("no-bias", "the biases are missing", before=_bias_times(0, 0)),
    Hypothesis("no-bias-hh", "bias_hh is missing", before=_bias_times(1, 0)),
    Hypothesis("no-bias-ih", "bias_ih is missing", before=_bias_times(0, 1)),
    Hypothesis("biases-twice", "the biases are added twice", before=_bias_times(2, 2)),
    Hypothesis("bias-hh-twice", "bias_hh is added twice", before=_bias_times(1, 2)),
    Hypothesis("bias-ih-twice", "bias_ih is added twice", before=_bias_times(2, 1)),
    Hypothesis("bias-for-both", "bias_ih is used as bias_hh too", before=_one_bias_for_both),
    Hypothesis("biases-exchanged", "bias_ih and bias_hh are exchanged", before=_biases_exchanged),
    Hypothesis(
        "reversed-output",
        "the output of the direction that reads backwards is in reversed time order",
        "output[t] is the state after step t of the input, for each direction.",
        mistakes=Mistakes(output_order="reading"),
    ),
    Hypothesis(
        "reversed-output-within",
        "the output of the direction that reads backwards is in reversed time order, within the "
        "length of each sequence",
        "output[t] is the state after step t of the input, for each direction.",
        mistakes=Mistakes(output_order="reading within"),
    ),
    Hypothesis(
        "reversed-last-output",
        "the output of the last layer's direction that reads backwards is in reversed time order",
        "output[t] is the state after step t of the input, for each direction.",
        after=_last_output_in_order_of_reading,
    ),
    Hypothesis(
        "starts-at-padded-end",
        "the direction that reads backwards starts at the padded end, not at the last valid step "
        "of each sequence",
        mistakes=Mistakes(padding_read_by="reverse"),
    ),
    Hypothesis(
        "padding-read",
        "padding is read: the state goes on after the end of a sequence",
        mistakes=Mistakes(padding_read_by="all"),
    ),
    Hypothesis("lengths-ignored", "the lengths are ignored", before=_without("lengths")),
    Hypothesis(
        "h_n-of-padded-end",
        "h_n is the output at the padded end, not at the last valid step of each sequence",
        after=_h_n_of_the_padded_end,
    ),
    Hypothesis(
        "h_n-of-last-step",
        "h_n of the direction that reads backwards is taken at the last step in time, which it "
        "reads first",
        after=_h_n_of_the_last_step,
    ),
    Hypothesis(
        "h_n-direction-major",
        "h_n is in the order direction, layer; the right one is layer, direction",
        after=_h_n_direction_major,
    ),
    Hypothesis(
        "h0-direction-major",
        "h0 is taken in the order direction, layer; the right one is layer, direction",
        before=_h0_reordered,
    ),
    Hypothesis(
        "states-direction-major",
        "h0 and h_n are in the order direction, layer; the right one is layer, direction",
        before=_h0_reordered,
        after=_h_n_direction_major,
    ),
    Hypothesis(
        "first-h0-for-all",
        "every layer and direction starts with the first state of h0",
        before=_first_h0_for_all,
    ),
    Hypothesis(
        "output-not-zero",
        "the output after the end of a sequence is its last state, not 0",
        after=_state_after_the_end,
    ),
    Hypothesis(
        "empty-h_n",
        "h_n of a sequence of length 0 is 0, not h0",
        "A state that is passed from call to call is lost where a sequence has no new step.",
        after=_nothing_for_empty,
    ),
    Hypothesis(
        "empty-read",
        "one step of a sequence of length 0 is read",
        before=_lengths(lambda lengths: np.maximum(lengths, 1)),
    ),
    Hypothesis(
        "one-step-less",
        "each sequence ends one step too early",
        before=_lengths(lambda lengths: lengths - 1),
    ),
    Hypothesis(
        "one-step-more",
        "each sequence ends one step too late",
        before=_lengths(lambda lengths: lengths + 1),
    ),
    Hypothesis(
        "halves-exchanged",
        "the output has the backward direction first",
        after=_halves_exchanged,
    ),
    Hypothesis(
        "directions-exchanged",
        "the weights of both directions are exchanged",
        before=_directions_exchanged,
    ),
    Hypothesis(
        "same-weights-backwards",
        "the backward direction uses the weights of the forward direction",
        before=_forward_weights_for_both,
    ),
    Hypothesis(
        "backward-reads-forwards",
        "the backward direction reads forwards",
        mistakes=Mistakes(backward_reads="forwards"),
    ),
    Hypothesis("read-forwards", "the sequences are read forwards", before=_forwards),
    Hypothesis("read-backwards", "the sequences are read backwards", before=_backwards),
    Hypothesis("mask-ignored", "the mask is ignored", before=_without("mask")),
    Hypothesis(
        "mask-inverted",
        "the mask is inverted: the steps with False are read",
        before=_mask_inverted,
    ),
    Hypothesis(
        "mask-resets",
        "a masked step sets the state to zeros",
        mistakes=Mistakes(masked_state_is="zeroed"),
    ),
    Hypothesis(
        "masked-output",
        "the output of a masked step is not the one that masked_output='{masked_output}' says",
        before=_other_masked_output,
    ),
    Hypothesis(
        "activations-exchanged",
        "the activations of the candidate and of the gates are exchanged",
        before=_activations_exchanged,
    ),
    Hypothesis(
        "activation-tanh",
        "the candidate's activation is always tanh; the case has {activation}",
        before=_activation("tanh"),
    ),
    Hypothesis(
        "recurrent-activation-sigmoid",
        "the activation of the gates is always sigmoid; the case has {recurrent_activation}",
        before=_recurrent_activation("sigmoid"),
    ),
    Hypothesis(
        "hard_sigmoid-fifth",
        "the activation of the gates is hard_sigmoid with the slope 0.2 (Keras 1 and 2, ONNX); "
        "the case has {recurrent_activation}",
        before=_recurrent_activation("hard_sigmoid", 0.2, 0.5),
    ),
    Hypothesis(
        "hard_sigmoid-sixth",
        "the activation of the gates is hard_sigmoid with the slope 1/6 (Keras 3); the case has "
        "{recurrent_activation}",
        before=_recurrent_activation("hard_sigmoid", 1 / 6, 0.5),
    ),
    *(
        Hypothesis(
            f"activation-{name}",
            f"the candidate's activation is {name}; the case has {{activation}}",
            before=_activation(name),
        )
        for name in ("sigmoid", "relu", "linear", "softsign")
    ),
    Hypothesis("clip-ignored", "clip is ignored", before=_without("clip")),
    Hypothesis(
        "state-before",
        "the output is the state before each step, not after it",
        after=_state_before_each_step,
    ),
)
