"""The processes of a command that mpiexec or srun has started more than once.

Only ``pygru train`` is made for that. It is decided from the environment, so a command that was
started once never imports mpi4py.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pygru.commands.errors import CommandError, FailedElsewhere, InterruptedRun

if TYPE_CHECKING:
    from pygru.train.ranks import Alone

#: What launchers say to the processes that they start: how many there are, and the number of
#: this one. MPICH and its relatives, Slurm with PMI-2; Open MPI.
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK")


def _given(names: Iterable[str]) -> list[str]:
    """The values of those environment variables that are set, and not only to blanks."""
    values = (os.environ.get(name, "").strip() for name in names)
    return [value for value in values if value]


def is_one_of_many() -> bool:
    """Whether a launcher of MPI has started this process, and perhaps others beside it."""
    sizes = _given(SIZES)
    return any(size != "1" for size in sizes) or (not sizes and bool(_given(("PMIX_RANK",))))


def is_first() -> bool:
    """Whether this process is the first one, or the only one."""
    ranks = _given(RANKS)
    return not is_one_of_many() or not ranks or ranks[0] == "0"


def team() -> Alone:
    """Return the processes that run this command together.

    Raises
    ------
    CommandError
        If there are several, and mpi4py is missing.
    """
    from pygru.train.ranks import Alone, team_of

    if not is_one_of_many():
        return Alone()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: there is no library of MPI
        raise CommandError(
            "a launcher of MPI has started this command, but mpi4py cannot be used "
            f'({str(error).splitlines()[0]}); install it with  pip install "pygru[mpi]"'
        ) from None
    return team_of(MPI.COMM_WORLD)


def share_standard_input(ranks: Alone) -> None:
    """Give all processes what stands on standard input, which only the first one has."""
    if ranks.size == 1 or (ranks.is_main and sys.stdin is None):
        return
    text = sys.stdin.buffer.read() if ranks.is_main else b""
    sys.stdin = io.TextIOWrapper(io.BytesIO(ranks.from_main(text, "standard input")))


def refuse_many(name: str) -> None:
    """Raise if a command that is one process was started as several by a launcher of MPI."""
    if is_one_of_many():
        if not is_first():
            raise FailedElsewhere
        raise CommandError(
            f"pygru {name} is one process; start it without mpiexec (of the commands only "
            "pygru train runs as several ranks)"
        )


@contextlib.contextmanager
def quiet_unless_first() -> Iterator[None]:
    """A block in which only the first process writes to the screen."""
    if is_first():
        yield
        return
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


@contextlib.contextmanager
def together(ranks: Alone) -> Iterator[None]:
    """A block that all processes run; if it fails, only the first one that failed says why.

    Raises
    ------
    FailedElsewhere
        On the others.
    """
    try:
        with quiet_unless_first(), ranks.together():
            yield
    except BaseException as error:
        if ranks.first_failed in (None, ranks.rank) or isinstance(error, InterruptedRun):
            raise
        raise FailedElsewhere from None
