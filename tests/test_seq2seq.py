"""Seq2Seq against a plain NumPy model, and its searches against loops and enumeration.

The reference model is written from the equations, with the GRU of ``reference.py``. It
processes one sequence and one step at a time, without padding. It takes complex arrays, so its
gradients are exact. These tests fail if a context belongs to the wrong source; if a state is in
the wrong layer or direction; if a token after an end is read or trained; if a beam continues
the state of another beam; or if scores are compared without taking the length into account.
"""

import copy
import itertools
import json
import pickle
import struct

import complex_step
import numpy as np
import pytest
import reference

import pygru
from pygru import Adam, AdamW, Callback, FormatError, Seq2Seq, Trainer, losses

SOURCES = [[3, 1, 2, 4], [0], [], [2, 2, 1]]
TARGETS = [[0, 4, 2], [0, 2, 5, 3, 3], [0, 5], [0]]  # as the decoder reads them


def model_of(layers=1, score="general", seed=0, scale=0.5, **options):
    model = Seq2Seq(5, 6, 2, 3, layers, score=score, dtype="float64", seed=seed, **options)
    rng = np.random.default_rng(seed)
    for values, _ in model.flat_pairs:  # large weights, so that nothing is nearly linear
        values += rng.standard_normal(values.shape) * scale
    return model


# ---- the reference ---------------------------------------------------------------------------


def part(parameters, name):
    return {
        key.removeprefix(name + "."): value
        for key, value in parameters.items()
        if key.startswith(name + ".")
    }


def linear(parameters, name, x):
    return parameters[f"{name}.weight"] @ x + parameters[f"{name}.bias"]


def attention_score(parameters, q, k):
    if "attention.weight" in parameters:
        return q @ parameters["attention.weight"] @ k
    hidden = parameters["attention.weight_query"] @ q + parameters["attention.weight_key"] @ k
    return parameters["attention.weight_score"][0] @ np.tanh(hidden)


def logits_of(parameters, source, target, layers, variant=("before", "replace")):
    """The logits of one pair, (len(target), V), and the attention weights."""
    reset, update = variant
    H = parameters["decoder.weight_hh_l0"].shape[1]
    options = {"num_layers": layers, "reset": reset, "update": update}
    embedded = parameters["source_embedding.weight"][np.array(source, int)]
    memory, h_n = reference.forward(
        part(parameters, "encoder"), embedded[:, np.newaxis], bidirectional=True, **options
    )
    h0 = np.tanh(linear(parameters, "bridge", h_n[:, 0].reshape(-1))).reshape(layers, 1, H)
    embedded = parameters["target_embedding.weight"][target]
    states, _ = reference.forward(
        part(parameters, "decoder"), embedded[:, np.newaxis], h0, **options
    )
    logits, weights = [], []
    for h in states[:, 0]:
        e = np.exp(np.array([attention_score(parameters, h, k) for k in memory[:, 0]]))
        w = e / e.sum() if len(e) else e
        context = w @ memory[:, 0] if len(e) else np.zeros(2 * H)
        joined = np.concatenate([context, h])
        attentional = np.tanh(linear(parameters, "combine", joined))
        logits.append(linear(parameters, "output", attentional))
        weights.append(w)
    return np.array(logits), np.array(weights)


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def padded_with(value, sequences):
    """Sequences as an array with ``value`` after their ends, and the lengths."""
    lengths = [len(sequence) for sequence in sequences]
    array = np.full((len(sequences), max(lengths)), value)
    for row, sequence in zip(array, sequences, strict=True):
        row[: len(sequence)] = sequence
    return array, lengths


# ---- forward and backward --------------------------------------------------------------------


@pytest.mark.parametrize("score", ["general", "additive"])
@pytest.mark.parametrize("layers", [1, 2])
def test_logits(layers, score):
    model = model_of(layers, score, gru={"variant": "pytorch"})
    parameters = dict(model.parameters)
    logits = model({"source": SOURCES, "target": TARGETS})
    assert logits.shape == (4, 5, 6)
    for row, source, target in zip(logits, SOURCES, TARGETS, strict=True):
        expected, _ = logits_of(parameters, source, target, layers, ("after", "keep"))
        np.testing.assert_allclose(row[: len(target)], expected, rtol=1e-12, atol=1e-13)
        assert not row[len(target) :].any()


def gradient_problem(model, layers):
    """A linear functional of the logits, and the gradients that pygru gives."""
    rng = np.random.default_rng(1)
    (source, source_lengths), (target, target_lengths) = (
        padded_with(-1, sequences) for sequences in (SOURCES, TARGETS)
    )
    lengths = {"source": source_lengths, "target": target_lengths}
    d_logits = rng.standard_normal((4, 5, 6))

    def functional(parameters):
        return sum(
            (logits_of(parameters, s, t, layers)[0] * d[: len(t)]).sum()
            for s, t, d in zip(SOURCES, TARGETS, d_logits, strict=True)
        )

    _, tape = model.forward({"source": source, "target": target}, lengths=lengths)
    past = np.arange(5) >= np.array(target_lengths)[:, np.newaxis]
    model.backward(tape, np.where(past[..., np.newaxis], np.nan, d_logits))
    return functional


def test_gradients_by_complex_step():
    model = model_of()
    functional = gradient_problem(model, 1)
    expected = complex_step.gradients(functional, model.state_dict())
    for name, gradient in model.grads.items():
        complex_step.assert_close(gradient, expected[name], name)


