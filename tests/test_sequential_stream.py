"""Sequential.stream(): the bits of whole calls, states, resets, errors, and what is refused."""

import copy
import pickle
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from interrupts import at_every_point

import pygru
from pygru import (
    GRU,
    Activation,
    AttentionOverTime,
    Dropout,
    Embedding,
    Last,
    Layer,
    LayerNorm,
    Linear,
    MaxOverTime,
    MeanOverTime,
    RecurrentLayer,
    Sequential,
)

PACKAGE = Path(pygru.__file__).parent


def gru(inputs, units, **options):
    return GRU(inputs, units, batch_first=True, **options)


class Scale(Layer):
    """A layer of a user: it needs the axis of time."""

    def __init__(self, factor=3):
        self.factor = factor
        self.create_parameters()

    def get_config(self):
        return {"factor": self.factor}

    def forward(self, x, *, lengths=None, training=True):
        assert x.ndim == 3
        return x * self.factor, None

    def backward(self, tape, d_y):
        return d_y * self.factor


class Trace(RecurrentLayer):
    """The sum of the steps so far and their number, from a start that is not zero."""

    def __init__(self):
        self.create_parameters()

    def get_config(self):
        return {}

    def run(self, x, state=None, *, lengths=None, training=True, memory="gates"):
        B, T, _ = x.shape
        ends = np.full(B, T) if lengths is None else np.asarray(lengths)
        total = np.full((B, x.shape[2]), 5, x.dtype) if state is None else state[0].copy()
        count = np.zeros(B, int) if state is None else state[1]
        y = np.zeros_like(x)
        for t in range(T):
            total = np.where((t < ends)[:, np.newaxis], total + x[:, t], total)
            y[:, t] = total
        return y, [total, count + ends], None


MODELS = {
    "forecaster": lambda t: [
        gru(3, 5, num_layers=2, dtype=t),
        gru(5, 4, dtype=t),
        Linear(4, 2, dtype=t),
    ],
    "normed": lambda t: [
        LayerNorm(3, dtype=t),
        gru(3, 17, layer_norm=True, zoneout=0.2, dtype=t),
        Dropout(0.5),
        LayerNorm(17, dtype=t),
        Linear(17, 9, dtype=t),
        Activation("gelu"),
        Activation("softmax"),
    ],
    "own": lambda t: [Scale(), gru(3, 4, learn_h0=True, dtype=t), Trace(), Scale(2)],
    "rows": lambda t: [Linear(3, 70, dtype=t), Activation("relu"), Activation("softplus")],
    "last": lambda t: [gru(3, 4, dtype=t), Last(), Activation("tanh")],
    "mean": lambda t: [gru(3, 1, dtype=t), MeanOverTime(), Linear(1, 2, dtype=t)],
    "max": lambda t: [gru(3, 5, dtype=t), MaxOverTime(), Activation("sigmoid")],
    "mixed": lambda t: [
        gru(3, 5, dtype="float32"),
        Linear(5, 2, dtype="float64"),
        MeanOverTime(),
    ],
}


def model_of(name, dtype="float32"):
    model = Sequential(*MODELS[name](dtype), seed=7)
    for layer in model.layers:
        if "h0" in layer.parameters:
            layer.parameters["h0"] = np.random.default_rng(0).standard_normal((1, 4))
    return model


# ---- the same bits as a call ---------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(MODELS)),
    dtype=st.sampled_from(["float32", "float64"]),
    batch=st.one_of(st.none(), st.integers(1, 4)),
    steps=st.integers(1, 30),
    seed=st.integers(0, 99),
    given_as=st.sampled_from(["float32", "float64", "list"]),
)
def test_steps_have_the_bits_of_a_call(name, dtype, batch, steps, seed, given_as):
    model = model_of(name, dtype)
    x = 2 * np.random.default_rng(seed).standard_normal((batch or 1, steps, 3))
    x = x if given_as == "list" else x.astype(given_as)
    stream = model.stream(batch)
    outputs = []
    for t in range(steps):
        x_t = x[0, t] if batch is None else x[:, t]
        outputs.append(stream(x_t.tolist() if given_as == "list" else x_t))
    if model.predicts_steps:
        whole = model(x)
        found = np.stack(outputs, axis=0 if batch is None else 1)
        assert found.dtype == whole.dtype
        assert np.array_equal(found, whole[0] if batch is None else whole)
    else:  # after each step, what the model says of the steps so far
        for t, y_t in enumerate(outputs):
            whole = model(x[:, : t + 1])
            assert y_t.dtype == whole.dtype
            assert np.array_equal(y_t, whole[0] if batch is None else whole)


