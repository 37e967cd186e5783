"""
Classify series of different lengths
====================================

Nine men say the Japanese vowels /ae/. Each recording has from 7 to 29 frames of 12 LPC cepstrum
coefficients. Which of the men was it? (Kudo, Toyama and Shimbo 1999.) The sequences are given
to the model as a list. The GRU spends no work on padding, and its reverse direction starts at
each sequence's own end.

**Data**: JapaneseVowels from the archive of multivariate time series classification. It is read
from the text files in the package ``sktime`` or ``aeon`` (``pip install "pygru[examples]"``);
the packages are not imported. **Split**: that of the archive, 270 sequences for training and
370 for testing. Channels are standardised with the mean and the standard deviation of the
training data. **Seeds**: 0 to 4, for weights, dropout and the order of samples. Nothing was
tuned on the test data: the number of epochs is fixed, and the last weights are used.
**Baselines**: the nearest neighbour by the mean of each channel, and by dynamic time warping
over all channels together. Both are computed here.

The full run takes about 15 s on two cores.
"""

import importlib.util
import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import pygru
from pygru import GRU, Adam, Dropout, Last, Linear, Sequential, Trainer

QUICK = os.environ.get("PYGRU_EXAMPLES") == "quick"
SEEDS, EPOCHS = (range(2), 2) if QUICK else (range(5), 60)
pygru.set_num_threads(1)

# %%
# The data
# --------


def folder_of_data():
    """Return where an installed package keeps the files, without importing it."""
    for package in ("sktime", "aeon"):
        spec = importlib.util.find_spec(package)
        if spec is not None:
            return Path(spec.submodule_search_locations[0], "datasets/data/JapaneseVowels")
    raise ModuleNotFoundError(
        "this example reads its data from the package sktime or aeon; install one of them, "
        'or  pip install "pygru[examples]"'
    )


def load(part):
    """Return the sequences (T_i, 12) and the speakers, 0 to 8, of TRAIN or TEST."""
    sequences, speakers = [], []
    text = (folder_of_data() / f"JapaneseVowels_{part}.ts").read_text()
    for line in text.split("@data\n")[1].splitlines():
        *channels, speaker = line.split(":")
        sequences.append(np.array([channel.split(",") for channel in channels], np.float32).T)
        speakers.append(int(speaker) - 1)
    return sequences, np.array(speakers)


train, train_speakers = load("TRAIN")
test, test_speakers = load("TEST")
frames = np.concatenate(train)
mean, spread = frames.mean(axis=0), frames.std(axis=0)
train = [(sequence - mean) / spread for sequence in train]
test = [(sequence - mean) / spread for sequence in test]
lengths = [len(sequence) for sequence in train + test]
print(f"{len(train)} + {len(test)} sequences of {min(lengths)} to {max(lengths)} frames")

# %%
# Two baselines
# -------------


def warping_distances(a, b):
    """Return the dynamic time warping distance of every pair, (len(a), len(b))."""
    padded_a, lengths_a = pygru.pad_sequences(a, batch_first=True)
    padded_b, lengths_b = pygru.pad_sequences(b, batch_first=True)
    T_a, T_b = padded_a.shape[1], padded_b.shape[1]
    cost = np.full((T_a + 1, T_b + 1, len(a), len(b)), np.inf, np.float32)
    cost[0, 0] = 0
    for i in range(T_a):
        for j in range(T_b):
            x, y = padded_a[:, i], padded_b[:, j]
            squared = (x**2).sum(1)[:, np.newaxis] + (y**2).sum(1) - 2 * x @ y.T
            before = np.minimum(np.minimum(cost[i, j], cost[i, j + 1]), cost[i + 1, j])
            cost[i + 1, j + 1] = before + squared
    rows, columns = np.arange(len(a))[:, np.newaxis], np.arange(len(b))
    return cost[lengths_a[:, np.newaxis], lengths_b, rows, columns]


def nearest(distances):
    """Return the accuracy of the nearest neighbour."""
    return np.mean(train_speakers[distances.argmin(axis=1)] == test_speakers)


means = [np.array([sequence.mean(axis=0) for sequence in part]) for part in (test, train)]
euclidean = np.linalg.norm(means[0][:, np.newaxis] - means[1], axis=2)
scores = {"nearest neighbour, channel means": nearest(euclidean)}
if not QUICK:
    batches = [test[first : first + 37] for first in range(0, len(test), 37)]
    scores["nearest neighbour, dynamic time warping"] = nearest(
        np.concatenate([warping_distances(batch, train) for batch in batches])
    )

