"""Trains the network of a forecaster on windows that are made batch by batch.

It runs the loop of :class:`pygru.Trainer` on data that need no memory but that of one batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pygru.core import threads
from pygru.forecasting.stack import Origins
from pygru.forecasting.windows import Windows
from pygru.train.callbacks import Callback
from pygru.train.datasets import Batch
from pygru.train.history import History
from pygru.train.progress import ProgressBar
from pygru.train.scan import fingerprint_of
from pygru.train.trainer import Trainer
from pygru.typing import Integers


class WindowData:
    """The windows of some origins, in the form that a training loop takes.

    Parameters
    ----------
    windows : Windows
    origins : Origins
    """

    def __init__(self, windows: Windows, origins: Origins) -> None:
        self.windows, self.origins = windows, origins

    def __len__(self) -> int:
        return len(self.origins)

    def take(self, index: Integers) -> Batch:
        """Return the windows of ``index`` with their targets."""
        chosen = self.origins.take(np.asarray(index, np.int64))
        return Batch(self.windows.inputs(chosen), self.windows.targets(chosen), None)

    def part(self, first: int, end: int) -> WindowData:
        """Return the windows from ``first`` to ``end``."""
        return WindowData(self.windows, self.origins.take(slice(first, end)))

    def fingerprint(self) -> str:
        """A hash of the targets before scaling and of the places of the windows."""
        rows = self.origins.rows
        values = self.windows.stack.values[rows[0] : rows[-1] + 1] if len(rows) else rows
        return fingerprint_of([(values, None), (rows, None)])

    def largest(self, index: Integers) -> str:
        """Say which is the largest number of the windows of ``index``."""
        batch = self.take(index)
        largest = max(float(np.abs(each).max(initial=0)) for each in (batch.X, batch.y))
        return f"the largest number of this batch is {largest:g} after scaling"


def train(
    trainer: Trainer,
    data: WindowData,
    held_out: WindowData | None,
    *,
    epochs: int,
    batch_size: int,
    progress: bool | None,
) -> History:
    """Train for at most ``epochs`` epochs; callbacks of the trainer may end it before."""
    callbacks: list[Callback] = [
        *trainer.callbacks,
        ProgressBar(None if progress is None else not progress),
    ]
    settings = {
        "samples": len(data),
        "batch_size": min(batch_size, len(data)),
        "bptt_steps": None,
        "shuffle": True,
        "data": data.fingerprint(),
    }
    work: Any = trainer  # it takes Data, and WindowData has what it needs of them
    n_threads = threads.resolve(trainer.n_threads)
    with threads.single_threaded_blas(), threads.num_threads(n_threads):
        work._train(data, held_out, settings, None, callbacks, range(epochs))
    return trainer.history
