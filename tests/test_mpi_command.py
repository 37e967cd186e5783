"""``mpiexec -n 2 pygru train``: what one process prints and writes, trained by two."""

import json
import subprocess
import sys

import numpy as np
import pytest
from mpi_programs import environment, mpiexec, needs_mpi
from patience import PATIENCE
from safetensors.numpy import load_file

import pygru

pytestmark = [needs_mpi, pytest.mark.slow]
OPTIONS = ["--target", "value", "--horizon", "4", "--epochs", "2", "--hidden-size", "4"]
OPTIONS += ["--dropout", "0", "--quantiles", "0.1,0.9"]  # dropout would differ


@pytest.fixture
def table(tmp_path):
    values = np.sin(np.arange(200) / 5) + np.random.default_rng(0).standard_normal(200) / 9
    days = np.datetime64("2020-01-01") + np.arange(200)
    lines = [f"{day},{value:.6f}" for day, value in zip(days, values, strict=True)]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(["day,value", *lines]) + "\n")
    return path


def pygru_with(ranks, folder, *arguments, stdin=None):
    """Run the command with so many ranks; return exit code, output and lines of errors."""
    done = subprocess.run(
        [
            mpiexec(),
            "-n",
            str(ranks),
            sys.executable,
            "-P",
            "-m",
            "pygru",
            *map(str, arguments),
        ],
        check=False,
        cwd=folder,
        env=environment(),
        timeout=PATIENCE,
        capture_output=True,
        text=True,
        input=stdin or "",
    )
    errors = [line for line in done.stderr.splitlines() if line.startswith("pygru")]
    return done.returncode, done.stdout, errors


def written(folder):
    """What a run has trained: the losses of its epochs, and the weights."""
    history = json.loads((folder / "history.json").read_text())
    losses = [[record["loss"], record["val_loss"]] for record in history["records"]]
    return np.array(losses), load_file(folder / "model.safetensors")


@pytest.mark.parametrize("source", ["file", "standard input"])
def test_two_ranks_train_what_one_process_trains(source, table, tmp_path):
    found = []
    for ranks in (1, 2):
        folder = tmp_path / f"of {ranks}"
        where, text = (table, None) if source == "file" else ("-", table.read_text())
        arguments = ["train", where, *OPTIONS, "--output", folder]
        code, output, errors = pygru_with(ranks, tmp_path, *arguments, stdin=text)
        assert (code, errors) == (0, [])
        assert output.count("errors of") == output.count("wrote ") - 2 == 1  # printed once
        assert ("on 2 processes" in output) == (ranks == 2)
        found.append(written(folder))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-5)
    for name, values in found[0][1].items():
        np.testing.assert_allclose(found[1][1][name], values, rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("arguments", "expected", "line"),
    [
        (["train", "data.csv"], 2, "a data file needs --horizon"),
        (["train", "data.csv", "--horizon", "0"], 2, "must be a whole number of 1 or more"),
        (["train", "no.csv", "--horizon", "4"], 1, "no.csv: No such file or directory"),
        (["train", "-", "--horizon", "4"], 1, "standard input: the file is empty"),
        (["predict", "model.safetensors", "data.csv"], 1, "pygru predict is one process"),
    ],
    ids=["usage", "option", "no file", "nothing to read", "another command"],
)
def test_an_error_is_one_line_and_the_code_of_one_process(arguments, expected, line, table):
    code, _, errors = pygru_with(2, table.parent, *arguments)
    assert code == expected
    assert len(errors) == 1, errors
    assert line in errors[0]


def test_a_failure_of_the_first_rank_alone_ends_all(table):
    """Only the first rank looks at the files that exist."""
    (table.parent / "model.safetensors").touch()
    code, _, errors = pygru_with(2, table.parent, "train", table, *OPTIONS)
    assert code == 1
    assert len(errors) == 1
    assert "model.safetensors exists; use --force" in errors[0]


def test_the_version_is_no_training(tmp_path):
    assert pygru_with(2, tmp_path, "--version") == (0, f"{pygru.__version__}\n" * 2, [])
