"""Recurrent dropout, zoneout and the learned h0, against reference.py with the same masks.

The masks that a call drew are read from its tape and given to the reference. Then the outputs
must agree, and the gradients must agree with complex-step derivatives. These tests fail if a
mask belongs to another sequence, step, layer or direction; if a scale is missing; if a mask
acts on the part of the state that the update gate keeps; or if a gradient passes where it must
not.
"""

import numpy as np
import pytest
import reference
from engines import ENGINES, use_engine
from quick import quick_and_slow

from pygru import GRU, Variant
from pygru.core import _testing

STEP = 1e-30
T, B, I, H = 6, 4, 2, 5
LENGTHS = [6, 0, 3, 5]

every_engine = pytest.mark.parametrize("engine", ENGINES)
every_variant = pytest.mark.parametrize("variant", list(reference.VARIANTS))
every_noise = pytest.mark.parametrize(
    "options",
    [
        {"recurrent_dropout": 0.4},
        {"zoneout": 0.3},
        {"recurrent_dropout": 0.4, "zoneout": 0.3, "dropout": 0.5},
    ],
    ids=["recurrent", "zoneout", "all"],
)


def make(variant, layers=2, bidirectional=True, **options):
    reset, update = reference.VARIANTS[variant]
    return GRU(
        I,
        H,
        layers,
        bidirectional=bidirectional,
        variant=Variant(reset, update),
        dtype="float64",
        seed=1,
        **options,
    )


