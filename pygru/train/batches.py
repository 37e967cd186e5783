"""Training data checked once and handed out in mini-batches."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from pygru.core import validation
from pygru.data.padding import pad_sequences


def dataset_of(X, y, lengths=None):
    """The data set of X: one sequence per sample, or a mapping with two of each."""
    kind = PairDataset if isinstance(X, Mapping) else Dataset
    return kind(X, y, lengths)


def inputs_of(X, lengths=None):
    """The data set of X alone: zeros stand for the targets."""
    samples = X.get("target", ()) if isinstance(X, Mapping) else X
    return dataset_of(X, np.zeros(len(samples)), lengths)


def output_lengths(lengths):
    """The valid steps of what a model puts out: those of the target, if there are two."""
    return lengths["target"] if isinstance(lengths, Mapping) else lengths


class Dataset:
    """Inputs, targets and lengths of N samples, of one array each or lists of sequences.

    Parameters
    ----------
    X : array_like or list of array_like
        (N, T, ...) or N sequences of (T_i, ...).
    y : array_like or list of array_like
        N targets; per-step targets of ragged X as a list of (T_i, ...) too.
    lengths : array_like of int, optional
        (N,) the valid steps of each sample of an array X.
    """

    def __init__(self, X, y, lengths=None):
        self.X, lengths_of_list = _samples("X", X)
        self.y, _ = _samples("y", y)
        if len(self.X) != len(self.y):
            raise ValueError(
                "Found input variables with inconsistent numbers of samples: "
                f"[{len(self.X)}, {len(self.y)}]"
            )
        if len(self.X) == 0:
            raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
        if lengths is not None:
            if lengths_of_list is not None:
                raise ValueError("lengths must be None when X is a list of sequences")
            lengths = validation.as_lengths(lengths, len(self.X), self.X.shape[1])
        self.lengths = lengths if lengths_of_list is None else lengths_of_list
        self._check_finite("X", self.X)
        self._check_finite("y", self.y)

    def __len__(self):
        return len(self.X)

    def _check_finite(self, name, samples):
        """Refuse NaN and infinities where they would be read."""
        for index, sample in enumerate(samples):
            if sample.dtype.kind != "f":
                return
            if self.lengths is not None and sample.ndim > 0:
                sample = sample[: self.lengths[index]]
            if not np.isfinite(sample).all():
                kind = "NaN" if np.isnan(sample).any() else "infinity"
                raise ValueError(f"Input {name} contains {kind}.")

    def check_targets_per_step(self):
        """Raise unless every step of every sequence has a target."""
        if isinstance(self.X, list) != isinstance(self.y, list):
            fits = False
        elif isinstance(self.X, list):
            fits = all(len(x) == len(y) for x, y in zip(self.X, self.y, strict=True))
        else:
            fits = self.X.ndim > 1 and self.y.ndim > 1 and self.X.shape[1] == self.y.shape[1]
        if not fits:
            raise ValueError("bptt_steps needs targets for every step: y like X in (N, T, ...)")

    def take(self, index):
        """Return X, y, lengths of the samples of ``index``, padded to the longest of them."""
        X, lengths = _take(self.X, index)
        y, _ = _take(self.y, index)
        if lengths is None and self.lengths is not None:
            lengths = self.lengths[index]
            # A batch of short sequences does not carry the padding of the longest of all.
            longest = int(lengths.max(initial=0))
            if y.ndim > 1 and y.shape[1] == X.shape[1]:
                y = y[:, :longest]
            X = X[:, :longest]
        return X, y, lengths


class PairDataset:
    """N samples of a source and a target, each of a length of its own.

    Parameters
    ----------
    X : mapping
        ``"source"`` and ``"target"``, each as for :class:`Dataset`.
    y : array_like or list of array_like
        N targets: what is predicted at each step of X's target.
    lengths : mapping, optional
        ``"source"`` and ``"target"``, each (N,) or None.
    """

    def __init__(self, X, y, lengths=None):
        if set(X) != {"source", "target"}:
            raise ValueError(f"X must have the keys 'source' and 'target', got {list(X)}")
        lengths = lengths or {}
        self._target = Dataset(X["target"], y, lengths.get("target"))
        # Source samples have no targets of their own; zeros stand for them.
        nothing = np.zeros(len(self._target))
        self._source = Dataset(X["source"], nothing, lengths.get("source"))

    def __len__(self):
        return len(self._target)

    def check_targets_per_step(self):
        """Raise: a piece of a target needs the whole source."""
        raise ValueError("bptt_steps must be None for pairs of source and target")

    def take(self, index):
        """Return X, y, lengths of the samples of ``index``; X and lengths are mappings."""
        source, _, source_lengths = self._source.take(index)
        target, y, target_lengths = self._target.take(index)
        lengths = {"source": source_lengths, "target": target_lengths}
        return {"source": source, "target": target}, y, lengths


def _samples(name, values):
    """An array of samples, or a list of arrays with their lengths."""
    if isinstance(values, (list, tuple)) and any(np.ndim(value) > 0 for value in values):
        arrays = [validation.as_numeric(f"{name}[{i}]", v) for i, v in enumerate(values)]
        if any(array.ndim == 0 for array in arrays):
            raise ValueError(f"{name} mixes sequences and numbers")
        return arrays, np.array([len(array) for array in arrays], np.int64)
    array = validation.as_numeric(name, values)
    if array.ndim == 0:
        raise ValueError(f"{name} must have one entry per sample, got a single number")
    return array, None


def _take(samples, index):
    if isinstance(samples, list):
        return pad_sequences([samples[i] for i in index])
    return samples[index], None


def step_mask(y, lengths):
    """Which steps of per-step targets (B, T, ...) are valid, or None without lengths."""
    lengths = output_lengths(lengths)
    if lengths is None:
        return None
    return np.arange(y.shape[1]) < np.asarray(lengths)[:, np.newaxis]


class Window(NamedTuple):
    """Some steps of a batch: all of them, or a piece for truncated backpropagation."""

    X: np.ndarray
    y: np.ndarray
    lengths: np.ndarray | None
    number: int
    is_last: bool
    share: float  # of the batch's valid steps


def windows_of(batch, steps, first=0):
    """Cut a batch (X, y, lengths) into windows of ``steps`` steps, None for one of all."""
    X, y, lengths = batch
    if steps is None or steps >= X.shape[1]:
        yield Window(X, y, lengths, 0, True, 1.0)
        return
    T = X.shape[1]
    valid = len(X) * T if lengths is None else int(lengths.sum())
    for number in range(first, -(-T // steps)):
        begin, end = number * steps, min((number + 1) * steps, T)
        inside = None if lengths is None else np.clip(lengths - begin, 0, end - begin)
        count = len(X) * (end - begin) if lengths is None else int(inside.sum())
        yield Window(X[:, begin:end], y[:, begin:end], inside, number, end == T, count / valid)
