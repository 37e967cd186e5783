"""Time columns of every kind: what is read, and what is refused with its first rows."""

import datetime
import warnings
from zoneinfo import ZoneInfo

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from pygru.data.stamps import read_stamps, seems_to_hold_dates  # noqa: E402

DAYS = pd.date_range("2024-01-30", periods=14)
BERLIN = DAYS.tz_localize("Europe/Berlin")


def read(values):
    return read_stamps("the time", pd.Series(values))


@pytest.mark.parametrize(
    "form",
    [
        *("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y%m%d", "%d.%m.%Y", "%d.%m.%y"),
        *("%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y"),
        *("%m/%d/%Y %I:%M %p", "%d/%m/%Y %H:%M", "%d.%m.%Y %H:%M:%S"),
        *("%m/%d/%y", "%d/%m/%y %H:%M", "%d/%m/%Y %I:%M:%S %p"),
    ],
)
def test_text_is_read_as_it_was_written(form):
    text = DAYS.strftime(form)
    for values in (text, text.astype("category"), " " + text + " "):
        assert (read(values) == DAYS).all()
    # Newest first, or one row only, where the day says which number is the month.
    assert (read(text[::-1]) == DAYS[::-1]).all()
    assert read(text[:1])[0] == DAYS[0]


@pytest.mark.parametrize("form", ["%b %Y", "%B %Y", "%b-%y", "%m/%Y", "%Y-%m", "%Y/%m"])
def test_months_and_quarters_are_read(form):
    months = pd.date_range("2019-12-01", periods=15, freq="MS")
    assert (read(months.strftime(form)) == months).all()


@pytest.mark.parametrize("form", ["{}Q{}", "{}-Q{}", "{} Q{}"])
def test_quarters_are_periods(form):
    quarters = pd.period_range("2023Q2", periods=6, freq="Q")
    found = read([form.format(each.year, each.quarter) for each in quarters])
    assert found.equals(quarters)


def test_monthly_dates_tell_the_order_of_day_and_month():
    months = pd.date_range("2023-01-01", periods=14, freq="MS")
    for form in ("%d/%m/%Y", "%m/%d/%Y"):
        assert (read(months.strftime(form)) == months).all()


def test_an_order_that_is_not_certain_is_refused():
    with pytest.raises(ValueError, match=r"two ways: row 0 \('01/02/2024'\) is 2024-01-02 or"):
        read(["01/02/2024", "02/03/2024"])
    # The firsts of twelve months are also the first twelve days of January.
    with pytest.raises(ValueError, match="two ways"):
        read([f"01/{month:02d}/2024" for month in range(1, 13)])
    # With dots, the day comes first.
    assert read(["01.02.2024", "02.03.2024"]).strftime("%m-%d").tolist() == ["02-01", "03-02"]


def test_text_with_one_offset_keeps_it():
    text = BERLIN.strftime("%Y-%m-%dT%H:%M:%S%z")
    found = read(text)
    assert (found == BERLIN).all() and found.tz is not None
    assert str(read([f"{day:%Y-%m-%dT%H:%M}Z" for day in DAYS]).tz) == "UTC"
    assert (read(["2024-01-01 00:00Z", "2024-01-02 00:00+00:00"]).tz_convert(None)).equals(
        pd.DatetimeIndex(["2024-01-01", "2024-01-02"])
    )


