"""Arguments that have memory in common: the results are those of arguments that have none.

An output may lie over an input, a state or the weights, and a gradient that is given may lie
within the gradients that are added to. The truth is the same call with copies.
"""

import numpy as np
import pytest
from engines import ENGINES, use_engine

import pygru
from pygru import GRU, Linear, Sequential

RNG = np.random.default_rng(0)
# Short calls add gradients at once, long ones at their end, with threads.
SIZES = [(3, 2, 4), (6, 33, 40)]  # T, B, and I = H


def numbers(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


class Memory:
    """One block of memory, of which arrays of any shape are taken."""

    def __init__(self, size=60_000):
        self.flat = numbers(size)

    def at(self, begin, values):
        """The array that begins there, with these values."""
        array = self.over(begin, values.shape)
        array[...] = values
        return array

    def over(self, begin, shape):
        """The array that begins there, as it is."""
        return self.flat[begin : begin + int(np.prod(shape))].reshape(shape)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


OPTIONS = {
    "plain": lambda T, B: {},
    "lengths": lambda T, B: {"lengths": np.arange(B) % (T + 1)},
    "mask": lambda T, B: {"mask": np.arange(T * B).reshape(T, B) % 3 > 0},
    "reset": lambda T, B: {"reset": np.arange(T * B).reshape(T, B) % 4 == 0, "reset_to": "h0"},
}
MODELS = {
    "gru": lambda H: GRU(H, H, seed=0),
    "layers": lambda H: GRU(H, H, 2, seed=0),
    "merged": lambda H: GRU(H, H, bidirectional=True, merge="sum", seed=0),
    "reverse": lambda H: GRU(H, H, reverse=True, seed=0),
    "8 bits": lambda H: GRU(H, H, seed=0).quantized(),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", MODELS)
def test_output_over_the_input_and_the_first_state(name, options, size, engine, monkeypatch):
    use_engine(monkeypatch, engine)
    T, B, H = size
    if name == "8 bits" and engine == "blas":
        pytest.skip("8 bits have one engine")
    model, given = MODELS[name](H), OPTIONS[options](T, B)
    x, h0 = numbers(T, B, H), numbers(2 if name in ("layers", "merged") else 1, B, H)
    expected, memory = model(x, h0, **given), Memory()
    for shift in (0, 1, B * H, -5):
        own_x = memory.at(20_000, x)
        out = memory.over(20_000 + shift, x.shape)
        assert_same(model(own_x, h0, out=out, **given), expected)
        own_h0 = memory.at(20_000, h0)
        found = model(x, own_h0, out=out, **given)
        assert found[0] is out
        assert_same(found, expected)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", SIZES)
def test_a_step_over_its_input_its_state_and_the_weights(size, engine, monkeypatch):
    use_engine(monkeypatch, engine)
    _, B, H = size
    x_t, h = numbers(B, H), numbers(2, B, H)
    gru = GRU(H, H, 2, seed=0)
    models = [gru] if engine == "blas" else [gru, gru.quantized()]
    memory = Memory()
    for model in models:
        expected = model.step(x_t, h)
        for shift in (0, 1, B * H, -7, -B * H):
            own_x, own_h = memory.at(20_000, x_t), memory.at(10_000, h)
            found = model.step(own_x, h, out=memory.over(20_000 + shift, h.shape))
            np.testing.assert_array_equal(found, expected)
            found = model.step(x_t, own_h, out=memory.over(10_000 + shift, h.shape))
            np.testing.assert_array_equal(found, expected)
    over = gru.flat_parameters[5 : 5 + h.size].reshape(h.shape)
    expected = gru.step(x_t, h)
    np.testing.assert_array_equal(gru.step(x_t, h, out=over), expected)


@pytest.mark.parametrize("batch", [None, 2, 33])
def test_a_stream_reads_its_own_state_and_output(batch):
    gru = GRU(8, 8, 2, seed=0)
    x_t = numbers(*(() if batch is None else (batch,)), 8)
    own, copied = gru.stream(batch), gru.stream(batch)
    y, expected = own(x_t), copied(x_t).copy()
    for read in (lambda s, y: s.h[0], lambda s, y: s.h[1], lambda s, y: y):
        expected = copied(read(copied, expected).copy()).copy()
        y = own(read(own, y))
        assert_same((y, own.h), (expected, copied.h))


def with_gradients(make):
    """A layer or GRU whose gradients are numbers already."""
    made = make()
    made.flat_grads[...] = np.random.default_rng(1).standard_normal(made.flat_grads.size)
    return made


WAYS = {
    "plain": lambda T, B: {},
    "sqrt": lambda T, B: {"memory": "sqrt"},
    "mask": OPTIONS["mask"],
    "lengths": OPTIONS["lengths"],
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("options", [{}, {"layer_norm": True}, {"num_layers": 2}], ids=str)
def test_gradients_within_the_gradients(options, way, size, engine, monkeypatch):
    use_engine(monkeypatch, engine)
    T, B, H = size
    x, given = numbers(T, B, H), WAYS[way](T, B)

    def make():
        return with_gradients(lambda: GRU(H, H, seed=0, **options))

    for what in ("d_output", "d_h_n", "x"):
        own, copied = make(), make()
        shape = (own.num_layers, B, H) if what == "d_h_n" else (T, B, H)
        # Where gradients are fewer than that, their beginning stands for every sequence.
        steps = own.flat_grads.size // (B * H)
        shape = shape if steps >= shape[0] else (T, 1, H)
        within = own.flat_grads[-int(np.prod(shape)) :].reshape(shape)
        within = np.broadcast_to(within, (shape[0], B, H))
        apart = within.copy()
        inputs = (within, apart) if what == "x" else (x, x)
        of = {"x": (numbers(T, B, H), None)}
        found = []
        for gru, each, gradient in zip((own, copied), inputs, (within, apart), strict=True):
            tape = gru.forward(each, **given)[-1]
            d_output, d_h_n = of.get(
                what, (gradient, None) if what == "d_output" else (None, gradient)
            )
            found.append([*gru.backward(tape, d_output, d_h_n), gru.flat_grads])
        assert_same(*found)


LAYERS = {
    "Linear": lambda: Linear(6, 6, seed=0),
    "LayerNorm": lambda: pygru.LayerNorm(6),
    "FeatureScale": lambda: pygru.FeatureScale(6),
    "AttentionOverTime": lambda: pygru.AttentionOverTime(6, 6, seed=0),
    "Embedding": lambda: pygru.Embedding(30, 6, seed=0),
}


@pytest.mark.parametrize("shift", [0, 3])
@pytest.mark.parametrize("name", LAYERS)
def test_gradients_within_the_gradients_of_a_layer(name, shift):
    x = np.arange(12).reshape(3, 4) if name == "Embedding" else numbers(3, 4, 6)
    found = []
    for is_apart in (False, True):
        layer = with_gradients(LAYERS[name])
        y, tape = layer.forward(x)
        flat = layer.flat_grads
        if flat.size >= y.size + shift:
            gradient = flat[shift : shift + y.size].reshape(y.shape)
        else:  # every row is the same memory
            gradient = np.broadcast_to(flat[: y.shape[-1]], y.shape)
        d_x = layer.backward(tape, gradient.copy() if is_apart else gradient)
        found.append([layer.flat_grads, *([] if d_x is None else [d_x])])
    assert_same(*found)


class Overlapping(Linear):
    """A layer of a user whose values and gradients are the same memory."""

    @property
    def flat_pairs(self):
        return [(self.flat_parameters[1:], self.flat_parameters[:-1])]


@pytest.mark.parametrize("optimizer", [pygru.SGD(0.1), pygru.Adam(), pygru.RMSprop()])
def test_an_optimizer_refuses_values_that_are_their_gradients(optimizer):
    layer = Overlapping(3, 2, seed=0)
    before = layer.flat_parameters.copy()
    message = r"flat_pairs\[0\] of Overlapping: parameters and their gradients share memory"
    with pytest.raises(ValueError, match=message):
        optimizer.step(layer)
    np.testing.assert_array_equal(layer.flat_parameters, before)
    assert optimizer.steps == 0


class Columns(Linear):
    """A layer of a user whose values and gradients are the two columns of an array."""

    memory = None

    @property
    def flat_pairs(self):
        if self.memory is None:
            self.memory = np.stack(
                [self.flat_parameters, np.ones_like(self.flat_grads)], axis=1
            )
        return [(self.memory[:, 0], self.memory[:, 1])]


def test_an_optimizer_takes_values_and_gradients_that_alternate_in_memory():
    layer = Columns(3, 2, seed=0)
    expected = layer.flat_parameters - np.float32(0.5)
    pygru.SGD(0.5).step(layer)
    np.testing.assert_array_equal(layer.memory[:, 0], expected)
    assert (layer.memory[:, 1] == 1).all()


def test_an_optimizer_does_not_search_long_for_an_overlap(monkeypatch):
    """Whether such arrays have an element in common is a hard problem; it counts as shared."""

    def shares_memory(a, b, max_work):
        raise np.exceptions.TooHardError

    monkeypatch.setattr(np, "shares_memory", shares_memory)
    with pytest.raises(ValueError, match="share memory"):
        pygru.SGD(0.5).step(Columns(3, 2, seed=0))


@pytest.mark.parametrize("shift", [0, 1, -1])
def test_predictions_over_their_source_are_refused(shift):
    model = Sequential(GRU(6, 6, batch_first=True, seed=0))
    memory = numbers(32, 5, 6)
    before = memory.copy()
    with pytest.raises(ValueError, match="out shares memory with source"):
        pygru.predict(model, memory[1:31], out=memory[1 + shift : 31 + shift], chunk_size=7)
    np.testing.assert_array_equal(memory, before)
