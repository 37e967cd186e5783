"""How ``Trainer`` uses data: which steps count, with what weight, and what is refused.

These tests fail if a loss depends on how the data were divided into batches, if targets are
padded with zeros that nobody gave, if a forecast horizon is taken for time steps, or if one
sequence is taken for several samples.
"""

import collections
import functools
import re

import numpy as np
import pytest

import pygru
from pygru import GRU, Adam, Embedding, Last, Linear, Sequential, Trainer, losses
from pygru.train.datasets import Dataset, Expected
from pygru.train.scan import blocks_of

BATCH_SIZES = (1, 2, 3, 8)


def every_step(outputs=1, seed=0):
    """A model with an output at every step."""
    return Sequential(
        GRU(2, 4, batch_first=True, dtype="float64", seed=seed),
        Linear(4, outputs, dtype="float64", seed=seed),
    )


def last_step(outputs=1, seed=0):
    """A model with one output per sequence."""
    return Sequential(
        GRU(2, 4, batch_first=True, dtype="float64", seed=seed),
        Last(),
        Linear(4, outputs, dtype="float64", seed=seed),
    )


def ragged(n=8, seed=1):
    rng = np.random.default_rng(seed)
    X = [rng.standard_normal((size, 2)) for size in rng.integers(1, 20, n)]
    return X, [x[:, :1] * 10 for x in X]


# ---- the mean over batches -------------------------------------------------------------------


def test_the_loss_of_ragged_sequences_is_the_mean_over_all_steps():
    X, y = ragged()
    trainer = Trainer(every_step(), seed=0)
    errors = [(p - t) ** 2 for p, t in zip(trainer.predict(X), y, strict=True)]
    expected = np.concatenate(errors).mean()
    for batch_size in BATCH_SIZES:
        assert trainer.evaluate(X, y, batch_size=batch_size) == pytest.approx(
            expected, rel=1e-12
        )


@pytest.mark.parametrize(
    "options",
    [{"ignore_index": -1}, {"class_weight": [0.1, 5.0, 1.0]}, {"label_smoothing": 0.1}],
    ids=str,
)
def test_the_loss_of_classes_is_the_weighted_mean_over_all(options):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((8, 5, 2)), rng.integers(0, 3, 8)
    if "ignore_index" in options:
        y[[0, 1, 2, 5]] = -1
    trainer = Trainer(last_step(3), loss=functools.partial(losses.cross_entropy, **options))
    expected = losses.cross_entropy(trainer.predict(X), y, **options)[0]
    for batch_size in BATCH_SIZES:
        assert trainer.evaluate(X, y, batch_size=batch_size) == pytest.approx(
            expected, rel=1e-12
        )


@pytest.mark.parametrize("bptt_steps", [None, 3])
def test_the_history_holds_the_mean_over_an_epoch(bptt_steps):
    """With a very small learning rate the model is the same in every batch."""
    X, y = ragged()
    trainer = Trainer(every_step(), optimizer=pygru.SGD(1e-30), seed=0)
    history = trainer.fit(
        X, y, epochs=1, batch_size=3, bptt_steps=bptt_steps, validation=(X[:5], y[:5])
    )
    assert history["loss"][0] == pytest.approx(trainer.evaluate(X, y), rel=1e-12)
    assert history["val_loss"][0] == pytest.approx(trainer.evaluate(X[:5], y[:5]), rel=1e-12)


def test_a_loss_of_plain_floats_counts_its_predictions():
    def absolute(prediction, target, *, mask=None):
        value, gradient = losses.mae(prediction, target, mask=mask)
        return float(value), gradient

    X, y = ragged()
    model = every_step()
    expected = Trainer(model, loss="mae").evaluate(X, y, batch_size=8)
    for batch_size in BATCH_SIZES:
        found = Trainer(model, loss=absolute).evaluate(X, y, batch_size=batch_size)
        assert found == pytest.approx(expected, rel=1e-12)
    whole = np.ones((8, 6, 2)), np.ones((8, 6, 1))
    assert Trainer(model, loss=absolute).evaluate(*whole, batch_size=3) == pytest.approx(
        Trainer(model, loss="mae").evaluate(*whole), rel=1e-12
    )


def test_nothing_that_counts_is_a_loss_of_nothing():
    ignored = functools.partial(losses.cross_entropy, ignore_index=0)
    assert Trainer(last_step(2), loss=ignored).evaluate(np.ones((3, 4, 2)), [0, 0, 0]) == 0


