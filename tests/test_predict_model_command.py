"""``pygru predict`` with models that are no forecasters. The truth is what they say in Python.

How :func:`pygru.predict` reads, writes and resumes has tests of its own; these are on what the
command makes of it.
"""

import contextlib
import errno
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from ended_processes import group_has_ended
from patience import PATIENCE

import pygru
import pygru.cli
from pygru import GRU, Embedding, Last, Linear, Sequential
from pygru.prediction.display import Display

rng = np.random.default_rng(0)
SIZES = {"b": 9, "a": 5, "c": 7}  # sequences of each file


def main(*arguments):
    """Run the command in this process; return its exit code."""
    try:
        return pygru.cli.main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code


def everything():
    """All files and folders below this one, and when they were changed."""
    return {path: path.stat().st_mtime_ns for path in pathlib.Path().rglob("*")}


def fails(capsys, code, message, *arguments):
    """Check the exit code, that the error is one line, and that no file was made or changed."""
    before = everything()
    assert main("predict", *arguments) == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert message in lines[0]
    assert everything() == before


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with two models and three files, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    pygru.save(Sequential(GRU(2, 4, batch_first=True), Last(), Linear(4, 3), seed=0), "m.st")
    pygru.save(Sequential(GRU(2, 3, batch_first=True), Linear(3, 1), seed=0), "steps.st")
    for name, size in SIZES.items():
        np.save(name, rng.standard_normal((size, 6, 2)).astype(np.float32))
    (tmp_path / "out").mkdir()
    return tmp_path


def long_table(seed=0):
    """A long table of five sequences, and the sequences."""
    own = np.random.default_rng(seed)
    sequences = [own.standard_normal((int(n), 2)).astype(np.float32) for n in (4, 1, 6, 3, 5)]
    parts = [
        pd.DataFrame(
            {"who": f"0{i}", "day": np.arange(len(x)) + 10 * i, "u": x[:, 0], "v": x[:, 1]}
        )
        for i, x in enumerate(sequences)
    ]
    return pd.concat(parts, ignore_index=True), sequences


# ---- one file ------------------------------------------------------------------------------


def test_an_array_of_predictions(folder, capsys):
    assert main("predict", "m.st", "a.npy", "--output", "y.npy", "--chunk-size", 2) == 0
    np.testing.assert_array_equal(np.load("y.npy"), pygru.load("m.st")(np.load("a.npy")))
    assert capsys.readouterr() == ("", "")
    assert not os.path.exists("y.npy.unfinished")


@pytest.mark.parametrize("model", ["m.st", "steps.st"])
def test_csv_has_a_row_for_each_prediction(model, folder, capsys):
    assert main("predict", model, "a.npy") == 0
    text = capsys.readouterr().out
    assert main("predict", model, "a.npy", "--output", "y.csv") == 0
    assert (folder / "y.csv").read_text() == text
    found = pd.read_csv("y.csv", dtype=np.float32)
    y = pygru.load(model)(np.load("a.npy"))
    if model == "m.st":
        assert found.columns.tolist() == ["id", "prediction_0", "prediction_1", "prediction_2"]
        np.testing.assert_array_equal(found.iloc[:, 1:], y)
    else:
        assert found.columns.tolist() == ["id", "step", "prediction"]
        np.testing.assert_array_equal(found["prediction"], y.ravel())
        assert found["step"].tolist() == list(range(6)) * 5


def test_which_array_of_several(folder, capsys):
    X = np.load("a.npy")
    np.savez("d.npz", first=X, second=-X)
    assert main("predict", "m.st", "d.npz", "--array", "second", "--output", "y.npy") == 0
    np.testing.assert_array_equal(np.load("y.npy"), pygru.load("m.st")(-X))
    capsys.readouterr()
    fails(capsys, 1, "d.npz", "m.st", "d.npz", "--output", "z.npy")
    message = "--array must not be given"
    fails(capsys, 1, message, "m.st", "a.npy", "--array", "X", "--output", "z.npy")


def test_zarr(folder):
    zarr = pytest.importorskip("zarr")
    X = np.load("a.npy")
    zarr.save_array("d.zarr", X)
    assert main("predict", "m.st", "d.zarr", "--output", "y.zarr") == 0
    expected = pygru.load("m.st")(X)
    np.testing.assert_array_equal(zarr.open_array("y.zarr", mode="r")[:], expected)
    os.rename("d.zarr", "plain")  # what it is does not depend on its name
    assert main("predict", "m.st", "plain", "--output", "y.npy") == 0
    np.testing.assert_array_equal(np.load("y.npy"), expected)


