"""Dropout: random zeros in training, nothing in inference.

With ``lengths`` and an x of (B, T, F), no numbers are drawn for the steps after the end of a
sequence, and outputs and gradients are 0 there. A call that fails has drawn nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pygru.core import validation
from pygru.core.pickled import refuse
from pygru.nn import ragged
from pygru.nn.checks import floating, gradient_like
from pygru.nn.layer import Layer
from pygru.nn.undo import draws_undone
from pygru.typing import Floats, Integers, Seed


class _DropoutTape(NamedTuple):
    mask: Floats  # the factor of each kept number, and 0 for the others
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

    keeps_features = True
    takes_single_steps = True

    p: float

    def __init__(self, p: float = 0.5, *, seed: Seed = None) -> None:
        self._fix(p=validation.check_fraction("p", p))
        self.create_parameters(seed)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments except the seed, ready for JSON."""
        return {"p": self.p}

    def initialize(self, generator: np.random.Generator) -> None:
        """Keep the generator from which the masks are drawn."""
        self.generator = generator

    def _check_generators(self) -> None:
        if "generator" not in vars(self):
            refuse(type(self), "it has no generator")
        super()._check_generators()

    def forward(
        self, x: ArrayLike, *, lengths: ArrayLike | None = None, training: bool = True
    ) -> tuple[Floats, _DropoutTape | None]:
        """Return x with dropout applied, of the same shape; x itself for inference."""
        array = floating(x)
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