def test_gradients_along_directions_of_a_deep_model():
    model = model_of(2, "additive")
    functional = gradient_problem(model, 2)
    rng, state = np.random.default_rng(2), model.state_dict()
    for name, gradient in model.grads.items():
        for _ in range(3):
            direction = rng.standard_normal(gradient.shape)
            moved = state[name] + 1j * complex_step.STEP * direction
            expected = functional({**state, name: moved}).imag / complex_step.STEP
            assert (gradient * direction).sum() == pytest.approx(expected, rel=1e-10), name


def test_gradients_are_added_and_set_to_zero():
    model = model_of()
    _, tape = model.forward({"source": SOURCES, "target": TARGETS})
    model.backward(tape, np.ones((4, 5, 6)))
    once = {name: view.copy() for name, view in model.grads.items()}
    model.backward(tape, np.ones((4, 5, 6)))
    for name, view in model.grads.items():
        np.testing.assert_allclose(view, 2 * once[name], rtol=1e-12)
    model.zero_grad()
    assert not any(view.any() for view in model.grads.values())


def test_sources_without_any_token():
    model = model_of(seed=3)
    expected, _ = logits_of(dict(model.parameters), [], [0, 4], 1)
    logits, tape = model.forward({"source": [[], []], "target": [[0, 4], [0]]})
    np.testing.assert_allclose(logits[0], expected, rtol=1e-12)
    model.backward(tape, np.ones_like(logits))
    assert not model.grads["encoder.weight_ih_l0"].any()
    both = model.translate([[], [1, 2]], max_length=4)
    assert both == [model.translate([tokens], max_length=4)[0] for tokens in ([], [1, 2])]


def test_backward_refuses_a_shape_that_does_not_fit():
    model = model_of()
    _, tape = model.forward({"source": SOURCES, "target": TARGETS})
    with pytest.raises(ValueError, match=r"d_logits must have shape \(4, 5, 6\), got \(4, 5\)"):
        model.backward(tape, np.ones((4, 5)))


@pytest.mark.parametrize(
    "way", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)
def test_copies_are_whole_and_their_own(way):
    model = model_of(2, teacher_forcing=0.5)
    other = way(model)
    x = {"source": SOURCES, "target": TARGETS}
    assert np.array_equal(other(x), model(x))
    before = model.state_dict()
    for name in other.parameters:
        other.parameters[name] = np.zeros(other.parameters[name].shape)
    assert not other(x).any()
    assert all(np.array_equal(before[name], view) for name, view in model.parameters.items())


BOTH = {"source": SOURCES, "target": TARGETS}


def check_slope(**options):
    """Backward of a model with noise against differences, with the same masks each time."""

    def value(step):
        """A functional of the logits of a model with other weights, and the model."""
        moved = model_of(2, **options)
        for (values, _), direction in zip(moved.flat_pairs, directions, strict=True):
            values += step * direction
        logits, tape = moved.forward(BOTH)
        moved.backward(tape, d_logits)
        return (logits * d_logits).sum(), moved

    rng = np.random.default_rng(3)
    d_logits = rng.standard_normal((4, 5, 6))
    directions = [
        rng.standard_normal(values.shape) for values, _ in model_of(2, **options).flat_pairs
    ]
    _, still = value(0)
    slope = sum((g * d).sum() for (_, g), d in zip(still.flat_pairs, directions, strict=True))
    eps = 1e-6
    difference = (value(eps)[0] - value(-eps)[0]) / (2 * eps)
    assert slope == pytest.approx(difference, rel=1e-6)


def test_dropout_acts_in_training_only_and_repeats_its_masks_in_backward():
    model = model_of(2, dropout=0.5)
    assert np.array_equal(model(BOTH), model(BOTH))
    first, second = model.forward(BOTH)[0], model.forward(BOTH)[0]
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, model(BOTH))
    check_slope(dropout=0.5)


def test_noise_and_normalisation_inside_the_parts():
    """Encoder and decoder get their options, and the gradients are those of the whole."""
    noise = {"recurrent_dropout": 0.4, "zoneout": 0.2, "layer_norm": True}
    model = model_of(2, gru=noise)
    for gru in (model.encoder, model.decoder):
        assert {name: getattr(gru, name) for name in noise} == noise
    assert not np.array_equal(model.forward(BOTH)[0], model.forward(BOTH)[0])
    assert np.array_equal(model(BOTH), model(BOTH))
    translated = model.beam_search(SOURCES, max_length=4)[0]
    logits = model({"source": SOURCES[:1], "target": [[0, *translated.tokens]]})[0]
    logits[:, model.bos_idx] = -np.inf
    assert translated.tokens == logits.argmax(axis=1)[: len(translated.tokens)].tolist()
    check_slope(gru=noise)


def test_no_translation_holds_the_begin_token():
    model = model_of()
    model.output.parameters["bias"][model.bos_idx] = 50.0
    for beam_size in (1, 3):
        for tokens in model.translate(SOURCES, max_length=5, beam_size=beam_size):
            assert model.bos_idx not in tokens


def test_the_seed_decides():
    x = {"source": SOURCES, "target": TARGETS}
    same = [Seq2Seq(5, 6, 2, 3, dropout=0.5, seed=4).forward(x)[0] for _ in range(2)]
    assert np.array_equal(*same)
    assert not np.array_equal(same[0], Seq2Seq(5, 6, 2, 3, dropout=0.5, seed=5).forward(x)[0])


# ---- scheduled sampling ----------------------------------------------------------------------


def decided(model):
    """The same model, with logits so far apart that the drawn token is the likeliest."""
    model.output.flat_parameters *= 1e4
    return model


