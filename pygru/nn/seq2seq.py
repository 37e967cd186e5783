"""Seq2Seq: an encoder-decoder with attention, from sequences of tokens to sequences of tokens.

The decoder is that of Luong: first the GRU runs over the whole target, and then each of its
states attends to the source. In Bahdanau's form the context of a step is an input of the GRU's
next step, so training needs a loop over the steps. Here forward and backward are one call per
layer for the whole batch.
"""

from typing import NamedTuple

import numpy as np

from pygru.core import validation
from pygru.gru import GRU
from pygru.nn import ragged
from pygru.nn.attention import Attention
from pygru.nn.beam import BeamSearch
from pygru.nn.composite import Composite
from pygru.nn.decoding import DecoderSteps, replace_with_own
from pygru.nn.embedding import Embedding
from pygru.nn.layers import Dropout, Linear
from pygru.nn.seeds import spawn
from pygru.nn.tokens import as_tokens, both_sides, padded
from pygru.variant import Variant


class Translation(NamedTuple):
    """The target that :meth:`Seq2Seq.beam_search` found for one source.

    Attributes
    ----------
    tokens : list of int
        The target without begin token and end token.
    score : float
        Its log-probability, divided by ``length ** length_penalty``. The end token counts in
        the length.
    attention : ndarray
        (len(tokens), source length) the attention weights with which each token was chosen.

    Examples
    --------
    >>> import pygru
    >>> model = pygru.Seq2Seq(5, 6, 4, 8, seed=0)
    >>> found = model.beam_search([[1, 2, 3]], max_length=4, beam_size=2)[0]
    >>> found.attention.shape == (len(found.tokens), 3)
    True
    """

    tokens: list
    score: float
    attention: np.ndarray


class _Tape(NamedTuple):
    """The tapes of the parts, and the arrays between them."""

    target: np.ndarray  # the input tokens of the decoder
    source_embedding: tuple
    source_dropout: tuple
    encoder: object
    bridge: tuple
    h0: np.ndarray
    target_embedding: tuple
    target_dropout: tuple
    decoder: object
    attention: tuple
    steps: np.ndarray  # positions in the target that hold data
    combine: tuple
    attentional: np.ndarray
    attentional_dropout: tuple
    output: tuple


class _Encoded(NamedTuple):
    """The encoded source, as the decoder uses it."""

    memory: np.ndarray  # (B, Ts, 2H)
    h0: np.ndarray  # (L, B, H)
    tapes: tuple


