"""Checkpoints: training that was stopped at any point continues with the same bits.

Tests of the rows B-94 to B-115 of the bad-input list that concern checkpoints have the row in
their id.
"""

import copy
import functools
import gc
import json
import struct
import subprocess
import sys
import tracemalloc
import weakref

import numpy as np
import pytest
from patience import PATIENCE

import pygru
from pygru import (
    GRU,
    SGD,
    Adam,
    Callback,
    CSVLogger,
    Dropout,
    EarlyStopping,
    FormatError,
    Last,
    Linear,
    ModelCheckpoint,
    ReduceLROnPlateau,
    RMSprop,
    Sequential,
    Trainer,
    WeightAverage,
    losses,
    schedules,
)

EPOCHS, BATCH, N = 4, 5, 17  # 4 batches an epoch, the last of 2 samples


def data_of():
    rng = np.random.default_rng(1)
    X = [rng.standard_normal((size, 2)) for size in rng.integers(1, 7, N)]
    return X, np.array([[x[:, 0].sum()] for x in X])


X, y = data_of()


class Interrupt(Callback):
    """Raises after a number of batches, or at the end of a number of epochs."""

    def __init__(self, batches=None, epochs=None, error=KeyboardInterrupt):
        self.left = {"batches": batches, "epochs": epochs}
        self.error = error

    def _count(self, what):
        if self.left[what] is not None:
            self.left[what] -= 1
            if self.left[what] == 0:
                raise self.error

    def on_batch_end(self, trainer, loss, sequences):
        self._count("batches")

    def on_epoch_end(self, trainer, record):
        self._count("epochs")


def optimizer_of(kind="adam"):
    if kind == "sgd":
        return SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.01)
    if kind == "rmsprop":
        return RMSprop(0.01, momentum=0.5, centered=True)
    return Adam(schedules.warmup(schedules.cosine(0.05, 20), 3))


def trainer_of(*more, kind="adam", seed=0, hidden=4, before=()):
    noise = {"dropout": 0.3, "recurrent_dropout": 0.2, "zoneout": 0.1}
    model = Sequential(
        GRU(2, hidden, 2, batch_first=True, learn_h0=True, seed=seed, **noise),
        Dropout(0.2, seed=seed),
        Last(),
        Linear(hidden, 1, seed=seed + 1),
    )
    callbacks = [*before, EarlyStopping(patience=2), WeightAverage(0.8), *more]
    return Trainer(model, optimizer=optimizer_of(kind), callbacks=callbacks, seed=seed)


def fit(trainer, epochs=EPOCHS):
    return trainer.fit(
        X, y, epochs=epochs, batch_size=BATCH, validation=(X[:6], y[:6]), progress=False
    )


def outcome(trainer, history):
    """Everything that must not depend on a stop: weights, states, records, random numbers."""
    records = [
        {k: v for k, v in record.items() if k != "seconds"} for record in history.records
    ]
    arrays = [values.tobytes() for values, _ in trainer.model.flat_pairs]
    arrays += [array.tobytes() for row in trainer.optimizer._states for array in row]
    arrays += [array.tobytes() for array in trainer.callbacks[-2]._averaged[0]]
    states = [trainer.generator, *trainer.model.generators]
    return (
        records,
        arrays,
        trainer.optimizer.steps,
        [str(g.bit_generator.state) for g in states],
    )


@pytest.fixture(scope="module", params=["adam", "sgd", "rmsprop"])
def whole(request):
    """The outcome of training that never stops; the last callback does nothing."""
    trainer = trainer_of(Callback(), kind=request.param)
    return request.param, outcome(trainer, fit(trainer))


def resumed(path, kind, seed=7):
    """Use other seeds, because everything random must come from the checkpoint."""
    trainer = trainer_of(Callback(), kind=kind, seed=seed)
    trainer.resume(path)
    return trainer


@pytest.mark.parametrize(
    ("error", "stop"),
    [(KeyboardInterrupt, stop) for stop in (1, 3, 4, 6, 15, 16)]
    + [(SystemExit, 6), (RuntimeError, 15)],
)
def test_stopped_in_a_callback(whole, stop, error, tmp_path):
    kind, expected = whole
    trainer = trainer_of(Interrupt(batches=stop, error=error), kind=kind)
    with pytest.raises(error):
        fit(trainer)
    trainer.save_checkpoint(tmp_path / "c")
    other = resumed(tmp_path / "c", kind)
    assert outcome(other, fit(other)) == expected


@pytest.mark.parametrize("epochs", [1, 3])
def test_stopped_between_epochs(whole, epochs, tmp_path):
    kind, expected = whole
    trainer = trainer_of(Interrupt(epochs=epochs, error=RuntimeError), kind=kind)
    with pytest.raises(RuntimeError):
        fit(trainer)
    trainer.save_checkpoint(tmp_path / "c")
    other = resumed(tmp_path / "c", kind)
    assert outcome(other, fit(other)) == expected


