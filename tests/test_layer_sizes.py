"""Layers that do not fit are refused when a model is made; errors of a call name the layer."""

import copy
import pickle

import numpy as np
import pytest

import pygru
from pygru import (
    GRU,
    AttentionOverTime,
    Dropout,
    Embedding,
    Last,
    Layer,
    Linear,
    MaxOverTime,
    MeanOverTime,
    RecurrentLayer,
    Seq2Seq,
    Sequential,
)


def gru(inputs, units, **options):
    return GRU(inputs, units, batch_first=True, seed=0, **options)


class Halves(Layer):
    """Returns the first half of the features, and does not say how many they are."""

    def __init__(self):
        self.create_parameters()

    def get_config(self):
        return {}

    def forward(self, x, *, lengths=None, training=True):
        return np.asarray(x)[..., : x.shape[-1] // 2], x.shape

    def backward(self, tape, d_y):
        return np.concatenate((d_y, np.zeros_like(d_y)), axis=-1)


class Known(Halves):
    """The same for 6 features, and says it."""

    input_size, output_size = 6, 3


# ---- stacks that fit -----------------------------------------------------------------------


def test_the_shapes_of_a_stack():
    model = Sequential(
        Embedding(9, 5),
        gru(5, 8, bidirectional=True),
        Dropout(0.1),
        gru(16, 3),
        Halves(),
        Last(),
        Linear(1, 4),
    )
    shapes = [tuple(shape) for shape in model.layer_shapes]
    steps = [(True, 5), (True, 16), (True, 16), (True, 3), (True, None)]
    assert shapes == [*steps, (False, None), (False, 4)]
    assert [str(shape) for shape in model.layer_shapes[3:6]] == [
        "(B, T, 3)",
        "(B, T, ?)",
        "(B, ?)",
    ]
    assert (model.input_size, model.output_size, model.keeps_features) == (None, 4, False)
    assert Sequential(gru(5, 8), Dropout()).input_size == 5
    assert Sequential(gru(5, 8), Dropout()).output_size == 8
    assert Sequential(Dropout(), Last()).keeps_features
    assert Sequential().output_size is None
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.layer_shapes == model.layer_shapes


@pytest.mark.parametrize("both", [False, True])
def test_stacked_grus_of_different_sizes_are_calls_one_after_the_other(both):
    """Also bidirectional ones followed by ones of one direction, forward and backward."""
    first, second = (
        gru(3, 5, bidirectional=both, dtype="float64"),
        gru(10 if both else 5, 2, num_layers=2, dtype="float64"),
    )
    third = gru(2, 4, bidirectional=both, dtype="float64")
    model = Sequential(first, second, third, Last(bidirectional=both))
    rng = np.random.default_rng(0)
    x, lengths = rng.standard_normal((4, 6, 3)), np.array([6, 0, 1, 4])
    y, tape = model.forward(x, lengths=lengths)
    a, _, tape_a = first.forward(x, lengths=lengths)
    b, _, tape_b = second.forward(a, lengths=lengths)
    _, h_n, tape_c = third.forward(b, lengths=lengths)
    assert np.array_equal(y, np.concatenate(list(h_n), axis=1))
    d_y = rng.standard_normal(y.shape)
    d_x = model.backward(tape, d_y)
    grads = [layer.flat_grads.copy() for layer in model.layers]
    for layer in model.layers:
        layer.zero_grad()
    d_h_n = np.stack(np.split(d_y, 2, axis=1)) if both else d_y[np.newaxis]
    d_b, _ = third.backward(tape_c, d_h_n=d_h_n)
    d_a, _ = second.backward(tape_b, d_b)
    expected, _ = first.backward(tape_a, d_a)
    np.testing.assert_allclose(d_x, expected, rtol=1e-12, atol=1e-15)
    for layer, gradient in zip(model.layers, grads, strict=True):
        np.testing.assert_allclose(gradient, layer.flat_grads, rtol=1e-12, atol=1e-15)


# ---- stacks that do not fit ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            lambda: [gru(3, 8), gru(8, 64), Linear(32, 2)],
            "layers[2], Linear(in_features=32, out_features=2): it reads 32 features, but the "
            "output of layers[1], GRU(input_size=8, hidden_size=64), has 64",
        ),
        (
            lambda: [gru(3, 8, bidirectional=True), gru(8, 4)],
            "layers[1], GRU(input_size=8, hidden_size=4): it reads 8 features, but the output "
            "of layers[0], GRU(input_size=3, hidden_size=8, bidirectional=True), has 16",
        ),
        (
            lambda: [Embedding(7, 4), Dropout(0.1), Linear(7, 2)],
            "layers[2], Linear(in_features=7, out_features=2): it reads 7 features, but the "
            "output of layers[1], Dropout(), has 4",
        ),
        (
            lambda: [gru(3, 8), AttentionOverTime(4)],
            "layers[1], AttentionOverTime(features=4, attention_size=4): it reads 4 features",
        ),
        (
            lambda: [Known(), gru(6, 2)],
            "layers[1], GRU(input_size=6, hidden_size=2): it reads 6",
        ),
        (lambda: [gru(3, 2), Known()], "layers[1], Known(): it reads 6 features"),
        (
            lambda: [gru(3, 8), Last(), gru(8, 2)],
            "layers[2], GRU(input_size=8, hidden_size=2): it reads sequences, but the output "
            "of layers[1], Last(), has one vector per sequence",
        ),
        (lambda: [MeanOverTime(), Linear(3, 3), MaxOverTime()], "layers[2], MaxOverTime(): it"),
        (lambda: [gru(3, 8), Embedding(9, 8)], "layers[1], Embedding(num_embeddings=9, "),
    ],
)
def test_a_model_whose_layers_do_not_fit_is_refused(layers, message):
    with pytest.raises(ValueError) as caught:
        Sequential(*layers())
    assert str(caught.value).startswith(message)


