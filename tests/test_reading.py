"""Tables from files: compared with pandas under explicit options, and with hand-written values.

These tests cover the row B-121 of the bad-input list.
"""

import datetime
import gzip
import io
import os
import sys
import tracemalloc
import zlib

import numpy as np
import pandas as pd
import pytest
from fuzz.fuzzer import files_left_open

from pygru.errors import FormatError
from pygru.forecasting.reading import read_table


def compressor(suffix):
    """What makes files with this suffix; some builds of Python lack it."""
    module = {".gz": "gzip", ".bz2": "bz2", ".xz": "lzma"}[suffix]
    return pytest.importorskip(module).compress


@pytest.fixture
def read(tmp_path):
    """A function that writes a file and reads it as a table."""

    def read(content, name="data.csv", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_table(str(path), **options)

    return read


# ---- how a file is written -----------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_separator_and_decimal_mark_are_recognised(separator, decimal, newline, read):
    if separator == decimal:
        pytest.skip("a comma cannot be both")
    rng = np.random.default_rng(0)
    truth = pd.DataFrame(
        {
            "when": [f"{day:02}.01.2020" for day in range(1, 31)],
            "level": rng.standard_normal(30) * 10.0 ** rng.integers(-300, 300, 30),
            "shop": ["a, b"] * 30 if separator == "," else ["a"] * 30,
            "count": range(30),
        }
    )
    text = truth.to_csv(index=False, sep=separator, decimal=decimal, lineterminator=newline)
    table = read(text)
    assert table.dialect == (separator, decimal)
    pd.testing.assert_frame_equal(table.frame, truth)  # also the last bit of each number
    expected = pd.read_csv(io.StringIO(text, newline=""), sep=separator, decimal=decimal)
    pd.testing.assert_frame_equal(table.frame, expected)


@pytest.mark.parametrize(
    ("text", "dialect", "values"),
    [
        ("b\n1,5\n-2,25\n", (";", ","), [1.5, -2.25]),  # a comma can only be a decimal mark
        ("a;b\nx;3\ny;,5\n", (";", ","), [3, 0.5]),
        ("a;b\nx;1e3\ny;2,5E-1\n", (";", ","), [1000, 0.25]),
        ('a;b\nx;"1,5"\ny;2\n', (";", ","), [1.5, 2]),
        ("a;b\n1,2,3;1.5\n4;2\n", (";", "."), [1.5, 2]),
        ("a;b\n0,1;2.5\nx;3\n", (";", "."), [2.5, 3]),  # both marks: the point
        ('"a;c",b\n1,2\n', (",", "."), [2]),
        ("a\tb\n1;2\t3\n", ("\t", "."), [3]),
        ("a,b\n1,2\n\n", (",", "."), [2]),
        (" a , b \n 1, 2\n", (",", "."), [2]),
    ],
)
def test_dialects_by_hand(text, dialect, values, read):
    table = read(text)
    assert table.dialect == dialect
    assert table.numbers("b").tolist() == values


def test_what_is_given_is_not_guessed(read):
    assert read("a;b,c\n1;5,2\n", separator=",").frame.columns.tolist() == ["a;b", "c"]
    table = read("a;b\n1.5;2,5\n", decimal=",")
    assert table.numbers("b").tolist() == [2.5]
    assert read("b\n?\n3\n", missing=["?"]).numbers("b").isna().tolist() == [True, False]
    assert read("b,c\n007,008\n", text=["b", "nowhere"]).frame.to_numpy().tolist() == [
        ["007", 8]
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(encoding, read):
    given = "cp1252" if encoding == "cp1252" else None
    table = read("Höhe;b\n1;2\n".encode(encoding), encoding=given)
    assert table.frame.columns.tolist() == ["Höhe", "b"]


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz"])
def test_compressed_files(suffix, read):
    compress = compressor(suffix) if suffix else bytes
    assert read(compress(b"b\n5\n"), f"d.csv{suffix}").numbers("b").tolist() == [5]
    if suffix:
        with pytest.raises(FormatError, match=rf"not a {suffix} file, or damaged"):
            read(b"b\n5\n", f"d.csv{suffix}")
        with pytest.raises(FormatError, match=rf"not a {suffix} file, or damaged"):
            read(compress(b"b\n5\n" * 1000)[:-9], f"d.csv{suffix}")
        numbers = np.random.default_rng(0).integers(0, 10**9, 3000)
        damaged = bytearray(compress(b"b\n" + b"".join(b"%d\n" % n for n in numbers)))
        damaged[2000:2040] = bytes(40)
        with pytest.raises(FormatError, match=rf"not a {suffix} file, or damaged"):
            read(bytes(damaged), f"d.csv{suffix}")


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"b\n5\nx\n")))
    table = read_table("-")
    with pytest.raises(FormatError, match=r"standard input:3: column 'b': 'x' is not a number"):
        table.numbers("b")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(FormatError, match="standard input is closed"):
        read_table("-")