def test_fit_that_has_returned_goes_on_with_more_epochs(whole, tmp_path):
    """Early stopping and the average have put other weights into the model by then."""
    kind, expected = whole
    trainer = trainer_of(Callback(), kind=kind)
    fit(trainer, 2)
    trainer.save_checkpoint(tmp_path / "c")
    other = resumed(tmp_path / "c", kind)
    assert outcome(other, fit(other)) == expected


def test_a_checkpoint_of_a_checkpoint(whole, tmp_path):
    """Saved again before fit, and stopped a second time."""
    kind, expected = whole
    trainer = trainer_of(Interrupt(batches=6), kind=kind)
    with pytest.raises(KeyboardInterrupt):
        fit(trainer)
    trainer.save_checkpoint(tmp_path / "a")
    second = trainer_of(Interrupt(batches=3), kind=kind, seed=3)
    second.resume(tmp_path / "a")
    second.save_checkpoint(tmp_path / "b")
    second.resume(tmp_path / "b")
    with pytest.raises(KeyboardInterrupt):
        fit(second)
    second.save_checkpoint(tmp_path / "c")
    other = resumed(tmp_path / "c", kind)
    assert outcome(other, fit(other)) == expected


def test_fit_can_be_tried_again_after_resume(whole, tmp_path):
    """The first fit fails before it has done anything, but ends like every fit."""

    class Fail(Callback):
        def load_state_dict(self, state):
            raise RuntimeError

    kind, expected = whole
    trainer = trainer_of(Fail(), Interrupt(batches=14), kind=kind)
    with pytest.raises(KeyboardInterrupt):
        fit(trainer)
    trainer.save_checkpoint(tmp_path / "c")
    other = resumed(tmp_path / "c", kind)
    other.callbacks[-1:] = [Fail()]
    with pytest.raises(RuntimeError):
        fit(other)
    other.callbacks[-1:] = [Callback()]
    assert outcome(other, fit(other)) == expected


def test_a_checkpoint_may_be_made_before_training(tmp_path):
    trainer = trainer_of(Callback())
    trainer.save_checkpoint(tmp_path / "c")
    other = resumed(tmp_path / "c", "adam")
    assert outcome(other, fit(other)) == outcome(trainer, fit(trainer))


class SaveAt(Callback):
    """Saves after one batch, before or after the other callbacks are told of it."""

    def __init__(self, path, at):
        self.path, self.at, self.seen = path, at, 0

    def on_batch_end(self, trainer, loss, sequences):
        self.seen += 1
        if self.seen == self.at:
            trainer.save_checkpoint(self.path)

    def on_epoch_end(self, trainer, record):
        if self.at == -record["epoch"]:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("at", [1, 7, 12, 0, -2])
def test_saved_by_a_callback_wherever_it_stands(first, at, tmp_path):
    saver = SaveAt(tmp_path / "c", at)
    trainer = trainer_of(Callback(), *(() if first else (saver,)), before=(saver,) * first)
    history = fit(trainer)
    trainer.callbacks.remove(saver)
    other = resumed(tmp_path / "c", "adam")
    assert outcome(other, fit(other)) == outcome(trainer, history)


class Told(Callback):
    """Counts its calls; the counts are stored in checkpoints."""

    def __init__(self):
        self.counts = {"batches": 0, "epochs": 0}

    def on_batch_end(self, trainer, loss, sequences):
        self.counts["batches"] += 1

    def on_epoch_end(self, trainer, record):
        self.counts["epochs"] += 1

    def state_dict(self):
        return self.counts

    def load_state_dict(self, state):
        self.counts = state


@pytest.mark.parametrize("at", [3, 0, -1])
def test_callbacks_are_told_everything_once(at, tmp_path):
    def trainer(saver):
        callbacks = [Told(), *saver, Told()]
        return Trainer(trainer_of().model, callbacks=callbacks, seed=0)

    fit(trainer([SaveAt(tmp_path / "c", at)]))
    other = trainer([])
    other.callbacks.append(SaveAt(tmp_path / "d", None))  # a new one, which saves elsewhere
    other.resume(tmp_path / "c")
    other.save_checkpoint(tmp_path / "c")  # also after a second checkpoint
    other.resume(tmp_path / "c")
    fit(other)
    for callback in other.callbacks[:2]:
        assert callback.counts == {"batches": 4 * EPOCHS, "epochs": EPOCHS}


class StopAtBegin(Callback):
    """Interrupts a fit before the callbacks behind it have begun."""

    error = None

    def on_fit_begin(self, trainer, epochs):
        if self.error:
            raise self.error


def test_a_fit_that_ends_before_its_callbacks_have_begun(tmp_path):
    """What they have then is of the fit before: on_fit_begin decides what is left of it."""

    def trainer():
        callbacks = [StopAtBegin(), EarlyStopping(9, monitor="loss"), Told()]
        return Trainer(trainer_of().model, callbacks=callbacks, seed=0)

    def fit_on(trainer, scale):
        return trainer.fit(X, scale * y, epochs=EPOCHS, batch_size=BATCH, progress=False)

    first = trainer()
    small = fit_on(first, 1)["loss"]
    first.callbacks[0].error = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        fit_on(first, 100)
    first.save_checkpoint(tmp_path / "c")
    other = trainer()
    other.resume(tmp_path / "c")
    large = fit_on(other, 100)["loss"]
    _, stopping, told = other.callbacks
    assert len(large) == EPOCHS and min(large) > max(small)
    assert stopping.best == min(large)
    assert told.counts == {"batches": 2 * 4 * EPOCHS, "epochs": 2 * EPOCHS}


