"""Where pygru's buffers come from: one place, so that running out of memory is one case.

Everything a call needs is allocated here before the core starts. If that fails, nothing has
been computed and nothing has changed.
"""

import math
import sys
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray


def allocate(shape: int | tuple[int, ...], dtype: DTypeLike, purpose: str) -> NDArray[Any]:
    """Return an uninitialised array, or raise a MemoryError that says what it was for."""
    count = math.prod(map(int, shape)) if isinstance(shape, tuple) else int(shape)
    size = count * np.dtype(dtype).itemsize
    if size > sys.maxsize:
        raise ValueError(f"{purpose} of shape {shape} is too big: it needs {size} bytes")
    try:
        return np.empty(shape, dtype)
    except MemoryError:
        raise MemoryError(f"pygru: cannot allocate {size} bytes for {purpose}") from None


def _holders(array: NDArray[Any]) -> int:
    """How many references the memory behind a view has, those of this function included."""
    buffer = array.base
    return sys.getrefcount(buffer)


# Counted rather than known: Python versions differ in what a function's own variables add.
HOLDERS_OF_ONE_VIEW = _holders(np.empty(2)[:1])


class Pool:
    """Large buffers that were used and may be used again.

    The system clears every page that it hands out, which takes a tenth of the time of a
    training step whose tape and workspace are new each time. At most ``most`` bytes are kept.
    """

    SMALL = 1 << 20  # below this, the allocator of the C library keeps buffers itself

    # Without a lock: a tape may end, and give its memory back, in the middle of any of these
    # methods (garbage collection) and in a process forked from it. The methods of a list that
    # are used here are atomic.

    def __init__(self, most: int) -> None:
        self.most = most
        self._kept: list[NDArray[Any]] = []

    @property
    def nbytes(self) -> int:
        """Bytes that are kept now."""
        return sum(buffer.nbytes for buffer in tuple(self._kept))

    def take(self, count: int, dtype: DTypeLike, purpose: str) -> NDArray[Any]:
        """Return an uninitialised array of ``count`` elements, to be given back."""
        size = count * np.dtype(dtype).itemsize
        if size < self.SMALL:
            return allocate(count, dtype, purpose)
        for _ in range(len(self._kept)):
            buffer = self._oldest()
            if buffer is None:
                break
            if size <= buffer.nbytes <= 2 * size:
                return buffer[:size].view(dtype)
            self._kept.append(buffer)
        try:
            return allocate(size, np.uint8, purpose).view(dtype)
        except MemoryError:
            self.clear()
            return allocate(size, np.uint8, purpose).view(dtype)

    def give(self, array: NDArray[Any]) -> None:
        """Take an array back, unless somebody still has a view of it."""
        if array.nbytes < self.SMALL or _holders(array) > HOLDERS_OF_ONE_VIEW:
            return
        self._kept.append(cast(NDArray[Any], array.base))
        while self.nbytes > self.most and self._oldest() is not None:
            pass

    def _oldest(self) -> NDArray[Any] | None:
        """Take the buffer out that has been kept longest; None if there is none."""
        try:
            return self._kept.pop(0)
        except IndexError:  # another thread was faster
            return None

    def clear(self) -> None:
        """Let go of everything."""
        self._kept.clear()


POOL = Pool(1 << 28)
