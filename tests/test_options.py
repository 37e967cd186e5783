"""The options of a GRU: checked in one place, fixed afterwards, and the same everywhere.

These tests fail if an option can be assigned and this has no effect on what was made from its
old value; if the constructor, the configuration or ``replace`` lacks an option; or if weights
are shared where a copy was promised.
"""

import copy
import dataclasses
import inspect
import json
import pickle

import numpy as np
import pytest

import pygru
from pygru import GRU, GRUOptions, Variant
from pygru.gru_base import REPLACEABLE
from pygru.gru_inference import GRUInference

OTHER = {
    "input_size": 5,
    "hidden_size": 6,
    "num_layers": 3,
    "bias": False,
    "batch_first": True,
    "dropout": 0.25,
    "bidirectional": True,
    "variant": Variant("before", "keep"),
    "dtype": np.dtype(np.float64),
    "init": "keras",
    "recurrent_dropout": 0.125,
    "zoneout": 0.5,
    "learn_h0": True,
    "layer_norm": True,
    "layer_norm_eps": 0.01,
    "zero_output_for_mask": True,
    "merge": "mul",
    "activation": "softsign",
    "recurrent_activation": ("hard_sigmoid", 0.25, 0.5),
    "clip": 3.0,
    "reverse": True,
}  # a value of every option that is not the default
NAMES = list(OTHER)
# What else an option needs to have that value.
NEEDS = {"merge": {"num_layers": 1, "bidirectional": True}}


def make(**changes):
    return GRU(**{"input_size": 3, "hidden_size": 4, "num_layers": 2, "seed": 0, **changes})


@pytest.fixture
def gru():
    return make()


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((6, 2, 3)).astype(np.float32)


# ---- one list of options -----------------------------------------------------------------


def test_the_constructor_takes_every_option_and_the_seed():
    """Same names, same order, same defaults, and the same ones by keyword only."""
    expected = inspect.signature(GRUOptions).parameters
    found = dict(inspect.signature(GRU).parameters)
    seed = found.pop("seed")
    assert seed.default is None and seed.kind is seed.KEYWORD_ONLY
    assert list(found) == list(expected) == NAMES
    for name, parameter in expected.items():
        assert (found[name].default, found[name].kind) == (parameter.default, parameter.kind)


def test_fields_are_the_arguments():
    assert [field.name for field in dataclasses.fields(GRUOptions)] == NAMES
    assert list(GRUOptions(3, 4).get_config()) == NAMES
    assert set(NAMES) <= set(GRUInference.__annotations__)


@pytest.mark.parametrize("name", NAMES)
def test_every_option_travels_through_every_door(name):
    before = GRUOptions(
        **{"input_size": 3, "hidden_size": 4, "num_layers": 2} | NEEDS.get(name, {})
    )
    options = before.replace(**{name: OTHER[name]})
    assert getattr(options, name) == OTHER[name]
    assert options != before
    config = json.loads(json.dumps(options.get_config()))
    assert GRUOptions.from_config(config) == options
    assert pickle.loads(pickle.dumps(options)) == options
    assert eval(repr(options), {"GRUOptions": GRUOptions, "Variant": Variant}) == options
    assert hash(copy.copy(options)) == hash(options)
    gru = GRU.from_options(options, seed=0)
    assert gru.options == options
    assert getattr(gru, name) == OTHER[name]
    assert repr(gru) == repr(options).replace("GRUOptions", "GRU")
    made = make(**NEEDS.get(name, {}), **{name: OTHER[name]})
    for other in (made, GRU.from_config({**config, "seed": 0})):
        assert other.options == options
        np.testing.assert_array_equal(other.flat_parameters, gru.flat_parameters)
    assert pickle.loads(pickle.dumps(gru)).options == options


def test_repr_of_a_variant_without_a_name():
    options = GRUOptions(3, 4, variant=Variant("after", "replace"))
    assert repr(options).startswith("GRUOptions(3, 4, variant=Variant(reset='after', ")
    assert options.get_config()["variant"] == ["after", "replace"]


