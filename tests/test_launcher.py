"""Threads of ranks that share a node: the default is a fair share, and settings are obeyed.

These tests fail if ranks on one node all use every CPU, if ranks that are bound to their CPUs
divide them once more, if someone's own setting is divided, or if what a launcher says for
other nodes is taken for this one. Only the last tests start MPI.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE
from quick import quick_and_slow

import pygru
from pygru.core import launcher, threads
from pygru.core.launcher import Launch, launch

# ---- what the variables say ------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, None),
        ({"MPI_LOCALNRANKS": "4", "PMI_RANK": "6"}, Launch(6, 4)),
        (
            {"OMPI_COMM_WORLD_LOCAL_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"},
            Launch(0, 2),
        ),
        ({"MV2_COMM_WORLD_LOCAL_SIZE": "8", "MV2_COMM_WORLD_RANK": "9"}, Launch(9, 8)),
        ({"PALS_LOCAL_SIZE": "3", "PALS_RANKID": "1"}, Launch(1, 3)),
        ({"MPI_LOCALNRANKS": "4"}, Launch(None, 4)),
        ({"MPI_LOCALNRANKS": "4", "PMI_RANK": "-1"}, Launch(None, 4)),
        # A rank that mpiexec has started within a step of Slurm: mpiexec knows better.
        (
            {
                "MPI_LOCALNRANKS": "4",
                "PMI_RANK": "2",
                "SLURM_STEP_TASKS_PER_NODE": "1",
                "SLURM_NODEID": "0",
            },
            Launch(2, 4),
        ),
        # A batch script: the job will have ranks, but this program is not one of them.
        ({"SLURM_NTASKS_PER_NODE": "8", "SLURM_NTASKS": "16", "SLURM_PROCID": "0"}, None),
        ({"PMI_RANK": "0", "PMI_SIZE": "2"}, None),
    ],
)
def test_each_launcher_is_understood(variables, told):
    assert launch(variables) == told


@pytest.mark.parametrize(
    ("node", "tasks"), [("0", 5), ("1", 4), ("3", 4), ("4", 2), ("5", None), ("x", None)]
)
def test_slurm_lists_the_tasks_of_all_nodes(node, tasks):
    variables = {
        "SLURM_STEP_TASKS_PER_NODE": "5,4(x3),2",
        "SLURM_NODEID": node,
        "SLURM_PROCID": "7",
    }
    assert launch(variables) == (None if tasks is None else Launch(7, tasks))


@pytest.mark.parametrize("name", [count for count, _ in launcher.VARIABLES])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-2",
        "2.0",
        " 2",
        "two",
        "²",
        "٣",
        "1_0",
        "9" * 5000,
        "2(x",
        "2(x0)",
        "(x2)",
        ",",
    ],
)
def test_nonsense_is_ignored(name, text):
    assert launch({name: text, "SLURM_NODEID": "0"}) is None
    other = next(count for count, _ in launcher.VARIABLES[:2] if count != name)
    assert launch({name: text, other: "2"}) == Launch(None, 2)


@pytest.mark.parametrize(
    ("text", "count"), [("0-3,8\n", 5), ("7\n", 1), ("\n", None), ("a-b\n", None), (None, None)]
)
def test_cpus_of_a_container(tmp_path, monkeypatch, text, count):
    path = tmp_path / "cpuset"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(launcher, "CPUSET", str(path))
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert launcher.cpus_on_node({}) == (count or 64)
    assert launcher.cpus_on_node({"SLURM_CPUS_ON_NODE": "3"}) == min(3, count or 64)
    assert launcher.cpus_on_node({"SLURM_CPUS_ON_NODE": "all"}) == (count or 64)


# ---- how many threads that makes -------------------------------------------------------

# A node of 16 CPUs, whatever this machine has. pygru reads the variables when it is imported.
CODE = """
import json, os
affinity, quota = {affinity}, {quota}
os.cpu_count = lambda: 16
os.sched_getaffinity = lambda process: set(range(affinity))
from pygru.core import launcher
launcher.CPUSET = ""
from pygru.core import threads
threads._QUOTA = quota
threads._SHARE = threads._share_of_ranks()
if {openmp}:
    threads._core.available_threads = lambda: {openmp}