def test_early_stopping_remembers_the_best_and_that_it_has_stopped(tmp_path):
    def trainer(*more):
        model = Sequential(GRU(2, 3, batch_first=True, seed=0), Last(), Linear(3, 1, seed=0))
        return Trainer(model, optimizer=SGD(0.1), callbacks=[EarlyStopping(4), *more], seed=0)

    def fit_to(target, trainer):
        return trainer.fit(X, y, epochs=30, batch_size=BATCH, validation=(X, target))

    plain = trainer(ModelCheckpoint(tmp_path / "{epoch}"))
    history = fit_to(-y, plain)
    best = plain.callbacks[0].best_epoch
    assert len(history) == best + 5 < 30
    for epoch in (best + 2, best + 4):  # while it waits, and after its patience has ended
        other = trainer(ModelCheckpoint(tmp_path / "other"))
        other.resume(tmp_path / str(epoch))
        assert fit_to(-y, other)["loss"] == history["loss"]
        for name, view in plain.model.parameters.items():
            assert np.array_equal(view, other.model.parameters[name])


class Tracer:
    """Raises KeyboardInterrupt before the event number ``at`` of the training code.

    Events are instructions ("opcode") or lines ("line"), in all functions or in one. Those of
    a generator that is being closed do not count: CPython looks for no signal there, and would
    only report what is raised.
    """

    def __init__(self, at, kind, function):
        self.at, self.kind, self.function, self.count = at, kind, function, 0

    def __call__(self, frame, event, argument):
        code = frame.f_code
        if "pygru/train/" not in code.co_filename.replace("\\", "/"):
            return None
        if self.function not in (None, code.co_name):
            return None
        if event == "exception" and argument[0] is GeneratorExit:
            frame.f_trace_opcodes = frame.f_trace_lines = False
            return None
        frame.f_trace_opcodes = self.kind == "opcode"
        if event == self.kind:
            self.count += 1
            if self.count == self.at:
                raise KeyboardInterrupt
        return self


def small_trainer(seed=0):
    model = Sequential(GRU(1, 2, batch_first=True, seed=seed), Dropout(0.5, seed=seed))
    callbacks = [WeightAverage(0.8), EarlyStopping(1)]
    return Trainer(model, optimizer=SGD(0.1, 0.9), callbacks=callbacks, seed=seed)


def small_fit(trainer):
    x = np.linspace(-1, 1, 6).reshape(3, 2, 1)
    target = np.tile(x, 2)
    return trainer.fit(
        x, target, epochs=2, batch_size=2, validation=(x, target), bptt_steps=1, progress=False
    )


def interrupted_fit(trainer, tracer):
    """Whether a fit was interrupted before it ended."""
    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        small_fit(trainer)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize(
    ("kind", "function", "every"),
    [pytest.param("opcode", None, 307, marks=pytest.mark.slow), ("line", "run_epoch", 1)],
)
def test_ctrl_c_anywhere(kind, function, every, tmp_path):
    """Two epochs of four steps, interrupted at every place in turn."""
    plain = small_trainer()
    history = small_fit(plain)
    at = 1
    trainer = small_trainer()
    while interrupted_fit(trainer, Tracer(at, kind, function)):
        trainer.save_checkpoint(tmp_path / "c")
        other = small_trainer(seed=5)
        other.resume(tmp_path / "c")
        again = small_fit(other)
        for name in ("loss", "val_loss"):
            assert again[name] == history[name], at
        for name, view in plain.model.parameters.items():
            assert np.array_equal(view, other.model.parameters[name]), (at, name)
        at += every
        trainer = small_trainer()
    assert at > 30 * every


def test_a_checkpoint_is_a_model_file(tmp_path):
    """During fit it uses the average, afterwards the weights of the model."""
    trainer = trainer_of(ModelCheckpoint(tmp_path / "{epoch}"))
    fit(trainer, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]
    loaded = pygru.load(tmp_path / "1")
    average = trainer.callbacks[1].evaluation_weights()
    for values, (view, _) in zip(average, loaded.flat_pairs, strict=True):
        assert np.array_equal(values, view)
    trainer.save_checkpoint(tmp_path / "end")
    loaded = pygru.load(tmp_path / "end")
    for name, view in trainer.model.parameters.items():
        assert np.array_equal(view, loaded.parameters[name])


def test_saving_changes_nothing(whole, tmp_path):
    kind, expected = whole
    if kind == "adam":
        trainer = trainer_of(Callback(), ModelCheckpoint(tmp_path / "c"))
        history = fit(trainer)
        trainer.callbacks.pop()
        assert outcome(trainer, history) == expected


