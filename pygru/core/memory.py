"""Where pygru's buffers come from: one place, so that running out of memory is one case.

Everything a call needs is allocated here before the core starts. If that fails, nothing has
been computed and nothing has changed.
"""

import math
import sys
import threading

import numpy as np


def allocate(shape, dtype, purpose):
    """Return an uninitialised array, or raise a MemoryError that says what it was for."""
    count = math.prod(map(int, shape)) if isinstance(shape, tuple) else int(shape)
    size = count * np.dtype(dtype).itemsize
    if size > sys.maxsize:
        raise ValueError(f"{purpose} of shape {shape} is too big: it needs {size} bytes")
    try:
        return np.empty(shape, dtype)
    except MemoryError:
        raise MemoryError(f"pygru: cannot allocate {size} bytes for {purpose}") from None


class Pool:
    """Large buffers that were used and may be used again.

    The system clears every page that it hands out, which takes a tenth of the time of a
    training step whose tape and workspace are new each time. At most ``most`` bytes are kept.
    """

    SMALL = 1 << 20  # below this, the allocator of the C library keeps buffers itself

    def __init__(self, most):
        self.most = most
        self._kept = []
        self._lock = threading.Lock()

    @property
    def nbytes(self):
        """Bytes that are kept now."""
        return sum(buffer.nbytes for buffer in self._kept)

    def take(self, count, dtype, purpose):
        """Return an uninitialised array of ``count`` elements, to be given back."""
        size = count * np.dtype(dtype).itemsize
        if size < self.SMALL:
            return allocate(count, dtype, purpose)
        with self._lock:
            fitting = [b for b in self._kept if size <= b.nbytes <= 2 * size]
            if fitting:
                buffer = min(fitting, key=lambda b: b.nbytes)
                self._kept = [b for b in self._kept if b is not buffer]
                return buffer[:size].view(dtype)
        try:
            return allocate(size, np.uint8, purpose).view(dtype)
        except MemoryError:
            self.clear()
            return allocate(size, np.uint8, purpose).view(dtype)

    def give(self, array):
        """Take an array back that nobody else uses any more."""
        buffer = array if array.base is None else array.base
        if buffer.dtype != np.uint8 or buffer.nbytes < self.SMALL:
            return
        if sys.getrefcount(buffer) > 3:  # beyond `array`, `buffer` and the argument
            return  # somebody holds another view: then it is not ours to use again
        with self._lock:
            self._kept.append(buffer)
            while self.nbytes > self.most:
                self._kept.pop(0)

    def clear(self):
        """Let go of everything."""
        with self._lock:
            self._kept = []


POOL = Pool(1 << 28)
