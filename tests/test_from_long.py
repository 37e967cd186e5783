"""pygru.data.from_long against groupby: sequences, their order, labels, and bad tables."""

import warnings

import numpy as np
import pytest
from programs import run_program

import pygru
from pygru.data import from_long

pd = pytest.importorskip("pandas")


def table(seed=0):
    """Three sequences of different lengths, their rows mixed but in order of time."""
    rng = np.random.default_rng(seed)
    parts = [
        pd.DataFrame(
            {
                "patient": name,
                "hour": np.arange(n),
                "pulse": rng.normal(70, 5, n),
                "steps": rng.integers(0, 9, n),
                "ill": ill,
            }
        )
        for name, n, ill in (("b", 4, "yes"), ("a", 2, "no"), ("c", 5, "yes"))
    ]
    whole = pd.concat(parts)
    return whole.iloc[np.argsort(whole["hour"].to_numpy(), kind="stable")].reset_index(
        drop=True
    )


def test_each_sequence_has_the_rows_of_its_id():
    long = table()
    X, y, ids = from_long(long, id="patient", time="hour", label="ill")
    assert ids == ["b", "a", "c"]  # as they first appear
    assert y.tolist() == ["yes", "no", "yes"]
    for sequence, id in zip(X, ids, strict=True):
        rows = long[long["patient"] == id].sort_values("hour")
        np.testing.assert_array_equal(sequence, rows[["pulse", "steps"]].to_numpy())
        assert sequence.dtype == np.float64


def test_rows_in_any_order_give_the_same_sequences():
    long = table()
    wanted = from_long(long, id="patient", time="hour", values=["pulse", "steps"])
    shuffled = long.sample(frac=1, random_state=3)
    with pytest.warns(pygru.DataWarning, match="not in the order of time"):
        found = from_long(shuffled, id="patient", time="hour", values=["pulse", "steps"])
    by_id = dict(zip(found.ids, found.X, strict=True))
    for id, sequence in zip(wanted.ids, wanted.X, strict=True):
        np.testing.assert_array_equal(by_id[id], sequence)
    with pytest.warns(pygru.DataWarning, match="newest first") as caught:
        from_long(long[::-1], id="patient", time="hour", values="pulse")
    assert caught[0].filename == __file__  # it names the user's line


def test_a_single_name_makes_sequences_without_a_feature_axis():
    X, _, _ = from_long(table(), id="patient", values="steps")
    assert [each.shape for each in X] == [(4,), (2,), (5,)]
    assert X[0].dtype == np.int64  # tokens stay integers
    X, _, _ = from_long(table(), id="patient", values=["steps"], dtype=np.float32)
    assert [each.shape for each in X] == [(4, 1), (2, 1), (5, 1)]
    assert X[0].dtype == np.float32


def test_labels_of_every_step_and_ids_of_several_columns():
    long = table().assign(ward=lambda t: np.where(t["patient"] == "a", 1, 2))
    X, y, ids = from_long(long, id=["ward", "patient"], values="pulse", step_label="ill")
    assert ids == [(2, "b"), (1, "a"), (2, "c")]
    assert [each.tolist() for each in y] == [["yes"] * 4, ["no"] * 2, ["yes"] * 5]
    assert [len(each) for each in X] == [4, 2, 5]


def test_the_ids_may_be_in_the_index():
    long = table().set_index(["patient", "hour"])
    X, _, ids = from_long(long, id="patient", time="hour", values="pulse")
    assert ids == ["b", "a", "c"] and len(X[2]) == 5


def test_times_may_be_dates_periods_or_text():
    day = pd.Timestamp("2024-02-27") + pd.to_timedelta(table()["hour"], "D")
    wanted = from_long(table(), id="patient", time="hour", values="pulse").X
    kinds = (
        day,
        day.dt.tz_localize("Europe/Berlin"),
        day.dt.to_period("D"),
        day.dt.strftime("%d.%m.%Y"),
        day.dt.strftime("%Y%m%d").astype(int),
        day.dt.date,
    )
    for times in kinds:
        long = table().assign(hour=times)[::-1]
        with pytest.warns(pygru.DataWarning):
            X, _, ids = from_long(long, id="patient", time="hour", values="pulse")
        assert ids == ["c", "b", "a"]
        np.testing.assert_array_equal(X[0], wanted[2])


def test_missing_values_stay_missing_and_the_table_stays_as_it_is():
    long = table()
    long.loc[2, "pulse"] = np.nan
    long["steps"] = long["steps"].astype("Int64").where(long["hour"] != 3)
    before = long.copy()
    X, _, _ = from_long(long, id="patient", values=["pulse", "steps"])
    for sequence in X:
        sequence[:] = -1
    pd.testing.assert_frame_equal(long, before)
    X, _, _ = from_long(long, id="patient", values=["pulse", "steps"])
    assert np.isnan(np.concatenate(X)).sum() == 1 + 2


@pytest.mark.parametrize("dtype", ["float32", "Float32", "int16", "Int16", "bool", "boolean"])
def test_the_dtype_of_the_columns_stays(dtype):
    long = pd.DataFrame({"id": [1, 1, 2], "v": pd.array([0, 1, 1], dtype)})
    assert from_long(long, id="id").X[0].dtype == dtype.lower().replace("boolean", "bool")