def test_what_is_not_known_is_not_refused():
    Sequential(Halves(), gru(3, 2), Halves(), Linear(1, 2))
    Sequential(Dropout(), Linear(4, 2))


# ---- errors of a call ----------------------------------------------------------------------


def test_errors_of_a_call_name_the_layer():
    model = Sequential(gru(3, 8), Halves(), Linear(3, 2))
    x = np.ones((2, 5, 3))
    for call in (model, model.forward):
        with pytest.raises(
            ValueError,
            match=r"^layers\[2\], Linear\(in_features=3, out_features=2\): x must have shape "
            r"\(\.\.\., in_features=3\), got \(2, 5, 4\)$",
        ):
            call(x)
        with pytest.raises(ValueError, match=r"^layers\[0\], GRU.*must equal input_size=3"):
            call(np.ones((2, 5, 4)))
    tokens = Sequential(Embedding(3, 2), gru(2, 2))
    with pytest.raises(IndexError, match=r"^layers\[0\], Embedding.*x\[0, 1\] = 3 is out"):
        tokens([[0, 3]])
    model = Sequential(gru(3, 8), Halves(), Linear(4, 2))
    _, tape = model.forward(x)
    with pytest.raises(ValueError, match=r"^layers\[2\], Linear.*d_y must have shape"):
        model.backward(tape, np.ones((2, 5, 3)))


def test_other_errors_keep_their_text_and_get_a_note():
    class Mine(Exception):
        def __init__(self, number):
            super().__init__(f"number {number}", number)

    class Fails(Halves):
        def forward(self, x, *, lengths=None, training=True):
            raise Mine(3)

    with pytest.raises(Mine, match="number 3") as caught:
        Sequential(Halves(), Fails())(np.ones((1, 1, 4)))
    assert caught.value.__notes__ == ["This was raised by layers[1], Fails()."]


# ---- how much a model holds ----------------------------------------------------------------


def test_parameters_are_counted_once():
    linear = Linear(3, 3, dtype="float64")
    assert (linear.parameter_count, linear.nbytes) == (12, 96)
    assert (Dropout().parameter_count, Dropout().nbytes) == (0, 0)
    assert Embedding(5, 2, trainable=False).parameter_count == 10
    layer = gru(3, 3, learn_h0=True)
    twin = layer.replace(share_weights=True)
    count = sum(view.size for view in layer.parameters.values())
    model = Sequential(linear, layer, twin, linear, Dropout())
    assert model.parameter_count == count + 12
    assert model.nbytes == 4 * count + 96
    words = Seq2Seq(5, 6, 4, 8)
    assert words.parameter_count == sum(view.size for view in words.parameters.values())


def test_recurrent_layers_of_users_are_checked_too():
    class Sum(RecurrentLayer):
        def __init__(self, size):
            self.input_size = self.output_size = size
            self.create_parameters()

        def get_config(self):
            return {"size": self.input_size}

        def run(self, x, state=None, *, lengths=None, training=True, memory="gates"):
            return x.cumsum(axis=1), x.sum(axis=1), None

    with pytest.raises(
        ValueError, match=r"layers\[1\], Sum\(size=4\): it reads 4 features, but"
    ):
        Sequential(gru(3, 5), Sum(4))
    assert pygru.Sequential(gru(3, 4), Sum(4)).output_size == 4
