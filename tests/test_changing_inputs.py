"""Arrays that are written during a call: no crash, and the result of one of the values.

Another process writes to shared memory at full speed while calls read it. Lengths are checked
and then used as indices, so the checked value must be the value that is used. Otherwise the
core would read and write far outside its arrays. Each test runs in a process of its own.
"""

import json
import subprocess
import sys

import pytest
from patience import PATIENCE

PREPARE = """
import json, mmap, subprocess, sys, time
import numpy as np
from pygru import GRU, InternalError, Last, Sequential

WRITER = '''
import mmap, os, sys
with open(sys.argv[1], "r+b") as file:
    words = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
values = [int(text) for text in sys.argv[2:]]
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1000):
        for value in values:
            for k in range(len(words)):
                words[k] = value
'''

def changing(count, values):
    \"\"\"An int64 array into which another process writes ``values`` in turn.\"\"\"
    with open("shared", "wb") as file:
        file.write(bytes(8 * count))
    with open("shared", "r+b") as file:
        array = np.frombuffer(mmap.mmap(file.fileno(), 0), np.int64)
    array[...] = values[0]
    writer = subprocess.Popen([sys.executable, "-c", WRITER, "shared", *map(str, values)])
    while len({int(array[0]) for _ in range(100)}) < 2:  # until it has begun
        time.sleep(0.01)
    return array, writer

def repeat(call, expected, writer, calls=500):
    \"\"\"Call often; print how often each of the expected results was found, or another.\"\"\"
    found = dict.fromkeys([*expected, "refused", "other"], 0)
    for _ in range(calls):
        try:
            result = call()
        except (ValueError, InternalError):
            found["refused"] += 1
            continue
        name = "other"
        for key, right in expected.items():
            if all(np.array_equal(a, b) for a, b in zip(result, right, strict=True)):
                name = key
        found[name] += 1
    writer.kill()
    writer.wait()
    print(json.dumps(found))

x = np.random.default_rng(0).standard_normal((40, 1, 3)).astype(np.float32)
gru = GRU(3, 8, 2, seed=0)
BEYOND = 10**12
"""

CALLS = {
    "inference": "lambda lengths: gru(x, lengths=lengths)",
    "forward": "lambda lengths: gru.forward(x, lengths=lengths)[:2]",
    "segments": "lambda lengths: gru.forward(x, lengths=lengths, memory='sqrt')[:2]",
    "gates": "lambda lengths: gru.gates(x, lengths=lengths)[0]",
    "backward": (
        "lambda lengths: gru.backward((t := gru.forward(x, lengths=lengths))[2], t[0])"
    ),
    "last": (
        "lambda lengths, model=Sequential(GRU(3, 8, batch_first=True, seed=0), Last()):"
        " (model.forward(x.swapaxes(0, 1), lengths=lengths)[0],)"
    ),
}


def run_python(tmp_path, code):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PREPARE + code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_result_is_that_of_one_of_the_lengths(tmp_path, call):
    found = run_python(
        tmp_path,
        f"""
call = {call}
expected = {{str(n): call(np.array([n])) for n in (4, 37)}}
lengths, writer = changing(1, [4, 37, BEYOND])
repeat(lambda: call(lengths), expected, writer)
""",
    )
    assert found["other"] == 0


def test_many_lengths_that_change_do_not_crash(tmp_path):
    found = run_python(
        tmp_path,
        """
x = np.repeat(x, 300, axis=1)
lengths, writer = changing(300, [4, 37, BEYOND, -1])
def call():
    output, h_n, tape = gru.forward(x, lengths=lengths, n_threads=2)
    gru.backward(tape, output)
    return np.isin(tape.inputs.lengths, [4, 37])
repeat(call, {"valid": [True] * 300}, writer, 200)
""",
    )
    assert found["other"] == 0


@pytest.mark.slow
def test_a_plan_of_the_core_copies_what_it_checks(tmp_path):
    """The last check before the core, for lengths that Python code has not copied."""
    found = run_python(
        tmp_path,
        """
from pygru.core import _core, _plans
config = gru._runner.config
lengths, writer = changing(1, [4, 37, BEYOND])
def call():
    plan = _plans.Plan(config, _core.ENGINE_BLAS, 40, 1, lengths, _core.KEEP_GATES)
    return [plan.sizes(1)["rows"]]
repeat(call, {"4": [4], "37": [37]}, writer, 20000)
""",
    )
    assert found["other"] == 0
