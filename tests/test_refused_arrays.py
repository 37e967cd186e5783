"""Whatever array cannot be made, in whatever call: MemoryError, and nothing has changed.

``test_memory_errors.py`` refuses the buffers that pygru asks for by itself. Here NumPy gets no
memory, for any array, in the middle of any of its functions.
"""

import copy

import failing_arrays
import numpy as np
import pytest

import pygru
from pygru import GRU, Adam, Attention, Last, Linear, Seq2Seq, Sequential, Trainer

X = np.random.default_rng(0).standard_normal((6, 5, 3)).astype(np.float32)
Y = X[:, 0, :2]
LENGTHS = np.array([5, 2, 3, 1, 5, 4])
SOURCE = np.array([[1, 2, 3], [3, 1, 4]])


def state_of(model):
    """The bits of parameters and gradients, and the states of all generators."""
    arrays = [array.tobytes() for pair in model.flat_pairs for array in pair]
    return arrays, [repr(generator.bit_generator.state) for generator in model.generators]


def small_gru(**options):
    return GRU(3, 4, 2, batch_first=True, dropout=0.3, zoneout=0.2, seed=0, **options)


def small_model():
    return Sequential(small_gru(recurrent_dropout=0.3), Last(), Linear(4, 2, seed=0))


CALLS = {
    "gru": (small_gru, lambda gru: gru.forward(X, lengths=LENGTHS)),
    "model": (small_model, lambda model: model.forward(X, lengths=LENGTHS)),
    "attention": (
        lambda: Attention(3, 3, score="additive", seed=0),
        lambda layer: layer.forward(X, X, lengths=LENGTHS),
    ),
    "seq2seq": (
        lambda: Seq2Seq(5, 6, 2, 3, dropout=0.2, seed=0),
        lambda model: model.forward({"source": SOURCE, "target": SOURCE}),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_forward_and_backward(name):
    make, call = CALLS[name]
    model = make()
    for number, (_, gradients) in enumerate(model.flat_pairs):
        gradients[...] = number + 1
    assert failing_arrays.fail_each(lambda: call(model), lambda: state_of(model)) >= 3
    output, *_, tape = call(model)
    d_output = np.ones_like(output)

    def backward():
        model.backward(tape, d_output)

    assert failing_arrays.fail_each(backward, lambda: state_of(model)) >= 3
    assert np.isfinite(call(model)[0]).all()


def test_fit_ends_after_a_whole_step_and_can_go_on():
    """Two steps: the weights are those before both, between them, or after them."""
    start, model = small_model(), small_model()
    seen = set()

    def weights():
        return tuple(values.tobytes() for values, _ in model.flat_pairs)

    def fit():
        nonlocal model
        model = copy.deepcopy(start)
        trainer = Trainer(model, optimizer=Adam(0.1), seed=0, n_threads=1)
        trainer.fit(X, Y, epochs=1, batch_size=3, lengths=LENGTHS)

    def no_others():
        seen.add(weights())
        return len(seen) <= 3

    untrained = weights()
    failing_arrays.fail_each(fit, no_others)
    assert len(seen) == 3
    fit()
    assert {untrained, weights()} <= seen


def test_save_keeps_the_old_file(tmp_path):
    path = tmp_path / "model.safetensors"
    old, new = small_gru(), small_gru()
    new.flat_parameters[...] = 7
    pygru.save(old, path)
    kept = path.read_bytes()

    def save():
        try:
            pygru.save(new, path)
            path.write_bytes(kept)  # it was complete
        finally:
            assert [file.name for file in tmp_path.iterdir()] == [path.name]

    failing_arrays.fail_each(save, lambda: path.read_bytes() == kept)
    pygru.save(new, path)
    assert (pygru.load(path).flat_parameters == 7).all()


def test_load(tmp_path):
    path = tmp_path / "model.safetensors"
    gru = small_gru()
    pygru.save(gru, path)
    assert failing_arrays.fail_each(lambda: pygru.load(path), lambda: path.stat().st_size) > 1
    target = small_gru()
    target.flat_parameters[...] = 7
    weights = gru.state_dict()
    failing_arrays.fail_each(
        lambda: (target.load_state_dict(weights), target.flat_parameters.fill(7)),
        lambda: (target.flat_parameters == 7).all(),
    )
