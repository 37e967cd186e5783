"""Writes predictions to a Zarr array, or to a group if their lengths differ.

The group has the array ``values`` with the steps of all sequences one behind the other, and
``row_size`` with the number of steps of each: what the conventions for climate data (CF) call a
contiguous ragged array. :func:`pygru.predict` reads such a group too.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from pygru.prediction import files
from pygru.prediction.chunks import Chunk
from pygru.prediction.predictors import Predictions
from pygru.prediction.sinks import Outcome

#: Bytes of a chunk of the Zarr array, about.
CHUNK = 16_000_000
#: Numbers of steps in a chunk of ``row_size``.
SIZES = 100_000


class ZarrFile:
    """A Zarr array or group in a folder.

    Parameters
    ----------
    path : str
    """

    kind = "zarr"
    folder: Path

    def __init__(self, path: str) -> None:
        self.path: str | None = path
        self._zarr = files.import_zarr("out")
        if not hasattr(self._zarr, "create_array"):
            raise ImportError("out: Zarr needs version 3 or later of the package zarr")

    @property
    def _unfinished(self) -> Path:
        return self.folder / "data.zarr"

    def begin(self, outcome: Outcome, first: int) -> None:
        """Open the unfinished arrays, or make them."""
        if outcome.dtype.kind not in "biuf":
            raise TypeError(
                f"out: a .zarr file holds numbers, but the predictions are {outcome.dtype}; "
                "use '.parquet' or '.npy'"
            )
        self._is_ragged = outcome.is_ragged
        self._grows = outcome.sequences is None
        if not first:
            self._make(outcome)
        elif self._is_ragged:
            group = self._zarr.open_group(self._unfinished, mode="r+")
            self._values, self._sizes = group["values"], group["row_size"]
        else:
            self._values = self._zarr.open_array(self._unfinished, mode="r+")
        if self._is_ragged:
            self._steps = int(np.sum(self._sizes[:first]))

    def _make(self, outcome: Outcome) -> None:
        """Make the arrays; those that become longer begin without rows."""
        rows = max(1, CHUNK // max(1, outcome.row_bytes))
        options: dict[str, Any] = {"dtype": outcome.dtype}
        if not self._is_ragged:
            rows = min(rows, outcome.rows)  # then no chunk is written twice
        options["chunks"] = (rows, *(max(1, size) for size in outcome.tail))
        if self._is_ragged:
            group = self._zarr.open_group(self._unfinished, mode="w")
            self._values = group.create_array("values", shape=(0, *outcome.tail), **options)
            self._sizes = group.create_array(
                "row_size", shape=(0,), chunks=(SIZES,), dtype="int64"
            )
            self._sizes.attrs["sample_dimension"] = "values"
        else:
            shape = (0 if self._grows else outcome.sequences, *outcome.tail)
            self._values = self._zarr.create_array(
                store=self._unfinished, shape=shape, overwrite=True, **options
            )

    def write(self, chunk: Chunk, predictions: Predictions) -> None:
        """Write some rows, or add some sequences."""
        if not isinstance(predictions, list):
            if self._grows:
                self._values.resize((chunk.end, *self._values.shape[1:]))
            self._values[chunk.first : chunk.end] = predictions
            return
        sizes = [len(each) for each in predictions]
        end = self._steps + sum(sizes)
        self._values.resize((end, *self._values.shape[1:]))
        if end > self._steps:
            self._values[self._steps : end] = np.concatenate(predictions)
        self._sizes.resize((chunk.end,))
        self._sizes[chunk.first : chunk.end] = sizes
        self._steps = end

    def flush(self, done: int) -> None:
        """Do nothing: Zarr writes each chunk at once."""

    def finish(self) -> Any:
        """Give the folder its name; return it."""
        assert self.path is not None
        if os.path.isdir(self.path):
            shutil.rmtree(self.path)
        os.replace(self._unfinished, self.path)
        return self.path

    def close(self) -> None:
        """Do nothing: nothing is open."""