def data(layers=2, directions=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((T, B, I)), rng.uniform(-1, 1, (layers * directions, B, H))


def noise_of(tape):
    """The noise of a call, in the form that the reference needs."""
    gru, noise = tape.gru, tape.noise
    if noise is None:
        return reference.Noise()
    L, D = gru.num_layers, gru.num_directions
    rows = tape.plan.sizes(1)["rows"]
    step, sequence = np.empty(rows, np.int64), np.empty(rows, np.int64)
    tape.plan.rows(step, sequence)
    lengths = np.full(B, T) if tape.inputs.lengths is None else tape.inputs.lengths
    recurrent = dropout = zoneout = None
    if noise.recurrent is not None:
        recurrent = noise.recurrent.reshape(L * D, B, H) / (1 - gru.recurrent_dropout)
    if noise.zoneout is not None:
        zoneout = np.zeros((L * D, T, B, H))
        for cell, mask in enumerate(noise.zoneout.reshape(L * D, rows, H)):
            backwards = gru.options.reads_backwards[cell % D]
            time = lengths[sequence] - 1 - step if backwards else step
            zoneout[cell, time, sequence] = mask
    if noise.dropout is not None:
        dropout = np.zeros((L - 1, T, B, D * H))
        masks = noise.dropout.reshape(L - 1, rows, D * H)
        dropout[:, step, sequence] = masks / (1 - gru.dropout)
    return reference.Noise(recurrent, zoneout, dropout)


def expected_of(gru, x, h0, lengths, noise, parameters=None):
    reset, update = gru.variant.reset, gru.variant.update
    return reference.forward(
        dict(gru.parameters) if parameters is None else parameters,
        x,
        h0,
        lengths,
        num_layers=gru.num_layers,
        bidirectional=gru.bidirectional,
        reset=reset,
        update=update,
        noise=noise,
        style=reference.Style(gru.activation, gru.recurrent_activation, gru.clip, gru.reverse),
    )


# ---- training --------------------------------------------------------------------------


@every_engine
@every_variant
@every_noise
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
def test_forward_equals_the_reference_with_the_same_masks(
    variant, options, lengths, engine, monkeypatch
):
    use_engine(monkeypatch, engine)
    gru = make(variant, **options)
    x, h0 = data()
    output, h_n, tape = gru.forward(x, h0, lengths=lengths)
    expected, expected_h_n = expected_of(gru, x, h0, lengths, noise_of(tape))
    np.testing.assert_allclose(output, expected, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(h_n, expected_h_n, rtol=1e-13, atol=1e-14)


@every_engine
@every_variant
@every_noise
@pytest.mark.parametrize("memory", quick_and_slow(["gates"], ["outputs"]))
def test_gradients_equal_complex_steps_with_the_same_masks(
    variant, options, memory, engine, monkeypatch
):
    use_engine(monkeypatch, engine)
    gru = make(variant, **options)
    x, h0 = data()
    rng = np.random.default_rng(9)
    output, h_n, tape = gru.forward(x, h0, lengths=LENGTHS, memory=memory)
    d_output, d_h_n = rng.standard_normal(output.shape), rng.standard_normal(h_n.shape)
    noise = noise_of(tape)
    d_x, d_h0 = gru.backward(tape, d_output, d_h_n)
    tensors = {"x": x, "h0": h0, **gru.state_dict()}
    actual = {"x": d_x, "h0": d_h0, **gru.grads}
    for name, array in tensors.items():
        for _ in range(2):
            direction = rng.standard_normal(array.shape)
            moved = {**tensors, name: array + 1j * STEP * direction}
            parameters = {n: a for n, a in moved.items() if n not in ("x", "h0")}
            y, h = expected_of(gru, moved["x"], moved["h0"], LENGTHS, noise, parameters)
            right = ((d_output * y).sum() + (d_h_n * h).sum()).imag / STEP
            error = (actual[name] * direction).sum() - right
            assert abs(error) <= 1e-12 * np.linalg.norm(actual[name]), name


@pytest.mark.parametrize(
    ("option", "kept"), [("recurrent_dropout", 0.7), ("zoneout", 0.3), ("dropout", 0.7)]
)
def test_share_of_ones_in_the_masks(option, kept):
    gru = GRU(2, 64, 2, seed=0, **{option: 0.3})
    tape = gru.forward(np.zeros((20, 50, 2)))[2]
    mask = getattr(tape.noise, option.removesuffix("_dropout"))
    assert set(np.unique(mask)) == {0, 1}
    assert mask.mean() == pytest.approx(kept, abs=4 * np.sqrt(0.21 / mask.size))


def test_every_call_draws_anew_and_a_seed_draws_the_same():
    def outputs():
        gru = GRU(2, 8, recurrent_dropout=0.5, zoneout=0.5, seed=3)
        return [gru.forward(np.ones((4, 3, 2)))[0] for _ in range(2)]

    first, second = outputs()
    assert (first != second).any()
    np.testing.assert_array_equal(outputs(), [first, second])


def test_sequences_have_masks_of_their_own_and_steps_do_not():
    gru = GRU(1, 40, recurrent_dropout=0.5, seed=0)
    mask = gru.forward(np.zeros((7, 3, 1)))[2].noise.recurrent.reshape(3, 40)
    assert (mask[0] != mask[1]).any() and (mask[1] != mask[2]).any()


@pytest.mark.parametrize("options", [{"recurrent_dropout": 0.5}, {"zoneout": 0.5}])
def test_training_has_the_same_bits_with_any_number_of_threads(options):
    x = np.random.default_rng(0).standard_normal((10, 70, 3)).astype(np.float32)
    results = []
    for n_threads in (1, 2, 3):
        gru = GRU(3, 33, seed=0, **options)
        output, _, tape = gru.forward(x, n_threads=n_threads)
        results.append((output, gru.backward(tape, output)[0], gru.flat_grads.copy()))
    for other in results[1:]:
        for found, right in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(found, right)


# ---- inference -------------------------------------------------------------------------


@every_engine
@every_variant
def test_zoneout_has_its_mean_effect_in_inference(variant, engine, monkeypatch):
    use_engine(monkeypatch, engine)
    gru = make(variant, zoneout=0.3, recurrent_dropout=0.9, dropout=0.9)
    x, h0 = data()
    expected = expected_of(gru, x, h0, LENGTHS, reference.Noise(zoneout=0.3))
    for found in (
        gru(x, h0, lengths=LENGTHS),
        gru.forward(x, h0, lengths=LENGTHS, training=False)[:2],
    ):
        for array, right in zip(found, expected, strict=True):
            np.testing.assert_allclose(array, right, rtol=1e-13, atol=1e-14)


@every_variant
def test_backward_of_inference_with_zoneout(variant):
    gru = make(variant, layers=1, bidirectional=False, zoneout=0.3)
    x, h0 = data(1, 1)
    output, h_n, tape = gru.forward(x, h0, training=False)
    d_x, _ = gru.backward(tape, output, h_n)
    direction = np.random.default_rng(2).standard_normal(x.shape)
    y, h = expected_of(gru, x + 1j * STEP * direction, h0, None, reference.Noise(zoneout=0.3))
    right = ((output * y).sum() + (h_n * h).sum()).imag / STEP
    assert (d_x * direction).sum() == pytest.approx(right, rel=1e-12)


@every_engine
def test_step_and_stream_zone_out_like_a_sequence(engine, monkeypatch):
    use_engine(monkeypatch, engine)
    gru = make("chung", bidirectional=False, zoneout=0.3)
    x, h0 = data(2, 1)
    expected, expected_h = gru(x, h0)
    h = h0
    stream = gru.stream(B)
    stream.h = h0
    for x_t, right in zip(x, expected, strict=True):
        h = gru.step(x_t, h)
        np.testing.assert_allclose(h[-1], right, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(stream(x_t), right, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(h, expected_h, rtol=1e-12, atol=1e-14)


def test_short_calls_zone_out_too():
    gru = GRU(2, 3, zoneout=0.5, seed=0)
    x = np.ones((4, 1, 2), np.float32)
    first = gru(x)[0]  # the second call takes a shorter way
    np.testing.assert_array_equal(gru(x)[0], first)
    np.testing.assert_array_equal(gru(x, n_threads=1)[0], first)


def test_full_rates():
    x, h0 = data(1, 1)
    kept = make("chung", layers=1, bidirectional=False, zoneout=1.0)
    np.testing.assert_array_equal(kept(x, h0)[1], h0)
    np.testing.assert_array_equal(kept.forward(x, h0)[1], h0)
    dropped = make("pytorch", layers=1, bidirectional=False, recurrent_dropout=1.0)
    output, _, tape = dropped.forward(x, h0)
    dropped.backward(tape, output)
    assert not dropped.grads["weight_hh_l0"].any()
    assert np.isfinite(output).all()


# ---- the learned h0 ----------------------------------------------------------------------


def learning(**options):
    gru = GRU(I, H, 2, bidirectional=True, learn_h0=True, dtype="float64", seed=0, **options)
    assert not gru.parameters["h0"].any()
    gru.parameters["h0"] = np.random.default_rng(7).uniform(-1, 1, (4, H))
    return gru


def test_learned_h0_is_used_where_none_is_given():
    gru = learning()
    x, h0 = data()
    repeated = np.repeat(gru.parameters["h0"][:, np.newaxis], B, axis=1)
    for lengths in (None, LENGTHS):
        for found, right in zip(
            gru(x, lengths=lengths), gru(x, repeated, lengths=lengths), strict=True
        ):
            np.testing.assert_array_equal(found, right)
    assert (gru(x, h0)[0] != gru(x)[0]).any()
    np.testing.assert_array_equal(gru(x[:, 0])[0], gru(x)[0][:, 0])


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
def test_gradient_of_the_learned_h0_is_the_sum_over_sequences(lengths):
    gru = learning()
    x, _ = data()
    output, h_n, tape = gru.forward(x, lengths=lengths)
    d_h0 = gru.backward(tape, output, h_n)[1]
    np.testing.assert_allclose(gru.grads["h0"], d_h0.sum(axis=1), rtol=1e-15)
    gru.zero_grad()
    output, h_n, tape = gru.forward(x, d_h0, lengths=lengths)
    gru.backward(tape, output, h_n)
    assert not gru.grads["h0"].any()  # an h0 that was given is not the parameter


def test_streams_begin_at_the_learned_h0():
    gru = GRU(I, H, learn_h0=True, seed=0)
    gru.parameters["h0"] = np.full((1, H), 0.5)
    x = np.ones((3, I), np.float32)
    for stream, inputs in ((gru.stream(), x), (gru.stream(B), np.repeat(x[:, None], B, 1))):
        found = [stream(x_t).copy() for x_t in inputs]
        np.testing.assert_allclose(np.reshape(found[-1], (-1, H))[0], gru(x)[0][-1], rtol=1e-6)
        stream.reset()
        np.testing.assert_array_equal(stream(inputs[0]), found[0])
    batch = gru.stream(B)
    batch(np.ones((B, I)))
    batch.reset([1])
    np.testing.assert_array_equal(batch.h[0, 1], gru.parameters["h0"][0])


def test_learned_h0_survives_textbook_weights():
    gru = learning()
    kept = gru.parameters["h0"].copy()
    gru.load_concatenated_weights(gru.concatenated_weights())
    np.testing.assert_array_equal(gru.parameters["h0"], kept)


def test_other_initial_weights_are_those_without_learned_h0():
    plain, learned = GRU(2, 3, seed=5), GRU(2, 3, seed=5, learn_h0=True)
    for name, array in plain.parameters.items():
        np.testing.assert_array_equal(array, learned.parameters[name])


# ---- configuration -----------------------------------------------------------------------


@pytest.mark.parametrize("option", ["recurrent_dropout", "zoneout"])
@pytest.mark.parametrize("bad", [-0.1, 1.5, float("nan"), "0.5", None, True])
def test_rates_that_are_none(option, bad):
    with pytest.raises((TypeError, ValueError), match=option):
        GRU(2, 3, **{option: bad})


def test_configuration_is_kept(tmp_path):
    import pickle

    import pygru

    gru = GRU(2, 3, recurrent_dropout=0.25, zoneout=0.5, learn_h0=True, seed=0)
    pygru.save(gru, tmp_path / "gru")
    for other in (
        pickle.loads(pickle.dumps(gru)),
        pygru.load(tmp_path / "gru"),
        GRU.from_config(gru.get_config()),
    ):
        assert other.get_config() == gru.get_config()
        assert list(other.parameters) == list(gru.parameters)
    assert "recurrent_dropout=0.25, zoneout=0.5, learn_h0=True" in repr(gru)


def test_configuration_of_a_version_without_these_options():
    config = GRU(2, 3, seed=0).get_config()
    for name in ("recurrent_dropout", "zoneout", "learn_h0"):
        del config[name]
    assert list(GRU.from_config(config).parameters) == list(GRU.parameter_shapes(config))


@pytest.fixture
def failing_core(monkeypatch):
    """Every call of the core ends with KeyboardInterrupt."""

    def fail(*arguments, **names):
        raise KeyboardInterrupt

    monkeypatch.setattr("pygru.core._calls.forward", fail)  # of segments
    _testing.watch_calls_with(fail)
    yield
    _testing.watch_calls_with(None)


def test_call_that_fails_has_drawn_nothing(failing_core):
    gru = GRU(2, 3, recurrent_dropout=0.5, zoneout=0.5, seed=0)
    before = gru.generator.bit_generator.state
    for memory in ("gates", "sqrt"):
        with pytest.raises(KeyboardInterrupt):
            gru.forward(np.ones((4, 1, 2)), memory=memory)
        assert gru.generator.bit_generator.state == before
