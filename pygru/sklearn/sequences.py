"""What estimators accept as X: tables, arrays with a time axis, and sequences of any lengths.

Sequences come in a list, a Series or an array of objects, or in a DataFrame whose cells hold
one feature each. Values are checked by scikit-learn, so its errors are the usual ones, except
for missing values: the message says where one is, and what to do. Nothing is padded here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array
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
    form: str  # how X was given: "array", "list" or "objects"

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

    @property
    def lengths(self) -> NDArray[np.intp]:
        """(n,) the steps of each sequence."""
        return np.array([len(sample) for sample in self.values], np.intp)

    def take(self, index: NDArray[np.intp]) -> Sequences:
        """Return the samples of ``index``."""
        return dataclasses.replace(self, values=take(self.values, index))

    def divided(self, steps: NDArray[Any]) -> Values:
        """Divide an array with one row for every step of all sequences, as X is divided."""
        if isinstance(self.values, list):
            return np.split(steps, np.cumsum(self.lengths)[:-1])
        return steps.reshape(*self.values.shape[:2], *steps.shape[1:])

    def as_given(self, results: Values) -> Any:
        """Return results for every step in the form in which X was given."""
        if self.form == "array":
            return results
        if self.form == "list":
            return list(results)
        return objects(list(results))


def take(values: Any, index: NDArray[np.intp]) -> Any:
    """Return the elements of ``index``, of an array or a list."""
    return [values[i] for i in index.tolist()] if isinstance(values, list) else values[index]


def objects(samples: list[Any]) -> NDArray[Any]:
    """Return an array (n,) of objects, also if all have the same length."""
    array = np.empty(len(samples), object)
    for index, sample in enumerate(samples):
        array[index] = sample
    return array


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
    name = type(estimator).__name__
    _check_kind(X)
    names_from = X if _holds_arrays(X) else None
    X, samples, form = _samples_of(X)
    if reset and not tokens and samples is not None and _is_table_of_lists(X, samples):
        samples = None
    if samples is not None:
        found = _from_samples(name, samples, tokens, form)
    elif _ndim(X) == 3:
        found = _with_time(name, X, tokens, form)
    else:
        found = _table(estimator, X, tokens, form, reset=reset)
    if not found.is_table and reset:
        estimator.n_features_in_ = found.features
        estimator.__dict__.pop("feature_names_in_", None)
    if names_from is not None and not found.is_table:
        validate_data(estimator, names_from, skip_check_array=True, reset=reset)
    if reset:
        estimator._is_table = found.is_table
        estimator._n_step_features = found.features
    elif found.features != estimator._n_step_features:
        expected = estimator._n_step_features
        single = found.is_table and np.shape(X)[1:] == (expected,)
        raise ValueError(
            f"X has {found.features} features per step, but {name} is expecting {expected} "
            "features as input" + ("; a single sequence is [X]" if single else "")
        )
    return found


def _check_kind(X: Any) -> None:
    """Refuse what is no array and no list, and arrays with too many axes."""
    is_array = any(hasattr(X, name) for name in ("shape", "__array__", "__array_namespace__"))
    if not is_array and (not hasattr(X, "__len__") or isinstance(X, Mapping)):
        hint = "; list(X) makes a list" if isinstance(X, Iterator) else ""
        raise TypeError(
            f"X must be an array or a list of sequences, got {type(X).__name__}{hint}"
        )
    if getattr(X, "ndim", 0) > 3:
        raise ValueError(f"X must have shape (n, T) or (n, T, F), got an array of dim {X.ndim}")


def _ndim(X: Any) -> int:
    """The number of dimensions; 2 where only scikit-learn's check knows what is wrong."""
    if hasattr(X, "ndim"):
        return int(X.ndim)
    try:
        return np.asarray(X).ndim
    except ValueError:
        return 2


def is_sequence(value: Any) -> bool:
    """Whether a value is a list or an array, and not a single number or text."""
    return isinstance(value, (list, tuple)) or (
        hasattr(value, "__array__") and len(getattr(value, "shape", ())) > 0
    )


def unwrapped(values: Any) -> Any:
    """Return the array of objects that a Series holds; anything else unchanged."""
    if hasattr(values, "to_numpy") and len(getattr(values, "shape", ())) == 1:
        return values.to_numpy()
    return values


def _holds_arrays(X: Any) -> bool:
    """Whether X is a DataFrame whose cells are sequences, one column per feature."""
    return (
        hasattr(X, "iloc")
        and getattr(X, "ndim", 0) == 2
        and bool(len(X))
        and bool(X.shape[1])
        and is_sequence(X.iloc[0, 0])
    )


def _samples_of(X: Any) -> tuple[Any, list[NDArray[Any]] | None, str]:
    """X, its sequences if it is a list of them, and the form of X."""
    if _holds_arrays(X):
        X = objects([_joined_cells(i, row) for i, row in enumerate(X.to_numpy())])
    X = unwrapped(X)
    is_objects = isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1
    if not is_objects and not isinstance(X, (list, tuple)):
        return X, None, "array"
    form = "objects" if is_objects else "list"
    of_sequences = [is_sequence(sample) for sample in X]
    if not any(of_sequences):
        return X, None, form
    if not all(of_sequences):
        index = of_sequences.index(False)
        raise ValueError(
            f"X[{index}] must be a sequence (T_i,) or (T_i, F) like the others, got "
            f"{type(X[index]).__name__}"
        )
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
    return X, arrays, form


