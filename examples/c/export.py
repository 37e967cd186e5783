"""Write a GRU for ``stream.c``: numbers that describe it, 64 bits each, then the parameters.

python export.py weights.bin input_size hidden_size [num_layers]
"""

import sys

import numpy as np

from pygru import GRU
from pygru.activations import NAMES


def numbers_of(activation):
    """Return the code of an activation in pygru.h, and its alpha and beta."""
    name, *numbers = [activation] if isinstance(activation, str) else activation
    return 1 + NAMES.index(name), *(numbers or [0, 0])


def export(gru, path):
    """Write the sizes, the switches and the parameters of a float32 GRU that reads forward."""
    has_end = gru.bidirectional or gru.reverse
    if has_end or gru.layer_norm or not gru.bias or gru.dtype != np.float32:
        raise ValueError(f"stream.c runs no {gru}")
    of_n, alpha_n, beta_n = numbers_of(gru.activation)
    of_gates, alpha, beta = numbers_of(gru.recurrent_activation)
    sizes = [
        gru.input_size,
        gru.hidden_size,
        gru.num_layers,
        gru.variant.reset == "after",
        gru.variant.update == "keep",
        of_n,
        of_gates,
    ]
    numbers = [alpha_n, beta_n, alpha, beta, gru.clip or 0]
    with open(path, "wb") as file:
        np.array(sizes, np.int64).tofile(file)
        np.array(numbers, np.float64).tofile(file)
        gru.flat_parameters.tofile(file)


if __name__ == "__main__":
    path, *numbers = sys.argv[1:]
    export(GRU(*map(int, numbers), seed=0), path)
