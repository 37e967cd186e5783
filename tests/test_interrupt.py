"""Ctrl-C during a long call: it ends soon, nothing has changed, and the next call works.

Each test runs in a process of its own, with a long call and a thread that sends SIGINT during
it. pygru promises an exception within 200 ms. The tests allow a second, and all times are CPU
times of the process, so that a busy machine does not make them fail. If the core never looked
for signals, the call would run to its end first, for 1.5 seconds more.
"""

import json
import os
import signal
import subprocess
import sys

import pytest
from patience import PATIENCE
from quick import quick_and_slow

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to its own process")

SLACK = 1.0

PREPARE = """
import json, os, signal, sys, threading, time
import numpy as np
from pygru import GRU

H, B = 384, 128  # two chunks of work: one for each of two threads
gru = GRU(16, H, seed=0)
gru.flat_grads[...] = 1

def make_x(steps):
    return np.broadcast_to(np.float32(0.1), (steps, B, 16))

def run(direction, steps, n_threads):
    \"\"\"Prepare a call; what is returned makes it.\"\"\"
    if direction == "forward":
        return lambda: gru(make_x(steps), n_threads=n_threads)
    output, _, tape = gru.forward(make_x(steps), memory="outputs", n_threads=n_threads)
    return lambda: gru.backward(tape, output)

def steps_for(direction, seconds, n_threads):
    \"\"\"Time steps that take about so many seconds.\"\"\"
    call = run(direction, 20, n_threads)
    call()
    begin = time.process_time()
    call()
    gru.flat_grads[...] = 1
    return min(4000, int(20 * seconds / (time.process_time() - begin)) + 1)

sent = []
def interrupt_after(delay):
    begin = time.process_time()
    def body():
        while time.process_time() < begin + delay:  # so long the main thread has worked
            time.sleep(0.005)
        sent.append(time.process_time())
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=body, daemon=True).start()

def unchanged(weights):
    small = np.ones((5, 2, 16), np.float32)
    output, _, tape = gru.forward(small)
    ok = bool((gru.flat_grads == 1).all()) and np.array_equal(weights, gru.flat_parameters)
    gru.backward(tape, output)
    return ok and bool(np.isfinite(output).all()) and bool((gru.flat_grads != 1).any())
"""


def run_python(tmp_path, code):
    """Run ``code`` after the preparation; return the JSON that it prints last."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PREPARE + code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        # A shell that runs tests in the background may have ignored SIGINT for its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("n_threads", quick_and_slow([2], [1]))
@pytest.mark.parametrize("direction", quick_and_slow(["backward"], ["forward"]))
def test_interrupt_ends_the_call(tmp_path, direction, n_threads):
    result = run_python(
        tmp_path,
        f"""
steps = steps_for({direction!r}, 1.8, {n_threads})
call = run({direction!r}, steps, {n_threads})
weights = gru.flat_parameters.copy()
name = "none"
try:
    interrupt_after(0.3)
    call()
except BaseException as error:
    latency = time.process_time() - sent[0]
    name = type(error).__name__
print(json.dumps([name, latency, unchanged(weights)]))
""",
    )
    name, latency, unchanged = result
    assert name == "KeyboardInterrupt"
    assert latency < SLACK
    assert unchanged


@pytest.mark.parametrize("direction", quick_and_slow(["forward"], ["backward"]))
def test_exception_of_an_own_handler_propagates(tmp_path, direction):
    name, message, latency, unchanged = run_python(
        tmp_path,
        f"""
class Stop(Exception):
    pass

def handler(number, frame):
    raise Stop("enough")

signal.signal(signal.SIGINT, handler)
call = run({direction!r}, steps_for({direction!r}, 1.8, 2), 2)
weights = gru.flat_parameters.copy()
name = message = "none"
try:
    interrupt_after(0.3)
    call()
except BaseException as error:
    latency = time.process_time() - sent[0]
    name, message = type(error).__name__, str(error)
print(json.dumps([name, message, latency, unchanged(weights)]))
""",
    )
    assert (name, message) == ("Stop", "enough")
    assert latency < SLACK
    assert unchanged


@pytest.mark.slow
def test_handler_that_returns_lets_the_call_complete(tmp_path):
    """The handler acts during the call, and the result is that of a call without signal.

    A trial counts only if the signal came well before the end of the call: a busy machine may
    delay the signal, or make the call shorter than it seemed. A longer call is then tried.
    """
    flagged, during, same = run_python(
        tmp_path,
        """
seen = []
signal.signal(signal.SIGINT, lambda number, frame: seen.append(time.process_time()))
steps = steps_for("forward", 0.8, 2)
for trial in range(6):
    call = run("forward", steps, 2)
    expected = call()[0]
    seen.clear()
    interrupt_after(0.1)
    output = call()[0]
    end = time.process_time()
    while not seen:  # the signal is still to come
        time.sleep(0.01)
    if sent[-1] < end - 0.4:
        break
    steps *= 2
print(json.dumps([len(seen), seen[0] < end - 0.1, bool(np.array_equal(output, expected))]))
""",
    )
    assert flagged == 1
    assert during
    assert same


@pytest.mark.slow
def test_call_from_another_thread_is_not_disturbed(tmp_path):
    """The main thread is interrupted while it waits; the call in the other thread ends."""
    interrupted, same, errors = run_python(
        tmp_path,
        """
steps = steps_for("forward", 0.8, 2)
expected = run("forward", steps, 2)()[0]
results, errors = [], []

def body():
    try:
        results.append(run("forward", steps, 2)()[0])
    except BaseException as error:
        errors.append(repr(error))

worker = threading.Thread(target=body)
worker.start()
interrupted = False
try:
    interrupt_after(0.2)
    time.sleep(600)
except KeyboardInterrupt:
    interrupted = worker.is_alive()
worker.join()
same = len(results) == 1 and bool(np.array_equal(results[0], expected))
print(json.dumps([interrupted, same, errors]))
""",
    )
    assert interrupted
    assert same
    assert errors == []


@pytest.mark.slow
def test_second_interrupt_is_not_lost(tmp_path):
    """An interrupted call is called again and interrupted again."""
    names = run_python(
        tmp_path,
        """
steps = steps_for("forward", 1.8, 2)
names = []
for _ in range(2):
    try:
        interrupt_after(0.2)
        run("forward", steps, 2)()
    except BaseException as error:
        names.append(type(error).__name__)
print(json.dumps(names))
""",
    )
    assert names == ["KeyboardInterrupt"] * 2
