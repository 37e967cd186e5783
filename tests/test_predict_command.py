"""``pygru predict`` for many files, and what it writes. The truth is GRUForecaster in Python.

Most tests call ``pygru.cli.main`` in this process. test_predict_workers.py has the tests of the
processes, and test_cli.py those of one file.
"""

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from ended_processes import group_has_ended, process_has_ended
from patience import PATIENCE

import pygru.cli
from pygru.commands import predict_table
from pygru.commands.options import parser_of_all
from pygru.commands.predict_workers import shared_threads
from pygru.forecasting import GRUForecaster
from pygru.forecasting.reading import EXACT

SHOPS = ["north", "south", "west"]


def main(*arguments):
    """Run the command in this process; return its exit code."""
    try:
        return pygru.cli.main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code


def fails(capsys, code, message, *arguments):
    """Check the exit code, that the error is one line, and that no file was made or changed."""
    before = {name: os.stat(name).st_mtime_ns for name in os.listdir()}
    assert main(*arguments) == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert message in lines[0]
    assert {name: os.stat(name).st_mtime_ns for name in os.listdir()} == before


def sales(shop, n=120):
    """A table of days of one shop."""
    rng = np.random.default_rng(SHOPS.index(shop))
    size = 10.0 ** SHOPS.index(shop)
    level = size * (5 + np.sin(2 * np.pi * np.arange(n) / 7) + 0.1 * rng.standard_normal(n))
    days = pd.date_range("2024-01-01", periods=n, freq="D")
    return pd.DataFrame({"day": days, "shop": shop, "sales": level})


def train(folder, name, table, **columns):
    forecaster = GRUForecaster(3, quantiles=(0.1,), hidden_size=2, epochs=1, progress=False)
    forecaster.fit(table, target="sales", **columns).save(folder / name)
    return forecaster


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a model of three shops, and a file for each of them."""
    folder = tmp_path_factory.mktemp("made")
    train(folder, "m.safetensors", pd.concat(map(sales, SHOPS)), id="shop", time="day")
    for shop in SHOPS:
        sales(shop).to_csv(folder / f"{shop}.csv", index=False)
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """A copy of it, in which the command runs."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def truth(files, model="m.safetensors"):
    """What Python says, file by file; the folder of a file does not matter."""
    forecaster = GRUForecaster.load(model)
    parts = []
    for file in files:
        shop = os.path.basename(file).split(".")[0]
        forecast = forecaster.predict(sales(shop))
        forecast.insert(0, "file", file)
        parts.append(forecast)
    return pd.concat(parts, ignore_index=True)


def same(found, expected):
    pd.testing.assert_frame_equal(found, expected, check_exact=True, check_dtype=False)


def read(path):
    if str(path).endswith(".csv"):
        return pd.read_csv(path, parse_dates=["day"], **EXACT)
    return pd.read_parquet(path)


FILES = ["south.csv", "north.csv", "west.csv"]  # not in the order of their names


# ---- many files ----------------------------------------------------------------------------


def test_forecasts_stand_in_the_order_of_the_files(folder, capsys):
    assert main("predict", "m.safetensors", *FILES, "--output", "f.csv") == 0
    same(read("f.csv"), truth(FILES))
    assert capsys.readouterr() == ("", "")


def test_the_screen_gets_what_a_file_gets(folder, capsys):
    assert main("predict", "m.safetensors", *FILES, "--output", "f.csv") == 0
    assert main("predict", "m.safetensors", *FILES) == 0
    assert capsys.readouterr().out.encode() == (folder / "f.csv").read_bytes()


def test_lines_are_those_of_each_file_alone(folder, capsys):
    assert main("predict", "m.safetensors", *FILES) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    alone = []
    for file in FILES:
        assert main("predict", "m.safetensors", file) == 0
        first, *others = capsys.readouterr().out.splitlines()
        assert header == f"file,{first}"
        alone += [f"{file},{line}" for line in others]
    assert lines == alone


@pytest.mark.parametrize(
    "data", ["in", "in/*.csv", "in/**/*.csv", "i[n]/?????.csv in/west.csv"]
)
def test_folders_and_patterns_stand_for_their_files_by_name(data, folder):
    os.mkdir("in")
    for file in FILES:
        os.rename(file, f"in/{file}")
    for other in (".hidden.csv", "notes.txt", "more"):  # no tables of this folder
        if "*" not in data:
            (folder / "in" / other).mkdir() if other == "more" else (
                folder / "in" / other
            ).write_text("x")
    files = data.replace("/", os.sep).split()
    assert main("predict", "m.safetensors", *files, "--output", "f.csv") == 0
    same(read("f.csv"), truth([f"in{os.sep}{name}" for name in sorted(FILES)]))


