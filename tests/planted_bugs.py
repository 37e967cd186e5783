"""Do the tests find bugs? Plant classic ones, one at a time, and run the tests on each.

    python tests/planted_bugs.py [--quick]

With --quick only every fourth bug is planted, and the tests are not run on the unmodified tree
first. CI uses this, because there the tests have just run. Without it the program takes less
than twenty minutes on two cores.

It needs git, a C compiler, and the requirements to build and to test. It copies the checkout to
a temporary folder, where the tests must pass on the unmodified tree. Then each bug must make a
test fail. A bug is one replacement in the source of the core or of the GRU class. The first
ones are bugs that real libraries had, and that tests of shapes and the test vectors of ONNX or
Keras do not find. The others are typical mistakes with packed weights and tiles. The exit
status is 1 if the unmodified tree fails or if no test finds a bug.
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
TESTS = [
    "test_torch_vectors.py",
    "test_gru_forward.py",
    "test_noise.py",
    "test_layer_norm.py",
    "test_other_cells.py",
    "test_masks.py",
    "test_gru_gradients.py",
    "test_engines.py",
    "test_quantized_core.py",
]
SUFFIXES = {"src_c": (".c", ".h"), "pygru": (".py", ".pyx")}
AT_ONCE = 2
TIME_LIMIT = 1800  # seconds for one build or one run of the tests


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
        "*r = u->sums[GATE_R], *z = u->sums[GATE_Z], *hn",
        "*r = u->sums[GATE_Z], *z = u->sums[GATE_R], *hn",
    ),
    Bug(
        "transposed U (BLAS engine)",
        "src_c",
        "ut[j * rows + row] = u[row * H + j];",
        "ut[j * rows + row] = u[(row / H * H + j) * H + row % H];",
    ),
    Bug(
        "transposed U (SIMD engine)",
        "src_c",
        "table->pack(run.count, H, K, gates, K, 1, packed);",
        "table->pack(run.count, H, K, gates, H == K ? 1 : K, H == K ? K : 1, packed);",
    ),
    Bug(
        "reset before computed as after",
        "pygru",
        'options.variant.reset == "after",\n            options.variant.update',
        "True,\n            options.variant.update",
    ),
    Bug(
        "z flipped",
        "pygru",
        'options.variant.update == "keep",\n            options.recurrent',
        'options.variant.update != "keep",\n            options.recurrent',
    ),
    Bug(
        "b_hn outside r",
        "src_c",
        """\
        bias[at_column(H, COLUMN_N) + j] = after ? b_ih[n + j] : b_ih[n + j] + b_hn;
        bias[at_column(H, COLUMN_R) + j] = b_ih[r + j] + b_hh[r + j];
        bias[at_column(H, COLUMN_Z) + j] = b_ih[z + j] + b_hh[z + j];
        bias[at_column(H, COLUMN_HN) + j] = after ? b_hn : (REAL)0;
""",
        """\
        bias[at_column(H, COLUMN_N) + j] = b_ih[n + j] + b_hn;
        bias[at_column(H, COLUMN_R) + j] = b_ih[r + j] + b_hh[r + j];
        bias[at_column(H, COLUMN_Z) + j] = b_ih[z + j] + b_hh[z + j];
        bias[at_column(H, COLUMN_HN) + j] = after ? (REAL)0 : (REAL)0;
""",
    ),
    Bug(
        "state not carried (from one block of steps to the next)",
        "src_c",
        """\
        t1 = block_end(w->plan, &w->chunk, t0);
        NAME(project_input)""",
        """\
        t1 = block_end(w->plan, &w->chunk, t0);
        if (t0 > 0) {
            NAME(zero_row)(w->chunk.n * w->cell.H, s->states[t0 % 2].h);
        }
        NAME(project_input)""",
    ),
    Bug(
        "reverse output order",
        "src_c",
        "REAL *y = NAME(row_at)(&w->chunk, &s->y, NAME(time_at)(w, t, i), i);",
        "REAL *y = NAME(row_at)(&w->chunk, &s->y, t, i);",
    ),
    Bug(
        "h_n of the reverse direction wrong",
        "pygru",
        "    if inputs.is_list:\n        return inputs.sequences(result[0]), *result[1:]\n",
        """\
    if gru.bidirectional and inputs.T:
        last = inputs.time_major(result[0])[-1, :, gru.hidden_size :]
        result[1].reshape(-1, inputs.B, gru.hidden_size)[-1] = last
    if inputs.is_list:
        return inputs.sequences(result[0]), *result[1:]
""",
    ),
    Bug(
        "length off by one",
        "pygru",
        "self.lengths = validation.as_lengths(of_each, self.B, self.T)\n",
        """\
self.lengths = validation.as_lengths(of_each, self.B, self.T)
            self.lengths = np.minimum(self.lengths + 1, self.T)
