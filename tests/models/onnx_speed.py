"""The GRU nodes of real ONNX files: pygru beside ONNX Runtime, in one process with one thread.

    python tests/models/onnx_speed.py FILE.onnx ...

One sequence of 200 random steps goes through each node alone. The calls of both take turns, and
the quickest of 30 counts. A line per node has the sizes, the largest difference between the
two, that of each from pygru in float64, the microseconds of each, and how many times as quick
pygru is. The tests are those of ``test_speechmos.py`` and ``test_onnx_packages.py``; times are
no part of them.
"""

import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from onnx_nodes import File, largest_difference

import pygru

STEPS, CALLS = 200, 30


def quickest(*functions):
    """The shortest time of each function in microseconds, when they take turns."""
    times = [[] for _ in functions]
    for _ in range(CALLS):
        for function, taken in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            taken.append(time.perf_counter() - start)
    return [1e6 * min(taken) for taken in times]


def main(paths):
    """Print one line per node."""
    rng = np.random.default_rng(0)
    print("file node I H D | difference | to float64: pygru, ORT | us: pygru, ORT | times")
    for path in map(Path, paths):
        file = File(path)
        for node in file.nodes:
            gru = pygru.from_onnx(path, node.output[1])
            exact = pygru.from_onnx(path, node.output[1], dtype="float64")
            D, H = gru.num_directions, gru.hidden_size
            x = rng.normal(size=(STEPS, 1, gru.input_size)).astype(np.float32)
            h0 = rng.normal(size=(D, 1, H)).astype(np.float32) / 2
            session, given = file.alone(node), {node.input[0]: x, node.input[5]: h0}
            y, y_h = session.run(None, given)
            ours = abs(gru(x, h0)[0] - exact(x, h0)[0]).max()
            theirs = largest_difference(exact, x, h0, y, y_h)
            both = quickest(partial(gru, x, h0, n_threads=1), partial(session.run, None, given))
            print(
                f"{path.name} {node.name} {gru.input_size} {H} {D} | "
                f"{largest_difference(gru, x, h0, y, y_h):.1e} | {ours:.1e}, {theirs:.1e} | "
                f"{both[0]:.0f}, {both[1]:.0f} | {both[1] / both[0]:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
