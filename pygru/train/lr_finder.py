"""The learning-rate finder: a few steps at growing rates, on weights that are put back."""

import contextlib
import copy
import dataclasses
import math

import numpy as np

from pygru.core import validation
from pygru.errors import DivergenceError
from pygru.train.callbacks import Callback
from pygru.train.checkpoints import chance_of, give_back_chance
from pygru.train.trainer import Trainer

SMOOTHING = 0.9  # of the losses that the suggestion is read from
SETTLED = 10  # so many losses make a smooth one
TOO_LARGE = 4.0  # times the smallest smoothed loss: there the sweep ends


@dataclasses.dataclass(frozen=True)
class LearningRates:
    """What :func:`find_learning_rate` has seen.

    Parameters
    ----------
    rates : ndarray
        (n,) the rate of each step.
    losses : ndarray
        (n,) the loss before that step.
    smoothed : ndarray
        (n,) their moving average, which the suggestion is read from.
    suggestion : float
        A rate to train with: a tenth of the one where the smoothed loss was least, beyond which
        training began to fail.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float

    def plot(self, ax=None):
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

    def __init__(self, count):
        self.count = count
        self.losses, self.smoothed = [], []
        self._sum = 0.0

    def on_batch_end(self, trainer, loss, sequences):
        """Keep the loss; ``_EnoughSeen`` ends the epoch under way."""
        self._sum = SMOOTHING * self._sum + (1 - SMOOTHING) * loss
        self.losses.append(loss)
        self.smoothed.append(self._sum / (1 - SMOOTHING ** len(self.losses)))
        if len(self.losses) == self.count or (
            self.smoothed[-1] > TOO_LARGE * min(self.smoothed)
        ):
            raise _EnoughSeen


class _EnoughSeen(Exception):
    """The sweep has seen what it needs."""


def find_learning_rate(
    trainer,
    X,
    y,
    *,
    batch_size,
    lengths=None,
    bptt_steps=None,
    start=1e-6,
    stop=1.0,
    steps=100,
):
    """Train for some steps at rates that grow from step to step, and see how the loss does.

    The range test of Smith (2017, "Cyclical Learning Rates for Training Neural Networks",
    arXiv:1506.01186) with rates that grow exponentially. The trainer's model, optimiser and
    random generators are as before afterwards, also if it fails; its callbacks are not called.

    Parameters
    ----------
    trainer : Trainer
        Whose model, loss, optimiser and ``clip_norm`` to use.
    X, y, batch_size, lengths, bptt_steps
        As for :meth:`Trainer.fit`.
    start, stop : float
        The first rate and the last.
    steps : int
        How many rates; the sweep ends before when the loss is four times its smallest or not
        finite.

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
    steps = validation.check_int("steps", steps, 3)
    if not stop > start:
        raise ValueError(f"stop must be above start={start}, got {stop}")
    growth = math.log(stop / start) / (steps - 1)
    sweep = _Sweep(steps)
    optimizer = copy.deepcopy(trainer.optimizer)
    first = optimizer.steps
    optimizer.learning_rate = lambda number: start * math.exp(growth * (number - first))
    with _put_back(trainer):
        helper = Trainer(
            trainer.model,
            loss=trainer.loss,
            optimizer=optimizer,
            clip_norm=trainer.clip_norm,
            callbacks=[sweep],
            seed=trainer.generator,
            n_threads=trainer.n_threads,
            memory=trainer.memory,
        )
        try:
            # One epoch has at least one step, so as many epochs as steps are enough.
            helper.fit(
                X,
                y,
                lengths=lengths,
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
    rates = start * np.exp(growth * np.arange(len(sweep.losses)))
    settled = min(SETTLED, len(rates) // 2)
    least = settled + int(np.argmin(sweep.smoothed[settled:]))
    return LearningRates(
        rates, np.array(sweep.losses), np.array(sweep.smoothed), float(rates[least] / 10)
    )


@contextlib.contextmanager
def _put_back(trainer):
    """Give a trainer's model and generators back what they had, whatever happens."""
    chance = chance_of(trainer)
    kept = [(values.copy(), grads.copy()) for values, grads in trainer.model.flat_pairs]
    try:
        yield
    finally:
        for pair, copies in zip(trainer.model.flat_pairs, kept, strict=True):
            for array, before in zip(pair, copies, strict=True):
                array[...] = before
        give_back_chance(trainer, chance)
