"""Callbacks against plain computations of what they do, and the learning-rate finder."""

import csv
import functools
import sys
import types

import numpy as np
import pytest

import pygru
from pygru import (
    GRU,
    SGD,
    Adam,
    Callback,
    CSVLogger,
    DivergenceError,
    EarlyStopping,
    Last,
    Linear,
    ModelCheckpoint,
    ReduceLROnPlateau,
    Sequential,
    TensorBoard,
    Trainer,
    WeightAverage,
    find_learning_rate,
    losses,
    schedules,
)


def model_of(seed=0, dropout=0.0):
    return Sequential(
        GRU(2, 4, batch_first=True, seed=seed),
        pygru.Dropout(dropout, seed=seed),
        Last(),
        Linear(4, 1, seed=seed),
    )


X = np.random.default_rng(1).standard_normal((20, 6, 2)).astype(np.float32)
y = X[:, :, :1].sum(axis=1)


def fit(trainer, epochs=3, **options):
    options = {"batch_size": 5, "progress": False, "validation": (X[:7], y[:7])} | options
    return trainer.fit(X, y, epochs=epochs, **options)


def flat(model):
    return np.concatenate([values for values, _ in model.flat_pairs])


class Recorder(Callback):
    """Keeps the weights after every step."""

    def __init__(self):
        self.weights = []

    def on_batch_end(self, trainer, loss, sequences):
        self.weights.append(flat(trainer.model).astype(float))


# ---- weight average --------------------------------------------------------------------------


@pytest.mark.parametrize("first", [True, False])
def test_weight_average_by_hand(first):
    recorder, average = Recorder(), WeightAverage(0.7)
    callbacks = [average, recorder] if first else [recorder, average]
    model = model_of()
    fit(Trainer(model, optimizer=SGD(0.1), callbacks=callbacks, seed=0))
    expected = recorder.weights[0]
    for weights in recorder.weights[1:]:
        expected = 0.7 * expected + 0.3 * weights
    np.testing.assert_allclose(flat(model), expected, rtol=1e-5, atol=1e-7)
    plain = model_of()
    fit(Trainer(plain, optimizer=SGD(0.1), callbacks=[], seed=0))
    assert np.array_equal(recorder.weights[-1], flat(plain))  # training itself is the same


def test_validation_and_early_stopping_use_the_average():
    class Validate(Callback):
        def __init__(self):
            self.losses, self.averages = [], []

        def on_epoch_end(self, trainer, record):
            before = flat(trainer.model)
            with trainer.evaluation_weights():
                self.averages.append(flat(trainer.model))
                self.losses.append(trainer.evaluate(X[:7], y[:7], batch_size=5))
            assert np.array_equal(flat(trainer.model), before)
            assert not np.array_equal(self.averages[-1], before)

    validate, stopping = Validate(), EarlyStopping(9)
    model = model_of()
    callbacks = [stopping, validate, WeightAverage(0.7)]
    history = fit(Trainer(model, optimizer=SGD(0.8), callbacks=callbacks, seed=0), 6)
    assert history["val_loss"] == validate.losses
    best = int(np.argmin(validate.losses))
    assert best < 5  # else the last average would do
    assert np.array_equal(flat(model), validate.averages[best])


# ---- learning rate on a plateau --------------------------------------------------------------


def test_reduce_lr_on_plateau_by_hand():
    trainer = Trainer(model_of(), optimizer=SGD(1.0), seed=0)
    plateau = ReduceLROnPlateau(0.5, 2, monitor="loss", min_delta=0.1, min_lr=0.2)
    plateau.on_fit_begin(trainer, range(9))
    rates = []
    for epoch, loss in enumerate([5, 4, 3.95, 3.92, 3.8, 3.9, 3.9, 3.9, 3.9, 3.9, 1, 1]):
        plateau.on_epoch_end(trainer, {"epoch": epoch, "loss": loss})
        rates.append(trainer.optimizer.learning_rate)
    # best is 4 in epoch 1, 3.8 in epoch 4; lowered in 3, 6 and 8, never below 0.2
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2]


def test_reduce_lr_on_plateau_needs_a_number():
    trainer = Trainer(
        model_of(),
        optimizer=SGD(schedules.cosine(0.1, 10)),
        callbacks=[ReduceLROnPlateau(monitor="loss")],
    )
    with pytest.raises(ValueError, match=r"needs a learning_rate that is a number, got cosine"):
        fit(trainer)


# ---- files -----------------------------------------------------------------------------------


def test_model_checkpoint_writes_the_best_and_every_second(tmp_path):
    best = ModelCheckpoint(tmp_path / "best", save_best_only=True)
    every = ModelCheckpoint(str(tmp_path / "{epoch:02d}-{loss:.0f}"), every=2)
    recorder = Recorder()
    trainer = Trainer(model_of(), optimizer=SGD(0.8), callbacks=[recorder, best, every], seed=0)
    history = fit(trainer, 7)
    names = {f"{epoch:02d}-{history['loss'][epoch]:.0f}" for epoch in (1, 3, 5)}
    assert {path.name for path in tmp_path.iterdir()} == names | {"best"}
    epoch = int(np.argmin(history["val_loss"]))
    assert epoch < 6
    weights = recorder.weights[4 * epoch + 3]  # 4 batches an epoch
    assert np.array_equal(flat(pygru.load(tmp_path / "best")), weights.astype(np.float32))
    assert best.best == min(history["val_loss"])


def test_csv_logger_writes_the_history(tmp_path):
    class Look(Callback):
        def on_epoch_end(self, trainer, record):
            with open(tmp_path / "log.csv") as file:
                assert len(list(csv.DictReader(file))) == record["epoch"] + 1

    callbacks = [CSVLogger(tmp_path / "log.csv"), Look()]
    for epochs in (5, 3):  # the second fit begins a new file
        history = fit(Trainer(model_of(), callbacks=callbacks, seed=0), epochs)
        with open(tmp_path / "log.csv") as file:
            rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
        assert rows == history.records


