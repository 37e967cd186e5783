"""Optimisers and Trainer: known steps, the same bits for any threads, and orderly failures.

Rows B-76 to B-90 of the bad-input list that concern training have their id in the test's name.
"""

import json
import threading

import numpy as np
import pytest

import pygru
from pygru import (
    GRU,
    SGD,
    Adam,
    Callback,
    DivergenceError,
    EarlyStopping,
    Last,
    Linear,
    Sequential,
    Trainer,
    losses,
)


def model_of(seed=0, hidden=8, features=2):
    return Sequential(
        GRU(features, hidden, batch_first=True, seed=seed), Last(), Linear(hidden, 1, seed=seed)
    )


def data_of(n=40, steps=6, features=2):
    X = np.random.default_rng(1).standard_normal((n, steps, features)).astype(np.float32)
    return X, X[:, :, :1].sum(axis=1)


def ragged_data(n=40):
    rng = np.random.default_rng(2)
    X = [rng.standard_normal((size, 2)) for size in rng.integers(1, 9, n)]
    return X, np.array([[x[:, 0].sum()] for x in X])


# ---- training -------------------------------------------------------------------------------


def trained(n_threads, ragged=False, epochs=3):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((96, 30, 5)).astype(np.float32)
    y = X[:, :, :1].sum(axis=1)
    lengths = rng.integers(1, 31, 96) if ragged else None
    model = Sequential(
        GRU(5, 24, 2, batch_first=True, dropout=0.2, bidirectional=True, seed=0),
        Last(bidirectional=True),
        Linear(48, 1, seed=0),
    )
    trainer = Trainer(model, optimizer=Adam(0.01), clip_norm=1.0, seed=0, n_threads=n_threads)
    history = trainer.fit(X, y, epochs=epochs, batch_size=32, lengths=lengths)
    return model, history


@pytest.mark.parametrize("ragged", [False, True])
def test_a_training_run_has_the_same_bits_for_any_threads(ragged):
    one, history = trained(1, ragged)
    for n_threads in (2, 3, 4):
        other, other_history = trained(n_threads, ragged)
        assert history["loss"] == other_history["loss"]
        for name, view in one.parameters.items():
            assert np.array_equal(view, other.parameters[name]), name


def test_training_lowers_the_loss_and_reports_it():
    X, y = data_of(200)
    trainer = Trainer(model_of(), optimizer=Adam(0.02), seed=0)
    history = trainer.fit(X, y, epochs=15, batch_size=20, validation=(X[:50], y[:50]))
    assert history["loss"][-1] < 0.2 * history["loss"][0]
    assert len(history) == 15
    assert history["epoch"] == list(range(15))
    assert history["val_loss"][-1] == pytest.approx(trainer.evaluate(X[:50], y[:50]), rel=1e-5)
    assert json.loads(history.to_json())["records"][0]["sequences"] == 200
    with pytest.raises(KeyError, match="history has no 'accuracy'; it has epoch"):
        history["accuracy"]


def test_ragged_lists_and_padded_arrays_train_alike():
    X, y = ragged_data()
    padded, lengths = pygru.pad_sequences(X)
    padded[np.arange(padded.shape[1]) >= lengths[:, np.newaxis]] = np.nan
    one, two = model_of(), model_of()
    Trainer(one, seed=0).fit(X, y, epochs=2, batch_size=8)
    Trainer(two, seed=0).fit(padded, y, epochs=2, batch_size=8, lengths=lengths)
    for name, view in one.parameters.items():
        assert np.array_equal(view, two.parameters[name]), name


def test_per_step_targets_do_not_count_past_the_end():
    X, _ = ragged_data()
    y = [x[:, :1] for x in X]
    model = Sequential(GRU(2, 4, batch_first=True, seed=0), Linear(4, 1, seed=0))
    trainer = Trainer(model, seed=0)
    trainer.fit(X, y, epochs=1, batch_size=8)
    predictions = trainer.predict(X)
    assert [len(p) for p in predictions] == [len(x) for x in X]
    errors = [losses.mse(p, t)[0] * len(t) for p, t in zip(predictions, y, strict=True)]
    expected = sum(errors) / sum(map(len, y))
    assert trainer.evaluate(X, y, batch_size=40) == pytest.approx(expected, rel=1e-5)


