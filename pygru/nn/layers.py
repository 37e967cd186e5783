"""The layers around a GRU: Linear, Dropout and Last; Embedding is in ``embedding.py``.

All follow one protocol: ``forward(x) -> y, tape`` and ``backward(tape, d_y) -> d_x``, which
adds the parameters' gradients to ``grads``. ``lengths`` and ``training`` may be passed to any
of them; a layer that does not need them ignores them. Arrays are batch first. With ``lengths``
and an x of (B, T, F), steps after the end of a sequence are not read, and outputs and gradients
are 0 there. A tape may refer to x instead of a copy, so do not change x before ``backward``.
"""

import numpy as np

from pygru.core import validation
from pygru.nn import ragged
from pygru.nn.layer import Layer


def _floating(x):
    """Return x unchanged, but integers as float64, because gradients are fractions."""
    x = validation.as_numeric("x", x)
    return x if x.dtype.kind == "f" else x.astype(np.float64)


def gradient_like(name, value, shape, dtype):
    """Return the gradient of an output of ``shape``; raise if it has another shape."""
    array = validation.as_real(name, value, dtype)
    validation.check_shape(name, array, shape, f"{shape} of the output")
    return array


class Linear(Layer):
    """An affine map of the last axis, ``y = x W^T + b``.

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

    def __init__(self, in_features, out_features, bias=True, *, dtype=np.float32, seed=None):
        self.in_features = validation.check_int("in_features", in_features, 1)
        self.out_features = validation.check_int("out_features", out_features, 1)
        self.bias = validation.check_bool("bias", bias)
        self.dtype = validation.check_dtype(dtype)
        self.create_parameters(seed)

    def get_config(self):
        """Return the constructor's arguments except the seed, ready for JSON."""
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.bias,
            "dtype": self.dtype.name,
        }

    @staticmethod
    def parameter_shapes(config):
        """Return the shape of each parameter that ``config`` makes."""
        shapes = {"weight": (config["out_features"], config["in_features"])}
        if config["bias"]:
            shapes["bias"] = (config["out_features"],)
        return shapes

    def output_features(self, features):
        """Return ``out_features``."""
        return self.out_features

    def initialize(self, generator):
        """Draw all parameters uniformly in +-1/sqrt(in_features)."""
        bound = 1 / np.sqrt(self.in_features)
        self.flat_parameters[...] = generator.uniform(-bound, bound, self.flat_parameters.size)

    def forward(self, x, *, lengths=None, training=True):
        """Map x (..., in_features) to (..., out_features)."""
        x = validation.as_real("x", x, self.dtype)
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ValueError(
                f"x must have shape (..., in_features={self.in_features}), got {x.shape}"
            )
        steps = ragged.steps_of(lengths, x.shape[:-1])
        rows = ragged.take(x, steps)
        y = rows @ self.parameters["weight"].T
        if self.bias:
            y += self.parameters["bias"]
        return ragged.put(y, steps, x.shape), (rows, steps, x.shape)

    def backward(self, tape, d_y):
        """Return d_x = d_y W and add to the gradients."""
        x, steps, shape = tape
        d_y = gradient_like("d_y", d_y, (*shape[:-1], self.out_features), self.dtype)
        d_y = ragged.take(d_y, steps)
        rows = d_y.reshape(-1, self.out_features)
        self.grads["weight"][...] += rows.T @ x.reshape(-1, self.in_features)
        if self.bias:
            self.grads["bias"][...] += rows.sum(axis=0)
        d_x = (rows @ self.parameters["weight"]).reshape(x.shape)
        return ragged.put(d_x, steps, shape)


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

    def __init__(self, p=0.5, *, seed=None):
        self.p = validation.check_fraction("p", p)
        self.create_parameters(seed)

    def get_config(self):
        """Return the constructor's arguments except the seed, ready for JSON."""
        return {"p": self.p}

    def output_features(self, features):
        """Return the features of the input."""
        return features

    def initialize(self, generator):
        """Keep the generator that the masks are drawn from."""
        self.generator = generator

    def forward(self, x, *, lengths=None, training=True):
        """Return x with dropout applied, of the same shape; x itself for inference."""
        x = _floating(x)
        if not training or self.p == 0:
            return x, None
        steps = ragged.steps_of(lengths, x.shape[:-1])
        rows = ragged.take(x, steps)
        scale = 0 if self.p == 1 else 1 / (1 - self.p)
        mask = (self.generator.random(rows.shape, np.float32) >= self.p) * x.dtype.type(scale)
        return ragged.put(rows * mask, steps, x.shape), (mask, steps, x.shape)

    def backward(self, tape, d_y):
        """Return d_x = d_y times the mask of the forward pass."""
        if tape is None:
            return d_y
        mask, steps, shape = tape
        d_y = gradient_like("d_y", d_y, shape, mask.dtype)
        return ragged.put(ragged.take(d_y, steps) * mask, steps, d_y.shape)


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

    def __init__(self, bidirectional=False):
        self.bidirectional = validation.check_bool("bidirectional", bidirectional)
        self.create_parameters()

    def get_config(self):
        """Return the constructor's arguments, ready for JSON."""
        return {"bidirectional": self.bidirectional}

    def output_features(self, features):
        """Return the features of the input."""
        return features

    def check_follows(self, recurrent):
        """Raise if the recurrent layer before this one has another number of directions."""
        if self.bidirectional != recurrent.bidirectional:
            raise ValueError(
                f"must be Last(bidirectional={recurrent.bidirectional}), like the "
                f"{type(recurrent).__name__} before it, got {self}"
            )

    def forward(self, x, *, lengths=None, training=True):
        """Take the last steps of x (B, T, F); a sequence of length 0 gives zeros."""
        x = _floating(x)
        if x.ndim != 3:
            raise ValueError(f"x must have 3 dimensions (batch, time, features), got {x.ndim}")
        B, T, F = x.shape
        lengths = np.full(B, T) if lengths is None else validation.as_lengths(lengths, B, T)
        y = np.zeros((B, F), x.dtype)
        ran = np.flatnonzero(lengths)
        y[ran] = x[ran, lengths[ran] - 1]
        if self.bidirectional:
            y[ran, F // 2 :] = x[ran, 0, F // 2 :]
        return y, (x.shape, lengths, x.dtype)

    def backward(self, tape, d_y):
        """Return d_x, which is zero except at the steps that were taken."""
        shape, lengths, dtype = tape
        d_y = gradient_like("d_y", d_y, (shape[0], shape[2]), dtype)
        half = shape[2] // 2 if self.bidirectional else shape[2]
        d_x = np.zeros(shape, d_y.dtype)
        ran = np.flatnonzero(lengths)
        d_x[ran, lengths[ran] - 1, :half] = d_y[ran, :half]
        d_x[ran, 0, half:] = d_y[ran, half:]
        return d_x
