"""What remains after a signal: the threads of BLAS, settings, and no lock that is held.

A handler may raise, or may call pygru itself, at any point where CPython looks for signals.
These tests fail if a limit of BLAS remains after an interrupt, if a setting of
``pygru.num_threads`` remains after its block, or if a handler waits for a lock that its own
thread holds. Each test runs in a process of its own, because the settings belong to the whole
process, and because a deadlock must not stop the other tests.
"""

import json
import os
import signal
import subprocess
import sys

import pytest
from patience import PATIENCE
from quick import quick_and_slow

PREPARE = f"""
import json, os, signal, sys, threading
sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r})
import numpy as np
import pytest, threadpoolctl
import pygru
from pygru import GRU
from engines import use_engine
from interrupts import at_every_point, run_to

patch = pytest.MonkeyPatch()
use_engine(patch, "blas")
INSIDE = os.path.dirname(pygru.__file__)
libraries = [
    library for library in threadpoolctl.ThreadpoolController().lib_controllers
    if library.user_api == "blas"
]
for library in libraries:
    library.set_num_threads(2)
BEFORE = [library.get_num_threads() for library in libraries]
DEFAULT = pygru.get_num_threads()

gru, x = GRU(16, 64, seed=0), np.ones((20, 64, 16), np.float32)
gru(x)

def forward_and_backward():
    with pygru.num_threads(2):
        output, _, tape = gru.forward(x)
        gru.backward(tape, output)

layers = GRU(3, 4, batch_first=True, seed=0), pygru.Last(), pygru.Linear(4, 1, seed=0)
model = pygru.Sequential(*layers)
data = np.ones((6, 5, 3)), np.ones((6, 1))

def fit():
    trainer = pygru.Trainer(model, loss="mse", optimizer=pygru.Adam(), n_threads=2, seed=0)
    trainer.fit(*data, epochs=1, batch_size=3)

left = []

def look(where):
    found = [library.get_num_threads() for library in libraries]
    if found != BEFORE or pygru.get_num_threads() != DEFAULT:
        left.append([where, found, pygru.get_num_threads()])
        for library, count in zip(libraries, BEFORE):
            library.set_num_threads(count)
"""


def run_python(tmp_path, code):
    """Run ``code`` after the preparation; return the JSON that it prints last."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PREPARE + code],
        cwd=tmp_path,
        env={**os.environ, "PYGRU_NUM_THREADS": "3"},  # no block asks for as many
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("call", quick_and_slow(["forward_and_backward"], ["fit"]))
def test_interrupt_at_every_point_leaves_no_setting(tmp_path, call):
    step = 7 if call == "fit" else 1  # thousands of points
    points, left = run_python(
        tmp_path,
        f"""
count = at_every_point(lambda: {call}, look, INSIDE, {step})
print(json.dumps([count, left[:3]]))
""",
    )
    assert points > 50
    assert left == []


def test_interrupt_at_every_point_of_the_contexts_themselves(tmp_path):
    """Points in all modules, including the standard library."""
    points, left = run_python(
        tmp_path,
        """
from pygru.core.threads import single_threaded_blas

@pygru.num_threads(2)
def decorated():
    return pygru.get_num_threads()

def nested():
    with single_threaded_blas(), pygru.num_threads(DEFAULT + 3):
        with single_threaded_blas(10**9), pygru.num_threads(1):
            assert all(library.get_num_threads() == 1 for library in libraries)
            assert pygru.get_num_threads() == 1
        assert all(library.get_num_threads() == 1 for library in libraries)
        assert decorated() == 2

nested()
look("without an interrupt")
print(json.dumps([at_every_point(lambda: nested, look), left[:3]]))
""",
    )
    assert points > 50
    assert left == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a signal of the process")
def test_a_signal_at_the_last_call_of_a_decorated_function(tmp_path):
    """The one point that ``at_every_point`` leaves out there, with a signal.

    A function of ctypes sends it, because those of Python look for signals before they return.
    """
    found = run_python(
        tmp_path,
        """
import ctypes

def handler(number, frame):
    raise KeyboardInterrupt(frame.f_code.co_name)

