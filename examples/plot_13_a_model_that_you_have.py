"""
Run a model that you already have
=================================

A published package contains a trained GRU and needs a deep-learning framework to run it. This
example runs the same model with pygru, from the same file. ``uzmorph-bigru`` analyses Uzbek
words: for every letter it says whether the letter belongs to the root or to a suffix, and what
the suffix means. Its model is a PyTorch checkpoint of an embedding, a GRU with two layers and
two directions, and a linear layer.

**Data**: the checkpoint and the vocabularies in the package (MIT licence). Its code is not
imported.
**Baseline**: the same layers in PyTorch, with the same weights. Without PyTorch the comparison
is left out.

Install the package without the framework that it asks for::

    pip install --no-deps uzmorph-bigru

Measured on two cores, one thread each: the largest difference of a score is 5.2e-06, where the
scores are up to 24; a word takes 0.22 ms here and 2.2 ms in PyTorch.
"""

import importlib.metadata
import importlib.util
import json
import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import pygru

QUICK = os.environ.get("PYGRU_EXAMPLES") == "quick"
pygru.set_num_threads(1)

# The folder of the package is found without importing it, because that would import PyTorch.
folder = Path(importlib.util.find_spec("uzmorph_bigru").submodule_search_locations[0], "data")
checkpoint = folder / "morph_bigru.pth"

# %%
# What is in the file
# -------------------
# A checkpoint is a pickle inside a zip archive. pygru reads its tensors, and runs nothing.

for found in pygru.io.inspect(checkpoint):
    print(f"{found.name}: {found.input_size} -> {found.hidden_size}, {found.num_layers} layers")
    print(f"{found.num_directions} directions, variant {found.variant.name!r}")
for name, array in pygru.io.read_arrays(checkpoint).items():
    print(f"{name:32} {array.dtype} {array.shape}")

# %%
# The whole model
# ---------------
# The file names the parameters and holds no order of the layers. It is in the code of the
# package, and here in the list ``layers``. A matrix alone may be that of an embedding or of a
# linear layer without bias, so the class of the first layer is given too.

model = pygru.from_torch(
    checkpoint, layers=[("char_embeddings", pygru.Embedding), "gru", "hidden2tag"]
)
print(model)

# %%
# Words
# -----
# The package pads every word to 30 letters, and its model was trained in this way, with a GRU
# that reads the padding too. The same is done here: lengths would give other numbers.

letters = json.loads((folder / "char_vocab.json").read_text(encoding="utf-8"))
tags = json.loads((folder / "tag_vocab.json").read_text(encoding="utf-8"))
tag_of = {number: tag for tag, number in tags.items()}
LONGEST = 30


def tokens(word):
    """Return the numbers of the letters of a word, padded."""
    numbers = [letters.get(letter, letters["UNK"]) for letter in word[:LONGEST]]
    return numbers + [letters["PAD"]] * (LONGEST - len(numbers))


words = ["kitobim", "maktabda", "uylarimizdan", "bolalar", "daftaringiz", "kelmadi"]
scores = model(np.array([tokens(word) for word in words]))
for word, best in zip(words, scores.argmax(axis=2), strict=True):
    found = [tag_of[number] for number in best[: len(word)]]
    root = "".join(a for a, tag in zip(word, found, strict=True) if "ROOT" in tag)
    suffixes = [tag.split("-", 2)[2] for tag in found if tag.startswith("B-SUFF")]
    print(f"{word:14} {root:10} {', '.join(suffixes)}")

# %%
# Beside the original
# -------------------

try:
    import torch
except ImportError:
    torch = None
    print("PyTorch is not installed: the comparison is left out.")


def seconds_per_word(function, inputs):
    """Return the median time of a call with one word."""
    times = []
    for x in inputs:
        start = time.perf_counter()
        function(x)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


one_by_one = [np.array([tokens(word)]) for word in words * (3 if QUICK else 100)]
if torch is not None:
    torch.set_num_threads(1)
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    original = torch.nn.ModuleDict(
        {
            "char_embeddings": torch.nn.Embedding(len(letters), 64),
            "gru": torch.nn.GRU(64, 64, 2, bidirectional=True, batch_first=True),
            "hidden2tag": torch.nn.Linear(128, len(tags)),
        }
    )
    original.load_state_dict(state)

    def run_original(x):
        with torch.no_grad():
            embedded = original["char_embeddings"](torch.from_numpy(x))
            return original["hidden2tag"](original["gru"](embedded)[0]).numpy()

    expected = run_original(np.array([tokens(word) for word in words]))
    print(f"largest difference of a score: {np.abs(scores - expected).max():.1e}")
    print(f"largest score: {np.abs(expected).max():.1f}")
    for name, function in {"pygru": model, "PyTorch": run_original}.items():
        print(f"{name}: {1e3 * seconds_per_word(function, one_by_one):.2f} ms for a word")

# %%
# What has to be installed
# ------------------------
# The sizes are those of the files that are installed here, or else those that were measured for
# version 2.13 of PyTorch without a GPU.


def megabytes(package, measured):
    """Return the size of an installed package."""
    try:
        files = importlib.metadata.files(package) or ()
        sizes = [file.locate().stat().st_size for file in files if file.locate().is_file()]
    except importlib.metadata.PackageNotFoundError:
        return measured
    return sum(sizes) / 1e6


sizes = {
    "pygru": megabytes("pygru", 7),
    "NumPy and SciPy, which both need": megabytes("numpy", 68) + megabytes("scipy", 110),
    "PyTorch": megabytes("torch", 757),
}
for name, size in sizes.items():
    print(f"{name:34} {size:6.1f} MB")

_, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), width_ratios=(2, 1))
word = words[2]
certain = np.exp(scores - scores.max(axis=2, keepdims=True))
certain /= certain.sum(axis=2, keepdims=True)
shown = certain[2, : len(word)]
used = np.unique(shown.argmax(axis=1))
left.imshow(shown[:, used].T, aspect="auto", cmap="viridis", vmin=0, vmax=1)
left.set_xticks(range(len(word)), list(word))
left.set_yticks(range(len(used)), [tag_of[number][:28] for number in used], fontsize=7)
left.set_title(f"probability of each label, letter by letter: {word}")
right.barh(["pygru", "NumPy, SciPy", "PyTorch"], list(sizes.values()))
right.set_xscale("log")
right.set_xlabel("megabytes installed")
plt.tight_layout()
plt.show()
