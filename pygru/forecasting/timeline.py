"""The steps and the complete grid of each series in a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from pygru.data.messages import cut, warn
from pygru.data.order import as_integers
from pygru.forecasting.calendar import Steps, steps_named
from pygru.forecasting.frequency import (
    find_steps,
    given_steps,
    no_steps,
    off_grid,
    steps_like,
)
from pygru.forecasting.schema import Schema
from pygru.forecasting.tables import Source

MANY_HOLES = 0.5


def index_kind(stamps: Any) -> str:
    """``"dates"``, ``"periods"`` or ``"numbers"``."""
    if not hasattr(stamps, "asi8"):
        return "numbers"
    return "dates" if hasattr(stamps, "tz") else "periods"


def steps_of_all(source: Source, freq: object) -> list[Steps]:
    """Return the steps of each series; all have one length.

    Raises
    ------
    TypeError, ValueError
        If they cannot be found, or differ between series, or if ``freq`` does not fit.
    """
    if freq is not None:
        steps = given_steps(source.stamps, freq)
        return [steps] * len(source.ids)
    # Series of two rows say little; the longest one that has steps speaks for all.
    lengths = np.diff(source.order.starts)
    ranked = np.argsort(-lengths, kind="stable")
    for first in map(int, ranked):
        common = find_steps(source.times(first))
        if common is not None:
            break
    else:
        longest = int(ranked[0])
        raise no_steps(source.name(longest), source.times(longest))
    result = []
    known: dict[bytes, Steps | None] = {}  # series of one table often have the same times
    for number in range(len(source.ids)):
        stamps = source.times(number)
        key = as_integers(stamps).tobytes()
        if key not in known:
            known[key] = steps_like(common, stamps)
        own = known[key]
        if own is None:
            raise _different(source, first, common, number)
        result.append(own)
    return result


def _different(source: Source, first: int, common: Steps, number: int) -> ValueError:
    stamps = source.times(number)
    own = find_steps(stamps)
    if own is None:
        return no_steps(source.name(number), stamps)
    return ValueError(
        f"{source.what}: the series must have steps of one length: {cut(source.ids[first])} "
        f"has {common.name!r}, and {cut(source.ids[number])} has {own.name!r}. Name the "
        "frequency with freq="
    )


def steps_of_schema(source: Source, schema: Schema) -> list[Steps]:
    """Return the steps of each series, which must be as long as those of the training data."""
    kind = index_kind(source.stamps)
    if kind != schema.index:
        raise ValueError(
            f"{source.what}: its index has {kind}, and the forecaster was trained on an index "
            f"of {schema.index}"
        )
    trained = steps_named(schema.index, schema.frequency)
    result = []
    for number in range(len(source.ids)):
        stamps = source.times(number)
        own = steps_like(trained, stamps)
        if own is None:
            found = find_steps(stamps)
            if found is None:
                raise no_steps(source.name(number), stamps)
            raise ValueError(
                f"{source.name(number)} has steps of {found.name!r}, and the forecaster was "
                f"trained on steps of {trained.name!r}"
            )
        result.append(own)
    return result


def complete(source: Source, number: int, steps: Steps) -> tuple[Any, Any]:
    """Return the complete grid of a series, and where its rows are on it.

    Raises
    ------
    ValueError
        If a time is not on the grid; the message shows the first such rows.
    """
    stamps = source.times(number)
    grid = steps.grid(stamps)
    place = steps.place(grid, stamps) if len(grid) else np.full(len(stamps), -1)
    wrong = np.flatnonzero(place < 0)
    if wrong.size:
        rows = source.rows(number)[wrong]
        raise off_grid(source.name(number), steps, rows, stamps[wrong], stamps[0], stamps)
    return grid, place


def warn_of_holes(source: Source, rows: int, steps: int, name: object, schema: Any) -> None:
    """Warn if a trained forecaster gets a table with far fewer rows than steps."""
    if schema is not None and steps > 10 and rows < MANY_HOLES * steps:
        warn(
            f"{source.what} has {rows} rows for {steps} steps of {name!r}, the frequency of "
            "the training data; the other steps are missing values"
        )
