"""From sequences of different lengths to one array, and back."""

import numpy as np

from pygru.core import validation


def as_sequences(name, sequences):
    """Return arrays of sequences; ``[]`` has the dtype and the features of the others."""
    arrays = [
        validation.as_numeric(f"{name}[{i}]", sequence) for i, sequence in enumerate(sequences)
    ]
    telling = [array for array in arrays if array.shape != (0,) and array.ndim]
    if not telling:
        return arrays
    dtype, features = np.result_type(*telling), telling[0].shape[1:]
    return [np.zeros((0, *features), dtype) if a.shape == (0,) else a for a in arrays]


def pad_sequences(sequences, *, dtype=None, batch_first=True):
    """Copy sequences of different lengths into one array, zeros at the end of the shorter ones.

    Parameters
    ----------
    sequences : sequence of array_like
        Arrays of (T_i, ...); all but the first axis must agree. One may be ``[]``.
    dtype : dtype, optional
        Of the result; by default the one that holds all of them.
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
    ValueError
        If there is no sequence, or the shapes differ beyond the first axis.

    Examples
    --------
    >>> import pygru
    >>> padded, lengths = pygru.pad_sequences([[1, 2, 3], [4]])
    >>> padded.tolist(), lengths.tolist()
    ([[1, 2, 3], [4, 0, 0]], [3, 1])
    """
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
    if dtype is None:
        dtype = np.result_type(*arrays)
    else:
        arrays = [
            validation.as_real(f"sequences[{i}]", array, np.dtype(dtype))
            for i, array in enumerate(arrays)
        ]
    shape = (
        (len(arrays), int(lengths.max())) if batch_first else (int(lengths.max()), len(arrays))
    )
    padded = np.zeros((*shape, *features), dtype)
    rows = padded if batch_first else padded.swapaxes(0, 1)
    for row, array in zip(rows, arrays, strict=True):
        row[: len(array)] = array
    return padded, lengths


def unpad_sequences(padded, lengths, *, batch_first=True):
    """Return the list of sequences that a padded array holds, as views.

    Parameters
    ----------
    padded : ndarray
        (B, T, ...), or (T, B, ...) without ``batch_first``.
    lengths : sequence of int
        (B,) the length of each sequence.
    batch_first : bool
        Which of the first two axes is the batch.

    Examples
    --------
    >>> import numpy as np, pygru
    >>> [row.tolist() for row in pygru.unpad_sequences(np.array([[1, 2], [3, 0]]), [2, 1])]
    [[1, 2], [3]]
    """
    rows = padded if batch_first else padded.swapaxes(0, 1)
    return [row[:length] for row, length in zip(rows, lengths, strict=True)]