@pytest.fixture
def board(monkeypatch):
    """A stand-in for tensorboardX that notes what it is told."""
    notes = []

    class SummaryWriter:
        def __init__(self, logdir, purge_step=None):
            notes.append(("open", logdir, purge_step))

        def add_scalar(self, tag, value, step):
            notes.append((tag, value, step))

        def close(self):
            notes.append(("close",))

    module = types.ModuleType("tensorboardX")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "tensorboardX", module)
    return notes


def test_tensorboard_writes_scalars(board, tmp_path):
    trainer = Trainer(model_of(), callbacks=[TensorBoard(tmp_path)], seed=0)
    history = fit(trainer, 4, initial_epoch=2)
    assert board[0] == ("open", str(tmp_path), 2)
    assert board[-1] == ("close",)
    assert len(board) == 2 + 2 * 5
    for record in history.records:
        assert ("val_loss", record["val_loss"], record["epoch"]) in board
        assert ("learning_rate", 1e-3, record["epoch"]) in board


def test_tensorboard_is_closed_when_training_fails(board, tmp_path):
    class Fail(Callback):
        def on_batch_end(self, trainer, loss, sequences):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fit(Trainer(model_of(), callbacks=[TensorBoard(tmp_path), Fail()]))
    assert board == [("open", str(tmp_path), None), ("close",)]


def test_tensorboard_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match="needs the package tensorboardX: pip install"):
        fit(Trainer(model_of(), callbacks=[TensorBoard(tmp_path)]))


# ---- the learning-rate finder ----------------------------------------------------------------


def test_the_sweep_is_training_at_growing_rates():
    model = model_of(dropout=0.3)
    seen = []

    def loss(prediction, target, *, mask=None):
        value, gradient = losses.mse(prediction, target)
        seen.append(value)
        return value, gradient

    trainer = Trainer(model, loss=loss, optimizer=SGD(0.5), seed=0)
    found = find_learning_rate(trainer, X, y, batch_size=5, start=1e-3, stop=1e-2, steps=11)
    np.testing.assert_allclose(found.rates, np.geomspace(1e-3, 1e-2, 11))
    assert found.losses.tolist() == seen
    other = Trainer(
        model_of(dropout=0.3), optimizer=SGD(lambda n: 1e-3 * 10 ** (n / 10)), seed=0
    )
    collected = []

    class Collect(Callback):
        def on_batch_end(self, trainer, loss, sequences):
            collected.append(loss)

    other.callbacks.append(Collect())
    fit(other)
    np.testing.assert_allclose(collected[:11], seen, rtol=1e-6)


@pytest.mark.parametrize("stop", [1e-2, 1e6])
def test_the_finder_leaves_everything_as_it_was(stop):
    model = model_of(dropout=0.3)
    trainer = Trainer(model, optimizer=Adam(0.01), seed=0)
    plain = Trainer(model_of(dropout=0.3), optimizer=Adam(0.01), seed=0)
    for each in (trainer, plain):
        fit(each)
    find_learning_rate(trainer, X, y, batch_size=5, stop=stop, steps=20)
    assert trainer.optimizer.steps == 12
    for each in (trainer, plain):
        fit(each)
    assert np.array_equal(flat(model), flat(plain.model))


def test_the_suggestion_trains():
    """It lies between a rate that does nothing and one that explodes."""
    many = np.random.default_rng(2).standard_normal((200, 6, 2))
    targets = many[:, :, :1].sum(axis=1)
    trainer = Trainer(model_of(), optimizer=SGD(), seed=0)
    found = find_learning_rate(
        trainer, many, targets, batch_size=20, start=1e-6, stop=1e6, steps=120
    )
    assert len(found.rates) == len(found.losses) < 120  # ended when the loss was too large
    assert 1e-3 < found.suggestion < 1
    trainer.optimizer.learning_rate = found.suggestion
    history = trainer.fit(many, targets, epochs=10, batch_size=20)
    assert history["loss"][-1] < 0.5 * history["loss"][0]


def test_the_finder_refuses():
    trainer = Trainer(model_of(), seed=0)
    find = functools.partial(find_learning_rate, trainer, X, y, batch_size=5)
    with pytest.raises(ValueError, match=r"stop must be above start=0\.1, got 0\.01"):
        find(start=0.1, stop=0.01)
    with pytest.raises(ValueError, match="steps must be >= 3, got 2"):
        find(steps=2)
    before = flat(trainer.model)
    trainer.loss = lambda prediction, target, *, mask=None: (np.nan, prediction)
    with pytest.raises(DivergenceError):
        find()
    assert np.array_equal(flat(trainer.model), before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: WeightAverage(1), r"decay must be a number in \[0, 1\)"),
        (lambda: ReduceLROnPlateau(1.0), r"factor must be a number in \(0, 1\), got 1"),
        (lambda: ReduceLROnPlateau(0.5, 0), "patience must be >= 1, got 0"),
        (lambda: ModelCheckpoint("x", every=0), "every must be >= 1, got 0"),
        (lambda: ModelCheckpoint("x", monitor="accuracy"), "monitor must be one of 'val_loss'"),
    ],
)
def test_settings_are_checked(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "callback", [ReduceLROnPlateau(), ModelCheckpoint("x", save_best_only=True)]
)
def test_what_is_monitored_must_be_there(callback):
    name = type(callback).__name__
    with pytest.raises(ValueError, match=f"{name} monitors 'val_loss', .* only loss; pass val"):
        fit(Trainer(model_of(), callbacks=[callback]), validation=None)