def test_parquet(tmp_path, read):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(
        {"b": [1.5, np.nan]}, index=pd.DatetimeIndex(["2020-01-01", "2020-01-02"], name="when")
    )
    frame.to_parquet(tmp_path / "d.parquet")
    table = read_table(str(tmp_path / "d.parquet"))
    assert table.frame.columns.tolist() == ["when", "b"]
    assert table.frame["when"].tolist() == frame.index.tolist()
    np.testing.assert_array_equal(table.numbers("b"), [1.5, np.nan])
    with pytest.raises(FormatError, match="not a Parquet file, or damaged"):
        read(b"b\n5\n", "e.parquet")


def test_parquet_has_objects_that_a_text_has_not(tmp_path):
    """Days without a time of day, bytes that are text, bytes that are none, missing ones."""
    pyarrow = pytest.importorskip("pyarrow")
    days = [datetime.date(2024, 1, 31), None, datetime.date(2024, 2, 1)]
    columns = {
        "day": pyarrow.array(days),
        "shop": pyarrow.array(["é".encode(), None, b"b"], pyarrow.binary()),
        "blob": pyarrow.array([b"\xff", b"", b"b"], pyarrow.binary()),
        "wait": pyarrow.array([datetime.timedelta(1)] * 3),
    }
    pytest.importorskip("pyarrow.parquet").write_table(
        pyarrow.table(columns), tmp_path / "d.parquet"
    )
    table = read_table(str(tmp_path / "d.parquet"))
    assert table.frame["day"].dtype.kind == "M"
    assert table.frame["day"].dt.strftime("%d %b").tolist()[::2] == ["31 Jan", "01 Feb"]
    assert table.frame["day"].isna().tolist() == [False, True, False]
    assert table.frame["shop"].tolist()[::2] == ["é", "b"]
    assert table.frame["shop"].isna().tolist() == [False, True, False]
    assert table.frame["blob"].tolist() == [b"\xff", b"", b"b"]
    with pytest.raises(FormatError, match="'wait' has lengths of time, not numbers"):
        table.numbers("wait")


def test_parquet_without_pyarrow(read, monkeypatch):
    def read_parquet(path):
        raise ImportError("Unable to find a usable engine; tried using: 'pyarrow', ...")

    monkeypatch.setattr(pd, "read_parquet", read_parquet)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        ImportError, match=r'needs pyarrow; install it with pip install "pygru\[parquet\]"'
    ):
        read(b"", "d.parquet")


# ---- rows ----------------------------------------------------------------------------------


def test_empty_lines_of_one_column_are_missing_values(read):
    table = read("b\n1\n\n\n4\n\n\n")
    np.testing.assert_array_equal(table.numbers("b"), [1, np.nan, np.nan, 4])
    assert table.left_out == 2
    np.testing.assert_array_equal(read('b\n1\n""\n').numbers("b"), [1, np.nan])