def test_a_folder_of_one_file_has_the_column_too(folder):
    os.mkdir("in")
    shutil.copy("north.csv", "in")
    assert main("predict", "m.safetensors", "in", "--output", "f.csv") == 0
    same(read("f.csv"), truth([os.path.join("in", "north.csv")]))
    assert main("predict", "m.safetensors", "north.csv", "--output", "g.csv") == 0
    assert "file" not in read("g.csv")


def test_a_file_whose_name_is_a_pattern_is_a_file(folder):
    os.rename("north.csv", "no[rt]h.csv")
    assert main("predict", "m.safetensors", "no[rt]h.csv", "--output", "f.csv") == 0
    same(read("f.csv"), truth(["north.csv"]).drop(columns="file"))


def test_the_column_of_files_may_have_another_name(folder):
    options = ("--file-column", "source", "--output", "f.csv")
    assert main("predict", "m.safetensors", *FILES, *options) == 0
    same(read("f.csv"), truth(FILES).rename(columns={"file": "source"}))


@pytest.mark.parametrize(
    ("code", "message", "arguments"),
    [
        (2, "the file north.csv is given twice", "north.csv south.csv north.csv"),
        (2, "given twice", "./north.csv north.csv"),
        (2, "given twice", "no*.csv north.csv"),
        (2, "standard input (-) cannot be one of several files", "- north.csv"),
        (1, "empty: the folder has no file that ends in .csv, ", "empty"),
        (1, "x*.csv: no file matches this pattern", "x*.csv"),
        (1, "missing.csv: No such file", "north.csv missing.csv"),
        (1, "bad.csv:2: column 'sales': 'x' is not a number", "north.csv bad.csv other.csv"),
        (1, "other.csv: no column 'shop'", "north.csv other.csv bad.csv"),
        (1, "zone.csv: the times have the time zone UTC, and those of north.csv have no time "
            "zone; --time-zone makes them alike", "north.csv zone.csv"),
        (2, "the forecast has a column 'shop' already", "north.csv bad.csv --file-column shop"),
        (2, "--workers: must be a whole number of 1 or more", "north.csv --workers 0"),
        (2, "--workers: must be a whole number", "north.csv --workers x"),
    ],
)  # fmt: skip
def test_errors_name_the_file_and_nothing_is_written(code, message, arguments, folder, capsys):
    (folder / "empty").mkdir()
    (folder / "bad.csv").write_text("day,shop,sales\n2024-01-01,a,x\n")
    (folder / "other.csv").write_text("day,sales\n2024-01-01,2\n")
    zone = sales("north")
    zone.assign(day=zone["day"].dt.tz_localize("UTC")).to_csv("zone.csv", index=False)
    command = ("predict", "m.safetensors", *arguments.split())
    fails(capsys, code, message, *command, "--output", "f.csv")


def test_an_error_that_does_not_name_the_file_gets_its_name(folder, capsys, monkeypatch):
    def read(path, *others):
        raise RecursionError("too deep")

    monkeypatch.setattr("pygru.commands.columns.read", read)
    message = "north.csv: RecursionError (pygru --debug shows where): too deep"
    fails(capsys, 1, message, "predict", "m.safetensors", "north.csv", "west.csv")


def test_debug_shows_the_traceback_of_the_file(folder):
    with pytest.raises(Exception, match=r"missing\.csv: No such file") as caught:
        main("--debug", "predict", "m.safetensors", "north.csv", "missing.csv")
    assert "FileNotFoundError" in str(caught.value.__cause__)


def test_skipped_files_are_listed_and_the_others_written(folder, capsys):
    (folder / "bad.csv").write_text("day,shop,sales\n2024-01-01,a,x\n")
    files = ["south.csv", "bad.csv", "north.csv", "missing.csv"]
    options = ("--skip-errors", "--output", "f.csv")
    assert main("predict", "m.safetensors", *files, *options) == 1
    assert capsys.readouterr().err.splitlines() == [
        "skipped: bad.csv:2: column 'sales': 'x' is not a number",
        f"skipped: missing.csv: {os.strerror(errno.ENOENT)}",
        "pygru: 2 of 4 files were skipped",
    ]
    same(read("f.csv"), truth(["south.csv", "north.csv"]))


