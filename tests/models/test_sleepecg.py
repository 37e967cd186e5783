"""sleepecg: stages of sleep from heartbeats, by three models of Keras 3 with masks.

Licence of the package: BSD-3-Clause. Each file is a zip archive with a ``.keras`` file inside.
Steps whose features are all -1 are masked, and stand in the middle of a record.
"""

import io
import zipfile

import numpy as np
import pytest

import pygru

pytestmark = pytest.mark.slow

# The number of stages of each model.
FILES = {"wrn-gru-mesa-weighted.zip": 4, "wrn-gru-mesa.zip": 4, "ws-gru-mesa.zip": 3}


@pytest.fixture(scope="module", params=FILES)
def path(request, package):
    return package("sleepecg").file(f"classifiers/{request.param}")


def record():
    """Two records of 500 half minutes, with gaps at both ends and in the middle."""
    rng = np.random.default_rng(0)
    x = 3 * rng.standard_normal((2, 500, 36)).astype(np.float32)
    missing = rng.random((2, 500)) < 0.15
    missing[0, 100:140] = missing[1, :5] = missing[1, 480:] = True
    x[missing] = -1
    return x, missing


def test_what_is_found(path):
    found = pygru.io.inspect(path)
    assert [gru.name for gru in found] == ["bidirectional", "bidirectional_1"]
    assert {(gru.hidden_size, gru.variant.name) for gru in found} == {(8, "pytorch")}
    assert not any(gru.unknown for gru in found)


def test_steps_that_are_masked_change_nothing(path):
    model = pygru.from_keras(path)
    x, missing = record()
    y = model(x)
    assert y.shape == (2, 500, FILES[path.name])
    kept = model(x[:1, ~missing[0]])
    np.testing.assert_allclose(y[:1, ~missing[0]], kept, rtol=0, atol=1e-6)


def test_keras_computes_the_same(path, tmp_path):
    keras = pytest.importorskip("keras")
    inner = tmp_path / "classifier.keras"
    inner.write_bytes(zipfile.ZipFile(io.BytesIO(path.read_bytes())).read(inner.name))
    x, _ = record()
    expected = keras.models.load_model(inner, compile=False).predict(x, verbose=0)
    difference = np.abs(pygru.from_keras(path)(x) - expected).max()
    assert difference < 3e-6
