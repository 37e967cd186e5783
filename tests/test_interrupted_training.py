"""Training that Ctrl-C ends anywhere goes on from a checkpoint with the same bits.

Every test runs a small training once, then once for each point where CPython looks for signals,
with an interrupt there. PYGRU_INTERRUPTS=1 tries every point; without it one in so many is
tried, another selection for each test but always the same one.
"""

import csv
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from interrupts import run_to

import pygru
from pygru import (
    GRU,
    SGD,
    Callback,
    CSVLogger,
    Dropout,
    EarlyStopping,
    ModelCheckpoint,
    ReduceLROnPlateau,
    Sequential,
    Trainer,
    WeightAverage,
)

INSIDE = str(Path(pygru.__file__).parent)
EVERY = os.environ.get("PYGRU_INTERRUPTS") == "1"

X = np.linspace(-1, 1, 12).reshape(3, 4, 1)
y = np.tile(X, 2)


class Metric(Callback):
    """Puts a number into the record."""

    def on_epoch_end(self, trainer, record):
        record["double"] = 2 * record["loss"]


def trainer_in(folder, seed=1):
    model = Sequential(GRU(1, 2, batch_first=True, seed=seed), Dropout(0.5, seed=seed))
    callbacks = [
        Metric(),
        ModelCheckpoint(folder / "best", save_best_only=True),
        WeightAverage(0.8),
        ReduceLROnPlateau(0.5, 1, min_delta=0.5),
        EarlyStopping(2, min_delta=0.1),
        CSVLogger(folder / "log.csv"),
    ]
    return Trainer(model, optimizer=SGD(0.3, 0.9), callbacks=callbacks, seed=seed)


def fit(trainer, bptt_steps):
    return trainer.fit(
        X,
        y,
        epochs=8,
        batch_size=2,
        validation=(X[::-1], -y[::-1] / 10),
        bptt_steps=bptt_steps,
        progress=False,
    )


def outcome(trainer, folder):
    """All that an interrupt must not change: weights, states, numbers and files."""
    with open(folder / "log.csv") as file:
        rows = list(csv.DictReader(file))
    best = pygru.load(folder / "best")
    return {
        "records": [
            {name: value for name, value in record.items() if name != "seconds"}
            for record in trainer.history.records
        ],
        "log": [{name: row[name] for name in row if name != "seconds"} for row in rows],
        "weights": [values.tobytes() for values, _ in trainer.model.flat_pairs],
        "best weights": [values.tobytes() for values, _ in best.flat_pairs],
        "optimizer": str(trainer.optimizer.state_dict()),
        "callbacks": str([callback.state_dict() for callback in trainer.callbacks]),
        "generators": str(trainer._state.random_state()),
        "stop": trainer.stop,
    }


# An interrupt inside a finaliser is reported and lost; then the run goes to its end.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.parametrize("bptt_steps", [None, 3])
def test_fit(bptt_steps, tmp_path):
    plain_folder = tmp_path / "plain"
    plain_folder.mkdir()
    plain = trainer_in(plain_folder)
    fit(plain, bptt_steps)
    expected = outcome(plain, plain_folder)
    assert 3 < len(plain.history) < 8 and plain.optimizer.learning_rate < 0.3
    point, tried, wrong = 1, 0, []
    while True:
        folder = tmp_path / "interrupted"
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        trainer = trainer_in(folder)
        where = run_to(partial(fit, trainer, bptt_steps), point, INSIDE)
        if where is None:
            break
        trainer.save_checkpoint(folder / "checkpoint")
        other = trainer_in(folder, seed=5)
        other.resume(folder / "checkpoint")
        fit(other, bptt_steps)
        found = outcome(other, folder)
        wrong += [(where, name) for name in expected if found[name] != expected[name]]
        tried += 1
        point += 1 if EVERY else 53
    print(point, tried, len(wrong))
    assert not wrong
