"""The learning-rate finder: a few steps at growing rates, on a copy of the model.

The user's trainer is only read. It never changes, so nothing must be restored when the search
ends.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pygru.core import validation
from pygru.core.pickled import CheckedState
from pygru.errors import DivergenceError
from pygru.train.callbacks import Callback
from pygru.train.trainer import Trainer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMOOTHING = 0.9  # of the losses from which the suggestion is read
SETTLED = 10  # number of losses until the average is smooth
TOO_LARGE = 4.0  # times the smallest smoothed loss: the search ends


@dataclasses.dataclass(frozen=True)
class LearningRates(CheckedState):
    """The results of :func:`find_learning_rate`.

    Parameters
    ----------
    rates : ndarray
        (n,) the rate of each step.
    losses : ndarray
        (n,) the loss before that step.
    smoothed : ndarray
        (n,) their moving average, from which the suggestion is read.
    suggestion : float
        A rate to train with. It is a tenth of the rate where the smoothed loss was smallest,
        because training began to fail above that rate.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    suggestion: float

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the losses over the rates, their moving average, and the suggestion.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        from pygru.plot import plot_learning_rates

        return plot_learning_rates(self, ax)


class _Sweep(Callback):
    """Collects losses, and ends training when they have become too large."""

    _changing = frozenset({"losses", "smoothed", "_sum"})  # no pickle holds it

    def __init__(self, count: int) -> None:
        self.count = count
        self.losses: list[float] = []
        self.smoothed: list[float] = []
        self._sum = 0.0

    def on_batch_end(self, trainer: Trainer, loss: float, sequences: int) -> None:
        """Keep the loss; ``_EnoughSeen`` ends the current epoch."""
        self._sum = SMOOTHING * self._sum + (1 - SMOOTHING) * loss
        self.losses.append(loss)
        self.smoothed.append(self._sum / (1 - SMOOTHING ** len(self.losses)))
        if len(self.losses) == self.count or (
            self.smoothed[-1] > TOO_LARGE * min(self.smoothed)
        ):
            raise _EnoughSeen


class _EnoughSeen(Exception):
    """The search has all it needs."""


def find_learning_rate(
    trainer: Trainer,
    X: Any,
    y: Any = None,
    *,
    batch_size: int | None = None,
    lengths: ArrayLike | Mapping[str, Any] | None = None,
    mask: Any = None,
    reset: Any = None,
    bptt_steps: int | None = None,
    start: float = 1e-6,
    stop: float = 1.0,
    steps: int = 100,
) -> LearningRates:
    """Train for some steps at rates that grow from step to step, and watch the loss.

    This is the range test of Smith (2017, "Cyclical Learning Rates for Training Neural
    Networks", arXiv:1506.01186) with rates that grow exponentially. It trains a copy of the
    model: the trainer, its model, optimiser and random generators are not changed, and its
    callbacks are not called. The ranks of a trainer with a ``comm`` train together, and all of
    them find the same.

    Parameters
    ----------
    trainer : Trainer
        The trainer whose model, loss, optimiser and ``clip_norm`` are used.
    X, y, batch_size, lengths, mask, reset, bptt_steps
        As for :meth:`Trainer.fit`.
    start, stop : float
        The first rate and the last.
    steps : int
        The number of rates. The search ends earlier if the loss is not finite, or is four times
        its smallest value.

    Returns
    -------
    LearningRates
        ``rates``, ``losses`` and a ``suggestion``.

    Raises
    ------
    ValueError
        If ``stop`` is not above ``start``, or the data do not fit.
    DivergenceError
        If not even two steps have a finite loss.

    Examples
    --------
    >>> import numpy as np
    >>> import pygru
    >>> X = np.random.default_rng(0).standard_normal((64, 10, 1))
    >>> model = pygru.Sequential(pygru.GRU(1, 8, batch_first=True, seed=0), pygru.Linear(8, 1))
    >>> trainer = pygru.Trainer(model, seed=0)
    >>> found = pygru.find_learning_rate(trainer, X, X.cumsum(axis=1), batch_size=16)
    >>> 1e-6 < found.suggestion < 1.0
    True
    """
    if not isinstance(trainer, Trainer):
        raise TypeError(f"trainer must be a Trainer, got {validation.type_name(trainer)}")
    start = validation.check_positive("start", start)
    stop = validation.check_positive("stop", stop)
    steps = validation.check_count("steps", steps, 3)
    if not stop > start:
        raise ValueError(f"stop must be above start={start}, got {stop}")
    growth = math.log(stop / start) / (steps - 1)
    sweep = _Sweep(steps)
    optimizer = copy.deepcopy(trainer.optimizer)
    first = optimizer.steps
    optimizer.learning_rate = lambda number: start * math.exp(growth * (number - first))
    helper = Trainer(
        copy.deepcopy(trainer.model),
        loss=trainer.loss,
        optimizer=optimizer,
        clip_norm=trainer.clip_norm,
        callbacks=[sweep],
        seed=copy.deepcopy(trainer.generator),
        n_threads=trainer.n_threads,
        memory=trainer.memory,
        classes=trainer.classes,
        comm=trainer.comm,
    )
    try:
        # An epoch in which something counts has at least one step.
        helper.fit(
            X,
            y,
            lengths=lengths,
            mask=mask,
            reset=reset,
            epochs=steps,
            batch_size=batch_size,
            bptt_steps=bptt_steps,
            progress=False,
        )
    except _EnoughSeen:
        pass
    except DivergenceError:
        if len(sweep.losses) < 2:
            raise
    if not sweep.losses:
        raise ValueError("the data contain nothing that counts in the loss")
    rates = start * np.exp(growth * np.arange(len(sweep.losses)))
    settled = min(SETTLED, len(rates) // 2)
    least = settled + int(np.argmin(sweep.smoothed[settled:]))
    return LearningRates(
        rates, np.array(sweep.losses), np.array(sweep.smoothed), float(rates[least] / 10)
    )
