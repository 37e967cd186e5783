"""The command ``pygru``: random command lines on damaged tables and arrays, in this process.

Whatever it is given, it ends with 0, 1 or 2, and says why in one line that is no traceback. A
line that names a class of exception is a failure: it means that nobody thought of the case.
"""

import contextlib
import gzip
import importlib.util
import io
import json
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import torch_files

import pygru
from fuzz.array_files import damaged
from fuzz.fuzzer import FOLDER, Fuzzer
from fuzz.mutations import mutant
from fuzz.tables import damaged_table, tables
from pygru.cli import main

TEXTS = [
    "", "-", "--", "x", "y", "date", "nope", "y,y", "y,z", ",", "0", "1", "2", "3", "-1", "1.5",
    "1e3", "99999999999999999999", "nan", "ä", "\ud800", "\udcff", "a b", "*", "../x", "/", ".",
    "{}", "out/{}.csv", "x" * 2000, "\n", "D", "ME", "15min", "0D", "-1D", "auto", "none",
    "0.1,0.5,0.9", "0.5,0.1", "1", "tab", ";", "cp1252", "utf-8", "nonsense", "Europe/Berlin",
    "256 MB", "0 B", "chung", "pytorch", "tanh", "rzn", "rrr", "float64", "model.safetensors",
]  # fmt: skip
TRAIN = {
    "--target": ["y", "z", "Umsatz"], "--time": ["date", "time", "step", "Datum"],
    "--id": ["shop"], "--features": ["price", "z"], "--future-features": ["price", "z"],
    "--static": ["price"], "--horizon": ["1", "2", "5", "20"], "--season": ["none", "7"],
    "--freq": ["D", "h", "15min", "ME"], "--quantiles": ["0.1,0.5,0.9"], "--window": ["4", "9"],
    "--test-size": ["2", "5"], "--validation-size": ["2", "5"], "--layers": ["1", "2"],
    "--variant": ["cho"], "--dropout": ["0", "0.5"], "--patience": ["1"], "--batch-size": ["4"],
    "--learning-rate": ["0.1", "1e30"], "--clip-norm": ["1"], "--seed": ["3"],
    "--threads": ["1", "-1", "0"],
}  # fmt: skip
PREDICT = {
    "--target": ["y", "z"], "--time": ["date", "step"], "--id": ["shop"], "--values": ["y,z"],
    "--future": ["data.csv"], "--file-column": ["file", "y"], "--array": ["X", "b"],
    "--chunk-size": ["1", "1 kB"], "--output": ["out/p.csv", "out/p.npy", "out/p.parquet",
    "-", "out/{}.csv"], "--threads": ["1"],
}  # fmt: skip
CONVERT = {
    "--name": ["rnn", "gru", "x"], "--variant": ["pytorch", "cho"], "--activation": ["tanh"],
    "--recurrent-activation": ["hard_sigmoid"], "--gate-order": ["rzn", "zrn"],
    "--dtype": ["float64"], "--to": ["out/x.safetensors", "out/x.onnx", "out/x.npz"],
}  # fmt: skip
DIALECT = {
    "--sep": [";", ",", "tab"], "--decimal": [",", "."], "--encoding": ["cp1252", "utf-16"],
    "--na-values": ["-,x"], "--time-zone": ["Europe/Berlin", "UTC"],
}  # fmt: skip
FLAGS = ["--force", "--skip-errors", "--resume", "--check", "--version", "--help", "--x"]
# Values that would only make a case long.
SMALL = ["--epochs", "1", "--hidden-size", "2"]


def some(options, rng):
    """A few of the options, most with a value that is meant for them."""
    words = []
    for name in rng.sample(list(options), rng.choice([0, 1, 1, 2, 3])):
        value = rng.choice(options[name]) if rng.random() < 0.7 else rng.choice(TEXTS)
        words += [f"{name}={value}"] if rng.random() < 0.3 else [name, value]
    if rng.randrange(6) == 0:
        words.append(rng.choice(FLAGS))
    return words


