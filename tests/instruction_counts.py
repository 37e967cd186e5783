"""Count the instructions of a few fixed calls, and compare with the stored counts.

    python tests/instruction_counts.py [--write]

This finds code that has become slower without measuring time, so other work on the machine does
not matter. The counts belong to one compiler. With another compiler the program prints its
counts and compares nothing. The exit status is 1 if a call takes more instructions than stored,
beyond the tolerance. ``call_counts.py`` does the same for whole calls from Python.
"""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import stored_counts

ROOT = Path(__file__).parent.parent
STORED = Path(__file__).parent / "data" / "instruction_counts.json"
CASES = {
    "inference": "pygru_forward",
    "one_row": "pygru_forward",
    "training": "pygru_*ward",
    "training_of_many": "pygru_*ward",
    "training_of_one_row": "pygru_*ward",
    "training_of_one_step": "pygru_*ward",
    "inference_f64": "pygru_forward",
    "inference_8_bits": "pygru_forward",
    "one_row_8_bits": "pygru_forward",
    "step": "pygru_step",
}
KERNELS = "avx2"  # valgrind does not support AVX-512
# The product's flags, from build_support/flags.py; a test compares those of the arithmetic.
FLAGS = ["-std=c11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]


def build(folder):
    """Compile the core with count.c and return the program."""
    compiler = shlex.split(os.environ.get("CC") or "cc")
    core = ROOT / "src_c"
    sources = [*core.glob("*.c"), *(core / "kernels").glob("*.c")]
    sources = [str(path) for path in sources if not path.name.endswith(".tpl.c")]
    program = str(Path(folder, "count"))
    count = str(ROOT / "tests" / "core" / "count.c")
    command = [*compiler, *FLAGS, f"-I{core}", count, *sources, "-lm", "-lpthread"]
    subprocess.run([*command, "-o", program], check=True)
    return program


def instructions(program, case, folder):
    """The instructions of one case inside the public call only; None if it cannot run."""
    command = ["valgrind", "--tool=callgrind", f"--toggle-collect={CASES[case]}"]
    command += [f"--callgrind-out-file={folder}/out", program, case, KERNELS]
    # Else the first call of a function of the C library would count its search too.
    bound = {**os.environ, "LD_BIND_NOW": "1"}
    result = subprocess.run(command, env=bound, capture_output=True, text=True, check=False)
    if result.returncode == 2:
        return None
    result.check_returncode()
    return int(re.search(r"Collected : (\d+)", result.stderr).group(1))


def count():
    """Return the compiler and the counts, or why there are none."""
    if shutil.which("valgrind") is None:
        return "valgrind not found"
    with tempfile.TemporaryDirectory() as folder:
        program = build(folder)
        counts = {case: instructions(program, case, folder) for case in CASES}
    if None in counts.values():
        return f"this CPU has no {KERNELS} kernels"
    return {"compiler": stored_counts.compiler()}, counts


if __name__ == "__main__":
    stored_counts.main(__doc__, STORED, count)
