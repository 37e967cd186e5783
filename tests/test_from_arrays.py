"""Weights in the layouts of other libraries, and exact changes of the variant."""

import numpy as np
import pytest

import pygru

T, B, I, H = 5, 3, 4, 6


def weights(rng, *shape):
    return rng.normal(size=shape)


def separate_gates(rng, width):
    """One matrix and one bias for each gate, as a paper writes them."""
    return {
        gate: (weights(rng, H, width), weights(rng, H, H), weights(rng, H), weights(rng, H))
        for gate in "rzn"
    }


def laid_out(gates, order, units):
    """Join the gates by hand, without any code of pygru."""
    parts = [np.concatenate([gates[gate][i] for gate in order]) for i in range(4)]
    if units == "columns":
        parts[0], parts[1] = parts[0].T.copy(), parts[1].T.copy()
    return parts


def by_hand(gates, x, variant):
    """One sequence, from the equations of the variant."""

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    h = np.zeros(H)
    for x_t in x:
        (Wr, Ur, br, cr), (Wz, Uz, bz, cz), (Wn, Un, bn, cn) = (gates[g] for g in "rzn")
        r = sigmoid(Wr @ x_t + Ur @ h + br + cr)
        z = sigmoid(Wz @ x_t + Uz @ h + bz + cz)
        if variant == "pytorch":
            n = np.tanh(Wn @ x_t + bn + r * (Un @ h + cn))
        else:
            n = np.tanh(Wn @ x_t + bn + Un @ (r * h) + cn)
        h = (1 - z) * h + z * n if variant == "chung" else z * h + (1 - z) * n
    return h


@pytest.mark.parametrize("variant", ["chung", "cho", "pytorch"])
@pytest.mark.parametrize("order", ["rzn", "zrn", "nzr"])
@pytest.mark.parametrize("units", ["rows", "columns"])
def test_a_layout_is_read_as_it_is_meant(variant, order, units):
    rng = np.random.default_rng(0)
    gates = separate_gates(rng, I)
    gru = pygru.from_arrays(
        *laid_out(gates, order, units), gate_order=order, units=units, variant=variant
    )
    x = rng.normal(size=(T, I))
    assert gru.dtype == np.float64
    np.testing.assert_allclose(gru(x)[1][0], by_hand(gates, x, variant), rtol=0, atol=1e-14)


def test_the_bias_of_the_candidate_alone():
    rng = np.random.default_rng(1)
    gates = separate_gates(rng, I)
    for gate in "rz":  # such a library has added these two biases
        gates[gate] = (*gates[gate][:2], gates[gate][2] + gates[gate][3], np.zeros(H))
    W, U, b, _ = laid_out(gates, "zrn", "rows")
    gru = pygru.from_arrays(W, U, b, gates["n"][3], gate_order="zrn", variant="pytorch")
    x = rng.normal(size=(T, I))
    np.testing.assert_allclose(gru(x)[1][0], by_hand(gates, x, "pytorch"), rtol=0, atol=1e-14)


@pytest.mark.parametrize("as_lists", [False, True])
def test_layers_and_directions(as_lists):
    source = pygru.GRU(I, H, 2, bidirectional=True, seed=0, dtype=np.float64)
    state = source.state_dict()

    def all_of(name):
        pairs = [[state[f"{name}_l{i}{s}"] for s in ("", "_reverse")] for i in range(2)]
        return [[a.tolist() for a in pair] for pair in pairs] if as_lists else pairs

    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    gru = pygru.from_arrays(*map(all_of, names), variant="chung", dtype=np.float64)
    assert (gru.num_layers, gru.bidirectional) == (2, True)
    assert (gru.flat_parameters == source.flat_parameters).all()


def test_options_are_those_of_the_gru():
    W, U = np.ones((3 * H, I), np.float32), np.ones((3 * H, H), np.float32)
    gru = pygru.from_arrays(W, U, variant="cho", batch_first=True, dtype=np.float64, seed=1)
    assert (gru.bias, gru.batch_first, gru.dtype) == (False, True, np.float64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recurrent_weights": np.ones((4 * H, H))}, "this is an LSTM"),
        ({"recurrent_weights": np.ones((H, H))}, "this is a plain RNN"),
        (
            {"input_weights": np.ones((I, 3 * H))},
            r"the input weights must be \(18, I\)",
        ),
        ({"input_bias": np.ones((2, 3 * H))}, r"got \(2, 18\); pass bias\[0\] as input_bias"),
        ({"input_bias": np.ones(6 * H)}, r"got \(36,\); pass its first half as input_bias"),
        ({"recurrent_bias": np.ones(H + 1)}, r"recurrent bias must be \(18,\), got \(7,\)"),
        (
            {"input_weights": [np.ones((3 * H, I))] * 2},
            "must be for 2 layers",
        ),
        ({"gate_order": "zrh"}, "gate_order must have each of 'r', 'z' and 'n' once"),
        ({"units": "cols"}, "units must be one of 'rows', 'columns'"),
        ({"variant": "keras"}, "variant must be one of"),
        ({"hidden_size": H + 1}, "hidden_size=7 contradicts the weights"),
        ({"input_bias": np.full(3 * H, "a")}, "input_bias must be numeric"),
        ({"no_such_option": 1}, "unexpected key 'no_such_option'"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    arguments = {
        "input_weights": np.ones((3 * H, I)),
        "recurrent_weights": np.ones((3 * H, H)),
        "variant": "cho",
    }
    with pytest.raises((TypeError, ValueError), match=message):
        pygru.from_arrays(**(arguments | change))


def test_the_variant_has_no_default():
    with pytest.raises(TypeError, match="variant"):
        pygru.from_arrays(np.ones((3 * H, I)), np.ones((3 * H, H)))


def test_later_layers_must_fit_the_first():
    W, U = [np.ones((3 * H, I))] * 2, [np.ones((3 * H, H))] * 2
    with pytest.raises(ValueError, match=r"layer 1: expected I = 6 and H = 6, got I = 4"):
        pygru.from_arrays(W, U, variant="cho")


# ---- the other update -----------------------------------------------------------------------


@pytest.mark.parametrize("reset", ["before", "after"])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_keep_and_replace_are_exchanged_exactly(reset, layer_norm):
    rng = np.random.default_rng(2)
    gru = pygru.GRU(
        I, H, 2, variant=pygru.Variant(reset, "keep"), layer_norm=layer_norm, dtype=np.float64
    )
    gru.flat_parameters = weights(rng, gru.flat_parameters.size)
    other = pygru.io.to_variant(gru, pygru.Variant(reset, "replace"))
    assert other.variant.update == "replace"
    x = rng.normal(size=(T, B, I))
    np.testing.assert_allclose(other(x)[0], gru(x)[0], rtol=0, atol=1e-13)
    back = pygru.io.to_variant(other, gru.variant)
    assert (back.flat_parameters == gru.flat_parameters).all()


def test_the_random_numbers_of_the_given_gru_are_its_own():
    gru = pygru.GRU(I, H, seed=0)
    before = gru.generator.bit_generator.state
    other = pygru.io.to_variant(gru, "cho")
    assert gru.generator.bit_generator.state == before
    assert other.generator.random() == gru.generator.random()
    assert other.generator is not gru.generator


def test_the_reset_cannot_be_moved():
    with pytest.raises(ValueError, match="no weights make the two equal"):
        pygru.io.to_variant(pygru.GRU(I, H, seed=0), "pytorch")