def test_lines_of_messages_count_comments_and_empty_lines(read):
    table = read('# source: me\n\na,b\n1,2\n\n"two\nlines",3\n4,x\n')
    assert table.frame["a"].tolist() == ["1", "two\nlines", "4"]
    with pytest.raises(FormatError, match=r"data.csv:8: column 'b': 'x' is not a number"):
        table.numbers("b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("# a comment\n", "the file is empty"),
        ("a,b\n", "a header and no rows"),
        ("b\n\n\n", "a header and no rows"),
        ("a,b\n1,2\n3\n", r":3: expected 2 columns, got 1"),
        ("a,b\n1,2\n3,4,\n", r":3: expected 2 columns, got 3"),
        ("a,b\n1,2,\n3,4,\n", r":2: expected 2 columns, got 3"),  # pandas: a is an index
        ("a,b\n1,2\n3,x\n", r":3: column 'b': 'x' is not a number"),
        ("a,b\n1,inf\n", r":2: column 'b': 'inf' is not a number"),
        ('a,b\n1,"2,5"\n', r"'2,5' is not a number; if ',' is the decimal mark, say --decimal"),
        ("a,c\n1,2\n", "no column 'b'; the columns are a, c"),
        ("bb,c\n1,2\n", r"no column 'b' \(did you mean 'bb'\?\); the columns are bb, c"),
        ("b,b\n1,2\n", "more than one column 'b'"),
        ("1,2\n3,4\n", "the first row has no names but '1,2'; give the file a header line"),
        ("2020-01-01;3,5\n2020-01-02;4\n", "the first row has no names"),
        ("#b\n3\n", "the first row has no names but '3'"),
        (",,\n1,2,3\n", "the first row has no names"),
        ('a,b\n"1,2\n', r"expected 2 columns, got 1"),  # a quote that nobody closes
        ("a,b\n1,\0\n", "it contains the character 0"),
        (b"\xff\xfe\x00b", "a header and no rows"),  # one character of UTF-16
        (b"a,\xe4\n", "not UTF-8 text: .*; if it is text, give its encoding, such as"),
        (bytes(range(256)), "not UTF-8 text"),
        (b"PK\x03\x04" + bytes(100), "a spreadsheet or an archive; save it as CSV"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not UTF-8 text"),
    ],
)
def test_b121_files_that_are_refused(text, message, read):
    with pytest.raises(FormatError, match=message):
        read(text).numbers(read(text).require("b"))


def test_an_encoding_that_does_not_exist(read):
    with pytest.raises(FormatError, match="no encoding has the name 'utf-88'"):
        read("b\n1\n", encoding="utf-88")


@pytest.mark.parametrize(
    "cell",
    ["1_000", "٣", "\uff11\uff12", "0x10", "1e400", "1,5", "--1", "1e", "+", "∞", "1 2", "²"],
)
def test_b121_cells_that_are_no_numbers(cell, read):
    """Python's float() reads some of them."""
    with pytest.raises(FormatError, match=r":2: column 'b': .* is not a number"):
        read(f'a,b\n1,"{cell}"\n').numbers("b")


@pytest.mark.parametrize("cell", ["1", "-1.5", "+.5", "2.", "1e3", "1E-3", "007", "9" * 30])
def test_b121_cells_that_are_numbers(cell, read):
    assert read(f"a,b\n1,{cell}\n").numbers("b").tolist() == [float(cell)]


def test_covariates_are_numbers_or_categories(read):
    table = read("a,b,c\nred,1,True\n3,2,False\nblue,x,True\nred,4,True\n")
    assert table.covariate("a").tolist() == ["red", "3", "blue", "red"]
    assert table.covariate("c").tolist() == [True, False, True, True]
    with pytest.raises(FormatError, match=r":4: column 'b': 'x' is not a number"):
        table.covariate("b")  # most cells are numbers, so this one is a mistake


# ---- sizes ---------------------------------------------------------------------------------


