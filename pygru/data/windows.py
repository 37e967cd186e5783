"""Windows that slide over sequences, and the steps after each window as its target.

A window never reaches over the end of a sequence, and its target begins after its last step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from pygru.core import validation
from pygru.data.padding import as_sequences

Array = NDArray[Any]


def windows(
    values: ArrayLike | Sequence[ArrayLike],
    window: int,
    *,
    horizon: int | None = None,
    stride: int = 1,
    gap: int = 0,
    target: int | Sequence[int] | None = None,
    return_index: bool = False,
) -> Any:
    """Return all windows of a sequence, or of several, and the steps that follow each.

    Windows of neighbouring steps overlap. Two windows that overlap must not be divided between
    training and test data: cut the sequence into its parts first and then make windows of each
    part, or choose the windows by the index that ``return_index`` adds.

    Parameters
    ----------
    values : array_like, or list of array_like
        (T,) or (T, F); or a list of such arrays, whose windows follow one another. A sequence
        of a list that is too short has no window.
    window : int
        Steps of a window.
    horizon : int, optional
        Steps of the target, which follow the window. Without it there is no target.
    stride : int
        Steps from one window to the next.
    gap : int
        Steps left out between a window and its target.
    target : int or list of int, optional
        The features of the target; by default all of them. A single int leaves out the axis.
    return_index : bool
        Whether to return the index of each window's last step too.

    Returns
    -------
    X : ndarray
        (N, window) or (N, window, F). For one array this is a read-only view of it, without a
        copy, whatever the overlap. The windows of several sequences are copies.
    y : ndarray
        Only with ``horizon``: (N, horizon) or (N, horizon, F), of the same kind.
    index : ndarray of int64
        Only with ``return_index``: (N,) the last step of each window; for a list (N, 2), the
        number of the sequence and the step in it. A window and its target have the steps from
        ``index - window + 1`` to ``index + gap + horizon``.

    Raises
    ------
    TypeError
        If something is no number, or ``gap`` or ``target`` is given without ``horizon``.
    ValueError
        If no sequence is long enough for a single window, or a feature does not exist.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru.data import windows
    >>> X, y = windows(np.arange(6), 3, horizon=1)
    >>> X.tolist(), y.tolist()
    ([[0, 1, 2], [1, 2, 3], [2, 3, 4]], [[3], [4], [5]])

    Training windows end, with their targets, before step 80, and test windows begin after it:

    >>> series = np.sin(np.arange(100))
    >>> X, y, last = windows(series, 10, horizon=2, return_index=True)
    >>> train, test = last + 2 < 80, last - 9 >= 80
    >>> len(X[train]), len(X[test])
    (69, 9)
    """
    window = validation.check_int("window", window, 1)
    stride = validation.check_int("stride", stride, 1)
    gap = validation.check_int("gap", gap, 0)
    return_index = validation.check_bool("return_index", return_index)
    if horizon is not None:
        horizon = validation.check_int("horizon", horizon, 1)
    elif gap or target is not None:
        raise TypeError(f"{'gap' if gap else 'target'} needs horizon=, the steps of the target")
    after = 0 if horizon is None else gap + horizon
    needed = window + after
    is_list = _is_list(values)
    arrays = _checked(values, is_list)
    longest = max(len(array) for array in arrays)
    if longest < needed:
        which = "the longest sequence of values" if is_list else "values"
        raise ValueError(
            f"{which} has {longest} steps, and one window needs {window} for itself"
            + (f" and {after} for gap and horizon" if after else "")
        )
    columns = None if horizon is None else _features(arrays[0], target)
    parts: list[tuple[Array, ...]] = []
    for number, array in enumerate(arrays):
        if len(array) < needed:
            continue
        count = (len(array) - needed) // stride + 1
        part = [_slide(array, window, 0, count, stride)]
        if horizon is not None:
            wanted = array if columns is None else array[:, columns]
            part.append(_slide(wanted, horizon, window + gap, count, stride))
        if return_index:
            last = window - 1 + stride * np.arange(count, dtype=np.int64)
            part.append(np.stack([np.full_like(last, number), last], 1) if is_list else last)
        parts.append(tuple(part))
    joined = parts[0]
    if len(parts) > 1:
        joined = tuple(np.concatenate(pieces) for pieces in zip(*parts, strict=True))
    return joined if len(joined) > 1 else joined[0]


def _is_list(values: Any) -> bool:
    """Whether these are several sequences: a list of arrays, or an array of objects."""
    if isinstance(values, np.ndarray):
        return bool(values.dtype == object)
    if isinstance(values, (list, tuple)):
        return len(values) > 0 and all(np.ndim(each) > 0 for each in values)
    return False


def _checked(values: Any, is_list: bool) -> list[Array]:
    """The sequences as arrays (T,) or (T, F) of one number of features."""
    if not is_list:
        arrays = [validation.as_numeric("values", values)]
        names = ["values"]
    else:
        arrays = as_sequences("values", values)
        names = [f"values[{i}]" for i in range(len(arrays))]
    for name, array in zip(names, arrays, strict=True):
        if array.ndim not in (1, 2):
            raise ValueError(
                f"{name} must have shape (T,) or (T, F), got {array.shape}; several sequences "
                "are a list of arrays"
            )
        if array.shape[1:] != arrays[0].shape[1:]:
            raise ValueError(
                f"{name} must have the features of the first sequence, {arrays[0].shape[1:]}, "
                f"got {array.shape[1:]}"
            )
    return arrays


def _features(array: Array, target: Any) -> Any:
    """What selects the target's features, or None for all of them."""
    if target is None:
        return None
    if array.ndim == 1:
        raise ValueError("target chooses among features, and a sequence (T,) has one")
    features = array.shape[1]
    single = not isinstance(target, (list, tuple, np.ndarray))
    listed = [target] if single else target
    chosen = [validation.check_int("target", each, 0) for each in listed]
    if any(each >= features for each in chosen):
        raise ValueError(
            f"target must be below {features}, the number of features, got {max(chosen)}"
        )
    if not chosen:
        raise ValueError("target must name at least one feature")
    if single:
        return chosen[0]
    # A slice keeps the target a view; other choices make a copy of their columns.
    if chosen == list(range(chosen[0], chosen[-1] + 1)):
        return slice(chosen[0], chosen[-1] + 1)
    return chosen


def _slide(array: Array, length: int, first: int, count: int, stride: int) -> Array:
    """The windows of ``length`` steps from ``first`` on, (count, length, ...), as a view."""
    view = sliding_window_view(array[first:], length, axis=0)
    return np.moveaxis(view, -1, 1)[: count * stride : stride][:count]