def test_reduced_rates_and_logs_go_on(tmp_path):
    def trainer(name, *more):
        model = Sequential(GRU(2, 3, batch_first=True, seed=0), Last(), Linear(3, 1, seed=0))
        plateau = ReduceLROnPlateau(0.5, 1, monitor="loss", min_delta=1.0)
        callbacks = [plateau, CSVLogger(tmp_path / name), *more]
        return Trainer(model, optimizer=SGD(0.01), callbacks=callbacks, seed=0)

    plain = trainer("plain.csv")
    history = fit(plain, 5)
    assert history["learning_rate"] == [0.01, 0.01, 0.005, 0.0025, 0.00125]
    stopped = trainer("log.csv", Interrupt(batches=14))
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, 5)
    stopped.save_checkpoint(tmp_path / "c")
    other = trainer("log.csv")
    other.optimizer.learning_rate = 3.0
    other.resume(tmp_path / "c")
    assert fit(other, 5)["learning_rate"] == history["learning_rate"]
    plain_log = (tmp_path / "plain.csv").read_text().splitlines()
    log = (tmp_path / "log.csv").read_text().splitlines()
    assert [line.split(",")[:3] for line in log] == [line.split(",")[:3] for line in plain_log]
    assert len(log) == 6


# ---- what is refused -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound_checkpoint(tmp_path_factory):
    """The bytes of a checkpoint, from the middle of an epoch."""
    path = tmp_path_factory.mktemp("sound") / "c"
    trainer = trainer_of(Interrupt(batches=6))
    with pytest.raises(KeyboardInterrupt):
        fit(trainer)
    trainer.save_checkpoint(path)
    return path.read_bytes()


@pytest.fixture
def checkpoint(tmp_path, sound_checkpoint):
    path = tmp_path / "c"
    path.write_bytes(sound_checkpoint)
    return path


def unchanged_by(trainer, call, error, message):
    def state():
        generators = [trainer.generator, *trainer.model.generators]
        arrays = [values.copy() for values, _ in trainer.model.flat_pairs]
        return (
            [array.tobytes() for array in arrays],
            str(trainer.optimizer.state_dict()),
            [str(generator.bit_generator.state) for generator in generators],
            trainer.history.records,
        )

    before = state()
    with pytest.raises(error, match=message):
        call()
    assert state() == before


def plain_trainer(model, optimizer=None):
    return Trainer(
        model,
        optimizer=optimizer or optimizer_of(),
        callbacks=[EarlyStopping(2), WeightAverage(0.8)],
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: trainer_of(hidden=5),
            r"of another model: layers\[0\].hidden_size is 4 in the checkpoint, 5 here",
        ),
        (
            lambda: plain_trainer(GRU(2, 4, batch_first=True)),
            "of another model: class is Sequential in the checkpoint, GRU here",
        ),
        (
            lambda: plain_trainer(Sequential(GRU(2, 4, batch_first=True), Last())),
            "of another model: 4 layers in the checkpoint, 2 here",
        ),
        (
            lambda: trainer_of(kind="sgd"),
            "of another optimizer: class is Adam in the checkpoint, SGD here",
        ),
        (
            lambda: plain_trainer(trainer_of().model, Adam(0.1)),
            r"of another optimizer: learning_rate is warmup\(.* in the checkpoint, a number",
        ),
        (
            lambda: plain_trainer(
                trainer_of().model,
                Adam(schedules.warmup(schedules.cosine(0.05, 20), 3), (0.9, 0.99)),
            ),
            r"of another optimizer: betas\[1\] is 0.999 in the checkpoint, 0.99 here",
        ),
        (
            lambda: Trainer(trainer_of().model, optimizer=optimizer_of()),
            "state of a callback EarlyStopping, which is not among those of this trainer",
        ),
    ],
)
def test_b114_a_checkpoint_of_something_else(checkpoint, make, message):
    trainer = make()
    unchanged_by(trainer, lambda: trainer.resume(checkpoint), ValueError, message)


def test_a_missing_callback_is_named_beside_those_that_are_there(tmp_path):
    path = tmp_path / "c.safetensors"
    model = trainer_of().model
    Trainer(model, callbacks=[EarlyStopping(), ReduceLROnPlateau()]).save_checkpoint(path)
    with pytest.raises(ValueError, match=r"those of this trainer: EarlyStopping$"):
        Trainer(model, callbacks=[EarlyStopping()]).resume(path)
    with pytest.raises(ValueError, match=r"those of this trainer: it has none$"):
        Trainer(model).resume(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 4}, "inside an epoch with batch_size=5, got 4"),
        ({"X": X[:-1], "y": y[:-1]}, "inside an epoch with samples=17, got 16"),
    ],
)
def test_an_epoch_goes_on_with_the_same_batches_only(checkpoint, change, message):
    trainer = resumed(checkpoint, "adam")
    arguments = {"X": X, "y": y, "epochs": 3, "batch_size": BATCH} | change

    def call():
        trainer.fit(arguments.pop("X"), arguments.pop("y"), **arguments)

    unchanged_by(trainer, call, ValueError, message)
    fit(trainer)  # the right data are still accepted


def test_b107_truncated_anywhere(checkpoint, tmp_path):
    data, trainer = checkpoint.read_bytes(), trainer_of()
    for size in range(0, len(data), 97):
        (tmp_path / "bad").write_bytes(data[:size])
        with pytest.raises(FormatError):
            trainer.resume(tmp_path / "bad")


