"""Short programs in new processes that need no new import of NumPy and SciPy. Not a test file.

A new Python takes 0.35 s of CPU time to import pygru, of which NumPy and SciPy take 0.3 s. So
one process imports these two, waits, and forks for each program, which then runs as with
``python -c``: pygru is not imported yet, and reads its environment variables when it is. A test
of the start of Python, or of a variable that also OpenMP or BLAS reads, needs another process.

Where Python cannot fork (on Windows), each program has a new Python.
"""

import atexit
import json
import os
import subprocess
import sys
from functools import cache

from patience import PATIENCE

# The process that waits for programs. A forked child leaves the loop and runs its program last.
SERVER = f"""
import json, os, signal, sys, tempfile
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a process with threads should not fork
import numpy, scipy.linalg.cython_blas
while True:
    line = sys.stdin.readline()
    if not line:
        sys.exit()
    code, folder, environment = json.loads(line)
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            break
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        errors.seek(0)
        texts = [file.read().decode() for file in (output, errors)]
    print(json.dumps([status, *texts]), flush=True)
signal.alarm({PATIENCE})
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.chdir(folder)
os.environ.clear()
os.environ.update(environment)
exec(compile(code, "<string>", "exec"), {{"__name__": "__main__"}})
"""


@cache
def server():
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="ascii",
        env=os.environ | {"PYTHONUTF8": "1"},
    )
    atexit.register(stop, process)
    return process


def stop(process):
    process.stdin.close()
    process.wait(PATIENCE)
    process.stdout.close()


def run_program(code, folder=None, without=(), **variables):
    """Run Python code in a new process.

    Parameters
    ----------
    code : str
        The program.
    folder : path, optional
        Where it runs.
    without : sequence of str
        Environment variables that it does not inherit.
    **variables : str
        Environment variables that it has, too.

    Returns
    -------
    subprocess.CompletedProcess
        With the exit status, and the text of both streams.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in without}
    environment = inherited | variables
    folder = os.getcwd() if folder is None else os.fspath(folder)
    if not hasattr(os, "fork"):
        return subprocess.run(
            [sys.executable, "-P", "-c", code],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    process = server()
    process.stdin.write(json.dumps([code, folder, environment]) + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    assert answer, "the process that runs the programs has ended"
    return subprocess.CompletedProcess(code, *json.loads(answer))
