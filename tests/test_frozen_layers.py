"""Frozen layers: ``layer.trainable = False``.

The reference is PyTorch's rule for parameters that need no gradient, written as a NumPy loop:
the optimiser, weight decay, momentum and the norm of the gradients know the trainable arrays
only, and these change exactly as they do beside weights that cannot change.
"""

import copy
import pickle

import numpy as np
import pytest

import pygru
from pygru import (
    GRU,
    SGD,
    Adam,
    AdamW,
    Callback,
    Dropout,
    EarlyStopping,
    Embedding,
    FormatError,
    Last,
    Layer,
    Linear,
    RMSprop,
    Seq2Seq,
    Sequential,
    Trainer,
    WeightAverage,
    losses,
)

X = np.random.default_rng(0).standard_normal((24, 5, 2))
y = X[:, :, :1].sum(axis=1)


class Scale(Layer):
    """A layer of a user's."""

    def __init__(self, features):
        self.features = features
        self.create_parameters()

    def get_config(self):
        return {"features": self.features, "dtype": "float64"}

    @classmethod
    def from_config(cls, config):
        return cls(config["features"])

    @staticmethod
    def parameter_shapes(config):
        return {"scale": (config["features"],)}

    def initialize(self, generator):
        self.parameters["scale"] = np.ones(self.features)

    def forward(self, x, *, lengths=None, training=True):
        return x * self.parameters["scale"], x

    def backward(self, tape, d_y):
        self.grads["scale"][...] += (d_y * tape).reshape(-1, self.features).sum(axis=0)
        return d_y * self.parameters["scale"]


def model_of(frozen=(), seed=0):
    model = Sequential(
        Scale(2),
        GRU(2, 4, batch_first=True, dtype="float64", learn_h0=True),
        Linear(4, 4, dtype="float64"),
        GRU(4, 3, batch_first=True, dtype="float64"),
        Last(),
        Linear(3, 1, dtype="float64"),
        seed=seed,
    )
    for index in frozen:
        model.layers[index].trainable = False
    return model


FROZEN = [(0,), (1,), (0, 1, 2), (2,), (3, 5), (5,), (0, 1, 2, 3), (0, 1, 3, 5), ()]
PARAMETERS = (0, 1, 2, 3, 5)


def steps_by_hand(frozen, clip_norm, step):
    """Three steps in NumPy; ``step(name, values, gradient)`` returns the new values."""
    model = model_of()
    trained = [name for name in model.parameters if int(name.split(".")[0]) not in frozen]
    for first in (0, 8, 16):
        model.zero_grad()
        prediction, tape = model.forward(X[first : first + 8])
        _, d_prediction = losses.mse(prediction, y[first : first + 8])
        model.backward(tape, d_prediction)
        gradients = {name: model.grads[name].copy() for name in trained}
        norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
        for name in trained:
            g = gradients[name]
            if clip_norm is not None and norm > clip_norm:
                g = g * (clip_norm / norm)
            model.parameters[name] = step(name, model.parameters[name].copy(), g)
    return model


class AdamWByHand:
    """Kingma and Ba 2015 with decoupled weight decay, as PyTorch computes it."""

    def __init__(self, rate, decay):
        self.rate, self.decay = rate, decay
        self.m, self.v, self.t = {}, {}, {}

    def __call__(self, name, p, g):
        m = self.m[name] = 0.9 * self.m.get(name, 0) + 0.1 * g
        v = self.v[name] = 0.999 * self.v.get(name, 0) + 0.001 * g**2
        t = self.t[name] = self.t.get(name, 0) + 1
        if p.ndim > 1 and not name.endswith("h0"):
            p = p * (1 - self.rate * self.decay)
        return p - self.rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)


class MomentumByHand:
    def __init__(self, rate, momentum):
        self.rate, self.momentum, self.v = rate, momentum, {}

    def __call__(self, name, p, g):
        v = self.v[name] = self.momentum * self.v.get(name, 0) + g
        return p - self.rate * v


