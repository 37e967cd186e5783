"""What a forecaster remembers of the tables that it was trained on: names, kinds, categories.

No value of the user's series is in it. It is written to the forecaster's file as JSON.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Self

from pygru.forecasting.calendar import steps_named


@dataclass(frozen=True)
class Column:
    """One column of a table, and how it becomes numbers.

    Attributes
    ----------
    name : hashable
        Its name in the table.
    categories : tuple of str or None
        The categories of the training data, in order; None for a column of numbers. A category
        column becomes one column of 0 and 1 for each category. A value that is missing or not
        among the categories is 0 in all of them.
    """

    name: Hashable
    categories: tuple[str, ...] | None = None

    @property
    def width(self) -> int:
        """How many columns of numbers it becomes."""
        return 1 if self.categories is None else len(self.categories)

    def to_json(self) -> dict[str, Any]:
        """Return the column as values that JSON has."""
        chosen = None if self.categories is None else list(self.categories)
        return {"name": name_to_json(self.name), "categories": chosen}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return the column that :meth:`to_json` has written; raise if it is damaged."""
        if not isinstance(value, dict):
            raise ValueError("a column is not an object")
        chosen = value.get("categories")
        if chosen is not None:
            if not isinstance(chosen, list) or not all(isinstance(c, str) for c in chosen):
                raise ValueError("the categories of a column are not a list of strings")
            if len(set(chosen)) != len(chosen):
                raise ValueError("a category of a column is repeated")
            chosen = tuple(chosen)
        return cls(name_from_json(value.get("name")), chosen)


@dataclass(frozen=True)
class Schema:
    """The columns and the steps of the series that a forecaster was trained on.

    Attributes
    ----------
    targets, past, future, static : tuple of Column
        What is forecast, and the covariates: known for the past only, known for the future too,
        and constant within a series. Targets are columns of numbers.
    id : tuple of hashable
        The columns that tell the series of a long table apart; empty for one series.
    time : hashable
        The time column, or the name of the index; None if it has none.
    frequency : str or int
        The steps as pandas writes them, or the difference of numbered steps.
    index : str
        ``"dates"``, ``"periods"`` or ``"numbers"``.
    container : str
        ``"array"`` (T,), ``"matrix"`` (T, n), ``"series"``, ``"frame"``, ``"long"``, or
        ``"multi"`` for a table whose index has the ids and the time.
    has_time_column : bool
        Whether ``time`` is a column rather than the index.
    """

    targets: tuple[Column, ...]
    past: tuple[Column, ...] = ()
    future: tuple[Column, ...] = ()
    static: tuple[Column, ...] = ()
    id: tuple[Hashable, ...] = ()
    time: Hashable = None
    frequency: str | int = 1
    index: str = "numbers"
    container: str = "array"
    has_time_column: bool = False

    def width(self, role: str) -> int:
        """How many columns of numbers the columns of a role become, such as ``"past"``."""
        return sum(column.width for column in getattr(self, role))

    @property
    def target_names(self) -> tuple[Hashable, ...]:
        """The names of the targets."""
        return tuple(column.name for column in self.targets)

    def to_json(self) -> dict[str, Any]:
        """Return the schema as values that JSON has."""
        note: dict[str, Any] = {
            role: [column.to_json() for column in getattr(self, role)] for role in ROLES
        }
        note["id"] = [name_to_json(name) for name in self.id]
        note["time"] = name_to_json(self.time)
        for field in ("frequency", "index", "container", "has_time_column"):
            note[field] = getattr(self, field)
        return note

    @classmethod
    def from_json(cls, note: Any) -> Self:
        """Return the schema that :meth:`to_json` has written.

        Raises
        ------
        ValueError
            If something in it is missing or damaged.
        """
        if not isinstance(note, dict):
            raise ValueError("the description of the table is not an object")
        missing = {*ROLES, "id", "time", *KINDS} - set(note)
        if missing:
            raise ValueError(f"the description of the table has no {sorted(missing)[0]!r}")
        for field, allowed in KINDS.items():
            if not allowed(note[field]):
                raise ValueError(f"the description of the table has a damaged {field!r}")
        for field in (*ROLES, "id"):
            if not isinstance(note[field], list):
                raise ValueError(f"the description of the table has a damaged {field!r}")
        steps_named(note["index"], note["frequency"])  # raises if there are no such steps
        columns: dict[str, Any] = {
            role: tuple(map(Column.from_json, note[role])) for role in ROLES
        }
        if not columns["targets"] or any(c.categories is not None for c in columns["targets"]):
            raise ValueError("the description of the table has no target of numbers")
        return cls(
            **columns,
            id=tuple(name_from_json(name) for name in note["id"]),
            time=name_from_json(note["time"]),
            **{field: note[field] for field in KINDS},
        )


ROLES = ("targets", "past", "future", "static")
INDEX_KINDS = ("dates", "periods", "numbers")
CONTAINERS = ("array", "matrix", "series", "frame", "long", "multi")
KINDS: dict[str, Any] = {
    "frequency": lambda value: isinstance(value, str) or (type(value) is int and value >= 1),
    "index": lambda value: value in INDEX_KINDS,
    "container": lambda value: value in CONTAINERS,
    "has_time_column": lambda value: isinstance(value, bool),
}


def name_to_json(name: Hashable) -> Any:
    """Return a column's name as JSON: text and numbers as they are, a tuple as a list."""
    if isinstance(name, tuple):
        return [name_to_json(part) for part in name]
    if name is None or isinstance(name, (str, bool, int, float)):
        return name
    item = getattr(name, "item", None)  # a number of NumPy
    return item() if callable(item) and not hasattr(name, "isoformat") else str(name)


def name_from_json(value: Any) -> Hashable:
    """Return the name that :func:`name_to_json` has written."""
    if isinstance(value, list):
        if any(isinstance(part, list) for part in value):
            raise ValueError("the name of a column is a list of lists")
        return tuple(name_from_json(part) for part in value)
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise ValueError("the name of a column is neither text nor a number")