""",
    ),
    Bug(
        "a missing term in dU (all blocks of rows but the last)",
        "src_c",
        ".adds = s->call->adds || row > 0,",
        ".adds = s->call->adds,",
    ),
    Bug(
        "z and n swapped in the packed weights",
        "src_c",
        "gates[v] = weights + (at_gate(H, run.first) + v * H) * K;",
        "gates[v] = weights + (at_gate(H, run.first) + (v > 0 ? GATES - v : 0) * H) * K;",
    ),
    Bug(
        "one unit too few from the last columns of a product",
        "src_c",
        "(i * p->NV + v) * lanes, (size_t)rest * sizeof(REAL));",
        "(i * p->NV + v) * lanes, (size_t)(rest - 1) * sizeof(REAL));",
    ),
    Bug(
        "every row of a tile begins with the sums of the first",
        "src_c",
        "const REAL *row = from.at[v % NV] + i * from.row[v % NV];",
        "const REAL *row = from.at[v % NV];",
    ),
    Bug(
        "a product cut along k begins again at each cut",
        "src_c",
        "PLACE first = k == 0 ? *from : *out, to = *out;",
        "PLACE first = *from, to = *out;",
    ),
    Bug(
        "packed weights stay when the weights change",
        "pygru",
        "if not self.is_packed or self.given_out != self.owner.unshared():",
        "if not self.is_packed:",
    ),
    Bug(
        "recurrent dropout acts on the blend too (reset before)",
        "src_c",
        "NAME(multiply_and_pass)(cell, range, s, ONLY_N, rh, s->h,",
        "NAME(multiply_and_pass)(cell, range, s, ONLY_N, rh, s->h_in,",
    ),
    Bug(
        "the gradient of U sees the states that were dropped",
        "src_c",
        """\
    if (dropped == NULL) {
        h.data = call->args->tape + view.h_prev;
    }
""",
        """\
    h.data = call->args->tape + view.h_prev;
""",
    ),
    Bug(
        "what zoneout keeps has no gradient",
        "src_c",
        "s->d_h[j] += s->d_kept[j];",
        "s->d_h[j] += (REAL)0;",
    ),
    Bug(
        "layer normalisation: the variance's share of the gradient is missing",
        "src_c",
        "d_sums[j] = scale * (gain[j] * d_j - FUSE(s[j], slope, mean));",
        "d_sums[j] = scale * (gain[j] * d_j - mean);",
    ),
    Bug(
        "layer normalisation: the gains of r and z swapped",
        "src_c",
        "return cell->norm + PYGRU_X_GAINS * cell->H + at_gate(cell->H, gate);",
        "return cell->norm + at_gate(cell->H, gate == GATE_N ? GATE_N : GATE_Z - gate);",
    ),
    Bug(
        "layer normalisation: the gradients of the last block of steps only",
        "src_c",
        "s->d_norm[j] += s->own.d_norm_block[j];",
        "s->d_norm[j] = s->own.d_norm_block[j];",
    ),
    Bug(
        "layer normalisation: the gradient of U is that of the normalised sums",
        "src_c",
        "recurrent ? NAME(product_gradients)(call, direction)",
        "recurrent ? NAME(gate_gradients)(call, direction)",
    ),
    Bug(
        "other activations: the slopes of sigmoid and tanh swapped",
        "src_c",
        "EACH_UNIT(slope[j] = y[j] * (one - y[j]))",
        "EACH_UNIT(slope[j] = (one + y[j]) * (one - y[j]))",
    ),
    Bug(
        "other activations: r and z take that of n in backward",
        "src_c",
        "NAME(slopes_of)(&e->recurrent_activation, H, COLUMN_R, gates, d_gates);\n"
        "        NAME(slopes_of)(&e->recurrent_activation, H, COLUMN_Z, gates, d_gates);",
        "NAME(slopes_of)(&e->activation, H, COLUMN_R, gates, d_gates);\n"
        "        NAME(slopes_of)(&e->activation, H, COLUMN_Z, gates, d_gates);",
    ),
    Bug(
        "clipped sums have a gradient",
        "src_c",
        "EACH_UNIT(slope[j] = y[j] <= least || y[j] >= most ? zero : slope[j])",
        "EACH_UNIT(slope[j] = y[j] <= -most || y[j] >= most ? zero : slope[j])",
    ),
    Bug(
        "reading in reverse begins at the first step",
        "src_c",
        "return direction == plan->config.reverse ? t : length - 1 - t;",
        "return direction == 0 ? t : length - 1 - t;",
    ),
    Bug(
        "segments in reverse: the masks of zoneout by time instead of reading",
        "pygru",
        "self._unpacked(self._zoneout, before + step, sequence),",
        "self._unpacked(self._zoneout, begin + step, sequence),",
    ),
    Bug(
        "the caller's floating-point state is not put back",
        "src_c",
        """\
    pygru_leave_float_state(slot == 0 ? run->float_state : float_state);
""",
        """\
    run->float_state = float_state;