# ---- targets of every step, and of every sequence --------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_an_array_of_targets_per_step_is_a_list_of_them(batch_size):
    X, y = ragged(5)
    as_array = pygru.pad_sequences(y)[0]
    as_array[np.arange(as_array.shape[1]) >= np.array([len(x) for x in X])[:, None]] = np.nan
    padded, lengths = pygru.pad_sequences(X)
    trainers = []
    for data, options in (
        ((X, y), {}),
        ((X, as_array), {}),
        ((padded, as_array), {"lengths": lengths}),
        ((padded, as_array), {"lengths": lengths, "bptt_steps": 50}),
    ):
        trainers.append(Trainer(every_step(), optimizer=Adam(0.01), seed=0))
        trainers[-1].fit(*data, epochs=2, batch_size=batch_size, **options)
    for trainer in trainers[1:]:
        for (values, _), (right, _) in zip(
            trainer.model.flat_pairs, trainers[0].model.flat_pairs, strict=True
        ):
            np.testing.assert_array_equal(values, right)


@pytest.mark.parametrize("as_list", [False, True])
def test_a_horizon_is_not_taken_for_time(as_list):
    """Targets (4, 24) of forecasts are no targets per step, although X has 24 steps too."""
    rng = np.random.default_rng(0)
    X, lengths = rng.standard_normal((4, 24, 2)), np.array([20, 10, 20, 5])
    y = rng.standard_normal((4, 24))
    trainer = Trainer(last_step(24), seed=0)
    expected = losses.mse(trainer.predict(X, lengths=lengths), y)[0]
    given = y.tolist() if as_list else y
    assert trainer.evaluate(X, given, lengths=lengths) == pytest.approx(expected, rel=1e-12)
    trainer.fit(X, given, epochs=1, batch_size=2, lengths=lengths)
    y[1, 15] = np.nan  # beyond the 10 steps of its X
    with pytest.raises(ValueError, match="Input y contains NaN"):
        trainer.fit(X, y, epochs=1, batch_size=2, lengths=lengths)


@pytest.mark.parametrize(
    ("X", "y", "options", "message"),
    [
        (
            [np.ones((5, 2)), np.ones((3, 2))],
            [np.ones((5, 1)), np.ones((2, 1))],
            {},
            r"y\[1\] must have a target for each of the 3 steps of X\[1\], got 2",
        ),
        (
            [np.ones((5, 2)), np.ones((3, 2))],
            [np.ones((6, 1)), np.ones((3, 1))],
            {},
            r"y\[0\] must have a target for each of the 5 steps of X\[0\], got 6",
        ),
        (
            np.ones((2, 5, 2)),
            [np.ones((5, 1)), np.ones((4, 1))],
            {},
            r"y\[1\] must have a target for each of the 5 steps",
        ),
        (
            np.ones((2, 5, 2)),
            np.ones((2, 4, 1)),
            {"lengths": [3, 2]},
            r"y must have shape \(N, T=5, ...\) or be a list of \(T_i, ...\)",
        ),
    ],
)
def test_targets_of_other_steps_are_refused(X, y, options, message):
    with pytest.raises(ValueError, match=message):
        Trainer(every_step()).fit(X, y, epochs=1, batch_size=2, **options)


def test_targets_of_sequences_must_be_alike():
    with pytest.raises(
        ValueError, match=r"y must hold samples of one shape, .* got \(1,\) and \(2,\)"
    ):
        Trainer(last_step(2)).fit(
            np.ones((2, 5, 2)), [[1.0, 2.0], [1.0]], epochs=1, batch_size=2
        )


def test_a_truncated_translation_is_refused():
    model = pygru.Seq2Seq(5, 6, 2, 3, seed=0)
    X, y = model.training_data([[1, 2], [3]], [[2, 3], [4]])
    with pytest.raises(ValueError, match=r"y\[0\] must have a target for each of the 3 steps"):
        Trainer(model, loss="cross_entropy").fit(X, [y[0][:-1], y[1]], epochs=1, batch_size=2)


# ---- what is one sequence --------------------------------------------------------------------


