"""The layers around a GRU: Linear, Dropout and Last; Embedding is in ``embedding.py``.

All follow one protocol: ``forward(x) -> y, tape`` and ``backward(tape, d_y) -> d_x``, which
adds the parameters' gradients to ``grads``. ``lengths`` and ``training`` may be passed to any
of them; a layer that does not need them ignores them. Arrays are batch first. With ``lengths``
and an x of (B, T, F), steps after the end of a sequence are not read, and outputs and gradients
are 0 there. A tape may refer to x instead of a copy, so do not change x before ``backward``.
A call that fails leaves generators and gradients as they were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from pygru.core import validation
from pygru.core.affine import affine, affine_backward
from pygru.core.atomic import assignment, commit
from pygru.nn import ragged
from pygru.nn.layer import Layer
from pygru.nn.model import Model
from pygru.nn.undo import draws_undone
from pygru.typing import Floats, Integers, Seed


def _floating(x: ArrayLike) -> Floats:
    """Return x unchanged, but integers as float64, because gradients are fractions."""
    array = validation.as_numeric("x", x)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def gradient_like(
    name: str, value: ArrayLike, shape: tuple[int, ...], dtype: DTypeLike
) -> Floats:
    """Return the gradient of an output of ``shape``; raise if it has another shape."""
    array = validation.as_real(name, value, dtype)
    validation.check_shape(name, array, shape, f"{shape} of the output")
    return array


class _LinearTape(NamedTuple):
    x: Floats  # (rows, in_features) what holds data
    shape_of_rows: tuple[int, ...]  # of that, before it was made flat
    steps: Integers | None  # where it is
    shape: tuple[int, ...]  # of the whole x


class Linear(Layer):
    """An affine map of the last axis, ``y = x W^T + b``.

    Each row of ``y`` has the same bits whatever other rows stand beside it, and with any number
    of threads. So a whole :class:`Sequential` predicts the same bits for a sequence in any
    batch, as a GRU does.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of the last axis of x and y.
    bias : bool
        Whether there is a ``b``.
    dtype : dtype
        float32 or float64.
    seed : int, sequence of int, SeedSequence, Generator or None
        Seed of the initial parameters, uniform in +-1/sqrt(in_features) as in PyTorch.

    Examples
    --------
    >>> import numpy as np, pygru
    >>> y, tape = pygru.Linear(4, 2, seed=0).forward(np.ones((3, 5, 4)))
    >>> y.shape
    (3, 5, 2)
    """

    in_features: int
    out_features: int
    bias: bool
    dtype: np.dtype[Any]

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
        seed: Seed = None,
    ) -> None:
        self._fix(
            in_features=validation.check_int("in_features", in_features, 1),
            out_features=validation.check_int("out_features", out_features, 1),
            bias=validation.check_bool("bias", bias),
            dtype=validation.check_dtype(dtype),
        )
        self.create_parameters(seed)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments except the seed, ready for JSON."""
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.bias,
            "dtype": self.dtype.name,
        }

    @staticmethod
    def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter that ``config`` makes."""
        shapes: dict[str, tuple[int, ...]] = {
            "weight": (config["out_features"], config["in_features"])
        }
        if config["bias"]:
            shapes["bias"] = (config["out_features"],)
        return shapes

    def output_features(self, features: int | None) -> int | None:
        """Return ``out_features``."""
        return self.out_features

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw all parameters uniformly in +-1/sqrt(in_features)."""
        bound = 1 / np.sqrt(self.in_features)
        self.flat_parameters[...] = generator.uniform(-bound, bound, self.flat_parameters.size)

    def forward(
        self, x: ArrayLike, *, lengths: ArrayLike | None = None, training: bool = True
    ) -> tuple[Floats, _LinearTape]:
        """Map x (..., in_features) to (..., out_features)."""
        array = validation.as_real("x", x, self.dtype)
        if array.ndim == 0 or array.shape[-1] != self.in_features:
            raise ValueError(
                f"x must have shape (..., in_features={self.in_features}), got {array.shape}"
            )
        steps = ragged.steps_of(lengths, array.shape[:-1])
        rows = ragged.take(array, steps)
        x2 = np.ascontiguousarray(rows.reshape(math.prod(rows.shape[:-1]), self.in_features))
        y = affine(x2, self.parameters["weight"], self.parameters.get("bias"))
        y = y.reshape(*rows.shape[:-1], self.out_features)
        return ragged.put(y, steps, array.shape), _LinearTape(
            x2, rows.shape, steps, array.shape
        )

    def backward(self, tape: _LinearTape, d_y: ArrayLike) -> Floats:
        """Return d_x = d_y W and add to the gradients."""
        shape = (*tape.shape[:-1], self.out_features)
        rows = ragged.take(gradient_like("d_y", d_y, shape, self.dtype), tape.steps)
        rows = np.ascontiguousarray(rows.reshape(len(tape.x), self.out_features))
        new = {name: gradient.copy() for name, gradient in self.grads.items()}
        d_x = affine_backward(
            tape.x, self.parameters["weight"], rows, new["weight"], new.get("bias")
        )
        d_x = ragged.put(d_x.reshape(tape.shape_of_rows), tape.steps, tape.shape)
        commit([assignment(self.grads[name], values) for name, values in new.items()])
        return d_x


