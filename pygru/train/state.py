"""The state of a training run: one object with everything that is needed to continue.

Ctrl-C may end training between any two instructions, and training must continue from there with
the same bits. So values that must agree are changed in one step: by one assignment, or by one
:func:`pygru.core.atomic.commit`. A step of the optimiser runs in C and counts itself, so it
cannot be part of such a commit. Therefore two positions are stored, one for before the step and
one for after it, and the count of steps says which of them is valid.

This module turns the state into plain values and arrays; :mod:`pygru.train.restoring` does the
opposite. It does not use files and runs no training.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pygru.core.atomic import Action, assignment, attributes, commit, generator_state
from pygru.core.pickled import CheckedState
from pygru.train.batches import STREAM
from pygru.train.callbacks import Callback
from pygru.train.descriptions import describe_optimizer
from pygru.train.history import History
from pygru.train.optimizer_base import Optimizer
from pygru.train.outputs import Rows, joined
from pygru.train.position import Event, Position

GENERATOR = "PCG64"  # the bit generator of np.random.default_rng


class Page(NamedTuple):
    """A position, and what tells whether it is still valid."""

    position: Position
    steps: int  # of the optimiser when this was written; if it has made one more, it is over
    random_state: dict[str, Any] | None  # None: the generators are still as they were then


class TrainingState(CheckedState):
    """Position, order, generators, weights, history and optimiser of a training run.

    Parameters
    ----------
    model : Model
        The model that is trained.
    optimizer : Optimizer
        The optimiser that makes the steps.
    generator : Generator
        The generator from which the order of the samples is drawn.

    Attributes
    ----------
    history : History
        The epochs that have ended.
    stop : bool
        Whether training has to end after the current epoch.
    settings : dict or None
        The arguments of ``fit`` on which a position within an epoch depends.
    trained : list of ndarray or None
        The trained weights, while the model has other ones, such as an average. None while the
        model has the trained weights.
    waiting : list of dict or None
        After a checkpoint was read: the states that the callbacks will get, after they have
        begun if they had begun at the checkpoint. None when they have them.
    begun : int
        How many callbacks have begun the current fit.
    is_resumed : bool
        Whether the next ``fit`` continues from here instead of beginning again.
    classes : ndarray or None
        The labels of the outputs of the model, if targets are labels.
    frozen : tuple of str or None
        The parts of the model that were not trained in the last ``fit``. Weights and states
        are lists of the arrays of the other parts. None before the first ``fit``.
    """

    # What training changes. The trainer of a pickle checks it, because it has the callbacks.
    _changing = frozenset(
        {
            "history",
            "stop",
            "settings",
            "trained",
            "waiting",
            "begun",
            "is_resumed",
            "frozen",
            "classes",
            "_outputs",
            "_is_lent",
            "_following",
            "_page",
        }
    )

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
        self.frozen: tuple[str, ...] | None = None
        self.classes: NDArray[Any] | None = None
        self._outputs: list[Rows] = []
        self._is_lent = False  # whether a block has given the model other weights
        self._following: Position | None = None
        self._page = Page(Position(), optimizer.steps, None)

    # ---- where training is -----------------------------------------------------------------

    def now(self) -> tuple[Position, dict[str, Any]]:
        """Return the position, and the random state with which training continues there."""
        position, steps, random_state = self._page
        if self.optimizer.steps > steps and self._following is not None:
            position, random_state = self._following, None
        return position, self.random_state() if random_state is None else random_state

    def move(self, position: Position) -> None:
        """Record that training is at ``position``, with the present state of the generators."""
        self._page = Page(position, self.optimizer.steps, None)

    def draw(self, position: Position) -> None:
        """Record that training is at ``position``, before numbers are drawn."""
        self._page = Page(position, self.optimizer.steps, self.random_state())

    def expect(self, position: Position) -> None:
        """Record that the next step of the optimiser leads to ``position``."""
        self._following = position

    # ---- outputs of the epoch, for metrics -------------------------------------------------

    def keep(self, rows: Rows, position: Position) -> Position:
        """Keep the outputs of a step, and return its position with their number.

        The list may be longer than the current position says, after an interrupt for example.
        What is too much is overwritten here.
        """
        self._outputs[position.kept :] = [rows]
        return position._replace(kept=position.kept + 1)

    def outputs(self, position: Position) -> list[Rows]:
        """Return the outputs of the epoch up to a position."""
        return self._outputs[: position.kept]

    def end_epoch(self, record: dict[str, Any], position: Position) -> None:
        """Write an epoch into the history and move to ``position``, in one step.

        The record itself is kept, not a copy, so the history has what callbacks add to it.
        """
        page = Page(position, self.optimizer.steps, None)
        records = self.history.records
        end = slice(len(records), None)
        commit(
            [
                (operator.setitem, records, end, [record]),
                attributes(self, _page=page, _outputs=[]),
            ]
        )

    def begin(
        self,
        first_epoch: int,
        settings: dict[str, Any],
        classes: NDArray[Any] | None = None,
    ) -> Position:
        """Begin again at ``first_epoch``, or continue where the checkpoint was made.

        ``settings`` are the arguments of ``fit`` on which a position within an epoch depends,
        and ``classes`` are the labels of the outputs.

        Raises
        ------
        ValueError
            If the checkpoint was made within an epoch of other data or other batches.
        """
        changes: dict[str, Any] = {
            "classes": classes,
            "frozen": self.model.frozen_parts,
            "settings": settings,
            "trained": None,
            "begun": 0,
            "_is_lent": False,
        }
        if self.is_resumed:
            position, random_state = self.now()
            if position.order is not None:
                check_settings(self.settings, settings)
                check_ranks(self.settings, settings, position)
            elif position.epoch < first_epoch:
                position = position._replace(epoch=first_epoch)
            restored = self.trained
        else:
            position, random_state = Position(first_epoch), None
            changes |= {"history": History(), "stop": False}
            restored = self.trained if self._is_lent else None
        changes["_page"] = Page(position, self.optimizer.steps, random_state)
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
        values |= {"frozen": self.model.frozen_parts, "is_resumed": True, "_is_lent": False}
        return attributes(self, **values, _page=Page(position, steps, None))

    def give_callbacks_their_states(
        self, callbacks: Sequence[Callback], *, have_begun: bool
    ) -> None:
        """Give callbacks their state at the checkpoint, if there was one.

        Called twice: before the callbacks begin, for those that had not begun at the
        checkpoint, and afterwards for the others.
        """
        for index, saved in matched(callbacks, self.waiting or []):
            if saved["begun"] == have_begun:
                callbacks[index].load_state_dict(saved["state"])
        if have_begun:
            changes = {"waiting": None, "is_resumed": False, "begun": len(callbacks)}
            commit([attributes(self, **changes)])

    def change_optimizer(self, optimizer: Optimizer) -> None:
        """Use another optimiser for the coming steps. The position does not change."""
        position, random_state = self.now()
        page = Page(position, optimizer.steps, random_state)
        commit([attributes(self, optimizer=optimizer, _page=page)])

    def check_frozen(self) -> None:
        """Raise if layers were frozen or unfrozen since the last ``fit`` or ``resume``."""
        if self.frozen is not None and self.frozen != self.model.frozen_parts:
            raise ValueError(
                "layers of the model have been frozen or unfrozen since the last fit or "
                "resume, so training cannot be continued from there; save the checkpoint "
                "before, or begin with a new Trainer"
            )

    # ---- numbers to draw -------------------------------------------------------------------

    @property
    def generators(self) -> list[np.random.Generator]:
        """All generators of the training: that of the order, then those of the model."""
        return [self.generator, *self.model.generators]

    def random_state(self) -> dict[str, Any]:
        """Return the state of all random numbers of the training.

        This is the state of every generator. It also contains how often a :class:`Seq2Seq` has
        been trained, because a schedule of teacher forcing depends on it.
        """
        return {
            "generators": [each.bit_generator.state for each in self.generators],
            "training_steps": getattr(self.model, "training_steps", None),
        }

    def random_actions(self, random_state: Mapping[str, Any]) -> list[Action]:
        """Return the actions that restore the result of :meth:`random_state`."""
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
        """Give the model other weights until :meth:`take_back`, and keep the trained ones."""
        kept = copies(self.model)
        commit(
            [*assignments(self.model, weights), attributes(self, trained=kept, _is_lent=True)]
        )

    def take_back(self) -> None:
        """Give the model the trained weights again, if it has other ones."""
        if self._is_lent and self.trained is not None:
            weights = assignments(self.model, self.trained)
            commit([*weights, attributes(self, trained=None, _is_lent=False)])

    def leave(self, weights: Sequence[NDArray[Any]] | None) -> None:
        """Give the model its final weights; None means the trained ones."""
        trained = copies(self.model) if self.trained is None else self.trained
        shown = assignments(self.model, trained if weights is None else weights)
        commit([*shown, attributes(self, trained=trained, _is_lent=False)])

    def model_is_trained(self) -> bool:
        """Whether the model has the trained weights."""
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
            The callbacks of the trainer.
        callback_states : mapping of Callback to dict
            States that replace those which the callbacks return.
        setup : mapping
            The other settings of the trainer, which must be the same to continue.

        Raises
        ------
        TypeError
            If a generator is not of NumPy's default type.
        """
        self.check_frozen()
        position, random_state = self.now()
        check_generators(random_state["generators"])
        outputs = self.outputs(position)
        rows = joined(outputs)._asdict() if outputs else None
        return {
            "setup": {**setup, "optimizer": describe_optimizer(self.optimizer)},
            "weights": None if self.model_is_trained() else self.trained,
            "optimizer_state": self.optimizer.state_dict(),
            "random_state": random_state,
            "position": plain_position(position._replace(kept=min(position.kept, 1))),
            "outputs": rows,
            "history": self.history.records,
            "callbacks": self._plain_callbacks(callbacks, callback_states, position.event),
            "settings": self.settings,
            "classes": None if self.classes is None else self.classes.tolist(),
            "stop": self.stop,
        }

    def _plain_callbacks(
        self,
        callbacks: Sequence[Callback],
        callback_states: Mapping[Callback, dict[str, Any]],
        event: Event | None,
    ) -> list[dict[str, Any]]:
        """Class and state of every callback, and the events it was called for."""
        given = {id(callback): state for callback, state in callback_states.items()}
        # After a checkpoint was read, callbacks do not have the state of the resumed run yet.
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


