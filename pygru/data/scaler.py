"""Brings the features of sequences to one scale, which is computed from training data only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pygru.core import validation
from pygru.core.hints import NamedArguments
from pygru.core.pickled import CheckedState
from pygru.data.padding import as_sequences
from pygru.typing import Floats

Array = NDArray[Any]

METHODS = ("standard", "robust", "minmax")

# A feature whose spread is at most this many roundings of its largest value is constant.
ROUNDINGS = 8


class Scaler(CheckedState, NamedArguments):
    """Subtract a centre from each feature and divide by a scale, both learned by :meth:`fit`.

    Fit it on the training data and transform the validation and test data with it: a scale that
    was computed from all data tells the model about the test data.

    The last axis is that of the features. A list is a list of sequences, of which each may be
    one-dimensional. NaN is ignored by :meth:`fit` and stays NaN. A feature that is constant, or
    differs only by rounding, has the scale 1. All sums are in float64.

    Parameters
    ----------
    method : str
        ``"standard"``: mean and standard deviation. ``"robust"``: median, and the distance
        between the quartiles, which a few extreme values do not move. ``"minmax"``: the least
        value becomes 0 and the largest 1.
    center, scale : list of float, optional
        (F,) what :meth:`fit` has learned; see :meth:`get_params`.

    Attributes
    ----------
    method : str
    center, scale : list of float, or None before :meth:`fit`

    Examples
    --------
    >>> import numpy as np
    >>> from pygru.data import Scaler
    >>> train = [np.array([[1.0, 500.0], [3.0, 700.0]]), np.array([[2.0, 600.0]])]
    >>> scaler = Scaler("minmax").fit(train)
    >>> scaler.transform([[[2.0, 800.0]]])[0].tolist()
    [[0.5, 1.5]]

    It is saved with a model, and made again from the file:

    >>> import pygru
    >>> model = pygru.Sequential(pygru.GRU(2, 4, batch_first=True, seed=0))
    >>> pygru.save(model, "scaled.safetensors", {"scaler": scaler.get_params()})
    >>> again = Scaler(**pygru.read_metadata("scaled.safetensors")["scaler"])
    >>> again.center, again.scale
    ([1.0, 500.0], [2.0, 200.0])
    """

    def __init__(
        self,
        method: str = "standard",
        *,
        center: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
    ) -> None:
        # Stored as they came, so that scikit-learn can copy a scaler; checked when used.
        self.method = method
        self.center = center
        self.scale = scale

    def __repr__(self) -> str:
        state = "not fitted" if self.center is None else f"{len(self.center)} features"
        return f"Scaler({self.method!r}): {state}"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return what makes the same scaler again, ``Scaler(**params)``, as values of JSON."""
        return {"method": self.method, "center": self.center, "scale": self.scale}

    def set_params(self, **params: Any) -> Self:
        """Set arguments of the constructor."""
        for name, value in params.items():
            if name not in ("method", "center", "scale"):
                raise ValueError(validation.unexpected_key(name, ["method", "center", "scale"]))
            setattr(self, name, value)
        return self

    def fit(self, X: Any, y: Any = None, *, lengths: ArrayLike | None = None) -> Self:
        """Learn the centre and the scale of each feature.

        Parameters
        ----------
        X : array_like, or list of array_like
            (T,), (T, F) or (N, T, F); or a list of (T_i, F) or (T_i,). Univariate sequences in
            one array (N, T) are passed as ``X[..., np.newaxis]``.
        y : object
            Ignored; scikit-learn passes it.
        lengths : array_like of int, optional
            (N,) the valid steps of each sequence of an array (N, T, F). No other is read.

        Raises
        ------
        TypeError
            If something is no number.
        ValueError
            If there is no value, or a value is infinite, or ``method`` is unknown.
        """
        method = validation.check_choice("method", self.method, METHODS)
        arrays, _ = _as_arrays(X, lengths)
        rows = np.concatenate([_rows(array) for array in arrays])
        if not len(rows):
            raise ValueError("X has no step to learn a scale from")
        found = [_learn(method, column, place) for place, column in enumerate(rows.T)]
        self.center = [center for center, _ in found]
        self.scale = [scale for _, scale in found]
        return self

    def transform(self, X: Any, *, lengths: ArrayLike | None = None) -> Any:
        """Return scaled data of the same shape; a list for a list.

        float32 stays float32, and everything else becomes float64. With ``lengths``, the steps
        after the end of a sequence stay as they are.

        Raises
        ------
        RuntimeError
            If the scaler has not been fitted.
        TypeError, ValueError
            If X is not of numbers, or has another number of features.
        """
        return self._apply(X, lengths, lambda values, c, s: (values - c) / s)

    def inverse_transform(self, X: Any, *, lengths: ArrayLike | None = None) -> Any:
        """Return data in the units of before :meth:`transform`."""
        return self._apply(X, lengths, lambda values, c, s: values * s + c)

    def fit_transform(self, X: Any, y: Any = None, *, lengths: ArrayLike | None = None) -> Any:
        """Fit, and return the scaled data."""
        return self.fit(X, y, lengths=lengths).transform(X, lengths=lengths)

    def _apply(self, X: Any, lengths: ArrayLike | None, function: Any) -> Any:
        center, scale = self._learned()
        arrays, checked = _as_arrays(X, lengths, whole=True)
        results = []
        for array in arrays:
            features = 1 if array.ndim == 1 else array.shape[-1]
            if features != len(center):
                raise ValueError(
                    f"X has {features} feature{'s' if features != 1 else ''}, and the scaler "
                    f"was fitted with {len(center)}"
                )
            dtype = array.dtype if array.dtype == np.float32 else np.dtype(np.float64)
            wide = validation.as_real("X", array, np.float64)
            with np.errstate(over="ignore", invalid="ignore"):
                done = function(_by_feature(wide), center, scale).astype(dtype, copy=False)
            done = done.reshape(array.shape)
            if checked is not None:
                padding = np.arange(array.shape[1]) >= checked[:, np.newaxis]
                done[padding] = array[padding]
            results.append(done)
        return results if _is_list(X) else results[0]

    def _learned(self) -> tuple[Floats, Floats]:
        if self.center is None or self.scale is None:
            raise RuntimeError("the scaler is not fitted yet: call fit first")
        center = validation.as_real("center", self.center, np.float64)
        scale = validation.as_real("scale", self.scale, np.float64)
        if center.ndim != 1 or center.shape != scale.shape:
            raise ValueError(
                "center and scale must be lists of one number for each feature, got shapes "
                f"{center.shape} and {scale.shape}"
            )
        if not (np.isfinite(center).all() and np.isfinite(scale).all() and (scale > 0).all()):
            raise ValueError("center must be finite, and scale finite and above 0")
        return center, scale

    def __sklearn_is_fitted__(self) -> bool:
        return self.center is not None