def test_where_all_are_skipped_nothing_is_written(folder, capsys):
    command = ("predict", "m.safetensors", "a.csv", "b.csv", "--skip-errors")
    assert main(*command, "--output", "f.csv") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "pygru: all 2 files were skipped; nothing was written"
    assert not os.path.exists("f.csv")


def test_notes_are_told_in_the_order_of_the_files(folder, capsys):
    for file in ("south.csv", "west.csv"):
        pd.read_csv(file).iloc[::-1].to_csv(file, index=False)
    assert main("predict", "m.safetensors", *FILES) == 0
    notes = capsys.readouterr().err.splitlines()
    assert [note.partition(":")[0] for note in notes] == ["note"] * 2
    assert "south.csv" in notes[0]
    assert "west.csv" in notes[1]


# ---- the table of the future ---------------------------------------------------------------


@pytest.fixture
def with_future(folder):
    """A model of one shop that reads whether a day is a holiday."""
    table = sales("north").assign(holiday=np.arange(120) % 5 == 0)
    train(folder, "h.safetensors", table, time="day", future=["holiday"])
    for name, values in (("a", [0, 1, 0]), ("b", [1, 0, 1])):
        table.to_csv(f"{name}.csv", index=False)
        days = pd.date_range("2024-04-30", periods=3, freq="D")
        os.makedirs("next", exist_ok=True)
        future = pd.DataFrame({"day": days, "holiday": np.array(values, bool)})
        future.to_csv(f"next/{name}.csv", index=False)
    return table


@pytest.mark.parametrize("shared", [False, True])
def test_a_future_for_each_file_or_one_for_all(shared, with_future, folder):
    option = "next/a.csv" if shared else "next"
    arguments = ("a.csv", "b.csv", "--future", option, "--output", "f.csv")
    assert main("predict", "h.safetensors", *arguments) == 0
    forecaster = GRUForecaster.load("h.safetensors")
    parts = []
    for name in "ab":
        future = pd.read_csv(f"next/{'a' if shared else name}.csv", parse_dates=["day"])
        forecast = forecaster.predict(with_future, future=future)
        forecast.insert(0, "file", f"{name}.csv")
        parts.append(forecast)
    assert shared or not parts[0]["sales"].equals(parts[1]["sales"])
    same(read("f.csv"), pd.concat(parts, ignore_index=True))


def test_a_future_that_is_missing_is_named(with_future, folder, capsys):
    os.remove("next/b.csv")
    missing = os.path.join("next", "b.csv")
    command = ("predict", "h.safetensors", "a.csv", "b.csv", "--future", "next")
    fails(capsys, 1, f"{missing}: No such file", *command)
    fails(capsys, 1, "x.csv: No such file", *command[:-1], "x.csv")


# ---- files to read and to write ------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".parquet", ".pq", ".PARQUET"])
def test_parquet_has_what_csv_has(suffix, folder):
    pytest.importorskip("pyarrow")
    assert main("predict", "m.safetensors", *FILES, "--output", f"f{suffix}") == 0
    found = pd.read_parquet(f"f{suffix}")
    same(found, truth(FILES))
    assert found["day"].dtype.kind == "M"


@pytest.mark.parametrize("periods", [False, True])
def test_parquet_of_an_index_that_was_trained_in_python(periods, folder):
    pytest.importorskip("pyarrow")
    table = sales("north")
    if periods:
        table = table.assign(day=pd.period_range("1990Q1", periods=120, freq="Q"))
    y = table.set_index("day")["sales"]
    forecaster = train(folder, "p.safetensors", y.to_frame())
    y.to_csv("p.csv")
    assert main("predict", "p.safetensors", "p.csv", "--output", "f.parquet") == 0
    found = pd.read_parquet("f.parquet")
    expected = forecaster.predict().reset_index()
    if periods:
        expected["day"] = ["2020Q1", "2020Q2", "2020Q3"]
    same(found, expected)


