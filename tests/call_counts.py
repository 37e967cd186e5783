"""Count the instructions of a few calls from Python, and compare with the stored counts.

    python tests/call_counts.py [--write]

So the cost of a call cannot grow unnoticed: checks of the arguments, plans, memory, Python. It
runs ``counted_calls.py`` under callgrind, with the pygru that is installed for this Python. The
counts belong to one compiler, Python and NumPy; with others nothing is compared. Two runs can
differ by less than 1 %, because addresses differ.
"""

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import stored_counts

HERE = Path(__file__).parent
STORED = HERE / "data" / "call_counts.json"
# valgrind does not support AVX-512; the order of Python's sets must not differ.
SETTINGS = {"PYGRU_SIMD": "avx2", "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}


def build(folder):
    """Compile the library that calls Python; None without callgrind's header."""
    library = str(Path(folder, "counted.so"))
    compiler = shlex.split(os.environ.get("CC") or "cc")
    command = [*compiler, "-O2", "-shared", "-fPIC", "-o", library]
    result = subprocess.run([*command, HERE / "core" / "counted.c"], capture_output=True)
    return library if result.returncode == 0 else None


def counts_in(folder):
    """Read the files of callgrind: instructions by the name of the call."""
    counts = {}
    for path in sorted(Path(folder).glob("out.*"), key=lambda path: int(path.suffix[1:])):
        text = path.read_text()
        name = re.search(r"^desc: Trigger: Client Request: (.+)$", text, re.M).group(1)
        counts[name] = int(re.search(r"^totals: (\d+)$", text, re.M).group(1))
    return counts


def count():
    """Return what the counts belong to and the counts, or why there are none."""
    if shutil.which("valgrind") is None:
        return "valgrind not found"
    with tempfile.TemporaryDirectory() as folder:
        library = build(folder)
        if library is None:
            return "valgrind/callgrind.h not found"
        command = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no"]
        command += [f"--callgrind-out-file={folder}/out", sys.executable, "-P"]
        environment = {**os.environ, **SETTINGS}
        # Not in the checkout, whose folder pygru/ has no compiled modules.
        subprocess.run(
            [*command, HERE / "counted_calls.py", library],
            env=environment,
            cwd=folder,
            check=True,
        )
        counts = counts_in(folder)
    made_with = {
        "compiler": stored_counts.compiler(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
    }
    return made_with, counts


if __name__ == "__main__":
    stored_counts.main(__doc__, STORED, count)
