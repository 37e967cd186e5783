"""Masks and resets on their way through a Sequential: who makes them, who obeys, who refuses.

The truth is a row without the steps that do not count: a model must compute from it, bit for
bit, what it computes from the whole row with the mask. These tests fail if a layer does not
learn of a mask, if a mask ends too early or too late, if a masked step is read on the way, or
if a gradient comes from one.
"""

import numpy as np
import pytest

import pygru
from pygru import (
    GRU,
    Activation,
    AttentionOverTime,
    Dropout,
    Embedding,
    Last,
    LayerNorm,
    Linear,
    Masking,
    MaxOverTime,
    MeanOverTime,
    Sequential,
)

T, B, I, H = 8, 5, 3, 4
LENGTHS = np.array([8, 5, 8, 0, 1])


def mask_of(seed=0):
    mask = np.random.default_rng(seed).random((B, T)) < 0.6
    mask[0, [0, -1]] = False
    mask[2] = False  # nothing of this row counts
    return mask


MASK = mask_of()
COUNTED = MASK & (np.arange(T) < LENGTHS[:, np.newaxis])


def gru(inputs=I, **options):
    return GRU(inputs, H, batch_first=True, **options)


ENDINGS = {
    "last": (Last(), Linear(H, 2)),
    "mean": (MeanOverTime(), Linear(H, 2)),
    "max": (MaxOverTime(), Linear(H, 2)),
    "attention": (AttentionOverTime(H), Linear(H, 2)),
    "two": (gru(H, bidirectional=True), Last(bidirectional=True), Linear(2 * H, 2)),
    "reverse": (gru(H, reverse=True), Last(reverse=True), Linear(H, 2)),
    "sum": (gru(H, bidirectional=True), Last(bidirectional=True, merge="sum")),
}


