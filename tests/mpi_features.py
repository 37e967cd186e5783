"""Trainings that all ranks of an MPI program make together, and one process alone. No test.

``mpiexec -n 3 python mpi_features.py FOLDER [NAME...]`` trains these cases, or all. Every
rank writes a file into the folder with the weights and the history of each case.
"""

import functools
import sys
from pathlib import Path

import numpy as np

from pygru import (
    GRU,
    SGD,
    Adam,
    AdamW,
    AttentionOverTime,
    Callback,
    Dropout,
    EarlyStopping,
    Embedding,
    Last,
    LayerNorm,
    Linear,
    Masking,
    ReduceLROnPlateau,
    RMSprop,
    Seq2Seq,
    Sequential,
    Trainer,
    WeightAverage,
    losses,
    schedules,
)

RNG = np.random.default_rng(0)
N, T, F = 23, 7, 2  # with batches of 8 the last one has 7 samples
X = RNG.standard_normal((N, T, F))
Y = np.stack([X.sum(axis=(1, 2)), X[:, -1, 0] - X[:, 0, 1]], axis=1)
STEPS = np.cumsum(X, axis=1)
LENGTHS = RNG.integers(1, T + 1, N)
WEIGHTS = RNG.random(N) * np.where(np.arange(N) % 5, 1, 30)
STEP_WEIGHTS = RNG.random((N, T))
CLASS = np.digitize(Y[:, 0], [-1, 1])
STEP_CLASS = np.digitize(STEPS[..., 0], [-1, 1])
MASK = RNG.random((N, T)) < 0.7
MASK[:, 0] = True
RESET = RNG.random((N, T)) < 0.3
TOKENS = RNG.integers(0, 6, (N, T))
RAGGED = [x[:n] for x, n in zip(X, LENGTHS, strict=True)]
RAGGED_STEPS = [y[:n] for y, n in zip(STEPS, LENGTHS, strict=True)]
SOURCES = [RNG.integers(2, 9, RNG.integers(1, 6)).tolist() for _ in range(N)]
NO_WEIGHT = np.where(np.arange(N) < 12, 0.0, 1.0)  # the shares of some ranks count nothing

FOR_TRAINER = {"loss", "optimizer", "clip_norm", "callbacks", "metrics", "classes", "memory"}


def model(outputs=2, *, steps=False, dtype="float64", last=None, layers=(), **options):
    """A recurrent model; one that predicts every step has no layer that ends the time."""
    gru = GRU(F, 4, batch_first=True, dtype=dtype, **options)
    middle = [] if steps else [Last(gru.bidirectional) if last is None else last]
    size = gru.output_size
    return Sequential(*layers, gru, *middle, Linear(size, outputs, dtype=dtype), seed=0)


def of_tokens(**options):
    """A model that reads tokens."""
    gru = GRU(3, 4, batch_first=True, dtype="float64")
    embedding = Embedding(6, 3, dtype="float64", **options)
    return Sequential(embedding, gru, Linear(4, 2, dtype="float64"), seed=0)


def with_noise(**options):
    """A model with every kind of noise."""
    gru = GRU(F, 4, 2, batch_first=True, dropout=0.3, dtype="float64", **options)
    return Sequential(gru, Dropout(0.3), Last(), Linear(4, 2, dtype="float64"), seed=0)


def with_one_generator(generator):
    """A model with two layers that draw from one generator."""
    gru = GRU(F, 4, batch_first=True, zoneout=0.2, dtype="float64", seed=generator)
    dropout = Dropout(0.3, seed=generator)
    return Sequential(gru, dropout, Linear(4, 2, dtype="float64", seed=0))


def frozen():
    """A model whose recurrent layer is not trained."""
    result = model()
    result.layers[0].trainable = False
    return result


def translator(**options):
    """An encoder and a decoder, and what they learn: a sequence backwards."""
    options = {"dtype": "float64", "seed": 0} | options
    result = Seq2Seq(9, 9, embedding_dim=3, hidden_size=4, **options)
    pairs, y = result.training_data(SOURCES, [source[::-1] for source in SOURCES])
    return {"model": result, "X": pairs, "y": y, "loss": "cross_entropy"}


def own_loss(prediction, target, *, mask=None):
    """The mean of fourth powers, as a plain number."""
    difference = prediction - target
    return float(np.mean(difference**4)), 4 * difference**3 / difference.size


def own_weighted_loss(prediction, target, *, mask=None, weights=None):
    """The mean of squares, which says with which weight it counts; NaN if nothing does."""
    share = np.ones(target.shape) if weights is None else weights
    share = share if mask is None else share * mask[..., np.newaxis]
    difference, total = prediction - target, share.sum()
    if total == 0:
        return losses.Mean(np.nan, 0.0), np.zeros_like(prediction)
    value = (share * difference**2).sum() / total
    return losses.Mean(value, total), 2 * share * difference / total