@pytest.mark.parametrize("model", [every_step(), GRU(2, 1, batch_first=True)], ids=repr)
@pytest.mark.parametrize(
    "X", [np.ones((50, 2)), [np.ones(5), np.ones(5)]], ids=["array", "list"]
)
def test_one_sequence_is_not_taken_for_samples(model, X):
    y = np.ones((50, 1)) if isinstance(X, np.ndarray) else [np.ones((5, 1)), np.ones((5, 1))]
    trainer = Trainer(model)
    message = (
        r"X must have shape \(N, T, 2\) .*got an array of 2 .*one sequence is X\[np.newaxis\]"
    )
    for call in (
        lambda: trainer.fit(X, y, epochs=1, batch_size=2),
        lambda: trainer.evaluate(X, y),
        lambda: trainer.predict(X),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_tokens_of_an_empty_sequence():
    model = Sequential(Embedding(5, 2, dtype="float64", seed=0), *every_step(3).layers)
    X = [[1, 2, 3], [], [4]]
    outputs = model(X)
    assert [output.shape for output in outputs] == [(3, 3), (0, 3), (1, 3)]
    np.testing.assert_allclose(outputs[0], model([[1, 2, 3]])[0], rtol=1e-14)
    trainer = Trainer(model, loss="cross_entropy", seed=0)
    trainer.fit(X, [[0, 1, 2], [], [1]], epochs=1, batch_size=2)
    expected = losses.cross_entropy(np.concatenate(trainer.predict(X)), np.array([0, 1, 2, 1]))[
        0
    ]
    assert trainer.evaluate(X, [[0, 1, 2], [], [1]], batch_size=2) == pytest.approx(expected)


def test_pad_sequences_takes_the_shape_and_dtype_of_those_that_hold_something():
    padded, lengths = pygru.pad_sequences([[], [[1, 2]], []])
    assert padded.tolist() == [[[0, 0]], [[1, 2]], [[0, 0]]] and lengths.tolist() == [0, 1, 0]
    assert padded.dtype == np.array([1]).dtype
    assert pygru.pad_sequences([[], []])[0].shape == (2, 0)
    with pytest.raises(
        ValueError, match=r"sequences\[2\] must have shape \(time, 2\) .*\(1, 3\)"
    ):
        pygru.pad_sequences([[], [[1, 2]], [[1, 2, 3]]])


# ---- the order of samples --------------------------------------------------------------------


def test_without_shuffling_the_samples_come_in_their_order():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((7, 4, 2)), rng.standard_normal((7, 1))
    trained, by_hand = last_step(), last_step()
    trainer = Trainer(trained, optimizer=pygru.SGD(0.1), seed=0)
    state = trainer.generator.bit_generator.state
    trainer.fit(X, y, epochs=2, batch_size=3, shuffle=False)
    assert trainer.generator.bit_generator.state == state
    optimizer = pygru.SGD(0.1)
    for part in (slice(0, 3), slice(3, 6), slice(6, 7)) * 2:
        by_hand.zero_grad()
        prediction, tape = by_hand.forward(X[part])
        by_hand.backward(tape, losses.mse(prediction, y[part])[1])
        optimizer.step(by_hand)
    for (values, _), (right, _) in zip(trained.flat_pairs, by_hand.flat_pairs, strict=True):
        np.testing.assert_array_equal(values, right)


# ---- errors that name the argument -----------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"validation": 0.2}, TypeError, r"validation must be a tuple \(X, y\) .*got float"),
        ({"validation": (np.ones((2, 4, 2)),)}, TypeError, "got tuple of 1"),
        ({"validation": np.ones((3, 4, 2))}, TypeError, "got ndarray"),
        ({"validation": (np.ones((3, 4, 2)), np.ones(2))}, ValueError, "inconsistent numbers"),
        ({"shuffle": 1}, TypeError, "shuffle must be a bool, got int"),
    ],
)
def test_fit_refuses(options, error, message):
    with pytest.raises(error, match=message):
        Trainer(last_step()).fit(
            np.ones((3, 4, 2)), np.ones((3, 1)), epochs=1, batch_size=2, **options
        )


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (
            pygru.EarlyStopping(),
            "callbacks must be a list of Callbacks, got a single EarlyStop",
        ),
        ([print], r"callbacks\[0\] must be a pygru.Callback, got builtin_function_or_method"),
    ],
)
def test_trainer_refuses_callbacks(callbacks, message):
    with pytest.raises(TypeError, match=message):
        Trainer(last_step(), callbacks=callbacks)


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (
            lambda p, t, *, mask: 1.0,
            TypeError,
            r"loss must return \(value, gradient\), got float",
        ),
        (
            lambda p, t, *, mask: (1.0, np.ones(p.shape[::-1])),
            ValueError,
            r"gradient with the prediction's shape \(2, 1\), got \(1, 2\)",
        ),
    ],
)
def test_a_loss_of_ones_own_is_checked(loss, error, message):
    with pytest.raises(error, match=message):
        Trainer(last_step(), loss=loss).fit(
            np.ones((3, 4, 2)), np.ones((3, 1)), epochs=1, batch_size=2
        )


