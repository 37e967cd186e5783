"""Class labels of any kind: texts, truth values and integers become the numbers of columns.

A model that is trained with the cross-entropy has one output per class, a column. Targets are
the numbers of these columns, or labels. Labels are sorted, and the place of a label is its
column. What is trained never sees a label; they are translated here, in both directions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.core import validation
from pygru.train.scan import Samples, blocks_of, first_problem
from pygru.train.stored import is_stored
from pygru.typing import Integers

#: Kinds of NumPy's dtypes: texts, truth values, integers.
TEXT, BOOL, INTEGER = "U", "b", "iu"
SHOWN = 10  # classes that a message lists


def checked_classes(classes: Any) -> NDArray[Any]:
    """Return the labels of all columns as an array, or raise."""
    array = as_labels("classes", validated_array("classes", classes))
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(
            f"classes must be a list of at least 2 labels, got shape {array.shape}"
        )
    if len(np.unique(array)) < len(array):
        raise ValueError(f"classes must differ from each other, got {listed(array)}")
    return array


def validated_array(name: str, values: Any) -> NDArray[Any]:
    """Return values as an array; texts and other things together are refused.

    NumPy would make the text ``"nan"`` of a missing value between texts.
    """
    validation.refuse_foreign(name, values)
    array = np.asarray(values)
    if array.dtype.kind == TEXT and not isinstance(values, np.ndarray):
        array = np.asarray(values, object)
    return array


def as_labels(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of texts, truth values or integers; raise for anything else."""
    if array.dtype.kind in TEXT + BOOL + INTEGER:
        return array
    if array.dtype.kind == "T":  # NumPy's texts of variable size
        array = array.astype(object)
    if array.dtype.kind != "O":
        advice = f"; use {name}.astype(str)" if array.dtype.kind == "S" else ""
        raise TypeError(
            f"{name} must hold labels that are str, bool or int, got dtype {array.dtype}"
            f"{advice}"
        )
    flat = array.reshape(-1).tolist()
    first = _kind_of(flat[0]) if flat else str
    for number, value in enumerate(flat):
        if first is None or _kind_of(value) is not first:
            at = ", ".join(map(str, np.unravel_index(number, array.shape)))
            like = f", as the first one is a {first.__name__}" if first else ""
            raise TypeError(
                f"{name}[{at}] = {validation.shown(value)} is no label; labels must be all "
                f"str, all bool or all int{like}"
            )
    return array.astype(first)


def _kind_of(value: object) -> type | None:
    """The type of a single label; None if it is none."""
    if isinstance(value, (bool, np.bool_)):
        return bool
    if isinstance(value, (int, np.integer)):
        return int
    return str if isinstance(value, str) else None


def label_samples(name: str, values: Any) -> Samples | None:
    """Return targets that are labels as arrays; None if all of them are numbers.

    Parameters
    ----------
    name : str
        What to call them in messages.
    values : array_like or list of array_like
        (N,) or (N, T), or N sequences of (T_i,).
    """
    if (isinstance(values, np.ndarray) or is_stored(values)) and values.dtype.kind in "iuf":
        return None
    if isinstance(values, Sequence) and not isinstance(values, (str, bytes)):
        items = list(values)
    else:
        array = validated_array(name, values)
        if array.dtype.kind in "iuf" or array.ndim == 0:
            return None
        if not (array.dtype == object and array.ndim == 1):
            return as_labels(name, array)
        items = list(array)
    if not any(np.ndim(item) > 0 for item in items):
        array = validated_array(name, items)
        return None if array.dtype.kind in "iufc" else as_labels(name, array)
    arrays = [validated_array(f"{name}[{i}]", item) for i, item in enumerate(items)]
    if all(each.dtype.kind in "iuf" for each in arrays):
        return None
    return _of_one_kind(
        name,
        [
            each if not each.size else as_labels(f"{name}[{i}]", each)
            for i, each in enumerate(arrays)
        ],
    )


