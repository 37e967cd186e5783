"""The processes of ``pygru predict``: order, errors, killed processes, interrupts.

The functions that they run are in worker_functions.py. No test depends on time: where one file
must be done before another, its process waits for it.
"""

import os
import signal
import subprocess
import sys
import time
from multiprocessing import active_children

import pytest
import worker_functions
from ended_processes import process_has_ended
from patience import PATIENCE

from pygru.commands.predict_workers import attempt, outcomes

needs_signals = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


def paths_in(folder, count):
    return [os.path.join(folder, str(number)) for number in range(count)]


def test_one_worker_is_this_process(tmp_path):
    found = list(outcomes(worker_functions.answer, paths_in(tmp_path, 3), 1))
    assert [each.value[:2] for each in found] == [
        (path, os.getpid()) for path in paths_in(tmp_path, 3)
    ]
    assert [each.said for each in found] == [f"note: {p}\n" for p in paths_in(tmp_path, 3)]


def test_an_error_is_a_line_with_the_file():
    """A short name may be a part of a word of the message."""
    raised = {
        "a.csv": OSError(2, "gone", "a.csv"),
        "e": RecursionError("x\ny"),
        "c": KeyError(),
    }

    def fail(path):
        raise raised[path]

    debug = "(pygru --debug shows where)"
    assert [attempt(fail, path).error for path in raised] == [
        "a.csv: gone",
        f"e: RecursionError {debug}: x y",
        f"c: KeyError {debug}: KeyError",
    ]
    assert "in fail" in attempt(fail, "c").trace


def test_more_workers_than_files_are_not_started(tmp_path):
    found = list(outcomes(worker_functions.answer, paths_in(tmp_path, 1), 10**6))
    assert found[0].value[1] == os.getpid()
    assert list(outcomes(worker_functions.answer, [], 3)) == []


@pytest.mark.slow
def test_results_come_in_order_whatever_is_done_first(tmp_path):
    paths = paths_in(tmp_path, 5)
    done = []
    results = outcomes(worker_functions.last_is_done_first, paths, 2, lambda: done.append(1))
    assert [each.value for each in results] == paths
    assert len(done) == 5
    assert active_children() == []


@pytest.mark.slow
def test_each_file_is_given_once_and_all_workers_work(tmp_path):
    found = list(outcomes(worker_functions.answer, paths_in(tmp_path, 40), 2))
    assert [each.value[0] for each in found] == paths_in(tmp_path, 40)
    assert os.getpid() not in {each.value[1] for each in found}
    assert [each.said for each in found] == [f"note: {p}\n" for p in paths_in(tmp_path, 40)]


@pytest.mark.slow
def test_errors_come_in_order_too(tmp_path):
    paths = paths_in(tmp_path, 4)
    found = list(outcomes(worker_functions.refuse_odd, paths, 2))
    assert [each.error for each in found] == [
        None,
        f"{paths[1]}: odd: 1",
        None,
        f"{paths[3]}: odd: 3",
    ]
    assert "in refuse_odd" in found[1].trace


@pytest.mark.slow
@needs_signals
def test_a_killed_process_is_replaced(tmp_path):
    paths = paths_in(tmp_path, 4)
    found = list(outcomes(worker_functions.die_once, paths, 2))
    assert [each.value for each in found] == paths
    note = (
        f"note: {paths[1]}: the process that had this file was killed by SIGKILL; it was tried"
    )
    assert [each.said for each in found] == ["", f"{note} again\n", "", ""]


@pytest.mark.slow
@needs_signals
def test_a_file_that_kills_twice_is_named(tmp_path):
    paths = paths_in(tmp_path, 4)
    found = list(outcomes(worker_functions.die_always, paths, 2))
    assert [each.value for each in found] == [paths[0], None, *paths[2:]]
    assert found[1].error == (
        f"{paths[1]}: the process that had this file was killed by SIGKILL, also when tried "
        "again; if memory is short, use fewer --workers"
    )


@pytest.mark.slow
def test_a_process_that_leaves_is_no_hang(tmp_path):
    found = list(outcomes(worker_functions.leave, paths_in(tmp_path, 2), 2))
    ending = "the process that had this file ended with exit code 3, also when tried again"
    assert [each.error for each in found] == [f"{p}: {ending}" for p in paths_in(tmp_path, 2)]
    assert active_children() == []


@pytest.mark.slow
def test_closing_ends_processes_that_are_at_work(tmp_path):
    """The first file is done; the second never will be."""
    paths = [str(tmp_path / "0"), str(tmp_path / "1")]
    results = outcomes(worker_functions.first_alone_ends, paths, 2)
    assert next(results).value == paths[0]
    assert len(active_children()) >= 1
    results.close()
    assert active_children() == []


@pytest.mark.slow
@needs_signals
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_processes_end_with_their_parent(name, tmp_path):
    code = f"import worker_functions; worker_functions.run_two_for_ever({str(tmp_path)!r})"
    parent = subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "PYTHONPATH": os.path.dirname(worker_functions.__file__)},
    )
    end = time.monotonic() + PATIENCE
    while len(begun := list(tmp_path.glob("*.begun"))) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    pids = [int(path.name.split(".")[1]) for path in begun]
    assert len(pids) == 2
    number = getattr(signal, name)
    parent.send_signal(number)
    assert parent.wait(PATIENCE) == -number
    assert all(process_has_ended(pid) for pid in pids)
