"""Count the instructions of a few fixed calls, and compare with the stored counts.

    python tests/instruction_counts.py [--write]

This finds code that has become slower without measuring time, so other work on the machine does
not matter. The counts belong to one compiler. With another compiler the program prints its
counts and compares nothing. The exit status is 1 if a call takes more instructions than stored,
beyond the tolerance.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
STORED = Path(__file__).parent / "data" / "instruction_counts.json"
CASES = {
    "inference": "pygru_forward",
    "one_row": "pygru_forward",
    "training": "pygru_*ward",
    "inference_f64": "pygru_forward",
    "step": "pygru_step",
}
KERNELS = "avx2"  # valgrind does not support AVX-512
TOLERANCE = 1.03
# The product's flags, from setup.py.
FLAGS = ["-std=c11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]


def build(folder):
    """Compile the core with count.c and return the program and the compiler's name."""
    compiler = os.environ.get("CC", "cc")
    core = ROOT / "src_c"
    sources = [*core.glob("*.c"), *(core / "kernels").glob("*.c")]
    sources = [str(path) for path in sources if not path.name.endswith(".tpl.c")]
    program = str(Path(folder, "count"))
    count = str(ROOT / "tests" / "core" / "count.c")
    command = [compiler, *FLAGS, f"-I{core}", count, *sources, "-lm", "-lpthread"]
    subprocess.run([*command, "-o", program], check=True)
    version = subprocess.run(
        [compiler, "--version"], capture_output=True, text=True, check=True
    )
    return program, version.stdout.splitlines()[0]


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


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="store the counts of today")
    options = parser.parse_args(arguments)
    if shutil.which("valgrind") is None:
        print("instruction counts: valgrind not found, skipped")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        program, compiler = build(folder)
        counts = {case: instructions(program, case, folder) for case in CASES}
    if None in counts.values():
        print(f"instruction counts: this CPU has no {KERNELS} kernels, skipped")
        return 0
    if options.write:
        STORED.write_text(json.dumps({"compiler": compiler, "counts": counts}, indent=1) + "\n")
    stored = json.loads(STORED.read_text())
    same = stored["compiler"] == compiler
    worse = []
    for case, count in counts.items():
        ratio = count / stored["counts"][case]
        print(f"{case:<14} {count:>10} instructions, {ratio:.3f} of the stored count")
        if same and ratio > TOLERANCE:
            worse.append(case)
    if not same:
        print(f"not compared: stored for {stored['compiler']}, this is {compiler}")
    if worse:
        print(f"more instructions than stored: {', '.join(worse)}")
    return len(worse) > 0


if __name__ == "__main__":
    sys.exit(main())
