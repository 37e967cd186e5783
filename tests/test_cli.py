"""The command ``pygru`` as a user runs it, from files to files.

Most tests call ``pygru.cli.main`` in this process; those on standard streams start one of their
own. The truth is what pandas reads from the files, and what GRUForecaster says in Python. These
tests cover the rows B-120 to B-123 of the bad-input list.
"""

import inspect
import io
import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from encodings_of_names import skip_unless_encodable
from patience import PATIENCE
from programs import run_program
from safetensors import safe_open
from safetensors.numpy import save_file

import pygru.cli
from pygru.commands.options import parser_of_all
from pygru.data import load_co2
from pygru.forecasting import GRUForecaster
from pygru.plot.report import plot_forecast


def main(*arguments):
    """Run the command in this process; return its exit code."""
    try:
        return pygru.cli.main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code


def errors(capsys):
    """What stands on standard error, without the lines on the progress of training."""
    lines = capsys.readouterr().err.splitlines()
    return [line for line in lines if line.strip() and not line.startswith("epoch ")]


def fails(capsys, code, message, *arguments):
    """Check the exit code, and that the error is one line without a traceback."""
    assert main(*arguments) == code, arguments
    lines = errors(capsys)
    assert len(lines) == 1, lines
    assert message in lines[0]
    assert len(lines[0]) < 1200


def wave(n=300, period=12):
    t = np.arange(n)
    noise = np.random.default_rng(0).standard_normal(n)
    return 10 + np.sin(2 * np.pi * t / period) + 0.01 * t + 0.1 * noise


def daily(n=300, **columns):
    """A table of days."""
    dates = pd.date_range("2020-01-01", periods=n, freq="D")
    return pd.DataFrame({"when": dates, "level": wave(n), **columns})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of its own, in which the command runs; it draws no picture, to save time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pygru.plot.report.plot_forecast", lambda *given: None)
    return tmp_path


SMALL = ("--epochs", 2, "--hidden-size", 2, "--threads", 1)


# ---- from a table to a forecast ------------------------------------------------------------


