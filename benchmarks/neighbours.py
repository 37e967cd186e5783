"""One thread and several in turns, alone on the machine and beside programs that are busy.

    python -m benchmarks.neighbours                  two threads, 0, 1 and 2 busy programs
    python -m benchmarks.neighbours --threads 4 --busy 0 2 4 --cells 8,20,64

Threads should never be slower than one thread: neither on a machine without other work, nor
on one where other programs occupy the cores. A ratio above 1 means that they are. The calls of
both kinds take turns in one process, in groups, so that the core can learn from the calls
before. Times are means, because on a busy machine the losses are rare and long. --pause is the
time between two calls, in which the other threads go to sleep.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import time

from benchmarks.problem import Problem
from benchmarks.rivals import Pygru

# The first ones are just above the size from which threads are used.
CELLS = [
    (1, 20, 160),
    (8, 10, 80),
    (8, 20, 128),
    (8, 100, 128),
    (32, 100, 64),
    (32, 100, 128),
    (1, 50, 512),
    (64, 50, 256),
]
GROUP = 10  # calls of one kind before those of the other


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.neighbours", description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2], metavar="PROGRAMS")
    parser.add_argument("--cells", nargs="+", metavar="B,T,H")
    parser.add_argument("--kinds", nargs="+", default=["inference", "training"])
    parser.add_argument("--pause", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a cell")
    options = parser.parse_args(arguments)
    if options.cells:
        options.cells = [tuple(map(int, cell.split(","))) for cell in options.cells]
    return options


@contextlib.contextmanager
def busy_programs(count):
    """Run so many programs that compute all the time."""
    programs = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)
    ]
    try:
        time.sleep(0.2 * (count > 0))
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def mean_times(function, options):
    """Mean seconds of a call on one thread and on several."""
    times = {1: [], options.threads: []}
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        for count, taken in times.items():
            for _ in range(GROUP):
                if options.pause:
                    time.sleep(options.pause)
                begin = time.perf_counter()
                function(count)
                taken.append(time.perf_counter() - begin)
    return [statistics.mean(taken) for taken in times.values()]


def function_of(kind, p):
    """A function that runs a problem on a number of threads."""
    runner = Pygru(None)
    calls = {}

    def run(count):
        if count not in calls:
            calls[count] = getattr(runner, kind)(p, count)
        calls[count]()

    return run


def main(arguments=None):
    options = parse(arguments)
    for busy in options.busy:
        for kind in options.kinds:
            for B, T, H in options.cells or CELLS:
                function = function_of(kind, Problem(B, T, H, H))
                with busy_programs(busy):
                    one, several = mean_times(function, options)
                print(
                    f"{busy} busy  {kind:<9} {B:>3},{T:>3},{H:>3}  one {1e6 * one:9.1f} us  "
                    f"{options.threads} threads {1e6 * several:9.1f} us  {several / one:5.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
