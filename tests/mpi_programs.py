"""Runs programs of several processes with mpiexec. Not a test file."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE

TESTS = Path(__file__).parent


def mpiexec():
    """The program that starts the ranks: beside Python, or on the path; None without one."""
    beside = shutil.which("mpiexec", path=str(Path(sys.executable).parent))
    return beside or shutil.which("mpiexec")


needs_mpi = pytest.mark.skipif(
    mpiexec() is None or importlib.util.find_spec("mpi4py") is None,
    reason="needs mpi4py and mpiexec",
)


def environment():
    """Environment of ranks: one thread each, and Open MPI starts more ranks than cores."""
    return os.environ | {
        "OMP_NUM_THREADS": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }


def command(ranks, script, *arguments):
    """The command that runs a script of the test folder with some ranks."""
    # As users should run programs: with mpi4py's runner, an error of one rank ends all.
    program = [sys.executable, "-P", "-m", "mpi4py", TESTS / script, *arguments]
    return [str(each) for each in (mpiexec(), "-n", ranks, *program)]


def run(ranks, script, *arguments, code=0):
    """Run a script of the test folder with some ranks; return the finished process.

    Parameters
    ----------
    ranks : int
    script : str
    *arguments
        Those of the script.
    code : int or None
        The exit code that is right; None if any is.
    """
    done = subprocess.run(
        command(ranks, script, *arguments),
        env=environment(),
        timeout=PATIENCE,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done
