"""Calls of pygru for tests/call_counts.py, which runs this program under callgrind.

    python tests/counted_calls.py LIBRARY

The layer is so small that most instructions are those of the call and not of the arithmetic.
"""

import ctypes
import functools
import gc
import sys

import numpy as np

import pygru

SIZE = 16
WARM = 50  # calls before, until Python has specialised its bytecode and buffers are kept
CALLS = 10  # that are counted together


def cases():
    """The calls by name."""
    gru = pygru.GRU(SIZE, SIZE, seed=0)
    x = np.full((1, 1, SIZE), 0.5, gru.dtype)
    h0 = np.full((1, 1, SIZE), 0.25, gru.dtype)
    lengths = np.array([1])
    stream = gru.stream()

    def train():
        gru.zero_grad()
        _, _, tape = gru.forward(x)
        gru.backward(tape, h0)

    return {
        "stream": functools.partial(stream, x[0, 0]),
        "g(x)": functools.partial(gru, x),
        "g(x, h0)": functools.partial(gru, x, h0),
        "g(x, h0, lengths, n_threads=1)": functools.partial(
            gru, x, h0, lengths=lengths, n_threads=1
        ),
        "g(x, out=y)": functools.partial(gru, x, out=np.empty_like(x)),
        "forward + backward": train,
    }


def main():
    library = ctypes.PyDLL(sys.argv[1])
    library.counted.restype = None
    library.counted.argtypes = [ctypes.py_object, ctypes.c_int, ctypes.c_char_p]
    gc.disable()  # when it runs depends on everything before
    for name, call in cases().items():
        for _ in range(WARM):
            call()
        library.counted(call, CALLS, name.encode())


if __name__ == "__main__":
    main()
