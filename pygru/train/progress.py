"""Shows how far training is: a bar on a terminal or in a notebook, elsewhere lines of text.

Everything is for people to read. Programs read the history, or the files of
:mod:`pygru.train.loggers`. What cannot be shown, because nobody reads standard error any more,
never ends training.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from typing import TYPE_CHECKING, Any

from pygru import screen
from pygru.core import validation
from pygru.train.callbacks import Callback

if TYPE_CHECKING:
    from pygru.train.trainer import Trainer

# The numbers of an epoch that are not shown as they are.
HIDDEN = ("epoch", "learning_rate", "seconds", "sequences")

PAUSE = 0.2  # seconds between two updates of a bar within an epoch


class ProgressBar(Callback):
    """A bar over the epochs with loss, metrics and throughput.

    On a terminal the bar is drawn on standard error. In a Jupyter notebook it is a widget if
    the package ipywidgets is installed, and text otherwise. Where there is neither, for example
    in a file, a pipe, a container or the window of an editor, one line per epoch is written to
    standard error.

    :meth:`Trainer.fit` has a ``ProgressBar()`` by itself, unless there is one among its
    callbacks.

    Parameters
    ----------
    disable : bool or None
        Whether nothing is shown. None means that only worker processes of multiprocessing or
        joblib show nothing, because many of them would write at the same time. Of the ranks of
        an MPI program only the first one shows anything.

    Examples
    --------
    >>> import pygru
    >>> trainer = pygru.Trainer(
    ...     pygru.GRU(1, 1, batch_first=True), callbacks=[pygru.ProgressBar(disable=True)]
    ... )
    """

    _made_again = frozenset({"_display"})  # a copy shows nothing until its own fit

    def __init__(self, disable: bool | None = None) -> None:
        self.disable = None if disable is None else validation.check_bool("disable", disable)
        self._display: _Bar | _Lines | None = None

    def on_fit_begin(self, trainer: Trainer, epochs: range) -> None:
        """Open the bar, or say nothing until the first epoch has ended."""
        self._display = None
        disable = self.disable or not trainer.is_main_process
        if self.disable is None and not disable:
            disable = multiprocessing.parent_process() is not None
        if disable or sys.stderr is None:  # as in a program without a console on Windows
            return
        self._display = _Bar(epochs) if screen.takes_bars() else _Lines(epochs)

    def on_batch_end(self, trainer: Trainer, loss: float, sequences: int) -> None:
        """Show how far the epoch is, a few times a second."""
        if self._display is not None:
            self._display.on_batch_end(loss)

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Advance by one epoch."""
        if self._display is None:
            return
        shown = {name: f"{value:.4g}" for name, value in record.items() if name not in HIDDEN}
        rate = record["sequences"] / max(record["seconds"], 1e-9)
        self._display.on_epoch_end(record["epoch"], shown, f"{rate:.0f}")

    def on_fit_end(self, trainer: Trainer) -> None:
        """Close the bar."""
        if self._display is not None:
            self._display.close(trainer.stop)


class _Bar:
    """A bar over the epochs."""

    def __init__(self, epochs: range) -> None:
        self._bar = screen.new_bar(total=len(epochs), unit="epoch")
        self._first = epochs.start
        self._shown: dict[str, str] = {}
        self._steps, self._drawn = 0, time.monotonic()

    def on_batch_end(self, loss: float) -> None:
        self._steps += 1
        if time.monotonic() > self._drawn + PAUSE:
            self._bar.set_postfix(
                self._shown | {"batch loss": f"{loss:.4g}", "steps": str(self._steps)}
            )
            self._drawn = time.monotonic()

    def on_epoch_end(self, epoch: int, shown: dict[str, str], rate: str) -> None:
        self._shown, self._steps = shown, 0
        self._bar.set_postfix(shown | {"sequences/s": rate}, refresh=False)
        # Not simply one more, because this may be a second call for the same epoch.
        self._bar.update(epoch + 1 - self._first - self._bar.n)

    def close(self, stopped: bool) -> None:
        if stopped:
            # A callback has ended training, so the bar is complete and no widget turns red.
            self._bar.total = self._bar.n
            container = getattr(self._bar, "container", None)
            if container is not None:
                container.children[1].max = self._bar.n
        self._bar.close()


class _Lines:
    """One line per epoch on standard error."""

    def __init__(self, epochs: range) -> None:
        self._stop = epochs.stop
        self._told: int | None = None

    def on_batch_end(self, loss: float) -> None:
        pass

    def on_epoch_end(self, epoch: int, shown: dict[str, str], rate: str) -> None:
        if epoch == self._told:
            return
        numbers = "".join(f"{name} {value}, " for name, value in shown.items())
        if screen.write(f"epoch {epoch + 1}/{self._stop}: {numbers}{rate} sequences/s\n"):
            self._told = epoch

    def close(self, stopped: bool) -> None:
        pass
