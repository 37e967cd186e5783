"""One step of training: the bits of one by hand, and with little work for Python."""

import collections
import sys

import numpy as np
import pytest

from pygru import (
    GRU,
    SGD,
    Adam,
    AdamW,
    Embedding,
    Last,
    Linear,
    RMSprop,
    Sequential,
    Trainer,
    clip_grad_norm,
    losses,
)


def gru(inputs, **options):
    return GRU(inputs, 6, batch_first=True, seed=1, **options)


MODELS = {
    "one GRU": lambda: gru(4),
    "last step": lambda: Sequential(gru(4), Last(), Linear(6, 2, seed=2)),
    "every step": lambda: Sequential(gru(4, num_layers=2), Linear(6, 2, seed=2)),
    "linear first": lambda: Sequential(Linear(4, 3, seed=2), gru(3)),
    "both directions": lambda: Sequential(gru(4, bidirectional=True), Last(True)),
    "merged": lambda: Sequential(gru(4, bidirectional=True, merge="sum")),
    "learned h0": lambda: gru(4, learn_h0=True),
    "tokens": lambda: Sequential(Embedding(9, 3, seed=2), gru(3), Last()),
}


@pytest.mark.parametrize("memory", ["gates", "outputs"])
@pytest.mark.parametrize("lengths", [None, [3, 7, 5]])
@pytest.mark.parametrize("name", MODELS)
def test_gradients_without_that_of_x_have_the_same_bits(name, lengths, memory):
    model = MODELS[name]()
    rng = np.random.default_rng(0)
    x = rng.integers(0, 9, (3, 7)) if name == "tokens" else rng.standard_normal((3, 7, 4))
    told = {} if lengths is None else {"lengths": lengths}
    y, _, tape = model.run(x, memory=memory, **told)
    d_y = rng.standard_normal(y.shape).astype(np.float32)
    model.run_backward(tape, d_y)
    expected = [gradients.copy() for _, gradients in model.flat_pairs]
    assert all(np.any(each) for each in expected if each.size)
    model.zero_grad()
    model.accumulate(tape, d_y)
    for (_, gradients), each in zip(model.flat_pairs, expected, strict=True):
        np.testing.assert_array_equal(gradients, each)


def test_layers_before_the_first_trained_one_are_left_out():
    first, second = Linear(4, 3, seed=0), Linear(3, 2, seed=0)
    model = Sequential(first, second)
    first.trainable = False
    _, _, tape = model.run(np.ones((5, 4), np.float32))
    model.accumulate(tape, np.ones((5, 2), np.float32))
    assert not first.flat_grads.any()
    assert second.flat_grads.any()


# ---- fit is the loop that one would write by hand -----------------------------------------


def by_hand(model, loss, optimizer, X, y, lengths, *, epochs, batch_size, clip_norm):
    generator = np.random.default_rng(5)
    for _ in range(epochs):
        order = generator.permutation(len(X))
        for first in range(0, len(X), batch_size):
            index = order[first : first + batch_size]
            told = {} if lengths is None else {"lengths": lengths[index]}
            model.zero_grad()
            prediction, tape = model.forward(X[index], **told)
            model.backward(tape, loss(prediction, y[index])[1])
            clip_grad_norm(model, clip_norm)
            optimizer.step(model)


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [Adam, AdamW, lambda: SGD(0.1, momentum=0.9), RMSprop])
def test_fit_gives_the_bits_of_a_loop_by_hand(make, dtype, ragged):
    rng = np.random.default_rng(4)
    X = rng.standard_normal((22, 9, 3)).astype(dtype)
    y = np.sin(X.sum(axis=(1, 2)))[:, np.newaxis]
    lengths = np.append(rng.integers(1, 9, 21), 9) if ragged else None
    options = {"epochs": 3, "batch_size": 4, "clip_norm": 0.2}

    def model_of_its_own():
        gru = GRU(3, 5, num_layers=2, batch_first=True, dropout=0.3, dtype=dtype)
        return Sequential(gru, Last(), Linear(5, 1, dtype=dtype), seed=6)

    expected, model = model_of_its_own(), model_of_its_own()
    by_hand(expected, losses.mse, make(), X, y, lengths, **options)
    trainer = Trainer(model, loss="mse", optimizer=make(), clip_norm=0.2, seed=5)
    if ragged:  # a batch is padded to its own longest sequence, which changes no bit
        trainer.fit(X, y, lengths=lengths, epochs=3, batch_size=4, progress=False)
    else:
        trainer.fit(X, y, epochs=3, batch_size=4, progress=False)
    for name, values in model.parameters.items():
        np.testing.assert_array_equal(values, expected.parameters[name], err_msg=name)


# ---- the work that Python has with a step ---------------------------------------------------

# Calls of Python functions in one step of the model below. Raise it only for what users get.
MOST_CALLS = 280


def test_a_step_calls_few_python_functions():
    """The time of a small model is that of these calls. Counting them needs no clock."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((64, 6, 3)).astype(np.float32), np.zeros((64, 1), np.float32)
    model = Sequential(gru(3), Last(), Linear(6, 1, seed=1))
    trainer = Trainer(model, optimizer=AdamW(), clip_norm=1.0, seed=0, n_threads=1)

    def calls_of(samples):
        found = []

        def look(frame, event, argument):
            if event == "call":
                found.append(frame.f_code.co_qualname)

        before = sys.getprofile()
        sys.setprofile(look)
        try:
            trainer.fit(X[:samples], y[:samples], batch_size=4, progress=False)
        finally:
            sys.setprofile(before)
        return found

    calls_of(64)  # plans, states and packed weights are made now
    few, many = calls_of(24), calls_of(64)
    per_step = (len(many) - len(few)) / 10
    assert per_step <= MOST_CALLS, collections.Counter(many).most_common(20)