def test_b121_line_without_an_end(read):
    with pytest.raises(FormatError, match="a line has 1048576 characters or more"):
        read(b"b" * (2**20 + 5))
    with pytest.raises(FormatError, match="not a CSV file: field larger"):
        read(b"a,b\n" + b"1" * (2**20 + 5))
    with pytest.raises(FormatError, match="not a CSV file: field larger"):
        read(b"a,b\n" + b'"' + b"1\n" * 2**20)


def python_memory(call):
    """The most memory that a call takes of Python's heap, and what it returns."""
    tracemalloc.start()
    try:
        return call(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_small_files_that_expand_without_measure_are_refused(suffix, read):
    """The rule does not depend on what the text is; it is refused before all is expanded."""
    compress = compressor(suffix)
    data = compress(b"x,y\n" + b"\n" * 2**24) + compress(b"\n" * 2**24) * 5
    assert len(data) < 200_000

    def refused():
        with pytest.raises(FormatError) as raised:
            read(data, f"d.csv{suffix}")
        return str(raised.value)

    said, used = python_memory(refused)
    limit = 100 * len(data) + 2**25
    assert f"d.csv{suffix}: expected at most {limit} bytes after expansion" in said
    assert f"of the file, and {2**25}), got " in said and "expand it yourself" in said
    assert used < 2 * limit + 2**23


def test_an_xz_file_whose_decoder_would_fill_the_memory(read):
    lzma = pytest.importorskip("lzma")

    def compressed(kept):
        """With the byte that says how much, 2**26 is 28, and the check sum after it."""
        data = bytearray(lzma.compress(b"x,y\n1,2\n", preset=0))
        assert data[12] == 2 and data[16:18] == bytes([12, 0])  # a block of 12 bytes; 2**18
        data[16] = kept
        data[20:24] = zlib.crc32(data[12:20]).to_bytes(4, "little")
        return bytes(data)

    assert len(read(compressed(28), "d.csv.xz").frame) == 1  # what "xz -9" asks for
    data = compressed(34)

    def refused():
        with pytest.raises(
            FormatError, match=r"d\.csv\.xz: expanding the file takes more than 134"
        ):
            read(data, "d.csv.xz")

    assert python_memory(refused)[1] < 2**22


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz"])
def test_a_line_that_is_far_too_long(suffix, read):
    compress = compressor(suffix) if suffix else bytes
    line = np.random.default_rng(0).integers(48, 58, 3 * 2**20, np.uint8).tobytes()
    with pytest.raises(FormatError, match=rf"d\.csv{suffix}: a line has 1048576 characters or"):
        read(compress(b"x,y\n" + line), f"d.csv{suffix}")
    rows = b"x,y\n" + b"".join(line[i : i + 9] + b",1\n" for i in range(0, 2**21, 9))
    assert len(read(compress(rows), f"d.csv{suffix}").frame) == -(-(2**21) // 9)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_damaged_parquet_file_is_closed(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "d.parquet"
    pd.DataFrame({"x": [1.0, 2.0]}).to_parquet(path)
    path.write_bytes(path.read_bytes()[:-30] + bytes(30))
    with pytest.raises(FormatError, match="not a Parquet file, or damaged") as caught:
        read_table(str(path))
    assert files_left_open(str(path)) == []
    del caught


def test_xz_files_that_follow_each_other(read):
    lzma = pytest.importorskip("lzma")
    parts = [lzma.compress(text) for text in (b"x,y\n1,", b"2\n3,4\n", b"5,6\n")]
    joined = parts[0] + bytes(8) + parts[1] + bytes(2**17) + parts[2] + bytes(4)
    assert read(joined, "d.csv.xz").frame["y"].tolist() == [2, 4, 6]
    for damaged in (joined[:-30], joined + b"more", parts[0][:20], b""):
        with pytest.raises(FormatError, match=r"not a \.xz file, or damaged"):
            read(damaged, "d.csv.xz")


@pytest.mark.parametrize(("suffix", "module"), [(".bz2", "bz2"), (".xz", "lzma")])
def test_python_without_a_module(suffix, module, read, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    assert len(read("x,y\n1,2\n").frame) == 1
    with pytest.raises(FormatError, match=f"built without the module {module}, which reads"):
        read(b"", f"d.csv{suffix}")


def test_repeated_rows_are_read_although_they_compress_well(read):
    data = gzip.compress(b"y\n" + b"0.00000000000000\n" * 600_000)
    assert len(data) * 200 < 600_000 * 17
    assert len(read(data, "d.csv.gz").frame) == 600_000


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (b"\n" * 200_000, "the file is empty"),
        (b"y\n" + b"\n" * 200_000, "a header and no rows"),
        (b"x,y\n" + b"\r\n" * 200_000, "a header and no rows"),
        (b"x,y\n" + b"\r" * 200_000, "a header and no rows"),
        (b"x,y\n1,2\n" + b"\n" * 200_000 + b"3,4\n", 2),
        (b"x,y\n" + b"1,2\n\n" * 60_000, 60_000),
        (b"x,y\n" + b"0,1\n" * 60_000, 60_000),
        (b"y\n" + b"0\n" * 100_000, 100_000),
        (b"#\n" * 100_000 + b"y\n1\n", 1),
    ],
    ids=[
        "blank",
        "one",
        "crlf",
        "cr",
        "two rows",
        "every second",
        "rows",
        "column",
        "comments",
    ],
)
def test_memory_is_a_small_multiple_of_the_text(text, rows, read):
    def result():
        if isinstance(rows, int):
            return len(read(text).frame)
        with pytest.raises(FormatError, match=rows):
            read(text)
        return rows

    found, used = python_memory(result)
    assert found == rows
    assert used < 20 * len(text) + 2**22  # 2**22 for what pandas reads at a time


def test_blank_lines_between_rows_are_counted(read):
    """Also where a piece of the text ends, and where the cells have lines."""
    blank = "\n" * 300_000
    table = read(f'a,b\n\n1,2\n{blank}"two\n\nlines",3\n \n""\n4,5\n"\n"\n6,x\n\n')
    assert table.frame["a"].tolist() == ["1", "two\n\nlines", "4", "6"]
    assert list(table.lines) == [3, 300_006, 300_009, 300_012]
    with pytest.raises(FormatError, match=r"data.csv:300012: column 'b': 'x' is not a number"):
        table.numbers("b")


def test_a_column_with_text_only_at_its_end_is_text_throughout(read):
    cells = read("b,c\n" + "1,2\n" * 600_000 + "x,3\n").frame["b"]
    assert cells.map(type).eq(str).all() and cells.iloc[[0, -1]].tolist() == ["1", "x"]


def test_a_parquet_file_of_one_repeated_value_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "d.parquet"
    pd.DataFrame({"b": np.zeros(5_000_000)}).to_parquet(path)
    with pytest.raises(FormatError, match=r"d.parquet: expected at most .* after expansion"):
        read_table(str(path))


@pytest.mark.skipif(os.name == "nt", reason="needs /dev/zero")
def test_b121_device_without_an_end():
    with pytest.raises(FormatError, match="a line has 1048576 characters or more"):
        read_table("/dev/zero")


def test_b121_messages_stay_short(read, tmp_path):
    least = len(str(tmp_path / "data.csv"))
    names = ",".join(f"c{i}" for i in range(9_000))
    table = read(f"{names}\n{',' * 8_999}\n")
    with pytest.raises(FormatError, match=r"the columns are c0, .*\(9000 of them\)") as raised:
        table.require("b" * 10_000)
    assert len(str(raised.value)) < 1000 + least
    with pytest.raises(FormatError, match="is not a number") as raised:
        read("b\n" + "x" * 10_000 + "\n").numbers("b")
    assert len(str(raised.value)) < 400 + least
    with pytest.raises(FormatError, match="the header has 1000000 columns") as raised:
        read("a" + "," * 999_999)
    assert len(str(raised.value)) < 400 + least
    with pytest.raises(FormatError, match="the first row has no names") as raised:
        read(",".join("9" * 100 for _ in range(1000)) + "\n1\n")
    assert len(str(raised.value)) < 500 + least
