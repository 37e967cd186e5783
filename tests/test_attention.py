"""Attention, compared with plain loops over sequences, queries and keys.

The gradients are compared with complex-step derivatives. These tests fail if a transpose is
missing; if the softmax runs over the wrong axis; if a padded key is read, counted or given a
gradient; if a gradient is set instead of added; or if keys that are also the values lose one of
their two gradients.
"""

import complex_step
import numpy as np
import pytest

import pygru
from pygru import Attention

B, Tq, Tk, Q, K, V, A = 3, 4, 5, 2, 3, 6, 7
SCORES = ["dot", "general", "additive"]
LENGTHS = {"full": None, "ragged": [5, 0, 2]}

every_score = pytest.mark.parametrize("score", SCORES)
every_length = pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)


def score_of(score, q, k, parameters):
    if score == "dot":
        return q @ k
    if score == "general":
        return q @ parameters["weight"] @ k
    hidden = np.tanh(parameters["weight_query"] @ q + parameters["weight_key"] @ k)
    return parameters["weight_score"][0] @ hidden


def reference(score, queries, keys, values, lengths, parameters):
    """Context and weights, one query at a time; works on complex arrays."""
    dtype = np.result_type(queries, keys, values, *parameters.values())
    context = np.zeros((*queries.shape[:2], values.shape[2]), dtype)
    weights = np.zeros((*queries.shape[:2], keys.shape[1]), dtype)
    for b, length in enumerate([keys.shape[1]] * len(keys) if lengths is None else lengths):
        for t, q in enumerate(queries[b] if length else []):
            scores = [score_of(score, q, k, parameters) for k in keys[b, :length]]
            e = np.exp(np.array(scores))
            weights[b, t, :length] = e / e.sum()
            context[b, t] = weights[b, t, :length] @ values[b, :length]
    return context, weights


def problem(score, dtype="float64"):
    rng = np.random.default_rng(7)
    query_size = K if score == "dot" else Q
    options = {"attention_size": A} if score == "additive" else {}
    layer = Attention(query_size, K, score=score, dtype=dtype, seed=1, **options)
    tensors = {
        "queries": rng.standard_normal((B, Tq, query_size)),
        "keys": rng.standard_normal((B, Tk, K)),
        "values": rng.standard_normal((B, Tk, V)),
    }
    return layer, tensors, rng


def with_holes(array, lengths):
    """The same with NaN past the sequences' ends."""
    array = array.copy()
    for b, length in enumerate([] if lengths is None else lengths):
        array[b, length:] = np.nan
    return array


@every_score
@every_length
def test_values(score, lengths):
    layer, tensors, _ = problem(score)
    expected = reference(score, **tensors, lengths=lengths, parameters=layer.parameters)
    keys, values = (with_holes(tensors[name], lengths) for name in ("keys", "values"))
    result = layer(tensors["queries"], keys, values, lengths=lengths)
    for array, truth in zip(result, expected, strict=True):
        np.testing.assert_allclose(array, truth, rtol=1e-13, atol=1e-15)


@every_score
@every_length
def test_gradients_by_complex_step(score, lengths):
    layer, tensors, rng = problem(score)
    d_context, d_weights = rng.standard_normal((B, Tq, V)), rng.standard_normal((B, Tq, Tk))
    names = tuple(tensors)

    def functional(moved):
        inputs = [moved[name] for name in names]
        parameters = {name: moved[name] for name in layer.parameters}
        context, weights = reference(score, *inputs, lengths, parameters)
        return (context * d_context).sum() + (weights * d_weights).sum()

    expected = complex_step.gradients(functional, {**tensors, **layer.state_dict()})
    keys, values = (with_holes(tensors[name], lengths) for name in ("keys", "values"))
    _, weights, tape = layer.forward(tensors["queries"], keys, values, lengths=lengths)
    weights[...] = 0  # the tape has a copy of its own
    holed = with_holes(d_weights.swapaxes(1, 2), lengths).swapaxes(1, 2)
    for times in (1, 2):  # a tape can be used twice; gradients of parameters are added
        gradients = layer.backward(tape, d_context, holed)
        for name, gradient in zip(names, gradients, strict=True):
            complex_step.assert_close(gradient, expected[name], name)
        for name, gradient in layer.grads.items():
            complex_step.assert_close(gradient, times * expected[name], name)


@every_score
@every_length
def test_keys_as_values(score, lengths):
    layer, tensors, rng = problem(score)
    d_context = rng.standard_normal((B, Tq, K))
    inputs = {name: tensors[name] for name in ("queries", "keys")}

    def functional(moved):
        queries, keys = moved["queries"], moved["keys"]
        context, _ = reference(score, queries, keys, keys, lengths, layer.parameters)
        return (context * d_context).sum()

    expected = complex_step.gradients(functional, inputs)
    keys = with_holes(tensors["keys"], lengths)
    _, _, tape = layer.forward(tensors["queries"], keys, lengths=lengths)
    d_queries, d_keys, d_values = layer.backward(tape, d_context)
    complex_step.assert_close(d_queries, expected["queries"], "queries")
    complex_step.assert_close(d_keys, expected["keys"], "keys")
    assert d_values is None


