"""One step of training: what the Trainer leaves out of it changes no bit of a gradient."""

import numpy as np
import pytest

from pygru import GRU, Embedding, Last, Linear, Sequential


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
