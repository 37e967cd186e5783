"""Backtests: scores against scikit-learn and by hand, and the same forecasts one by one."""

import numpy as np
import pandas as pd
import pytest
import slow_forecasts as slow
from sklearn import metrics

import pygru
from pygru.forecasting import GRUForecaster
from pygru.forecasting import scores as scoring
from pygru.forecasting.panel import read_panel
from pygru.forecasting.windows import Windows


def wave(n=200, noise=0.2, seed=0):
    t = np.arange(n)
    rng = np.random.default_rng(seed)
    return 0.02 * t + np.sin(2 * np.pi * t / 12) + noise * rng.standard_normal(n)


def quick(horizon=4, **options):
    return GRUForecaster(
        horizon, **{"hidden_size": 4, "epochs": 1, "progress": False, **options}
    )


@pytest.fixture(scope="module")
def fitted():
    return quick(season=12, quantiles=(0.1, 0.5, 0.9)).fit(wave()[:140])


@pytest.fixture(scope="module")
def backtest(fitted):
    return fitted.backtest(wave())


# ---- scores ------------------------------------------------------------------------------


def test_scores_equal_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    truth, forecast = rng.standard_normal((2, 50, 4))
    quantiles = np.sort(rng.standard_normal((50, 4, 2)), axis=-1)
    flat = truth.ravel()
    assert scoring.mean_absolute_error(truth, forecast) == pytest.approx(
        metrics.mean_absolute_error(flat, forecast.ravel())
    )
    assert scoring.root_mean_squared_error(truth, forecast) == pytest.approx(
        metrics.root_mean_squared_error(flat, forecast.ravel())
    )
    pinballs = [
        metrics.mean_pinball_loss(flat, quantiles[..., i].ravel(), alpha=q)
        for i, q in enumerate((0.1, 0.7))
    ]
    assert scoring.pinball_loss(truth, quantiles, (0.1, 0.7)) == pytest.approx(
        np.mean(pinballs)
    )


def test_scores_by_hand():
    nan = np.nan
    truth, forecast = np.array([1.0, nan, 3, 4]), np.array([2.0, 5, 3, nan])
    assert scoring.mean_absolute_error(truth, forecast) == 0.5
    assert scoring.root_mean_squared_error(truth, forecast) == pytest.approx(0.5**0.5)
    scale = np.array([0.5, 1, 0, 1])
    assert scoring.mean_absolute_scaled_error(truth, forecast, scale) == 2.0
    bands = np.array([[0.0, 2], [0, 0], [3, 3], [5, 6]])
    assert scoring.coverage(truth, bands, (0.1, 0.9)) == pytest.approx(2 / 3)
    assert np.isnan(scoring.coverage(truth, bands[:, :1], (0.1,)))
    assert np.isnan(scoring.pinball_loss(truth, bands, ()))
    assert np.isnan(scoring.mean_absolute_error(truth[1:2], forecast[1:2]))


def test_the_table_is_made_of_the_forecasts(backtest):
    frame = backtest.forecasts
    assert len(frame) == 57 * 4
    assert list(backtest.scores.columns) == list(scoring.NAMES)
    for name in backtest.methods:
        assert backtest.scores.loc[name, "MAE"] == pytest.approx(
            metrics.mean_absolute_error(frame["actual"], frame[name])
        )
        assert backtest.scores.loc[name, "RMSE"] == pytest.approx(
            metrics.root_mean_squared_error(frame["actual"], frame[name])
        )
    naive = np.abs(wave()[12:140] - wave()[:128]).mean()
    error = np.abs(frame["actual"] - frame["GRU"]).mean()
    assert backtest.scores.loc["GRU", "MASE"] == pytest.approx(error / naive)
    losses = [
        metrics.mean_pinball_loss(frame["actual"], frame[f"q{q}"], alpha=q)
        for q in (0.1, 0.5, 0.9)
    ]
    assert backtest.scores.loc["GRU", "pinball"] == pytest.approx(np.mean(losses))
    inside = frame["actual"].between(frame["q0.1"], frame["q0.9"])
    assert backtest.scores.loc["GRU", "coverage"] == pytest.approx(inside.mean())
    assert (frame["GRU"] == frame["q0.5"]).all()