@pytest.mark.parametrize("kind", ["d.csv", "d.csv.gz", "d.parquet"])
@pytest.mark.parametrize("output", ["y.csv", "y.parquet"])
@pytest.mark.parametrize("model", ["m.st", "steps.st"])
def test_long_tables(kind, output, model, folder):
    """Ids stay as they were written; the order of columns does not matter."""
    if "parquet" in kind + output:
        pytest.importorskip("pyarrow")
    table, sequences = long_table()
    table = table.assign(note="x")[["u", "note", "day", "who", "v"]]
    table.to_parquet(kind) if kind == "d.parquet" else table.to_csv(kind, index=False)
    columns = ("--id", "who", "--time", "day", "--values", "u,v")
    assert main("predict", model, kind, *columns, "--output", output) == 0
    text = {"dtype": {"who": str}}
    found = pd.read_parquet(output) if output == "y.parquet" else pd.read_csv(output, **text)
    expected = [pygru.load(model)(x[None])[0] for x in sequences]
    if model == "m.st":
        assert found["who"].tolist() == ["00", "01", "02", "03", "04"]
        rows = found.iloc[:, 1:]
    else:
        assert found["who"].tolist() == table["who"].tolist()
        assert found["day"].tolist() == table["day"].tolist()
        rows = found[["prediction"]]
        expected = np.concatenate(expected)
    np.testing.assert_array_equal(rows.to_numpy(np.float32), np.array(expected))


def test_tokens(folder):
    pygru.save(Sequential(Embedding(9, 3), GRU(3, 4, batch_first=True), Last(), seed=0), "t.st")
    table = pd.DataFrame({"id": [1, 1, 1, 2, 2], "token": [3, 1, 4, 1, 5]})
    table.to_csv("d.csv", index=False)
    options = ("--id", "id", "--values", "token", "--output", "y.npy")
    assert main("predict", "t.st", "d.csv", *options) == 0
    model = pygru.load("t.st")
    expected = [model(np.array([each]))[0] for each in ([3, 1, 4], [1, 5])]
    np.testing.assert_array_equal(np.load("y.npy"), expected)


# ---- many files ----------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["a.npy b.npy c.npy", ".", "[abc].npy"])
def test_each_file_has_an_output_of_its_own(data, folder):
    assert main("predict", "m.st", *data.split(), "--output", "out/{}.y.npy") == 0
    assert sorted(os.listdir("out")) == ["a.y.npy", "b.y.npy", "c.y.npy"]
    for name in SIZES:
        expected = pygru.load("m.st")(np.load(f"{name}.npy"))
        np.testing.assert_array_equal(np.load(f"out/{name}.y.npy"), expected)


def test_files_of_several_kinds(folder):
    pytest.importorskip("zarr").save_array("in/z.zarr", np.load("a.npy"))
    shutil.copy("b.npy", "in")
    (folder / "in/notes.txt").write_text("x")
    assert main("predict", "m.st", "in", "--output", "out/{}.csv") == 0
    assert sorted(os.listdir("out")) == ["b.csv", "z.csv"]
    found = pd.read_csv("out/z.csv", dtype=np.float32).iloc[:, 1:]
    np.testing.assert_array_equal(found, pygru.load("m.st")(np.load("a.npy")))


def test_the_first_error_ends_the_run_and_skipped_files_are_listed(folder, capsys):
    np.save("b.npy", np.ones((2, 3, 9)))
    files = ("a.npy", "b.npy", "c.npy", "--output", "out/{}.npy")
    assert main("predict", "m.st", *files) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pygru: b.npy: ")
    assert sorted(os.listdir("out")) == ["a.npy"]
    assert main("predict", "m.st", *files, "--force", "--skip-errors") == 1
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("skipped: b.npy: ")
    assert last == "pygru: 1 of 3 files were skipped"
    assert sorted(os.listdir("out")) == ["a.npy", "c.npy"]