def test_b108_one_bit_flipped_in_the_arrays(checkpoint, tmp_path):
    data, trainer = checkpoint.read_bytes(), trainer_of()
    (header,) = struct.unpack("<Q", data[:8])
    rng = np.random.default_rng(0)
    for place in rng.integers(8 + header, len(data), 60):
        bad = bytearray(data)
        bad[place] ^= 1 << rng.integers(8)
        (tmp_path / "bad").write_bytes(bad)
        unchanged_by(trainer, lambda: trainer.resume(tmp_path / "bad"), FormatError, "damaged")


def test_b108_one_bit_flipped_in_the_header(checkpoint, tmp_path):
    """It is refused, unless the damage is in a text that training does not need."""
    data, trainer = checkpoint.read_bytes(), trainer_of()
    (header,) = struct.unpack("<Q", data[:8])
    rng = np.random.default_rng(1)
    for place in rng.integers(0, 8 + header, 200):
        bad = bytearray(data)
        bad[place] ^= 1 << rng.integers(8)
        (tmp_path / "bad").write_bytes(bad)
        try:
            trainer.resume(tmp_path / "bad")
        except ValueError:
            continue
        assert trainer.optimizer.steps == 6


def forged(checkpoint, change, text=None):
    """The same checkpoint with another state, and the digest of that."""
    from pygru.io import native
    from pygru.train import checkpoint_file

    description, _, _, _, arrays = native.read_file(checkpoint)
    state = json.loads(arrays[checkpoint_file.STATE].tobytes())
    if text is None:
        change(state)
        text = json.dumps(state)
    arrays[checkpoint_file.STATE] = np.frombuffer(text.encode(), np.uint8)
    notes = {
        "checkpoint": str(checkpoint_file.VERSION),
        "digest": checkpoint_file.digest(arrays),
    }.items()
    checkpoint.write_bytes(native.to_bytes(description, arrays, notes=notes))


GENERATOR = ("random_state", "generators", 0)  # the place of one in the state


def set_in(*path):
    *places, last, value = path

    def change(state):
        for place in places:
            state = state[place]
        state[last] = value

    return change


def without(*path):
    *places, last = path

    def change(state):
        for place in places:
            state = state[place]
        del state[last]

    return change