# ---- what has steps, and what has not -------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int64", "float64"])
def test_series_of_integers_are_series(dtype):
    """They are not tokens: only an Embedding makes tokens of integers."""
    X = np.random.default_rng(0).integers(0, 5, (8, 12, 2)).astype(dtype)
    y = X[..., :1].astype(float)
    trainer = Trainer(every_step(), optimizer=Adam(0.01), seed=0)
    trainer.fit(X, y, epochs=1, batch_size=4, bptt_steps=4)
    trainer.fit(list(X), list(y), epochs=1, batch_size=4)
    with pytest.raises(ValueError, match=r"y\[3\] must have a target for each of the 12 steps"):
        trainer.fit(X, [*y[:3], y[3, :5], *y[4:]], epochs=1, batch_size=4)


@pytest.mark.parametrize("dtype", ["int64", "float64"])
@pytest.mark.parametrize("as_list", [False, True])
def test_samples_without_steps(dtype, as_list):
    """A linear model of vectors, which have no time axis."""
    X = np.arange(12).reshape(4, 3).astype(dtype)
    y = X.sum(axis=1, keepdims=True).astype(float)
    given = (X.tolist(), y.tolist()) if as_list else (X, y)
    model = Sequential(Linear(3, 1, dtype="float64", seed=0))
    trainer = Trainer(model, optimizer=Adam(0.01), seed=0)
    trainer.fit(*given, epochs=2, batch_size=2)
    expected = losses.mse(model(X), y)[0]
    assert trainer.evaluate(*given, batch_size=3) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(trainer.predict(given[0]), model(X))
    np.testing.assert_array_equal(model(given[0]), model(X))
    np.testing.assert_array_equal(model(list(X)), model(X))
    with pytest.raises(ValueError, match="X must hold samples of one shape, or sequences"):
        trainer.fit([[1.0, 2.0, 3.0], [1.0]], y[:2], epochs=1, batch_size=2)


def test_lengths_need_a_time_axis():
    with pytest.raises(ValueError, match=r"lengths need X with a time axis, got shape \(4,\)"):
        Trainer(Sequential(Linear(1, 1))).predict(np.ones(4), lengths=[1, 1, 1, 1])


def test_pairs_are_for_a_seq2seq():
    X = {"source": [[1], [2]], "target": [[1], [2]]}
    for model in (every_step(), GRU(2, 1, batch_first=True)):
        with pytest.raises(TypeError, match="X must be an array or a list of arrays, got dict"):
            Trainer(model).fit(X, [[1], [2]], epochs=1, batch_size=2)


# ---- sequences of no steps -------------------------------------------------------------------

NOTHING = [np.ones((4, 2)), np.zeros((0, 2)), np.zeros((0, 2))]


@pytest.mark.parametrize("bptt_steps", [None, 2])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_batch_of_empty_sequences_makes_no_step(bptt_steps, momentum):
    """Nothing in it counts; momentum alone would go on moving the weights."""
    y = [np.ones((len(x), 1)) for x in NOTHING]
    told = []

    class Tell(pygru.Callback):
        def on_batch_end(self, trainer, loss, sequences):
            told.append((loss, sequences))

    trainers = []
    for X, targets, batch_size in ((NOTHING, y, 1), (NOTHING[:1], y[:1], 1), (NOTHING, y, 3)):
        optimizer = pygru.SGD(0.1, momentum)
        trainers.append(Trainer(every_step(), optimizer=optimizer, callbacks=[Tell()]))
        history = trainers[-1].fit(
            X,
            targets,
            epochs=3,
            batch_size=batch_size,
            shuffle=False,
            bptt_steps=bptt_steps,
            validation=(X, targets),
        )
        assert len(history) == 3
    steps = 3 if bptt_steps is None else 6
    assert [trainer.optimizer.steps for trainer in trainers] == [steps] * 3
    assert [sequences for _, sequences in told] == [1] * 2 * steps + [3] * steps
    for trainer in trainers[1:]:
        for name in ("loss", "val_loss"):
            assert trainer.history[name] == pytest.approx(trainers[0].history[name], rel=1e-12)
        for (values, _), (right, _) in zip(
            trainer.model.flat_pairs, trainers[0].model.flat_pairs, strict=True
        ):
            np.testing.assert_allclose(values, right, rtol=1e-12)
    found = trainers[0].predict(NOTHING, batch_size=1)
    assert [output.shape for output in found] == [(4, 1), (0, 1), (0, 1)]
    assert trainers[0].evaluate(NOTHING[1:], y[1:], batch_size=1) == 0


