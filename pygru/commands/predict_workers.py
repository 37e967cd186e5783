"""Runs a function on many files, in this process or in several; results come in order.

A file is given to one process at a time, so it is known which file a process had that was
killed. That file is tried once more in a new process: most often the system has killed the
first one for lack of memory, and not because of this file. (concurrent.futures does not say
which file it was, and its processes outlive a parent that was killed.)

The processes are started by ``spawn``, and none of them writes a file. They end at once when
their results are no longer wanted, when Ctrl-C comes, and when this process is killed.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import re
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import connection, resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from pygru.commands.errors import bounded, described
from pygru.core.settings import setting

# Variables that say how many threads a BLAS library starts.
BLAS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes
    ----------
    path : str
    value : object
        What the function returned; None after an error.
    error : str or None
        The error in one line, with the name of the file.
    trace : str
        The traceback of the error.
    said : str
        What the function wrote to standard error.
    """

    path: str
    value: Any = None
    error: str | None = None
    trace: str = ""
    said: str = ""


def attempt(function: Callable[[str], Any], path: str) -> Outcome:
    """Call ``function(path)``; an error becomes part of the outcome."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return Outcome(path, function(path), said=said.getvalue())
    except Exception as error:
        line = described(error)
        if not re.search(rf"(?<!\w){re.escape(path)}(?!\w)", line):
            line = bounded(f"{path}: {line}")
        return Outcome(path, None, line, traceback.format_exc(), said.getvalue())


def outcomes(
    function: Callable[[str], Any],
    paths: Sequence[str],
    workers: int,
    done: Callable[[], object] = lambda: None,
) -> Generator[Outcome, None, None]:
    """Yield the outcome of each file, in the order of ``paths``.

    Close this generator to end the processes before the last outcome.

    Parameters
    ----------
    function : callable
        ``function(path)``; with several workers it is sent to each once.
    paths : sequence of str
    workers : int
        Processes to start; with 1 the function runs in this process.
    done : callable
        Called after each file, in whatever order they are done.
    """
    workers = min(workers, len(paths))
    if workers == 1:
        for path in paths:
            outcome = attempt(function, path)
            done()
            yield outcome
        return
    team = Team(function, paths, done)
    waiting: dict[int, Outcome] = {}
    try:
        team.begin(workers)
        for number in range(len(paths)):
            while number not in waiting:
                waiting |= team.finished()
            yield waiting.pop(number)
    finally:
        team.end()


def shared_threads(threads: int | None, workers: int) -> int | None:
    """Return the threads of each process: the available ones are shared.

    That is not so if the user says how many each process has, by an option (``threads``) or by
    the environment.
    """
    from pygru.core.threads import available

    said = map(setting, ("PYGRU_NUM_THREADS", "OMP_NUM_THREADS"))
    if threads is not None or any(said) or workers == 1:
        return threads
    return max(1, available() // workers)


class Team:
    """Processes that each have one file at a time.

    Parameters
    ----------
    function, paths, done
        As for :func:`outcomes`.
    """

    def __init__(
        self,
        function: Callable[[str], Any],
        paths: Sequence[str],
        done: Callable[[], object],
    ) -> None:
        self.function = function
        self.paths = paths
        self.done = done
        self.left = deque(range(len(paths)))
        self.deaths: dict[int, str] = {}
        self.processes: list[Any] = []
        self.busy: dict[Connection, tuple[int, Any]] = {}

    def begin(self, workers: int) -> None:
        """Start so many processes."""
        for _ in range(workers):
            self._start()

    def finished(self) -> dict[int, Outcome]:
        """Wait; return the outcomes of files that are done by their numbers, if any."""
        found: dict[int, Outcome] = {}
        for ready in connection.wait(list(self.busy)):
            assert isinstance(ready, Connection)
            index, process = self.busy.pop(ready)
            try:
                outcome = ready.recv()
            except (EOFError, OSError):  # nobody is at its other end: the process has died
                ready.close()
                process.join()
                found |= self._after_death(index, process.exitcode)
                continue
            said = self.deaths.get(index, "") + outcome.said
            found[index] = replace(outcome, said=said)
            self.done()  # before the process has another file, so that it is counted in time
            self._give(ready, process)
        return found

    def end(self) -> None:
        """End all processes. They have nothing that would have to be kept."""
        with interrupts_wait():
            for process in self.processes:
                process.kill()
            for process in self.processes:
                process.join()

    def _start(self) -> None:
        """Start a process and give it a file."""
        context = multiprocessing.get_context("spawn")
        with interrupts_wait(), _blas_of_one_thread():
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, self.function), daemon=True)
            process.start()
            self.processes.append(process)
            theirs.close()  # so that ours ends when the process does
        self._give(ours, process)

    def _give(self, ours: Connection, process: Any) -> None:
        """Give the next file to an idle process, or let it end."""
        if not self.left:
            ours.close()
            return
        index = self.left.popleft()
        self.busy[ours] = index, process
        with contextlib.suppress(OSError):  # it has died, as finished() will see
            ours.send(self.paths[index])

    def _after_death(self, index: int, code: int) -> dict[int, Outcome]:
        """Try a file again, or give it up, and replace the process that had it."""
        path = self.paths[index]
        what = f"{path}: the process that had this file {_how(code)}"
        given_up: dict[int, Outcome] = {}
        if index in self.deaths:
            hint = "; if memory is short, use fewer --workers" if code < 0 else ""
            given_up[index] = Outcome(path, error=f"{what}, also when tried again{hint}")
            self.done()
        else:
            self.deaths[index] = f"note: {what}; it was tried again\n"
            self.left.appendleft(index)
        if self.left:
            self._start()
        return given_up


def _how(code: int) -> str:
    """How a process ended, by its exit code."""
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"


@contextlib.contextmanager
def interrupts_wait() -> Iterator[None]:
    """A block in which Ctrl-C waits, and whose processes never get it.

    The terminal sends it to all processes. Those that inherit this state leave it to the one
    that started them.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # it would end this state when it is started
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _blas_of_one_thread() -> Iterator[None]:
    """A block whose processes have BLAS libraries that start no threads of their own.

    They would start as many as there are processors in each process, and pygru uses none of
    them. What the user has set stays.
    """
    new = {name: "1" for name in BLAS if setting(name) is None}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]


# ---- in the other process ------------------------------------------------------------------


def serve(theirs: Connection, function: Callable[[str], Any]) -> None:
    """Answer each path with its outcome, until the other end is closed."""
    if not hasattr(signal, "pthread_sigmask"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        while True:
            theirs.send(attempt(function, theirs.recv()))


def _end_with_parent() -> None:
    """End this process at once when the one that started it has ended in whatever way."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