WRONG = {
    "random_state": [
        set_in(*GENERATOR, "state", "state", 2**128),
        set_in(*GENERATOR, "state", "state", -1),
        set_in(*GENERATOR, "state", "inc", 2),
        set_in(*GENERATOR, "uinteger", 2**32),
        set_in(*GENERATOR, "has_uint32", 1.0),
        set_in(*GENERATOR, "bit_generator", "MT19937"),
        set_in(*GENERATOR, "more", 1),
        set_in("random_state", "generators", []),
        set_in("random_state", "generators", {}),
        set_in("random_state", "training_steps", 3),
        without("random_state", "training_steps"),
    ],
    "position": [
        set_in("position", "batch", -1),
        set_in("position", "batch", 5),  # of 4
        set_in("position", "epoch", "1"),
        set_in("position", "epoch", True),
        set_in("position", "total", float("nan")),
        set_in("position", "total", None),
        set_in("position", "weight", -1.0),
        set_in("position", "weight", "1"),
        set_in("position", "seconds", float("inf")),
        set_in("position", "window", 1),  # without bptt_steps
        set_in("position", "states", 3),
        set_in("position", "states", [[3]]),
        set_in("position", "event", ["on_fit_end", []]),
        set_in("position", "event", ["on_epoch_end", []]),  # within an epoch
        set_in("position", "event", ["on_batch_end", [1.0]]),
        set_in("position", "event", ["on_batch_end", ["1", 5]]),
        set_in("position", "event", ["on_batch_end", [1.0, 0]]),
        set_in("position", "event", 3),
        set_in("position", "order", None),
        set_in("position", "order", [0] * 17),
        set_in("position", "order", {"array": 0}),
        set_in("position", "place", 3),
        without("position", "seconds"),
    ],
    "settings": [
        set_in("settings", []),
        set_in("settings", "samples", 0),
        set_in("settings", "samples", 17.0),
        set_in("settings", "batch_size", 0),
        set_in("settings", "bptt_steps", 0),
        set_in("settings", "shuffle", 1),
        set_in("settings", "data", None),
        set_in("settings", "more", None),
        without("settings", "data"),
    ],
    "optimizer_state": [
        set_in("optimizer_state", "steps", -1),
        set_in("optimizer_state", "steps", 2**63),
        set_in("optimizer_state", "steps", 1.5),
        set_in("optimizer_state", "states", [[]]),
        set_in("optimizer_state", "states", [[3, 3], [3, 3]]),
        set_in("optimizer_state", "learning_rate", 0.5),
        without("optimizer_state", "states"),
    ],
    "weights": [set_in("weights", []), set_in("weights", [3, 3]), set_in("weights", 3)],
    "stop": [set_in("stop", 1), set_in("stop", None)],
    "history": [
        set_in("history", 3),
        set_in("history", [3]),
        set_in("history", 0, "loss", "small"),
        set_in("history", 0, "loss", None),
        set_in("history", 0, "val_loss", 10**310),
        set_in("history", 0, "epoch", -1),
        set_in("history", 0, "sequences", 0),
        set_in("history", 0, "learning_rate", -1.0),
        set_in("history", 0, "seconds", "1"),
        set_in("history", 0, "metric", [1]),
        without("history", 0, "loss"),
        lambda state: state["history"].append(state["history"][0]),  # an epoch twice
    ],
    "callbacks": [
        set_in("callbacks", [3]),
        set_in("callbacks", None),
        set_in("callbacks", 0, "class", 3),
        set_in("callbacks", 0, "notified", 1),
        set_in("callbacks", 0, "begun", None),
        set_in("callbacks", 0, "state", None),
        without("callbacks", 0, "notified"),
        set_in("callbacks", 0, "state", "best", "small"),
        set_in("callbacks", 0, "state", "best", 10**310),
        set_in("callbacks", 0, "state", "best_epoch", -1),
        set_in("callbacks", 0, "state", "since", 0.5),
        set_in("callbacks", 0, "state", "weights", [1.0]),
        set_in("callbacks", 0, "state", "weights", [{"array": 0}]),
        set_in("callbacks", 0, "state", "more", 1),
        without("callbacks", 0, "state", "best"),
        set_in("callbacks", 1, "state", "steps", -1),
        set_in("callbacks", 1, "state", "average", [{"array": 0}]),
        set_in("callbacks", 1, "state", "average", 3),
    ],
    "setup": [set_in("setup", 3), without("setup")],
}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        pytest.param(name, change, id=f"b115-{name}-{number}")
        for name, changes in WRONG.items()
        for number, change in enumerate(changes)
    ],
)
def test_b115_a_wrong_value_is_refused_with_its_field(checkpoint, name, change):
    """At resume, before anything is changed, rather than later in fit."""
    forged(checkpoint, change)
    trainer = trainer_of()
    message = f"the checkpoint is not valid: {name}"
    unchanged_by(trainer, lambda: trainer.resume(checkpoint), FormatError, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_in("position", "states", None), "states must be arrays of floats"),
        (set_in("position", "states", [3]), "states must be arrays of floats"),
        (
            set_in("position", "states", [{"array": 0}]),
            r"must be of the 2 sequences of the batch, got",
        ),
        (set_in("position", "batch", 2), "window must be 0"),
    ],
)
def test_b115_states_of_layers_that_do_not_fit(change, message, tmp_path):
    trainer = small_trainer()
    trainer.callbacks[:] = [Interrupt(batches=1)]
    with pytest.raises(KeyboardInterrupt):
        small_fit(trainer)
    trainer.save_checkpoint(tmp_path / "c")
    other = small_trainer()
    other.resume(tmp_path / "c")
    assert other._state.now()[0].window == 1
    forged(tmp_path / "c", change)
    with pytest.raises(FormatError, match=f"not valid: position: .*{message}"):
        other.resume(tmp_path / "c")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.clear(), "setup: it has no 'setup'"),
        (set_in("position", "order", {"array": 10**6}), "its state is KeyError"),
    ],
)
def test_b115_a_state_that_is_not_whole(checkpoint, change, message):
    forged(checkpoint, change)
    trainer = trainer_of()
    unchanged_by(trainer, lambda: trainer.resume(checkpoint), FormatError, message)


@pytest.mark.parametrize("state", ["[1]", "{", "[" * 100_000, '{"setup": ' * 100_000])
def test_b97_a_state_that_is_no_text_of_a_state(checkpoint, state):
    forged(checkpoint, None, state)
    trainer = trainer_of()
    unchanged_by(trainer, lambda: trainer.resume(checkpoint), FormatError, "its state is")


def test_a_checkpoint_takes_no_more_memory_than_it_has(checkpoint):
    """Of so many samples the order would take 15 GB; the file has 17 of them."""
    forged(checkpoint, set_in("settings", "samples", 2 * 10**9))
    trainer = trainer_of()
    tracemalloc.start()
    with pytest.raises(FormatError, match=r"position: order must have shape \(2000000000,\)"):
        trainer.resume(checkpoint)
    assert tracemalloc.get_traced_memory()[1] < 10 * checkpoint.stat().st_size + 2**20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("saved", "own", "message"),
    [
        ({"loss": "mae"}, {}, "another loss: it is mae in the checkpoint, mse here"),
        (
            {},
            {"loss": functools.partial(losses.huber, delta=2.0)},
            r"another loss: it is mse in the checkpoint, huber\(delta=2.0\) here",
        ),
        (
            {"loss": functools.partial(losses.cross_entropy, class_weight=np.ones(20))},
            {"loss": functools.partial(losses.cross_entropy, class_weight=np.arange(20.0))},
            r"another loss: it is cross_entropy\(class_weight=array of shape \(20,\) with SHA-",
        ),
        ({"clip_norm": 1}, {}, "another clip_norm: it is 1.0 in the checkpoint, None here"),
        ({"clip_norm": 1}, {"clip_norm": 2.5}, "clip_norm: it is 1.0 in the checkpoint, 2.5"),
    ],
)
def test_another_loss_or_clipping_is_refused(saved, own, message, tmp_path):
    def trainer(**options):
        return Trainer(GRU(2, 1, batch_first=True, seed=0), **options)

    trainer(**saved).save_checkpoint(tmp_path / "c")
    trainer(**saved).resume(tmp_path / "c")
    other = trainer(**own)
    unchanged_by(other, lambda: other.resume(tmp_path / "c"), ValueError, message)


