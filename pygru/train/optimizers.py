"""Optimisers: each updates the flat parameter arrays of a model from its flat gradients."""

import math
import weakref

import numpy as np

from pygru.core import _core, backend, validation


class Optimizer:
    """What the optimisers share: their state, one row of arrays per flat array, and the rate.

    Parameters
    ----------
    learning_rate : float or callable
        Fixed, or a function from the number of the step (from 0) to the rate, as
        :mod:`pygru.schedules` makes them.
    weight_decay : float
        How strongly weights are drawn to 0. Biases, which are the parameters of fewer than two
        axes, are spared.
    """

    # How many arrays of state an optimiser keeps per parameter array.
    n_states = 0

    def __init__(self, learning_rate, weight_decay=0.0):
        self.learning_rate = learning_rate
        self.weight_decay = validation.check_not_negative("weight_decay", weight_decay)
        self._count = np.zeros(1, np.int64)
        self._states = None
        self._model = None  # a weak reference to the one that the states belong to

    @property
    def steps(self):
        """How many steps have been made."""
        return int(self._count[0])

    @property
    def learning_rate(self):
        """float > 0 or schedule; may be changed between steps."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        if not callable(value):
            value = validation.check_positive("learning_rate", value)
        self._learning_rate = value

    @property
    def next_learning_rate(self):
        """The rate of the step that comes next, a float."""
        if not callable(self._learning_rate):
            return self._learning_rate
        return validation.check_not_negative("learning_rate", self._learning_rate(self.steps))

    def get_config(self):
        """Return the settings but the learning rate, ready for JSON."""
        return {"weight_decay": self.weight_decay}

    def state_dict(self):
        """Return what changes from step to step: a dict of numbers and copies of arrays.

        ``learning_rate`` is None where a schedule says it.
        """
        rate = self._learning_rate
        return {
            "steps": self.steps,
            "learning_rate": None if callable(rate) else rate,
            "states": [[state.copy() for state in row] for row in self._states or []],
        }

    def load_state_dict(self, state):
        """Go back to what :meth:`state_dict` has returned, all or nothing.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is not the state of an optimiser like this one.
        """
        steps = validation.check_int("steps", state["steps"], 0)
        rate = state["learning_rate"]
        if callable(self._learning_rate) != (rate is None):
            raise ValueError("learning_rate is a schedule in one and a number in the other")
        if rate is not None:
            rate = validation.check_positive("learning_rate", rate)
        rows = [[np.array(array) for array in row] for row in state["states"]]
        if any(len(row) != self.n_states for row in rows):
            raise ValueError(f"a {type(self).__name__} keeps {self.n_states} states per array")
        if rate is not None:
            self._learning_rate = rate
        self._states = rows or None
        self._count[0] = steps

    def step(self, model):
        """Update the parameters of ``model`` in place from its gradients.

        A step that is interrupted has been made wholly, and counted, or not at all.

        Raises
        ------
        ValueError
            If this optimiser has been used with another model.
        """
        self._check_model(model)
        pairs = model.flat_pairs
        wholes = [
            (values, gradients, *states)
            for (values, gradients), states in zip(pairs, self._states_for(pairs), strict=True)
        ]
        if self.weight_decay == 0:
            parts = [(arrays, 0.0) for arrays in wholes]
        else:
            parts = [
                (tuple(array[place] for array in arrays), decay)
                for arrays, weights in zip(wholes, model.weight_slices, strict=True)
                for place, decay in _with_gaps(weights, self.weight_decay, len(arrays[0]))
            ]
        self._update(parts, self.next_learning_rate)

    def _check_model(self, model):
        """Refuse a second model: the states, and the count of steps, belong to the first."""
        if self._model is None or self._states is None:
            self._model = weakref.ref(model)
        elif self._model() is not model:
            raise ValueError("this optimizer belongs to another model; make a new one")

    def __getstate__(self):
        # A copy, or what a file gives back, belongs to the copy of the model.
        return self.__dict__ | {"_model": None}

    def _states_for(self, pairs):
        if self._states is None:
            self._states = [
                [np.zeros_like(values) for _ in range(self.n_states)] for values, _ in pairs
            ]
        sizes = [len(values) for values, _ in pairs]
        if sizes != [len(row[0]) for row in self._states]:
            raise ValueError("this optimizer belongs to another model; make a new one")
        return self._states

    def __repr__(self):
        decay = f", weight_decay={self.weight_decay}" if self.weight_decay else ""
        return f"{type(self).__name__}(learning_rate={self.learning_rate}{decay})"


def _with_gaps(weights, decay, size):
    """Slices that cover [0, size): those of the weights with ``decay``, the others with 0."""
    places, end = [], 0
    for weight in weights:
        if end < weight.start:
            places.append((slice(end, weight.start), 0.0))
        places.append((weight, decay))
        end = weight.stop
    if end < size:
        places.append((slice(end, size), 0.0))
    return places


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

    def __init__(self, learning_rate=0.01, momentum=0.0, *, nesterov=False, weight_decay=0.0):
        super().__init__(learning_rate, weight_decay)
        self.momentum = validation.check_fraction("momentum", momentum)
        self.nesterov = validation.check_bool("nesterov", nesterov)
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=True needs momentum > 0")

    def get_config(self):
        """Return the settings but the learning rate, ready for JSON."""
        return {
            "momentum": self.momentum,
            "nesterov": self.nesterov,
            **super().get_config(),
        }

    def _update(self, parts, rate):
        kernels = backend.current().kernels
        settings = {"rate": rate, "momentum": self.momentum, "nesterov": self.nesterov}
        _core.update("sgd", kernels, parts, self._count, settings)


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
        learning_rate=0.01,
        alpha=0.99,
        eps=1e-8,
        momentum=0.0,
        *,
        centered=False,
        weight_decay=0.0,
    ):
        super().__init__(learning_rate, weight_decay)
        self.alpha = validation.check_fraction("alpha", alpha)
        if self.alpha == 1:
            raise ValueError("alpha must be a number in [0, 1), got 1.0")
        self.eps = validation.check_positive("eps", eps)
        self.momentum = validation.check_fraction("momentum", momentum)
        self.centered = validation.check_bool("centered", centered)

    @property
    def n_states(self):
        """Mean square and velocity, and the mean gradient if it is centred."""
        return 3 if self.centered else 2

    def get_config(self):
        """Return the settings but the learning rate, ready for JSON."""
        return {
            "alpha": self.alpha,
            "eps": self.eps,
            "momentum": self.momentum,
            "centered": self.centered,
            **super().get_config(),
        }

    def _update(self, parts, rate):
        kernels = backend.current().kernels
        settings = {
            "rate": rate,
            "alpha": self.alpha,
            "eps": self.eps,
            "momentum": self.momentum,
        }
        _core.update("rmsprop", kernels, parts, self._count, settings)


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

    def __init__(self, learning_rate=1e-3, betas=(0.9, 0.999), eps=1e-8, *, weight_decay=0.0):
        super().__init__(learning_rate, weight_decay)
        if not np.iterable(betas):
            raise TypeError(f"betas must be two numbers in [0, 1), got {betas}")
        self.betas = tuple(validation.check_fraction("betas", beta) for beta in betas)
        if len(self.betas) != 2 or max(self.betas) >= 1:
            raise ValueError(f"betas must be two numbers in [0, 1), got {betas}")
        self.eps = validation.check_positive("eps", eps)

    def get_config(self):
        """Return the settings but the learning rate, ready for JSON."""
        return {"betas": list(self.betas), "eps": self.eps, **super().get_config()}

    def _update(self, parts, rate):
        kernels = backend.current().kernels
        beta1, beta2 = self.betas
        settings = {
            "rate": rate,
            "beta1": beta1,
            "beta2": beta2,
            "eps": self.eps,
            "decoupled": self._decoupled,
        }
        _core.update("adam", kernels, parts, self._count, settings)


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

    def __init__(self, learning_rate=1e-3, betas=(0.9, 0.999), eps=1e-8, *, weight_decay=0.01):
        super().__init__(learning_rate, betas, eps, weight_decay=weight_decay)


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
        max_norm = validation.check_number("max_norm", max_norm)
        if not max_norm > 0:
            raise ValueError(f"max_norm must be > 0 or None, got {max_norm}")
    kernels = backend.current().kernels
    norm = math.sqrt(
        sum(_core.sum_of_squares(kernels, gradients) for _, gradients in model.flat_pairs)
    )
    if max_norm is not None and math.isfinite(norm) and norm > max_norm:
        for _, gradients in model.flat_pairs:
            gradients *= max_norm / norm
    return norm
