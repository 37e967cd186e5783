"""Ctrl-C, or the death of a rank, ends all ranks, and files and states stay whole."""

import json
import os
import signal
import subprocess
import time

import pytest
from mpi_long import trainer_in
from mpi_programs import command, environment, needs_mpi, run
from patience import PATIENCE

import pygru

pytestmark = [
    needs_mpi,
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="needs signals"),
]


@pytest.mark.parametrize("ranks", [2, 3])
def test_interrupts_at_random_moments(ranks, tmp_path):
    """Nobody waits, and training goes on with the same bits. The seed is new every time."""
    seed, count = time.time_ns() % 2**32, 12
    print("seed", seed)
    run(ranks, "mpi_interrupts.py", tmp_path, count, seed)
    for rank in range(ranks):
        found = json.loads((tmp_path / f"rank{rank}.json").read_text())
        assert found["different"] == 0
        assert found["interrupted"] > 0


def signalled(ranks, folder, to, number, *how):
    """Send a signal to mpiexec or to a rank of a long training; return code and output."""
    output = folder / "output.txt"
    with open(output, "w") as file:
        job = subprocess.Popen(
            command(ranks, "mpi_long.py", folder, *how),
            env=environment(),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            files, end = (
                [folder / f"pid{rank}" for rank in range(ranks)],
                time.time() + PATIENCE,
            )
            while not all(file.exists() for file in files):
                assert job.poll() is None and time.time() < end, output.read_text()
                time.sleep(0.02)
            pids = [int(file.read_text()) for file in files]
            os.kill(job.pid if to == "mpiexec" else pids[to], number)
            job.wait(PATIENCE)
        finally:
            job.kill()
            job.wait()
    return job.returncode, output.read_text(errors="replace")


def check_files(folder):
    """The checkpoints of a training that was ended are whole."""
    for path in folder.glob("*.safetensors"):
        pygru.load(path)
        trainer = trainer_in(folder)
        trainer.resume(path)
        assert len(trainer.history) >= 2
        assert trainer.history["epoch"] == list(range(len(trainer.history)))


def check_caught(code, output, folder):
    """Every rank has come to the code after training, and the first one has saved its state."""
    assert code == 0, output
    assert {path.name for path in folder.glob("ended*")} == {"ended0", "ended1"}
    assert (folder / "interrupted.safetensors").exists()


@pytest.mark.parametrize("to", [0, 1])
def test_ctrl_c_on_one_rank(to, tmp_path):
    check_caught(*signalled(2, tmp_path, to, signal.SIGINT, "catch"), tmp_path)
    check_files(tmp_path)


@pytest.mark.parametrize("how", ["catch", "let go"])
def test_ctrl_c(how, tmp_path):
    """MPICH passes it on to the ranks; Open MPI kills them."""
    code, output = signalled(2, tmp_path, "mpiexec", signal.SIGINT, how)
    if "Sending Ctrl-C to processes" not in output:
        assert code != 0
    elif how == "catch":
        check_caught(code, output, tmp_path)
    else:
        assert code != 0
        assert "KeyboardInterrupt" in output
    check_files(tmp_path)


@pytest.mark.parametrize(("ranks", "to"), [(2, 0), (2, 1), (3, 1)])
def test_a_killed_rank_ends_all(ranks, to, tmp_path):
    code, _ = signalled(ranks, tmp_path, to, signal.SIGKILL)
    assert code != 0
    check_files(tmp_path)
