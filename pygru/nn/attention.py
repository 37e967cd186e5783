"""Attention: weighted means of the vectors of a sequence, with weights from a query.

A score says how well a query fits a key. The weights are the softmax of the scores over the
keys of a sequence, and the context is the weighted sum of the values. Keys after the end of a
sequence are not read and have weight 0. The score functions are in ``scores.py``.

The work grows with queries times keys, so padding costs more here than anywhere else.
Therefore a batch with lengths is divided into blocks of sequences of about equal length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from pygru.core import validation
from pygru.core.atomic import assignment, commit
from pygru.nn import ragged
from pygru.nn.attention_blocks import WHOLE, Block, blocks_of
from pygru.nn.checks import check_sequences
from pygru.nn.layer import Parametric
from pygru.nn.scores import SCORES, Score
from pygru.nn.undo import Undoable
from pygru.typing import Booleans, Floats, Integers, Seed


class PreparedKeys(NamedTuple):
    """Keys and values for several calls of ``attend``, with zeros as padding."""

    projected: Floats
    values: Floats
    valid: Booleans | None  # (B, 1, Tk), None if all keys are valid

    def select(self, index: Any) -> PreparedKeys:
        """Return the same for some of the sequences only."""
        return PreparedKeys(
            self.projected[index],
            self.values[index],
            None if self.valid is None else self.valid[index],
        )


class _Tape(NamedTuple):
    queries: Floats
    rows: Floats  # the keys that hold data
    steps: Integers | None  # their positions
    prepared: PreparedKeys
    values_are_keys: bool
    shape: tuple[int, ...]  # of the weights
    blocks: list[tuple[Block, Any, Floats]]  # with what the scores keep, and the weights


class Attention(Parametric, Undoable):
    """Attention of queries to the keys and values of a sequence.

    For a query ``q``, and keys ``k_s`` and values ``v_s`` of a sequence's steps ``s``::

        score_s = q . k_s                                  score="dot"       [1]_
        score_s = q^T W k_s                                score="general"   [1]_
        score_s = v . tanh(W q + U k_s)                    score="additive"  [2]_
        weights = softmax(score)
        context = sum_s weights_s v_s

    Parameters
    ----------
    query_size, key_size : int
        Features of a query and of a key, Q and K; equal for ``score="dot"``.
    attention_size : int, optional
        Units of the additive score, A; ``query_size`` by default. Only for that score.
    score : {"dot", "general", "additive"}
        The function that says how well a query fits a key.
    dtype : dtype
        float32 or float64.
    seed : int, sequence of int, SeedSequence, Generator or None
        Seed of the initial parameters: uniform in +-1/sqrt(n) with n the inputs of a product.

    Attributes
    ----------
    parameters, grads : mapping of str to ndarray
        ``weight`` (Q, K) for the general score; ``weight_query`` (A, Q), ``weight_key``
        (A, K) and ``weight_score`` (1, A) for the additive one; nothing for the dot product.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, out of range, or does not go with the score.

    Notes
    -----
    The results of a sequence can differ in their last bits between batches: it is padded to the
    longest one of a block of sequences, and a sum over more terms is rounded in another way.

    References
    ----------
    .. [1] M.-T. Luong, H. Pham, C. D. Manning, "Effective Approaches to Attention-based
       Neural Machine Translation", 2015, arXiv:1508.04025.
    .. [2] D. Bahdanau, K. Cho, Y. Bengio, "Neural Machine Translation by Jointly Learning to
       Align and Translate", 2015, arXiv:1409.0473.

    Examples
    --------
    >>> import numpy as np, pygru
    >>> attention = pygru.Attention(3, 4, score="general", seed=0)
    >>> context, weights = attention(np.ones((2, 5, 3)), np.ones((2, 6, 4)), lengths=[6, 2])
    >>> context.shape, weights.shape
    ((2, 5, 4), (2, 5, 6))
    >>> weights[1, 0].tolist()
    [0.5, 0.5, 0.0, 0.0, 0.0, 0.0]
    """

    _made_again = frozenset({"_score"})

    query_size: int
    key_size: int
    attention_size: int | None
    score: str
    dtype: np.dtype[Any]
    _score: Score

    def __init__(
        self,
        query_size: int,
        key_size: int,
        attention_size: int | None = None,
        *,
        score: str = "general",
        dtype: DTypeLike = np.float32,
        seed: Seed = None,
    ) -> None:
        query_size = validation.check_int("query_size", query_size, 1)
        validation.check_choice("score", score, tuple(SCORES))
        if attention_size is None and score == "additive":
            attention_size = query_size
        if attention_size is not None:
            if score != "additive":
                raise ValueError(f"attention_size must be None for score={score!r}")
            attention_size = validation.check_int("attention_size", attention_size, 1)
        self._fix(
            query_size=query_size,
            key_size=validation.check_int("key_size", key_size, 1),
            attention_size=attention_size,
            score=score,
            dtype=validation.check_dtype(dtype),
            _score=SCORES[score],
        )
        self.create_parameters(seed)

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw every parameter uniformly in +-1/sqrt(n), n the inputs of its product."""
        for name, view in self.parameters.items():
            bound = 1 / np.sqrt(view.shape[-1])
            self.parameters[name] = generator.uniform(-bound, bound, view.shape)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments except the seed, ready for JSON."""
        return {
            "query_size": self.query_size,
            "key_size": self.key_size,
            "attention_size": self.attention_size,
            "score": self.score,
            "dtype": self.dtype.name,
        }

    @staticmethod
    def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter that ``config`` makes."""
        sizes = config["query_size"], config["key_size"], config["attention_size"]
        return SCORES[config["score"]].shapes(*sizes)

    def __call__(
        self,
        queries: ArrayLike,
        keys: ArrayLike,
        values: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
        query_lengths: ArrayLike | None = None,
    ) -> tuple[Floats, Floats]:
        """Return the context and the weights, for inference.

        Parameters and results as for :meth:`forward`, without the tape.
        """
        return self.forward(
            queries, keys, values, lengths=lengths, query_lengths=query_lengths
        )[:2]

    def forward(
        self,
        queries: ArrayLike,
        keys: ArrayLike,
        values: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
        query_lengths: ArrayLike | None = None,
        training: bool = True,
    ) -> tuple[Floats, Floats, _Tape]:
        """Attend, and keep what :meth:`backward` needs.

        Parameters
        ----------
        queries : array_like
            (B, Tq, Q), for each sequence any number of queries.
        keys : array_like
            (B, Tk, K) the vectors that the queries are compared with.
        values : array_like, optional
            (B, Tk, V) the vectors that are averaged; by default the keys.
        lengths : array_like of int, optional
            (B,) the valid steps of keys and values; later steps are not read. A sequence of
            length 0 gives a context of zeros and weights of zero.
        query_lengths : array_like of int, optional
            (B,) the valid queries of each sequence. Others are not read, and their contexts
            and weights are 0.
        training : bool
            Ignored, because attention does the same in training and in inference.

        Returns
        -------
        context : ndarray
            (B, Tq, V) the weighted sum of the values, for each query.
        weights : ndarray
            (B, Tq, Tk) the weights, which sum to 1 over a sequence's valid steps.
        tape
            To be given to :meth:`backward`.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit; the message says what was expected.
        """
        rows, steps, prepared = self._prepare(keys, values, lengths)
        q = self._check_queries(queries, prepared)
        (B, Tq), Tk = q.shape[:2], prepared.values.shape[1]
        of_queries = None
        if query_lengths is not None:
            of_queries = validation.as_lengths(query_lengths, B, Tq, "query_lengths")
            if (of_queries == Tq).all():
                of_queries = None
        of_keys = None if prepared.valid is None else prepared.valid.sum(axis=(1, 2))
        blocks: list[tuple[Block, Any, Floats]] = []
        if of_queries is None and of_keys is None:
            context, chosen, kept = self._attend(q, prepared)
            tape = _Tape(q, rows, steps, prepared, values is None, chosen.shape, blocks)
            blocks.append((WHOLE, kept, chosen))
            return context, chosen.copy(), tape
        context = np.zeros((B, Tq, prepared.values.shape[2]), self.dtype)
        weights = np.zeros((B, Tq, Tk), self.dtype)
        for block in blocks_of((B, Tq, Tk), of_queries, of_keys, context.shape[2]):
            part = PreparedKeys(
                block.keys_of(prepared.projected),
                block.keys_of(prepared.values),
                block.valid_keys,
            )
            found, chosen, kept = self._attend(block.queries_of(q), part)
            if block.past_queries is not None:
                found[block.past_queries] = chosen[block.past_queries] = 0
            context[block.rows, block.queries] = found
            weights[block.rows, block.queries, block.keys] = chosen
            blocks.append((block, kept, chosen))
        tape = _Tape(q, rows, steps, prepared, values is None, weights.shape, blocks)
        return context, weights, tape

    def backward(
        self, tape: _Tape, d_context: ArrayLike, d_weights: ArrayLike | None = None
    ) -> tuple[Floats, Floats, Floats | None]:
        """Add to the gradients of the parameters and return those of the inputs.

        Parameters
        ----------
        tape
            From :meth:`forward`.
        d_context : array_like
            (B, Tq, V) gradient of the loss with respect to the context. It is not read after
            the last query of a sequence.
        d_weights : array_like, optional
            (B, Tq, Tk) gradient with respect to the weights; zeros by default. It is not read
            after the last query and the last key of a sequence.

        Returns
        -------
        d_queries, d_keys : ndarray
            (B, Tq, Q) and (B, Tk, K); 0 past a sequence's end.
        d_values : ndarray or None
            (B, Tk, V), or None if the values were the keys. Then ``d_keys`` is the sum of
            both gradients.
        """
        projected, values, _ = tape.prepared
        d_c = validation.as_real("d_context", d_context, self.dtype)
        shape = (*tape.shape[:2], values.shape[-1])
        validation.check_shape("d_context", d_c, shape, str(shape))
        d_w = None
        if d_weights is not None:
            d_w = validation.as_real("d_weights", d_weights, self.dtype)
            validation.check_shape("d_weights", d_w, tape.shape, str(tape.shape))
        # Sums aside: the gradients change when everything has succeeded.
        sums = {name: np.zeros_like(view) for name, view in self.grads.items()}
        d_queries = np.zeros(tape.queries.shape, self.dtype)
        d_projected = np.zeros(projected.shape, self.dtype)
        d_values = np.zeros(values.shape, self.dtype)
        for block, kept, weights in tape.blocks:
            d_found = block.queries_of(d_c)
            d_values[block.rows, block.keys] = weights.swapaxes(1, 2) @ d_found
            d_scores = d_found @ block.keys_of(values).swapaxes(1, 2)
            if d_w is not None:
                part = block.queries_of(d_w)[..., block.keys]
                valid = block.valid_keys
                d_scores += part if valid is None else np.where(valid, part, 0)
            # Softmax: d_score_s = w_s (d_w_s - sum_u w_u d_w_u)
            d_scores -= (weights * d_scores).sum(axis=-1, keepdims=True)
            d_scores *= weights
            (
                d_queries[block.rows, block.queries],
                d_projected[block.rows, block.keys],
            ) = self._score.scores_backward(
                self.parameters,
                sums,
                block.queries_of(tape.queries),
                block.keys_of(projected),
                kept,
                d_scores,
            )
        d_rows = self._score.project_backward(
            self.parameters, sums, tape.rows, ragged.take(d_projected, tape.steps)
        )
        d_keys = ragged.put(d_rows, tape.steps, projected.shape)
        if tape.values_are_keys:
            d_keys = d_keys + d_values
        commit([assignment(self.grads[name], self.grads[name] + sums[name]) for name in sums])
        if tape.values_are_keys:
            return d_queries, d_keys, None
        return d_queries, d_keys, d_values

    # ---- a decoder that runs step by step ----------------------------------------------------

    def prepare(
        self,
        keys: ArrayLike,
        values: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
    ) -> PreparedKeys:
        """Return keys and values in the form that :meth:`attend` needs.

        What the scores need from the keys is computed here, once for all steps of a decoder.

        Parameters
        ----------
        keys, values, lengths
            As for :meth:`forward`.
        """
        return self._prepare(keys, values, lengths)[2]

    def attend(self, queries: ArrayLike, prepared: PreparedKeys) -> tuple[Floats, Floats]:
        """Return the context and the weights of queries to prepared keys.

        Parameters
        ----------
        queries : array_like
            (B, Tq, Q).
        prepared
            From :meth:`prepare`.

        Examples
        --------
        >>> import numpy as np, pygru
        >>> attention = pygru.Attention(3, 3, score="dot")
        >>> prepared = attention.prepare(np.eye(3)[np.newaxis])
        >>> attention.attend([[[0.0, 200.0, 0.0]]], prepared)[1].tolist()
        [[[0.0, 1.0, 0.0]]]
        """
        return self._attend(self._check_queries(queries, prepared), prepared)[:2]

    def _prepare(
        self, keys: ArrayLike, values: ArrayLike | None, lengths: ArrayLike | None
    ) -> tuple[Floats, Integers | None, PreparedKeys]:
        """The keys that hold data, their positions, and the prepared keys."""
        k = self._sequences("keys", keys)
        _check_size("keys", k, "key_size", self.key_size)
        steps = ragged.steps_of(lengths, k.shape[:2])
        rows = ragged.take(k, steps)
        projected = ragged.put(self._score.project(self.parameters, rows), steps, k.shape)
        v = k if values is None else self._sequences("values", values)
        if v.shape[:2] != k.shape[:2]:
            raise ValueError(
                f"values must have shape {k.shape[:2]} + (features,) like the keys, "
                f"got {v.shape}"
            )
        v = ragged.put(ragged.take(v, steps), steps, v.shape)
        if steps is None:
            return rows, steps, PreparedKeys(projected, v, None)
        B, T = k.shape[:2]
        valid = np.zeros(B * T, bool)
        valid[steps] = True
        return rows, steps, PreparedKeys(projected, v, valid.reshape(B, 1, T))

    def _sequences(self, name: str, value: ArrayLike) -> Floats:
        array = validation.as_real(name, value, self.dtype)
        check_sequences(name, array)
        return array

    def _check_queries(self, queries: ArrayLike, prepared: PreparedKeys) -> Floats:
        queries = self._sequences("queries", queries)
        _check_size("queries", queries, "query_size", self.query_size)
        if len(queries) != len(prepared.values):
            raise ValueError(
                f"queries must have the keys' batch size {len(prepared.values)}, "
                f"got {len(queries)}"
            )
        return queries

    def _attend(self, queries: Floats, prepared: PreparedKeys) -> tuple[Floats, Floats, Any]:
        """Context, weights, and what the gradient of the scores needs."""
        scores, kept = self._score.scores(self.parameters, queries, prepared.projected)
        if prepared.valid is not None:
            np.copyto(scores, -np.inf, where=~prepared.valid)
        weights = _softmax(scores)
        return weights @ prepared.values, weights, kept


def _check_size(name: str, array: Floats, size_name: str, size: int) -> None:
    if array.shape[-1] != size:
        raise ValueError(
            f"{name}.shape[-1] must equal {size_name}={size}, got {array.shape[-1]}"
        )


def _softmax(scores: Floats) -> Floats:
    """Return the softmax over the last axis, in place; zeros where every score is -inf."""
    largest = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    largest[largest == -np.inf] = 0
    scores -= largest
    np.exp(scores, out=scores)
    total = scores.sum(axis=-1, keepdims=True)
    total[total == 0] = 1
    scores /= total
    return scores
