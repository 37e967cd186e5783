"""States of pickles: the same bits by every way, and a tampered one is refused when it is read.

The tests fail if a class of pygru is pickled without a check, so that a wrong state gives an
object that fails later, and if the check refuses or changes what users made.
"""

import copy
import pickle
import threading

import numpy as np
import pytest
from pickled_objects import EVERY, KINDS, Disguise, using, without

import pygru
from pygru import GRU, Adam, Linear


def out_of_band(value):
    buffers = []
    text = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(text, buffers=[bytes(buffer.raw()) for buffer in buffers])


def by_cloudpickle(value):
    return pickle.loads(pytest.importorskip("cloudpickle").dumps(value))


def in_loky(value):
    """What another process reads of it, and sends back."""
    joblib = pytest.importorskip("joblib")
    return joblib.Parallel(2, backend="loky")(joblib.delayed(copy.deepcopy)(v) for v in [value])


WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle{protocol}": lambda v, p=protocol: pickle.loads(pickle.dumps(v, p))
        for protocol in range(6)
    },
    "buffers": out_of_band,
    "cloudpickle": by_cloudpickle,
}


def assert_same(mine, theirs):
    """Compare what two objects are and hold, bit for bit."""
    assert type(mine) is type(theirs)
    assert repr(mine) == repr(theirs)
    if isinstance(mine, pygru.GRUOptions | pygru.Variant):
        assert mine == theirs
        assert hash(mine) == hash(theirs)
        return
    if not isinstance(mine, pygru.Sequential):  # whose layers are compared below
        assert mine.get_config() == theirs.get_config()
    pairs = [(mine.state_dict(), theirs.state_dict())]
    if not isinstance(mine, pygru.SGD | pygru.RMSprop | Adam):
        assert list(mine.parameters) == list(theirs.parameters)
        assert mine.frozen_parts == theirs.frozen_parts
        assert [g.bit_generator.state for g in mine.generators] == [
            g.bit_generator.state for g in theirs.generators
        ]
        pairs.append((dict(mine.grads), dict(theirs.grads)))
    for one, other in pairs:
        np.testing.assert_equal(one, other)
        assert pickle.dumps(copy.deepcopy(one)) == pickle.dumps(copy.deepcopy(other))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", KINDS)
def test_round_trip_is_equal_bit_for_bit(name, way):
    value = KINDS[name]()
    for _, gradients in getattr(value, "flat_pairs", ()):
        gradients[...] = np.arange(gradients.size)
    assert_same(WAYS[way](value), value)


def test_other_processes_read_every_kind():
    """One call for all, because a process takes long to start."""
    values = [make() for make in KINDS.values()]
    for mine, theirs in zip(in_loky(values)[0], values, strict=True):
        assert_same(mine, theirs)


def test_every_public_class_with_a_constructor_is_in_the_tables():
    from pygru.train.optimizer_base import Optimizer

    bases = (pygru.Layer, pygru.RecurrentLayer)
    public = {
        each.__name__
        for each in (getattr(pygru, name) for name in pygru.__all__)
        if isinstance(each, type)
        and each not in bases
        and (hasattr(each, "parameter_shapes") or issubclass(each, Optimizer))
    }
    public |= {"Sequential", "Variant"}
    assert {name.partition("-")[0] for name in KINDS} == public


@pytest.mark.parametrize("name", ["Linear", "Embedding", "LayerNorm", "AttentionOverTime"])
def test_frozen_layers_stay_frozen_and_copies_share_nothing(name):
    layer = KINDS[name]()
    layer.trainable = False
    for other in (copy.deepcopy(layer), out_of_band(layer)):
        assert other.trainable is False
        assert not np.shares_memory(other.flat_parameters, layer.flat_parameters)
        other.flat_parameters[...] = 0
        assert layer.flat_parameters.any()
        with pytest.raises(AttributeError, match="cannot be assigned"):
            other.dtype = None
        for view in other.parameters.values():
            assert np.shares_memory(view, other.flat_parameters)


@pytest.mark.parametrize("make", [lambda: Linear(3, 3, seed=0), lambda: KINDS["Linear"]()])
def test_packed_weights_of_a_copy_are_its_own(make):
    layer, x = make(), np.ones((4, 3), np.float32)
    expected = layer(x)
    other = pickle.loads(pickle.dumps(layer))
    np.testing.assert_array_equal(other(x), expected)
    other.flat_parameters *= 2
    np.testing.assert_array_equal(other(x), 2 * expected)
    np.testing.assert_array_equal(layer(x), expected)


