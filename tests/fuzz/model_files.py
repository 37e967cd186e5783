"""Model files, checkpoints and files of forecasters, damaged in their bytes and their JSON."""

import contextlib
import json
import re
import struct
import tempfile
import warnings
from pathlib import Path

import numpy as np

import pygru
from fuzz.fuzzer import FOLDER, Fuzzer
from fuzz.mutations import changed
from pygru import GRU, Attention, Embedding, FormatError, Last, Linear, Seq2Seq, Sequential


def make_models():
    """Models of every class."""
    return [
        GRU(2, 3, 2, bidirectional=True, layer_norm=True, learn_h0=True, seed=0),
        Sequential(
            Embedding(5, 4, padding_idx=0, seed=0),
            GRU(4, 3, batch_first=True, dtype="float64", variant="pytorch", seed=1),
            Last(),
            Linear(3, 2, seed=2),
        ),
        Attention(3, 4, score="additive", seed=0),
        Seq2Seq(5, 6, 2, 3, seed=0),
        GRU(3, 2, 2, learn_h0=True, seed=0).quantized(),
    ]


def parts(data):
    """The header as a dict, and the bytes behind it."""
    (size,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def assemble(header, body):
    """A file of a header (a dict or bytes) and a body."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def mutated(data, rng):
    """A file in which something has been changed, at random."""
    kind = rng.randrange(6)
    header, body = parts(data)
    if kind == 0:
        return assemble(changed(header, rng), body)
    if kind in (1, 2):
        notes = header["__metadata__"]
        name = rng.choice(["config", "config", "config", "metadata"])
        notes[name] = json.dumps(changed(json.loads(notes[name]), rng))
        return assemble(header, body)
    mutable = bytearray(data)
    place = rng.randrange(len(mutable)) if kind == 3 else rng.randrange(min(600, len(mutable)))
    if kind == 3:
        mutable[place] ^= 1 << rng.randrange(8)
    elif kind == 4:
        mutable[place : place + rng.randrange(1, 9)] = rng.randbytes(rng.randrange(12))
    else:
        del mutable[place:]
    return bytes(mutable)


def usable(model):
    """Check that what a damaged file gives is a model with its own parameters."""
    for value in model.parameters.values():
        assert np.isreal(value).all()


class FileFuzzer(Fuzzer):
    """Base class: cases are files, which are read by their path.

    A class says what good files there are (``originals``), how one is damaged (``damage``), and
    what reads one (``read``). A good file must be readable, or nothing would be tried.
    """

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix=FOLDER)
        self.path = Path(self._folder.name) / f"case{self.suffix}"
        self.files = self.originals()
        for data in self.files:
            self.run(data)

    def originals(self):
        """The bytes of good files."""
        raise NotImplementedError

    def damage(self, data, rng):
        """A damaged copy of a good file."""
        return mutated(data, rng)

    def read(self, path):
        """Do with a file all that can be done with one."""
        raise NotImplementedError

    def case(self, rng):
        return self.damage(rng.choice(self.files), rng)

    def run(self, case):
        self.path.write_bytes(case)
        self.read(self.path)
        return "read"

    def close(self):
        self._folder.cleanup()

    def written(self, write):
        """The bytes that ``write(path)`` writes."""
        write(self.path)
        return self.path.read_bytes()


# What resume says of a sound checkpoint that was not made by this training.
OF_ANOTHER = re.compile("of another|which is not among those of this trainer")


class Models(FileFuzzer):
    """Model files: pygru.load and read_metadata."""

    name = "models"
    cases = 3000
    memory = 2**24

    def originals(self):
        metadata = {"note": [1, {"x": None}]}
        return [
            self.written(lambda path, model=model: pygru.save(model, path, metadata))
            for model in make_models()
        ]

    def read(self, path):
        with contextlib.suppress(*self.refusals):
            pygru.read_metadata(path)
        with contextlib.suppress(*self.refusals):
            pygru.io.inspect(path)
        usable(pygru.load(path))


class Forecasters(FileFuzzer):
    """Files of forecasters, which are used if they can be read."""

    name = "forecasters"
    cases = 800

    def originals(self):
        import pandas as pd

        from pygru.forecasting import GRUForecaster

        rng = np.random.default_rng(0)
        days = pd.date_range("2024-01-01", periods=30)
        names = ["a", "b"]
        every = pd.DataFrame({"shop": np.repeat(names, 30), "day": [*days, *days]})
        self.y = every.assign(sales=rng.uniform(1, 2, 60))
        self.past = every.assign(price=rng.uniform(1, 2, 60), kind=["x", "y", "z"] * 20)
        options = {"window": 6, "hidden_size": 2, "epochs": 1, "progress": False, "seed": 0}
        one = GRUForecaster(2, season=None, **options)
        one.fit(self.y[:30].drop(columns="shop"), time="day")
        many = GRUForecaster(2, season=3, quantiles=(0.1, 0.5, 0.9), **options)
        static = pd.DataFrame({"shop": names, "size": [1.0, 2.0]})
        many.fit(self.y, self.past, id="shop", time="day", static=static)
        return [self.written(one.save), self.written(many.save)]

    def damage(self, data, rng):
        if rng.randrange(4) == 0:
            return mutated(data, rng)
        header, body = parts(data)
        notes = header["__metadata__"]
        notes["metadata"] = json.dumps(changed(json.loads(notes["metadata"]), rng))
        return assemble(header, body)

    def read(self, path):
        from pygru.forecasting import GRUForecaster

        forecaster = GRUForecaster.load(path)
        for table in (self.y, self.y[:30].drop(columns="shop")):
            with contextlib.suppress(ValueError):
                forecaster.predict(table, self.past)


class Checkpoints(FileFuzzer):
    """Checkpoints: resumed, and then trained on."""

    name = "checkpoints"
    cases = 800

    def originals(self):
        return [self.written(lambda path, stop=stop: stopped(path, stop)) for stop in (3, 4)]

    def damage(self, data, rng):
        if rng.randrange(4) == 0:
            return mutated(data, rng)
        return forged(data, lambda state: changed(state, rng))

    def read(self, path):
        trainer = small_trainer()
        try:
            trainer.resume(path)
        except ValueError as error:
            # A sound checkpoint of other training; the damage has made it one.
            if isinstance(error, FormatError) or not OF_ANOTHER.search(str(error)):
                raise
            return
        with contextlib.suppress(ValueError, pygru.DivergenceError):
            train(trainer)


def small_trainer():
    """A trainer in which everything that a checkpoint holds is used."""
    model = Sequential(
        GRU(2, 3, batch_first=True, dropout=0.0, zoneout=0.1, learn_h0=True, seed=0),
        pygru.Dropout(0.2, seed=0),
        Last(),
        Linear(3, 1, seed=0),
    )
    return pygru.Trainer(
        model,
        optimizer=pygru.Adam(pygru.schedules.cosine(0.05, 20)),
        callbacks=[pygru.EarlyStopping(2), pygru.WeightAverage(0.8)],
        seed=0,
    )


def train(trainer):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((7, 4, 2)), rng.standard_normal((7, 1))
    with warnings.catch_warnings():
        # A file may say that several ranks made it, and training says so.
        warnings.filterwarnings("ignore", "the checkpoint was made by .* ranks", UserWarning)
        trainer.fit(X, y, epochs=2, batch_size=3, validation=(X, y), progress=False)


def stopped(path, batches):
    """Write a checkpoint of training that was stopped after some batches, three an epoch."""

    class Stop(pygru.Callback):
        left = batches

        def on_batch_end(self, trainer, loss, sequences):
            self.left -= 1
            if not self.left:
                trainer.save_checkpoint(path)
                raise KeyboardInterrupt

    trainer = small_trainer()
    trainer.callbacks.append(Stop())
    with contextlib.suppress(KeyboardInterrupt):
        train(trainer)
    assert path.exists()


def forged(checkpoint, change):
    """The same checkpoint with another state, and the digest of that."""
    import safetensors.numpy

    from pygru.train import checkpoint_file

    header, _ = parts(checkpoint)
    arrays = safetensors.numpy.load(checkpoint)
    text = json.dumps(change(json.loads(arrays[checkpoint_file.STATE].tobytes())))
    arrays[checkpoint_file.STATE] = np.frombuffer(text.encode(), np.uint8)
    notes = header["__metadata__"] | {"digest": checkpoint_file.digest(arrays)}
    return safetensors.numpy.save(arrays, notes)
