"""Measure pygru beside every rival that is installed, in one process, and print tables.

    python -m benchmarks                          inference, one thread
    python -m benchmarks training step trainer    other kinds
    python -m benchmarks --dtype float64 --threads 2 --json results.json --picture results.png

With one thread, the process is pinned to one core. The libraries take turns, and every figure
is a median. Leave OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE unset, because they change which
kernels SciPy's BLAS uses.
"""

import argparse
import json
import math
import os
import sys


def parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    kinds = ("inference", "training", "step", "trainer")
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(kinds)}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--cells", help="instead of the grid: B,T,H B,T,H ...", nargs="+")
    parser.add_argument("--only", nargs="*", help="rivals to run; none named: pygru alone")
    parser.add_argument("--json", metavar="FILE", help="write the results")
    parser.add_argument("--picture", metavar="FILE", help="write a chart of the ratios")
    options = parser.parse_args(arguments)
    options.kinds = options.kinds or ["inference"]
    for kind in options.kinds:
        if kind not in kinds:
            parser.error(f"kind must be one of {', '.join(kinds)}, got {kind!r}")
    if options.cells:
        options.cells = [tuple(map(int, cell.split(","))) for cell in options.cells]
    return options


def prepare(threads):
    """Set the variables that libraries read at import; pin a single thread to one core."""
    if threads == 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        if name in os.environ:
            print(f"warning: {name} is set; unset it for a figure to publish", file=sys.stderr)


def main(arguments=None):
    options = parse(arguments)
    prepare(options.threads)
    from benchmarks import limits, measure, report

    machine = report.machine(options.threads)
    for key, value in machine.items():
        print(f"{key:<12} {value}")
    bounds = limits.measure()
    if bounds is not None:
        machine["limits"] = report.print_limits(bounds)
    results = []
    for kind in options.kinds:
        if kind == "trainer":
            rows = measure.trainer(options)
        else:
            rows = measure.grid(kind, options, bounds)
        report.print_rows(kind, rows, options, results)
    ratios = [row["ratio"] for row in results if row["ratio"] is not None]
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(f"\nbest rival / pygru, geometric mean over {len(ratios)} cells: {mean:.2f}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": machine, "results": results}, file, indent=1)
    if options.picture:
        report.draw(results, machine, options.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
