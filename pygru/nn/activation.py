"""Activation: a function of each number, or of each step's features, between two layers.

With ``lengths`` and an x of (B, T, F), steps after the end of a sequence are not read, and
outputs and gradients are 0 there. Each step has the same bits in every batch: the arrays are
dense, and every sum runs over the features of one step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pygru.core import validation
from pygru.core.elementwise import sigmoid, tanh
from pygru.nn import ragged
from pygru.nn.checks import gradient_like
from pygru.nn.layer import Layer
from pygru.typing import Floats, Integers


class _Function(NamedTuple):
    """``value(x)``, and its gradient from what ``keeps`` says: x, or the output y."""

    value: Callable[[Floats], Floats]
    gradient: Callable[[Floats, Floats], Floats]  # of what was kept, and d_y
    keeps: str


def _relu(x: Floats) -> Floats:
    return np.maximum(x, x.dtype.type(0))


def _relu_gradient(y: Floats, d_y: Floats) -> Floats:
    return np.where(y <= 0, d_y.dtype.type(0), d_y)


def _tanh_gradient(y: Floats, d_y: Floats) -> Floats:
    return d_y * (1 - y * y)


def _sigmoid_gradient(y: Floats, d_y: Floats) -> Floats:
    d_x: Floats = d_y * (y * (1 - y))
    return d_x


def _softmax(x: Floats) -> Floats:
    # An infinite number gives NaN, as in PyTorch, without a warning.
    with np.errstate(invalid="ignore"):
        y: Floats = np.exp(x - x.max(axis=-1, keepdims=True, initial=-np.inf))
        y /= y.sum(axis=-1, keepdims=True)
    return y


def _softmax_gradient(y: Floats, d_y: Floats) -> Floats:
    d_x: Floats = y * (d_y - (y * d_y).sum(axis=-1, keepdims=True))
    return d_x


def _gelu(x: Floats) -> Floats:
    from scipy.special import ndtr

    # The function rounds to 0 below -40, and so 0 times infinity does not occur.
    x = np.maximum(x, x.dtype.type(-40))
    y: Floats = x * ndtr(x)
    return y


def _gelu_gradient(x: Floats, d_y: Floats) -> Floats:
    from scipy.special import ndtr

    near = np.clip(x, -40, 40)
    density = np.exp(-0.5 * near * near) * (1 / math.sqrt(2 * math.pi))
    d_x: Floats = d_y * (ndtr(x) + near * density)
    return d_x


def _softplus(x: Floats) -> Floats:
    return _relu(x) + np.log1p(np.exp(-np.abs(x)))


def _softplus_gradient(x: Floats, d_y: Floats) -> Floats:
    return d_y * sigmoid(x)


FUNCTIONS = {
    "relu": _Function(_relu, _relu_gradient, "y"),
    "tanh": _Function(tanh, _tanh_gradient, "y"),
    "sigmoid": _Function(sigmoid, _sigmoid_gradient, "y"),
    "softmax": _Function(_softmax, _softmax_gradient, "y"),
    "gelu": _Function(_gelu, _gelu_gradient, "x"),
    "softplus": _Function(_softplus, _softplus_gradient, "x"),
}


class _Tape(NamedTuple):
    kept: Floats  # (n, ...) of the rows that hold data
    steps: Integers | None  # their positions
    shape: tuple[int, ...]  # of the whole x


class Activation(Layer):
    """A function of each number of the input, or of the features of each step.

    =============  ==========================================================
    activation     y
    =============  ==========================================================
    ``relu``       max(x, 0)
    ``tanh``       tanh(x)
    ``sigmoid``    1 / (1 + exp(-x))
    ``softmax``    exp(x) / sum(exp(x)), the sum over the last axis
    ``gelu``       x Phi(x), Phi the distribution function of N(0, 1) [1]_
    ``softplus``   log(1 + exp(x))
    =============  ==========================================================

    Parameters
    ----------
    activation : {"relu", "tanh", "sigmoid", "softmax", "gelu", "softplus"}
        The function.

    Raises
    ------
    ValueError
        If there is no function of this name.

    Notes
    -----
    float32 stays float32, and everything else is computed in float64. The losses
    ``cross_entropy`` and ``bce_with_logits`` contain softmax and sigmoid, so a :class:`Trainer`
    with such a loss refuses a model that ends with them.

    References
    ----------
    .. [1] D. Hendrycks, K. Gimpel, "Gaussian Error Linear Units (GELUs)", 2016,
       arXiv:1606.08415.

    Examples
    --------
    >>> import pygru
    >>> pygru.Activation("relu")([[-1.0, 2.0]]).tolist()
    [[0.0, 2.0]]
    >>> pygru.Activation("softmax")([[1e9, 1e9]]).tolist()
    [[0.5, 0.5]]
    """

    keeps_features = True
    takes_single_steps = True

    activation: str

    def __init__(self, activation: str) -> None:
        self._fix(
            activation=validation.check_choice("activation", activation, tuple(FUNCTIONS))
        )
        self.create_parameters()

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, ready for JSON."""
        return {"activation": self.activation}

    def forward(
        self, x: ArrayLike, *, lengths: ArrayLike | None = None, training: bool = True
    ) -> tuple[Floats, _Tape]:
        """Return the function of x, (..., F), in its shape, and the tape."""
        array = validation.as_numeric("x", x)
        is_single = array.dtype.kind == "f" and array.dtype.itemsize == 4
        array = validation.as_real("x", array, np.float32 if is_single else np.float64)
        if not array.ndim:
            raise ValueError("x must have at least one dimension, got none")
        steps = ragged.steps_of(lengths, array.shape[:-1])
        rows = np.ascontiguousarray(ragged.take(array, steps))
        function = FUNCTIONS[self.activation]
        y = function.value(rows)
        tape = _Tape(rows if function.keeps == "x" else y, steps, array.shape)
        return ragged.put(y, steps, array.shape), tape

    def backward(self, tape: _Tape, d_y: ArrayLike) -> Floats:
        """Return the gradient of x."""
        d_y = gradient_like("d_y", d_y, tape.shape, tape.kept.dtype)
        rows = ragged.take(d_y, tape.steps)
        d_x = FUNCTIONS[self.activation].gradient(tape.kept, rows)
        return ragged.put(d_x, tape.steps, tape.shape)
