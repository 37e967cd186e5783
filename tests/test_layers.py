"""Embedding, Linear, Dropout, Last and Sequential: values by hand, gradients by differences.

These tests fail if a transpose is missing, if the wrong step is picked, if a gradient is set
instead of added, or if a dropout mask differs between the two passes.
"""

import copy

import complex_step
import numpy as np
import pytest

import pygru
from pygru import GRU, Dropout, Embedding, Last, Linear, Sequential


def numerical_gradient(function, array, eps=1e-6):
    """Central differences of a scalar function with respect to every element of ``array``."""
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + eps
        above = function()
        array[index] = kept - eps
        below = function()
        array[index] = kept
        gradient[index] = (above - below) / (2 * eps)
    return gradient


def check_gradients(layer, x, lengths=None):
    """Compare backward with differences for x and every parameter."""
    rng = np.random.default_rng(5)
    y, tape = layer.forward(x, lengths=lengths, training=False)
    d_y = rng.standard_normal(y.shape)

    def functional():
        return float((layer.forward(x, lengths=lengths, training=False)[0] * d_y).sum())

    layer.zero_grad()
    d_x = layer.backward(tape, d_y)
    if x.dtype.kind == "f":
        np.testing.assert_allclose(d_x, numerical_gradient(functional, x), rtol=1e-7, atol=1e-8)
    for name, view in layer.parameters.items():
        expected = numerical_gradient(functional, view)
        np.testing.assert_allclose(layer.grads[name], expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("bias", [True, False])
def test_linear_gradients(bias):
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    check_gradients(Linear(4, 5, bias, dtype="float64", seed=1), x)


def test_linear_value():
    layer = Linear(2, 1, dtype="float64", seed=0)
    layer.load_state_dict({"weight": [[2.0, 3.0]], "bias": [1.0]})
    assert layer([[1.0, 10.0]]).tolist() == [[33.0]]


def test_embedding_adds_the_gradient_of_repeated_rows():
    layer = Embedding(4, 2, dtype="float64", seed=0)
    y, tape = layer.forward([[1, 1, 3]])
    assert np.array_equal(y[0, 2], layer.parameters["weight"][3])
    layer.backward(tape, np.ones((1, 3, 2)))
    assert layer.grads["weight"].tolist() == [[0, 0], [2, 2], [0, 0], [1, 1]]


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([4], IndexError, r"x\[0\] = 4 is out of range for 4 embeddings"),
        ([[0, -1]], IndexError, r"x\[0, 1\] = -1 is out of range"),
        ([1.5], TypeError, "x must be integers, got dtype float64"),
    ],
)
def test_embedding_refuses(x, error, message):
    with pytest.raises(error, match=message):
        Embedding(4, 2).forward(x)


def test_embedding_names_the_first_bad_index_that_is_read():
    with pytest.raises(IndexError, match=r"x\[1, 1\] = 4 is out of range"):
        Embedding(4, 2).forward([[0, 9], [1, 4]], lengths=[1, 2])


def table_gradient(x, lengths, d_y, padding_idx, shape):
    """The gradient of an embedding's table, one looked-up vector at a time."""
    gradient = np.zeros(shape)
    for b, length in enumerate(lengths):
        for t in range(length):
            if x[b, t] != padding_idx:
                gradient[x[b, t]] += d_y[b, t]
    return gradient


@pytest.mark.parametrize("padding_idx", [None, 0, 3])
@pytest.mark.parametrize("lengths", [[6, 6, 6, 6], [0, 6, 2, 5]])
def test_embedding_gradient_by_a_loop(padding_idx, lengths):
    rng = np.random.default_rng(0)
    layer = Embedding(5, 3, padding_idx=padding_idx, dtype="float64", seed=0)
    x, d_y = rng.integers(0, 5, (4, 6)), rng.standard_normal((4, 6, 3))
    expected = table_gradient(x, lengths, d_y, padding_idx, (5, 3))
    past = np.arange(6) >= np.array(lengths)[:, np.newaxis]
    x[past], d_y[past] = -1, np.nan  # padding is not read
    y, tape = layer.forward(x, lengths=lengths)
    assert not y[past].any()
    x[...] = 0  # the tape has a copy of its own
    layer.grads["weight"] = np.ones((5, 3))  # gradients are added
    layer.backward(tape, d_y)
    np.testing.assert_allclose(layer.grads["weight"], expected + 1, rtol=1e-14)


