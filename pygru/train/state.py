"""The state of a training run: all that it needs to go on from where it is, as one object.

Ctrl-C may end training between any two instructions, and training must go on from there with
the same bits. So whatever has to agree is changed in one step: by one assignment, or by one
:func:`pygru.core.atomic.commit`. A step of the optimiser, which runs in C and counts itself,
cannot be part of such a commit. For it two positions are written down, the one before the step
and the one after it, and the count of steps says which of them holds.

This module turns the state into plain values and arrays; :mod:`pygru.train.restoring` is the
way back. It knows nothing of files and runs no training.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pygru.core.atomic import Action, assignment, attributes, commit, generator_state
from pygru.train.callbacks import Callback
from pygru.train.descriptions import describe_optimizer
from pygru.train.history import History
from pygru.train.optimizers import Optimizer
from pygru.train.position import Event, Position

GENERATOR = "PCG64"  # the bit generator of np.random.default_rng


class _Page(NamedTuple):
    """A position, and how to tell whether it still holds."""

    position: Position
    steps: int  # of the optimiser when this was written; if it has made one more, it is over
    random_state: dict[str, Any] | None  # None: the generators are still as they were then


class TrainingState:
    """Position, order, generators, weights, history and optimiser of a training run.

    Parameters
    ----------
    model : Model
        What is trained.
    optimizer : Optimizer
        What makes the steps.
    generator : Generator
        What the order of the samples is drawn from.

    Attributes
    ----------
    history : History
        The epochs that have ended.
    stop : bool
        Whether training has to end after the epoch under way.
    settings : dict or None
        Those arguments of ``fit`` that a position within an epoch depends on.
    trained : list of ndarray or None
        The weights that are trained, while the model has others, such as an average; None
        while the model has them.
    waiting : list of dict or None
        After a checkpoint: what the callbacks will be given back, once they have begun if they
        had begun then; None when they have it.
    begun : int
        How many callbacks have begun the fit under way.
    is_resumed : bool
        Whether the next ``fit`` goes on from here rather than beginning anew.
    """

    def __init__(self, model: Any, optimizer: Optimizer, generator: np.random.Generator):
        self.model = model
        self.optimizer = optimizer
        self.generator = generator
        self.history = History()
        self.stop = False
        self.settings: dict[str, Any] | None = None
        self.trained: list[NDArray[Any]] | None = None
        self.waiting: list[dict[str, Any]] | None = None
        self.begun = 0
        self.is_resumed = False
        self._is_lent = False  # whether the model has other weights for the time of a block
        self._following: Position | None = None
        self._page = _Page(Position(), optimizer.steps, None)

    # ---- where training is -----------------------------------------------------------------

    def now(self) -> tuple[Position, dict[str, Any]]:
        """Return the position, and the random state that training goes on with from there."""
        position, steps, random_state = self._page
        if self.optimizer.steps > steps and self._following is not None:
            position, random_state = self._following, None
        return position, self.random_state() if random_state is None else random_state

    def move(self, position: Position) -> None:
        """Write down that training is at ``position``, with the generators as they are."""
        self._page = _Page(position, self.optimizer.steps, None)

    def draw(self, position: Position) -> None:
        """Write down that training is at ``position``, before numbers are drawn."""
        self._page = _Page(position, self.optimizer.steps, self.random_state())

    def expect(self, position: Position) -> None:
        """Write down that the next step of the optimiser leads to ``position``."""
        self._following = position

    def end_epoch(self, record: dict[str, Any], position: Position) -> None:
        """Write an epoch into the history and move to ``position``, in one step.

        The record itself is kept, not a copy: what callbacks add to it is in the history.
        """
        page = _Page(position, self.optimizer.steps, None)
        records = self.history.records
        end = slice(len(records), None)
        commit([(operator.setitem, records, end, [record]), attributes(self, _page=page)])

    def begin(self, first_epoch: int, settings: dict[str, Any]) -> Position:
        """Begin anew at ``first_epoch``, or go on where the checkpoint was made.

        Raises
        ------
        ValueError
            If the checkpoint was made within an epoch of other data or other batches.
        """
        changes: dict[str, Any] = {
            "settings": settings,
            "trained": None,
            "begun": 0,
            "_is_lent": False,
        }
        if self.is_resumed:
            position, random_state = self.now()
            if position.order is not None:
                check_settings(self.settings, settings)
            elif position.epoch < first_epoch:
                position = position._replace(epoch=first_epoch)
            restored = self.trained
        else:
            position, random_state = Position(first_epoch), None
            changes |= {"history": History(), "stop": False}
            restored = self.trained if self._is_lent else None
        changes["_page"] = _Page(position, self.optimizer.steps, random_state)
        weights = [] if restored is None else assignments(self.model, restored)
        commit([*weights, attributes(self, **changes)])
        return position

    def resuming(self, position: Position, steps: int, **values: Any) -> Action:
        """Return the action that makes this the state of a checkpoint.

        Parameters
        ----------
        position : Position
        steps : int
            How many steps the optimiser has made by then.
        **values
            The attributes by name.
        """
        page = _Page(position, steps, None)
        return attributes(self, **values, is_resumed=True, _is_lent=False, _page=page)

    def give_callbacks_their_states(
        self, callbacks: Sequence[Callback], *, have_begun: bool
    ) -> None:
        """Make callbacks what they were at the checkpoint, if there was one.

        Called twice: before the callbacks begin, for those that had not begun at the
        checkpoint, and after that, for those that had.
        """
        for index, saved in matched(callbacks, self.waiting or []):
            if saved["begun"] == have_begun:
                callbacks[index].load_state_dict(saved["state"])
        if have_begun:
            changes = {"waiting": None, "is_resumed": False, "begun": len(callbacks)}
            commit([attributes(self, **changes)])

    def change_optimizer(self, optimizer: Optimizer) -> None:
        """Make the steps to come with another optimiser; the position stays."""
        position, random_state = self.now()
        page = _Page(position, optimizer.steps, random_state)
        commit([attributes(self, optimizer=optimizer, _page=page)])

    # ---- numbers to draw -------------------------------------------------------------------

    @property
    def generators(self) -> list[np.random.Generator]:
        """All generators that training draws from: the order's, then the model's."""
        return [self.generator, *self.model.generators]

    def random_state(self) -> dict[str, Any]:
        """Return the state of all that training draws from.

        That is every generator, and how often a :class:`Seq2Seq` has been trained, on which a
        schedule of teacher forcing depends.
        """
        return {
            "generators": [each.bit_generator.state for each in self.generators],
            "training_steps": getattr(self.model, "training_steps", None),
        }

    def random_actions(self, random_state: Mapping[str, Any]) -> list[Action]:
        """Return the actions that go back to what :meth:`random_state` has returned."""
        states = random_state["generators"]
        actions = [
            generator_state(generator, state)
            for generator, state in zip(self.generators, states, strict=True)
        ]
        if random_state["training_steps"] is not None:
            actions.append(
                attributes(self.model, training_steps=random_state["training_steps"])
            )
        return actions

    # ---- weights that are trained, and weights that are shown ------------------------------

    def lend(self, weights: Sequence[NDArray[Any]]) -> None:
        """Give the model other weights until :meth:`take_back`, and keep those trained."""
        kept = copies(self.model)
        commit(
            [*assignments(self.model, weights), attributes(self, trained=kept, _is_lent=True)]
        )

    def take_back(self) -> None:
        """Give the model the weights that are trained; no change if it has them."""
        if self._is_lent and self.trained is not None:
            weights = assignments(self.model, self.trained)
            commit([*weights, attributes(self, trained=None, _is_lent=False)])

    def leave(self, weights: Sequence[NDArray[Any]] | None) -> None:
        """Give the model what it keeps after training; None stands for what is trained."""
        trained = copies(self.model) if self.trained is None else self.trained
        shown = assignments(self.model, trained if weights is None else weights)
        commit([*shown, attributes(self, trained=trained, _is_lent=False)])

    def model_is_trained(self) -> bool:
        """Whether the model has the weights that are trained."""
        return self.trained is None or all(
            np.array_equal(values.view(np.uint8), kept.view(np.uint8))  # NaN and -0.0 too
            for (values, _), kept in zip(self.model.flat_pairs, self.trained, strict=True)
        )

    # ---- as plain values and arrays --------------------------------------------------------

    def to_plain(
        self,
        callbacks: Sequence[Callback],
        callback_states: Mapping[Callback, dict[str, Any]],
        setup: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Return the state as dicts, lists, numbers, texts and arrays.

        Parameters
        ----------
        callbacks : sequence of Callback
            Those of the trainer.
        callback_states : mapping of Callback to dict
            States in place of those that the callbacks themselves return.
        setup : mapping
            What else the trainer was made with, and has to be made with to go on.

        Raises
        ------
        TypeError
            If a generator is not of NumPy's default kind.
        """
        position, random_state = self.now()
        check_generators(random_state["generators"])
        return {
            "setup": {**setup, "optimizer": describe_optimizer(self.optimizer)},
            "weights": None if self.model_is_trained() else self.trained,
            "optimizer_state": self.optimizer.state_dict(),
            "random_state": random_state,
            "position": _plain_position(position),
            "history": self.history.records,
            "callbacks": self._plain_callbacks(callbacks, callback_states, position.event),
            "settings": self.settings,
            "stop": self.stop,
        }

    def _plain_callbacks(
        self,
        callbacks: Sequence[Callback],
        callback_states: Mapping[Callback, dict[str, Any]],
        event: Event | None,
    ) -> list[dict[str, Any]]:
        """Class and state of every callback, and what it has been told."""
        given = {id(callback): state for callback, state in callback_states.items()}
        # What those of a checkpoint have at the moment is not of the run that will go on.
        waiting = dict(matched(callbacks, self.waiting or []))
        notified = set() if event is None else event.notified
        plain = []
        for index, callback in enumerate(callbacks):
            entry = {
                "class": type(callback).__name__,
                "notified": index in notified,
                "begun": index < self.begun,
            }
            if index in waiting:
                entry |= {name: waiting[index][name] for name in ("state", "begun")}
            elif id(callback) in given:
                entry["state"] = given[id(callback)]
            else:
                entry["state"] = callback.state_dict()
            plain.append(entry)
        return plain


