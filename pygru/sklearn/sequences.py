"""What estimators accept as X: tables, arrays with a time axis, and lists of sequences.

Values are checked by scikit-learn, so its errors are the usual ones. Nothing is padded here.
"""

from __future__ import annotations

import dataclasses
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import validate_data

from pygru.typing import Floats

FLOATS = [np.float64, np.float32]

#: (n, T, F) or a list of (T_i, F); of tokens (n, T) or a list of (T_i,).
Values: TypeAlias = NDArray[Any] | list[NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Sequences:
    """The sequences of n samples."""

    values: Values
    features: int  # F, 1 for tokens
    is_table: bool  # whether X was (n, T): each column a time

    def __len__(self) -> int:
        return len(self.values)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of a model for these numbers; tokens are float32."""
        kind = self.values[0].dtype if isinstance(self.values, list) else self.values.dtype
        return kind if kind.kind == "f" else np.dtype(np.float32)

    @property
    def largest(self) -> int:
        """The largest token."""
        return max(int(np.max(sample, initial=0)) for sample in self.values)

    def take(self, index: NDArray[np.intp]) -> Sequences:
        """Return the samples of ``index``."""
        if isinstance(self.values, list):
            values: Values = [self.values[i] for i in index.tolist()]
        else:
            values = self.values[index]
        return dataclasses.replace(self, values=values)


def read(estimator: Any, X: Any, *, tokens: bool, reset: bool) -> Sequences:
    """Return X as sequences, after checking it.

    Parameters
    ----------
    estimator : estimator
        With ``reset`` its ``n_features_in_`` is set, else X must fit it.
    X : array_like or list of array_like
        (n, T), (n, T, F), or n sequences (T_i,) or (T_i, F).
    tokens : bool
        Whether each step is an integer; X is then (n, T), or n sequences (T_i,).
    reset : bool
        Whether the estimator is being fitted for the first time.

    Raises
    ------
    TypeError, ValueError
        If X cannot be read; the text is scikit-learn's where it has one.
    """
    X, sequences = _as_list(X)
    ndim = 0 if sequences is not None else _ndim(X)
    if ndim == 3 or sequences is not None:
        found = (
            _from_list(sequences, tokens) if sequences is not None else _with_time(X, tokens)
        )
        if reset:
            estimator.n_features_in_ = found.features
            estimator.__dict__.pop("feature_names_in_", None)
    else:
        found = _table(estimator, X, tokens, reset=reset)
    if reset:
        estimator._is_table = found.is_table
        estimator._n_step_features = found.features
    elif found.features != estimator._n_step_features:
        raise ValueError(
            f"X has {found.features} features per step, but {type(estimator).__name__} is "
            f"expecting {estimator._n_step_features} features as input"
        )
    return found


def _ndim(X: Any) -> int:
    """The number of dimensions; 2 where only scikit-learn's check knows what is wrong."""
    if hasattr(X, "ndim"):
        return int(X.ndim)
    try:
        return np.asarray(X).ndim
    except ValueError:
        return 2


def _as_list(X: Any) -> tuple[Any, list[NDArray[Any]] | None]:
    """X, and its sequences if they have different lengths."""
    is_objects = isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1
    if not is_objects and not isinstance(X, (list, tuple)):
        return X, None
    if not len(X) or not all(isinstance(sample, (list, tuple, np.ndarray)) for sample in X):
        return X, None
    arrays = [np.asarray(sample) for sample in X]
    for index, array in enumerate(arrays):
        if array.ndim not in (1, 2) or array.ndim != arrays[0].ndim:
            raise ValueError(
                f"X[{index}] must be a sequence (T_i,) or (T_i, F) like the others, got shape "
                f"{array.shape}"
            )
        if array.shape[1:] != arrays[0].shape[1:]:
            raise ValueError(
                f"X[{index}] must have {arrays[0].shape[1]} features per step like X[0], got "
                f"{array.shape[1]}"
            )
    if len({len(array) for array in arrays}) == 1:
        return (np.stack(arrays) if is_objects else X), None
    return X, arrays


def _from_list(arrays: list[NDArray[Any]], tokens: bool) -> Sequences:
    """Sequences of different lengths; their values are checked all at once."""
    joined = np.concatenate(arrays)
    if tokens:
        if joined.ndim != 1:
            raise ValueError("X must hold sequences of tokens (T_i,) if embedding is given")
        values = _integers(check_array(joined, dtype=None, ensure_2d=False, input_name="X"))
    else:
        table = joined[:, np.newaxis] if joined.ndim == 1 else joined
        values = check_array(table, dtype=FLOATS, input_name="X")
    ends = np.cumsum([len(array) for array in arrays])
    return Sequences(
        np.split(values, ends[:-1]), 1 if tokens else values.shape[1], is_table=False
    )


def _with_time(X: Any, tokens: bool) -> Sequences:
    """An array (n, T, F)."""
    if tokens:
        raise ValueError("X must be (n, T) or a list of (T_i,) if embedding is given")
    array = check_array(X, dtype=FLOATS, allow_nd=True, order="C", input_name="X")
    if 0 in array.shape:
        raise ValueError(f"X must have at least one step and one feature, got {array.shape}")
    return Sequences(array, array.shape[2], is_table=False)


def _table(estimator: Any, X: Any, tokens: bool, *, reset: bool) -> Sequences:
    """A table (n, T), each row one series; also everything that scikit-learn refuses."""
    dtype = None if tokens else FLOATS
    if reset or estimator._is_table:
        array = validate_data(estimator, X, dtype=dtype, order="C", reset=reset)
    else:  # fitted on sequences, which may have any length
        array = check_array(X, dtype=dtype, order="C", input_name="X")
    values = _integers(array) if tokens else array[:, :, np.newaxis]
    return Sequences(values, 1, is_table=True)


def _integers(values: NDArray[Any]) -> NDArray[Any]:
    """Tokens as integers; numbers with a fraction are refused."""
    if values.dtype.kind in "iu":
        return values
    if values.dtype.kind not in "fb" or not (values == np.floor(values)).all():
        raise ValueError(f"X must hold integers if embedding is given, got {values.dtype}")
    return values.astype(np.int64)


def checked_weights(sample_weight: ArrayLike | None, X: Sequences) -> Floats | None:
    """Return the weights of samples as float64, or None; raise if they do not fit."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, Real):
        sample_weight = np.full(len(X), sample_weight)
    weights: Floats = check_array(
        sample_weight, dtype=np.float64, ensure_2d=False, copy=True, input_name="sample_weight"
    )
    if weights.ndim != 1:
        raise ValueError(
            f"Sample weights must be 1D array or scalar, got shape {weights.shape}"
        )
    check_consistent_length(X.values, weights)
    if (weights < 0).any():
        raise ValueError("Negative values in data passed to `sample_weight`")
    if not weights.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weights
