"""From sequences of different lengths to one array, and back."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from pygru.core import validation


def as_sequences(name: str, sequences: Iterable[ArrayLike]) -> list[NDArray[Any]]:
    """Return arrays of sequences; ``[]`` has the dtype and the features of the others.

    An object array is what ``numpy.load`` returns for sequences of different lengths; if they
    happen to have one length, it has more than one axis and holds the numbers themselves.
    """
    if isinstance(sequences, np.ndarray) and sequences.dtype == object and sequences.ndim > 1:
        sequences = sequences.tolist()
    try:
        items = list(sequences)
    except TypeError:
        raise TypeError(
            f"{name} must be a sequence of arrays, got {validation.type_name(sequences)}"
        ) from None
    arrays = [validation.as_numeric(f"{name}[{i}]", each) for i, each in enumerate(items)]
    telling = [array for array in arrays if array.shape != (0,) and array.ndim]
    if not telling:
        return arrays
    dtype, features = np.result_type(*telling), telling[0].shape[1:]
    return [np.zeros((0, *features), dtype) if a.shape == (0,) else a for a in arrays]


def converted(name: str, array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array of numbers as another dtype, or raise if that would change them."""
    if dtype.kind == "f" or not array.size:
        return validation.as_real(name, array, dtype)
    if array.dtype.kind == "f":
        raise TypeError(f"{name} holds {array.dtype}, which {dtype} would round")
    least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    for value in (int(array.min()), int(array.max())):
        if not least <= value <= most:
            raise ValueError(f"{name} holds {value}, which is out of the range of {dtype}")
    return array.astype(dtype)


def pad_sequences(
    sequences: Iterable[ArrayLike], *, dtype: DTypeLike | None = None, batch_first: bool = True
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Copy sequences of different lengths into one array, zeros at the end of the shorter ones.

    Parameters
    ----------
    sequences : sequence of array_like, or object array
        Arrays of (T_i, ...); all but the first axis must agree. One may be ``[]``.
    dtype : dtype, optional
        Of the result, a type of real numbers; by default the one that holds all of them.
    batch_first : bool
        Whether the result is (B, T, ...) rather than (T, B, ...).

    Returns
    -------
    padded : ndarray
        (B, T, ...) or (T, B, ...), T being the longest length.
    lengths : ndarray of int64
        (B,) the length of each sequence.

    Raises
    ------
    TypeError
        If something is not a sequence of numbers, or if an integer dtype would round floats.
    ValueError
        If there is no sequence, if the shapes differ beyond the first axis, or if a number is
        out of the range of ``dtype``.

    Examples
    --------
    >>> import pygru
    >>> padded, lengths = pygru.pad_sequences([[1, 2, 3], [4]])
    >>> padded.tolist(), lengths.tolist()
    ([[1, 2, 3], [4, 0, 0]], [3, 1])
    """
    batch_first = validation.check_bool("batch_first", batch_first)
    wanted = None if dtype is None else np.dtype(dtype)
    if wanted is not None and wanted.kind not in "biuf":
        raise TypeError(f"dtype must be one of real numbers, got {wanted}")
    arrays = as_sequences("sequences", sequences)
    if not arrays:
        raise ValueError("sequences must hold at least one sequence, got none")
    features = arrays[0].shape[1:]
    for i, array in enumerate(arrays):
        if array.ndim == 0 or array.shape[1:] != features:
            expected = ", ".join(map(str, ("time", *features)))
            raise ValueError(
                f"sequences[{i}] must have shape ({expected}) like the first, got {array.shape}"
            )
    lengths = np.array([len(array) for array in arrays], np.int64)
    if wanted is not None:
        arrays = [converted(f"sequences[{i}]", a, wanted) for i, a in enumerate(arrays)]
    longest = int(lengths.max())
    shape = (len(arrays), longest) if batch_first else (longest, len(arrays))
    padded = np.zeros((*shape, *features), wanted or np.result_type(*arrays))
    rows = padded if batch_first else padded.swapaxes(0, 1)
    for row, array in zip(rows, arrays, strict=True):
        row[: len(array)] = array
    return padded, lengths


def padded_flags(name: str, value: Any, lengths: Sequence[int]) -> NDArray[np.bool_]:
    """Return the flags of a list of sequences as one array (B, T), False after their ends."""
    if not isinstance(value, (list, tuple)) or len(value) != len(lengths):
        got = validation.type_name(value)
        if isinstance(value, (list, tuple)):
            got = f"{got} of {len(value)}"
        raise ValueError(
            f"{name} must be a list of {len(lengths)} arrays (time,), because x is a list of "
            f"sequences, got {got}"
        )
    flags = np.zeros((len(lengths), max(lengths, default=0)), np.bool_)
    for i, (row, each, length) in enumerate(zip(flags, value, lengths, strict=True)):
        array = validation.as_flags(f"{name}[{i}]", each)
        validation.check_shape(f"{name}[{i}]", array, (length,), f"(time={length},)")
        row[:length] = array
    return flags


def unpad_sequences(
    padded: ArrayLike, lengths: Sequence[int] | NDArray[Any], *, batch_first: bool = True
) -> list[NDArray[Any]]:
    """Return the list of sequences that a padded array holds, as views.

    Parameters
    ----------
    padded : array_like
        (B, T, ...), or (T, B, ...) without ``batch_first``.
    lengths : array_like of int
        (B,) the length of each sequence.
    batch_first : bool
        Which of the first two axes is the batch.

    Raises
    ------
    TypeError, ValueError
        If the array has fewer than two axes, or the lengths are not integers from 0 to T.

    Examples
    --------
    >>> import numpy as np, pygru
    >>> [row.tolist() for row in pygru.unpad_sequences(np.array([[1, 2], [3, 0]]), [2, 1])]
    [[1, 2], [3]]
    """
    array = np.asanyarray(padded)
    if array.ndim < 2:
        raise ValueError(f"padded must have at least 2 dimensions, got {array.ndim}")
    rows = array if validation.check_bool("batch_first", batch_first) else array.swapaxes(0, 1)
    checked = validation.as_lengths(lengths, *rows.shape[:2])
    return [row[:length] for row, length in zip(rows, checked, strict=True)]
