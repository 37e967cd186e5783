"""Optimisers: each updates the flat parameter arrays of a model from its flat gradients."""

import math

import numpy as np

from pygru.core import _core, validation
from pygru.core.kernels import KERNELS


class Optimizer:
    """What the optimisers share: one state array per flat array, made at the first step."""

    # How many arrays of state an optimiser keeps per parameter array.
    n_states = 0

    def __init__(self, learning_rate):
        self.learning_rate = learning_rate
        self.steps = 0
        self._states = None

    @property
    def learning_rate(self):
        """float > 0; may be changed between steps."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self._learning_rate = validation.check_positive("learning_rate", value)

    def step(self, model):
        """Update the parameters of ``model`` in place from its gradients.

        Raises
        ------
        ValueError
            If this optimiser has been used with a model of other sizes.
        """
        pairs = model.flat_pairs
        if self._states is None:
            self._states = [
                [np.zeros_like(values) for _ in range(self.n_states)] for values, _ in pairs
            ]
        if [len(values) for values, _ in pairs] != [
            len(state[0]) for state in self._states if state
        ] and self.n_states:
            raise ValueError("this optimizer belongs to another model; make a new one")
        self.steps += 1
        for (values, gradients), states in zip(pairs, self._states, strict=True):
            self._update(values, gradients, *states)

    def __repr__(self):
        return f"{type(self).__name__}(learning_rate={self.learning_rate})"


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for.

    ``v = momentum * v + g`` and ``p -= learning_rate * v``, as in PyTorch.

    Parameters
    ----------
    learning_rate : float
    momentum : float
        In [0, 1).

    Examples
    --------
    >>> import pygru
    >>> pygru.SGD(0.1, momentum=0.9)
    SGD(learning_rate=0.1)
    """

    n_states = 1

    def __init__(self, learning_rate=0.01, momentum=0.0):
        super().__init__(learning_rate)
        self.momentum = validation.check_fraction("momentum", momentum)

    def _update(self, values, gradients, velocity):
        _core.sgd(KERNELS, values, gradients, velocity, self.learning_rate, self.momentum)


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1).

    Parameters
    ----------
    learning_rate : float
    betas : (float, float)
        Decay of the first and second moment, in [0, 1).
    eps : float
        Added to the root of the second moment.

    Examples
    --------
    >>> import pygru
    >>> pygru.Adam(1e-3)
    Adam(learning_rate=0.001)
    """

    n_states = 2

    def __init__(self, learning_rate=1e-3, betas=(0.9, 0.999), eps=1e-8):
        super().__init__(learning_rate)
        self.betas = tuple(validation.check_fraction("betas", beta) for beta in betas)
        if len(self.betas) != 2 or max(self.betas) >= 1:
            raise ValueError(f"betas must be two numbers in [0, 1), got {betas}")
        self.eps = validation.check_positive("eps", eps)

    def _update(self, values, gradients, first, second):
        beta1, beta2 = self.betas
        # The bias corrections of both moments, as one step size and one factor of the root.
        rate = self.learning_rate / (1 - beta1**self.steps)
        root = 1 / math.sqrt(1 - beta2**self.steps)
        _core.adam(
            KERNELS, values, gradients, first, second, beta1, beta2, rate, root, self.eps
        )


def clip_grad_norm(model, max_norm):
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

    Examples
    --------
    >>> import pygru
    >>> gru = pygru.GRU(1, 1, seed=0)
    >>> gru.flat_grads[:] = 3.0
    >>> round(pygru.clip_grad_norm(gru, 1.0), 3), round(pygru.clip_grad_norm(gru, None), 3)
    (10.392, 1.0)
    """
    if max_norm is not None:
        max_norm = validation.check_number("clip_norm", max_norm)
        if not max_norm > 0:
            raise ValueError(f"clip_norm must be > 0 or None, got {max_norm}")
    norm = math.sqrt(
        sum(_core.sum_of_squares(KERNELS, gradients) for _, gradients in model.flat_pairs)
    )
    if max_norm is not None and math.isfinite(norm) and norm > max_norm:
        for _, gradients in model.flat_pairs:
            gradients *= max_norm / norm
    return norm