def results_of(model, x, lengths=None, mask=None, d_y=1.0):
    """Output, gradient of x and gradients of the parameters."""
    model.zero_grad()
    y, tape = model.forward(x, lengths=lengths, mask=mask)
    d_x = model.backward(tape, np.full_like(y, d_y))
    return y, d_x, [gradient.copy() for gradient in model.grads.values()]


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("zero", [False, True])
def test_a_row_is_what_it_is_without_the_steps_that_do_not_count(ending, zero):
    first = gru(zero_output_for_mask=zero)
    model = Sequential(LayerNorm(I), Linear(I, I), first, *ending, seed=0)
    x = np.random.default_rng(1).standard_normal((B, T, I))
    x[~COUNTED] = np.nan
    y, d_x, grads = results_of(model, x, LENGTHS, MASK)
    np.testing.assert_array_equal(model(x, lengths=LENGTHS, mask=MASK), y)
    total = [np.zeros_like(gradient) for gradient in grads]
    for b in range(B):
        short = x[b, COUNTED[b]][np.newaxis]
        alone, d_short, of_row = results_of(model, short)
        np.testing.assert_array_equal(alone[0], y[b])
        np.testing.assert_allclose(d_x[b, COUNTED[b]], d_short[0], rtol=1e-5, atol=1e-7)
        for sums, gradient in zip(total, of_row, strict=True):
            sums += gradient
    assert not d_x[~COUNTED].any()
    for gradient, sums in zip(grads, total, strict=True):
        np.testing.assert_allclose(gradient, sums, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("layer", [Last(), MeanOverTime(), MaxOverTime(), AttentionOverTime(I)])
def test_layers_that_look_at_several_steps_take_a_mask_themselves(layer):
    x = np.random.default_rng(1).standard_normal((B, T, I))
    y = layer(x, lengths=LENGTHS, mask=MASK)
    for b in range(B):
        np.testing.assert_array_equal(y[b], layer(x[b, COUNTED[b]][np.newaxis])[0])
    with pytest.raises(ValueError, match=r"mask must have shape \(batch=5, time=8\)"):
        layer(x, mask=MASK.T)
    with pytest.raises(TypeError, match="mask must be an array of bool"):
        layer(x, mask=MASK.astype(int))


def test_the_largest_value_is_never_that_of_a_step_that_does_not_count():
    x = np.full((1, 3, 1), -np.inf)
    layer = MaxOverTime()
    _, tape = layer.forward(x, mask=[[False, True, True]])
    assert layer.backward(tape, [[1.0]])[0, :, 0].tolist() == [0, 1, 0]


def test_the_weights_of_attention_are_those_of_the_steps_that_count():
    layer = AttentionOverTime(I, seed=0)
    weights = layer.weights(np.ones((B, T, I)), lengths=LENGTHS, mask=MASK)
    assert not weights[~COUNTED].any()
    np.testing.assert_allclose(weights.sum(axis=1), COUNTED.any(axis=1), rtol=1e-6)


@pytest.mark.parametrize("merge", ["sum", "mul", "ave"])
def test_last_merges_what_both_directions_end_with(merge):
    both = gru(bidirectional=True, seed=0)
    x = np.random.default_rng(1).standard_normal((B, T, I)).astype(np.float32)
    h_n = both(x)[1]
    merged = {"sum": h_n[0] + h_n[1], "mul": h_n[0] * h_n[1], "ave": (h_n[0] + h_n[1]) / 2}
    model = Sequential(both, Last(bidirectional=True, merge=merge), Linear(H, 1, seed=0))
    np.testing.assert_array_equal(model(x), model.layers[2](merged[merge]))
    _, d_x, _ = results_of(model, x)
    d_y = np.repeat(model.layers[2].parameters["weight"], B, axis=0)
    factors = {"sum": (1, 1), "mul": (h_n[1], h_n[0]), "ave": (0.5, 0.5)}[merge]
    tape = both.forward(x)[2]
    wanted, _ = both.backward(tape, d_h_n=np.stack([factor * d_y for factor in factors]))
    np.testing.assert_allclose(d_x, wanted, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="needs bidirectional=True"):
        Last(merge=merge)


def test_last_after_merged_directions_has_no_halves():
    merged = gru(bidirectional=True, merge="sum")
    Sequential(merged, Last(), Linear(H, 1))
    with pytest.raises(ValueError, match=r"must be Last\(bidirectional=False\)"):
        Sequential(merged, Last(bidirectional=True))


# ---- layers that make masks --------------------------------------------------------------


def test_masking_is_the_mask_of_its_values():
    layers = gru(seed=0), gru(H, bidirectional=True, seed=1), Last(bidirectional=True)
    x = np.random.default_rng(1).standard_normal((B, T, I))
    x[~MASK] = -1
    x[1, 0, 0] = -1  # one feature is not all of them
    right = results_of(Sequential(*layers), x, LENGTHS, MASK)
    found = results_of(Sequential(Masking(-1), *layers), x, LENGTHS)
    for array, wanted in zip((*found[:2], *found[2]), (*right[:2], *right[2]), strict=True):
        np.testing.assert_array_equal(array, wanted)
    more = mask_of(7)
    np.testing.assert_array_equal(
        Sequential(Masking(-1), *layers)(x, mask=more), Sequential(*layers)(x, mask=MASK & more)
    )
    output = Masking(-1)(x)
    assert not output[~MASK].any()
    np.testing.assert_array_equal(output[MASK], x[MASK])


def test_a_mask_may_begin_behind_other_layers():
    """ReLU makes the zeros here, and the GRU before it has read every step."""
    first, second = gru(seed=0), gru(H, seed=1)
    x = np.random.default_rng(1).standard_normal((B, T, I))
    y = np.maximum(first(x)[0] - 0.5, 0)
    assert 0 < (y == 0).all(axis=-1).sum() < B * T
    shift = Linear(H, H)
    shift.load_state_dict({"weight": np.eye(H), "bias": np.full(H, -0.5)})
    model = Sequential(first, shift, Activation("relu"), Masking(), second)
    right = second(y, mask=(y != 0).any(axis=-1))[0]
    np.testing.assert_allclose(model(x), right, rtol=1e-5, atol=1e-6)


def test_token_zero_does_not_count_with_mask_zero():
    tokens = np.random.default_rng(1).integers(1, 6, (B, T))
    tokens[~MASK] = 0
    layers = gru(seed=0), Last(), Linear(H, 2, seed=0)
    table = Embedding(6, I, mask_zero=True, seed=0)
    plain = Embedding(6, I, seed=0)
    assert table.parameters["weight"][0].any()
    y = Sequential(table, *layers)(tokens, lengths=LENGTHS)
    np.testing.assert_array_equal(
        y, Sequential(plain, *layers)(tokens, lengths=LENGTHS, mask=MASK)
    )
    _, _, grads = results_of(Sequential(table, *layers), tokens, LENGTHS)
    assert not grads[0][0].any() and grads[0][1:].any()
    outside = np.where(MASK, tokens, -1)  # not read
    np.testing.assert_array_equal(
        Sequential(plain, *layers)(outside, lengths=LENGTHS, mask=MASK), y
    )
    with pytest.raises(ValueError, match=r"with mask_zero x must have 2 dimensions"):
        Sequential(table, Linear(I, 2))([1, 2])


def test_lists_of_sequences_and_of_masks():
    model = Sequential(Linear(I, I), gru(), Linear(H, 1), seed=0)
    x = np.random.default_rng(1).standard_normal((B, T, I))
    listed = [[array[b, :n] for b, n in enumerate(LENGTHS)] for array in (x, MASK)]
    y = model(listed[0], mask=listed[1])
    right = model(x, lengths=LENGTHS, mask=MASK)
    for b, n in enumerate(LENGTHS):
        np.testing.assert_array_equal(y[b], right[b, :n])
    with pytest.raises(ValueError, match="mask must be a list of 5 arrays"):
        model(listed[0], mask=MASK)
    with pytest.raises(ValueError, match=r"mask\[0\] must have shape \(time=8,\), got \(3,\)"):
        model(listed[0], mask=[row[:3] for row in listed[1]])


def test_an_output_that_is_repeated_is_predicted_from_again():
    model = Sequential(gru(), Linear(H, 1), seed=0)
    x = np.random.default_rng(1).standard_normal((1, T, I))
    mask = np.ones((1, T), bool)
    mask[0, 3:5] = False
    y = model(x, mask=mask)[0, :, 0]
    assert y[2] == y[3] == y[4] != y[5]


def test_what_is_not_read_has_no_gradient():
    """Not even where a layer computes it: there it has computed zeros."""
    _, d_x, _ = results_of(Sequential(Linear(I, 2), seed=0), np.ones((B, T, I)), mask=MASK)
    assert d_x[MASK].all() and not d_x[~MASK].any()


# ---- resets ------------------------------------------------------------------------------


def test_a_reset_reaches_every_gru():
    model = Sequential(gru(), Dropout(0.5), gru(H), Linear(H, 1), seed=0)
    x = np.random.default_rng(1).standard_normal((1, T, I))
    reset = np.zeros((1, T), bool)
    reset[0, 5] = True
    y = model(x, reset=reset)
    np.testing.assert_array_equal(y[:, :5], model(x[:, :5]))
    np.testing.assert_array_equal(y[:, 5:], model(x[:, 5:]))
    first, states, _ = model.forward_from(None, x[:, :3], reset=reset[:, :3], training=False)
    second, _, _ = model.forward_from(states, x[:, 3:], reset=reset[:, 3:], training=False)
    np.testing.assert_array_equal(np.concatenate([first, second], axis=1), y)


def test_pieces_of_a_sequence_have_pieces_of_its_mask():
    model = Sequential(Linear(I, I), gru(), gru(H, num_layers=2), Linear(H, 1), seed=0)
    x = np.random.default_rng(1).standard_normal((B, T, I))
    x[~MASK] = np.nan
    states, outputs = None, []
    for begin in range(0, T, 3):
        some = slice(begin, begin + 3)
        y, states, _ = model.forward_from(
            states, x[:, some], mask=MASK[:, some], training=False
        )
        outputs.append(y)
    np.testing.assert_array_equal(np.concatenate(outputs, axis=1), model(x, mask=MASK))


# ---- layers of users ---------------------------------------------------------------------


class First(pygru.Layer):
    """Takes the first step, or with ``takes_mask`` the first one that counts."""

    predicts_steps = False

    def __init__(self):
        self.create_parameters()

    def get_config(self):
        return {}

    def forward(self, x, *, lengths=None, mask=None, training=True):
        step = np.zeros(len(x), int) if mask is None else mask.argmax(axis=1)
        return x[np.arange(len(x)), step], (x.shape, step)

    def backward(self, tape, d_y):
        shape, step = tape
        d_x = np.zeros(shape)
        d_x[np.arange(shape[0]), step] = d_y
        return d_x


class Told(First):
    takes_mask = True


class Walk(pygru.RecurrentLayer):
    def __init__(self):
        self.create_parameters()

    def get_config(self):
        return {}

    def run(self, x, state=None, *, lengths=None, training=True, memory="gates"):
        return x.cumsum(axis=1), x.sum(axis=1), None


def test_a_layer_that_would_have_to_know_is_refused():
    x = np.ones((B, T, I))
    with pytest.raises(ValueError, match=r"layers\[1\].*First has takes_mask = False"):
        Sequential(Masking(), First())(x)
    with pytest.raises(ValueError, match=r"layers\[0\].*Walk has takes_mask = False"):
        Sequential(Walk())(x, mask=MASK)
    with pytest.raises(ValueError, match=r"layers\[0\].*Walk has takes_reset = False"):
        Sequential(Walk()).forward(x, reset=MASK)
    with pytest.raises(TypeError, match="mask must be None for a Linear"):
        Linear(I, 2)(x, mask=MASK)
    Sequential(gru(), Last(), Linear(H, 1))(x, mask=MASK)  # Linear is behind the steps


def test_a_layer_of_a_user_is_told():
    x = np.random.default_rng(1).standard_normal((B, T, I))
    y, tape = Sequential(Told()).forward(x, mask=MASK)
    np.testing.assert_array_equal(y, x[np.arange(B), MASK.argmax(axis=1)])
    assert Sequential(Told()).backward(tape, y).shape == x.shape


# ---- files and streams -------------------------------------------------------------------


def test_a_saved_model_masks_the_same_steps(tmp_path):
    table = Embedding(6, I, mask_zero=True)
    both = gru(bidirectional=True, merge="ave", zero_output_for_mask=True)
    models = [
        (Sequential(table, both, Last(), seed=0), np.array([[1, 0, 2, 3, 0]])),
        (
            Sequential(Masking(0.5), gru(bidirectional=True), Last(True, merge="mul"), seed=0),
            np.array([[[0.5, 0.5, 0.5], [1, 2, 3], [0.5, 0, 0.5]]]),
        ),
    ]
    for model, x in models:
        pygru.save(model, tmp_path / "model.safetensors")
        other = pygru.load(tmp_path / "model.safetensors")
        assert repr(other) == repr(model)
        np.testing.assert_array_equal(other(x), model(x))
        np.testing.assert_array_equal(other(x), model(x[:, [0, 2, 3]] if x.ndim == 2 else x))


def test_a_stream_refuses_steps_that_do_not_count():
    stream = Sequential(Masking(-1.0), gru(), seed=0).stream(2)
    states = stream.states
    with pytest.raises(ValueError, match=r"x_t is -1.0 in all features, so it does not count"):
        stream([[1.0, 2, 3], [-1, -1, -1]])
    np.testing.assert_array_equal(stream.states[0], states[0])
    assert stream(np.ones((2, I))).shape == (2, H)
    words = Sequential(Embedding(6, I, mask_zero=True), gru(), seed=0).stream()
    assert words(3).shape == (H,)
    with pytest.raises(ValueError, match="x_t holds token 0, which does not count"):
        words(0)


@pytest.mark.parametrize(
    "make, error, text",
    [
        (lambda: Masking("0"), TypeError, "mask_value must be a float, got str"),
        (lambda: Masking(np.nan), ValueError, "mask_value must be a finite number, got nan"),
        (lambda: Embedding(3, 2, mask_zero=1), TypeError, "mask_zero must be a bool, got int"),
        (lambda: Masking()(np.ones((2, 3))), ValueError, "x must have 3 dimensions"),
    ],
)
def test_bad_arguments_of_layers(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_bad_masks_of_a_model():
    model = Sequential(gru(), Last(), seed=0)
    x = np.ones((B, T, I))
    with pytest.raises(TypeError, match=r"mask must be an array of bool, got dtype int\d\d"):
        model(x, mask=MASK.astype(np.int64))
    with pytest.raises(
        ValueError, match=r"reset must have shape \(batch=5, time=8\), got \(8, 5\)"
    ):
        model(x, reset=MASK.T)
    with pytest.raises(ValueError, match="mask needs an x with steps"):
        Sequential(Linear(I, 2))(np.ones(I), mask=[True])