@pytest.mark.parametrize("kind", [str, int])
def test_ids_of_a_parquet_file_are_those_of_training(kind, folder):
    """The number 7 and the text "7" are one shop; each shop has a scale of its own."""
    pytest.importorskip("pyarrow")
    table = pd.concat([sales(shop).assign(shop=7 + i) for i, shop in enumerate(SHOPS)])
    forecaster = train(
        folder,
        "i.safetensors",
        table.assign(shop=table["shop"].map(kind)),
        id="shop",
        time="day",
    )
    table = table.groupby("shop").tail(40)
    expected = forecaster.predict(table.assign(shop=table["shop"].map(kind)))["sales"]
    unknown = forecaster.predict(table.assign(shop=table["shop"] + 100))["sales"]
    assert not np.allclose(expected, unknown)
    table.to_csv("i.csv", index=False)
    table.to_parquet("i.parquet")
    assert main("predict", "i.safetensors", "i.csv", "--output", "a.csv") == 0
    assert main("predict", "i.safetensors", "i.parquet", "--output", "b.csv") == 0
    assert (folder / "a.csv").read_bytes() == (folder / "b.csv").read_bytes()
    np.testing.assert_array_equal(read("a.csv")["sales"], expected)


def test_days_of_a_parquet_file_are_its_times(folder, capsys, monkeypatch):
    """Other programs than pandas write them as a type of their own; rows count from 1."""
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("pygru.plot.report.plot_forecast", lambda *given: None)  # saves time
    table = sales("north").assign(day=lambda rows: rows["day"].dt.date)
    table.to_parquet("d.parquet")
    assert main("train", "d.parquet", "--horizon", 2, "--epochs", 1, "--output", "out") == 0
    assert "day: 2024-01-01 to 2024-04-29" in capsys.readouterr().out
    assert main("predict", "m.safetensors", "d.parquet", "--output", "f.csv") == 0
    same(read("f.csv"), truth(["north.csv"]).drop(columns="file"))
    table.loc[0, "day"] = None
    table.to_parquet("d.parquet")
    message = "d.parquet: the time column 'day' is missing in row 1"
    capsys.readouterr()
    fails(capsys, 1, message, "predict", "m.safetensors", "d.parquet")


@pytest.mark.parametrize(
    ("code", "message", "output"),
    [
        (2, "--output must end in .csv or .parquet, got 'f.xlsx'", "f.xlsx"),
        (2, "--output must end in .csv or .parquet, got 'f.csv.gz'", "f.csv.gz"),
        (1, "no: there is no such folder for --output", "no/f.csv"),
        (1, "empty.csv: is a folder, not a file", "empty.csv"),
        (1, "old.csv exists; use --force to replace it", "old.csv"),
        (2, "--output must be another file than south.csv, which is read", "south.csv --force"),
        (2, "than m.safetensors", "model.csv --force"),
        (2, "than south.csv", "link.csv --force"),
    ],
)
def test_the_output_is_checked_before_any_work(
    code, message, output, folder, capsys, monkeypatch
):
    (folder / "empty.csv").mkdir()
    (folder / "old.csv").write_text("mine")
    for link, target in {"link.csv": "south.csv", "model.csv": "m.safetensors"}.items():
        if link in output:
            if os.name == "nt":
                pytest.skip("Windows lets only some users make links")
            os.symlink(target, link)
    monkeypatch.delattr(predict_table.TableForecaster, "__call__")
    fails(
        capsys, code, message, "predict", "m.safetensors", *FILES, "--output", *output.split()
    )


