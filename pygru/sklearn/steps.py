"""Targets and weights: one for each sequence, or one for each step of every sequence.

Values for every step are handled as one array with a row for each step of all sequences, one
sequence after the other. There is no padding in it, so none can count.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array, check_consistent_length

from pygru.sklearn.sequences import Sequences, Values, is_sequence, unwrapped
from pygru.typing import Floats


def of_every_step(name: str, given: Any, X: Sequences) -> NDArray[Any]:
    """Return the values of all steps, (steps,) or (steps, k).

    Parameters
    ----------
    name : str
        What to call the values in messages.
    given : array_like or list of array_like
        (n, T) or (n, T, k), or n arrays (T_i,) or (T_i, k).
    X : Sequences
        The sequences to which the values belong.

    Raises
    ------
    ValueError
        If there is not one value for each step of each sequence.
    """
    rows = _rows(given)
    check_consistent_length(X.values, rows)
    samples = [np.asarray(row) for row in rows]
    # The dtype of an empty list means nothing.
    filled = [sample for sample in samples if sample.size] or samples
    for index, (sample, length) in enumerate(zip(samples, X.lengths.tolist(), strict=True)):
        if sample.ndim not in (1, 2) or len(sample) != length:
            raise ValueError(
                f"{name}[{index}] must have one value for each of the {length} steps of "
                f"X[{index}], because pooling=None, got shape {sample.shape}"
            )
        if length and sample.shape[1:] != filled[0].shape[1:]:
            raise ValueError(
                f"{name}[{index}] must have shape {(length, *filled[0].shape[1:])} like the "
                f"others, got {sample.shape}"
            )
    return np.concatenate(filled)


def _rows(given: Any) -> Any:
    """What belongs to each sequence, in a list or an array."""
    rows = unwrapped(given)
    return rows if isinstance(rows, (list, tuple)) else np.asarray(rows)


def refuse_steps(name: str, y: Any, X: Sequences) -> None:
    """Raise with a hint if y has one value for each step, but there should be one in all."""
    rows = unwrapped(y)
    if not is_sequence(rows) or len(rows) != len(X) or not all(map(is_sequence, rows)):
        return
    lengths = [len(row) for row in rows]
    if lengths == X.lengths.tolist() and max(lengths) > 1:
        raise ValueError(
            f"y must have one value per sequence, got one per step; {name}(pooling=None) "
            "predicts every step"
        )


def joined(values: Values) -> NDArray[Any]:
    """Return what belongs to steps as one array, a row for each step of all sequences."""
    return np.concatenate(list(values))


def weights_of_samples(sample_weight: Any, X: Sequences) -> Floats | None:
    """Return the weights (n,) as float64, or None; raise if they do not fit."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, Real):
        sample_weight = np.full(len(X), sample_weight)
    weights = _checked(sample_weight)
    check_consistent_length(X.values, weights)
    return weights


def weights_of_steps(sample_weight: Any, X: Sequences) -> Floats | None:
    """Return the weights of all steps; each sequence may also have one for all its steps."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, Real) or not any(map(is_sequence, _rows(sample_weight))):
        weights = weights_of_samples(sample_weight, X)
        return None if weights is None else np.repeat(weights, X.lengths)
    return _checked(of_every_step("sample_weight", sample_weight, X))


def _checked(sample_weight: Any) -> Floats:
    weights: Floats = check_array(
        sample_weight, dtype=np.float64, ensure_2d=False, copy=True, input_name="sample_weight"
    )
    if weights.ndim != 1:
        raise ValueError(
            f"Sample weights must be 1D array or scalar, got shape {weights.shape}"
        )
    if (weights < 0).any():
        raise ValueError("Negative values in data passed to `sample_weight`")
    if not weights.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weights
