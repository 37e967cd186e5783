"""phonet: phonemes from speech, by a legacy HDF5 file of Keras 2.3 with one bias per GRU.

Licence of the package: MIT. Keras 3 cannot load this file. So its model is built as the package
does it, and gets the arrays in the file as weights.
"""

import numpy as np
import pytest

import pygru

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def path(package):
    return package("phonet").file("models/phonemes.hdf5")


def test_what_is_found(path):
    found = pygru.io.inspect(path)
    assert [(gru.name, gru.input_size, gru.hidden_size) for gru in found] == [
        ("bidirectional_1", 34, 128),
        ("bidirectional_2", 256, 128),
    ]
    assert {gru.variant.name for gru in found} == {"cho"}
    assert {gru.recurrent_activation for gru in found} == {"sigmoid"}


def test_weights_without_a_model_are_found(package):
    found = pygru.io.inspect(package("phonet").file("models/model.h5"))
    assert [gru.name for gru in found] == ["bidirectional_1", "bidirectional_2"]
    assert {gru.unknown for gru in found} == {("recurrent_activation",)}


def test_keras_computes_the_same(path):
    keras = pytest.importorskip("keras")
    layers = keras.layers
    gru = lambda: layers.GRU(128, return_sequences=True, reset_after=False)  # noqa: E731
    model = keras.Sequential(
        [
            layers.Input((40, 34)),
            layers.BatchNormalization(),
            layers.Bidirectional(gru()),
            layers.Bidirectional(gru()),
            layers.TimeDistributed(layers.Dense(128, activation="relu")),
            layers.TimeDistributed(layers.Dense(36, activation="softmax")),
        ]
    )
    stored = pygru.io.read_arrays(path)
    norm = [f"batch_normalization_1/{each}" for each in ("gamma", "beta")]
    norm += [f"batch_normalization_1/moving_{each}" for each in ("mean", "variance")]
    names = norm + [
        f"bidirectional_{index}/{direction}_gru_{index}/{each}"
        for index in (1, 2)
        for direction in ("forward", "backward")
        for each in ("kernel", "recurrent_kernel", "bias")
    ]
    names += [f"time_distributed_{i}/{each}" for i in (1, 2) for each in ("kernel", "bias")]
    model.set_weights(
        [stored[f"model_weights/{name.split('/')[0]}/{name}:0"] for name in names]
    )
    x = 2 * np.random.default_rng(0).standard_normal((25, 40, 34)).astype(np.float32)
    difference = np.abs(pygru.from_keras(path)(x) - model.predict(x, verbose=0)).max()
    assert difference < 3e-6
