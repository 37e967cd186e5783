"""ao-compensation-model: the gait of walkers, by 13 models of Keras 3 with convolutions.

Licence of the package: MIT. pygru has no convolutions, so the one GRU of each
model is taken, and a warning names the other layers.
"""

import numpy as np
import pytest

import pygru

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def paths(package):
    found = package("ao-compensation-model")
    names = [name for name in found.names() if name.endswith(".keras")]
    assert len(names) == 13
    return [found.file(name) for name in names]


def gru_of(path):
    with pytest.warns(UserWarning, match=r"only the GRU 'gru' is taken, without 'conv1d'"):
        return pygru.from_keras(path)


def test_the_only_gru_of_each_model(paths):
    grus = [gru_of(path) for path in paths]
    assert {gru.hidden_size for gru in grus} == {8, 16, 32}
    assert {gru.variant.name for gru in grus} == {"pytorch"}


def test_keras_computes_the_same(paths):
    keras = pytest.importorskip("keras")
    for path in paths[:3]:
        gru = gru_of(path)
        layer = keras.models.load_model(path, compile=False).get_layer("gru")
        rng = np.random.default_rng(0)
        x = rng.standard_normal((3, 25, gru.input_size)).astype(np.float32)
        output, h_n = gru(x)
        expected = keras.ops.convert_to_numpy(layer(x))
        np.testing.assert_allclose(
            output if layer.return_sequences else h_n[0], expected, rtol=0, atol=1e-6
        )
