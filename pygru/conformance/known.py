"""The mistakes that the kit knows in outputs. Those that occur more often stand first."""

from __future__ import annotations

from pygru.conformance import changed_inputs as inputs
from pygru.conformance import changed_results as results
from pygru.conformance.forward import Mistakes
from pygru.conformance.hypotheses import Hypothesis

_ASK = "case.weights(gate_order={!r}) gives the weights in this order."
_REFUSE = "If the target has this GRU only, raise NotImplementedError for the other variants."

RESET = Hypothesis(
    "reset",
    "reset {other_reset} instead of {reset}: the reset gate acts {other_reset} the product "
    "with the recurrent matrix",
    f"No change of the weights makes up for it. {_REFUSE}",
    inputs.other_reset,
)
UPDATE = Hypothesis(
    "update",
    "z is inverted: a large update gate {other_update} the old state; the right one "
    "{update} it",
    f"It is exact to negate the rows of z in all weights and biases. {_REFUSE}",
    inputs.other_update,
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
            inputs.order(order),
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
            before=inputs.order("zrn", kind),
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
        inputs.transpose_each,
    ),
    Hypothesis(
        "recurrent-columns",
        "the recurrent matrix is read as if its units stood in columns",
        "case.weights(units='columns') gives weights of this shape.",
        inputs.columns("weight_hh"),
    ),
    Hypothesis(
        "input-columns",
        "the input matrix is transposed: it is read as if its units stood in columns",
        "case.weights(units='columns') gives weights of this shape.",
        inputs.columns("weight_ih"),
    ),
    Hypothesis(
        "both-columns",
        "both matrices are read as if their units stood in columns",
        "case.weights(units='columns') gives weights of this shape.",
        inputs.columns("weight_ih", "weight_hh"),
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
    Hypothesis(
        "h0-ignored", "h0 is ignored: the first state is zeros", before=inputs.without("h0")
    ),
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
    Hypothesis(
        "candidate-of-z",
        "the candidate is computed with the weights of the update gate",
        before=inputs.candidate_of_update_gate,
    ),
    Hypothesis("no-bias", "the biases are missing", before=inputs.bias_times(0, 0)),
    Hypothesis("no-bias-hh", "bias_hh is missing", before=inputs.bias_times(1, 0)),
    Hypothesis(
        "no-bias-hn",
        "the recurrent bias of the candidate is missing",
        before=inputs.recurrent_bias_parts(1, 1, 0),
    ),
    Hypothesis(
        "only-bias-hn",
        "bias_hh is missing in the gates r and z",
        before=inputs.recurrent_bias_parts(0, 0, 1),
    ),
    Hypothesis("no-bias-ih", "bias_ih is missing", before=inputs.bias_times(0, 1)),
    Hypothesis("biases-twice", "the biases are added twice", before=inputs.bias_times(2, 2)),
    Hypothesis("bias-hh-twice", "bias_hh is added twice", before=inputs.bias_times(1, 2)),
    Hypothesis("bias-ih-twice", "bias_ih is added twice", before=inputs.bias_times(2, 1)),
    Hypothesis(
        "bias-for-both", "bias_ih is used as bias_hh too", before=inputs.one_bias_for_both
    ),
    Hypothesis(
        "biases-exchanged", "bias_ih and bias_hh are exchanged", before=inputs.biases_exchanged
    ),
    Hypothesis(
        "reversed-output",
        "the output of the direction that reads backwards is in reversed time order",
        "output[t] is the state after step t of the input, for each direction.",
        mistakes=Mistakes(output_order="reading"),
    ),
    Hypothesis(
        "reversed-output-within",
        "the output of the direction that reads backwards is in reversed time order, within "
        "the length of each sequence",
        "output[t] is the state after step t of the input, for each direction.",
        mistakes=Mistakes(output_order="reading within"),
    ),
    Hypothesis(
        "reversed-last-output",
        "in the last layer, the output of the direction that reads backwards is in reversed "
        "time order",
        "output[t] is the state after step t of the input, for each direction.",
        after=results.last_output_in_order_of_reading,
    ),
    Hypothesis(
        "starts-at-padded-end",
        "the direction that reads backwards starts at the padded end, not at the last valid "
        "step of each sequence",
        mistakes=Mistakes(padding_read_by="reverse"),
    ),
    Hypothesis(
        "padding-read",
        "padding is read: the state goes on after the end of a sequence",
        mistakes=Mistakes(padding_read_by="all"),
    ),
    Hypothesis("lengths-ignored", "the lengths are ignored", before=inputs.without("lengths")),
    Hypothesis(
        "h_n-of-padded-end",
        "h_n is the output at the padded end, not at the last valid step of each sequence",
        after=results.h_n_of_the_padded_end,
    ),
    Hypothesis(
        "h_n-of-last-step",
        "h_n of the direction that reads backwards is taken at the last step in time, which it "
        "reads first",
        after=results.h_n_of_the_last_step,
    ),
    Hypothesis(
        "h_n-direction-major",
        "h_n is in the order direction, layer; the right one is layer, direction",
        after=results.h_n_direction_major,
    ),
    Hypothesis(
        "h0-direction-major",
        "h0 is taken in the order direction, layer; the right one is layer, direction",
        before=inputs.h0_reordered,
    ),
    Hypothesis(
        "states-direction-major",
        "h0 and h_n are in the order direction, layer; the right one is layer, direction",
        before=inputs.h0_reordered,
        after=results.h_n_direction_major,
    ),
    Hypothesis(
        "first-h0-for-all",
        "every layer and direction starts with the first state of h0",
        before=inputs.first_h0_for_all,
    ),
    Hypothesis(
        "output-not-zero",
        "the output after the end of a sequence is its last state, not 0",
        after=results.state_after_the_end,
    ),
    Hypothesis(
        "empty-h_n",
        "h_n of a sequence of length 0 is 0, not h0",
        "A state that is passed from call to call is lost where a sequence has no new step.",
        after=results.nothing_for_empty,
    ),
    Hypothesis(
        "empty-read",
        "one step of a sequence of length 0 is read",
        before=inputs.lengths(lambda lengths: lengths + (lengths == 0)),
    ),
    Hypothesis(
        "one-step-less",
        "each sequence ends one step too early",
        before=inputs.lengths(lambda lengths: lengths - 1),
    ),
    Hypothesis(
        "one-step-more",
        "each sequence ends one step too late",
        before=inputs.lengths(lambda lengths: lengths + 1),
    ),
    Hypothesis(
        "halves-exchanged",
        "the output has the backward direction first",
        after=results.halves_exchanged,
    ),
    Hypothesis(
        "directions-exchanged",
        "the weights of both directions are exchanged",
        before=inputs.directions_exchanged,
    ),
    Hypothesis(
        "same-weights-backwards",
        "the backward direction uses the weights of the forward direction",
        before=inputs.forward_weights_for_both,
    ),
    Hypothesis(
        "backward-reads-forwards",
        "the backward direction reads forwards",
        mistakes=Mistakes(backward_reads="forwards"),
    ),
    Hypothesis("read-forwards", "the sequences are read forwards", before=inputs.forwards),
    Hypothesis("read-backwards", "the sequences are read backwards", before=inputs.backwards),
    Hypothesis("mask-ignored", "the mask is ignored", before=inputs.without("mask")),
    Hypothesis(
        "mask-inverted",
        "the mask is inverted: the steps with False are read",
        before=inputs.mask_inverted,
    ),
    Hypothesis(
        "mask-resets",
        "a masked step sets the state to zeros",
        mistakes=Mistakes(masked_state_is="zeroed"),
    ),
    Hypothesis(
        "masked-output",
        "the output of a masked step is not the one that masked_output='{masked_output}' says",
        before=inputs.other_masked_output,
    ),
    Hypothesis(
        "activations-exchanged",
        "the activations of the candidate and of the gates are exchanged",
        before=inputs.activations_exchanged,
    ),
    Hypothesis(
        "activation-tanh",
        "the candidate's activation is always tanh; the case has {activation}",
        before=inputs.activation("tanh"),
    ),
    Hypothesis(
        "recurrent-activation-sigmoid",
        "the activation of the gates is always sigmoid; the case has {recurrent_activation}",
        before=inputs.recurrent_activation("sigmoid"),
    ),
    Hypothesis(
        "hard_sigmoid-fifth",
        "the activation of the gates is hard_sigmoid with the slope 0.2 (Keras 1 and 2, ONNX); "
        "the case has {recurrent_activation}",
        before=inputs.recurrent_activation("hard_sigmoid", 0.2, 0.5),
    ),
    Hypothesis(
        "hard_sigmoid-sixth",
        "the activation of the gates is hard_sigmoid with the slope 1/6 (Keras 3); the case "
        "has {recurrent_activation}",
        before=inputs.recurrent_activation("hard_sigmoid", 1 / 6, 0.5),
    ),
    *(
        Hypothesis(
            f"activation-{name}",
            f"the candidate's activation is {name}; the case has {{activation}}",
            before=inputs.activation(name),
        )
        for name in ("sigmoid", "relu", "linear", "softsign")
    ),
    Hypothesis("clip-ignored", "clip is ignored", before=inputs.without("clip")),
    Hypothesis(
        "state-before",
        "the output is the state before each step, not after it",
        after=results.state_before_each_step,
    ),
)