@pytest.mark.parametrize("features", [1, 2, 3, 64])
def test_running_means_and_maxima_of_long_sequences(features):
    """A single column is summed in the order of the steps too."""
    x = np.random.default_rng(0).standard_normal((2, 5000, features)).astype(np.float32)
    x[1, 70, 0] = np.nan
    x[1, 80, 0] = np.inf
    for layer in (MeanOverTime(), MaxOverTime()):
        stream = Sequential(layer).stream(batch=2)
        for t in range(5000):
            y = stream(x[:, t])
        assert np.array_equal(y, layer(x), equal_nan=True)


def test_of_equal_maxima_the_first_one_stays():
    x = np.array([[[-0.0], [0.0]], [[0.0], [-0.0]]])
    stream = Sequential(MaxOverTime()).stream(batch=2)
    stream(x[:, 0])
    assert np.signbit(stream(x[:, 1])).tolist() == [[True], [False]]
    assert np.array_equal(np.signbit(MaxOverTime()(x)), [[True], [False]])


def test_tokens():
    model = Sequential(Embedding(7, 4, padding_idx=0), gru(4, 5), Linear(5, 7), seed=0)
    x = np.random.default_rng(0).integers(0, 7, (3, 9))
    whole = model(x)
    stream = model.stream(batch=3)
    assert np.array_equal(np.stack([stream(x[:, t]) for t in range(9)], axis=1), whole)
    one = model.stream()
    assert np.array_equal([one(token) for token in x[1].tolist()], whole[1])
    with pytest.raises(IndexError, match=r"^layers\[0\], Embedding\(.*: x = 7 is out of"):
        one(7)
    with pytest.raises(ValueError, match=r"x_t must have shape \(\), got \(3,\)"):
        one(x[:, 0])
    with pytest.raises(ValueError, match=r"x_t must have shape \(3,\), got \(\)"):
        stream(1)


def test_weights_may_change_between_steps():
    model = model_of("forecaster")
    stream = model.stream()
    before = stream(np.ones(3))
    model.parameters["2.bias"] += 1
    stream.reset()
    np.testing.assert_allclose(stream(np.ones(3)), before + 1, rtol=1e-6)


def test_outputs_are_arrays_of_their_own():
    for layers in ([gru(3, 4)], [Dropout(0.5)], [gru(3, 4), Dropout(), Last()], []):
        stream = Sequential(*layers).stream()
        x = np.ones(3)
        first = stream(x)
        kept = first.copy()
        stream(x + 1)
        first_again = first.copy()
        first[...] = 9
        assert np.array_equal(first_again, kept) and (x == 1).all()
        assert not np.any(stream.states[0] == 9) if stream.states else True


# ---- states --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("batch", [None, 3])
def test_states_can_be_kept_and_given_back(name, batch):
    model = model_of(name)
    rng = np.random.default_rng(0)
    xs = rng.standard_normal((6, *(() if batch is None else (batch,)), 3))
    stream = model.stream(batch)
    for x_t in xs[:3]:
        stream(x_t)
    kept = stream.states
    expected = [stream(x_t) for x_t in xs[3:]]
    for other in (stream, model.stream(batch)):
        other.states = kept
        assert all(
            np.array_equal(other(x_t), y) for x_t, y in zip(xs[3:], expected, strict=True)
        )
    for state in kept:  # they are copies
        for array in state if isinstance(state, list) else [state]:
            array[...] = 0
    stream.reset()
    fresh = model.stream(batch)
    assert np.array_equal(stream(xs[0]), fresh(xs[0]))


def test_states_of_a_stream_are_those_of_forward_from():
    model = model_of("own")
    x = np.random.default_rng(0).standard_normal((3, 8, 3))
    whole = model(x)
    _, states, _ = model.forward_from(None, x[:, :5], training=False)
    stream = model.stream(batch=3)
    stream.states = states
    for t in range(5, 8):
        assert np.array_equal(stream(x[:, t]), whole[:, t])
    _, states, _ = model.forward_from(None, x, training=False)
    assert np.array_equal(stream.states[0], states[0])
    assert all(np.array_equal(*pair) for pair in zip(stream.states[1], states[1], strict=True))


