"""Embedding: a table of vectors, looked up by integers."""

import numpy as np

from pygru.core import validation
from pygru.nn import ragged
from pygru.nn.layer import Layer
from pygru.nn.layers import gradient_like


class Embedding(Layer):
    """A table of vectors, looked up by integers.

    Parameters
    ----------
    num_embeddings : int
        Rows of the table: indices are in [0, num_embeddings).
    embedding_dim : int
        Size of a vector.
    padding_idx : int, optional
        The index of padding: it gives zeros, and its row is never trained.
    weight : array_like, optional
        (num_embeddings, embedding_dim) the initial table, for example of pretrained vectors.
        It is copied.
    frozen : bool
        Whether training leaves the table unchanged. Then it has no gradient, and optimisers
        and gradient clipping ignore it. It is saved and loaded like any other table.
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
    >>> pygru.Embedding(3, 2, padding_idx=0, weight=table, frozen=True)([2, 0]).tolist()
    [[3.0, 4.0], [0.0, 0.0]]
    """

    reads = "tokens"

    def __init__(
        self,
        num_embeddings,
        embedding_dim,
        *,
        padding_idx=None,
        weight=None,
        frozen=False,
        dtype=np.float32,
        seed=None,
    ):
        self.num_embeddings = validation.check_int("num_embeddings", num_embeddings, 1)
        self.embedding_dim = validation.check_int("embedding_dim", embedding_dim, 1)
        if padding_idx is not None:
            padding_idx = validation.check_int("padding_idx", padding_idx, 0)
            if padding_idx >= self.num_embeddings:
                raise ValueError(
                    f"padding_idx must be < num_embeddings={self.num_embeddings}, "
                    f"got {padding_idx}"
                )
        self.padding_idx = padding_idx
        self.frozen = validation.check_bool("frozen", frozen)
        self.dtype = validation.check_dtype(dtype)
        self._is_drawn = weight is None
        self.create_parameters(seed)
        if weight is not None:
            self.parameters["weight"] = weight
        self._clear_padding()

    def output_features(self, features):
        """Return ``embedding_dim``."""
        return self.embedding_dim

    def initialize(self, generator):
        """Draw the table from the standard normal distribution; a given table is kept."""
        if self._is_drawn:
            self.parameters["weight"] = generator.standard_normal(
                (self.num_embeddings, self.embedding_dim)
            )
            self._clear_padding()

    def _clear_padding(self):
        if self.padding_idx is not None:
            self.parameters["weight"][self.padding_idx] = 0

    def get_config(self):
        """Return the constructor's arguments except seed and weight, ready for JSON."""
        return {
            "num_embeddings": self.num_embeddings,
            "embedding_dim": self.embedding_dim,
            "padding_idx": self.padding_idx,
            "frozen": self.frozen,
            "dtype": self.dtype.name,
        }

    @staticmethod
    def parameter_shapes(config):
        """Return the shape of each parameter that ``config`` makes."""
        return {"weight": (config["num_embeddings"], config["embedding_dim"])}

    @property
    def flat_pairs(self):
        """List of (values, gradients) that an optimiser updates: none if frozen."""
        return [] if self.frozen else super().flat_pairs

    def forward(self, x, *, lengths=None, training=True):
        """Look up ``x``, integers of any shape: (...) gives (..., embedding_dim).

        With ``lengths``, x is (B, T, ...). Steps after the end of a sequence are not read and
        give zeros.
        """
        x = validation.as_numeric("x", x)
        if x.dtype.kind not in "iu":
            raise TypeError(f"x must be integers, got dtype {x.dtype}")
        steps = ragged.steps_of(lengths, x.shape)
        index = ragged.take(x, steps)
        if index.size and (index.min() < 0 or index.max() >= self.num_embeddings):
            self._refuse(x, steps)
        rows = self.parameters["weight"][index]
        if self.padding_idx is not None:
            rows[index == self.padding_idx] = 0
        return ragged.put(rows, steps, x.shape), (index.copy(), steps, x.shape)

    def _refuse(self, x, steps):
        """Raise for the first index that is out of range."""
        outside = (x < 0) | (x >= self.num_embeddings)
        if steps is not None:
            read = np.ones((len(steps), *x.shape[2:]), bool)
            outside &= ragged.put(read, steps, x.shape)
        at = tuple(np.argwhere(outside)[0].tolist())
        raise IndexError(
            f"x{list(at)} = {x[at]} is out of range for {self.num_embeddings} embeddings"
        )

    def backward(self, tape, d_y):
        """Add to the gradient of the rows that were looked up; x itself has no gradient."""
        if self.frozen:
            return
        index, steps, shape = tape
        d_y = gradient_like("d_y", d_y, (*shape, self.embedding_dim), self.dtype)
        rows = ragged.take(d_y, steps).reshape(-1, self.embedding_dim)
        index = index.reshape(-1)
        if self.padding_idx is not None:
            used = np.flatnonzero(index != self.padding_idx)
            index, rows = index[used], rows[used]
        if index.size:
            looked_up, sums = _sums_by_index(index, rows)
            self.grads["weight"][looked_up] += sums


def _sums_by_index(index, rows):
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