def test_sequences_train_a_classifier():
    pytest.importorskip("sklearn")
    from pygru.sklearn import GRUClassifier

    rng = np.random.default_rng(0)
    long = pd.DataFrame({"id": np.repeat(np.arange(40), 5), "v": rng.normal(size=200)})
    long["kind"] = np.where(long["id"] % 2, "up", "down")
    long.loc[long["kind"] == "up", "v"] += 3
    X, y, _ = from_long(long, id="id", label="kind")
    model = GRUClassifier((4,), max_iter=40, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert model.fit(X, y).score(X, y) > 0.9


REFUSED = [
    (
        lambda t: t.to_dict("list"),
        {"id": "patient"},
        TypeError,
        "DataFrame of pandas, got dict",
    ),
    (lambda t: t[:0], {"id": "patient"}, ValueError, "table has no rows"),
    (lambda t: t, {"id": "shop"}, ValueError, "id: table has no column 'shop'; its columns"),
    (lambda t: t, {"id": []}, ValueError, "id must name the column"),
    (lambda t: t, {"id": "patient", "values": ["puls"]}, ValueError, "values: table has no"),
    (lambda t: t, {"id": "patient", "values": []}, ValueError, "at least one column"),
    (lambda t: t, {"id": "patient"}, TypeError, r"column 'ill' must hold numbers"),
    (lambda t: t, {"id": "patient", "values": "ill"}, TypeError, "label="),
    (
        lambda t: t.assign(hour=[*t["hour"][:-1], 3]),
        {"id": "patient", "time": "hour", "values": "pulse"},
        ValueError,
        r"a time is repeated: row 9 and row 10 \(3\)",
    ),
    (
        lambda t: t.assign(patient=t["patient"].where(t.index != 4)),
        {"id": "patient", "values": "pulse"},
        ValueError,
        "the id column 'patient' is missing in row 4",
    ),
    (
        lambda t: t.assign(hour=t["hour"].astype(object).where(t.index != 4, None)),
        {"id": "patient", "time": "hour", "values": "pulse"},
        ValueError,
        "the time column 'hour' is missing in row 4",
    ),
    (
        lambda t: t.assign(pulse=t["pulse"].where(t.index % 2 == 0, np.inf)),
        {"id": "patient", "values": "pulse"},
        ValueError,
        r"column 'pulse' is infinite in row 1 \(inf\), row 3 \(inf\), row 5 \(inf\) and 2 more",
    ),
    (
        lambda t: t.assign(ill=t["ill"].where(t.index != 5, "maybe")),
        {"id": "patient", "values": "pulse", "label": "ill"},
        ValueError,
        r"changes within the sequence .*: row \d \('\w+'\) and row 5 \('maybe'\).*step_label=",
    ),
    (
        lambda t: t.assign(ill=t["ill"].where(t.index != 5)),
        {"id": "patient", "values": "pulse", "label": "ill"},
        ValueError,
        "label: column 'ill' is missing in row 5",
    ),
    (
        lambda t: t,
        {"id": "patient", "values": "pulse", "label": "ill", "step_label": "ill"},
        ValueError,
        "cannot both be given",
    ),
    (lambda t: t, {"id": "patient", "values": "pulse", "dtype": int}, TypeError, "would round"),
    (
        lambda t: t.assign(steps=300),
        {"id": "patient", "values": "steps", "dtype": np.int8},
        ValueError,
        "out of the range of int8",
    ),
    (
        lambda t: t.assign(steps=2**60),
        {"id": "patient", "values": ["steps", "pulse"]},
        ValueError,
        "cannot represent exactly",
    ),
    (
        lambda t: t,
        {"id": "patient", "values": "pulse", "dtype": "U3"},
        TypeError,
        "real numbers",
    ),
    (
        lambda t: t.assign(when=pd.Timestamp("2024-01-01")),
        {"id": "patient", "values": ["when"]},
        TypeError,
        "holds dates, not numbers",
    ),
    (
        lambda t: pd.concat([t, t[["pulse"]]], axis=1),
        {"id": "patient"},
        ValueError,
        "more than one column 'pulse'",
    ),
]


@pytest.mark.parametrize(("change", "arguments", "error", "message"), REFUSED)
def test_what_it_refuses(change, arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        from_long(change(table()), **arguments)
    assert len(str(caught.value)) < 1000


def test_without_pandas_it_says_what_to_install():
    code = (
        "import sys, pygru\n"
        "assert not {'pandas', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "sys.modules['pandas'] = None\n"
        "pygru.data.windows([1.0, 2.0], 1), pygru.data.Scaler().fit([1.0, 2.0])\n"
        "try: pygru.data.from_long({}, id='a')\n"
        "except ImportError as error: print(error)\n"
    )
    done = run_program(code)
    assert done.stdout.strip() == (
        'pygru.data.from_long needs pandas; install it with  pip install "pygru[forecast]"'
    ), done.stderr


def test_a_message_does_not_grow_with_the_table():
    wide = pd.DataFrame(np.ones((2, 20_000)), columns=[f"column {i}" for i in range(20_000)])
    with pytest.raises(ValueError, match=r"'column 0', .* and 19992 more") as caught:
        from_long(wide, id="shop")
    assert len(str(caught.value)) < 500