def spread_of(y_true, y_pred):
    """A metric of all predictions at once, which no mean over batches gives."""
    return float(np.max(np.abs(y_true - y_pred)) + len(y_true))


def weighted_bias(y_true, y_pred, sample_weight=None):
    """A metric with weights."""
    return float(np.average((y_pred - y_true).mean(axis=-1), weights=sample_weight))


def shares_of(comm, *arrays, uneven=None):
    """The batches of this rank as a function; those of one process are whole."""

    def batches():
        for first in range(0, N, 8):
            yield tuple(
                None if each is None else each[first : first + 8][own(first)] for each in arrays
            )

    def own(first):
        if comm is None:
            return slice(None)
        count, rank, size = min(8, N - first), comm.Get_rank(), comm.Get_size()
        if uneven == "none":  # the others have batches, but of no samples
            return slice(0, count if rank == 0 else 0)
        if uneven == "first":  # the first rank has nearly all
            end = count - size + rank + 1
            return slice(0 if rank == 0 else end - 1, end)
        return slice(count * rank // size, count * (rank + 1) // size)

    return batches


def on_one_rank(comm, *, of_last):
    """Batches of which only one rank has a sample, all of them or the last one."""
    whole = [(X[i : i + 8], Y[i : i + 8]) for i in range(0, N, 8)]
    if comm is None:
        return whole
    rank, size = comm.Get_rank(), comm.Get_size()
    if of_last:
        parts = [
            tuple(each[len(each) * rank // size : len(each) * (rank + 1) // size] for each in b)
            for b in whole[:-1]
        ]
        return lambda: iter(parts + whole[-1:] * (rank == size - 1))
    return lambda: iter(whole if rank == 1 else [])


CASES = {
    "mse": lambda comm: {},
    "mae": lambda comm: {"loss": "mae"},
    "huber": lambda comm: {"loss": functools.partial(losses.huber, delta=0.5)},
    "quantile": lambda comm: {
        "loss": functools.partial(losses.quantile, quantiles=[0.1, 0.9]),
        "y": Y[:, 0],
    },
    "cross_entropy": lambda comm: {"loss": "cross_entropy", "model": model(3), "y": CLASS},
    "cross_entropy, labels": lambda comm: {
        "loss": "cross_entropy",
        "model": model(3),
        "y": np.array(["low", "middle", "high"])[CLASS],
        "metrics": ["accuracy"],
    },
    "cross_entropy, ignore_index": lambda comm: {
        "loss": functools.partial(losses.cross_entropy, ignore_index=2),
        "model": model(3, steps=True),
        "y": STEP_CLASS,
        "metrics": ["accuracy"],
    },
    "cross_entropy, class_weight": lambda comm: {
        "loss": functools.partial(losses.cross_entropy, class_weight=[0.2, 1, 5]),
        "model": model(3),
        "y": CLASS,
    },
    "cross_entropy, label_smoothing": lambda comm: {
        "loss": functools.partial(losses.cross_entropy, label_smoothing=0.1),
        "model": model(3),
        "y": CLASS,
        "sample_weight": WEIGHTS,
    },
    "bce_with_logits": lambda comm: {"loss": "bce_with_logits", "y": Y > 0},
    "bce_with_logits, pos_weight": lambda comm: {
        "loss": functools.partial(losses.bce_with_logits, pos_weight=[3.0, 0.5]),
        "y": Y > 0,
        "metrics": ["accuracy"],
    },
    "own loss": lambda comm: {"loss": own_loss},
    "own loss with a weight": lambda comm: {
        "loss": own_weighted_loss,
        "model": model(steps=True),
        "y": STEPS,
        "lengths": LENGTHS,
    },
    "own loss without a number where nothing counts": lambda comm: {
        "loss": own_weighted_loss,
        "sample_weight": NO_WEIGHT,
        "metrics": [spread_of],
        "shuffle": False,
    },
    "lengths": lambda comm: {"lengths": LENGTHS},
    "lengths, per step": lambda comm: {
        "model": model(steps=True),
        "y": STEPS,
        "lengths": LENGTHS,
    },
    "ragged": lambda comm: {"X": RAGGED},
    "ragged, per step": lambda comm: {
        "model": model(steps=True),
        "X": RAGGED,
        "y": RAGGED_STEPS,
        "metrics": ["mae"],
    },
    "mask": lambda comm: {"model": model(steps=True), "y": STEPS, "mask": MASK},
    "mask and reset": lambda comm: {"mask": MASK, "reset": RESET, "lengths": LENGTHS},
    "reset": lambda comm: {"model": model(steps=True), "y": STEPS, "reset": RESET},
    "Masking": lambda comm: {
        "model": model(steps=True, layers=[Masking(0.0)]),
        "X": np.where(MASK[..., np.newaxis], X, 0),
        "y": STEPS,
    },
    "Embedding(mask_zero)": lambda comm: {
        "model": of_tokens(mask_zero=True),
        "X": TOKENS,
        "y": STEPS,
        "metrics": ["mse"],
    },
    "sample_weight": lambda comm: {"sample_weight": WEIGHTS, "metrics": ["mse"]},
    "sample_weight, per step": lambda comm: {
        "model": model(steps=True),
        "y": STEPS,
        "lengths": LENGTHS,
        "sample_weight": STEP_WEIGHTS,
        "metrics": ["mae"],
    },
    "sample_weight 0": lambda comm: {
        "sample_weight": NO_WEIGHT,
        "shuffle": False,
        "metrics": {"spread": spread_of, "bias": weighted_bias},
        "validation": (X, Y, None, NO_WEIGHT),
    },
    "clip_norm": lambda comm: {"clip_norm": 0.05},
    "SGD with momentum": lambda comm: {"optimizer": SGD(0.05, 0.9, nesterov=True)},
    "AdamW": lambda comm: {"optimizer": AdamW(0.01)},
    "RMSprop": lambda comm: {"optimizer": RMSprop(0.01)},
    "WeightAverage": lambda comm: {
        "callbacks": [WeightAverage(0.8)],
        "validation": (X[:9], Y[:9]),
    },
    "schedule": lambda comm: {
        "optimizer": Adam(schedules.warmup(schedules.cosine(0.05, 10), 3)),
    },
    "ReduceLROnPlateau": lambda comm: {
        "callbacks": [ReduceLROnPlateau(0.5, 1, min_delta=0.9)],
        "validation_split": 0.3,
        "epochs": 5,
    },
    "EarlyStopping": lambda comm: {
        "callbacks": [EarlyStopping(1, monitor="val_rmse", min_delta=0.2)],
        "metrics": ["rmse"],
        "validation": (X[:10], -Y[:10]),
        "epochs": 9,
    },
    "metrics of values": lambda comm: {
        "metrics": ["mae", "mse", "rmse", "r2", spread_of, weighted_bias],
        "validation": (X[:11], Y[:11]),
    },
    "metrics of classes": lambda comm: {
        "loss": "cross_entropy",
        "model": model(3),
        "y": CLASS,
        "metrics": ["accuracy", spread_of],
        "validation_split": 0.4,
    },
    "scikit-learn's scorers": lambda comm: {
        "loss": "cross_entropy",
        "model": model(3),
        "y": np.array(["low", "middle", "high"])[CLASS],
        "metrics": ["f1_macro", "roc_auc_ovr", "neg_log_loss"],
        "validation_split": 0.4,
        "sample_weight": WEIGHTS,
    },
    "bptt_steps": lambda comm: {
        "model": model(steps=True),
        "y": STEPS,
        "bptt_steps": 3,
        "metrics": ["mae"],
    },
    "bptt_steps, ragged": lambda comm: {
        "model": model(steps=True, num_layers=2),
        "X": RAGGED,
        "y": RAGGED_STEPS,
        "bptt_steps": 2,
        "clip_norm": 0.1,
    },
    "bptt_steps, empty sequences": lambda comm: {
        "model": model(steps=True),
        "y": STEPS,
        "lengths": np.where(np.arange(N) % 8 < 5, 0, LENGTHS),
        "bptt_steps": 2,
        "shuffle": False,
    },
    "Seq2Seq": lambda comm: translator() | {"metrics": ["accuracy"]},
    # Adam would enlarge the rounding errors of gradients that are 0 by mathematics.
    "Seq2Seq, additive": lambda comm: {
        **translator(score="additive", num_layers=2),
        "optimizer": SGD(0.1),
    },
    "Seq2Seq, no sentence for some ranks": lambda comm: {
        **translator(),
        "optimizer": SGD(0.1),
        "batch_size": 2,
        "epochs": 1,
    },
    "AttentionOverTime": lambda comm: {
        "model": model(last=AttentionOverTime(4, dtype="float64")),
        "lengths": LENGTHS,
    },
    "LayerNorm": lambda comm: {
        "model": model(layers=[LayerNorm(F, dtype="float64")], layer_norm=True),
    },
    "frozen layers": lambda comm: {"model": frozen()},
    "bidirectional": lambda comm: {
        "model": model(bidirectional=True, num_layers=2, learn_h0=True),
        "lengths": LENGTHS,
    },
    "memory": lambda comm: {"model": model(steps=True), "y": STEPS, "memory": "sqrt"},
    "validation": lambda comm: {"validation": (X[:13], Y[:13], LENGTHS[:13], WEIGHTS[:13])},
    "validation_split": lambda comm: {"validation_split": 0.3},
    "validation, one sample": lambda comm: {"validation": (X[:1], Y[:1])},
    "validation, batches": lambda comm: {
        "validation": shares_of(comm, X, Y),
        "metrics": ["mae"],
    },
    "batches": lambda comm: {"X": shares_of(comm, X, Y), "y": None, "batch_size": None},
    "batches, uneven": lambda comm: {
        "X": shares_of(comm, X, STEPS, LENGTHS, WEIGHTS, MASK, RESET, uneven="first"),
        "model": model(steps=True),
        "y": None,
        "batch_size": None,
        "bptt_steps": 3,
    },
    "batches of no samples": lambda comm: {
        "X": shares_of(comm, X, Y, uneven="none"),
        "y": None,
        "batch_size": None,
        "validation": shares_of(comm, X, Y, uneven="none"),
    },
    "batches, all on one rank": lambda comm: {
        "X": on_one_rank(comm, of_last=False),
        "y": None,
        "batch_size": None,
        "metrics": ["mae"],
        "validation": on_one_rank(comm, of_last=False),
    },
    "batches, the last on one rank": lambda comm: {
        "X": on_one_rank(comm, of_last=True),
        "y": None,
        "batch_size": None,
    },
    "fewer samples than ranks": lambda comm: {
        "X": X[:1],
        "y": Y[:1],
        "batch_size": None,
        "metrics": ["mae"],
    },
    "batches smaller than the ranks": lambda comm: {"batch_size": 1, "X": X[:5], "y": Y[:5]},
}

# These have the same bits whenever the same ranks train, but others than one process has.
WITH_NOISE = {
    "dropout": lambda comm: {"model": with_noise()},
    "dropout, memory": lambda comm: {"model": with_noise(), "memory": "sqrt"},
    "recurrent dropout and zoneout": lambda comm: {
        "model": with_noise(recurrent_dropout=0.2, zoneout=0.2),
    },
    "noise of one generator": lambda comm: {
        "model": with_one_generator(np.random.default_rng(3)),
        "y": STEPS,
        "lengths": LENGTHS,
        "bptt_steps": 3,
    },
    "scheduled sampling": lambda comm: translator(
        teacher_forcing=lambda step: 1 / (1 + step), dropout=0.2
    ),
}

# The same in single precision; sums then differ in other places.
IN_SINGLE = {
    "float32": lambda comm: {"model": model(dtype="float32"), "metrics": ["mae"]},
    "float32, bidirectional": lambda comm: {
        "model": model(dtype="float32", bidirectional=True, steps=True),
        "y": STEPS,
        "lengths": LENGTHS,
        "optimizer": SGD(0.05),
    },
}

ALL = CASES | WITH_NOISE | IN_SINGLE


class Told(Callback):
    """Keeps what it is told after every step."""

    def __init__(self):
        self.steps = []

    def on_batch_end(self, trainer, loss, sequences):
        """Keep the loss and the number of sequences."""
        self.steps.append((loss, sequences))


def train(name, comm=None):
    """Train a case, on all ranks of a communicator or alone, and return the trainer."""
    options = {"X": X, "y": Y, "epochs": 3, "batch_size": 8, "optimizer": Adam(0.02)}
    options |= ALL[name](comm)
    trained = options.pop("model") if "model" in options else model()
    for_trainer = {key: options.pop(key) for key in FOR_TRAINER & set(options)}
    for_trainer["callbacks"] = [*for_trainer.pop("callbacks", []), Told()]
    trainer = Trainer(trained, seed=1, comm=comm, **for_trainer)
    trainer.fit(options.pop("X"), options.pop("y"), progress=False, **options)
    return trainer


def outcome(trainer):
    """What a training has given: all weights, and the numbers of all epochs and steps."""
    weights = np.concatenate(
        [view.ravel() for view in trainer.model.parameters.values()], dtype=np.float64
    )
    records = [
        {key: value for key, value in record.items() if key != "seconds"}
        for record in trainer.history.records
    ]
    names = sorted(records[0])
    numbers = [[record[key] for key in names] for record in records]
    return weights, np.concatenate([*numbers, *trainer.callbacks[-1].steps], dtype=np.float64)


def main(folder, *names):
    """Train the cases with these names, and write what each has given on this rank."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    found = {"size": np.array(comm.Get_size())}
    for name in names or ALL:
        trainer = train(name, comm)
        weights, numbers = outcome(trainer)
        found |= {f"{name}: weights": weights, f"{name}: numbers": numbers}
        state = str(trainer._state.random_state()).encode()
        found[f"{name}: seconds"] = np.array(trainer.history["seconds"])
        found[f"{name}: random state"] = np.frombuffer(state, np.uint8)
    np.savez(Path(folder) / f"rank{comm.Get_rank()}.npz", **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
