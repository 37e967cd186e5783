"""Write a GRU for ``stream.c``: sizes as five 64-bit integers, then the parameters.

python export.py weights.bin input_size hidden_size [num_layers]
"""

import sys

import numpy as np

from pygru import GRU


def export(gru, path):
    """Write the sizes, the switches and the parameters of a float32 GRU of one direction."""
    if gru.bidirectional or gru.layer_norm or not gru.bias or gru.dtype != np.float32:
        raise ValueError(f"stream.c runs no {gru}")
    sizes = [
        gru.input_size,
        gru.hidden_size,
        gru.num_layers,
        gru.variant.reset == "after",
        gru.variant.update == "keep",
    ]
    with open(path, "wb") as file:
        np.array(sizes, np.int64).tofile(file)
        gru.flat_parameters.tofile(file)


if __name__ == "__main__":
    path, *numbers = sys.argv[1:]
    export(GRU(*map(int, numbers), seed=0), path)
