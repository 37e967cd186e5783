"""What users pass for forecasting, and the series, covariates and tables that come of it."""

import json
import warnings

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from shops import DAYS, VALUES, frame, long  # noqa: E402

import pygru  # noqa: E402
from pygru.forecasting.panel import (  # noqa: E402
    future_index,
    read_panel,
    to_frame,
)
from pygru.forecasting.schema import Schema  # noqa: E402


def forecast(panel, horizon=2, names=None):
    """A table of forecasts 0, 1, 2, ... in the shape of the input."""
    names = list(panel.schema.target_names) if names is None else names
    blocks, count = [], horizon * len(names)
    for number, series in enumerate(panel.series):
        values = np.arange(number * count, (number + 1) * count).reshape(horizon, len(names))
        blocks.append((series, future_index(series, horizon), values, names))
    return to_frame(panel.schema, blocks)


# ---- containers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "y",
    [VALUES, VALUES.tolist(), VALUES.astype(np.float32), tuple(VALUES), VALUES[::2].repeat(2)],
)
def test_an_array_has_numbered_steps(y):
    panel = read_panel(y)
    (series,) = panel.series
    np.testing.assert_array_equal(series.targets[:, 0], np.asarray(y))
    table = forecast(panel)
    assert table.index.tolist() == [6, 7] and table.columns.tolist() == ["y"]
    assert series.past.shape == series.future.shape == (6, 0) and series.static.shape == (0,)


def test_the_columns_of_an_array_are_targets():
    panel = read_panel(np.arange(12).reshape(6, 2))
    assert panel.series[0].targets.tolist()[1] == [2.0, 3.0]
    assert forecast(panel).columns.tolist() == ["y0", "y1"]


@pytest.mark.parametrize(
    "index",
    [
        DAYS,
        DAYS.tz_localize("America/New_York"),
        DAYS.to_period("D"),
        DAYS.strftime("%d.%m.%Y"),
        pd.RangeIndex(10, 16, name="when"),
    ],
    ids=lambda index: str(index.dtype),
)
def test_a_series_comes_back_with_its_index_and_its_name(index):
    table = forecast(read_panel(pd.Series(VALUES, index, name="sales")))
    if index.dtype == DAYS.strftime("%d").dtype:
        index = DAYS
    wanted = pd.DataFrame({"sales": [0.0, 1.0]}, index.append(index)[6:8])
    assert table.index.dtype == index.dtype and table.index.name == "when"
    assert table.index[0] == index[-1] + (index[1] - index[0])
    assert table.columns.equals(wanted.columns)


def test_a_frame_has_its_columns_as_targets():
    panel = read_panel(frame()[["sales", "visits"]])
    np.testing.assert_array_equal(panel.series[0].targets, frame()[["sales", "visits"]])
    table = forecast(panel, names=["sales", "visits", "sales_q0.1", "visits_q0.1"])
    assert table.columns.tolist() == ["sales", "visits", "sales_q0.1", "visits_q0.1"]
    assert table.loc["2024-03-05"].tolist() == [4.0, 5.0, 6.0, 7.0]


def test_a_time_column_comes_back_as_a_column():
    for when in (frame().reset_index(), frame().reset_index().set_index("temp")):
        panel = read_panel(when, time="when", target=["visits"])
        table = forecast(panel)
        assert table.columns.tolist() == ["when", "visits"]
        assert table["when"].tolist() == [
            pd.Timestamp("2024-03-04"),
            pd.Timestamp("2024-03-05"),
        ]
        assert isinstance(table.index, pd.RangeIndex)


def test_a_long_table_comes_back_as_one():
    panel = read_panel(long(), id="shop", time="when", target="sales")
    assert [series.id for series in panel.series] == ["north", "south"]
    assert [len(series) for series in panel.series] == [6, 5]
    wanted = pd.DataFrame(
        {
            "shop": ["north"] * 2 + ["south"] * 2,
            "when": pd.DatetimeIndex(["2024-03-04", "2024-03-05"] * 2).as_unit(DAYS.unit),
            "sales": [0.0, 1.0, 2.0, 3.0],
        }
    )
    pd.testing.assert_frame_equal(forecast(panel), wanted)
    table = forecast(read_panel(long().set_index("when"), id="shop", target="sales"))
    pd.testing.assert_frame_equal(table, wanted.set_index("when"))


