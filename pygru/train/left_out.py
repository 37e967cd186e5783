"""Masks and resets of training data: one bool per step, checked once and given out in batches.

What stands at a step that a mask leaves out may be anything. So it is replaced before anybody
looks at it: in X by 0, and in targets by a target of another step, which every check accepts.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pygru.core import validation
from pygru.data.padding import padded_flags
from pygru.train.scan import Samples
from pygru.typing import Booleans, Integers


def checked_flags(
    name: str, values: Any, samples: Samples, lengths: Integers | None
) -> Booleans:
    """Return a mask or resets as an array (N, T), False after the end of every sequence.

    Parameters
    ----------
    name : str
        What to call them in messages.
    values : array_like of bool or list of array_like
        (N, T), or a list of (T_i,) if ``samples`` is a list.
    samples : ndarray or list of ndarray
        X, (N, T, ...) or N arrays (T_i, ...).
    lengths : ndarray or None
        (N,) the valid steps of each sample.
    """
    if isinstance(samples, list):
        assert lengths is not None
        return padded_flags(name, values, lengths.tolist())
    flags: Booleans = validation.as_flags(name, values)
    N, T = samples.shape[:2]
    validation.check_shape(name, flags, (N, T), f"(N={N}, T={T})")
    if lengths is not None:
        flags &= np.arange(T) < lengths[:, np.newaxis]
    return flags


def without_steps(samples: Any, counted: Booleans, value: Any) -> Any:
    """Return samples with ``value`` at the steps that do not count, of a list or an array."""
    if not isinstance(samples, list):
        return Replaced(samples, counted, value)
    result = []
    for sample, flags in zip(samples, counted, strict=True):
        copy = np.array(sample)
        copy[~flags[: len(copy)]] = value
        result.append(copy)
    return result


def first_counted(samples: Any, counted: Booleans) -> Any:
    """Return the first target (N, T, ...) or of a list that counts; None without one."""
    if not counted.any():
        return None
    row, step = np.unravel_index(int(counted.argmax()), counted.shape)
    return np.asarray(samples[int(row)])[int(step)]


class Replaced:
    """An array of samples (N, T, ...) with another value at the steps that do not count.

    The values are replaced when they are read, so the array may be larger than the memory. It
    has what is asked of an array of samples.
    """

    def __init__(self, samples: Any, counted: Booleans, value: Any) -> None:
        self._samples = samples
        self._counted = counted
        self._value = value

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the samples."""
        shape: tuple[int, ...] = self._samples.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the samples."""
        dtype: np.dtype[Any] = self._samples.dtype
        return dtype

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """How much memory all samples would take."""
        nbytes: int = self._samples.nbytes
        return nbytes

    def __len__(self) -> int:
        return len(self._samples)

    def __array__(
        self, dtype: np.dtype[Any] | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        """Read all samples."""
        return np.asarray(self._read(self._samples, self._counted), dtype)

    def __getitem__(self, key: Any) -> Any:
        """Return a sample, the samples of an index, or those of a slice, not read yet."""
        if isinstance(key, slice):
            return type(self)(self._samples[key], self._counted[key], self._value)
        return self._read(self._samples[key], self._counted[key])

    def _read(self, samples: Any, counted: Booleans) -> NDArray[Any]:
        array = np.array(samples)
        array[~counted] = self._value
        return array

    def with_axis(self) -> Self:
        """Return the same with a last axis of 1."""
        samples = self._samples
        samples = (
            samples[..., np.newaxis] if isinstance(samples, np.ndarray) else samples.with_axis()
        )
        return type(self)(samples, self._counted, self._value)