def test_embedding_of_padding_is_zero_whatever_the_table_holds():
    layer = Embedding(3, 2, padding_idx=1, seed=0)
    assert layer.parameters["weight"].any(axis=1).tolist() == [True, False, True]
    layer.load_state_dict({"weight": np.ones((3, 2))})
    assert layer([0, 1, 2]).tolist() == [[1, 1], [0, 0], [1, 1]]


def test_embedding_copies_pretrained_vectors():
    table = np.arange(8.0).reshape(4, 2)
    layer = Embedding(4, 2, weight=table, padding_idx=0)
    table[...] = 9
    assert layer([0, 3]).tolist() == [[0, 0], [6, 7]]


def test_a_frozen_embedding_is_not_seen_by_optimizers_and_clipping():
    frozen = Embedding(6, 3, trainable=False, seed=0)
    model = Sequential(frozen, Last(), Linear(3, 1, seed=1))
    table = frozen.flat_parameters.copy()
    y, tape = model.forward(np.array([[5, 1], [2, 2]]))
    model.backward(tape, np.ones_like(y))
    assert not frozen.flat_grads.any()
    assert [len(values) for values, _ in model.flat_pairs] == [0, 4]
    frozen.flat_grads[...] = 1e30
    assert pygru.clip_grad_norm(model, None) < 100
    pygru.Adam(0.1).step(model)
    assert np.array_equal(frozen.flat_parameters, table)


@pytest.mark.parametrize("bias", [True, False])
def test_linear_computes_only_on_what_is_there(bias):
    rng = np.random.default_rng(3)
    lengths = [2, 0, 4]
    past = np.arange(4) >= np.array(lengths)[:, np.newaxis]
    layer = Linear(3, 2, bias, dtype="float64", seed=0)
    x, d_y = rng.standard_normal((3, 4, 3)), rng.standard_normal((3, 4, 2))

    def functional(tensors):
        y = np.einsum("btf,gf->btg", tensors["x"], tensors["weight"])
        if bias:
            y = y + tensors["bias"]
        return sum((y[b, :n] * d_y[b, :n]).sum() for b, n in enumerate(lengths))

    expected = complex_step.gradients(functional, {"x": x, **layer.state_dict()})
    holed = np.where(past[..., np.newaxis], np.nan, x)
    y, tape = layer.forward(holed, lengths=lengths)
    np.testing.assert_allclose(y[~past], layer(x)[~past], rtol=1e-14)
    assert not y[past].any()
    d_x = layer.backward(tape, np.where(past[..., np.newaxis], np.nan, d_y))
    complex_step.assert_close(d_x, expected.pop("x"))
    for name, gradient in expected.items():
        complex_step.assert_close(layer.grads[name], gradient, name)


def test_dropout_draws_nothing_for_padding():
    x = np.ones((2, 3, 4))
    x[1, 1:] = np.nan
    y, tape = Dropout(0.5, seed=0).forward(x, lengths=[3, 1])
    packed, _ = Dropout(0.5, seed=0).forward(np.ones((4, 4)))
    assert np.array_equal(np.concatenate([y[0], y[1, :1]]), packed)
    assert not y[1, 1:].any()
    assert np.array_equal(Dropout(0.5).backward(tape, x), y)


def test_dropout_scales_what_it_keeps_and_repeats_its_mask_in_backward():
    layer = Dropout(0.25, seed=0)
    x = np.ones((40, 50))
    y, tape = layer.forward(x)
    assert set(np.unique(y)) == {0.0, 1 / 0.75}
    assert 0.2 < (y == 0).mean() < 0.3
    assert np.array_equal(layer.backward(tape, x), y)
    assert layer(x) is x


def test_dropout_of_everything():
    assert not Dropout(1.0, seed=0).forward(np.ones(5))[0].any()


@pytest.mark.parametrize("lengths", [None, [3, 0, 1]])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_last_gradients(lengths, bidirectional):
    x = np.random.default_rng(0).standard_normal((3, 3, 4))
    check_gradients(Last(bidirectional), x, lengths)


def test_last_of_a_bidirectional_gru_is_h_n():
    gru = GRU(3, 4, bidirectional=True, batch_first=True, dtype="float64", seed=0)
    x = np.random.default_rng(0).standard_normal((5, 6, 3))
    lengths = [6, 1, 4, 0, 2]
    output, h_n = gru(x, lengths=lengths)
    picked = Last(bidirectional=True)(output, lengths=lengths)
    assert np.array_equal(picked, np.concatenate([h_n[0], h_n[1]], axis=1))


@pytest.mark.parametrize("lengths", [None, [4, 2, 0]])
def test_sequential_gradients(lengths):
    gru = GRU(2, 3, 2, batch_first=True, bidirectional=True, dtype="float64", seed=0)
    model = Sequential(gru, Last(True), Dropout(0.5, seed=1), Linear(6, 2, dtype="float64"))
    check_gradients(model, np.random.default_rng(0).standard_normal((3, 4, 2)), lengths)


