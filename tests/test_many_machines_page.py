"""The programs of docs/howto/many_machines.md run under mpiexec, as the page says.

The page marks them ``py``, because the tests of all pages run what is marked ``python`` in one
process. The test fails if a program of the page does not run, or if its ranks train
differently from one process.
"""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mpi_programs import environment, mpiexec, needs_mpi
from patience import PATIENCE

import pygru

PAGE = Path(__file__).parent.parent / "docs" / "howto" / "many_machines.md"


def programs(kind):
    """The blocks of a kind on the page."""
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)


def train(folder, ranks, code):
    """Run a program with so many ranks in a folder that has the data; return what it prints."""
    folder.mkdir()
    (folder / "train.py").write_text(code, encoding="utf-8")
    parts = folder / "parts"
    parts.mkdir()
    for number in range(5):
        data = np.random.default_rng(number).standard_normal((20 + number, 30, 3))
        np.savez(parts / f"{number}.npz", X=data, y=data.mean(axis=(1, 2)).reshape(-1, 1))
    subprocess.run([sys.executable, "-P", "-c", programs("python")[0]], cwd=folder, check=True)
    done = subprocess.run(
        [mpiexec(), "-n", str(ranks), sys.executable, "-P", "-m", "mpi4py", "train.py"],
        cwd=folder,
        env=environment(),
        timeout=PATIENCE,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_mpi
@pytest.mark.slow
def test_the_program_of_the_page_trains_as_one_process_does(tmp_path):
    program, _ = programs("py")
    weights = []
    for ranks in (1, 2):
        folder = tmp_path / str(ranks)
        assert train(folder, ranks, program).count("3 epochs, validation loss") == 1
        weights.append(pygru.load(folder / "model.safetensors").state_dict())
        assert (folder / "run.safetensors").exists()
    for name, values in weights[0].items():
        np.testing.assert_allclose(weights[1][name], values, rtol=1e-3, atol=1e-4)


@needs_mpi
@pytest.mark.slow
def test_ranks_train_on_the_files_of_the_page(tmp_path):
    program, batches = programs("py")
    trainer, _ = program.split("if trainer.is_main_process", 1)
    shown = "\nif trainer.is_main_process:\n    print(trainer.history['sequences'])\n"
    for ranks in (1, 2):
        text = train(tmp_path / str(ranks), ranks, trainer + batches + shown)
        assert text.count("[110, 110, 110]") == 1, text
