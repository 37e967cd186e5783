"""The decoder of a Seq2Seq one step at a time: for a search, and to draw tokens in training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from pygru.nn.linear import Linear
from pygru.typing import Floats, Integers

if TYPE_CHECKING:
    from pygru.nn.seq2seq_base import Seq2SeqBase


class DecoderSteps:
    """The states of hypotheses, and the sources they belong to.

    A row is a hypothesis. Each source has ``slots`` places for its hypotheses, so that no row
    needs a copy of its source. At first there is one row per source, in slot 0.

    Parameters
    ----------
    model : Seq2Seq
    memory : ndarray
        (B, Ts, 2H) the states of the encoder.
    h0 : ndarray
        (L, B, H) the first states of the decoder.
    lengths : array_like or None
        (B,) of the sources.
    slots : int
    """

    def __init__(
        self,
        model: Seq2SeqBase,
        memory: Floats,
        h0: Floats,
        lengths: ArrayLike | None,
        slots: int = 1,
    ) -> None:
        self._model = model
        self._prepared = model.attention.prepare(memory, lengths=lengths)
        self._h = h0
        self._slots = slots

    def advance(self, tokens: Integers, source: Integers, slot: Integers) -> Floats:
        """Make one step with the last token of each row; return its logits, (rows, V).

        ``source`` and ``slot`` say for each row where it belongs.
        """
        model = self._model
        self._h = model.decoder.step(model.target_embedding(tokens), self._h)
        state = self._h[-1]
        queries = np.zeros(
            (len(self._prepared.values), self._slots, state.shape[1]), state.dtype
        )
        queries[source, slot] = state
        context, _ = model.attention.attend(queries, self._prepared)
        joined = np.concatenate((context[source, slot], state), axis=1)
        return _affine(model.output, np.tanh(_affine(model.combine, joined)))

    def keep(self, rows: Any, sources: Any) -> None:
        """Continue with some rows of the last step, in this order, and with some sources."""
        self._h = self._h[:, rows]
        self._prepared = self._prepared.select(sources)


def _affine(layer: Linear, x: Floats) -> Floats:
    """What a Linear gives, by NumPy's product.

    That of the layer costs several times as much for a single row, because it packs the weights
    in each call. Its equal bits in every batch are no use here, since the attention has none.
    """
    y: Floats = x @ layer.parameters["weight"].T
    return y + layer.parameters["bias"]


def replace_with_own(
    target: Integers,
    lengths: Integers | None,
    truth: float,
    steps: DecoderSteps,
    generator: np.random.Generator,
) -> Integers:
    """Return the target with tokens replaced by ones that the model draws: scheduled sampling.

    Each token except the first is kept with probability ``truth``. A token that the model draws
    depends on the tokens before it, including drawn ones; there is no dropout. For the
    gradient, drawn tokens are constants: backward differentiates one pass over the mixed
    target.

    Parameters
    ----------
    target : ndarray of int
        (B, T).
    lengths : ndarray or None
        (B,) of the targets; tokens after them are not read.
    truth : float
    steps : DecoderSteps
        The sources, at the beginning.
    generator : numpy.random.Generator
    """
    B, T = target.shape
    own = generator.random(target.shape) >= truth
    mixed = target.copy()
    ends = np.full(B, T) if lengths is None else lengths
    order = np.argsort(-ends, kind="stable")  # the longest come first
    steps.keep(order, order)
    for t in range(T - 1):
        going_on = np.count_nonzero(ends > t + 1)
        order = order[:going_on]
        steps.keep(slice(going_on), slice(going_on))
        source = np.arange(going_on)
        logits = steps.advance(mixed[order, t], source, np.zeros_like(source))
        # The largest of logits plus Gumbel noise is a draw from their softmax.
        drawn = (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)
        replaced = own[order, t + 1]
        mixed[order[replaced], t + 1] = drawn[replaced]
    return mixed
