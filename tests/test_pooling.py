"""MeanOverTime and MaxOverTime: values by hand, exact gradients, ragged batches, files."""

import numpy as np
import pytest

import pygru
from pygru import GRU, Linear, MaxOverTime, MeanOverTime, Sequential, Trainer

ENDS = [5, 1, 0, 3]
X = np.random.default_rng(0).standard_normal((4, 5, 3))
LAYERS = {"mean": MeanOverTime, "max": MaxOverTime}
BY_HAND = {"mean": lambda steps: steps.mean(axis=0), "max": lambda steps: steps.max(axis=0)}


def shown(lengths):
    """X with NaN where nothing may be read."""
    there = np.arange(5) < np.array([5] * 4 if lengths is None else lengths)[:, np.newaxis]
    return np.where(there[..., np.newaxis], X, np.nan), there


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lengths", [None, ENDS])
@pytest.mark.parametrize("name", LAYERS)
def test_values_and_gradients(name, lengths, dtype):
    x, there = shown(lengths)
    x = x.astype(dtype)
    y, tape = LAYERS[name]().forward(x, lengths=lengths)
    expected = [
        BY_HAND[name](row[valid]) if valid.any() else np.zeros(3)
        for row, valid in zip(x, there, strict=True)
    ]
    assert y.dtype == dtype
    np.testing.assert_allclose(y, expected, rtol=1e-6 if dtype == "float32" else 1e-14)

    d_y = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    d_x = LAYERS[name]().backward(tape, d_y)
    assert d_x.dtype == dtype and not d_x[~there].any()
    for b in range(4):
        steps = int(there[b].sum())
        if name == "mean":
            d = np.repeat(d_y[b : b + 1] / max(steps, 1), steps, axis=0)
        else:
            d = d_y[b] * (x[b, :steps] == y[b])
        np.testing.assert_allclose(d_x[b, :steps], d, rtol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_by_differences_through_a_model(name):
    gru = GRU(3, 4, batch_first=True, seed=0, dtype="float64", bidirectional=True)
    model = Sequential(gru, LAYERS[name](), Linear(8, 2, seed=0, dtype="float64"))
    d_y = np.random.default_rng(2).standard_normal((4, 2))
    tape = model.forward(X, lengths=ENDS)[1]
    model.zero_grad()
    d_x = model.backward(tape, d_y)
    assert not d_x[2].any()
    for place in [(0, 0, 0), (0, 4, 2), (1, 0, 1), (3, 2, 0), (3, 4, 1)]:
        step = np.zeros(X.shape)
        step[place] = 1e-6
        up, down = ((model(X + s * step, lengths=ENDS) * d_y).sum() for s in (1, -1))
        assert d_x[place] == pytest.approx((up - down) / 2e-6, abs=1e-8)


def test_ties_and_extremes_of_the_largest_value():
    layer = MaxOverTime()
    y, tape = layer.forward(
        [[[2.0], [2.0], [1.0]], [[-np.inf], [-np.inf], [7.0]]], lengths=[3, 2]
    )
    assert y.tolist() == [[2.0], [-np.inf]]
    assert layer.backward(tape, [[1.0], [1.0]])[:, :, 0].tolist() == [[1, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize("name", LAYERS)
def test_a_sequence_has_the_same_bits_in_any_batch_and_layout(name):
    x = np.random.default_rng(3).standard_normal((3, 300, 1)).astype(np.float32)
    lengths = [300, 17, 129]
    layer = LAYERS[name]()
    together = layer(x, lengths=lengths)
    assert (layer(np.asfortranarray(x), lengths=lengths) == together).all()
    for b, end in enumerate(lengths):
        assert (layer(x[b : b + 1, :end]) == together[b]).all()


@pytest.mark.parametrize("name", LAYERS)
def test_empty_batches_and_batches_without_steps(name):
    layer = LAYERS[name]()
    for shape in [(0, 5, 3), (2, 0, 3), (2, 5, 0)]:
        y, tape = layer.forward(np.ones(shape))
        assert y.shape == (shape[0], shape[2])
        assert layer.backward(tape, y).shape == shape


@pytest.mark.parametrize("name", LAYERS)
def test_models_are_trained_saved_and_loaded(name, tmp_path):
    model = Sequential(GRU(3, 4, batch_first=True), LAYERS[name](), Linear(4, 1), seed=0)
    assert not model.predicts_steps and repr(model.layers[1]) == f"{LAYERS[name].__name__}()"
    sequences = [row[: max(end, 1)] for row, end in zip(X, ENDS, strict=True)]
    history = Trainer(model, seed=0).fit(
        sequences, np.ones(4), epochs=3, batch_size=2, progress=False
    )
    assert history["loss"][-1] < history["loss"][0]
    pygru.save(model, tmp_path / "model.safetensors")
    assert (pygru.load(tmp_path / "model.safetensors")(sequences) == model(sequences)).all()


@pytest.mark.parametrize("name", LAYERS)
def test_wrong_arguments_are_named(name):
    layer = LAYERS[name]()
    with pytest.raises(ValueError, match="x must have 3 dimensions"):
        layer(np.ones((2, 3)))
    with pytest.raises(ValueError, match="lengths"):
        layer(np.ones((2, 3, 1)), lengths=[4, 1])
    _, tape = layer.forward(np.ones((2, 3, 1)))
    with pytest.raises(ValueError, match="d_y must have shape"):
        layer.backward(tape, np.ones((2, 2)))
