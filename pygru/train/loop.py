"""The training loop: shuffled mini-batches, gradients, clipping, steps, validation.

The loop goes from one :class:`Position` to the next, so it can begin at any position. This is
how training resumes from a checkpoint. The current position is stored in a
:class:`TrainingState`, which is valid at every moment. This module decides what comes next.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pygru.core.atomic import commit
from pygru.errors import DivergenceError
from pygru.train.batches import BatchStream, digest_of
from pygru.train.callbacks import Callback
from pygru.train.clipping import clip_grad_norm
from pygru.train.datasets import Data
from pygru.train.evaluation import evaluate_loss, mean
from pygru.train.history import check_record
from pygru.train.measuring import Measure
from pygru.train.position import Event, Position
from pygru.train.state import TrainingState, assignments, copies
from pygru.train.windows import Window, windows_of
from pygru.typing import Floats, Integers

if TYPE_CHECKING:
    from pygru.train.trainer import Trainer


#: Samples of held-out data that run together where the user makes the batches.
EVALUATED_TOGETHER = 256


class Turn(NamedTuple):
    """One batch, before it is padded."""

    data: Data
    samples: Integers  # of the data, those of the batch
    seen: str  # what tells it and the batches before it from others, in a stream


class TrainingLoop:
    """One call of ``fit``.

    Parameters
    ----------
    trainer : Trainer
        It has the loss, clipping and memory, and is passed to callbacks.
    state : TrainingState
        The state of the trainer.
    data : Dataset, PairDataset or BatchStream
        The training data.
    held_out : Dataset, PairDataset, BatchStream or None
        The data for ``val_loss``.
    callbacks : sequence of Callback
        All that are called, in order.
    """

    def __init__(
        self,
        trainer: Trainer,
        state: TrainingState,
        data: Data | BatchStream,
        held_out: Data | BatchStream | None,
        callbacks: Sequence[Callback],
    ) -> None:
        self.trainer = trainer
        self.state = state
        self.data = data
        self.held_out = held_out
        self.callbacks = callbacks
        self.measure = Measure(trainer.loss, trainer.metrics, state.classes)
        assert state.settings is not None
        self.settings = state.settings

    def run(self, position: Position, last_epoch: int) -> None:
        """Train from a position on until ``last_epoch`` begins or a callback says stop."""
        begun: list[Callback] = []
        try:
            own = self.trainer.callbacks
            self.state.give_callbacks_their_states(own, have_begun=False)
            for callback in self.callbacks:
                callback.on_fit_begin(self.trainer, range(position.epoch, last_epoch))
                begun.append(callback)
                self.state.begun = len(begun)
            self.state.give_callbacks_their_states(own, have_begun=True)
            position = self.tell(position)
            while position.epoch < last_epoch and not self.state.stop:
                position = self.tell(self.run_epoch(position))
        finally:
            self.end(begun)

    def end(self, callbacks: Sequence[Callback]) -> None:
        """Give the model the weights that callbacks want, and keep the trained ones."""
        self.state.leave(average_of(callbacks))
        try:
            with contextlib.ExitStack() as endings:  # all of them, also after one that fails
                for callback in reversed(callbacks):
                    endings.callback(callback.on_fit_end, self.trainer)
        finally:
            if self.state.model_is_trained():
                self.state.trained = None

    def tell(self, position: Position) -> Position:
        """Call every callback that has not been called for the event of this position.

        A callback that fails counts as called. One that is interrupted will be called again.
        """
        event = position.event
        if event is None:
            return position
        for index, callback in enumerate(self.callbacks):
            if index in event.notified:
                continue
            try:
                # Set before the call, because the callback may write a checkpoint.
                event.notified.add(index)
                getattr(callback, event.method)(self.trainer, *event.arguments)
            except BaseException as error:
                if not isinstance(error, Exception):  # Ctrl-C, or the end of the process
                    event.notified.discard(index)
                raise
            if event.method == "on_epoch_end":
                name, (record,) = f"the record after {type(callback).__name__}", event.arguments
                check_record(name, record)
                if record["epoch"] != position.epoch - 1:
                    raise ValueError(
                        f"{name}: epoch must stay {position.epoch - 1}, got {record['epoch']}"
                    )
            self.check_frozen(callback)
        position = position._replace(event=None)
        self.state.move(position)
        return position

    def check_frozen(self, callback: Callback) -> None:
        """Raise if a callback has frozen or unfrozen layers, and take that back."""
        before, now = self.state.frozen, self.state.model.frozen_parts
        if before is not None and before != now:
            self.state.model.freeze_only(before)
            raise ValueError(
                f"{type(callback).__name__} has changed which layers are trainable; do that "
                "between two calls of fit, with a new optimizer"
            )

    def run_epoch(self, position: Position) -> Position:
        """Train from a position to the end of its epoch; return the beginning of the next."""
        if position.order is None:
            position = self.begin_epoch(position)
        begin = time.perf_counter() - position.seconds
        last_finite = copies(self.state.model)
        for turn in self.turns(position):
            batch = turn.data.take(turn.samples)
            for window in windows_of(batch, self.settings["bptt_steps"])[position.window :]:
                # Overflow is found by checking the results, not by NumPy's warnings.
                with np.errstate(over="ignore", invalid="ignore"):
                    position = self.train_on(window, position, turn, last_finite, begin)
                position = self.tell(position)
        return self.end_epoch(position, time.perf_counter() - begin)

    def begin_epoch(self, position: Position) -> Position:
        """Draw the order of the samples; batches that a user makes have an order."""
        samples = 0 if isinstance(self.data, BatchStream) else len(self.data)
        self.state.draw(position)
        order = np.arange(samples)
        if self.settings["shuffle"]:
            order = self.state.generator.permutation(samples)
        position = position._replace(order=order)
        self.state.move(position)
        return position

    def turns(self, position: Position) -> Iterator[Turn]:
        """Yield the batches of an epoch, from a position on."""
        data = self.data
        if isinstance(data, BatchStream):
            yield from self.turns_of(data, position)
            return
        order, batch_size = position.order, self.settings["batch_size"]
        assert order is not None
        for first in range(position.batch * batch_size, len(data), batch_size):
            yield Turn(data, order[first : first + batch_size], "")

    def turns_of(self, stream: BatchStream, position: Position) -> Iterator[Turn]:
        """Yield the batches of a stream; those before a position are read and left out.

        Raises
        ------
        ValueError
            If they are not those that training has seen before the position.
        """
        seen, number = "", -1
        read = position.batch + (position.window > 0)  # the batches that began before it
        other = (
            f"the checkpoint was made inside an epoch of other batches: the first {read} of "
            f"{stream.name} in epoch {position.epoch} are not those of then"
        )
        for number, data in enumerate(stream.parts(position.epoch)):
            seen = digest_of(data, seen)
            if number == read - 1 and seen != position.seen:
                raise ValueError(other)
            if number >= position.batch:
                yield Turn(data, np.arange(len(data)), seen)
        if number < read - 1:
            raise ValueError(other)

    def end_epoch(self, position: Position, seconds: float) -> Position:
        """Validate, write the epoch into the history, and return where the next begins."""
        record: dict[str, Any] = {
            "epoch": position.epoch,
            "loss": mean(position.total, position.weight),
            "learning_rate": self.state.optimizer.next_learning_rate,
            "seconds": seconds,
            "sequences": position.sequences,
        }
        record |= self.measure.metrics_of(self.state.outputs(position))
        if self.held_out is not None:
            batch_size = self.settings["batch_size"] or EVALUATED_TOGETHER
            with self.trainer.evaluation_weights():
                measured = self.measure.on(self.state.model, self.held_out, batch_size)
            record |= {f"val_{name}": value for name, value in measured.items()}
        following = Position(position.epoch + 1, event=Event("on_epoch_end", (record,), set()))
        self.state.end_epoch(record, following)
        return following

    def train_on(
        self,
        window: Window,
        position: Position,
        turn: Turn,
        last_finite: list[Floats],
        begin: float,
    ) -> Position:
        """Make one step of the optimiser, and return the position after it.

        If nothing counts in a window, for example because all its sequences are empty, there is
        no step. Otherwise momentum would change the weights although there is no gradient.

        Parameters
        ----------
        window : Window
        position : Position
        turn : Turn
            The batch.
        last_finite : list of ndarray
            The weights that gave the last finite loss; overwritten.
        begin : float
            When the epoch began, on the clock of ``time.perf_counter``.
        """
        model, state = self.state.model, self.state
        if model.predicts_steps and window.is_empty:
            return self.skip(window, position, position.states, turn)
        state.draw(position)
        model.zero_grad()
        prediction, states, tape = self.forward(window, position.states)
        mask = model.output_mask(window.X, window.flags.mask, tape)
        value, gradient, weight = evaluate_loss(
            self.trainer.loss, prediction, window.y, window.lengths, window.weights, mask
        )
        if weight == 0:
            return self.skip(window, position, states, turn)
        if math.isfinite(value):
            model.run_backward(tape, gradient)
            norm = clip_grad_norm(model, self.trainer.clip_norm)
        if not math.isfinite(value) or not math.isfinite(norm):
            commit(assignments(model, last_finite))
            raise self.divergence(value, position, turn)
        for (values, _), kept in zip(model.flat_pairs, last_finite, strict=True):
            kept[...] = values
        following = after(window, position, states, turn)._replace(
            total=position.total + value * weight,
            weight=position.weight + weight,
            seconds=time.perf_counter() - begin,
            event=Event("on_batch_end", (value, len(prediction)), set()),
        )
        if self.measure.collector is not None:
            rows = self.measure.collector.rows(
                prediction, window.y, window.lengths, window.weights, mask
            )
            following = state.keep(rows, following)
        state.expect(following)
        state.optimizer.step(model)
        state.move(following)
        return following

    def skip(self, window: Window, position: Position, states: Any, turn: Turn) -> Position:
        """Move to the position after a window without a step, and return it."""
        following = after(window, position, states, turn)
        self.state.move(following)
        return following

    def forward(self, window: Window, states: Any) -> tuple[Floats, Any, Any]:
        """Return prediction, state of the model and tape of one window of a batch."""
        is_piece = states is not None or not window.is_last
        model = self.state.model
        prediction, states, tape = model.run(
            window.X,
            states,
            lengths=window.lengths,
            memory=self.trainer.memory,
            **window.flags.told(model),
        )
        if is_piece and prediction.shape[:2] != window.X.shape[:2]:
            raise ValueError("bptt_steps needs a model that predicts every step (without Last)")
        return prediction, states, tape

    def divergence(self, value: float, position: Position, turn: Turn) -> DivergenceError:
        """The error for a loss or a gradient that is not finite."""
        what = "a gradient is not finite"
        if not math.isfinite(value):
            what = f"loss is {float(value)}"
        place = f"{what} at epoch {position.epoch}, batch {position.batch}"
        if self.state.optimizer.steps:
            return DivergenceError(
                f"{place}; weights kept from the last finite step; lower learning_rate or set "
                "clip_norm"
            )
        return DivergenceError(
            f"{place}, before any step has been made, so no learning rate would help; "
            f"{turn.data.largest(turn.samples)}; scale the data, or look at the loss"
        )


def after(window: Window, position: Position, states: Any, turn: Turn) -> Position:
    """The position after a window, with the states at its end; its loss is not added yet."""
    if not window.is_last:
        return position._replace(window=window.number + 1, states=states, seen=turn.seen)
    return position._replace(
        batch=position.batch + 1,
        window=0,
        states=None,
        sequences=position.sequences + len(turn.samples),
        seen=turn.seen,
    )


def average_of(callbacks: Sequence[Callback]) -> list[Floats] | None:
    """The weights that a callback wants in the place of the trained ones, or None."""
    for callback in callbacks:
        weights = callback.evaluation_weights()
        if weights is not None:
            return weights
    return None
