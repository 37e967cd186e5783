"""When the training of an estimator ends: no progress for some epochs, as in MLPClassifier.

This callback also keeps the curves that the estimator shows, and the best weights if a part of
the data is held out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pygru.nn.model import Model
from pygru.train.callbacks import Callback
from pygru.train.trainer import Trainer
from pygru.typing import Floats

#: By what an adaptive learning rate is divided, and below what rate training ends.
DIVISOR, LEAST_RATE = 5.0, 1e-6


class Progress(Callback):
    """Ends training after ``patience`` epochs in a row that improve by less than ``tol``.

    Parameters
    ----------
    tol : float
        What counts as an improvement of the loss or of the score.
    patience : int
        Epochs in a row without one.
    adaptive : bool
        Whether the learning rate is then divided instead, until it is very small.
    score : callable, optional
        The score of held-out data, which is watched instead of the loss.

    Attributes
    ----------
    rate_after : callable or None
        The learning rate that a number of epochs leaves for the next one.
    losses, scores : list of float
        One value per epoch.
    best : float
        The smallest loss so far, or the largest score with its sign changed.
    converged : bool
        Whether training has ended before the last epoch.
    """

    # One fit makes and drops this object, so no pickle holds it.
    _changing = frozenset(
        {
            "rate_after",
            "best",
            "losses",
            "scores",
            "converged",
            "_best_weights",
            "_without",
        }
    )

    def __init__(
        self,
        tol: float,
        patience: int,
        *,
        adaptive: bool,
        score: Callable[[], float] | None = None,
    ) -> None:
        self.tol = tol
        self.patience = patience
        self.adaptive = adaptive
        self.score = score
        self.rate_after: Callable[[int], float] | None = None
        self.best = np.inf
        self.losses: list[float] = []
        self.scores: list[float] = []
        self.converged = False
        self._best_weights: list[Floats] | None = None
        self._without = 0

    def consider(self, model: Model) -> None:
        """Take the weights from which training begins as the best ones so far."""
        assert self.score is not None
        self._remember(-self.score(), model)

    def restore(self, model: Model) -> None:
        """Give the model the weights with the best score, if there are any."""
        if self._best_weights is not None:
            for (values, _), best in zip(model.flat_pairs, self._best_weights, strict=True):
                values[...] = best

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Look at the loss or the score of the epoch."""
        self.losses.append(float(record["loss"]))
        value = self.losses[-1]
        if self.score is not None:
            self.scores.append(self.score())
            record["validation_score"] = self.scores[-1]
            value = -self.scores[-1]
        self._without = self._without + 1 if value > self.best - self.tol else 0
        if value < self.best:
            self._remember(value, trainer.model)
        if self.rate_after is not None:
            trainer.optimizer.learning_rate = self.rate_after(len(self.losses))
        if self._without > self.patience:
            self._slow_down(trainer)

    def _remember(self, value: float, model: Model) -> None:
        self.best = value
        if self.score is not None:
            self._best_weights = [values.copy() for values, _ in model.flat_pairs]

    def _slow_down(self, trainer: Trainer) -> None:
        """End training, or make the learning rate smaller."""
        rate = trainer.optimizer.next_learning_rate
        if self.adaptive and rate > LEAST_RATE:
            trainer.optimizer.learning_rate = rate / DIVISOR
            self._without = 0
            return
        self.converged = trainer.stop = True
