"""Writes predictions to an ``.npy`` file, which ``numpy.load(path, mmap_mode="r")`` maps.

The file is written and not mapped, so that a full disk is an error and not the end of the
process. It has its name when it is complete.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from pygru.prediction.checksums import Checksums, bytes_of
from pygru.prediction.chunks import Chunk
from pygru.prediction.predictors import Predictions
from pygru.prediction.sinks import BLOCK, Outcome


class NpyFile:
    """An ``.npy`` file.

    Parameters
    ----------
    path : str
    """

    kind = "npy"
    folder: Path

    def __init__(self, path: str) -> None:
        self.path: str | None = path
        self.checksums = Checksums()
        self._file: Any = None

    @property
    def _unfinished(self) -> Path:
        return self.folder / "data.npy"

    @property
    def where(self) -> str:
        """The unfinished file, or the file that has got its name."""
        return str(self._unfinished if self._unfinished.exists() else self.path)

    def written(self, done: int) -> Iterator[Any]:
        """Yield the rows that are there."""
        with open(self.where, "rb") as file:
            npy.read_magic(file)
            shape, _, dtype = npy.read_array_header_1_0(file)
            left = done * math.prod(shape[1:]) * dtype.itemsize
            while left and (block := file.read(min(left, BLOCK))):
                left -= len(block)
                yield block

    def begin(self, outcome: Outcome, first: int) -> None:
        """Open the unfinished file, or make it."""
        if outcome.sequences is None:
            raise ValueError(
                "out: an .npy file needs to know how many sequences source has; use '.zarr', "
                "'.parquet' or a function"
            )
        if outcome.is_ragged:
            raise ValueError(
                "out: an .npy file cannot hold predictions of different lengths; use '.zarr' "
                "or '.parquet', or an array with room for the longest, such as numpy.lib."
                f"format.open_memmap(path, 'w+', {outcome.dtype.name!r}, {outcome.shape})"
            )
        self._row_bytes = outcome.row_bytes
        self._dtype = outcome.dtype
        # Without a buffer: what a full disk did not take is not tried again by close().
        self._file = open(self._unfinished, "r+b" if first else "w+b", buffering=0)  # noqa: SIM115
        if first:
            npy.read_magic(self._file)
            npy.read_array_header_1_0(self._file)
        else:
            header = {
                "descr": npy.dtype_to_descr(outcome.dtype),
                "fortran_order": False,
                "shape": outcome.shape,
            }
            npy.write_array_header_1_0(self._file, header)
        self._begin = self._file.tell()

    def write(self, chunk: Chunk, predictions: Predictions) -> None:
        """Write some rows."""
        self._file.seek(self._begin + chunk.first * self._row_bytes)
        data = bytes_of(np.asarray(predictions, self._dtype))
        self.checksums.add(chunk.first, chunk.end, data)
        while data:
            data = data[self._file.write(data) :]

    def flush(self, done: int) -> None:
        """Bring everything to the disk."""
        os.fsync(self._file.fileno())

    def finish(self) -> None:
        """Give the file its name."""
        assert self.path is not None
        self.close()
        os.replace(self._unfinished, self.path)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
