"""``pygru predict``: the steps after the last row of a table, as CSV."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pygru.commands.errors import CommandError, UsageError

if TYPE_CHECKING:
    from pygru.forecasting.reading import Table
    from pygru.forecasting.schema import Schema


def run(options: argparse.Namespace) -> None:
    """Run ``pygru predict``."""
    from pygru.commands.wording import FileWords
    from pygru.core.threads import num_threads, resolve
    from pygru.forecasting import GRUForecaster
    from pygru.io.files import write_atomically

    if options.output != "-" and Path(options.output).exists() and not options.force:
        raise CommandError(f"{options.output} exists; use --force to replace it")
    forecaster = GRUForecaster.load(options.model)
    schema = forecaster.schema_
    new_names = _new_names(schema, options)
    table, rows = _read(options.data, schema, new_names, options)
    future_table, future = None, None
    if options.future is not None:
        future_table, future = _read(options.future, schema, new_names, options, is_future=True)
    try:
        with num_threads(resolve(options.threads)), FileWords(table, future_table):
            forecast = forecaster.predict(rows, future=future)
    except CommandError as error:
        if not str(error).startswith("--future must cover"):
            raise
        hint = f"further rows of {options.data} may have them too"
        raise CommandError(f"{error}; {hint}") from error
    data = _as_csv(forecast, schema, new_names).encode()
    if options.output != "-":
        write_atomically(options.output, data)
    elif sys.stdout is not None:
        # Files of pygru are UTF-8, whatever the terminal is.
        sys.stdout.flush()
        sys.stdout.buffer.write(data)


def _new_names(schema: Schema, options: argparse.Namespace) -> dict[str, str]:
    """What the columns of training are called in this table, where that is another name."""
    from pygru.commands.columns import names

    trained = {
        "target": list(schema.target_names),
        "time": [schema.time] if schema.has_time_column else [],
        "id": list(schema.id),
    }
    if options.time is not None and schema.index == "numbers" and not trained["time"]:
        raise UsageError("--time does not fit: the model was trained without a time column")
    found: dict[str, str] = {}
    for role, old in trained.items():
        value = getattr(options, role)
        if value is None or (role == "time" and not old):
            continue
        new = [value] if len(old) == 1 else names(value)
        if len(new) != len(old):
            if not old:
                raise UsageError(f"--{role} does not fit: the model was trained without it")
            raise UsageError(
                f"--{role} must name {len(old)} columns, as in training "
                f"({', '.join(map(str, old))}), got {len(new)}"
            )
        found |= {str(a): b for a, b in zip(old, new, strict=True)}
    return found


def _read(
    path: str,
    schema: Schema,
    new_names: dict[str, str],
    options: argparse.Namespace,
    is_future: bool = False,
) -> tuple[Table, Any]:
    """Read a table; return it, and its rows with the names of training, converted."""
    from pygru.commands import columns

    # Categories are text, so that 1 is the category "1" and not 1.0; but booleans may be
    # written in several ways, which pandas knows.
    described = (*schema.past, *schema.future, *schema.static)
    categories = {str(each.name): each.categories for each in described if each.categories}
    text = [name for name, known in categories.items() if not set(known) <= {"True", "False"}]
    ids = [new_names.get(str(name), str(name)) for name in schema.id]
    table = columns.read(path, options, [*ids, *text])
    roles = {
        "id": [str(name) for name in schema.id],
        "future_features": [str(column.name) for column in schema.future],
    }
    if not is_future:
        roles["target"] = [str(name) for name in schema.target_names]
        roles["features"] = [str(column.name) for column in schema.past]
        roles["static"] = [str(column.name) for column in schema.static]
        if options.future is not None:  # the table of the past may lack them
            own = set(table.frame.columns)
            roles["future_features"] = [n for n in roles["future_features"] if n in own]
    here = {
        role: [table.require(new_names.get(name, name)) for name in names]
        for role, names in roles.items()
    }
    time = _time_column(schema, table, new_names, options)
    here["time"] = [] if time is None else [time]
    numbers = {role: [n for n in names if n not in categories] for role, names in here.items()}
    frame = columns.convert(table, numbers, options.time_zone)
    old_names = {new: old for old, new in new_names.items()}
    # A column that has the name of one of training, and is not the one.
    others = [old for old in new_names if old in frame.columns and old not in old_names]
    frame = frame.drop(columns=others).rename(columns=old_names)
    if time is not None and not schema.has_time_column:
        frame = frame.set_index(time)
    return table, frame


def _time_column(
    schema: Schema, table: Table, new_names: dict[str, str], options: argparse.Namespace
) -> str | None:
    """The column that has the times; it may have been the index of a table in Python."""
    from pygru.commands.columns import find_time

    name = str(schema.time)
    if schema.has_time_column:
        return table.require(new_names.get(name, name))
    if schema.index == "numbers":
        return None
    if options.time is not None:
        return table.require(options.time)
    found = [] if name in table.frame.columns else find_time(table.frame, {})
    return found[0] if found else table.require(name)


def _as_csv(forecast: Any, schema: Schema, new_names: dict[str, str]) -> str:
    """Return a forecast as CSV: ids, times, then the targets with all their digits."""
    in_index = not schema.has_time_column
    label = "row" if schema.index == "numbers" else forecast.index.name or "time"
    new = {name: _new_name(str(name), schema, new_names) for name in forecast.columns}
    text: str = forecast.rename(columns=new).to_csv(
        index=in_index, index_label=label if in_index else None, lineterminator="\n"
    )
    return text


def _new_name(name: str, schema: Schema, new_names: dict[str, str]) -> str:
    """The name of a column of the forecast in this table, that of a quantile included."""
    if name in new_names:
        return new_names[name]
    for target in map(str, schema.target_names):
        if target in new_names and name.startswith(f"{target}_q"):
            return new_names[target] + name[len(target) :]
    return name