@pytest.mark.slow
def test_train_without_arguments(folder, capsys, monkeypatch):
    """The plan, the honest parts, and errors far below those of the naive forecasts."""
    monkeypatch.setattr("pygru.plot.report.plot_forecast", plot_forecast)
    assert main("train", "--epochs", 3, "--threads", 1) == 0
    out = capsys.readouterr().out
    for text in (
        "train      1958-03-29 to 1992-01-11",
        "validate   1992-01-18 to 1997-01-04",
        "test       1997-01-11 to 2001-12-29",
        "52 steps ahead, season 52",
        "errors of 209 forecasts of 52 steps",
        "at most 3 epochs, about ",
    ):
        assert text in out
    scores = json.loads((folder / "history.json").read_text())["test"]
    assert scores["GRU"]["MAE"] < 0.5 * scores["seasonal naive"]["MAE"]
    assert scores["GRU"]["MAE"] < 0.9 * scores["seasonal naive + drift"]["MAE"]
    assert (folder / "forecast.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    load_co2().to_csv(folder / "co2.csv")
    assert main("predict", "model.safetensors", "co2.csv", "--output", "f.csv") == 0
    forecast = pd.read_csv(folder / "f.csv", parse_dates=["date"], index_col="date")
    weeks = pd.date_range("2002-01-05", periods=52, freq="W-SAT")
    assert forecast.index.equals(weeks.as_unit(forecast.index.unit))


@pytest.mark.parametrize("way", ["csv", "newest first", "german", "gz", "parquet", "stdin"])
def test_one_series_from_any_file(way, folder, capsys, monkeypatch):
    """The forecast is the one of Python, to the last bit, however the file was written."""
    table = daily()
    name = "d.csv"
    if way == "newest first":
        table.iloc[::-1].to_csv(name, index=False)
    elif way == "german":
        german = table.assign(when=table["when"].dt.strftime("%d.%m.%Y"))
        german.to_csv(name, index=False, sep=";", decimal=",")
    elif way == "parquet":
        pytest.importorskip("pyarrow")
        name = "d.parquet"
        table.to_parquet(name)
    else:
        name = {"gz": "d.csv.gz"}.get(way, name)
        table.to_csv(name, index=False)
    text = (folder / name).read_bytes()

    def source():
        if way != "stdin":
            return name
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        return "-"

    options = ("--horizon", 5, "--season", 12, "--quantiles", "0.1,0.9", "--test-size", 40)
    assert main("train", source(), *options, *SMALL) == 0
    assert "time       when: 2020-01-01 to 2020-10-26" in capsys.readouterr().out
    assert main("predict", "model.safetensors", source()) == 0
    rows = [line.split(",") for line in capsys.readouterr().out.splitlines()]
    same = GRUForecaster(
        5, season=12, quantiles=(0.1, 0.9), hidden_size=2, epochs=2, n_threads=1, progress=False
    ).fit(table.iloc[:-40], time="when", target="level", validation_size=40)
    expected = same.predict(table)
    assert rows[0] == ["when", "level", "level_q0.1", "level_q0.9"]
    assert [row[0] for row in rows[1:]] == [f"2020-10-{day}" for day in range(27, 32)]
    found = np.array([row[1:] for row in rows[1:]], np.float64)
    np.testing.assert_array_equal(found, expected[rows[0][1:]])


@pytest.fixture(scope="module")
def shops(tmp_path_factory):
    """A folder with a long table of three shops, and a model with covariates of all kinds."""
    folder = tmp_path_factory.mktemp("shops")
    rng = np.random.default_rng(1)
    days = pd.date_range("2020-01-01", periods=120, freq="D")
    parts = [
        pd.DataFrame(
            {
                "date": days,
                "shop": shop,
                "sales, net": wave(120, 7) * size,
                "returns": wave(120, 7),
                "weather": rng.choice(["sun", "rain"], 120),
                "holiday": (np.arange(120) % 7 == 6).astype(int),
                "size": size,
            }
        )
        for size, shop in enumerate(["007", "north", "south"], 1)
    ]
    table = pd.concat(parts)
    table.sample(frac=1, random_state=0).to_csv(folder / "shops.csv", index=False)
    arguments = ("--target", "sales, net", "--id", "shop", "--features", "weather,returns")
    more = ("--future-features", "holiday", "--static", "size", "--horizon", 3, "--season", 7)
    files = ("--output", folder, "--test-size", 20, "--quantiles", "0.1,0.5,0.9")
    assert main("train", folder / "shops.csv", *arguments, *more, *files, *SMALL) == 0
    return folder


def test_a_long_table_with_covariates(shops, capsys):
    ahead = pd.date_range("2020-04-30", periods=4, freq="D")
    future = pd.concat(
        [
            pd.DataFrame({"date": ahead, "shop": s, "holiday": 0})
            for s in ("007", "north", "south")
        ]
    )
    future.to_csv(shops / "future.csv", index=False)
    command = ("predict", shops / "model.safetensors", shops / "shops.csv")
    assert main(*command, "--future", shops / "future.csv") == 0
    forecast = pd.read_csv(io.StringIO(capsys.readouterr().out), dtype={"shop": str})
    names = ["sales, net", *(f"sales, net_q{q}" for q in (0.1, 0.5, 0.9))]
    assert forecast.columns.tolist() == ["shop", "date", *names]
    assert sorted(forecast["shop"].unique()) == ["007", "north", "south"]
    assert forecast.groupby("shop")["date"].agg(list).tolist() == [
        [f"2020-04-{day}", "2020-05-01", "2020-05-02"] for day in [30] * 3
    ]
    assert (forecast[names[1]] <= forecast[names[2]]).all()
    assert (forecast[names[2]] <= forecast[names[3]]).all()
    # The same rows as a part of the table.
    both = pd.concat([pd.read_csv(shops / "shops.csv", dtype={"shop": str}), future])
    both.to_csv(shops / "both.csv", index=False)
    assert main("predict", shops / "model.safetensors", shops / "both.csv") == 0
    again = pd.read_csv(io.StringIO(capsys.readouterr().out), dtype={"shop": str})
    pd.testing.assert_frame_equal(again, forecast)
    assert main(*command) == 1
    message = capsys.readouterr().err
    assert "--future must cover the 3 steps after 2020-04-29" in message
    # A terminal without the letters of the path shows them escaped.
    assert re.search(r"; further rows of .*shops\.csv may have them too", message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f[f["shop"] != "south"], "pygru: f.csv has no rows of the series 'south'"),
        (
            lambda f: pd.concat([f, f.iloc[[1]]]),
            "pygru: f.csv: a time is repeated: line 3 and line 14 (2020-05-01)",
        ),
        (
            lambda f: f.assign(date=f["date"] + pd.Timedelta("12h")),
            "pygru: f.csv: no time of it is a time of past.csv, which has steps of 'D' from "
            "2020-01-01: line 2 (2020-04-30 12:00:00)",
        ),
    ],
)
def test_errors_in_the_file_of_the_future_name_it_and_its_lines(
    change, message, shops, folder, capsys
):
    table = pd.read_csv(shops / "shops.csv", dtype={"shop": str})
    table.sort_values(["shop", "date"]).to_csv("past.csv", index=False)
    ahead = pd.DataFrame({"date": pd.date_range("2020-04-30", periods=4), "holiday": 0})
    future = pd.concat([ahead.assign(shop=shop) for shop in ("007", "north", "south")])
    change(future).to_csv("f.csv", index=False)
    arguments = (shops / "model.safetensors", "past.csv", "--future", "f.csv")
    fails(capsys, 1, message, "predict", *arguments)


def test_rows_in_another_order_are_noted_once(folder, capsys):
    daily().sample(frac=1, random_state=3).to_csv("d.csv", index=False)
    assert main("train", "d.csv", "--horizon", 2, *SMALL) == 0
    lines = errors(capsys)
    assert len(lines) == 1
    assert lines[0].startswith("note: d.csv: the rows were not in the order of time: line ")
    assert main("predict", "model.safetensors", "d.csv") == 0
    shuffled = capsys.readouterr().out
    daily().to_csv("e.csv", index=False)
    assert main("predict", "model.safetensors", "e.csv") == 0
    out, error = capsys.readouterr()
    assert (out, error) == (shuffled, "")


def test_series_that_begin_and_end_at_different_times(folder, capsys):
    """The parts are counted back from the end of all series, also of one that is short."""
    table = daily(120)
    parts = [table[:100].assign(shop="old"), table[110:].assign(shop="new")]
    pd.concat(parts).to_csv("d.csv", index=False)
    names = ("--target", "level", "--id", "shop")
    options = ("--horizon", 2, "--test-size", 30, "--validation-size", 20)
    assert main("train", "d.csv", *names, *options, *SMALL) == 0
    out = capsys.readouterr().out
    assert "train      2020-01-01 to 2020-03-10" in out
    assert "validate   2020-03-11 to 2020-03-30" in out
    assert "test       2020-03-31 to 2020-04-29" in out
    assert "errors of 17 forecasts of 2 steps" in out  # 9 of old; 8 of new, after its first day