def _is_list(X: Any) -> bool:
    """Whether X is several sequences rather than one array."""
    if isinstance(X, np.ndarray):
        return bool(X.dtype == object)
    return isinstance(X, (list, tuple)) and len(X) > 0 and all(np.ndim(each) for each in X)


def _as_arrays(
    X: Any, lengths: ArrayLike | None, whole: bool = False
) -> tuple[list[Array], NDArray[np.int64] | None]:
    """The arrays of X, and the checked lengths; without ``whole`` only the valid steps."""
    if _is_list(X):
        if lengths is not None:
            raise ValueError("lengths is for an array (N, T, F); a list has its own lengths")
        arrays = as_sequences("X", X)
        for i, array in enumerate(arrays):
            if array.ndim not in (1, 2) or array.shape[1:] != arrays[0].shape[1:]:
                raise ValueError(
                    f"X[{i}] must have shape (T, {', '.join(map(str, arrays[0].shape[1:]))}) "
                    f"like the first, got {array.shape}"
                )
        return arrays, None
    array = validation.as_numeric("X", X)
    if array.ndim not in (1, 2, 3):
        raise ValueError(f"X must have shape (T,), (T, F) or (N, T, F), got {array.shape}")
    if lengths is None:
        return [array], None
    if array.ndim != 3:
        raise ValueError(f"lengths is for an array (N, T, F), got {array.shape}")
    checked = validation.as_lengths(lengths, *array.shape[:2])
    if whole:
        return [array], checked
    return [array[np.arange(array.shape[1]) < checked[:, np.newaxis]]], checked


def _by_feature(array: Array) -> Array:
    """An array whose last axis is that of the features."""
    return array[:, np.newaxis] if array.ndim == 1 else array


def _rows(array: Array) -> Array:
    return _by_feature(array).reshape(-1, 1 if array.ndim == 1 else array.shape[-1])


def _learn(method: str, column: Array, place: int) -> tuple[float, float]:
    """The centre and the scale of one feature."""
    precision = column.dtype if column.dtype.kind == "f" else np.dtype(np.float64)
    rounding = ROUNDINGS * float(np.finfo(precision).eps)
    values = validation.as_real("X", column, np.float64)
    known = values[~np.isnan(values)]
    if not known.size:
        raise ValueError(f"feature {place} of X has no value to learn a scale from")
    if np.isinf(known).any():
        row = int(np.flatnonzero(np.isinf(values))[0])
        raise ValueError(f"feature {place} of X is infinite, first in step {row} of all steps")
    # Divided by a power of two, which is exact: no sum or square becomes infinite.
    exponent = int(np.frexp(np.abs(known).max())[1])
    center, scale = _spread(method, np.ldexp(known, -exponent), rounding)
    if scale <= rounding:  # of a constant feature, each value minus the centre is 0
        return float(np.ldexp(center, exponent)), 1.0
    with np.errstate(over="ignore"):
        center, scale = np.ldexp([center, scale], exponent).tolist()
    if not np.isfinite(scale):
        raise ValueError(f"feature {place} of X spreads over more than float64 can hold")
    return center, scale or 1.0


def _spread(method: str, known: Floats, rounding: float) -> tuple[float, float]:
    """The centre and the scale of values of at most 1."""
    least, most = float(known.min()), float(known.max())
    if method == "minmax" or most - least <= rounding:
        return least, most - least
    if method == "robust":
        low, center, high = np.quantile(known, [0.25, 0.5, 0.75])
        if high - low > rounding:
            return float(center), float(high - low)
        return float(center), float(np.std(known))  # more than half of the values are the same
    mean = known.mean()
    return float(mean), float(np.sqrt(np.mean((known - mean) ** 2)))
