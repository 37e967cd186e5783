"""A GRU and the Last after it in a Sequential: the bits of one layer after the other."""

import numpy as np
import pytest

from pygru import GRU, Last, Linear, Sequential
from pygru.nn.to_end import ToEnd

B, T, I, H = 4, 6, 3, 5

GRUS = {
    "plain": {},
    "two layers": {"num_layers": 2},
    "both directions": {"num_layers": 2, "bidirectional": True},
    "reverse": {"reverse": True},
    "noise": {"num_layers": 2, "dropout": 0.4, "zoneout": 0.2, "recurrent_dropout": 0.3},
    "learned h0": {"learn_h0": True, "bidirectional": True},
    "normalised": {"layer_norm": True, "variant": "chung"},
    "float64": {"dtype": "float64"},
}
RNG = np.random.default_rng(7)
MASK = RNG.random((B, T)) < 0.7
MASK[:, 2] = True
TOLD = {
    "whole": {},
    "lengths": {"lengths": np.array([2, 6, 1, 4])},
    "an empty sequence": {"lengths": np.array([2, 0, 1, 4])},
    "nothing": {"lengths": np.zeros(B, np.int64)},
    "mask": {"mask": MASK},
    "mask and lengths": {"mask": MASK, "lengths": np.array([3, 6, 4, 4])},
    "reset": {"reset": RNG.random((B, T)) < 0.3},
}


def layers_of(name):
    gru = GRU(I, H, batch_first=True, seed=3, **GRUS[name])
    if gru.learn_h0:
        gru.parameters["h0"] = np.linspace(-1, 1, gru.parameters["h0"].size).reshape(
            gru.parameters["h0"].shape
        )
    last = Last(gru.bidirectional, reverse=gru.reverse)
    return gru, last, Linear(H * gru.num_directions, 2, dtype=gru.dtype, seed=4)


@pytest.mark.parametrize("memory", ["gates", "outputs", "50 MB"])
@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize("name", GRUS)
def test_the_bits_are_those_of_two_layers(name, told, memory):
    options = TOLD[told]
    of_last = {key: value for key, value in options.items() if key != "reset"}
    x = RNG.standard_normal((B, T, I)).astype(GRUS[name].get("dtype", "float32"))
    d_y = RNG.standard_normal((B, 2)).astype(x.dtype)

    gru, last, head = layers_of(name)
    states, _, tape = gru.forward(x, memory=memory, **options)
    at_end, of_end = last.forward(states, **of_last)
    expected, of_head = head.forward(at_end)
    d_x = gru.backward(tape, last.backward(of_end, head.backward(of_head, d_y)))[0]

    model = Sequential(*layers_of(name))
    assert isinstance(model._stages[0][1], ToEnd)
    y, tapes = model.forward(x, memory=memory, **options)
    np.testing.assert_array_equal(y, expected)
    found = model.backward(tapes, d_y)
    if "mask" in options:
        d_x = np.where(MASK[..., np.newaxis], d_x, 0)
    np.testing.assert_array_equal(found, d_x)
    np.testing.assert_array_equal(model.layers[0].flat_grads, gru.flat_grads)
    np.testing.assert_array_equal(model.layers[2].flat_grads, head.flat_grads)

    model.zero_grad()
    model.accumulate(tapes, d_y)
    np.testing.assert_array_equal(model.layers[0].flat_grads, gru.flat_grads)

    inferred = head(last(gru(x, **options)[0], **of_last))
    np.testing.assert_array_equal(model(x, **options), inferred)


@pytest.mark.parametrize(
    "layers",
    [
        (GRU(I, H, batch_first=True, bidirectional=True, merge="sum"), Last()),
        (GRU(I, H, batch_first=True, bidirectional=True), Last(True, merge="ave")),
        (GRU(I, H, batch_first=True), Linear(H, 2), Last()),
    ],
    ids=["merged GRU", "merged Last", "a layer between"],
)
def test_others_stay_layers_of_their_own(layers):
    assert len(Sequential(*layers)._stages) == len(layers)


def test_a_gru_of_ones_own_is_called_as_it_says():
    class Halved(GRU):
        def forward(self, *args, **kwargs):
            y, h_n, tape = super().forward(*args, **kwargs)
            return y / 2, h_n, tape

    model = Sequential(Halved(I, H, batch_first=True, seed=3), Last())
    x = np.ones((B, T, I), np.float32)
    y, _, _ = model.layers[0].forward(x)
    np.testing.assert_array_equal(model.forward(x)[0], y[:, -1])


@pytest.mark.parametrize("x", [np.ones((B, T, I + 1)), np.ones((B, T)), [[1.0]], "x"])
def test_bad_inputs_have_the_messages_of_the_gru(x):
    gru = GRU(I, H, batch_first=True)
    with pytest.raises((TypeError, ValueError)) as expected:
        Sequential(gru)(x)
    for call in (Sequential(gru, Last()), Sequential(gru, Last()).forward):
        with pytest.raises(type(expected.value)) as found:
            call(x)
        assert str(found.value) == str(expected.value)
