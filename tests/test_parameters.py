"""Loading parameters: everything or nothing, also after an error or an interrupt.

If a loader copies one array after another, it leaves a mixture when an interrupt comes, or when
a value is a view of another parameter that has already been overwritten.
"""

import os

import numpy as np
import pytest
from interrupts import at_every_point
from quick import quick_and_slow

import pygru
from pygru import GRU, Attention, Dropout, Last, Linear, Seq2Seq, Sequential
from pygru.core import memory
from pygru.core.parameters import load_into

INSIDE = os.path.dirname(pygru.__file__)


def shared():
    """A model that uses one layer in two places."""
    linear = Linear(3, 3, seed=0)
    return Sequential(linear, Dropout(0.1, seed=0), GRU(3, 3, batch_first=True, seed=0), linear)


MODELS = {
    "gru": lambda: GRU(3, 4, 2, bidirectional=True, learn_h0=True, seed=0),
    "layer": lambda: Attention(3, 4, score="additive", seed=0),
    "sequential": lambda: Sequential(
        GRU(3, 4, batch_first=True, seed=0), Last(), Linear(4, 2, seed=0)
    ),
    "shared": shared,
    "seq2seq": lambda: Seq2Seq(5, 6, 2, 3, seed=0),
}


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def make(request):
    """A function that makes a model."""
    return request.param


def flat(model):
    """All parameters in one array."""
    return np.concatenate([values for values, _ in model.flat_pairs])


def other_state(model):
    """Parameters of the same shapes with other values, as float64."""
    return {name: np.full(view.shape, 7.0) for name, view in model.parameters.items()}


@pytest.mark.parametrize(
    "make",
    quick_and_slow(
        [MODELS["layer"], MODELS["sequential"]], [MODELS["gru"], shared, MODELS["seq2seq"]]
    ),
)
def test_interrupt_at_every_point_leaves_old_or_new(make):
    old = flat(make())
    seen = set()

    def prepare():
        nonlocal model
        model = make()
        return lambda: model.load_state_dict(other_state(model))

    def check(where):
        found = flat(model)
        is_new = bool((found == 7).all())
        assert is_new or np.array_equal(found, old), where
        seen.add(is_new)

    model = None
    assert at_every_point(prepare, check, INSIDE) > 20
    assert seen == {False, True}


def test_values_may_be_views_of_the_parameters_themselves():
    gru = GRU(4, 4, seed=0)  # its two weights have equal shapes
    before = gru.state_dict()
    swapped = dict(gru.parameters)
    names = "weight_ih_l0", "weight_hh_l0"
    swapped |= dict(zip(names, map(swapped.get, reversed(names)), strict=True))
    gru.load_state_dict(swapped)
    for name, other in zip(names, reversed(names), strict=True):
        np.testing.assert_array_equal(gru.parameters[name], before[other])


def test_last_of_two_values_for_a_shared_layer_counts():
    model = shared()
    state = model.state_dict()
    state["3.weight"] = np.full((3, 3), 5)
    model.load_state_dict(state)
    np.testing.assert_array_equal(model.parameters["0.weight"], np.full((3, 3), 5))


def test_message_names_the_parameter_of_the_whole_model():
    model = Sequential(Linear(3, 4, seed=0), Linear(4, 2, seed=0))
    before = flat(model)
    state = model.state_dict() | {"1.weight": np.zeros((4, 2))}
    with pytest.raises(ValueError, match=r"^1\.weight must have shape \(2, 4\), got \(4, 2\)"):
        model.load_state_dict(state)
    with pytest.raises(TypeError, match=r"^1\.weight must be numeric"):
        model.load_state_dict(state | {"1.weight": np.array([["a"]])})
    np.testing.assert_array_equal(flat(model), before)


@pytest.mark.parametrize("refused", [1, 2, 3])
def test_nothing_changes_when_memory_runs_out(monkeypatch, refused):
    model = MODELS["seq2seq"]()
    before, state = flat(model), other_state(model)
    allocate, calls = memory.allocate, []

    def refuse_one(shape, dtype, purpose):
        calls.append(purpose)
        if len(calls) == refused:
            raise MemoryError(f"pygru: cannot allocate 1 bytes for {purpose}")
        return allocate(shape, dtype, purpose)

    monkeypatch.setattr("pygru.core.parameters.allocate", refuse_one)
    with pytest.raises(MemoryError, match="for a copy of the parameters"):
        model.load_state_dict(state)
    np.testing.assert_array_equal(flat(model), before)
    monkeypatch.undo()
    model.load_state_dict(state)
    assert (flat(model) == 7).all()


def test_gradients_are_loaded_in_the_same_way():
    gru = MODELS["gru"]()
    load_into(gru.grads, other_state(gru))
    assert (gru.flat_grads == 7).all()
    with pytest.raises(KeyError, match="missing parameters: h0"):
        load_into(gru.grads, {name: view for name, view in gru.grads.items() if name != "h0"})


# ---- names with a prefix ------------------------------------------------------------------


def in_a_checkpoint(model, prefix):
    """The parameters under a prefix, among names of other parts."""
    others = {"head2.weight": np.ones(1), "step": 3, 7: None}
    return {f"{prefix}{name}": array for name, array in model.state_dict().items()} | others


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("prefix", ["head.", "head", "module.head.", "module.head"])
def test_a_prefix_takes_its_names_and_no_others(name, prefix):
    source, target = MODELS[name](), MODELS[name]()
    flat_before = flat(target).copy()
    source.load_state_dict(other_state(source))
    mapping = in_a_checkpoint(source, prefix.removesuffix(".") + ".")
    target.load_state_dict(mapping, prefix)
    assert (flat(target) == 7).all() and not np.array_equal(flat_before, flat(target))
    with pytest.raises(KeyError, match=r"unexpected key|missing"):
        target.load_state_dict(mapping)


def test_a_prefix_may_end_without_a_dot():
    source, target = Linear(3, 2, seed=0), Linear(3, 2, seed=1)
    target.load_state_dict(in_a_checkpoint(source, "decoder_"), prefix="decoder_")
    np.testing.assert_array_equal(flat(target), flat(source))


def test_errors_name_the_parameter_with_its_prefix():
    gru = GRU(2, 3, seed=0)
    mapping = in_a_checkpoint(gru, "rnn.")
    before = flat(gru).copy()
    with pytest.raises(KeyError, match=r"no name begins with prefix='rmn'; did you mean 'rnn'"):
        gru.load_state_dict(mapping, "rmn")
    with pytest.raises(TypeError, match="prefix must be a str, got int"):
        gru.load_state_dict(mapping, 3)
    with pytest.raises(ValueError, match=r"rnn\.weight_ih_l0 has 4\*H rows: .* an LSTM"):
        gru.load_state_dict(mapping | {"rnn.weight_ih_l0": np.ones((12, 2))}, "rnn")
    with pytest.raises(ValueError, match=r"^rnn\.bias_ih_l0 must have shape \(9,\)"):
        gru.load_state_dict(mapping | {"rnn.bias_ih_l0": np.ones(8)}, "rnn")
    with pytest.raises(KeyError, match=r"unexpected key 'rnn\.weight_ih_l1'"):
        gru.load_state_dict(mapping | {"rnn.weight_ih_l1": np.ones(8)}, "rnn")
    del mapping["rnn.bias_hh_l0"]
    with pytest.raises(KeyError, match=r"missing parameters: rnn\.bias_hh_l0"):
        gru.load_state_dict(mapping, "rnn")
    np.testing.assert_array_equal(flat(gru), before)
