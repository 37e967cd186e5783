"""Metrics of a trainer: the numbers of scikit-learn, over all predictions that count."""

import builtins
import copy
import functools
import json
import pickle

import numpy as np
import pytest

from pygru import (
    GRU,
    Adam,
    Callback,
    Dropout,
    EarlyStopping,
    FormatError,
    Last,
    Linear,
    ModelCheckpoint,
    ReduceLROnPlateau,
    Seq2Seq,
    Sequential,
    Trainer,
    WeightAverage,
    losses,
    pad_sequences,
)
from pygru.train.restoring import _outputs

RNG = np.random.default_rng(0)
N = 40
X = RNG.standard_normal((N, 6, 2))
CODES = (X[:, :, 0].sum(axis=1) > 0).astype(int) + (X[:, :, 1].sum(axis=1) > 1)
NAMES = np.array(["down", "flat", "up"])
VALUES = X.sum(axis=1)
W = RNG.random(N) + 0.1


def trainer_of(outputs, loss, metrics=(), per_step=False, **options):
    layers = [GRU(2, 4, batch_first=True, dtype="float64"), Dropout(0.2), Last()]
    if per_step:
        del layers[2]
    model = Sequential(*layers, Linear(4, outputs, dtype="float64"), seed=0)
    return Trainer(model, loss=loss, optimizer=Adam(0.02), metrics=metrics, seed=0, **options)


def named(y_true, y_pred):
    return float(np.mean(y_true == y_pred))


def exact(value):
    return pytest.approx(value, rel=1e-12, abs=1e-14)


# ---- values ----------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [None, W], ids=["plain", "weighted"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_values_of_regression(outputs, weights):
    """Against the formulas of scikit-learn's documentation."""
    y = VALUES[:, :outputs]
    trainer = trainer_of(outputs, "huber", ["mae", "mse", "rmse", "r2"])
    for target in (y, y[:, 0]) if outputs == 1 else (y,):
        found = trainer.evaluate(
            X, target, sample_weight=weights, return_dict=True, batch_size=7
        )
        d = trainer.predict(X) - y
        w = np.ones(N) if weights is None else weights
        mean = (w @ y) / w.sum()
        assert found["mae"] == exact((w @ abs(d)).mean() / w.sum())
        assert found["mse"] == exact((w @ d**2).mean() / w.sum())
        assert found["rmse"] == exact(np.sqrt((w @ d**2).mean() / w.sum()))
        assert found["r2"] == exact((1 - (w @ d**2) / (w @ (y - mean) ** 2)).mean())
        loss = trainer.evaluate(X, target, sample_weight=weights, batch_size=7)
        assert found["loss"] == loss


@pytest.mark.parametrize("labels", [None, NAMES, np.array([3, 1, 2])], ids=str)
@pytest.mark.parametrize("weights", [None, W], ids=["plain", "weighted"])
def test_accuracy_of_classes(labels, weights):
    y = CODES if labels is None else labels[CODES]
    trainer = trainer_of(3, "cross_entropy", ["accuracy"])
    trainer.fit(X, y)
    found = trainer.evaluate(X, y, sample_weight=weights, return_dict=True, batch_size=9)
    right = trainer.predict_classes(X) == y
    assert found["accuracy"] == exact(np.average(right, weights=weights))


@pytest.mark.parametrize("outputs", [1, 2])
def test_accuracy_of_log_odds(outputs):
    y = np.stack([CODES > 0, CODES > 1], axis=1)[:, :outputs].astype(float)
    trainer = trainer_of(outputs, "bce_with_logits", ["accuracy"])
    trainer.fit(X, y, epochs=5)
    right = (trainer.predict(X) > 0) == y
    found = trainer.evaluate(X, y, return_dict=True)
    assert found["accuracy"] == exact(right.all(axis=1).mean()) != 0


CLASS_SCORES = [
    "accuracy",
    "balanced_accuracy",
    "f1_macro",
    "neg_log_loss",
    "roc_auc_ovr",
    "matthews_corrcoef",
]