@pytest.mark.parametrize("names", [["shop", "size", "when"], [None, None, None]])
def test_ids_of_several_columns_and_in_the_index(names):
    two = long().assign(size=[1] * 6 + [2] * 5)
    columns = read_panel(two, id=["shop", "size"], time="when", target="sales")
    assert [series.id for series in columns.series] == [("north", 1), ("south", 2)]
    assert forecast(columns).columns.tolist() == ["shop", "size", "when", "sales"]
    indexed = two.set_index(["shop", "size", "when"])[["sales"]].rename_axis(names)
    levels = read_panel(indexed)
    for one, other in zip(columns.series, levels.series, strict=True):
        assert one.id == other.id and one.index.equals(other.index)
        np.testing.assert_array_equal(one.targets, other.targets)
    table = forecast(levels)
    assert table.index.nlevels == 3 and list(table.index.names) == names
    assert table.index[-1] == ("south", 2, pd.Timestamp("2024-03-05"))
    again = read_panel(indexed, schema=levels.schema)
    assert [series.id for series in again.series] == [("north", 1), ("south", 2)]


def test_columns_of_several_levels():
    wide = frame()[["sales", "visits"]]
    wide.columns = pd.MultiIndex.from_tuples([("a", "sales"), ("a", "visits")])
    panel = read_panel(wide)
    assert forecast(panel).columns.equals(wide.columns)
    assert Schema.from_json(json.loads(json.dumps(panel.schema.to_json()))) == panel.schema


# ---- order, holes, repeats ---------------------------------------------------------------


def test_newest_first_is_sorted_and_said_so():
    wanted = read_panel(frame()[["sales"]])
    with pytest.warns(pygru.DataWarning, match="y: the rows were newest first") as caught:
        found = read_panel(frame()[["sales"]][::-1])
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(found.series[0].targets, wanted.series[0].targets)
    assert found.schema == wanted.schema
    with pytest.warns(
        pygru.DataWarning, match="row 1 .2024-02-28. comes after row 0 .2024-02-29"
    ):
        read_panel(frame()[["sales"]].iloc[[2, 1, 0, 3, 4, 5]])
    with pytest.warns(pygru.DataWarning, match="newest first"):
        read_panel(long()[::-1], id="shop", time="when", target="sales")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # rows of several series may be mixed
        mixed = long().sort_values("when", kind="stable")
        read_panel(mixed, id="shop", time="when", target="sales")


