"""Activation, LayerNorm and FeatureScale: values, gradients, extremes, equal bits, files."""

import functools

import numpy as np
import pytest
from complex_step import assert_close, gradients
from scipy.special import erf

import pygru
from pygru import (
    GRU,
    Activation,
    FeatureScale,
    Last,
    LayerNorm,
    Linear,
    Sequential,
    Trainer,
    losses,
)

ENDS = np.array([3, 0, 1, 5])
X = 2 * np.random.default_rng(3).standard_normal((4, 5, 6))
BY_HAND = {
    "relu": lambda x: np.where(x.real > 0, x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True),
    "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    "softplus": lambda x: np.log(1 + np.exp(x)),
}
DTYPES = ["float32", "float64"]


def layer_norm_by_hand(p):
    """The formula in the documentation of torch.nn.LayerNorm, with the biased variance."""
    x = p["x"]
    centred = x - x.sum(axis=-1, keepdims=True) / x.shape[-1]
    variance = (centred**2).sum(axis=-1, keepdims=True) / x.shape[-1]
    return centred / np.sqrt(variance + 1e-5) * p["weight"] + p["bias"]


def layer_norm(dtype="float64", features=6):
    layer = LayerNorm(features, dtype=dtype)
    layer.flat_parameters = np.random.default_rng(9).standard_normal(2 * features)
    return layer


def feature_scale(dtype="float64", features=6):
    layer = FeatureScale(features, dtype=dtype)
    layer.flat_parameters = np.random.default_rng(8).standard_normal(2 * features)
    return layer


def layers_of(dtype, features=6):
    with_parameters = layer_norm(dtype, features), feature_scale(dtype, features)
    return [*(Activation(name) for name in BY_HAND), *with_parameters]


def check(layer, by_hand, parameters, dtype, lengths):
    """Compare values and gradients; there is NaN where nothing may be read."""
    there = np.arange(5) < (np.full(4, 5) if lengths is None else lengths)[:, np.newaxis]
    counts = there[..., np.newaxis]
    y, tape = layer.forward(np.where(counts, X, np.nan).astype(dtype), lengths=lengths)
    d_y = np.random.default_rng(5).standard_normal(X.shape)
    d_x = layer.backward(tape, np.where(counts, d_y, np.nan))
    tensors = {"x": X, **{name: value.astype(float) for name, value in parameters.items()}}
    exact = gradients(lambda p: np.where(counts, by_hand(p) * d_y, 0).sum(), tensors)
    assert y.dtype == d_x.dtype == dtype
    assert not y[~there].any() and not d_x[~there].any()
    if dtype == "float32":
        np.testing.assert_allclose(y[there], by_hand(tensors)[there], rtol=3e-6, atol=2e-7)
    else:
        np.testing.assert_allclose(y[there], by_hand(tensors)[there], rtol=1e-13, atol=1e-15)
    for name, expected in exact.items():
        found = d_x if name == "x" else layer.grads[name]
        if dtype == "float64":
            assert_close(found, expected, name)
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=3e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lengths", [None, ENDS], ids=["full", "ragged"])
@pytest.mark.parametrize("name", BY_HAND)
def test_values_and_gradients_of_activations(name, lengths, dtype):
    check(Activation(name), lambda p: BY_HAND[name](p["x"]), {}, dtype, lengths)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lengths", [None, ENDS], ids=["full", "ragged"])