def test_without_teacher_the_decoder_reads_its_own_tokens():
    model = decided(model_of(2, teacher_forcing=0.0))
    targets = [[0], [0] + [5] * 3, [0, 5], [0] + [5] * 6]
    _, tape = model.forward({"source": SOURCES, "target": targets})
    for b, (source, target) in enumerate(zip(SOURCES, targets, strict=True)):
        own = [0]
        while len(own) < len(target):
            logits, _ = logits_of(dict(model.parameters), source, own, 2)
            own.append(int(logits[-1].argmax()))
        assert tape.target[b, : len(target)].tolist() == own
        assert not tape.target[b, len(target) :].any()  # padding remains


def test_drawn_tokens_are_constants_to_the_gradient():
    x = {"source": SOURCES, "target": TARGETS}
    model = model_of(teacher_forcing=0.5, dropout=0.3)
    logits, tape = model.forward(x)
    model.backward(tape, np.ones_like(logits))
    rest = model_of(dropout=0.3)  # it draws the same dropout masks
    lengths = {"source": None, "target": [len(target) for target in TARGETS]}
    expected, tape = rest.forward({"source": SOURCES, "target": tape.target}, lengths=lengths)
    rest.backward(tape, np.ones_like(expected))
    assert np.array_equal(logits, expected)
    for (_, gradient), (_, other) in zip(model.flat_pairs, rest.flat_pairs, strict=True):
        assert np.array_equal(gradient, other)


@pytest.mark.parametrize("truth", [0.0, 0.3, 0.8])
def test_teacher_forcing_is_a_probability(truth):
    model = Seq2Seq(4, 50, 2, 3, teacher_forcing=truth, seed=0)
    target = np.full((40, 60), 49)
    _, tape = model.forward({"source": np.ones((40, 2), int), "target": target})
    assert (tape.target[:, 0] == 49).all()
    assert (target == 49).all()  # the array of the caller has not changed
    # A token is kept with a probability, or drawn again.
    expected = truth + (1 - truth) / 50
    assert abs((tape.target[:, 1:] == 49).mean() - expected) < 0.03


def test_drawn_tokens_fit_whatever_the_targets_integers_are():
    model = Seq2Seq(4, 1000, 2, 3, teacher_forcing=0.0, seed=0)
    target = np.zeros((4, 20), np.uint8)
    _, tape = model.forward({"source": np.ones((4, 2), np.uint8), "target": target})
    assert tape.target.max() > 255
    X, y = Seq2Seq(4, 400, 2, 3, bos_idx=300, eos_idx=301).training_data([[1]], target[:1])
    assert (X["target"][0][0], y[0][-1]) == (300, 301)


def test_tokens_are_drawn_from_the_softmax():
    model = Seq2Seq(2, 3, 2, 3, teacher_forcing=0.0, dtype="float64", seed=0)
    for name in ("source_embedding", "encoder", "bridge", "target_embedding", "decoder"):
        getattr(model, name).flat_parameters[...] = 0
    model.combine.flat_parameters[...] = 0
    model.output.parameters["bias"] = np.log([0.2, 0.3, 0.5])
    target = np.zeros((100, 101), int)
    _, tape = model.forward({"source": np.ones((100, 1), int), "target": target})
    shares = np.bincount(tape.target[:, 1:].ravel(), minlength=3) / 10_000
    np.testing.assert_allclose(shares, [0.2, 0.3, 0.5], atol=0.02)


def test_a_schedule_is_asked_once_per_training_step():
    asked = []

    def schedule(step):
        asked.append(step)
        return 1.0 if step < 2 else 0.0

    model = decided(model_of(teacher_forcing=schedule))
    x = {"source": SOURCES, "target": TARGETS}
    mixed = []
    for _ in range(3):
        mixed.append(model.forward(x)[1].target)
        model(x)  # inference does not count as a step
    assert asked == [0, 1, 2]
    assert model.training_steps == 3
    truth = padded_with(0, TARGETS)[0]
    assert [np.array_equal(target, truth) for target in mixed] == [True, True, False]
    model.teacher_forcing = lambda step: 1.5
    with pytest.raises(ValueError, match=r"teacher_forcing\(3\) must be a number in \[0, 1\]"):
        model.forward(x)


# ---- searches --------------------------------------------------------------------------------

BATCH = [[3, 1, 2, 4], [0], [], [2, 2, 1], [4, 4], [1, 0, 1], [3]]


def enumerate_best(model, source, max_length, length_penalty):
    """The best of all targets that end, and its score."""
    parameters = dict(model.parameters)
    best = None
    ends = model.bos_idx, model.eos_idx
    others = [token for token in range(model.target_vocab_size) if token not in ends]
    for length in range(max_length):
        for tokens in itertools.product(others, repeat=length):
            logits, _ = logits_of(parameters, source, [model.bos_idx, *tokens], 1)
            steps = log_softmax(logits)[np.arange(length + 1), [*tokens, model.eos_idx]]
            score = steps.sum() / (length + 1) ** length_penalty
            if best is None or score > best[1]:
                best = list(tokens), score
    return best


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("seed", [1, 6])
def test_a_wide_beam_finds_the_best(seed, length_penalty):
    model = Seq2Seq(5, 4, 2, 3, bos_idx=2, eos_idx=0, dtype="float64", seed=seed)
    rng = np.random.default_rng(seed)
    for values, _ in model.flat_pairs:
        values += rng.standard_normal(values.shape)
    found = model.beam_search(
        BATCH[:4], max_length=5, beam_size=200, length_penalty=length_penalty
    )
    for translation, source in zip(found, BATCH[:4], strict=True):
        tokens, score = enumerate_best(model, source, 5, length_penalty)
        assert translation.tokens == tokens
        assert translation.score == pytest.approx(score, rel=1e-12)