def plain_position(position: Position) -> dict[str, Any]:
    """The position. The record of a finished epoch is the last one of the history."""
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
    """Raise if an epoch would continue with other data or other batches."""
    for name, value in own.items():
        before = None if saved is None else saved[name]
        if name == "ranks":  # another number of ranks may continue
            continue
        if before != value and name == "data":
            raise ValueError(
                "the checkpoint was made inside an epoch of other data, or of the same in "
                "another order"
            )
        if before != value:
            raise ValueError(
                f"the checkpoint was made inside an epoch with {name}={before}, got {value}"
            )


def check_ranks(
    saved: Mapping[str, Any] | None, own: Mapping[str, Any], position: Position
) -> None:
    """Raise if other ranks cannot continue: within a batch, or an epoch of a user's batches."""
    before = None if saved is None else saved["ranks"]
    if before == own["ranks"]:
        return
    place = "between two windows of a batch" if position.states is not None else None
    if own["data"] == STREAM and (position.batch or position.window):
        place = "within an epoch of batches that each rank makes"
    if place is not None:
        raise ValueError(
            f"the checkpoint was made by {before} ranks {place}, so only {before} ranks can "
            f"continue from it, got {own['ranks']}"
        )


def matched(
    callbacks: Sequence[Callback], saved: Sequence[dict[str, Any]]
) -> list[tuple[int, dict[str, Any]]]:
    """Pairs of a callback's index and its saved state; those of one class are in order."""
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
    """The actions that give a model weights in the form of ``model.flat_pairs``."""
    return [
        assignment(values, kept)
        for (values, _), kept in zip(model.flat_pairs, weights, strict=True)
    ]
