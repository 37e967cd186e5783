"""Training with communicators of several kinds. Not a test file.

``mpiexec -n 3 python -m mpi4py mpi_communicators.py FOLDER`` makes all checks, and each rank
writes what it has found, by the name of the check.
"""

import json
import sys
import threading
from pathlib import Path

import numpy as np

from pygru import (
    GRU,
    SGD,
    Adam,
    Callback,
    CSVLogger,
    Dropout,
    Last,
    Linear,
    ModelCheckpoint,
    Sequential,
    Trainer,
    find_learning_rate,
)
from pygru.train.ranks import Part

RNG = np.random.default_rng(0)
X = RNG.standard_normal((14, 5, 2))
Y = X.sum(axis=1)
LOSS_WEIGHTS = (1.0, 3.0, 0.5)
SAMPLES = 6000  # of the training with dropout


def trained(comm, seed=0, **options):
    """A trainer after training with noise."""
    gru = GRU(2, 3, batch_first=True, dtype="float64")
    model = Sequential(gru, Dropout(0.2), Last(), Linear(3, 2, dtype="float64"), seed=seed)
    trainer = Trainer(model, optimizer=Adam(0.02), seed=seed, comm=comm, **options)
    trainer.fit(X, Y, epochs=2, batch_size=5, progress=False)
    return trainer


def bits(trainer):
    """All weights as text."""
    return b"".join(view.tobytes() for view in trainer.model.parameters.values()).hex()


def refusal(comm):
    """What a trainer says to an argument that is no communicator to train with."""
    try:
        trained(comm)
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def one(comm, mpi, folder):
    """A communicator of one process makes what a trainer makes without one."""
    trainer = trained(mpi.COMM_SELF)
    return [bits(trainer) == bits(trained(None)), trainer.is_main_process]


def refused(comm, mpi, folder):
    """Objects that are no communicators, and communicators that do not fit."""
    rank = comm.Get_rank()
    halves = comm.Split(rank == 0, rank)
    between = halves.Create_intercomm(0, comm, 1 if rank == 0 else 0)
    found = [refusal(each) for each in (3, "COMM_WORLD", mpi, mpi.COMM_NULL, between)]
    between.Free()
    return found


def split(comm, mpi, folder):
    """Two groups of ranks that train different models at the same time."""
    group = int(comm.Get_rank() == 1)
    own = trained(comm.Split(group), seed=group)
    every = comm.allgather((group, bits(own)))
    alone = bits(trained(None, seed=1))
    return [len(set(every)), dict(every)[1] == alone, own.is_main_process]


def in_a_thread(comm, mpi, folder):
    """Training in a thread that is not the main one."""
    found = []
    thread = threading.Thread(target=lambda: found.append(bits(trained(comm))))
    thread.start()
    thread.join()
    return found == [bits(trained(comm))]


def in_two_threads(comm, mpi, folder):
    """Two trainings in threads of the same processes, each with a communicator of its own."""
    found, copies = {}, [comm.Dup(), comm.Dup()]

    def work(seed):
        found[seed] = bits(trained(copies[seed], seed=seed))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found.get(seed) == bits(trained(comm, seed=seed)) for seed in (0, 1)]


def order(comm, mpi, folder):
    """The mean of gradients whose sum depends on its order, and on its precision."""
    team = Trainer(Sequential(Linear(2, 2)), comm=comm)._team
    found = []
    for dtype in (np.float64, np.float32):
        pairs = [(np.zeros(len(each), dtype), each) for each in gradients_of(team.rank, dtype)]
        with team.together():
            whole = team.average(Part(2.0 * team.rank, LOSS_WEIGHTS[team.rank]), 0, pairs)
        found.append([whole.loss, *(each.tolist() for _, each in pairs)])
    return found


def gradients_of(rank, dtype):
    """Two flat gradients of a rank, of five numbers together."""
    generator = np.random.default_rng(rank)
    whole = np.concatenate([[(1e8, 1.0, -1e8)[rank]], generator.standard_normal(4)])
    return np.split((whole / LOSS_WEIGHTS[rank]).astype(dtype), [2])


def stop(comm, mpi, folder):
    """How many epochs there are if only one rank wants training to stop."""

    class Stops(Callback):
        """Stops after two epochs, on the last rank."""

        def on_epoch_end(self, trainer, record):
            if record["epoch"] == 1 and comm.Get_rank() == comm.Get_size() - 1:
                trainer.stop = True

    trainer = Trainer(Sequential(Linear(2, 2), seed=0), comm=comm, callbacks=[Stops()])
    trainer.fit(X[:, 0], Y, epochs=5, progress=False)
    return [len(trainer.history), trainer.stop]


def noise(comm, mpi, folder):
    """What each rank draws, and the mean effect of dropout.

    With weights 0 and inputs 1, the gradient of a sample is the factor of its dropout times -2.
    So one step gives the mean of the factors, of which the expectation is 1.
    """
    linear = Linear(1, 1, bias=False, dtype="float64", seed=0)
    linear.parameters["weight"][:] = 0
    model = Sequential(Dropout(0.5, seed=1), linear)
    trainer = Trainer(model, optimizer=SGD(0.5), seed=0, comm=comm)
    ones = np.ones((SAMPLES, 1))
    trainer.fit(ones, ones, batch_size=SAMPLES, progress=False)
    with trainer._team.own_noise(model.generators):
        output, _ = model.layers[0].forward(np.ones((64, 1)))
    different = len(set(comm.allgather(output.tobytes())))
    after = len(set(comm.allgather(str(model.generators[0].bit_generator.state))))
    return [float(linear.parameters["weight"][0, 0]), different, after]


def files(comm, mpi, folder):
    """Only the first rank writes files; the folders of the others are not there."""
    own = folder / "files" if comm.Get_rank() == 0 else folder / "not there"
    callbacks = [
        CSVLogger(own / "log.csv"),
        ModelCheckpoint(own / "{epoch}.safetensors"),
        ModelCheckpoint(own / "best.safetensors", monitor="loss", save_best_only=True),
    ]
    trainer = trained(comm, callbacks=callbacks)
    trainer.save_checkpoint(own / "last.safetensors")
    comm.Barrier()
    return [(folder / "not there").exists(), trainer.is_main_process]


def learning_rate(comm, mpi, folder):
    """The search for a learning rate, for which each rank has its share of the batches."""
    rank, size = comm.Get_rank(), comm.Get_size()
    found = []
    for each, step in ((comm, slice(rank, None, size)), (None, slice(None))):
        batches = [(X[:9][step], Y[:9][step]), (X[9:][step], Y[9:][step])]
        gru = GRU(2, 3, batch_first=True, dtype="float64")
        model = Sequential(gru, Last(), Linear(3, 2, dtype="float64"), seed=0)
        curve = find_learning_rate(Trainer(model, seed=0, comm=each), batches, steps=8)
        found.append(curve.losses)
    return bool(np.allclose(*found, rtol=1e-12))


CHECKS = (
    one,
    refused,
    split,
    in_a_thread,
    in_two_threads,
    order,
    stop,
    noise,
    files,
    learning_rate,
)


def main(folder):
    """Make all checks, and write what they have found."""
    from mpi4py import MPI

    comm, folder, found = MPI.COMM_WORLD, Path(folder), {}
    for check in CHECKS:
        found[check.__name__] = check(comm, MPI, folder)
    trainer = Trainer(Sequential(Linear(2, 2), seed=0), comm=comm)
    trainer.fit(X[:, 0], Y, epochs=3, batch_size=5, progress=True)  # for the test of the lines
    (folder / f"rank{comm.Get_rank()}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
