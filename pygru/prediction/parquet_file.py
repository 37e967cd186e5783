"""Writes predictions to a Parquet file: a long table of ids, times or steps, and predictions.

A Parquet file can be read only when its end has been written. So the rows are first written to
parts, each a whole file, and the parts are put together at the end, row group by row group.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pygru.io.files import write_atomically
from pygru.prediction.buffered import Buffered, Waiting
from pygru.prediction.chunks import Chunk
from pygru.prediction.long_rows import columns_of
from pygru.prediction.predictors import Predictions
from pygru.prediction.sinks import Outcome
from pygru.prediction.tables import import_parquet

#: The name of a part: the first sequence in it, and the one after the last.
PART = re.compile(r"part-(\d+)-(\d+)\.parquet")


class ParquetFile(Buffered):
    """A Parquet file.

    Parameters
    ----------
    path : str
    """

    kind = "parquet"

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._arrow, self._parquet = import_parquet("out")

    def _parts(self) -> list[tuple[int, int, Path]]:
        """First sequence, end and path of each part, in order."""
        found = ((PART.fullmatch(path.name), path) for path in self.folder.iterdir())
        return sorted((int(match[1]), int(match[2]), path) for match, path in found if match)

    @property
    def where(self) -> str:
        """The parts."""
        return str(self.folder / "part-*.parquet")

    def written(self, done: int) -> Iterator[Any]:
        """Yield the parts, each as a whole."""
        for _, end, path in self._parts():
            if end <= done:
                yield path.read_bytes()

    def begin(self, outcome: Outcome, first: int) -> None:
        """Remove parts that are not recorded."""
        self._outcome = outcome
        for _, end, path in self._parts():
            if end > first:
                path.unlink()

    def _prepared(self, chunk: Chunk, predictions: Predictions) -> tuple[Any, int]:
        """Return the rows of a chunk."""
        columns = columns_of(chunk, predictions, self._outcome)
        table = self._arrow.table(
            {name: self._arrow.array(values) for name, values in columns.items()}
        )
        return table, table.nbytes

    def _write(self, ready: list[Waiting]) -> None:
        """Write a part."""
        path = self.folder / f"part-{ready[0].first:012}-{ready[-1].end:012}.parquet"
        rows = self._arrow.concat_tables([each.values for each in ready])
        buffer = io.BytesIO()
        self._parquet.write_table(rows, buffer)
        data = buffer.getvalue()
        self.checksums.add(ready[0].first, ready[-1].end, data)
        write_atomically(path, data)

    def finish(self) -> None:
        """Put the parts together, and give the file its name."""
        assert self.path is not None
        unfinished = self.folder / "data.tmp"
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(open(unfinished, "wb"))
            writer: Any = None
            for _, _, path in self._parts():
                # One by one: an open part keeps what has been read of it in memory.
                with self._parquet.ParquetFile(path) as part:
                    if writer is None:
                        writer = self._parquet.ParquetWriter(file, part.schema_arrow)
                        stack.enter_context(writer)
                    for number in range(part.num_row_groups):
                        writer.write_table(part.read_row_group(number))
        os.replace(unfinished, self.path)