def test_scores_by_step_and_target_and_series():
    table = pd.DataFrame(
        {
            "shop": np.repeat(["a", "b"], 120),
            "day": list(pd.date_range("2020-01-01", periods=120)) * 2,
            "x": np.concatenate([wave(120), 100 * wave(120, seed=1)]),
            "y": np.concatenate([wave(120, seed=2), wave(120, seed=3)]),
        }
    )
    known = table[table["day"] < "2020-04-01"]
    forecaster = quick(3).fit(known, id="shop", time="day")
    result = forecaster.backtest(table, step=2)
    frame = result.forecasts
    assert list(frame.columns[:6]) == ["shop", "origin", "time", "step", "target", "actual"]
    for key, column in (("step", "step"), ("target", "target"), ("id", "shop")):
        scores = result.scores_by(key)
        for value, part in frame.groupby(column):
            assert scores.loc[(value, "GRU"), "MAE"] == pytest.approx(
                np.abs(part["actual"] - part["GRU"]).mean()
            )
            assert scores.loc[(value, "last value"), "RMSE"] == pytest.approx(
                np.sqrt(((part["actual"] - part["last value"]) ** 2).mean())
            )
    actual = table.set_index(["shop", "day"])
    for row in frame.sample(20, random_state=0).itertuples():
        assert row.actual == actual.loc[(row.shop, row.time), row.target]
        assert row.time == row.origin + pd.Timedelta(days=row.step)
    with pytest.raises(ValueError, match="key must be one of"):
        result.scores_by("shop")


# ---- the forecasts, one by one -----------------------------------------------------------


@pytest.mark.parametrize("season", [None, 12])
def test_every_forecast_is_the_one_that_predict_makes(season):
    """The brute-force version: each origin copies its whole past."""
    values = wave()
    values[[60, 150, 160, 161]] = np.nan
    forecaster = quick(5, season=season, quantiles=(0.2, 0.8)).fit(values[:120])
    frame = forecaster.backtest(values, step=3).forecasts
    origins = sorted(set(frame["origin"]))
    assert origins == list(range(119, 195, 3))
    for origin in origins:
        past = values[: origin + 1]
        expected = forecaster.predict(past)
        part = frame[frame["origin"] == origin]
        np.testing.assert_array_equal(part["time"], expected.index)
        for ours, theirs in (("GRU", "y"), ("q0.2", "y_q0.2"), ("q0.8", "y_q0.8")):
            np.testing.assert_array_equal(part[ours], expected[theirs])
        np.testing.assert_array_equal(part["actual"], values[part["time"]])
        if season:
            naive = slow.naive(past.tolist(), season, 5)
            np.testing.assert_allclose(part["seasonal naive"], naive, atol=1e-12)
            drift = slow.naive(past.tolist(), season, 5, season)
            np.testing.assert_allclose(part["seasonal naive + drift"], drift, atol=1e-12)
        else:
            np.testing.assert_allclose(part["last value"], slow.naive(past.tolist(), None, 5))


@pytest.mark.parametrize("season", [None, 12])
def test_no_forecast_depends_on_a_value_after_its_origin(season):
    values = wave()
    covariate = np.random.default_rng(5).standard_normal(200)
    table = pd.DataFrame({"y": values, "x": covariate})
    forecaster = quick(4, season=season, quantiles=(0.2, 0.8)).fit(table[:120], past=["x"])
    frame = forecaster.backtest(table, start=120).forecasts
    rng = np.random.default_rng(6)
    for origin in (125, 150, 190):
        changed = table.copy()
        changed.loc[origin + 1 :, "y"] = 1e4 * rng.standard_normal(199 - origin)
        changed.loc[origin + 1 :, "x"] = np.nan
        other = forecaster.backtest(changed, start=120).forecasts
        columns = [c for c in frame.columns if c != "actual"]
        until = frame["origin"] <= origin
        pd.testing.assert_frame_equal(
            frame.loc[until, columns], other.loc[until, columns], check_exact=True
        )
        after = (frame["origin"] > origin + 1) & (frame["step"] == 1)
        assert not frame.loc[after, "GRU"].equals(other.loc[after, "GRU"])


