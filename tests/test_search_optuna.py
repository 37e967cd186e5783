"""OptunaPruning: what a trial is told, how it ends, and what is left of the model.

The truth for the numbers is the history of the same training without Optuna; for the weights,
training that was asked for exactly as many epochs.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("optuna")
import optuna

from pygru import (
    GRU,
    Adam,
    EarlyStopping,
    Last,
    Linear,
    OptunaPruning,
    Sequential,
    Trainer,
    WeightAverage,
)

EPOCHS = 5
RNG = np.random.default_rng(0)
X = RNG.standard_normal((30, 6, 2))
Y = X[:, :, :1].mean(axis=1)


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


class After(optuna.pruners.BasePruner):
    """Ends every trial after an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def prune(self, study, trial):
        return trial.last_step >= self.epoch


def study_of(pruner=None, **options):
    sampler = optuna.samplers.RandomSampler(seed=0)
    return optuna.create_study(
        sampler=sampler, pruner=pruner or optuna.pruners.NopPruner(), **options
    )


def trainer_of(*callbacks, rate=0.02, **options):
    model = Sequential(GRU(2, 4, batch_first=True), Last(), Linear(4, 1), seed=0)
    options = {"loss": "mse", "optimizer": Adam(rate), "metrics": ["mae"]} | options
    return Trainer(model, callbacks=callbacks, seed=0, **options)


def fit(trainer, epochs=EPOCHS):
    return trainer.fit(X[:20], Y[:20], epochs=epochs, batch_size=5, validation=(X[20:], Y[20:]))


def weights(trainer):
    return np.concatenate([values for values, _ in trainer.model.flat_pairs])


@pytest.mark.parametrize("monitor", ["val_loss", "loss", "mae", "val_mae"])
def test_a_trial_is_told_the_number_of_every_epoch(monitor):
    study = study_of()
    trial = study.ask()
    history = fit(trainer_of(OptunaPruning(trial, monitor=monitor)))
    told = study.trials[0].intermediate_values
    assert told == dict(enumerate(history[monitor]))
    assert history[monitor] == fit(trainer_of())[monitor]  # and training is as without it


def test_the_default_is_the_validation_loss():
    assert OptunaPruning(study_of().ask()).monitor == "val_loss"


@pytest.mark.parametrize("last", [0, 2])
def test_a_pruned_model_is_whole_and_can_be_trained_further(last):
    trial = study_of(After(last)).ask()
    trainer = trainer_of(OptunaPruning(trial))
    with pytest.raises(optuna.TrialPruned, match=f"after epoch {last}$"):
        fit(trainer)
    same = trainer_of()
    fit(same, epochs=last + 1)
    np.testing.assert_array_equal(weights(trainer), weights(same))
    assert len(trainer.history) == last + 1
    trainer.callbacks = []
    fit(trainer, epochs=2)
    fit(same, epochs=2)
    np.testing.assert_array_equal(weights(trainer), weights(same))


def test_best_weights_and_averages_are_kept():
    stopping = EarlyStopping()
    trainer = trainer_of(stopping, OptunaPruning(study_of(After(3)).ask()), rate=0.5)
    with pytest.raises(optuna.TrialPruned):
        fit(trainer)
    assert trainer.evaluate(X[20:], Y[20:]) == min(trainer.history["val_loss"])
    assert trainer.history["val_loss"][-1] > min(trainer.history["val_loss"])
    average = WeightAverage(0.9)
    trainer = trainer_of(average, OptunaPruning(study_of(After(3)).ask()))
    with pytest.raises(optuna.TrialPruned):
        fit(trainer)
    np.testing.assert_array_equal(
        weights(trainer), np.concatenate(average.evaluation_weights())
    )


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_pruner_of_the_study_decides_and_the_study_goes_on(direction):
    """A trial with the worst rate is pruned in either direction, and the others are not."""
    rates = [0.02, 0.01, 1e-6, 0.02]
    monitor = "val_loss" if direction == "minimize" else "val_r2"
    pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=1)
    study = study_of(pruner, direction=direction)

    def objective(trial):
        pruning = OptunaPruning(trial, monitor=monitor)
        trainer = trainer_of(pruning, rate=rates[trial.number], metrics=["r2"])
        return fit(trainer)[monitor][-1]

    study.optimize(objective, n_trials=4)
    assert [trial.state.name for trial in study.trials] == [
        "COMPLETE",
        "COMPLETE",
        "PRUNED",
        "COMPLETE",
    ]
    assert list(study.trials[2].intermediate_values) == [0, 1]
    assert study.best_trial.number != 2


def test_a_number_that_no_epoch_has():
    trainer = trainer_of(OptunaPruning(study_of().ask(), monitor="val_f1"))
    with pytest.raises(
        ValueError, match=r"OptunaPruning monitors 'val_f1', but training has only loss, mae"
    ):
        fit(trainer)
    trainer = trainer_of(OptunaPruning(study_of().ask()))
    with pytest.raises(ValueError, match=r"monitors 'val_loss'.*; pass validation= to fit"):
        trainer.fit(X, Y)


def test_wrong_arguments():
    trial = study_of().ask()
    for wrong in (None, study_of(), 3):
        with pytest.raises(TypeError, match="trial must be a trial of Optuna, got"):
            OptunaPruning(wrong)
    for wrong in ("", 3, None):
        with pytest.raises(TypeError, match="monitor must be the name of a number"):
            OptunaPruning(trial, monitor=wrong)
    with pytest.raises(TypeError, match="moniter"):
        OptunaPruning(trial, moniter="loss")