def test_optimizer_goes_on_as_the_one_it_was_copied_from():
    results = []
    for change in (lambda v: v, copy.deepcopy, out_of_band):
        optimizer, linear = Adam(0.1), Linear(3, 2, seed=0)
        for step in range(4):
            linear.flat_grads[...] = np.arange(linear.flat_grads.size) - step
            optimizer.step(linear)
            if step == 1:
                optimizer, linear = change((optimizer, linear))
        results.append(linear.flat_parameters.copy())
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


# ---- classes of users --------------------------------------------------------------------


class Named(Linear):
    """Another signature, and attributes of its own, one of them in a slot."""

    __slots__ = ("note",)

    def __init__(self, size):
        super().__init__(size, size, seed=0)
        self._fix(kind="square", note=[1])
        self.label, self.itself = f"of {size}", self


class WithScale(Linear):
    """A parameter of its own, and a configuration of its own."""

    def __init__(self, size):
        self.size = size
        super().__init__(size, 2, seed=0)

    def get_config(self):
        return {"size": self.size, **super().get_config()}

    @staticmethod
    def parameter_shapes(config):
        return {**Linear.parameter_shapes(config), "scale": (config["size"],)}


class OfItsOwn(Linear):
    """Says itself what is pickled."""

    def __getstate__(self):
        return {**self.__dict__, "secret": None}

    def __setstate__(self, state):
        self.__dict__.update(state)


class Wrapped(pygru.Sequential):
    def __init__(self, hidden):
        super().__init__(Linear(2, hidden, seed=0), Linear(hidden, 1, seed=0))
        self.hidden = hidden


class Halved(pygru.SGD):
    def __init__(self):
        super().__init__(0.5)
        self.half = True


@pytest.mark.parametrize("way", [way for way in WAYS if way not in ("pickle0", "pickle1")])
@pytest.mark.parametrize("make", [lambda: Named(3), lambda: WithScale(3), lambda: Wrapped(3)])
def test_classes_of_users_keep_what_they_added(make, way):
    layer = make()
    other = WAYS[way](layer)
    assert type(other) is type(layer)
    np.testing.assert_equal(other.state_dict(), layer.state_dict())
    if isinstance(layer, Named):
        assert (other.label, other.note, other.kind) == ("of 3", [1], "square")
        assert way == "copy" or other.itself is other
        with pytest.raises(AttributeError, match="cannot be assigned"):
            other.kind = "round"
    else:
        assert getattr(other, "size", 3) == getattr(other, "hidden", 3) == 3


def test_other_states_of_users_are_theirs():
    layer = OfItsOwn(2, 2, seed=0)
    layer.secret = 1
    for way in WAYS.values():
        assert way(layer).secret is None
    assert copy.deepcopy(Halved()).half
    plain = Linear(2, 2)
    plain.label = "mine"
    assert copy.deepcopy(plain).label == "mine"


class Noted(GRU):
    """A GRU with attributes of its own: one is in a slot, and two cannot be assigned."""

    __slots__ = ("note",)

    def __init__(self):
        super().__init__(3, 4, seed=0)
        self._fix(kind="noted", note=[1])
        self.itself, self.reads = self, "tokens"


class Extends(GRU):
    """Adds to the state, and removes what it cannot pickle."""

    def __getstate__(self):
        state = {**super().__getstate__(), "log": [1]}
        state["own_attributes"] = {"size": 3}
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        self.log = state["log"]


class ExtendsQuantized(pygru.QuantizedGRU):
    def __getstate__(self):
        return {**super().__getstate__(), "log": [1]}

    def __setstate__(self, state):
        super().__setstate__(state)
        self.log = state["log"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["GRU", "QuantizedGRU", "Linear", "Sequential", "Adam"])
def test_objects_keep_what_users_have_added(name, way):
    value = KINDS[name]()
    value.note = [1]
    other = WAYS[way](value)
    assert other.note == [1] and (other.note is value.note) is (way == "copy")
    assert pickle.loads(pickle.dumps(other)).note == [1]  # and it is added once
    assert_same(other, value)


@pytest.mark.parametrize("way", [way for way in WAYS if way not in ("pickle0", "pickle1")])
def test_classes_of_users_that_derive_from_a_gru(way):
    other = WAYS[way](Noted())
    assert (other.note, other.kind, other.reads) == ([1], "noted", "tokens")
    assert way == "copy" or other.itself is other
    with pytest.raises(AttributeError, match="kind of a Noted cannot be assigned"):
        other.kind = "other"
    with pytest.raises(AttributeError, match="hidden_size of a Noted cannot be assigned"):
        other.hidden_size = 3
    value = Extends(3, 4, seed=0)
    value.lock = threading.Lock()
    other = WAYS[way](value)
    assert (other.log, other.size) == ([1], 3)
    assert WAYS[way](ExtendsQuantized(GRU(3, 4, seed=0))).log == [1]


