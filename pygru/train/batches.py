"""Training data checked once and handed out in mini-batches."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from pygru.core import validation
from pygru.data.padding import as_sequences, pad_sequences

LOOKED_AT = 64  # samples that tell one data set from another


def dataset_of(X, y, lengths=None, **of_model):
    """The data set of X: one sequence per sample, or a mapping with two of each.

    What ``of_model`` may hold, see :class:`Dataset`; y is None for data without targets.
    """
    if isinstance(X, Mapping):
        return PairDataset(X, y, lengths)
    return Dataset(X, y, lengths, **of_model)


def output_lengths(lengths):
    """The valid steps of what a model puts out: those of the target, if there are two."""
    return lengths["target"] if isinstance(lengths, Mapping) else lengths


class Dataset:
    """Inputs, targets and lengths of N samples, of one array each or lists of sequences.

    Parameters
    ----------
    X : array_like or list of array_like
        (N, T, ...) or N sequences of (T_i, ...); or N samples without steps.
    y : array_like, list of array_like or None
        N targets; None for data that are only to be predicted.
    lengths : array_like of int, optional
        (N,) the valid steps of each sample of an array X.
    per_step : bool
        Whether y holds a target for every step: a list of (T_i, ...), or an array (N, T, ...)
        of which the steps past a sequence's end are not read.
    features : int
        Axes of one step: 1 for numbers, 0 for tokens. It tells samples with steps from those
        without.
    """

    def __init__(self, X, y, lengths=None, *, per_step=False, features=1):
        self.X, lengths_of_list = _samples("X", X)
        self._has_steps = lengths is not None or self.ndim == 2 + features
        if isinstance(self.X, list) and not self._has_steps:
            self.X, lengths_of_list = _stacked("X", self.X), None
        lengths_of_y = None
        if y is None:
            self.y = np.zeros(len(self.X))
        else:
            self.y, lengths_of_y = _samples("y", y)
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
        self._per_step = per_step and y is not None
        self._check_finite("X", self.X, self.lengths)
        if self._per_step:
            self._check_steps_of_y(lengths_of_y)
        elif lengths_of_y is not None:
            self.y = _stacked("y", self.y)
        self._check_finite("y", self.y, self.lengths if self._per_step else None)

    def __len__(self):
        return len(self.X)

    @property
    def ndim(self):
        """Dimensions of X as one padded array."""
        return 1 + self.X[0].ndim if isinstance(self.X, list) else self.X.ndim

    def fingerprint(self):
        """A hash of what is read of some samples, which tells most other data from these."""
        total = hashlib.blake2b(digest_size=8)
        for index in np.linspace(0, len(self) - 1, min(len(self), LOOKED_AT)).astype(int):
            x, y = self.X[index], self.y[index]
            if self.lengths is not None:
                x = x[: self.lengths[index]]
                y = y[: self.lengths[index]] if self._per_step else y
            for sample in (x, y):
                total.update(f"{sample.dtype} {sample.shape}".encode())
                total.update(np.ascontiguousarray(sample).tobytes())
        return total.hexdigest()

    def _check_steps_of_y(self, lengths_of_y):
        """Refuse targets per step that are more or fewer than the steps of X."""
        if lengths_of_y is not None:
            steps = self._steps_of_x()
            if steps is None:
                return
            wrong = np.flatnonzero(lengths_of_y != steps)
            if len(wrong):
                at = int(wrong[0])
                raise ValueError(
                    f"y[{at}] must have a target for each of the {steps[at]} steps of X[{at}], "
                    f"got {lengths_of_y[at]}"
                )
        elif self.lengths is not None:
            T = max(self.lengths, default=0) if isinstance(self.X, list) else self.X.shape[1]
            if self.y.ndim < 2 or self.y.shape[1] != T:
                raise ValueError(
                    f"y must have shape (N, T={T}, ...) or be a list of (T_i, ...), since the "
                    f"model predicts every step, got {self.y.shape}"
                )

    def _steps_of_x(self):
        """How many steps each sample has, None where samples have none."""
        if self.lengths is not None:
            return self.lengths
        return np.full(len(self.X), self.X.shape[1]) if self._has_steps else None

    @staticmethod
    def _check_finite(name, samples, lengths):
        """Refuse NaN and infinities where they would be read."""
        for index, sample in enumerate(samples):
            if sample.dtype.kind != "f":
                return
            if lengths is not None and sample.ndim > 0:
                sample = sample[: lengths[index]]
            if not np.isfinite(sample).all():
                kind = "NaN" if np.isnan(sample).any() else "infinity"
                raise ValueError(f"Input {name} contains {kind}.")

    def check_targets_per_step(self):
        """Raise unless every step of every sequence has a target."""
        steps = self._steps_of_x()
        if self._per_step and steps is not None:
            if isinstance(self.y, list):  # they have been compared
                return
            if self.y.ndim > 1 and (self.lengths is not None or self.y.shape[1] == steps[0]):
                return
        raise ValueError("bptt_steps needs targets for every step: y like X in (N, T, ...)")

    def take(self, index):
        """Return X, y, lengths of the samples of ``index``, padded to the longest of them."""
        X, lengths = _take(self.X, index)
        y, _ = _take(self.y, index)
        if lengths is None and self.lengths is not None:
            lengths = self.lengths[index]
        if lengths is not None:
            # A batch of short sequences does not carry the padding of the longest of all.
            longest = int(lengths.max(initial=0))
            X = X[:, :longest]
            if self._per_step:
                y = y[:, :longest]
        return X, y, lengths


class PairDataset:
    """N samples of a source and a target, each of a length of its own.

    Parameters
    ----------
    X : mapping
        ``"source"`` and ``"target"``, each as for :class:`Dataset`.
    y : array_like or list of array_like
        N targets: what is predicted at each step of X's target; None to predict only.
    lengths : mapping, optional
        ``"source"`` and ``"target"``, each (N,) or None.
    """

    def __init__(self, X, y, lengths=None):
        if set(X) != {"source", "target"}:
            raise ValueError(f"X must have the keys 'source' and 'target', got {list(X)}")
        lengths = lengths or {}
        self._target = Dataset(X["target"], y, lengths.get("target"), per_step=True, features=0)
        self._source = Dataset(X["source"], None, lengths.get("source"), features=0)
        if len(self._source) != len(self._target):
            raise ValueError(
                "X['source'] and X['target'] must have as many samples, "
                f"got {len(self._source)} and {len(self._target)}"
            )

    def __len__(self):
        return len(self._target)

    def fingerprint(self):
        """A hash of some of the samples."""
        return self._source.fingerprint() + self._target.fingerprint()

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
        arrays = as_sequences(name, values)
        if any(array.ndim == 0 for array in arrays):
            raise ValueError(f"{name} mixes sequences and numbers")
        return arrays, np.array([len(array) for array in arrays], np.int64)
    array = validation.as_numeric(name, values)
    if array.ndim == 0:
        raise ValueError(f"{name} must have one entry per sample, got a single number")
    return array, None


def _stacked(name, arrays):
    """Samples without steps as one array."""
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        listed = " and ".join(map(str, sorted(shapes)[:2]))
        raise ValueError(f"{name} must hold samples of one shape, or sequences, got {listed}")
    return np.stack(arrays)


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


def windows_of(batch, steps, first=0):
    """Cut a batch (X, y, lengths) into windows of ``steps`` steps, None for one of all."""
    X, y, lengths = batch
    if steps is None or steps >= X.shape[1]:
        yield Window(X, y, lengths, 0, True)
        return
    T = X.shape[1]
    for number in range(first, -(-T // steps)):
        begin, end = number * steps, min((number + 1) * steps, T)
        inside = None if lengths is None else np.clip(lengths - begin, 0, end - begin)
        yield Window(X[:, begin:end], y[:, begin:end], inside, number, end == T)
