"""A callback for Optuna, which ends trials that lag behind others.

It reports one number of each epoch to a trial and asks whether to go on. Which trials are
ended is decided by the pruner of the study. In this file ``optuna`` is always that library,
because all imports are absolute, and it is imported when it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pygru.core.validation import check_int, type_name
from pygru.train.callbacks import Callback
from pygru.train.monitor import Monitor, Watching

if TYPE_CHECKING:
    from pygru.train.trainer import Trainer


class OptunaPruning(Watching, Callback):
    """Reports a number of each epoch to a trial of Optuna, and ends trials without prospects.

    A trial ends with the exception ``optuna.TrialPruned``, which reaches the study through
    ``fit``. The model then has the weights of the last step, those of a weight average, or the
    best ones, as after any other end of training. An estimator of :mod:`pygru.sklearn` is as
    it was before ``fit``. Both can be trained further.

    Parameters
    ----------
    trial : optuna.Trial
        The trial to which the numbers are reported.
    monitor : str
        The number that is reported: ``"val_loss"``, ``"loss"``, a metric of the trainer such as
        ``"val_accuracy"``, or a number that another callback puts into the record. For an
        estimator of scikit-learn with ``early_stopping=True`` it is ``"validation_score"``.
        Whether small or large numbers are better is the ``direction`` of the study.

    Raises
    ------
    ImportError
        If Optuna is not installed.
    TypeError
        If ``trial`` is not a trial, or ``monitor`` is not a text.
    ValueError
        In ``fit``, after the first epoch, if that has no number of this name.

    Examples
    --------
    >>> import numpy as np
    >>> import optuna
    >>> from pygru import GRU, Adam, Last, Linear, OptunaPruning, Sequential, Trainer
    >>> X = np.random.default_rng(0).standard_normal((60, 10, 1))
    >>> def objective(trial):
    ...     rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    ...     model = Sequential(GRU(1, 4, batch_first=True), Last(), Linear(4, 1), seed=0)
    ...     pruning = OptunaPruning(trial)
    ...     trainer = Trainer(model, optimizer=Adam(rate), callbacks=[pruning], seed=0)
    ...     history = trainer.fit(X, X[:, -1], epochs=4, validation_split=0.2)
    ...     return history["val_loss"][-1]
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    >>> study.optimize(objective, n_trials=3)
    >>> len(study.trials[0].intermediate_values)
    4
    """

    _changing = frozenset({"_watched", "_reported"})

    def __init__(self, trial: Any, *, monitor: str = "val_loss") -> None:
        _optuna()
        if not all(callable(getattr(trial, name, None)) for name in ("report", "should_prune")):
            raise TypeError(f"trial must be a trial of Optuna, got {type_name(trial)}")
        self.trial = trial
        self._watched = Monitor(monitor, "min")  # only its name: the study has the direction
        self._reported: int | None = None  # the last epoch whose number the trial has

    def _restore(self) -> None:
        if self._reported is not None:
            check_int("_reported", self._reported, 0)

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Report the number of the epoch, and end the trial if its pruner says so.

        Raises
        ------
        optuna.TrialPruned
            If the pruner of the study gives this trial up.
        """
        epoch = record["epoch"]
        if epoch != self._reported:  # Ctrl-C may have interrupted this between the two
            self.trial.report(self._watched.value(record, self), epoch)
            self._reported = epoch
        if self.trial.should_prune():
            raise _optuna().TrialPruned(f"trial pruned after epoch {epoch}")


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ImportError(
            "OptunaPruning needs the package optuna; install it with  "
            'pip install "pygru[optuna]"'
        ) from error
    return optuna