""",
    ),
    Bug(
        "mask shifted by a step",
        "pygru",
        "counted = valid if mask is None else valid & mask",
        "counted = valid if mask is None else valid & np.roll(mask, 1, axis=1)",
    ),
    Bug(
        "reset after its step",
        "pygru",
        "piece = self.first[:, np.newaxis] + np.cumsum(begins, axis=1)",
        "piece = self.first[:, np.newaxis] + np.cumsum(begins, axis=1) - begins",
    ),
    Bug(
        "a repeated output passes no gradient on",
        "pygru",
        "rows[source[starts[is_there]]] += sums[is_there]",
        "sums = sums",
    ),
    Bug(
        "rows between two rounds of backward are summed twice",
        "src_c",
        "return rows - rows % PYGRU_SUM_ROWS;",
        "return rows;",
    ),
    Bug(
        "all cells begin with the learned h0 of the first",
        "pygru",
        """\
                to += bytes_of_state
            source += bytes_of_state
""",
        """\
                to += bytes_of_state
""",
    ),
    Bug(
        "weights of 8 bits: z and n take the scales of r",
        "src_c",
        "const int8_t *end = ends + v * LANES * (int)sizeof(float);",
        "const int8_t *end = ends + 0 * v;",
    ),
]


# A compiler that compiles equal preprocessed sources only once, because a bug changes only one
# or two of a dozen sources, and the kernels take long to compile. It optimises less, which
# takes half the time and changes no bit.
# Usage: COMPILE_ONCE CACHE COMPILER ARGUMENTS...
COMPILE_ONCE = """
import hashlib, os, shutil, subprocess, sys
cache, *command = ["-O1" if word == "-O3" else word for word in sys.argv[1:]]
if "-c" not in command or "-o" not in command:
    sys.exit(subprocess.run(command).returncode)
at = command.index("-o")
source = subprocess.run([*command[:at], *command[at + 2:], "-E", "-P"], stdout=subprocess.PIPE)
if source.returncode:
    sys.exit(source.returncode)
flags = [word for word in command if word.startswith(("-f", "-O", "-std", "-D", "-m"))]
name = hashlib.sha256(source.stdout + " ".join(flags).encode()).hexdigest()
kept = os.path.join(cache, name + ".o")
if not os.path.exists(kept):
    made = f"{kept}.{os.getpid()}"
    status = subprocess.run([*command[:at], "-o", made, *command[at + 2:]]).returncode
    if status:
        sys.exit(status)
    os.replace(made, kept)
shutil.copyfile(kept, command[at + 1])
"""


def compiler(folder):
    """The command of COMPILE_ONCE for the copies beside ``folder``."""
    cache = folder.parent / "objects"
    cache.mkdir(exist_ok=True)
    script = cache / "compile_once.py"
    if not script.exists():
        script.write_text(COMPILE_ONCE)
    return f"{sys.executable} {script} {cache} {os.environ.get('CC') or 'cc'}"


def run(command, folder):
    """Run a command in a copy that is found first by Python; return status and output."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["CC"] = compiler(folder)
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
    command += ["-m", "slow or not slow"]
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
        if source.is_file():  # git may list a file that was removed
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def find_text(bug, folder):
    """Return the only file that holds the text which a bug replaces, once; or stop."""
    suffixes = SUFFIXES[bug.part]
    files = [path for path in (folder / bug.part).rglob("*.*") if path.suffix in suffixes]
    counts = {file: file.read_text().count(bug.old) for file in files}
    if sum(counts.values()) != 1:
        raise SystemExit(
            f"{bug.name}: its text occurs {sum(counts.values())} times in {bug.part}; "
            "adapt tests/planted_bugs.py to the source"
        )
    return next(file for file, count in counts.items() if count)


def plant(bug, folder):
    """Apply the replacement of a bug; return whether the extension must be built again."""
    file = find_text(bug, folder)
    file.write_text(file.read_text().replace(bug.old, bug.new))
    return file.suffix != ".py"


def try_bug(bug, clean, folder):
    """Return whether the tests find a bug, and how pytest says so."""
    shutil.copytree(clean, folder)  # with all objects, so setup.py compiles only changes
    if plant(bug, folder):
        build(folder)
    status, line = test(folder)
    shutil.rmtree(folder)
    # 1: a test failed. Negative: Python crashed or did not end. Otherwise nothing was found.
    return status == 1 or status < 0, line


def main():
    quick = sys.argv[1:] == ["--quick"]
    bugs = BUGS[::4] if quick else BUGS
    with tempfile.TemporaryDirectory() as temporary:
        clean = Path(temporary, "clean").resolve()
        copy_checkout(clean)
        for bug in BUGS:  # fail early if a text is missing
            find_text(bug, clean)
        build(clean)
        if not quick:
            status, line = test(clean)
            print(f"unmodified: {line}", flush=True)
            if status != 0:
                return 1
        folders = [clean.with_name(f"bug{number}") for number in range(len(bugs))]
        killed = 0
        with ThreadPoolExecutor(AT_ONCE) as pool:
            results = pool.map(try_bug, bugs, [clean] * len(bugs), folders)
            for bug, (found, line) in zip(bugs, results, strict=True):
                killed += found
                print(f"{'killed  ' if found else 'SURVIVED'} {bug.name}: {line}", flush=True)
    print(f"{killed}/{len(bugs)}")
    return 0 if killed == len(bugs) else 1


if __name__ == "__main__":
    sys.exit(main())
