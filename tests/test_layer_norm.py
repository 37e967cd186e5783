"""Layer normalisation in the cell, against reference.py and against its own invariances.

These tests fail if a mean or variance is that of a wrong row, gate or width; if eps is missing;
if a bias is inside the product; if a gradient ignores that the mean and the variance depend on
every unit; or if a gate uses the gains of another one.
"""

import numpy as np
import pytest
import reference
from engines import ENGINES, use_engine
from test_noise import LENGTHS, STEP, B, I, T, data, expected_of, make, noise_of

import pygru
from pygru import GRU

every_engine = pytest.mark.parametrize("engine", ENGINES)
every_variant = pytest.mark.parametrize("variant", list(reference.VARIANTS))


def normalised(variant="chung", seed=3, **options):
    """A GRU whose gains and biases have no special values that could hide a mistake."""
    gru = make(variant, layer_norm=True, **options)
    gru.flat_parameters = np.random.default_rng(seed).uniform(-1, 1, gru.flat_parameters.size)
    return gru


# ---- against the reference -----------------------------------------------------------------


@every_engine
@every_variant
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
def test_outputs_equal_the_reference(variant, lengths, bias, engine, monkeypatch):
    use_engine(monkeypatch, engine)
    gru = normalised(variant, bias=bias)
    x, h0 = data()
    expected, expected_h_n = expected_of(gru, x, h0, lengths, reference.NO_NOISE)
    for output, h_n in (
        gru(x, h0, lengths=lengths),
        gru.forward(x, h0, lengths=lengths)[:2],
    ):
        np.testing.assert_allclose(output, expected, rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(h_n, expected_h_n, rtol=1e-13, atol=1e-14)


@every_engine
@every_variant
@pytest.mark.parametrize(
    ("memory", "noise"),
    [("gates", {}), ("outputs", {"recurrent_dropout": 0.4, "zoneout": 0.3, "dropout": 0.5})],
    ids=["gates", "outputs-noise"],
)
def test_gradients_equal_complex_steps(variant, memory, noise, engine, monkeypatch):
    use_engine(monkeypatch, engine)
    gru = normalised(variant, **noise)
    x, h0 = data()
    rng = np.random.default_rng(9)
    output, h_n, tape = gru.forward(x, h0, lengths=LENGTHS, memory=memory)
    d_output, d_h_n = rng.standard_normal(output.shape), rng.standard_normal(h_n.shape)
    d_x, d_h0 = gru.backward(tape, d_output, d_h_n)
    tensors = {"x": x, "h0": h0, **gru.state_dict()}
    actual = {"x": d_x, "h0": d_h0, **gru.grads}
    for name, array in tensors.items():
        direction = rng.standard_normal(array.shape)
        moved = {**tensors, name: array + 1j * STEP * direction}
        parameters = {n: a for n, a in moved.items() if n not in ("x", "h0")}
        y, h = expected_of(gru, moved["x"], moved["h0"], LENGTHS, noise_of(tape), parameters)
        right = ((d_output * y).sum() + (d_h_n * h).sum()).imag / STEP
        error = (actual[name] * direction).sum() - right
        assert abs(error) <= 1e-12 * np.linalg.norm(actual[name]), name


@pytest.mark.slow
@every_engine
@pytest.mark.parametrize("memory", ["gates", "outputs"])
def test_gradients_over_several_blocks_of_steps(memory, engine, monkeypatch):
    """240 rows of 70 units: the core takes them in more than one block."""
    use_engine(monkeypatch, engine)
    steps, size = 120, 70
    gru = GRU(I, size, dtype="float64", layer_norm=True, seed=0)
    rng = np.random.default_rng(1)
    gru.flat_parameters += rng.uniform(-0.3, 0.3, gru.flat_parameters.size)
    x = rng.standard_normal((steps, 2, I))
    output, _, tape = gru.forward(x, memory=memory)
    d_output = rng.standard_normal(output.shape)
    d_x, _ = gru.backward(tape, d_output)
    tensors = {"x": x, **gru.state_dict()}
    for name, actual in {"x": d_x, **gru.grads}.items():
        direction = rng.standard_normal(actual.shape)
        moved = {**tensors, name: tensors[name] + 1j * STEP * direction}
        x_moved = moved.pop("x")
        y, _ = reference.forward(moved, x_moved, reset="before", update="replace")
        right = (d_output * y).sum().imag / STEP
        error = (actual * direction).sum() - right
        assert abs(error) <= 1e-11 * np.linalg.norm(actual), name


@pytest.mark.parametrize("size", [1, 15, 16, 17, 33, 130])
def test_sums_of_any_width(size):
    gru = GRU(I, size, dtype="float64", layer_norm=True, layer_norm_eps=0.25, seed=0)
    x = np.random.default_rng(1).standard_normal((T, B, I))
    cell = reference.Cell(dict(gru.parameters), "l0", "before", "replace", eps=0.25)
    h = np.zeros(size)
    for x_t in x[:, 1]:
        *_, h = cell.step(x_t, h)
    np.testing.assert_allclose(gru(x)[1][0, 1], h, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equal_sums_give_the_bias_and_no_nan(dtype):
    gru = GRU(3, 4, layer_norm=True, dtype=dtype, seed=0)
    x = np.zeros((2, 1, 3), dtype)  # every sum of the first step is 0
    output, _, tape = gru.forward(x)
    plain = GRU(3, 4, dtype=dtype, seed=0)
    np.testing.assert_array_equal(output[0], plain(x)[0][0])
    d_x, d_h0 = gru.backward(tape, np.ones_like(output))
    assert np.isfinite(d_x).all() and np.isfinite(d_h0).all()
    assert np.isfinite(gru.flat_grads).all()


def test_a_matrix_of_any_scale_gives_the_same_output():
    """With a very small eps the scale of a gate's weights does not matter."""
    gru = normalised(layers=1, bidirectional=False, layer_norm_eps=1e-20)
    x, h0 = data(1, 1)
    before = gru(x, h0)[0].copy()
    H = gru.hidden_size
    gru.parameters["weight_ih_l0"][:H] *= 1000
    gru.parameters["weight_hh_l0"][2 * H :] *= 0.01
    np.testing.assert_allclose(gru(x, h0)[0], before, rtol=1e-10, atol=1e-12)


# ---- the same bits ---------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["chung", "pytorch"])
def test_same_bits_for_threads_batches_and_memory(variant):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((10, 70, 3)).astype(np.float32)
    results = []
    for n_threads, memory in ((1, "gates"), (2, "gates"), (3, "outputs")):
        gru = GRU(3, 33, 2, variant=variant, layer_norm=True, seed=0)
        output, _, tape = gru.forward(x, n_threads=n_threads, memory=memory)
        results.append((output, gru.backward(tape, output)[0], gru.flat_grads.copy()))
    for other in results[1:]:
        for found, right in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(found, right)
    if pygru.show_config(mode="dicts")["engine"] == "simd":
        np.testing.assert_array_equal(gru(x[:, 5:6])[0], results[0][0][:, 5:6])


@every_engine
@every_variant
def test_step_and_stream_equal_a_sequence(variant, engine, monkeypatch):
    use_engine(monkeypatch, engine)
    gru = normalised(variant, bidirectional=False)
    x, h0 = data(2, 1)
    expected, expected_h = gru(x, h0)
    h, stream = h0, gru.stream(B)
    stream.h = h0
    for x_t, right in zip(x, expected, strict=True):
        h = gru.step(x_t, h)
        np.testing.assert_allclose(h[-1], right, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(stream(x_t), right, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(h, expected_h, rtol=1e-12, atol=1e-14)


def test_gradients_in_windows_are_those_of_the_whole():
    gru = normalised(layers=2, bidirectional=False)
    x, h0 = data(2, 1)
    results = []
    for memory in ("gates", "sqrt"):
        gru.zero_grad()
        output, h_n, tape = gru.forward(x, h0, memory=memory)
        results.append([*gru.backward(tape, output, h_n), gru.flat_grads.copy()])
    for whole, windows in zip(*results, strict=True):
        np.testing.assert_allclose(windows, whole, rtol=1e-10, atol=1e-12)


def test_gates_are_those_of_the_reference():
    gru = normalised("cho", layers=1, bidirectional=False)
    x, h0 = data(1, 1)
    cell = reference.Cell(dict(gru.parameters), "l0", "before", "keep")
    gates, h = gru.gates(x, h0)[0], h0[0, 2]
    for t in range(T):
        *expected, h = cell.step(x[t, 2], h)
        for found, right in zip((gates.r, gates.z, gates.n), expected, strict=True):
            np.testing.assert_allclose(found[t, 2], right, rtol=1e-12, atol=1e-14)


# ---- parameters and configuration ------------------------------------------------------------


@pytest.mark.parametrize("init", ["torch", "keras"])
def test_gains_begin_at_one_and_other_weights_are_those_without(init):
    plain = GRU(2, 3, 2, bidirectional=True, init=init, seed=5)
    gru = GRU(2, 3, 2, bidirectional=True, init=init, seed=5, layer_norm=True)
    gains = [name for name in gru.parameters if name not in plain.parameters]
    assert gains == [
        f"gain_{side}_l{layer}{suffix}"
        for layer in range(2)
        for suffix in ("", "_reverse")
        for side in ("ih", "hh")
    ]
    for name, array in gru.parameters.items():
        right = plain.parameters.get(name, np.ones(9))
        np.testing.assert_array_equal(array, right, err_msg=name)


def test_weight_decay_spares_gains():
    gru = GRU(2, 3, layer_norm=True, seed=0)
    spared = np.ones(gru.flat_parameters.size, bool)
    for place in gru.weight_slices[0]:
        spared[place] = False
    count = sum(gru.parameters[name].size for name in gru.parameters if "weight" not in name)
    assert spared.sum() == count == 4 * 9


def test_configuration_is_kept(tmp_path):
    import pickle

    gru = GRU(2, 3, layer_norm=True, layer_norm_eps=1e-3, seed=0)
    gru.parameters["gain_hh_l0"][:] = np.arange(9)
    x = np.ones((4, 2), np.float32)
    pygru.save(gru, tmp_path / "gru")
    for other in (pickle.loads(pickle.dumps(gru)), pygru.load(tmp_path / "gru")):
        assert other.get_config() == gru.get_config()
        np.testing.assert_array_equal(other(x)[0], gru(x)[0])
    assert repr(gru).endswith("layer_norm=True, layer_norm_eps=0.001)")
    assert "layer_norm" not in repr(GRU(2, 3))


def test_configuration_of_a_version_without_layer_norm():
    config = GRU(2, 3, seed=0).get_config()
    del config["layer_norm"], config["layer_norm_eps"]
    assert list(GRU.from_config(config).parameters) == list(GRU.parameter_shapes(config))


def test_textbook_weights_are_refused():
    gru, cells = GRU(2, 3, layer_norm=True, seed=0), GRU(2, 3, seed=0).concatenated_weights()
    before = gru.flat_parameters.copy()
    for call in (gru.concatenated_weights, lambda: gru.load_concatenated_weights(cells)):
        with pytest.raises(ValueError, match=r"layer_norm .* \[h, x\]"):
            call()
    np.testing.assert_array_equal(gru.flat_parameters, before)


@pytest.mark.parametrize("bad", [1, "yes", None])
def test_layer_norm_that_is_no_bool(bad):
    with pytest.raises(TypeError, match="layer_norm must be a bool"):
        GRU(2, 3, layer_norm=bad)


@pytest.mark.parametrize("bad", [0.0, -1e-5, 2.0, float("nan"), 1e-40, "1e-5", True])
def test_eps_that_is_none(bad):
    with pytest.raises((TypeError, ValueError), match="layer_norm_eps must be"):
        GRU(2, 3, layer_norm=True, layer_norm_eps=bad)