def test_ids_that_look_like_numbers(folder, capsys):
    parts = [daily(60).assign(shop=shop) for shop in ("007", "010")]
    pd.concat(parts).to_csv("d.csv", index=False)
    names = ("--target", "level", "--id", "shop")
    assert main("train", "d.csv", "--horizon", 1, *names, *SMALL) == 0
    assert "2 (shop: '007', '010')" in capsys.readouterr().out
    assert main("predict", "model.safetensors", "d.csv") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:14] for line in lines[1:]] == ["007,2020-03-01", "010,2020-03-01"]


def test_categories_that_look_like_numbers(folder, capsys):
    """A column of 01, 2 and x is one of categories, also where a later table has no x."""
    rng = np.random.default_rng(0)
    kind, flag = rng.choice(["01", "2", "x", "y"], 300), rng.choice(["TRUE", "FALSE"], 300)
    level = wave() + 5.0 * (kind == "01") + 5.0 * (flag == "TRUE")
    table = daily(level=level, kind=kind, flag=flag)
    table.to_csv("d.csv", index=False)
    names = ("--target", "level", "--features", "kind,flag")
    assert main("train", "d.csv", "--horizon", 2, *names, *SMALL) == 0
    table = table.tail(60).assign(kind="01")
    table.to_csv("e.csv", index=False)
    capsys.readouterr()
    assert main("predict", "model.safetensors", "e.csv") == 0
    found = pd.read_csv(io.StringIO(capsys.readouterr().out))["level"]
    forecaster = GRUForecaster.load("model.safetensors")
    categories = [column.categories for column in forecaster.schema_.past]
    assert categories == [("01", "2", "x", "y"), ("False", "True")]
    expected = forecaster.predict(table.assign(flag=table["flag"] == "TRUE"))["level"]
    np.testing.assert_allclose(found, expected, rtol=1e-15)


def test_several_targets_and_other_names(folder, capsys):
    table = daily(other=2 * wave())
    table.to_csv("d.csv", index=False)
    assert main("train", "d.csv", "--target", "level,other", "--horizon", 2, *SMALL) == 0
    capsys.readouterr()
    assert main("predict", "model.safetensors", "d.csv") == 0
    expected = capsys.readouterr().out
    assert expected.startswith("when,level,other\n")
    names = {"when": "day", "level": "a", "other": "b"}
    table.rename(columns=names).to_csv("e.csv", index=False)
    options = ("--target", "a,b", "--time", "day")
    assert main("predict", "model.safetensors", "e.csv", *options) == 0
    assert capsys.readouterr().out == expected.replace("when,level,other", "day,a,b")
    # A column that has the name of training beside one that takes its place.
    table.assign(a=table["level"], level=0).to_csv("g.csv", index=False)
    assert main("predict", "model.safetensors", "g.csv", "--target", "a,other") == 0
    assert capsys.readouterr().out == expected.replace("when,level,other", "when,a,other")


@pytest.mark.parametrize(
    ("times", "first"),
    [
        (pd.date_range("2000-01-31", periods=80, freq="ME"), "2006-09-30"),
        (pd.bdate_range("2020-01-01", periods=80), "2020-04-22"),
        (pd.Index(range(1920, 2000)), "2000"),
        (pd.Index(pd.date_range("2020-01-01", periods=80).strftime("%Y%m%d").astype(int)),
         "2020-03-21"),
        (pd.Index([f"{y}Q{q}" for y in range(1980, 2000) for q in (1, 2, 3, 4)]), "2000Q1"),
        (pd.date_range("2020-01-01", periods=80).strftime("%m/%d/%Y"), "2020-03-21"),
        (pd.date_range("2020-01-01", periods=80, freq="h", tz="UTC"),
         "2020-01-04 08:00:00+00:00"),
        (None, "80"),
    ],
)  # fmt: skip
def test_times_of_any_kind_go_on(times, first, folder, capsys):
    table = pd.DataFrame({"level": wave(80)})
    if times is not None:
        table.insert(0, "t", times)
    table.to_csv("d.csv", index=False)
    assert main("train", "d.csv", "--target", "level", "--horizon", 2, *SMALL) == 0
    capsys.readouterr()
    assert main("predict", "model.safetensors", "d.csv") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == ("row,level" if times is None else "t,level")
    assert lines[1].split(",")[0] == first


def test_hours_over_a_change_of_clocks(folder, capsys):
    """The offsets in the file differ, so that only the name of the zone says what is meant."""
    hours = pd.date_range("2024-03-28", periods=96, freq="h", tz="Europe/Berlin")
    pd.DataFrame({"t": hours, "level": wave(96)}).to_csv("d.csv", index=False)
    assert main("train", "d.csv", "--horizon", 3, *SMALL) == 1
    message = capsys.readouterr().err
    assert "more than one offset from UTC" in message
    assert "name the time zone with --time-zone" in message.lower()
    zone = ("--time-zone", "Europe/Berlin")
    assert main("train", "d.csv", "--horizon", 3, *zone, *SMALL) == 0
    capsys.readouterr()
    assert main("predict", "model.safetensors", "d.csv", *zone) == 0
    expected = hours[-1] + pd.Timedelta(hours=1)
    assert capsys.readouterr().out.splitlines()[1].startswith(f"{expected},")