def _is_table_of_lists(X: Any, samples: list[NDArray[Any]]) -> bool:
    """Whether a list holds rows of numbers, which scikit-learn takes for a table."""
    return (
        all(isinstance(row, (list, tuple)) for row in X)
        and samples[0].ndim == 1
        and len({len(row) for row in samples}) == 1
    )


def _joined_cells(index: int, row: NDArray[Any]) -> NDArray[Any]:
    """The sequence (T_i, F) whose features are in the cells of one row."""
    cells = [np.asarray(cell) for cell in row]
    shapes = {cell.shape for cell in cells}
    if len(shapes) > 1 or cells[0].ndim != 1:
        raise ValueError(
            f"the cells of row {index} of X must be arrays (T_i,) of one length, got shapes "
            f"{', '.join(map(str, [cell.shape for cell in cells][:5]))}"
        )
    return np.stack(cells, axis=-1)


def _from_samples(name: str, arrays: list[NDArray[Any]], tokens: bool, form: str) -> Sequences:
    """Sequences of a list; their values are checked all at once."""
    joined = np.concatenate(arrays)
    if tokens:
        if joined.ndim != 1:
            raise ValueError("X must hold sequences of tokens (T_i,) if embedding is given")
        steps = _integers(check_array(joined, dtype=None, ensure_2d=False, input_name="X"))
    else:
        table = joined[:, np.newaxis] if joined.ndim == 1 else joined
        steps = check_array(table, dtype=FLOATS, ensure_all_finite=False, input_name="X")
    lengths = [len(array) for array in arrays]
    if not tokens and not _is_finite(steps):
        _refuse_missing(name, np.split(steps.reshape(joined.shape), np.cumsum(lengths)[:-1]))
    features = 1 if tokens else steps.shape[1]
    if len(set(lengths)) == 1:
        values: Values = steps.reshape(len(arrays), lengths[0], *steps.shape[1:])
    else:
        values = np.split(steps, np.cumsum(lengths)[:-1])
    return Sequences(values, features, False, form)


def _with_time(name: str, X: Any, tokens: bool, form: str) -> Sequences:
    """An array (n, T, F)."""
    if tokens:
        raise ValueError("X must be (n, T) or a list of (T_i,) if embedding is given")
    array = check_array(
        X, dtype=FLOATS, allow_nd=True, order="C", ensure_all_finite=False, input_name="X"
    )
    if 0 in array.shape:
        raise ValueError(f"X must have at least one step and one feature, got {array.shape}")
    if not _is_finite(array):
        _refuse_missing(name, array)
    return Sequences(array, array.shape[2], False, form)


def _table(estimator: Any, X: Any, tokens: bool, form: str, *, reset: bool) -> Sequences:
    """A table (n, T), each row one series; also everything that scikit-learn refuses."""
    options: dict[str, Any] = {"dtype": None if tokens else FLOATS, "order": "C"}
    options["ensure_all_finite"] = tokens
    if reset or estimator._is_table:
        array = validate_data(estimator, X, reset=reset, **options)
    else:  # fitted on sequences, which may have any length
        array = check_array(X, input_name="X", **options)
    if not tokens and not _is_finite(array):
        _refuse_missing(type(estimator).__name__, array)
    values = _integers(array) if tokens else array[:, :, np.newaxis]
    return Sequences(values, 1, True, form)


def _is_finite(values: Floats) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum())) or bool(np.isfinite(values).all())


def _refuse_missing(name: str, samples: Values) -> None:
    """Raise for the first value that is not finite."""
    index = next(i for i, sample in enumerate(samples) if not np.isfinite(sample).all())
    sample = samples[index]
    place = tuple(np.argwhere(~np.isfinite(sample))[0].tolist())
    if isinstance(samples, list):
        x, each = "x", " for each sequence x"
        where = f"X[{index}]{list(place)}"
    else:
        x, each = "X", ""
        where = f"X{[index, *place]}"
    if not np.isnan(sample[place]):
        raise ValueError(
            f"Input X contains infinity or a value too large for {sample.dtype}: {where}"
        )
    join = "stack" if sample.ndim == 1 else "concatenate"
    raise ValueError(
        f"Input X contains NaN: {where}. {name} does not accept missing values. Replace them, "
        "and give a mask of them as further features, for example "
        f"np.{join}([np.nan_to_num({x}), np.isnan({x})], axis=-1){each}"
    )


def _integers(values: NDArray[Any]) -> NDArray[Any]:
    """Tokens as integers; numbers with a fraction are refused."""
    if values.dtype.kind in "iu":
        return values
    if values.dtype.kind not in "fb" or not (values == np.floor(values)).all():
        raise ValueError(f"X must hold integers if embedding is given, got {values.dtype}")
    return values.astype(np.int64)
