"""g2p-en: letters to phonemes, with a GRU as encoder and one as decoder, in arrays of a .npz.

Licence of the package: Apache 2.0. Its own code is NumPy, so the original runs here too: the
class is taken out of its source, without the parts that need other packages.
"""

import ast
import os
from types import SimpleNamespace

import numpy as np
import pytest

import pygru

WORDS = """
activationist borogove frabjous gimble grapheme mimsy outgrabe recurrent slithy transmogrify
vorpal wabe
""".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def original(package):
    """The package's own G2p, whose ``predict`` pronounces a word that is in no dictionary."""
    files = package("g2p-en")
    weights, source = files.file("g2p_en/checkpoint20.npz"), files.file("g2p_en/g2p.py")
    tree = ast.parse(source.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    names = {
        "np": np,
        "os": os,
        "dirname": str(weights.parent),
        "cmudict": SimpleNamespace(dict=dict),
        "construct_homograph_dictionary": dict,
    }
    exec(compile(tree, str(source), "exec"), names)
    return names["G2p"]()


@pytest.fixture(scope="module")
def arrays(package):
    return pygru.io.read_arrays(package("g2p-en").file("g2p_en/checkpoint20.npz"))


def gru_of(arrays, part):
    names = ("w_ih", "w_hh", "b_ih", "b_hh")
    return pygru.from_arrays(*(arrays[f"{part}_{name}"] for name in names), variant="pytorch")


def pronounce(arrays, original, word):
    """Do what the original's ``predict`` does, with two GRUs of pygru."""
    encoder, decoder = gru_of(arrays, "enc"), gru_of(arrays, "dec")
    letters = [original.g2idx[letter] for letter in [*word, "</s>"]]
    _, h = encoder(arrays["enc_emb"][letters])
    phoneme, spoken = 2, []  # 2 begins a word, and 3 ends it
    for _ in range(20):
        h = decoder.step(arrays["dec_emb"][phoneme], h)
        phoneme = int((arrays["fc_w"] @ h[-1] + arrays["fc_b"]).argmax())
        if phoneme == 3:
            break
        spoken.append(original.idx2p[phoneme])
    return spoken


@pytest.mark.slow
def test_words_are_pronounced_as_by_the_original(original, arrays):
    for word in WORDS:
        assert pronounce(arrays, original, word) == original.predict(word), word


@pytest.mark.slow
def test_the_states_are_those_of_the_original(original, arrays):
    x = np.random.default_rng(0).normal(size=(1, 9, 256)).astype(np.float32)
    weights = (arrays[f"enc_{name}"] for name in ("w_ih", "w_hh", "b_ih", "b_hh"))
    expected = original.gru(x, 9, *weights)
    # Both compute in float32, with sums of hundreds of products.
    np.testing.assert_allclose(gru_of(arrays, "enc")(x[0])[0], expected[0], rtol=0, atol=4e-6)


@pytest.mark.slow
def test_both_grus_are_found_and_nothing_is_assumed(package):
    path = package("g2p-en").file("g2p_en/checkpoint20.npz")
    found = pygru.io.inspect(path)
    assert [gru.name for gru in found] == ["enc", "dec"]
    for gru in found:
        assert (gru.input_size, gru.hidden_size) == (256, 256)
        assert gru.unknown == ("variant", "gate_order", "activation", "recurrent_activation")
        with pytest.raises(ValueError, match="does not say which variant"):
            gru.build()
