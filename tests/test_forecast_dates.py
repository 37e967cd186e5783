"""The steps of an index, found and continued, against date_range and period_range of pandas."""

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from pygru.forecasting.panel import future_index, read_panel  # noqa: E402

CALENDARS = [
    *("D", "2D", "7D", "W-SUN", "W-WED", "2W-TUE", "B"),
    *(
        "ME",
        "MS",
        "2ME",
        "5MS",
        "BME",
        "BMS",
        "QE-DEC",
        "QE-NOV",
        "QS-OCT",
        "QS-FEB",
        "BQE-DEC",
    ),
    *("YE-DEC", "YS-APR", "YE-JUN", "2YE-DEC", "BYS-MAR"),
]
CLOCKS = ["h", "6h", "15min", "min", "s", "100ms"]
ZONES = [None, "UTC", "Europe/Berlin", "America/New_York"]


def dates(freq, count=120, start="2021-03-05", tz=None):
    """Dates of pandas that do not carry their frequency."""
    index = pd.date_range(start, periods=count, freq=freq, tz=tz)
    return index[np.arange(count)]


def series(index):
    return pd.Series(np.arange(len(index), dtype=float), index)


def ahead(index, horizon=20, **options):
    """The future of a series with this index."""
    (one,) = read_panel(series(index), **options).series
    return future_index(one, horizon)


@pytest.mark.parametrize("tz", ZONES)
@pytest.mark.parametrize("freq", [*CALENDARS, *CLOCKS])
def test_dates_go_on_as_pandas_lets_them(freq, tz):
    if freq == "6h" and tz not in (None, "UTC"):
        pytest.skip("six hours on the clock are not six hours when it changes")
    whole = dates(freq, 110, tz=tz)
    found = ahead(whole[:90])
    assert found.equals(whole[90:]) and found.dtype == whole.dtype


@pytest.mark.parametrize("tz", [None, "Europe/Berlin"])
@pytest.mark.parametrize("freq", [*CALENDARS, "h", "15min"])
def test_holes_become_missing_steps(freq, tz):
    whole = dates(freq, 110, tz=tz)
    kept = np.sort(np.random.default_rng(5).choice(89, 70, replace=False))
    kept = np.append(kept, 89)
    (one,) = read_panel(series(whole).iloc[kept]).series
    assert one.index.equals(whole[kept[0] : 90])
    wanted = np.full(90, np.nan)
    wanted[kept] = kept
    np.testing.assert_array_equal(one.targets[:, 0], wanted[kept[0] :])
    assert future_index(one, 20).equals(whole[90:])


@pytest.mark.parametrize(
    "freq",
    ["D", "5D", "W-WED", "2W-TUE", "ME", "QE-NOV", "QS-FEB", "YE-JUN", "YS-APR", "15min"],
)
def test_two_rows_go_on_too(freq):
    whole = dates(freq, 12)
    for rows in (2, 3, 4):
        assert ahead(whole[:rows], 8).equals(whole[rows : rows + 8])


def test_a_long_hole_changes_nothing():
    whole = dates("D", 900)
    assert ahead(whole[:100].append(whole[700:800]), 100).equals(whole[800:])


def test_business_days_with_holidays():
    holidays = ["2024-12-25", "2024-12-26", "2025-01-01"]
    traded = pd.bdate_range("2024-12-02", "2025-01-10", freq="C", holidays=holidays)
    (one,) = read_panel(series(traded)).series
    assert one.index.equals(pd.bdate_range("2024-12-02", "2025-01-10"))
    assert one.index[np.isnan(one.targets[:, 0])].equals(pd.DatetimeIndex(holidays))
    assert future_index(one, 3).equals(pd.bdate_range("2025-01-13", periods=3))


def test_a_week_of_working_days_is_daily():
    # No weekend lies between the rows, so nothing says that it would be left out.
    week = pd.date_range("2024-01-01", "2024-01-05")
    for rows in ([0, 1, 2, 3, 4], [0, 1, 4], [2, 3, 4], [3, 4]):
        assert ahead(week[rows], 1)[0] == pd.Timestamp("2024-01-06")


@pytest.mark.parametrize("change", ["2024-03-31", "2024-10-27"])
def test_hours_and_days_over_a_change_of_the_clocks(change):
    day = pd.Timestamp(change, tz="Europe/Berlin")
    hours = pd.date_range(day - pd.Timedelta(10, "h"), periods=60, freq="h")
    found = ahead(hours[:10], 50)
    assert found.equals(hours[10:])
    assert (np.diff(found.asi8) == np.diff(found.asi8)[0]).all()
    days = pd.date_range(day.tz_localize(None) - pd.Timedelta(9, "D"), periods=18)
    local = (days + pd.Timedelta(8, "h")).tz_localize("Europe/Berlin")
    assert ahead(local[:9], 9).equals(local[9:])


def test_a_local_time_that_does_not_exist_or_is_twice():
    at_half_past_two = pd.date_range("2024-03-26 02:30", periods=5).tz_localize("Europe/Berlin")
    found = ahead(at_half_past_two, 3)
    assert [str(stamp) for stamp in found] == [
        "2024-03-31 03:00:00+02:00",
        "2024-04-01 02:30:00+02:00",
        "2024-04-02 02:30:00+02:00",
    ]
    at_half_past_two = pd.date_range("2024-10-22 02:30", periods=5).tz_localize("Europe/Berlin")
    assert str(ahead(at_half_past_two, 1)[0]) == "2024-10-27 02:30:00+02:00"


