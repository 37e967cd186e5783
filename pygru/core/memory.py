"""Where pygru's buffers come from: one function, so that running out of memory is one case.

Everything a call needs is allocated here before the core starts. If that fails, nothing has
been computed and nothing has changed.
"""

import numpy as np


def allocate(shape, dtype, purpose):
    """Return an uninitialised array, or raise a MemoryError that says what it was for."""
    count = int(np.prod([int(size) for size in np.atleast_1d(shape)], dtype=object))
    size = count * np.dtype(dtype).itemsize
    if size > np.iinfo(np.intp).max:
        raise ValueError(f"{purpose} of shape {shape} is too big: it needs {size} bytes")
    try:
        return np.empty(shape, dtype)
    except MemoryError:
        raise MemoryError(f"pygru: cannot allocate {size} bytes for {purpose}") from None