@pytest.mark.parametrize("name", ["forecaster", "own", "mean", "max", "last"])
@pytest.mark.parametrize("rows", [1, -1, slice(1, None), [0, 2], [False, True, False], []])
def test_reset_of_some_rows(name, rows):
    model = model_of(name)
    x = np.random.default_rng(0).standard_normal((3, 8, 3)).astype(np.float32)
    stream, afresh, on = model.stream(3), model.stream(3), model.stream(3)
    stream.reset(rows)  # before the first step it changes nothing
    for t in range(4):
        stream(x[:, t])
        on(x[:, t])
    stream.reset(rows)
    chosen = np.zeros(3, bool)
    chosen[
        np.array(rows, dtype=None if len(np.atleast_1d(rows)) else int)
        if not isinstance(rows, slice)
        else rows
    ] = True
    for t in range(4, 8):
        y, new, old = stream(x[:, t]), afresh(x[:, t]), on(x[:, t])
        assert np.array_equal(y, np.where(chosen[:, np.newaxis], new, old))


def test_a_gru_with_layers_of_its_own_h0_is_reset_by_an_integer():
    layer = GRU(2, 3, 2, learn_h0=True, seed=0)
    layer.parameters["h0"] = np.arange(6.0).reshape(2, 3)
    stream = layer.stream(4)
    stream(np.ones((4, 2)))
    before = stream.h.copy()
    stream.reset(2)
    assert stream.h[:, 2].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert np.array_equal(stream.h[:, [0, 1, 3]], before[:, [0, 1, 3]])


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        *((rows, IndexError) for rows in (3, -4, [0, 3], np.ones(4, bool))),
        *((rows, TypeError) for rows in ([0.5], "a")),
    ],
)
def test_reset_of_rows_that_do_not_exist_changes_nothing(rows, error):
    stream = model_of("own").stream(3)
    stream(np.ones((3, 3)))
    before = pickle.dumps(stream.states)
    with pytest.raises(error):
        stream.reset(rows)
    assert pickle.dumps(stream.states) == before
    with pytest.raises(error):  # also before the first step
        Sequential(MeanOverTime()).stream(3).reset(rows)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda s: s[:1],
            ValueError,
            "a list of 2, one per layer with a state, got 1",
        ),
        (lambda s: 3, ValueError, "states must be a list of 2, .* got int"),
        (lambda s: [s[0][:, :2], s[1]], ValueError, r"states\[0\] must have shape \(1, 3, 4\)"),
        (lambda s: [s[0], s[1][:1]], ValueError, r"states\[1\] must hold 2 arrays, got 1"),
        (
            lambda s: [s[0], [s[1][0][:, :2], s[1][1]]],
            ValueError,
            r"states\[1\] must have shape",
        ),
        (lambda s: [s[0], [s[1][0][:2], s[1][1]]], ValueError, r"states\[1\] .* 3 rows"),
        (lambda s: [s[0] + 1, ["a", "b"]], TypeError, r"states\[1\] must be numeric"),
        (lambda s: ["a", s[1]], TypeError, r"states\[0\] must be numeric"),
    ],
)
def test_states_that_do_not_fit_change_nothing(change, error, message):
    stream = model_of("own").stream(3)
    stream(np.ones((3, 3)))
    before = pickle.dumps(stream.states)
    with pytest.raises(error, match=message):
        stream.states = change(stream.states)
    assert pickle.dumps(stream.states) == before


def test_states_of_none_begin_anew():
    stream = model_of("own").stream()
    first = stream(np.ones(3))
    stream.states = [None, None]
    assert np.array_equal(stream(np.ones(3)), first)


# ---- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_a_step_that_fails_changes_no_state(error):
    class Fails(Scale):
        def forward(self, x, *, lengths=None, training=True):
            if x[0, 0, 0] > 100:
                raise error
            return x, None

    model = Sequential(gru(3, 3), Trace(), MeanOverTime(), Scale2(), Fails(), seed=0)
    model.layers[1].run = lambda x, state=None, **options: Trace.run(
        model.layers[1], x, state, **options
    )
    stream, other = model.stream(), model.stream()
    for each in (stream, other):
        each(np.ones(3))
    kept = stream.states
    kept[1][0][...] = 1e4
    stream.states = kept
    before = pickle.dumps(stream.states)
    with pytest.raises(type(error), match=r"^layers\[4\], Fails\(\): no$|^$"):
        stream(np.ones(3))
    assert pickle.dumps(stream.states) == before


class Scale2(Layer):
    """Passes vectors on after pooling, and needs no axis of time."""

    takes_single_steps = True

    def __init__(self):
        self.create_parameters()

    def get_config(self):
        return {}

    def forward(self, x, *, lengths=None, training=True):
        return x * 2, None


