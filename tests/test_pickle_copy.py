"""Pickles and copies: same results, nothing shared, and bad states refused.

These tests fail if a copy shares its weights with the original, if its named views do not point
to its weights, or if it accepts a state of the wrong shape and crashes later.
"""

import copy
import pickle

import numpy as np
import pytest

import pygru
from pygru import GRU, Variant

PROTOCOLS = [2, 3, 4, 5]
OPTIONS = [
    {},
    {"num_layers": 2, "bidirectional": True, "dropout": 0.5},
    {"variant": "pytorch", "dtype": "float64", "batch_first": True},
    {"variant": "cho", "bias": False, "init": "keras"},
    {"variant": Variant(reset="after", update="replace")},
]
WAYS = {
    **{
        f"pickle{protocol}": lambda gru, protocol=protocol: pickle.loads(
            pickle.dumps(gru, protocol)
        )
        for protocol in PROTOCOLS
    },
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.fixture(params=OPTIONS, ids=lambda options: "-".join(map(str, options)) or "plain")
def gru(request):
    gru = GRU(3, 4, seed=0, **request.param)
    gru.flat_grads[...] = np.arange(gru.flat_grads.size)
    return gru


@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((6, 2, 3))


def test_copy_gives_the_same_bits(gru, way, x):
    other = way(gru)
    assert type(other) is GRU
    assert other.get_config() == gru.get_config()
    assert repr(other) == repr(gru)
    np.testing.assert_array_equal(other.flat_parameters, gru.flat_parameters)
    np.testing.assert_array_equal(other.flat_grads, gru.flat_grads)
    for mine, theirs in zip(gru(x), other(x), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_copy_draws_the_same_dropout_and_gradients(gru, way, x):
    """The generator is copied too, so draws of the original do not change the copy."""
    other = way(gru)
    results = []
    for model in (gru, other):
        output, h_n, tape = model.forward(x)
        d_x, d_h0 = model.backward(tape, output, h_n)
        results.append((output, h_n, d_x, d_h0, model.flat_grads))
    for mine, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_copy_shares_nothing(gru, way, x):
    other = way(gru)
    expected = gru(x)[0]
    kept = gru.flat_grads.copy()
    other.flat_parameters[...] = 0
    other.flat_grads[...] = 0
    other.generator.random(5)
    np.testing.assert_array_equal(gru(x)[0], expected)
    np.testing.assert_array_equal(gru.flat_grads, kept)


def test_named_views_of_a_copy_are_its_own(gru, way, x):
    other = way(gru)
    for name in gru.parameters:
        assert np.shares_memory(other.parameters[name], other.flat_parameters)
        assert np.shares_memory(other.grads[name], other.flat_grads)
    other.parameters["weight_hh_l0"][...] = 0
    assert not np.array_equal(other(x)[0], gru(x)[0])


def test_copy_works_in_every_way(way, x):
    """After a step of the original, whose buffers must not be copied."""
    gru = GRU(3, 4, seed=0)
    h = np.zeros((1, 2, 4))
    expected = gru.step(x[0], h)
    other = way(gru)
    np.testing.assert_array_equal(other.step(x[0], h), expected)
    np.testing.assert_array_equal(other.stream(2)(x[0]), expected[-1])
    output, _, tape = other.forward(x)
    other.backward(tape, output)
    assert gru.flat_grads.any() != other.flat_grads.any()


def test_tape_of_the_original_is_not_the_copys(way, x):
    gru = GRU(3, 4, seed=0)
    tape = gru.forward(x)[2]
    with pytest.raises(ValueError, match="tape belongs to another GRU"):
        way(gru).backward(tape)


def test_pickle_of_a_pickle_is_the_same():
    gru = GRU(3, 4, seed=0)
    once = pickle.dumps(gru)
    assert pickle.dumps(pickle.loads(once)) == pickle.dumps(pickle.loads(once))


def test_pickle_warns_of_nothing():
    """The constructor's warning about dropout was given once; warnings are errors here."""
    with pytest.warns(UserWarning, match="dropout has no effect"):
        gru = GRU(3, 4, dropout=0.5, seed=0)
    assert copy.deepcopy(gru).dropout == 0.5


@pytest.mark.parametrize(
    "make", [lambda gru, x: gru.forward(x)[2], lambda gru, x: gru.stream()]
)
def test_tapes_and_streams_cannot_be_pickled(make, x):
    with pytest.raises(TypeError):
        pickle.dumps(make(GRU(3, 4, seed=0), x))


LAYERS = {
    "gru": lambda: GRU(3, 4, seed=0),
    "linear": lambda: pygru.Linear(3, 2, seed=0),
    "embedding": lambda: pygru.Embedding(5, 3, seed=0),
    "attention": lambda: pygru.Attention(3, 4, seed=0),
    "norm": lambda: pygru.LayerNorm(3),
    "seq2seq": lambda: pygru.Seq2Seq(5, 6, 2, 3, seed=0),
    "model": lambda: pygru.Sequential(
        GRU(3, 4, batch_first=True, seed=0), pygru.Last(), pygru.Linear(4, 1, seed=0)
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_weights_in_buffers_beside_the_pickle_can_be_trained(name):
    """Memory of others, such as that of joblib and dask, is often read-only."""
    model = LAYERS[name]()
    buffers = []
    data = pickle.dumps(model, protocol=5, buffer_callback=buffers.append)
    raw = [buffer.raw().tobytes() for buffer in buffers]
    kept = list(map(bytes, raw))
    other = pickle.loads(data, buffers=raw)
    for parameter in other.parameters:
        expected = model.parameters[parameter]
        np.testing.assert_array_equal(other.parameters[parameter], expected)
        other.parameters[parameter][...] = 0
        np.testing.assert_array_equal(model.parameters[parameter], expected)
    assert not any(value.any() for value in other.parameters.values())
    assert raw == kept  # what others own is not written


def test_linear_layer_of_a_pickle_computes_with_its_own_weights():
    linear = pickle.loads(pickle.dumps(pygru.Linear(3, 2, seed=0)))
    x = np.ones((4, 3), np.float32)
    before = linear(x)
    linear.parameters["weight"] *= 2
    linear.parameters["bias"] *= 2
    np.testing.assert_array_equal(linear(x), 2 * before)


@pytest.mark.parametrize(
    "array", [None, 3, "x", np.zeros(3, int), np.zeros((2, 2)), np.zeros(3, object)]
)
def test_parameters_of_a_pickle_that_are_no_floats_are_refused(array):
    from pygru.core.parameters import owner_from_pickle

    with pytest.raises(ValueError, match="no flat array of floats"):
        owner_from_pickle(array)


# ---- bad states ------------------------------------------------------------------------


def without(mapping, key):
    return {name: value for name, value in mapping.items() if name != key}


def with_part(state, part, **changes):
    return {**state, part: {**state[part], **changes}}


TAMPERED = {
    "not-a-dict": lambda s: [1, 2],
    "None": lambda s: None,
    "empty": lambda s: {},
    "no-config": lambda s: without(s, "config"),
    "no-parameters": lambda s: without(s, "parameters"),
    "no-grads": lambda s: without(s, "grads"),
    "no-generator": lambda s: without(s, "generator"),
    "config-None": lambda s: {**s, "config": None},
    "config-list": lambda s: {**s, "config": [3, 4]},
    "config-no-size": lambda s: {**s, "config": without(s["config"], "input_size")},
    "config-unknown": lambda s: with_part(s, "config", hiden_size=3),
    "config-other-size": lambda s: with_part(s, "config", hidden_size=5),
    "config-zero": lambda s: with_part(s, "config", hidden_size=0),
    "config-negative": lambda s: with_part(s, "config", num_layers=-1),
    "config-huge": lambda s: with_part(s, "config", hidden_size=2**40),
    "config-huger": lambda s: with_part(s, "config", input_size=2**62, num_layers=2**62),
    "config-float": lambda s: with_part(s, "config", hidden_size=4.0),
    "config-str": lambda s: with_part(s, "config", hidden_size="4"),
    "config-bool": lambda s: with_part(s, "config", num_layers=True),
    "config-variant": lambda s: with_part(s, "config", variant="gru"),
    "config-variant-list": lambda s: with_part(s, "config", variant=["before"] * 3),
    "config-variant-values": lambda s: with_part(s, "config", variant=["x", "y"]),
    "config-dtype": lambda s: with_part(s, "config", dtype="int8"),
    "config-dropout": lambda s: with_part(s, "config", dropout=float("nan")),
    "config-other-dirs": lambda s: with_part(s, "config", bidirectional=True),
    "config-no-bias": lambda s: with_part(s, "config", bias=False),
    "parameters-None": lambda s: {**s, "parameters": None},
    "parameters-list": lambda s: {**s, "parameters": [1, 2]},
    "parameters-shape": lambda s: with_part(s, "parameters", weight_ih_l0=np.zeros((3, 12))),
    "parameters-empty": lambda s: with_part(s, "parameters", weight_ih_l0=np.zeros((0, 0))),
    "parameters-object": lambda s: with_part(s, "parameters", bias_ih_l0=np.full(12, None)),
    "parameters-complex": lambda s: with_part(s, "parameters", bias_ih_l0=np.zeros(12) * 1j),
    "parameters-str": lambda s: with_part(s, "parameters", bias_ih_l0="zeros"),
    "parameters-missing": lambda s: {**s, "parameters": without(s["parameters"], "bias_hh_l0")},
    "parameters-extra": lambda s: with_part(s, "parameters", weight_ih_l7=np.zeros(3)),
    "grads-None": lambda s: {**s, "grads": None},
    "grads-shape": lambda s: with_part(s, "grads", weight_hh_l0=np.zeros((4, 12))),
    "grads-extra": lambda s: with_part(s, "grads", weight_ih_l7=np.zeros(3)),
    "grads-missing": lambda s: {**s, "grads": without(s["grads"], "bias_hh_l0")},
    "generator-None": lambda s: {**s, "generator": None},
    "generator-legacy": lambda s: {**s, "generator": 3},
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampered_state_is_refused(name):
    gru = GRU(3, 4, seed=0)
    state = TAMPERED[name](gru.__getstate__())
    fresh = GRU.__new__(GRU)
    with pytest.raises((ValueError, KeyError, TypeError)):
        fresh.__setstate__(state)


@pytest.mark.parametrize("name", sorted(set(TAMPERED) - {"None"}))
def test_tampered_pickle_is_refused(name):
    class Disguise:
        """Pickled as a GRU with another state."""

        def __reduce__(self):
            state = TAMPERED[name](GRU(3, 4, seed=0).__getstate__())
            return (GRU.__new__, (GRU,), state or {"config": None})

    with pytest.raises((ValueError, KeyError, TypeError)):
        pickle.loads(pickle.dumps(Disguise()))


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.99])
def test_truncated_pickle_is_refused(cut):
    data = pickle.dumps(GRU(3, 4, seed=0))
    with pytest.raises((EOFError, pickle.UnpicklingError)):
        pickle.loads(data[: int(cut * len(data))])


@pytest.mark.parametrize(
    ("config", "exception"),
    [
        ({}, TypeError),
        ({"input_size": 3}, TypeError),
        ({"input_size": 3, "hidden_size": 0}, ValueError),
        ({"input_size": 3, "hidden_size": 4, "color": "red"}, TypeError),
        ({"input_size": 3, "hidden_size": 4, "variant": ["nowhere"]}, ValueError),
        (None, TypeError),
        (3, TypeError),
    ],
)
def test_bad_config_is_refused(config, exception):
    with pytest.raises(exception):
        GRU.from_config(config)


def test_config_round_trip(gru):
    other = GRU.from_config(gru.get_config())
    assert other.get_config() == gru.get_config()
    assert list(other.parameters) == list(gru.parameters)
    assert gru.get_config() is not gru.get_config()
