"""Measure pygru beside every rival that is installed, in one process, and print tables.

    python -m benchmarks                          inference, one thread
    python -m benchmarks training step trainer    other kinds
    python -m benchmarks all --json results.json  every kind, in about ten minutes
    python -m benchmarks all --quick              in about five, with fewer samples
    python -m benchmarks --dtype float64 --threads 2

The kinds are:

    step        one step of a stream
    calls       one step of one sequence: the ways to call a layer, in steps of a stream
    inference   whole sequences
    training    forward and backward
    trainer     a whole training step of a small model: batches, head, loss, optimiser
    quantized   inference with weights of 8 bits
    torch       pygru.torch.GRU beside torch.nn.GRU, both called from PyTorch

The libraries take turns, and every figure is a median. With one thread, the process is pinned
to one core, and the time is CPU time. Leave OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE unset,
because they change which kernels SciPy's BLAS uses.

The exit status is 1 if a rival failed or gave another result, and 2 if the arguments are wrong
or a rival that "--only" names is not installed.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from benchmarks.grid import CELLS

QUICK_REPEATS = 3
FLOAT32_ONLY = {"trainer", "quantized", "torch"}


def cell(text):
    """Read ``B,T,H`` or ``B,T,I,H``."""
    numbers = tuple(map(int, text.split(",")))
    if len(numbers) not in (3, 4) or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"must be B,T,H or B,T,I,H, got {text!r}")
    return numbers if len(numbers) == 4 else (*numbers[:2], numbers[2], numbers[2])


def parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(CELLS)}, or all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument(
        "--quick",
        action="store_const",
        dest="repeats",
        const=QUICK_REPEATS,
        help=f"the same as --repeats {QUICK_REPEATS}",
    )
    parser.add_argument("--cells", type=cell, help="instead of the grid: B,T,H ...", nargs="+")
    parser.add_argument("--only", nargs="*", help="rivals to run; none named: pygru alone")
    parser.add_argument("--json", metavar="FILE", help="write the results")
    options = parser.parse_args(arguments)
    options.kinds = options.kinds or ["inference"]
    if "all" in options.kinds:
        options.kinds = list(CELLS)
    for kind in options.kinds:
        if kind not in CELLS:
            parser.error(f"kind must be one of {', '.join(CELLS)} or all, got {kind!r}")
    for name, least in {"threads": 1, "repeats": QUICK_REPEATS}.items():
        if getattr(options, name) < least:
            parser.error(f"--{name} must be at least {least}, got {getattr(options, name)}")
    if options.dtype == "float64" and FLOAT32_ONLY & {*options.kinds}:
        parser.error(f"--dtype float64 is not for the kinds {', '.join(sorted(FLOAT32_ONLY))}")
    if {"step", "calls"} & {*options.kinds} and any(
        c[:2] != (1, 1) for c in options.cells or ()
    ):
        parser.error("--cells of the kinds step and calls must be 1,1,H or 1,1,I,H")
    return options


def prepare(threads):
    """Set the variables that libraries read at import; pin a single thread to one core."""
    if threads == 1:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        if name in os.environ:
            print(f"warning: {name} is set; unset it for a figure to publish", file=sys.stderr)


def choose_rivals(only):
    """The names of the rivals to run. Exits if a missing one was asked for, else says it."""
    from benchmarks.rivals import RIVALS, missing

    names = list(RIVALS) if only is None else only
    for name in names:
        if name not in RIVALS:
            print(f"--only: {name!r} is none of {', '.join(RIVALS)}", file=sys.stderr)
            raise SystemExit(2)
        packages = missing(name)
        if packages:
            print(f"{name} is left out: not installed: {', '.join(packages)}", file=sys.stderr)
            if only is not None:
                raise SystemExit(2)
    return names


def rows(kind, options, runners, bounds):
    """Yield the rows of a kind as they are measured."""
    from benchmarks import calls, layers, quantized, torch_module, trainer_steps

    several = {"calls": calls.rows, "torch": torch_module.rows}
    for cell in options.cells or CELLS[kind]:
        if kind in several:
            yield from several[kind](cell, options, runners)
        elif kind == "trainer":
            yield trainer_steps.row(cell, options, runners)
        elif kind == "quantized":
            yield quantized.row(cell, options, runners)
        else:
            yield layers.row(kind, cell, options, runners, bounds)


def main(arguments=None):
    options = parse(arguments)
    prepare(options.threads)
    names = choose_rivals(options.only)
    from benchmarks import limits, report
    from benchmarks.machine import description
    from benchmarks.results import means
    from benchmarks.rivals import installed

    runners = installed(options.threads, names)
    machine = description(options.threads, [runner.name for runner in runners[1:]])
    report.print_machine(machine)
    bounds = limits.measure()
    if bounds is not None:
        machine["limits"] = report.print_limits(bounds)
    measured = []
    for kind in options.kinds:
        report.print_head(kind, options)
        table = report.Table()
        for row in rows(kind, options, runners, bounds):
            table.print(row)
            measured.append(row)
        if options.json:  # after every kind, so that an interrupt does not lose all
            found = {"machine": machine, "means": means(measured)}
            found["rows"] = [row.as_dict() for row in measured]
            Path(options.json).write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    report.print_means(means(measured))
    return int(any(row.failed for row in measured))


if __name__ == "__main__":
    sys.exit(main())
