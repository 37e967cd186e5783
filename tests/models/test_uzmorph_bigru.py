"""uzmorph-bigru: the morphology of Uzbek words, letter by letter, in a file of ``torch.save``.

Licence of the package: MIT. Its model is an embedding, a GRU of 2 layers and 2 directions, and
a linear layer, all of which pygru has. The package's own class runs in PyTorch where that is
installed.
"""

import json
import os
import time

import numpy as np
import pytest

import pygru

WORDS = """
kitob kitoblar kitoblarimizdan o'qituvchi o'qituvchilarning bolalarga yozdim yozyapman
kelganlarning uylarimizda maktabdan maktablarimizdagilar qilmoqchiman ishlayotgan do'stlarim
suvsizlik go'zallik ko'rmadingizmi borayotgandirmiz shaharlararo televizorni mehmonxonada
""".split()  # noqa: SIM905
STEPS = 30  # the package cuts words, and fills them up, to this length


@pytest.fixture(scope="module")
def files(package):
    found = package("uzmorph-bigru")
    return {name: found.file(f"uzmorph_bigru/{name}") for name in (
        "data/morph_bigru.pth", "data/char_vocab.json", "model.py",
    )}  # fmt: skip


@pytest.fixture(scope="module")
def model(files):
    return pygru.from_torch(
        files["data/morph_bigru.pth"],
        layers=[("char_embeddings", pygru.Embedding), "gru", "hidden2tag"],
    )


@pytest.fixture(scope="module")
def letters(files):
    """The words as the package gives them to its model, (words, STEPS)."""
    number_of = json.loads(files["data/char_vocab.json"].read_text(encoding="utf-8"))
    filled = [list(word)[:STEPS] + ["PAD"] * (STEPS - len(word)) for word in WORDS]
    return np.array(
        [[number_of.get(letter, number_of["UNK"]) for letter in word] for word in filled]
    )


@pytest.mark.slow
def test_what_the_file_says(files):
    path = files["data/morph_bigru.pth"]
    (found,) = pygru.io.inspect(path)
    assert (found.name, found.input_size, found.hidden_size) == ("gru", 64, 64)
    assert (found.num_layers, found.bidirectional, found.unknown) == (2, True, ())
    assert pygru.from_torch(path).variant.name == "pytorch"


@pytest.mark.slow
def test_the_arrays_are_those_that_pytorch_reads(files):
    torch = pytest.importorskip("torch")
    path = files["data/morph_bigru.pth"]
    read, expected = pygru.io.read_arrays(path), torch.load(path, weights_only=True)
    assert list(read) == list(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(read[name], tensor.numpy())


@pytest.mark.slow
def test_tags_of_words_are_those_of_the_package(files, model, letters):
    torch = pytest.importorskip("torch")
    names = {}
    exec(compile(files["model.py"].read_text(encoding="utf-8"), "model.py", "exec"), names)
    state = torch.load(files["data/morph_bigru.pth"], weights_only=True)
    original = names["MorphBiGRU"](len(state["char_embeddings.weight"]), model.output_size)
    original.load_state_dict(state)
    original.eval()
    tokens = torch.from_numpy(letters)

    def run_original(words):
        with torch.inference_mode():
            return original(words).numpy()

    expected, ours = run_original(tokens), model(letters)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-5)
    np.testing.assert_array_equal(ours.argmax(-1), expected.argmax(-1))
    if os.environ.get("PYGRU_SHOW_SPEED"):
        print(f"\nlargest difference {np.abs(ours - expected).max():.1e} of "
              f"{np.abs(expected).max():.1f}")  # fmt: skip
        torch.set_num_threads(1)
        for count in (1, len(WORDS)):
            show_speed(
                f"{count} words",
                lambda n=count: run_original(tokens[:n]),
                lambda n=count: model(letters[:n]),
            )


def show_speed(what, original, ours, rounds=100):
    """Print the medians of both, run in turn in this process, on one thread each."""
    taken = {"PyTorch": [], "pygru": []}
    with pygru.num_threads(1):
        for _ in range(rounds):
            for name, run in (("PyTorch", original), ("pygru", ours)):
                began = time.perf_counter()
                run()
                taken[name].append(time.perf_counter() - began)
    shown = ", ".join(
        f"{name} {1e3 * np.median(times):.2f} ms" for name, times in taken.items()
    )
    print(f"{what}: {shown}")