class _DropoutTape(NamedTuple):
    mask: Floats  # what each kept number is multiplied by, and 0 for the others
    steps: Integers | None
    shape: tuple[int, ...]


class Dropout(Layer):
    """Sets each element to zero with probability p in training, and scales the others.

    Parameters
    ----------
    p : float
        Probability in [0, 1]; kept elements are multiplied by 1 / (1 - p).
    seed : int, sequence of int, SeedSequence, Generator or None
        Seed of the masks.

    Examples
    --------
    >>> import numpy as np, pygru
    >>> y, tape = pygru.Dropout(0.5, seed=0).forward(np.ones(8))
    >>> sorted(set(y.tolist()))
    [0.0, 2.0]
    """

    p: float

    def __init__(self, p: float = 0.5, *, seed: Seed = None) -> None:
        self._fix(p=validation.check_fraction("p", p))
        self.create_parameters(seed)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments except the seed, ready for JSON."""
        return {"p": self.p}

    def output_features(self, features: int | None) -> int | None:
        """Return the features of the input."""
        return features

    def initialize(self, generator: np.random.Generator) -> None:
        """Keep the generator that the masks are drawn from."""
        self.generator = generator

    def forward(
        self, x: ArrayLike, *, lengths: ArrayLike | None = None, training: bool = True
    ) -> tuple[Floats, _DropoutTape | None]:
        """Return x with dropout applied, of the same shape; x itself for inference."""
        array = _floating(x)
        if not training or self.p == 0:
            return array, None
        steps = ragged.steps_of(lengths, array.shape[:-1])
        rows = ragged.take(array, steps)
        scale = array.dtype.type(0 if self.p == 1 else 1 / (1 - self.p))
        with draws_undone(self.generators):
            mask = (self.generator.random(rows.shape, np.float32) >= self.p) * scale
            y = ragged.put(rows * mask, steps, array.shape)
        return y, _DropoutTape(mask, steps, array.shape)

    def backward(self, tape: _DropoutTape | None, d_y: ArrayLike) -> Floats:
        """Return d_x = d_y times the mask of the forward pass."""
        if tape is None:
            return np.asarray(d_y)
        d_y = gradient_like("d_y", d_y, tape.shape, tape.mask.dtype)
        return ragged.put(ragged.take(d_y, tape.steps) * tape.mask, tape.steps, d_y.shape)


class _LastTape(NamedTuple):
    shape: tuple[int, int, int]  # of x
    lengths: Integers
    dtype: np.dtype[Any]


class Last(Layer):
    """Takes the last valid step of each sequence: (B, T, F) becomes (B, F).

    Parameters
    ----------
    bidirectional : bool
        Use this for the output of a bidirectional GRU. The second half of the features is then
        taken from the first step, where the reverse direction has read the whole sequence.

    Examples
    --------
    >>> import numpy as np, pygru
    >>> x = np.arange(6.0).reshape(1, 3, 2)
    >>> pygru.Last().forward(x, lengths=[2])[0].tolist()
    [[2.0, 3.0]]
    """

    predicts_steps = False

    def __init__(self, bidirectional: bool = False) -> None:
        self._fix(bidirectional=validation.check_bool("bidirectional", bidirectional))
        self.create_parameters()

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, ready for JSON."""
        return {"bidirectional": self.bidirectional}

    def output_features(self, features: int | None) -> int | None:
        """Return the features of the input."""
        return features

    def check_follows(self, recurrent: Model) -> None:
        """Raise if the recurrent layer before this one has another number of directions."""
        if self.bidirectional != recurrent.bidirectional:
            raise ValueError(
                f"must be Last(bidirectional={recurrent.bidirectional}), like the "
                f"{type(recurrent).__name__} before it, got {self}"
            )

    def forward(
        self, x: ArrayLike, *, lengths: ArrayLike | None = None, training: bool = True
    ) -> tuple[Floats, _LastTape]:
        """Take the last steps of x (B, T, F); a sequence of length 0 gives zeros."""
        array = _floating(x)
        if array.ndim != 3:
            raise ValueError(
                f"x must have 3 dimensions (batch, time, features), got {array.ndim}"
            )
        B, T, F = array.shape
        lengths = np.full(B, T) if lengths is None else validation.as_lengths(lengths, B, T)
        y = np.zeros((B, F), array.dtype)
        for rows, steps, columns in self._places(lengths, F):
            y[rows, columns] = array[rows, steps, columns]
        return y, _LastTape((B, T, F), lengths, array.dtype)

    def backward(self, tape: _LastTape, d_y: ArrayLike) -> Floats:
        """Return d_x, which is zero except at the steps that were taken."""
        B, _, F = tape.shape
        d_y = gradient_like("d_y", d_y, (B, F), tape.dtype)
        d_x = np.zeros(tape.shape, tape.dtype)
        for rows, steps, columns in self._places(tape.lengths, F):
            d_x[rows, steps, columns] = d_y[rows, columns]
        return d_x

    def _places(self, lengths: Integers, features: int) -> list[tuple[Integers, Any, slice]]:
        """Which sequences have any step, the step that is taken of each, and its features.

        Without any such sequence there are no places: of an x without steps none can be read.
        """
        ran = np.flatnonzero(lengths)
        if not ran.size:
            return []
        half = features // 2 if self.bidirectional else features
        last = (ran, lengths[ran] - 1, slice(half))
        return [last, (ran, 0, slice(half, features))] if self.bidirectional else [last]
