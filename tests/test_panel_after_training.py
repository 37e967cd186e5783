"""Tables that a trained forecaster gets: they must have what training had, and no more."""

import json

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from shops import DAYS, VALUES, frame, long  # noqa: E402

import pygru  # noqa: E402
from pygru.forecasting.panel import (  # noqa: E402
    future_index,
    read_panel,
    require_future,
    with_future,
)
from pygru.forecasting.schema import Schema  # noqa: E402


def test_the_next_table_must_have_what_training_had():
    schema = read_panel(
        long(), past=["temp"], static="size", id="shop", time="when", target="sales"
    ).schema
    later = long().iloc[:6].assign(when=lambda t: t["when"] + pd.Timedelta(7, "D"))
    panel = read_panel(later.drop(columns=["visits", "sky"]), schema=schema)
    assert len(panel.series) == 1 and panel.series[0].past.shape == (6, 1)
    for column, message in (
        ("sales", "y has no column 'sales'"),
        ("temp", "trained with the past covariate 'temp': y has no such column, so pass past="),
        ("size", "trained with the static covariate 'size'"),
    ):
        with pytest.raises(ValueError, match=message):
            read_panel(later.drop(columns=column), schema=schema)
    with pytest.raises(ValueError, match="trained without future covariates"):
        read_panel(later, future=later.set_index("when")[["visits"]], schema=schema)


def test_other_containers_are_read_by_the_same_schema():
    schema = read_panel(pd.Series(VALUES, DAYS, name="sales")).schema
    panel = read_panel(pd.Series(VALUES, DAYS, name="other"), schema=schema)
    assert panel.schema.target_names == ("sales",)
    assert read_panel(frame(), schema=schema).series[0].targets.shape == (6, 1)
    with pytest.raises(ValueError, match=r"index has numbers, and .* an index of dates"):
        read_panel(VALUES, schema=schema)
    schema = read_panel(np.ones((6, 2))).schema
    with pytest.raises(ValueError, match=r"y must have 2 columns \('y0', 'y1'\), .* got 1"):
        read_panel(VALUES, schema=schema)


@pytest.mark.parametrize("freq", ["D", "W-SUN", "ME", "QE-DEC", "h", "2W-MON", "B"])
def test_a_single_row_is_enough_where_training_knows_the_frequency(freq):
    whole = pd.date_range("2024-01-07", periods=30, freq=freq)[np.arange(30)]
    schema = read_panel(pd.Series(1.0, whole)).schema
    (series,) = read_panel(pd.Series([1.0], whole[9:10]), schema=schema).series
    assert future_index(series, 5).equals(whole[10:15])
    (series,) = read_panel(pd.Series(1.0, whole[[3, 7]]), schema=schema).series
    assert series.index.equals(whole[3:8])


def test_weeks_of_another_day_are_weeks():
    schema = read_panel(pd.Series(1.0, pd.date_range("2024", periods=9, freq="W-SUN"))).schema
    index = pd.date_range("2024", periods=5, freq="W-THU")[[0, 1, 4]]
    assert read_panel(pd.Series(1.0, index), schema=schema).series[0].steps.name == "W-THU"


def test_steps_of_another_length_are_refused_or_said():
    schema = read_panel(pd.Series(1.0, pd.date_range("2024", periods=9, freq="W-SUN"))).schema
    with pytest.raises(
        ValueError, match=r"steps of 'D', and the forecaster was trained .*'W-SUN'"
    ):
        read_panel(pd.Series(VALUES, DAYS), schema=schema)
    daily = read_panel(pd.Series(VALUES, DAYS)).schema
    weekly = pd.Series(1.0, pd.date_range("2024", periods=9, freq="W-SUN"))
    with pytest.warns(pygru.DataWarning, match="9 rows for 57 steps of 'D'"):
        read_panel(weekly, schema=daily)


def test_future_rows_come_later():
    schema_table = frame().assign(sales=VALUES)
    panel = read_panel(schema_table, future=["open", "temp"], target="sales")
    with pytest.raises(
        ValueError,
        match=r"future must cover the 3 steps after 2024-03-03: it covers"
        r" 0 of them, and 2024-03-04 is missing",
    ):
        require_future(panel, 3)
    later = pd.date_range("2024-03-04", periods=3, name="when")
    more = pd.DataFrame({"open": [True, False, True], "temp": [1.0, 2.0, 3.0]}, later)
    longer = with_future(panel, more)
    require_future(longer, 3)
    assert longer.series[0].future[6:].tolist() == [[0, 1, 1], [1, 0, 2], [0, 1, 3]]
    np.testing.assert_array_equal(longer.series[0].future[:6], panel.series[0].future)
    with pytest.raises(ValueError, match=r"^future has no column 'temp'; its columns"):
        with_future(panel, more[["open"]])
    with pytest.raises(TypeError, match=r"'temp' must hold numbers, got row 0 \('1.0'\)"):
        with_future(panel, more.astype({"temp": str}))
    with pytest.raises(ValueError, match="it covers 2 of them, and 2024-03-06 is missing"):
        require_future(with_future(panel, more[:2]), 3)
    again = read_panel(frame(), future=more, schema=panel.schema)
    np.testing.assert_array_equal(again.series[0].future, longer.series[0].future)
    arrays = read_panel(VALUES, future=np.arange(6.0))
    assert with_future(arrays, [7.0, 8.0]).series[0].future[:, 0].tolist() == [
        0,
        1,
        2,
        3,
        4,
        5,
        7,
        8,
    ]
    with pytest.raises(ValueError, match="trained without future"):
        with_future(read_panel(VALUES), [1.0])


def test_a_schema_travels_as_json():
    panel = read_panel(
        long().assign(item=2),
        past=["temp", "sky"],
        future=["open"],
        static="size",
        id=["shop", "item"],
        time="when",
        target=["sales", "visits"],
    )
    note = json.loads(json.dumps(panel.schema.to_json(), allow_nan=False))
    assert Schema.from_json(note) == panel.schema


def damaged():
    note = read_panel(frame(), past=["sky"], target="sales").schema.to_json()
    yield []
    for key in note:
        yield {name: value for name, value in note.items() if name != key}
        for value in (None, 7, "x", [7], {"a": 1}, -1, True, [[["a"]]]):
            if key == "time" and value not in ({"a": 1}, [[["a"]]]):
                continue  # any text or number may be a name, and so may several of them
            if (key, value) in (("id", [7]), ("has_time_column", True)):
                continue
            yield note | {key: value}
    for categories in ([1], ["a", "a"], "ab", {}):
        yield note | {"past": [{"name": "sky", "categories": categories}]}
    yield note | {"targets": []}
    yield note | {"targets": [{"name": "a", "categories": ["b"]}]}
    yield note | {"frequency": "fortnight"}
    yield note | {"index": "numbers"}
    yield note | {"index": "numbers", "frequency": 2**70}
    yield note | {"index": "periods", "frequency": "fortnight"}
    yield note | {"index": "periods", "frequency": "-1M"}


@pytest.mark.parametrize("note", list(damaged()))
def test_a_damaged_schema_is_refused(note):
    with pytest.raises((ValueError, TypeError)) as caught:
        Schema.from_json(note)
    assert len(str(caught.value)) < 300