@pytest.mark.parametrize("hours", ["both", "newest first", "two series", "one"])
def test_local_times_when_the_clocks_go_back(hours, folder, capsys):
    """An hour that is there twice in local time, or once: then it is the first of the two."""
    times = pd.date_range("2024-10-26", periods=96, freq="30min", tz="Europe/Berlin")
    table = pd.DataFrame({"t": times.tz_localize(None), "level": wave(96)})
    assert table["t"].duplicated().sum() == 2  # 02:00 and 02:30 of 27 October
    if hours == "newest first":
        table = table.iloc[::-1]
    elif hours == "two series":
        table = pd.concat([table.assign(shop=shop) for shop in "ab"])
    elif hours == "one":
        table = table[~table["t"].duplicated()]
    table.to_csv("d.csv", index=False)
    options = ("--time-zone", "Europe/Berlin", "--horizon", 3, "--target", "level")
    ids = ("--id", "shop") if hours == "two series" else ()
    assert main("train", "d.csv", *options, *ids, *SMALL) == 0
    out = capsys.readouterr().out
    assert f"t: {times[0]} to {times[-1]}" in out
    assert ("level (2 of 96 values missing)" in out) == (hours == "one")
    assert main("predict", "model.safetensors", "d.csv", *options[:2]) == 0
    first = capsys.readouterr().out.splitlines()[1].split(",")
    assert first[-2] == str(times[-1] + pd.Timedelta(minutes=30))
    known = table.assign(t=times[table.index]).sort_values("t", kind="stable")
    expected = GRUForecaster.load("model.safetensors").predict(known)
    assert float(first[-1]) == expected["level"].iloc[0]


def test_a_repeated_local_time_is_told_of_the_option(folder, capsys):
    times = pd.date_range("2024-10-26", periods=96, freq="30min", tz="Europe/Berlin")
    table = pd.DataFrame({"t": times.tz_localize(None), "level": wave(96)})
    table.to_csv("d.csv", index=False)
    message = "when the clocks went back, give them their time zone, with --time-zone, such as"
    fails(capsys, 1, message, "train", "d.csv", "--horizon", 3)


def test_numbers_that_seem_to_be_months_are_told_how_to_be_written(folder, capsys):
    months = pd.period_range("2010-01", periods=60, freq="M").strftime("%Y%m")
    pd.DataFrame({"month": months, "level": wave(60)}).to_csv("d.csv", index=False)
    message = "201001, which seem to be months; write them as year-month, such as 2024-01"
    options = ("--time", "month", "--target", "level", "--horizon", 3)
    fails(capsys, 1, message, "train", "d.csv", *options)


def test_predict_names_the_output_that_cannot_be_written(trained, folder, capsys):
    """And not the temporary file that was to become it."""
    arguments = (trained / "model.safetensors", trained / "data.csv", "--output", "no/p.csv")
    fails(capsys, 1, "pygru: no: there is no such folder for --output", "predict", *arguments)


def test_a_local_time_that_the_clocks_leave_out(folder, capsys):
    times = pd.date_range("2024-03-31", periods=60, freq="30min")
    pd.DataFrame({"t": times, "level": wave(60)}).to_csv("d.csv", index=False)
    message = (
        "that the clocks of Europe/Berlin leave out: line 6 (2024-03-31 02:00:00) and line"
    )
    options = ("--horizon", 3, "--time-zone", "Europe/Berlin")
    fails(capsys, 1, message, "train", "d.csv", *options)


@pytest.mark.parametrize("kind", ["series", "frame", "long", "array"])
def test_a_model_that_was_trained_in_python(kind, folder, capsys):
    table = daily()
    series = table.set_index("when")["level"]
    options = {"frame": {"target": "level"}, "long": {"id": "shop", "target": "level"}}
    if kind == "long":
        y = pd.concat([table.assign(shop=shop) for shop in "ab"]).set_index("when")
    else:
        y = {"series": series, "frame": series.to_frame(), "array": series.to_numpy()}[kind]
    forecaster = GRUForecaster(3, hidden_size=2, epochs=1, n_threads=1, progress=False)
    forecaster.fit(y, **options.get(kind, {})).save("m.safetensors")
    expected = forecaster.predict()
    pd.DataFrame(y).to_csv("d.csv", header=["y"] if kind == "array" else True)
    assert main("predict", "m.safetensors", "d.csv") == 0
    found = pd.read_csv(io.StringIO(capsys.readouterr().out))
    name = "y" if kind == "array" else "level"
    np.testing.assert_allclose(found[name], expected[name], rtol=1e-15)
    if kind == "array":
        assert found["row"].tolist() == [300, 301, 302]
    if kind == "long":
        assert found["shop"].tolist() == ["a"] * 3 + ["b"] * 3
    if kind != "array":
        assert found["when"].tolist()[:3] == ["2020-10-27", "2020-10-28", "2020-10-29"]


