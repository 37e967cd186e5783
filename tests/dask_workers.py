"""Worker processes for the tests of Dask, and what is sent to them, imported from this file."""

import os
import signal
from pathlib import Path

import numpy as np

import pygru

MARK = 1e3  # a value in the sequences at which a worker dies


def two_workers():
    """A cluster of two processes of one thread; the page of its scheduler gets a free port."""
    from dask.distributed import LocalCluster

    return LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    )


class DiesOnce:
    """A model whose first process that meets the mark is killed, as by the kernel."""

    def __init__(self, model, note):
        self.model = model
        self.note = Path(note)

    def predict(self, x):
        marked = any((np.asarray(sequence) == MARK).any() for sequence in x)
        if marked and not self.note.exists():
            self.note.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return self.model.predict(x)


class CountsCopies:
    """A model that writes a line for every copy that a process reads from a message."""

    def __init__(self, model, note):
        self.model = model
        self.note = Path(note)

    def __setstate__(self, state):
        self.__dict__.update(state)
        with self.note.open("a") as lines:
            lines.write(f"{os.getpid()}\n")

    def predict(self, x):
        return self.model.predict(x)


def predict_part(sequences, model):
    """The predictions for one part of a bag, or for the sequences of one file."""
    sequences = list(sequences)
    return list(model.predict(sequences)) if sequences else []


def predict_group(table, model):
    """The prediction for the rows of one sequence in a table."""
    rows = table.sort_values("time")
    return model.predict([rows[["a", "b", "c"]].to_numpy()])[0]


def threads():
    """What a worker says about its threads."""
    return os.environ.get("OMP_NUM_THREADS"), pygru.get_num_threads()


class KillsItsProcessOnce(pygru.Callback):
    """A callback that ends the first process in which an epoch ends, as the kernel would."""

    def __init__(self, note):
        self.note = Path(note)

    def on_epoch_end(self, trainer, record):
        if not self.note.exists():
            self.note.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
