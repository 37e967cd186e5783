"""``pygru predict`` with a model of layers: predictions for sequences of any number.

The work is that of :func:`pygru.predict`: chunk by chunk, in bounded memory, and continued
after an interrupt. Each file of data has a file of predictions of its own. Only CSV is made in
memory.
"""

from __future__ import annotations

import argparse
import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pygru
from pygru.commands.errors import CommandError, InterruptedRun, described
from pygru.commands.lists import names
from pygru.commands.predict_files import STDIN, TABLES, expand
from pygru.commands.predict_loop import go_over
from pygru.commands.predict_outputs import Output, Outputs
from pygru.commands.predict_workers import shared_threads
from pygru.prediction.chunked import ARRAYS
from pygru.prediction.chunked import TABLES as PARQUET
from pygru.prediction.predictors import predictor_of
from pygru.screen import on_terminal

if TYPE_CHECKING:
    import pandas as pd

    from pygru.forecasting.file_table import Table

# Names of arguments of pygru.predict in its messages, and how the command line writes them.
WORDS = (
    ("pass resume=True to continue it", "use --resume to continue it"),
    (r"^(id|time|values)(?=:| must\b)", r"--\1"),
    (r"^name(?= must\b)", "--array"),
    (r"^chunk_size(?= must\b)", "--chunk-size"),
    (r"^(--\S+) must be None\b", r"\1 must not be given"),
    (r"^source: ", ""),
    (r"^Input source\[\d+:\d+\] contains", "the data contain"),
)


def run(options: argparse.Namespace) -> None:
    """Run ``pygru predict`` with a model that is no forecaster."""
    paths, is_many = expand(options.data, (*ARRAYS, *TABLES), _is_data)
    outputs = Outputs(options, paths, is_many)
    function = Predicted(pygru.load(options.model), options, outputs)
    left = outputs.left
    if not left:
        return
    if not is_many:
        with _told_to_resume(outputs[paths[0]]):
            function(paths[0])
        return
    function.shows_progress = False
    function.threads = shared_threads(options.threads, min(options.workers, len(left)))
    skipped = go_over(
        function, left, options, lambda *done: None, "--resume goes on from there"
    )
    if skipped:
        raise CommandError(f"{skipped} of {len(left)} files were skipped")


def _is_data(path: str) -> bool:
    """Whether a path is data: a file, or the folder of a Zarr array or group."""
    return os.path.isfile(path) or is_zarr(path)


def is_zarr(path: str) -> bool:
    """Whether a folder is a Zarr array or group."""
    marks = ("zarr.json", ".zarray", ".zgroup")
    return any(os.path.isfile(os.path.join(path, mark)) for mark in marks)


@contextmanager
def _told_to_resume(output: Output) -> Iterator[None]:
    """A block whose end says how to go on, if something is left to go on from."""
    try:
        yield
    except KeyboardInterrupt:
        if not output.is_unfinished():
            raise
        raise InterruptedRun("interrupted; --resume goes on from there") from None
    except Exception as error:
        if not output.is_unfinished():
            raise
        raise CommandError(f"{described(error)}; --resume goes on from there") from error


class Predicted:
    """Writes the predictions for a file; it can be sent to another process.

    Parameters
    ----------
    model : Model
    options : Namespace
        Those of ``pygru predict``.
    outputs : Outputs
        Where the predictions for each file go.

    Raises
    ------
    CommandError
        If it is a model that cannot predict for sequences.
    """

    def __init__(self, model: Any, options: argparse.Namespace, outputs: Outputs) -> None:
        try:
            predictor_of(model, None, None)
        except (TypeError, ValueError) as error:
            raise CommandError(f"{options.model}: {error}") from error
        self.model = model
        # Without the parser and the function to run, which cannot be sent.
        plain = {
            name: value
            for name, value in vars(options).items()
            if name not in ("parser", "run")
        }
        self.options = argparse.Namespace(**plain)
        self.outputs = outputs
        self.threads: int | None = options.threads
        self.shows_progress = on_terminal()

    def __call__(self, path: str) -> None:
        """Predict for a file, and write the result.

        Raises
        ------
        CommandError
            If the file does not fit the model or the options.
        FormatError, ImportError, OSError
            As :func:`pygru.predict`.
        """
        output = self.outputs[path]
        try:
            source, columns = self._source(path)
            settings: dict[str, Any] = {
                **columns,
                "name": self.options.array,
                "chunk_size": self.options.chunk_size,
                "progress": self.shows_progress,
                "n_threads": self.threads,
            }
            if output.is_text:
                found = pygru.predict(self.model, source, **settings)
                output.write(self._frame(found))
            else:
                # What is left here is of this run: an earlier one was refused before.
                pygru.predict(self.model, source, out=output.path, resume=True, **settings)
        except (ValueError, TypeError, RuntimeError) as error:
            raise CommandError(_in_words(path, str(error))) from error

    def _source(self, path: str) -> tuple[Any, dict[str, Any]]:
        """What :func:`pygru.predict` reads, and the arguments on its columns."""
        id, time = names(self.options.id), self.options.time
        values: Any = names(self.options.values) or None
        if values is not None and len(values) == 1 and self.model.reads == "tokens":
            values = values[0]  # tokens, and not vectors of one number
        columns = {"id": id or None, "time": time, "values": values}
        if path != STDIN and (path.lower().endswith((*ARRAYS, *PARQUET)) or is_zarr(path)):
            return path, columns
        if path != STDIN and not os.path.exists(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if not id:
            raise CommandError(
                f"{path}: --id must name the column that says to which sequence a row belongs"
            )
        return self._table(path, id), columns

    def _table(self, path: str, id: list[str]) -> pd.DataFrame:
        """A table of text, whose columns of values are numbers."""
        import pygru.forecasting  # noqa: F401 (first, since it says how to install pandas)
        from pygru.commands.columns import read

        options = self.options
        table = read(path, options, id)
        given = names(options.values)
        for name in (*id, *([options.time] if options.time else []), *given):
            table.require(name)
        values = given or [n for n in table.frame.columns if n not in (*id, options.time)]
        return table.frame.assign(**{name: _numbers(table, name) for name in values})

    def _frame(self, found: Any) -> pd.DataFrame:
        """Predictions that are in memory as the table that a Parquet file would have."""
        import pandas as pd

        from pygru.prediction.chunks import Chunk
        from pygru.prediction.long_rows import columns_of
        from pygru.prediction.sinks import outcome_of

        if isinstance(found, pd.DataFrame):
            return found
        outcome = outcome_of(found[:1], self.model.predicts_steps, len(found), None)
        return pd.DataFrame(columns_of(Chunk(0, found, {}), found, outcome))


def _numbers(table: Table, name: str) -> pd.Series:
    """A column as numbers; integers stay integers, because they may be tokens."""
    cells = table.frame[name]
    return cells if cells.dtype.kind in "iu" else table.numbers(name)


def _in_words(path: str, text: str) -> str:
    """A message of :func:`pygru.predict` in the words of the command line."""
    for pattern, words in WORDS:
        text = re.sub(pattern, words, text)
    return text if path in text or text.startswith("--") else f"{path}: {text}"
