"""Measure training on several ranks beside one rank, and print what more ranks would cost.

    mpiexec -n 2 -bind-to core python -m benchmarks.mpi --json mpi.json
    python -m benchmarks.mpi --costs mpi.json     the cost model alone, from earlier figures

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
    parser.add_argument("--exchanges", type=int, default=300, help="exchanges alone")
    parser.add_argument("--json", metavar="FILE", help="write the results")
    parser.add_argument("--costs", metavar="FILE", help="measure nothing; read this file")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    from benchmarks import mpi_costs

    if options.costs:
        with open(options.costs, encoding="utf-8") as file:
            mpi_costs.show(json.load(file))
        return 0
    from benchmarks import mpi_measure

    results = mpi_measure.everything(options)
    if results is None:  # the first rank has them
        return 0
    mpi_measure.show(results)
    mpi_costs.show(results)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