def test_parquet_without_pyarrow(folder, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    message = (
        'f.parquet: writing Parquet files needs pyarrow; install it with pip install "pygru['
    )
    fails(capsys, 1, message, "predict", "m.safetensors", *FILES, "--output", "f.parquet")


def test_what_parquet_cannot_have_is_an_error_of_one_line(folder, capsys):
    """Two columns of one name: the numbers of the rows, and a target."""
    pytest.importorskip("pyarrow")
    y = sales("north")[["sales"]]
    train(folder, "t.safetensors", y)
    y.rename(columns={"sales": "row"}).to_csv("t.csv", index=False)
    arguments = ("predict", "t.safetensors", "t.csv", "--target", "row", "--output")
    assert main(*arguments, "f.csv") == 0
    capsys.readouterr()
    fails(capsys, 1, "g.parquet: not possible as Parquet, use .csv: ", *arguments, "g.parquet")


# ---- progress, threads and interrupts ------------------------------------------------------


@pytest.mark.parametrize("is_terminal", [False, True])
def test_progress_is_for_terminals(is_terminal, folder, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal, raising=False)
    assert main("predict", "m.safetensors", *FILES, "missing.csv", "--skip-errors") == 1
    error = capsys.readouterr().err
    assert ("file/s" in error) == is_terminal
    assert "skipped: missing.csv: " in error


@pytest.mark.parametrize(
    ("workers", "options", "variables", "expected"),
    [
        (1, "", {}, None),
        (2, "", {}, 3),
        (4, "", {}, 1),
        (100, "", {}, 1),
        (2, "--threads 5", {}, 5),
        (2, "", {"OMP_NUM_THREADS": "4"}, None),
        (2, "", {"PYGRU_NUM_THREADS": "4"}, None),
    ],
)
def test_the_threads_are_shared_unless_the_user_says(
    workers, options, variables, expected, monkeypatch
):
    monkeypatch.setattr("pygru.core.threads.available", lambda: 7)
    for name in ("OMP_NUM_THREADS", "PYGRU_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    parsed = parser_of_all().parse_args(["predict", "m", "a", *options.split()])
    assert shared_threads(parsed.threads, workers) == expected


def test_an_interrupt_says_how_far_it_was(folder, capsys, monkeypatch):
    usual = GRUForecaster.predict
    calls = []

    def forecast(self, *arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return usual(self, *arguments, **options)

    monkeypatch.setattr(GRUForecaster, "predict", forecast)
    message = "interrupted after 2 of 3 files; nothing was written"
    fails(capsys, 130, message, "predict", "m.safetensors", *FILES, "--output", "f.csv")


# ---- whole runs in several processes -------------------------------------------------------


def command(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "pygru", "predict", "m.safetensors", *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a terminal sends Ctrl-C to all processes of a group
        **options,
    )


@pytest.mark.slow
def test_two_workers_give_the_bits_of_one(folder, capsys):
    (folder / "bad.csv").write_text("day,shop,sales\n2024-01-01,a,x\n")
    files = [*FILES, "bad.csv"]
    for file in FILES:
        shutil.copy(file, f"{file[:-4]}.2.csv")
        files.append(f"{file[:-4]}.2.csv")
    pd.read_csv("west.csv").iloc[::-1].to_csv("west.csv", index=False)
    results = []
    for workers in (1, 2):
        options = ("--skip-errors", "--workers", workers, "--output", f"{workers}.csv")
        assert main("predict", "m.safetensors", *files, *options) == 1
        results.append((capsys.readouterr(), (folder / f"{workers}.csv").read_bytes()))
    assert results[0] == results[1]
    assert "west.csv" in results[0][0].err  # its rows are in another order
    same(read("2.csv"), truth([file for file in files if file != "bad.csv"]))
    stop = ("predict", "m.safetensors", *files, "--workers", 2, "--output", "f.csv")
    assert main(*stop) == 1
    assert "bad.csv:2: column 'sales'" in capsys.readouterr().err
    assert not os.path.exists("f.csv")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_all_processes_at_once(workers, folder):
    """The files are pipes that nobody writes to, so that the processes never end."""
    pipes = ["a.csv", "b.csv"]
    for pipe in pipes:
        os.mkfifo(pipe)
    before = sorted(os.listdir())
    run = command(*FILES, *pipes, "--workers", workers, "--output", "f.csv")
    with contextlib.ExitStack() as writers:
        for pipe in pipes[:workers]:
            writers.enter_context(open(pipe, "w"))  # waits for a reader
        os.killpg(run.pid, signal.SIGINT)
        _, error = run.communicate(timeout=PATIENCE)
    assert run.returncode == 130
    assert error == "pygru: interrupted after 3 of 5 files; nothing was written\n"
    assert group_has_ended(run.pid)
    assert sorted(os.listdir()) == before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_killed_worker_names_its_file(folder):
    os.mkfifo("pipe.csv")
    run = command("north.csv", "pipe.csv", "west.csv", "--workers", 2, "--output", "f.csv")
    for _ in range(2):
        with open("pipe.csv", "w"):  # waits until a process reads it
            reader = reader_of("pipe.csv")
            os.kill(reader, signal.SIGKILL)
            assert process_has_ended(reader)
    _, error = run.communicate(timeout=PATIENCE)
    assert run.returncode == 1
    assert error == (
        "pygru: pipe.csv: the process that had this file was killed by SIGKILL, also when "
        "tried again; if memory is short, use fewer --workers\n"
    )
    assert not os.path.exists("f.csv")
    assert group_has_ended(run.pid)


def reader_of(path):
    """The process that has a pipe open, and is not this one."""
    wanted = os.stat(path).st_ino
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found = [
                os.stat(f"/proc/{pid}/fd/{fd}").st_ino for fd in os.listdir(f"/proc/{pid}/fd")
            ]
        except OSError:
            continue
        if wanted in found and int(pid) != os.getpid():
            return int(pid)
    raise AssertionError("nobody reads it")
