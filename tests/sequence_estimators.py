"""Data and small estimators for the tests of pygru.sklearn; importing it needs scikit-learn."""

import numpy as np

from pygru.sklearn import GRUClassifier, GRURegressor, GRUTransformer

RNG = np.random.default_rng(0)
N, T, F = 48, 9, 2
X3 = RNG.standard_normal((N, T, F))
LENGTHS = RNG.integers(3, T + 1, N)
RAGGED = [sequence[:length] for sequence, length in zip(X3, LENGTHS, strict=True)]
UP = np.array([sequence[:, 0].sum() > 0 for sequence in RAGGED])
LABELS = np.where(UP, "up", "down")
VALUES = np.array([sequence[:, 0].mean() for sequence in RAGGED])
TOKENS = [RNG.integers(0, 5, length) for length in LENGTHS]
HAS_FOUR = np.array([(tokens == 4).any() for tokens in TOKENS])


def classifier(**options):
    settings = {"max_iter": 5, "learning_rate_init": 0.02, "random_state": 0, "n_threads": 1}
    return GRUClassifier(8, **(settings | options))


def regressor(**options):
    settings = {"max_iter": 5, "learning_rate_init": 0.02, "random_state": 0, "n_threads": 1}
    return GRURegressor(8, **(settings | options))


def transformer(**options):
    settings = {"max_iter": 3, "learning_rate_init": 0.02, "random_state": 0, "n_threads": 1}
    return GRUTransformer(4, **(settings | options))


def objects(sequences):
    array = np.empty(len(sequences), object)
    array[:] = sequences
    return array