@pytest.mark.parametrize(
    ("code", "message", "arguments"),
    [
        (2, "--output must have {} for several files", "a.npy b.npy"),
        (2, "--output must have {} for several files", "a.npy b.npy --output y.npy"),
        (2, "a.npy and in/a.npy would both be written to out/a.npy",
            "a.npy in/a.npy --output out/{}.npy"),
        (2, "--output must end in .csv, .npy, .parquet or .zarr, got 'y.npz'",
            "a.npy --output y.npz"),
        (2, "--output must be another file than a.npy, which is read",
            "a.npy --output a.npy --force"),
        (2, "--output must be another file than a.npy", "[ab].npy --output ./{}.npy --force"),
        (1, "old.npy exists; use --force to replace it", "a.npy --output old.npy"),
        (1, "no: there is no such folder for --output", "a.npy --output no/y.npy"),
        (1, "folder.npy: is a folder", "a.npy --output folder.npy --force"),
        (2, "--resume does not fit: the screen keeps nothing", "a.npy --resume"),
        (2, "--resume does not fit: --force keeps nothing",
            "a.npy --output y.npy --resume --force"),
        (1, "half.npy.unfinished holds an unfinished run; use --resume to continue it",
            "a.npy --output half.npy --force"),
        (2, "--future is for forecasters", "a.npy --future x"),
        (2, "--target is for forecasters", "a.npy --target x"),
        (2, "--chunk-size: must be a number of sequences, or of bytes in B, kB, MB, GB or TB",
            "a.npy --chunk-size 0"),
        (2, "--chunk-size: must be", "a.npy --chunk-size many"),
        (1, "missing.npy: No such file", "missing.npy --output y.npy"),
        (1, "missing.csv: No such file", "missing.csv"),
        (1, "missing/: No such file", "missing/"),
        (1, "d.csv: --id must name the column", "d.csv"),
        (1, "d.csv: no column 'whom' (did you mean 'who'?)", "d.csv --id whom"),
        (1, "d.csv:2: column 'note': 'x' is not a number", "d.csv --id who --time day"),
        (1, "--id must not be given, unless", "a.npy --id who"),
        (1, "bad.npy", "bad.npy --output y.npy"),
        (1, "n_threads = 0 is invalid", "a.npy b.npy --output out/{}.npy --threads 0"),
    ],
)  # fmt: skip
def test_bad_input_writes_nothing(code, message, arguments, folder, capsys):
    (folder / "in").mkdir()
    shutil.copy("a.npy", "in")
    (folder / "old.npy").write_text("mine")
    (folder / "folder.npy").mkdir()
    (folder / "half.npy.unfinished").mkdir()
    (folder / "bad.npy").write_text("no array")
    long_table()[0].assign(note="x").to_csv("d.csv", index=False)
    fails(capsys, code, message, "m.st", *arguments.split())


def test_a_model_that_cannot_predict_is_named(folder, capsys):
    pygru.save(GRU(2, 3, seed=0), "t.st")
    message = "t.st: model must be a GRU with batch_first=True"
    fails(capsys, 1, message, "t.st", "a.npy", "b.npy", "--output", "out/{}.npy")


def test_a_missing_number_is_named_by_id_and_column(folder, capsys):
    table, _ = long_table()
    table.loc[6, "v"] = np.nan
    table.to_csv("d.csv", index=False)
    message = (
        "d.csv: the data contain NaN: source[2][1, 1] = nan in column 'v' (sample 2 with id "
        "'02', step 1)"
    )
    fails(capsys, 1, message, "m.st", "d.csv", "--id", "who", "--time", "day")


@pytest.mark.parametrize("data", ["in", "in/*.npy", "a.npy"])
def test_a_missing_model_is_named_before_the_data(data, folder, capsys):
    message = "nope.st: No such file or directory"
    fails(capsys, 1, message, "nope.st", data, "--output", "out/{}.npy")


def test_a_damaged_model_is_named(folder, capsys):
    (folder / "half.st").write_bytes((folder / "m.st").read_bytes()[:500])
    fails(capsys, 1, "half.st: not a pygru model file, or a damaged one", "half.st", "a.npy")
    fails(capsys, 1, "a.npy: not a pygru model file (looks like", "a.npy", "a.npy")


def test_debug_may_come_after_the_command(folder):
    for command in (["--debug", "predict"], ["predict", "--debug"]):
        with pytest.raises(FileNotFoundError):
            pygru.cli.main([*command, "nope.st", "a.npy"])


@pytest.mark.parametrize("option", ["--values x", "--array x", "--chunk-size 2", "--resume"])
def test_forecasters_refuse_what_is_for_others(option, folder, capsys):
    from pygru.forecasting import GRUForecaster

    forecaster = GRUForecaster(1, hidden_size=2, epochs=1, progress=False)
    forecaster.fit(np.sin(np.arange(90))).save("f.st")
    message = "is for models that are no forecasters"
    fails(capsys, 2, message, "f.st", "a.csv", *option.split())


