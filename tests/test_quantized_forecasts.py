"""A forecaster with weights of 8 bits, on the series that ships."""

import pickle

import numpy as np
import pytest
from engines import HAS_SIMD

from pygru.data import load_co2
from pygru.forecasting import GRUForecaster
from pygru.quantized.gru import QuantizedGRU

pytestmark = pytest.mark.skipif(not HAS_SIMD, reason="weights of 8 bits need the SIMD engine")


@pytest.fixture(scope="module")
def co2():
    return load_co2()


@pytest.fixture(scope="module")
def forecaster(co2):
    forecaster = GRUForecaster(
        52, season=52, hidden_size=16, epochs=3, learning_rate=3e-3, progress=False
    )
    return forecaster.fit(co2[:-260], validation_size=260)


def test_errors_of_co2_a_year_ahead_are_within_one_per_cent(co2, forecaster):
    start = co2.index[-260]
    quantized = forecaster.quantized()
    errors = [
        each.backtest(co2, start=start, step=8).scores.loc["GRU", "MAE"]
        for each in (forecaster, quantized)
    ]
    assert errors[0] < 1.0
    assert errors[1] == pytest.approx(errors[0], rel=0.01)
    assert isinstance(quantized.model_.gru, QuantizedGRU)
    difference = quantized.predict() - forecaster.predict()
    assert 0 < np.abs(difference.to_numpy()).max() < 0.1


def test_it_is_saved_with_its_integers(co2, forecaster, tmp_path):
    quantized = forecaster.quantized()
    quantized.save(tmp_path / "small.safetensors")
    forecaster.save(tmp_path / "float.safetensors")
    loaded = GRUForecaster.load(tmp_path / "small.safetensors")
    expected = quantized.predict(co2)
    assert loaded.predict(co2).equals(expected)
    assert pickle.loads(pickle.dumps(quantized)).predict(co2).equals(expected)
    assert (
        GRUForecaster.load(tmp_path / "float.safetensors")
        .predict(co2)
        .equals(forecaster.predict(co2))
    )
    assert loaded.model_.parameters["gru.weight_hh_l0"].dtype == np.int8


def test_what_cannot_be_converted(forecaster):
    with pytest.raises(RuntimeError, match="not fitted"):
        GRUForecaster(4).quantized()
    with pytest.raises(ValueError, match="bits must be 8, got 2"):
        forecaster.quantized(2)
    with pytest.raises(ValueError, match="integers already"):
        forecaster.quantized().quantized()