def test_missing_values_and_holes(folder, capsys):
    table = daily()
    table.loc[50:60, "level"] = np.nan
    table.drop(index=range(100, 110)).to_csv("d.csv", index=False)
    assert main("train", "d.csv", "--horizon", 2, *SMALL) == 0
    assert "level (21 of 300 values missing)" in capsys.readouterr().out
    (folder / "one.csv").write_text("level\n" + "1.5\n\n2\n4\n" * 30 + "\n\n")
    assert main("train", "one.csv", "--horizon", 2, *SMALL, "--force") == 0
    out = capsys.readouterr().out
    assert "one.csv: 120 rows; decimal point; 2 empty lines at the end left out" in out
    assert "level (30 of 120 values missing)" in out
    assert "the rows are taken as equal steps" in out


def test_a_validation_part_without_values_decides_nothing(folder, capsys):
    table = daily()
    table.loc[180:239, "level"] = np.nan
    table.to_csv("d.csv", index=False)
    assert main("train", "d.csv", "--horizon", 2, *SMALL) == 0
    lines = errors(capsys)
    assert len(lines) == 1
    assert lines[0].startswith("note: d.csv: the validation part has no observed value")
    assert len(json.loads((folder / "history.json").read_text())["records"]) == 2


def test_the_season_is_found_in_the_training_part(folder, capsys):
    values = np.r_[wave(200, 12), wave(100, 7)]
    daily(level=values).to_csv("d.csv", index=False)
    assert main("train", "d.csv", "--horizon", 2, "--test-size", 50, *SMALL) == 0
    assert "2 steps ahead, season 12 found in the training part" in capsys.readouterr().out
    options = ("--season", "none", "--force")
    assert main("train", "d.csv", "--horizon", 2, *SMALL, *options) == 0
    out = capsys.readouterr().out
    assert "2 steps ahead, no season" in out
    assert "seasonal naive" not in out


def test_the_test_part_changes_nothing_in_training(folder):
    for number, last in enumerate((0.0, 1e6)):
        table = daily()
        table.loc[250:, "level"] = last + table["level"]
        table.to_csv("d.csv", index=False)
        os.mkdir(str(number))
        options = ("--horizon", 2, "--test-size", 50, "--output", number)
        assert main("train", "d.csv", *options, *SMALL) == 0
    weights = [safe_open(f"{n}/model.safetensors", "np").get_tensor for n in range(2)]
    for name in safe_open("0/model.safetensors", "np").keys():  # noqa: SIM118
        np.testing.assert_array_equal(weights[0](name), weights[1](name))


def test_the_same_seed_gives_the_same_file_for_any_threads(folder):
    daily().to_csv("d.csv", index=False)
    for threads in (1, 2):
        os.mkdir(str(threads))
        options = ("--horizon", 2, "--threads", threads, "--output", threads)
        assert main("train", "d.csv", *SMALL, *options) == 0
    models = [(folder / n / "model.safetensors").read_bytes() for n in ("1", "2")]
    assert models[0] == models[1]


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def test_history_is_valid_json(folder):
    """Also where there is nothing to measure: a constant series has no scale."""
    daily(level=5.0).to_csv("d.csv", index=False)
    assert main("train", "d.csv", "--horizon", 2, *SMALL, "--output", "new") == 0
    history = json.loads((folder / "new/history.json").read_text(), parse_constant=refuse)
    assert [record["epoch"] for record in history["records"]] == [0, 1]
    assert history["test"]["GRU"]["MAE"] == 0
    assert history["test"]["GRU"]["MASE"] is None
    assert history["test"]["GRU"]["MAE by step"] == [0, 0]


def test_the_verdict_is_honest(folder, capsys):
    rng = np.random.default_rng(0)
    daily(level=rng.standard_normal(300).cumsum()).to_csv("walk.csv", index=False)
    assert main("train", "walk.csv", "--horizon", 1, "--season", "none", *SMALL) == 0
    out = capsys.readouterr().out
    scores = json.loads((folder / "history.json").read_text())["test"]
    best = min(each["MAE"] for name, each in scores.items() if name != "GRU")
    ratio = scores["GRU"]["MAE"] / best
    expected = "larger" if ratio > 1.005 else "smaller" if ratio < 0.995 else "about as large"
    assert f"{expected}" in out.splitlines()[-5]
    for name, each in scores.items():
        assert f"{name:<21}  {each['MAE']:9.4g}  {each['RMSE']:9.4g}" in out


# ---- Ctrl-C --------------------------------------------------------------------------------


def test_an_interrupt_keeps_the_best_weights(folder, capsys, monkeypatch):
    daily().to_csv("d.csv", index=False)
    told = pygru.EarlyStopping.on_epoch_end

    def on_epoch_end(self, trainer, record):
        told(self, trainer, record)
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(pygru.EarlyStopping, "on_epoch_end", on_epoch_end)
    command = ("train", "d.csv", "--horizon", 2, *SMALL, "--epochs", 9, "--output", "new")
    assert main(*command) == 130
    lines = errors(capsys)
    assert len(lines) == 1
    model = os.path.join("new", "model.safetensors")
    assert f"interrupted: wrote {model} with the best weights of 3 epochs" in lines[0]
    history = json.loads((folder / "new/history.json").read_text(), parse_constant=refuse)
    assert len(history["records"]) == 3
    assert history["test"] is None
    assert main("predict", model, "d.csv") == 0


def test_an_interrupt_before_the_first_epoch_writes_nothing(folder, capsys, monkeypatch):
    daily().to_csv("d.csv", index=False)

    def on_fit_begin(self, trainer, epochs):
        raise KeyboardInterrupt

    monkeypatch.setattr(pygru.EarlyStopping, "on_fit_begin", on_fit_begin)
    fails(capsys, 130, "pygru: interrupted", "train", "d.csv", "--horizon", 2, *SMALL)
    assert os.listdir() == ["d.csv"]


