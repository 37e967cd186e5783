"""FeatureScale: each feature is multiplied by a number of its own, and shifted by another.

With ``lengths`` and an x of (B, T, F), steps after the end of a sequence are not read, and
outputs and gradients are 0 there. No statistics are computed: a trained batch normalisation,
which is what this layer most often stands for, has constant ones.
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
    x: Floats  # (..., F) the rows that hold data
    steps: Integers | None  # their positions
    shape: tuple[int, ...]  # of the whole x


class FeatureScale(Layer):
    """Scales and shifts each feature, ``y = weight * x + bias``.

    This is what a batch normalisation computes after training, with
    ``weight = gamma / sqrt(variance + eps)`` and ``bias = beta - mean * weight``.
    :func:`from_keras` makes such a layer of one.

    Parameters
    ----------
    features : int
        Features of a step, F: the size of the last axis.
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

    See Also
    --------
    LayerNorm : Scales each step by its own mean and variance.
    data.Scaler : Scales data before they reach a model.

    Examples
    --------
    >>> import pygru
    >>> layer = pygru.FeatureScale(2)
    >>> layer.parameters["weight"] = [2.0, 0.5]
    >>> layer.parameters["bias"] = [0.0, 1.0]
    >>> layer([[3.0, 4.0]]).tolist()
    [[6.0, 3.0]]
    """

    takes_single_steps = True

    features: int
    dtype: np.dtype[Any]

    def __init__(self, features: int, *, dtype: DTypeLike = np.float32) -> None:
        features = validation.check_int("features", features, 1)
        self._fix(
            features=features,
            input_size=features,
            output_size=features,
            dtype=validation.check_dtype(dtype),
        )
        self.create_parameters()

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, ready for JSON."""
        return {"features": self.features, "dtype": self.dtype.name}

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
        """Scale and shift x (..., F), and return it with the tape."""
        array = validation.as_real("x", x, self.dtype)
        if array.ndim == 0 or array.shape[-1] != self.features:
            raise ValueError(
                f"x must have shape (..., features={self.features}), got {array.shape}"
            )
        steps = ragged.steps_of(lengths, array.shape[:-1])
        rows = ragged.take(array, steps)
        y = rows * self.parameters["weight"] + self.parameters["bias"]
        return ragged.put(y, steps, array.shape), _Tape(rows.copy(), steps, array.shape)

    def backward(self, tape: _Tape, d_y: ArrayLike) -> Floats:
        """Return the gradient of x and add to those of the parameters."""
        d_rows = gradient_like("d_y", d_y, tape.shape, self.dtype)
        d_rows = ragged.take(d_rows, tape.steps)
        d_x = d_rows * self.parameters["weight"]
        sums = {"weight": d_rows * tape.x, "bias": d_rows}
        new = {
            name: self.grads[name]
            + each.reshape(-1, self.features).sum(axis=0, dtype=np.float64)
            for name, each in sums.items()
        }
        commit(
            [
                assignment(self.grads[name], value.astype(self.dtype))
                for name, value in new.items()
            ]
        )
        return ragged.put(d_x, tape.steps, tape.shape)
