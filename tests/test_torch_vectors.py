"""The variant "pytorch" against torch.nn.GRU: stored vectors, and torch itself if installed.

The stored file needs no torch; make_torch_vectors.py writes it. These tests fail if the two
libraries differ in the equations, the order of gates, layers or directions, the treatment of
batches with different lengths, or the gradients; and if torch's weights can be loaded into
another variant.
"""

from pathlib import Path

import numpy as np
import pytest

from pygru import GRU

PRECISION = 1e-12
FILE = Path(__file__).parent / "data" / "torch_vectors.npz"
CONFIGURATIONS = [
    f"layers={layers},directions={directions},bias={bias},ragged={ragged}"
    for layers in (1, 2)
    for directions in (1, 2)
    for bias in (0, 1)
    for ragged in (0, 1)
]


@pytest.fixture(scope="module")
def stored():
    """A dict of configurations, each a dict of arrays; and the other entries of the file."""
    configurations = {}
    with np.load(FILE) as file:
        for key in file.files:
            name, _, entry = key.rpartition("/")
            configurations.setdefault(name, {})[entry] = file[key]
    return configurations


def pygru_of(parameters, batch_first=False):
    """A GRU of the variant "pytorch" with torch's parameters."""
    gru = GRU(
        parameters["weight_ih_l0"].shape[1],
        parameters["weight_hh_l0"].shape[1],
        sum(name.startswith("weight_hh") and "reverse" not in name for name in parameters),
        bias="bias_ih_l0" in parameters,
        bidirectional="weight_hh_l0_reverse" in parameters,
        batch_first=batch_first,
        variant="pytorch",
        dtype="float64",
    )
    gru.load_state_dict(parameters)
    return gru


def check_like_torch(gru, inputs, expected, memory):
    """Forward and backward must give torch's arrays."""
    output, h_n, tape = gru.forward(
        inputs["x"], inputs["h0"], lengths=inputs.get("lengths"), memory=memory
    )
    gru.zero_grad()
    d_x, d_h0 = gru.backward(tape, inputs["d_output"], inputs["d_h_n"])
    actual = {"output": output, "h_n": h_n, "d_x": d_x, "d_h0": d_h0}
    actual |= {f"d_{name}": array for name, array in gru.grads.items()}
    assert set(actual) == set(expected)
    for name, array in actual.items():
        assert array.shape == expected[name].shape, name
        np.testing.assert_allclose(
            array, expected[name], rtol=PRECISION, atol=PRECISION, err_msg=name
        )


# ---- stored ------------------------------------------------------------------------------


def test_the_file_is_complete(stored):
    assert set(stored) == {"", *CONFIGURATIONS}
    assert str(stored[""]["torch_version"]) and str(stored[""]["numpy_version"])
    assert FILE.stat().st_size < 200_000


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("memory", ["gates", "outputs"])
def test_stored_vectors(stored, name, memory):
    arrays = stored[name]
    parameters = {key: a for key, a in arrays.items() if key.startswith(("weight_", "bias_"))}
    inputs = {
        key: arrays[key] for key in ("x", "h0", "lengths", "d_output", "d_h_n") if key in arrays
    }
    expected = {
        key: array
        for key, array in arrays.items()
        if key not in parameters and key not in inputs
    }
    assert ("lengths" in inputs) == name.endswith("ragged=1")
    assert inputs["h0"].any() and expected["output"].any()
    check_like_torch(pygru_of(parameters), inputs, expected, memory)


# ---- live --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_live(seed):
    pytest.importorskip("torch")
    from make_torch_vectors import run, torch_gru
    from reference import random_parameters

    rng = np.random.default_rng(seed)
    T, B, I, H = (int(rng.integers(1, top)) for top in (30, 20, 12, 40))
    layers, bidirectional, bias = 1 + seed % 3, seed % 2 == 1, seed % 4 < 2
    states = (layers * (1 + bidirectional), B, H)
    parameters = random_parameters(rng, I, H, layers, bidirectional, bias)
    inputs = {
        "x": rng.standard_normal((T, B, I)),
        "h0": rng.uniform(-1, 1, states),
        "lengths": rng.integers(1, T + 1, B) if seed % 5 < 3 else None,
        "d_output": rng.standard_normal((T, B, H * (1 + bidirectional))),
        "d_h_n": rng.standard_normal(states),
    }
    torchs = torch_gru(parameters, I, H, layers, bidirectional, bias)
    expected = run(torchs, **inputs)
    check_like_torch(pygru_of(parameters), inputs, expected, ("gates", "outputs")[seed % 2])


@pytest.mark.parametrize("batch_first", [False, True])
def test_takes_the_state_dict_of_torch(batch_first):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.GRU(
        3, 4, 2, bidirectional=True, batch_first=batch_first, dtype=torch.float64
    )
    x = torch.randn(5, 6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours = pygru_of(dict(theirs.state_dict()), batch_first)
    output, h_n = theirs(x)
    for actual, expected in zip(ours(x), (output, h_n), strict=True):
        np.testing.assert_allclose(actual, expected.detach().numpy(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("variant", ["chung", "cho"])
def test_other_variants_refuse_the_state_dict_of_torch(variant):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.GRU(3, 4)
    ours = GRU(3, 4, variant=variant, seed=0)
    before = ours.flat_parameters.copy()
    for state in (theirs.state_dict(), dict(theirs.named_parameters())):
        with pytest.raises(ValueError, match="PyTorch tensors"):
            ours.load_state_dict(state)
    np.testing.assert_array_equal(ours.flat_parameters, before)
