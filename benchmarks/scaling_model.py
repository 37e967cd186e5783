"""Predicts the time of a call on several threads from its tasks; pure arithmetic.

A call is a row of phases. The tasks of a phase are taken one after the other by whichever
thread is free, and the next phase begins when all are done. The sizes of the tasks are those of
the C core (``plan.c``, ``weight_sums.tpl.c``). The time of one thread is measured, and divided
among the tasks by their multiply-adds.
"""

import heapq
from dataclasses import dataclass

BARRIER = 0.5e-6  # seconds from the end of a phase until the other threads have noticed
WAKE = 50e-6  # until a thread that sleeps takes its first task
UNITS_OF_PART = 16  # at least, in a task of the gradients of weights
PARTS_PER_THREAD = 2  # of these tasks
SPLIT_BYTES = 512 * 1024  # one chunk with larger recurrent weights is divided by units
UNITS_OF_SPLIT = 64  # at least, in a part of such a chunk


def makespan(tasks, threads):
    """The time until all tasks are done, taken in their order by the thread that is free first.

    >>> makespan([3.0, 3.0, 2.0, 2.0, 2.0], 2)
    7.0
    """
    free = [0.0] * threads
    for task in tasks:
        heapq.heapreplace(free, free[0] + task)
    return max(free)


def shared(seconds, weights):
    """Divide a time in proportion to weights."""
    whole = sum(weights)
    return [seconds * weight / whole for weight in weights]


@dataclass
class Shape:
    """One layer in one direction: batch, steps, inputs, units, and the rows of its chunks."""

    B: int
    T: int
    I: int
    H: int
    itemsize: int
    chunk_rows: int

    @property
    def chunks(self):
        """The sequences of every chunk."""
        full, rest = divmod(self.B, self.chunk_rows)
        return [self.chunk_rows] * full + [rest] * (rest > 0)

    @property
    def weight_bytes(self):
        """Bytes of the recurrent weights, which a thread reads once per step and chunk."""
        return 3 * self.H * self.H * self.itemsize

    @property
    def parameter_bytes(self):
        """Bytes of all weights."""
        return 3 * self.H * (self.I + self.H) * self.itemsize

    @property
    def splits(self):
        """Whether the units of a forward step are divided among the threads."""
        return len(self.chunks) == 1 and self.weight_bytes > SPLIT_BYTES


def forward(shape, seconds, threads):
    """Predict the seconds of a forward pass that takes ``seconds`` on one thread."""
    if threads == 1:
        return seconds
    if shape.splits:
        parts = max(1, min(threads, shape.H // UNITS_OF_SPLIT))
        step = makespan([seconds / shape.T / parts] * parts, threads)
        return WAKE * (1 - 1 / parts) + shape.T * (step + BARRIER)
    return wait(shape.chunks, threads) + makespan(shared(seconds, shape.chunks), threads)


def wait(tasks, threads):
    """What the call loses because the other threads begin late."""
    used = min(threads, len(tasks))
    return WAKE * (1 - 1 / used)


def backward(shape, seconds, threads, serial):
    """Predict the seconds of a backward pass of which ``serial`` are on one thread anyway."""
    if threads == 1:
        return seconds
    of_sweeps, of_weights, of_inputs = shared(
        seconds - serial, [shape.H, shape.I + shape.H, shape.I]
    )
    parts = max(1, min(-(-shape.H // UNITS_OF_PART), PARTS_PER_THREAD * threads))
    weights, inputs = shared(of_weights, [1] * parts), shared(of_inputs, shape.chunks)
    inputs_first = parts > 2 * len(shape.chunks)
    gradients = inputs + weights if inputs_first else weights + inputs
    phases = [shared(of_sweeps, shape.chunks), gradients]
    time = serial + wait(gradients, threads)
    return time + sum(makespan(tasks, threads) + BARRIER for tasks in phases)
