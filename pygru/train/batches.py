"""Batches that a user makes while training runs, for data that do not fit into memory.

A :class:`BatchStream` goes over them once per epoch. Each batch is read and checked when its
turn comes. What a batch has to be is checked by the function that the stream is given.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pygru.core import validation
from pygru.train.datasets import Data

#: What training calls data that are batches, in its settings.
STREAM = "batches"

#: A batch is (X, y, lengths, sample_weight, mask, reset), and may end after y.
MOST_ENTRIES = 6


def gives_batches(X: Any, y: Any) -> bool:
    """Whether X is a source of batches and not an array or a list of sequences."""
    if isinstance(X, (Mapping, np.ndarray, str, bytes)) or hasattr(X, "__array__"):
        return False
    if callable(X) or isinstance(X, Iterator):
        return True
    if isinstance(X, Sequence):
        return y is None and all(isinstance(each, tuple) for each in X)
    return isinstance(X, Iterable) and not hasattr(X, "__getitem__")


class BatchStream:
    """The batches of every epoch.

    Parameters
    ----------
    source : iterable or callable
        An object that gives an iterator over the batches of an epoch each time, or a function
        that returns one. If the function has a parameter, it gets the number of the epoch.
    read : callable
        ``read(item, name)`` returns the data set of one item.
    name : str
        What to call the batches in messages.
    """

    def __init__(self, source: Any, read: Callable[[tuple[Any, ...], str], Data], name: str):
        self._source = source
        self._read = read
        self.name = name
        self._takes_epoch = callable(source) and _takes_epoch(name, source)
        self._is_used = False

    def check_epochs(self, count: int) -> None:
        """Raise if there are several epochs of what can be read only once."""
        if count > 1 and isinstance(self._source, Iterator):
            raise ValueError(
                f"{self.name} is an iterator, which can be read only once, but there are "
                f"{count} epochs; pass a function that returns a new iterator, or a list"
            )

    def parts(self, epoch: int = 0, *, may_be_empty: bool = False) -> Iterator[Data | None]:
        """Yield the data set of each batch of an epoch.

        If there may be none, because other ranks make others, batches of no samples are allowed
        too; None stands for each of these.

        Raises
        ------
        TypeError, ValueError
            If there is no batch, unless there may be none, or if an item is no batch.
        """
        if isinstance(self._source, Iterator):
            if self._is_used:
                raise ValueError(
                    f"{self.name} is an iterator, which has been read already; pass a function "
                    "that returns a new iterator, or a list"
                )
            self._is_used = True
        items = self._source
        if callable(items):
            items = items(epoch) if self._takes_epoch else items()
        if not isinstance(items, Iterable):
            raise TypeError(
                f"{self.name} must return an iterator over batches, got "
                f"{validation.type_name(items)}"
            )
        number = -1
        for number, item in enumerate(items):
            name = f"{self.name}[{number}]"
            if not isinstance(item, (tuple, list)) or not 2 <= len(item) <= MOST_ENTRIES:
                size = f" of {len(item)}" if isinstance(item, (tuple, list)) else ""
                raise TypeError(
                    f"{name} must be a tuple (X, y), (X, y, lengths) or (X, y, lengths, "
                    f"sample_weight, mask, reset), got {validation.type_name(item)}{size}"
                )
            is_empty = may_be_empty and _has_no_samples(item[0])
            yield None if is_empty else self._read(tuple(item), name)
        if number < 0 and not may_be_empty:
            raise self.no_batch(epoch)

    def no_batch(self, epoch: int) -> ValueError:
        """The error for an epoch without batches."""
        return ValueError(
            f"{self.name} has no batch in epoch {epoch}; a function must return a new "
            "iterator each time"
        )


def _has_no_samples(X: Any) -> bool:
    first = next(iter(X.values()), None) if isinstance(X, Mapping) else X
    shape = getattr(first, "shape", None)
    return shape[:1] == (0,) if isinstance(shape, tuple) else first in ([], ())


def _takes_epoch(name: str, function: Callable[..., Any]) -> bool:
    """Whether a function has a parameter for the number of the epoch."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # compiled code may not say what it takes
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [
        each
        for each in parameters
        if each.default is each.empty
        and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if len(needed) > 1 or any(each.kind not in positional for each in needed):
        raise TypeError(
            f"{name} must be a function of no argument or of the number of the epoch, but it "
            f"needs {', '.join(each.name for each in needed)}"
        )
    return bool(needed)


def digest_of(data: Data, before: str) -> str:
    """Return what tells these batches from others: a hash of one and of all before it."""
    return hashlib.blake2b((before + data.fingerprint()).encode(), digest_size=16).hexdigest()
