"""Initial weights of a GRU, drawn from its own generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pygru.gru_base import GRUBase


def _fixed(name: str) -> int:
    """The initial value of parameters that are not drawn: 1 for gains, 0 for biases and h0."""
    return 1 if name.startswith("gain") else 0


def torch_uniform(gru: GRUBase) -> None:
    """Fill weights and biases uniformly in +-1/sqrt(H), as PyTorch does."""
    bound = 1 / math.sqrt(gru.hidden_size)
    for name, view in gru.parameters.items():
        if name.startswith(("weight", "bias")):
            view[...] = gru.generator.uniform(-bound, bound, view.shape)
        else:
            view[...] = _fixed(name)


def keras_glorot_orthogonal(gru: GRUBase) -> None:
    """Fill weights as Keras does: input Glorot-uniform, recurrent orthogonal, biases zero.

    The bound of the input weights is sqrt(6 / (I + 3H)) (Glorot and Bengio 2010); the columns
    of the recurrent matrix are orthonormal (Saxe et al. 2014).
    """
    for name, view in gru.parameters.items():
        if name.startswith("weight_ih"):
            bound = math.sqrt(6 / sum(view.shape))
            view[...] = gru.generator.uniform(-bound, bound, view.shape)
        elif name.startswith("weight_hh"):
            q, r = np.linalg.qr(gru.generator.standard_normal(view.shape))
            view[...] = q * np.sign(np.diagonal(r))
        else:
            view[...] = _fixed(name)


INITIALIZERS: dict[str, Callable[[GRUBase], None]] = {
    "torch": torch_uniform,
    "keras": keras_glorot_orthogonal,
}