def test_the_same_series_in_any_order_of_rows():
    table = long().drop(index=[2, 8])
    roles = {"past": ["temp"], "future": ["sky", "open"], "static": ["size"], "target": "sales"}
    wanted = read_panel(table, id="shop", time="when", **roles)
    for seed in range(3):
        shuffled = table.sample(frac=1, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = read_panel(shuffled, id="shop", time="when", **roles)
        by_id = {series.id: series for series in found.series}
        for series in wanted.series:
            other = by_id[series.id]
            assert series.index.equals(other.index)
            for field in ("targets", "past", "future", "static"):
                np.testing.assert_array_equal(getattr(series, field), getattr(other, field))


def test_a_hole_is_missing_in_everything():
    (series,) = read_panel(
        frame().drop(DAYS[2]), past=["temp"], future=["sky"], target="sales"
    ).series
    assert len(series) == 6 and np.isnan(series.targets[2, 0]) and np.isnan(series.past[2, 0])
    assert series.future[2].tolist() == [0.0, 0.0, 0.0]
    assert np.isfinite(np.delete(series.targets, 2, 0)).all()


def test_repeated_times_and_forgotten_ids_are_refused():
    twice = pd.concat([frame(), frame().iloc[[1, 4]]])[["sales"]]
    with pytest.raises(
        ValueError, match=r"row 1 and row 6 \(2024-02-28\) and row 7 .*drop_duplicates"
    ):
        read_panel(twice)
    with pytest.raises(ValueError, match=r"column 'shop' tells apart: pass id='shop'"):
        read_panel(long(), time="when", target="sales")
    two = pd.concat([long().assign(item=item) for item in "xy"])
    with pytest.raises(ValueError, match=r"together tell apart: pass id=\['shop', 'item'\]"):
        read_panel(two, time="when", target="sales")
    with pytest.raises(ValueError, match=r"row 1 and row 11 \(2024-02-28\)"):
        read_panel(
            pd.concat([long(), long().iloc[[1]]], ignore_index=True),
            id="shop",
            time="when",
            target="sales",
        )
    with pytest.raises(ValueError, match=r"several series needs its time.*time='when'"):
        read_panel(long(), id="shop", target="sales")
    back = pd.date_range("2024-10-26", periods=40, freq="h", tz="Europe/Berlin")
    with pytest.raises(ValueError, match="tz_localize"):
        read_panel(pd.Series(range(40), back.tz_localize(None)))


def test_series_of_one_length_of_step_have_their_own_days():
    a = pd.date_range("2024-01-01", periods=8, freq="W-MON")
    b = pd.date_range("2024-01-02", periods=8, freq="W-TUE")
    table = pd.DataFrame({"id": ["a"] * 8 + ["b"] * 8 + ["c"], "t": [*a, *b, a[0]], "y": 1.0})
    panel = read_panel(table, id="id", time="t")
    assert [series.steps.name for series in panel.series] == ["W-MON", "W-TUE", "W-MON"]
    table = pd.DataFrame({"id": ["a"] * 8 + ["b"] * 8, "t": [*a, *DAYS, *DAYS[:2]], "y": 1.0})
    table.loc[14:, "t"] = DAYS[-1] + pd.to_timedelta([1, 2], "D")
    with pytest.raises(ValueError, match=r"'a' has 'W-MON', and 'b' has 'D'.*freq="):
        read_panel(table, id="id", time="t")


# ---- covariates --------------------------------------------------------------------------


def test_categories_become_columns_of_zero_and_one():
    panel = read_panel(frame(), past=["temp", "sky"], future="open", target="sales")
    (series,) = panel.series
    assert panel.schema.past[1].categories == ("rain", "snow", "sun")
    np.testing.assert_array_equal(series.past[:, 0], frame()["temp"])
    assert series.past[:, 1:].tolist() == [
        [0, 0, 1],
        [1, 0, 0],
        [0, 0, 1],
        [0, 0, 0],
        [0, 1, 0],
        [1, 0, 0],
    ]
    assert panel.schema.future[0].categories == ("False", "True")
    assert panel.schema.width("past") == 4 and panel.schema.width("future") == 2


def test_an_unknown_category_is_none_of_them():
    schema = read_panel(frame(), past=["sky"], target="sales").schema
    later = frame().assign(sky=["sun", "hail", "rain", "hail", "fog", "sun"])
    (series,) = read_panel(later, schema=schema).series
    assert series.past.sum(axis=1).tolist() == [1, 0, 1, 0, 0, 1]


def test_categories_are_the_same_whatever_their_type():
    numbers = frame().assign(sky=pd.Categorical([1, 2, 1, 3, 1, 2], categories=[3, 2, 1, 0]))
    schema = read_panel(numbers, past=["sky"], target="sales").schema
    assert schema.past[0].categories == ("3", "2", "1")  # its own order, those that occur
    for values in (["1", "2", "1", "3", "1", "2"], [1.0, 2.0, 1.0, 3.0, 1.0, 2.0]):
        (series,) = read_panel(frame().assign(sky=values), schema=schema).series
        assert series.past.argmax(axis=1).tolist() == [2, 1, 2, 0, 2, 1]


def test_covariates_may_be_tables_of_their_own():
    target = frame()["sales"]
    past = frame()[["temp", "sky"]]
    longer = DAYS.append(pd.date_range("2024-03-04", periods=3))
    future = pd.DataFrame({"holiday": np.arange(9.0)}, longer)
    (series,) = read_panel(target, past, future).series
    (within,) = read_panel(frame(), ["temp", "sky"], target="sales").series
    np.testing.assert_array_equal(series.past, within.past)
    assert series.future[:, 0].tolist() == list(range(9)) and len(series) == 6


def test_a_table_without_ids_holds_for_every_series():
    calendar = pd.DataFrame(
        {"holiday": np.arange(10.0)}, pd.date_range("2024-02-26", periods=10)
    )
    panel = read_panel(long(), future=calendar, id="shop", time="when", target="sales")
    assert [series.future[:, 0].tolist() for series in panel.series] == [
        [1, 2, 3, 4, 5, 6, 7, 8, 9],
        [2, 3, 4, 5, 6, 7, 8, 9],
    ]


def test_covariates_with_ids_go_to_their_series():
    future = long()[["shop", "when", "temp"]].assign(temp=lambda t: np.arange(11.0))
    with pytest.warns(pygru.DataWarning, match="future: the rows were newest first"):
        panel = read_panel(
            long().drop(columns="temp"),
            future=future[::-1],
            id="shop",
            time="when",
            target="sales",
        )
    assert panel.series[1].future[:, 0].tolist() == [6, 7, 8, 9, 10]
    with pytest.raises(ValueError, match="future has no rows of the series 'south'"):
        read_panel(
            long().drop(columns="temp"),
            future=future[future["shop"] == "north"],
            id="shop",
            time="when",
            target="sales",
        )


def test_a_daily_table_serves_a_series_of_business_days():
    days = pd.bdate_range("2024-02-01", periods=20)
    weather = pd.DataFrame(
        {"temp": np.arange(40.0)}, pd.date_range("2024-02-01", periods=40, freq="D")
    )
    (series,) = read_panel(pd.Series(1.0, days), past=weather).series
    assert series.past[:, 0].tolist() == [(day - days[0]).days for day in days]
    (series,) = read_panel(pd.Series(1.0, days), future=weather).series
    assert len(series.future) == len(pd.bdate_range("2024-02-01", "2024-03-11"))
    assert series.future[-1, 0] == 39.0


def test_time_zones_of_covariates_are_those_of_the_series():
    berlin = DAYS.tz_localize("Europe/Berlin")
    past = pd.DataFrame({"temp": VALUES}, berlin.tz_convert("UTC"))
    (series,) = read_panel(pd.Series(VALUES, berlin), past).series
    np.testing.assert_array_equal(series.past[:, 0], VALUES)
    with pytest.raises(ValueError, match="no time zone, and those of y have the time zone"):
        read_panel(pd.Series(VALUES, berlin), pd.DataFrame({"temp": VALUES}, DAYS))


def test_rows_after_the_last_target_hold_the_future():
    table = frame().assign(sales=[3.0, np.nan, 4.0, 1.0, np.nan, np.nan])
    (series,) = read_panel(table, future=["open"], target="sales").series
    assert len(series) == 4 and series.future.shape == (6, 2)
    assert future_index(series, 1)[0] == DAYS[4]
    (series,) = read_panel(table, past=["open"], target="sales").series
    assert len(series) == 6  # without covariates of the future they are missing values


def test_static_covariates_of_a_column_and_of_a_table():
    panel = read_panel(long(), static=["size"], id="shop", time="when", target="sales")
    assert [series.static.tolist() for series in panel.series] == [[7.5], [3.0]]
    table = pd.DataFrame({"shop": ["south", "north"], "kind": ["big", "small"], "area": [1, 2]})
    for static in (table, table.set_index("shop")):
        panel = read_panel(long(), static=static, id="shop", time="when", target="sales")
        assert [s.static.tolist() for s in panel.series] == [[0, 1, 2], [1, 0, 1]]
    (series,) = read_panel(frame()["sales"], static=pd.DataFrame({"area": [4]})).series
    assert series.static.tolist() == [4.0]
    with pytest.raises(
        ValueError, match=r"series 'north': the static column 'temp' is not const"
    ):
        read_panel(long(), static=["temp"], id="shop", time="when", target="sales")
    with pytest.raises(ValueError, match="static has no row of the series 'south'"):
        read_panel(long(), static=table[1:], id="shop", time="when", target="sales")
    with pytest.raises(ValueError, match="row 2 is another one of 'south'"):
        read_panel(
            long(), static=pd.concat([table, table[:1]]), id="shop", time="when", target="sales"
        )


def test_arrays_have_arrays_as_covariates():
    (series,) = read_panel(VALUES, np.ones((6, 2)), np.arange(8.0)).series
    assert series.past.shape == (6, 2) and series.future[:, 0].tolist() == list(range(8))


# ---- bad input ---------------------------------------------------------------------------

NOT_DATA = [
    (None, TypeError, "y must be a list, an array, or a Series or DataFrame"),
    ([], ValueError, "y has no values"),
    (frame()[:0], ValueError, "y has no rows"),
    (pd.Series([], dtype=float), ValueError, "y has no rows"),
    (frame()[[]], ValueError, "no column left to forecast"),
    (np.ones((2, 2, 2)), ValueError, "many series are a long table with id="),
    (3.0, ValueError, r"y must have shape \(T,\)"),
    (["a", "b"], TypeError, "y must be numeric"),
    ([1, [2, 3]], ValueError, "y"),
    ({"a": [1, 2]}, TypeError, "y"),
    ("sales.csv", TypeError, "y must be numeric"),
    (np.array([1.0, np.inf]), ValueError, r"y: column 'y' is infinite in row 1 \(inf\)"),
    (frame()[["sales"]].replace(5.0, -np.inf), ValueError, r"'sales' is infinite in row 4"),
    (frame(), TypeError, r"column 'sky' holds text, in row 0 \('sun'\).*past="),
    (frame().reset_index()[["sales", "when"]], TypeError, "pass time='when'"),
    (frame()["sky"], TypeError, "holds text"),
    (pd.Series([1 + 2j]), TypeError, "y: column 'y' must hold real numbers, got dtype complex"),
    (pd.Series([2**60, 1]), ValueError, "integers beyond 2..53"),
    (pd.concat([frame(), frame()], axis=1), ValueError, "more than one column 'sales'"),
    (pd.Series([1.0, "?", 2.0, None], dtype=object), TypeError, r"row 1 \('\?'\)"),
]


@pytest.mark.parametrize(("y", "error", "message"), NOT_DATA)
def test_what_is_no_data(y, error, message):
    with pytest.raises(error, match=message) as caught:
        read_panel(y)
    assert len(str(caught.value)) < 500


BAD_NAMES = [
    ({"target": "profit"}, "target: y has no column 'profit'; its columns are 'sales'"),
    ({"target": []}, "target must name at least one column"),
    ({"target": ["sales", "sales"]}, "names a column twice"),
    ({"past": "humidity"}, "past: y has no column 'humidity'"),
    ({"past": "temp", "future": ["temp"]}, "'temp' is named in both past and future"),
    ({"past": "sales", "target": "sales"}, "'sales' is named in both past and target"),
    ({"id": "shop"}, "id: y has no column 'shop'"),
    ({"time": "date"}, "time: y has no column 'date'"),
    ({"time": "when", "id": "when"}, "time and id name the same column"),
    ({"target": "sales", "past": frame()[[]]}, "past has no column of values"),
    (
        {"target": "sales", "past": frame()[["temp"]].reset_index(drop=True)},
        "past: its times are",
    ),
    (
        {"target": "sales", "past": frame()[["temp"]].set_axis(DAYS + pd.Timedelta(1, "h"))},
        "past: no time of it is a time of y",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_NAMES)
def test_names_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        read_panel(frame(), **arguments)


def test_kinds_of_arguments_that_do_not_fit():
    for arguments in (
        {"past": np.ones((6, 2))},
        {"past": [["temp"]]},
        {"target": {"a": 1}},
        {"id": {}},
    ):
        with pytest.raises(TypeError, match=f"{next(iter(arguments))} must be"):
            read_panel(frame(), **arguments)
    with pytest.raises(TypeError, match="past must be a DataFrame with the same index as y"):
        read_panel(frame()["sales"], past=["temp"])
    with pytest.raises(ValueError, match="target= names columns of a table"):
        read_panel(VALUES, target="sales")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (DAYS, "column 'x' holds dates, which are no covariate"),
        (DAYS.to_period("M"), "column 'x' holds dates, which are no covariate"),
        (pd.to_timedelta(range(6), "h"), "column 'x' holds lengths of time"),
        ([[1]] * 6, "column 'x' holds values that are no categories"),
        ([1j] * 6, "column 'x' must hold real numbers, got dtype complex128"),
    ],
)
def test_what_is_no_covariate(values, message):
    with pytest.raises(TypeError, match=message):
        read_panel(frame().assign(x=values), past="x", target="sales")


