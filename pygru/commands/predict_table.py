"""The forecast of one table by a trained forecaster, as ``pygru predict`` writes it.

Columns of the table may have other names than in training. The forecast has the names of the
table, and its index has become columns. This file reads files; it writes none.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from pygru.commands import columns
from pygru.commands.errors import CommandError, UsageError
from pygru.commands.wording import FileWords
from pygru.core.threads import num_threads, resolve

if TYPE_CHECKING:
    import pandas as pd

    from pygru.forecasting import GRUForecaster
    from pygru.forecasting.file_table import Table
    from pygru.forecasting.schema import Schema


class TableForecaster:
    """Forecasts what follows the last row of a file; it can be sent to another process.

    Parameters
    ----------
    forecaster : GRUForecaster
    options : Namespace
        Those of ``pygru predict``. With ``options.future`` a file, its table is read here,
        once; a folder has a table for each file of data.

    Raises
    ------
    UsageError
        If an option does not fit the model.
    FormatError, OSError
        If the table of the future cannot be read.
    """

    def __init__(self, forecaster: GRUForecaster, options: argparse.Namespace) -> None:
        self.forecaster = forecaster
        # Without the parser and the function to run, which cannot be sent.
        plain = {
            name: value
            for name, value in vars(options).items()
            if name not in ("parser", "run")
        }
        self.options = argparse.Namespace(**plain)
        self.threads: int | None = options.threads
        self.schema: Schema = forecaster.schema_
        self.new_names = _new_names(self.schema, options)
        self.future: tuple[Table | None, Any] = (None, None)
        if options.future is not None and not os.path.isdir(options.future):
            self.future = self._read(options.future, is_future=True)

    def __call__(self, path: str) -> pd.DataFrame:
        """Return the forecast of a file: ids, times, then the targets.

        Raises
        ------
        CommandError, FormatError, OSError
            If the file cannot be read, or does not fit the model; the message has its name.
        """
        table, rows = self._read(path)
        future_table, future = self.future
        if self.options.future is not None and future is None:
            own = os.path.join(self.options.future, os.path.basename(path))
            future_table, future = self._read(own, is_future=True)
        try:
            with num_threads(resolve(self.threads)), FileWords(table, future_table):
                forecast = self.forecaster.predict(rows, future=future)
        except CommandError as error:
            if not str(error).startswith("--future must cover"):
                raise
            hint = f"further rows of {path} may have them too"
            raise CommandError(f"{error}; {hint}") from error
        return self._named_as_here(forecast)

    def _read(self, path: str, is_future: bool = False) -> tuple[Table, Any]:
        """Read a table; return it, and its rows with the names of training, converted."""
        schema, new_names = self.schema, self.new_names
        # Categories are text, so that 1 is the category "1" and not 1.0; but booleans may be
        # written in several ways, which pandas knows.
        described = (*schema.past, *schema.future, *schema.static)
        categories = {str(each.name): each.categories for each in described if each.categories}
        text = [
            name for name, known in categories.items() if not set(known) <= {"True", "False"}
        ]
        table = columns.read(path, self.options, [*self._ids_of_text(), *text])
        roles = {
            "id": [str(name) for name in schema.id],
            "future_features": [str(column.name) for column in schema.future],
        }
        if not is_future:
            roles["target"] = [str(name) for name in schema.target_names]
            roles["features"] = [str(column.name) for column in schema.past]
            roles["static"] = [str(column.name) for column in schema.static]
            if self.options.future is not None:  # the table of the past may lack them
                own = set(table.frame.columns)
                roles["future_features"] = [n for n in roles["future_features"] if n in own]
        here = {
            role: [table.require(new_names.get(name, name)) for name in names]
            for role, names in roles.items()
        }
        time = self._time_column(table)
        here["time"] = [] if time is None else [time]
        numbers = {
            role: [n for n in names if n not in categories] for role, names in here.items()
        }
        frame = columns.convert(table, numbers, self.options.time_zone)
        frame = frame.assign(**{name: _as_text(frame[name]) for name in self._ids_of_text()})
        old_names = {new: old for old, new in new_names.items()}
        # A column that has the name of one of training, and is not the one.
        others = [old for old in new_names if old in frame.columns and old not in old_names]
        frame = frame.drop(columns=others).rename(columns=old_names)
        if time is not None and not schema.has_time_column:
            frame = frame.set_index(time)
        return table, frame

    def _ids_of_text(self) -> list[str]:
        """The id columns that the model knows as text: 7 and "7" would be two series."""
        known = list(self.forecaster._found().spreads)
        parts = list(zip(*known, strict=True)) if len(self.schema.id) > 1 else [known]
        return [
            self.new_names.get(str(name), str(name))
            for name, values in zip(self.schema.id, parts, strict=False)
            if any(isinstance(value, str) for value in values)
        ]

    def _time_column(self, table: Table) -> str | None:
        """The column that has the times; it may have been the index of a table in Python."""
        schema = self.schema
        name = str(schema.time)
        if schema.has_time_column:
            return table.require(self.new_names.get(name, name))
        if schema.index == "numbers":
            return None
        if self.options.time is not None:
            return table.require(self.options.time)
        found = [] if name in table.frame.columns else columns.find_time(table.frame, {})
        return found[0] if found else table.require(name)

    def _named_as_here(self, forecast: pd.DataFrame) -> pd.DataFrame:
        """A forecast with the names of the table, and with its index as a column."""
        schema = self.schema
        index = forecast.index
        forecast = forecast.rename(
            columns={n: self._new_name(str(n)) for n in forecast.columns}
        )
        if not schema.has_time_column:
            label = "row" if schema.index == "numbers" else index.name or "time"
            forecast.insert(0, label, index, allow_duplicates=True)
        return forecast.reset_index(drop=True)

    def _new_name(self, name: str) -> str:
        """The name of a column of the forecast in this table, that of a quantile included."""
        new_names = self.new_names
        if name in new_names:
            return new_names[name]
        for target in map(str, self.schema.target_names):
            if target in new_names and name.startswith(f"{target}_q"):
                return new_names[target] + name[len(target) :]
        return name


def _as_text(cells: pd.Series) -> pd.Series:
    """Ids as text, as a CSV file has them; those of a Parquet file may be whole numbers."""
    import pandas as pd

    is_number = pd.api.types.is_integer_dtype(cells.dtype)
    return cells.map(str, na_action="ignore") if is_number else cells


def _new_names(schema: Schema, options: argparse.Namespace) -> dict[str, str]:
    """What the columns of training are called in this table, where that is another name."""
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
        new = [value] if len(old) == 1 else columns.names(value)
        if len(new) != len(old):
            if not old:
                raise UsageError(f"--{role} does not fit: the model was trained without it")
            raise UsageError(
                f"--{role} must name {len(old)} columns, as in training "
                f"({', '.join(map(str, old))}), got {len(new)}"
            )
        found |= {str(a): b for a, b in zip(old, new, strict=True)}
    return found