@pytest.mark.parametrize("clip_norm", [None, 0.05])
@pytest.mark.parametrize("frozen", FROZEN, ids=str)
@pytest.mark.parametrize(
    ("optimizer", "by_hand"),
    [
        (lambda: AdamW(0.01, weight_decay=0.1), lambda: AdamWByHand(0.01, 0.1)),
        (lambda: SGD(0.05, momentum=0.9), lambda: MomentumByHand(0.05, 0.9)),
    ],
    ids=["adamw", "sgd"],
)
def test_training_is_that_of_a_loop_by_hand(optimizer, by_hand, frozen, clip_norm):
    model = model_of(frozen)
    before = model.state_dict()
    trainer = Trainer(model, optimizer=optimizer(), clip_norm=clip_norm, seed=0)
    trainer.fit(X, y, batch_size=8, shuffle=False)
    expected = steps_by_hand(frozen, clip_norm, by_hand())
    for name, view in model.parameters.items():
        if int(name.split(".")[0]) in frozen:
            assert np.array_equal(view, before[name]), name
        else:
            np.testing.assert_allclose(
                view, expected.parameters[name], rtol=1e-10, atol=1e-13, err_msg=name
            )


@pytest.mark.parametrize("optimizer", [SGD(0.1), Adam(0.1), AdamW(0.1), RMSprop(0.1)], ids=repr)
def test_the_bits_are_those_of_training_beside_a_constant(optimizer):
    """Frozen layers at the beginning are a fixed function of the data."""
    model = model_of((0, 1, 2))
    front = Sequential(*copy.deepcopy(model).layers[:3])
    rest = Sequential(*copy.deepcopy(model).layers[3:])
    Trainer(model, optimizer=copy.deepcopy(optimizer), seed=0, clip_norm=1.0).fit(
        X, y, epochs=3, batch_size=10
    )
    Trainer(rest, optimizer=copy.deepcopy(optimizer), seed=0, clip_norm=1.0).fit(
        front(X), y, epochs=3, batch_size=10
    )
    for index in (3, 5):
        here, there = model.layers[index], rest.layers[index - 3]
        np.testing.assert_array_equal(here.flat_parameters, there.flat_parameters)


def test_frozen_layers_at_the_beginning_are_left_out_of_the_backward_pass():
    class NoWay(Scale):
        def backward(self, tape, d_y):
            raise AssertionError("a frozen layer ran backward")

    model = Sequential(
        NoWay(2), GRU(2, 3, batch_first=True, seed=0), Last(), Linear(3, 1, seed=0)
    )
    model.layers[0].trainable = model.layers[1].trainable = False
    Trainer(model, seed=0).fit(X, y, batch_size=8)
    assert not model.layers[1].flat_grads.any()
    model.layers[0].trainable = True
    with pytest.raises(AssertionError, match="ran backward"):
        Trainer(model, seed=0).fit(X, y, batch_size=8)


def test_the_public_backward_still_returns_the_gradient_of_the_input():
    model, free = model_of((0, 1, 2)), model_of()
    for each in (model, free):
        _, tape = each.forward(X)
        each.d_x = each.backward(tape, np.ones((24, 1)))
    np.testing.assert_array_equal(model.d_x, free.d_x)


# ---- all kinds of models ---------------------------------------------------------------------


def test_a_whole_model_is_frozen_and_thawed():
    model = model_of()
    assert model.trainable and model.frozen_parts == ()
    model.trainable = False
    assert not model.trainable and model.flat_pairs == []
    assert pygru.clip_grad_norm(model, None) == 0
    trainer = Trainer(model, seed=0)
    with pytest.raises(ValueError, match="all layers of the model are frozen"):
        trainer.fit(X, y)
    assert len(trainer.history) == 0
    model.trainable = True
    trainer.fit(X, y)


