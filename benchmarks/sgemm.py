"""SciPy's own product of large matrices: what a good matrix library reaches on this machine."""

import numpy as np
from scipy.linalg.blas import dgemm, sgemm

SIZE = 1024
OPERATIONS = 2 * SIZE**3


def large_product(dtype):
    """A function that multiplies two matrices of SIZE x SIZE into a third."""
    generator = np.random.default_rng(0)
    shape = (SIZE, SIZE)
    a, b = (np.asfortranarray(generator.standard_normal(shape), dtype) for _ in range(2))
    c = np.zeros(shape, dtype, order="F")
    product = sgemm if dtype == "float32" else dgemm
    return lambda: product(1.0, a, b, c=c, overwrite_c=1)