def test_data_of_empty_sequences_only():
    y = [np.ones((0, 1))] * 2
    trainer = Trainer(every_step(), optimizer=Adam(0.1))
    before = [values.copy() for values, _ in trainer.model.flat_pairs]
    history = trainer.fit(NOTHING[1:], y, epochs=2, batch_size=1)
    assert history["loss"] == [0, 0] and trainer.optimizer.steps == 0
    for (values, _), old in zip(trainer.model.flat_pairs, before, strict=True):
        np.testing.assert_array_equal(values, old)
    with pytest.raises(ValueError, match="the data contain nothing that counts in the loss"):
        pygru.find_learning_rate(trainer, NOTHING[1:], y, batch_size=1)


def test_tokens_of_empty_documents_only():
    """Lists without a number have no integers either."""
    model = Sequential(Embedding(5, 2), Linear(2, 3))
    trainer = Trainer(model, loss="cross_entropy")
    assert trainer.fit([[], []], [[], []], epochs=1, batch_size=1)["loss"] == [0]
    assert trainer.evaluate([[], []], [[], []]) == 0
    assert [output.shape for output in trainer.predict([[], []])] == [(0, 3), (0, 3)]
    translator = pygru.Seq2Seq(5, 6, 2, 3, seed=0)
    trainer = Trainer(translator, loss="cross_entropy")
    X = {"source": [[1], []], "target": [[], []]}
    trainer.fit(X, [[], []], epochs=1, batch_size=1)
    assert trainer.optimizer.steps == 0
    trainer.fit(*translator.training_data([[], [1]], [[3], [2]]), epochs=1, batch_size=1)
    assert trainer.optimizer.steps == 2


def test_a_batch_of_ignored_targets_makes_no_step():
    ignoring = functools.partial(losses.cross_entropy, ignore_index=0)
    trainer = Trainer(last_step(2), loss=ignoring, optimizer=Adam(0.1))
    trainer.fit(np.ones((4, 3, 2)), [1, 0, 0, 1], epochs=1, batch_size=1, shuffle=False)
    assert trainer.optimizer.steps == 2


@pytest.mark.parametrize("learn_h0", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_an_empty_sequence_with_a_target_counts(learn_h0, bidirectional):
    """A model with one output per sequence predicts something for it, so it is learned."""
    gru = GRU(
        2,
        4,
        batch_first=True,
        dtype="float64",
        seed=0,
        learn_h0=learn_h0,
        bidirectional=bidirectional,
    )
    size = 8 if bidirectional else 4
    model = Sequential(gru, Last(bidirectional), Linear(size, 1, dtype="float64", seed=0))
    trainer = Trainer(model, optimizer=pygru.SGD(0.1))
    y = np.ones((3, 1))
    alone = [trainer.evaluate([x], y[:1]) for x in NOTHING]
    for batch_size in (1, 2, 3):
        found = trainer.evaluate(NOTHING, y, batch_size=batch_size)
        assert found == pytest.approx(np.mean(alone), rel=1e-12)
        assert trainer.predict(NOTHING, batch_size=batch_size).shape == (3, 1)
    trainer.fit(NOTHING, y, epochs=2, batch_size=1)
    assert trainer.optimizer.steps == 6
    trainer.fit(NOTHING[1:], y[1:], epochs=60, batch_size=2)
    assert trainer.evaluate(NOTHING[1:], y[1:]) < 0.01 * alone[1]


# ---- values that cannot be learned, with their place in the user's data ----------------------


def padded_with(value, place):
    X = np.ones((5, 4, 2))
    X[place] = value
    return X


@pytest.mark.parametrize("kind", ["array", "list", "objects"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "Input {} contains NaN: {} = nan"),
        (-np.inf, "Input {} contains infinity: {} = -inf"),
        (1e300, r"Input {} contains a value too large for float32: {} = 1e\+300; scale the"),
    ],
)
def test_a_wrong_number_is_named_by_its_place(kind, value, message):
    X = padded_with(value, (3, 2, 1))
    place = {"array": r"X\[3, 2, 1\]"}.get(kind, r"X\[3\]\[2, 1\]")
    if kind != "array":
        X = [x[: 4 if i == 3 else 1 + i] for i, x in enumerate(X)]
    if kind == "objects":
        X = as_objects(X)
    trainer = Trainer(Sequential(GRU(2, 3, batch_first=True), Last(), Linear(3, 1)))
    y = np.ones((5, 1))
    good = np.ones((5, 4, 2)), y
    for call, name in (
        (lambda: trainer.fit(X, y, epochs=1, batch_size=1), "X"),
        (lambda: trainer.evaluate(X, y), "X"),
        (lambda: trainer.predict(X), "X"),
        (
            lambda: trainer.fit(*good, epochs=1, batch_size=1, validation=(X, y)),
            r"validation\[0\]",
        ),
    ):
        expected = message.format(name, place.replace("X", name, 1))
        with pytest.raises(ValueError, match=expected):
            call()
    assert trainer.optimizer.steps == 0