def test_a_resumed_training_reports_the_rest(tmp_path):
    whole = study_of()
    history = fit(trainer_of(OptunaPruning(whole.ask())))
    first = trainer_of(OptunaPruning(study_of().ask()))
    fit(first, epochs=2)
    first.save_checkpoint(tmp_path / "checkpoint")
    study = study_of(After(3))
    trainer = trainer_of(OptunaPruning(study.ask()))
    trainer.resume(tmp_path / "checkpoint")
    with pytest.raises(optuna.TrialPruned):
        fit(trainer)
    told = study.trials[0].intermediate_values
    assert told == {epoch: history["val_loss"][epoch] for epoch in (2, 3)}


def test_an_epoch_is_reported_once():
    """Training that goes on after Ctrl-C calls again. Optuna would warn, an error here."""
    study = study_of()
    pruning = OptunaPruning(study.ask())
    for record in ({"epoch": 0, "val_loss": 2.0}, {"epoch": 0, "val_loss": 2.0}):
        pruning.on_epoch_end(None, record)
    pruning.on_epoch_end(None, {"epoch": 1, "val_loss": 1.0})
    assert study.trials[0].intermediate_values == {0: 2.0, 1: 1.0}


def test_estimators_are_as_before_when_a_trial_is_pruned():
    pytest.importorskip("sklearn", minversion="1.6")
    from sequence_estimators import LABELS, RAGGED, classifier

    model = classifier(early_stopping=True, max_iter=6)
    study = study_of(After(1))
    pruning = OptunaPruning(study.ask(), monitor="validation_score")
    with pytest.raises(optuna.TrialPruned):
        model.fit(RAGGED, LABELS, callbacks=[pruning])
    assert not hasattr(model, "model_")
    study.tell(0, state=optuna.trial.TrialState.PRUNED)
    trial = study_of().ask()
    with pytest.warns(match="has not converged"):
        model.fit(RAGGED, LABELS, callbacks=[OptunaPruning(trial, monitor="validation_score")])
    scores = trial.study.trials[0].intermediate_values
    assert scores == dict(enumerate(model.validation_scores_))
    first = study.trials[0].intermediate_values
    assert first == {epoch: scores[epoch] for epoch in (0, 1)}


def test_a_missing_optuna_is_named():
    code = (
        "import sys; sys.modules['optuna'] = None\n"
        "import pygru\n"
        "try:\n    pygru.OptunaPruning(None)\n"
        "except ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert (
        'OptunaPruning needs the package optuna; install it with  pip install "pygru[opt'
        in (done.stdout)
    ), done.stderr


SEARCH = """
import sys
import numpy as np
import optuna
import pygru

X = np.random.default_rng(0).standard_normal((30, 6, 1))

def objective(trial):
    rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    model = pygru.Sequential(
        pygru.GRU(1, 4, batch_first=True), pygru.Last(), pygru.Linear(4, 1), seed=0
    )
    trainer = pygru.Trainer(
        model, optimizer=pygru.Adam(rate), callbacks=[pygru.OptunaPruning(trial)], seed=0
    )
    history = trainer.fit(X, X[:, -1], epochs=4, validation_split=0.2, progress=False)
    return history["val_loss"][-1]

storage = sys.argv[1]
if storage.endswith(".log"):
    backend = optuna.storages.journal.JournalFileBackend(storage)
    storage = optuna.storages.JournalStorage(backend)
study = optuna.create_study(
    study_name="rate",
    storage=storage,
    load_if_exists=True,
    sampler=optuna.samplers.RandomSampler(seed=int(sys.argv[2])),
)
study.optimize(objective, n_trials=4)
"""


@pytest.mark.slow
@pytest.mark.parametrize("file", ["study.db", "study.log"], ids=["sqlite", "journal"])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_processes_share_a_study(file, tmp_path):
    """Two processes at once: all trials are there, with the numbers of one process."""
    path = str(tmp_path / file)
    url = f"sqlite:///{path}" if file.endswith(".db") else path

    storage = url
    if file.endswith(".log"):
        backend = optuna.storages.journal.JournalFileBackend(path)
        storage = optuna.storages.JournalStorage(backend)
    # Optuna may fail if two processes create the tables of a database at the same time.
    optuna.create_study(study_name="rate", storage=storage)
    with ThreadPoolExecutor(2) as pool:
        processes = pool.map(
            lambda seed: subprocess.run(
                [sys.executable, "-P", "-c", SEARCH, url, str(seed)],
                capture_output=True,
                text=True,
                cwd=tmp_path,
            ),
            range(2),
        )
        for process in processes:
            assert process.returncode == 0, process.stderr
    study = optuna.load_study(study_name="rate", storage=storage)
    assert sorted(trial.number for trial in study.trials) == list(range(8))
    assert {trial.state.name for trial in study.trials} <= {"COMPLETE", "PRUNED"}
    for trial in study.trials:
        model = Sequential(GRU(1, 4, batch_first=True), Last(), Linear(4, 1), seed=0)
        trainer = Trainer(model, optimizer=Adam(trial.params["rate"]), seed=0)
        x = np.random.default_rng(0).standard_normal((30, 6, 1))
        losses = trainer.fit(x, x[:, -1], epochs=4, validation_split=0.2)["val_loss"]
        told = trial.intermediate_values
        assert told == dict(enumerate(losses[: len(told)]))