@pytest.mark.parametrize("labels", [None, NAMES, np.array([3, 1, 2])], ids=str)
@pytest.mark.parametrize("weights", [None, W], ids=["plain", "weighted"])
@pytest.mark.parametrize("given", ["learned", "in another order"])
def test_scores_of_scikit_learn(labels, weights, given):
    metrics = pytest.importorskip("sklearn.metrics")
    y = CODES if labels is None else labels[CODES]
    classes = None if given == "learned" or labels is None else labels[::-1]
    trainer = trainer_of(3, "cross_entropy", CLASS_SCORES, classes=classes)
    trainer.fit(X, y)
    found = trainer.evaluate(X, y, sample_weight=weights, return_dict=True, batch_size=9)
    logits = trainer.predict(X)
    columns = np.arange(3) if trainer.classes is None else trainer.classes
    order = np.argsort(columns)
    p = np.exp(logits)[:, order]
    p /= p.sum(axis=1, keepdims=True)
    best = columns[logits.argmax(axis=1)]
    w = {"sample_weight": weights}
    assert found["balanced_accuracy"] == exact(metrics.balanced_accuracy_score(y, best, **w))
    assert found["f1_macro"] == exact(metrics.f1_score(y, best, average="macro", **w))
    assert found["matthews_corrcoef"] == exact(metrics.matthews_corrcoef(y, best, **w))
    assert found["neg_log_loss"] == exact(-metrics.log_loss(y, p, labels=np.sort(columns), **w))
    assert found["roc_auc_ovr"] == exact(metrics.roc_auc_score(y, p, multi_class="ovr", **w))


def test_scores_of_probabilities_of_two_classes():
    metrics = pytest.importorskip("sklearn.metrics")
    y = (CODES > 0).astype(int)
    for outputs, loss, target in (
        (2, "cross_entropy", y),
        (2, "cross_entropy", np.array(["no", "yes"])[y]),
        (1, "bce_with_logits", y),
        (1, "bce_with_logits", y[:, np.newaxis]),
    ):
        # Scikit-learn's Brier score wants to be told which of two texts is positive.
        names = ["roc_auc"] if target.dtype.kind == "U" else ["roc_auc", "neg_brier_score"]
        trainer = trainer_of(outputs, loss, names)
        trainer.fit(X, target)
        found = trainer.evaluate(X, target, return_dict=True)
        logits = trainer.predict(X)
        odds = logits[:, 0] if outputs == 1 else logits[:, 1] - logits[:, 0]
        assert found["roc_auc"] == exact(metrics.roc_auc_score(y, odds))
        p = 1 / (1 + np.exp(-odds))
        if target.dtype.kind != "U":
            assert found["neg_brier_score"] == exact(-((p - y) ** 2).mean())


def test_scores_of_several_binary_targets():
    metrics = pytest.importorskip("sklearn.metrics")
    y = np.stack([CODES > 0, CODES > 1], axis=1).astype(int)
    trainer = trainer_of(2, "bce_with_logits", ["roc_auc", "f1_macro"])
    found = trainer.evaluate(X, y, return_dict=True)
    logits = trainer.predict(X)
    assert found["roc_auc"] == exact(metrics.roc_auc_score(y, logits))
    assert found["f1_macro"] == exact(
        metrics.f1_score(y, logits > 0, average="macro", zero_division=0)
    )


def test_scores_of_regression():
    """The largest error takes no weights and gets none."""
    metrics = pytest.importorskip("sklearn.metrics")
    names = ["neg_mean_absolute_error", "neg_max_error", "r2"]
    own = {"r2 of sklearn": metrics.make_scorer(metrics.r2_score)}
    trainer = trainer_of(1, "mse", {name: name for name in names} | own)
    y = VALUES[:, 0]
    found = trainer.evaluate(X, y, sample_weight=W, return_dict=True)
    p = trainer.predict(X)[:, 0]
    assert found["neg_mean_absolute_error"] == exact(
        -metrics.mean_absolute_error(y, p, sample_weight=W)
    )
    assert found["neg_max_error"] == exact(-abs(y - p).max())
    assert found["r2"] == exact(metrics.r2_score(y, p, sample_weight=W))
    assert found["r2"] == exact(found["r2 of sklearn"])


# ---- what counts -----------------------------------------------------------------------------


def ragged():
    lengths = RNG.integers(1, 7, N)
    sequences = [x[:length] for x, length in zip(X, lengths, strict=True)]
    return sequences, lengths


