"""Training that Ctrl-C ends anywhere goes on from a checkpoint with the same bits.

A small training runs once, and then once for each point where CPython looks for signals, with
an interrupt there. The training itself has some 24,000 such points, and one of every 211 is
tried, always the same ones. With PYGRU_INTERRUPTS=1 all of them are tried.
"""

import copy
import csv
import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from interrupts import at_every_point, run_to

import pygru
from pygru import (
    GRU,
    SGD,
    Adam,
    Callback,
    CSVLogger,
    Dropout,
    EarlyStopping,
    ModelCheckpoint,
    ReduceLROnPlateau,
    Sequential,
    Trainer,
    WeightAverage,
    find_learning_rate,
)

INSIDE = str(Path(pygru.__file__).parent)
STEP = 1 if os.environ.get("PYGRU_INTERRUPTS") == "1" else 211

# An interrupt inside a finaliser is reported and lost; then the run goes to its end.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

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
    return Trainer(
        model, optimizer=SGD(0.3, 0.9), callbacks=callbacks, metrics=["mae"], seed=seed
    )


def fit(trainer, bptt_steps=None):
    return trainer.fit(
        X,
        y,
        epochs=8,
        batch_size=2,
        validation=(X[::-1], -y[::-1] / 10),
        bptt_steps=bptt_steps,
        progress=False,
    )


def state_of(trainer):
    """All that a trainer and its model hold."""
    return {
        "records": [
            {name: value for name, value in record.items() if name != "seconds"}
            for record in trainer.history.records
        ],
        "weights": [values.tobytes() for values, _ in trainer.model.flat_pairs],
        "optimizer": str(trainer.optimizer.state_dict()),
        "callbacks": str([callback.state_dict() for callback in trainer.callbacks]),
        "generators": str(trainer._state.random_state()),
        "stop": trainer.stop,
    }


def outcome(trainer, folder):
    """All that an interrupt must not change: weights, states, numbers and files."""
    with open(folder / "log.csv") as file:
        rows = list(csv.DictReader(file))
    best = pygru.load(folder / "best")
    return {
        **state_of(trainer),
        "log": [{name: row[name] for name in row if name != "seconds"} for row in rows],
        "best weights": [values.tobytes() for values, _ in best.flat_pairs],
    }


