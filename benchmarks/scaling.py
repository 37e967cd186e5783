"""How much faster many threads are than one: measured up to the cores that are here, and
predicted from the tasks of a call up to 16.

    python -m benchmarks.scaling           the grid, beside the rivals; within ten minutes
    python -m benchmarks.scaling --cells 256,100,512 --kinds inference --rivals

The prediction assumes that each core keeps the pace that it has alone. It does not know what
the caches that cores share can deliver; it prints how much that would have to be. ``--rivals``
names the other libraries; without a name after it, none.
"""

import argparse
import os
import time

import numpy as np

from benchmarks import limits, rivals
from benchmarks.problem import Problem
from benchmarks.scaling_model import Shape, backward, forward
from pygru.bench import samples

CELLS = [
    (256, 100, 512),
    (128, 50, 512),
    (64, 100, 256),
    (256, 50, 128),
    (32, 100, 128),
    (16, 100, 128),
    (8, 100, 128),
    (1, 100, 512),
    (1, 100, 256),
]
COUNTS = (1, 2, 3, 4, 6, 8, 12, 16)
TARGET = 12.0  # times one thread, on 16
REPEATS = 5


def parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--cells", nargs="+", metavar="B,T,H", help="instead of the grid")
    parser.add_argument("--kinds", nargs="+", default=["inference", "training"])
    parser.add_argument("--rivals", nargs="*", default=["torch", "onnxruntime", "openvino"])
    parser.add_argument("--seconds", type=float, default=540, help="begin no cell after them")
    options = parser.parse_args(arguments)
    if options.cells:
        options.cells = [tuple(map(int, cell.split(","))) for cell in options.cells]
    return options


def fastest_times(functions):
    """Seconds of the fastest of a few calls, by name: the least disturbed one."""
    taken = samples(functions, REPEATS, time.perf_counter, 10.0)
    return {name: min(values) for name, values in taken.items()}


def parts_of(p, n_threads):
    """Functions for a forward pass without a tape, one with a tape, and a backward pass."""
    gru = p.gru()
    tape = gru.forward(p.x, n_threads=n_threads)[2]
    return {
        "inference": lambda: gru(p.x, n_threads=n_threads),
        "forward": lambda: gru.forward(p.x, n_threads=n_threads),
        "backward": lambda: gru.backward(tape, p.d_y),
    }


def shape_of(p):
    rows = p.gru()._runner.chunk_rows(p.B)
    return Shape(p.B, p.T, p.I, p.H, np.dtype(p.dtype).itemsize, rows)


def serial_seconds(shape, bounds):
    """The time to pack weights for backward and to add gradients: five passes over them."""
    if bounds is None:
        return 0.0
    return 5 * bounds.read_time(shape.parameter_bytes)


def predicted(kind, shape, alone, threads, serial):
    if kind == "inference":
        return forward(shape, alone["inference"], threads)
    return forward(shape, alone["forward"], threads) + backward(
        shape, alone["backward"], threads, serial
    )


def total(kind, seconds):
    if kind == "inference":
        return seconds["inference"]
    return seconds["forward"] + seconds["backward"]


def times_of_rivals(p, kind, threads, names):
    """Seconds of each rival on so many threads."""
    functions = {}
    for runner in rivals.installed(threads, names)[1:]:
        function = getattr(runner, kind)(p)
        if function is not None:
            functions[runner.name] = function
    return fastest_times(functions) if functions else {}


def print_needs(kind, shape, alone, serial, bounds):
    """What 16 cores have to deliver for the target."""
    one = total(kind, alone)
    reached = one / predicted(kind, shape, alone, 16, serial)
    print(f"  16 threads, {len(shape.chunks)} chunks: {reached:.1f} x", end="")
    if reached < TARGET:
        print(f", less than {TARGET:g} x")
        return
    print(f"; {TARGET:g} x needs {TARGET / reached:.0%} of the pace that a core has alone")
    if kind == "inference" and not shape.splits:
        steps = shape.T * len(shape.chunks)
        rate = shape.weight_bytes * steps / one / 1e9
        print(
            f"  each core reads recurrent weights at {rate:.1f} GB/s, "
            f"16 cores at {16 * rate:.0f} GB/s, from the cache that holds "
            f"{shape.weight_bytes / 2**20:.1f} MiB"
        )


def run_cell(kind, cell, here, options, bounds):
    """Print one cell: a line per number of threads, and what is needed for the target."""
    B, T, H = cell
    p = Problem(B, T, H, H)
    shape = shape_of(p)
    counts = [count for count in COUNTS if count <= here]
    functions = {
        (name, count): function
        for count in counts
        for name, function in parts_of(p, count).items()
        if (name == "inference") == (kind == "inference")
    }
    seconds = fastest_times(functions)
    alone = {name: value for (name, count), value in seconds.items() if count == 1}
    serial = min(serial_seconds(shape, bounds), total(kind, alone) / 10)
    print(f"\n{kind} B={B} T={T} I=H={H}")
    for count in COUNTS:
        guess = predicted(kind, shape, alone, count, serial)
        line = f"  {count:>2} threads  predicted {1e3 * guess:9.3f} ms"
        line += f" {total(kind, alone) / guess:5.2f} x"
        if count in counts:
            mine = {name: value for (name, n), value in seconds.items() if n == count}
            found = total(kind, mine)
            line += f"   measured {1e3 * found:9.3f} ms {total(kind, alone) / found:5.2f} x"
            for name, value in times_of_rivals(p, kind, count, options.rivals).items():
                line += f"   {name} {1e3 * value:.3f} ms"
        print(line, flush=True)
    print_needs(kind, shape, alone, serial, bounds)


def main(arguments=None):
    options = parse(arguments)
    begin = time.monotonic()
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    bounds = limits.measure()
    print(f"{here} cores here")
    for kind in options.kinds:
        for cell in options.cells or CELLS:
            if time.monotonic() - begin > options.seconds:
                print(f"\n{kind} {cell}: no time left")
                continue
            run_cell(kind, cell, here, options, bounds)


if __name__ == "__main__":
    main()
