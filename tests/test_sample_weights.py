"""Trainer: sample_weight, validation_split, targets without an axis, optimisers by name.

Right values are computed without the trainer: from duplicated samples, from losses called with
the weights that follow from the definition, and from data without the samples of weight 0.
"""

import functools

import numpy as np
import pytest

import pygru
from pygru import GRU, SGD, Last, Linear, Sequential, Trainer, losses

RNG = np.random.default_rng(0)
N, T = 6, 5
LENGTHS = np.array([5, 3, 1, 4, 5, 2])
X = RNG.standard_normal((N, T, 2))
LIST = [sequence[:length] for sequence, length in zip(X, LENGTHS, strict=True)]
COUNTS = np.array([2, 0, 1, 3, 1, 2])  # weights that can be written as duplicates
STEP_WEIGHTS = RNG.uniform(0.1, 2.0, (N, T))

QUANTILE = functools.partial(losses.quantile, quantiles=[0.2, 0.8])
CLASSES = functools.partial(losses.cross_entropy, class_weight=[1.0, 2.0, 0.5])
LOSSES = {
    "mse": ("mse", 2),
    "mae": ("mae", 2),
    "huber": ("huber", 2),
    "bce": ("bce_with_logits", 2),
    "quantile": (QUANTILE, 2),
    "cross_entropy": ("cross_entropy", 3),
    "classes": (CLASSES, 3),
}


def model(outputs=1, *, per_step=False, seed=0):
    gru = GRU(2, 3, batch_first=True, seed=seed, dtype="float64")
    linear = Linear(3, outputs, seed=seed, dtype="float64")
    return Sequential(gru, linear) if per_step else Sequential(gru, Last(), linear)


def targets_for(name, shape):
    generator = np.random.default_rng(1)
    if name in ("cross_entropy", "classes"):
        return generator.integers(0, 3, shape)
    if name == "bce":
        return generator.integers(0, 2, (*shape, 2)).astype(float)
    if name == "quantile":
        return generator.standard_normal(shape)
    return generator.standard_normal((*shape, 2))


def weights_after(trainer, *data, **options):
    trainer.fit(*data, batch_size=len(data[0]), progress=False, **options)
    return trainer.model.state_dict()