signal.signal(signal.SIGUSR1, handler)
decorated = pygru.num_threads(5)(ctypes.PyDLL(None)["raise"])
with pytest.raises(KeyboardInterrupt) as interrupt:
    decorated(int(signal.SIGUSR1))
print(json.dumps([interrupt.value.args[0], pygru.get_num_threads()]))
""",
    )
    assert found == ["inner", 3]


STORM = """
import itertools, random

class Stop(Exception):
    pass

def handler(number, frame):
    raise Stop

random.seed(0)
signal.signal(signal.SIGALRM, handler)
interrupts = 0
while interrupts < 1000:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(10e-6, 400e-6))
        for _ in range(1000):
            with pygru.num_threads(2):
                gru(small)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Stop:
        interrupts += 1
        look("a random point")
print(json.dumps([interrupts, left[:3]]))
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that signals")
def test_storm_of_signals_leaves_no_setting(tmp_path):
    interrupts, left = run_python(
        tmp_path,
        """
from pygru.core import threads
patch.setattr(threads, "OPENBLAS_SERIAL_PRODUCT", 0)  # so that short calls limit BLAS too
small = x[:2, :2]
"""
        + STORM,
    )
    assert interrupts == 1000
    assert left == []


@pytest.mark.slow
def test_handler_that_calls_pygru_at_every_point(tmp_path):
    """The handler's call works, wherever the interrupted call is."""
    points, wrong, left = run_python(
        tmp_path,
        """
expected = gru(x)[0]
other = GRU(16, 64, seed=1)
wrong = []

def handler(where):
    for each in (gru, other):
        output, _, tape = each.forward(x)
        each.backward(tape, output)
    if not np.array_equal(gru(x)[0], expected):
        wrong.append(where)

import itertools

steps = itertools.count(1)

def prepare():
    for _ in range(20):  # more shapes than plans are kept, so that of x is forgotten
        gru._runner.sequences.plan(next(steps), 1, None, 0)
    return call

def call():
    if not np.array_equal(gru(x)[0], expected):
        wrong.append("the call")

count = at_every_point(prepare, look, INSIDE, handler=handler)
print(json.dumps([count, wrong[:3], left[:3]]))
""",
    )
    assert points > 20
    assert wrong == []
    assert left == []


def test_handler_that_calls_pygru_while_the_weights_are_packed(tmp_path):
    """The same on the engine that packs its weights; each call finds them changed."""
    points, wrong = run_python(
        tmp_path,
        """
from engines import HAS_SIMD
if HAS_SIMD:
    use_engine(patch, "simd")
small = x[:3, :2]
weights = np.random.default_rng(0).standard_normal((2, gru.flat_parameters.size)) / 8
gru = GRU(16, 64, seed=0)
expected = []
for each in weights:
    gru.flat_parameters = each
    expected.append(gru(small)[0])
wrong, turn = [], 0

def handler(where):
    if not np.array_equal(gru(small)[0], expected[turn]):
        wrong.append(where)

def prepare():
    global gru, turn
    turn = 1 - turn
    gru = GRU(16, 64, seed=0)  # whose packed weights have no memory yet
    gru.flat_parameters = weights[turn]
    return lambda: gru(small)

def check(where):
    handler("after " + where)

count = at_every_point(prepare, check, INSIDE, handler=handler)
print(json.dumps([count, wrong[:3]]))
""",
    )
    assert points > 5
    assert wrong == []


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that signals")
def test_handler_that_calls_pygru_during_a_long_call(tmp_path):
    """The core looks for signals itself, without the interpreter loop."""
    handled, same, left = run_python(
        tmp_path,
        """
long = np.broadcast_to(np.float32(0.1), (1000, 128, 16))
expected, short = gru(long)[0], gru(x)[0]
handled = []

def handler(number, frame):
    handled.append(np.array_equal(gru(x)[0], short))

signal.signal(signal.SIGALRM, handler)
same = True
while len(handled) < 3:
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    output = gru(long)[0]
    signal.setitimer(signal.ITIMER_REAL, 0)
    same = same and np.array_equal(output, expected)
look("at the end")
print(json.dumps([all(handled), same, left]))
""",
    )
    assert handled
    assert same
    assert left == []
