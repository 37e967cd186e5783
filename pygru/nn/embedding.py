"""Embedding: a table of vectors, looked up by integers."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from pygru.core import validation
from pygru.core.atomic import Action, commit
from pygru.core.pickled import refuse
from pygru.nn import ragged
from pygru.nn.checks import gradient_like
from pygru.nn.layer import Layer
from pygru.nn.shortcuts import BACKWARD, Shortcut
from pygru.nn.stream_parts import Part, Step
from pygru.nn.undo import Undoable
from pygru.typing import Floats, Integers, Seed


class _Tape(NamedTuple):
    tokens: Integers  # those that were looked up
    steps: Integers | None  # where they are
    shape: tuple[int, ...]  # of the whole x


class Embedding(Layer):
    """A table of vectors, looked up by integers.

    Parameters
    ----------
    num_embeddings : int
        Rows of the table: indices are in [0, num_embeddings).
    embedding_dim : int
        Size of a vector.
    padding_idx : int, optional
        The index of padding: it gives zeros, and its row is never trained. The layers after
        it read such steps like all others.
    weight : array_like, optional
        (num_embeddings, embedding_dim) the initial table, for example of pretrained vectors.
        It is copied.
    mask_zero : bool
        Whether token 0 marks the steps that do not count, as in Keras: the layers after this
        one leave them out, see ``mask`` of :class:`Sequential`. The row of token 0 is one like
        the others.
    trainable : bool
        Whether training changes the table. With False it has no gradient, and optimisers and
        gradient clipping ignore it. It is saved and loaded like any other table.
    dtype : dtype
        float32 or float64.
    seed : int, sequence of int, SeedSequence, Generator or None
        Seed of the initial table, standard normal as in PyTorch.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, out of range or of the wrong shape.

    Examples
    --------
    >>> import pygru
    >>> y, tape = pygru.Embedding(10, 3, seed=0).forward([[1, 2, 2]])
    >>> y.shape
    (1, 3, 3)
    >>> table = [[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]]
    >>> pygru.Embedding(3, 2, padding_idx=0, weight=table, trainable=False)([2, 0]).tolist()
    [[3.0, 4.0], [0.0, 0.0]]
    """

    reads = "tokens"
    _changing = frozenset({"_is_drawn"})
    takes_single_steps = True
    _shortcuts: ClassVar[dict[str, Shortcut]] = {
        "gradients_before": Shortcut(BACKWARD, Undoable.gradients_before)
    }

    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None
    mask_zero: bool
    dtype: np.dtype[Any]

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        padding_idx: int | None = None,
        mask_zero: bool = False,
        weight: ArrayLike | None = None,
        trainable: bool = True,
        dtype: DTypeLike = np.float32,
        seed: Seed = None,
    ) -> None:
        num_embeddings = validation.check_int("num_embeddings", num_embeddings, 1)
        if padding_idx is not None:
            padding_idx = validation.check_int("padding_idx", padding_idx, 0)
            if padding_idx >= num_embeddings:
                raise ValueError(
                    f"padding_idx must be < num_embeddings={num_embeddings}, got {padding_idx}"
                )
        self._fix(
            num_embeddings=num_embeddings,
            embedding_dim=validation.check_int("embedding_dim", embedding_dim, 1),
            padding_idx=padding_idx,
            mask_zero=validation.check_bool("mask_zero", mask_zero),
            dtype=validation.check_dtype(dtype),
        )
        self._fix(output_size=self.embedding_dim)
        self.trainable = trainable
        self._is_drawn = weight is None
        self.create_parameters(seed)
        if weight is not None:
            self.parameters["weight"] = weight
            self._clear_padding()

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw the table, standard normal; one that was given stays."""
        if self._is_drawn:
            self.parameters["weight"] = generator.standard_normal(
                (self.num_embeddings, self.embedding_dim)
            )
            self._clear_padding()

    def _restore(self) -> None:
        if type(self._is_drawn) is not bool:
            refuse(
                type(self),
                f"_is_drawn must be a bool, got {validation.type_name(self._is_drawn)}",
            )
        super()._restore()

    def _clear_padding(self) -> None:
        if self.padding_idx is not None:
            self.parameters["weight"][self.padding_idx] = 0

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments except seed, weight and trainable, for JSON."""
        return {
            "num_embeddings": self.num_embeddings,
            "embedding_dim": self.embedding_dim,
            "padding_idx": self.padding_idx,
            "mask_zero": self.mask_zero,
            "dtype": self.dtype.name,
        }

    @staticmethod
    def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter that ``config`` makes."""
        return {"weight": (config["num_embeddings"], config["embedding_dim"])}

    def mask_after(self, x: Any, mask: Any) -> Any:
        """Return which steps count: with ``mask_zero`` not those of token 0."""
        if not self.mask_zero:
            return mask
        tokens = np.asarray(x)
        if tokens.ndim != 2:
            raise ValueError(
                f"with mask_zero x must have 2 dimensions (batch, time), got {tokens.ndim}"
            )
        return tokens != 0 if mask is None else (tokens != 0) & mask

    def begin_stream(self, batch: int | None) -> Step | Part:
        """Return what looks up each token; with ``mask_zero`` it refuses token 0."""
        if not self.mask_zero:
            return super().begin_stream(batch)

        def step(x_t: Any) -> Floats:
            if not np.all(x_t):
                raise ValueError(
                    "x_t holds token 0, which does not count; leave such steps out of a stream"
                )
            return self.infer(x_t)

        return step

    def forward(
        self, x: ArrayLike, *, lengths: ArrayLike | None = None, training: bool = True
    ) -> tuple[Floats, _Tape]:
        """Look up ``x``, integers of any shape: (...) gives (..., embedding_dim).

        With ``lengths``, x is (B, T, ...). Steps after the end of a sequence are not read and
        give zeros.
        """
        tape = self.read(x, lengths)
        rows = self.parameters["weight"][tape.tokens]
        if self.padding_idx is not None:
            rows[tape.tokens == self.padding_idx] = 0
        return ragged.put(rows, tape.steps, tape.shape), tape

    def read(self, x: ArrayLike, lengths: ArrayLike | None) -> _Tape:
        """Return a copy of the tokens that are read, and their places, without a look-up.

        Raises
        ------
        IndexError
            If a token is out of range; the text names its place.
        TypeError, ValueError
            If the tokens are no integers, or the lengths do not fit.
        """
        array = validation.as_numeric("x", x)
        if not array.size:  # an empty list has no integers to tell its dtype
            array = array.astype(np.int64)
        if array.dtype.kind not in "iu":
            raise TypeError(f"x must be integers, got dtype {array.dtype}")
        steps = ragged.steps_of(lengths, array.shape)
        # A copy: what is checked is what is looked up, whoever writes to x meanwhile.
        tokens = array.copy() if steps is None else ragged.take(array, steps)
        if tokens.size and (tokens.min() < 0 or tokens.max() >= self.num_embeddings):
            self._refuse(tokens, steps, array.shape)
        return _Tape(tokens, steps, array.shape)

    def _refuse(self, index: Integers, steps: Integers | None, shape: tuple[int, ...]) -> None:
        """Raise for the first token that is out of range, with its place in x."""
        outside = (index < 0) | (index >= self.num_embeddings)
        at = np.argwhere(outside)[0].tolist()
        value = index[tuple(at)]
        if steps is not None:
            at = [*divmod(int(steps[at[0]]), shape[1]), *at[1:]]
        raise IndexError(
            f"x{at or ''} = {value} is out of range for {self.num_embeddings} embeddings"
        )

    def gradients_before(self, tape: _Tape) -> list[Action]:
        """Return the action that puts back the rows that ``backward`` adds to: no others."""
        if not self.trainable:
            return []
        gradient, rows = self.grads["weight"], np.unique(tape.tokens)
        return [(operator.setitem, gradient, rows, gradient[rows])]

    def backward(self, tape: _Tape, d_y: ArrayLike) -> None:
        """Add to the gradient of the rows that were looked up; x itself has no gradient."""
        if not self.trainable:
            return
        d_y = gradient_like("d_y", d_y, (*tape.shape, self.embedding_dim), self.dtype)
        rows = ragged.take(d_y, tape.steps).reshape(-1, self.embedding_dim)
        index = tape.tokens.reshape(-1)
        if self.padding_idx is not None:
            used = np.flatnonzero(index != self.padding_idx)
            index, rows = index[used], rows[used]
        if index.size:
            looked_up, sums = _sums_by_index(index, rows)
            gradient = self.grads["weight"]
            commit([(operator.setitem, gradient, looked_up, gradient[looked_up] + sums)])


def _sums_by_index(index: Integers, rows: Floats) -> tuple[Integers, Floats]:
    """Return the different indices, and for each the sum of its rows.

    The sum is a product with a sparse matrix that has a single 1 per row. It adds in the order
    of the rows, and is several times as fast as ``np.add.at``.
    """
    from scipy.sparse import csc_array

    looked_up, place = np.unique(index, return_inverse=True)
    ones = np.ones(len(rows), rows.dtype)
    chosen = csc_array(
        (ones, place, np.arange(len(rows) + 1)), shape=(len(looked_up), len(rows))
    )
    return looked_up, chosen @ rows
