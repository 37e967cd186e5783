"""Trainings on ranks that stop, and go on from a checkpoint. Not a test file.

``mpiexec -n 2 python -m mpi4py mpi_resume.py FOLDER whole`` trains the cases without a stop,
``... stop`` writes a checkpoint of each at several places, and ``... go NAME...`` continues
from the checkpoints with these names. Every rank writes the weights and the numbers.
"""

import sys
import warnings
from pathlib import Path

import numpy as np

from pygru import GRU, Adam, Callback, Dropout, EarlyStopping, Linear, Sequential, Trainer

RNG = np.random.default_rng(0)
N = 13
X = RNG.standard_normal((N, 7, 2))
Y = np.cumsum(X, axis=1)
LENGTHS = np.where(np.arange(N) % 2, 0, RNG.integers(4, 8, N))  # some shares are empty
EPOCHS = 4


def batches(comm):
    """The batches of a rank; there are fewer on the second one."""
    rank, size = (0, 1) if comm is None else (comm.Get_rank(), comm.Get_size())
    for number, first in enumerate(range(0, N, 5)):
        if rank != 1 or number < 2:
            part = slice(first + rank, first + 5, size)
            yield X[part], Y[part], LENGTHS[part]


CASES = {
    "arrays": lambda comm: {"X": X, "y": Y, "lengths": LENGTHS, "batch_size": 5},
    "windows": lambda comm: {
        "X": X,
        "y": Y,
        "lengths": LENGTHS,
        "batch_size": 5,
        "bptt_steps": 3,
    },
    "batches": lambda comm: {"X": lambda: batches(comm)},
    "windows of batches": lambda comm: {"X": lambda: batches(comm), "bptt_steps": 3},
}

#: At which calls of which method checkpoints are made: the last ones of epochs, and others.
STOPS = {"on_epoch_end": (2,), "on_batch_end": (1, 3, 8)}


class Saves(Callback):
    """Writes checkpoints at some calls of the methods."""

    def __init__(self, folder, name):
        self._folder, self._name = folder, name
        self._calls = dict.fromkeys(STOPS, 0)

    def _save(self, method, trainer):
        self._calls[method] += 1
        if self._folder is not None and self._calls[method] in STOPS[method]:
            trainer.save_checkpoint(
                self._folder / f"{self._name}, {method} {self._calls[method]}"
            )

    def on_batch_end(self, trainer, loss, sequences):
        """After a step."""
        self._save("on_batch_end", trainer)

    def on_epoch_end(self, trainer, record):
        """After an epoch."""
        self._save("on_epoch_end", trainer)


def trainer_of(comm, folder=None, name=""):
    """A trainer with noise and callbacks that have a state."""
    gru = GRU(2, 3, 2, batch_first=True, dropout=0.2, dtype="float64")
    model = Sequential(gru, Dropout(0.2), Linear(3, 2, dtype="float64"), seed=0)
    callbacks = [EarlyStopping(3, monitor="val_loss"), Saves(folder, name)]
    options = {"metrics": ["mae"], "callbacks": callbacks, "clip_norm": 0.5, "seed": 1}
    return Trainer(model, optimizer=Adam(0.02), comm=comm, **options)


def train(trainer, name):
    """Train a case to its end; return weights and numbers."""
    options = CASES[name](trainer.comm)
    trainer.fit(
        options.pop("X"),
        options.pop("y", None),
        epochs=EPOCHS,
        validation=(X[:4], Y[:4]),
        progress=False,
        **options,
    )
    weights = np.concatenate([view.ravel() for view in trainer.model.parameters.values()])
    numbers = [trainer.history[each] for each in ("loss", "mae", "val_loss", "sequences")]
    return np.concatenate([weights, np.ravel(numbers)])


def resumed(path, comm=None):
    """What continuing from a checkpoint gives, and the warnings.

    Only the first rank reads the file. The other ranks have trainers of another seed.
    """
    trainer = trainer_of(comm)
    if trainer.is_main_process:
        trainer.resume(path)
    else:
        trainer.model.layers[0].parameters["weight_ih_l0"][:] = 3.0
        trainer.generator.random(5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = train(trainer, path.name.split(",")[0])
    return result, [str(each.message) for each in caught]


def main(folder, what, *names):
    """Do one of the three things."""
    from mpi4py import MPI

    folder, comm, found = Path(folder), MPI.COMM_WORLD, {}
    rank = comm.Get_rank()
    if what == "go":
        for name in names:
            result, messages = resumed(folder / name, comm)
            found[name] = result
            found[f"{name}: messages"] = np.array(messages, dtype=str)
    else:
        # Only the first rank writes: for the others the folder is not there.
        of_rank = folder if rank == 0 else folder / "not there"
        for name in CASES:
            trainer = trainer_of(comm, of_rank if what == "stop" else None, name)
            found[name] = train(trainer, name)
    np.savez(folder / f"{what}{rank}.npz", **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