def test_sequential_with_embedding_has_no_gradient_for_integers():
    model = Sequential(
        Embedding(5, 3, dtype="float64", seed=0),
        GRU(3, 4, batch_first=True, dtype="float64", seed=1),
        Linear(4, 5, dtype="float64", seed=2),
    )
    check_gradients(model, np.array([[0, 1, 2], [4, 4, 0]]), [3, 2])


def test_sequential_takes_a_list_of_sequences():
    model = Sequential(GRU(2, 3, batch_first=True, seed=0), Last())
    sequences = [np.ones((4, 2)), np.ones((2, 2))]
    one_by_one = [model(sequence[np.newaxis]) for sequence in sequences]
    np.testing.assert_allclose(model(sequences), np.concatenate(one_by_one), rtol=1e-6)


def test_sequential_names_parameters_by_layer_and_loads_all_or_nothing():
    model = Sequential(GRU(2, 3, batch_first=True, seed=0), Last(), Linear(3, 1, seed=0))
    state = model.state_dict()
    assert next(iter(state)) == "0.weight_ih_l0"
    assert list(state)[-1] == "2.bias"
    before = model.state_dict()
    broken = {name: value + 1 for name, value in state.items()} | {"2.bias": np.ones(2)}
    with pytest.raises(ValueError, match=r"bias must have shape \(1,\), got \(2,\)"):
        model.load_state_dict(broken)
    assert all(np.array_equal(before[name], view) for name, view in model.parameters.items())
    with pytest.raises(KeyError, match=r"did you mean '2\.bias'"):
        model.load_state_dict({**state, "2.bia": 1})
    with pytest.raises(KeyError, match=r"missing parameters: 2\.bias"):
        model.load_state_dict({k: v for k, v in state.items() if k != "2.bias"})


