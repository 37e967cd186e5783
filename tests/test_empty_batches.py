"""Batches without sequences, and sequences without steps: every layer, forward and backward.

A mini-batch in which every sequence is empty has T = 0 after trimming. Then outputs and
gradients are zeros of the right shape, or empty.
"""

import numpy as np
import pytest

from pygru import GRU, Attention, Dropout, Embedding, Last, Linear, Seq2Seq, Sequential

SIZES = [(0, 0), (0, 3), (2, 0), (1, 0)]


def embedded(**options):
    return Embedding(4, 3, **options)


LAYERS = {
    "linear": lambda: Linear(3, 2, seed=0),
    "dropout": lambda: Dropout(0.5, seed=0),
    "last": lambda: Last(),
    "last-of-both": lambda: Last(bidirectional=True),
    "gru": lambda: Sequential(GRU(3, 4, batch_first=True, zoneout=0.1, seed=0)),
    "classifier": lambda: Sequential(
        GRU(3, 4, 2, batch_first=True, bidirectional=True, dropout=0.2, seed=0),
        Dropout(0.5, seed=0),
        Last(bidirectional=True),
        Linear(8, 2, seed=0),
    ),
    "embedding": lambda: embedded(seed=0),
    "embedding-with-padding": lambda: embedded(padding_idx=0, seed=0),
    "tagger": lambda: Sequential(embedded(), GRU(3, 4, batch_first=True), Linear(4, 2), seed=0),
}


def arguments(name, B, T):
    if name in ("tagger", "embedding", "embedding-with-padding"):
        return np.zeros((B, T), int)
    return np.zeros((B, T, 4 if name == "last-of-both" else 3))


@pytest.mark.parametrize(("B", "T"), SIZES)
@pytest.mark.parametrize("with_lengths", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, with_lengths, B, T):
    model, x = LAYERS[name](), arguments(name, B, T)
    lengths = np.zeros(B, int) if with_lengths else None
    y, tape = model.forward(x, lengths=lengths)
    per_sequence = name in ("last", "last-of-both", "classifier")
    assert y.shape[:2] == (B, y.shape[1]) if per_sequence else (B, T)
    assert np.isfinite(y).all()
    assert np.array_equal(model(x, lengths=lengths), y) or "classifier" in name
    d_x = model.backward(tape, np.ones_like(y))
    assert d_x is None or (d_x.shape == x.shape and not d_x.any())
    for _, gradients in model.flat_pairs:
        assert np.isfinite(gradients).all()
        if not per_sequence:  # a Linear after Last gets the zeros of empty sequences
            assert not gradients.any()


@pytest.mark.parametrize("B", [0, 1, 3])
def test_the_last_step_of_nothing_is_zeros(B):
    for x, lengths in ((np.zeros((B, 0, 4)), None), (np.full((B, 2, 4), np.nan), [0] * B)):
        for last in (Last(), Last(bidirectional=True)):
            y, tape = last.forward(x, lengths=lengths)
            assert np.array_equal(y, np.zeros((B, 4)))
            assert np.array_equal(last.backward(tape, np.ones((B, 4))), np.zeros(x.shape))


@pytest.mark.parametrize("tokens", [[], [[]], [[], []], np.zeros((3, 0))])
def test_an_embedding_takes_lists_without_tokens(tokens):
    """NumPy makes them float64, because they contain no integer."""
    layer = Embedding(4, 2, seed=0)
    y, tape = layer.forward(tokens)
    assert y.shape == (*np.shape(tokens), 2)
    layer.backward(tape, y)
    assert not layer.flat_grads.any()


def test_a_sequential_takes_documents_without_words():
    model = Sequential(embedded(), GRU(3, 4, batch_first=True), Last(), Linear(4, 1), seed=0)
    assert model([[]]).shape == (1, 1)
    assert model([[], [1, 2]]).shape == (2, 1)
    np.testing.assert_allclose(model([[], [1, 2]])[0], model.layers[3].parameters["bias"])


@pytest.mark.parametrize("score", ["dot", "general", "additive"])
@pytest.mark.parametrize("B", [0, 2])
@pytest.mark.parametrize(("queries", "keys"), [(0, 3), (3, 0), (0, 0), (2, 3)])
@pytest.mark.parametrize("features", [None, 5, 0])
def test_attention(score, B, queries, keys, features):
    attention = Attention(3, 3, score=score, seed=0)
    q, k = np.ones((B, queries, 3)), np.ones((B, keys, 3))
    v = None if features is None else np.ones((B, keys, features))
    for lengths in (None, np.zeros(B, int)):
        context, weights, tape = attention.forward(q, k, v, lengths=lengths)
        assert context.shape == (B, queries, 3 if features is None else features)
        assert weights.shape == (B, queries, keys)
        assert np.isfinite(context).all()
        if lengths is not None or keys == 0:
            assert not context.any()
        d_q, d_k, d_v = attention.backward(tape, np.ones_like(context), np.ones_like(weights))
        assert (d_q.shape, d_k.shape) == (q.shape, k.shape)
        assert d_v is None or d_v.shape == v.shape
        assert np.isfinite(attention.flat_grads).all()


@pytest.mark.parametrize(
    ("B", "source", "target"), [(0, 3, 3), (0, 0, 0), (2, 0, 3), (2, 3, 0)]
)
@pytest.mark.parametrize("truth", [1.0, 0.5])
@pytest.mark.parametrize("with_lengths", [False, True])
def test_seq2seq(B, source, target, truth, with_lengths):
    model = Seq2Seq(5, 6, 3, 4, 2, dropout=0.3, teacher_forcing=truth, seed=0)
    x = {"source": np.zeros((B, source), int), "target": np.zeros((B, target), int)}
    lengths = {name: np.zeros(B, int) for name in x} if with_lengths else None
    logits, tape = model.forward(x, lengths=lengths)
    assert logits.shape == (B, target, 6)
    model.backward(tape, np.ones_like(logits))
    for _, gradients in model.flat_pairs:
        assert np.isfinite(gradients).all()
        if not logits.any():
            assert not gradients.any()
    assert model(x, lengths=lengths).shape == logits.shape


def test_searching_for_nothing():
    model = Seq2Seq(5, 6, 3, 4, seed=0)
    assert model.translate(np.zeros((0, 3), int), max_length=3) == []
    assert model.beam_search(np.zeros((0, 3), int), max_length=3) == []
    assert model.attention_weights([], []) == []
    found = model.beam_search([[], [1]], max_length=3, beam_size=2)
    assert [f.attention.shape for f in found] == [
        (len(found[0].tokens), 0),
        (len(found[1].tokens), 1),
    ]
    assert model.training_data([], []) == ({"source": [], "target": []}, [])
    assert [w.shape for w in model.attention_weights([[], [1]], [[], [2]])] == [(0, 0), (1, 1)]