def all_targets(model, source, max_length):
    """Every target that ends or is cut off, (tokens, log-probability, whether it has ended)."""
    parameters = dict(model.parameters)
    ends = model.bos_idx, model.eos_idx
    others = [token for token in range(model.target_vocab_size) if token not in ends]
    for length in range(max_length + 1):
        for tokens in itertools.product(others, repeat=length):
            logits, _ = logits_of(parameters, source, [model.bos_idx, *tokens], 1)
            steps = log_softmax(logits)
            if length < max_length:
                said = steps[np.arange(length + 1), [*tokens, model.eos_idx]]
                yield list(tokens), said.sum() / (length + 1), True
            else:
                yield list(tokens), steps[np.arange(length), tokens].sum() / length, False


@pytest.mark.parametrize("n_best", [1, 4, 15, 20, 31, 40])
def test_the_n_best_of_all_targets(n_best):
    """2**0 + 2**1 + ... + 2**3 targets end within 4 tokens, and 2**4 are cut off."""
    model = Seq2Seq(5, 4, 2, 3, bos_idx=2, eos_idx=0, dtype="float64", seed=3)
    rng = np.random.default_rng(3)
    for values, _ in model.flat_pairs:
        values += rng.standard_normal(values.shape)
    options = {"max_length": 4, "beam_size": 40, "length_penalty": 1.0}
    found = model.beam_search(BATCH[:4], n_best=n_best, **options)
    for translations, source in zip(found, BATCH[:4], strict=True):
        ranked = sorted(all_targets(model, source, 4), key=lambda h: (not h[2], -h[1]))
        assert len(ranked) == 31
        expected = ranked[:n_best]
        assert [t.tokens for t in translations] == [tokens for tokens, _, _ in expected]
        assert [t.has_ended for t in translations] == [ended for _, _, ended in expected]
        scores = [score for _, score, _ in expected]
        np.testing.assert_allclose([t.score for t in translations], scores, rtol=1e-12)
        for t in translations:
            assert t.attention.shape == (len(t.tokens), len(source))
    tokens = model.translate(BATCH[:4], n_best=n_best, **options)
    assert tokens == [[t.tokens for t in translations] for translations in found]
    assert [best[0] for best in tokens] == model.translate(BATCH[:4], **options)


@pytest.mark.parametrize("beam_size", [1, 2, 3, 8])
def test_a_longer_list_begins_with_the_best(beam_size):
    """Looking for more never changes the first one, though the search goes on for longer."""
    for seed in range(6):
        model = searched(seed)
        options = {"max_length": 6, "beam_size": beam_size, "length_penalty": 0.5}
        best = model.beam_search(BATCH, **options)
        for n_best in {1, 2, beam_size}:
            if n_best > beam_size:
                continue
            found = model.beam_search(BATCH, n_best=n_best, **options)
            for one, several in zip(best, found, strict=True):
                assert one.tokens == several[0].tokens and one.has_ended == several[0].has_ended
                assert one.score == several[0].score
                assert np.array_equal(one.attention, several[0].attention)
                assert len(several) <= n_best
                assert len({(*t.tokens, t.has_ended) for t in several}) == len(several)


def test_the_number_of_targets_is_checked():
    model = model_of()
    for search in (model.translate, model.beam_search):
        with pytest.raises(ValueError, match="n_best must be <= beam_size=2, got 3"):
            search([[1]], max_length=3, beam_size=2, n_best=3)
        with pytest.raises(ValueError, match="n_best must be >= 1, got 0"):
            search([[1]], max_length=3, n_best=0)
        with pytest.raises(TypeError, match="n_best must be an int, got float"):
            search([[1]], max_length=3, beam_size=3, n_best=2.0)
        assert search(np.zeros((0, 3), int), max_length=3, n_best=1) == []


def search_by_hand(model, source, max_length, K, length_penalty, layers, n_best=1):
    """Beam search of one source, hypothesis by hypothesis; ended ones keep their places.

    Returns the best targets as (tokens, score), and how many hypotheses were continued at each
    step, until none of them could become one of the best.
    """
    parameters = dict(model.parameters)
    live, ended, counts = [([], 0.0)], [], []
    for _ in range(max_length):
        scores = sorted((h[1] / len(h[0]) ** length_penalty for h in ended), reverse=True)
        worst = scores[n_best - 1] if len(scores) >= n_best else -np.inf
        if max((h[1] / max_length**length_penalty for h in live), default=-np.inf) <= worst:
            break
        counts.append(len(live))
        grown = []
        for tokens, score in live:
            logits, _ = logits_of(parameters, source, [model.bos_idx, *tokens], layers)
            for token, gain in enumerate(log_softmax(logits[-1])):
                if token != model.bos_idx:
                    grown.append(([*tokens, token], score + gain))
        grown.sort(key=lambda hypothesis: -hypothesis[1])
        grown = grown[: K - len(ended)]
        live = [h for h in grown if h[0][-1] != model.eos_idx]
        ended += [h for h in grown if h[0][-1] == model.eos_idx]
    ended.sort(key=lambda h: -h[1] / len(h[0]) ** length_penalty)
    if len(counts) == max_length:
        ended += sorted(live, key=lambda h: -h[1])  # they are cut off
    best = [
        (
            tokens[:-1] if tokens[-1] == model.eos_idx else tokens,
            score / len(tokens) ** length_penalty,
        )
        for tokens, score in ended[:n_best]
    ]
    return best, counts


def searched(seed, layers=1):
    """A model whose greedy targets have several lengths and differ from those of a beam."""
    return model_of(layers, ["general", "additive"][layers - 1], seed, scale=1.5)


