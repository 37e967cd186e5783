"""Training data, which are checked once and then given out in mini-batches."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pygru.core import validation
from pygru.data.padding import as_sequences
from pygru.nn.step_flags import StepFlags
from pygru.train.left_out import Replaced, checked_flags, first_counted, without_steps
from pygru.train.sample_weights import checked_weights
from pygru.train.scan import WHOLE, Samples, Share, fingerprint_of
from pygru.train.stored import StoredArray, as_samples, is_stored
from pygru.train.values import check_finite, check_range, check_tokens
from pygru.typing import Booleans, Floats, Integers


class Expected(NamedTuple):
    """What a model and a loss can accept."""

    dtype: np.dtype[Any] | None = None  # of the model; numbers must be in its range
    tokens: int | None = None  # X holds integers below this
    target_tokens: int | None = None  # the same for the second part of X, if it has two
    y_is_in_range: bool = False  # whether y must be in range too


class Batch(NamedTuple):
    """Some samples, padded to the longest of them."""

    X: Any
    y: NDArray[Any]
    lengths: Any
    weights: Floats | None = None  # (B,) or (B, T), see Dataset
    flags: StepFlags = StepFlags()  # which steps count, and where episodes begin, (B, T)


class Dataset:
    """Inputs, targets and lengths of N samples, of one array each or lists of sequences.

    Parameters
    ----------
    X : array_like or list of array_like
        (N, T, ...) or N sequences of (T_i, ...); or N samples without steps. An array of
        objects, as ``np.load`` gives it for sequences of different lengths, is such a list.
    y : array_like, list of array_like or None
        N targets; None for data that are only to be predicted.
    lengths : array_like of int, optional
        (N,) the valid steps of each sample of an array X.
    per_step : bool
        Whether y has a target for every step: a list of (T_i, ...), or an array (N, T, ...)
        whose steps after the end of a sequence are not read.
    features : int
        The number of axes of one step: 1 for numbers, 0 for tokens. It distinguishes samples
        with steps from samples without.
    names : tuple of str
        The names of X and y in messages.
    sample_weight : array_like, list of array_like or None
        (N,) how much each sample counts; with ``per_step`` also (N, T) or a list of (T_i,).
    weight_name : str
        The name of ``sample_weight`` in messages.
    mask, reset : array_like of bool, list of array_like or None
        (N, T), or a list of (T_i,): which steps count, and before which an episode begins. What
        X and, with ``per_step``, y hold at the steps that do not count is never looked at.
    labels : ndarray or list of ndarray, optional
        The targets instead of y, if they are labels and not numbers. Later they are replaced by
        numbers, see :meth:`replace_targets`.
    """

    def __init__(
        self,
        X: Any,
        y: Any,
        lengths: ArrayLike | None = None,
        *,
        per_step: bool = False,
        features: int = 1,
        names: tuple[str, str] = ("X", "y"),
        sample_weight: Any = None,
        weight_name: str = "sample_weight",
        mask: Any = None,
        reset: Any = None,
        mask_names: tuple[str, str] = ("mask", "reset"),
        labels: Samples | None = None,
    ) -> None:
        self._names = names
        self.X, lengths_of_list = _samples(names[0], X)
        self._has_steps = lengths is not None or self.ndim == 2 + features
        if isinstance(self.X, list) and not self._has_steps:
            self.X, lengths_of_list = _stacked(names[0], self.X), None
        lengths_of_y: Integers | None = None
        self.y: Samples
        if labels is not None:
            self.y = labels
            if isinstance(labels, list):
                lengths_of_y = np.array([len(each) for each in labels], np.int64)
        elif y is None:
            self.y = np.zeros(len(self.X))
        else:
            self.y, lengths_of_y = _samples(names[1], y)
        if len(self.X) != len(self.y):
            raise ValueError(
                "Found input variables with inconsistent numbers of samples: "
                f"[{len(self.X)}, {len(self.y)}]"
            )
        if len(self.X) == 0:
            raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
        if lengths is not None:
            if isinstance(self.X, list):
                raise ValueError("lengths must be None when X is a list of sequences")
            if self.X.ndim < 2:
                raise ValueError(
                    f"lengths need {names[0]} with a time axis, got shape {self.X.shape}"
                )
            lengths = validation.as_lengths(lengths, len(self.X), self.X.shape[1])
        self.lengths: Integers | None = lengths if lengths_of_list is None else lengths_of_list
        self._per_step = per_step and (y is not None or labels is not None)
        if self._per_step:
            self._check_steps_of_y(lengths_of_y)
        elif lengths_of_y is not None:
            self.y = _stacked(names[1], self.y)
        self.weights: Samples | None = None
        if sample_weight is not None:
            self.weights = self._checked_weights(weight_name, sample_weight)
        mask = self._checked_flags(mask_names[0], mask)
        self.flags = StepFlags(mask, self._checked_flags(mask_names[1], reset))
        if mask is not None:
            self._leave_out(mask)

    def _checked_flags(self, name: str, values: Any) -> Booleans | None:
        """One bool per step, after checking them; None stays None."""
        if values is None:
            return None
        if not self._has_steps:
            raise ValueError(
                f"{name} needs {self._names[0]} with a time axis, got {self.ndim} dimensions"
            )
        return checked_flags(name, values, self.X, self.lengths)

    def _leave_out(self, mask: Booleans) -> None:
        """Replace what X and targets per step hold at the steps that do not count."""
        self.X = without_steps(self.X, mask, 0)
        fits = isinstance(self.y, list) or self.y.shape[1:2] == mask.shape[1:]
        if self._per_step and fits:
            target = first_counted(self.y, mask)
            if target is not None:
                self.y = without_steps(self.y, mask, target)

    def _checked_weights(self, name: str, sample_weight: Any) -> Samples:
        """The weights of the samples, after checking them."""
        steps = self._steps_of_x()
        T = None
        if self._per_step and steps is not None:
            T = max(steps, default=0) if isinstance(self.X, list) else self.X.shape[1]
        return checked_weights(name, _samples(name, sample_weight)[0], (len(self), T), steps)

    def __len__(self) -> int:
        return len(self.X)

    @property
    def ndim(self) -> int:
        """Dimensions of X as one padded array."""
        return 1 + self.X[0].ndim if isinstance(self.X, list) else self.X.ndim

    @property
    def _parts(self) -> tuple[tuple[str, Samples, Integers | None], ...]:
        """Name, samples, and how many steps of each are read, for X and y."""
        lengths = None if isinstance(self.X, list) else self.lengths
        of_y = self.lengths if self._per_step and not isinstance(self.y, list) else None
        return (self._names[0], self.X, lengths), (self._names[1], self.y, of_y)

    @property
    def read_targets(self) -> tuple[Samples, Integers | None]:
        """The targets, and how many steps of each are read, None for all."""
        return self._parts[1][1:]

    def replace_targets(self, y: Samples) -> None:
        """Use other targets of the same shape, such as the numbers of labels."""
        self.y = y

    def check(self, expected: Expected, share: Share = WHOLE) -> None:
        """Raise ValueError if the data contain what a model or a loss cannot accept."""
        X, y = self._parts
        if expected.tokens is not None:
            check_tokens(*X, expected.tokens, share)
        check_finite(*X, share, has_steps=self._has_steps)
        for part in (X, y) if expected.y_is_in_range else (X,):
            check_range(*part, expected.dtype, share)

    def fingerprint(self, share: Share = WHOLE) -> str:
        """A hash of all that is read, in hexadecimal; each rank reads its share."""
        return fingerprint_of(self.read, share)

    @property
    def read(self) -> list[tuple[Samples, Integers | None]]:
        """All that is read, and how many steps of each sample are; None for all of them."""
        read = [(samples, lengths) for _, samples, lengths in self._parts]
        others = [self.weights, *self.flags]
        return [*read, *((each, None) for each in others if each is not None)]

    def largest(self, index: Integers) -> str:
        """Say which is the largest number that is read of the samples of ``index``."""
        found = []
        for name, samples, lengths in self._parts:
            for i in index.tolist():
                sample = np.asarray(
                    samples[i][: lengths[i]] if lengths is not None else samples[i]
                )
                if sample.size:
                    value = float(sample.ravel()[np.argmax(np.abs(sample))])
                    found.append((abs(value), f"{value:g} in {name}[{i}]"))
        return f"the largest number of this batch is {max(found)[1] if found else 'none'}"

    def targets(self, index: Integers) -> tuple[NDArray[Any], Integers | None]:
        """Return y and lengths of the samples of ``index``, as :meth:`take` does."""
        lengths = None if self.lengths is None else self.lengths[index]
        y = _take(self.y, index)
        if lengths is not None and self._per_step:
            y = y[:, : int(lengths.max(initial=0))]
        return y, lengths

    def take(self, index: Integers) -> Batch:
        """Return the samples of ``index``, padded to the longest of them."""
        X = _take(self.X, index)
        y, lengths = self.targets(index)
        weights = None if self.weights is None else _take(self.weights, index)
        flags = self.flags.at(index)
        if lengths is not None:
            # A batch of short sequences is not padded to the longest sequence of all.
            longest = int(lengths.max(initial=0))
            X = X[:, :longest]
            if weights is not None and weights.ndim == 2:
                weights = weights[:, :longest]
            flags = flags.at((slice(None), slice(longest)))
        return Batch(X, y, lengths, weights, flags)

    def part(self, first: int, end: int) -> Self:
        """Return the samples from ``first`` to ``end`` as a data set; nothing is copied."""
        result = copy.copy(self)
        result.X, result.y = self.X[first:end], self.y[first:end]
        result.lengths = None if self.lengths is None else self.lengths[first:end]
        result.weights = None if self.weights is None else self.weights[first:end]
        result.flags = self.flags.at(slice(first, end))
        return result

    def add_axis_to_targets(self) -> None:
        """Give each target an axis of one feature: (N,) becomes (N, 1)."""
        if isinstance(self.y, list):
            self.y = [sample[..., np.newaxis] for sample in self.y]
        elif isinstance(self.y, (StoredArray, Replaced)):
            self.y = self.y.with_axis()
        else:
            self.y = self.y[..., np.newaxis]

    def _check_steps_of_y(self, lengths_of_y: Integers | None) -> None:
        """Raise if there are more or fewer targets than steps of X."""
        name_X, name_y = self._names
        if lengths_of_y is not None:
            steps = self._steps_of_x()
            if steps is None:
                return
            wrong = np.flatnonzero(lengths_of_y != steps)
            if len(wrong):
                at = int(wrong[0])
                raise ValueError(
                    f"{name_y}[{at}] must have a target for each of the {steps[at]} steps of "
                    f"{name_X}[{at}], got {lengths_of_y[at]}"
                )
        elif self.lengths is not None:
            assert not isinstance(self.y, list)
            T = max(self.lengths, default=0) if isinstance(self.X, list) else self.X.shape[1]
            if self.y.ndim < 2 or self.y.shape[1] != T:
                raise ValueError(
                    f"{name_y} must have shape (N, T={T}, ...) or be a list of (T_i, ...), "
                    f"since the model predicts every step, got {self.y.shape}; did you forget "
                    "Last()?"
                )

    def _steps_of_x(self) -> Integers | None:
        """How many steps each sample has, None where samples have none."""
        if self.lengths is not None:
            return self.lengths
        if self._has_steps and not isinstance(self.X, list):
            return np.full(len(self.X), self.X.shape[1])
        return None

    def refuse_targets_per_sequence(self, predicted: tuple[int, ...]) -> None:
        """Raise if steps have no targets although they have predictions.

        ``predicted`` is the shape of the predictions for one sample.
        """
        steps = self._steps_of_x()
        if steps is None or isinstance(self.y, list) or not self._per_step:
            return
        T = max(steps, default=0) if isinstance(self.X, list) else self.X.shape[1]
        if self.y.ndim < 2 or self.y.shape[1] != T:
            shape = ("N", *predicted[1:])
            raise ValueError(
                f"{self._names[1]} must have a target for each of the {T} steps, because the "
                f"model predicts every step, ({', '.join(map(str, shape))}); got "
                f"{self._names[1]} of shape {self.y.shape}; did you forget Last()?"
            )

    def check_targets_per_step(self) -> None:
        """Raise unless every step of every sequence has a target."""
        steps = self._steps_of_x()
        if self._per_step and steps is not None:
            if isinstance(self.y, list):  # lists have been compared before
                return
            if self.y.ndim > 1 and (self.lengths is not None or self.y.shape[1] == steps[0]):
                return
        raise ValueError("bptt_steps needs targets for every step: y like X in (N, T, ...)")


class PairDataset:
    """N samples of a source and a target, which have their own lengths.

    Parameters
    ----------
    X : mapping
        ``"source"`` and ``"target"``, each as for :class:`Dataset`.
    y : array_like or list of array_like
        N targets: what is predicted at each step of X's target; None to predict only.
    lengths : mapping, optional
        ``"source"`` and ``"target"``, each (N,) or None.
    names, sample_weight, weight_name
        As for :class:`Dataset`; the steps are those of X's target.
    """

    def __init__(
        self,
        X: Mapping[str, Any],
        y: Any,
        lengths: Mapping[str, Any] | None = None,
        *,
        names: tuple[str, str] = ("X", "y"),
        sample_weight: Any = None,
        weight_name: str = "sample_weight",
    ) -> None:
        if set(X) != {"source", "target"}:
            raise ValueError(f"X must have the keys 'source' and 'target', got {list(X)}")
        lengths = lengths or {}
        name_X, name_y = names
        self._target = Dataset(
            X["target"],
            y,
            lengths.get("target"),
            per_step=True,
            features=0,
            names=(f"{name_X}['target']", name_y),
            sample_weight=sample_weight,
            weight_name=weight_name,
        )
        self._source = Dataset(
            X["source"],
            None,
            lengths.get("source"),
            features=0,
            names=(f"{name_X}['source']", name_y),
        )
        if len(self._source) != len(self._target):
            raise ValueError(
                "X['source'] and X['target'] must have equal numbers of samples, "
                f"got {len(self._source)} and {len(self._target)}"
            )

    def __len__(self) -> int:
        return len(self._target)

    @property
    def read_targets(self) -> tuple[Samples, Integers | None]:
        """The targets, and how many steps of each are read, None for all."""
        return self._target.read_targets

    def check(self, expected: Expected, share: Share = WHOLE) -> None:
        """Raise ValueError if the data contain what a model or a loss cannot accept."""
        self._source.check(expected, share)
        self._target.check(expected._replace(tokens=expected.target_tokens), share)

    def fingerprint(self, share: Share = WHOLE) -> str:
        """A hash of all that is read, in hexadecimal; each rank reads its share."""
        return fingerprint_of([*self._source.read, *self._target.read], share)

    def largest(self, index: Integers) -> str:
        """Say which is the largest number that is read of the samples of ``index``."""
        return self._target.largest(index)

    def replace_targets(self, y: Samples) -> None:
        """Use other targets of the same shape."""
        self._target.replace_targets(y)

    def refuse_targets_per_sequence(self, predicted: tuple[int, ...]) -> None:
        """Raise if steps have no targets although they have predictions."""
        self._target.refuse_targets_per_sequence(predicted)

    def targets(self, index: Integers) -> tuple[NDArray[Any], Any]:
        """Return y and lengths of the samples of ``index``; lengths is a mapping."""
        y, lengths = self._target.targets(index)
        return y, {"target": lengths}

    def check_targets_per_step(self) -> None:
        """Raise: a piece of a target needs the whole source."""
        raise ValueError("bptt_steps must be None for pairs of source and target")

    def take(self, index: Integers) -> Batch:
        """Return the samples of ``index``; X and lengths are mappings."""
        source, target = self._source.take(index), self._target.take(index)
        lengths = {"source": source.lengths, "target": target.lengths}
        return Batch(
            {"source": source.X, "target": target.X}, target.y, lengths, target.weights
        )

    def part(self, first: int, end: int) -> Self:
        """Return the samples from ``first`` to ``end`` as a data set; nothing is copied."""
        result = copy.copy(self)
        result._source = self._source.part(first, end)
        result._target = self._target.part(first, end)
        return result

    def add_axis_to_targets(self) -> None:
        """Give each target an axis of one feature."""
        self._target.add_axis_to_targets()


#: What a trainer works on.
Data: TypeAlias = Dataset | PairDataset


# ---- what users pass -----------------------------------------------------------------------


def _samples(name: str, values: Any) -> tuple[Samples, Integers | None]:
    """An array of samples, or a list of arrays with their lengths."""
    if is_stored(values):
        return as_samples(name, values), None
    if isinstance(values, Sequence) and not isinstance(values, (str, bytes)):
        values = list(values)
    else:
        validation.refuse_foreign(name, values)
        array = np.asarray(values)
        if array.dtype == object and array.ndim:
            values = list(array) if array.ndim == 1 else array.tolist()
    if isinstance(values, list) and any(np.ndim(value) > 0 for value in values):
        arrays = as_sequences(name, values)
        for i, array in enumerate(arrays):
            if array.ndim == 0:
                raise ValueError(f"{name} mixes sequences and numbers")
            if array.ndim != arrays[0].ndim or array.shape[1:] != arrays[0].shape[1:]:
                expected = ", ".join(map(str, ("time", *arrays[0].shape[1:])))
                raise ValueError(
                    f"{name}[{i}] must have shape ({expected}) like {name}[0], got "
                    f"{array.shape}"
                )
        return arrays, np.array([len(array) for array in arrays], np.int64)
    array = validation.as_numeric(name, values)
    if array.ndim == 0:
        raise ValueError(f"{name} must have one entry per sample, got a single number")
    return array, None


def _stacked(name: str, arrays: Samples) -> NDArray[Any]:
    """Samples without steps as one array."""
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        listed = " and ".join(map(str, sorted(shapes)[:2]))
        raise ValueError(f"{name} must hold samples of one shape, or sequences, got {listed}")
    return np.stack(list(arrays))


def _take(samples: Samples, index: Integers) -> NDArray[Any]:
    """Return the samples of ``index`` as one array, zeros after the end of the shorter ones."""
    if type(samples) is np.ndarray and samples.flags.c_contiguous:
        return samples.take(index, axis=0)  # faster than samples[index]
    if not isinstance(samples, list):
        return samples[index]
    # What pygru.pad_sequences checks has been checked.
    chosen = [samples[i] for i in index.tolist()]
    steps = max(len(sample) for sample in chosen)
    dtype = np.result_type(*{sample.dtype for sample in chosen})
    padded = np.zeros((len(chosen), steps, *chosen[0].shape[1:]), dtype)
    for row, sample in zip(padded, chosen, strict=True):
        row[: len(sample)] = sample
    return padded
