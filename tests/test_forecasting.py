"""Forecasting: baselines by hand, no use of the future, and a season that must be learned."""

import itertools
import os

import numpy as np
import pytest

import pygru
from pygru.baselines import as_origins, as_values, fill_forward, last_value, seasonal_naive
from pygru.data import load_co2
from pygru.errors import FormatError
from pygru.forecasting import Forecaster, Split, Task, evaluate


def wave(n=400, noise=0.05):
    t = np.arange(n)
    rng = np.random.default_rng(0)
    return 0.02 * t + np.sin(2 * np.pi * t / 12) + noise * rng.standard_normal(n)


def test_fill_forward():
    values = np.array([np.nan, 1.0, np.nan, np.nan, 4.0])
    assert fill_forward(values).tolist() == [1, 1, 1, 1, 4]


def test_baselines_by_hand():
    values = np.array([1.0, 2, 3, 11, 12, 13, 99, 99])
    assert last_value(values, 5, 2).tolist() == [13, 13]
    assert seasonal_naive(values, 5, 5, season=3).tolist() == [11, 12, 13, 11, 12]
    drift = seasonal_naive(values, 5, 5, season=3, drift=True)
    assert drift.tolist() == [21, 22, 23, 31, 32]


@pytest.mark.parametrize("season", [None, 12])
def test_a_forecast_does_not_look_into_the_future(season):
    values = wave()
    forecaster = Forecaster(Task.create(horizon=20, season=season), hidden_size=4, seed=0)
    forecaster.fit(values, Split(250, 320, 400), epochs=1)
    origin = 330
    forecast = forecaster.predict(values, [origin])
    changed = values.copy()
    changed[origin + 1 :] = np.nan
    assert np.array_equal(forecaster.predict(changed, [origin]), forecast)
    assert np.array_equal(forecaster.predict(values[: origin + 1]), forecast[0])


def test_training_does_not_see_the_test_part():
    values = wave()
    other = values.copy()
    other[320:] = 1e3
    results = []
    for series in (values, other):
        forecaster = Forecaster(Task.create(4, 12), hidden_size=4, seed=0)
        forecaster.fit(series, Split(250, 320, 400), epochs=2)
        results.append((forecaster.scale, forecaster.model.state_dict()))
    assert results[0][0] == results[1][0]
    assert all(np.array_equal(results[0][1][k], results[1][1][k]) for k in results[0][1])


def test_forecasts_beyond_a_season_build_on_forecasts():
    values = wave(noise=0)
    forecaster = Forecaster(Task.create(30, 12), hidden_size=4, seed=0)
    forecaster.fit(values, Split(250, 320, 400), epochs=1)
    forecaster.model.layers[-1].flat_parameters[:] = 0  # so the forecast is the anchor alone
    forecast = forecaster.predict(values)
    np.testing.assert_allclose(forecast[12:], forecast[:-12] + 0.02 * 12, rtol=1e-6)


def test_gaps_and_a_season_beat_the_baselines():
    values = wave()
    values[np.random.default_rng(1).random(400) < 0.05] = np.nan
    split = Split(250, 320, 400)
    forecaster = Forecaster(Task.create(6, 12), hidden_size=16, seed=0)
    forecaster.fit(values, split, epochs=20)
    scores = evaluate(forecaster, values, split)
    assert scores["GRU"]["mae"] < 0.6 * scores["seasonal naive"]["mae"]
    assert scores["GRU"]["mae"] < 0.3 * scores["last value"]["mae"]
    assert len(scores["GRU"]["by_step"]) == 6


def test_scores_skip_missing_steps():
    values = wave()
    values[390] = np.nan
    task = Task.create(1)
    forecaster = Forecaster(task, hidden_size=2, seed=0)
    forecaster.fit(values, Split(250, 320, 400), epochs=1)
    scores = evaluate(forecaster, values, Split(250, 388, 392))
    forecasts = [forecaster.predict(values, [i - 1])[0, 0] for i in (388, 389, 391)]
    expected = np.mean(np.abs(np.array(forecasts) - values[[388, 389, 391]]))
    assert scores["GRU"]["mae"] == pytest.approx(expected, rel=1e-5)