@pytest.mark.parametrize("weighted", [None, "sequence", "step"])
@pytest.mark.parametrize("as_array", [False, True])
def test_padding_does_not_count(as_array, weighted):
    sequences, lengths = ragged()
    y = [(x[:, 0] > 0).astype(int) for x in sequences]
    weights = {
        None: None,
        "sequence": W,
        "step": [RNG.random(len(each)) for each in y],
    }[weighted]
    trainer = trainer_of(2, "cross_entropy", ["accuracy"], per_step=True)
    right = [p.argmax(axis=1) == t for p, t in zip(trainer.predict(sequences), y, strict=True)]
    flat = weights
    if weighted == "sequence":
        flat = np.repeat(W, lengths)
    elif weighted == "step":
        flat = np.concatenate(weights)
    expected = np.average(np.concatenate(right), weights=flat)
    options = {}
    if as_array:
        sequences, options["lengths"] = pad_sequences(sequences)
        y = pad_sequences(y)[0]
        weights = pad_sequences(weights)[0] if weighted == "step" else weights
    found = trainer.evaluate(
        sequences, y, sample_weight=weights, return_dict=True, batch_size=7, **options
    )
    assert found["accuracy"] == exact(expected)


def test_ignored_targets_do_not_count():
    y = CODES.copy()
    y[::3] = -1
    loss = functools.partial(losses.cross_entropy, ignore_index=-1)
    trainer = trainer_of(3, loss, ["accuracy"])
    found = trainer.evaluate(X, y, return_dict=True, batch_size=7)
    right = (trainer.predict(X).argmax(axis=1) == y)[y >= 0]
    assert found["accuracy"] == exact(right.mean())
    assert np.isnan(trainer.evaluate(X, np.full(N, -1), return_dict=True)["accuracy"])
    history = trainer.fit(X, np.full(N, -1))  # nothing is trained
    assert json.loads(history.to_json())["records"][0]["accuracy"] is None
    assert repr(trainer).count("metrics=[accuracy]") == 1


def test_functions_get_flat_arrays():
    seen = {}

    def keep(name):
        def metric(y_true, y_pred):
            seen[name] = y_true.copy(), y_pred.copy()
            return 0.5

        return metric

    sequences, lengths = ragged()
    steps = int(lengths.sum())
    for name, outputs, loss, y, shapes in (
        ("values", 1, "mse", [x[:, :1] for x in sequences], ((steps,), (steps,))),
        ("many", 2, "mse", list(sequences), ((steps, 2), (steps, 2))),
        ("labels", 2, "cross_entropy", [NAMES[(x[:, 0] > 0) * 1] for x in sequences], None),
        ("odds", 1, "bce_with_logits", [x[:, 0] > 0 for x in sequences], ((steps,), (steps,))),
        (
            "quantiles",
            3,
            functools.partial(losses.quantile, quantiles=[0.1, 0.5, 0.9]),
            [x[:, 0] for x in sequences],
            ((steps,), (steps, 3)),
        ),
    ):
        trainer = trainer_of(outputs, loss, {name: keep(name)}, per_step=True)
        trainer.fit(sequences, y)
        assert trainer.evaluate(sequences, y, return_dict=True)[name] == 0.5
        true, predicted = seen[name]
        assert (true.shape, predicted.shape) == (shapes or ((steps,), (steps,)))
    assert set(np.unique(seen["labels"])) <= set(NAMES[:2])
    assert set(np.unique(seen["odds"][1])) <= {0, 1}


def test_a_function_gets_weights_if_it_takes_them():
    def first(y_true, y_pred, sample_weight=None):
        return float(sample_weight[0])

    def second(y_true, y_pred):
        return len(y_true)

    trainer = trainer_of(2, "mse", [first, second])
    found = trainer.evaluate(X, VALUES, sample_weight=W, return_dict=True)
    assert found["first"] == W[0] and found["second"] == N


