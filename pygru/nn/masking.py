"""Masking: finds out from the input which steps do not count.

It is the layer of this name in Keras. It acts on the layers after it, up to the first one that
returns one vector per sequence.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from pygru.core import validation
from pygru.nn.checks import check_sequences, floating, gradient_like
from pygru.nn.layer import Layer
from pygru.nn.ragged import counted_of
from pygru.nn.shortcuts import FORWARD, Shortcut, no_steps
from pygru.nn.stream_parts import Step
from pygru.typing import Booleans, Floats


class Masking(Layer):
    """Leaves out the steps of which every feature has one value, for the layers after it.

    Its output is x, with zeros at the steps that do not count.

    Parameters
    ----------
    mask_value : float
        The value of all features of a step that does not count.

    Raises
    ------
    TypeError, ValueError
        If ``mask_value`` is not a finite number.

    See Also
    --------
    Embedding : With ``mask_zero`` the token 0 has this meaning.

    Notes
    -----
    x is compared in its own precision: in float32 no number equals the float64 0.1. Steps that
    you know otherwise need no such layer: ``model(x, mask=~np.isnan(x).any(axis=-1))``.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru import GRU, Last, Masking, Sequential
    >>> model = Sequential(Masking(-1.0), GRU(2, 3, batch_first=True), Last(), seed=0)
    >>> x = np.ones((1, 4, 2))
    >>> x[0, 1:3] = -1
    >>> np.array_equal(model(x), model(x[:, [0, 3]]))
    True
    """

    keeps_features = True

    mask_value: float

    _shortcuts: ClassVar[dict[str, Shortcut]] = {"begin_stream": Shortcut(FORWARD, no_steps)}

    def __init__(self, mask_value: float = 0.0) -> None:
        value = validation.check_number("mask_value", mask_value)
        if not np.isfinite(value):
            raise ValueError(f"mask_value must be a finite number, got {value}")
        self._fix(mask_value=value)
        self.create_parameters()

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, ready for JSON."""
        return {"mask_value": self.mask_value}

    def mask_after(self, x: Any, mask: Any) -> Booleans:
        """Return which steps count: those with another value, if ``mask`` lets them count."""
        counted: Booleans = (self._steps(x) != self.mask_value).any(axis=-1)
        return counted if mask is None else counted & mask

    @staticmethod
    def _steps(x: ArrayLike) -> Floats:
        array = floating(x)
        check_sequences("x", array)
        return array

    def forward(
        self, x: ArrayLike, *, lengths: ArrayLike | None = None, training: bool = True
    ) -> tuple[Floats, tuple[Booleans, np.dtype[Any]]]:
        """Return x (B, T, F), with zeros at the steps that do not count, and the tape."""
        array = self._steps(x)
        counted = counted_of(lengths, self.mask_after(array, None), *array.shape[:2])
        y: Floats = np.where(counted[..., np.newaxis], array, array.dtype.type(0))
        return y, (counted, array.dtype)

    def backward(self, tape: tuple[Booleans, np.dtype[Any]], d_y: ArrayLike) -> Floats:
        """Return d_x, which is zero at the steps that do not count."""
        counted, dtype = tape
        shape = (*counted.shape, np.shape(d_y)[-1] if np.ndim(d_y) else 0)
        d_y = gradient_like("d_y", d_y, shape, dtype)
        d_x: Floats = np.where(counted[..., np.newaxis], d_y, dtype.type(0))
        return d_x

    def begin_stream(self, batch: int | None) -> Step:
        """Return what passes each step on, and refuses one that does not count."""

        def step(x_t: Any) -> Any:
            x = floating(x_t)
            if (x == self.mask_value).all(axis=-1).any():
                raise ValueError(
                    f"x_t is {self.mask_value} in all features, so it does not count; leave "
                    "such steps out of a stream"
                )
            return x

        return step
