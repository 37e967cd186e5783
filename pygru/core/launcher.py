"""What a launcher of MPI says about the ranks on this node, read from the environment.

Ranks on one node share its CPUs. If each of them started a thread on every CPU, they would
disturb each other. MPI is not imported here, so this also works before it is initialised, and
costs nothing in a program without MPI. A variable that is not as expected is ignored.
"""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

# For each launcher: how many ranks run on this node, and the number of this rank. Slurm's own
# SLURM_NTASKS_PER_NODE is not in the list. It describes a job, and is also set in a batch
# script, where a program that srun did not start runs once.
VARIABLES = (
    ("MPI_LOCALNRANKS", "PMI_RANK"),  # MPICH and Intel MPI
    ("OMPI_COMM_WORLD_LOCAL_SIZE", "OMPI_COMM_WORLD_RANK"),  # Open MPI
    ("MV2_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_RANK"),  # MVAPICH
    ("PALS_LOCAL_SIZE", "PALS_RANKID"),  # HPE Cray
    ("SLURM_STEP_TASKS_PER_NODE", "SLURM_PROCID"),  # srun
)

CPUSET = "/sys/fs/cgroup/cpuset.cpus.effective"


class Launch(NamedTuple):
    """What is known of the ranks that were started together with this one.

    Attributes
    ----------
    rank : int or None
        The number of this rank.
    ranks_on_node : int
        How many ranks run on this node.
    """

    rank: int | None
    ranks_on_node: int


def launch(environment: Mapping[str, str]) -> Launch | None:
    """Return what the launcher says, or None in a program that was not started by one.

    Parameters
    ----------
    environment : mapping
        The environment variables.
    """
    for count_name, rank_name in VARIABLES:
        text = environment.get(count_name, "")
        if count_name.startswith("SLURM"):
            text = _on_node(text, environment.get("SLURM_NODEID", ""))
        if count := _number(text):
            return Launch(_number(environment.get(rank_name, "")), count)
    return None


def cpus_on_node(environment: Mapping[str, str]) -> int:
    """Return how many CPUs of this node the job may use.

    A rank that its launcher has bound to a few CPUs has a narrower affinity than this.
    """
    counts = [os.cpu_count(), _number(environment.get("SLURM_CPUS_ON_NODE", "")), _cpuset()]
    return min(filter(None, counts), default=1)


def _number(text: str) -> int | None:
    """A number without a sign; None for anything else, such as the digits of other scripts."""
    return int(text) if re.fullmatch("[0-9]{1,6}", text) else None


def _on_node(text: str, node: str) -> str:
    """The tasks of one node in Slurm's list of all nodes: "5,4(x3)" means 5, 4, 4 and 4."""
    index = _number(node)
    for part in text.split(","):
        found = re.fullmatch(r"([0-9]{1,6})(?:\(x([0-9]{1,6})\))?", part)
        if index is None or found is None:
            break
        index -= int(found[2] or 1)
        if index < 0:
            return found[1]
    return ""


def _cpuset() -> int | None:
    """How many CPUs the container may use, or None; the file has text such as "0-3,8"."""
    try:
        with open(CPUSET) as file:
            ends = [part.split("-") for part in file.read().split(",")]
        return sum(int(part[-1]) - int(part[0]) + 1 for part in ends)
    except (OSError, ValueError):
        return None