@pytest.mark.parametrize("value", [1, None, "no", np.array([True])], ids=repr)
@pytest.mark.parametrize(
    "layer",
    [
        GRU(1, 1),
        Linear(1, 1),
        Embedding(2, 1),
        Dropout(0.1),
        Last(),
        Scale(1),
        Sequential(Linear(1, 1)),
        Seq2Seq(3, 3, 1, 1),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_trainable_is_a_bool(layer, value):
    with pytest.raises(TypeError, match="trainable must be a bool"):
        layer.trainable = value
    assert layer.trainable is True


@pytest.mark.parametrize(
    "frozen",
    [
        ("source_embedding", "encoder"),
        ("source_embedding", "encoder", "bridge"),
        ("encoder",),
        ("decoder", "output"),
        ("attention", "combine", "target_embedding"),
    ],
    ids=", ".join,
)
def test_parts_of_a_translator_are_frozen(frozen):
    def trained(names, optimizer):
        model = Seq2Seq(5, 5, 3, 4, seed=0, dtype="float64")
        for name in names:
            getattr(model, name).trainable = False
        trainer = Trainer(model, loss="cross_entropy", optimizer=optimizer, seed=0)
        pairs = model.training_data([[2, 3], [4], [3, 2, 2]], [[3, 2], [4, 4], [2]])
        trainer.fit(*pairs, batch_size=3)
        return model

    before = Seq2Seq(5, 5, 3, 4, seed=0, dtype="float64").parameters
    model, free = trained(frozen, SGD(0.1)), trained((), SGD(0.1))  # one step each
    changed = set()
    for name, view in model.parameters.items():
        is_frozen = name.split(".")[0] in frozen
        np.testing.assert_array_equal(view, (before if is_frozen else free.parameters)[name])
        if not np.array_equal(view, before[name]):
            changed.add(name.split(".")[0])
    assert changed.isdisjoint(frozen) and len(changed) + len(frozen) == 8


def test_a_layer_in_two_places_is_frozen_in_both():
    shared = Linear(2, 2, seed=0)
    model = Sequential(shared, GRU(2, 2, batch_first=True, seed=0), shared, Last())
    shared.trainable = False
    assert model.frozen_parts == ("0", "2")
    before = shared.flat_parameters.copy()
    Trainer(model, seed=0).fit(X, X[:, 0])
    np.testing.assert_array_equal(shared.flat_parameters, before)


# ---- it is remembered ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "way", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
@pytest.mark.parametrize("layer", [GRU(2, 3), Linear(2, 3), Embedding(2, 3), model_of()])
def test_copies_and_pickles_are_frozen_too(way, layer):
    layer = copy.deepcopy(layer)
    assert way(layer).trainable
    layer.trainable = False
    assert not way(layer).trainable


def test_a_gru_with_other_options_is_frozen_too():
    gru = GRU(2, 3)
    gru.trainable = False
    assert not gru.replace(dtype="float64").trainable
    assert not gru.replace(share_weights=True).trainable


def test_a_model_file_remembers_it(tmp_path):
    model = model_of((1, 5))
    pygru.save(model, tmp_path / "m.safetensors")
    loaded = pygru.load(tmp_path / "m.safetensors", layers={"Scale": Scale})
    assert loaded.frozen_parts == model.frozen_parts == ("1", "5")
    translator = Seq2Seq(3, 3, 2, 2)
    translator.encoder.trainable = translator.bridge.trainable = False
    pygru.save(translator, tmp_path / "s.safetensors")
    assert pygru.load(tmp_path / "s.safetensors").frozen_parts == ("encoder", "bridge")


@pytest.mark.parametrize("frozen", [5, "encoder", [["encoder"]], ["decoders"], {"a": 1}, True])
def test_a_damaged_note_in_a_file_is_refused(frozen, tmp_path, monkeypatch):
    from pygru.io import native

    model = Seq2Seq(3, 3, 2, 2)
    description = native.describe(model) | {"frozen": frozen}
    data = native.to_bytes(description, model.state_dict())
    (tmp_path / "s.safetensors").write_bytes(data)
    with pytest.raises(FormatError, match="the configuration is not valid"):
        pygru.load(tmp_path / "s.safetensors")


@pytest.mark.parametrize("epochs", [1, 2])
def test_resumed_training_has_the_same_bits(epochs, tmp_path):
    def trainer():
        callbacks = [WeightAverage(0.5), EarlyStopping(3, monitor="loss")]
        return Trainer(
            model_of((1, 2)), optimizer=Adam(0.02), clip_norm=0.5, callbacks=callbacks, seed=0
        )

    whole, first, second = trainer(), trainer(), trainer()
    whole.fit(X, y, epochs=4, batch_size=7)
    first.fit(X, y, epochs=epochs, batch_size=7)
    first.save_checkpoint(tmp_path / "c.safetensors")
    second.resume(tmp_path / "c.safetensors")
    second.fit(X, y, epochs=4, batch_size=7)
    for name, view in whole.model.parameters.items():
        np.testing.assert_array_equal(view, second.model.parameters[name], err_msg=name)


def test_a_checkpoint_of_other_frozen_layers_is_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    trainer = Trainer(model_of((1,)), seed=0)
    trainer.fit(X, y)
    trainer.save_checkpoint(path)
    for frozen, shown in (((), "no layers"), ((1, 5), r"layers\[1\], layers\[5\]")):
        other = Trainer(model_of(frozen), seed=0)
        with pytest.raises(
            ValueError, match=rf"in which layers\[1\] were frozen, but here {shown} are"
        ):
            other.resume(path)
    same = Trainer(model_of((1,)), seed=0)
    same.resume(path)
    same.model.layers[1].trainable = True
    with pytest.raises(ValueError, match="frozen or unfrozen since the last fit or resume"):
        same.fit(X, y, epochs=2)


# ---- it changes ------------------------------------------------------------------------------


def test_layers_are_unfrozen_for_fine_tuning_with_a_new_optimizer(tmp_path):
    model = model_of((0, 1, 2, 3))
    trainer = Trainer(model, optimizer=Adam(0.01), callbacks=[WeightAverage(0.5)], seed=0)
    trainer.fit(X, y, epochs=2, batch_size=8)
    model.trainable = True
    before = model.state_dict()
    with pytest.raises(ValueError, match=r"use a new one, as in trainer\.optimizer = Adam"):
        trainer.fit(X, y, epochs=2, batch_size=8)
    with pytest.raises(ValueError, match="save the checkpoint before"):
        trainer.save_checkpoint(tmp_path / "c.safetensors")
    for name, view in model.parameters.items():
        np.testing.assert_array_equal(view, before[name])
    trainer.optimizer = Adam(0.001)
    trainer.fit(X, y, epochs=1, batch_size=8)
    for name in ("0.scale", "1.weight_ih_l0", "5.bias"):
        assert not np.array_equal(model.parameters[name], before[name])
    trainer.save_checkpoint(tmp_path / "c.safetensors")


def test_layers_of_equal_sizes_are_not_confused():
    """The states of one layer must not go on with another one."""
    model = Sequential(Linear(2, 2, seed=0), Linear(2, 2, seed=1))
    optimizer = Adam(0.1)
    model.layers[1].trainable = False
    optimizer.step(model)
    model.layers[1].trainable, model.layers[0].trainable = True, False
    with pytest.raises(ValueError, match="layers have been frozen or unfrozen since"):
        optimizer.step(model)


@pytest.mark.parametrize("event", ["on_batch_end", "on_epoch_end"])
def test_a_callback_cannot_change_it_during_training(event):
    class Thaw(Callback):
        pass

    def thaw(self, trainer, *arguments):
        trainer.model.trainable = True

    setattr(Thaw, event, thaw)
    model = model_of((1,))
    stopping = EarlyStopping(5, monitor="loss")
    trainer = Trainer(model, callbacks=[stopping, WeightAverage(0.5), Thaw()], seed=0)
    with pytest.raises(ValueError, match="Thaw has changed which layers are trainable"):
        trainer.fit(X, y, epochs=3, batch_size=8)
    assert model.frozen_parts == ("1",)