def test_an_interrupt_leaves_all_states_or_none_changed():
    """A step, a reset of some rows and an assignment, interrupted at every point."""
    model = Sequential(gru(3, 3), Trace(), MeanOverTime(), Activation("softmax"), seed=0)
    x_t = np.ones((2, 3), np.float32)
    changes = {
        "step": lambda stream: stream(x_t),
        "reset": lambda stream: stream.reset([1]),
        "states": lambda stream: setattr(stream, "states", model.stream(2).states),
    }
    for name, change in changes.items():
        made = []

        def prepare(change=change, made=made):
            made.append(model.stream(2))
            made[-1](x_t)
            return lambda: change(made[-1])

        prepare()
        before = pickle.dumps(made[-1].states)
        change(made[-1])
        after = pickle.dumps(made[-1].states)
        assert before != after

        def check(where, name=name, made=made, allowed=(before, after)):
            assert pickle.dumps(made[-1].states) in allowed, (name, where)

        assert at_every_point(prepare, check, inside=str(PACKAGE)) > 10


def test_wrong_inputs_are_named_and_change_nothing():
    stream = model_of("forecaster").stream(2)
    stream(np.ones((2, 3)))
    before = pickle.dumps(stream.states)
    for x_t in (np.ones((3, 3)), np.ones(3), np.ones((2, 4)), np.ones((2, 1, 3)), [1.0], None):
        with pytest.raises(ValueError, match=r"x_t must have shape \(2, 3\), got"):
            stream(x_t)
    with pytest.raises(TypeError, match=r"layers\[0\], GRU.*: x_t must be numeric"):
        stream([["a"] * 3] * 2)
    assert pickle.dumps(stream.states) == before
    with pytest.raises(ValueError, match=r"must have shape \(batch=2, \.\.\.\), got \(3, 3\)"):
        Sequential(Scale()).stream(2)(np.ones((3, 3)))
    for batch, error in ((0, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="batch must be"):
            model_of("forecaster").stream(batch)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [Linear(3, 3), gru(3, 4, bidirectional=True)],
            r"^layers\[1\], GRU\(input_size=3, hidden_size=4, bidirectional=True\): cannot run "
            "step by step: its reverse direction begins at the end of a sequence$",
        ),
        ([Last(bidirectional=True)], r"layers\[0\], Last.*: its reverse direction begins at"),
        ([gru(3, 4), AttentionOverTime(4)], r"layers\[1\], Att.* depends on all steps of the"),
    ],
)
def test_what_cannot_run_step_by_step_is_refused(layers, message):
    with pytest.raises(ValueError, match=message):
        Sequential(*layers).stream()


def test_own_layers_that_need_whole_sequences_are_refused():
    class Reverse(Scale):
        needs_whole_sequences = True

    class Pool(Scale):
        predicts_steps = False

    for layer in (Reverse(), Pool()):
        with pytest.raises(ValueError, match="cannot run step by step: it needs whole seq"):
            Sequential(layer).stream()


def test_own_layers_that_lose_the_axis_of_time_are_named():
    class Flat(Scale):
        def forward(self, x, *, lengths=None, training=True):
            return x.reshape(-1), None

    with pytest.raises(ValueError, match=r"layers\[0\], Flat\(\): for x of shape \(2, 1, 3\)"):
        Sequential(Flat()).stream(2)(np.ones((2, 3)))


def test_a_stream_can_be_neither_copied_nor_given_other_attributes():
    stream = model_of("forecaster").stream(2)
    for make in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match=r"a SequentialStream can be neither copied"):
            make(stream)
    with pytest.raises(AttributeError):
        stream.state = []
    assert repr(stream).startswith("SequentialStream(Sequential(GRU(")
    assert repr(stream).endswith(", batch=2)")
    assert "SequentialStream" in stream._repr_html_() and "GRU" in stream._repr_html_()
    with pytest.raises(ValueError, match="rows must be None for a stream without a batch"):
        model_of("forecaster").stream().reset(0)


def test_a_step_of_a_linear_layer_is_that_of_its_call():
    layer = Linear(5, 3, seed=0)
    x = np.random.default_rng(0).standard_normal((4, 5))
    whole = layer.forward(x)[0]
    for given_ in (x, x.astype(np.float32), x.tolist()):
        assert np.array_equal(layer(given_), whole)
    ragged = layer(np.ones((2, 3, 5)), lengths=[1, 3])
    assert not ragged[0, 1:].any() and ragged[1].any()
    assert pygru.Linear(5, 3, seed=0)(x[0]).shape == (3,)
