"""medaka: consensus of DNA reads, with weights in a tar.gz of ``torch.save``.

Licence of the package: Oxford Nanopore Technologies PLC. Public License 1.0. Its network is a
GRU of 2 layers and 2 directions and a linear layer, with a softmax behind it.
"""

import io
import tarfile

import numpy as np
import pytest

import pygru

MODELS = {
    "hac_v6.0.0": 256,
    "hac_variant_v5.0.0": 128,
    "sup_v5.2.0": 128,
    "sup_variant_v5.0.0": 128,
}
FEATURES, BASES = 10, 5


@pytest.fixture(params=MODELS)
def case(request, package):
    """The path of an archive, and the hidden size of its GRU."""
    name = f"medaka/data/r1041_e82_400bps_{request.param}_model_pt.tar.gz"
    return package("medaka").file(name), MODELS[request.param]


@pytest.mark.slow
def test_the_gru_in_the_archive(case):
    path, hidden_size = case
    (found,) = pygru.io.inspect(path)
    assert (found.name, found.input_size, found.hidden_size) == ("gru", FEATURES, hidden_size)
    assert (found.num_layers, found.bidirectional, found.unknown) == (2, True, ())


@pytest.mark.slow
def test_the_model_computes_what_pytorch_computes(case):
    torch = pytest.importorskip("torch")
    path, hidden_size = case
    with tarfile.open(path) as archive:
        weights = io.BytesIO(archive.extractfile("model/weights.pt").read())
    state = torch.load(weights, "cpu", weights_only=True)
    gru = torch.nn.GRU(FEATURES, hidden_size, 2, bidirectional=True, batch_first=True)
    linear = torch.nn.Linear(2 * hidden_size, BASES)
    for module, prefix in ((gru, "gru."), (linear, "linear.")):
        own = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
        module.load_state_dict(own)
    # Counts of bases at each place, as fractions: most are near 0 or 1. The largest of these
    # GRUs enlarges rounding errors on random input: in float32 PyTorch is 1.5 from its own
    # float64. So both compute in float64 here.
    x = np.random.default_rng(0).beta(0.1, 0.3, (4, 100, FEATURES))
    with torch.inference_mode():
        expected = linear.double()(gru.double()(torch.from_numpy(x))[0]).numpy()
    ours = pygru.from_torch(path, layers=["gru", "linear"], dtype="float64")(x)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-7)
