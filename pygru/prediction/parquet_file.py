"""Writes predictions to a Parquet file: a long table of ids, times or steps, and predictions.

A Parquet file can be read only when its end has been written. So the rows are first written to
parts, each a whole file, and the parts are put together at the end, row group by row group.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Any

from pygru.prediction.chunks import Chunk
from pygru.prediction.long_rows import columns_of
from pygru.prediction.predictors import Predictions
from pygru.prediction.sinks import Outcome
from pygru.prediction.tables import import_parquet

#: Bytes of rows that are kept in memory before they are written; about a row group.
BUFFER = 32_000_000
#: The name of a part: the first sequence in it, and the one after the last.
PART = re.compile(r"part-(\d+)-(\d+)\.parquet")


class ParquetFile:
    """A Parquet file.

    Parameters
    ----------
    path : str
    """

    kind = "parquet"
    folder: Path

    def __init__(self, path: str) -> None:
        self.path: str | None = path
        self._arrow, self._parquet = import_parquet("out")
        self._waiting: list[tuple[int, int, Any]] = []

    def _parts(self) -> list[tuple[int, int, Path]]:
        """First sequence, end and path of each part, in order."""
        found = ((PART.fullmatch(path.name), path) for path in self.folder.iterdir())
        return sorted((int(match[1]), int(match[2]), path) for match, path in found if match)

    def begin(self, outcome: Outcome, first: int) -> None:
        """Remove parts that are not recorded."""
        self._outcome = outcome
        for _, end, path in self._parts():
            if end > first:
                path.unlink()

    def write(self, chunk: Chunk, predictions: Predictions) -> None:
        """Keep some rows, and write those that wait if there are many."""
        columns = columns_of(chunk, predictions, self._outcome)
        table = self._arrow.table({name: self._column(each) for name, each in columns.items()})
        self._waiting.append((chunk.first, chunk.end, table))
        if sum(table.nbytes for _, _, table in self._waiting) > BUFFER:
            self.flush(chunk.end)

    def _column(self, values: Any) -> Any:
        return self._arrow.array(values, from_pandas=False)

    def flush(self, done: int) -> None:
        """Write what waits of the first ``done`` sequences, as one part."""
        ready = [each for each in self._waiting if each[1] <= done]
        if not ready:
            return
        path = self.folder / f"part-{ready[0][0]:012}-{ready[-1][1]:012}.parquet"
        rows = self._arrow.concat_tables([table for _, _, table in ready])
        unfinished = path.with_suffix(".tmp")
        with open(unfinished, "wb") as file:
            self._parquet.write_table(rows, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
        self._waiting = [each for each in self._waiting if each[1] > done]

    def finish(self) -> Any:
        """Put the parts together, give the file its name, and return it."""
        assert self.path is not None
        unfinished = self.folder / "data.tmp"
        parts = [self._parquet.ParquetFile(path) for _, _, path in self._parts()]
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(open(unfinished, "wb"))
            writer: Any = None
            for part in parts:
                if writer is None:
                    writer = self._parquet.ParquetWriter(file, part.schema_arrow)
                    stack.enter_context(writer)
                for number in range(part.num_row_groups):
                    writer.write_table(part.read_row_group(number))
                part.close()
        os.replace(unfinished, self.path)
        return self.path

    def close(self) -> None:
        """Do nothing: nothing is open."""
