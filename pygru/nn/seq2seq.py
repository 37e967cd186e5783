"""Seq2Seq: an encoder-decoder with attention, from sequences of tokens to sequences of tokens.

The decoder is that of Luong: first the GRU runs over the whole target, and then each of its
states attends to the source. In Bahdanau's form the context of a step is an input of the GRU's
next step, so training needs a loop over the steps. Here forward and backward are one call per
layer for the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from pygru.core import validation
from pygru.nn import seq2seq_parts, seq2seq_passes
from pygru.nn.beam import BeamSearch, Found, Translation, grouped
from pygru.nn.decoding import DecoderSteps
from pygru.nn.seq2seq_targets import Seq2SeqTargets
from pygru.nn.tokens import padded
from pygru.typing import Floats, Seed


class Seq2Seq(Seq2SeqTargets):
    """An encoder-decoder with attention (Luong et al. 2015).

    A bidirectional GRU, the encoder, reads the source. A linear layer with tanh computes the
    decoder's initial state from the encoder's final states. The decoder, another GRU, reads a
    begin token and then the target. Each of its states ``h`` attends to the states of the
    encoder, which gives a context ``c``. The logits of the next token are
    ``output(tanh(combine([c, h])))``.

    Parameters
    ----------
    source_vocab_size, target_vocab_size : int
        Numbers of different tokens. A token is an integer >= 0 below this number.
    embedding_dim : int
        Size of the embeddings of source and target.
    hidden_size : int
        Features H of the decoder's state, and of each direction of the encoder's.
    num_layers : int
        Layers of encoder and decoder.
    dropout : float
        Probability of dropping elements, in training, of the embeddings, between the layers
        of the GRUs, and before the output layer.
    gru : mapping, optional
        Further options of encoder and decoder by their names in :class:`GRU`, such as
        ``{"variant": "pytorch", "zoneout": 0.1, "layer_norm": True}``. With ``learn_h0`` the
        first state of the encoder is learned; that of the decoder always comes from the
        encoder.
    score : {"general", "additive"}
        The attention's score; see :class:`Attention`.
    bos_idx, eos_idx : int
        The tokens that mark the beginning and the end of a target.
    teacher_forcing : float or function
        Probability with which the decoder, in training, reads the true previous token instead
        of one drawn from its own prediction. For scheduled sampling [2]_ it may be a function
        from the number of forward passes in training so far to this probability. If it is below
        1, the decoder first runs step by step to draw the tokens. For the gradient, drawn
        tokens are constants. This option belongs to the training, not to the model: model files
        store neither the option nor the count of passes, and checkpoints store the count.
    dtype : dtype
        float32 or float64.
    seed : int, sequence of int, SeedSequence, Generator or None
        Seed of the initial parameters, of dropout and of drawn tokens.

    Attributes
    ----------
    source_embedding, target_embedding : Embedding
    encoder, decoder : GRU
    attention : Attention
    bridge, combine, output : Linear
        The parts.
    parameters, grads : mapping of str to ndarray
        Views of all parts' parameters and gradients, named ``"<part>.<name>"``.
    training_steps : int
        The number of forward passes in training so far, the argument of a
        ``teacher_forcing`` function.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Notes
    -----
    The logits of a pair can differ in their last bits between batches, because attention sums
    over padding; see :class:`Attention`. Those of a GRU or a :class:`Sequential` do not.

    References
    ----------
    .. [1] M.-T. Luong, H. Pham, C. D. Manning, "Effective Approaches to Attention-based
       Neural Machine Translation", 2015, arXiv:1508.04025.
    .. [2] S. Bengio, O. Vinyals, N. Jaitly, N. Shazeer, "Scheduled Sampling for Sequence
       Prediction with Recurrent Neural Networks", 2015, arXiv:1506.03099.

    Examples
    --------
    >>> from pygru import Adam, Seq2Seq, Trainer
    >>> sources = [[2, 3], [3, 4, 2], [4], [2, 2, 4]]
    >>> model = Seq2Seq(5, 5, embedding_dim=8, hidden_size=16, seed=0)
    >>> X, y = model.training_data(sources, [source[::-1] for source in sources])
    >>> trainer = Trainer(model, loss="cross_entropy", optimizer=Adam(0.02), seed=0)
    >>> history = trainer.fit(X, y, epochs=40, batch_size=4)
    >>> model.translate([[3, 4, 2]], max_length=5)
    [[2, 4, 3]]
    """

    def __init__(
        self,
        source_vocab_size: int,
        target_vocab_size: int,
        embedding_dim: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        dropout: float = 0.0,
        gru: Mapping[str, Any] | None = None,
        score: str = "general",
        bos_idx: int = 0,
        eos_idx: int = 1,
        teacher_forcing: float | Callable[[int], float] = 1.0,
        dtype: DTypeLike = np.float32,
        seed: Seed = None,
    ) -> None:
        self._fix(
            source_vocab_size=validation.check_int("source_vocab_size", source_vocab_size, 1),
            target_vocab_size=validation.check_int("target_vocab_size", target_vocab_size, 2),
            embedding_dim=validation.check_int("embedding_dim", embedding_dim, 1),
            hidden_size=validation.check_int("hidden_size", hidden_size, 1),
            num_layers=validation.check_int("num_layers", num_layers, 1),
            dropout=validation.check_fraction("dropout", dropout),
            _gru=seq2seq_parts.gru_config(gru),
            score=validation.check_choice("score", score, ("general", "additive")),
            dtype=validation.check_dtype(dtype),
        )
        self._fix(
            bos_idx=self._check_token("bos_idx", bos_idx),
            eos_idx=self._check_token("eos_idx", eos_idx),
        )
        if self.bos_idx == self.eos_idx:
            raise ValueError(f"bos_idx and eos_idx must differ, got {bos_idx} for both")
        self._fix(output_size=self.target_vocab_size)
        self.teacher_forcing = teacher_forcing
        self.training_steps = 0
        self._create(seed)

    # ---- translation -----------------------------------------------------------------------

    @overload
    def translate(
        self,
        sources: Any,
        *,
        max_length: int,
        beam_size: int = ...,
        length_penalty: float = ...,
        n_best: None = ...,
    ) -> list[list[int]]: ...

    @overload
    def translate(
        self,
        sources: Any,
        *,
        max_length: int,
        beam_size: int = ...,
        length_penalty: float = ...,
        n_best: int,
    ) -> list[list[list[int]]]: ...

    def translate(
        self,
        sources: Any,
        *,
        max_length: int,
        beam_size: int = 1,
        length_penalty: float = 0.0,
        n_best: int | None = None,
    ) -> list[list[int]] | list[list[list[int]]]:
        """Return the most probable target of each source that the search finds.

        Parameters
        ----------
        sources : list of array_like of int
            N sequences of tokens, searched together.
        max_length : int
            The largest number of tokens of a target, including its end token. A target that has
            not ended by then is cut off.
        beam_size : int
            The number of hypotheses per source that are continued. With 1 the search is greedy.
        length_penalty : float
            Exponent alpha >= 0: hypotheses are compared by log-probability / length**alpha.
            With 0, short hypotheses have an advantage.
        n_best : int, optional
            Return a list of up to so many targets for each source, at most ``beam_size``. The
            best one comes first. Targets that were cut off follow those that have ended.

        Returns
        -------
        list of list of int
            Tokens without begin and end. With ``n_best``, N lists of such lists.

        Raises
        ------
        IndexError
            If a token is out of range.
        TypeError, ValueError
            If an argument does not fit, ``max_length ** length_penalty`` is beyond the range of
            a float, or the model's weights are not finite.

        Notes
        -----
        A source is padded to the longest one of the call, and its attention weights are sums
        over the padded length. So a score can differ in its last bits from that of a call with
        other sources, and of two targets that are equally probable the other one can win.

        Examples
        --------
        >>> import pygru
        >>> model = pygru.Seq2Seq(5, 6, 4, 8, seed=0)
        >>> len(model.translate([[1, 2, 3], [4]], max_length=4, beam_size=3))
        2
        >>> found = model.translate([[1, 2, 3], [4]], max_length=4, beam_size=3, n_best=2)
        >>> [len(best) for best in found]
        [2, 2]
        """
        found = self._search(sources, max_length, beam_size, length_penalty, n_best)
        if n_best is None:
            return found.tokens
        return grouped(found.tokens, found.counts)

    @overload
    def beam_search(
        self,
        sources: Any,
        *,
        max_length: int,
        beam_size: int = ...,
        length_penalty: float = ...,
        n_best: None = ...,
    ) -> list[Translation]: ...

    @overload
    def beam_search(
        self,
        sources: Any,
        *,
        max_length: int,
        beam_size: int = ...,
        length_penalty: float = ...,
        n_best: int,
    ) -> list[list[Translation]]: ...

    def beam_search(
        self,
        sources: Any,
        *,
        max_length: int,
        beam_size: int = 1,
        length_penalty: float = 0.0,
        n_best: int | None = None,
    ) -> list[Translation] | list[list[Translation]]:
        """Do what :meth:`translate` does, and return scores and attention weights too.

        Parameters
        ----------
        sources, max_length, beam_size, length_penalty, n_best
            As for :meth:`translate`.

        Returns
        -------
        list of Translation
            With ``n_best``, N lists of them.

        Examples
        --------
        >>> import pygru
        >>> model = pygru.Seq2Seq(5, 6, 4, 8, seed=0)
        >>> found = model.beam_search([[1, 2, 3]], max_length=4, beam_size=9, n_best=2)[0]
        >>> found[0].score >= found[1].score
        True
        """
        found = self._search(sources, max_length, beam_size, length_penalty, n_best)
        of_each = [
            source
            for source, count in zip(sources, found.counts, strict=True)
            for _ in range(count)
        ]
        weights = self.attention_weights(of_each, found.tokens)
        parts = zip(found.tokens, found.scores, weights, found.have_ended, strict=True)
        translations = [Translation(*each) for each in parts]
        return translations if n_best is None else grouped(translations, found.counts)

    def attention_weights(
        self, sources: Iterable[ArrayLike], targets: Iterable[ArrayLike]
    ) -> list[Floats]:
        """Return the attention weights of the decoder while it predicts given targets.

        Parameters
        ----------
        sources, targets : list of array_like of int
            N sequences of tokens each, without begin and end.

        Returns
        -------
        list of ndarray
            The weights of each pair, (target length, source length). Rows sum to 1, or to 0 if
            the source is empty.
        """
        X, _ = self.training_data(sources, targets)
        if not X["source"]:
            return []
        found = self._forward(X, None, training=False, memory=None)[2]
        return [
            weights[: len(target) - 1, : len(source)].copy()
            for weights, source, target in zip(found, X["source"], X["target"], strict=True)
        ]

    def _search(
        self,
        sources: Any,
        max_length: int,
        beam_size: int,
        length_penalty: float,
        n_best: int | None,
    ) -> Found:
        """The best targets of each source, without their ends; one of each if None."""
        search = BeamSearch(
            max_length,
            beam_size,
            length_penalty,
            1 if n_best is None else n_best,
            self.bos_idx,
            self.eos_idx,
        )
        source, lengths = padded("sources", sources, None)
        encoded = seq2seq_passes.encode(self, source, lengths, training=False, memory=None)
        steps = DecoderSteps(self, encoded.memory, encoded.h0, lengths, search.beam_size)
        return search.run(steps, len(source))