def test_arrays_need_no_pandas(folder):
    code = "import sys; sys.modules['pandas'] = None; from pygru.cli import main\n"
    code += "sys.exit(main(['predict', 'm.st', 'a.npy', '--output', 'y.npy']))"
    subprocess.run([sys.executable, "-P", "-c", code], check=True, timeout=PATIENCE)
    np.testing.assert_array_equal(np.load("y.npy"), pygru.load("m.st")(np.load("a.npy")))


# ---- interrupts ----------------------------------------------------------------------------


def interrupted_after(chunks, monkeypatch):
    """Let Ctrl-C come when so many chunks are done."""
    usual = Display.update
    seen = []

    def update(self, done):
        seen.append(done)
        if len(seen) == chunks:
            raise KeyboardInterrupt
        usual(self, done)

    monkeypatch.setattr(Display, "update", update)
    return seen


def test_an_interrupted_file_is_resumed(folder, capsys, monkeypatch):
    command = ("predict", "m.st", "b.npy", "--output", "y.npy", "--chunk-size", 2)
    with monkeypatch.context() as patch:
        interrupted_after(2, patch)
        assert main(*command) == 130
    assert capsys.readouterr().err == "pygru: interrupted; --resume goes on from there\n"
    assert not os.path.exists("y.npy")
    fails(capsys, 1, "holds an unfinished run; use --resume to continue it", *command[1:])
    seen = interrupted_after(99, monkeypatch)
    assert main(*command, "--resume") == 0
    assert seen == [6, 8, 9]
    np.testing.assert_array_equal(np.load("y.npy"), pygru.load("m.st")(np.load("b.npy")))


def test_an_interrupted_run_over_many_files_keeps_what_is_complete(folder, capsys, monkeypatch):
    files = ("a.npy", "b.npy", "c.npy", "--output", "out/{}.npy", "--chunk-size", 2)
    with monkeypatch.context() as patch:
        interrupted_after(5, patch)  # the third chunk of the first file is its last one
        assert main("predict", "m.st", *files) == 130
    error = capsys.readouterr().err
    assert error == "pygru: interrupted after 1 of 3 files; --resume goes on from there\n"
    assert sorted(os.listdir("out")) == ["a.npy", "b.npy.unfinished"]
    before = os.stat("out/a.npy").st_mtime_ns
    seen = interrupted_after(99, monkeypatch)
    assert main("predict", "m.st", *files, "--resume") == 0
    assert capsys.readouterr().err == "note: 1 of 3 files were done before\n"
    assert seen == [6, 8, 9, 2, 4, 6, 7]
    assert os.stat("out/a.npy").st_mtime_ns == before
    for name in SIZES:
        expected = pygru.load("m.st")(np.load(f"{name}.npy"))
        np.testing.assert_array_equal(np.load(f"out/{name}.npy"), expected)


def age(path, seconds=100):
    """Let a file, and all in a folder, seem to be older."""
    for each in (pathlib.Path(path), *pathlib.Path(path).rglob("*")):
        time = os.stat(each).st_mtime - seconds
        os.utime(each, (time, time))


@pytest.mark.parametrize("kind", ["npy", "csv", "zarr"])
def test_predictions_that_are_older_than_model_or_data_are_made_again(kind, folder, capsys):
    if kind == "zarr":
        pytest.importorskip("zarr")
    command = ("predict", "m.st", "a.npy", "b.npy", "--output", f"out/{{}}.{kind}")
    assert main(*command) == 0
    for path in ("m.st", "a.npy", "b.npy"):
        age(path, 300)
    age(f"out/a.{kind}", 200)
    outputs = pathlib.Path("out")
    before = {path: path.stat().st_mtime_ns for path in outputs.rglob("*")}

    def changed():
        return {path.parts[1] for path in before if path.stat().st_mtime_ns != before[path]}

    assert main(*command, "--resume") == 0
    assert capsys.readouterr().err == "note: 2 of 2 files were done before\n"
    assert not changed()
    np.save("a.npy", np.load("c.npy"))
    assert main(*command, "--resume") == 0
    again = "of 2 files are predicted again, because the model or the data have changed since\n"
    assert capsys.readouterr().err == f"note: 1 of 2 files were done before\nnote: 1 {again}"
    assert changed() == {f"a.{kind}"}
    assert main("predict", "m.st", "c.npy", "--output", f"out/c.{kind}") == 0
    read = {
        "npy": np.load,
        "csv": np.genfromtxt,
        "zarr": lambda path: __import__("zarr").open_array(path, mode="r")[:],
    }[kind]
    np.testing.assert_array_equal(read(f"out/a.{kind}"), read(f"out/c.{kind}"))
    other = Sequential(GRU(2, 4, batch_first=True), Last(), Linear(4, 3), seed=1)
    pygru.save(other, "m.st")
    age("out", 200)
    assert main(*command, "--resume") == 0
    assert capsys.readouterr().err == f"note: 2 {again}"
    if kind == "npy":
        np.testing.assert_array_equal(np.load("out/b.npy"), other(np.load("b.npy")))


