"""Times functions that take turns, and describes the samples by their median and spread.

With one thread the time is CPU time of the process, so that other work on the machine counts
as little as possible. With several threads it is the time of the clock. On Windows the clock is
always used, because the CPU time there advances in steps of 16 ms.
"""

import os
import statistics
import time

from pygru.bench import medians, samples

CELL_SECONDS = 30.0  # large cells have fewer samples than others


def clock_for(threads):
    """The clock for a number of threads."""
    return time.process_time if threads == 1 and os.name != "nt" else time.perf_counter


def take(functions, repeats, threads):
    """Return the median seconds of each function, and the spread of each.

    The spread is the distance between the quartiles, divided by the median.
    """
    taken = samples(functions, repeats, clock_for(threads), CELL_SECONDS)
    seconds, spread = {}, {}
    for name, values in taken.items():
        seconds[name] = statistics.median(values)
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        spread[name] = (high - low) / seconds[name]
    return seconds, spread


def fastest(functions):
    """Return the function that takes the least time on the clock."""
    times = medians(dict(enumerate(functions)), repeats=3)
    return functions[min(times, key=times.get)]
