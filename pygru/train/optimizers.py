"""Optimisers: each updates the flat parameter arrays of a model from its flat gradients.

A class here has the settings and the name of the kernel; the formula itself is in C.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pygru.core import _training, backend, validation
from pygru.train.optimizer_base import Optimizer, Part, Rate


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for.

    ``v = momentum * v + g`` and ``p -= learning_rate * v``, as in PyTorch; Nesterov's form
    steps along ``g + momentum * v`` (Sutskever et al. 2013, "On the importance of
    initialization and momentum in deep learning"). Weight decay adds ``weight_decay * p`` to g.

    Parameters
    ----------
    learning_rate : float or schedule
    momentum : float
        In [0, 1].
    nesterov : bool
        Whether to use Nesterov's form; needs momentum.
    weight_decay : float
        Of weights; biases are spared.

    Examples
    --------
    >>> import pygru
    >>> pygru.SGD(0.1, momentum=0.9)
    SGD(learning_rate=0.1)
    """

    n_states = 1

    def __init__(
        self,
        learning_rate: Rate = 0.01,
        momentum: float = 0.0,
        *,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(learning_rate, weight_decay)
        self.momentum = validation.check_fraction("momentum", momentum)
        self.nesterov = validation.check_bool("nesterov", nesterov)
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=True needs momentum > 0")

    def get_config(self) -> dict[str, Any]:
        """Return the settings but the learning rate, ready for JSON."""
        return {
            "momentum": self.momentum,
            "nesterov": self.nesterov,
            **super().get_config(),
        }

    def _update(self, parts: Sequence[Part], rate: float) -> None:
        kernels = backend.current().kernels
        settings = {"rate": rate, "momentum": self.momentum, "nesterov": self.nesterov}
        _training.update("sgd", kernels, parts, self._count, settings)


class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton 2012, lecture 6.5), as in PyTorch.

    ``s = alpha * s + (1 - alpha) * g**2``, ``v = momentum * v + g / (sqrt(s) + eps)`` and
    ``p -= learning_rate * v``. Weight decay adds ``weight_decay * p`` to g.

    Parameters
    ----------
    learning_rate : float or schedule
    alpha : float
        Decay of the mean square, in [0, 1).
    eps : float
        Added to the root.
    momentum : float
        In [0, 1].
    centered : bool
        Whether the square of the mean gradient is taken from the mean square (Graves 2013,
        arXiv:1308.0850).
    weight_decay : float
        Of weights; biases are spared.

    Examples
    --------
    >>> import pygru
    >>> pygru.RMSprop(1e-3, momentum=0.9)
    RMSprop(learning_rate=0.001)
    """

    def __init__(
        self,
        learning_rate: Rate = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        *,
        centered: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(learning_rate, weight_decay)
        self.alpha = validation.check_fraction("alpha", alpha)
        if self.alpha == 1:
            raise ValueError("alpha must be a number in [0, 1), got 1.0")
        self.eps = validation.check_positive("eps", eps)
        self.momentum = validation.check_fraction("momentum", momentum)
        self.centered = validation.check_bool("centered", centered)

    @property
    def n_states(self) -> int:  # type: ignore[override]
        """Mean square and velocity, and the mean gradient if it is centred."""
        return 3 if self.centered else 2

    def get_config(self) -> dict[str, Any]:
        """Return the settings but the learning rate, ready for JSON."""
        return {
            "alpha": self.alpha,
            "eps": self.eps,
            "momentum": self.momentum,
            "centered": self.centered,
            **super().get_config(),
        }

    def _update(self, parts: Sequence[Part], rate: float) -> None:
        kernels = backend.current().kernels
        settings = {
            "rate": rate,
            "alpha": self.alpha,
            "eps": self.eps,
            "momentum": self.momentum,
        }
        _training.update("rmsprop", kernels, parts, self._count, settings)


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1).

    Weight decay adds ``weight_decay * p`` to the gradient; :class:`AdamW` decouples it.

    Parameters
    ----------
    learning_rate : float or schedule
    betas : (float, float)
        Decay of the first and second moment, in [0, 1).
    eps : float
        Added to the root of the second moment.
    weight_decay : float
        Of weights; biases are spared.

    Examples
    --------
    >>> import pygru
    >>> pygru.Adam(1e-3)
    Adam(learning_rate=0.001)
    """

    n_states = 2
    _decoupled = False

    def __init__(
        self,
        learning_rate: Rate = 1e-3,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        *,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(learning_rate, weight_decay)
        if not np.iterable(betas):
            raise TypeError(f"betas must be two numbers in [0, 1), got {betas}")
        self.betas = tuple(validation.check_fraction("betas", beta) for beta in betas)
        if len(self.betas) != 2 or max(self.betas) >= 1:
            raise ValueError(f"betas must be two numbers in [0, 1), got {betas}")
        self.eps = validation.check_positive("eps", eps)

    def get_config(self) -> dict[str, Any]:
        """Return the settings but the learning rate, ready for JSON."""
        return {"betas": list(self.betas), "eps": self.eps, **super().get_config()}

    def _update(self, parts: Sequence[Part], rate: float) -> None:
        kernels = backend.current().kernels
        beta1, beta2 = self.betas
        settings = {
            "rate": rate,
            "beta1": beta1,
            "beta2": beta2,
            "eps": self.eps,
            "decoupled": self._decoupled,
        }
        _training.update("adam", kernels, parts, self._count, settings)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101).

    Before Adam's step each weight shrinks: ``p -= learning_rate * weight_decay * p``.

    Parameters
    ----------
    learning_rate : float or schedule
    betas : (float, float)
        Decay of the first and second moment, in [0, 1).
    eps : float
        Added to the root of the second moment.
    weight_decay : float
        Of weights; biases are spared.

    Examples
    --------
    >>> import pygru
    >>> pygru.AdamW(1e-3)
    AdamW(learning_rate=0.001, weight_decay=0.01)
    """

    _decoupled = True

    def __init__(
        self,
        learning_rate: Rate = 1e-3,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        *,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(learning_rate, betas, eps, weight_decay=weight_decay)
