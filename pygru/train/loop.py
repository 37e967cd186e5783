"""The training loop: shuffled mini-batches, gradients, clipping, steps, validation.

The loop goes from one :class:`Position` to the next, so it can begin at any position. This is
how training resumes from a checkpoint. The current position is stored in a
:class:`TrainingState`, which is valid at every moment. This module decides what comes next.
"""

from __future__ import annotations

import contextlib
import enum
import itertools
import math
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pygru.core.atomic import commit
from pygru.errors import DivergenceError
from pygru.train.batches import BatchStream, digest_of
from pygru.train.callbacks import Callback
from pygru.train.clipping import check_norm, clip_pairs
from pygru.train.datasets import Data
from pygru.train.evaluation import evaluate_loss, mean
from pygru.train.history import check_record
from pygru.train.measuring import Measure
from pygru.train.outputs import Rows, joined
from pygru.train.position import Event, Position
from pygru.train.ranks import Alone, Part, combined
from pygru.train.state import TrainingState, assignments, copies
from pygru.train.windows import Window, windows_of
from pygru.typing import Floats, Integers

if TYPE_CHECKING:
    from pygru.train.trainer import Trainer


#: Samples of held-out data that run together where the user makes the batches.
EVALUATED_TOGETHER = 256


class Turn(NamedTuple):
    """One batch, before it is padded; this rank's share of it, if there are several."""

    data: Data | None  # None if this rank has no sample of it
    samples: Integers  # of the data, those of the batch
    seen: str  # what tells it and the batches before it from others, in a stream

    def windows(self, bptt_steps: int | None) -> list[Window]:
        """Return the windows of the batch; an empty share has none."""
        if self.data is None or not len(self.samples):
            return []
        return windows_of(self.data.take(self.samples), bptt_steps)

    @property
    def largest(self) -> str:
        """Say which is the largest number of the batch."""
        if self.data is None or not len(self.samples):
            return "this batch has no number"
        return self.data.largest(self.samples)


class End(enum.Enum):
    """What comes after the last batch of a rank."""

    END = enum.auto()


END = End.END