@pytest.mark.parametrize(
    ("beam_size", "n_best"),
    [(1, None), (2, None), (3, None), (8, None), (3, 2), (8, 3), (8, 8)],
)
@pytest.mark.parametrize(
    ("layers", "seed", "length_penalty"), [(1, 39, 0.0), (2, 10, 0.7), (1, 23, 2.0)]
)
def test_searches_by_hand(beam_size, n_best, layers, seed, length_penalty, monkeypatch):
    model = searched(seed, layers)
    rows = []  # of each step of the decoder
    step = model.decoder.step
    monkeypatch.setattr(
        model.decoder, "step", lambda x, h: (rows.append(len(x)), step(x, h))[1]
    )
    options = {"max_length": 6, "beam_size": beam_size, "length_penalty": length_penalty}
    found = model.beam_search(BATCH, n_best=n_best, **options)
    live = np.zeros(6, int)
    for translations, source in zip(found, BATCH, strict=True):
        expected, counts = search_by_hand(
            model, source, 6, beam_size, length_penalty, layers, n_best or 1
        )
        listed = [translations] if n_best is None else translations
        assert [t.tokens for t in listed] == [tokens for tokens, _ in expected]
        scores = [score for _, score in expected]
        np.testing.assert_allclose([t.score for t in listed], scores, rtol=1e-11)
        live[: len(counts)] += counts
    assert rows == live[live > 0].tolist()  # ended hypotheses are not computed
    tokens = model.translate(BATCH, n_best=n_best, **options)
    if n_best is None:
        assert tokens == [translation.tokens for translation in found]
    else:
        assert tokens == [[t.tokens for t in translations] for translations in found]


@pytest.mark.parametrize(("layers", "seed"), [(1, 39), (2, 10), (1, 23)])
def test_the_searched_models_are_no_easy_ones(layers, seed):
    model = searched(seed, layers)
    greedy, wide = (model.translate(BATCH, max_length=6, beam_size=k) for k in (1, 8))
    assert len({len(tokens) for tokens in greedy}) >= 3
    assert any(a != b for a, b in zip(greedy, wide, strict=True))


def test_attention_weights_of_a_translation():
    model = searched(39)
    found = model.beam_search(SOURCES, max_length=5, beam_size=2)
    for translation, source in zip(found, SOURCES, strict=True):
        read = [0, *translation.tokens][: len(translation.tokens)]
        assert translation.attention.shape == (len(read), len(source))
        if read:
            _, weights = logits_of(dict(model.parameters), source, read, 1)
            np.testing.assert_allclose(translation.attention, weights, rtol=1e-11)


def test_a_model_that_is_not_finite_is_refused():
    model = model_of()
    model.output.flat_parameters[0] = np.nan
    with pytest.raises(ValueError, match="the model gives NaN: its weights are not finite"):
        model.translate(SOURCES, max_length=3)


# ---- files -----------------------------------------------------------------------------------


def options():
    return [
        {},
        {
            "num_layers": 2,
            "dropout": 0.25,
            "score": "additive",
            "bos_idx": 4,
            "eos_idx": 2,
            "gru": {
                "variant": pygru.Variant("after", "replace"),
                "bias": False,
                "init": "keras",
                "recurrent_dropout": 0.1,
                "zoneout": 0.2,
                "learn_h0": True,
                "layer_norm": True,
                "layer_norm_eps": 1e-3,
                "activation": "softsign",
                "recurrent_activation": ("hard_sigmoid", 0.25, 0.5),
                "clip": 2.5,
            },
            "dtype": "float64",
        },
    ]


@pytest.mark.parametrize("option", options(), ids=["plain", "all"])
def test_round_trip_through_a_file(option, tmp_path):
    model = Seq2Seq(5, 6, 2, 3, seed=0, teacher_forcing=lambda step: 0.5, **option)
    pygru.save(model, tmp_path / "m.safetensors")
    loaded = pygru.load(tmp_path / "m.safetensors")
    assert repr(loaded) == repr(model)
    assert loaded.teacher_forcing == 1.0
    sources = [[1, 2], [4]]
    assert loaded.beam_search(sources, max_length=4)[0].score == pytest.approx(
        model.beam_search(sources, max_length=4)[0].score, rel=1e-15
    )
    for name, view in model.parameters.items():
        assert np.array_equal(view, loaded.parameters[name])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 4}, r"attention.weight must have shape \(4, 8\), got \(3, 6\)"),
        ({"hidden_size": None}, "configuration is not valid"),
        ({"target_vocab_size": -1}, "target_vocab_size must be >= 1"),
        ({"source_vocab_size": "5"}, "source_vocab_size must be an int"),
        ({"num_layers": 2**40}, "num_layers=1099511627776 with"),
        ({"num_layers": 2}, "missing tensors: encoder.weight_ih_l1"),
        ({"score": "dot"}, "configuration is not valid"),
        ({"score": "other"}, "configuration is not valid"),
        ({"bos_idx": 6}, "bos_idx must be < target_vocab_size=6, got 6"),
        ({"eos_idx": None}, "eos_idx must be an int, got NoneType"),
        ({"dropout": 2}, r"dropout must be a number in \[0, 1\], got 2"),
        ({"dropout": "no"}, "dropout must be a float, got str"),
        ({"gru": {"variant": ["before", "other"]}}, "configuration is not valid"),
        ({"gru": {"zoneout": 2}}, "configuration is not valid"),
        ({"gru": {"num_layers": 3}}, "configuration is not valid"),
        ({"gru": 3}, "configuration is not valid"),
        ({"gru": {"surprise": 1}}, "configuration is not valid"),
        ({"surprise": 1}, "configuration is not valid"),
    ],
)
def test_malformed_configurations_are_refused(changes, message, tmp_path):
    path = tmp_path / "m.safetensors"
    pygru.save(Seq2Seq(5, 6, 2, 3, seed=0), path)
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    description = json.loads(header["__metadata__"]["config"])
    description["config"].update(changes)
    header["__metadata__"]["config"] = json.dumps(description)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])
    with pytest.raises(FormatError, match=message):
        pygru.load(path)


