"""The calls of a Seq2Seq over whole targets: forward and backward, also for the trainer.

``seq2seq_passes.py`` calls the parts in their order. Searches are in ``seq2seq.py``, whose
class is the public one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from numpy.typing import ArrayLike

from pygru.core import validation
from pygru.nn import seq2seq_passes
from pygru.nn.seq2seq_base import Seq2SeqBase
from pygru.nn.seq2seq_passes import Tape
from pygru.nn.shortcuts import FORWARD, Shortcut
from pygru.nn.tokens import both_sides
from pygru.typing import Floats


def _call_run(self: Seq2SeqTargets, x: Any, *, lengths: Any = None) -> Floats:
    """Return the logits of ``run`` of a subclass in inference."""
    return self.run(x, lengths=lengths, training=False, memory="outputs")[0]


class Seq2SeqTargets(Seq2SeqBase):
    """Forward and backward over whole targets; see :class:`Seq2Seq`."""

    _shortcuts: ClassVar[dict[str, Shortcut]] = {
        "__call__": Shortcut(FORWARD, _call_run),
        "infer": Shortcut(("__call__", *FORWARD), _call_run),
    }

    def __call__(
        self, x: Mapping[str, Any], *, lengths: Mapping[str, Any] | None = None
    ) -> Floats:
        """Return the logits for inference, given the true previous tokens, without dropout.

        Parameters and result as for :meth:`forward`, without the tape. To let the model choose
        the tokens, use :meth:`translate`.
        """
        return self._forward(x, lengths, training=False, memory=None)[0]

    def forward(
        self,
        x: Mapping[str, Any],
        *,
        lengths: Mapping[str, Any] | None = None,
        training: bool = True,
        memory: str = "gates",
    ) -> tuple[Floats, Tape]:
        """Return the logits of every next token of the target, and the tape for backward.

        Parameters
        ----------
        x : mapping
            ``"source"`` (B, Ts) and ``"target"`` (B, Tt), integers, or two lists of B
            sequences. The source is what the encoder reads. The target is the input of the
            decoder: it begins with the begin token, and at each step the decoder predicts the
            next token.
        lengths : mapping, optional
            ``"source"`` and ``"target"``, each (B,) valid steps or None, for arrays. Later
            steps are not read.
        training : bool
            Whether dropout acts, and ``teacher_forcing``.
        memory : {"gates", "outputs"}
            What the tapes of encoder and decoder keep, as for :meth:`GRU.forward`.

        Returns
        -------
        logits : ndarray
            (B, Tt, target_vocab_size), 0 after the end of a target.
        tape
            To be given to :meth:`backward`.

        Raises
        ------
        IndexError
            If a token is out of range.
        TypeError, ValueError
            If an argument does not fit; the message says what was expected.
        """
        self.check_memory(memory)
        logits, tape, _ = self._forward(x, lengths, training, memory)
        return logits, tape

    def _forward(
        self,
        x: Mapping[str, Any],
        lengths: Mapping[str, Any] | None,
        training: bool,
        memory: str | None,
    ) -> tuple[Floats, Tape, Floats]:
        """What :meth:`forward` does; also the weights of the attention, (B, Tt, Ts)."""
        training = validation.check_bool("training", training)
        pairs = both_sides(x, lengths)
        return seq2seq_passes.forward(self, pairs, training, memory)

    def backward(self, tape: Tape, d_logits: ArrayLike) -> None:
        """Add to the gradients of all parts. Tokens have no gradient.

        Parameters
        ----------
        tape
            From :meth:`forward`, with the weights unchanged since.
        d_logits : array_like
            (B, Tt, target_vocab_size) gradient of the loss with respect to the logits. It is
            not read after the end of a target.

        Raises
        ------
        RuntimeError
            If the weights of encoder or decoder have changed since the tape was made.
        ValueError
            If a shape does not fit. No gradient has changed after an error.
        """
        seq2seq_passes.backward(self, tape, d_logits)

    # ---- as a model of the trainer ---------------------------------------------------------

    def check_memory(self, memory: object) -> None:
        """Raise unless the tapes of encoder and decoder can keep ``memory``."""
        validation.check_choice("memory", memory, ("gates", "outputs"))

    def infer(self, x: Any, *, lengths: Any = None) -> Floats:
        """Return the logits for inference, in the form for the trainer."""
        return self(x, lengths=lengths)

    def run(
        self,
        x: Any,
        state: Any = None,
        *,
        lengths: Any = None,
        training: bool = True,
        memory: Any = "gates",
    ) -> tuple[Floats, None, Tape]:
        """Return the logits, no state and the tape, in the form for the trainer."""
        logits, tape = self.forward(x, lengths=lengths, training=training, memory=memory)
        return logits, None, tape

    def run_backward(self, tape: Tape, d_y: ArrayLike) -> None:
        """Do what :meth:`backward` does."""
        self.backward(tape, d_y)