OWN_FUNCTIONS = """
import functools, sys
import numpy as np
import pygru

def rate(number):
    return 0.1 / (number + 1)

def loss(prediction, target, *, mask=None, power=2):
    return pygru.losses.mse(prediction, target)

trainer = pygru.Trainer(
    pygru.GRU(1, 1, batch_first=True, seed=0),
    loss=functools.partial(loss, power=3),
    optimizer=pygru.Adam(pygru.schedules.warmup(rate, 3)),
    seed=0,
)
if sys.argv[2] == "resume":
    trainer.resume(sys.argv[1])
x = np.ones((4, 3, 1))
trainer.fit(x, x, epochs=3 if sys.argv[2] == "resume" else 2, batch_size=2)
trainer.save_checkpoint(sys.argv[1])
"""


def test_own_functions_are_known_again_in_another_process(tmp_path):
    """Their names are kept, not their addresses."""
    for what in ("begin", "resume"):
        command = [sys.executable, "-W", "error", "-c", OWN_FUNCTIONS, tmp_path / "c", what]
        subprocess.run(command, check=True, cwd=tmp_path, timeout=PATIENCE)


def test_a_trainer_that_is_dropped_drops_its_model(tmp_path):
    """At once, not when the garbage collector comes: models may be large."""

    def run():
        trainer = trainer_of(ModelCheckpoint(tmp_path / "c"))
        fit(trainer)
        trainer.resume(tmp_path / "c")
        fit(trainer, EPOCHS + 1)
        trainer.evaluate(X, y)
        pygru.find_learning_rate(trainer, X, y, batch_size=BATCH, steps=3)
        return [weakref.ref(each) for each in (trainer, trainer.model, trainer.optimizer)]

    run()  # whatever is made once for the process
    gc.collect()
    gc.disable()
    try:
        assert [dropped() for dropped in run()] == [None] * 3
    finally:
        gc.enable()


def test_another_optimizer_goes_on_from_the_same_place(tmp_path):
    trainer = trainer_of(Interrupt(batches=6))
    with pytest.raises(KeyboardInterrupt):
        fit(trainer)
    position, _ = trainer._state.now()
    trainer.optimizer = SGD(0.1)
    with pytest.raises(TypeError, match="optimizer must be a pygru optimizer or the name"):
        trainer.optimizer = 3
    trainer.callbacks[-1:] = [Callback()]
    assert trainer._state.now()[0] is position
    fit(trainer, 1)
    assert trainer.optimizer.steps == 4


def test_a_model_file_is_no_checkpoint(tmp_path):
    trainer = trainer_of()
    pygru.save(trainer.model, tmp_path / "m")
    with pytest.raises(FormatError, match="holds a model but no checkpoint"):
        trainer.resume(tmp_path / "m")


def test_what_a_checkpoint_cannot_hold(tmp_path):
    class Odd(Callback):
        def state_dict(self):
            return {"lock": object()}

    with pytest.raises(TypeError, match="lock holds a object, which checkpoints cannot"):
        trainer_of(Odd()).save_checkpoint(tmp_path / "c")
    circle = []
    circle.append(circle)
    for deep in (circle, functools.reduce(lambda inner, _: [inner], range(10**5), [])):
        Odd.state_dict = lambda self, deep=deep: {"deep": deep}
        with pytest.raises(TypeError, match="values that are nested too deeply"):
            trainer_of(Odd()).save_checkpoint(tmp_path / "c")
    generator = np.random.Generator(np.random.MT19937(0))
    trainer = Trainer(GRU(1, 1, batch_first=True), seed=generator)
    with pytest.raises(TypeError, match=r"\(PCG64\) only, got MT19937"):
        trainer.save_checkpoint(tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_b113_a_failed_save_leaves_the_old_checkpoint(checkpoint, monkeypatch):
    old = checkpoint.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="No space left"):
        trainer_of().save_checkpoint(checkpoint)
    assert checkpoint.read_bytes() == old
    assert [path.name for path in checkpoint.parent.iterdir()] == ["c"]


