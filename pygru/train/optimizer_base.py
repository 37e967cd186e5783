"""What all optimisers share: states, the count of steps, the rate, and arrays that C can walk.

The formulas are in :mod:`pygru.train.optimizers` and in C; nothing here computes a step.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeAlias

import numpy as np

from pygru.core import _training, validation
from pygru.core.atomic import Action, assignment, attributes, commit
from pygru.core.hints import NamedArguments
from pygru.core.memory import overlap
from pygru.core.pickled import CheckedState, refuse
from pygru.train.descriptions import describe_function
from pygru.typing import Floats

#: A fixed learning rate, or a function from the number of the step to the rate.
Rate: TypeAlias = float | Callable[[int], float]

#: Flat arrays of one size: values, gradients and states; and their weight decay.
Part: TypeAlias = tuple[tuple[Floats, ...], float]

#: Pairs of flat arrays, as a model's ``flat_pairs``: values and gradients.
Pairs: TypeAlias = Sequence[tuple[Floats, Floats]]


def pairs_of(model: Any) -> Pairs:
    """Return the flat arrays of a model or layer, or raise if it has none."""
    pairs: Pairs | None = getattr(model, "flat_pairs", None)
    if pairs is None:
        raise TypeError(
            f"model must be a GRU, another layer or a model, got {validation.type_name(model)}"
        )
    return pairs


def frozen_in(model: Any) -> tuple[str, ...]:
    """Return the names of the parts of a model that are not trained."""
    names: tuple[str, ...] = getattr(model, "frozen_parts", ())
    return names


class Optimizer(CheckedState, NamedArguments):
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
    _changing = frozenset({"_count", "_states", "_model", "_frozen"})

    def __init__(self, learning_rate: Rate, weight_decay: float = 0.0) -> None:
        self.learning_rate = learning_rate
        self.weight_decay = validation.check_not_negative("weight_decay", weight_decay)
        self._count = np.zeros(1, np.int64)
        self._states: list[list[Floats]] | None = None
        # A weak reference to the model that the states belong to.
        self._model: weakref.ref[Any] | None = None
        # The parts of it that have no states; None if that is not known.
        self._frozen: tuple[str, ...] | None = None

    @property
    def steps(self) -> int:
        """How many steps have been made."""
        return int(self._count[0])

    @property
    def learning_rate(self) -> Rate:
        """float > 0 or schedule; may be changed between steps."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Rate) -> None:
        self._learning_rate = _checked_rate(value)

    def changing_rate(self, value: Rate) -> Action:
        """Return the action, for :func:`pygru.core.atomic.commit`, that sets the rate."""
        return attributes(self, _learning_rate=_checked_rate(value))

    @property
    def next_learning_rate(self) -> float:
        """The rate of the step that comes next, a float."""
        if not callable(self._learning_rate):
            return self._learning_rate
        return validation.check_not_negative("learning_rate", self._learning_rate(self.steps))

    def get_config(self) -> dict[str, Any]:
        """Return the settings but the learning rate, ready for JSON."""
        return {"weight_decay": self.weight_decay}

    def state_dict(self) -> dict[str, Any]:
        """Return what changes from step to step: a dict of numbers and copies of arrays.

        ``learning_rate`` is None where a schedule says it.
        """
        rate = self._learning_rate
        return {
            "steps": self.steps,
            "learning_rate": None if callable(rate) else rate,
            "states": [[state.copy() for state in row] for row in self._states or []],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state_dict` has returned, all or nothing.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is not the state of an optimiser like this one.
        """
        commit([self.loading(state)])

    def loading(self, state: Mapping[str, Any]) -> Action:
        """Return the action of :meth:`load_state_dict`, after all checks."""
        validation.check_mapping("state", state)
        steps = validation.check_count("steps", state["steps"], 0)
        rate = state["learning_rate"]
        if callable(self._learning_rate) != (rate is None):
            raise ValueError("learning_rate is a schedule in one and a number in the other")
        if rate is None:
            rate = self._learning_rate
        else:
            rate = validation.check_positive("learning_rate", rate)
        rows = [
            [_state(f"states[{i}][{j}]", array) for j, array in enumerate(row)]
            for i, row in enumerate(state["states"])
        ]
        for i, row in enumerate(rows):
            if len(row) != self.n_states:
                raise ValueError(
                    f"a {type(self).__name__} keeps {self.n_states} states per array, "
                    f"got {len(row)} in states[{i}]"
                )
            for j, array in enumerate(row):
                if array.shape != row[0].shape or array.dtype != row[0].dtype:
                    raise ValueError(
                        f"states[{i}][{j}] must be like states[{i}][0], of shape "
                        f"{row[0].shape} and dtype {row[0].dtype}, got {array.shape} and "
                        f"{array.dtype}"
                    )
        return attributes(
            self,
            _learning_rate=rate,
            _states=rows or None,
            _frozen=None,
            _count=np.array([steps], np.int64),
        )

    def step(self, model: Any) -> None:
        """Update the parameters of ``model`` in place from its gradients.

        A step that is interrupted has been made wholly, and counted, or not at all.

        Raises
        ------
        TypeError
            If ``model`` is no model.
        ValueError
            If this optimiser has been used with another model, or its states are of another
            dtype than the model.
        """
        pairs = pairs_of(model)
        self._take_model(model)
        wholes = self._wholes(pairs)
        if wholes is None:
            states = self._states_for(pairs)
            if not all(_is_plain(values) for values, _ in pairs):
                self._step_on_copies(model, pairs, states)
                return
            wholes = [
                (values, plain_like("the gradients", gradients, values), *row)
                for (values, gradients), row in zip(pairs, states, strict=True)
            ]
        self._step(model, wholes)

    def _wholes(self, pairs: Pairs) -> list[tuple[Floats, ...]] | None:
        """Return values, gradients and states of each array, if C can walk them as they are.

        None if there are no states yet, or an array needs a conversion or an error message.
        """
        if self._states is None or len(self._states) != len(pairs):
            return None
        wholes = [(*pair, *row) for pair, row in zip(pairs, self._states, strict=True)]
        return wholes if all(map(_training.fit_together, wholes)) else None

    def _step(self, model: Any, wholes: Sequence[tuple[Floats, ...]]) -> None:
        """Make a step in place; values, gradients and states can be walked by C."""
        parts: list[Part]
        if self.weight_decay == 0:
            parts = [(arrays, 0.0) for arrays in wholes]
        else:
            parts = [
                (tuple(array[place] for array in arrays), decay)
                for arrays, weights in zip(wholes, model.weight_slices, strict=True)
                for place, decay in _with_gaps(weights, self.weight_decay, len(arrays[0]))
            ]
        self._update(parts, self.next_learning_rate)

    def _step_on_copies(self, model: Any, pairs: Pairs, states: list[list[Floats]]) -> None:
        """Make a step for values that C cannot walk, such as every second one of an array."""
        twin = copy.copy(self)
        twin._count = self._count.copy()
        twin._states = [[state.copy() for state in row] for row in states]
        moved = [np.array(values, values.dtype.newbyteorder("=")) for values, _ in pairs]
        gradients = [gradients for _, gradients in pairs]
        wholes = [
            (values, plain_like("the gradients", each, values), *row)
            for values, each, row in zip(moved, gradients, twin._states, strict=True)
        ]
        twin._step(model, wholes)
        written = [
            assignment(values, new.astype(values.dtype, copy=False))
            for (values, _), new in zip(pairs, moved, strict=True)
        ]
        commit([*written, attributes(self, _states=twin._states, _count=twin._count)])

    def _update(self, parts: Sequence[Part], rate: float) -> None:
        """Make one step of all parts, and count it; each optimiser has its own."""
        raise NotImplementedError

    def check_model(self, model: Any) -> None:
        """Raise unless the states fit the model and the parts of it that are trained now.

        The states, and the count of steps, belong to the model of the first step.
        """
        if self._model is None or self._states is None:
            return
        if self._model() is not model:
            raise ValueError("this optimizer belongs to another model; make a new one")
        if self._frozen is not None and self._frozen != frozen_in(model):
            raise ValueError(
                "layers have been frozen or unfrozen since the first step of this optimizer; "
                "use a new one, as in trainer.optimizer = Adam(1e-4)"
            )

    def _take_model(self, model: Any) -> None:
        """Check the model, and remember it if it is the first one."""
        self.check_model(model)
        is_first = self._model is None or self._states is None
        if is_first:
            for i, (values, gradients) in enumerate(pairs_of(model)):
                if overlap(values, gradients):
                    raise ValueError(
                        f"flat_pairs[{i}] of {validation.type_name(model)}: parameters and "
                        "their gradients share memory"
                    )
            self._model = weakref.ref(model)
        if is_first or self._frozen is None:
            self._frozen = frozen_in(model)

    # A copy, or what a file gives back, belongs to the copy of the model.

    def __getstate__(self) -> Any:
        state = super().__getstate__()
        attributes = state[0] if isinstance(state, tuple) else state
        attributes.update(_model=None, _frozen=None)
        return state

    def __copy__(self) -> Self:
        twin = super().__copy__()
        twin._model = twin._frozen = None
        return twin

    def _restore(self) -> None:
        count, states = self._count, self._states
        is_count = isinstance(count, np.ndarray) and count.shape == (1,)
        if not is_count or count.dtype.newbyteorder("=") != np.int64:
            refuse(type(self), f"_count must be an array of one int64, got {count!r:.80}")
        if states is not None and not isinstance(states, list):
            refuse(type(self), f"_states must be a list, got {validation.type_name(states)}")
        self._model = self._frozen = None
        self.load_state_dict(self.state_dict())

    def _states_for(self, pairs: Pairs) -> list[list[Floats]]:
        """The states, made with the first step; they have to be like the values."""
        if self._states is None:
            self._states = [
                [
                    np.zeros(values.shape, values.dtype.newbyteorder("="))
                    for _ in range(self.n_states)
                ]
                for values, _ in pairs
            ]
        sizes = [len(values) for values, _ in pairs]
        if sizes != [len(row[0]) for row in self._states]:
            raise ValueError("this optimizer belongs to another model; make a new one")
        for (values, _), (state, *_) in zip(pairs, self._states, strict=True):
            if values.dtype.newbyteorder("=") != state.dtype:
                raise ValueError(
                    f"the states of this optimizer are {state.dtype}, the weights of the model "
                    f"{values.dtype}"
                )
        return self._states

    def __repr__(self) -> str:
        decay = f", weight_decay={self.weight_decay}" if self.weight_decay else ""
        return f"{type(self).__name__}(learning_rate={_rate_text(self.learning_rate)}{decay})"


def _rate_text(rate: Rate) -> str:
    return describe_function(rate) if callable(rate) else repr(rate)


def _checked_rate(value: Rate) -> Rate:
    return value if callable(value) else validation.check_positive("learning_rate", value)


def _is_plain(array: Floats) -> bool:
    """Whether C can walk an array as it is: dense, aligned and of native byte order."""
    flags = array.flags
    return bool(flags.c_contiguous and flags.aligned and array.dtype.isnative)


def plain_like(name: str, array: Floats, like: Floats) -> Floats:
    """Return ``array`` as one that C can walk, of the shape and dtype of ``like``."""
    dtype = like.dtype.newbyteorder("=")
    if array.shape != like.shape or array.dtype.newbyteorder("=") != dtype:
        raise ValueError(
            f"{name} must have shape {like.shape} and dtype {dtype} like the weights, got "
            f"{array.shape} and {array.dtype}"
        )
    return array if _is_plain(array) else np.array(array, dtype)


def _state(name: str, value: Any) -> Floats:
    """A copy of one array of an optimiser's state, dense and of native byte order."""
    array = validation.as_numeric(name, value)
    dtype = array.dtype.newbyteorder("=")
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"{name} must have dtype float32 or float64, got {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"{name} must have one axis, got {array.ndim}")
    return np.array(array, np.dtype(dtype.name))  # a long double may be equal to a double


def _with_gaps(weights: Sequence[slice], decay: float, size: int) -> list[tuple[slice, float]]:
    """Slices that cover [0, size): those of the weights with ``decay``, the others with 0."""
    places: list[tuple[slice, float]] = []
    end = 0
    for weight in weights:
        if end < weight.start:
            places.append((slice(end, weight.start), 0.0))
        places.append((weight, decay))
        end = weight.stop
    if end < size:
        places.append((slice(end, size), 0.0))
    return places
