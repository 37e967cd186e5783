"""How ``Trainer`` uses data: which steps count, with what weight, and what is refused.

These tests fail if a loss depends on how the data were divided into batches, if targets are
padded with zeros that nobody gave, if a forecast horizon is taken for time steps, or if one
sequence is taken for several samples.
"""

import functools

import numpy as np
import pytest

import pygru
from pygru import GRU, Adam, Embedding, Last, Linear, Sequential, Trainer, losses

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
    """B2, B3: the targets (4, 24) of a forecast have as many entries as the padded X steps."""
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
    assert padded.dtype == np.int64
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


def test_pairs_are_for_a_seq2seq():
    X = {"source": [[1], [2]], "target": [[1], [2]]}
    for model in (every_step(), GRU(2, 1, batch_first=True)):
        with pytest.raises(TypeError, match="X must be an array or a list of arrays, got dict"):
            Trainer(model).fit(X, [[1], [2]], epochs=1, batch_size=2)