@pytest.mark.parametrize(
    "values",
    [
        DAYS,
        BERLIN,
        DAYS.as_unit("s"),
        DAYS.to_period("D"),
        pd.Series(list(DAYS.to_period("W")), dtype=object),
        pd.Series(DAYS.date),
        pd.Series(list(DAYS.to_pydatetime()), dtype=object),
        pd.Series(
            [datetime.datetime(2024, 1, d, tzinfo=ZoneInfo("Asia/Tokyo")) for d in (1, 2)]
        ),
        pd.Series(DAYS).astype("category"),
        pd.Series([1, 5, 3]),
        pd.Series([1, 5, 3], dtype="Int64"),
        pd.Series([1.0, 5.0, 3.0]),
        pd.Series([20240229, 20240301]),
        pd.Series([1999, 2000, 2001]),
        pd.Series([202401, 202402]),
    ],
    ids=lambda values: f"{values.dtype}-{str(values[0])[:12]}",
)
def test_kinds_of_times(values):
    found = read_stamps("the time", values)
    if len(values) == 2 and 20240229 in values.tolist():
        assert found.tolist() == [pd.Timestamp("2024-02-29"), pd.Timestamp("2024-03-01")]
        return
    plain = np.asarray(values.astype(object) if hasattr(values, "cat") else values)
    got = np.asarray(found)
    if isinstance(found, pd.DatetimeIndex) and found.tz is None:
        got, plain = got.astype("datetime64[ns]"), pd.to_datetime(plain).to_numpy()
        plain = plain.astype("datetime64[ns]")
    np.testing.assert_array_equal(got, plain)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (["2024-01-01", "soon", "2024-01-03", "?"], ValueError, r"row 1 \('soon'\) and row 3"),
        (["a", "b", "c", "d", "e"], ValueError, r"row 0 \('a'\), row 1 .* and 2 more rows"),
        (["2024-01-01", "02/01/2024"], ValueError, r"of one format: row 1 \('02/01/2024'\)"),
        (["31/12/2023", "2024-01-01"], ValueError, "of one format"),
        (["13/13/2024", "12/12/2024"], ValueError, r"row 0 \('13/13/2024'\)"),
        (["2023-02-29"], ValueError, r"row 0 \('2023-02-29'\)"),
        (["2024-01-01", None, "2024-01-03"], ValueError, "the time is missing in row 1"),
        (["2024-01-01", " ", "2024-01-03"], ValueError, "the time is missing in row 1"),
        ([pd.NaT, *DAYS[:3]], ValueError, "the time is missing in row 0"),
        ([1.0, np.nan], ValueError, "the time is missing in row 1"),
        ([1.0, 2.5], TypeError, r"whole numbers, got row 1 \(2\.5\)"),
        ([1.0, np.inf], TypeError, r"whole numbers, got row 1 \(inf\)"),
        ([True, False], TypeError, "whole numbers, got bool"),
        ([1 + 0j], TypeError, "complex"),
        ([pd.Timedelta(1, "h")], TypeError, "timedelta"),
        ([[1], [2]], TypeError, "got list in row 0"),
        (
            ["2024-01-01", 5],
            ValueError,
            r"row 0 is text \('2024-01-01'\), other than row 1 \(5\)",
        ),
        (
            [f"2024-0{m}-30T00:00+0{h}:00" for m, h in ((1, 1), (4, 2), (5, 2))],
            ValueError,
            r"more than one offset from UTC: row 0 .*\+01:00'\), but row 1 .*tz_convert",
        ),
        (["2024-01-01T00:00Z", "2024-01-02T00:00"], ValueError, "more than one offset"),
        (
            [pd.Timestamp("2024-01-01", tz="UTC"), pd.Timestamp("2024-01-01")],
            ValueError,
            "more than one offset",
        ),
        (
            [pd.Timestamp("2024-01-01", tz=z) for z in ("Asia/Tokyo", "Europe/Berlin")],
            ValueError,
            "more than one offset",
        ),
        ([pd.Period("2024-01"), pd.Period("2024Q1")], ValueError, "mixes periods"),
        ([1704067200 * 10**9 * k for k in (1, 2)], ValueError, "1970.*unit="),
        ([*range(202401, 202413), 202501], ValueError, "seem to be months.*%Y%m"),
    ],
)
def test_what_is_refused(values, error, message):
    with pytest.raises(error, match=message) as caught:
        read_stamps("the time", pd.Series(values, dtype=None))
    assert len(str(caught.value)) < 500


def test_reading_never_warns_and_never_grows():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for text in (["x" * 10_000_000] * 3, [f"x{i}" for i in range(5000)]):
            with pytest.raises(ValueError, match="cannot be read as dates") as caught:
                read(text)
            assert len(str(caught.value)) < 1000


def test_what_seems_to_be_a_time():
    for column in (DAYS, DAYS.to_period("D"), ["2024-01-01"], ["1/2/24 12:00"], ["01.02.2024"]):
        assert seems_to_hold_dates(pd.Series(column))
    for column in (["May"], ["a"], [1.5], [20240101], ["10.5"], [None]):
        assert not seems_to_hold_dates(pd.Series(column))