# ---- refusals --------------------------------------------------------------------------------


def both(source=SOURCES, target=TARGETS):
    return {"source": source, "target": target}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda m: Seq2Seq(0, 5, 2, 3), ValueError, "source_vocab_size must be >= 1, got 0"),
        (lambda m: Seq2Seq(5, 1, 2, 3), ValueError, "target_vocab_size must be >= 2, got 1"),
        (
            lambda m: Seq2Seq(5, 5, 2, 3, score="dot"),
            ValueError,
            "score must be one of 'general', 'additive', got 'dot'",
        ),
        (
            lambda m: Seq2Seq(5, 5, 2, 3, bos_idx=5),
            ValueError,
            "bos_idx must be < target_vocab_size=5, got 5",
        ),
        (
            lambda m: Seq2Seq(5, 5, 2, 3, bos_idx=1),
            ValueError,
            "bos_idx and eos_idx must differ, got 1 for both",
        ),
        (
            lambda m: Seq2Seq(5, 5, 2, 3, teacher_forcing=1.1),
            ValueError,
            r"teacher_forcing must be a number in \[0, 1\], got 1.1",
        ),
        (
            lambda m: m([[1, 2]]),
            TypeError,
            "x must be a mapping with 'source' and 'target', got list",
        ),
        (lambda m: m({"source": SOURCES}), KeyError, "x has no 'target'"),
        (lambda m: m({**both(), "targets": 1}), KeyError, "did you mean 'target'"),
        (lambda m: m(both(), lengths=[1]), TypeError, "lengths must be a mapping"),
        (
            lambda m: m(both(SOURCES[:3])),
            ValueError,
            "source and target must have the same batch size, got 3 and 4",
        ),
        (lambda m: m(both([1, 2])), ValueError, r"source\[0\] must be a sequence of tokens"),
        (
            lambda m: m(both(np.zeros(4, int))),
            ValueError,
            r"source must have 2 dimensions \(batch, time\), got 1",
        ),
        (
            lambda m: m(both([[1.5]] * 4)),
            TypeError,
            r"source\[0\] must be integers, got dtype float64",
        ),
        (lambda m: m(both([[5]] * 4)), IndexError, "5 is out of range for 5 embeddings"),
        (
            lambda m: m.training_data([[1]], [[1], [2]]),
            ValueError,
            "sources and targets must have equal numbers, got 1 and 2",
        ),
        (
            lambda m: m.translate([], max_length=3),
            ValueError,
            "sources must hold at least one sequence, got none",
        ),
        (lambda m: m.translate([[1]], max_length=0), ValueError, "max_length must be >= 1"),
        (
            lambda m: m.translate([[1]], max_length=3, beam_size=0),
            ValueError,
            "beam_size must be >= 1",
        ),
        (
            lambda m: m.translate([[1]], max_length=3, length_penalty=-0.5),
            ValueError,
            "length_penalty must be a finite number >= 0, got -0.5",
        ),
    ],
)
def test_refusals(make, error, message):
    with pytest.raises(error, match=message):
        make(model_of())


# ---- training --------------------------------------------------------------------------------


def test_the_trainer_pads_and_masks_both_sides():
    """Its loss is the mean over all tokens of a batch, each target with its end."""
    model = Seq2Seq(5, 6, 2, 3, dtype="float64", seed=0)
    sources, targets = SOURCES, [target[1:] for target in TARGETS]
    X, y = model.training_data(sources, targets)
    state = dict(model.parameters)
    log_p = [
        log_softmax(logits_of(state, source, [0, *target], 1)[0])[
            np.arange(len(target) + 1), [*target, 1]
        ]
        for source, target in zip(sources, targets, strict=True)
    ]
    expected = -np.concatenate(log_p).mean()
    trainer = Trainer(model, loss="cross_entropy", seed=0)
    assert trainer.evaluate(X, y) == pytest.approx(expected, rel=1e-12)
    arrays = {side: padded_with(-1, X[side]) for side in X}
    again = trainer.evaluate(
        {side: array for side, (array, _) in arrays.items()},
        padded_with(-1, y)[0],
        lengths={side: lengths for side, (_, lengths) in arrays.items()},
    )
    assert again == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="X must have the keys 'source' and 'target'"):
        trainer.fit({"source": sources}, y, epochs=1, batch_size=2)
    with pytest.raises(ValueError, match=r"equal numbers of samples, got 3 and 4"):
        trainer.fit({**X, "source": X["source"][:3]}, y, epochs=1, batch_size=2)


def test_the_loss_of_training_counts_pairs():
    """The mapping is not a pair of samples. This is the loss of all four, before the step."""
    model = Seq2Seq(5, 6, 2, 3, dtype="float64", seed=0)
    X, y = model.training_data(SOURCES, [target[1:] for target in TARGETS])
    seen = []

    class Watch(Callback):
        def on_batch_end(self, trainer, loss, sequences):
            seen.append((loss, sequences))

    trainer = Trainer(model, loss="cross_entropy", callbacks=[Watch()], seed=0)
    before = trainer.evaluate(X, y)
    history = trainer.fit(X, y, epochs=1, batch_size=4)
    assert history["loss"] == pytest.approx([before], rel=1e-12)
    assert seen == [(pytest.approx(before, rel=1e-12), 4)]


