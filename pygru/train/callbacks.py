"""Callbacks, which a trainer calls between batches and epochs.

Here are early stopping, a lower learning rate, averaged weights, and the base class for
callbacks of users. Callbacks that write files are in
:mod:`pygru.train.loggers`, and the one that writes to the screen in
:mod:`pygru.train.progress`.

Ctrl-C may end a callback between any two instructions. Training that resumes from a checkpoint
then calls it for the same event again. Therefore a callback here first computes all changes and
then makes them in one step, and it ignores an event that it has already processed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pygru.core import validation
from pygru.core.atomic import assignment, attributes, commit
from pygru.core.hints import NamedArguments
from pygru.core.pickled import CheckedState
from pygru.train.monitor import Comparing, Monitor
from pygru.typing import Floats

if TYPE_CHECKING:
    from pygru.train.trainer import Trainer


class Callback(CheckedState, NamedArguments):
    """Base class of callbacks: override the methods that you need.

    Set ``trainer.stop = True`` to end training. An exception in a callback also ends training
    and reaches the caller of ``fit``; the weights are then those of the last finished step.

    Training that resumes from a checkpoint calls each callback exactly once per event, as if it
    had never stopped, with one exception. If Ctrl-C interrupts a callback, it is called again
    for the same event, perhaps although it had finished. So change your attributes in a single
    assignment, and compare ``record["epoch"]`` or ``trainer.optimizer.steps`` with the last
    value that you have processed.
    """

    def on_fit_begin(self, trainer: Trainer, epochs: range) -> None:
        """Called before the first epoch; ``epochs`` is the range of epochs to come."""

    def on_batch_end(self, trainer: Trainer, loss: float, sequences: int) -> None:
        """Called after every step with its loss and its number of sequences."""

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Called after every epoch with its numbers, which are those of the history.

        Numbers that you put into ``record`` also appear in the history, in checkpoints, and in
        the files of loggers that come after this callback.
        """

    def on_fit_end(self, trainer: Trainer) -> None:
        """Called when training ends, also when it ends with an exception."""

    def evaluation_weights(self) -> list[Floats] | None:
        """Return weights for validation and for the final model, or None for the trained ones.

        The weights are a list of arrays like the first ones of ``trainer.model.flat_pairs``.
        """
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a checkpoint stores: a dict of JSON values and arrays."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned; called after ``on_fit_begin``."""

    def check_state(self, state: Mapping[str, Any], model: Any) -> None:
        """Raise if ``load_state_dict`` could not take ``state``, before anything is changed.

        ``model`` is the model of the trainer. ``Trainer.resume`` calls this method. In this
        base class it checks nothing.
        """


def check_names(state: Mapping[str, Any], *names: str) -> None:
    """Raise unless a state has exactly these names."""
    if set(state) != set(names):
        raise ValueError(f"it must have {', '.join(names)}, got {', '.join(map(str, state))}")


def _pair(name: str, value: Any) -> tuple[Any, Any]:
    """A value of a pickle that has to be a tuple of two."""
    if not isinstance(value, tuple) or len(value) != 2:
        raise TypeError(f"{name} must be a tuple of two, got {validation.shown(value)}")
    return value


def _check_epoch(name: str, value: Any) -> None:
    if value is not None:
        validation.check_int(name, value, 0)


def _check_arrays(name: str, weights: Any) -> None:
    """Raise unless weights are None or arrays of floats; of which model, nobody knows."""
    if weights is None:
        return
    if not isinstance(weights, list) or not all(
        isinstance(each, np.ndarray) and each.ndim == 1 and each.dtype.kind == "f"
        for each in weights
    ):
        raise TypeError(f"{name} must be None or a list of arrays of floats with one axis")


def _check_weights(name: str, weights: Any, model: Any) -> None:
    """Raise unless weights are None or arrays that are flat as in ``model.flat_pairs``."""
    if weights is None:
        return
    pairs = model.flat_pairs
    if not isinstance(weights, list) or len(weights) != len(pairs):
        raise ValueError(f"{name} must be a list of {len(pairs)} arrays")
    for array, (values, _) in zip(weights, pairs, strict=True):
        if not isinstance(array, np.ndarray) or (array.shape, array.dtype) != (
            (values.shape, values.dtype)
        ):
            raise ValueError(
                f"{name} must hold arrays of shape {values.shape} and dtype {values.dtype}"
            )


