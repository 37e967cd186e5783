"""A sequence has the same output bits in any batch, from a whole Sequential as from a GRU."""

import numpy as np
import pytest

import pygru
from pygru import GRU, Dropout, Embedding, Last, Linear, Sequential, Trainer

RNG = np.random.default_rng(0)
SEQUENCES = [RNG.standard_normal((size, 3)) for size in RNG.integers(1, 60, 70)]
DOCUMENTS = [RNG.integers(0, 9, size) for size in RNG.integers(1, 60, 70)]


def classifier(dtype):
    gru = GRU(3, 17, batch_first=True, bidirectional=True, dtype=dtype)
    hidden = Linear(34, 33, dtype=dtype)
    return Sequential(gru, Last(True), hidden, Dropout(0.1), Linear(33, 5, dtype=dtype), seed=0)


def forecaster(dtype):
    return Sequential(
        GRU(3, 32, 2, batch_first=True, dtype=dtype), Linear(32, 1, dtype=dtype), seed=1
    )


def tagger(dtype):
    return Sequential(
        Embedding(9, 8, dtype=dtype),
        GRU(8, 16, batch_first=True, dtype=dtype),
        Linear(16, 300, dtype=dtype),
        seed=2,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("make", "data"), [(classifier, SEQUENCES), (forecaster, SEQUENCES), (tagger, DOCUMENTS)]
)
def test_predictions_do_not_depend_on_the_batch(make, data, dtype):
    trainer = Trainer(make(dtype))
    whole = trainer.predict(data, batch_size=70)
    for batch_size in (1, 2, 7, 64):
        parts = trainer.predict(data, batch_size=batch_size)
        assert all(np.array_equal(one, other) for one, other in zip(parts, whole, strict=True))
    order = np.random.default_rng(1).permutation(70)
    shuffled = trainer.predict([data[i] for i in order], batch_size=32)
    for place, number in enumerate(order):
        assert np.array_equal(shuffled[place], whole[number])
    alone = trainer.model([data[3]])
    assert np.array_equal(alone[0], whole[3])
    with pygru.num_threads(2):
        assert np.array_equal(trainer.model([data[3], data[5]])[1], whole[5])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("features", [(1, 1), (5, 3), (64, 10), (37, 300)])
@pytest.mark.parametrize("bias", [False, True])
def test_rows_of_a_linear_layer_do_not_depend_on_one_another(features, bias, dtype):
    layer = Linear(*features, bias, dtype=dtype, seed=0)
    x = np.random.default_rng(0).standard_normal((201, features[0])).astype(dtype)
    y, tape = layer.forward(x)
    np.testing.assert_allclose(
        y,
        x @ layer.parameters["weight"].T + layer.parameters.get("bias", 0),
        rtol=1e-5 if dtype is np.float32 else 1e-13,
        atol=1e-5 if dtype is np.float32 else 1e-13,
    )
    d_x = layer.backward(tape, y)
    for rows in (slice(0, 1), slice(7, 8), slice(3, 20), slice(100, 201)):
        part, tape = layer.forward(x[rows])
        assert np.array_equal(part, y[rows])
        assert np.array_equal(layer.backward(tape, part), d_x[rows])
    assert np.array_equal(layer(x[5]), y[5])  # without a batch axis


@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 4, 6), (0, 6), (3, 0, 6)])
def test_a_linear_layer_takes_any_shape_and_layout(shape):
    layer = Linear(6, 2, dtype="float64", seed=0)
    x = np.random.default_rng(0).standard_normal(shape)
    y, tape = layer.forward(x)
    assert y.shape == (*shape[:-1], 2)
    layer.backward(tape, y)
    expected = layer.flat_grads.copy()
    for other in (np.asfortranarray(x), np.repeat(x, 2, axis=-1)[..., ::2], x.astype(">f8")):
        layer.zero_grad()
        again, tape = layer.forward(other)
        assert np.array_equal(again, y)
        assert np.array_equal(layer.backward(tape, np.asfortranarray(y)).shape, shape)
        assert np.array_equal(layer.flat_grads, expected)
