"""Several processes that each ask for more threads than their share of the processors.

    python -m benchmarks.oversubscription                   2 processes, 4 threads and 1 thread
    python -m benchmarks.oversubscription --processes 4 --threads 8

A pool of workers often starts processes that all ask for all processors. Then there are more
threads than processors, which should cost little: row R-02 allows 1.3 times the wall time of
the same processes with one thread each. All processes begin each round together, with the same
number of calls, and the two kinds take turns.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import time

from benchmarks.problem import Problem
from benchmarks.rivals import Pygru

CELLS = [(8, 100, 128), (32, 100, 64), (64, 50, 256)]


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.oversubscription", description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=15)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def serve(cell, options):
    """Body of a process: for each number of threads that it reads, all calls and an answer."""
    B, T, H = map(int, cell.split(","))
    problem, runner = Problem(B, T, H, H), Pygru(None)
    for line in sys.stdin:
        function = runner.training(problem, int(line))
        for _ in range(options.calls):
            function()
        print("done", flush=True)


def wall_times(cell, options):
    """Threads -> median over the rounds of the seconds until the last process was done."""
    command = [sys.executable, "-m", "benchmarks.oversubscription", "--calls"]
    command += [str(options.calls), "--serve", ",".join(map(str, cell))]
    taken = {1: [], options.threads: []}
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for _ in range(options.processes)
        ]
        for number in range(options.rounds + 1):
            for count, seconds in taken.items():
                begin = time.perf_counter()
                for process in processes:
                    print(count, file=process.stdin, flush=True)
                for process in processes:
                    process.stdout.readline()
                if number:  # in the first round the processes begin
                    seconds.append(time.perf_counter() - begin)
    return {count: statistics.median(seconds) for count, seconds in taken.items()}


def main(arguments=None):
    options = parse(arguments)
    if options.serve:
        serve(options.serve, options)
        return
    for cell in CELLS:
        times = wall_times(cell, options)
        one, several = times[1], times[options.threads]
        print(
            f"B,T,H {cell}: {options.processes} processes with 1 thread {one:.3f} s, "
            f"with {options.threads} threads {several:.3f} s, {several / one:.2f} times",
            flush=True,
        )


if __name__ == "__main__":
    main()