@pytest.mark.parametrize("kind", ["array", "list", "lengths"])
@pytest.mark.parametrize("sample", [0, 250, 999])
def test_large_data_are_looked_at_wholly(kind, sample):
    """They are read block by block, each about a megabyte: here there are four."""
    X = np.random.default_rng(0).random((1000, 256, 2))
    lengths = np.full(1000, 255) if kind == "lengths" else None

    def data():
        return Dataset(list(X) if kind == "list" else X, np.zeros(1000), lengths)

    assert len(list(blocks_of(X, lengths))) == 4
    expected = data().fingerprint()
    X[sample, 254, 1] += 1e-9
    assert data().fingerprint() != expected
    for value, message in ((np.nan, "contains NaN"), (1e39, "too large for float32")):
        X[sample, 254, 1] = value
        place = f"[{sample}][254, 1]" if kind == "list" else f"[{sample}, 254, 1]"
        with pytest.raises(ValueError, match=f"{message}: {re.escape('X' + place)} ="):
            data().check(Expected(np.dtype(np.float32)))
    tokens = np.zeros((1000, 512), np.int64)
    tokens[sample, 254] = 7
    data = Dataset(tokens, np.zeros(1000), lengths, features=0)
    with pytest.raises(ValueError, match=rf"^sample {sample}: token 7 is not in 0\.\.6"):
        data.check(Expected(tokens=7))


