"""What a Seq2Seq consists of: its options, parts and training data.

The class here makes the parts and knows how they are saved. The calls over whole targets are
in ``seq2seq_targets.py``, and searches in ``seq2seq.py``, whose class is the public one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pygru.core import validation
from pygru.core.pickled import CheckedState, refuse
from pygru.core.validation import type_name
from pygru.gru import GRU
from pygru.nn import seq2seq_parts
from pygru.nn.attention import Attention
from pygru.nn.composite import Composite
from pygru.nn.dropout import Dropout
from pygru.nn.embedding import Embedding
from pygru.nn.linear import Linear
from pygru.nn.seeds import spawn
from pygru.nn.tokens import Tokens, refuse_token, sequences_of_tokens
from pygru.nn.undo import reseeding_undone
from pygru.typing import Seed


class Seq2SeqBase(CheckedState, Composite):
    """The options, parts and training data of a Seq2Seq; see :class:`Seq2Seq`."""

    reads = "pairs"
    needs_whole_sequences = True
    _made_again = frozenset({"parameters", "grads", "_unique", "_named"})
    _changing = frozenset({"training_steps"})
    _filled_by = "_create"

    source_vocab_size: int
    target_vocab_size: int
    embedding_dim: int
    hidden_size: int
    num_layers: int
    dropout: float
    score: str
    bos_idx: int
    eos_idx: int
    dtype: np.dtype[Any]
    source_embedding: Embedding
    encoder: GRU
    bridge: Linear
    target_embedding: Embedding
    decoder: GRU
    attention: Attention
    combine: Linear
    output: Linear
    _dropout: Dropout
    _gru: dict[str, Any]
    training_steps: int

    def _create(self, seed: Seed) -> None:
        """Make the parts, each with a generator of its own."""
        specifications = seq2seq_parts.specifications(self.get_config())
        of_dropout, own, *others = spawn(seed, len(specifications) + 2)
        parts = {
            name: cls.from_config({**config, "seed": generator})
            for (name, (cls, config)), generator in zip(
                specifications.items(), others, strict=True
            )
        }
        self._fix(**parts, _dropout=Dropout(self.dropout, seed=of_dropout))
        self.generator = own
        self._create_parts({**parts, "dropout": self._dropout})

    def _restore(self) -> None:
        """Check the parts of a state, each of which has been checked alone."""
        cls, attributes = type(self), vars(self)
        specifications: dict[str, tuple[type, dict[str, Any]]] = {
            **seq2seq_parts.specifications(self.get_config()),
            "_dropout": (Dropout, {"p": self.dropout}),
        }
        for name, (kind, config) in specifications.items():
            part = attributes.get(name)
            if not isinstance(part, kind):
                refuse(cls, f"{name} must be a {kind.__name__}, got {type_name(part)}")
            found = part.get_config()  # type: ignore[attr-defined]  # every part has one
            if {option: found.get(option) for option in config} != config:
                refuse(cls, f"{name} must have the options {config}, got {found}")
        if not isinstance(attributes.get("generator"), np.random.Generator):
            refuse(cls, "it has no generator that is a numpy.random.Generator")
        validation.check_count("training_steps", self.training_steps, 0)
        *names, _ = specifications
        parts = {name: attributes[name] for name in names}
        self._create_parts({**parts, "dropout": self._dropout})

    def reseed(self, seed: Seed) -> None:
        """Draw the initial parameters anew; dropout and drawn tokens follow ``seed`` too.

        After an error or an interrupt either nothing or everything has changed.
        """
        of_dropout, own, *others = spawn(seed, len(self._unique) + 1)
        *parts, dropout = self._unique
        with reseeding_undone([self, *self._unique]):
            dropout.reseed(of_dropout)
            for part, generator in zip(parts, others, strict=True):
                part.reseed(generator)
            self.generator = own

    def _check_token(self, name: str, value: int) -> int:
        token = validation.check_int(name, value, 0)
        if token >= self.target_vocab_size:
            raise ValueError(
                f"{name} must be < target_vocab_size={self.target_vocab_size}, got {token}"
            )
        return token

    @property
    def gru(self) -> dict[str, Any]:
        """The options of encoder and decoder that can be chosen, by name: a copy."""
        return dict(self._gru)

    @property
    def teacher_forcing(self) -> float | Callable[[int], float]:
        """Probability of the true previous token in training, or a function of the step."""
        return self._teacher_forcing

    @teacher_forcing.setter
    def teacher_forcing(self, value: float | Callable[[int], float]) -> None:
        self._teacher_forcing = (
            value if callable(value) else validation.check_fraction("teacher_forcing", value)
        )

    @property
    def generators(self) -> list[np.random.Generator]:
        """List of the random generators that training uses."""
        return [self.generator, *super().generators]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments except seed and teacher forcing, for JSON."""
        return {
            "source_vocab_size": self.source_vocab_size,
            "target_vocab_size": self.target_vocab_size,
            "embedding_dim": self.embedding_dim,
            "hidden_size": self.hidden_size,
            "num_layers": self.num_layers,
            "dropout": self.dropout,
            "gru": self.gru,
            "score": self.score,
            "bos_idx": self.bos_idx,
            "eos_idx": self.eos_idx,
            "dtype": self.dtype.name,
        }

    def named_parts(self) -> list[tuple[str, Any, str]]:
        """Return name, layer and shape of the output of each part that has parameters."""
        shapes = seq2seq_parts.output_shapes(self.get_config())
        return [(name, getattr(self, name), shape) for name, shape in shapes.items()]

    @staticmethod
    def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter that ``config`` makes."""
        return seq2seq_parts.parameter_shapes(config)

    # ---- data --------------------------------------------------------------------------------

    def training_data(
        self, sources: Iterable[ArrayLike], targets: Iterable[ArrayLike]
    ) -> tuple[dict[str, list[Tokens]], list[Tokens]]:
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

        Raises
        ------
        IndexError
            If a token is out of range; the text names its sequence and its place.
        TypeError
            If a sequence does not consist of integers.
        ValueError
            If there are not as many sources as targets, or a target already holds a begin or
            end token: the model would learn to go on after the end.

        Examples
        --------
        >>> import pygru
        >>> model = pygru.Seq2Seq(5, 6, 4, 8, bos_idx=0, eos_idx=1)
        >>> X, y = model.training_data([[4, 3]], [[2, 5]])
        >>> X["target"][0].tolist(), y[0].tolist()
        ([0, 2, 5], [2, 5, 1])
        """
        read = sequences_of_tokens(
            "sources", sources, "source_vocab_size", self.source_vocab_size
        )
        said = sequences_of_tokens(
            "targets", targets, "target_vocab_size", self.target_vocab_size
        )
        if len(read) != len(said):
            raise ValueError(
                f"sources and targets must have equal numbers, got {len(read)} and {len(said)}"
            )
        for name, token in (("bos_idx", self.bos_idx), ("eos_idx", self.eos_idx)):
            why = f"is {name}: targets are given without begin and end tokens"
            refuse_token("targets", said, token, why)
        inputs = [np.insert(target, 0, self.bos_idx) for target in said]
        outputs = [np.append(target, self.eos_idx) for target in said]
        return {"source": read, "target": inputs}, outputs
