"""The command ``pygru`` as a user runs it: in a process of its own, from another folder.

These tests cover the rows B-120 to B-123 of the bad-input list.
"""

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest


def run(*arguments, cwd, **options):
    """Run ``python -m pygru`` and return the finished process."""
    return subprocess.run(
        [sys.executable, "-m", "pygru", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
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
    from pygru.data.series import load_co2

    shutil.copytree(tmp_path, tmp_path / "w")
    process = run("train", "--epochs", "1", "--output", "w", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    co2 = load_co2()
    lines = [f"{date},{value}" for date, value in zip(co2.labels, co2.values, strict=True)]
    (tmp_path / "co2.csv").write_text("\n".join(["date,co2", *lines]))
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
        (["train", "--horizon", "x"], 2, "invalid _positive_int value"),
        (["train", "--horizon", "0"], 2, "must be 1 or more"),
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
