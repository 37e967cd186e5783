"""Optimisers and Trainer: known steps, the same bits for any threads, and orderly failures.

Tests of the rows B-76 to B-90 of the bad-input list that concern training have the row in their
name.
"""

import functools
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
    with pytest.warns(UserWarning, match="It is going to be clipped") as caught:
        Trainer(model_of()).fit(X, y, epochs=1, batch_size=41)
    assert caught[0].filename == __file__


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


# ---- losses with arguments ------------------------------------------------------------------


def test_a_loss_with_arguments_trains():
    """From a constant input a model can learn only the quantiles of the targets."""
    targets = np.random.default_rng(4).exponential(size=(400, 1))
    model = Sequential(Linear(1, 2, dtype="float64", seed=0))
    loss = functools.partial(losses.quantile, quantiles=[0.25, 0.75])
    trainer = Trainer(model, loss=loss, optimizer=SGD(0.3), seed=0)
    history = trainer.fit(np.ones((400, 1)), targets[:, 0], epochs=200, batch_size=400)
    found = model(np.ones((1, 1)))[0]
    assert np.mean(targets < found[0]) == pytest.approx(0.25, abs=0.02)
    assert np.mean(targets < found[1]) == pytest.approx(0.75, abs=0.02)
    assert history["loss"][-1] < history["loss"][0]


def test_class_weights_and_ignored_steps_train_ragged_sequences():
    X, _ = ragged_data()
    y = [np.where(x[:, 0] > 1, -1, x[:, 0] > 0).astype(int) for x in X]
    model = Sequential(GRU(2, 8, batch_first=True, seed=0), Linear(8, 2, seed=0))
    loss = functools.partial(losses.cross_entropy, class_weight=[1.0, 3.0], ignore_index=-1)
    trainer = Trainer(model, loss=loss, optimizer=Adam(0.05), seed=0)
    trainer.fit(X, y, epochs=30, batch_size=8)
    classes = [output.argmax(axis=1) for output in trainer.predict(X)]
    right = np.concatenate([c[t >= 0] == t[t >= 0] for c, t in zip(classes, y, strict=True)])
    assert right.mean() > 0.9


# ---- truncated backpropagation through time -------------------------------------------------


def per_step_model(seed=0, **options):
    return Sequential(
        GRU(2, 3, 2, batch_first=True, dtype="float64", seed=seed, **options),
        GRU(3, 4, batch_first=True, dtype="float64", seed=seed, variant="pytorch"),
        Linear(4, 1, dtype="float64", seed=seed),
    )


@pytest.mark.parametrize("bptt_steps", [8, 50])
@pytest.mark.parametrize("ragged", [True, False])
def test_one_window_is_plain_training(bptt_steps, ragged):
    X, _ = ragged_data()
    X = X if ragged else [np.resize(x, (8, 2)) for x in X]
    y = [x[:, :1].cumsum(axis=0) for x in X]
    if not ragged:
        X, y = np.array(X), np.array(y)
    models = [per_step_model(dropout=0.3) for _ in range(2)]
    for model, steps in zip(models, (None, bptt_steps), strict=True):
        Trainer(model, seed=0).fit(X, y, epochs=2, batch_size=7, bptt_steps=steps)
    assert unchanged(models[0], snapshot(models[1]))


def test_windows_are_a_loop_by_hand():
    """Each sequence alone, with its state passed on; ended ones do not change or count."""
    X, _ = ragged_data(11)
    y = [x[:, :1].cumsum(axis=0) for x in X]
    trained, model = per_step_model(), per_step_model()
    trainer = Trainer(trained, optimizer=SGD(0.1, 0.9), seed=0)
    history = trainer.fit(X, y, epochs=2, batch_size=4, bptt_steps=3)
    optimizer, generator = SGD(0.1, 0.9), np.random.default_rng(0)
    for epoch in range(2):
        order, total, elements = generator.permutation(11), 0.0, 0
        for first in range(0, 11, 4):
            batch = order[first : first + 4]
            states = {i: [np.zeros((2, 1, 3)), np.zeros((1, 1, 4))] for i in batch}
            for begin in range(0, max(len(X[i]) for i in batch), 3):
                inside = [i for i in batch if len(X[i]) > begin]
                count = sum(len(X[i][begin : begin + 3]) for i in inside)
                model.zero_grad()
                for i in inside:
                    one, two, linear = model.layers
                    x = X[i][np.newaxis, begin : begin + 3]
                    a, states[i][0], tape_one = one.forward(x, states[i][0])
                    b, states[i][1], tape_two = two.forward(a, states[i][1])
                    prediction, tape = linear.forward(b)
                    error = prediction - y[i][np.newaxis, begin : begin + 3]
                    total, elements = total + (error**2).sum(), elements + error.size
                    d_b = linear.backward(tape, 2 * error / count)
                    one.backward(tape_one, two.backward(tape_two, d_b)[0])
                optimizer.step(model)
        assert history["loss"][epoch] == pytest.approx(total / elements, rel=1e-12)
    assert trainer.optimizer.steps == optimizer.steps
    for name, view in trained.parameters.items():
        np.testing.assert_allclose(view, model.parameters[name], rtol=1e-9, err_msg=name)


