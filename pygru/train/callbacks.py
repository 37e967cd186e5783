"""What may happen between batches and epochs: progress, early stopping, checkpoints, logs,
averages, a user's own.
"""

import csv
import io
import math
import os
import sys
import time

from pygru.core import validation
from pygru.io.files import write_atomically


class Callback:
    """Base class: override what you need. Set ``trainer.stop = True`` to end training.

    An exception in a callback ends training and reaches the caller of ``fit``; the weights
    are then those of the last finished step. Training that goes on from a checkpoint tells
    each callback everything exactly once, as if it had never stopped.
    """

    def on_fit_begin(self, trainer, epochs):
        """Called before the first epoch; ``epochs`` is the range of epochs to come."""

    def on_batch_end(self, trainer, loss, sequences):
        """Called after every step with its loss and its number of sequences."""

    def on_epoch_end(self, trainer, record):
        """Called after every epoch with its numbers, as :class:`History` keeps them."""

    def on_fit_end(self, trainer):
        """Called when training ends, also when it ends with an exception."""

    def evaluation_weights(self):
        """Return weights to validate and to end with instead of those trained, or None.

        A list of arrays like the first ones of ``trainer.model.flat_pairs``.
        """
        return

    def state_dict(self):
        """Return what a checkpoint has to keep: a dict of JSON and arrays."""
        return {}

    def load_state_dict(self, state):
        """Take over what :meth:`state_dict` returned; called after ``on_fit_begin``."""


def _loss_in(record, callback):
    """The loss of an epoch that a callback monitors."""
    if callback.monitor not in record:
        losses = [name for name in record if name.endswith("loss")]
        raise ValueError(
            f"{type(callback).__name__} monitors {callback.monitor!r}, but training has only "
            f"{', '.join(losses)}; pass validation= to fit"
        )
    return record[callback.monitor]


def _check_monitor(monitor):
    return validation.check_choice("monitor", monitor, ("val_loss", "loss"))


def _check_folder(path):
    """Raise before training if a file could not be written after it."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(2, "No such folder", os.fsdecode(folder))


class EarlyStopping(Callback):
    """Ends training when a loss has stopped falling, and goes back to the best weights.

    Parameters
    ----------
    patience : int
        Epochs without improvement before training ends.
    min_delta : float
        How much smaller a loss must be to count as an improvement.
    monitor : {"val_loss", "loss"}
        Which loss.
    restore_best : bool
        Whether the best weights are put back when training ends, for whatever reason.

    Examples
    --------
    >>> import pygru
    >>> pygru.EarlyStopping(patience=3).best
    inf
    """

    def __init__(self, patience=10, *, min_delta=0.0, monitor="val_loss", restore_best=True):
        self.patience = validation.check_int("patience", patience, 1)
        self.min_delta = validation.check_number("min_delta", min_delta)
        self.monitor = _check_monitor(monitor)
        self.restore_best = validation.check_bool("restore_best", restore_best)
        self._forget()

    def _forget(self):
        self.best = math.inf
        self.best_epoch = None
        self._since = None  # the epoch from which patience counts
        self._weights = None

    def on_fit_begin(self, trainer, epochs):
        """Start afresh: an instance may serve several calls of ``fit``."""
        self._forget()

    def on_epoch_end(self, trainer, record):
        """Compare with the best epoch so far; NaN is no improvement."""
        loss, epoch = _loss_in(record, self), record["epoch"]
        if loss < self.best - self.min_delta:
            with trainer.evaluation_weights():
                self._weights = [values.copy() for values, _ in trainer.model.flat_pairs]
            self.best, self.best_epoch, self._since = loss, epoch, epoch
        elif self._since is None:
            self._since = epoch
        elif epoch - self._since >= self.patience:
            trainer.stop = True

    def on_fit_end(self, trainer):
        """Put the best weights back."""
        if self.restore_best and self._weights is not None:
            for (values, _), best in zip(trainer.model.flat_pairs, self._weights, strict=True):
                values[...] = best

    def state_dict(self):
        """Return the best loss, its epoch and the weights."""
        return {
            "best": self.best,
            "best_epoch": self.best_epoch,
            "since": self._since,
            "weights": self._weights,
        }

    def load_state_dict(self, state):
        """Take over what :meth:`state_dict` returned."""
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        self._since, self._weights = state["since"], state["weights"]


class ReduceLROnPlateau(Callback):
    """Lowers the learning rate when a loss has stopped falling.

    Parameters
    ----------
    factor : float
        In (0, 1): what the rate is multiplied by.
    patience : int
        Epochs without improvement before the rate is lowered, and again after that.
    monitor : {"val_loss", "loss"}
        Which loss.
    min_delta : float
        How much smaller a loss must be to count as an improvement.
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

    def __init__(
        self, factor=0.1, patience=10, *, monitor="val_loss", min_delta=0.0, min_lr=0.0
    ):
        self.factor = validation.check_fraction("factor", factor)
        if self.factor in (0, 1):
            raise ValueError(f"factor must be a number in (0, 1), got {factor}")
        self.patience = validation.check_int("patience", patience, 1)
        self.monitor = _check_monitor(monitor)
        self.min_delta = validation.check_number("min_delta", min_delta)
        self.min_lr = validation.check_not_negative("min_lr", min_lr)
        self._best, self._since = math.inf, None

    def on_fit_begin(self, trainer, epochs):
        """Start afresh: an instance may serve several calls of ``fit``."""
        if callable(trainer.optimizer.learning_rate):
            raise ValueError(
                "ReduceLROnPlateau needs a learning_rate that is a number, got "
                f"{trainer.optimizer.learning_rate}"
            )
        self._best, self._since = math.inf, None

    def on_epoch_end(self, trainer, record):
        """Compare with the best epoch so far; lower the rate if that is too long ago."""
        loss = _loss_in(record, self)
        if self._since is None or loss < self._best - self.min_delta:
            self._best, self._since = loss, record["epoch"]
        elif record["epoch"] - self._since >= self.patience:
            self._since = record["epoch"]
            rate = trainer.optimizer.learning_rate
            if rate > self.min_lr:
                trainer.optimizer.learning_rate = max(rate * self.factor, self.min_lr)

    def state_dict(self):
        """Return the best loss and the epoch from which patience counts."""
        return {"best": self._best, "since": self._since}

    def load_state_dict(self, state):
        """Take over what :meth:`state_dict` returned."""
        self._best, self._since = state["best"], state["since"]