def test_a_copy_of_a_sequential_names_its_own_parameters():
    model = Sequential(GRU(2, 3, batch_first=True, seed=0), Last())
    other = copy.deepcopy(model)
    other.parameters["0.weight_ih_l0"] = np.zeros((9, 2))
    assert not other.layers[0].parameters["weight_ih_l0"].any()
    assert model.parameters["0.weight_ih_l0"].any()


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ([GRU(1, 1)], ValueError, r"layers\[0\] must be a GRU with batch_first=True"),
        ([Last(), 3], TypeError, r"layers\[1\] must be a GRU or another pygru.Layer, got int"),
        (
            [GRU(1, 1, batch_first=True, bidirectional=True), Last()],
            ValueError,
            r"layers\[1\] must be Last\(bidirectional=True\)",
        ),
    ],
)
def test_sequential_refuses(layers, error, message):
    with pytest.raises(error, match=message):
        Sequential(*layers)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Linear(0, 1), ValueError, "in_features must be >= 1, got 0"),
        (lambda: Linear(1, 1.0), TypeError, "out_features must be an int, got float"),
        (lambda: Embedding(1, -1), ValueError, "embedding_dim must be >= 1"),
        (
            lambda: Embedding(4, 2, padding_idx=4),
            ValueError,
            "padding_idx must be < num_embeddings=4, got 4",
        ),
        (lambda: Embedding(4, 2, padding_idx=-1), ValueError, "padding_idx must be >= 0"),
        (lambda: Embedding(4, 2, padding_idx=1.0), TypeError, "padding_idx must be an int"),
        (lambda: Embedding(4, 2, trainable=1), TypeError, "trainable must be a bool, got int"),
        (
            lambda: Embedding(4, 2, weight=np.ones((2, 4))),
            ValueError,
            r"weight must have shape \(4, 2\), got \(2, 4\)",
        ),
        (
            lambda: Linear(2, 1)(np.ones((3, 4, 2)), lengths=[1, 2, 5]),
            ValueError,
            r"lengths\[2\] = 5 exceeds the number of time steps 4",
        ),
        (lambda: Dropout(1.5), ValueError, r"p must be a number in \[0, 1\]"),
        (lambda: Last(1), TypeError, "bidirectional must be a bool"),
        (lambda: Linear(2, 1)(np.ones((3, 3))), ValueError, r"in_features=2\), got \(3, 3\)"),
        (lambda: Last()(np.ones((3, 3))), ValueError, "x must have 3 dimensions"),
    ],
)
def test_layers_refuse(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_initial_weights_follow_their_distributions():
    weight = Linear(100, 200, seed=0).parameters["weight"]
    assert abs(weight).max() <= 0.1
    assert abs(weight).max() > 0.099
    table = Embedding(200, 100, seed=0).parameters["weight"]
    assert abs(table.std() - 1) < 0.02
    keras = GRU(20, 30, init="keras", dtype="float64", seed=0)
    u = keras.parameters["weight_hh_l0"]
    np.testing.assert_allclose(u.T @ u, np.eye(30), atol=1e-12)
    bound = np.sqrt(6 / (20 + 90))
    assert bound * 0.99 < abs(keras.parameters["weight_ih_l0"]).max() <= bound
    assert not keras.parameters["bias_ih_l0"].any()
    torch_like = GRU(20, 25, seed=0).flat_parameters
    assert 0.199 < abs(torch_like).max() <= 0.2


def test_pad_sequences():
    padded, lengths = pygru.pad_sequences([np.ones((2, 3)), np.ones((0, 3))])
    assert padded.shape == (2, 2, 3)
    assert lengths.tolist() == [2, 0]
    assert not padded[1].any()
    time_major, _ = pygru.pad_sequences([np.ones((2, 3)), np.ones((1, 3))], batch_first=False)
    assert time_major[:, 1, 0].tolist() == [1, 0]
    with pytest.raises(ValueError, match="at least one sequence"):
        pygru.pad_sequences([])
    with pytest.raises(ValueError, match=r"sequences\[1\] must have shape"):
        pygru.pad_sequences([np.ones((2, 3)), np.ones((2, 4))])


def test_assigning_a_flat_array_copies_into_it():
    gru = GRU(2, 3, seed=0)
    view, stream = gru.parameters["weight_ih_l0"], gru.stream()
    gru.flat_parameters = np.zeros_like(gru.flat_parameters)
    assert not view.any()
    assert not stream(np.ones(2)).any()  # zero weights and zero state: tanh(0)
    gru.flat_grads += 1.0
    gru.flat_parameters -= 0.5 * gru.flat_grads
    assert (view == -0.5).all()
    with pytest.raises(ValueError, match=r"flat_grads must have shape \(63,\), got \(3,\)"):
        gru.flat_grads = np.ones(3)


@pytest.mark.parametrize(
    ("layer", "x", "d_y"),
    [
        (Linear(4, 2, seed=0), np.ones((3, 4)), np.ones((2, 3))),
        (Linear(4, 2, seed=0), np.ones((3, 4)), 1.0),
        (Dropout(0.5, seed=0), np.ones((3, 4)), 1.0),
        (Last(), np.ones((2, 3, 4)), np.ones((2, 5))),
        (Embedding(5, 2, seed=0), [[1, 2, 3]], np.ones((1, 2, 3))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_backward_refuses_gradients_of_another_shape(layer, x, d_y):
    y, tape = layer.forward(x)
    shape = ", ".join(map(str, y.shape))
    with pytest.raises(
        ValueError, match=rf"d_y must have shape \({shape}\) of the output, got"
    ):
        layer.backward(tape, d_y)
    assert not layer.flat_grads.any()


def test_sequential_gives_a_list_for_a_list():
    x = [np.ones((3, 2)), np.zeros((0, 2)), np.ones((5, 2))]
    every_step = Sequential(GRU(2, 3, batch_first=True, seed=0), Linear(3, 1, seed=0))
    outputs = every_step(x)
    assert [output.shape for output in outputs] == [(3, 1), (0, 1), (5, 1)]
    np.testing.assert_array_equal(outputs[2], every_step(x[2][np.newaxis])[0])
    last = Sequential(GRU(2, 3, batch_first=True, seed=0), Last(), Linear(3, 1, seed=0))
    assert last(x).shape == (3, 1)


# ---- complex steps ---------------------------------------------------------------------------


def linear_by_hand(parameters, x):
    return np.einsum("btf,of->bto", x, parameters["weight"]) + parameters.get("bias", 0)


def embedding_by_hand(parameters, x):
    table = parameters["weight"].copy()
    table[2] = 0  # the padding index
    return np.array([[table[token] for token in row] for row in x])


def last_by_hand(lengths, both):
    def last(parameters, x):
        y = np.zeros((len(x), x.shape[2]), x.dtype)
        for row, sequence, length in zip(y, x, lengths, strict=True):
            if length:
                row[:] = sequence[length - 1]
                if both:
                    row[2:] = sequence[0, 2:]
        return y

    return last


def dropout_by_hand(mask):
    return lambda parameters, x: x * mask


ENDS = [3, 0, 1, 5]
SIGNALS = np.random.default_rng(3).standard_normal((4, 5, 4))
TOKENS = np.random.default_rng(4).integers(0, 6, (4, 5))


@pytest.mark.parametrize("lengths", [None, ENDS], ids=["full", "ragged"])
@pytest.mark.parametrize(
    ("layer", "x", "by_hand"),
    [
        (Linear(4, 3, dtype="float64", seed=0), SIGNALS, linear_by_hand),
        (Linear(4, 3, False, dtype="float64", seed=0), SIGNALS, linear_by_hand),
        (Embedding(6, 3, padding_idx=2, dtype="float64", seed=0), TOKENS, embedding_by_hand),
        (Last(), SIGNALS, None),
        (Last(bidirectional=True), SIGNALS, None),
        (Dropout(0.4, seed=0), SIGNALS, None),
    ],
    ids=["linear", "linear-no-bias", "embedding", "last", "last-both", "dropout"],
)
def test_values_and_gradients_by_complex_step(layer, x, by_hand, lengths):
    """Against a plain form of the layer, with NaN where nothing may be read."""
    there = np.ones((4, 5), bool)
    if lengths is not None:
        there = np.arange(5) < np.array(lengths)[:, np.newaxis]
    shown = x.copy()
    shown[~there] = np.nan if x.dtype.kind == "f" else -1
    layer.zero_grad()
    y, tape = layer.forward(shown, lengths=lengths)
    if isinstance(layer, Last):
        by_hand = last_by_hand([5] * 4 if lengths is None else lengths, layer.bidirectional)
    elif isinstance(layer, Dropout):
        mask = np.zeros((4, 5, 4))
        mask[there] = tape[0].reshape(-1, 4)
        assert set(mask[there].ravel()) == {0, 1 / 0.6}
        by_hand = dropout_by_hand(mask)
    d_y = np.random.default_rng(5).standard_normal(y.shape)
    counts = np.ones(y.shape, bool) if isinstance(layer, Last) else there

    def functional(tensors):
        return (by_hand(tensors, tensors.get("x", x)) * d_y)[counts].sum()

    parameters = layer.state_dict()
    np.testing.assert_allclose(y[counts], by_hand(parameters, x)[counts], rtol=1e-13)
    assert not y[~counts].any()
    d_x = layer.backward(
        tape, np.where(counts[..., np.newaxis], d_y, np.nan) if counts.ndim < y.ndim else d_y
    )
    tensors = parameters | ({"x": x} if x.dtype.kind == "f" else {})
    found = {**layer.grads, "x": d_x}
    for name, expected in complex_step.gradients(functional, tensors).items():
        complex_step.assert_close(found[name], expected, name)


def test_gradients_of_integer_inputs_are_fractions():
    x = np.arange(8).reshape(2, 2, 2)
    for layer in (Last(), Dropout(0.2, seed=0)):
        y, tape = layer.forward(x)
        assert y.dtype == np.float64
        assert set(np.unique(layer.backward(tape, np.full(y.shape, 0.5)))) <= {0, 0.5, 0.625}
    assert np.isclose(Dropout(0.2, seed=0).forward(np.ones(1000, int))[0].max(), 1.25)


# ---- options are read-only -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: Linear(2, 3), ("in_features", "out_features", "bias", "dtype", "parameters")),
        (lambda: Dropout(0.5), ("p",)),
        (lambda: Last(), ("bidirectional",)),
        (lambda: Embedding(3, 2), ("num_embeddings", "embedding_dim", "padding_idx", "dtype")),
        (lambda: pygru.Attention(3, 2), ("score", "query_size", "attention_size", "dtype")),
        (lambda: Sequential(Last()), ("layers", "parameters", "grads")),
    ],
)
def test_options_cannot_be_assigned(make, names):
    layer = make()
    before = layer.__dict__.copy()
    for name in names:
        with pytest.raises(AttributeError, match=f"{name} of .* cannot be assigned"):
            setattr(layer, name, None)
    assert layer.__dict__ == before


def test_an_embedding_is_thawed_for_fine_tuning():
    layer = Embedding(3, 2, weight=np.ones((3, 2)), trainable=False)
    assert layer.flat_pairs == []
    layer.trainable = True
    assert len(layer.flat_pairs) == 1
    with pytest.raises(TypeError, match="trainable must be a bool, got int"):
        layer.trainable = 1


def test_messages_have_the_right_article():
    with pytest.raises(AttributeError, match="dtype of an Attention cannot be assigned"):
        pygru.Attention(3, 3, seed=0).dtype = "float64"
    with pytest.raises(AttributeError, match="dtype of a Linear cannot be assigned"):
        Linear(3, 3, seed=0).dtype = "float64"
