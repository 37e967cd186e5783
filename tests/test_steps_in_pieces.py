"""Very long steps go through the sequences in pieces, and Ctrl-C ends them between two pieces.

These tests fail if pieces change a result, if an interrupted step changes a state, or if a
signal handler that makes steps disturbs the step during which it runs. No test depends on
time: the signal is pending when a step begins, because no Python code runs in between.
"""

import ctypes
import functools
import operator
import signal

import numpy as np
import pytest
from engines import ENGINES, use_engine

from pygru import GRU

# 1334 million multiply-adds: two pieces in float32, three in float64.
I, H, L, B = 3, 384, 2, 1000


@pytest.fixture(autouse=True, params=ENGINES)
def engine(request, monkeypatch):
    """Every test runs on every engine."""
    use_engine(monkeypatch, request.param)
    return request.param


@pytest.fixture
def on_signal():
    """A function that makes another function the handler of SIGINT."""
    before = signal.getsignal(signal.SIGINT)
    yield lambda handler: signal.signal(signal.SIGINT, lambda number, frame: handler())
    signal.signal(signal.SIGINT, before)


def make(dtype="float32"):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((B, I)).astype(dtype)
    return GRU(I, H, L, seed=0, dtype=dtype), x, np.full((L, B, H), 0.5, dtype)


def stepper_of(gru, has_state):
    """The compiled object, and its state, which starts at zero."""
    empty = functools.partial(np.zeros, dtype=gru.dtype)
    state = empty(L * B * H)
    h = empty(L * B * H) if has_state else None
    return gru._runner.stepper(B, x=empty(B * I), h=h, h_next=state), state


def with_a_pending_signal(call):
    """Call a compiled function when SIGINT has come and Python has not looked for it."""
    list(map(operator.call, [ctypes.pythonapi.PyErr_SetInterrupt, call]))


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pieces_are_the_whole(dtype, engine):
    gru, x, h = make(dtype)
    expected = gru(x[np.newaxis], h)[1]
    stream = gru.stream(B)
    stream.h = h
    stream(x)
    found = [gru.step(x, h), stream.h, gru.step(x, h, out=h)]
    assert found[2] is h
    for state in found:
        if engine == "blas":  # it rounds differently with other shapes
            np.testing.assert_allclose(state, expected, rtol=1e-4, atol=1e-6)
        else:
            np.testing.assert_array_equal(state, expected)


def test_pieces_of_a_quantized_gru():
    gru, x, h = make()
    quantized = gru.quantized()
    expected = quantized(x[np.newaxis], h)[1]
    stream = quantized.stream(B)
    stream.h = h
    stream(x)
    for state in (quantized.step(x, h), stream.h):
        np.testing.assert_array_equal(state, expected)


def test_interrupted_step_leaves_its_result_alone(on_signal):
    gru, x, h = make()
    stepper, _ = stepper_of(gru, True)
    out = np.full_like(h, 7)
    on_signal(interrupt)
    with pytest.raises(KeyboardInterrupt):
        with_a_pending_signal(functools.partial(stepper.step, x, h, out))
    assert (out == 7).all()
    assert stepper.step(x, h, out)
    np.testing.assert_array_equal(out, gru.step(x, h))


def test_interrupted_step_leaves_the_state_alone(on_signal):
    gru, x, h = make()
    stepper, state = stepper_of(gru, False)
    on_signal(interrupt)
    with pytest.raises(KeyboardInterrupt):
        with_a_pending_signal(functools.partial(stepper.advance, x))
    assert (state == 0).all()
    assert stepper.advance(x)
    np.testing.assert_array_equal(state.reshape(h.shape), gru.step(x, np.zeros_like(h)))


def test_handler_that_makes_steps_disturbs_none(on_signal):
    gru, x, h = make()
    stepper, _ = stepper_of(gru, True)
    expected, others = gru.step(x, h), gru.step(-x, -h)
    inner, outer = np.empty_like(h), np.empty_like(h)
    on_signal(functools.partial(stepper.step, -x, -h, inner))
    with_a_pending_signal(functools.partial(stepper.step, x, h, outer))
    np.testing.assert_array_equal(outer, expected)
    np.testing.assert_array_equal(inner, others)