@pytest.mark.parametrize(
    "freq", ["D", "W-THU", "M", "3M", "Q-DEC", "Q-JAN", "Y-DEC", "h", "2h"]
)
def test_periods_go_on(freq):
    whole = pd.period_range("2021-03-05", periods=40, freq=freq, name="when")
    found = ahead(whole[:30], 10)
    assert found.equals(whole[30:]) and found.dtype == whole.dtype and found.name == "when"
    (one,) = read_panel(series(whole).iloc[[0, 1, 4, 5]]).series
    assert one.index.equals(whole[:6]) and np.isnan(one.targets[2:4]).all()


@pytest.mark.parametrize(
    ("index", "wanted"),
    [
        (range(5), [5, 6]),
        (range(10, 60, 10), [60, 70]),
        ([1990, 1991, 1993, 1994], [1995, 1996]),
        ([7], [8, 9]),
        ([-3, -2, -1], [0, 1]),
        ([0.0, 1.0, 2.0], [3, 4]),
    ],
)
def test_numbers_go_on(index, wanted):
    found = ahead(pd.Index(index), 2)
    assert found.tolist() == wanted and isinstance(found, pd.RangeIndex)


def test_the_frequency_that_is_given_wins():
    index = pd.DatetimeIndex(["2024-01-01", "2024-01-15", "2024-01-29"])
    assert ahead(index, 1)[0] == pd.Timestamp("2024-02-12")
    assert ahead(index, 1, freq="W-MON")[0] == pd.Timestamp("2024-02-05")
    assert ahead(index, 1, freq=pd.offsets.Day())[0] == pd.Timestamp("2024-01-30")
    third_friday = pd.date_range("2024-01-01", periods=6, freq="WOM-3FRI")
    assert ahead(third_friday[[0, 1, 4]], 1, freq="WOM-3FRI")[0] == third_friday[5]
    assert ahead(pd.Index([0, 4, 8]), 2, freq=2).tolist() == [10, 12]


def test_the_frequency_of_an_index_is_kept_for_a_single_row():
    for freq in ("ME", "W-THU", "15min"):
        index = pd.date_range("2024-01-31", periods=3, freq=freq)
        assert ahead(index[:1], 2).equals(index[1:])


def test_what_pandas_infers_comes_first():
    for freq in ("WOM-3FRI", "bh"):
        index = dates(freq, 60)
        assert ahead(index[:50], 10).equals(index[50:])


def test_resolution_of_seconds_and_far_years():
    index = pd.date_range("2999-12-31", periods=8, freq="YE", unit="s")[np.arange(8)]
    found = ahead(index[:5], 3)
    assert found.equals(index[5:]) and found.dtype == index.dtype
    assert ahead(index[[0, 1, 4]], 3).equals(index[5:])


REFUSED = [
    (dates("D", 1), {}, r"could not be found: it has one row.*freq="),
    (
        pd.DatetimeIndex(
            ["2024-01-01", "2024-01-05", "2024-01-06", "2024-03-02", "2024-05-01"]
        ),
        {},
        r"could not be found: .*Name it with freq=.*round",
    ),
    (
        pd.DatetimeIndex(
            ["2024-01-15", "2024-02-15", "2024-03-15", "2024-04-15", "2024-06-15"]
        ),
        {},
        r"could not be found: .*to_period\('M'\)",
    ),
    (pd.Index([0, 10, 13, 40, 45]), {}, r"freq=1"),
    (
        dates("MS", 5),
        {"freq": "ME"},
        r"the steps are 'ME'.*row 0 \(2021-04-01\), row 1 .* and 2 more.*fit 'MS'",
    ),
    (
        dates("D", 9).delete(3).insert(3, pd.Timestamp("2021-03-08 12:00")),
        {"freq": "D"},
        r"row 3 \(2021-03-08 12:00:00\) is not on them",
    ),
    (dates("D", 3), {"freq": "fortnight"}, "freq must be a frequency of pandas"),
    (dates("D", 3), {"freq": "-1D"}, "freq must step forward"),
    (dates("D", 3), {"freq": pd.offsets.CustomBusinessDay(holidays=["2021-03-08"])}, "no name"),
    (dates("D", 3), {"freq": pd.DateOffset(months=1)}, "no name"),
    (pd.RangeIndex(3), {"freq": "D"}, "needs dates, and the index has numbers.*time="),
    (pd.RangeIndex(3), {"freq": 0}, "freq must be >= 1"),
    (pd.period_range("2024", periods=3, freq="M"), {"freq": "D"}, r"asfreq"),
    (
        dates("s", 5).append(pd.DatetimeIndex(["2121-01-01"])),
        {},
        r"2121-01-01.*, which is \d+ steps of 's' for only 6 rows",
    ),
]


@pytest.mark.parametrize(("index", "options", "message"), REFUSED)
def test_what_is_refused(index, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_panel(series(index), **options)
    assert (
        str(caught.value).startswith(("y", "freq", "the time")) and len(str(caught.value)) < 600
    )


def test_freq_of_another_type_is_refused():
    with pytest.raises(TypeError, match=r"freq must be a frequency of pandas .* got int"):
        read_panel(series(dates("D")), freq=3)


def test_a_horizon_beyond_the_last_date_is_refused():
    (one,) = read_panel(series(dates("YE", 9))).series
    with pytest.raises(ValueError, match="beyond the dates that pandas can hold"):
        future_index(one, 300_000)
