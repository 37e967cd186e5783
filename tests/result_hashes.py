"""Print a hash of the outputs and gradients of many configurations.

``.ci/run`` runs this program with and without OpenMP and compares the outputs, because the
number of threads must not change a single bit.
"""

import argparse
import hashlib
import itertools

import numpy as np

import pygru


def print_quantized(x, lengths):
    """Weights of 8 bits: the same lines for the outputs alone."""
    options = itertools.product(("chung", "pytorch"), (1, 2), (False, True), (None, lengths))
    for variant, layers, bidirectional, given in options:
        gru = pygru.GRU(5, 33, layers, bidirectional=bidirectional, variant=variant, seed=0)
        quantized = gru.quantized(bits=8)
        digest = hashlib.sha256()
        for array in quantized(x, lengths=given, n_threads=3):
            digest.update(np.ascontiguousarray(array))
        print(
            "8 bits", variant, layers, bidirectional, given is not None, digest.hexdigest()[:16]
        )


def main():
    """One line per configuration."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 70, 5))
    lengths = rng.integers(0, 41, 70)
    options = itertools.product(
        ("chung", "cho", "pytorch"),
        (1, 2),
        (False, True),
        ("float32", "float64"),
        (None, lengths),
        ("gates", "outputs"),
        (False, True),
    )
    print_quantized(x, lengths)
    for variant, layers, bidirectional, dtype, given, memory, layer_norm in options:
        gru = pygru.GRU(
            5,
            33,
            layers,
            bidirectional=bidirectional,
            variant=variant,
            dtype=dtype,
            layer_norm=layer_norm,
            seed=0,
        )
        output, h_n, tape = gru.forward(x, lengths=given, memory=memory, n_threads=3)
        d_x, d_h0 = gru.backward(tape, d_output=output, d_h_n=h_n)
        digest = hashlib.sha256()
        for array in (output, h_n, d_x, d_h0, gru.flat_grads):
            digest.update(np.ascontiguousarray(array))
        ragged = given is not None
        case = variant, layers, bidirectional, dtype, ragged, memory, layer_norm
        print(*case, digest.hexdigest()[:16])


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()  # it takes none
    main()
