"""Write a GRU for ``stream.c``: numbers that describe it, 64 bits each, then the parameters.

python export.py weights.bin input_size hidden_size [num_layers]
"""

import argparse

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


def main():
    """Read the command line, and write the weights of a new GRU."""
    parser = argparse.ArgumentParser(description="Write random weights of a GRU for stream.c.")
    parser.add_argument("path", metavar="weights.bin")
    parser.add_argument("input_size", type=int)
    parser.add_argument("hidden_size", type=int)
    parser.add_argument("num_layers", type=int, nargs="?", default=1)
    given = parser.parse_args()
    try:
        export(GRU(given.input_size, given.hidden_size, given.num_layers, seed=0), given.path)
    except (ValueError, MemoryError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