def test_a_gru_without_additions_has_the_state_of_older_versions():
    gru = KINDS["GRU"]()
    gru(np.ones((2, 5, 3)))
    gru.trainable = False
    gru.forward = gru.forward  # what a class of pygru has stays its own
    state = gru.__getstate__()
    assert list(state) == ["config", "parameters", "grads", "generator", "trainable"]
    assert "forward" not in vars(copy.deepcopy(gru))
    quantized = KINDS["QuantizedGRU"]()
    quantized(np.ones((2, 5, 3)))
    assert list(quantized.__getstate__()) == ["config", "parameters", "report"]


@pytest.mark.parametrize("name", ["GRU", "QuantizedGRU"])
@pytest.mark.parametrize(
    "added",
    [
        {"forward": 3, "infer": 3},
        {"__class__": int},
        {"hidden_size": 3},
        {"parameters": {}},
        {"_runner": None},
        {"_fixed": 3},
        {3: 4},
        [1],
        ({}, {"hidden_size": 3}),
    ],
)
def test_wrong_additions_are_refused(name, added):
    value = KINDS[name]()
    state = {**value.__getstate__(), "own_attributes": added}
    with pytest.raises((ValueError, TypeError), match=f"no state of a {name}"):
        type(value).__new__(type(value)).__setstate__(state)


# ---- bad states --------------------------------------------------------------------------


def array(what, name, value):
    return lambda state: {**state, what: {**state[what], name: value}}


ONE = {
    "Activation": [using(activation="step"), using(activation=None), without("activation")],
    "Attention": [
        using(query_size=0),
        using(score="dot"),
        using(score=[]),
        using(key_size=5),
        using(attention_size=3),
        array("parameters", "weight", np.zeros((4, 3), np.float32)),
    ],
    "AttentionOverTime": [using(attention_size=-1), without("features"), without("grads")],
    "Dropout": [
        using(p=float("nan")),
        using(p=1.5),
        using(p="0.5"),
        using(generator=3),
        without("generator"),
    ],
    "Embedding": [
        using(num_embeddings=500),
        using(num_embeddings=2**62),
        using(embedding_dim=True),
        using(padding_idx=5),
        using(padding_idx=-1),
        using(mask_zero=1),
        using(dtype="float32"),
        using(dtype=np.dtype("float64")),
        using(_is_drawn=3),
        using(_trainable=3),
        using(output_size=7),
        array("parameters", "weight", np.zeros((5, 3))),
        array("parameters", "weight", np.zeros((5, 2), np.float32)),
        using(get_config=3),
        using(read=None),
    ],
    "FeatureScale": [using(features=2), using(features=float("nan")), using(input_size=5)],
    "GRUOptions": [
        using(hidden_size=-1),
        using(hidden_size=2**62, num_layers=2**62),
        using(input_size=3.0),
        using(num_layers="2"),
        using(dropout=float("nan")),
        using(clip=float("nan")),
        using(dtype="float32"),
        using(variant="cho"),
        using(variant=None),
        using(merge="max"),
        without("activation"),
        without("hidden_size"),
    ],
    "Last": [using(merge="max"), using(reverse=True), using(bidirectional=False)],
    "LayerNorm": [using(eps=float("nan")), using(eps=0.0), using(eps=None), using(features=4)],
    "Linear": [
        using(out_features=-1),
        using(out_features=0),
        using(out_features="2"),
        using(out_features=2.0),
        using(out_features=np.int64(2)),
        using(out_features=float("nan")),
        using(out_features=3),
        using(in_features=2**40),
        using(in_features=2**62, out_features=2**62, input_size=2**62, output_size=2**62),
        using(bias=False),
        using(bias=1),
        using(dtype="int8"),
        using(dtype=None),
        using(output_size=20),
        using(_trainable="yes"),
        using(generator=1),
        without("in_features"),
        without("output_size"),
        without("dtype"),
        without("parameters"),
        without("grads"),
        using(parameters=None),
        using(parameters=[1, 2]),
        using(grads={}),
        array("parameters", "weight", None),
        array("parameters", "weight", [[0.0] * 3] * 2),
        array("parameters", "weight", np.zeros((3, 2), np.float32)),
        array("parameters", "weight", np.zeros((2, 3))),
        array("parameters", "weight", np.zeros((2, 3), object)),
        array("parameters", "weight", np.zeros((2, 3), np.int32)),
        array("parameters", "extra", np.zeros(2, np.float32)),
        array("grads", "bias", np.zeros(3, np.float32)),
        array("grads", "bias", np.zeros(2, complex)),
    ],
    "Masking": [using(mask_value=float("nan")), using(mask_value="x"), without("mask_value")],
    "MaxOverTime": [using(parameters=3), using(keeps_features=3), using(forward=3)],
    "MeanOverTime": [array("parameters", "weight", np.zeros(3)), using(_trainable=None)],
    "Seq2Seq": [
        using(hidden_size=4),
        using(hidden_size=-1),
        using(target_vocab_size=7),
        using(bos_idx=6),
        using(score="dot"),
        using(_gru={"variant": "cho"}),
        using(_gru=3),
        using(_teacher_forcing=2.0),
        using(training_steps=-1),
        using(generator=None),
        using(encoder=Linear(2, 2)),
        using(decoder=None),
        using(output=Linear(3, 5)),
        using(_dropout=pygru.Dropout(0.1)),
        without("encoder"),
        without("attention"),
        without("dropout"),
    ],
    "Sequential": [
        using(layers=None),
        using(layers=[Linear(2, 2)]),
        using(layers=(3,)),
        using(layers=(Linear(2, 3), Linear(2, 3))),
        using(layers=(GRU(3, 4),)),
        using(report=3),
        without("layers"),
    ],
}
OF_OPTIMIZERS = [
    using(_learning_rate=-1.0),
    using(_learning_rate=float("nan")),
    using(_learning_rate="fast"),
    using(_learning_rate=None),
    using(weight_decay=float("nan")),
    using(weight_decay=-1.0),
    using(_count=None),
    using(_count=np.array([-1])),
    using(_count=np.array([1.5])),
    using(_count=np.zeros(0, np.int64)),
    using(_states=3),
    using(_states=[3]),
    using(_states=[[np.zeros(3)] * 7]),
    using(_states=[["x"] * 2]),
    without("_learning_rate"),
    without("_count"),
    without("_states"),
    without("weight_decay"),
]
ONE |= {
    "Variant": [using(reset="never"), using(update=3), without("reset")],
    "SGD": [using(momentum=2.0), using(momentum=0.0), using(nesterov=None), *OF_OPTIMIZERS],
    "RMSprop": [using(alpha=1.0), using(eps=0.0), using(centered=False), *OF_OPTIMIZERS],
    "Adam": [
        using(betas=(0.9,)),
        using(betas=0.9),
        using(betas=[0.9, 0.99]),
        using(betas=(0.9, float("nan"))),
        using(eps=float("inf")),
        using(_states=[[np.zeros(3), np.zeros(4)]]),
        using(_states=[[np.zeros(3), np.zeros(3, int)]]),
        using(_states=[[np.zeros((3, 1)), np.zeros((3, 1))]]),
        *OF_OPTIMIZERS,
    ],
    "AdamW": [using(betas=None), using(eps="x"), *OF_OPTIMIZERS],
}
TAMPERED = [
    pytest.param(name, tamper, id=f"{name}-{key}")
    for name, own in ONE.items()
    for key, tamper in {**EVERY, **{str(i): each for i, each in enumerate(own)}}.items()
]