class WeightAverage(Callback):
    """Keeps an exponential moving average of the weights, and has it used in their place.

    After every step ``average = decay * average + (1 - decay) * weights``, beginning with the
    weights after the first (Polyak and Juditsky 1992; Tarvainen and Valpola 2017,
    arXiv:1703.01780). Training goes on with the weights themselves; ``val_loss`` is measured
    with the average, :class:`EarlyStopping` and checkpoints read as models keep it, and when
    ``fit`` ends the model has it.

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

    def __init__(self, decay=0.999):
        self.decay = validation.check_fraction("decay", decay)
        if self.decay == 1:
            raise ValueError("decay must be a number in [0, 1), got 1.0")
        self._averaged = None, 0  # the average, and the step that it was last moved at

    def on_fit_begin(self, trainer, epochs):
        """Start afresh: an instance may serve several calls of ``fit``."""
        self._averaged = None, 0

    def on_batch_end(self, trainer, loss, sequences):
        """Move the average; only once for each step, however often it is told of one."""
        average, step = self._averaged
        if step == trainer.optimizer.steps:
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

    def evaluation_weights(self):
        """Return the average, or None before the first step."""
        return self._averaged[0]

    def state_dict(self):
        """Return the average and its step."""
        average, step = self._averaged
        return {"average": average, "step": step}

    def load_state_dict(self, state):
        """Take over what :meth:`state_dict` returned."""
        self._averaged = state["average"], state["step"]


class ModelCheckpoint(Callback):
    """Writes a checkpoint every few epochs, or whenever a loss is the best so far.

    The files are those of :meth:`Trainer.save_checkpoint`: :meth:`Trainer.resume` goes on from
    one, and :func:`pygru.load` reads the model in it.

    Parameters
    ----------
    path : path-like
        May hold fields for the numbers of the epoch, as in ``"{epoch:03d}.safetensors"``;
        without one every checkpoint replaces the one before.
    monitor : {"val_loss", "loss"}
        Which loss, for ``save_best_only``.
    save_best_only : bool
        Whether to write only when the loss is smaller than ever before.
    every : int
        Look at every so many epochs only.

    Examples
    --------
    >>> import pygru
    >>> trainer = pygru.Trainer(
    ...     pygru.GRU(1, 1, batch_first=True),
    ...     callbacks=[pygru.ModelCheckpoint("best.safetensors", save_best_only=True)],
    ... )
    """

    def __init__(self, path, *, monitor="val_loss", save_best_only=False, every=1):
        self.path = os.fspath(path)
        self.monitor = _check_monitor(monitor)
        self.save_best_only = validation.check_bool("save_best_only", save_best_only)
        self.every = validation.check_int("every", every, 1)
        self.best = math.inf

    def on_fit_begin(self, trainer, epochs):
        """Start afresh: an instance may serve several calls of ``fit``.

        Raises
        ------
        FileNotFoundError
            If the folder of ``path`` does not exist.
        ValueError
            If ``path`` has a field that no epoch has.
        """
        self.best = math.inf
        numbers = dict.fromkeys(("loss", "val_loss", "learning_rate", "seconds"), 0.0)
        try:
            path = self._path_for({"epoch": epochs.start, "sequences": 0, **numbers})
        except (LookupError, ValueError) as error:
            raise ValueError(
                f"path {self.path!r} must have fields such as {{epoch:03d}} or "
                f"{{val_loss:.4f}} only: {error!r}"
            ) from None
        _check_folder(path)

    def _path_for(self, record):
        return self.path if isinstance(self.path, bytes) else self.path.format(**record)

    def on_epoch_end(self, trainer, record):
        """Write, if it is time."""
        if (record["epoch"] + 1) % self.every:
            return
        if self.save_best_only:
            loss, before = _loss_in(record, self), self.best
            if not loss < before:
                return
            self.best = loss
        try:
            path = self._path_for(record)
        except KeyError as error:
            raise ValueError(
                f"path {self.path!r} has the field {error}, which this epoch has not; pass "
                "validation= to fit"
            ) from None
        trainer.save_checkpoint(path)

    def state_dict(self):
        """Return the best loss."""
        return {"best": self.best}

    def load_state_dict(self, state):
        """Take over what :meth:`state_dict` returned."""
        self.best = state["best"]


class CSVLogger(Callback):
    """Writes the numbers of all epochs to a CSV file, anew after each of them.

    The file is replaced as a whole, so a reader never sees half a line, and training that goes
    on from a checkpoint leaves the same file as training that never stopped.

    Parameters
    ----------
    path : path-like
        The first line has the names.

    Examples
    --------
    >>> import pygru
    >>> trainer = pygru.Trainer(
    ...     pygru.GRU(1, 1, batch_first=True), callbacks=[pygru.CSVLogger("training.csv")]
    ... )
    """

    def __init__(self, path):
        self.path = os.fspath(path)

    def on_fit_begin(self, trainer, epochs):
        """Raise FileNotFoundError now if the folder of ``path`` does not exist."""
        _check_folder(self.path)

    def on_epoch_end(self, trainer, record):
        """Write the history."""
        text = io.StringIO()
        records = trainer.history.records
        names = dict.fromkeys(name for record in records for name in record)
        writer = csv.DictWriter(text, list(names), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        write_atomically(self.path, text.getvalue().encode())


class TensorBoard(Callback):
    """Writes the numbers of every epoch for TensorBoard, through the package tensorboardX.

    Parameters
    ----------
    log_dir : path-like
        Folder of the event files.

    Examples
    --------
    >>> import pygru
    >>> trainer = pygru.Trainer(
    ...     pygru.GRU(1, 1, batch_first=True), callbacks=[pygru.TensorBoard("logs")]
    ... )
    """

    def __init__(self, log_dir):
        self.log_dir = os.fspath(log_dir)
        self._writer = None

    def on_fit_begin(self, trainer, epochs):
        """Open the event file; what it has of the epochs to come is not shown any more.

        Raises
        ------
        ImportError
            If tensorboardX is not installed.
        """
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "TensorBoard needs the package tensorboardX; install it with  "
                'pip install "pygru[tensorboard]"'
            ) from error
        self._writer = SummaryWriter(self.log_dir, purge_step=epochs.start or None)

    def on_epoch_end(self, trainer, record):
        """Write the numbers of the epoch."""
        for name, value in record.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, record["epoch"])

    def on_fit_end(self, trainer):
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class ProgressBar(Callback):
    """A bar over the epochs with loss and throughput, on standard error.

    :meth:`Trainer.fit` shows one by itself, unless there is one among its callbacks.

    Parameters
    ----------
    disable : bool or None
        None shows it on a terminal only.
    """

    def __init__(self, disable=None):
        self.disable = disable
        self._bar = None

    def on_fit_begin(self, trainer, epochs):
        """Open the bar."""
        from tqdm import tqdm  # only here: not everybody who imports pygru trains

        self._bar = tqdm(total=len(epochs), unit="epoch", disable=self.disable)
        self._shown, self._steps, self._drawn = {}, 0, time.monotonic()
        self._pause = 0.2 if sys.stderr.isatty() else 10.0  # seconds; a file keeps every line

    def on_batch_end(self, trainer, loss, sequences):
        """Say, a few times a second on a terminal, how far the epoch is."""
        self._steps += 1
        if not self._bar.disable and time.monotonic() > self._drawn + self._pause:
            self._bar.set_postfix(
                self._shown | {"batch loss": f"{loss:.4g}", "steps": self._steps}
            )
            self._drawn = time.monotonic()

    def on_epoch_end(self, trainer, record):
        """Advance by one epoch."""
        self._shown = {
            name: f"{record[name]:.4g}" for name in ("loss", "val_loss") if name in record
        }
        self._steps = 0
        rate = record["sequences"] / max(record["seconds"], 1e-9)
        self._bar.set_postfix(self._shown | {"sequences/s": f"{rate:.0f}"}, refresh=False)
        self._bar.update()

    def on_fit_end(self, trainer):
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