@every_score
def test_a_sequence_of_length_0_gets_nothing(score):
    layer, tensors, _ = problem(score, "float32")
    context, weights, tape = layer.forward(**tensors, lengths=[0, 5, 0])
    for array in (context, weights, *layer.backward(tape, np.ones_like(context))):
        assert array.dtype == np.float32
        assert not array[[0, 2]].any()
        assert np.isfinite(array).all()


@every_score
def test_prepared_keys_serve_step_by_step(score):
    layer, tensors, _ = problem(score)
    lengths = [5, 1, 2]
    context, weights = layer(**tensors, lengths=lengths)
    prepared = layer.prepare(tensors["keys"], tensors["values"], lengths=lengths)
    some = prepared.select([2, 0])
    for t in range(Tq):
        step = layer.attend(tensors["queries"][[2, 0], t : t + 1], some)
        np.testing.assert_allclose(step[0][:, 0], context[[2, 0], t], rtol=1e-13)
        np.testing.assert_allclose(step[1][:, 0], weights[[2, 0], t], rtol=1e-13)


def test_large_scores_do_not_overflow():
    layer = Attention(1, 1, score="dot")
    _, weights = layer([[[1e3]]], [[[1e3], [2e3], [-1e3]]])
    assert weights.tolist() == [[[0, 1, 0]]]


def test_nan_in_a_key_that_counts_shows():
    keys = np.ones((2, 3, 2))
    keys[1, 0, 0] = np.nan
    context, weights = Attention(2, 2, score="dot")(np.ones((2, 1, 2)), keys, lengths=[3, 2])
    assert np.isfinite(context[0]).all()
    assert np.isnan(context[1]).all()
    assert np.isnan(weights[1, 0, :2]).all()


@pytest.mark.parametrize("layer", [problem(score)[0] for score in SCORES], ids=SCORES)
def test_round_trip_through_a_file(layer, tmp_path):
    pygru.save(layer, tmp_path / "a.safetensors")
    loaded = pygru.load(tmp_path / "a.safetensors")
    assert repr(loaded) == repr(layer)
    assert np.array_equal(loaded.flat_parameters, layer.flat_parameters)