def test_no_forecast_depends_on_covariates_after_its_steps():
    """Those of the future are read up to the last step of the forecast, not further."""
    rng = np.random.default_rng(5)
    table = pd.DataFrame({"y": wave(), "x": rng.standard_normal(200)})
    forecaster = quick(4, season=12).fit(table[:120], future=["x"])
    frame = forecaster.backtest(table, start=120).forecasts
    changed = table.copy()
    changed.loc[151:, "y"] = 1e4 * rng.standard_normal(49)
    changed.loc[155:, "x"] = 1e4
    other = forecaster.backtest(changed, start=120).forecasts
    until = frame["origin"] <= 150
    pd.testing.assert_series_equal(
        frame.loc[until, "GRU"], other.loc[until, "GRU"], check_exact=True
    )
    last = (frame["origin"] == 151) & (frame["step"] == 4)
    assert (frame.loc[last, "GRU"] != other.loc[last, "GRU"]).all()


def test_step_and_gap_and_start(fitted, backtest):
    values = wave()
    whole = backtest.forecasts
    some = fitted.backtest(values, step=5, gap=2).forecasts
    assert sorted(set(some["step"])) == [3, 4]
    assert sorted(set(some["origin"])) == list(range(139, 196, 5))
    same = whole.merge(some, on=["origin", "step"])
    assert len(same) == len(some)
    np.testing.assert_array_equal(same["GRU_x"], same["GRU_y"])
    late = fitted.backtest(values, start=-10)
    assert sorted(set(late.forecasts["origin"])) == list(range(189, 196))
    assert len(fitted.backtest(values, start=190).forecasts) == len(late.forecasts)
    assert "Backtest of 7 origins" in repr(late)


def test_steps_that_fit_has_seen_are_warned_of():
    values = wave()
    days = pd.date_range("2020-01-01", periods=200)
    shops = [pd.DataFrame({"day": days, "shop": shop, "x": wave(seed=1)}) for shop in "ab"]
    end = "start lies before the end of the data of fit, "
    forecaster = quick().fit(values[:140])
    with pytest.warns(pygru.DataWarning, match=f"{end}139: errors"):
        forecaster.backtest(values, start=139)
    with pytest.warns(pygru.DataWarning, match=f"{end}139: errors"):
        forecaster.backtest(values, start=60)
    # Without a warning, which would be an error of the tests:
    forecaster.backtest(values, start=140)
    forecaster.backtest(wave(seed=2), start=100)  # another series with the same steps
    forecaster.backtest(values[:146], start=138, refit=True)
    forecaster = quick().fit(pd.concat([shops[0][:120], shops[1][:150]]), id="shop", time="day")
    with pytest.warns(pygru.DataWarning, match=f"{end}2020-05-29: errors"):
        forecaster.backtest(pd.concat(shops), start=days[120])
    forecaster.backtest(pd.concat(shops), start=days[150])


def test_times_with_a_zone_after_a_fit_without_one():
    days = pd.date_range("2020-01-01", periods=200)
    plain = pd.Series(wave(), days, name="x")
    local = plain.tz_localize("Europe/Berlin")
    for first, second in ((plain, local), (local, plain)):
        forecaster = quick().fit(first[:150])
        with pytest.raises(ValueError, match="start must be given: either the times of y or"):
            forecaster.backtest(second)
        found = forecaster.backtest(second, start=150).forecasts["GRU"]
        np.testing.assert_array_equal(found, forecaster.backtest(first).forecasts["GRU"])


def test_start_may_be_a_date():
    index = pd.date_range("2020-01-01", periods=200, tz="Europe/Berlin")
    table = pd.Series(wave(), index, name="x")
    forecaster = quick().fit(table[:150])
    for start in ("2020-06-28", pd.Timestamp("2020-06-28", tz="Europe/Berlin"), 179):
        frame = forecaster.backtest(table, start=start).forecasts
        assert frame["time"].min() == pd.Timestamp("2020-06-28", tz="Europe/Berlin")
        assert frame["origin"].min() == pd.Timestamp("2020-06-27", tz="Europe/Berlin")
    months = pd.Series(wave(), pd.period_range("2001-01", periods=200, freq="M"), name="x")
    forecaster = quick().fit(months[:150])
    frame = forecaster.backtest(months, start="2015-01").forecasts
    assert frame["time"].min() == pd.Period("2015-01", "M")


def test_refit_fits_again_to_what_is_known(monkeypatch):
    values = wave(100)
    forecaster = quick(3, season=12).fit(values[:80], validation_size=10)
    result = forecaster.backtest(values, step=8, refit=True)
    frame = result.forecasts
    for origin in (79, 87, 95):
        again = quick(3, season=12).fit(values[: origin + 1], validation_size=10)
        expected = again.predict()["y"]
        found = frame.loc[frame["origin"] == origin, "GRU"]
        np.testing.assert_array_equal(found, expected)


