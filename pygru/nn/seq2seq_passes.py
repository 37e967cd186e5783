"""Forward and backward of a Seq2Seq over whole targets: the order in which parts are called.

The methods of the model check their arguments and then call these functions. A call that fails
leaves random generators and gradients as they were. Single steps of the decoder are in
``decoding.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pygru.core import validation
from pygru.core.atomic import attributes
from pygru.gru import GRU
from pygru.nn import ragged
from pygru.nn.decoding import DecoderSteps, replace_with_own
from pygru.nn.tokens import Pairs
from pygru.nn.undo import draws_undone, gradients_undone
from pygru.typing import Floats, Integers

if TYPE_CHECKING:
    from pygru.nn.seq2seq_base import Seq2SeqBase


class Encoded(NamedTuple):
    """The encoded source, as the decoder uses it, and the tapes of the parts that read it."""

    memory: Floats  # (B, Ts, 2H)
    h0: Floats  # (L, B, H)
    tapes: dict[str, Any]


class Tape(NamedTuple):
    """The tapes of the parts, and the arrays between them."""

    target: Integers  # (B, Tt) the input tokens of the decoder, drawn ones included
    steps: Integers | None  # positions in the target that hold data
    h0: Floats
    attentional: Floats
    tapes: dict[str, Any]


def encode(
    model: Seq2SeqBase,
    source: Integers,
    lengths: Integers | None,
    training: bool,
    memory: str | None,
) -> Encoded:
    """Read the source, and make the decoder's first state from the encoder's last ones.

    With ``memory=None`` the encoder keeps nothing, so there is no backward pass.
    """
    tapes: dict[str, Any] = {}
    embedded, tapes["source_embedding"] = model.source_embedding.forward(
        source, lengths=lengths
    )
    embedded, tapes["source_dropout"] = model._dropout.forward(
        embedded, lengths=lengths, training=training
    )
    states, h_n, tapes["encoder"] = _run(
        model.encoder, embedded, None, lengths, training, memory
    )
    count, B, H = h_n.shape
    bridged, tapes["bridge"] = model.bridge.forward(h_n.swapaxes(0, 1).reshape(B, count * H))
    h0 = np.tanh(bridged).reshape(B, model.num_layers, H).swapaxes(0, 1)
    return Encoded(states, h0, tapes)


def forward(
    model: Seq2SeqBase, pairs: Pairs, training: bool, memory: str | None
) -> tuple[Floats, Tape, Floats]:
    """Return the logits, the tape and the weights of the attention, (B, Tt, Ts).

    With ``memory=None``, for inference, encoder and decoder keep nothing. A pass in training is
    counted here, so that generators and count change together, or not at all.
    """
    generators = model.generators if training else ()
    with draws_undone(generators, attributes(model, training_steps=model.training_steps)):
        encoded = encode(model, pairs.source, pairs.source_lengths, training, memory)
        target, lengths = pairs.target, pairs.target_lengths
        if training:
            target = _with_own_tokens(model, pairs, encoded)
        tapes = encoded.tapes
        embedded, tapes["target_embedding"] = model.target_embedding.forward(
            target, lengths=lengths
        )
        embedded, tapes["target_dropout"] = model._dropout.forward(
            embedded, lengths=lengths, training=training
        )
        states, _, tapes["decoder"] = _run(
            model.decoder, embedded, encoded.h0, lengths, training, memory
        )
        context, weights, tapes["attention"] = model.attention.forward(
            states, encoded.memory, lengths=pairs.source_lengths, query_lengths=lengths
        )
        # From here on every step is computed alone, so only the steps with data are used.
        steps = ragged.steps_of(lengths, target.shape)
        joined = np.concatenate((context, states), axis=2)
        combined, tapes["combine"] = model.combine.forward(ragged.take(joined, steps))
        attentional = np.tanh(combined)
        dropped, tapes["last_dropout"] = model._dropout.forward(attentional, training=training)
        logits, tapes["output"] = model.output.forward(dropped)
        logits = ragged.put(logits, steps, target.shape)
        model.training_steps += training
    return logits, Tape(target, steps, encoded.h0, attentional, tapes), weights


def _run(
    gru: GRU,
    x: Floats,
    h0: Floats | None,
    lengths: Integers | None,
    training: bool,
    memory: str | None,
) -> tuple[Floats, Floats, Any]:
    """Output, last states and tape of a GRU; the tape is None with ``memory=None``."""
    if memory is None:
        output, h_n = gru(x, h0, lengths=lengths)
        return output, h_n, None
    output, h_n, tape = gru.forward(x, h0, lengths=lengths, training=training, memory=memory)
    return output, h_n, tape


def _with_own_tokens(model: Seq2SeqBase, pairs: Pairs, encoded: Encoded) -> Integers:
    """Return the target; with scheduled sampling, some tokens are drawn from the model."""
    truth = model.teacher_forcing
    if callable(truth):
        truth = validation.check_fraction(
            f"teacher_forcing({model.training_steps})", truth(model.training_steps)
        )
    if truth == 1:
        return pairs.target
    # Every token is checked, also those that will be replaced.
    model.target_embedding.read(pairs.target, pairs.target_lengths)
    steps = DecoderSteps(model, encoded.memory, encoded.h0, pairs.source_lengths)
    return replace_with_own(pairs.target, pairs.target_lengths, truth, steps, model.generator)


def backward(model: Seq2SeqBase, tape: Tape, d_logits: ArrayLike) -> None:
    """Add to the gradients of all parts that are trained.

    Nothing is computed for the encoder if neither it nor what it reads is trained.
    """
    H, tapes = model.hidden_size, tape.tapes
    shape = (*tape.target.shape, model.target_vocab_size)
    array = validation.as_real("d_logits", d_logits, model.dtype)
    validation.check_shape("d_logits", array, shape, str(shape))
    with gradients_undone() as about_to_change:

        def back(part: Any, name: str, *gradients: Any) -> Any:
            about_to_change(part, tapes[name])
            return part.backward(tapes[name], *gradients)

        d_dropped = back(model.output, "output", ragged.take(array, tape.steps))
        d_combined = model._dropout.backward(tapes["last_dropout"], d_dropped)
        d_combined = d_combined * (1 - tape.attentional**2)
        d_joined = ragged.put(back(model.combine, "combine", d_combined), tape.steps, shape)
        d_states, d_memory, _ = back(model.attention, "attention", d_joined[..., : 2 * H])
        d_states += d_joined[..., 2 * H :]
        d_embedded, d_h0 = back(model.decoder, "decoder", d_states)
        d_embedded = model._dropout.backward(tapes["target_dropout"], d_embedded)
        back(model.target_embedding, "target_embedding", d_embedded)
        reads_trained = model.encoder.trainable or model.source_embedding.trainable
        if not (reads_trained or model.bridge.trainable):
            return
        d_final = _bridge_backward(model, tape, back, d_h0)
        if not reads_trained:
            return
        d_embedded, _ = back(model.encoder, "encoder", d_memory, d_final)
        d_embedded = model._dropout.backward(tapes["source_dropout"], d_embedded)
        back(model.source_embedding, "source_embedding", d_embedded)


def _bridge_backward(model: Seq2SeqBase, tape: Tape, back: Any, d_h0: Floats) -> Floats:
    """The gradient of the encoder's final states from that of the decoder's first one."""
    L, B, H = d_h0.shape
    d_bridged = (d_h0 * (1 - tape.h0**2)).swapaxes(0, 1)
    d_final: Floats = back(model.bridge, "bridge", d_bridged.reshape(B, L * H))
    return d_final.reshape(B, 2 * L, H).swapaxes(0, 1)
