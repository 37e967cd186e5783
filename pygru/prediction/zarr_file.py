"""Writes predictions to a Zarr array, or to a group if their lengths differ.

The group has the array ``values`` with the steps of all sequences one behind the other, and
``row_size`` with the number of steps of each: what the conventions for climate data (CF) call a
contiguous ragged array. :func:`pygru.predict` reads such a group too.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pygru.data.messages import shown_names
from pygru.prediction import files
from pygru.prediction.buffered import Buffered, Waiting
from pygru.prediction.checksums import bytes_of
from pygru.prediction.chunks import Chunk
from pygru.prediction.predictors import Predictions
from pygru.prediction.sinks import Outcome

#: Bytes of a chunk of the Zarr array, about.
CHUNK = 4_000_000
#: Numbers of steps in a chunk of ``row_size``.
SIZES = 100_000
#: The names of what the folders of an array and of a group have, beside the arrays of a group.
OF_ARRAY = re.compile(r"zarr\.json|c|\.zarray|\.zattrs|\d+(\.\d+)*")
OF_GROUP = re.compile(r"zarr\.json|\.zgroup|\.zattrs|\.zmetadata")


class ZarrFile(Buffered):
    """A Zarr array or group in a folder.

    Parameters
    ----------
    path : str
    """

    kind = "zarr"

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._zarr = files.import_zarr("out")
        self._refuse_others(path)

    def _refuse_others(self, path: str) -> None:
        """Raise if a folder has anything but what this sink writes, because it is replaced."""
        if not (os.path.isdir(path) and os.listdir(path)):
            return
        try:
            found = self._zarr.open(path, mode="r")
        except (OSError, ValueError):
            what = "a folder that holds no Zarr array"
        else:
            names = OF_ARRAY if hasattr(found, "shape") else OF_GROUP
            arrays = () if names is OF_ARRAY else ("values", "row_size")
            others = [
                name
                for name in sorted(os.listdir(path))
                if not names.fullmatch(name)
                and not (name in arrays and hasattr(found[name], "shape"))
            ]
            if not others:
                return
            what = f"a folder that also holds {shown_names(others)}"
        raise FileExistsError(errno.EEXIST, f"out is {what}, which is not replaced", path)

    @property
    def _unfinished(self) -> Path:
        return self.folder / "data.zarr"

    @property
    def where(self) -> str:
        """The unfinished folder, or the one that has got its name."""
        return str(self._unfinished if self._unfinished.exists() else self.path)

    def written(self, done: int) -> Iterator[Any]:
        """Yield the rows that are there, or the steps of the sequences."""
        found = self._zarr.open(self.where, mode="r")
        if hasattr(found, "shape"):
            values, rows = found, done
        else:  # lengths that are not what they were lead to other values
            values, rows = found["values"], int(np.sum(found["row_size"][:done]))
        for first in range(0, rows, values.chunks[0]):
            yield bytes_of(values[first : min(rows, first + values.chunks[0])])

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
        # Sequences that are written, and their steps: one object, as an interrupt may come.
        self._place = first, int(np.sum(self._sizes[:first])) if self._is_ragged else 0

    def _make(self, outcome: Outcome) -> None:
        """Make the arrays; those that become longer begin without rows."""
        rows = max(1, CHUNK // max(1, outcome.row_bytes))
        if not (self._is_ragged or self._grows):
            rows = min(rows, outcome.sequences or 1)
        chunks = (rows, *(max(1, size) for size in outcome.tail))
        options: dict[str, Any] = {"dtype": outcome.dtype, "chunks": chunks}
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

    def _prepared(self, chunk: Chunk, predictions: Predictions) -> tuple[Any, int]:
        """Return the predictions for a chunk, after adding them to the checksums."""
        values = np.concatenate(predictions) if self._is_ragged and chunk.size else predictions
        self.checksums.add(chunk.first, chunk.end, bytes_of(values))
        return super()._prepared(chunk, predictions)

    def _write(self, ready: list[Waiting]) -> None:
        """Write some rows, or add some sequences."""
        first, last = ready[0].first, ready[-1].end
        if not self._is_ragged:
            if self._grows:
                self._values.resize((last, *self._values.shape[1:]))
            self._values[first:last] = np.concatenate([each.values for each in ready])
            return
        done, begin = self._place
        if first < done:  # an interrupt came when they had just been written
            return
        sequences = [sequence for each in ready for sequence in each.values]
        sizes = [len(each) for each in sequences]
        end = begin + sum(sizes)
        self._values.resize((end, *self._values.shape[1:]))
        if end > begin:
            self._values[begin:end] = np.concatenate(sequences)
        self._sizes.resize((last,))
        self._sizes[first:last] = sizes
        self._place = last, end

    def finish(self) -> None:
        """Give the folder its name."""
        assert self.path is not None
        if os.path.isdir(self.path):
            self._refuse_others(self.path)  # again: the run may have taken days
            shutil.rmtree(self.path)
        os.replace(self._unfinished, self.path)