# %%
# The GRU
# -------


def fit(seed):
    """Return a trained model."""
    model = Sequential(
        GRU(12, 64, batch_first=True, bidirectional=True, seed=seed),
        Last(bidirectional=True),
        Dropout(0.3, seed=seed),
        Linear(128, 9, seed=seed),
    )
    trainer = Trainer(
        model, loss="cross_entropy", optimizer=Adam(2e-3), clip_norm=1.0, seed=seed, n_threads=1
    )
    trainer.fit(train, train_speakers, epochs=EPOCHS, batch_size=16, progress=False)
    return model


begin = time.process_time()
models = [fit(seed) for seed in SEEDS]
seconds = (time.process_time() - begin) / len(models)
guesses = np.array([model(test).argmax(axis=1) for model in models])
accuracies = (guesses == test_speakers).mean(axis=1)

for name, score in scores.items():
    print(f"{name:42}{score:8.1%}")
name = f"GRU, mean and spread of {len(models)} seeds"
print(f"{name:42}{accuracies.mean():8.1%} +- {accuracies.std(ddof=1):.1%}")
print("each seed: " + ", ".join(f"{accuracy:.1%}" for accuracy in accuracies))
parameters = sum(len(values) for values, _ in models[0].flat_pairs)
print(f"parameters: {parameters:,}; {seconds:.1f} s of CPU time a seed")

# %%
# How early is it clear?
# ----------------------
# Now the same models get only the first frames of each test sequence. ``lengths`` says how
# many. Nothing is copied or trained again.

padded, test_lengths = pygru.pad_sequences(test, batch_first=True)
heard = np.arange(1, padded.shape[1] + 1)
early = np.array(
    [
        [
            np.mean(
                model(padded, lengths=np.minimum(test_lengths, k)).argmax(axis=1)
                == test_speakers
            )
            for k in heard
        ]
        for model in models
    ]
)
confusion = np.zeros((9, 9))
for guess in guesses:
    np.add.at(confusion, (test_speakers, guess), 1 / len(guesses))

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
share = confusion / confusion.sum(axis=1, keepdims=True)
left.imshow(np.where(share > 0, share, np.nan), cmap="Blues", vmin=0, vmax=1)
for row, column in np.argwhere(confusion > 0):
    value = confusion[row, column]
    colour = "white" if share[row, column] > 0.5 else "#1b1f24"
    left.text(column, row, f"{value:.3g}", ha="center", va="center", color=colour, fontsize=8)
left.set(
    xlabel="taken for speaker", ylabel="speaker", title="test sequences, mean of the seeds"
)
left.set(xticks=range(9), xticklabels=range(1, 10), yticks=range(9), yticklabels=range(1, 10))
right.fill_between(heard, early.min(0), early.max(0), color="#d1495b", alpha=0.2, lw=0)
right.plot(heard, early.mean(0), color="#d1495b", lw=2, label="GRU, mean and range")
right.plot(
    heard,
    [(test_lengths <= k).mean() for k in heard],
    color="#9aa4b1",
    lw=1.4,
    label="share heard to the end",
)
right.set(xlabel="frames heard", ylabel="accuracy", ylim=(0, 1.02), xlim=(1, heard[-1]))
right.legend(frameon=False, loc="lower right")
right.spines[["top", "right"]].set_visible(False)
print("\nframes heard " + "".join(f"{k:>8}" for k in heard[::4]))
print("accuracy     " + "".join(f"{value:8.1%}" for value in early.mean(0)[::4]))
plt.show()

# %%
# On 26 November 2026 (pygru 0.1.0) the GRU had an accuracy of 97.0 %, with a standard deviation
# of 0.5 points over five seeds. Dynamic time warping has 95.9 % and the channel means have 95.1
# %. The best seed is 1.6 points above warping, and the worst is 0.3. With 370 test sequences,
# one sequence is 0.27 points. The channel means ignore the order of the frames and
# are nearly as good, so the order adds only little here. The first thirteen frames are enough
# for 96.6 %, although most sequences are longer.
#
# This example chooses the layers and the training itself. In a program of your own three lines
# are enough. :class:`pygru.sklearn.GRUClassifier` takes the same lists
# of sequences, and with its defaults it is about as good as the model here::
#
#     from pygru.sklearn import GRUClassifier
#
#     model = GRUClassifier(random_state=0).fit(train, train_speakers)
#     print(model.score(test, test_speakers))