class Seq2Seq(Composite):
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
    recurrent_dropout, zoneout : float
        Noise inside encoder and decoder, in training; see :class:`GRU`.
    layer_norm : bool
        Whether encoder and decoder normalise the sums of their gates; see :class:`GRU`.
    score : {"general", "additive"}
        The attention's score; see :class:`Attention`.
    bos_idx, eos_idx : int
        The tokens that mark the beginning and the end of a target.
    variant : {"chung", "cho", "pytorch"} or Variant
        The variant of encoder and decoder; see :class:`GRU`.
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

    reads = "pairs"

    def __init__(
        self,
        source_vocab_size,
        target_vocab_size,
        embedding_dim,
        hidden_size,
        num_layers=1,
        *,
        dropout=0.0,
        recurrent_dropout=0.0,
        zoneout=0.0,
        layer_norm=False,
        score="general",
        bos_idx=0,
        eos_idx=1,
        variant="chung",
        teacher_forcing=1.0,
        dtype=np.float32,
        seed=None,
    ):
        self.source_vocab_size = validation.check_int("source_vocab_size", source_vocab_size, 1)
        self.target_vocab_size = validation.check_int("target_vocab_size", target_vocab_size, 2)
        self.embedding_dim = validation.check_int("embedding_dim", embedding_dim, 1)
        self.hidden_size = validation.check_int("hidden_size", hidden_size, 1)
        self.num_layers = validation.check_int("num_layers", num_layers, 1)
        self.dropout = validation.check_fraction("dropout", dropout)
        self.recurrent_dropout = validation.check_fraction(
            "recurrent_dropout", recurrent_dropout
        )
        self.zoneout = validation.check_fraction("zoneout", zoneout)
        self.layer_norm = validation.check_bool("layer_norm", layer_norm)
        self.score = validation.check_choice("score", score, ("general", "additive"))
        self.bos_idx = self._check_token("bos_idx", bos_idx)
        self.eos_idx = self._check_token("eos_idx", eos_idx)
        if self.bos_idx == self.eos_idx:
            raise ValueError(f"bos_idx and eos_idx must differ, got {bos_idx} for both")
        self.variant = Variant.named(variant)
        self.dtype = validation.check_dtype(dtype)
        self.teacher_forcing = teacher_forcing
        self.training_steps = 0
        specifications = _parts(self.get_config())
        seeds = spawn(seed, len(specifications) + 2)
        parts = {
            name: cls.from_config({**config, "seed": part_seed})
            for (name, (cls, config)), part_seed in zip(
                specifications.items(), seeds[2:], strict=True
            )
        }
        self.__dict__.update(parts)
        self._dropout = Dropout(self.dropout, seed=seeds[0])
        self.generator = seeds[1]
        self._create_parts({**parts, "dropout": self._dropout})

    def _check_token(self, name, value):
        token = validation.check_int(name, value, 0)
        if token >= self.target_vocab_size:
            raise ValueError(
                f"{name} must be < target_vocab_size={self.target_vocab_size}, got {token}"
            )
        return token

    @property
    def teacher_forcing(self):
        """Probability of the true previous token in training, or a function of the step."""
        return self._teacher_forcing

    @teacher_forcing.setter
    def teacher_forcing(self, value):
        if not callable(value):
            value = validation.check_fraction("teacher_forcing", value)
        self._teacher_forcing = value

    @property
    def generators(self):
        """List of the random generators that training uses."""
        return [self.generator, *super().generators]

    def get_config(self):
        """Return the constructor's arguments for JSON, without seed and teacher forcing."""
        return {
            "source_vocab_size": self.source_vocab_size,
            "target_vocab_size": self.target_vocab_size,
            "embedding_dim": self.embedding_dim,
            "hidden_size": self.hidden_size,
            "num_layers": self.num_layers,
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "zoneout": self.zoneout,
            "layer_norm": self.layer_norm,
            "score": self.score,
            "bos_idx": self.bos_idx,
            "eos_idx": self.eos_idx,
            "variant": self.variant.name or [self.variant.reset, self.variant.update],
            "dtype": self.dtype.name,
        }

    @classmethod
    def from_config(cls, config):
        """Return a model with the arguments that :meth:`get_config` returned."""
        config = dict(config)
        if isinstance(config.get("variant"), (list, tuple)):
            config["variant"] = Variant(*config["variant"])
        return cls(**config)

    @staticmethod
    def parameter_shapes(config):
        """Return the shape of each parameter that ``config`` makes."""
        return {
            f"{part}.{name}": shape
            for part, (cls, part_config) in _parts(config).items()
            for name, shape in cls.parameter_shapes(part_config).items()
        }

    # ---- data --------------------------------------------------------------------------------

    def training_data(self, sources, targets):
        """Return X and y for :meth:`Trainer.fit` from pairs of token sequences.

        The input of the decoder is the begin token followed by the target. It learns to predict
        the target followed by the end token.

        Parameters
        ----------
        sources, targets : list of array_like of int
            N sequences of tokens each, without begin and end.

        Returns
        -------
        X : dict
            ``"source"`` and ``"target"``: lists of N arrays.
        y : list of ndarray
            N arrays.
        """
        sources = [as_tokens(f"sources[{i}]", s) for i, s in enumerate(sources)]
        targets = [as_tokens(f"targets[{i}]", s) for i, s in enumerate(targets)]
        if len(sources) != len(targets):
            raise ValueError(
                f"sources and targets must be as many, got {len(sources)} and {len(targets)}"
            )
        inputs = [np.insert(target, 0, self.bos_idx) for target in targets]
        outputs = [np.append(target, self.eos_idx) for target in targets]
        return {"source": sources, "target": inputs}, outputs

    # ---- as a model of the trainer ---------------------------------------------------------

    needs_whole_sequences = True

    def output_features(self, features):
        """Return ``target_vocab_size``."""
        return self.target_vocab_size

    def check_memory(self, memory):
        """Raise unless the tapes of encoder and decoder can keep ``memory``."""
        validation.check_choice("memory", memory, ("gates", "outputs"))

    def infer(self, x, *, lengths=None):
        """Return the logits for inference, in the form for the trainer."""
        return self(x, lengths=lengths)

    def run(self, x, state=None, *, lengths=None, training=True, memory="gates"):
        """Return the logits, no state and the tape, in the form for the trainer."""
        logits, tape = self.forward(x, lengths=lengths, training=training, memory=memory)
        return logits, None, tape

    def run_backward(self, tape, d_y):
        """Do what :meth:`backward` does."""
        self.backward(tape, d_y)

    # ---- whole targets -----------------------------------------------------------------------

    def __call__(self, x, *, lengths=None):
        """Return the logits for inference, given the true previous tokens, without dropout.

        Parameters and result as for :meth:`forward`, without the tape. To let the model choose
        the tokens, use :meth:`translate`.
        """
        return self.forward(x, lengths=lengths, training=False)[0]

    def forward(self, x, *, lengths=None, training=True, memory="gates"):
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
        return self._forward(x, lengths, training, memory)[:2]

    def _forward(self, x, lengths, training, memory):
        """What :meth:`forward` does; also the weights of the attention, (B, Tt, Ts)."""
        training = validation.check_bool("training", training)
        source, target, source_lengths, target_lengths = both_sides(x, lengths)
        validation.check_choice("memory", memory, ("gates", "outputs"))
        encoded = self._encode(source, source_lengths, training, memory)
        if training:
            target = self._with_own_tokens(target, encoded, source_lengths, target_lengths)
        embedded, tape_of_embedding = self.target_embedding.forward(
            target, lengths=target_lengths
        )
        embedded, tape_of_dropout = self._dropout.forward(
            embedded, lengths=target_lengths, training=training
        )
        states, _, tape_of_decoder = self.decoder.forward(
            embedded, encoded.h0, lengths=target_lengths, training=training, memory=memory
        )
        context, weights, tape_of_attention = self.attention.forward(
            states, encoded.memory, lengths=source_lengths, query_lengths=target_lengths
        )
        # From here on the steps do not depend on each other. Only those that hold data are
        # used.
        steps = ragged.steps_of(target_lengths, target.shape)
        joined = np.concatenate((context, states), axis=2)
        combined, tape_of_combine = self.combine.forward(ragged.take(joined, steps))
        attentional = np.tanh(combined)
        dropped, last_dropout = self._dropout.forward(attentional, training=training)
        logits, tape_of_output = self.output.forward(dropped)
        tape = _Tape(
            target,
            *encoded.tapes,
            encoded.h0,
            tape_of_embedding,
            tape_of_dropout,
            tape_of_decoder,
            tape_of_attention,
            steps,
            tape_of_combine,
            attentional,
            last_dropout,
            tape_of_output,
        )
        self.training_steps += training
        return ragged.put(logits, steps, target.shape), tape, weights

    def backward(self, tape, d_logits):
        """Add to the gradients of all parts. Tokens have no gradient.

        Parameters
        ----------
        tape
            From :meth:`forward`, with the weights unchanged since.
        d_logits : array_like
            (B, Tt, target_vocab_size) gradient of the loss with respect to the logits. It is
            not read after the end of a target.
        """
        H = self.hidden_size
        d_logits = validation.as_real("d_logits", d_logits, self.dtype)
        shape = (*tape.target.shape, self.target_vocab_size)
        validation.check_shape("d_logits", d_logits, shape, str(shape))
        d_logits = ragged.take(d_logits, tape.steps)
        d_dropped = self.output.backward(tape.output, d_logits)
        d_combined = self._dropout.backward(tape.attentional_dropout, d_dropped)
        d_combined = d_combined * (1 - tape.attentional**2)
        d_joined = self.combine.backward(tape.combine, d_combined)
        d_joined = ragged.put(d_joined, tape.steps, shape)
        d_states, d_memory, _ = self.attention.backward(tape.attention, d_joined[..., : 2 * H])
        d_states += d_joined[..., 2 * H :]
        d_embedded, d_h0 = self.decoder.backward(tape.decoder, d_states)
        d_embedded = self._dropout.backward(tape.target_dropout, d_embedded)
        self.target_embedding.backward(tape.target_embedding, d_embedded)
        d_final = self._bridge_backward(tape, d_h0)
        d_embedded, _ = self.encoder.backward(tape.encoder, d_memory, d_final)
        d_embedded = self._dropout.backward(tape.source_dropout, d_embedded)
        self.source_embedding.backward(tape.source_embedding, d_embedded)

    def _encode(self, source, lengths, training, memory="gates"):
        embedded, tape_of_embedding = self.source_embedding.forward(source, lengths=lengths)
        embedded, tape_of_dropout = self._dropout.forward(
            embedded, lengths=lengths, training=training
        )
        states, h_n, tape_of_encoder = self.encoder.forward(
            embedded, lengths=lengths, training=training, memory=memory
        )
        final = h_n.swapaxes(0, 1).reshape(h_n.shape[1], -1)  # (B, L * 2 * H)
        bridged, tape_of_bridge = self.bridge.forward(final)
        h0 = np.tanh(bridged).reshape(-1, self.num_layers, self.hidden_size).swapaxes(0, 1)
        tapes = tape_of_embedding, tape_of_dropout, tape_of_encoder, tape_of_bridge
        return _Encoded(states, h0, tapes)

    def _bridge_backward(self, tape, d_h0):
        """The gradient of the encoder's final states from that of the decoder's first one."""
        d_bridged = (d_h0 * (1 - tape.h0**2)).swapaxes(0, 1)
        B = len(d_bridged)
        d_final = self.bridge.backward(tape.bridge, d_bridged.reshape(B, -1))
        return d_final.reshape(B, 2 * self.num_layers, self.hidden_size).swapaxes(0, 1)

    def _with_own_tokens(self, target, encoded, source_lengths, target_lengths):
        """Return the target; with scheduled sampling, some tokens are drawn from the model."""
        truth = self._teacher_forcing
        if callable(truth):
            truth = validation.check_fraction(
                f"teacher_forcing({self.training_steps})", truth(self.training_steps)
            )
        if truth == 1:
            return target
        steps = DecoderSteps(self, encoded.memory, encoded.h0, source_lengths)
        return replace_with_own(target, target_lengths, truth, steps, self.generator)

    # ---- translation -----------------------------------------------------------------------

    def translate(self, sources, *, max_length, beam_size=1, length_penalty=0.0):
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

        Returns
        -------
        list of list of int
            Tokens without begin and end.

        Raises
        ------
        IndexError
            If a token is out of range.
        TypeError, ValueError
            If an argument does not fit, or the model's weights are not finite.

        Examples
        --------
        >>> import pygru
        >>> model = pygru.Seq2Seq(5, 6, 4, 8, seed=0)
        >>> len(model.translate([[1, 2, 3], [4]], max_length=4, beam_size=3))
        2
        """
        return self._search(sources, max_length, beam_size, length_penalty)[0]

    def beam_search(self, sources, *, max_length, beam_size=1, length_penalty=0.0):
        """Do what :meth:`translate` does, and return scores and attention weights too.

        Parameters
        ----------
        sources, max_length, beam_size, length_penalty
            As for :meth:`translate`.

        Returns
        -------
        list of Translation
        """
        targets, scores = self._search(sources, max_length, beam_size, length_penalty)
        weights = self.attention_weights(sources, targets)
        return [Translation(*parts) for parts in zip(targets, scores, weights, strict=True)]

    def attention_weights(self, sources, targets):
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
        found = self._forward(X, None, training=False, memory="gates")[2]
        return [
            weights[: len(target) - 1, : len(source)].copy()
            for weights, source, target in zip(found, X["source"], X["target"], strict=True)
        ]

    def _search(self, sources, max_length, beam_size, length_penalty):
        """The best target of each source, without its end, and its score."""
        search = BeamSearch(max_length, beam_size, length_penalty, self.bos_idx, self.eos_idx)
        source, lengths = padded("sources", sources, None)
        encoded = self._encode(source, lengths, training=False)
        steps = DecoderSteps(self, encoded.memory, encoded.h0, lengths, search.beam_size)
        return search.run(steps, len(source))


def _parts(config):
    """The class and the configuration of each part, in order."""
    E, H, L = config["embedding_dim"], config["hidden_size"], config["num_layers"]
    dtype = {"dtype": config["dtype"]}
    gru = {
        "input_size": E,
        "hidden_size": H,
        "num_layers": L,
        "bias": True,
        "batch_first": True,
        "dropout": config["dropout"] if L > 1 else 0.0,
        # absent in files of versions before them
        "recurrent_dropout": config.get("recurrent_dropout", 0.0),
        "zoneout": config.get("zoneout", 0.0),
        "layer_norm": config.get("layer_norm", False),
        "variant": config["variant"],
        **dtype,
    }

    def embedding(size):
        return Embedding, {"num_embeddings": size, "embedding_dim": E, **dtype}

    def linear(inputs, outputs):
        return Linear, {"in_features": inputs, "out_features": outputs, "bias": True, **dtype}

    attention = {
        "query_size": H,
        "key_size": 2 * H,
        "attention_size": H if config["score"] == "additive" else None,
        "score": config["score"],
        **dtype,
    }
    return {
        "source_embedding": embedding(config["source_vocab_size"]),
        "encoder": (GRU, {**gru, "bidirectional": True}),
        "bridge": linear(2 * L * H, L * H),
        "target_embedding": embedding(config["target_vocab_size"]),
        "decoder": (GRU, {**gru, "bidirectional": False}),
        "attention": (Attention, attention),
        "combine": linear(3 * H, H),
        "output": linear(H, config["target_vocab_size"]),
    }