def empty(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("bptt_steps", [None, 3])
def test_fit(bptt_steps, tmp_path):
    """With callbacks that keep weights, rates and files, and one that adds to the record."""
    folder = empty(tmp_path / "fit")
    plain = trainer_in(folder)
    fit(plain, bptt_steps)
    expected = outcome(plain, folder)
    stopping = plain.callbacks[4]
    assert 0 < stopping.best_epoch < len(plain.history) - 1 < 7  # each callback has acted
    assert plain.optimizer.learning_rate < 0.3
    assert "double" in plain.history.records[-1]
    point, tried, where = 1, 0, ""
    while where is not None:
        trainer = trainer_in(empty(folder))
        where = run_to(partial(fit, trainer, bptt_steps), point, INSIDE)
        if where is not None:
            trainer.save_checkpoint(folder / "checkpoint")
            trainer = trainer_in(folder, seed=5)
            trainer.resume(folder / "checkpoint")
            fit(trainer, bptt_steps)
        found = outcome(trainer, folder)
        assert found == expected, (point, where)
        tried += 1
        point += STEP
    assert tried > 40


@pytest.mark.slow
def test_every_point_of_the_loop_and_the_state(tmp_path):
    """Two epochs of one step each, interrupted at every point of the code that keeps track."""
    inside = tuple(f"{INSIDE}/train/{name}.py" for name in ("state", "loop", "callbacks"))

    def short(trainer):
        trainer.fit(X, y, epochs=2, batch_size=3, progress=False)

    def prepared(seed=1):
        model = Sequential(GRU(1, 2, batch_first=True, seed=seed), Dropout(0.5, seed=seed))
        callbacks = [
            WeightAverage(0.8),
            ReduceLROnPlateau(0.5, 1, monitor="loss", min_delta=9.0),
            EarlyStopping(1, monitor="loss"),
            Metric(),
        ]
        return Trainer(
            model, optimizer=SGD(0.3, 0.9), callbacks=callbacks, metrics=["mae"], seed=seed
        )

    plain = prepared()
    short(plain)
    expected = state_of(plain)
    assert plain.optimizer.learning_rate == 0.15
    trainer = None

    def prepare():
        nonlocal trainer
        trainer = prepared()
        return partial(short, trainer)

    def check(where):
        trainer.save_checkpoint(tmp_path / "c")
        other = prepared(seed=5)
        other.resume(tmp_path / "c")
        short(other)
        assert state_of(other) == expected, where

    count = at_every_point(prepare, check, inside)
    assert count > 150


@pytest.mark.slow
def test_save_checkpoint_changes_nothing(tmp_path):
    """Neither the trainer nor the file that it would replace."""
    folder = empty(tmp_path / "fit")
    trainer = trainer_in(folder)
    fit(trainer)
    before, path = state_of(trainer), folder / "checkpoint"
    trainer.save_checkpoint(path)
    old = path.read_bytes()

    def check(where):
        assert state_of(trainer) == before, where
        assert path.read_bytes() == old, where

    count = at_every_point(
        lambda: lambda: trainer.save_checkpoint(path), check, INSIDE, max(1, STEP // 50)
    )
    assert count > 100


@pytest.mark.slow
def test_resume_is_all_or_nothing(tmp_path):
    folder = empty(tmp_path / "fit")
    first = trainer_in(folder)
    run_to(partial(fit, first), 5003, INSIDE)
    path = folder / "checkpoint"
    first.save_checkpoint(path)
    new = trainer_in(folder, seed=5)
    new.resume(path)
    after = state_of(new)
    trainer = None

    def prepare():
        nonlocal trainer
        trainer = trainer_in(folder, seed=5)
        return partial(trainer.resume, path)

    prepare()
    before = state_of(trainer)
    assert before["weights"] != after["weights"]

    def check(where):
        assert state_of(trainer) in (before, after), where

    assert at_every_point(prepare, check, INSIDE, max(1, STEP // 50)) > 500


@pytest.mark.slow
def test_the_learning_rate_finder_changes_nothing():
    model = Sequential(GRU(1, 2, batch_first=True, seed=1), Dropout(0.5, seed=1))
    trainer = Trainer(model, optimizer=Adam(0.1), seed=1)
    fit(trainer)
    model.layers[0].flat_grads[:] = 7
    before = state_of(trainer)

    def check(where):
        assert state_of(trainer) == before, where
        assert (model.layers[0].flat_grads == 7).all(), where

    find = partial(find_learning_rate, trainer, X, y, batch_size=2, steps=3)
    find()
    check("whole")
    assert at_every_point(lambda: find, check, INSIDE, max(1, STEP // 20)) > 500


def test_load_state_dict_of_an_optimizer_is_all_or_nothing():
    model = GRU(1, 2, seed=0)
    trained, fresh = SGD(0.5, 0.9), SGD(0.1, 0.9)
    model.flat_grads[:] = 1
    trained.step(model)
    state = trained.state_dict()
    allowed = str(fresh.state_dict()), str(state)
    optimizer = None

    def prepare():
        nonlocal optimizer
        optimizer = copy.deepcopy(fresh)
        return partial(optimizer.load_state_dict, state)

    def check(where):
        assert str(optimizer.state_dict()) in allowed, where

    assert at_every_point(prepare, check, INSIDE) > 20


def test_other_weights_for_a_while_are_taken_back():
    """An interrupt may end the block, or come before it: the model has its own weights then."""
    trainer = Trainer(GRU(1, 1, batch_first=True, seed=0), callbacks=[WeightAverage(0.8)])
    trainer.callbacks[0].load_state_dict(
        {"average": [np.full_like(v, 7) for v, _ in trainer.model.flat_pairs], "steps": 1}
    )
    weights = trainer.model.flat_parameters.copy()
    seen = []

    def run():
        trainer._state.begun = 1  # the callback has begun a fit
        with trainer.evaluation_weights():
            seen.append((trainer.model.flat_parameters == 7).all())

    def check(where):
        if "__exit__" in where:  # before it could do anything: the next fit takes them back
            trainer._state.begin(0, {}, None)
        assert np.array_equal(trainer.model.flat_parameters, weights), where
        assert trainer._state.trained is None, where

    assert at_every_point(lambda: run, check, INSIDE) > 5
    assert seen and all(seen)