def test_save_and_load(tmp_path):
    values = wave()
    forecaster = Forecaster(Task.create(5, 12), hidden_size=4, seed=0)
    forecaster.fit(values, Split(250, 320, 400), epochs=1)
    forecaster.save(tmp_path / "f.safetensors", "level")
    loaded, target = Forecaster.load(tmp_path / "f.safetensors")
    assert target == "level"
    assert np.array_equal(loaded.predict(values), forecaster.predict(values))


def test_a_plain_model_is_not_a_forecaster(tmp_path):
    pygru.save(pygru.GRU(1, 1), tmp_path / "m.safetensors")
    with pytest.raises(FormatError, match="the model is not a forecaster"):
        Forecaster.load(tmp_path / "m.safetensors")
    pygru.save(pygru.GRU(1, 1), tmp_path / "n.safetensors", {"forecaster": {"task": {}}})
    with pytest.raises(FormatError, match="settings are not valid"):
        Forecaster.load(tmp_path / "n.safetensors")


def test_too_short_parts_are_refused():
    forecaster = Forecaster(Task.create(5, 12), hidden_size=4, seed=0)
    with pytest.raises(ValueError, match="the training part is too short: it has 30 steps"):
        forecaster.fit(wave(100), Split(30, 60, 100), epochs=1)
    with pytest.raises(ValueError, match="series must have at least 36 steps"):
        forecaster.scale = 1.0
        forecaster.predict(wave(20))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0,), "horizon must be >= 1"), ((3, 1), "season must be >= 2"), ((3, 4, 1), "window")],
)
def test_task_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        Task.create(*arguments)


def test_the_series_that_ships():
    co2 = load_co2()
    assert len(co2) == 2284
    assert int(np.isnan(co2.values).sum()) == 59
    assert [str(co2.index[i].date()) for i in (0, -1)] == ["1958-03-29", "2001-12-29"]
    assert {(b - a).days for a, b in itertools.pairwise(co2.index)} == {7}
    assert 310 < np.nanmin(co2.values) < np.nanmax(co2.values) < 375


# ---- hostile input ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    """A forecaster of 4 steps with a season of 12."""
    forecaster = Forecaster(Task.create(4, 12), hidden_size=2, seed=0)
    forecaster.fit(wave(), Split(250, 320, 400), epochs=1)
    return forecaster


@pytest.mark.parametrize(
    ("values", "exception", "match"),
    [
        (None, TypeError, "values must be array-like of numbers, got NoneType"),
        ("abc", TypeError, "values must be numeric"),
        ([[1.0] * 400], ValueError, r"values must have shape \(N,\), got \(1, 400\)"),
        ([1j] * 400, ValueError, "Complex data not supported: values"),
        ([*[0.0] * 7, np.inf, *[1.0] * 400], ValueError, r"values\[7\] is infinite"),
        (np.ma.masked_less(wave(), 0), TypeError, "values is a masked array"),
        ([np.nan] * 400, ValueError, "no observed value"),
        ([1e308, -1e308] * 200, ValueError, "the values are too large"),
    ],
)
def test_values_that_are_refused(values, exception, match):
    forecaster = Forecaster(Task.create(4), hidden_size=2, seed=0)
    before = forecaster.model.state_dict()
    with pytest.raises(exception, match=match):
        forecaster.fit(values, Split(250, 320, 400), epochs=1)
    assert forecaster.scale is None
    for name, array in forecaster.model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_value_that_float32_cannot_hold_is_refused():
    values = np.full(400, 3.0)  # whose changes are 0, so that the scale is 1
    values[300] = 1e300
    with pytest.raises(ValueError, match="a value is too far from the others"):
        Forecaster(Task.create(4), hidden_size=2, seed=0).fit(values, Split(250, 320, 400))