def test_a_configuration_of_an_older_version_has_the_defaults():
    assert GRUOptions.from_config({"input_size": 3, "hidden_size": 4}) == GRUOptions(3, 4)
    shapes = GRU.parameter_shapes({"input_size": 3, "hidden_size": 4})
    assert shapes == GRUOptions(3, 4).parameter_shapes()


@pytest.mark.parametrize(
    "changes",
    [{}, {"bias": False}, {"bidirectional": True}, {"layer_norm": True, "learn_h0": True}],
)
def test_parameter_count_is_that_of_the_shapes(changes):
    options = GRUOptions(3, 4, num_layers=3).replace(**changes)
    shapes = options.parameter_shapes()
    shapes.pop("h0", None)
    assert sum(np.prod(shape) for shape in shapes.values()) == options.parameter_count


def test_only_the_constructor_warns_of_dropout_without_effect():
    """Loading does not warn, because making the GRU has warned before."""
    with pytest.warns(UserWarning, match="no effect"):
        config = GRU(3, 4, dropout=0.5).get_config()
    assert GRU.from_config(config).dropout == 0.5
    assert GRU.from_options(GRUOptions.from_config(config)).dropout == 0.5


def test_unknown_options_are_named(gru):
    with pytest.raises(TypeError, match="'zone_out'; did you mean 'zoneout'"):
        gru.replace(zone_out=0.1)
    with pytest.raises(TypeError, match="unexpected key 'seed'"):
        gru.options.replace(seed=3)
    with pytest.raises(TypeError, match="config must be a mapping of options"):
        GRUOptions.from_config([3, 4])
    with pytest.raises(TypeError, match="options must be a GRUOptions, got dict"):
        GRU.from_options({"input_size": 3})


# ---- read-only attributes ----------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_assigning_an_option_says_what_to_do_instead(gru, x, name):
    before = gru(x)[0]
    with pytest.raises(AttributeError, match=rf"^{name} of a GRU cannot be assigned") as info:
        setattr(gru, name, OTHER[name])
    advice = "gru.replace(" if name in REPLACEABLE else "make a new GRU"
    assert advice in str(info.value)
    assert gru.options == make().options
    np.testing.assert_array_equal(gru(x)[0], before)
    with pytest.raises(AttributeError, match=f"{name} of a GRU cannot be deleted"):
        delattr(gru, name)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(gru.options, name, OTHER[name])


def test_the_advice_is_a_call_that_works(gru):
    with pytest.raises(AttributeError) as info:
        gru.zoneout = 0.1
    assert "gru.replace(zoneout=0.1) returns such a GRU" in str(info.value)
    assert gru.replace(zoneout=0.1).zoneout == 0.1


@pytest.mark.parametrize("name", ["parameters", "grads", "options", "num_directions"])
def test_what_follows_from_the_options_cannot_be_assigned(gru, name):
    kept = getattr(gru, name)
    with pytest.raises(AttributeError, match=f"{name} of a GRU cannot be assigned"):
        setattr(gru, name, {})
    assert getattr(gru, name) is kept


def test_a_generator_can_be_assigned_and_nothing_else_in_its_place(gru):
    gru.generator = np.random.default_rng(5)
    assert gru.generators == [gru.generator]
    before = gru.generator
    with pytest.raises(TypeError, match=r"generator must be a numpy\.random\.Generator, got"):
        gru.generator = 5
    assert gru.generator is before


def test_a_saved_file_can_be_loaded_whatever_was_tried(gru, tmp_path):
    """``gru.layer_norm = False`` made ``save`` write a file that ``load`` refused."""
    gru = make(layer_norm=True)
    with pytest.raises(AttributeError):
        gru.layer_norm = False
    pygru.save(gru, tmp_path / "model.safetensors")
    assert pygru.load(tmp_path / "model.safetensors").options == gru.options


def test_step_and_sequence_have_one_rate_of_zoneout(gru, x):
    """``gru.zoneout = 0`` after a step left ``step`` with the old rate."""
    gru = make(zoneout=0.5)
    h = np.zeros((2, 2, 4), np.float32)
    gru.step(x[0], h)
    with pytest.raises(AttributeError):
        gru.zoneout = 0.0
    for which in (gru, gru.replace(zoneout=0.0)):
        np.testing.assert_array_equal(which.step(x[0], h), which(x[:1])[1])
    assert not np.array_equal(gru(x)[0], gru.replace(zoneout=0.0)(x)[0])


