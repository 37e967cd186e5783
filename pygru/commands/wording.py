"""Messages of pygru.forecasting in the words of the command line.

They call the table ``y``, count its rows from 0, and name the options by Python arguments. On
the command line the table is a file with lines, and the options have other names.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pygru.commands.errors import CommandError, bounded
from pygru.errors import DataWarning

if TYPE_CHECKING:
    from pygru.forecasting.file_table import Table

HINTS = {  # in Python, and on the command line
    "with tz_localize(..., ambiguous='infer')": (
        "with --time-zone, such as --time-zone Europe/Berlin"
    ),
    "convert them with pandas.to_datetime(..., format='%Y%m')": (
        "write them as year-month, such as 2024-01"
    ),
}
OPTIONS = {
    **{name: f"--{name}" for name in ("freq", "time", "id", "target", "future", "static")},
    "past": "--features",
}


def in_words_of_the_file(message: str, table: Table, future: Table | None = None) -> str:
    """Return a message with the file's name, its lines, and the options of the command.

    A message about ``future`` gets the name and the lines of that file, if there is one.
    """
    text = bounded(message)
    if future is not None and re.match("future(: | has )", text):
        name = table.name
        text = re.sub(r"\ba time of y\b", lambda _: f"a time of {name}", text)
        text, table = "y" + text.removeprefix("future"), future
    text = re.sub(r"^y(?=:? )", lambda _: table.name, text)
    lines = table.lines
    if not text.startswith("future"):  # which has lines of its own
        text = re.sub(r"\brow ([0-9]+)", lambda row: _place(int(row[1]), lines), text)
    for in_python, on_the_line in HINTS.items():
        text = text.replace(in_python, on_the_line)
    for argument, option in OPTIONS.items():
        text = re.sub(rf"\b{argument}=(?=\W|$)", f"{option} ", text)
        text = re.sub(rf"^{argument}(?= must\b)", option, text)
    return text if text.startswith(("--", table.name)) else f"{table.name}: {text}"


def _place(row: int, lines: Sequence[int] | None) -> str:
    """A row as messages about a file count it: by its line, or from 1 where it has none."""
    if lines is None:
        return f"row {row + 1}"
    return f"line {lines[row]}" if row < len(lines) else f"row {row}"


class FileWords:
    """A ``with`` block whose errors are lines about a file, and whose warnings are notes."""

    def __init__(self, table: Table, future: Table | None = None) -> None:
        self.table = table
        self.future = future
        self.block: Any = None

    def __enter__(self) -> Self:
        self.block = warnings.catch_warnings()
        self.block.__enter__()
        usual = warnings.showwarning

        def show(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
            if not issubclass(category, DataWarning):
                usual(message, category, *place, **more)
                return
            text = in_words_of_the_file(str(message), self.table, self.future)
            print(f"note: {text}", file=sys.stderr)

        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = show
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.block.__exit__(kind, error, traceback)
        if isinstance(error, (ValueError, TypeError)):
            text = in_words_of_the_file(str(error), self.table, self.future)
            raise CommandError(text) from error
