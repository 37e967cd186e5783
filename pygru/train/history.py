"""The numbers of a training run, epoch by epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np

from pygru.core import validation
from pygru.core.pickled import CheckedState
from pygru.shown import RIGHT, html_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_ROWS = 20  # of the table in a notebook


class History(CheckedState):
    """The numbers of every epoch, in order.

    ``history["loss"]`` is the list of the losses of all epochs, and other names work in the
    same way. ``history.records`` is the list of epochs, over which a loop over the history
    goes, and ``history[-1]`` is the last one. Each epoch is a dict with ``epoch``, ``loss``,
    ``learning_rate``, ``seconds`` and ``sequences``. With validation data it also has
    ``val_loss``. Callbacks may add numbers of their own. ``pandas.DataFrame(history)`` has one
    row per epoch.

    Parameters
    ----------
    records : list of dict, optional
        Epochs to begin with.

    Examples
    --------
    >>> from pygru import History
    >>> history = History([{"epoch": 0, "loss": 2.0}, {"epoch": 1, "loss": 1.0}])
    >>> history["loss"], len(history), history[-1]
    ([2.0, 1.0], 2, {'epoch': 1, 'loss': 1.0})
    """

    _changing = frozenset({"records"})

    def __init__(self, records: Iterable[Mapping[str, Any]] = ()) -> None:
        self.records = [dict(record) for record in records]

    def _restore(self) -> None:
        records = self.records
        if not isinstance(records, list) or not all(isinstance(each, dict) for each in records):
            raise TypeError(f"records must be a list of dicts, got {validation.shown(records)}")

    def append(self, record: Mapping[str, Any]) -> None:
        """Add the numbers of one more epoch."""
        self.records.append(dict(record))

    @overload
    def __getitem__(self, name: str) -> list[Any]: ...
    @overload
    def __getitem__(self, name: SupportsIndex) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, name: slice) -> list[dict[str, Any]]: ...

    def __getitem__(self, name: Any) -> Any:
        if not isinstance(name, str):
            return self.records[name]
        values = [record[name] for record in self.records if name in record]
        if not values:
            known = ", ".join(sorted(self.names)) or "no epochs"
            raise KeyError(f"history has no {name!r}; it has {known}")
        return values

    def __contains__(self, name: object) -> bool:
        return any(name in record for record in self.records)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def names(self) -> list[str]:
        """The names of all numbers, in the order in which they first appear."""
        return list(dict.fromkeys(name for record in self.records for name in record))

    def __repr__(self) -> str:
        last = "" if not self.records else f", last {self.records[-1]}"
        return f"History({len(self)} epochs{last})"

    def _repr_html_(self) -> str:
        """A table with one row per epoch, as far as they fit."""
        names, rows = self.names, [self._row(record) for record in self.records]
        if len(rows) > MOST_ROWS:
            half = MOST_ROWS // 2
            rows = [*rows[:half], ["…"] * len(names), *rows[-half:]]
        table = html_table(names, rows, [RIGHT] * len(names))
        return f"<div><p>History of {len(self)} epochs</p>{table if names else ''}</div>"

    def _row(self, record: Mapping[str, Any]) -> list[str]:
        values = (record.get(name, "") for name in self.names)
        return [f"{value:.4g}" if isinstance(value, float) else str(value) for value in values]

    def to_json(self) -> str:
        """Return the records as JSON text; numbers that are not finite become ``null``."""
        records = [
            {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in record.items()
            }
            for record in self.records
        ]
        return json.dumps({"records": records}, indent=1, allow_nan=False)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw training and validation loss over epochs.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        from pygru.plot import plot_history

        return plot_history(self, ax)


def check_record(name: str, record: Any) -> None:
    """Raise unless ``record`` is one that training writes, perhaps with more numbers."""
    if not isinstance(record, dict):
        raise TypeError(f"{name} must be a dict, got {validation.type_name(record)}")
    check_metrics(name, record)
    for key in ("epoch", "loss", "learning_rate", "seconds", "sequences"):
        if key not in record:
            raise ValueError(f"{name} has no {key}")
    for key, minimum in (("epoch", 0), ("sequences", 1)):
        validation.check_count(f"{name}: {key}", record[key], minimum)
    for key in ("learning_rate", "seconds"):
        validation.check_not_negative(f"{name}: {key}", record[key])


def check_metrics(name: str, record: dict[str, Any]) -> None:
    """Raise unless a record has numbers under names; those of NumPy become Python's own."""
    for key, value in record.items():
        if not isinstance(key, str):
            raise TypeError(f"{name} has the key {key!r}; a key must be a str")
        if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and not value.ndim):
            record[key] = value = value.item()
        if not isinstance(value, (int, float)):
            raise TypeError(
                f"{name}: {key} must be a number, got {validation.type_name(value)}"
            )
        if not isinstance(value, bool):
            validation.check_stored_number(f"{name}: {key}", value)