def _of_one_kind(name: str, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Sequences of labels, all of one kind; an empty one has that of the others."""
    kinds = [each.dtype.kind.replace("u", "i") for each in arrays]
    dtype = next(each.dtype for each in arrays if each.size)
    first = dtype.kind.replace("u", "i")
    for index, (each, kind) in enumerate(zip(arrays, kinds, strict=True)):
        if each.ndim != 1:
            raise ValueError(
                f"{name}[{index}] must be one label per step, got shape {each.shape}"
            )
        if each.size and kind != first:
            raise TypeError(f"{name} mixes labels of dtype {dtype} and {each.dtype}")
    return [each if each.size else np.zeros(0, dtype) for each in arrays]


def are_labels(samples: Samples) -> bool:
    """Whether targets are labels that are no numbers."""
    first = samples[0] if isinstance(samples, list) else samples
    return first.dtype.kind in TEXT + BOOL


def found_in(samples: Samples, lengths: Integers | None, ignored: int | None) -> NDArray[Any]:
    """Return the different labels that are read, sorted; both truth values if any is."""
    parts = [np.unique(values) for values in _read(samples, lengths)]
    if not parts:
        return np.zeros(0, np.int64)
    classes = np.unique(np.concatenate(parts))
    if classes.dtype.kind == BOOL:
        return np.array([False, True])
    if ignored is not None and classes.dtype.kind in INTEGER:
        classes = classes[classes != ignored]
    return classes


def _read(samples: Samples, lengths: Integers | None) -> Iterator[NDArray[Any]]:
    return (block.values for block in blocks_of(samples, lengths) if block.values.size)


def translated(
    name: str,
    samples: Samples,
    lengths: Integers | None,
    classes: NDArray[Any],
    ignored: int | None,
) -> Samples:
    """Return the columns of labels; targets that are ignored, and padding, stay numbers.

    Raises
    ------
    ValueError
        For the first label that is read and is none of the classes, with its place.
    """
    if ignored is not None and 0 <= ignored < len(classes):
        raise ValueError(
            f"ignore_index={ignored} is also the column of the class "
            f"{classes[ignored].item()!r}; choose a negative one"
        )
    table = _Table(classes, ignored)
    for block in blocks_of(samples, lengths):
        _, unknown = table.look_up(block.values)
        found = first_problem(name, samples, block, unknown)
        if found:
            raise ValueError(
                f"{found.place} = {np.asarray(found.value).item()!r} is none of the "
                f"{len(classes)} classes {listed(classes)}"
            )
    if isinstance(samples, list):
        return [table.look_up(each)[0] for each in samples]
    # What is not read may hold anything.
    return table.look_up(np.asarray(samples))[0]


class _Table:
    """The columns of sorted labels."""

    def __init__(self, classes: NDArray[Any], ignored: int | None) -> None:
        self._order = np.argsort(classes)
        self._sorted = classes[self._order]
        self._ignored = ignored
        wide = np.int64 if ignored is not None or len(classes) > 2**15 else np.int16
        self._columns = self._order.astype(wide)

    def look_up(self, labels: NDArray[Any]) -> tuple[Integers, NDArray[np.bool_]]:
        """Return the columns of labels, and which labels are unknown; their column is 0."""
        if (labels.dtype.kind == TEXT) != (self._sorted.dtype.kind == TEXT):
            unknown = np.ones(labels.shape, bool)
            place = np.zeros(labels.shape, np.intp)
        else:
            place = np.searchsorted(self._sorted, labels).clip(max=len(self._sorted) - 1)
            unknown = self._sorted[place] != labels
        columns = np.where(unknown, 0, self._columns[place]).astype(self._columns.dtype)
        if self._ignored is not None and labels.dtype.kind in INTEGER:
            ignored = labels == self._ignored
            columns[ignored] = self._ignored
            unknown = unknown & ~ignored
        return columns, unknown


def listed(classes: NDArray[Any]) -> str:
    """The first classes as a text."""
    shown = ", ".join(validation.shown(label) for label in classes[:SHOWN].tolist())
    return shown if len(classes) <= SHOWN else f"{shown}, ..."