@pytest.mark.parametrize("way", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
@pytest.mark.parametrize(
    "metrics",
    [["accuracy"], {"mine": named}, ["f1_macro"]],
    ids=["built-in", "function", "scorer"],
)
def test_copies_and_pickles_measure_the_same(metrics, way):
    if metrics == ["f1_macro"]:
        pytest.importorskip("sklearn")
    trainer = trainer_of(3, "cross_entropy", metrics)
    trainer.fit(X, NAMES[CODES])
    expected = trainer.evaluate(X, NAMES[CODES], return_dict=True)
    assert way(trainer).evaluate(X, NAMES[CODES], return_dict=True) == expected


def test_metrics_of_a_translator():
    model = Seq2Seq(5, 5, 3, 4, seed=0)
    trainer = Trainer(model, loss="cross_entropy", metrics=["accuracy"], seed=0)
    pairs = model.training_data([[2, 3], [4], [3, 2, 2]], [[3, 2], [4, 4], [2]])
    history = trainer.fit(*pairs, epochs=2, batch_size=2, validation=pairs)
    right = [
        (p.argmax(axis=1) == t)
        for p, t in zip(trainer.predict(pairs[0]), pairs[1], strict=True)
    ]
    assert history["val_accuracy"][-1] == exact(np.concatenate(right).mean())


# ---- in training -----------------------------------------------------------------------------


def test_the_history_has_the_predictions_of_training_and_of_validation():
    """Those of training are made before each step, with dropout."""
    made = []

    def loss(prediction, target, *, mask=None):
        made.append((prediction.copy(), target.copy()))
        return losses.mse(prediction, target)

    def mse(y_true, y_pred):
        return float(((y_true - y_pred) ** 2).mean())

    trainer = trainer_of(2, loss, [mse])
    history = trainer.fit(X, VALUES, epochs=3, batch_size=15, validation=(X[:9], VALUES[:9]))
    made = made[: 3 * 4]  # three batches and the validation, in every epoch
    for epoch in range(3):
        *of_training, of_validation = made[4 * epoch : 4 * epoch + 4]
        p, t = (np.concatenate(parts) for parts in zip(*of_training, strict=True))
        assert history["mse"][epoch] == exact(((p - t) ** 2).mean())
        p, t = of_validation
        assert history["val_mse"][epoch] == exact(((p - t) ** 2).mean())
    assert history["val_mse"][-1] == exact(
        trainer.evaluate(X[:9], VALUES[:9], return_dict=True)["mse"]
    )


def test_training_is_the_same_with_metrics():
    one, other = trainer_of(3, "cross_entropy"), trainer_of(3, "cross_entropy", ["accuracy"])
    for trainer in (one, other):
        trainer.fit(X, CODES, epochs=3, batch_size=8)
    for name, view in one.model.parameters.items():
        np.testing.assert_array_equal(view, other.model.parameters[name])


@pytest.mark.parametrize("bptt_steps", [None, 4])
def test_windows_of_sequences_count_once(bptt_steps):
    sequences, lengths = ragged()
    y = [(x[:, 0] > 0).astype(int) for x in sequences]

    def count(y_true, y_pred):
        return len(y_true)

    trainer = trainer_of(2, "cross_entropy", [count], per_step=True)
    history = trainer.fit(sequences, y, batch_size=7, bptt_steps=bptt_steps)
    assert history["count"] == [lengths.sum()]


def test_it_is_shown(capsys):
    trainer = trainer_of(3, "cross_entropy", ["accuracy"])
    trainer.fit(X, CODES, validation_split=0.2, progress=True)
    shown = capsys.readouterr().err
    assert " accuracy 0." in shown and " val_accuracy 0." in shown


class Stub(Callback):
    """Puts given values into the record, as another callback may do."""

    def __init__(self, values):
        self.values = values

    def on_epoch_end(self, trainer, record):
        record["quality"] = self.values[record["epoch"]]


@pytest.mark.parametrize(("mode", "best"), [("max", 2), ("min", 0)])
def test_early_stopping_goes_in_the_right_direction(mode, best, tmp_path):
    stopping = EarlyStopping(2, monitor="quality", mode=mode)
    checkpoint = ModelCheckpoint(
        tmp_path / "{epoch}", monitor="quality", mode=mode, save_best_only=True
    )
    values = [0.1, 0.5, 0.9, 0.8, 0.7, 0.6]
    trainer = trainer_of(2, "mse", callbacks=[Stub(values), stopping, checkpoint])
    history = trainer.fit(X, VALUES, epochs=6)
    assert stopping.best == values[best] and stopping.best_epoch == best
    assert len(history) == best + 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [str(i) for i in range(best + 1)]


def test_a_plateau_of_what_should_grow():
    plateau = ReduceLROnPlateau(0.5, 2, monitor="quality", mode="max")
    values = [0.1, 0.5, 0.5, 0.4, 0.9, 1.0]
    trainer = trainer_of(2, "mse", callbacks=[Stub(values), plateau])
    rates = []
    trainer.callbacks.append(
        type(
            "R",
            (Callback,),
            {"on_epoch_end": lambda s, t, r: rates.append(t.optimizer.learning_rate)},
        )()
    )
    trainer.fit(X, VALUES, epochs=6)
    assert rates == [0.02, 0.02, 0.02, 0.01, 0.01, 0.01]


@pytest.mark.parametrize(
    ("monitor", "loss", "greater"),
    [
        ("val_accuracy", "cross_entropy", True),
        ("accuracy", "cross_entropy", True),
        ("val_loss", "cross_entropy", False),
        ("val_f1_macro", "cross_entropy", True),
        ("val_mae", "mse", False),
        ("rmse", "mse", False),
        ("val_r2", "mse", True),
        ("neg_mean_absolute_error", "mse", True),
    ],
)
def test_the_direction_of_a_name_is_known(monitor, loss, greater):
    name = monitor.removeprefix("val_")
    if name not in ("accuracy", "loss", "mae", "rmse", "r2"):
        pytest.importorskip("sklearn")
    stopping = EarlyStopping(50, monitor=monitor)
    metrics = [] if name == "loss" else [name]
    trainer = trainer_of(3 if loss != "mse" else 2, loss, metrics, callbacks=[stopping])
    y = CODES if loss != "mse" else VALUES
    history = trainer.fit(X, y, epochs=4, batch_size=10, validation=(X[:20], y[:20]))
    assert stopping.best == (max if greater else min)(history[monitor])


def test_an_unknown_direction_must_be_given(tmp_path):
    def mine(y_true, y_pred):
        return 1.0

    for callback in (
        EarlyStopping(monitor="val_mine"),
        ReduceLROnPlateau(monitor="mine"),
        ModelCheckpoint(tmp_path / "c", monitor="mine", save_best_only=True),
    ):
        trainer = trainer_of(2, "mse", [mine], callbacks=[callback])
        with pytest.raises(ValueError, match="a function of yours: pass mode='min' or"):
            trainer.fit(X, VALUES)
        assert len(trainer.history) == 0
    trainer = trainer_of(2, "mse", [mine], callbacks=[EarlyStopping(monitor="acuracy")])
    with pytest.raises(
        ValueError, match="only loss, val_loss, mine, val_mine; if a callback adds that number"
    ):
        trainer.fit(X, VALUES)


def test_a_file_name_may_hold_a_metric(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path / "{val_r2:.0f}-{mae:.0f}")
    trainer = trainer_of(2, "mse", ["r2", "mae"], callbacks=[checkpoint])
    trainer.fit(X, VALUES, validation=(X, VALUES))
    assert len(list(tmp_path.iterdir())) == 1


# ---- checkpoints -----------------------------------------------------------------------------


class StopAfter(Callback):
    def __init__(self, batches):
        self.left = batches

    def on_batch_end(self, trainer, loss, sequences):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("weights", [None, W], ids=["plain", "weighted"])
@pytest.mark.parametrize("batches", [1, 3, 5, 6, 9])
@pytest.mark.parametrize("metrics", [["accuracy"], ["accuracy", "neg_log_loss"]], ids=str)
def test_resumed_training_has_the_same_metrics(metrics, batches, weights, tmp_path):
    if len(metrics) > 1:
        pytest.importorskip("sklearn")

    def trainer(*more):
        callbacks = [
            EarlyStopping(3, monitor="accuracy"),
            ReduceLROnPlateau(0.5, 1, monitor="val_accuracy"),
            WeightAverage(0.5),
            *more,
        ]
        return trainer_of(3, "cross_entropy", metrics, callbacks=callbacks)

    def fit(each):
        options = {"validation": (X[:9], NAMES[CODES[:9]]), "sample_weight": weights}
        return each.fit(X, NAMES[CODES], epochs=4, batch_size=15, **options)

    whole, first, second, third = trainer(), trainer(StopAfter(batches)), trainer(), trainer()
    expected = fit(whole)
    with pytest.raises(KeyboardInterrupt):
        fit(first)
    first.save_checkpoint(tmp_path / "a")
    second.resume(tmp_path / "a")
    second.save_checkpoint(tmp_path / "b")  # a checkpoint of a checkpoint
    third.resume(tmp_path / "b")
    history = fit(third)
    for name in ("loss", "val_loss", "learning_rate", *metrics, *(f"val_{m}" for m in metrics)):
        assert history[name] == expected[name], name
    for name, view in whole.model.parameters.items():
        np.testing.assert_array_equal(view, third.model.parameters[name])


def test_predictions_before_an_interrupt_do_not_count_in_the_next_fit():
    def total(y_true, y_pred):
        return float(y_true.sum())

    trainer = trainer_of(1, "mse", [total], callbacks=[StopAfter(2)])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, VALUES[:, 0], batch_size=15)
    history = trainer.fit(X[20:], VALUES[20:, 0], batch_size=15, shuffle=False)
    assert history["total"][0] == exact(VALUES[20:, 0].sum())


