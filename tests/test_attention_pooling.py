"""AttentionOverTime: NumPy's values, exact gradients, ragged batches, equal bits, files."""

import numpy as np
import pytest
from complex_step import assert_close, gradients

import pygru
from pygru import GRU, Adam, AttentionOverTime, Linear, Sequential, Trainer

ENDS = np.array([5, 1, 0, 3])
X = np.random.default_rng(0).standard_normal((4, 5, 3))


def by_hand(p, lengths=ENDS):
    """The pooled vectors and the weights, from x and the parameters, also complex ones."""
    dtype = np.result_type(*p.values())
    y, weights = np.zeros((4, 3), dtype), np.zeros((4, 5), dtype)
    for b, end in enumerate(lengths):
        if end:
            h = p["x"][b, :end]
            powers = np.exp(np.tanh(h @ p["weight"].T + p["bias"]) @ p["weight_score"][0])
            weights[b, :end] = powers / powers.sum()
            y[b] = weights[b, :end] @ h
    return y, weights


def layer_of(dtype="float64", **options):
    return AttentionOverTime(3, 4, dtype=dtype, seed=0, **options)


def with_nan_after(lengths):
    """X with NaN where nothing may be read."""
    return np.where((np.arange(5) < lengths[:, np.newaxis])[..., np.newaxis], X, np.nan)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lengths", [None, ENDS])
def test_values_weights_and_gradients(lengths, dtype):
    layer = layer_of(dtype)
    ends = np.full(4, 5) if lengths is None else lengths
    x = X if lengths is None else with_nan_after(lengths)
    y, tape = layer.forward(x, lengths=lengths)
    weights = layer.weights(x, lengths=lengths)
    tensors = {"x": X, **{name: v.astype(float) for name, v in layer.parameters.items()}}
    close = {"rtol": 1e-5, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-13}
    for actual, expected in zip((y, weights), by_hand(tensors, ends), strict=True):
        assert actual.dtype == dtype
        np.testing.assert_allclose(actual, expected, **close)

    d_y = np.random.default_rng(1).standard_normal((4, 3))
    layer.zero_grad()
    d_x = layer.backward(tape, d_y)
    exact = gradients(lambda p: (by_hand(p, ends)[0] * d_y).sum(), tensors)
    found = {"x": d_x, **layer.grads}
    for name, gradient in found.items():
        assert gradient.dtype == dtype
        if dtype == "float64":
            assert_close(gradient, exact[name], name)
        else:
            np.testing.assert_allclose(gradient, exact[name], rtol=1e-4, atol=1e-5)
    assert not d_x[np.arange(5) >= ends[:, np.newaxis]].any()
    layer.backward(tape, d_y)  # gradients are added, and a tape can be used again
    np.testing.assert_allclose(layer.grads["weight"], 2 * exact["weight"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(1, 1), (3, 5), (33, 70)])
def test_a_sequence_has_the_same_bits_in_any_batch_and_layout(sizes, dtype):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((9, 301, sizes[0])).astype(dtype)
    lengths = np.array([301, 17, 129, 1, 0, 64, 300, 8, 33])
    layer = AttentionOverTime(*sizes, dtype=dtype, seed=1)
    together, tape = layer.forward(x, lengths=lengths)
    d_x, weights = layer.backward(tape, together), layer.weights(x, lengths=lengths)
    assert np.array_equal(layer(np.asfortranarray(x), lengths=lengths), together)
    with pygru.num_threads(2):
        assert np.array_equal(layer(x, lengths=lengths), together)
    for b, end in enumerate(lengths):
        alone, tape = layer.forward(x[b : b + 1, :end])
        assert np.array_equal(alone[0], together[b])
        assert np.array_equal(layer.backward(tape, alone)[0], d_x[b, :end])
        assert np.array_equal(layer.weights(x[b : b + 1, :end])[0], weights[b, :end])
    order = rng.permutation(9)
    assert np.array_equal(layer(x[order], lengths=lengths[order]), together[order])