def test_refit_of_series_of_different_lengths():
    rows = []
    for shop, n in (("a", 60), ("b", 40)):
        days = pd.date_range("2020-01-01", periods=n)
        rows.append(pd.DataFrame({"shop": shop, "day": days, "x": wave(n)}))
    table = pd.concat(rows)
    forecaster = quick(2).fit(table[table["day"] < "2020-02-01"], id="shop", time="day")
    frame = forecaster.backtest(table, step=6, refit=True).forecasts
    assert set(frame["shop"]) == {"a", "b"}
    assert frame.groupby("shop")["origin"].min().nunique() == 1
    assert np.isfinite(frame["GRU"]).all()


# ---- special cases -----------------------------------------------------------------------


def test_a_score_of_exactly_zero():
    result = (
        quick(2, season=3, quantiles=(0.1, 0.9))
        .fit([1.0, 2, 3] * 20)
        .backtest([1.0, 2, 3] * 30)
    )
    assert result.scores.loc["GRU", "MAE"] == 0
    assert result.scores.loc["seasonal naive", "MAE"] == 0
    assert result.scores.loc["GRU", "coverage"] == 1
    assert result.scores["MASE"].isna().all()
    repr(result)


def test_missing_actual_values_do_not_count(fitted):
    values = wave()
    values[150:] = np.nan
    values[170] = 1.0
    result = fitted.backtest(values)
    actual = result.forecasts["actual"]
    frame = result.forecasts[~actual.isna()]
    expected = np.abs(frame["actual"] - frame["GRU"]).mean()
    assert result.scores.loc["GRU", "MAE"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "exception", "match"),
    [
        ({"step": 0}, ValueError, "step must be >= 1"),
        ({"gap": 4}, ValueError, "gap must be below the horizon of 4 steps, got 4"),
        ({"refit": 1}, TypeError, "refit must be a bool"),
        ({"start": 198}, ValueError, "nothing to judge: after start there are 2 steps"),
        ({"start": "soon"}, ValueError, "start must be a label"),
        ({"y": wave()[:140]}, ValueError, "y has no step after the data of fit"),
        ({"y": np.r_[wave()[:140], [np.nan] * 20]}, ValueError, "no value after start is obs"),
    ],
)
def test_what_is_refused(arguments, exception, match, fitted):
    with pytest.raises(exception, match=match):
        fitted.backtest(**{"y": wave(), **arguments})


def test_a_loaded_forecaster_needs_start(fitted, tmp_path):
    fitted.save(tmp_path / "f")
    loaded = GRUForecaster.load(tmp_path / "f")
    with pytest.raises(ValueError, match="start must be given"):
        loaded.backtest(wave())
    pd.testing.assert_frame_equal(
        loaded.backtest(wave(), start=140).scores, fitted.backtest(wave()).scores
    )


# ---- time and memory ---------------------------------------------------------------------


@pytest.mark.parametrize("n", [400, 1600])
def test_every_window_is_made_once(n, monkeypatch):
    """Time is then linear in the rows, for windows of a given length."""
    forecaster = quick(4, season=12, quantiles=(0.1, 0.9)).fit(wave(200))
    made = {"inputs": 0, "read_targets": 0}
    for name in made:
        original = getattr(Windows, name)

        def counted(self, origins, name=name, original=original):
            made[name] += len(origins)
            return original(self, origins)

        monkeypatch.setattr(Windows, name, counted)
    result = forecaster.backtest(wave(n))
    origins = n - 200 - 4 + 1
    assert len(result.forecasts) == 4 * origins
    assert made["inputs"] == origins
    # The autoregression reads those before as well, once to fit it and once for its bands.
    assert made["read_targets"] <= origins + 2 * 200


def test_memory_is_linear_in_the_rows():
    """No copy of the past for each origin: the arrays do not grow with the window."""
    sizes = []
    for n, window in ((1000, 20), (1000, 200), (4000, 20)):
        forecaster = quick(4, window=window).fit(wave(300))
        windows = forecaster._fitted.windows(read_panel(wave(n)).series, [n])
        held = [*vars(windows).values(), *vars(windows.stack).values()]
        sizes.append(sum(each.nbytes for each in held if isinstance(each, np.ndarray)))
    assert sizes[1] < 1.3 * sizes[0]
    assert sizes[2] < 4.1 * sizes[0]
    assert sizes[2] < 60 * 4000
