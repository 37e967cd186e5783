"""LayerNorm: the features of each step are shifted and scaled to mean 0 and variance 1.

With ``lengths`` and an x of (B, T, F), steps after the end of a sequence are not read, and
outputs and gradients are 0 there. The option ``layer_norm`` of a GRU is something else: it
normalises the sums of the gates, inside every step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from pygru.core import validation
from pygru.core.atomic import assignment, commit
from pygru.nn import ragged
from pygru.nn.checks import gradient_like
from pygru.nn.layer import Layer
from pygru.typing import Floats, Integers


class _Tape(NamedTuple):
    normalised: Floats  # (..., F) of the rows that hold data, before weight and bias
    scale: Floats  # (..., 1) by which they were multiplied, float64
    steps: Integers | None  # their positions
    shape: tuple[int, ...]  # of the whole x


def _mean(rows: Floats) -> Floats:
    """The mean over the last axis, which is kept: numpy.mean takes 5 us more for one step."""
    total: Floats = np.add.reduce(rows, axis=-1, keepdims=True)
    total /= rows.shape[-1]
    return total


class LayerNorm(Layer):
    """Normalises the features of each step, as ``torch.nn.LayerNorm`` does [1]_::

        y = weight * (x - mean) / sqrt(variance + eps) + bias

    Mean and variance are those of the F features of one step of one sequence. Each step has the
    same bits in every batch.

    Parameters
    ----------
    features : int
        Features of a step, F: the size of the last axis.
    eps : float
        The number that is added to the variance, so that the scale is finite where all features
        are equal.
    dtype : dtype
        float32 or float64, of parameters and results.

    Attributes
    ----------
    parameters, grads : mapping of str to ndarray
        ``weight`` (F,), ones at first, and ``bias`` (F,), zeros.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Notes
    -----
    Means and variances are computed in float64.

    References
    ----------
    .. [1] J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016, arXiv:1607.06450.

    Examples
    --------
    >>> import pygru
    >>> pygru.LayerNorm(2, dtype="float64")([[1.0, 3.0], [7.0, 7.0]]).round(4).tolist()
    [[-1.0, 1.0], [0.0, 0.0]]
    """

    takes_single_steps = True

    features: int
    eps: float
    dtype: np.dtype[Any]

    def __init__(
        self, features: int, eps: float = 1e-5, *, dtype: DTypeLike = np.float32
    ) -> None:
        features = validation.check_int("features", features, 1)
        self._fix(
            features=features,
            input_size=features,
            output_size=features,
            eps=validation.check_positive("eps", eps),
            dtype=validation.check_dtype(dtype),
        )
        self.create_parameters()

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, ready for JSON."""
        return {"features": self.features, "eps": self.eps, "dtype": self.dtype.name}

    @staticmethod
    def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter that ``config`` makes."""
        return {"weight": (config["features"],), "bias": (config["features"],)}

    def initialize(self, generator: np.random.Generator) -> None:
        """Make the weights ones and the biases zeros; nothing is drawn."""
        self.parameters["weight"] = np.ones(self.features)
        self.parameters["bias"] = np.zeros(self.features)

    def forward(
        self, x: ArrayLike, *, lengths: ArrayLike | None = None, training: bool = True
    ) -> tuple[Floats, _Tape]:
        """Normalise x (..., F), and return it with the tape."""
        array = validation.as_real("x", x, self.dtype)
        if array.ndim == 0 or array.shape[-1] != self.features:
            raise ValueError(
                f"x must have shape (..., features={self.features}), got {array.shape}"
            )
        steps = ragged.steps_of(lengths, array.shape[:-1])
        rows = np.ascontiguousarray(ragged.take(array, steps), np.float64)
        centred = rows - _mean(rows)
        scale = 1 / np.sqrt(_mean(centred * centred) + self.eps)
        normalised = (centred * scale).astype(self.dtype)
        y = normalised * self.parameters["weight"] + self.parameters["bias"]
        return ragged.put(y, steps, array.shape), _Tape(normalised, scale, steps, array.shape)

    def backward(self, tape: _Tape, d_y: ArrayLike) -> Floats:
        """Return the gradient of x and add to those of the parameters."""
        d_rows = gradient_like("d_y", d_y, tape.shape, self.dtype)
        d_rows = np.ascontiguousarray(ragged.take(d_rows, tape.steps), np.float64)
        # d_x = scale (d - mean(d) - n mean(d n)) with d = weight d_y and n the normalised rows
        d = d_rows * self.parameters["weight"]
        slope = _mean(d * tape.normalised)
        d -= _mean(d)
        d_x = ((d - tape.normalised * slope) * tape.scale).astype(self.dtype)
        sums = {"weight": d_rows * tape.normalised, "bias": d_rows}
        new = {
            name: self.grads[name] + each.reshape(-1, self.features).sum(axis=0)
            for name, each in sums.items()
        }
        commit(
            [
                assignment(self.grads[name], value.astype(self.dtype))
                for name, value in new.items()
            ]
        )
        return ragged.put(d_x, tape.steps, tape.shape)