def test_trainer_predicts_the_logits_of_pairs():
    model = Seq2Seq(5, 6, 2, 3, dtype="float64", seed=0)
    X, _ = model.training_data(SOURCES, [target[1:] for target in TARGETS])
    found = Trainer(model, loss="cross_entropy").predict(X, batch_size=3)
    assert len(found) == len(SOURCES)
    for index, logits in enumerate(found):
        alone = model({name: [side[index]] for name, side in X.items()})[0]
        np.testing.assert_allclose(logits, alone, rtol=1e-12, atol=1e-14)
    with pytest.raises(ValueError, match="'source' and 'target'"):
        Trainer(model, loss="cross_entropy").predict({"source": SOURCES})


@pytest.mark.slow
def test_learns_to_reverse():
    rng = np.random.default_rng(0)
    sequences = [rng.integers(2, 10, size) for size in rng.integers(3, 9, 3200)]
    reversed_ones = [sequence[::-1] for sequence in sequences]
    model = Seq2Seq(10, 10, 16, 48, seed=0)
    X, y = model.training_data(sequences[:3000], reversed_ones[:3000])
    trainer = Trainer(
        model, loss="cross_entropy", optimizer=Adam(0.01), clip_norm=1.0, seed=0, n_threads=1
    )
    trainer.fit(X, y, epochs=7, batch_size=64)
    trainer.optimizer.learning_rate = 0.002
    trainer.fit(X, y, initial_epoch=7, epochs=10, batch_size=64)
    found = model.translate(sequences[3000:], max_length=12)
    right = [a == b.tolist() for a, b in zip(found, reversed_ones[3000:], strict=True)]
    assert np.mean(right) > 0.95


def test_a_loss_gets_the_mask_of_the_target():
    seen = []

    def loss(logits, target, *, mask):
        seen.append(mask)
        return losses.cross_entropy(logits, target, mask=mask)

    model = Seq2Seq(5, 6, 2, 3, seed=0)
    X, y = model.training_data([[1], [2, 3]], [[2, 3, 4], [5]])
    Trainer(model, loss=loss, seed=0).evaluate(X, y)
    assert seen[0].tolist() == [[True] * 4, [True] * 2 + [False] * 2]


@pytest.mark.parametrize("counts", ["optimizer", "model"])
def test_training_goes_on_after_a_checkpoint_with_the_same_bits(counts, tmp_path):
    """A schedule of teacher forcing too, also if it counts other steps."""
    rng = np.random.default_rng(0)
    sequences = [rng.integers(2, 6, size) for size in rng.integers(0, 5, 40)]

    def trainer_of(seed):
        model = Seq2Seq(6, 6, 3, 4, 2, dropout=0.3, seed=seed)
        model.source_embedding.trainable = False
        trainer = Trainer(model, loss="cross_entropy", optimizer=AdamW(0.01), seed=seed)
        model.teacher_forcing = lambda step: (
            0.9 ** (trainer.optimizer.steps if counts == "optimizer" else step)
        )
        return trainer

    X, y = trainer_of(0).model.training_data(sequences, sequences)
    whole, first, second = trainer_of(0), trainer_of(0), trainer_of(1)
    whole.fit(X, y, epochs=4, batch_size=7)
    first.fit(X, y, epochs=2, batch_size=7)
    first.save_checkpoint(tmp_path / "c.safetensors")
    second.resume(tmp_path / "c.safetensors")
    second.fit(X, y, epochs=4, batch_size=7)
    for name, view in whole.model.parameters.items():
        assert np.array_equal(view, second.model.parameters[name]), name
    assert second.model.training_steps == whole.model.training_steps == 4 * 6


def test_stopped_between_a_forward_pass_and_its_step(tmp_path):
    """A pass that is repeated counts once, and its random numbers are drawn once."""
    fail = [False]

    def loss(prediction, target, *, mask=None):
        if fail[0]:
            raise KeyboardInterrupt
        return losses.cross_entropy(prediction, target, mask=mask)

    model = Seq2Seq(6, 6, 3, 4, teacher_forcing=lambda step: 0.9**step, seed=0)
    X, y = model.training_data([[2, 3]] * 6, [[3, 2]] * 6)
    trainer = Trainer(model, loss=loss, seed=0)
    trainer.fit(X, y, epochs=1, batch_size=2)
    fail[0] = True
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, y, epochs=2, batch_size=2, initial_epoch=1)
    assert model.training_steps == 4
    trainer.save_checkpoint(tmp_path / "c")
    trainer.resume(tmp_path / "c")
    assert model.training_steps == 3


def test_weight_decay_spares_the_biases_of_all_parts():
    model = Seq2Seq(5, 6, 2, 3, score="additive", seed=0)
    before = model.state_dict()
    AdamW(0.1, weight_decay=0.5).step(model)  # without any gradient
    for name, view in model.parameters.items():
        factor = 1.0 if view.ndim == 1 else 0.95
        np.testing.assert_allclose(view, factor * before[name], rtol=1e-6, err_msg=name)


def test_windows_of_a_target_are_refused():
    model = Seq2Seq(5, 6, 2, 3, seed=0)
    X, y = model.training_data([[1]], [[2, 3, 4]])
    with pytest.raises(ValueError, match="bptt_steps must be None for pairs of source and"):
        Trainer(model, loss="cross_entropy").fit(X, y, epochs=1, batch_size=1, bptt_steps=2)


# ---- the options of encoder and decoder -----------------------------------------------------


