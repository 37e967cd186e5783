"""The state of a GRU after an error or an interrupt: a change is complete or has not happened.

These tests fail if gradients contain the part of the weights without that of h0, or if a
refused call has changed the random generator.
"""

import os

import numpy as np
import pytest
from interrupts import at_every_point
from quick import quick_and_slow

import pygru
from pygru import GRU

INSIDE = os.path.dirname(pygru.__file__)
T, B, I, H = 5, 3, 2, 4

MODELS = {
    "plain": {},
    "learned-h0": {"learn_h0": True},
    "noisy": {"learn_h0": True, "dropout": 0.5, "zoneout": 0.5, "recurrent_dropout": 0.5},
}
FORMS = {
    "batch": lambda x: x,
    "list": lambda x: [x[:, 0], x[:2, 1], x[:, 2]],
    "single": lambda x: x[:, 0],
}


def make(options):
    gru = GRU(I, H, 2, seed=0, **options)
    if gru.learn_h0:
        gru.parameters["h0"] = np.random.default_rng(1).uniform(-1, 1, (2, H))
    gru.flat_grads[...] = 1
    return gru


@pytest.fixture
def x():
    return np.random.default_rng(2).standard_normal((T, B, I)).astype(np.float32)


@pytest.mark.thread_unsafe(reason="it interrupts at every line, by a trace of Python")
@pytest.mark.parametrize("memory", quick_and_slow(["gates"], ["outputs", "sqrt"]))
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_interrupted_backward_adds_all_gradients_or_none(options, form, memory, x):
    gru = make(options)
    output, h_n, tape = gru.forward(form(x), memory=memory)
    gru.backward(tape, output, h_n)
    whole = gru.flat_grads.copy()
    if gru.learn_h0:
        assert (gru.grads["h0"] != 1).all()
    seen = set()

    def prepare():
        gru.flat_grads[...] = 1
        return lambda: gru.backward(tape, output, h_n)

    def check(where):
        is_whole = np.array_equal(gru.flat_grads, whole)
        assert is_whole or (gru.flat_grads == 1).all(), where
        seen.add(is_whole)

    assert at_every_point(prepare, check, INSIDE) > 5
    assert seen == {False, True}


@pytest.mark.parametrize("memory", quick_and_slow(["gates"], ["sqrt"]))
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_interrupted_forward_draws_all_masks_or_none(form, memory, x):
    gru = make(MODELS["noisy"])
    before = gru.generator.bit_generator.state
    expected = gru.forward(form(x), memory=memory)[0]
    after = gru.generator.bit_generator.state

    def prepare():
        gru.generator.bit_generator.state = before
        return lambda: gru.forward(form(x), memory=memory)

    def check(where):
        assert gru.generator.bit_generator.state in (before, after), where

    assert at_every_point(prepare, check, INSIDE) > 20
    gru.generator.bit_generator.state = before
    for found, right in zip(gru.forward(form(x), memory=memory)[0], expected, strict=True):
        np.testing.assert_array_equal(found, right)


def test_gradient_of_h0_is_added_to_what_is_there(x):
    gru = make(MODELS["learned-h0"])
    output, h_n, tape = gru.forward(x)
    gru.zero_grad()
    d_h0 = gru.backward(tape, output, h_n)[1]
    once = gru.flat_grads.copy()
    np.testing.assert_array_equal(gru.grads["h0"], d_h0.sum(axis=1))
    gru.backward(tape, output, h_n)
    np.testing.assert_array_equal(gru.flat_grads, once + once)


REFUSED = {
    "h0": {"h0": np.zeros((3, B, H))},
    "lengths": {"lengths": [T + 1] * B},
    "memory": {"memory": "little"},
    "budget": {"memory": 10},
    "n_threads": {"n_threads": 0},
    "training": {"training": 1},
}


@pytest.mark.parametrize("arguments", REFUSED.values(), ids=REFUSED)
def test_a_refused_forward_draws_nothing(arguments, x):
    gru = make(MODELS["noisy"])
    before = gru.generator.bit_generator.state
    with pytest.raises((TypeError, ValueError)):
        gru.forward(x, **arguments)
    assert gru.generator.bit_generator.state == before


@pytest.mark.parametrize("memory", ["gates", "sqrt"])
def test_a_refused_backward_adds_nothing(memory, x):
    gru = make(MODELS["noisy"])
    output, h_n, tape = gru.forward(x, memory=memory)
    moved = gru.replace(share_weights=True)
    refused = [
        (gru, (tape, output[1:]), ValueError),
        (gru, (tape, output, h_n[1:]), ValueError),
        (gru, (tape, None, "x"), TypeError),
        (gru, (None, output), RuntimeError),
        (moved, (tape, output), ValueError),
    ]
    for model, arguments, error in refused:
        with pytest.raises(error):
            model.backward(*arguments)
    gru.parameters["h0"][...] += 1
    with pytest.raises(RuntimeError, match="weights changed since forward"):
        gru.backward(tape, output)
    assert (gru.flat_grads == 1).all()
