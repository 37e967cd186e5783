"""What a layer does in the stream of a whole model: one step, and the state between steps.

A layer that computes every step alone is a function of one step. A layer with a state is a
:class:`Part`. A part can go back to what it was before the present step, because a layer after
it may fail; and it prepares changes of its state as actions, so that all parts change together
or none does. The stream itself is in ``sequential_stream.py``, and the part of a GRU, whose
state lies in buffers of its own, in ``pygru/stream.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pygru.core import validation
from pygru.core.atomic import Action, attributes
from pygru.nn.checks import floating
from pygru.typing import Floats

if TYPE_CHECKING:
    from pygru.nn.model import Model

#: One step, for a layer without a state: x_t (B, ...) or (...), and the output.
Step: TypeAlias = Callable[[Any], Any]


class Part:
    """A layer with a state: None at the beginning, then an array or a list of arrays.

    A subclass computes each new state in new arrays, and never writes to an old one.

    Parameters
    ----------
    batch : int or None
        Number of independent streams, the first axis of the arrays of a state. None stands for
        one stream; then the steps have no such axis, and it is 1 in a state.
    """

    def __init__(self, batch: int | None) -> None:
        self.batch = batch
        self._state: Any = None
        self._before: Any = None

    def advance(self, x_t: Any) -> Any:
        """Make one step and return its output."""
        raise NotImplementedError

    def initial(self) -> Any:
        """Return the state at the beginning, in arrays like those of the present state."""
        raise NotImplementedError

    def remember(self) -> None:
        """Keep the state for :meth:`undo`."""
        self._before = self._state

    def undo(self) -> list[Action]:
        """Return the actions that bring the remembered state back."""
        return [attributes(self, _state=self._before)]

    @property
    def state(self) -> Any:
        """A copy of the state."""
        return _map_arrays(np.array, self._state)

    def actions_to_set(self, name: str, value: Any) -> list[Action]:
        """Return the actions that take over a state; messages call it ``name``."""
        if value is not None:
            self._check(name, value)
            if self._state is None:
                value = _map_arrays(np.array, value)
            else:
                value = self._like_present(name, value)
        return [attributes(self, _state=value)]

    def _check(self, name: str, value: Any) -> None:
        rows = 1 if self.batch is None else self.batch
        for array in value if isinstance(value, (list, tuple)) else [value]:
            shape = validation.as_numeric(name, array).shape
            if shape[:1] != (rows,):
                raise ValueError(
                    f"{name} must hold arrays of {rows} rows, one per stream, got shape {shape}"
                )

    def _like_present(self, name: str, value: Any) -> Any:
        """Copy a state into arrays like those of the present one."""
        present = _arrays_of(self._state)
        given = _arrays_of(value)
        if len(given) != len(present):
            raise ValueError(f"{name} must hold {len(present)} arrays, got {len(given)}")
        copies = []
        for old, new in zip(present, given, strict=True):
            array = np.array(new, old.dtype)
            validation.check_shape(name, array, old.shape, str(old.shape))
            copies.append(array)
        return copies if isinstance(self._state, (list, tuple)) else copies[0]

    def actions_to_reset(self, rows: Any) -> list[Action]:
        """Return the actions that begin anew, in some rows or, with None, in all of them."""
        state = None
        if rows is not None and self._state is not None:
            state = self.state
            pairs = zip(_arrays_of(state), _arrays_of(self.initial()), strict=True)
            for array, initial in pairs:
                array[rows] = np.asarray(initial)[rows]
        return [attributes(self, _state=state)]


def _arrays_of(state: Any) -> list[Any]:
    return list(state) if isinstance(state, (list, tuple)) else [state]


def _map_arrays(function: Callable[[Any], Any], state: Any) -> Any:
    """Apply a function to each array of a state; None stays None."""
    if state is None:
        return None
    if isinstance(state, (list, tuple)):
        return [function(array) for array in state]
    return function(state)


def as_sequence(x_t: Any, batch: int | None) -> Any:
    """Return the input of one step as sequences of one step, (B, 1, ...)."""
    x = np.asarray(x_t)
    return x[np.newaxis, np.newaxis] if batch is None else x[:, np.newaxis]


def as_step(y: Any, x: Any, batch: int | None) -> Any:
    """Return the output for :func:`as_sequence` without the axis of time."""
    if np.shape(y)[:2] != x.shape[:2]:
        raise ValueError(
            f"for x of shape {x.shape} it must return (batch, time, ...), got {np.shape(y)}"
        )
    return y[0, 0] if batch is None else y[:, 0]


def step_of(layer: Model, batch: int | None) -> Step:
    """Return the step of a layer that has no state, but needs an axis of time."""

    def step(x_t: Any) -> Any:
        x = as_sequence(x_t, batch)
        return as_step(layer.infer(x), x, batch)

    return step


class OfOneStep(Part):
    """A recurrent layer of the user's own, which runs over sequences of one step."""

    def __init__(self, layer: Model, batch: int | None) -> None:
        super().__init__(batch)
        self._layer = layer
        self._x: Any = None  # of the last step

    def advance(self, x_t: Any) -> Any:
        """Run the layer over one step, from the state after the last one."""
        x = as_sequence(x_t, self.batch)
        y, state, _ = self._layer.run(x, self._state, training=False)
        y_t = as_step(y, x, self.batch)
        self._state, self._x = state, x
        return y_t

    def initial(self) -> Any:
        """Return the state that a sequence of length 0 keeps: the one at the beginning."""
        x = np.zeros_like(self._x)
        return self._layer.run(x, lengths=np.zeros(len(x), np.int64), training=False)[1]


class RunningMean(Part):
    """The mean of the steps so far, with the sums of :class:`pygru.MeanOverTime`."""

    def advance(self, x_t: Any) -> Floats:
        """Add a step, and return the mean."""
        x = floating(x_t)
        rows = x[np.newaxis] if self.batch is None else x
        total, count = self.initial_of(rows) if self._state is None else self._state
        self._state = [total + rows, count + 1]
        total, count = self._state
        y: Floats = (total / count).astype(x.dtype)
        return y[0] if self.batch is None else y

    @staticmethod
    def initial_of(rows: Any) -> list[Any]:
        """Return no sum and no step, for rows of such a shape."""
        return [np.zeros(rows.shape), np.zeros((len(rows), 1))]

    def initial(self) -> list[Any]:
        """Return the state at the beginning."""
        return self.initial_of(self._state[0])


class RunningMax(Part):
    """The largest value of each feature so far, as :class:`pygru.MaxOverTime` finds it."""

    def advance(self, x_t: Any) -> Floats:
        """Compare with a step, and return the largest values; the first NaN stays."""
        x = floating(x_t)
        rows = x[np.newaxis] if self.batch is None else x
        if self._state is None:
            self._state = [rows.copy(), np.ones((len(rows), 1))]
        else:
            largest, count = self._state
            taken = (count == 0) | (rows > largest) | (np.isnan(rows) & ~np.isnan(largest))
            self._state = [np.where(taken, rows, largest), count + 1]
        y: Floats = self._state[0]
        return y[0] if self.batch is None else y

    def initial(self) -> list[Any]:
        """Return the state at the beginning, in which no step counts."""
        largest, count = self._state
        return [np.zeros_like(largest), np.zeros_like(count)]
