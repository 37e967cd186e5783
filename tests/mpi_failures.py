"""Trainings that fail on one rank, on all, or before they begin. Not a test file.

``mpiexec -n 2 python -m mpi4py mpi_failures.py FOLDER`` runs all cases, each followed by a
training that must succeed. Every rank writes what it has caught.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np

from pygru import GRU, SGD, Callback, Last, Linear, Sequential, Trainer, losses

X = np.random.default_rng(0).standard_normal((12, 5, 2))
Y = X.sum(axis=1)
CULPRIT = 1  # the rank on which most cases fail


class At(Callback):
    """Calls a function in one of the methods of a callback, on one rank."""

    def __init__(self, method, function, rank, after=0):
        self._calls = 0

        def call(*arguments):
            self._calls += 1
            if rank == CULPRIT and self._calls > after:
                function(*arguments[:1])

        setattr(self, method, call)


class Mute(Exception):
    """An error whose text cannot be made."""

    def __str__(self):
        raise TypeError("no text")


def raising(error):
    """A function that raises an error."""

    def function(*_, **__):
        raise error

    return function


def on_culprit(rank, function, otherwise):
    """A function for the rank that fails, and another one for the others."""
    return function if rank == CULPRIT else otherwise


def later_error(rank):
    """Batches of which the second cannot be made on one rank."""
    yield X[:3], Y[:3]
    if rank == CULPRIT:
        raise OSError("the disk is gone")
    yield X[3:6], Y[3:6]


def wrong_batch(rank):
    """Batches of which the second has another shape on one rank."""
    yield X[:3], Y[:3]
    yield X[3:6], Y[3:6, : 1 if rank == CULPRIT else None]


class OwnLoss:
    """A loss that raises, or has no number, where a sample of one rank is in the batch."""

    def __init__(self, rank, found=None, slope=None):
        self._fails = rank == CULPRIT and found is None
        self._found, self._slope = found, slope

    def __call__(self, prediction, target, *, mask=None):
        value, gradient = losses.mse(prediction, target)
        if self._fails:
            raise ValueError("no loss")
        if (target == Y[-1]).all(axis=1).any():
            value = value if self._found is None else losses.Mean(self._found, value.weight)
            gradient = gradient if self._slope is None else gradient * self._slope
        return value, gradient


def without_weight(prediction, target, *, mask=None):
    """A loss whose weight is not a number."""
    return losses.Mean(1.0, np.nan), prediction


def change(trainer):
    """Change a weight."""
    next(iter(trainer.model.parameters.values())).flat[0] += 1e-9


def new_optimizer(trainer):
    """Begin to count the steps again."""
    trainer.optimizer = SGD(0.01)


def exit_program(trainer):
    """End the program, as a handler of SIGTERM may."""
    sys.exit(3)


# A function of the rank that returns options of the trainer and of fit.
CASES = {
    "batches": lambda r: {"X": lambda: later_error(r)},
    "wrong batch": lambda r: {"X": lambda: wrong_batch(r)},
    "validation batches": lambda r: {"validation": lambda: later_error(r)},
    "loss": lambda r: {"loss": OwnLoss(r)},
    "metric": lambda r: {
        "metrics": {"own": on_culprit(r, raising(ValueError("no metric")), lambda y, p: 0.0)}
    },
    **{
        method: lambda r, method=method: {
            "callbacks": [At(method, raising(ValueError("no callback")), r)]
        }
        for method in (
            "on_fit_begin",
            "on_batch_end",
            "on_epoch_end",
            "on_fit_end",
            "evaluation_weights",
        )
    },
    "later": lambda r: {"callbacks": [At("on_batch_end", raising(ValueError("late")), r, 5)]},
    "without text": lambda r: {"callbacks": [At("on_batch_end", raising(Mute()), r)]},
    "interrupt": lambda r: {"callbacks": [At("on_batch_end", raising(KeyboardInterrupt()), r)]},
    "exit": lambda r: {"callbacks": [At("on_batch_end", exit_program, r)]},
    "two errors": lambda r: {
        "callbacks": [At("on_fit_end", raising(ValueError("the end")), r)],
        "X": lambda: later_error(CULPRIT if r == 0 else 0),
    },
    "each its own": lambda r: {
        "callbacks": [At("on_batch_end", raising(ValueError(f"of rank {r}")), CULPRIT)]
    },
    "NaN": lambda r: {"X": np.where(np.arange(12) == 4, np.nan, X.T).T},
    "argument": lambda r: {"epochs": -1 if r == CULPRIT else 2},
    "loss without a number": lambda r: {"loss": OwnLoss(r, np.nan)},
    "gradient without a number": lambda r: {"loss": OwnLoss(r, 1.0, np.inf)},
    "weight without a number": lambda r: {
        "loss": lambda p, y, mask: (losses.Mean(1, np.nan), p)
    },
    "divergence": lambda r: {"optimizer": SGD(1e300)},
    "other data": lambda r: {"X": X + (r == CULPRIT)},
    "another sample": lambda r: {"X": X + (r == CULPRIT) * (np.arange(12) == 5)[:, None, None]},
    "same batches": lambda r: {"X": lambda: iter([(X, Y)]), "warnings": "error"},
    "other y": lambda r: {"y": Y + (r == CULPRIT)},
    "fewer samples": lambda r: {
        "X": X[: len(X) - (r == CULPRIT)],
        "y": Y[: len(Y) - (r == CULPRIT)],
    },
    "other validation": lambda r: {"validation": (X[:5], Y[:5] + (r == CULPRIT))},
    "batches on one rank": lambda r: {
        "X": (lambda: iter([(X, Y)])) if r == CULPRIT else X,
        "batch_size": None,
    },
    "validation on one rank": lambda r: {"validation": (X, Y) if r == CULPRIT else None},
    "other batch_size": lambda r: {"batch_size": 5 + (r == CULPRIT)},
    "other epochs": lambda r: {"epochs": 2 + (r == CULPRIT)},
    "other loss": lambda r: {"loss": "mae" if r == CULPRIT else "mse"},
    "other clip_norm": lambda r: {"clip_norm": 1.0 if r == CULPRIT else None},
    "other optimizer": lambda r: {"optimizer": "adam" if r == CULPRIT else SGD(0.1)},
    "other learning_rate": lambda r: {"optimizer": SGD(0.1 + (r == CULPRIT))},
    "other model": lambda r: {"hidden_size": 3 + (r == CULPRIT)},
    "other variant": lambda r: {"variant": "pytorch" if r == CULPRIT else "chung"},
    "other callbacks": lambda r: {"callbacks": [Callback()] * (r == CULPRIT)},
    "weights": lambda r: {"callbacks": [At("on_batch_end", change, r, 2)]},
    "weights at the end": lambda r: {"callbacks": [At("on_fit_end", change, r)]},
    "steps": lambda r: {"callbacks": [At("on_batch_end", new_optimizer, r, 2)]},
}


def train(comm, **options):
    """Train a small model, and return the trainer."""
    of_gru = {key: options.pop(key) for key in {"hidden_size", "variant"} & set(options)}
    gru = GRU(2, **({"hidden_size": 3} | of_gru), batch_first=True, dtype="float64", seed=0)
    model = Sequential(gru, Last(), Linear(gru.output_size, 2, dtype="float64", seed=0))
    for_fit = {"X": X, "y": Y, "epochs": 2, "progress": False} | {
        name: options.pop(name)
        for name in ("X", "y", "epochs", "batch_size", "validation")
        if name in options
    }
    if callable(for_fit["X"]):
        for_fit["y"] = None
    else:
        for_fit.setdefault("batch_size", 4)
    action = options.pop("warnings", "default")
    trainer = Trainer(model, **({"optimizer": SGD(0.1), "seed": 0} | options), comm=comm)
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        trainer.fit(for_fit.pop("X"), **for_fit)
    return trainer


def bits(trainer):
    """All weights as text."""
    return b"".join(view.tobytes() for view in trainer.model.parameters.values()).hex()


def main(folder, *names):
    """Run the cases with these names, or all, and write what each has raised on this rank."""
    from mpi4py import MPI

    comm, found = MPI.COMM_WORLD, {}
    expected = bits(train(comm))
    for name in names or CASES:
        try:
            train(comm, **CASES[name](comm.Get_rank()))
            caught = ["nothing", ""]
        except BaseException as error:  # SystemExit and KeyboardInterrupt too
            text = "" if isinstance(error, Mute) else str(error)
            caught = [type(error).__name__, text]
        again = bits(train(comm)) == expected
        found[name] = [*caught, again]
    Path(folder, f"rank{comm.Get_rank()}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
