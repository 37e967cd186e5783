"""Derivatives without rounding error: an imaginary step of 1e-30 through complex arithmetic.

The function must be written in plain NumPy that accepts complex arrays: without absolute
values, comparisons or conjugate transposes.
"""

import numpy as np

STEP = 1e-30


def gradients(function, tensors):
    """Return the gradient of ``function(tensors)``, a number, by each of the named arrays."""
    return {name: _gradient(function, tensors, name) for name in tensors}


def _gradient(function, tensors, name):
    gradient = np.empty(tensors[name].shape)
    for index in np.ndindex(gradient.shape):
        moved = tensors[name].astype(complex)
        moved[index] += 1j * STEP
        gradient[index] = np.imag(function({**tensors, name: moved})) / STEP
    return gradient


def assert_close(actual, expected, name=""):
    """Compare a gradient with the exact one: 1e-12 of its largest element."""
    scale = max(abs(expected).max(initial=0), 1e-3)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12 * scale, err_msg=name)
