"""The activations of the kit's own GRU, each with its derivative."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pygru.conformance.case import ActivationName

Function: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]


class Activation(NamedTuple):
    """A function of an array, and its derivative at the same place."""

    value: Function
    slope: Function


def _sigmoid(a: NDArray[Any]) -> NDArray[Any]:
    return 0.5 * np.tanh(0.5 * a) + 0.5


def _hard_sigmoid(alpha: float, beta: float) -> Activation:
    def value(a: NDArray[Any]) -> NDArray[Any]:
        return np.clip(alpha * a + beta, 0, 1)

    def slope(a: NDArray[Any]) -> NDArray[Any]:
        line = alpha * a + beta
        return np.where((line > 0) & (line < 1), alpha, 0.0)

    return Activation(value, slope)


_BY_NAME = {
    "tanh": Activation(np.tanh, lambda a: 1 - np.tanh(a) ** 2),
    "sigmoid": Activation(_sigmoid, lambda a: _sigmoid(a) * _sigmoid(-a)),
    "relu": Activation(lambda a: np.maximum(a, 0), lambda a: np.where(a > 0, 1.0, 0.0)),
    "linear": Activation(lambda a: a, np.ones_like),
    "softsign": Activation(lambda a: a / (1 + abs(a)), lambda a: (1 + abs(a)) ** -2),
}


def activation(name: ActivationName, clip: float | None = None) -> Activation:
    """Return the activation of a name; with ``clip``, its argument is limited first."""
    found = _BY_NAME[name] if isinstance(name, str) else _hard_sigmoid(*name[1:])
    if clip is None:
        return found

    def value(a: NDArray[Any]) -> NDArray[Any]:
        return found.value(np.clip(a, -clip, clip))

    def slope(a: NDArray[Any]) -> NDArray[Any]:
        return np.where(abs(a) < clip, found.slope(a), 0.0)

    return Activation(value, slope)
