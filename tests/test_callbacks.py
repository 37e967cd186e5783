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
    assert np.array_equal(recorder.weights[-1], flat(plain))  # callbacks do not change training


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
    assert best < 5  # otherwise the last average would be the right one
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


def test_what_a_callback_is_told_twice_it_does_once(tmp_path):
    """As after Ctrl-C that came when it had just finished."""
    trainer = Trainer(model_of(), optimizer=SGD(1.0), seed=0)
    callbacks = [
        ReduceLROnPlateau(0.5, 2, monitor="loss"),
        EarlyStopping(3, monitor="loss"),
        ModelCheckpoint(tmp_path / "best", monitor="loss", save_best_only=True),
    ]
    for callback in callbacks:
        callback.on_fit_begin(trainer, range(9))
    for epoch, loss in enumerate([5, 4, 4, 4, 3, 3, 3]):
        for callback in callbacks * 2:
            callback.on_epoch_end(trainer, {"epoch": epoch, "loss": loss})
        assert trainer.optimizer.learning_rate == (1, 1, 1, 0.5, 0.5, 0.5, 0.25)[epoch]
        assert not trainer.stop
    assert callbacks[1].best_epoch == 4 and callbacks[2].best == 3


def test_the_best_loss_is_noted_after_the_file_is_written(tmp_path, monkeypatch):
    """A checkpoint that could not be written is written when the callback is told again."""
    best = ModelCheckpoint(tmp_path / "best", monitor="loss", save_best_only=True)
    trainer = Trainer(model_of(), callbacks=[best], seed=0)
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        fit(trainer)
    monkeypatch.undo()
    assert best.best == np.inf and not (tmp_path / "best").exists()
    trainer.save_checkpoint(tmp_path / "checkpoint")
    again = ModelCheckpoint(tmp_path / "best", monitor="loss", save_best_only=True)
    other = Trainer(model_of(), callbacks=[again], seed=0)
    other.resume(tmp_path / "checkpoint")
    history = fit(other, 1)
    assert again.best == history["loss"][0]
    third = ModelCheckpoint(tmp_path / "best", monitor="loss", save_best_only=True)
    other = Trainer(model_of(), callbacks=[third], seed=0)
    other.resume(tmp_path / "best")  # the file knows that it is the best
    fit(other, 1)
    assert third.best == again.best


def test_a_checkpoint_may_hold_other_states_of_callbacks(tmp_path):
    stopping = EarlyStopping(monitor="loss")
    trainer = Trainer(model_of(), callbacks=[stopping], seed=0)
    fit(trainer, 2)
    state = {**stopping.state_dict(), "best": 0.125}
    trainer.save_checkpoint(tmp_path / "c", callback_states={stopping: state})
    assert stopping.best != 0.125
    trainer.resume(tmp_path / "c")
    fit(trainer, 3)
    assert stopping.best == 0.125


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


class Metric(Callback):
    """Puts a number into the record, of the kind that NumPy computes."""

    def __init__(self, name="accuracy", make=lambda epoch: np.float32(epoch) / 2):
        self.name, self.make = name, make

    def on_epoch_end(self, trainer, record):
        record[self.name] = self.make(record["epoch"])


@pytest.mark.parametrize("first", [True, False])
def test_what_a_callback_puts_into_the_record_is_in_the_history(first, tmp_path):
    """In the log too, wherever the callback stands, and in a checkpoint."""
    logger = CSVLogger(tmp_path / "log.csv")
    callbacks = [Metric(), logger] if first else [logger, Metric()]
    trainer = Trainer(model_of(), callbacks=callbacks, seed=0)
    history = fit(trainer)
    assert history["accuracy"] == [0, 0.5, 1] and type(history["accuracy"][0]) is float
    assert '"accuracy": 0.5' in history.to_json()
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [row["accuracy"] for row in rows] == ["0.0", "0.5", "1.0"]
    trainer.save_checkpoint(tmp_path / "checkpoint")
    other = Trainer(model_of(), callbacks=callbacks, seed=0)
    other.resume(tmp_path / "checkpoint")
    assert other.history.records == history.records
    assert fit(other, 4)["accuracy"] == [0, 0.5, 1, 1.5]


def test_a_metric_of_an_epoch_that_a_checkpoint_interrupts(tmp_path):
    """The callback behind the one that saves adds to the same record after resuming."""
    saver = ModelCheckpoint(tmp_path / "{epoch}")
    trainer = Trainer(model_of(), callbacks=[Metric("a"), saver, Metric("b")], seed=0)
    expected = fit(trainer)
    other = Trainer(model_of(), callbacks=[Metric("a"), saver, Metric("b")], seed=0)
    other.resume(tmp_path / "1")
    assert "b" not in other.history.records[-1]
    history = fit(other)
    for name in ("a", "b", "loss"):
        assert history[name] == expected[name]


