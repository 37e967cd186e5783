"""Models for the tests of to_onnx, and batches whose sequences have different lengths."""

import functools

import numpy as np

import pygru

EPS = 2.0**-10  # a number that ONNX's float32 attribute holds exactly
VARIANTS = ["chung", "cho", "pytorch", pygru.Variant("after", "replace")]

# Pairs of a recurrent activation and an activation.
ACTIVATIONS = [
    ("hard_sigmoid", "tanh"),
    (("hard_sigmoid", 1 / 8, 0.5), "softsign"),
    (("hard_sigmoid", 1 / 8, 0.25), ("hard_sigmoid", 1 / 4, 0.0)),
    ("sigmoid", "relu"),
    ("sigmoid", "linear"),
    ("tanh", "sigmoid"),
    ("linear", ("hard_sigmoid", 1 / 2, -0.5)),
]

I, H = 2, 3


def padded(rng, *shape, lengths=None):
    """A batch, batch first, with NaN after the end of each sequence."""
    x = rng.standard_normal(shape)
    for sequence, end in zip(x, lengths or (), strict=False):
        sequence[end:] = np.nan
    return x


def with_large_weights(rng, model, largest=1.5):
    """A model whose gates are not all near one half."""
    for values in model.parameters.values():
        values[...] = rng.uniform(-largest, largest, values.shape)
    return model


def layers_of(dtype):
    """What makes a GRU and a linear layer of this dtype."""
    gru = functools.partial(pygru.GRU, batch_first=True, dtype=dtype)
    return gru, functools.partial(pygru.Linear, dtype=dtype)


def feature_scale(features, dtype):
    """A scale and a shift that are not those of a new layer."""
    layer = pygru.FeatureScale(features, dtype=dtype)
    layer.flat_parameters = np.linspace(-1, 2, 2 * features)
    return layer


def of_steps(dtype):
    """Models with an output for every step, by name. Their input has I features."""
    gru, linear = layers_of(dtype)
    activations = ("relu", "tanh", "sigmoid", "softmax", "gelu", "softplus")
    return {
        "a GRU": [gru(I, H)],
        "two GRUs": [gru(I, H), pygru.Dropout(0.5), gru(H, 2, 2, variant="pytorch")],
        "a linear layer first": [linear(I, 5), gru(5, H, bidirectional=True)],
        "a linear layer last": [gru(I, H), linear(H, 2)],
        "a linear layer without bias": [gru(I, H), linear(H, 2, bias=False)],
        "a layer norm": [
            pygru.LayerNorm(I, EPS, dtype=dtype),
            gru(I, H),
            pygru.LayerNorm(H, EPS, dtype=dtype),
        ],
        "a feature scale": [feature_scale(I, dtype), gru(I, H), feature_scale(H, dtype)],
        "no parameters": [pygru.Activation("tanh")],
        "nothing but a dropout": [pygru.Dropout()],
        **{name: [gru(I, H), pygru.Activation(name)] for name in activations},
    }


def of_sequences(dtype):
    """Models with an output for every sequence, by name."""
    gru, linear = layers_of(dtype)
    models = {}
    for pooling in (pygru.Last(), pygru.MeanOverTime(), pygru.MaxOverTime()):
        name = type(pooling).__name__
        models[name] = [gru(I, H), pooling, linear(H, 2)]
        models[f"{name} after a linear layer"] = [gru(I, H), linear(H, 2), pooling]
        models[f"{name} alone"] = [linear(I, 2), pooling]
    models["both ends"] = [
        gru(I, H, bidirectional=True),
        linear(2 * H, 4),
        pygru.Last(bidirectional=True),
    ]
    models["both ends of an odd number"] = [linear(I, 3), pygru.Last(bidirectional=True)]
    for merge in ("sum", "mul", "ave"):
        models[f"both ends, {merge}"] = [
            gru(I, H, bidirectional=True),
            pygru.Last(bidirectional=True, merge=merge),
        ]
    models["the first step"] = [gru(I, H, reverse=True), pygru.Last(reverse=True)]
    attention = pygru.AttentionOverTime(2 * H, 4, dtype=dtype)
    models["attention"] = [gru(I, H, bidirectional=True), attention, linear(2 * H, 2)]
    models["attention after a linear layer"] = [
        linear(I, 3),
        pygru.AttentionOverTime(3, dtype=dtype),
    ]
    return models


def models(dtype):
    """Layers for a Sequential, by a name that says what they test."""
    return of_steps(dtype) | of_sequences(dtype)
