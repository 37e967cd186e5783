"""name2nat: nationality of names, with a whole flair model in a file of PyTorch before 1.6.

Licence of the package: Apache 2.0. The file holds objects of flair beside a state dict, and
neither flair nor the PyTorch of 2020 is needed to read them.
"""

import numpy as np
import pytest

import pygru

PART = "document_embeddings.rnn"


@pytest.fixture(scope="module")
def path(package):
    return package("name2nat").file("name2nat/best-model.pt")


@pytest.mark.slow
def test_the_module_and_its_state_dict_are_one_gru(path):
    found = {gru.name: gru for gru in pygru.io.inspect(path)}
    assert found.keys() == {PART, f"state_dict.{PART}"}
    gru = pygru.from_torch(path)
    assert (gru.input_size, gru.hidden_size, gru.bidirectional) == (300, 256, True)
    assert gru.batch_first and found[PART].evidence["variant"] == "the module is a torch.nn.GRU"
    same = pygru.from_torch(path, f"state_dict.{PART}")
    np.testing.assert_array_equal(gru.flat_parameters, same.flat_parameters)


@pytest.mark.slow
def test_the_model_computes_what_pytorch_computes(path):
    torch = pytest.importorskip("torch")
    arrays = pygru.io.read_arrays(path)
    beginning = f"state_dict.{PART}."
    state = {
        name.removeprefix(beginning): torch.tensor(array)
        for name, array in arrays.items()
        if name.startswith(beginning)
    }
    module = torch.nn.GRU(300, 256, bidirectional=True, batch_first=True)
    module.load_state_dict(state)
    before = "state_dict.document_embeddings"
    model = pygru.from_torch(
        path,
        layers=[
            (f"{before}.embeddings.list_embedding_0.embedding_layer", pygru.Embedding),
            f"{before}.word_reprojection_map",
            f"state_dict.{PART}",
        ],
    )
    letters = np.random.default_rng(0).integers(0, 245, (3, 20))
    table, weight, bias = (
        torch.tensor(arrays[f"{before}.{name}"])
        for name in (
            "embeddings.list_embedding_0.embedding_layer.weight",
            "word_reprojection_map.weight",
            "word_reprojection_map.bias",
        )
    )
    with torch.inference_mode():
        x = torch.nn.functional.linear(table[torch.from_numpy(letters)], weight, bias)
        expected = module(x)[0].numpy()
    np.testing.assert_allclose(model(letters), expected, rtol=0, atol=1e-5)
