"""AttentionOverTime: one vector per sequence, a weighted mean whose weights are learned.

Steps after the end of a sequence, and those that a mask leaves out, are not read. A sequence
has the same result, bit for bit, in any batch: its scores come from products whose rows do not
depend on one another, and its weights and its sum are computed from its own steps, in their
order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from pygru.core import validation
from pygru.core._affine import AffineMap
from pygru.core.affine import affine_backward, affine_map, apply
from pygru.core.atomic import assignment, commit
from pygru.core.elementwise import tanh
from pygru.nn import ragged
from pygru.nn.checks import gradient_like
from pygru.nn.layer import Layer
from pygru.typing import Floats, Integers, Seed


class _Runs(NamedTuple):
    """The valid steps of a batch as rows (n, ...): those of each sequence follow one another.

    A sequence without steps has no run.
    """

    sequences: Integers  # whose run it is
    starts: Integers  # the first row of each run
    counts: Integers  # and how many there are

    @classmethod
    def of(cls, lengths: Integers) -> _Runs:
        ran = np.flatnonzero(lengths)
        counts = lengths[ran]
        return cls(ran, np.cumsum(counts) - counts, counts)

    def softmax(self, scores: Floats) -> Floats:
        """The softmax of (n,) scores over each run, in float64."""
        scores = scores.astype(np.float64)
        if not scores.size:  # reduceat needs a row
            return scores
        largest = np.maximum.reduceat(scores, self.starts)
        powers: Floats = np.exp(scores - np.repeat(largest, self.counts))
        powers /= np.repeat(np.add.reduceat(powers, self.starts), self.counts)
        return powers

    def softmax_backward(self, weights: Floats, d_weights: Floats) -> Floats:
        """The gradient of the scores: w_s (d_s - sum_u w_u d_u) within each run."""
        products: Floats = weights * d_weights
        if not products.size:
            return products
        products -= weights * np.repeat(np.add.reduceat(products, self.starts), self.counts)
        return products


class _Tape(NamedTuple):
    rows: Floats  # (n, F) the steps that hold data, dense
    steps: Integers | None  # their positions
    runs: _Runs
    hidden: Floats  # (n, A)
    weights: Floats  # (n,), float64
    shape: tuple[int, int, int]  # of x


class AttentionOverTime(Layer):
    """A weighted mean over the steps that count, with learned weights: (B, T, F) to (B, F).

    For the steps ``t`` of a sequence, with a context vector ``v`` that is learned too [1]_::

        u_t = tanh(W x_t + b)
        weights = softmax(u_t . v)                         over the steps that count
        y = sum_t weights_t x_t

    A sequence without steps gives zeros.

    Parameters
    ----------
    features : int
        Features of a step, F: twice the hidden size after a bidirectional GRU.
    attention_size : int, optional
        Units of the scores, A; ``features`` by default.
    dtype : dtype
        float32 or float64.
    seed : int, sequence of int, SeedSequence, Generator or None
        Seed of the initial parameters: uniform in +-1/sqrt(n) with n the inputs of a product.

    Attributes
    ----------
    parameters, grads : mapping of str to ndarray
        ``weight`` (A, F) and ``bias`` (A,), which are W and b, and ``weight_score`` (1, A), v.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    See Also
    --------
    Attention : The same for queries that are given, as in an encoder-decoder.

    References
    ----------
    .. [1] Z. Yang et al., "Hierarchical Attention Networks for Document Classification",
       2016, NAACL.

    Examples
    --------
    >>> import numpy as np, pygru
    >>> pooling = pygru.AttentionOverTime(2, seed=0)
    >>> x = np.ones((2, 3, 2))
    >>> pooling(x, lengths=[3, 0]).tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    >>> pooling.weights(x, lengths=[2, 1]).tolist()
    [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]
    """

    predicts_steps = False
    takes_mask = True
    _made_again = frozenset({"_hidden", "_score"})

    features: int
    attention_size: int
    dtype: np.dtype[Any]
    _hidden: AffineMap
    _score: AffineMap

    def __init__(
        self,
        features: int,
        attention_size: int | None = None,
        *,
        dtype: DTypeLike = np.float32,
        seed: Seed = None,
    ) -> None:
        features = validation.check_int("features", features, 1)
        if attention_size is None:
            attention_size = features
        self._fix(
            features=features,
            attention_size=validation.check_int("attention_size", attention_size, 1),
            dtype=validation.check_dtype(dtype),
        )
        self._fix(input_size=features, output_size=features)
        self.create_parameters(seed)

    def _use_parameters(self) -> None:
        owner, begin = self._parameters_owner, self.parameters.begin
        F, A = self.features, self.attention_size
        self._hidden = affine_map(owner, F, A, begin("weight"), begin("bias"))
        self._score = affine_map(owner, A, 1, begin("weight_score"), -1)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments except the seed, ready for JSON."""
        return {
            "features": self.features,
            "attention_size": self.attention_size,
            "dtype": self.dtype.name,
        }

    @staticmethod
    def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter that ``config`` makes."""
        F, A = config["features"], config["attention_size"]
        return {"weight": (A, F), "bias": (A,), "weight_score": (1, A)}

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw every parameter uniformly in +-1/sqrt(n), n the inputs of its product."""
        for name, view in self.parameters.items():
            inputs = self.attention_size if name == "weight_score" else self.features
            bound = 1 / np.sqrt(inputs)
            self.parameters[name] = generator.uniform(-bound, bound, view.shape)

    def weights(
        self, x: ArrayLike, *, lengths: ArrayLike | None = None, mask: ArrayLike | None = None
    ) -> Floats:
        """Return the weight of each step, (B, T): they sum to 1 over the steps that count.

        Parameters
        ----------
        x : array_like
            (B, T, F).
        lengths : array_like of int, optional
            (B,) the valid steps of each sequence; the weights of later steps are 0.
        mask : array_like of bool, optional
            (B, T) which steps count; the weights of the others are 0.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit.
        """
        tape = self._attend(x, lengths, mask)
        shape = tape.shape[:2]
        weights = tape.weights.astype(self.dtype)
        return ragged.put(weights, tape.steps, shape).reshape(shape)

    def forward(
        self,
        x: ArrayLike,
        *,
        lengths: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        training: bool = True,
    ) -> tuple[Floats, _Tape]:
        """Return the weighted means over time of x (B, T, F), and the tape."""
        tape = self._attend(x, lengths, mask)
        y = np.zeros((tape.shape[0], self.features), self.dtype)
        # One sequence after the other, so that none is summed in the order of a longer one.
        for sequence, start, count in zip(*(part.tolist() for part in tape.runs), strict=True):
            run = slice(start, start + count)
            y[sequence] = (tape.rows[run] * tape.weights[run, np.newaxis]).sum(axis=0)
        return y, tape

    def _attend(self, x: ArrayLike, lengths: ArrayLike | None, mask: ArrayLike | None) -> _Tape:
        """Check the arguments, and compute the weights of the steps that count."""
        array = validation.as_real("x", x, self.dtype)
        if array.ndim != 3 or array.shape[2] != self.features:
            advice = "; one sequence is x[np.newaxis]" if array.ndim == 2 else ""
            raise ValueError(
                f"x must have shape (batch, time, features={self.features}), got "
                f"{array.shape}{advice}"
            )
        B, T, F = array.shape
        counted = ragged.counted_of(lengths, mask, B, T)
        steps = None if counted.all() else np.flatnonzero(counted)
        rows = np.ascontiguousarray(ragged.take(array, steps)).reshape(-1, F)
        runs = _Runs.of(counted.sum(axis=1))
        hidden = tanh(apply(self._hidden, rows))
        weights = runs.softmax(apply(self._score, hidden)[:, 0])
        return _Tape(rows, steps, runs, hidden, weights, (B, T, F))

    def begin_stream(self, batch: int | None) -> NoReturn:
        """Raise: the weights depend on all steps."""
        raise ValueError("the weight of each step depends on all steps of the sequence")

    def backward(self, tape: _Tape, d_y: ArrayLike) -> Floats:
        """Return d_x and add to the gradients."""
        B, _, F = tape.shape
        d_y = gradient_like("d_y", d_y, (B, F), self.dtype)
        of_rows = d_y[np.repeat(tape.runs.sequences, tape.runs.counts)]
        d_weights = (tape.rows * of_rows).sum(axis=1, dtype=np.float64)
        d_scores = tape.runs.softmax_backward(tape.weights, d_weights).astype(self.dtype)
        new = {name: gradient.copy() for name, gradient in self.grads.items()}
        d_hidden = affine_backward(
            tape.hidden,
            self.parameters["weight_score"],
            d_scores[:, np.newaxis],
            new["weight_score"],
        )
        d_hidden *= 1 - tape.hidden * tape.hidden
        d_rows = affine_backward(
            tape.rows, self.parameters["weight"], d_hidden, new["weight"], new["bias"]
        )
        d_rows += of_rows * tape.weights.astype(self.dtype)[:, np.newaxis]
        d_x = ragged.put(d_rows, tape.steps, tape.shape).reshape(tape.shape)
        commit([assignment(self.grads[name], values) for name, values in new.items()])
        return d_x