def test_initial_weights_follow_their_distributions():
    layer = Attention(100, 400, 900, score="additive", seed=0)
    for name, bound in (("weight_query", 0.1), ("weight_key", 0.05), ("weight_score", 1 / 30)):
        assert 0.99 * bound < abs(layer.parameters[name]).max() <= bound


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: Attention(2, 3, score="dot"),
            ValueError,
            "query_size must equal key_size=3 for score='dot', got 2",
        ),
        (
            lambda: Attention(2, 3, score="cosine"),
            ValueError,
            "score must be one of 'dot', 'general', 'additive', got 'cosine'",
        ),
        (
            lambda: Attention(2, 3, 4),
            ValueError,
            "attention_size must be None for score='general'",
        ),
        (
            lambda: Attention(2, 3, 0, score="additive"),
            ValueError,
            "attention_size must be >= 1, got 0",
        ),
        (lambda: Attention(2.0, 3), TypeError, "query_size must be an int, got float"),
        (
            lambda: Attention(2, 3)(np.ones((1, 2)), np.ones((1, 1, 3))),
            ValueError,
            r"queries must have 3 dimensions \(batch, time, features\), got 2",
        ),
        (
            lambda: Attention(2, 3)(np.ones((1, 1, 3)), np.ones((1, 1, 3))),
            ValueError,
            r"queries.shape\[-1\] must equal query_size=2, got 3",
        ),
        (
            lambda: Attention(2, 3)(np.ones((1, 1, 2)), np.ones((1, 1, 2))),
            ValueError,
            r"keys.shape\[-1\] must equal key_size=3, got 2",
        ),
        (
            lambda: Attention(2, 3)(np.ones((2, 1, 2)), np.ones((3, 1, 3))),
            ValueError,
            "queries must have the keys' batch size 3, got 2",
        ),
        (
            lambda: Attention(2, 3)(np.ones((1, 1, 2)), np.ones((1, 2, 3)), np.ones((1, 1, 3))),
            ValueError,
            r"values must have shape \(1, 2\) \+ \(features,\) like the keys, got \(1, 1, 3\)",
        ),
        (
            lambda: Attention(2, 3)(np.ones((1, 1, 2)), np.ones((1, 2, 3)), lengths=[3]),
            ValueError,
            r"lengths\[0\] = 3 exceeds the number of time steps 2",
        ),
    ],
)
def test_refusals(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_backward_refuses_shapes_that_do_not_fit():
    layer = Attention(2, 3, seed=0)
    _, _, tape = layer.forward(np.ones((1, 2, 2)), np.ones((1, 4, 3)))
    with pytest.raises(ValueError, match=r"d_context must have shape \(1, 2, 3\)"):
        layer.backward(tape, np.ones((1, 2, 2)))
    with pytest.raises(ValueError, match=r"d_weights must have shape \(1, 2, 4\)"):
        layer.backward(tape, np.ones((1, 2, 3)), np.ones((1, 2, 3)))
    assert not layer.flat_grads.any()


# ---- ragged batches --------------------------------------------------------------------------


def ragged_problem(score, price, monkeypatch, seed=0):
    """Fourteen sequences of all lengths, with NaN after their ends."""
    rng = np.random.default_rng(seed)
    B, Tq, Tk = 14, 9, 11
    monkeypatch.setattr("pygru.nn.attention_blocks.PRICE", price)
    layer = Attention(3, 3 if score == "dot" else 4, score=score, dtype="float64", seed=1)
    lengths, query_lengths = rng.integers(0, Tk + 1, B), rng.integers(0, Tq + 1, B)
    lengths[:3], query_lengths[2:5] = (0, 11, 11), (9, 0, 9)
    arrays = {
        "queries": rng.standard_normal((B, Tq, layer.query_size)),
        "keys": rng.standard_normal((B, Tk, layer.key_size)),
        "values": rng.standard_normal((B, Tk, 2)),
    }
    for name, ends in (("queries", query_lengths), ("keys", lengths), ("values", lengths)):
        for row, end in zip(arrays[name], ends, strict=True):
            row[end:] = np.nan
    return layer, arrays, {"lengths": lengths, "query_lengths": query_lengths}


@pytest.mark.parametrize("price", [0, 1000, 100_000], ids=["many", "some", "one"])
@pytest.mark.parametrize("score", ["dot", "general", "additive"])
def test_a_ragged_batch_is_its_sequences_one_by_one(score, price, monkeypatch):
    """Values and gradients. They would differ if a block confused rows, ends or masks."""
    layer, arrays, ends = ragged_problem(score, price, monkeypatch)
    rng = np.random.default_rng(2)
    context, weights, tape = layer.forward(**arrays, **ends)
    d_context, d_weights = (
        rng.standard_normal(context.shape),
        rng.standard_normal(weights.shape),
    )
    d_holed, d_weights_holed = d_context.copy(), d_weights.copy()
    for b, (q, k) in enumerate(zip(ends["query_lengths"], ends["lengths"], strict=True)):
        d_holed[b, q:] = d_weights_holed[b, q:] = d_weights_holed[b, :, k:] = np.nan
    layer.zero_grad()
    gradients = layer.backward(tape, d_holed, d_weights_holed)
    grads = layer.flat_grads.copy()
    layer.zero_grad()
    for b, (q, k) in enumerate(zip(ends["query_lengths"], ends["lengths"], strict=True)):
        alone = [arrays["queries"][b : b + 1, :q]]
        alone += [arrays[name][b : b + 1, :k] for name in ("keys", "values")]
        right, right_weights, tape = layer.forward(*alone)
        np.testing.assert_allclose(context[b, :q], right[0], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(weights[b, :q, :k], right_weights[0], rtol=1e-12, atol=1e-14)
        assert not context[b, q:].any() and not weights[b, q:].any()
        assert not weights[b, :, k:].any()
        expected = layer.backward(tape, d_context[b : b + 1, :q], d_weights[b : b + 1, :q, :k])
        for found, wanted, end in zip(gradients, expected, (q, k, k), strict=True):
            np.testing.assert_allclose(found[b, :end], wanted[0], rtol=1e-11, atol=1e-13)
            assert not found[b, end:].any()
    np.testing.assert_allclose(layer.flat_grads, grads, rtol=1e-11, atol=1e-13)


def test_padding_costs_at_most_a_quarter_of_the_work():
    seen = []

    class Counting(Attention):
        def _attend(self, queries, prepared):
            seen.append(queries.shape[0] * queries.shape[1] * prepared.values.shape[1])
            return super()._attend(queries, prepared)

    rng = np.random.default_rng(0)
    lengths, query_lengths = rng.integers(0, 40, 200), rng.integers(0, 30, 200)
    layer = Counting(512, 512, score="dot")
    queries, keys = np.ones((200, 30, 512)), np.ones((200, 40, 512))
    layer(queries, keys, lengths=lengths, query_lengths=query_lengths)
    needed, blocks = (lengths * query_lengths).sum(), len(seen)
    assert needed <= sum(seen) <= 1.25 * needed + 200 * blocks
    assert 1 < blocks < 100  # more than one, but not one per sequence
    seen.clear()
    layer(queries, keys)
    layer(queries, keys, lengths=[40] * 200, query_lengths=[30] * 200)
    assert seen == [200 * 30 * 40] * 2
    seen.clear()  # a small piece of work is not cut into blocks
    small = Counting(2, 2, score="dot")
    small(queries[:9, :, :2], keys[:9, :, :2], lengths=range(1, 10), query_lengths=range(9))
    assert len(seen) == 1


def test_query_lengths_are_checked():
    layer = Attention(2, 2, score="dot")
    with pytest.raises(
        ValueError, match=r"query_lengths\[1\] = 4 exceeds the number of time st"
    ):
        layer(np.ones((2, 3, 2)), np.ones((2, 5, 2)), query_lengths=[3, 4])
