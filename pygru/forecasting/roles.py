"""Sorts the columns that users pass into targets, past, future and static covariates.

A covariate is named as a column of ``y``'s table, or has a table of its own. When a forecaster
is trained, the columns are described; afterwards they must be the same ones.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pygru.core import validation
from pygru.data.identity import names_of
from pygru.data.messages import cut, shown_names
from pygru.forecasting.columns import check_targets, describe, require
from pygru.forecasting.schema import Column, Schema
from pygru.forecasting.tables import Keys, as_table

ARRAYS = ("array", "matrix")


@dataclass(frozen=True)
class Roles:
    """The columns of each role, and the tables of their own that covariates have."""

    targets: tuple[Column, ...]
    past: tuple[Column, ...] = ()
    future: tuple[Column, ...] = ()
    static: tuple[Column, ...] = ()
    past_table: Any = None
    future_table: Any = None
    static_table: Any = None


def own_table(argument: str, value: Any, container: str) -> Any:
    """Return the table of its own that covariates have, or None for names of columns."""
    if isinstance(value, (pd.DataFrame, pd.Series)):
        return as_table(argument, value)[0]
    if container in ARRAYS:
        if argument == "static":
            raise TypeError("static must be a DataFrame of one row where y is an array")
        return as_table(argument, value)[0]
    if getattr(value, "ndim", 0) > 1 or container == "series":
        raise TypeError(
            f"{argument} must be a DataFrame with the same index as y"
            + ("" if container == "series" else ", or a list of y's columns")
            + f", got {validation.type_name(value)}"
        )
    return None


def _columns_of(argument: str, table: Any, keys: Keys) -> list[Hashable]:
    names = [name for name in table.columns if name not in keys.id and name != keys.time]
    if not names:
        raise ValueError(f"{argument} has no column of values")
    return names


def fitted_roles(
    table: Any, container: str, keys: Keys, past: Any, future: Any, target: Any, static: Any
) -> Roles:
    """Return the roles for the training data, with the categories that occur in it."""
    named: dict[str, list[Hashable]] = {}
    tables: dict[str, Any] = {}
    for argument, value in (("past", past), ("future", future), ("static", static)):
        tables[argument] = None
        named[argument] = []
        if value is None:
            continue
        tables[argument] = own_table(argument, value, container)
        if tables[argument] is None:
            named[argument] = list(names_of(argument, value))
            require("y", argument, table, named[argument])
        else:
            named[argument] = _columns_of(argument, tables[argument], keys)
    named["target"] = _targets(table, container, keys, target, named)
    _refuse_two_roles(named, keys)
    described = {
        argument: describe(
            "y" if tables[argument] is None else argument,
            table if tables[argument] is None else tables[argument],
            named[argument],
        )
        for argument in tables
    }
    targets = check_targets("y", table, named["target"])
    return Roles(
        targets, **described, **{f"{argument}_table": own for argument, own in tables.items()}
    )


def _targets(
    table: Any, container: str, keys: Keys, target: Any, named: dict[str, list[Hashable]]
) -> list[Hashable]:
    if target is not None:
        if container in ARRAYS:
            raise ValueError("target= names columns of a table, and y is an array")
        chosen = list(names_of("target", target))
        if not chosen:
            raise ValueError("target must name at least one column")
        require("y", "target", table, chosen)
        return chosen
    taken = {*keys.id, *(name for names in named.values() for name in names)}
    if keys.has_time_column:
        taken.add(keys.time)
    found = [name for name in table.columns if name not in taken]
    if not found:
        raise ValueError(
            "y has no column left to forecast: its columns are "
            f"{shown_names(table.columns)}, and all are ids, times or covariates"
        )
    return found


def _refuse_two_roles(named: dict[str, list[Hashable]], keys: Keys) -> None:
    roles: dict[Hashable, str] = dict.fromkeys(keys.id, "id")
    if keys.has_time_column:
        roles[keys.time] = "time"
    for argument, names in named.items():
        for name in names:
            if name in roles:
                raise ValueError(
                    f"column {cut(name)} is named in both {roles[name]} and {argument}"
                )
            roles[name] = argument


# ---- after training ----------------------------------------------------------------------


def trained_roles(
    schema: Schema, table: Any, container: str, past: Any, future: Any, static: Any
) -> tuple[Roles, Any]:
    """Return the roles of the training data for other tables, and ``y``'s table.

    The columns of an array have no names; they take those of the training data in their order.
    """
    table = _named_targets(schema, table, container)
    tables = {}
    for argument, value in (("past", past), ("future", future), ("static", static)):
        columns = getattr(schema, argument)
        wanted = [column.name for column in columns]
        own = None if value is None else own_table(argument, value, container)
        if own is not None and not columns:
            raise ValueError(
                f"{argument} was given, and the forecaster was trained without {argument} "
                "covariates"
            )
        if own is not None and container in ARRAYS and argument != "static":
            own = renamed(argument, own, wanted)
        if own is None and value is not None:
            extra = set(names_of(argument, value)) - set(wanted)
            if extra:
                raise ValueError(
                    f"{argument} names {shown_names(extra)}, which the forecaster was trained "
                    "without"
                )
        if own is not None:
            require(argument, argument, own, wanted)
        elif missing := [name for name in wanted if name not in table.columns]:
            raise ValueError(
                f"the forecaster was trained with the {argument} covariate"
                f"{'s' if len(missing) > 1 else ''} {shown_names(missing)}: y has no such "
                f"column, so pass {argument}= a table that has"
            )
        tables[f"{argument}_table"] = own
    roles = Roles(schema.targets, schema.past, schema.future, schema.static, **tables)
    return roles, table


def renamed(argument: str, table: Any, names: list[Hashable]) -> Any:
    """Return a table that was an array, with the names that its columns had in training."""
    if len(table.columns) != len(names):
        raise ValueError(
            f"{argument} must have {len(names)} column{'s' if len(names) != 1 else ''} "
            f"({shown_names(names)}), as in training, got {len(table.columns)}"
        )
    return table.set_axis(names, axis=1)


def _named_targets(schema: Schema, table: Any, container: str) -> Any:
    names = list(schema.target_names)
    if container == "frame":
        require("y", "target", table, names)
        return table
    return renamed("y", table, names)
