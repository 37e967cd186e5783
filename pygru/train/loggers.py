"""Callbacks that write files: checkpoints, tables, and those of TensorBoard.

Each may be called twice for the same epoch, if Ctrl-C has interrupted it. The second time it
writes the same again. It remembers what it has written only after writing it. Of the ranks of
an MPI program only the first one writes.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pygru.core import validation
from pygru.io.files import write_atomically
from pygru.train.callbacks import Callback, check_names
from pygru.train.monitor import Comparing, Monitor
from pygru.typing import Path

if TYPE_CHECKING:
    from pygru.train.trainer import Trainer


def _check_folder(path: str | bytes) -> None:
    """Raise before training if a file could not be written later."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(2, "No such folder", os.fsdecode(folder))


class ModelCheckpoint(Comparing, Callback):
    """Writes a checkpoint every few epochs, or whenever a number is the best so far.

    The files are those of :meth:`Trainer.save_checkpoint`. :meth:`Trainer.resume` continues
    from such a file, and :func:`pygru.load` reads the model in it.

    Parameters
    ----------
    path : path-like
        It may contain fields for the numbers of the epoch, as in
        ``"{epoch:03d}.safetensors"``. Without a field, every checkpoint replaces the one
        before.
    monitor, mode : str
        The number that ``save_best_only`` compares, and in which direction it is better; as for
        :class:`EarlyStopping`.
    save_best_only : bool
        Whether to write only when the number is better than ever before.
    every : int
        Write only after every so many epochs.

    Examples
    --------
    >>> import pygru
    >>> trainer = pygru.Trainer(
    ...     pygru.GRU(1, 1, batch_first=True),
    ...     callbacks=[pygru.ModelCheckpoint("best.safetensors", save_best_only=True)],
    ... )
    """

    _changing = frozenset({"_watched", "best"})

    def __init__(
        self,
        path: Path | bytes,
        *,
        monitor: str = "val_loss",
        mode: str = "auto",
        save_best_only: bool = False,
        every: int = 1,
    ) -> None:
        self.path = os.fspath(path)
        self._watched = Monitor(monitor, mode)
        self.save_best_only = validation.check_bool("save_best_only", save_best_only)
        self.every = validation.check_int("every", every, 1)
        self.best = self._watched.worst

    def _restore(self) -> None:
        validation.check_stored_number("best", self.best)

    def on_fit_begin(self, trainer: Trainer, epochs: range) -> None:
        """Begin again, because one instance may be used for several calls of ``fit``.

        Raises
        ------
        FileNotFoundError
            If the folder of ``path`` does not exist.
        ValueError
            If ``path`` has a field for which epochs have no number, or nobody has said which
            values of the monitored metric are better.
        """
        if self.save_best_only:
            self._watched.begin(trainer, self)
        self.best = self._watched.worst
        measured = ["loss", *(metric.name for metric in trainer.metrics)]
        names = [*measured, *(f"val_{name}" for name in measured), "learning_rate", "seconds"]
        numbers = dict.fromkeys(names, 0.0)
        try:
            path = self._path_for({"epoch": epochs.start, "sequences": 0, **numbers})
        except (LookupError, ValueError) as error:
            raise ValueError(
                f"path {self.path!r} must have fields such as {{epoch:03d}} or "
                f"{{val_loss:.4f}} only: {error!r}"
            ) from None
        if trainer.is_main_process:
            _check_folder(path)

    def _path_for(self, record: Mapping[str, Any]) -> str | bytes:
        return self.path if isinstance(self.path, bytes) else self.path.format(**record)

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Write a checkpoint if one is due."""
        if (record["epoch"] + 1) % self.every:
            return
        best = self.best
        if self.save_best_only:
            best = self._watched.value(record, self)
            if not self._watched.is_better(best, self.best):
                return
        try:
            path = self._path_for(record)
        except KeyError as error:
            raise ValueError(
                f"path {self.path!r} has the field {error}, which this epoch lacks; pass "
                "validation= to fit"
            ) from None
        # The file has the state of afterwards, since this callback is told of the epoch then;
        # this object has it only when the file is there.
        trainer.save_checkpoint(
            path, callback_states={self: {**self.state_dict(), "best": best}}
        )
        self.best = best

    def state_dict(self) -> dict[str, Any]:
        """Return the best value."""
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.best = state["best"]

    def check_state(self, state: Mapping[str, Any], model: Any) -> None:
        """Raise unless the best value is a number."""
        check_names(state, "best")
        validation.check_stored_number("best", state["best"])


class CSVLogger(Callback):
    """Writes the numbers of all epochs to a CSV file, after every epoch.

    The file is replaced as a whole, so a reader never sees half a line, and training that
    resumes from a checkpoint writes the same file as training that never stopped.

    Parameters
    ----------
    path : path-like
        The file. Its first line contains the names.

    Examples
    --------
    >>> import pygru
    >>> trainer = pygru.Trainer(
    ...     pygru.GRU(1, 1, batch_first=True), callbacks=[pygru.CSVLogger("training.csv")]
    ... )
    """

    _changing = frozenset({"_written"})

    def __init__(self, path: Path) -> None:
        self.path = os.fspath(path)
        self._written = ""  # in this fit

    def _restore(self) -> None:
        if not isinstance(self._written, str):
            raise TypeError(
                f"_written must be a str, got {validation.type_name(self._written)}"
            )

    def on_fit_begin(self, trainer: Trainer, epochs: range) -> None:
        """Raise FileNotFoundError now if the folder of ``path`` does not exist."""
        if trainer.is_main_process:
            _check_folder(self.path)
        self._written = ""

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Write the history."""
        if not trainer.is_main_process:
            return
        file = io.StringIO()
        writer = csv.DictWriter(file, trainer.history.names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(trainer.history)
        text = file.getvalue()
        if text != self._written:
            write_atomically(self.path, text.encode())
            self._written = text

    def on_fit_end(self, trainer: Trainer) -> None:
        """Write what later callbacks have added to the last epoch."""
        if self._written:
            self.on_epoch_end(trainer, trainer.history.records[-1])


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

    # A copy has no event file until its own fit opens one.
    _made_again = frozenset({"_writer", "_record", "_names"})

    def __init__(self, log_dir: Path) -> None:
        self.log_dir = os.fspath(log_dir)
        self._writer: Any = None
        self._record: dict[str, Any] = {}  # the last epoch that was written
        self._names: set[str] = set()  # the numbers of it that were written

    def on_fit_begin(self, trainer: Trainer, epochs: range) -> None:
        """Open the event file. TensorBoard no longer shows its numbers of the coming epochs.

        Raises
        ------
        ImportError
            If tensorboardX is not installed.
        """
        if not trainer.is_main_process:
            return
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "TensorBoard needs the package tensorboardX; install it with  "
                'pip install "pygru[tensorboard]"'
            ) from error
        self._record, self._names = {}, set()
        self._writer = SummaryWriter(self.log_dir, purge_step=epochs.start or None)

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Write the numbers of the epoch."""
        if self._writer is None:
            return
        if record is not self._record:
            self._write_new()
            self._record, self._names = record, {"epoch"}
        self._write_new()

    def _write_new(self) -> None:
        """Write those numbers of the last epoch that have not been written yet."""
        for name, value in self._record.items():
            if name not in self._names:
                self._writer.add_scalar(name, value, self._record["epoch"])
                self._names.add(name)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Write what later callbacks have added, and close the event file."""
        if self._writer is not None:
            self._write_new()
            self._writer.close()
            self._writer = None
