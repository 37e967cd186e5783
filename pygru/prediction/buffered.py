"""What sinks share that write much at a time, although chunks may be small."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from pygru.prediction.checksums import Checksums
from pygru.prediction.chunks import Chunk
from pygru.prediction.predictors import Predictions

#: Bytes of predictions that wait in memory, at most, beside those of the last chunk.
BUFFER = 8_000_000


class Waiting(NamedTuple):
    """Predictions for a chunk that are not written yet."""

    first: int
    end: int
    values: Any
    nbytes: int


class Buffered:
    """Base class of sinks that let predictions wait until there are many."""

    folder: Path

    def __init__(self, path: str) -> None:
        self.path: str | None = path
        self.checksums = Checksums()
        self._waiting: list[Waiting] = []

    def write(self, chunk: Chunk, predictions: Predictions) -> None:
        """Keep predictions, and write those before them if there are many.

        So what is written ends where a record may end, whenever an interrupt comes.
        """
        values, nbytes = self._prepared(chunk, predictions)
        if nbytes + sum(each.nbytes for each in self._waiting) > BUFFER:
            self.flush(chunk.first)
        self._waiting.append(Waiting(chunk.first, chunk.end, values, nbytes))

    def flush(self, done: int) -> None:
        """Write what waits of the first ``done`` sequences."""
        ready = [each for each in self._waiting if each.end <= done]
        if ready:
            self._write(ready)
            self._waiting = [each for each in self._waiting if each.end > done]

    def close(self) -> None:
        """Do nothing: nothing is open."""

    def _prepared(self, chunk: Chunk, predictions: Predictions) -> tuple[Any, int]:
        """Return what is kept of a chunk, and its bytes."""
        parts = predictions if isinstance(predictions, list) else [predictions]
        return predictions, sum(each.nbytes for each in parts)

    def _write(self, ready: list[Waiting]) -> None:
        """Write predictions for consecutive chunks; to do it again must change nothing."""
        raise NotImplementedError