def test_a_column_may_have_the_name_of_the_index_but_not_none():
    table = pd.DataFrame({"when": VALUES}, DAYS)
    assert forecast(read_panel(table)).columns.tolist() == ["when"]
    for name in (None, np.nan):
        with pytest.raises(ValueError, match="y: column number 1, counted from 0, has no name"):
            read_panel(pd.DataFrame({"a": VALUES, name: VALUES}, DAYS))


def test_too_many_categories_are_refused():
    table = pd.DataFrame({"y": 1.0, "note": [f"note {i}" for i in range(2000)]})
    with pytest.raises(ValueError, match="column 'note' has 2000 categories, and at most 1000"):
        read_panel(table, past=["note"])


def test_a_message_does_not_grow_with_the_columns():
    wide = pd.DataFrame(np.ones((3, 50_000)))
    wide.columns = [f"a column of a long name {i}" for i in range(50_000)]
    for arguments in ({"target": "x"}, {"id": "x"}, {"past": ["x"]}, {"target": ["x"] * 2}):
        with pytest.raises(ValueError, match="column") as caught:
            read_panel(wide, **arguments)
        assert len(str(caught.value)) < 500


def test_the_table_of_the_user_stays_as_it_is():
    table = long().sample(frac=1, random_state=0)
    before = table.copy()
    with pytest.warns(pygru.DataWarning):
        panel = read_panel(table, past=["temp"], id="shop", time="when", target="sales")
    for series in panel.series:
        series.targets[:] = -1
        series.past[:] = -1
    pd.testing.assert_frame_equal(table, before)
    y = VALUES.copy()
    read_panel(y).series[0].targets[:] = -1
    np.testing.assert_array_equal(y, VALUES)
