"""Many Python threads and one model: what docs/threading.md promises, row R-12.

These tests fail if a call in one thread reads memory that another one writes or has freed, if
weights are used that are only half packed, or if threads that train change each other's model.
They switch between threads as often as Python can; without a GIL the threads run at once.
``.ci/jobs/threads`` runs them longer, and on a free-threaded Python.
"""

import copy
import os
import pickle
import sys
import threading

import numpy as np
import pytest
from patience import PATIENCE

import pygru
from pygru import GRU, Last, Linear, Sequential, Trainer

THREADS = 8
CALLS = int(os.environ.get("PYGRU_THREAD_CALLS", "60"))
rng = np.random.default_rng(7)
X = rng.standard_normal((4, 6, 5)).astype(np.float32)


@pytest.fixture(autouse=True)
def switching_often():
    kept = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(kept)


def model(seed=0, hidden=12):
    return Sequential(
        GRU(5, hidden, 2, batch_first=True, bidirectional=True),
        Last(bidirectional=True),
        Linear(2 * hidden, 3),
        seed=seed,
    )


def in_threads(*functions):
    """Run each function in a thread of its own, all at once; raise what one has raised."""
    barrier, errors = threading.Barrier(len(functions)), []

    def body(function):
        try:
            barrier.wait(PATIENCE)
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=body, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one, other)


def call(shared, x):
    return (shared(x),)


def forward_with_a_tape(shared, x):
    gru = shared.layers[0]
    output, h_n, tape = gru.forward(x)
    return output, h_n, tape.memory[:50].copy()


def steps(shared, x):
    one = GRU(5, 6, seed=3) if shared is None else shared
    h = np.zeros((1, len(x), 6), np.float32)
    found = []
    for t in range(x.shape[1]):
        h = one.step(x[:, t], h)
        found.append(h)
    return found


def stream(shared, x):
    of_thread = shared.stream(batch=len(x))
    return [of_thread(x[:, t]).copy() for t in range(x.shape[1])]


WAYS = {
    "call": (model, call),
    "forward": (model, forward_with_a_tape),
    "step": (lambda: GRU(5, 6, seed=3), steps),
    "stream": (lambda: GRU(5, 6, seed=3), stream),
    "linear": (lambda: Linear(5, 7, seed=0), call),
}


@pytest.mark.parametrize("way", WAYS)
def test_many_threads_get_the_bits_of_one(way):
    make, use = WAYS[way]
    shared = make()
    xs = [X * scale for scale in (1, 0.5, 2, -1)]
    expected = [use(make(), x) for x in xs]

    def body(first):
        for index in range(first, first + CALLS):
            same(use(shared, xs[index % 4]), expected[index % 4])

    in_threads(*(lambda first=first: body(first) for first in range(THREADS)))


def test_gradients_of_threads_with_layers_of_their_own():
    """Gradients are sums in the layer; whoever goes back in threads needs a copy for each."""
    original = model().layers[0]
    output, h_n, tape = original.forward(X)
    d_x, d_h0 = original.backward(tape, output, h_n)
    expected = d_x, d_h0, original.flat_grads.copy()
    original.zero_grad()

    def body():
        own = copy.deepcopy(original)
        for _ in range(CALLS // 4):
            own.zero_grad()
            output, h_n, tape = own.forward(X)
            same((*own.backward(tape, output, h_n), own.flat_grads), expected)

    in_threads(*[body] * THREADS)


def test_copies_pickles_and_ends_beside_calls():
    shared = model()
    expected = shared(X)

    def calls():
        for _ in range(CALLS):
            same((shared(X),), (expected,))

    def copies():
        for _ in range(CALLS // 4):
            other = copy.deepcopy(shared)
            same((other(X),), (expected,))
            other.layers[-1].flat_parameters[...] = 0
            del other

    def pickles():
        for _ in range(CALLS // 4):
            same((pickle.loads(pickle.dumps(shared))(X),), (expected,))

    def readers():
        for _ in range(CALLS):
            shared.state_dict()
            held = shared.layers[-1].parameters["weight"]
            del held

    in_threads(calls, calls, copies, copies, pickles, pickles, readers, readers)


@pytest.mark.parametrize("hidden", [12, 80])
def test_weights_that_are_set_under_a_lock_are_used_whole(hidden):
    """With 80 units packing and the fingerprint release the GIL."""
    shared, lock = model(hidden=hidden), threading.Lock()
    states = [model(seed, hidden).state_dict() for seed in range(3)]
    expected = [model(seed, hidden)(X) for seed in range(3)]
    current = [0]

    def writer():
        for index in range(CALLS // 4):
            with lock:
                shared.load_state_dict(states[index % 3])
                current[0] = index % 3

    def reader():
        for _ in range(CALLS // 2):
            with lock:
                same((shared(X),), (expected[current[0]],))

    in_threads(writer, writer, *[reader] * 4)


def test_weights_that_are_set_beside_calls_corrupt_nothing():
    """Such calls may see a part of the new weights. What comes later sees all of them."""
    shared = model(hidden=80)
    states = [model(seed, 80).state_dict() for seed in range(2)]
    stop = threading.Event()

    def writer():
        for index in range(CALLS // 2):
            shared.load_state_dict(states[index % 2])
        shared.load_state_dict(states[0])
        stop.set()

    def reader():
        while not stop.is_set():
            assert np.isfinite(shared(X)).all()

    in_threads(writer, *[reader] * 3)
    same((shared(X),), (model(0, 80)(X),))


def test_one_stream_in_two_threads_is_wrong_but_harmless():
    """It is against the rules. It must not read memory that has been freed."""
    gru = GRU(5, 300, seed=0)  # a step of 100 rows is long enough to release the GIL
    shared, x = gru.stream(batch=100), np.ones((100, 5), np.float32)
    other = GRU(5, 300, seed=1).state_dict()

    def body():
        for _ in range(10):
            assert shared(x).shape == (100, 300)

    def writer():
        for _ in range(10):
            gru.load_state_dict(other)

    in_threads(body, body, writer)
    same((gru.stream(batch=100)(x),), (GRU(5, 300, seed=1).stream(batch=100)(x),))


def test_models_that_are_trained_in_threads_are_those_of_one_thread():
    y = rng.standard_normal((4, 3)).astype(np.float32)

    def trained(seed):
        one = model(seed)
        history = Trainer(one, seed=seed).fit(X, y, epochs=3, batch_size=2)
        return [history["loss"], *one.state_dict().values()]

    expected = [trained(seed) for seed in range(4)]
    found = [None] * 4

    def body(seed):
        found[seed] = trained(seed)

    in_threads(*(lambda seed=seed: body(seed) for seed in range(4)))
    for one, other in zip(found, expected, strict=True):
        same(one, other)


def test_threads_that_set_their_number_of_threads_do_not_meet():
    def body(count):
        for _ in range(CALLS):
            with pygru.num_threads(count):
                assert pygru.get_num_threads() == count

    in_threads(*(lambda count=count: body(count) for count in range(1, THREADS + 1)))
