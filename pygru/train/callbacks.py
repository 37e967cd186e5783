"""What may happen between batches and epochs: progress, early stopping, a user's own."""

import math

from tqdm import tqdm

from pygru.core import validation


class Callback:
    """Base class: override what you need. Set ``trainer.stop = True`` to end training.

    An exception in a callback ends training and reaches the caller of ``fit``; the weights
    are then those of the last finished step.
    """

    def on_fit_begin(self, trainer, epochs):
        """Called before the first epoch; ``epochs`` is the range of epochs to come."""

    def on_batch_end(self, trainer, loss, sequences):
        """Called after every step with its loss and its number of sequences."""

    def on_epoch_end(self, trainer, record):
        """Called after every epoch with its numbers, as :class:`History` keeps them."""

    def on_fit_end(self, trainer):
        """Called when training ends, also when it ends with an exception."""


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
        self.monitor = validation.check_choice("monitor", monitor, ("val_loss", "loss"))
        self.restore_best = validation.check_bool("restore_best", restore_best)
        self._forget()

    def _forget(self):
        self.best = math.inf
        self.best_epoch = None
        self._weights = None

    def on_fit_begin(self, trainer, epochs):
        """Start afresh: an instance may serve several calls of ``fit``."""
        self._forget()

    def on_epoch_end(self, trainer, record):
        """Compare with the best epoch so far."""
        if self.monitor not in record:
            raise ValueError(
                f"EarlyStopping monitors {self.monitor!r}, but training has only "
                f"{', '.join(record)}; pass validation= to fit"
            )
        if record[self.monitor] < self.best - self.min_delta:
            self.best, self.best_epoch = record[self.monitor], record["epoch"]
            self._weights = [values.copy() for values, _ in trainer.model.flat_pairs]
        elif self.best_epoch is not None and record["epoch"] - self.best_epoch >= self.patience:
            trainer.stop = True

    def on_fit_end(self, trainer):
        """Put the best weights back."""
        if self.restore_best and self._weights is not None:
            for (values, _), best in zip(trainer.model.flat_pairs, self._weights, strict=True):
                values[...] = best


class ProgressBar(Callback):
    """A bar over the epochs with loss and throughput, on standard error.

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
        self._bar = tqdm(total=len(epochs), unit="epoch", disable=self.disable)

    def on_epoch_end(self, trainer, record):
        """Advance by one epoch."""
        shown = {name: f"{record[name]:.4g}" for name in ("loss", "val_loss") if name in record}
        rate = record["sequences"] / max(record["seconds"], 1e-9)
        self._bar.set_postfix(shown | {"sequences/s": f"{rate:.0f}"}, refresh=False)
        self._bar.update()

    def on_fit_end(self, trainer):
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