def test_values_past_the_end_are_not_looked_at():
    X, y = padded_with(np.nan, (3, 3)), np.ones((5, 4, 1))
    X[4, 0], y[4], y[3, 3] = 1e300, np.inf, np.nan
    lengths = [4, 4, 4, 3, 0]
    model = Sequential(GRU(2, 3, batch_first=True), Linear(3, 1))
    Trainer(model).fit(X, y, epochs=1, batch_size=2, lengths=lengths)
    with pytest.raises(
        ValueError, match=r"contains NaN: X\[3, 3, 0\] = nan \(sample 3, step 3\)"
    ):
        Trainer(model).fit(X, y, epochs=1, batch_size=2, lengths=[4, 4, 4, 4, 0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_targets_have_to_be_in_the_range_of_the_model(dtype):
    model = Sequential(GRU(2, 3, batch_first=True, dtype=dtype), Last())
    X, y = np.ones((5, 4, 2)), np.ones((5, 3))
    y[4, 1] = 1e39
    fit = functools.partial(Trainer(model).fit, X, y, epochs=1, batch_size=1)
    if dtype == "float32":
        with pytest.raises(ValueError, match=r"Input y .* too large for float32: y\[4, 1\] ="):
            fit()
    else:
        fit()


def test_a_loss_that_overflows_at_once_is_not_blamed_on_the_learning_rate():
    """The values are in the range of float32, their squares are not."""
    model = Sequential(GRU(2, 3, batch_first=True), Last(), Linear(3, 1))
    y = np.ones((5, 1))
    y[3] = -1e30
    with pytest.raises(
        pygru.DivergenceError,
        match=r"loss is inf at epoch 0, batch 0, before any step .* no learning rate would "
        r"help; the largest number of this batch is -1e\+30 in y\[3\]; scale the data",
    ):
        Trainer(model).fit(np.ones((5, 4, 2)), y, epochs=1, batch_size=5)


@pytest.mark.parametrize("kind", ["array", "list", "ragged"])
def test_a_token_is_named_by_its_document(kind):
    """The issue's case: document 77 used to be reported as x[2, 1], after six steps."""
    documents = [[1, 2, 3, 4, 5] for _ in range(83)]
    documents[77][4] = 60001
    if kind == "ragged":
        documents[3], documents[5] = [1], []
    place = r"X\[77, 4\]" if kind == "array" else r"X\[77\]\[4\]"
    X = np.array(documents) if kind == "array" else documents
    model = Sequential(Embedding(60000, 3), GRU(3, 2, batch_first=True), Last(), Linear(2, 1))
    trainer, y = Trainer(model), np.ones((83, 1))
    message = rf"^sample 77: token 60001 is not in 0\.\.59999 \({place}\)$"
    for call in (
        lambda: trainer.fit(X, y, epochs=1, batch_size=4),
        lambda: trainer.evaluate(X, y),
        lambda: trainer.predict(X),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert trainer.optimizer.steps == 0


@pytest.mark.parametrize("at", [(0, 0), (1, 0), (1, 2), (4, 0), (5, 1)])
def test_the_first_and_the_last_token_of_a_document_are_its_own(at):
    """Also behind documents without tokens, in a list and in a padded array."""
    documents = [[1, 2], [3, 4, 1], [], [], [1], [2, 3]]
    documents[at[0]][at[1]] = 9
    padded, lengths = pygru.pad_sequences(documents)
    model = Sequential(Embedding(5, 2), Last())
    for X, given, place in (
        (documents, None, f"X[{at[0]}][{at[1]}]"),
        (padded, lengths, f"X[{at[0]}, {at[1]}]"),
    ):
        message = rf"^sample {at[0]}: token 9 is not in 0\.\.4 \({re.escape(place)}\)$"
        with pytest.raises(ValueError, match=message):
            Trainer(model).predict(X, lengths=given)


@pytest.mark.parametrize(("side", "limit"), [("source", 5), ("target", 6)])
def test_a_token_of_a_pair_is_named_by_its_side(side, limit):
    model = pygru.Seq2Seq(5, 6, 2, 3, seed=0)
    X, y = model.training_data([[1, 2], [3], [1, 1, 1]], [[2, 3], [4], [2]])
    X[side][1] = np.append(X[side][1], limit)
    if side == "target":
        y[1] = np.append(y[1], 1)
    at = len(X[side][1]) - 1
    message = rf"sample 1: token {limit} is not in 0\.\.{limit - 1} .*\['{side}'\]\[1\]\[{at}\]"
    with pytest.raises(ValueError, match=message):
        Trainer(model, loss="cross_entropy").fit(X, y, epochs=1, batch_size=2)


@pytest.mark.parametrize(
    ("loss", "y", "outputs", "message"),
    [
        ("bce_with_logits", [[0], [1], [2], [1]], 1, r"y\[2, 0\] = 2 must be in \[0, 1\]"),
        ("cross_entropy", [0, 1, 2, 3], 3, r"y\[3\] = 3 is out of bounds for 3 classes"),
        ("cross_entropy", [0, 0, 0, 0], 1, "at least 2 classes, got 1"),
        ("cross_entropy", [0, 1, -1, 0], 2, r"y\[2\] = -1 is out of bounds"),
        ("cross_entropy", [0, 0, -1, 0], 3, r"y\[2\] = -1 is out of bounds"),
        ("mse", [[1], [2], [3], [np.nan]], 1, r"Input y contains NaN: y\[3, 0\]"),
        ("mse", [[1, 2]] * 4, 1, r"must have shape \(N, 1\) like the predictions, got"),
        ("cross_entropy", [[0]] * 4, 2, r"y must have shape \(N,\), .* got \(N, 1\)"),
    ],
)
def test_targets_are_looked_at_before_the_first_step(loss, y, outputs, message):
    trainer = Trainer(last_step(outputs), loss=loss)
    X, y = np.ones((4, 3, 2)), np.array(y)
    for call in (
        lambda: trainer.fit(X, y, epochs=1, batch_size=1, shuffle=False),
        lambda: trainer.evaluate(X, y),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert trainer.optimizer.steps == 0


def test_a_loss_of_pygru_needs_targets():
    X = np.ones((4, 3, 2))
    for call in (
        lambda: Trainer(last_step()).fit(X, None, epochs=1, batch_size=1),
        lambda: Trainer(last_step()).evaluate(X, None),
    ):
        with pytest.raises(TypeError, match="y must be array-like of numbers, got NoneType"):
            call()
    own = Trainer(
        last_step(), loss=lambda p, t, *, mask: (float((p**2).mean()), 2 * p / p.size)
    )
    own.fit(X, None, epochs=1, batch_size=2)
    assert own.optimizer.steps == 2


def test_weights_of_a_batch_may_be_part_of_the_loss():
    weighted = functools.partial(losses.mse, weights=np.array([[1.0], [0.0]]))
    trainer = Trainer(last_step(), loss=weighted)
    trainer.fit(np.ones((4, 3, 2)), np.ones((4, 1)), epochs=1, batch_size=2)
    assert trainer.optimizer.steps == 2


def test_soft_ignored_and_hidden_targets_are_learned():
    X = np.ones((4, 3, 2))
    soft = np.array([[0.0], [0.3], [1.0], [0.7]])
    Trainer(last_step(), loss="bce_with_logits").fit(X, soft, epochs=1, batch_size=2)
    ignoring = functools.partial(losses.cross_entropy, ignore_index=-1)
    Trainer(last_step(3), loss=ignoring).fit(X, [0, -1, 2, 1], epochs=1, batch_size=2)
    seen = []

    def of_known(prediction, target, *, mask=None):
        seen.append(len(target))
        return losses.mse(prediction, target, mask=~np.isnan(target))

    y = np.array([[1.0], [np.nan], [np.nan], [2.0]])
    trainer = Trainer(last_step(), loss=of_known)
    trainer.fit(X, y, epochs=1, batch_size=1, shuffle=False)
    assert trainer.optimizer.steps == 2  # nothing counts in the other two
    assert seen == [1, 1, 1, 1]  # a user's function is not asked before


# ---- arrays of objects, as np.load gives them ------------------------------------------------


def as_objects(sequences):
    objects = np.empty(len(sequences), object)
    objects[:] = sequences
    return objects


@pytest.mark.parametrize("equal", [False, True])
def test_an_array_of_objects_is_a_list_of_sequences(equal, tmp_path):
    X, y = ragged()
    if equal:
        X, y = [x[:1] for x in X], [t[:1] for t in y]
        objects = [np.array([values.tolist() for values in each], object) for each in (X, y)]
        assert objects[0].ndim == 3  # NumPy makes one array of sequences of equal length
    else:
        objects = [as_objects(X), as_objects(y)]
    np.savez(tmp_path / "data.npz", X=objects[0], y=objects[1])
    loaded = np.load(tmp_path / "data.npz", allow_pickle=True)
    one, two = Trainer(every_step(), seed=0), Trainer(every_step(), seed=0)
    history = one.fit(X, y, epochs=2, batch_size=3, validation=(X, y))
    other = two.fit(
        loaded["X"], loaded["y"], epochs=2, batch_size=3, validation=(loaded["X"], loaded["y"])
    )
    assert other["loss"] == history["loss"] and other["val_loss"] == history["val_loss"]
    assert two.evaluate(loaded["X"], loaded["y"]) == one.evaluate(X, y)
    for found, expected in zip(two.predict(loaded["X"]), one.predict(X), strict=True):
        np.testing.assert_array_equal(found, expected)
    padded, lengths = pygru.pad_sequences(loaded["X"])
    np.testing.assert_array_equal(padded, pygru.pad_sequences(X)[0])
    assert lengths.tolist() == [len(x) for x in X]


def test_any_sequence_of_sequences_is_a_list_of_them():
    X, y = ragged()
    expected = Trainer(every_step()).evaluate(X, y)
    for kind in (tuple, collections.deque):
        assert Trainer(every_step()).evaluate(kind(X), kind(y)) == expected


@pytest.mark.parametrize("bad", ["a", None, {"a": 1}])
def test_objects_that_are_no_numbers_are_refused(bad):
    X = as_objects([np.ones((3, 2)), bad])
    with pytest.raises((TypeError, ValueError), match=r"X"):
        Trainer(every_step()).fit(X, np.ones((2, 1)), epochs=1, batch_size=1)


# ---- one value per sequence for a model that predicts every step -----------------------------


@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 3)])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("with_lengths", [False, True])
def test_a_forgotten_last_is_named_with_both_shapes(shape, loss, with_lengths):
    X, y = np.ones((6, 9, 2)), np.zeros(shape, int)
    lengths = np.full(6, 4) if with_lengths else None
    for call in (
        lambda trainer: trainer.fit(X, y, lengths=lengths),
        lambda trainer: trainer.evaluate(X, y, lengths=lengths),
    ):
        with pytest.raises(ValueError, match=r"did you forget Last\(\)\?") as caught:
            call(Trainer(every_step(3), loss=loss))
        assert str(shape) in str(caught.value) and "9" in str(caught.value)
    text = r"each of the 9 steps, because the model predicts every step, \(N, 9, 3\); got y of"
    with pytest.raises(ValueError, match=text):
        Trainer(every_step(3), loss=loss).fit(X, y)