@pytest.mark.parametrize("kind", [list, np.float32, np.int64, "strided", "read-only"])
def test_values_of_any_layout_give_the_same_forecast(kind, fitted):
    values = np.round(100 * wave())
    expected = fitted.predict(values)
    if kind == "strided":
        other = np.repeat(values, 2)[::2]
    elif kind == "read-only":
        other = values.copy()
        other.flags.writeable = False
    else:
        other = values.tolist() if kind is list else values.astype(kind)
    np.testing.assert_array_equal(fitted.predict(other), expected)


@pytest.mark.parametrize(
    ("split", "exception", "match"),
    [
        ((250, 320, 400), TypeError, "split must be a Split, got tuple"),
        (Split(250, 320, 401), ValueError, "split must have validation <= test <= end <= 400"),
        (Split(320, 250, 400), ValueError, "split must have validation <= test"),
        (Split(-1, 250, 400), ValueError, r"split\.validation must be >= 0, got -1"),
        (Split(250, 320.0, 400), TypeError, r"split\.test must be an int, got float"),
        (Split(250, 320, None), TypeError, r"split\.end must be an int, got NoneType"),
        (Split(10**5000, 320, 400), ValueError, r"split\.validation is too large"),
    ],
)
def test_splits_that_are_refused(split, exception, match):
    with pytest.raises(exception, match=match):
        Forecaster(Task.create(4), hidden_size=2, seed=0).fit(wave(), split)


@pytest.mark.parametrize(
    ("origins", "exception", "match"),
    [
        ([34], ValueError, "must have at least 36 steps before a forecast, got 35"),
        ([-1], ValueError, "must have at least 36 steps before a forecast, got 0"),
        ([400], ValueError, "origins must be below 400, the steps of the series: 400"),
        (np.array([2**63], np.uint64), ValueError, "origins must be below 400"),
        ([50.0], TypeError, "origins must be integers, got float64"),
        ([True], TypeError, "origins must be integers, got bool"),
        ([[50]], ValueError, r"origins must have shape \(M,\), got \(1, 1\)"),
        (50, ValueError, r"origins must have shape \(M,\), got \(\)"),
    ],
)
def test_origins_that_are_refused(origins, exception, match, fitted):
    with pytest.raises(exception, match=match):
        fitted.predict(wave(), origins)


def test_no_origins_give_no_forecasts(fitted):
    assert fitted.predict(wave(), []).shape == (0, 4)


def test_origins_and_values_are_copies():
    values, origins = wave(), np.array([50, 60])
    for name, given, copy in (
        ("values", values, as_values("values", values)),
        ("origins", origins, as_origins(origins, 0, 400)),
    ):
        assert not np.shares_memory(given, copy), name


def test_without_a_fit_there_is_neither_forecast_nor_file(tmp_path):
    forecaster = Forecaster(Task.create(4), hidden_size=2, seed=0)
    for call in (
        lambda: forecaster.predict(wave()),
        lambda: forecaster.save(tmp_path / "f", "level"),
        lambda: evaluate(forecaster, wave(), Split(250, 320, 400)),
    ):
        with pytest.raises(RuntimeError, match="not fitted yet: call fit first"):
            call()
    assert os.listdir(tmp_path) == []


def test_parts_without_an_observed_value_are_refused(fitted):
    values = wave()
    values[320:] = np.nan
    with pytest.raises(ValueError, match="the test part has no observed value"):
        evaluate(fitted, values, Split(250, 320, 400))
    values[250:] = np.nan
    with pytest.raises(ValueError, match="the validation part has no observed value"):
        Forecaster(Task.create(4, 12), hidden_size=2, seed=0).fit(values, Split(250, 320, 400))
    with pytest.raises(ValueError, match="the series has no observed value"):
        fitted.predict(np.full(100, np.nan))