@pytest.mark.parametrize("sample", range(0, 1000, 37))
@pytest.mark.parametrize("which", ["X", "y"])
def test_one_number_of_a_thousand_samples_tells_data_apart(which, sample, tmp_path):
    """All of them are looked at, not some."""
    rng = np.random.default_rng(0)
    data = {"X": rng.standard_normal((1000, 3, 2)), "y": rng.standard_normal((1000, 1))}

    def run(trainer):
        trainer.fit(**data, epochs=1, batch_size=100, progress=False)

    model = Sequential(GRU(2, 1, batch_first=True, seed=0), Last())
    trainer = Trainer(model, callbacks=[Interrupt(batches=1)])
    with pytest.raises(KeyboardInterrupt):
        run(trainer)
    trainer.save_checkpoint(tmp_path / "c")
    trainer.callbacks.clear()
    trainer.resume(tmp_path / "c")
    data[which][sample, -1] = np.nextafter(data[which][sample, -1], 9)
    with pytest.raises(ValueError, match="inside an epoch of other data"):
        run(trainer)


def test_a_list_and_a_padded_array_of_the_same_sequences_are_the_same_data():
    from pygru.train.datasets import Dataset

    padded, lengths = pygru.pad_sequences(X)
    wider = np.pad(padded, ((0, 0), (0, 3), (0, 0)), constant_values=np.nan)
    expected = Dataset(X, y).fingerprint()
    assert Dataset(padded, y, lengths).fingerprint() == expected
    assert Dataset(wider, y, lengths).fingerprint() == expected
    assert Dataset(np.asfortranarray(padded), y, lengths.tolist()).fingerprint() == expected
    others = [X[1:] + X[:1], [x.astype("f4") for x in X], [x[:, ::-1] for x in X]]
    merged = [np.concatenate(X[:2])[: len(X[0]) - 1], np.concatenate(X[:2])[len(X[0]) - 1 :]]
    for other in (*others, merged + X[2:]):
        assert Dataset(other, y).fingerprint() != expected


@pytest.mark.parametrize("change", ["values", "order", "targets"])
def test_an_epoch_goes_on_with_its_own_data_only(change, tmp_path):
    trainer = trainer_of(Interrupt(batches=2))
    with pytest.raises(KeyboardInterrupt):
        fit(trainer)
    trainer.save_checkpoint(tmp_path / "c")
    other_X, other_y = [x.copy() for x in X], y.copy()
    if change == "values":
        other_X[3][0, 0] += 1
    elif change == "order":
        other_X, other_y = other_X[::-1], other_y[::-1]
    else:
        other_y[-1] += 1
    other = resumed(tmp_path / "c", "adam")
    with pytest.raises(ValueError, match="inside an epoch of other data, or of the same in"):
        other.fit(other_X, other_y, epochs=EPOCHS, batch_size=BATCH, progress=False)
    other.fit(X, y, epochs=EPOCHS, batch_size=BATCH, validation=(X[:6], y[:6]), progress=False)


def test_between_epochs_the_data_may_be_others(tmp_path):
    trainer = trainer_of(Callback())
    fit(trainer, 1)
    trainer.save_checkpoint(tmp_path / "c")
    other = resumed(tmp_path / "c", "adam")
    history = other.fit(
        X[:10], y[:10], epochs=2, batch_size=BATCH, validation=(X[:6], y[:6]), progress=False
    )
    assert history["sequences"] == [N, 10]


def test_a_copy_of_a_trainer_is_at_its_own_position(tmp_path):
    """A position that used the original's generators would store the wrong ones."""
    trainer = trainer_of(Callback())
    fit(trainer, 1)
    other = copy.deepcopy(trainer)
    other.generator.random()
    other.save_checkpoint(tmp_path / "c")
    again = resumed(tmp_path / "c", "adam")
    assert again.generator.bit_generator.state == other.generator.bit_generator.state


def test_padding_is_not_part_of_the_data_and_lengths_are(tmp_path):
    padded, lengths = pygru.pad_sequences(X)

    def run(trainer, values, lengths):
        return trainer.fit(
            values, y, epochs=EPOCHS, batch_size=BATCH, lengths=lengths, progress=False,
            validation=(X[:6], y[:6]),
        )  # fmt: skip

    trainer = trainer_of(Interrupt(batches=2))
    with pytest.raises(KeyboardInterrupt):
        run(trainer, padded, lengths)
    trainer.save_checkpoint(tmp_path / "c")
    other = resumed(tmp_path / "c", "adam")
    with pytest.raises(ValueError, match="other data"):
        run(other, padded, np.maximum(lengths - 1, 1))
    padded[np.arange(padded.shape[1]) >= lengths[:, np.newaxis]] = 7
    run(other, padded, lengths)


def test_a_start_that_fails_changes_no_weights(tmp_path):
    """A callback that was not told of a beginning is not told of an end either."""
    folder = tmp_path / "logs"
    folder.mkdir()
    model = Sequential(GRU(2, 4, batch_first=True, seed=0), Last(), Linear(4, 1, seed=0))
    trainer = Trainer(
        model, callbacks=[CSVLogger(folder / "log.csv"), EarlyStopping(monitor="loss")], seed=0
    )
    trainer.fit(X, y, epochs=2, batch_size=BATCH, progress=False)
    (folder / "log.csv").unlink()
    folder.rmdir()
    for values, _ in model.flat_pairs:
        values[...] = 7
    with pytest.raises(FileNotFoundError):
        trainer.fit(X, y, epochs=2, batch_size=BATCH, progress=False)
    assert all((values == 7).all() for values, _ in model.flat_pairs)