def test_a_gru_alone_can_be_trained():
    X, _ = data_of()
    gru = GRU(2, 3, batch_first=True, seed=0)
    history = Trainer(gru, seed=0).fit(X, np.zeros((40, 6, 3)), epochs=3, batch_size=10)
    assert history["loss"][-1] < history["loss"][0]


def test_predict_has_no_dropout_and_keeps_the_order():
    X, _ = data_of()
    model = Sequential(GRU(2, 3, batch_first=True, seed=0), Last(), pygru.Dropout(0.9, seed=0))
    trainer = Trainer(model)
    np.testing.assert_allclose(trainer.predict(X, batch_size=7), model(X), rtol=1e-5, atol=1e-7)


def test_initial_epoch_numbers_the_epochs():
    X, y = data_of()
    history = Trainer(model_of(), seed=0).fit(X, y, epochs=5, batch_size=20, initial_epoch=3)
    assert history["epoch"] == [3, 4]


def test_progress_shows_loss_and_throughput(capsys):
    X, y = data_of()
    Trainer(model_of(), seed=0).fit(X, y, epochs=2, batch_size=20, progress=True)
    shown = capsys.readouterr()
    assert "loss=" in shown.err
    assert "sequences/s=" in shown.err
    assert shown.out == ""


def test_early_stopping_keeps_the_best_weights():
    X, y = data_of()
    model = model_of()
    stopping = EarlyStopping(patience=2)
    trainer = Trainer(model, optimizer=SGD(0.5), callbacks=[stopping], seed=0)
    history = trainer.fit(X, y, epochs=60, batch_size=5, validation=(X, -y))
    assert len(history) < 60
    assert stopping.best == min(history["val_loss"])
    assert trainer.evaluate(X, -y, batch_size=5) == pytest.approx(stopping.best, rel=1e-6)


def test_early_stopping_needs_what_it_monitors():
    X, y = data_of()
    with pytest.raises(ValueError, match="EarlyStopping monitors 'val_loss'"):
        Trainer(model_of(), callbacks=[EarlyStopping()]).fit(X, y, epochs=1, batch_size=5)


def snapshot(model):
    return {name: view.copy() for name, view in model.parameters.items()}


def unchanged(model, state):
    return all(np.array_equal(state[name], view) for name, view in model.parameters.items())


def test_b86_a_loss_that_is_not_finite_keeps_the_last_finite_weights():
    X, y = data_of()
    model = model_of()
    seen = []

    def loss(prediction, target, *, mask=None):
        seen.append(snapshot(model))
        value, gradient = losses.mse(prediction, target)
        return (value if len(seen) < 4 else float("nan")), gradient

    with pytest.raises(DivergenceError, match=r"loss is nan at epoch 1, batch 1; weights kept"):
        Trainer(model, loss=loss, seed=0).fit(X, y, epochs=5, batch_size=20)
    assert unchanged(model, seen[2])  # the weights that gave the last finite loss
    assert not unchanged(model, seen[3])


def test_b86_an_exploding_run_ends_with_finite_weights():
    X, y = data_of()
    model = model_of()
    with pytest.raises(DivergenceError, match="lower learning_rate or set clip_norm"):
        Trainer(model, optimizer=SGD(1e30), seed=0).fit(X, y, epochs=50, batch_size=20)
    assert all(np.isfinite(view).all() for view in model.parameters.values())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        pytest.param({"batch_size": 0}, ValueError, "batch_size must be >= 1", id="b77-zero"),
        pytest.param(
            {"batch_size": 2.0}, TypeError, "batch_size must be an int", id="b77-float"
        ),
        pytest.param({"epochs": -1}, ValueError, "epochs must be >= 0", id="b78"),
        pytest.param(
            {"y": np.ones((39, 1))},
            ValueError,
            r"inconsistent numbers of samples: "
            r"\[40, 39\]",
            id="b79",
        ),
        pytest.param(
            {"y": np.full((40, 1), np.nan)}, ValueError, "Input y contains NaN", id="b80"
        ),
        pytest.param(
            {"X": np.full((40, 6, 2), np.inf)},
            ValueError,
            "Input X contains infinity",
            id="b31",
        ),
        pytest.param(
            {"X": np.ones((0, 6, 2)), "y": np.ones((0, 1))},
            ValueError,
            r"Found array with 0 sample\(s\)",
            id="b34",
        ),
        pytest.param(
            {"lengths": [1, 2]}, ValueError, r"lengths must have shape \(batch=40,\)", id="b51"
        ),
        pytest.param({"X": np.ones((40, 6, 3))}, ValueError, "input_size=2, got 3", id="b20"),
    ],
)
def test_fit_refuses_and_changes_nothing(change, error, message):
    X, y = data_of()
    model = model_of()
    state = snapshot(model)
    arguments = {"X": X, "y": y, "epochs": 2, "batch_size": 10} | change
    with pytest.raises(error, match=message):
        Trainer(model, seed=0).fit(arguments.pop("X"), arguments.pop("y"), **arguments)
    assert unchanged(model, state)


