"""Masks, merged directions and both settings for masked outputs, against Keras itself.

These tests need Keras with JAX, and are left out where it is not installed. They fail if pygru
and Keras mean different things by a mask, ``zero_output_for_mask``, ``Masking``, ``mask_zero``
or ``merge_mode``.
"""

import os

import numpy as np
import pytest

from pygru import GRU, Embedding, Last, Linear, Masking, Sequential, Variant

pytestmark = pytest.mark.slow
TOLERANCE = 3e-6
T, B, I, H = 7, 4, 3, 5


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "jax")
    return pytest.importorskip("keras")


def arrays_for(rng, inputs):
    """Kernel, recurrent kernel and bias of a GRU of Keras that resets after."""
    shapes = ((inputs, 3 * H), (H, 3 * H), (2, 3 * H))
    return [rng.uniform(-0.7, 0.7, shape).astype(np.float32) for shape in shapes]


def parameters_of(arrays, suffix=""):
    """The same in pygru's form: rows in the order r, z, n."""
    kernel, recurrent, bias = arrays

    def rows(array):
        z, r, n = np.split(array, 3, axis=-1)
        return np.concatenate([r, z, n], axis=-1).T

    return {
        f"weight_ih_l0{suffix}": rows(kernel),
        f"weight_hh_l0{suffix}": rows(recurrent),
        f"bias_ih_l0{suffix}": rows(bias[0]),
        f"bias_hh_l0{suffix}": rows(bias[1]),
    }


def problem(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((B, T, I)).astype(np.float32)
    mask = rng.random((B, T)) < 0.6
    mask[0, [0, 1]] = mask[1, -2:] = False
    mask[3] = True
    return rng, x, mask


def made(arrays, reverse=None, **options):
    gru = GRU(
        len(arrays[0]),
        H,
        batch_first=True,
        variant=Variant("after", "keep"),
        bidirectional=reverse is not None,
        **options,
    )
    parameters = parameters_of(arrays)
    if reverse is not None:
        parameters |= parameters_of(reverse, "_reverse")
    gru.load_state_dict(parameters)
    return gru


def close(found, right):
    np.testing.assert_allclose(found, np.asarray(right), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("zero", [False, True])
def test_a_gru(keras, zero):
    rng, x, mask = problem()
    arrays = arrays_for(rng, I)
    h0 = rng.uniform(-1, 1, (B, H)).astype(np.float32)
    layer = keras.layers.GRU(
        H, return_sequences=True, return_state=True, zero_output_for_mask=zero
    )
    layer.build(x.shape)
    layer.set_weights(arrays)
    right, state = layer(x, initial_state=h0, mask=mask)
    output, h_n = made(arrays, zero_output_for_mask=zero)(x, h0[np.newaxis], mask=mask)
    close(output, right)
    close(h_n[0], state)


@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "ave"])
@pytest.mark.parametrize("sequences", [False, True])
def test_two_directions(keras, merge, sequences):
    """Bidirectional has zeros where nothing counts, whatever its layers were told."""
    rng, x, mask = problem()
    arrays, reverse = arrays_for(rng, I), arrays_for(rng, I)
    layer = keras.layers.Bidirectional(
        keras.layers.GRU(H, return_sequences=sequences), merge_mode=merge
    )
    layer.build(x.shape)
    layer.set_weights([*arrays, *reverse])
    right = layer(x, mask=mask)
    if sequences:
        close(
            made(arrays, reverse, zero_output_for_mask=True, merge=merge)(x, mask=mask)[0],
            right,
        )
    else:
        model = Sequential(made(arrays, reverse), Last(bidirectional=True, merge=merge))
        close(model(x, mask=mask), right)


@pytest.mark.parametrize("sequences", [False, True])
def test_a_model_with_masking(keras, sequences):
    rng, x, mask = problem()
    x[~mask] = -1
    first, second = arrays_for(rng, I), arrays_for(rng, H)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((T, I)),
            layers.Masking(-1.0),
            layers.GRU(H, return_sequences=True),
            layers.GRU(H, return_sequences=sequences),
            layers.Dense(2),
        ]
    )
    dense = [rng.standard_normal((H, 2)).astype(np.float32), np.ones(2, np.float32)]
    model.set_weights([*first, *second, *dense])
    linear = Linear(H, 2)
    linear.load_state_dict({"weight": dense[0].T, "bias": dense[1]})
    ending = (linear,) if sequences else (Last(), linear)
    own = Sequential(Masking(-1.0), made(first), made(second), *ending)
    close(own(x), model(x))


def test_a_loss_of_a_model_with_masking(keras):
    """The steps that Masking leaves out do not count in the loss."""
    import pygru

    rng, x, mask = problem()
    x[~mask] = 0
    arrays = arrays_for(rng, I)
    model = keras.Sequential(
        [
            keras.layers.Input((T, I)),
            keras.layers.Masking(),
            keras.layers.GRU(H, return_sequences=True),
        ]
    )
    model.set_weights(arrays)
    model.compile(loss="mse")
    y = rng.standard_normal((B, T, H)).astype(np.float32)
    right = model.evaluate(x, y, verbose=0, batch_size=B)
    own = pygru.Trainer(Sequential(Masking(), made(arrays)), loss="mse")
    # Keras takes the mean over the features, then over the steps that count.
    assert own.evaluate(x, y) == pytest.approx(float(right), rel=1e-5)


def test_an_embedding_with_mask_zero(keras):
    rng, _, mask = problem()
    tokens = rng.integers(1, 6, (B, T))
    tokens[~mask] = 0
    table, arrays = rng.standard_normal((6, I)).astype(np.float32), arrays_for(rng, I)
    model = keras.Sequential(
        [
            keras.layers.Input((T,)),
            keras.layers.Embedding(6, I, mask_zero=True),
            keras.layers.GRU(H),
        ]
    )
    model.set_weights([table, *arrays])
    own = Sequential(Embedding(6, I, mask_zero=True, weight=table), made(arrays), Last())
    close(own(tokens), model(tokens))
