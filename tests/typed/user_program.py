"""A user's program, checked by ``mypy --strict``: what a type checker must know about pygru.

Continuous integration checks its types and runs it. Each ``assert_type`` states the type that a
user's editor shows; each ``type: ignore`` marks a mistake that a type checker must find (strict
mode complains where it does not).
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import ArrayLike

import pygru
from pygru.typing import Floats, Seed


def layer() -> None:
    """The GRU alone: inference, training, single steps."""
    gru = pygru.GRU(4, 8, num_layers=2, batch_first=True, variant="cho", seed=0)
    x = np.ones((3, 5, 4))
    output, h_n = gru(x)
    assert_type(output, Floats)
    assert_type(h_n, Floats)
    sequences: list[Floats] = [x[0], x[1, :2]]
    outputs, h_n = gru(sequences)
    assert_type(outputs, list[Floats])
    counted = np.ones((3, 5), np.bool_)
    output, h_n = gru(x, mask=counted, reset=[[True] * 5] * 3, reset_to="h0")
    assert_type(output, Floats)

    gru.zero_grad()
    output, h_n, tape = gru.forward(x, lengths=[5, 0, 2], memory="outputs")
    assert_type(tape, pygru.Tape)
    d_x, d_h0 = gru.backward(tape, d_output=np.ones_like(output))
    assert_type(d_x, Floats | list[Floats])  # a list if x was one
    assert_type(d_h0, Floats)
    gru.flat_parameters -= 0.1 * gru.flat_grads
    assert_type(gru.parameters["weight_ih_l0"], Floats)
    assert_type(gru.state_dict(), dict[str, Floats])
    assert_type(gru.hidden_size, int)
    assert_type(gru.replace(zoneout=0.1), pygru.GRU)

    for gates in gru.gates(x):
        assert_type(gates.z, Floats)

    h = gru.step(x[:, 0], np.zeros((2, 3, 8)))
    assert_type(h, Floats)
    stream = pygru.GRU(4, 8).stream(batch=3)
    assert_type(stream(x[:, 0]), Floats)
    steps = pygru.Sequential(gru, pygru.LayerNorm(8), pygru.Activation("relu")).stream(batch=3)
    assert_type(steps, pygru.SequentialStream)
    assert_type(steps(x[:, 0]), Floats)
    steps.states = steps.states
    assert_type(pygru.AttentionOverTime(8).weights(output), Floats)


def translation() -> None:
    """A search returns targets, or lists of them."""
    model = pygru.Seq2Seq(5, 6, 4, 8, seed=0)
    best = model.beam_search([[1, 2]], max_length=3)
    assert_type(best, list[pygru.Translation])
    several = model.beam_search([[1, 2]], max_length=3, beam_size=2, n_best=2)
    assert_type(several, list[list[pygru.Translation]])
    assert_type(model.translate([[1, 2]], max_length=3), list[list[int]])


def mistakes(gru: pygru.GRU, trainer: pygru.Trainer) -> None:
    """What a type checker must find; this function is not called."""
    pygru.GRU("4", 8)  # type: ignore[arg-type]
    pygru.GRU(4, units=8)  # type: ignore[call-arg]
    gru.forward(np.ones((3, 5, 4)), memory=0.5)  # type: ignore[call-overload]
    trainer.fit(np.ones((3, 5, 4)), np.ones((3, 1)), epochs="2", batch_size=8)  # type: ignore[arg-type]


class Scale(pygru.Layer):
    """A layer of the user's own: one learned factor per feature."""

    def __init__(self, features: int, *, seed: Seed = None) -> None:
        self.features = features
        self.create_parameters(seed)

    def get_config(self) -> dict[str, Any]:
        return {"features": self.features}

    @staticmethod
    def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        return {"scale": (config["features"],)}

    def initialize(self, generator: np.random.Generator) -> None:
        self.parameters["scale"] = np.ones(self.features)

    def forward(
        self, x: ArrayLike, *, lengths: ArrayLike | None = None, training: bool = True
    ) -> tuple[Floats, Floats]:
        rows = np.asarray(x, np.float32)
        return rows * self.parameters["scale"], rows

    def backward(self, tape: Floats, d_y: ArrayLike) -> Floats:
        d_rows = np.asarray(d_y, np.float32)
        self.grads["scale"][...] += (d_rows * tape).reshape(-1, self.features).sum(axis=0)
        return d_rows * self.parameters["scale"]


def model(folder: Path) -> None:
    """A model, its training, and files."""
    X = np.ones((16, 5, 4))
    y = np.ones((16, 1))
    network = pygru.Sequential(
        pygru.GRU(4, 8, batch_first=True), Scale(8), pygru.Last(), pygru.Linear(8, 1), seed=0
    )
    trainer = pygru.Trainer(
        network,
        loss="mse",
        optimizer=pygru.Adam(1e-2, weight_decay=0.1),
        callbacks=[pygru.EarlyStopping(patience=2)],
        clip_norm=1.0,
        seed=0,
    )
    history = trainer.fit(X, y, epochs=2, batch_size=8, validation=(X, y), progress=False)
    assert_type(history, pygru.History)
    assert_type(trainer.evaluate(X, y), float)
    assert_type(trainer.evaluate(X, y, return_dict=True), dict[str, float])
    value, gradient = pygru.losses.mse(y, y)
    value + 1.0
    assert_type(gradient, Floats)

    pygru.save(network, folder / "model.safetensors", metadata={"made by": "a test"})
    loaded = pygru.load(folder / "model.safetensors", layers={"Scale": Scale})
    loaded.zero_grad()
    trainer.save_checkpoint(folder / "checkpoint.safetensors")
    trainer.resume(folder / "checkpoint.safetensors")


def data() -> None:
    """Padding, threads and what the build is."""
    padded, lengths = pygru.pad_sequences([np.ones((3, 2)), np.ones((1, 2))])
    padded.sum()
    lengths.max()
    with pygru.num_threads(1):
        assert_type(pygru.get_num_threads(), int)
    assert_type(pygru.get_include(), str)


if __name__ == "__main__":
    layer()
    translation()
    data()
    with tempfile.TemporaryDirectory() as name:
        model(Path(name))
