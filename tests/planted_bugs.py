"""Do the tests find bugs? Plant ten classic GRU bugs, one at a time, and run the tests on each.

    python tests/planted_bugs.py

Needs git, a C compiler, and the requirements to build and to test. The checkout is copied to
a temporary folder, where the unmodified tree must pass; then every bug, one replacement in the
source of the core or of the GRU class, must make a test fail. Each is one that real libraries
had, and one that shape checks, ONNX's or Keras' test vectors let pass. Exit status 1 if the
unmodified tree fails or if a bug survives.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TESTS = ["test_torch_vectors.py", "test_gru_forward.py", "test_gru_gradients.py"]
AT_ONCE = 2
TIME_LIMIT = 300  # seconds for one build or one run of the tests


class Bug(NamedTuple):
    """One replacement of ``old``, which occurs once in the files of ``part``, by ``new``."""

    name: str
    part: str
    old: str
    new: str


BUGS = [
    Bug(
        "gate swap (r and z)",
        "src_c",
        """\
        const REAL r_j = NAME(sigmoid)(r[j] + gh[j] + bias[H + j]);
        const REAL z_j = NAME(sigmoid)(z[j] + gh[H + j] + bias[2 * H + j]);
""",
        """\
        const REAL z_j = NAME(sigmoid)(r[j] + gh[j] + bias[H + j]);
        const REAL r_j = NAME(sigmoid)(z[j] + gh[H + j] + bias[2 * H + j]);
""",
    ),
    Bug(
        "transposed U",
        "src_c",
        "ut[column * 3 * H + row] = u[row * H + column];",
        "ut[column * 3 * H + row] = u[(row / H * H + column) * H + row % H];",
    ),
    Bug(
        "reset before computed as after",
        "pygru",
        'self.variant.reset == "after",\n            self.variant.update',
        "True,\n            self.variant.update",
    ),
    Bug(
        "z flipped",
        "pygru",
        'self.variant.update == "keep",\n        )',
        'self.variant.update != "keep",\n        )',
    ),
    Bug(
        "b_hn outside r",
        "src_c",
        """\
        const REAL hn_j = gh[2 * H + j] + bias[3 * H + j];
        const REAL n_j = NAME(hyperbolic_tangent)(n[j] + bias[j] + r_j * hn_j);
""",
        """\
        const REAL hn_j = gh[2 * H + j];
        const REAL n_j =
            NAME(hyperbolic_tangent)(n[j] + bias[j] + bias[3 * H + j] + r_j * hn_j);
""",
    ),
    Bug(
        "state not carried (from one block of steps to the next)",
        "src_c",
        """\
        t1 = NAME(block_end)(s, t0);
        NAME(project_input)""",
        """\
        t1 = NAME(block_end)(s, t0);
        NAME(load_state)(s);
        NAME(project_input)""",
    ),
    Bug(
        "reverse output order",
        "src_c",
        """\
        const int64_t time = NAME(time_of)(s->direction, lengths[i], t);
        REAL *y = NAME(row_at)""",
        """\
        const int64_t time = lengths[i] > 0 ? t : 0;
        REAL *y = NAME(row_at)""",
    ),
    Bug(
        "h_n of the reverse direction wrong",
        "pygru",
        "        return batch.sequences(output), h_n.reshape(batch.state_shape()), kept\n",
        """\
        if self.bidirectional and batch.T:
            last = batch.time_major(output)[-1, :, self.hidden_size :]
            h_n.reshape(-1, batch.B, self.hidden_size)[-1] = last
        return batch.sequences(output), h_n.reshape(batch.state_shape()), kept
""",
    ),
    Bug(
        "length off by one",
        "pygru",
        "self.lengths = validation.as_lengths(lengths, self.B, self.T)\n",
        """\
self.lengths = validation.as_lengths(lengths, self.B, self.T)
            self.lengths = np.minimum(self.lengths + 1, self.T)
""",
    ),
    Bug(
        "a missing term in dU (all rows but the last product's)",
        "src_c",
        "row == 0 ? (REAL)0 : (REAL)1, out, n);",
        "(REAL)0, out, n);",
    ),
]


def run(command, folder):
    """Run a command in a copy that is found first by Python; return status and output."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return -1, f"no end after {error.timeout} s"
    return done.returncode, done.stdout


def build(folder):
    """Compile the extension inside the copy and make sure that this one is imported."""
    status, output = run([sys.executable, "setup.py", "build_ext", "--inplace"], folder)
    if status != 0:
        raise SystemExit(f"cannot build {folder}:\n{output}")
    program = "from pygru.core import _core; print(_core.__file__)"
    status, output = run([sys.executable, "-c", program], folder)
    if status != 0 or not output.strip().startswith(str(folder)):
        raise SystemExit(f"Python does not find the copy in {folder}:\n{output}")


def test(folder):
    """Run the tests until one fails; return pytest's status and the line that says which."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-k", "not long"]
    status, output = run([*command, *(f"tests/{name}" for name in TESTS)], folder)
    failed = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    lines = output.strip().splitlines() or [""]
    return status, failed[0] if failed else lines[-1]


def copy_checkout(folder):
    """Copy what git tracks or would track, as it is now."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, folder / name
        if source.is_file():  # a file may have been removed since
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def find_text(bug, folder):
    """Return the only file that holds the text which a bug replaces, once; or stop."""
    files = [path for path in (folder / bug.part).rglob("*.*") if path.suffix in (".c", ".py")]
    counts = {file: file.read_text().count(bug.old) for file in files}
    if sum(counts.values()) != 1:
        raise SystemExit(
            f"{bug.name}: its text occurs {sum(counts.values())} times in {bug.part}; "
            "adapt tests/planted_bugs.py to the source"
        )
    return next(file for file, count in counts.items() if count)


def plant(bug, folder):
    """Apply the replacement of a bug."""
    file = find_text(bug, folder)
    file.write_text(file.read_text().replace(bug.old, bug.new))


def try_bug(bug, clean, folder):
    """Return whether the tests find a bug, and how pytest says so."""
    shutil.copytree(clean, folder)  # with what is built already: setup.py compiles the rest
    plant(bug, folder)
    if bug.part == "src_c":
        build(folder)
    status, line = test(folder)
    shutil.rmtree(folder)
    # 1: a test failed; negative: Python crashed or never ended. Anything else found nothing.
    return status == 1 or status < 0, line


def main():
    with tempfile.TemporaryDirectory() as temporary:
        clean = Path(temporary, "clean").resolve()
        copy_checkout(clean)
        for bug in BUGS:  # before anything takes time
            find_text(bug, clean)
        build(clean)
        status, line = test(clean)
        print(f"unmodified: {line}", flush=True)
        if status != 0:
            return 1
        folders = [clean.with_name(f"bug{number}") for number in range(len(BUGS))]
        killed = 0
        with ThreadPoolExecutor(AT_ONCE) as pool:
            results = pool.map(try_bug, BUGS, [clean] * len(BUGS), folders)
            for bug, (found, line) in zip(BUGS, results, strict=True):
                killed += found
                print(f"{'killed  ' if found else 'SURVIVED'} {bug.name}: {line}", flush=True)
    print(f"{killed}/{len(BUGS)}")
    return 0 if killed == len(BUGS) else 1


if __name__ == "__main__":
    sys.exit(main())
