"""pygru.predict on a DataFrame and a Parquet file: the sequences are those of ``from_long``."""

import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from quick import quick_and_slow

import pygru
from pygru import GRU, Embedding, Last, Linear, Sequential
from pygru.data import from_long
from pygru.prediction import buffered, tables

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

RNG = np.random.default_rng(0)
SIZES = quick_and_slow([5, None], [1, 100, "300 B"])
PER_SEQUENCE = Sequential(GRU(2, 5, batch_first=True), Last(), Linear(5, 1), seed=0)
PER_STEP = Sequential(GRU(2, 5, batch_first=True), Linear(5, 3), seed=1)


def table_of(sizes=(3, 1, 9, 2, 2, 14, 1), ids=("c", "a", "b", "f", "e", "d", "g")):
    """Rows of several sequences: ids, times with a time zone, and two columns of numbers."""
    hours = np.concatenate([np.arange(size) for size in sizes])
    times = pd.Timestamp("2024-03-01", tz="Europe/Paris") + pd.to_timedelta(hours, unit="h")
    return pd.DataFrame(
        {
            "who": np.repeat(ids, sizes),
            "kind": np.repeat((np.arange(len(sizes)) + 1) // 2, sizes),  # of some neighbours
            "when": times,
            "x": RNG.standard_normal(len(hours)).astype(np.float32),
            "n": RNG.integers(0, 5, len(hours)),
        }
    )


TABLE = table_of()
ROLES = {"id": "who", "time": "when", "values": ["x", "n"]}


@pytest.fixture(autouse=True)
def small_pieces(tmp_path, monkeypatch):
    """Sequences that begin in one row group, or one piece that is read, and end in another."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tables, "ROWS", 4)


def parquet(table=TABLE, rows=7, **options):
    table.to_parquet("in.parquet", row_group_size=rows, index=False, **options)
    return "in.parquet"


def check(found, predictions, per_step):
    """Compare a table of predictions with those of the model for the sequences of from_long."""
    expected = np.concatenate(predictions) if per_step else predictions
    names = [name for name in found if name.startswith("prediction")]
    assert np.array_equal(found[names].to_numpy(), expected)
    assert all(found[name].dtype == np.float32 for name in names)
    rows = TABLE if per_step else TABLE.drop_duplicates("who")
    assert found["who"].tolist() == rows["who"].tolist()
    if per_step:
        assert (found["when"].to_numpy() == rows["when"].to_numpy()).all()
        assert names == ["prediction_0", "prediction_1", "prediction_2"]
    else:
        assert names == ["prediction"]


@pytest.mark.parametrize("chunk_size", SIZES)
@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("kind", ["frame", "parquet"])
def test_bits_of_from_long(kind, per_step, chunk_size):
    model = PER_STEP if per_step else PER_SEQUENCE
    X, _, _ = from_long(TABLE, **ROLES)
    source = TABLE if kind == "frame" else parquet()
    check(pygru.predict(model, source, chunk_size=chunk_size, **ROLES), model(X), per_step)
    pygru.predict(model, source, chunk_size=chunk_size, out="out.parquet", **ROLES)
    check(pd.read_parquet("out.parquet"), model(X), per_step)


@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_row_groups_of_any_size(rows):
    X, _, _ = from_long(TABLE, **ROLES)
    parquet(rows=rows)
    check(pygru.predict(PER_STEP, "in.parquet", chunk_size=3, **ROLES), PER_STEP(X), True)


def test_outputs_that_are_no_tables():
    X, _, _ = from_long(TABLE, **ROLES)
    options = {"chunk_size": 2, **ROLES}
    pygru.predict(PER_SEQUENCE, parquet(), out="out.npy", **options)
    assert np.array_equal(np.load("out.npy"), PER_SEQUENCE(X))
    out = np.full((7, 14, 3), np.nan, np.float32)
    pygru.predict(PER_STEP, "in.parquet", out=out, **options)
    assert np.array_equal(out, pygru.pad_sequences(PER_STEP(X))[0])
    got = []
    pygru.predict(PER_STEP, "in.parquet", out=lambda first, p: got.extend(p), **options)
    assert all(map(np.array_equal, got, PER_STEP(X)))


def test_several_ids_and_all_other_columns():
    table = TABLE.drop(columns="when")
    found = pygru.predict(PER_SEQUENCE, parquet(table), id=["who", "kind"], chunk_size=2)
    X, _, ids = from_long(table, id=["who", "kind"])
    assert list(zip(found["who"], found["kind"], strict=True)) == ids
    assert np.array_equal(found[["prediction"]].to_numpy(), PER_SEQUENCE(X))
    steps = pygru.predict(PER_STEP, "in.parquet", id=["who", "kind"], chunk_size=2)
    assert steps["step"].tolist() == [step for each in X for step in range(len(each))]


def test_a_single_column_makes_sequences_of_tokens():
    tagger = Sequential(Embedding(5, 3), GRU(3, 2, batch_first=True), Last(), seed=0)
    found = pygru.predict(tagger, parquet(), id="who", values="n", chunk_size=2)
    X, _, _ = from_long(TABLE, id="who", values="n")
    assert np.array_equal(found[["prediction_0", "prediction_1"]].to_numpy(), tagger(X))


def test_what_an_estimator_says_of_a_chunk_has_its_place():
    pytest.importorskip("sklearn")
    from pygru.sklearn import GRUClassifier

    X = np.zeros((7, 3, 2))
    labels = np.arange(7) % 2
    model = GRUClassifier(2, random_state=0).partial_fit(X, labels, classes=[0, 1])
    X[5, 1, 0] = np.nan
    with pytest.raises(ValueError, match=r"X\[1, 1, 0\]") as caught:
        pygru.predict(model, X, chunk_size=4)
    assert caught.value.__notes__ == ["X is source[4:7]"]


def test_labels_of_an_estimator():
    pytest.importorskip("sklearn")
    from pygru.sklearn import GRUClassifier

    X, _, _ = from_long(TABLE, **ROLES)
    labels = np.where(np.arange(7) % 2, "odd", "even")
    model = GRUClassifier(2, random_state=0).partial_fit(X, labels, classes=["even", "odd"])
    pygru.predict(model, parquet(), out="out.parquet", chunk_size=2, **ROLES)
    assert pd.read_parquet("out.parquet")["prediction"].tolist() == model.predict(X).tolist()


@pytest.mark.parametrize(
    "ids", [[3, 1, 2, 10, 5, 7, 4], pd.Categorical(list("cabfedg")), list("cabfedg")]
)
def test_ids_of_any_type(ids):
    table = TABLE.assign(who=pd.Series(ids).repeat([3, 1, 9, 2, 2, 14, 1]).to_numpy())
    found = pygru.predict(PER_SEQUENCE, parquet(table), chunk_size=3, **ROLES)
    assert found["who"].tolist() == list(ids)


def test_arrays_have_numbers_as_ids():
    x = RNG.standard_normal((5, 3, 2))
    pygru.predict(PER_SEQUENCE, x, out="out.parquet", chunk_size=2)
    found = pd.read_parquet("out.parquet")
    assert found["id"].tolist() == [0, 1, 2, 3, 4]
    assert np.array_equal(found["prediction"].to_numpy(), PER_SEQUENCE(x)[:, 0])
    pygru.predict(PER_STEP, x, out="out.parquet", chunk_size=2)
    found = pd.read_parquet("out.parquet")
    assert found["id"].tolist() == np.repeat(range(5), 3).tolist()
    assert found["step"].tolist() == [0, 1, 2] * 5
    assert np.array_equal(found.iloc[:, 2:].to_numpy(), PER_STEP(x).reshape(15, 3))


def test_parts_are_put_together_one_by_one(monkeypatch):
    """An open part keeps in memory what has been read of it."""
    import pyarrow.parquet as pq

    monkeypatch.setattr(buffered, "BUFFER", 0)
    opened = []

    class Counted(pq.ParquetFile):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            opened.append(self)
            assert len(opened) == 1

        def close(self, *arguments, **options):
            super().close(*arguments, **options)
            opened.remove(self)

    monkeypatch.setattr(pq, "ParquetFile", Counted)
    pygru.predict(PER_SEQUENCE, np.zeros((5, 3, 2)), out="out.parquet", chunk_size=1)
    assert pd.read_parquet("out.parquet")["id"].tolist() == list(range(5))


# ---- what is refused -----------------------------------------------------------------------

#: A function that no model has been called by.
NOT_CALLED = lambda x: pytest.fail("something was computed")  # noqa: E731


def swapped(a, b):
    rows = np.arange(len(TABLE))
    rows[[a, b]] = rows[[b, a]]
    return TABLE.iloc[rows]


@pytest.mark.parametrize("rows", [3, 100])
def test_rows_of_a_sequence_must_stand_together(rows):
    again = pd.concat([TABLE, TABLE.iloc[4:6]])
    message = r"rows of the id 'b' do not stand together .* row 4, and another in row 32\. Sort"
    with pytest.raises(ValueError, match=message):
        pygru.predict(NOT_CALLED, parquet(again, rows), **ROLES)


@pytest.mark.parametrize("kind", ["times", "numbers"])
def test_rows_must_be_in_the_order_of_time(kind):
    table = swapped(8, 9)
    if kind == "numbers":
        table = table.assign(when=np.array([0, 1, 1, 0, *range(26), 1, 2])[: len(table)])
        row = 2
    else:
        row = 9
    with pytest.raises(
        ValueError, match=f"in order within each sequence, but row {row} is not"
    ):
        pygru.predict(PER_SEQUENCE, parquet(table), **ROLES)


@pytest.mark.parametrize(
    ("change", "roles", "error", "message"),
    [
        ({}, {"id": None}, ValueError, "id must name the column"),
        ({}, {"id": []}, ValueError, "id must name the column"),
        (
            {},
            {"id": "whom"},
            ValueError,
            "id: in.parquet has no column 'whom'; its columns are",
        ),
        ({}, {"time": "x y"}, ValueError, "time: in.parquet has no column 'x y'"),
        ({}, {"time": "who"}, TypeError, "time: column 'who' of in.parquet holds .*string"),
        ({}, {"values": ["z"]}, ValueError, "values: in.parquet has no column 'z'"),
        ({}, {"values": []}, ValueError, "values must name at least one column"),
        ({}, {"values": ["x", "who"]}, TypeError, "values: column 'who' .* not numbers"),
        ({}, {"time": None, "values": None}, TypeError, "'when' .* pass time='when'"),
        ({"who": [None]}, {}, ValueError, "id column 'who' is missing in row 5"),
        (
            {"n": pd.array([None], "Int64")},
            {"values": ["n"]},
            ValueError,
            "'n' is missing in row 5",
        ),
        ({"when": [pd.NaT]}, {}, ValueError, "time: column 'when' .* is missing in row 5"),
        ({}, {"lengths": [1]}, ValueError, "lengths must be None for a long table"),
        ({}, {"name": "x"}, ValueError, "name must be None for a long table"),
    ],
)
def test_bad_tables(change, roles, error, message):
    table = TABLE.copy()
    for name, values in change.items():
        column = table[name].astype(object if name != "n" else "Int64")
        column.iloc[5] = values[0]
        table[name] = column if name != "when" else pd.to_datetime(column, utc=True)
    with pytest.raises(error, match=message):
        pygru.predict(PER_SEQUENCE, parquet(table), **{**ROLES, **roles})


@pytest.mark.parametrize("kind", ["frame", "parquet"])
def test_a_missing_number_is_named_by_sequence_id_and_column(kind):
    table = TABLE.copy()
    table.loc[5, "x"] = np.nan
    source = table if kind == "frame" else parquet(table)
    message = r"source\[2\]\[1, 0\] = nan in column 'x' \(sample 2 with id 'b', step 1\)"
    with pytest.raises(ValueError, match=message):
        pygru.predict(PER_SEQUENCE, source, chunk_size=2, **ROLES)
    with pytest.raises(ValueError, match=r"sample 2 with id \('b', 1\), step 1"):
        pygru.predict(PER_SEQUENCE, source, chunk_size=2, **ROLES | {"id": ["who", "kind"]})


@pytest.mark.parametrize("kind", ["frame", "parquet"])
def test_a_wrong_number_of_columns_names_them(kind):
    source = TABLE if kind == "frame" else parquet()
    for values, names in ((["n"], "'n'"), (None, "'kind', 'x', 'n'")):
        message = f"must equal input_size=2, got .; the columns of values are {names}$"
        with pytest.raises(ValueError, match=message):
            pygru.predict(PER_SEQUENCE, source, **ROLES | {"values": values})


def test_tables_of_arrow():
    import pyarrow

    table = pyarrow.Table.from_pandas(TABLE)
    expected = pygru.predict(PER_SEQUENCE, TABLE, **ROLES)
    pd.testing.assert_frame_equal(pygru.predict(PER_SEQUENCE, table, **ROLES), expected)


def test_a_table_needs_an_id():
    import pyarrow

    for source in (TABLE, pyarrow.Table.from_pandas(TABLE)):
        with pytest.raises(ValueError, match=r"id must name .* long table, got (DataF|T)"):
            pygru.predict(PER_SEQUENCE, source)


def test_the_rows_of_a_table_may_be_tokens():
    tagger = Sequential(Embedding(5, 3), GRU(3, 2, batch_first=True), Last(), seed=0)
    rows = RNG.integers(0, 5, (6, 4))
    assert np.array_equal(pygru.predict(tagger, pd.DataFrame(rows)), tagger(rows))


def test_bad_files():
    Path("in.parquet").write_bytes(b"no Parquet")
    with pytest.raises(ValueError, match=r"source: in\.parquet is no Parquet file"):
        pygru.predict(PER_SEQUENCE, "in.parquet", id="who")
    with pytest.raises(FileNotFoundError):
        pygru.predict(PER_SEQUENCE, "other.parquet", id="who")
    named = TABLE.rename(columns={"who": "prediction"})
    with pytest.raises(
        ValueError, match="id: the column 'prediction' has the name of a column"
    ):
        pygru.predict(PER_SEQUENCE, named, **{**ROLES, "id": "prediction"})


@pytest.mark.parametrize("argument", ["id", "time", "values"])
def test_only_tables_have_columns(argument):
    for source in (np.ones((2, 3, 2)), "x.npy"):
        with pytest.raises(
            ValueError, match=f"{argument} must be None, unless source is a Data"
        ):
            pygru.predict(PER_SEQUENCE, source, **{argument: "x"})


def test_resumes_in_the_middle_of_a_row_group(monkeypatch):
    from pygru.prediction import display

    update = display.Display.update

    def failing(self, done):
        update(self, done)
        if done >= 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(display.Display, "update", failing)
        with pytest.raises(KeyboardInterrupt):
            pygru.predict(PER_STEP, parquet(), out="out.parquet", chunk_size=3, **ROLES)
    options = {"out": "out.parquet", "chunk_size": 3, "resume": True, **ROLES}
    kept = Path("in.parquet").read_bytes()
    parquet(TABLE.assign(x=TABLE["x"] + 1))
    with pytest.raises(ValueError, match="had other data"):
        pygru.predict(PER_STEP, "in.parquet", **options)
    Path("in.parquet").write_bytes(kept)
    pygru.predict(PER_STEP, "in.parquet", **options)
    X, _, _ = from_long(TABLE, **ROLES)
    check(pd.read_parquet("out.parquet"), PER_STEP(X), True)


# ---- what pandas makes of the same file ----------------------------------------------------


def test_the_index_is_no_value():
    """A sorted table has one, which pandas writes as a column of whole numbers."""
    table = TABLE[["who", "x", "n"]].iloc[np.r_[3:32, :3]]
    table.to_parquet("in.parquet")
    expected = pygru.predict(PER_SEQUENCE, table, id="who")
    pd.testing.assert_frame_equal(pygru.predict(PER_SEQUENCE, "in.parquet", id="who"), expected)
    table.set_index("who").to_parquet("in.parquet")
    pd.testing.assert_frame_equal(pygru.predict(PER_SEQUENCE, "in.parquet", id="who"), expected)


def test_decimals_are_numbers():
    table = TABLE.assign(x=[Decimal(f"{row}.{row:03}") for row in range(len(TABLE))])
    expected = pygru.predict(PER_SEQUENCE, table, **ROLES)
    pd.testing.assert_frame_equal(
        pygru.predict(PER_SEQUENCE, parquet(table), **ROLES), expected
    )


def test_row_groups_are_read_one_by_one(monkeypatch):
    """Those that are read together are in memory together."""
    import pyarrow.parquet as pq

    read = pq.ParquetFile.iter_batches

    def counted(self, *arguments, row_groups=None, **options):
        assert len(row_groups) == 1
        return read(self, *arguments, row_groups=row_groups, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    X, _, _ = from_long(TABLE, **ROLES)
    check(pygru.predict(PER_STEP, parquet(rows=5), **ROLES), PER_STEP(X), True)


def test_a_damaged_page_and_a_folder_are_named():
    parquet(rows=100)
    data = bytearray(Path("in.parquet").read_bytes())
    data[4:40] = bytes(36)  # the first page, which has the ids
    Path("in.parquet").write_bytes(data)
    with pytest.raises(ValueError, match=r"source: in\.parquet is damaged: "):
        pygru.predict(PER_SEQUENCE, "in.parquet", **ROLES)
    TABLE.to_parquet("parts.parquet", partition_cols=["kind"])
    with pytest.raises(IsADirectoryError, match="source is a folder") as caught:
        pygru.predict(PER_SEQUENCE, "parts.parquet", **ROLES)
    assert caught.value.filename == "parts.parquet"


@pytest.mark.parametrize(
    ("written", "id"), [(b"{\xff}", b"a"), (b"{index}", b"a"), (b"{}", b"a\xff")]
)
def test_damaged_text_is_named(written, id):
    """What pandas has written about its columns, and ids that are not UTF-8."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids = pa.array([id]).view(pa.string())  # unchecked
    table = pa.table({"id": ids, "u": [0.5]}).replace_schema_metadata({b"pandas": written})
    pq.write_table(table, "in.parquet")
    with pytest.raises(ValueError, match=r"source: in\.parquet is damaged: "):
        pygru.predict(lambda x: x, "in.parquet", id="id")


@pytest.mark.parametrize("is_known", [False, True])
def test_types_that_arrow_does_not_have_are_refused(is_known):
    """Without pandas, the periods of pandas are whole numbers to Arrow."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = "pandas.period" if is_known else "somebody.period"
    if is_known:
        times = pd.period_range("2024-01", periods=len(TABLE), freq="M")
        parquet(TABLE.assign(when=times))
    else:
        fields = [pa.field("who", pa.string()), pa.field("x", pa.float32())]
        fields.append(pa.field("when", pa.int64(), metadata={"ARROW:extension:name": name}))
        pq.write_table(pa.table([["a"], [0.0], [1]], pa.schema(fields)), "in.parquet")
    for roles in ({"time": "when", "values": ["x"]}, {"values": ["when"]}):
        with pytest.raises(TypeError, match=f"column 'when' .* holds {re.escape(name)}, which"):
            pygru.predict(PER_SEQUENCE, "in.parquet", id="who", **roles)