@pytest.mark.parametrize(
    ("name", "make", "error", "message"),
    [
        ("x", lambda epoch: np.ones(2), TypeError, "x must be a number, got ndarray"),
        ("x", lambda epoch: "good", TypeError, "x must be a number, got str"),
        ("epoch", lambda epoch: -1, ValueError, "epoch must be >= 0, got -1"),
        ("epoch", lambda epoch: epoch + 3, ValueError, "epoch must stay 0, got 3"),
        (3, lambda epoch: 1, TypeError, "has the key 3; a key must be a str"),
    ],
)
def test_a_record_holds_numbers(name, make, error, message):
    with pytest.raises(error, match=f"the record after Metric.*{message}"):
        fit(Trainer(model_of(), callbacks=[Metric(name, make)]))


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


@pytest.mark.parametrize("first", [True, False])
def test_tensorboard_writes_what_callbacks_add_once(first, board, tmp_path):
    writer = TensorBoard(tmp_path)
    callbacks = [Metric(), writer] if first else [writer, Metric()]
    fit(Trainer(model_of(), callbacks=callbacks, seed=0))
    assert [note for note in board if note[0] == "accuracy"] == [
        ("accuracy", value, epoch) for epoch, value in enumerate([0, 0.5, 1])
    ]
    assert len(board) == len(set(board)) == 2 + 3 * 6
    assert board[-1] == ("close",)


def test_tensorboard_that_is_told_again_writes_the_same_once(board, tmp_path):
    writer, trainer = TensorBoard(tmp_path), Trainer(model_of())
    writer.on_fit_begin(trainer, range(2))
    record = {"epoch": 0, "loss": 1.0}
    for _ in range(2):
        writer.on_epoch_end(trainer, record)
    assert board[1:] == [("loss", 1.0, 0)]


def test_tensorboard_is_closed_when_training_fails(board, tmp_path):
    class Fail(Callback):
        def on_batch_end(self, trainer, loss, sequences):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fit(Trainer(model_of(), callbacks=[TensorBoard(tmp_path), Fail()]))
    assert board == [("open", str(tmp_path), None), ("close",)]


