"""A training that goes on until something ends it. Not a test file.

``mpiexec -n 2 python -m mpi4py mpi_long.py FOLDER [HOW]`` writes the numbers of the ranks'
processes and a checkpoint after each epoch. With "catch" the first rank writes another
checkpoint when training is interrupted. With "early" or "late" the second rank fails, before
training or after some epochs.
"""

import os
import sys
import threading
from pathlib import Path

import numpy as np

from pygru import GRU, Adam, Callback, Dropout, ModelCheckpoint, RankError, Sequential, Trainer

X = np.random.default_rng(0).standard_normal((24, 6, 2))


class Pid(Callback):
    """Writes the number of this process after the third epoch."""

    def __init__(self, path, fails):
        self.path, self.fails = path, fails

    def on_epoch_end(self, trainer, record):
        if self.fails and record["epoch"] == 5:
            raise OSError("the disk is gone")
        if record["epoch"] == 2:
            self.path.with_suffix(".part").write_text(str(os.getpid()))
            self.path.with_suffix(".part").rename(self.path)


def trainer_in(folder, comm=None, rank=0, fails=False):
    """A trainer with noise, and with a file that is written after each epoch."""
    model = Sequential(GRU(2, 2, batch_first=True, dtype="float64"), Dropout(0.1), seed=0)
    callbacks = [
        Pid(folder / f"pid{rank}", fails),
        ModelCheckpoint(folder / "last.safetensors"),
    ]
    return Trainer(model, optimizer=Adam(0.01), seed=0, callbacks=callbacks, comm=comm)


def fit(trainer, epochs):
    """Train for some epochs."""
    return trainer.fit(X, X, epochs=epochs, batch_size=5, bptt_steps=4, progress=False)


def main(folder, how=""):
    """Train until something happens."""
    from mpi4py import MPI

    folder, comm = Path(folder), MPI.COMM_WORLD
    rank = comm.Get_rank()
    if how == "early" and rank == 1:
        raise OSError("the disk was never there")
    trainer = trainer_in(folder, comm, rank, fails=how == "late" and rank == 1)
    try:
        fit(trainer, 10**6)
    except (KeyboardInterrupt, RankError):
        if how != "catch":
            raise
        trainer.save_checkpoint(folder / "interrupted.safetensors")
        (folder / f"ended{rank}").write_text(str(threading.active_count()))


if __name__ == "__main__":
    main(*sys.argv[1:])
