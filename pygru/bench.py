"""Times of pygru on this machine, for ``pygru bench``; the timer that ``benchmarks/`` uses."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.gru import GRU

CELLS = [(1, 100, 64), (8, 100, 128), (32, 100, 128), (64, 100, 256)]  # batch, steps, size
LEAST_SECONDS = 2e-3  # of one sample: below that, reading the clock takes part of the time
LEAST_SAMPLES = 3


def samples(
    functions: Mapping[str, Callable[[], object]],
    repeats: int = 9,
    clock: Callable[[], float] = time.perf_counter,
    budget: float = math.inf,
) -> dict[str, list[float]]:
    """Return samples of the seconds of one call of each function; the functions take turns.

    Parameters
    ----------
    functions : dict of str to callable
    repeats : int
        Samples of each.
    clock : callable
        A function that returns seconds, such as ``time.process_time`` for CPU time.
    budget : float
        Seconds after which no further sample is begun, if there are three of each.

    Returns
    -------
    dict of str to list of float

    Examples
    --------
    >>> from pygru.bench import samples
    >>> len(samples({"nothing": lambda: None}, repeats=5)["nothing"])
    5
    """
    loops = {}
    for name, function in functions.items():
        function()
        begin = clock()
        function()
        loops[name] = 1 + int(LEAST_SECONDS / max(clock() - begin, 1e-9))
    taken: dict[str, list[float]] = {name: [] for name in functions}
    first = clock()
    for repeat in range(repeats):
        if repeat >= LEAST_SAMPLES and clock() - first > budget:
            break
        for name, function in functions.items():
            begin = clock()
            for _ in range(loops[name]):
                function()
            taken[name].append((clock() - begin) / loops[name])
    return taken


def medians(
    functions: Mapping[str, Callable[[], object]],
    repeats: int = 9,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Return the median seconds of one call of each function; see :func:`samples`.

    Examples
    --------
    >>> from pygru.bench import medians
    >>> 0 < medians({"nothing": lambda: None}, repeats=3)["nothing"] < 1e-3
    True
    """
    taken = samples(functions, repeats, clock)
    return {name: median(values) for name, values in taken.items()}


def _train(gru: GRU, x: NDArray[Any], d_y: NDArray[Any], n_threads: int | None) -> None:
    gru.backward(gru.forward(x, n_threads=n_threads)[2], d_y)


def rows(
    variant: str = "chung",
    dtype: str = "float32",
    n_threads: int | None = None,
    cells: Iterable[tuple[int, int, int]] = CELLS,
) -> Iterator[tuple[tuple[int, int, int], str, float, float]]:
    """Yield ``(cell, kind, seconds, operations per second)`` of a few calls.

    ``kind`` is "step", "inference" or "training". A cell is (batch, steps, size), where size is
    both the input size and the hidden size.
    """
    generator = np.random.default_rng(0)
    for B, T, H in cells:
        gru = GRU(H, H, variant=variant, dtype=dtype, seed=0)
        x = generator.standard_normal((T, B, H)).astype(dtype)
        d_y = np.ones((T, B, H), dtype)
        functions: dict[str, Callable[[], object]] = {
            "inference": partial(gru, x, n_threads=n_threads),
            "training": partial(_train, gru, x, d_y, n_threads),
        }
        if B == 1:
            stream = gru.stream()
            functions["step"] = partial(stream, x[0, 0])
        operations = {"step": 12 * H * H, "inference": 12 * T * B * H * H}
        operations["training"] = 3 * operations["inference"]
        for kind, seconds in medians(functions).items():
            yield (B, T, H), kind, seconds, operations[kind] / seconds
