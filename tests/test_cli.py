"""The command ``pygru`` as a user runs it: in a process of its own, from another folder.

These tests cover the rows B-120 to B-123 of the bad-input list.
"""

import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from patience import PATIENCE

import pygru.cli


def run(*arguments, cwd, **options):
    """Run ``python -m pygru`` and return the finished process."""
    return subprocess.run(
        [sys.executable, "-m", "pygru", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        **options,
    )


def fails(process, code, message):
    """Check the exit code, and that the error is one line without a traceback."""
    assert process.returncode == code, process.stderr
    lines = process.stderr.strip().splitlines()
    assert len(lines) == 1, process.stderr
    assert message in lines[0]


@pytest.fixture
def data(tmp_path):
    t = np.arange(400)
    values = np.sin(2 * np.pi * t / 12) + 0.01 * t
    with open(tmp_path / "data.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["when", "level"])
        writer.writerows((f"2020-01-{i}", f"{v:.5f}") for i, v in enumerate(values))
    return tmp_path


SMALL = ("--epochs", "2", "--hidden-size", "4")


@pytest.mark.slow
def test_train_without_arguments_beats_the_seasonal_naive(tmp_path):
    process = run("train", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    scores = json.loads((tmp_path / "history.json").read_text())["test"]
    assert scores["GRU"]["mae"] < 0.6 * scores["seasonal naive"]["mae"]
    assert scores["GRU"]["mae"] < 0.9 * scores["seasonal naive + drift"]["mae"]
    for text in ("test      1997-01-11 to 2001-12-29", "52 steps ahead", "seasonal naive"):
        assert text in process.stdout
    assert (tmp_path / "model.safetensors").stat().st_size > 10_000
    if shutil.which("matplotlib") or (tmp_path / "forecast.png").exists():
        assert (tmp_path / "forecast.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_train_and_predict_on_a_file(data):
    process = run(
        "train",
        "data.csv",
        "--target",
        "level",
        "--horizon",
        "6",
        "--season",
        "12",
        *SMALL,
        cwd=data,
    )
    assert process.returncode == 0, process.stderr
    assert "6 steps ahead from 24 steps, season 12" in process.stdout
    forecast = run("predict", "model.safetensors", "data.csv", cwd=data)
    rows = list(csv.reader(forecast.stdout.splitlines()))
    assert rows[0] == ["step", "row", "level"]
    assert [row[0] for row in rows[1:]] == list("123456")
    assert all(2 < float(row[2]) < 7 for row in rows[1:])
    written = run("predict", "model.safetensors", "data.csv", "--output", "f.csv", cwd=data)
    assert written.returncode == 0
    assert (data / "f.csv").read_text() == forecast.stdout
    fails(
        run("predict", "model.safetensors", "data.csv", "--output", "f.csv", cwd=data),
        1,
        "f.csv exists; use --force",
    )


def test_the_same_seed_gives_the_same_file_for_any_threads(data):
    for threads in (1, 2):
        (data / str(threads)).mkdir()
        process = run(
            "train",
            "data.csv",
            "--target",
            "level",
            "--horizon",
            "6",
            *SMALL,
            "--threads",
            threads,
            "--output",
            threads,
            cwd=data,
        )
        assert process.returncode == 0, process.stderr
    models = [(data / n / "model.safetensors").read_bytes() for n in ("1", "2")]
    assert models[0] == models[1]


def test_predicted_dates_go_on(tmp_path):
    from pygru.data import load_co2

    shutil.copytree(tmp_path, tmp_path / "w")
    process = run("train", "--epochs", "1", "--output", "w", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    co2 = load_co2()
    co2.to_csv(tmp_path / "co2.csv")
    forecast = run("predict", "w/model.safetensors", "co2.csv", cwd=tmp_path).stdout
    assert forecast.splitlines()[:2][0] == "step,date,co2"
    assert forecast.splitlines()[1].startswith("1,2002-01-05,")


def test_info(tmp_path):
    text = run("info", cwd=tmp_path).stdout
    for word in ("pygru", "compiler", "openmp", "blas", "threads"):
        assert word in text
    values = json.loads(run("info", "--json", cwd=tmp_path).stdout)
    assert values["blas"]["int_bytes"] in (4, 8)
    assert run("--version", cwd=tmp_path).stdout.strip() == values["pygru"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["trane"], 2, "invalid choice"),
        (["train", "--horizon", "x"], 2, "must be a whole number of 1 or more, got 'x'"),
        (["train", "--horizon", "0"], 2, "must be a whole number of 1 or more, got 0"),
        (["train", "--learning-rate", "-1"], 2, "must be a finite number above 0"),
        (["train", "data.csv"], 2, "a data file needs --target and --horizon"),
        (["train", "--target", "x"], 2, "--target needs a data file"),
        (["train", "--nope"], 2, "unrecognized arguments: --nope"),
        (
            ["train", "missing.csv", "--target", "a", "--horizon", "1"],
            1,
            "missing.csv: No such",
        ),
        (["train", "data.csv", "--target", "a", "--horizon", "1"], 1, "no column 'a'"),
        (["train", "data.csv", "--target", "level", "--horizon", "300"], 1, "too few"),
        (["train", "--output", "nowhere"], 1, "nowhere is not a folder"),
        (["predict", "missing", "data.csv"], 1, "missing: No such file"),
        (["predict", "data.csv", "data.csv"], 1, "header length"),
        (["train", "--threads", "0", "--epochs", "1"], 1, "n_threads = 0 is invalid"),
    ],
)
def test_b120_errors_are_one_line(arguments, code, message, data):
    process = run(*arguments, cwd=data)
    process.stderr = "\n".join(
        line for line in process.stderr.splitlines() if "epoch/s" not in line and line.strip()
    )
    fails(process, code, message)


def test_b120_debug_shows_the_traceback(data):
    process = run("--debug", "predict", "missing", "data.csv", cwd=data)
    assert process.returncode == 1
    assert "Traceback" in process.stderr


def test_no_command_prints_the_usage(tmp_path):
    process = run(cwd=tmp_path)
    assert process.returncode == 2
    assert "usage: pygru" in process.stderr


def test_b123_existing_files_are_kept_before_any_work(data):
    (data / "history.json").write_text("mine")
    process = run("train", cwd=data)
    fails(process, 1, "history.json exists; use --force")
    assert process.stdout == ""
    assert (data / "history.json").read_text() == "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell pipe")
def test_b122_a_reader_that_goes_away(data):
    command = f"{sys.executable} -m pygru info | true; exit ${{PIPESTATUS[0]}}"
    process = subprocess.run(
        ["bash", "-c", command], cwd=data, capture_output=True, text=True, check=False
    )
    assert process.returncode in (0, 141)
    assert process.stderr == ""


# ---- hostile input ---------------------------------------------------------------------


def main(*arguments):
    """Run the command in this process; return its exit code."""
    try:
        return pygru.cli.main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a,level\n" + b"1,\n" * 400, "no observed value"),
        (b"a,level\n" + b"1,1e308\n2,-1e308\n" * 200, "too large"),
        (b"a,level\n" + b"1,2\n" * 5, "5 steps are too few"),
        (b"a,level\n1,2\n3\n", "expected 2 columns, got 1"),
    ],
)
def test_b121_data_files_that_are_refused(content, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.csv").write_bytes(content)
    assert main("train", "d.csv", "--target", "level", "--horizon", 4, "--epochs", 1) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert os.listdir(tmp_path) == ["d.csv"]


def test_constant_series_is_forecast(tmp_path, capsys):
    """Every error is 0, so there is no ratio to the GRU's."""
    (tmp_path / "d.csv").write_text("a,level\n" + "1,5\n" * 300)
    arguments = ("--target", "level", "--horizon", 4, "--epochs", 1, "--output", tmp_path)
    assert main("train", tmp_path / "d.csv", *arguments) == 0
    assert "seasonal" not in capsys.readouterr().out


def test_huge_sizes_fail_in_one_line(tmp_path, capsys):
    (tmp_path / "d.csv").write_text("a,level\n" + "1,5\n2,6\n" * 200)
    base = ("train", tmp_path / "d.csv", "--target", "level", "--output", tmp_path)
    for options in (
        ("--horizon", 10**17),
        ("--horizon", 4, "--window", 10**17),
        ("--horizon", 4, "--hidden-size", 10**9),
        ("--horizon", 4, "--layers", 10**9),
        ("--horizon", 4, "--test-size", 10**17),
        ("--horizon", 4, "--season", 10**17),
    ):
        assert main(*base, *options) == 1, options
        error = capsys.readouterr().err
        assert error.startswith("pygru: ")
        assert error.count("\n") == 1
    assert os.listdir(tmp_path) == ["d.csv"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with data.csv and a model of its column."""
    folder = tmp_path_factory.mktemp("trained")
    lines = (f"2020-{1 + i // 28 % 12:02}-{1 + i % 28:02},{np.sin(i):.4f}" for i in range(200))
    (folder / "data.csv").write_text("\n".join(["when,level", *lines]))
    arguments = ("--target", "level", "--horizon", 3, "--epochs", 1, "--output", folder)
    assert main("train", folder / "data.csv", *arguments) == 0
    return folder


@pytest.mark.parametrize(
    ("last_two", "kind", "first"),
    [
        (("2020-01-01", "2020-01-03"), "date", "2020-01-05"),
        (
            ("2020-01-01T00:00+02:00", "2020-01-01T06:00+02:00"),
            "date",
            "2020-01-01T12:00:00+02:00",
        ),
        (("2020-01-03", "2020-01-01"), "row", "60"),  # they descend
        (("2020-01-03", "2020-01-03"), "row", "60"),
        (("2020-01-01", "2020-01-01T00:00+00:00"), "row", "60"),  # with and without a zone
        (("x", "y"), "row", "60"),
    ],
)
def test_labels_of_forecasts(last_two, kind, first, trained, tmp_path, capsysbinary):
    start = last_two[0] if kind == "date" else "z"
    rows = [start] * 58 + list(last_two)
    (tmp_path / "d.csv").write_text("when,level\n" + "\n".join(f"{row},1" for row in rows))
    assert main("predict", trained / "model.safetensors", tmp_path / "d.csv") == 0
    lines = capsysbinary.readouterr().out.decode().splitlines()
    assert lines[0] == f"step,{kind},level"
    assert lines[1].startswith(f"1,{first},")


def test_dates_at_the_end_of_time(trained, tmp_path, capsys):
    rows = "".join(f"9999-12-{i},1\n" for i in (10, 31) for _ in range(30))
    (tmp_path / "d.csv").write_text("when,level\n" + rows.replace("12-31,1\n", "12-30,1\n", 29))
    assert main("predict", trained / "model.safetensors", tmp_path / "d.csv") == 1
    assert "the dates after 9999-12-31 leave the range" in capsys.readouterr().err


@pytest.mark.parametrize("data", ["short", "other"])
def test_data_that_do_not_fit_the_model(data, trained, tmp_path, capsys):
    text = {"short": "when,level\n1,2\n", "other": "when,value\n1,2\n"}[data]
    (tmp_path / "d.csv").write_text(text)
    assert main("predict", trained / "model.safetensors", tmp_path / "d.csv") == 1
    error = capsys.readouterr().err
    assert {"short": "must have at least 32 steps", "other": "no column 'level'"}[data] in error


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX names and streams")
def test_names_that_the_terminal_cannot_show(trained, tmp_path):
    """A folder whose name is no UTF-8, a column of another script, an ASCII terminal."""
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
    assert done.stdout.decode().splitlines()[0] == "step,date,水位"  # a file is UTF-8


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", ["info", "--version", "predict"])
def test_output_that_cannot_be_written(arguments, trained):
    if arguments == "predict":
        arguments = "predict model.safetensors data.csv"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pygru", *arguments.split()],
            cwd=trained,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    fails(done, 1, "No space left on device")


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
def test_output_that_is_closed(trained):
    for arguments in ("info", "--version", "predict model.safetensors data.csv"):
        command = f'"{sys.executable}" -m pygru {arguments} >&-'
        done = subprocess.run(
            ["sh", "-c", command], cwd=trained, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), arguments