def test_recurrent_dropout_is_turned_on_by_replace(gru, x):
    """``gru.recurrent_dropout = 0.5`` gave an InternalError about NULL."""
    with pytest.raises(AttributeError, match=r"gru\.replace\(recurrent_dropout=0\.5\)"):
        gru.recurrent_dropout = 0.5
    other = gru.replace(recurrent_dropout=0.5)
    output, _, tape = other.forward(x)
    other.backward(tape, output)
    assert not np.array_equal(output, gru.forward(x)[0])
    np.testing.assert_array_equal(other(x)[0], gru(x)[0])


# ---- replace -----------------------------------------------------------------------------


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("name", sorted(set(REPLACEABLE) - {"dtype"}))
def test_replace_keeps_the_weights(name, share):
    gru = make(**NEEDS.get(name, {}))
    other = gru.replace(share_weights=share, **{name: OTHER[name]})
    assert getattr(other, name) == OTHER[name]
    assert getattr(gru, name) != OTHER[name]
    np.testing.assert_array_equal(other.flat_parameters, gru.flat_parameters)
    assert np.shares_memory(other.flat_parameters, gru.flat_parameters) == share
    assert np.shares_memory(other.flat_grads, gru.flat_grads) == share
    assert list(other.parameters) == list(gru.parameters)


def test_replaced_gru_computes_with_the_new_option(x):
    gru = make()
    np.testing.assert_array_equal(
        gru.replace(batch_first=True)(x.swapaxes(0, 1))[0], gru(x)[0].swapaxes(0, 1)
    )
    made = make(dropout=0.5, zoneout=0.25)
    given = make().replace(dropout=0.5, zoneout=0.25)
    for model in (made, given):
        model.generator = np.random.default_rng(3)
    np.testing.assert_array_equal(made.forward(x)[0], given.forward(x)[0])
    normed = make(layer_norm=True)
    eps = normed.replace(layer_norm_eps=0.5)
    assert not np.array_equal(eps(x)[0], normed(x)[0])


def test_replace_converts_the_weights_to_another_dtype(gru, x):
    double = gru.replace(dtype="float64")
    assert double.flat_parameters.dtype == np.float64
    np.testing.assert_array_equal(double.flat_parameters, gru.flat_parameters)
    np.testing.assert_allclose(double(x)[0], gru(x)[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(double.replace(dtype="float32")(x)[0], gru(x)[0])
    with pytest.raises(ValueError, match="float32 cannot be shared with a GRU of float64"):
        gru.replace(dtype="float64", share_weights=True)


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(REPLACEABLE)))
def test_replace_refuses_what_the_weights_depend_on(gru, name):
    with pytest.raises(ValueError, match=rf"^{name}=.* does not fit these weights"):
        gru.replace(**{name: OTHER[name]})
    same = gru.replace(**{name: getattr(gru, name)})  # an equal value is no change
    assert same.options == gru.options


def test_replace_checks_values(gru):
    with pytest.raises(ValueError, match=r"zoneout must be a number in \[0, 1\], got 2"):
        gru.replace(zoneout=2)
    with pytest.raises(TypeError, match="share_weights must be a bool, got int"):
        gru.replace(share_weights=1)


def test_a_replaced_gru_shares_nothing_by_default(gru, x):
    other = gru.replace(zoneout=0.5)
    expected = gru(x)[0]
    other.flat_parameters[...] = 0
    other.flat_grads[...] = 1
    other.generator.random(3)
    np.testing.assert_array_equal(gru(x)[0], expected)
    assert not gru.flat_grads.any()
    assert gru.generator.bit_generator.state == make().generator.bit_generator.state


def test_a_tape_is_its_own_grus_even_where_weights_are_shared(gru, x):
    other = gru.replace(zoneout=0.5, share_weights=True)
    tape = gru.forward(x)[2]
    with pytest.raises(ValueError, match="tape belongs to another GRU"):
        other.backward(tape)