def test_values_and_gradients_of_feature_scale(lengths, dtype):
    layer = feature_scale(dtype)
    check(layer, lambda p: p["x"] * p["weight"] + p["bias"], layer.state_dict(), dtype, lengths)
    once = layer.flat_grads.copy()
    y, tape = layer.forward(X, lengths=lengths)
    layer.backward(tape, np.ones_like(y))
    assert not np.array_equal(layer.flat_grads, once)  # gradients are added
    assert np.array_equal(FeatureScale(6)(X.astype("float32")), X.astype("float32"))
    with pytest.raises(ValueError, match=r"x must have shape \(..., features=6\)"):
        layer(np.ones((2, 5)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lengths", [None, ENDS], ids=["full", "ragged"])
def test_values_and_gradients_of_layer_norm(lengths, dtype):
    layer = layer_norm(dtype)
    check(layer, layer_norm_by_hand, layer.state_dict(), dtype, lengths)
    once = layer.flat_grads.copy()
    _, tape = layer.forward(X, lengths=lengths)
    layer.backward(tape, np.random.default_rng(5).standard_normal(X.shape))
    np.testing.assert_allclose(layer.flat_grads, 2 * once, rtol=1e-5, atol=1e-5)


# ---- extremes ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "x", "y", "slope"),
    [
        ("relu", [-np.inf, -0.0, 0.0, 3.0, np.inf], [0, 0, 0, 3, np.inf], [0, 0, 0, 1, 1]),
        ("tanh", [-np.inf, -100, 0, 100], [-1, -1, 0, 1], [0, 0, 1, 0]),
        ("sigmoid", [-np.inf, -1000, 0, 1000], [0, 0, 0.5, 1], [0, 0, 0.25, 0]),
        ("gelu", [-np.inf, -1e9, 0, 1e9, np.inf], [0, 0, 0, 1e9, np.inf], [0, 0, 0.5, 1, 1]),
        ("softplus", [-np.inf, -1e9, 1e9], [0, 0, 1e9], [0, 0, 1]),
        ("softmax", [-np.inf, -1e9, 1e9, 1e9], [0, 0, 0.5, 0.5], [0, 0, 0, 0]),
    ],
)
def test_extremes(name, x, y, slope, dtype):
    layer = Activation(name)
    found, tape = layer.forward(np.array(x, dtype))
    assert np.array_equal(found, np.array(y, dtype))
    assert np.array_equal(layer.backward(tape, np.ones(len(x))), slope)


@pytest.mark.parametrize("name", BY_HAND)
def test_nan_gives_nan_and_only_there(name):
    x = np.ones((2, 3))
    x[1, 1] = np.nan
    bad = np.isnan(Activation(name)(x))
    assert bad[1, 1] and not bad[0].any()
    assert name == "softmax" or bad.sum() == 1


def test_tails_keep_their_digits():
    """Where 1 + erf(x) or 1 + exp(x) would have lost them."""
    x = np.array([-9.0, -30.0])
    exact = [-9 * 1.1285884059538408e-19, -30 * 4.906713927148187e-198]
    np.testing.assert_allclose(Activation("gelu")(x), exact, rtol=1e-13)
    np.testing.assert_allclose(Activation("softplus")(x - 20), np.exp(x - 20), rtol=1e-12)


def test_layer_norm_of_equal_features_and_of_large_ones():
    layer = LayerNorm(3)
    assert layer(np.full((1, 3), 1e30)).tolist() == [[0, 0, 0]]
    x = np.array([[1.0, 2.0, 4.0]])
    np.testing.assert_allclose(layer(1e6 + x), layer(x), atol=1e-5)
    assert LayerNorm(1)([[5.0], [7.0]]).tolist() == [[0], [0]]
    eps = LayerNorm(2, 0.25, dtype="float64")
    assert eps([[-1.0, 1.0]])[0, 1] == 1 / np.sqrt(1.25)


# ---- every step on its own -----------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("features", [1, 2, 7, 64, 301])
def test_a_step_has_the_same_bits_beside_any_others(features, dtype):
    rng = np.random.default_rng(0)
    x = (3 * rng.standard_normal((7, 13, features))).astype(dtype)
    lengths = rng.integers(0, 14, 7)
    for layer in layers_of(dtype, features):
        y, tape = layer.forward(x)
        d_x = layer.backward(tape, y)
        for b, t in [(0, 0), (3, 5), (6, 12)]:
            assert np.array_equal(layer(x[b, t]), y[b, t])
            alone, tape = layer.forward(x[b : b + 1, t : t + 1])
            assert np.array_equal(alone[0, 0], y[b, t])
            assert np.array_equal(layer.backward(tape, alone)[0, 0], d_x[b, t])
        assert np.array_equal(layer(np.asfortranarray(x)), y)
        ragged = layer(x, lengths=lengths)
        for b, end in enumerate(lengths):
            assert np.array_equal(ragged[b, :end], y[b, :end])
        with pygru.num_threads(2):
            assert np.array_equal(layer(x), y)


@pytest.mark.parametrize("shape", [(6,), (4, 6), (2, 3, 4, 6), (0, 6), (3, 0, 6)])
def test_any_shape_and_form_of_numbers(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    for layer in layers_of("float64"):
        y, tape = layer.forward(x)
        assert y.shape == shape and layer.backward(tape, y).shape == shape
        assert np.array_equal(layer(x.astype(">f8")), y)
        assert not x.size or np.array_equal(layer(x.tolist()), y)
        assert layer(np.ones(shape, int)).dtype == np.float64
    assert Activation("softmax")(np.ones((3, 0))).shape == (3, 0)


# ---- in models -----------------------------------------------------------------------------


def test_models_are_trained_saved_and_loaded(tmp_path):
    model = Sequential(
        GRU(6, 8, batch_first=True),
        LayerNorm(8),
        Linear(8, 4),
        Activation("gelu"),
        Linear(4, 1),
        seed=0,
    )
    assert repr(model.layers[1]) == "LayerNorm(features=8, eps=1e-05, dtype='float32')"
    assert repr(model.layers[3]) == "Activation(activation='gelu')"
    sequences = [x[:end] for x, end in zip(X, ENDS, strict=True) if end]
    targets = [x[:, :1] for x in sequences]
    history = Trainer(model, seed=0).fit(
        sequences, targets, epochs=5, batch_size=2, progress=False
    )
    assert history["loss"][-1] < history["loss"][0]
    pygru.save(model, tmp_path / "model.safetensors")
    loaded = pygru.load(tmp_path / "model.safetensors")
    for one, other in zip(loaded(sequences), model(sequences), strict=True):
        assert np.array_equal(one, other)
    model.reseed(3)
    assert model.layers[1].parameters["weight"].tolist() == [1] * 8


@pytest.mark.parametrize(
    ("activation", "loss", "refused"),
    [
        ("softmax", "cross_entropy", True),
        ("softmax", functools.partial(losses.cross_entropy, label_smoothing=0.1), True),
        ("sigmoid", "bce_with_logits", True),
        ("sigmoid", "cross_entropy", False),
        ("softmax", "mse", False),
        ("sigmoid", "mse", False),
        ("relu", "cross_entropy", False),
    ],
)
def test_a_loss_that_contains_the_last_activation_is_refused(activation, loss, refused):
    model = Sequential(GRU(2, 3, batch_first=True), Last(), Activation(activation))
    if refused:
        with pytest.raises(
            ValueError, match=f"contains the {activation}: train the model with"
        ):
            Trainer(model, loss=loss)
    else:
        Trainer(model, loss=loss)
    Trainer(GRU(2, 3, batch_first=True), loss=loss)  # no layers


def test_layer_norm_has_no_weight_decay():
    assert LayerNorm(3).weight_slices == [[]]


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"activation must be one of 'relu', .* got 'swish'"):
        Activation("swish")
    with pytest.raises(ValueError, match="features must be >= 1"):
        LayerNorm(0)
    for eps in (0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="eps must be a finite number > 0"):
            LayerNorm(3, eps)
    with pytest.raises(TypeError, match="eps must be a float, got str"):
        LayerNorm(3, "1e-5")
    with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., features=3\), got"):
        LayerNorm(3)(np.ones((2, 4)))
    with pytest.raises(ValueError, match="x must have at least one dimension"):
        Activation("relu")(1.0)
    with pytest.raises(TypeError, match="x must be numeric"):
        Activation("relu")(["a"])
    for layer in layers_of("float64"):
        _, tape = layer.forward(X)
        with pytest.raises(ValueError, match="d_y must have shape"):
            layer.backward(tape, X[:, :, :5])
        with pytest.raises(ValueError, match=r"lengths\[0\] = 9 exceeds"):
            layer(X, lengths=[9, 1, 1, 1])
