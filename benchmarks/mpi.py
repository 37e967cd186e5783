"""Measure training on several ranks beside one rank, and print what more ranks would cost.

    mpiexec -n 2 -bind-to core python -m benchmarks.mpi --json mpi.json
    python -m benchmarks.mpi --show mpi.json      the tables alone, from earlier figures

The ways of training take turns, so that all of them see the same machine. Every rank computes
with one thread. Bind the ranks to cores with the options of your launcher.
"""

import argparse
import json
import sys


def parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mpi", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--units", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--repeats", type=int, default=15, help="turns of each way")
    parser.add_argument("--json", metavar="FILE", help="write the results")
    parser.add_argument("--show", metavar="FILE", nargs="+", help="measure nothing; read these")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    from benchmarks import mpi_costs, mpi_measure

    if options.show:
        results, *others = map(read, options.show)
        for other in others:  # runs with other models
            results["models"] += other["models"]
    else:
        results = mpi_measure.everything(options)
        if results is None:  # the first rank has them
            return 0
    mpi_measure.show(results)
    mpi_costs.show(results)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    return 0


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


if __name__ == "__main__":
    sys.exit(main())