def test_csv_files_that_are_complete_are_kept_too(folder, capsys):
    files = ("a.npy", "missing.npy", "c.npy", "--output", "out/{}.csv")
    assert main("predict", "m.st", *files) == 1
    assert sorted(os.listdir("out")) == ["a.csv"]
    before = os.stat("out/a.csv").st_mtime_ns
    np.save("missing.npy", np.load("b.npy"))
    assert main("predict", "m.st", *files, "--resume") == 0
    assert os.stat("out/a.csv").st_mtime_ns == before
    for name, source in (("missing", "b"), ("c", "c")):
        found = pd.read_csv(f"out/{name}.csv", dtype=np.float32).iloc[:, 1:]
        np.testing.assert_array_equal(found, pygru.load("m.st")(np.load(f"{source}.npy")))


def test_a_disk_that_is_full_is_told_to_resume(folder, capsys, monkeypatch):
    def update(self, done):
        if done > 2:
            raise OSError(errno.ENOSPC, "no room", "y.npy")

    command = ("predict", "m.st", "b.npy", "--output", "y.npy", "--chunk-size", 2)
    with monkeypatch.context() as patch:
        patch.setattr(Display, "update", update)
        assert main(*command) == 1
    assert capsys.readouterr().err == "pygru: y.npy: no room; --resume goes on from there\n"
    assert main(*command, "--resume") == 0
    np.testing.assert_array_equal(np.load("y.npy"), pygru.load("m.st")(np.load("b.npy")))


def run_in_group(*arguments):
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "pygru", "predict", "m.st", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
def test_two_workers_give_the_bits_of_one(folder):
    files = ("a.npy", "b.npy", "c.npy")
    for workers in "12":
        os.mkdir(workers)
        output = os.path.join(workers, "{}.npy")
        assert main("predict", "m.st", *files, "--output", output, "--workers", workers) == 0
    for name in SIZES:
        one, two = (folder / workers / f"{name}.npy" for workers in "12")
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c_ends_all_processes_at_once(folder):
    """The last two files are pipes that nobody writes to, so that the processes never end."""
    pipes = ["p.npy", "q.npy"]
    for pipe in pipes:
        os.mkfifo(pipe)
    run = run_in_group("a.npy", "b.npy", *pipes, "--workers", "2", "--output", "out/{}.npy")
    with contextlib.ExitStack() as writers:
        for pipe in pipes:
            writers.enter_context(open(pipe, "w"))  # waits for a reader
        os.killpg(run.pid, signal.SIGINT)
        _, error = run.communicate(timeout=PATIENCE)
    assert run.returncode == 130
    assert error == "pygru: interrupted after 2 of 4 files; --resume goes on from there\n"
    assert group_has_ended(run.pid)
    assert sorted(os.listdir("out")) == ["a.npy", "b.npy"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_a_run_that_was_killed_is_resumed(folder):
    os.mkfifo("p.npy")
    files = ("a.npy", "p.npy", "b.npy", "--workers", "2", "--output", "out/{}.npy")
    run = run_in_group(*files)
    with open("p.npy", "w"):
        run.kill()
        run.communicate(timeout=PATIENCE)
        assert group_has_ended(run.pid)
    os.remove("p.npy")
    np.save("p.npy", np.load("c.npy"))
    run = run_in_group(*files, "--resume")
    run.communicate(timeout=PATIENCE)
    assert run.returncode == 0
    for name, source in (("a", "a"), ("b", "b"), ("p", "c")):
        expected = pygru.load("m.st")(np.load(f"{source}.npy"))
        np.testing.assert_array_equal(np.load(f"out/{name}.npy"), expected)