class EarlyStopping(Comparing, Callback):
    """Ends training when a loss or metric no longer improves, and restores the best weights.

    Parameters
    ----------
    patience : int
        Epochs without improvement before training ends.
    min_delta : float
        By more than this a value must be better to count as an improvement.
    monitor : str
        The number that is compared: ``"val_loss"``, ``"loss"``, or a metric of the trainer,
        such as ``"val_accuracy"``.
    mode : {"auto", "min", "max"}
        Whether the smallest or the largest value is the best. ``"auto"`` knows it for losses
        and for metrics that the trainer was given by their names.
    restore_best : bool
        Whether the best weights are restored when training ends, for whatever reason.

    Examples
    --------
    >>> import pygru
    >>> pygru.EarlyStopping(patience=3).best
    inf
    """

    _changing = frozenset({"_watched", "best", "best_epoch", "_since", "_weights"})

    def __init__(
        self,
        patience: int = 10,
        *,
        min_delta: float = 0.0,
        monitor: str = "val_loss",
        mode: str = "auto",
        restore_best: bool = True,
    ) -> None:
        self.patience = validation.check_int("patience", patience, 1)
        self.min_delta = validation.check_number("min_delta", min_delta)
        self._watched = Monitor(monitor, mode)
        self.restore_best = validation.check_bool("restore_best", restore_best)
        self.best, self.best_epoch = self._watched.worst, None
        self._since: int | None = None  # the epoch from which patience counts
        self._weights: list[Floats] | None = None

    def _restore(self) -> None:
        self._check_numbers(self.best, self.best_epoch, self._since)
        _check_arrays("_weights", self._weights)

    @staticmethod
    def _check_numbers(best: Any, best_epoch: Any, since: Any) -> None:
        validation.check_stored_number("best", best)
        _check_epoch("best_epoch", best_epoch)
        _check_epoch("since", since)

    def _change(
        self,
        best: float,
        best_epoch: int | None,
        since: int | None,
        weights: list[Floats] | None,
    ) -> None:
        changes = {"best": best, "best_epoch": best_epoch, "_since": since, "_weights": weights}
        commit([attributes(self, **changes)])

    def on_fit_begin(self, trainer: Trainer, epochs: range) -> None:
        """Begin again, because one instance may be used for several calls of ``fit``."""
        self._watched.begin(trainer, self)
        self._change(self._watched.worst, None, None, None)

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Compare with the best epoch so far; NaN is no improvement."""
        value, epoch = self._watched.value(record, self), record["epoch"]
        if self._watched.is_better(value, self.best, self.min_delta):
            with trainer.evaluation_weights():
                weights = [values.copy() for values, _ in trainer.model.flat_pairs]
            self._change(value, epoch, epoch, weights)
        elif self._since is None:
            self._since = epoch
        elif epoch - self._since >= self.patience:
            trainer.stop = True

    def on_fit_end(self, trainer: Trainer) -> None:
        """Restore the best weights."""
        if self.restore_best and self._weights is not None:
            pairs = zip(trainer.model.flat_pairs, self._weights, strict=True)
            commit([assignment(values, best) for (values, _), best in pairs])

    def state_dict(self) -> dict[str, Any]:
        """Return the best value, its epoch and the weights."""
        return {
            "best": self.best,
            "best_epoch": self.best_epoch,
            "since": self._since,
            "weights": self._weights,
        }

    def check_state(self, state: Mapping[str, Any], model: Any) -> None:
        """Raise unless the best value is a number and the weights are like the model's."""
        check_names(state, "best", "best_epoch", "since", "weights")
        self._check_numbers(state["best"], state["best_epoch"], state["since"])
        _check_weights("weights", state["weights"], model)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self._change(state["best"], state["best_epoch"], state["since"], state["weights"])