class Commands(Fuzzer):
    """The command pygru: arguments, tables and standard input."""

    name = "commands"
    cases = 1000
    memory = 2**28
    refusals = ()
    suffix = ".json"
    traced = 10

    def __init__(self):
        self.before = os.getcwd()
        self.folder = Path(tempfile.mkdtemp(prefix=FOLDER))
        os.chdir(self.folder)
        self.tables = tables()
        stacked = pygru.Sequential(pygru.GRU(1, 2, batch_first=True, seed=0), pygru.Last())
        pygru.save(stacked, "layers.safetensors")
        pygru.save(pygru.Linear(2, 1, seed=0), "linear.safetensors")
        np.save("a.npy", np.zeros((3, 4, 1), np.float32))
        np.savez("a.npz", X=np.zeros((3, 4, 1)), b=np.zeros(2))
        Path("a.pt").write_bytes(torch_files.state_dict(torch_files.parameters()))
        self.arrays = {name: Path(name).read_bytes() for name in ("a.npy", "a.npz")}
        Path("not.safetensors").write_bytes(b"no model")
        for name, text in self.tables.items():
            Path("data.csv").write_text(text)
            if importlib.util.find_spec("pyarrow") and name != "european":
                table = pd.read_csv("data.csv")
                self.arrays[f"{name}.parquet"] = table.to_parquet(compression="none")
            horizon = ["--horizon", "2", "--window", "5", "--season", "none"]
            more = {"shops": ["--id", "shop", "--target", "y"], "steps": ["--target", "y"]}
            more = more.get(name, [])
            options = [*horizon, *SMALL, *more, "--output", "out"]
            code, said = self.command(["train", "data.csv", *options], b"")
            assert code == 0, (name, said)
            shutil.move("out/model.safetensors", f"{name}.safetensors")
            shutil.rmtree("out")
        self.kept = set(os.listdir()) - {"data.csv"}

    def close(self):
        os.chdir(self.before)
        shutil.rmtree(self.folder, ignore_errors=True)

    def case(self, rng):
        name = rng.choice(list(self.tables))
        data = damaged_table(self.tables[name], rng)
        others = ["-", "data.csv.gz", "data.parquet", "data.npy", "data.npz", "."]
        source = rng.choice(["data.csv"] * 8 + others)
        sound = {"data.parquet": f"{name}.parquet", "data.npy": "a.npy", "data.npz": "a.npz"}
        if sound.get(source) in self.arrays:
            data = self.arrays[sound[source]]
            data = damaged(data, rng) if rng.random() < 0.8 else data
        fitting = "layers" if source in ("data.npy", "data.npz") else name
        models = [f"{fitting}.safetensors"] * 3 + [
            "layers.safetensors", "linear.safetensors", "not.safetensors", "nope", "data.csv",
        ]  # fmt: skip
        if source == "data.csv.gz" and rng.random() < 0.8:
            most = b"\n" * rng.choice([0, 0, 0, 10**4, 10**6])  # blank lines compress well
            data = gzip.compress(data + most, mtime=0)
            data = mutant(data, rng) if rng.randrange(3) == 0 else data
        kind = rng.random()
        if kind < 0.25:
            horizon = ["--horizon", rng.choice(["1", "2", "6"]), "--window", "5"]
            options = [*horizon, "--output", "out", *some(TRAIN | DIALECT, rng)]
            argv = ["train", source, *SMALL, *options]
        elif kind < 0.85:
            sources = rng.sample([source, source, "a.npy", "a.npz"], rng.choice([1, 1, 1, 2]))
            options = some(PREDICT | DIALECT, rng)
            argv = ["predict", rng.choice(models), *sources, *options]
        elif kind < 0.97:
            file = rng.choice(["a.pt", "a.npz", "layers.safetensors", "data.csv", "nope", "."])
            argv = ["convert", file, *some(CONVERT, rng)]
        else:
            argv = [rng.choice(["info", "x", "", "--version", "--help"]), *some(TRAIN, rng)]
        if rng.randrange(10) == 0:
            argv.insert(rng.randrange(len(argv) + 1), rng.choice(TEXTS))
        return json.dumps({"argv": argv, "data": data.decode("latin-1")}).encode()

    def run(self, case):
        case = json.loads(case)
        data = case["data"].encode("latin-1")
        for name in ("data.csv", "data.csv.gz", "data.parquet", "data.npy", "data.npz"):
            Path(name).write_bytes(data)
        try:
            code, said = self.command(case["argv"], data)
        finally:
            for path in self.folder.iterdir():  # whatever name it has been given
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name not in self.kept:
                    path.unlink()
        assert code in (0, 1, 2), code
        assert "--debug shows where" not in said and "Traceback" not in said, said[-800:]
        if code:
            last = said.strip().splitlines()[-1]
            assert last.startswith("pygru"), said[-800:]
            assert len(last) < 2500, f"a line of {len(last)} characters"
        return f"code {code}"

    def command(self, argv, stdin):
        """Run a command; return its exit code and what it said on standard error."""
        output, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
        source = mock.Mock(buffer=io.BytesIO(stdin), isatty=lambda: False)
        find_spec = importlib.util.find_spec
        without_pictures = mock.patch(
            "importlib.util.find_spec",
            lambda name, *more: None if name == "matplotlib" else find_spec(name, *more),
        )
        with (
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(errors),
            mock.patch.object(sys, "stdin", source),
            without_pictures,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", category=RuntimeWarning)
            try:
                code = main(argv)
            except SystemExit as exit:
                code = exit.code or 0
            errors.flush()
            return code, errors.buffer.getvalue().decode("utf-8", "replace")