def test_tensorboard_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(
        ImportError, match=r"needs the package tensorboardX; .* \"pygru\[tensorboard\]\""
    ):
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
    """It lies between a rate that changes nothing and one with which the loss explodes."""
    many = np.random.default_rng(2).standard_normal((200, 6, 2))
    targets = many[:, :, :1].sum(axis=1)
    trainer = Trainer(model_of(), optimizer=SGD(), seed=0)
    found = find_learning_rate(
        trainer, many, targets, batch_size=20, start=1e-6, stop=1e6, steps=120
    )
    assert len(found.rates) == len(found.losses) < 120  # it ended when the loss was too large
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
        (
            lambda: ModelCheckpoint("x", mode="largest"),
            "mode must be one of 'auto', 'min', 'max'",
        ),
    ],
)
def test_settings_are_checked(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_record_keeps_its_own_numbers():
    class Remove(Callback):
        def on_epoch_end(self, trainer, record):
            del record["loss"]

    with pytest.raises(ValueError, match="the record after Remove has no loss"):
        fit(Trainer(model_of(), callbacks=[Remove()]))


@pytest.mark.parametrize(
    "callback", [ReduceLROnPlateau(), ModelCheckpoint("x", save_best_only=True)]
)
def test_what_is_monitored_must_be_there(callback):
    name = type(callback).__name__
    with pytest.raises(ValueError, match=f"{name} monitors 'val_loss', .* only loss; pass val"):
        fit(Trainer(model_of(), callbacks=[callback]), validation=None)


# ---- early stopping, option by option --------------------------------------------------------


class Losses(Callback):
    """Puts invented losses into the records before the callbacks after it see them."""

    def __init__(self, values):
        self.values = values

    def on_epoch_end(self, trainer, record):
        record["val_loss"] = self.values[record["epoch"]]


def stopped_after(values, **options):
    """The epochs that were trained, the callback, and the weights of each epoch."""
    seen = Recorder()
    stopping = EarlyStopping(**options)
    trainer = Trainer(
        model_of(), optimizer=SGD(0.1), callbacks=[Losses(values), stopping, seen]
    )
    history = trainer.fit(X, y, epochs=len(values), batch_size=20, progress=False)
    return len(history), stopping, seen.weights, flat(trainer.model)


def test_min_delta_decides_what_is_an_improvement():
    falling = [1.0, 0.95, 0.91, 0.86, 0.84, 0.82]
    assert stopped_after(falling, patience=2)[0] == 6
    epochs, stopping, *_ = stopped_after(falling, patience=2, min_delta=0.2)
    assert (epochs, stopping.best, stopping.best_epoch) == (3, 1.0, 0)
    epochs, stopping, *_ = stopped_after(falling, patience=3, min_delta=0.08)
    assert (epochs, stopping.best, stopping.best_epoch) == (6, 0.82, 5)


def test_restore_best_puts_the_best_weights_back_or_not():
    values = [1.0, 0.5, 0.7, 0.8, 0.9]
    epochs, _, weights, final = stopped_after(values, patience=2)
    assert epochs == 4
    np.testing.assert_array_equal(final, weights[1])
    epochs, _, weights, final = stopped_after(values, patience=2, restore_best=False)
    assert epochs == 4
    np.testing.assert_array_equal(final, weights[3])


def test_nan_is_no_improvement():
    nan = float("nan")
    assert stopped_after([nan] * 6, patience=2)[0] == 3
    epochs, stopping, *_ = stopped_after([nan, 1.0, nan, nan, nan], patience=2)
    assert (epochs, stopping.best_epoch) == (4, 1)


# ---- paths and the bar -----------------------------------------------------------------------


@pytest.mark.parametrize("make", [ModelCheckpoint, CSVLogger])
def test_a_missing_folder_is_found_before_training(make, tmp_path):
    trainer = Trainer(model_of(), callbacks=[make(tmp_path / "no" / "file")])
    before = flat(trainer.model)
    with pytest.raises(FileNotFoundError, match=r"No such folder.*no"):
        fit(trainer)
    np.testing.assert_array_equal(flat(trainer.model), before)


@pytest.mark.parametrize("name", ["{x}", "{}", "{epoch:q}"])
def test_fields_of_a_path_are_those_of_an_epoch(name, tmp_path):
    with pytest.raises(ValueError, match=r"path .* must have fields such as {epoch:03d}"):
        fit(Trainer(model_of(), callbacks=[ModelCheckpoint(tmp_path / name)]))


def test_a_field_that_only_validation_has(tmp_path):
    trainer = Trainer(model_of(), callbacks=[ModelCheckpoint(tmp_path / "{val_loss:.3f}")])
    with pytest.raises(
        ValueError, match=r"has the field 'val_loss', .*pass validation= to fit"
    ):
        fit(trainer, validation=None)


def test_csv_has_every_column_also_of_epochs_without_it(tmp_path):
    path = tmp_path / "log.csv"
    model = model_of()
    trainer = Trainer(model, callbacks=[CSVLogger(path)], seed=0)
    fit(trainer, 1, validation=None)
    trainer.save_checkpoint(tmp_path / "checkpoint")
    trainer.resume(tmp_path / "checkpoint")
    fit(trainer, 2)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [bool(row["val_loss"]) for row in rows] == [False, True]


# ---- the finder, further ---------------------------------------------------------------------


def test_the_finder_trains_as_the_trainer_would():
    """It trains with the memory and the windows of fit, and restores the count of steps."""
    seen = set()

    class Watched(GRU):
        def forward(self, x, h0=None, *, memory="gates", **options):
            seen.add((memory, x.shape[1]))
            return super().forward(x, h0, memory=memory, **options)

    model = Sequential(Watched(2, 4, batch_first=True, seed=0), Linear(4, 1, seed=0))
    trainer = Trainer(model, memory="outputs")
    find_learning_rate(trainer, X, X[:, :, :1], batch_size=5, steps=4, bptt_steps=3)
    assert seen == {("outputs", 3)}
    translator = pygru.Seq2Seq(5, 6, 2, 3, seed=0)
    data = translator.training_data([[1, 2], [3]], [[2, 3], [4]])
    trainer = Trainer(translator, loss="cross_entropy")
    find_learning_rate(trainer, *data, batch_size=2, steps=5)
    assert translator.training_steps == 0


def test_the_finder_draws_what_it_found():
    pytest.importorskip("matplotlib")
    found = find_learning_rate(Trainer(model_of(), seed=0), X, y, batch_size=5, steps=20)
    ax = found.plot()
    np.testing.assert_array_equal(ax.get_lines()[0].get_xdata(), found.rates)
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), found.losses)
    np.testing.assert_array_equal(ax.get_lines()[1].get_ydata(), found.smoothed)
    assert ax.get_lines()[2].get_xdata()[0] == found.suggestion and ax.get_xscale() == "log"


def test_the_finder_takes_a_trainer():
    with pytest.raises(TypeError, match="trainer must be a Trainer, got Sequential"):
        find_learning_rate(model_of(), X, y, batch_size=5)


# ---- the end of training ---------------------------------------------------------------------


def test_every_callback_is_told_of_the_end_also_after_one_that_fails():
    told = []

    class End(Callback):
        def __init__(self, name, error=None):
            self.name, self.error = name, error

        def on_fit_end(self, trainer):
            told.append(self.name)
            if self.error:
                raise self.error

    callbacks = [End(1), End(2, RuntimeError("first")), End(3, KeyboardInterrupt()), End(4)]
    with pytest.raises(KeyboardInterrupt):
        fit(Trainer(model_of(), callbacks=callbacks))
    assert told == [1, 2, 3, 4]


def test_the_average_of_another_model_is_not_used():
    """A callback that served another trainer has its average until it begins anew."""
    average = WeightAverage(0.5)
    fit(Trainer(model_of(), callbacks=[average], seed=0))
    small = Sequential(GRU(2, 1, batch_first=True, seed=0), Last())
    trainer = Trainer(small, callbacks=[average])
    before = flat(small)
    with trainer.evaluation_weights():
        np.testing.assert_array_equal(flat(small), before)
