"""Ctrl-C at random moments of a training, on one rank or on all of them. Not a test file.

``mpiexec -n 2 python -m mpi4py mpi_interrupts.py FOLDER COUNT SEED`` interrupts COUNT trainings
and lets each continue from the checkpoint that its first rank can make afterwards. Every rank
writes how many trainings were interrupted, and how many then had other bits than one that was
never interrupted. If a rank is left waiting, the program never ends.
"""

import json
import signal
import sys
import time
from pathlib import Path

import numpy as np

from pygru import (
    GRU,
    Adam,
    Dropout,
    EarlyStopping,
    Linear,
    Sequential,
    Trainer,
    WeightAverage,
)

DATA = np.random.default_rng(0)
X = DATA.standard_normal((12, 6, 2))
Y = X.sum(axis=2, keepdims=True)

#: Who is interrupted in turn: one rank, all at nearly the same moment, and all again and again.
WHO = ("one", "all", "many times")


def trainer_on(comm):
    """A trainer with noise, an average of weights and a copy of the best ones."""
    gru = GRU(2, 4, batch_first=True, dtype="float64")
    model = Sequential(gru, Dropout(0.2), Linear(4, 1, dtype="float64"), seed=0)
    callbacks = [WeightAverage(0.9), EarlyStopping(3, monitor="loss")]
    optimizer = Adam(0.01)
    return Trainer(
        model, optimizer=optimizer, seed=0, metrics=["mae"], callbacks=callbacks, comm=comm
    )


def fit(trainer):
    """Train to the end."""
    trainer.fit(
        X,
        Y,
        epochs=6,
        batch_size=5,
        bptt_steps=4,
        validation=(X[:5], Y[:5]),
        progress=False,
    )


def outcome(trainer):
    """All weights, and the losses of all epochs."""
    weights = [view.tobytes() for view in trainer.model.parameters.values()]
    return weights, trainer.history["loss"], trainer.history["val_mae"]


class Alarm:
    """Interrupts the training of this rank.

    A signal outside training does nothing: there an interrupt would be one of this program.
    """

    def __init__(self):
        self.trainer = None
        signal.signal(signal.SIGALRM, self.handle)

    def handle(self, *_):
        if self.trainer is not None and self.trainer._team.depth:
            raise KeyboardInterrupt

    def fit(self, trainer, delay, pause):
        """Train, with an interrupt after a delay; return whether there was one."""
        self.trainer = trainer
        signal.setitimer(signal.ITIMER_REAL, delay, pause)
        try:
            fit(trainer)
        except KeyboardInterrupt:
            return True
        finally:
            self.trainer = None
            signal.setitimer(signal.ITIMER_REAL, 0)
        return False


def main(folder, count, seed):
    """Interrupt some trainings."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    rank, path, alarm = comm.Get_rank(), Path(folder, "interrupted"), Alarm()
    whole = trainer_on(comm)
    fit(whole)
    begin = time.perf_counter()
    fit(trainer_on(comm))
    longest = comm.bcast(time.perf_counter() - begin)
    agreed, own = np.random.default_rng(int(seed)), np.random.default_rng([int(seed), rank])
    interrupted = different = 0
    for number in range(int(count)):
        who, trainer = WHO[number % len(WHO)], trainer_on(comm)
        delay, culprit = agreed.uniform(1e-4, longest), agreed.integers(comm.Get_size())
        if who == "one":
            delay = delay if rank == culprit else 0  # which is never
        else:
            delay += own.uniform(0, 1e-3)
        interrupted += alarm.fit(trainer, delay, 5e-4 if who == "many times" else 0)
        trainer.save_checkpoint(path)
        following = trainer_on(comm)
        if rank == 0:
            following.resume(path)
        fit(following)
        different += outcome(following) != outcome(whole)
    found = {"interrupted": interrupted, "different": different}
    Path(folder, f"rank{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