def test_every_option_of_a_gru_reaches_encoder_and_decoder():
    chosen = options()[1]["gru"]
    model = Seq2Seq(5, 6, 2, 3, 2, dropout=0.25, gru=chosen, dtype="float64", seed=0)
    own = set(model.encoder.options.get_config()) - set(chosen)
    assert own == {
        "input_size",
        "hidden_size",
        "num_layers",
        "batch_first",
        "dropout",
        "bidirectional",
        "reverse",
        "dtype",
        "zero_output_for_mask",  # encoder and decoder have no mask and one direction
        "merge",
    }
    for name, value in chosen.items():
        assert getattr(model.encoder, name) == value, name
        expected = False if name == "learn_h0" else value
        assert getattr(model.decoder, name) == expected, name
    for gru, directions in ((model.encoder, 2), (model.decoder, 1)):
        assert (gru.input_size, gru.hidden_size, gru.num_layers) == (2, 3, 2)
        assert (gru.batch_first, gru.dropout, gru.dtype) == (True, 0.25, np.float64)
        assert gru.num_directions == directions
    assert model.gru["zoneout"] == chosen["zoneout"]
    assert Seq2Seq.from_config(model.get_config()).get_config() == model.get_config()
    check_slope(gru=chosen, dropout=0.25)


def test_a_learned_first_state_of_the_encoder_is_trained():
    model = model_of(gru={"learn_h0": True})
    logits, tape = model.forward(BOTH)
    model.backward(tape, np.ones_like(logits))
    assert "encoder.h0" in model.parameters
    assert "decoder.h0" not in model.parameters
    assert model.grads["encoder.h0"].any()


@pytest.mark.parametrize(
    ("gru", "error", "message"),
    [
        ({"hidden_size": 3}, ValueError, "gru must not hold 'hidden_size', which Seq2Seq sets"),
        ({"dtype": "float64"}, ValueError, "gru must not hold 'dtype'"),
        ({"zoneuot": 0.1}, TypeError, "gru: unexpected key 'zoneuot'; did you mean 'zoneout'"),
        ({"zoneout": 1.5}, ValueError, r"zoneout must be a number in \[0, 1\]"),
        ({"variant": "lstm"}, ValueError, "variant must be one of"),
        ([("zoneout", 0.1)], TypeError, "gru must be a mapping .* got list"),
        (pygru.GRUOptions(2, 3), TypeError, "gru must be a mapping .* got GRUOptions"),
    ],
)
def test_options_of_the_parts_are_checked(gru, error, message):
    with pytest.raises(error, match=message):
        Seq2Seq(5, 6, 2, 3, gru=gru)


def test_options_and_parts_cannot_be_assigned():
    model = model_of()
    for name in ("dropout", "hidden_size", "encoder", "output", "parameters"):
        with pytest.raises(AttributeError, match=f"{name} of a Seq2Seq cannot be assigned"):
            setattr(model, name, None)
    model.gru["zoneout"] = 0.5  # of a copy
    assert model.gru["zoneout"] == 0
    model.teacher_forcing = 0.5
    assert copy.deepcopy(model).teacher_forcing == 0.5


def test_reseeding_draws_what_a_new_model_draws():
    model = Seq2Seq(5, 6, 2, 3, dropout=0.5, teacher_forcing=0.5, seed=1)
    model.reseed(7)
    new = Seq2Seq(5, 6, 2, 3, dropout=0.5, teacher_forcing=0.5, seed=7)
    assert np.array_equal(model.forward(BOTH)[0], new.forward(BOTH)[0])


# ---- data that cannot be learned ------------------------------------------------------------


@pytest.mark.parametrize(
    ("sources", "targets", "error", "message"),
    [
        ([[1]], [[2, 0]], ValueError, r"targets\[0\]\[1\] = 0 is bos_idx: targets are given"),
        ([[1], [2]], [[2], [3, 1]], ValueError, r"targets\[1\]\[1\] = 1 is eos_idx"),
        ([[1]], [[2, 6]], IndexError, r"targets\[0\]\[1\] = 6 .* target_vocab_size=6"),
        ([[1]], [[-1]], IndexError, r"targets\[0\]\[0\] = -1 is out of range"),
        ([[1], [5]], [[2], [2]], IndexError, r"sources\[1\]\[0\] = 5 .* source_vocab_size=5"),
        ([[1]], [[2.0]], TypeError, r"targets\[0\] must be integers, got dtype float64"),
    ],
)
def test_pairs_that_cannot_be_learned(sources, targets, error, message):
    with pytest.raises(error, match=message):
        Seq2Seq(5, 6, 2, 3).training_data(sources, targets)


def test_a_source_may_hold_any_token():
    X, y = Seq2Seq(5, 6, 2, 3, bos_idx=2, eos_idx=4).training_data([[2, 4, 0, 1]], [[0, 1]])
    assert X["source"][0].tolist() == [2, 4, 0, 1]
    assert (X["target"][0].tolist(), y[0].tolist()) == ([2, 0, 1], [0, 1, 4])


@pytest.mark.parametrize("truth", [1.0, 0.5, 0.0])
def test_a_token_out_of_range_is_refused_whatever_the_model_draws(truth):
    model = Seq2Seq(5, 6, 2, 3, teacher_forcing=truth, seed=0)
    for _ in range(5):
        with pytest.raises(IndexError, match=r"x\[1, 2\] = 6 is out of range for 6 embeddings"):
            model.forward({"source": [[1], [2]], "target": [[0], [0, 3, 6]]})


# ---- extreme arguments of a search ----------------------------------------------------------


def test_a_length_penalty_beyond_the_range_of_floats():
    model = Seq2Seq(5, 6, 2, 3, seed=0)
    with pytest.raises(ValueError, match="length_penalty=400 is too large for max_length=50"):
        model.translate([[1]], max_length=50, length_penalty=400)
    with pytest.raises(ValueError, match="too large for max_length"):
        model.translate([[1]], max_length=10**400)
    with pytest.raises(ValueError, match="beam_size must be <= 2147483647"):
        model.translate([[1]], max_length=3, beam_size=2**63)
    assert len(model.translate([[1]], max_length=2, length_penalty=400)[0]) <= 2