def _plain_position(position: Position) -> dict[str, Any]:
    """The position; the record of an epoch's end is the last one of the history."""
    event = position.event
    plain = None
    if event is not None:
        plain = [event.method, [] if event.method == "on_epoch_end" else list(event.arguments)]
    return position._asdict() | {"event": plain}


def check_generators(states: Sequence[Mapping[str, Any]]) -> None:
    """Raise if a checkpoint cannot hold the state of one of these generators."""
    for state in states:
        if state["bit_generator"] != GENERATOR:
            raise TypeError(
                f"a checkpoint holds generators of np.random.default_rng ({GENERATOR}) only, "
                f"got {state['bit_generator']}"
            )


def check_settings(saved: Mapping[str, Any] | None, own: Mapping[str, Any]) -> None:
    """Raise if an epoch cannot go on with other data or other batches."""
    for name, value in own.items():
        before = None if saved is None else saved[name]
        if before != value and name == "data":
            raise ValueError(
                "the checkpoint was made inside an epoch of other data, or of the same in "
                "another order"
            )
        if before != value:
            raise ValueError(
                f"the checkpoint was made inside an epoch with {name}={before}, got {value}"
            )


def matched(
    callbacks: Sequence[Callback], saved: Sequence[dict[str, Any]]
) -> list[tuple[int, dict[str, Any]]]:
    """Pairs of a callback's index and what was saved of it: those of one class in order."""
    left, pairs = list(saved), []
    for index, callback in enumerate(callbacks):
        name = type(callback).__name__
        place = next((at for at, each in enumerate(left) if each["class"] == name), None)
        if place is not None:
            pairs.append((index, left.pop(place)))
    return pairs


def copies(model: Any) -> list[NDArray[Any]]:
    """Copies of the weights of a model, flat as in ``model.flat_pairs``."""
    return [values.copy() for values, _ in model.flat_pairs]


def assignments(model: Any, weights: Sequence[NDArray[Any]]) -> list[Action]:
    """The actions that give a model weights which are flat as in ``model.flat_pairs``."""
    return [
        assignment(values, kept)
        for (values, _), kept in zip(model.flat_pairs, weights, strict=True)
    ]