def test_a_gap_of_a_whole_season_is_no_change(fitted):
    """All the changes that the GRU would read are unknown."""
    values = np.where(np.arange(60) % 12 == 3, 1.0, np.nan)
    values[12:] = np.nan
    assert np.isfinite(fitted.predict(values[:40])).all()


@pytest.mark.parametrize(
    ("call", "exception", "match"),
    [
        (lambda v: fill_forward([np.nan] * 3), ValueError, "none of the 3 values is observed"),
        (lambda v: last_value(v, 400, 2), ValueError, "origins must be below 400"),
        (lambda v: last_value(v, -1, 2), ValueError, "at least 1 steps before a forecast"),
        (lambda v: last_value(v, 3, 0), ValueError, "horizon must be >= 1"),
        (lambda v: seasonal_naive(v, 10, 2, 12), ValueError, "must have at least 12 steps"),
        (
            lambda v: seasonal_naive(v, 22, 2, 12, True),
            ValueError,
            "must have at least 24 steps",
        ),
        (lambda v: seasonal_naive(v, 50, 2, 0), ValueError, "season must be >= 1"),
        (lambda v: Task(3, 1, 5), ValueError, "season must be >= 2"),
        (lambda v: Task(3.0, None, 5), TypeError, "horizon must be an int, got float"),
        (lambda v: Task.create(10**5000), ValueError, "horizon is too large"),
        (lambda v: Forecaster(4), TypeError, "task must be a Task, .* got int"),
        (lambda v: evaluate(v, v, None), TypeError, "forecaster must be a Forecaster, got nda"),
        (
            lambda v: evaluate(Forecaster(Task.create(4)), v, (1, 2, 3)),
            TypeError,
            "split must be a Split, got tuple",
        ),
        (lambda v: Forecaster.load(1), TypeError, "not int"),
    ],
)
def test_other_arguments_that_are_refused(call, exception, match):
    with pytest.raises(exception, match=match):
        call(wave())


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"target": 3}, "target must be a str, got int"),
        ({"scale": "x"}, "scale must be a float, got str"),
        ({"scale": float("nan")}, "scale must be a finite number > 0"),
        ({"scale": -1}, "scale must be a finite number > 0"),
        (
            {"task": {"horizon": 5, "season": 12, "window": 24}},
            "the model's output has the shape",
        ),
        ({"task": {"horizon": 4, "season": 1, "window": 24}}, "season must be >= 2"),
        ({"task": {"horizon": 4, "surprise": 1}}, "unexpected keyword argument 'surprise'"),
        ({"task": [4]}, "must be a mapping"),
        ({"task": {}}, "missing 1 required positional argument"),
    ],
)
def test_files_of_forecasters_that_are_refused(changes, match, fitted, tmp_path):
    note = {
        "task": {"horizon": 4, "season": 12, "window": 24},
        "scale": 1.0,
        "target": "level",
    }
    pygru.save(fitted.model, tmp_path / "f", {"forecaster": note})
    Forecaster.load(tmp_path / "f")
    pygru.save(fitted.model, tmp_path / "f", {"forecaster": note | changes})
    with pytest.raises(FormatError, match=f"settings are not valid: .*{match}"):
        Forecaster.load(tmp_path / "f")


def test_a_file_of_another_model_is_no_forecaster(tmp_path):
    note = {"task": {"horizon": 4}, "scale": 1.0, "target": "level"}
    for model in (
        pygru.GRU(2, 4, batch_first=True, seed=0),
        pygru.Sequential(
            pygru.Embedding(3, 2, seed=0), pygru.Last(), pygru.Linear(2, 4, seed=0)
        ),
        pygru.Linear(3, 4, seed=0),
        pygru.Seq2Seq(5, 6, 2, 3, seed=0),
    ):
        pygru.save(model, tmp_path / "f", {"forecaster": note})
        with pytest.raises(FormatError, match="settings are not valid"):
            Forecaster.load(tmp_path / "f")
