"""Arrays that are not in memory, such as those of h5py and zarr, read piece by piece.

Such an object has a shape and a dtype, and gives NumPy arrays when it is indexed with integers
and slices. Nothing else is asked of it. Arrays of NumPy, ``np.memmap`` among them, need none of
this.
"""

from __future__ import annotations

import operator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pygru.core import validation


def is_stored(values: object) -> bool:
    """Whether an object is an array that has to be read."""
    return (
        not isinstance(values, (np.ndarray, np.generic))
        and isinstance(getattr(values, "dtype", None), np.dtype)
        and isinstance(getattr(values, "shape", None), tuple)
        and hasattr(values, "__getitem__")
        and not hasattr(values, "iloc")  # pandas, which is in memory and has an index
    )


class StoredArray:
    """Some rows of an array that is not in memory.

    Parameters
    ----------
    name : str
        What to call it in messages.
    source
        The object to read from.
    """

    def __init__(self, name: str, source: Any) -> None:
        self._name = name
        self._source = source
        self._first = 0
        self._added = False  # whether each row gets a last axis of 1
        self.shape: tuple[int, ...] = tuple(map(int, source.shape))
        self.dtype: np.dtype[Any] = source.dtype
        if not self.shape:
            raise ValueError(f"{name} must have one entry per sample, got a single number")
        if self.dtype.kind not in "biuf":
            raise TypeError(f"{name} must be numeric, got dtype {self.dtype}")

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """How much memory all rows would take."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize

    def with_axis(self) -> Self:
        """Return the same with a last axis of 1."""
        result = self._copy()
        result._added = True
        result.shape = (*self.shape, 1)
        return result

    def __array__(
        self, dtype: np.dtype[Any] | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        """Read all rows."""
        return np.asarray(self._read(0, len(self)), dtype)

    def __getitem__(self, key: Any) -> Any:
        """Return a row, rows that are not read yet for a slice, or the rows of an index."""
        if isinstance(key, slice):
            first, end, _ = key.indices(len(self))
            result = self._copy()
            result._first = self._first + first
            result.shape = (max(0, end - first), *self.shape[1:])
            return result
        if isinstance(key, np.ndarray):
            if len(key) and (np.diff(key) == 1).all():
                return self._read(int(key[0]), int(key[0]) + len(key))
            rows = [self._read(int(row), int(row) + 1) for row in key]
            empty: NDArray[Any] = np.zeros((0, *self.shape[1:]), self.dtype)
            return np.concatenate(rows) if rows else empty
        row = operator.index(key)
        return self._read(row, row + 1)[0]

    def _copy(self) -> Self:
        result = type(self).__new__(type(self))
        result.__dict__.update(self.__dict__)
        return result

    def _read(self, first: int, end: int) -> NDArray[Any]:
        """Return the rows from ``first`` to ``end`` as an array."""
        rows = np.asarray(self._source[self._first + first : self._first + end])
        rows = rows[..., np.newaxis] if self._added else rows
        if rows.shape != (end - first, *self.shape[1:]) or rows.dtype != self.dtype:
            raise ValueError(
                f"{self._name} says that it has shape {self.shape} and dtype {self.dtype}, but "
                f"its rows {first} to {end} have shape {rows.shape} and dtype {rows.dtype}"
            )
        return rows


def as_samples(name: str, values: Any) -> Any:
    """Return a :class:`StoredArray`, which may be used like an array of samples."""
    validation.refuse_foreign(name, values)
    return StoredArray(name, values)