def test_scores_of_any_size():
    layer = AttentionOverTime(1, 1, dtype="float64")
    layer.flat_parameters = [1.0, 0.0, 1e5]  # the scores are near -1e5 and 1e5
    y, tape = layer.forward([[[-9.0], [9.0]], [[-9.0], [-9.0]]])
    assert y.tolist() == [[9.0], [-9.0]]
    assert np.isfinite(layer.backward(tape, y)).all() and np.isfinite(layer.flat_grads).all()


def test_a_nan_stays_in_its_sequence():
    x = X.copy()
    x[1, 2, 0] = np.nan
    y = layer_of()(x)
    assert np.isnan(y).any(axis=1).tolist() == [False, True, False, False]


def test_empty_batches_and_batches_without_steps():
    layer = layer_of()
    for shape in [(0, 5, 3), (2, 0, 3)]:
        y, tape = layer.forward(np.ones(shape))
        assert y.shape == (shape[0], 3) and not y.any()
        assert layer.backward(tape, y).shape == shape
        assert layer.weights(np.ones(shape)).shape == shape[:2]
    assert not layer.flat_grads.any()


def test_models_are_trained_saved_and_loaded(tmp_path):
    """The label is the sign of a number at a marked step, which the weights must find."""
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((size, 2)) for size in rng.integers(4, 9, 200)]
    marks = [rng.integers(len(x)) for x in X]
    for x, mark in zip(X, marks, strict=True):
        x[:, 1] = np.arange(len(x)) == mark
    y = [int(x[mark, 0] > 0) for x, mark in zip(X, marks, strict=True)]
    model = Sequential(AttentionOverTime(2, 4), Linear(2, 2), seed=0)
    trainer = Trainer(model, loss="cross_entropy", optimizer=Adam(0.05), seed=0)
    trainer.fit(X, y, epochs=30, batch_size=20, progress=False)
    assert (trainer.predict(X).argmax(axis=1) == y).mean() > 0.95
    of_marked = [
        float(model.layers[0].weights(x[np.newaxis])[0, mark])
        for x, mark in zip(X, marks, strict=True)
    ]
    assert np.mean(of_marked) > 2 * np.mean([1 / len(x) for x in X])

    pygru.save(model, tmp_path / "model.safetensors")
    loaded = pygru.load(tmp_path / "model.safetensors")
    assert repr(loaded) == repr(model) and not model.predicts_steps
    assert np.array_equal(loaded(X), model(X))


def test_it_follows_a_bidirectional_gru():
    gru = GRU(3, 4, batch_first=True, bidirectional=True)
    model = Sequential(gru, AttentionOverTime(8), Linear(8, 2), seed=0)
    d_x = model.backward(model.forward(X, lengths=ENDS)[1], np.ones((4, 2)))
    assert d_x[0].any() and not d_x[2].any()


def test_the_size_of_the_scores_and_the_seed():
    assert AttentionOverTime(3).attention_size == 3
    one, other = layer_of(), layer_of()
    assert np.array_equal(one.flat_parameters, other.flat_parameters)
    other.reseed(1)
    assert not np.array_equal(one.flat_parameters, other.flat_parameters)
    assert abs(one.parameters["weight_score"]).max() <= 0.5  # 1/sqrt(A)
    with pytest.raises(AttributeError, match="features of an AttentionOverTime cannot be"):
        one.features = 4


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="features must be >= 1, got 0"):
        AttentionOverTime(0)
    with pytest.raises(TypeError, match="attention_size must be an int, got float"):
        AttentionOverTime(3, 2.0)
    with pytest.raises(ValueError, match="dtype must be float32 or float64"):
        AttentionOverTime(3, dtype="int32")
    layer = layer_of()
    for shape in [(2, 3), (2, 5, 4), (1, 2, 5, 3)]:
        with pytest.raises(ValueError, match=r"x must have shape \(batch, time, features=3\)"):
            layer(np.ones(shape))
    with pytest.raises(ValueError, match=r"lengths\[0\] = 6 exceeds"):
        layer.weights(X, lengths=[6, 1, 1, 1])
    _, tape = layer.forward(X)
    with pytest.raises(ValueError, match="d_y must have shape"):
        layer.backward(tape, np.ones((4, 2)))
    assert not layer.flat_grads.any()
