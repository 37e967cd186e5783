"""Clipping: all gradients of a model are scaled so that their joint norm has a bound."""

from __future__ import annotations

import math
from typing import Any

from pygru.core import _training, backend, validation
from pygru.core._training import fit_together
from pygru.train.optimizer_base import Pairs, pairs_of, plain_like


def check_norm(name: str, value: float | None) -> float | None:
    """Return a bound of a norm as a float > 0; None, which is no bound, stays None."""
    if value is None:
        return None
    number = validation.check_number(name, value)
    if not number > 0:
        raise ValueError(f"{name} must be > 0 or None, got {value}")
    return number


def clip_grad_norm(model: Any, max_norm: float | None) -> float:
    """Scale all gradients of a model so that their joint 2-norm is at most ``max_norm``.

    Parameters
    ----------
    model : GRU, Sequential or layer
    max_norm : float or None
        None only measures.

    Returns
    -------
    float
        The norm before scaling; gradients that are not finite are left as they are.

    Raises
    ------
    TypeError, ValueError
        If ``model`` is no model, or ``max_norm`` is not a number above 0.

    Examples
    --------
    >>> import pygru
    >>> gru = pygru.GRU(1, 1, seed=0)
    >>> gru.flat_grads[:] = 3.0
    >>> round(pygru.clip_grad_norm(gru, 1.0), 3), round(pygru.clip_grad_norm(gru, None), 3)
    (10.392, 1.0)
    """
    return clip_pairs(pairs_of(model), check_norm("max_norm", max_norm))


def clip_pairs(pairs: Pairs, max_norm: float | None) -> float:
    """Do what :func:`clip_grad_norm` does with the ``flat_pairs`` of a model."""
    found = [gradients for _, gradients in pairs]
    plain = [
        each if fit_together((each,)) else plain_like("the gradients", each, each)
        for each in found
    ]
    norm = math.sqrt(_training.sum_of_squares(backend.current().kernels, plain))
    if max_norm is not None and math.isfinite(norm) and norm > max_norm:
        for gradients in found:
            gradients *= max_norm / norm
    return norm