import pygru
config = pygru.show_config("dicts")
print(json.dumps([config["threads"], config["threads_from"], pygru.core.threads.resolve(-1)]))
"""

OWN = ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "PYGRU_NUM_THREADS", "SLURM_CPUS_ON_NODE")
FOREIGN = {*OWN, *(name for names in launcher.VARIABLES for name in names)}


def without_launcher():
    return {name: value for name, value in os.environ.items() if name not in FOREIGN}


def threads_of(tmp_path, affinity=16, quota=None, openmp=16, **variables):
    """The threads of a process, where they come from, and what -1 means there."""
    code = CODE.format(affinity=affinity, quota=quota, openmp=openmp)
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={**without_launcher(), **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


FOUR = {"MPI_LOCALNRANKS": "4"}
OF_FOUR = "ranks on this node: 4"

CASES = {
    "no launcher": ({}, [16, "affinity", 16]),
    "not bound": (FOUR, [4, OF_FOUR, 4]),
    "bound to its share": ({**FOUR, "affinity": 4}, [4, "affinity", 4]),
    "bound to less": ({**FOUR, "affinity": 2}, [2, "affinity", 2]),
    "bound to a socket, with another rank": ({**FOUR, "affinity": 8}, [4, OF_FOUR, 4]),
    "more ranks than CPUs": ({"MPI_LOCALNRANKS": "40"}, [1, "ranks on this node: 40", 1]),
    "a quota is for all ranks": ({**FOUR, "quota": 8}, [2, OF_FOUR, 2]),
    "Slurm has given half of the node": (
        {**FOUR, "SLURM_CPUS_ON_NODE": "8", "affinity": 8},
        [2, OF_FOUR, 2],
    ),
    "OpenMP's variable": (
        {**FOUR, "OMP_NUM_THREADS": "8", "openmp": 8},
        [8, "OMP_NUM_THREADS", 8],
    ),
    "OpenMP's variable is no number": ({**FOUR, "OMP_NUM_THREADS": "x"}, [4, OF_FOUR, 4]),
    "pygru's variable": ({**FOUR, "PYGRU_NUM_THREADS": "8"}, [8, "PYGRU_NUM_THREADS", 4]),
    "a quota": ({"quota": 3}, [3, "quota", 3]),
    "nonsense": ({"MPI_LOCALNRANKS": "many"}, [16, "affinity", 16]),
}
if threads._core.openmp_version():  # OpenMP itself writes a message about such a value
    del CASES["OpenMP's variable is no number"]
QUICK = ("not bound", "bound to its share", "OpenMP's variable")


@pytest.mark.parametrize(
    "case", quick_and_slow(QUICK, [name for name in CASES if name not in QUICK])
)
def test_ranks_share_the_cpus_of_a_node(tmp_path, case):
    given, expected = CASES[case]
    assert threads_of(tmp_path, **given) == expected


def test_a_setting_in_the_program_is_named():
    def found():
        values = pygru.show_config("dicts")
        return values["threads"], values["threads_from"]

    try:
        pygru.set_num_threads(5)
        assert found() == (5, "pygru.set_num_threads")
        with pygru.num_threads(3):
            assert found() == (3, "pygru.num_threads")
    finally:
        pygru.set_num_threads(None)


# ---- with MPI --------------------------------------------------------------------------


def mpiexec():
    """The program that starts ranks: that of the environment, or of the system."""
    pytest.importorskip("mpi4py")
    beside = str(Path(sys.executable).parent)
    found = shutil.which("mpiexec", path=beside) or shutil.which("mpiexec")
    if found is None:
        pytest.skip("there is no mpiexec")
    return found


@pytest.mark.slow
def test_info_of_two_ranks(tmp_path):
    """Each of two ranks that are not bound has half of the CPUs, and knows its number."""
    code = """
import json, os, pygru
values = pygru.show_config("dicts")
rank = values["mpi"]["rank"]
with open(f"{rank}.json", "w") as file:
    json.dump(values, file)
"""
    done = subprocess.run(
        [mpiexec(), "-n", "2", sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env=without_launcher(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    for rank in (0, 1):
        values = json.loads((tmp_path / f"{rank}.json").read_text())
        assert values["mpi"] == {"rank": rank, "ranks_on_node": 2}
        assert values["threads"] <= max(1, (os.cpu_count() or 1) // 2)