# ---- errors --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wrong_tables():
    """Tables as text, by the name of a file. In d.csv nothing is wrong."""
    table = daily()
    level = table["level"]
    word, day = table.astype({"level": object}), table.astype({"when": str})
    word.loc[5, "level"] = "x"
    day.loc[3, "when"] = "yesterday"
    tables = {
        "d.csv": table,
        "two.csv": table.assign(other=1.5),
        "text.csv": table[["when"]].assign(other="x"),
        "long.csv": pd.concat([table.assign(shop=shop) for shop in "ab"]),
        "repeated.csv": pd.concat([table, table.iloc[[5]]]),
        "bad.csv": word,
        "baddate.csv": day,
        "nothing.csv": table.assign(level=np.nan),
        "untested.csv": table.assign(level=level.where(table.index < 240)),
        "huge.csv": table.assign(level=level.where(table.index != 9, 1e300)),
    }
    return {name: each.to_csv(index=False) for name, each in tables.items()}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("trane", 2, "invalid choice"),
        ("train --horizon x", 2, "must be a whole number of 1 or more, got 'x'"),
        ("train --horizon 0", 2, "must be a whole number of 1 or more, got 0"),
        ("train --seed -1", 2, "must be a whole number of 0 or more, got -1"),
        ("train --learning-rate -1", 2, "must be a finite number above 0"),
        ("train --dropout 1", 2, "must be a number from 0 to less than 1"),
        ("train --season 1", 2, "must be a whole number of 2 or more, 'auto' or 'none'"),
        ("train --quantiles 0.9,0.1", 2, "must be ascending numbers between 0 and 1"),
        ("train --quantiles 0.5,nan", 2, "must be ascending numbers between 0 and 1"),
        ("train --sep ab", 2, "must be one character of ASCII"),
        ("train --sep \N{SECTION SIGN}", 2, "must be one character of ASCII"),
        ("train --sep \ud800", 2, "must be one character of ASCII"),
        ("train --decimal x", 2, "invalid choice"),
        ("train --time-zone Mars/Base", 2, "must be the name of a time zone"),
        ("train d.csv", 2, "a data file needs --horizon"),
        ("train --target x", 2, "--target needs a data file"),
        ("train --id x", 2, "--id needs a data file"),
        ("train --nope", 2, "unrecognized arguments: --nope"),
        ("train --nope=--", 2, "unrecognized arguments: --nope=--"),
        ("train --output=--", 2, "argument --output: expected one argument, got '--'"),
        ("predict linear.safetensors d.csv --output=--", 2, "argument --output: expected one"),
        ("convert --to=-- d.csv", 2, "argument --to: expected one argument, got '--'"),
        ("train two.csv --horizon 2", 2, "--target must say which column to forecast"),
        ("train text.csv --horizon 2", 2, "has no column of numbers"),
        ("train two.csv --horizon 2 --target level,level", 2, "names the column 'level' twice"),
        ("train two.csv --horizon 2 --target level --features level", 2, "same column 'level'"),
        ("train two.csv --horizon 2 --target level --time when,other", 2, "more than one"),
        ("train missing.csv --horizon 1", 1, "missing.csv: No such"),
        ("train d.csv --target a --horizon 1", 1, "no column 'a'"),
        ("train d.csv --horizon 300", 1, "300 steps are too few"),
        ("train d.csv --horizon 5 --test-size 4", 1, "need 5 steps each"),
        ("train d.csv --horizon 1099511627776", 1, "300 steps are too few"),
        ("train d.csv --horizon 2 --freq X", 1, "--freq must be a frequency of pandas"),
        ("train d.csv --horizon 2 --encoding x", 1, "no encoding has the name 'x'"),
        ("train --output nowhere/here", 1, "nowhere is not a folder"),
        ("train --output d.csv", 1, "d.csv is not a folder"),
        ("train long.csv --target level --horizon 2", 1, "pass --id 'shop'"),
        ("train repeated.csv --horizon 2", 1, "a time is repeated: line 7 and line 302"),
        (
            "train bad.csv --target level --horizon 2",
            1,
            "bad.csv:7: column 'level': 'x' is not",
        ),
        ("train baddate.csv --target level --horizon 2", 1, "format: line 5 ('yesterday')"),
        ("train nothing.csv --target level --horizon 2", 1, "nothing.csv: all values of the"),
        ("train untested.csv --horizon 2", 1, "the test part, from 2020-08-28"),
        ("train huge.csv --horizon 2", 1, "huge.csv: targets must be between"),
        ("predict missing d.csv", 1, "missing: No such file"),
        ("predict d.csv d.csv", 1, "d.csv: not a pygru model file (looks like text)"),
        ("train --threads 0 --epochs 1", 1, "n_threads = 0 is invalid"),
    ],
)
def test_b120_errors_are_one_line(arguments, code, message, wrong_tables, folder, capsys):
    for name, text in wrong_tables.items():
        if name in arguments:
            (folder / name).write_text(text, newline="")
    before = sorted(os.listdir())
    fails(capsys, code, message, *arguments.split())
    assert sorted(os.listdir()) == before
    if code == 2 and arguments.startswith("train"):
        with pytest.raises(SystemExit):
            pygru.cli.main(arguments.split())
        assert capsys.readouterr().err.endswith("; see pygru train --help\n")


