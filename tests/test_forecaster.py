"""GRUForecaster: the interface, no use of the future, missing values, scales, files."""

import numpy as np
import pandas as pd
import pytest

from pygru.forecasting import GRUForecaster


def wave(n=300, noise=0.05, seed=0):
    t = np.arange(n)
    rng = np.random.default_rng(seed)
    return 0.02 * t + np.sin(2 * np.pi * t / 12) + noise * rng.standard_normal(n)


def quick(horizon=4, **options):
    """A forecaster that is trained a little."""
    return GRUForecaster(
        horizon, **{"hidden_size": 4, "epochs": 1, "progress": False, **options}
    )


@pytest.mark.parametrize("season", [None, 12, "auto"])
def test_first_steps(season):
    forecaster = quick(season=season).fit(wave())
    frame = forecaster.predict()
    assert frame.index.tolist() == [300, 301, 302, 303]
    assert np.isfinite(frame.to_numpy()).all()
    assert forecaster.season_ == (None if season is None else 12)


def test_save_and_load(tmp_path):
    table = pd.DataFrame(
        {"a": wave(), "b": wave(seed=1), "c": np.arange(300) % 3},
        index=pd.date_range("2001-01-31", periods=300, freq="ME"),
    )
    forecaster = quick(season=12, quantiles=(0.1, 0.9)).fit(table, past=["c"])
    forecaster.save(tmp_path / "f.safetensors")
    loaded = GRUForecaster.load(tmp_path / "f.safetensors")
    pd.testing.assert_frame_equal(loaded.predict(table), forecaster.predict())
    given = {**forecaster.get_params(), "progress": None}  # which belongs to the run
    assert loaded.get_params() == given
    with pytest.raises(RuntimeError, match="holds no data: give y"):
        loaded.predict()