def test_b77_a_large_batch_size_is_clipped_with_a_warning():
    X, y = data_of()
    with pytest.warns(UserWarning, match="It is going to be clipped"):
        Trainer(model_of()).fit(X, y, epochs=1, batch_size=41)


def test_b78_no_epochs_is_a_no_op():
    X, y = data_of()
    model = model_of()
    state = snapshot(model)
    assert len(Trainer(model).fit(X, y, epochs=0, batch_size=10)) == 0
    assert unchanged(model, state)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"clip_norm": 0}, ValueError, "clip_norm must be > 0 or None, got 0"),
        ({"clip_norm": "1"}, TypeError, "clip_norm must be a float, got str"),
        ({"loss": "mean"}, ValueError, "loss must be one of 'mse'"),
        ({"loss": 3}, TypeError, "loss must be a str or a function"),
        ({"n_threads": 0}, ValueError, "n_threads = 0 is invalid"),
    ],
)
def test_b87_trainer_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        Trainer(model_of(), **arguments)


def test_trainer_refuses_what_is_not_a_model():
    with pytest.raises(TypeError, match="model must be a pygru model, got int"):
        Trainer(3)
    with pytest.raises(ValueError, match="batch_first=True"):
        Trainer(GRU(1, 1))


class FailingCallback(Callback):
    """Raises after the third batch, and remembers that it was told of the end."""

    def __init__(self):
        self.batches, self.ended, self.state = 0, False, None

    def on_batch_end(self, trainer, loss, sequences):
        self.batches += 1
        if self.batches == 3:
            self.state = snapshot(trainer.model)
            raise RuntimeError("my callback")

    def on_fit_end(self, trainer):
        self.ended = True


def test_b88_an_exception_in_a_callback_reaches_the_caller():
    X, y = data_of()
    model, callback = model_of(), FailingCallback()
    with pytest.raises(RuntimeError, match="my callback"):
        Trainer(model, callbacks=[callback], seed=0).fit(X, y, epochs=9, batch_size=10)
    assert callback.ended
    assert unchanged(model, callback.state)


class Stop(Callback):
    def on_epoch_end(self, trainer, record):
        trainer.stop = record["epoch"] == 1


def test_a_callback_can_stop_training():
    X, y = data_of()
    trainer = Trainer(model_of(), callbacks=[Stop()], seed=0)
    assert len(trainer.fit(X, y, epochs=9, batch_size=10)) == 2


def test_two_models_train_at_once_as_they_do_alone():
    X, y = data_of(100)
    alone = model_of(1)
    Trainer(alone, seed=1).fit(X, y, epochs=4, batch_size=10)
    models = [model_of(1), model_of(2)]

    def fit(model):
        Trainer(model, seed=1).fit(X, y, epochs=4, batch_size=10)

    workers = [threading.Thread(target=fit, args=(model,)) for model in models]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert unchanged(alone, snapshot(models[0]))


def test_history_plots_both_losses():
    pytest.importorskip("matplotlib").use("Agg")
    history = pygru.History(
        [{"epoch": 0, "loss": 2.0, "val_loss": 3.0}, {"epoch": 1, "loss": 1.0, "val_loss": 4.0}]
    )
    ax = history.plot()
    assert [line.get_label() for line in ax.lines] == ["training", "validation", "best"]
    assert ax.lines[0].get_ydata().tolist() == [2.0, 1.0]
    assert history.plot(ax) is ax