def test_b120_debug_shows_the_traceback(folder):
    with pytest.raises(FileNotFoundError):
        main("--debug", "predict", "missing", "data.csv")


def test_an_error_of_pygru_itself_is_a_line_too(folder, capsys, monkeypatch):
    def read(*arguments):
        raise RecursionError("a b\nc" * 10_000)

    monkeypatch.setattr("pygru.commands.columns.read", read)
    command = ("train", "d.csv", "--horizon", 1)
    fails(capsys, 1, "RecursionError (pygru --debug shows where): a b ca b c", *command)


def test_messages_stay_short(folder, capsys):
    """A header of a million columns, and an argument of a megabyte."""
    (folder / "d.csv").write_text(",".join(f"c{i}" for i in range(10**6)) + "\n")
    fails(capsys, 1, "d.csv: ", "train", "d.csv", "--horizon", 1)
    names = ",".join(f"c{i}" for i in range(2000))
    (folder / "d.csv").write_text(f"{names}\n{names.replace('c', '')}\n")
    fails(capsys, 2, "has 2000 columns of numbers", "train", "d.csv", "--horizon", 1)
    fails(
        capsys, 1, "no column 'xxx", "train", "d.csv", "--horizon", 1, "--target", "x" * 10**6
    )
    fails(capsys, 2, "unrecognized arguments", "train", "--" + "x" * 10**6)


def test_no_command_prints_the_usage(capsys):
    assert main() == 2
    assert "usage: pygru" in capsys.readouterr().err


def test_b123_existing_files_are_kept_before_any_work(folder, capsys):
    (folder / "history.json").write_text("mine")
    assert main("train") == 1
    out, error = capsys.readouterr()
    assert "history.json exists; use --force" in error
    assert out == ""
    assert (folder / "history.json").read_text() == "mine"
    (folder / "history.json").unlink()
    (folder / "forecast.png").mkdir()
    fails(capsys, 1, "forecast.png is a folder", "train", "--force")


def test_what_the_options_default_to():
    """They are those of GRUForecaster, but for the season, which the command looks for."""
    options = vars(parser_of_all().parse_args(["train"]))
    names = {"layers": "num_layers", "threads": "n_threads"}
    defaults = inspect.signature(GRUForecaster).parameters
    compared = 0
    for option, value in options.items():
        name = names.get(option, option)
        if name in defaults and name not in ("horizon", "season"):
            assert value == defaults[name].default, option
            compared += 1
    assert compared == len(defaults) - 3  # also without progress
    assert options["season"] == "auto"


# ---- hostile models ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with data.csv and a model of its column."""
    folder = tmp_path_factory.mktemp("trained")
    daily(100).to_csv(folder / "data.csv", index=False)
    arguments = ("--horizon", 3, "--output", folder)
    assert main("train", folder / "data.csv", *arguments, *SMALL) == 0
    return folder


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"horizon": 3', '"horizon": 9'),
        ('"horizon": 3', f'"horizon": {2**40}'),
        ('"window": 24', f'"window": {2**40}'),
        ('"time": "when"', '"time": 7'),
        ('"frequency": "D"', '"frequency": "X"'),
        ('"targets": [{"name": "level"', '"targets": [{"name": "other"'),
        ('"series": [[null, [', '"series": [[null, [NaN, '),
    ],
)
def test_models_that_are_refused(old, new, trained, folder, capsys):
    source = str(trained / "model.safetensors")
    with safe_open(source, "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    assert old in metadata["metadata"]
    metadata["metadata"] = metadata["metadata"].replace(old, new)
    save_file(tensors, "m.safetensors", metadata)
    fails(capsys, 1, "pygru: ", "predict", "m.safetensors", trained / "data.csv")


def test_weights_that_are_nan(trained, folder, capsys):
    source = str(trained / "model.safetensors")
    with safe_open(source, "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    for tensor in tensors.values():
        tensor[...] = np.nan
    save_file(tensors, "m.safetensors", metadata)
    fails(capsys, 1, "NaN", "predict", "m.safetensors", trained / "data.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("when,value\n2020-01-01,2\n", "no column 'level'; the columns are when, value"),
        ("when,level\n2020-01-01,x\n", "d.csv:2: column 'level': 'x' is not a number"),
        ("when,level\n2020-01-01,\n2020-01-02,\n", "no observed value"),
        ("level\n2\n", "no column 'when'"),
    ],
)
def test_data_that_do_not_fit_the_model(text, message, trained, folder, capsys):
    (folder / "d.csv").write_text(text)
    fails(capsys, 1, message, "predict", trained / "model.safetensors", "d.csv")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--id x", "--id does not fit: the model was trained without it"),
        ("--quantiles 0.1", "unrecognized arguments"),
        ("--threads x", "must be a whole number"),
    ],
)
def test_options_that_do_not_fit_the_model(arguments, message, trained, capsys):
    command = ("predict", trained / "model.safetensors", trained / "data.csv")
    assert main(*command, *arguments.split()) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.endswith("; see pygru predict --help\n")


def test_output_is_replaced_only_if_asked(trained, folder, capsys):
    command = ("predict", trained / "model.safetensors", trained / "data.csv")
    assert main(*command, "--output", "f.csv") == 0
    text = (folder / "f.csv").read_bytes()
    fails(capsys, 1, "f.csv exists; use --force", *command, "--output", "f.csv")
    assert main(*command, "--output", "f.csv", "--force") == 0
    assert (folder / "f.csv").read_bytes() == text