def test_windows_of_a_gru_alone():
    X = np.random.default_rng(0).standard_normal((4, 7, 2))
    gru, by_hand = (GRU(2, 3, batch_first=True, dtype="float64", seed=0) for _ in range(2))
    trainer = Trainer(gru, optimizer=SGD(0.1), seed=0)
    trainer.fit(X, np.zeros((4, 7, 3)), epochs=1, batch_size=4, bptt_steps=4)
    optimizer, h = SGD(0.1), None
    for part in (slice(0, 4), slice(4, 7)):
        by_hand.zero_grad()
        output, h, tape = by_hand.forward(X[:, part], h)
        by_hand.backward(tape, 2 * output / output.size)
        optimizer.step(by_hand)
    np.testing.assert_allclose(gru.flat_parameters, by_hand.flat_parameters, rtol=1e-12)


def test_callbacks_see_every_window():
    class Count(Callback):
        losses = ()

        def on_batch_end(self, trainer, loss, sequences):
            assert sequences == 5
            self.losses = (*self.losses, loss)

    X, count = np.random.default_rng(0).standard_normal((10, 7, 2)), Count()
    trainer = Trainer(per_step_model(), callbacks=[count], seed=0)
    trainer.fit(X, X[:, :, :1], epochs=3, batch_size=5, bptt_steps=3)
    assert len(count.losses) == trainer.optimizer.steps == 3 * 2 * 3


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (per_step_model(), {"bptt_steps": 0}, "bptt_steps must be >= 1, got 0"),
        (per_step_model(), {"y": np.ones((40, 1))}, "bptt_steps needs targets for every step"),
        (
            per_step_model(),
            {"X": [np.ones((4, 2))] * 40},
            r"y must have shape \(N, T=4, ...\) or be a list",
        ),
        (model_of(), {}, r"needs a model that predicts every step \(without Last\)"),
        (
            Sequential(
                GRU(2, 3, batch_first=True, bidirectional=True),
                GRU(6, 3, batch_first=True),
            ),
            {},
            "needs layers that are not bidirectional, got GRU",
        ),
        (
            GRU(2, 3, batch_first=True, bidirectional=True),
            {},
            "needs layers that are not bidirectional, got GRU",
        ),
    ],
)
def test_windows_are_refused_and_nothing_changes(model, arguments, message):
    state = snapshot(model)
    defaults = {"X": np.ones((40, 6, 2)), "y": np.ones((40, 6, 1)), "bptt_steps": 2}
    arguments = defaults | arguments
    with pytest.raises(ValueError, match=message):
        Trainer(model).fit(**arguments, epochs=1, batch_size=8)
    assert unchanged(model, state)


def test_pieces_of_sequences_are_the_whole():
    """Also for a sequence that has ended, which keeps its state."""
    X = np.random.default_rng(0).standard_normal((3, 7, 2))
    model, lengths = per_step_model(), np.array([7, 2, 5])
    whole, _ = model.forward(X, lengths=lengths)
    first, states, _ = model.forward_from(None, X[:, :4], lengths=np.minimum(lengths, 4))
    kept = [state[:, 1].copy() for state in states]
    second, states, _ = model.forward_from(states, X[:, 4:], lengths=[3, 0, 1])
    np.testing.assert_allclose(np.hstack([first, second])[0], whole[0], rtol=1e-12)
    np.testing.assert_allclose(second[2, :1], whole[2, 4:5], rtol=1e-12)
    for state, before in zip(states, kept, strict=True):
        assert np.array_equal(state[:, 1], before)


def test_pieces_are_refused():
    with pytest.raises(
        ValueError, match="states must hold one state per recurrent layer, 2, got 1"
    ):
        per_step_model().forward_from([np.zeros((2, 1, 3))], np.ones((1, 2, 2)))
    both = Sequential(GRU(2, 3, batch_first=True, bidirectional=True))
    with pytest.raises(ValueError, match="a bidirectional GRU cannot run over pieces"):
        both.forward_from(None, np.ones((1, 2, 2)))


def test_trainer_refuses_what_is_not_an_optimizer():
    with pytest.raises(
        TypeError, match="optimizer must be a pygru optimizer or the name of one, got int"
    ):
        Trainer(model_of(), optimizer=3)


def test_names_of_training_can_be_read_from_its_package():
    assert pygru.train.Trainer is pygru.Trainer
    assert pygru.train.OptunaPruning is pygru.OptunaPruning
    for name in ("GRU", "nothing", "load"):
        with pytest.raises(AttributeError, match=f"'pygru.train' has no attribute '{name}'"):
            getattr(pygru.train, name)
