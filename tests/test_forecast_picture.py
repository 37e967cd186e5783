"""The picture of ``pygru train``: which series, which forecasts, and the numbers in it."""

import io

import numpy as np
import pandas as pd
import pytest

import pygru
from pygru.forecasting import GRUForecaster
from pygru.forecasting.panel import read_panel
from pygru.plot import axes, report

pytest.importorskip("matplotlib").use("Agg")


def wave(n, noise=0.1):
    return np.sin(np.arange(n)) + noise * np.random.default_rng(0).standard_normal(n)


@pytest.fixture
def drawn(monkeypatch):
    """A function that draws a backtest and returns the axes of the figure."""
    figures = []
    pyplot = axes.pyplot()
    monkeypatch.setattr(pyplot, "close", figures.append)

    def draw(y, start, horizon=3, quantiles=(), **names):
        forecaster = GRUForecaster(
            horizon, quantiles=quantiles, hidden_size=2, epochs=1, progress=False
        )
        panel = read_panel(y, **names)
        forecaster.fit(y, **names)
        with pytest.warns(pygru.DataWarning, match="start lies before the end of the data"):
            backtest = forecaster.backtest(y, start=start)
        file = io.BytesIO()
        report.plot_forecast(panel, backtest, forecaster.quantiles, start, file)
        assert file.getvalue()[:8] == b"\x89PNG\r\n\x1a\n"
        return backtest, figures[-1].axes

    yield draw
    monkeypatch.undo()
    for figure in figures:
        pyplot.close(figure)


@pytest.mark.parametrize(
    "index",
    [
        pd.date_range("2020-01-01", periods=60, freq="D"),
        pd.date_range("2020-03-28", periods=60, freq="h", tz="Europe/Berlin"),
        pd.period_range("2000Q1", periods=60, freq="Q"),
        pd.RangeIndex(60),
    ],
)
def test_one_series_with_any_index(index, drawn):
    values = wave(60)
    values[45] = np.nan
    series = pd.Series(values, index, name="$a_b")
    backtest, (top, bottom) = drawn(series, index[40], quantiles=(0.1, 0.9))
    history, truth, *forecasts = top.get_lines()
    np.testing.assert_array_equal(history.get_ydata(), values[40 - 13 : 40])
    known = truth.get_ydata()
    np.testing.assert_array_equal(known, values[40:])
    assert top.get_legend_handles_labels()[1] == [
        "history", "truth, not seen in training", "GRU, up to 3 steps ahead", "80 % band"
    ]  # fmt: skip
    # Forecasts one after the other: those of the first origin, of the one 3 steps later, ...
    rows = backtest.forecasts
    curves = [line.get_ydata() for line in forecasts if len(line.get_ydata()) == 3]
    assert len(curves) == 6
    for number, curve in enumerate(curves):
        origin = index[39 + 3 * number]
        np.testing.assert_array_equal(curve, rows[rows["origin"] == origin]["GRU"])
    assert top.get_title(loc="left") == "$a_b"
    for line, method in zip(bottom.get_lines(), backtest.methods, strict=True):
        errors = (rows[method] - rows["actual"]).abs().groupby(rows["step"]).mean()
        np.testing.assert_allclose(line.get_ydata(), errors)
        assert line.get_label() == f"{method} ({backtest.scores['MAE'][method]:.3g})"


@pytest.mark.slow
def test_of_many_series_the_best_the_worst_and_some_between(drawn):
    table = pd.concat(
        pd.DataFrame(
            {"t": range(60), "shop": shop, "x": 100.0**shop * wave(60, 0.3 * shop), "y": 1.0}
        )
        for shop in range(6)
    )
    table["y"] = table["x"]
    names = {"id": "shop", "time": "t"}
    _, (*tops, _) = drawn(table, 40, target="x", **names)
    titles = [top.get_title(loc="left") for top in tops]
    assert len(titles) == 4
    assert (titles[0], titles[-1]) == ("x, 0", "x, 5")
    _, (*tops, _) = drawn(table[table["shop"] < 2], 40, target=["x", "y"], **names)
    titles = [top.get_title(loc="left") for top in tops]
    assert titles == ["x, 0", "y, 0", "x, 1", "y, 1"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["step", "actual", "GRU", "target", "origin", "time"])
def test_ids_of_any_name(name, drawn):
    parts = [pd.DataFrame({"t": range(60), name: shop, "x": wave(60)}) for shop in "ab"]
    backtest, (*tops, _) = drawn(pd.concat(parts), 40, target="x", id=name, time="t")
    assert [top.get_title(loc="left") for top in tops] == ["x, a", "x, b"]
    assert backtest.id_columns == (f"{name}_id",)
    assert backtest.forecasts[f"{name}_id"].unique().tolist() == ["a", "b"]
    assert backtest.forecasts["step"].unique().tolist() == [1, 2, 3]


def test_one_step_is_seen(drawn):
    _, (top, _) = drawn(pd.Series(wave(60)), 40, horizon=1)
    points = [line for line in top.get_lines() if line.get_marker() == "o"]
    assert [len(line.get_ydata()) for line in points] == [1] * 20
