"""How long a training run will take: a few batches of random numbers of its size are timed."""

from __future__ import annotations

import time

import numpy as np

from pygru.gru import GRU
from pygru.nn.last import Last
from pygru.nn.linear import Linear
from pygru.nn.sequential import Sequential
from pygru.train.optimizers import Adam
from pygru.train.trainer import Trainer

LONGEST = 1.0  # seconds that the measurement may take before it stops


def seconds_of_an_epoch(
    windows: int,
    steps: int,
    features: int,
    outputs: int,
    *,
    batch_size: int,
    hidden_size: int,
    num_layers: int,
    variant: str,
    n_threads: int | None,
) -> float:
    """Return the seconds of one pass over ``windows`` sequences of ``steps`` steps.

    A model of the same size is trained on batches of random numbers. Its first batch is not
    counted, since it allocates memory.
    """
    size = min(batch_size, windows)
    model = Sequential(
        GRU(features, hidden_size, num_layers, variant=variant, batch_first=True, seed=0),
        Last(),
        Linear(hidden_size, outputs, seed=0),
    )
    trainer = Trainer(model, optimizer=Adam(), clip_norm=1.0, seed=0, n_threads=n_threads)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((size, steps, features), np.float32)
    y = np.zeros((size, outputs), np.float32)
    times: list[float] = []
    end = time.perf_counter() + LONGEST
    while len(times) < 6 and (len(times) < 2 or time.perf_counter() < end):
        begin = time.perf_counter()
        trainer.fit(x, y, epochs=1, batch_size=size, progress=False)
        times.append(time.perf_counter() - begin)
    return float(np.median(times[1:])) * windows / size
