"""The allocation of all buffers, in one place, with one way to run out of memory.

Everything a call needs is allocated here before the core starts. If that fails, nothing has
been computed and nothing has changed.
"""

import math
import sys
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def allocate(shape: int | tuple[int, ...], dtype: DTypeLike, purpose: str) -> NDArray[Any]:
    """Return an uninitialised array, or raise a MemoryError that names its purpose."""
    count = math.prod(map(int, shape)) if isinstance(shape, tuple) else int(shape)
    size = count * np.dtype(dtype).itemsize
    if size > sys.maxsize:
        raise ValueError(f"{purpose} of shape {shape} is too big: it needs {size} bytes")
    try:
        return np.empty(shape, dtype)
    except MemoryError:
        raise no_memory(size, purpose) from None


def no_memory(size: int, purpose: str) -> MemoryError:
    """Return the error of an allocation that failed."""
    return MemoryError(f"pygru: cannot allocate {size} bytes for {purpose}")


def _references(buffer: NDArray[Any]) -> int:
    """Return how many references an array has, including those of this call."""
    return sys.getrefcount(buffer)


def _references_of_one_owner() -> int:
    """Return the result of ``_references`` for an array with one local reference."""
    buffer = np.empty(1)
    return _references(buffer)


# Measured at import, because the references of a call itself depend on the Python version.
ONE_OWNER = _references_of_one_owner()


class Pool:
    """Large buffers that are used again when nobody uses them any more.

    The system clears every page that it hands out, which takes a tenth of the time of a
    training step whose tape and workspace are new each time. The pool remembers the buffers
    that it has handed out, up to ``most`` bytes, and forgets the oldest first.

    Nobody gives a buffer back. A buffer is free when no reference to it is left but the pool's:
    every view, memoryview or other object that uses the memory of a NumPy array holds a
    reference to the array that owns it, directly or through others, however it was made. So
    nothing that copies, pickles or finalizes the objects of a user can free it too early.
    """

    SMALL = 1 << 20  # below this, the allocator of the C library keeps buffers itself

    # Without a lock: any of these methods may be interrupted by garbage collection, and a
    # process may be forked in the middle of it. A buffer is taken out of the list while it is
    # looked at, so that no two threads look at the same one; the methods of a list that are
    # used here are atomic.

    def __init__(self, most: int) -> None:
        self.most = most
        self._remembered: list[NDArray[np.uint8]] = []

    @property
    def nbytes(self) -> int:
        """Bytes that are remembered now, in use or free."""
        return sum(buffer.nbytes for buffer in tuple(self._remembered))

    def take(self, count: int, dtype: DTypeLike, purpose: str) -> NDArray[Any]:
        """Return an uninitialised array of ``count`` elements.

        Raises
        ------
        MemoryError
            If there is no room for it, even after the pool has forgotten every buffer.
        """
        size = count * np.dtype(dtype).itemsize
        if size < self.SMALL:
            return allocate(count, dtype, purpose)
        buffer = self._free_buffer(size)
        if buffer is None:
            try:
                buffer = allocate(size, np.uint8, purpose)
            except MemoryError:
                self.clear()
                buffer = allocate(size, np.uint8, purpose)
        array: NDArray[Any] = buffer[:size].view(dtype)
        if buffer.nbytes <= self.most:
            self._remembered.append(buffer)
            while self.nbytes > self.most and self._oldest() is not None:
                pass
        return array

    def _free_buffer(self, size: int) -> NDArray[np.uint8] | None:
        """Take out a free buffer of ``size`` to ``2 * size`` bytes; None if there is none."""
        for _ in range(len(self._remembered)):
            buffer = self._oldest()
            if buffer is None:
                break
            if size <= buffer.nbytes <= 2 * size and _references(buffer) == ONE_OWNER:
                return buffer
            self._remembered.append(buffer)
        return None

    def _oldest(self) -> NDArray[np.uint8] | None:
        """Take out the buffer that was remembered first; None if there is none."""
        try:
            return self._remembered.pop(0)
        except IndexError:  # another thread was faster
            return None

    def clear(self) -> None:
        """Forget all buffers; those in use remain valid for their users."""
        self._remembered.clear()


POOL = Pool(1 << 28)