def test_other_metrics_are_refused(tmp_path):
    trainer = trainer_of(2, "mse", ["mae"])
    trainer.fit(X, VALUES)
    trainer.save_checkpoint(tmp_path / "c")
    with pytest.raises(ValueError, match="the checkpoint is of another metrics"):
        trainer_of(2, "mse", ["r2"]).resume(tmp_path / "c")


def test_damaged_outputs_are_refused():
    from pygru.train.position import Position

    good = {"target": np.zeros(3), "output": np.zeros((3, 2)), "weights": None}
    assert len(_outputs(good, Position(kept=1))) == 1
    for rows, kept in (
        (None, 1),
        (good, 0),
        ({**good, "weights": np.ones(2)}, 1),
        ({**good, "target": [0, 1, 2]}, 1),
        ({**good, "output": np.zeros((3, 2, 1))}, 1),
        ({"target": np.zeros(3)}, 1),
    ):
        with pytest.raises((ValueError, TypeError, FormatError)):
            _outputs(rows, Position(kept=kept))


# ---- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        ("accuracy", TypeError, "metrics must be a list of names or functions, got a single"),
        (named, TypeError, "metrics must be a list of names or functions, got a single"),
        (5, TypeError, "metrics must be a list of names or functions, got int"),
        ([5], ValueError, r"metrics\[0\] has no name of its own"),
        ({"a": 5}, TypeError, "metrics: a must be a str or a function, got int"),
        ({5: named}, TypeError, "the name of a metric must be a str, got int"),
        ([lambda a, b: 0.0], ValueError, r"metrics\[0\] has no name of its own.* mapping"),
        ([named, named], ValueError, "metrics has the name 'named' twice"),
        ({"loss": named}, ValueError, "a metric cannot have the name 'loss'"),
        ({"val_x": named}, ValueError, "a metric cannot have the name 'val_x'"),
        (["accuracy"], ValueError, "'accuracy' does not fit the loss; it needs loss='cross_"),
    ],
)
def test_wrong_metrics_are_refused(metrics, error, message):
    with pytest.raises(error, match=message):
        trainer_of(2, "mse", metrics)