@pytest.mark.parametrize(("name", "tamper"), TAMPERED)
def test_tampered_state_is_refused(name, tamper):
    value = KINDS[name]()
    disguised = Disguise(type(value), tamper(copy.deepcopy(value.__getstate__())))
    with pytest.raises((ValueError, TypeError), match=type(value).__name__):
        pickle.loads(pickle.dumps(disguised))


@pytest.mark.parametrize("name", [name for name in ONE if name not in ("Sequential",)])
def test_every_missing_attribute_is_refused(name):
    value = KINDS[name]()
    state = value.__getstate__()
    for key in state.keys() - {"_trainable", "_fixed", "_model", "_frozen"}:
        with pytest.raises((ValueError, TypeError)):
            type(value).__new__(type(value)).__setstate__(without(key)(copy.deepcopy(state)))


def test_states_of_classes_of_users_are_checked_too():
    state = Named(3).__getstate__()[0]
    with pytest.raises(ValueError, match=r"Named.*out_features"):
        Named.__new__(Named).__setstate__({**state, "out_features": -1})
    with pytest.raises(ValueError, match=r"Named.*__class__.*no slot"):
        Named.__new__(Named).__setstate__((state, {"__class__": Linear}))
    with pytest.raises(ValueError, match=r"Named.*in_features"):
        Named.__new__(Named).__setstate__({**state, "in_features": np.int64(3)})
    state = WithScale(3).__getstate__()
    with pytest.raises(ValueError, match=r"WithScale.*scale"):
        WithScale.__new__(WithScale).__setstate__({**state, "size": 4})


def test_message_names_the_class_and_the_attribute():
    state = Linear(3, 2).__getstate__()
    with pytest.raises(ValueError, match=r"no state of a Linear: out_features must be .* -1"):
        Linear.__new__(Linear).__setstate__({**state, "out_features": -1})