class Trained(NamedTuple):
    """What a window has given, on this rank."""

    part: Part
    states: Any = None  # of the model at the end of the window
    rows: Rows | None = None  # for the metrics


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
    team : Alone
        The ranks that train together.
    """

    def __init__(
        self,
        trainer: Trainer,
        state: TrainingState,
        data: Data | BatchStream,
        held_out: Data | BatchStream | None,
        callbacks: Sequence[Callback],
        team: Alone,
    ) -> None:
        self.trainer = trainer
        self.state = state
        self.data = data
        self.held_out = held_out
        self.callbacks = callbacks
        self.team = team
        self.measure = Measure(trainer.loss, trainer.metrics, state.classes, team)
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
            while position.epoch < last_epoch and not self.is_stopped():
                position = self.tell(self.run_epoch(position))
        finally:
            self.end(begun)
        self.check_weights()

    def is_stopped(self) -> bool:
        """Whether training ends before the next epoch, because any rank says so."""
        self.check_weights()
        self.state.stop = any(self.team.gather(self.state.stop, "the end of an epoch"))
        return self.state.stop

    def check_weights(self) -> None:
        """Raise on all ranks if they do not have the same weights."""
        self.team.check_weights(self.state.optimizer.steps, self.state.model.flat_pairs)

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
            windows, is_over = turn.windows(self.settings["bptt_steps"]), False
            while not is_over:
                window = windows[position.window] if position.window < len(windows) else None
                # Overflow is found by checking the results, not by NumPy's warnings.
                with np.errstate(over="ignore", invalid="ignore"):
                    position = self.train_on(window, position, turn, last_finite, begin)
                is_over = position.window == 0
                position = self.tell(position)
        return self.end_epoch(position, time.perf_counter() - begin)

    def begin_epoch(self, position: Position) -> Position:
        """Draw the order of the samples; batches that a user makes have an order."""
        samples = 0 if isinstance(self.data, BatchStream) else len(self.data)
        self.state.draw(position)
        # NumPy 1 makes integers of 32 bits on Windows unless it is told.
        order = np.arange(samples, dtype=np.int64)
        if self.settings["shuffle"]:
            self.state.generator.shuffle(order)
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
            yield Turn(data, self.team.share(order[first : first + batch_size]), "")

    def turns_of(self, stream: BatchStream, position: Position) -> Iterator[Turn]:
        """Yield the batches of a stream; those before a position are read and left out.

        Raises
        ------
        ValueError
            If they are not those that training has seen before the position.
        """
        own = seen = ""  # digests of what this rank, and all of them, have read
        read = position.batch + (position.window > 0)  # the batches that began before it
        other = (
            f"the checkpoint was made inside an epoch of other batches: the first {read} of "
            f"{stream.name} in epoch {position.epoch} are not those of then"
        )
        parts = stream.parts(position.epoch, may_be_empty=self.team.size > 1)
        for number in itertools.count():
            part = next(parts, END)
            data = None if isinstance(part, End) else part
            own = own if data is None else digest_of(data, own)
            digests, has_one = zip(
                *self.team.gather((own, part is not END), "a batch"), strict=True
            )
            if not any(has_one):
                break
            if number == 0 and all(has_one) and len(set(digests)) == 1 < self.team.size:
                self.team.warn(
                    f"all ranks have made the same first batch of {stream.name}, so each of "
                    "its samples counts several times; a rank should make its share of a batch"
                )
            seen = combined(digests)
            if number == read - 1 and seen != position.seen:
                raise ValueError(other)
            if number >= position.batch:
                yield Turn(data, np.arange(0 if data is None else len(data)), seen)
        if number == 0:
            raise stream.no_batch(position.epoch)
        if number < read:
            raise ValueError(other)

    def end_epoch(self, position: Position, seconds: float) -> Position:
        """Validate, write the epoch into the history, and return where the next begins."""
        record: dict[str, Any] = {
            "epoch": position.epoch,
            "loss": mean(position.total, position.weight),
            "learning_rate": self.state.optimizer.next_learning_rate,
            "seconds": self.team.from_main(seconds, "the end of the batches"),
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
        window: Window | None,
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
        window : Window or None
            None if this rank has no sample in it.
        position : Position
        turn : Turn
            The batch.
        last_finite : list of ndarray
            The weights that gave the last finite loss; overwritten.
        begin : float
            When the epoch began, on the clock of ``time.perf_counter``.
        """
        model, state, team = self.state.model, self.state, self.team
        made = getattr(model, "training_steps", 0)
        trained = self.gradients_of(window, position, turn)
        pairs = model.flat_pairs
        whole = team.average(trained.part, state.optimizer.steps, pairs)
        if whole.has_run and not trained.part.has_run and hasattr(model, "training_steps"):
            model.training_steps = made + 1  # as on the ranks that have run the model
        states = trained.states if whole.is_last else team.states_of_all(trained.states)
        following = after(whole, position, states, turn)
        if whole.weight == 0:
            state.move(following)
            return following
        largest = check_norm("clip_norm", self.trainer.clip_norm)  # a callback may change it
        if not (math.isfinite(whole.loss) and math.isfinite(clip_pairs(pairs, largest))):
            commit(assignments(model, last_finite))
            error = self.divergence(whole.loss, position, turn)
            team.fail_of_first(error, is_reason=not math.isfinite(trained.part.loss))
        for (values, _), kept in zip(pairs, last_finite, strict=True):
            kept[...] = values
        following = following._replace(
            total=position.total + whole.loss * whole.weight,
            weight=position.weight + whole.weight,
            seconds=time.perf_counter() - begin,
            event=Event("on_batch_end", (whole.loss, whole.samples), set()),
        )
        if self.measure.collector is not None:
            rows = [
                each
                for each in team.gather(trained.rows, "the metrics of a batch")
                if each is not None
            ]
            following = state.keep(rows[0] if len(rows) == 1 else joined(rows), following)
        state.expect(following)
        state.optimizer.step(model)
        state.move(following)
        return following

    def gradients_of(self, window: Window | None, position: Position, turn: Turn) -> Trained:
        """Run model and loss forward and backward on a window; an empty one is not run."""
        model, team = self.state.model, self.team
        states = team.own_states(position.states)
        part = Part(samples=len(turn.samples))
        if window is not None:
            part = part._replace(is_last=window.is_last)
        is_empty = window is None or (model.predicts_steps and window.is_empty)
        if is_empty and team.size == 1:
            return Trained(part, states)
        self.state.draw(position)
        model.zero_grad()
        with team.own_noise(model.generators):
            if window is None or is_empty:
                return Trained(part, states)
            prediction, states, tape = self.forward(window, states)
        mask = model.output_mask(window.X, window.flags.mask, tape)
        value, gradient, weight = evaluate_loss(
            self.trainer.loss, prediction, window.y, window.lengths, window.weights, mask
        )
        part = part._replace(loss=value, weight=weight, has_run=True)
        if weight and not math.isfinite(value):
            return Trained(part, states)
        if weight:
            model.accumulate(tape, gradient)
        rows = None
        if self.measure.collector is not None:  # also if only others' samples count
            rows = self.measure.collector.rows(
                prediction, window.y, window.lengths, window.weights, mask
            )
        return Trained(part, states, rows)

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
            f"{turn.largest}; scale the data, or look at the loss"
        )


def after(whole: Part, position: Position, states: Any, turn: Turn) -> Position:
    """The position after a window, with the states at its end; its loss is not added yet."""
    if not whole.is_last:
        return position._replace(window=position.window + 1, states=states, seen=turn.seen)
    return position._replace(
        batch=position.batch + 1,
        window=0,
        states=None,
        sequences=position.sequences + whole.samples,
        seen=turn.seen,
    )


def average_of(callbacks: Sequence[Callback]) -> list[Floats] | None:
    """The weights that a callback wants in the place of the trained ones, or None."""
    for callback in callbacks:
        weights = callback.evaluation_weights()
        if weights is not None:
            return weights
    return None