def assert_same_weights(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_a_weight_counts_like_that_many_equal_samples(name, per_step):
    loss, outputs = LOSSES[name]
    y = targets_for(name, (N, T) if per_step else (N,))

    def trainer():
        return Trainer(model(outputs, per_step=per_step), loss=loss, optimizer=SGD(0.1), seed=0)

    again = np.repeat(np.arange(N), COUNTS)
    weighted = weights_after(trainer(), X, y, epochs=3, sample_weight=COUNTS, lengths=LENGTHS)
    repeated = weights_after(trainer(), X[again], y[again], epochs=3, lengths=LENGTHS[again])
    assert_same_weights(weighted, repeated)
    assert trainer().evaluate(
        X, y, sample_weight=COUNTS, lengths=LENGTHS, batch_size=2
    ) == pytest.approx(
        trainer().evaluate(X[again], y[again], lengths=LENGTHS[again]), rel=1e-13
    )
    unweighted = weights_after(trainer(), X, y, epochs=3, lengths=LENGTHS)
    assert not np.allclose(
        weighted["2.bias" if not per_step else "1.bias"],
        unweighted["2.bias" if not per_step else "1.bias"],
    )


@pytest.mark.parametrize("form", ["padded", "list"])
@pytest.mark.parametrize("name", LOSSES)
def test_weights_of_steps_are_those_of_the_loss(name, form):
    loss, outputs = LOSSES[name]
    y = targets_for(name, (N, T))
    trained = model(outputs, per_step=True)
    there = np.arange(T) < LENGTHS[:, np.newaxis]
    prediction, tape = trained.forward(X, lengths=LENGTHS)
    function = Trainer(trained, loss=loss).loss
    weights = np.where(there, STEP_WEIGHTS, 0.0)
    if y.ndim == 3:
        weights = np.repeat(weights[..., np.newaxis], 2, axis=-1)
    value, gradient = function(prediction, y, weights=weights)
    trained.zero_grad()
    trained.backward(tape, gradient)
    expected = {key: v - 0.1 * trained.grads[key] for key, v in trained.state_dict().items()}

    trainer = Trainer(model(outputs, per_step=True), loss=loss, optimizer=SGD(0.1))
    if form == "padded":
        padded = np.where(there, STEP_WEIGHTS, np.nan)  # after the end they may be anything
        data, options = (X, y), {"lengths": LENGTHS, "sample_weight": padded}
    else:
        data = LIST, [row[:n] for row, n in zip(y, LENGTHS, strict=True)]
        rows = [row[:n] for row, n in zip(STEP_WEIGHTS, LENGTHS, strict=True)]
        options = {"sample_weight": rows}
    assert trainer.evaluate(*data, batch_size=1, **options) == pytest.approx(value, rel=1e-13)
    assert_same_weights(weights_after(trainer, *data, epochs=1, **options), expected)


def test_a_weight_of_zero_leaves_a_sample_out_and_its_batch_makes_no_step():
    y = targets_for("mse", (N,))
    weights = np.array([1.0, 1.0, 0.0, 0.0, 1.0, 1.0])
    kept = weights > 0
    trainers = [Trainer(model(2), seed=0) for _ in range(2)]
    options = {"epochs": 2, "batch_size": 2, "shuffle": False, "progress": False}
    first = trainers[0].fit(X, y, sample_weight=weights, **options)
    second = trainers[1].fit(X[kept], y[kept], **options)
    assert trainers[0].optimizer.steps == trainers[1].optimizer.steps == 4
    assert first["loss"] == pytest.approx(second["loss"], rel=1e-12)
    assert_same_weights(trainers[0].model.state_dict(), trainers[1].model.state_dict())


def test_the_loss_of_an_epoch_is_the_weighted_mean_over_its_batches():
    y = targets_for("mse", (N,))
    weights = RNG.uniform(0.1, 3.0, N)
    frozen = SGD(1e-300)
    history = Trainer(model(2), optimizer=frozen, seed=0).fit(
        X,
        y,
        epochs=1,
        batch_size=4,
        sample_weight=weights,
        validation=(X, y, None, weights[::-1]),
        progress=False,
    )
    squared = ((model(2)(X) - y) ** 2).mean(axis=1)
    assert history["loss"][0] == pytest.approx(np.average(squared, weights=weights))
    assert history["val_loss"][0] == pytest.approx(np.average(squared, weights=weights[::-1]))


def test_windows_of_truncated_backpropagation_take_their_weights():
    y = targets_for("mse", (N, T))

    def after(weights, X, y):
        trainer = Trainer(model(2, per_step=True), optimizer=SGD(0.1), seed=0)
        trainer.fit(
            X,
            y,
            epochs=1,
            batch_size=len(X),
            bptt_steps=2,
            sample_weight=weights,
            progress=False,
        )
        return trainer.model.state_dict()

    again = np.repeat(np.arange(N), COUNTS)
    expected = after(None, X[again], y[again])
    assert_same_weights(after(COUNTS, X, y), expected)
    of_steps = np.repeat(COUNTS[:, np.newaxis], T, axis=1)
    assert_same_weights(after(of_steps, X, y), expected)
    until_third = of_steps * (np.arange(T) < 2)
    trainer = Trainer(model(2, per_step=True), optimizer=SGD(0.1), seed=0)
    trainer.fit(X[again][:, :2], y[again][:, :2], epochs=1, batch_size=9, progress=False)
    assert_same_weights(after(until_third, X, y), trainer.model.state_dict())


def test_seq2seq_takes_weights():
    tokens = RNG.integers(1, 5, (4, 3))
    pairs = {"source": tokens, "target": tokens}
    counts = np.array([1, 0, 2, 1])
    again = np.repeat(np.arange(4), counts)

    def trainer():
        seq2seq = pygru.Seq2Seq(5, 5, 3, 4, seed=0, dtype="float64")
        return Trainer(seq2seq, loss="cross_entropy", optimizer=SGD(0.1), seed=0)

    of_steps = np.repeat(counts[:, np.newaxis], 3, axis=1)
    repeated = {key: value[again] for key, value in pairs.items()}
    expected = trainer().evaluate(repeated, tokens[again])
    for weights in (counts, of_steps):
        found = trainer().evaluate(pairs, tokens, sample_weight=weights)
        assert found == pytest.approx(expected, rel=1e-13)
    history = trainer().fit(
        pairs, tokens, epochs=1, batch_size=2, validation_split=0.5, progress=False
    )
    last = {key: value[2:] for key, value in pairs.items()}
    trained = trainer()
    first = {key: value[:2] for key, value in pairs.items()}
    trained.fit(first, tokens[:2], epochs=1, batch_size=2, progress=False)
    assert history["val_loss"][0] == pytest.approx(trained.evaluate(last, tokens[2:]))


@pytest.mark.parametrize(
    ("weights", "error", "text"),
    [
        ([1, 1, 1, -1, 1, 1], ValueError, r"sample_weight\[3\] = -1.0 must be finite and >= 0"),
        ([1, np.nan] * 3, ValueError, r"sample_weight\[1\] = nan must be finite and >= 0"),
        ([1, 1, np.inf] * 2, ValueError, r"sample_weight\[2\] = inf must be finite and >= 0"),
        ([1.0] * 5, ValueError, r"sample_weight must have shape \(6,\), got \(5,\)"),
        (np.ones((6, 5)), ValueError, r"sample_weight must have shape \(6,\), got \(6, 5\)"),
        ([[1.0]] * 6, ValueError, r"sample_weight must have shape \(6,\), one weight per"),
        (np.zeros(6), ValueError, "sample_weight must have a sum above 0"),
        (np.full(6, 1e300), ValueError, "sample_weight must have a sum above 0 and at most"),
        ("abc", TypeError, "sample_weight"),
        (["a"] * 6, TypeError, "sample_weight"),
        (3.0, ValueError, "sample_weight must have one entry per sample"),
    ],
)
def test_wrong_weights_are_refused_before_the_first_step(weights, error, text):
    trainer = Trainer(model(2), seed=0)
    y = targets_for("mse", (N,))
    before = trainer.model.state_dict()
    for call in (
        lambda: trainer.fit(X, y, epochs=1, batch_size=2, sample_weight=weights),
        lambda: trainer.evaluate(X, y, sample_weight=weights),
    ):
        with pytest.raises(error, match=text):
            call()
    with pytest.raises(error, match=text.replace("sample_weight", r"validation\[3\]", 1)):
        trainer.fit(X, y, epochs=1, batch_size=2, validation=(X, y, None, weights))
    assert trainer.optimizer.steps == 0 and not len(trainer.history)
    for name, values in trainer.model.state_dict().items():
        assert (values == before[name]).all()


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        (np.ones((6, 4)), r"must have shape \(6,\) or \(6, 5\), got \(6, 4\)"),
        ([np.ones(n) for n in LENGTHS[:5]], "must have one entry for each of 6 samples, got 5"),
        (
            [np.ones(n + 1) for n in LENGTHS],
            r"\[0\] must have shape \(5,\), one weight per step",
        ),
        ([-np.ones(n) for n in LENGTHS], r"\[0\]\[0\] = -1.0 must be finite and >= 0"),
        (np.where(np.arange(5) == 0, -1.0, np.ones((6, 1))), r"\[0, 0\] = -1.0 must be finite"),
    ],
)
def test_wrong_weights_of_steps_are_named(weights, text):
    y = targets_for("mse", (N, T))
    with pytest.raises(
        ValueError, match="sample_weight" + ("" if text[0] == "\\" else " ") + text
    ):
        Trainer(model(2, per_step=True)).evaluate(X, y, lengths=LENGTHS, sample_weight=weights)


