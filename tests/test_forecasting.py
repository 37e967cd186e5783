"""Forecasting: baselines by hand, no use of the future, and a season that must be learned."""

import itertools
import os

import numpy as np
import pytest

from pygru.data.series import load_co2, read_csv
from pygru.errors import FormatError
from pygru.forecasting import (
    Forecaster,
    Split,
    Task,
    evaluate,
    fill_forward,
    last_value,
    seasonal_naive,
)


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
    import pygru

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
    assert (co2.labels[0], co2.labels[-1]) == ("1958-03-29", "2001-12-29")
    dates = co2.positions()
    assert {(b - a).days for a, b in itertools.pairwise(dates)} == {7}
    assert 310 < np.nanmin(co2.values) < np.nanmax(co2.values) < 375


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("a,b\n", "a header and no rows"),
        ("a,b\n1,2\n3\n", r":3: expected 2 columns, got 1"),
        ("a,b\n1,2\n3,x\n", r":3: column 'b': 'x' is not a number"),
        ("a,b\n1,inf\n", r":2: column 'b': 'inf' is not a number"),
        ("a,c\n1,2\n", "no column 'b'; the columns are a, c"),
        ("b,b\n1,2\n", "more than one column 'b'"),
    ],
)
def test_b121_csv_files_that_are_refused(text, message, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(FormatError, match=message):
        read_csv(path, "b")


def test_b121_csv_with_byte_order_mark_and_gaps(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(b"\xef\xbb\xbfb,a\r\n1.5,x\r\n,y\r\nNA,z\r\n-2e3,w\r\n")
    values = read_csv(path, "b").values
    assert values[[0, 3]].tolist() == [1.5, -2000]
    assert np.isnan(values[1:3]).all()
    path.write_bytes(b"\xff\xfe\x00b")
    with pytest.raises(FormatError, match="not UTF-8"):
        read_csv(path, "b")


@pytest.mark.parametrize(
    "cell",
    [
        "1_000",
        "٣",
        "\uff11\uff12",
        "0x10",
        "1e400",
        "1,5",
        "--1",
        "1e",
        "+",
        ".",
        "∞",
        "1 2",
        "²",
    ],
)
def test_b121_cells_that_are_no_numbers(cell, tmp_path):
    """Python's float() reads some of them."""
    (tmp_path / "data.csv").write_text(f'a,b\n1,"{cell}"\n', encoding="utf-8")
    with pytest.raises(FormatError, match=r":2: column 'b': .* is not a number"):
        read_csv(tmp_path / "data.csv", "b")


@pytest.mark.parametrize("cell", ["1", "-1.5", "+.5", "2.", "1e3", "1E-3", "007"])
def test_b121_cells_that_are_numbers(cell, tmp_path):
    (tmp_path / "data.csv").write_text(f"b\n{cell}\n")
    assert read_csv(tmp_path / "data.csv", "b").values.tolist() == [float(cell)]


def test_b121_line_without_an_end(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(b"a,b\n" + b"1" * (2**20 + 5))
    with pytest.raises(FormatError, match="a line has 1048576 characters or more"):
        read_csv(path, "b")
    path.write_bytes(b"a,b\n" + b'"' + b"1\n" * 2**20)  # a quote that nobody closes
    with pytest.raises(FormatError, match="not a CSV file: field larger"):
        read_csv(path, "b")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs /dev/zero")
def test_b121_device_without_an_end():
    with pytest.raises(FormatError, match="a line has 1048576 characters or more"):
        read_csv("/dev/zero", "b")


def test_b121_messages_stay_short(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(",".join(f"c{i}" for i in range(10_000)) + "\n")
    with pytest.raises(FormatError, match=r"the columns are c0, .*\(10000 of them\)") as raised:
        read_csv(path, "b" * 10_000)
    assert len(str(raised.value)) < 1000 + len(str(path))
    path.write_text("b\n" + "x" * 10_000 + "\n")
    with pytest.raises(FormatError, match="is not a number") as raised:
        read_csv(path, "b")
    assert len(str(raised.value)) < 400 + len(str(path))


@pytest.mark.parametrize("target", [None, 3, b"b", ["b"]])
def test_target_that_is_no_name(target, tmp_path):
    with pytest.raises(TypeError, match="target must be a str, got"):
        read_csv(tmp_path / "data.csv", target)


def test_dates_with_and_without_a_zone_are_not_mixed(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("when,b\n2020-01-01,1\n2020-01-02T00:00+00:00,2\n")
    assert read_csv(path, "b").positions() == [0, 1]
    path.write_text("when,b\n2020-01-01T00:00+01:00,1\n2020-01-02T00:00+00:00,2\n")
    assert read_csv(path, "b").positions()[1].day == 2