class ReduceLROnPlateau(Comparing, Callback):
    """Lowers the learning rate when a loss or metric no longer improves.

    Parameters
    ----------
    factor : float
        The factor, in (0, 1), by which the rate is multiplied.
    patience : int
        Epochs without improvement before the rate is lowered, and again after that.
    monitor, mode : str
        Which number, and in which direction it is better; as for :class:`EarlyStopping`.
    min_delta : float
        By more than this a value must be better to count as an improvement.
    min_lr : float
        The rate is not lowered below this.

    Examples
    --------
    >>> import pygru
    >>> trainer = pygru.Trainer(
    ...     pygru.GRU(1, 1, batch_first=True),
    ...     optimizer=pygru.Adam(0.1),
    ...     callbacks=[pygru.ReduceLROnPlateau(patience=2, monitor="loss")],
    ... )
    """

    _changing = frozenset({"_watched", "_progress"})

    def __init__(
        self,
        factor: float = 0.1,
        patience: int = 10,
        *,
        monitor: str = "val_loss",
        mode: str = "auto",
        min_delta: float = 0.0,
        min_lr: float = 0.0,
    ) -> None:
        self.factor = validation.check_fraction("factor", factor)
        if self.factor in (0, 1):
            raise ValueError(f"factor must be a number in (0, 1), got {factor}")
        self.patience = validation.check_int("patience", patience, 1)
        self._watched = Monitor(monitor, mode)
        self.min_delta = validation.check_number("min_delta", min_delta)
        self.min_lr = validation.check_not_negative("min_lr", min_lr)
        # The best value, and the epoch from which patience counts.
        self._progress: tuple[float, int | None] = self._watched.worst, None

    def _restore(self) -> None:
        best, since = _pair("_progress", self._progress)
        validation.check_stored_number("best", best)
        _check_epoch("since", since)

    def on_fit_begin(self, trainer: Trainer, epochs: range) -> None:
        """Begin again, because one instance may be used for several calls of ``fit``."""
        rate = trainer.optimizer.learning_rate
        if callable(rate):
            raise ValueError(
                f"ReduceLROnPlateau needs a learning_rate that is a number, got {rate}"
            )
        self._watched.begin(trainer, self)
        self._progress = self._watched.worst, None

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Compare with the best epoch so far; lower the rate if it is too long ago."""
        value, epoch = self._watched.value(record, self), record["epoch"]
        best, since = self._progress
        if since is None or self._watched.is_better(value, best, self.min_delta):
            self._progress = value, epoch
        elif epoch - since >= self.patience:
            changes = [attributes(self, _progress=(best, epoch))]
            rate = trainer.optimizer.learning_rate
            if not callable(rate) and rate > self.min_lr:
                lower = max(rate * self.factor, self.min_lr)
                changes.append(trainer.optimizer.changing_rate(lower))
            commit(changes)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value and the epoch from which patience counts."""
        best, since = self._progress
        return {"best": best, "since": since}

    def check_state(self, state: Mapping[str, Any], model: Any) -> None:
        """Raise unless the best value is a number and the epoch is one."""
        check_names(state, "best", "since")
        validation.check_stored_number("best", state["best"])
        _check_epoch("since", state["since"])

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self._progress = state["best"], state["since"]


class WeightAverage(Callback):
    """Keeps an exponential moving average of the weights, for validation and the final model.

    After every step ``average = decay * average + (1 - decay) * weights``. It begins with the
    weights after the first step (Polyak and Juditsky 1992; Tarvainen and Valpola 2017,
    arXiv:1703.01780). Training continues with the weights themselves. The average is used to
    measure ``val_loss``, by :class:`EarlyStopping`, and in checkpoints that are read as models.
    When ``fit`` ends, the model has the average as its weights.

    Parameters
    ----------
    decay : float
        In [0, 1): about ``1 / (1 - decay)`` steps are averaged.

    Examples
    --------
    >>> import pygru
    >>> trainer = pygru.Trainer(
    ...     pygru.GRU(1, 1, batch_first=True), callbacks=[pygru.WeightAverage(decay=0.99)]
    ... )
    """

    _changing = frozenset({"_averaged"})

    def __init__(self, decay: float = 0.999) -> None:
        self.decay = validation.check_fraction("decay", decay)
        if self.decay == 1:
            raise ValueError("decay must be a number in [0, 1), got 1.0")
        # The average, and the number of the optimiser's steps when it was last updated.
        self._averaged: tuple[list[Floats] | None, int] = None, 0

    def _restore(self) -> None:
        average, counted = _pair("_averaged", self._averaged)
        _check_arrays("the average", average)
        validation.check_int("steps", counted, 0)

    def on_fit_begin(self, trainer: Trainer, epochs: range) -> None:
        """Begin again, because one instance may be used for several calls of ``fit``."""
        self._averaged = None, 0

    def on_batch_end(self, trainer: Trainer, loss: float, sequences: int) -> None:
        """Update the average, once per step, also if it is called again for the same step."""
        average, counted = self._averaged
        if counted == trainer.optimizer.steps:
            return
        weights = [values for values, _ in trainer.model.flat_pairs]
        if average is None:
            moved = [values.copy() for values in weights]
        else:
            moved = [
                old + (1 - self.decay) * (values - old)
                for old, values in zip(average, weights, strict=True)
            ]
        self._averaged = moved, trainer.optimizer.steps

    def evaluation_weights(self) -> list[Floats] | None:
        """Return the average, or None before the first step."""
        return self._averaged[0]

    def state_dict(self) -> dict[str, Any]:
        """Return the average, and the number of steps when it was last updated."""
        average, counted = self._averaged
        return {"average": average, "steps": counted}

    def check_state(self, state: Mapping[str, Any], model: Any) -> None:
        """Raise unless the average is like the model's weights."""
        check_names(state, "average", "steps")
        validation.check_int("steps", state["steps"], 0)
        _check_weights("average", state["average"], model)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self._averaged = state["average"], state["steps"]
