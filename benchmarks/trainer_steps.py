"""A whole training step of a small model: batches, GRU, head, loss, clipping and optimiser."""

import numpy as np

import pygru
from benchmarks.results import Row
from benchmarks.timing import take

STEPS = 20  # of one call, which is an epoch
RATE, CLIP = 1e-3, 1.0


def _regression(B, T, I):
    generator = np.random.default_rng(0)
    X = generator.standard_normal((STEPS * B, T, I)).astype(np.float32)
    return X, 0.05 * X.sum(axis=(1, 2))[:, None]


def of_pygru(cell, n_threads):
    """A function that trains one epoch: GRU, last step, Linear, Adam."""
    B, T, I, H = cell
    X, y = _regression(B, T, I)
    gru = pygru.GRU(I, H, batch_first=True, variant="pytorch", seed=0)
    model = pygru.Sequential(gru, pygru.Last(), pygru.Linear(H, 1, seed=1))
    optimizer = pygru.Adam(RATE)
    trainer = pygru.Trainer(
        model, loss="mse", optimizer=optimizer, clip_norm=CLIP, seed=0, n_threads=n_threads
    )
    return lambda: trainer.fit(X, y, epochs=1, batch_size=B, progress=False)


def of_torch(cell, torch):
    """The same in PyTorch."""
    B, T, I, H = cell
    X, y = map(torch.from_numpy, _regression(B, T, I))
    gru, head = torch.nn.GRU(I, H, batch_first=True), torch.nn.Linear(H, 1)
    parameters = [*gru.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, RATE)

    def epoch():
        order = torch.randperm(len(X))
        for first in range(0, len(X), B):
            index = order[first : first + B]
            optimizer.zero_grad()
            output, _ = gru(X[index])
            loss = torch.nn.functional.mse_loss(head(output[:, -1]), y[index])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, CLIP)
            optimizer.step()
            loss.item()

    return epoch


def row(cell, options, runners):
    """Measure a cell of the kind "trainer"; the times are those of one step."""
    functions = {"pygru": of_pygru(cell, options.threads)}
    for runner in runners:
        if runner.name == "torch":
            functions["torch"] = of_torch(cell, runner.torch)
    seconds, spread = take(functions, options.repeats, options.threads)
    seconds = {name: value / STEPS for name, value in seconds.items()}
    B, T, I, H = cell
    operations = 18 * T * B * H * (I + H)
    return Row("trainer", cell, "float32", options.threads, seconds, spread, operations)