# ---- the other commands, and hostile input -------------------------------------------------


def test_info(capsys):
    assert main("info") == 0
    text = capsys.readouterr().out
    for word in ("pygru", "compiler", "openmp", "blas", "threads"):
        assert word in text
    assert main("info", "--json") == 0
    values = json.loads(capsys.readouterr().out)
    assert values["blas"]["int_bytes"] in (4, 8)
    assert main("--version") == 0
    assert capsys.readouterr().out.strip() == values["pygru"]


@pytest.mark.parametrize("command", ["train", "predict a b"])
def test_without_pandas(command, tmp_path):
    pygru.save(pygru.Linear(1, 1), tmp_path / "a", metadata={"forecaster": {}})
    code = "import sys; sys.modules['pandas'] = None; from pygru.cli import main\n"
    code += f"sys.exit(main({command.split()}))"
    done = run_program(code, tmp_path)
    hint = 'pygru.forecasting needs pandas; install it with pip install "pygru[forecast]"'
    assert (done.returncode, done.stderr) == (1, f"pygru: {hint}\n")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell pipe")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_train_writes_its_files_also_without_a_reader(unbuffered, tmp_path):
    daily().to_csv(tmp_path / "d.csv", index=False)
    command = f"{sys.executable} -P -m pygru train d.csv --horizon 3 --epochs 1 | true"
    done = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr
    assert {"model.safetensors", "history.json"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell pipe")
def test_b122_a_reader_that_goes_away(tmp_path):
    command = f"{sys.executable} -m pygru info | true; exit ${{PIPESTATUS[0]}}"
    process = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert process.returncode in (0, 141)
    assert process.stderr == ""


@pytest.mark.parametrize("option", ["--horizon", "--epochs", "--hidden-size", "--seed"])
@pytest.mark.parametrize(
    "text", ["", "x", "1.5", "-1", "²", "٣", "1_0", "0x1", "1" * 19, "9" * 5000, "nan", " 1"]
)
def test_b120_numbers_that_are_none(option, text, capsys):
    assert main("train", f"{option}={text}") == 2
    error = capsys.readouterr().err
    assert f"argument {option}: must be a whole number of" in error
    assert error.count("\n") == 1
    assert len(error) < 300


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "nan", "inf", "1e400", "1_0", "٣", "1e"])
def test_b120_learning_rates_that_are_none(text, capsys):
    assert main("train", f"--learning-rate={text}") == 2
    assert "must be a finite number above 0" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["x", "1.5", "²", "9" * 5000])
@pytest.mark.parametrize("command", ["train", "bench"])
def test_b120_threads_that_are_no_number(command, text, capsys):
    assert main(command, f"--threads={text}") == 2
    assert "argument --threads: must be a whole number, got" in capsys.readouterr().err


def test_huge_sizes_fail_in_one_line(folder, capsys):
    daily().to_csv("d.csv", index=False)
    for options in (
        ("--horizon", 10**17),
        ("--horizon", 4, "--window", 10**17),
        ("--horizon", 4, "--hidden-size", 10**9),
        ("--horizon", 4, "--layers", 10**9),
        ("--horizon", 4, "--test-size", 10**17),
        ("--horizon", 4, "--season", 10**17),
    ):
        fails(capsys, 1, "pygru: ", "train", "d.csv", *options)
    assert os.listdir() == ["d.csv"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX names and streams")
def test_names_that_the_terminal_cannot_show(trained, tmp_path):
    """A folder whose name is no UTF-8, a column of another script, an ASCII terminal."""
    skip_unless_encodable("水位")
    folder = os.fsencode(tmp_path) + b"/\xff\xfe"
    os.mkdir(folder)
    text = (trained / "data.csv").read_text().replace("level", "水位")
    (tmp_path / "d.csv").write_text(text, encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "pygru"]
    arguments = ["d.csv", "--target", "水位", "--horizon", "3", "--epochs", "1"]
    done = subprocess.run(
        [*command, "train", *arguments, "--output", folder],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert rb"\udcff" in done.stdout
    assert b"\\u6c34" in done.stdout
    done = subprocess.run(
        [*command, "predict", folder + b"/model.safetensors", "d.csv"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines()[0] == "when,水位"  # a file is UTF-8


def as_command(arguments):
    """A program that does the same as ``python -m pygru`` with these arguments."""
    return (
        f"import runpy, sys\nsys.argv[1:] = {arguments.split()}\n"
        "runpy.run_module('pygru', run_name='__main__', alter_sys=True)"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
@pytest.mark.parametrize("arguments", ["info", "--version", "predict"])
def test_output_that_cannot_be_written(arguments, trained):
    if arguments == "predict":
        arguments = "predict model.safetensors data.csv"
    full = "import os\nos.dup2(os.open('/dev/full', os.O_WRONLY), 1)\n"
    done = run_program(full + as_command(arguments), trained)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].endswith("No space left on device")


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
def test_output_that_is_closed(trained):
    command = f'"{sys.executable}" -m pygru predict model.safetensors data.csv >&-'
    done = subprocess.run(
        ["sh", "-c", command], cwd=trained, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    for arguments in ("info", "--version"):  # with what Python does then when it starts
        closed = "import os, sys\nos.close(1)\nsys.stdout = None\n"
        done = run_program(closed + as_command(arguments))
        assert (done.returncode, done.stderr) == (0, ""), arguments