def test_a_loss_of_ones_own_gets_weights_if_it_takes_them():
    y = targets_for("mse", (N,))
    seen = []

    def own(prediction, target, *, mask=None, weights=None):
        seen.append(weights)
        value, gradient = losses.mse(prediction, target, weights=weights)
        return float(value), gradient  # without a weight: that of the predictions is used

    own_loss = Trainer(model(2), loss=own).evaluate(X, y, sample_weight=COUNTS, batch_size=5)
    expected = Trainer(model(2)).evaluate(X, y, sample_weight=COUNTS)
    assert own_loss == pytest.approx(expected)
    assert seen[0].shape == (5, 2)
    with pytest.raises(
        ValueError, match="sample_weight needs a loss with an argument 'weights'"
    ):
        Trainer(model(2), loss=lambda p, t, mask: (0.0, p)).evaluate(X, y, sample_weight=COUNTS)
    fixed = functools.partial(losses.mse, weights=np.ones((N, 2)))
    with pytest.raises(ValueError, match="the loss has weights of its own"):
        Trainer(model(2), loss=fixed).evaluate(X, y, sample_weight=COUNTS)


def test_training_resumes_only_with_the_same_weights(tmp_path):
    y = targets_for("mse", (N,))
    weights = RNG.uniform(0.5, 2.0, N)
    path = tmp_path / "checkpoint.safetensors"

    class Save(pygru.Callback):
        def on_batch_end(self, trainer, loss, sequences):
            if trainer.optimizer.steps == 5:  # within the second epoch
                trainer.save_checkpoint(path)

    def trainer(*callbacks):
        return Trainer(model(2), seed=0, callbacks=callbacks)

    def fit(one, epochs, weights):
        one.fit(X, y, epochs=epochs, batch_size=2, sample_weight=weights, progress=False)
        return one.model.state_dict()

    fit(trainer(Save()), 2, weights)
    for other in (None, weights[::-1]):
        second = trainer()
        second.resume(path)
        with pytest.raises(ValueError, match="inside an epoch of other data"):
            fit(second, 4, other)
    second = trainer()
    second.resume(path)
    expected = fit(trainer(), 4, weights)
    for name, values in fit(second, 4, weights).items():
        assert (values == expected[name]).all()