def test_names_of_values_do_not_fit_classes_and_losses_of_ones_own():
    for loss in ("cross_entropy", lambda p, t, *, mask=None: losses.mse(p, t)):
        with pytest.raises(
            ValueError, match="'mae' does not fit the loss; it needs loss='mse'"
        ):
            trainer_of(2, loss, ["mae"])


def test_an_unknown_name_is_refused_with_the_nearest():
    pytest.importorskip("sklearn")
    with pytest.raises(ValueError, match="did you mean 'accuracy'"):
        trainer_of(2, "cross_entropy", ["acuracy"])
    with pytest.raises(ValueError, match="did you mean 'accuracy'"):  # as in Keras
        trainer_of(2, "cross_entropy", ["acc"])


def test_without_scikit_learn_the_own_ones_work(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.split(".")[0] == "sklearn":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    trainer = trainer_of(3, "cross_entropy", ["accuracy"])
    assert 0 <= trainer.fit(X, CODES)["accuracy"][0] <= 1
    with pytest.raises(ImportError, match=r'install it with  pip install "pygru\[sklearn\]"'):
        trainer_of(3, "cross_entropy", ["f1_macro"])


@pytest.mark.parametrize("value", ["text", None, np.ones(2), 1j], ids=repr)
def test_a_metric_must_return_a_number(value):
    trainer = trainer_of(2, "mse", {"mine": lambda true, predicted: value})
    with pytest.raises(TypeError, match="the metric mine must be a float"):
        trainer.fit(X, VALUES)


def test_an_error_in_a_metric_names_it():
    def broken(y_true, y_pred):
        raise ZeroDivisionError("no")

    trainer = trainer_of(2, "mse", [broken])
    with pytest.raises(ZeroDivisionError) as caught:
        trainer.fit(X, VALUES)
    assert caught.value.__notes__ == ["This happened in the metric 'broken'."]


def test_soft_targets_have_no_accuracy():
    trainer = trainer_of(1, "bce_with_logits", ["accuracy"])
    with pytest.raises(ValueError, match="accuracy needs targets that are 0 or 1"):
        trainer.evaluate(X, np.full(N, 0.5), return_dict=True)