@pytest.mark.parametrize("first", [0, 1])
def test_shared_weights_are_packed_again_when_the_other_gru_changes_them(gru, x, first):
    """Both have packed weights of their own, and both must notice every change."""
    pair = [gru, gru.replace(batch_first=True, share_weights=True)]
    h = np.zeros((2, 2, 4), np.float32)
    stream = pair[1].stream(2)
    for model in pair:
        model(x.swapaxes(0, 1) if model.batch_first else x)
        model.step(x[0], h)
    stream(x[0])
    tapes = [model.forward(x)[2] for model in pair]
    pair[first].parameters["weight_hh_l0"] *= 2
    fresh = make()
    fresh.parameters["weight_hh_l0"] *= 2
    np.testing.assert_array_equal(pair[0](x)[0], fresh(x)[0])
    np.testing.assert_array_equal(pair[1](x.swapaxes(0, 1))[1], fresh(x)[1])
    for model in pair:
        np.testing.assert_array_equal(model.step(x[0], h), fresh.step(x[0], h))
    stream.reset()
    np.testing.assert_array_equal(stream(x[0]), fresh.step(x[0], h)[-1])
    for model, tape in zip(pair, tapes, strict=True):
        with pytest.raises(RuntimeError, match="weights changed since forward"):
            model.backward(tape)


def test_training_one_of_two_that_share_trains_both(gru, x):
    other = gru.replace(zoneout=0.5, share_weights=True)
    optimizer = pygru.SGD(0.1)
    output, _, tape = other.forward(x)
    other.backward(tape, output)
    assert gru.flat_grads.any()
    optimizer.step(other)
    np.testing.assert_array_equal(gru.flat_parameters, other.flat_parameters)
    assert not np.array_equal(gru.flat_parameters, make().flat_parameters)


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_a_model_counts_shared_weights_once(decay):
    """One step of SGD is checked against the formula, and the norm against the gradients."""
    gru = pygru.GRU(3, 3, batch_first=True, dtype="float64", seed=0)
    other = gru.replace(share_weights=True)
    model = pygru.Sequential(gru, other, pygru.Last())
    rng = np.random.default_rng(0)
    output, tape = model.forward(rng.standard_normal((2, 4, 3)))
    model.backward(tape, rng.standard_normal(output.shape))
    norm = np.sqrt((gru.flat_grads**2).sum())
    assert pygru.clip_grad_norm(model, None) == pytest.approx(norm, rel=1e-12)
    before = {name: view.copy() for name, view in gru.parameters.items()}
    pygru.SGD(0.1, weight_decay=decay).step(model)
    for name, view in gru.parameters.items():
        decayed = decay * before[name] if name.startswith("weight") else 0
        expected = before[name] - 0.1 * (gru.grads[name] + decayed)
        np.testing.assert_allclose(view, expected, rtol=1e-12, err_msg=name)


# ---- what a GRU makes ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["state", "H", "zoneout", "batch", "_h", "_gru"])
def test_of_a_stream_only_the_state_can_be_assigned(gru, x, name):
    stream = gru.stream(2)
    expected = gru.stream(2)(x[0])
    with pytest.raises(AttributeError, match=f"{name} of a Stream cannot be assigned, only h"):
        setattr(stream, name, np.ones((2, 2, 4)))
    np.testing.assert_array_equal(stream(x[0]), expected)
    stream.h = np.zeros((2, 2, 4))
    np.testing.assert_array_equal(stream(x[0]), expected)


@pytest.mark.parametrize("memory", ["gates", "sqrt"])
def test_nothing_of_a_tape_can_be_assigned(gru, x, memory):
    tape = gru.forward(x, memory=memory)[2]
    for name in vars(tape):
        if name != "_fixed":
            kept = getattr(tape, name)
            with pytest.raises(
                AttributeError, match=f"{name} of a (Whole|Segment)Tape cannot be assigned"
            ):
                setattr(tape, name, None)
            assert getattr(tape, name) is kept


def test_a_variant_cannot_be_changed(gru):
    for name in ("reset", "update", "name"):
        with pytest.raises(AttributeError):
            setattr(gru.variant, name, "keep")
    assert gru.variant == Variant.named("chung")
