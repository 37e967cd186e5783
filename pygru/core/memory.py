"""The allocation of all buffers, in one place, with one way to run out of memory.

Everything a call needs is allocated here before the core starts. If that fails, nothing has
been computed and nothing has changed. It is also said here whether arrays overlap.
"""

import math
import sys
import weakref
from typing import Any, NamedTuple

import numpy as np
from numpy.exceptions import TooHardError
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


def overlap(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether two arrays have memory in common; True if that is hard to find out."""
    most_work: Any = 1  # NumPy's stubs know only -1 and 0
    try:
        return np.may_share_memory(a, b) and np.shares_memory(a, b, max_work=most_work)
    except TooHardError:
        return True


class _Loan:
    """The base of one array over a buffer; it lives as long as anything uses that array."""

    __slots__ = ("__array_interface__", "__weakref__", "buffer")

    def __init__(self, buffer: NDArray[np.uint8], dtype: np.dtype[Any], count: int) -> None:
        self.buffer = buffer
        self.__array_interface__ = {
            "version": 3,
            "data": (buffer.ctypes.data, False),
            "shape": (count,),
            "typestr": dtype.str,
        }


class _Remembered(NamedTuple):
    buffer: NDArray[np.uint8]
    loan: weakref.ref[_Loan]  # of the last time it was handed out


class Pool:
    """Large buffers that are used again when nobody uses them any more.

    The system clears every page that it hands out, which takes a tenth of the time of a
    training step whose tape and workspace are new each time. The pool remembers the buffers
    that it has handed out, up to ``most`` bytes, and forgets the oldest first.

    Nobody gives a buffer back. A buffer is free when the loan is gone that was the base of the
    array that was handed out: every view, memoryview or other object that uses the memory of a
    NumPy array holds a reference to its base, directly or through others, however it was made.
    So nothing that copies, pickles or finalizes the objects of a user can free it too early, in
    any thread, and no count of references has to be read.
    """

    SMALL = 1 << 20  # below this, the allocator of the C library keeps buffers itself

    # Without a lock: any of these methods may be interrupted by garbage collection, and a
    # process may be forked in the middle of it. A buffer is taken out of the list while it is
    # looked at, so that no two threads look at the same one; the methods of a list that are
    # used here are atomic.

    def __init__(self, most: int) -> None:
        self.most = most
        self._remembered: list[_Remembered] = []

    @property
    def nbytes(self) -> int:
        """Bytes that are remembered now, in use or free."""
        return sum(each.buffer.nbytes for each in tuple(self._remembered))

    def take(self, count: int, dtype: DTypeLike, purpose: str) -> NDArray[Any]:
        """Return an uninitialised array of ``count`` elements.

        Raises
        ------
        MemoryError
            If there is no room for it, even after the pool has forgotten every buffer.
        """
        dtype = np.dtype(dtype)
        size = count * dtype.itemsize
        if size < self.SMALL:
            return allocate(count, dtype, purpose)
        free = self._free_buffer(size)
        if free is not None:
            buffer = free.buffer
        else:
            try:
                buffer = allocate(size, np.uint8, purpose)
            except MemoryError:
                self.clear()
                buffer = allocate(size, np.uint8, purpose)
        loan = _Loan(buffer, dtype, count)
        if buffer.nbytes <= self.most:
            self._remembered.append(_Remembered(buffer, weakref.ref(loan)))
            while self.nbytes > self.most and self._oldest() is not None:
                pass
        return np.asarray(loan)

    def _free_buffer(self, size: int) -> _Remembered | None:
        """Take out a free buffer of ``size`` to ``2 * size`` bytes; None if there is none."""
        for _ in range(len(self._remembered)):
            oldest = self._oldest()
            if oldest is None:
                break
            if size <= oldest.buffer.nbytes <= 2 * size and oldest.loan() is None:
                return oldest
            self._remembered.append(oldest)
        return None

    def _oldest(self) -> _Remembered | None:
        """Take out what was remembered first; None if there is nothing."""
        try:
            return self._remembered.pop(0)
        except IndexError:  # another thread was faster
            return None

    def clear(self) -> None:
        """Forget all buffers; those in use remain valid for their users."""
        self._remembered.clear()


POOL = Pool(1 << 28)