@pytest.mark.parametrize("form", ["array", "lengths", "list"])
def test_validation_split_keeps_the_last_samples(form):
    y = targets_for("mse", (N,))
    weights = RNG.uniform(0.5, 2.0, N)
    data = LIST if form == "list" else X
    lengths = LENGTHS if form == "lengths" else None
    part = {} if lengths is None else {"lengths": lengths[:4]}
    end = None if lengths is None else lengths[4:]
    options = {"epochs": 2, "batch_size": 3, "progress": False}
    first, second = (Trainer(model(2), seed=0) for _ in range(2))
    split = first.fit(
        data, y, lengths=lengths, sample_weight=weights, validation_split=0.3, **options
    )
    by_hand = second.fit(
        data[:4],
        y[:4],
        sample_weight=weights[:4],
        validation=(data[4:], y[4:], end, weights[4:]),
        **part,
        **options,
    )
    assert split["loss"] == by_hand["loss"] and split["val_loss"] == by_hand["val_loss"]
    assert split["sequences"] == [4, 4]


@pytest.mark.parametrize(
    ("share", "error", "text"),
    [
        (0.0, ValueError, "validation_split=0.0 must leave at least one of 6 samples"),
        (1.0, ValueError, "validation_split=1.0 must leave at least one"),
        (0.99, ValueError, "got 0 and 6"),
        (1.5, ValueError, r"validation_split must be a number in \[0, 1\]"),
        ("a", TypeError, "validation_split must be a float, got str"),
    ],
)
def test_wrong_validation_splits_are_refused(share, error, text):
    trainer = Trainer(model(2))
    y = targets_for("mse", (N,))
    with pytest.raises(error, match=text):
        trainer.fit(X, y, epochs=1, batch_size=2, validation_split=share)
    with pytest.raises(
        ValueError, match="validation must be None if validation_split is given"
    ):
        trainer.fit(X, y, epochs=1, batch_size=2, validation_split=0.5, validation=(X, y))
    assert trainer.optimizer.steps == 0


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "bce_with_logits"])
@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("form", ["array", "list"])
def test_targets_may_lack_the_axis_of_a_single_output(loss, per_step, form):
    y = np.random.default_rng(3).integers(0, 2, (N, T) if per_step else (N,)).astype(float)
    data, short, full = X, y, y[..., np.newaxis]
    if form == "list":
        data = LIST
        if per_step:
            short = [row[:n] for row, n in zip(y, LENGTHS, strict=True)]
            full = [row[:, np.newaxis] for row in short]
    trainers = [Trainer(model(per_step=per_step), loss=loss, seed=0) for _ in range(2)]
    found, expected = (
        trainer.fit(data, targets, epochs=2, batch_size=4, progress=False)["loss"]
        for trainer, targets in zip(trainers, (short, full), strict=True)
    )
    assert found == expected
    assert trainers[0].evaluate(data, short) == trainers[1].evaluate(data, full)


def test_targets_without_the_axis_are_refused_where_they_would_be_ambiguous():
    y = np.zeros(N)
    with pytest.raises(ValueError, match=r"y must have shape \(N, 2\) like the predictions"):
        Trainer(model(2)).fit(X, y, epochs=1, batch_size=2)
    with pytest.raises(ValueError, match=r"y\[2\] = 2.0 must be in \[0, 1\]"):
        Trainer(model(), loss="bce_with_logits").fit(
            X, np.where(np.arange(N) == 2, 2.0, y), epochs=1, batch_size=2
        )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adam", pygru.Adam),
        ("adamw", pygru.AdamW),
        ("sgd", pygru.SGD),
        ("rmsprop", pygru.RMSprop),
    ],
)
def test_optimizers_can_be_given_by_name(name, kind):
    y = targets_for("mse", (N,))
    named, made = (Trainer(model(2), optimizer=value, seed=0) for value in (name, kind()))
    assert type(named.optimizer) is kind
    assert_same_weights(
        weights_after(named, X, y, epochs=2), weights_after(made, X, y, epochs=2)
    )
    named.optimizer = name
    assert named.optimizer.steps == 0


def test_unknown_optimizers_are_refused_with_the_list():
    with pytest.raises(ValueError, match="optimizer must be one of 'adam', 'adamw', 'sgd', "):
        Trainer(model(), optimizer="Adam")
