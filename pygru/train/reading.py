"""From what users pass to data sets that fit the model and the loss: all checks of data.

If something does not fit together, an error is raised here, before training has changed
anything. The parts of the checks are in :mod:`pygru.train.datasets` (shapes and values),
:mod:`pygru.train.labels` and :mod:`pygru.nn.targets`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.core import validation
from pygru.nn.losses import check_targets
from pygru.nn.model import Model
from pygru.nn.targets import check_classes
from pygru.train import labels
from pygru.train.arguments import batch_size_for
from pygru.train.batches import MOST_ENTRIES, STREAM, BatchStream, gives_batches
from pygru.train.datasets import Data, Dataset, Expected, PairDataset
from pygru.train.evaluation import Loss, evaluate_loss, try_model, type_and_length
from pygru.train.loss_kinds import (
    check_takes_weights,
    has_own_weights,
    ignored_by,
    is_of_pygru,
    is_one_to_one,
    kind_of,
)
from pygru.train.scan import WHOLE, Share, blocks_of


class Reader:
    """Reads data for one model and one loss.

    Parameters
    ----------
    model : Model
    loss : callable or None
        None for data that are only to be predicted.
    classes : ndarray or None
        The labels of the model's columns, if they are known.
    bptt_steps : int or None
        As for :meth:`Trainer.fit`.
    share : Share
        The part of the data whose values this rank checks.

    Attributes
    ----------
    classes : ndarray or None
        Also those that :meth:`read` has learned.
    """

    def __init__(
        self,
        model: Model,
        loss: Loss | None,
        classes: NDArray[Any] | None = None,
        bptt_steps: int | None = None,
        share: Share = WHOLE,
    ) -> None:
        self.model = model
        self.loss = loss
        self.classes = classes
        self.bptt_steps = bptt_steps
        self.share = share
        # Of a stream only the first batch is tried; the axes and the columns of its prediction.
        self._is_stream = False
        self._tried: tuple[int, int] | None = None

    def for_training(
        self,
        X: Any,
        y: Any,
        lengths: Any,
        sample_weight: Any,
        mask: Any = None,
        reset: Any = None,
        *,
        validation: Any,
        validation_split: float | None,
        batch_size: int | None,
    ) -> tuple[Data | BatchStream, Data | BatchStream | None, dict[str, Any]]:
        """Return the data for training and for validation, and what a checkpoint compares.

        The arguments are those of :meth:`Trainer.fit`.
        """
        if validation is not None and validation_split is not None:
            raise ValueError("validation must be None if validation_split is given")
        if gives_batches(X, y):
            stream = self.stream(
                X,
                y=y,
                lengths=lengths,
                sample_weight=sample_weight,
                mask=mask,
                reset=reset,
                validation_split=validation_split,
                batch_size=batch_size,
            )
            sizes: dict[str, Any] = {"samples": None, "batch_size": None, "data": STREAM}
            return stream, self.held_out(validation), sizes
        data = self.read(X, y, lengths, sample_weight, mask, reset, learns=True)
        held_out = self.held_out(validation)
        if validation_split is not None:
            data, held_out = split_off(data, validation_split)
        sizes = {
            "samples": len(data),
            "batch_size": batch_size_for(batch_size, len(data)),
            "data": data.fingerprint(self.share),
        }
        return data, held_out, sizes

    def read(
        self,
        X: Any,
        y: Any,
        lengths: Any,
        sample_weight: Any = None,
        mask: Any = None,
        reset: Any = None,
        *,
        names: tuple[str, str] = ("X", "y"),
        weight_name: str = "sample_weight",
        mask_names: tuple[str, str] = ("mask", "reset"),
        learns: bool = False,
    ) -> Data:
        """Return a data set, after checking it against the model and the loss.

        Parameters
        ----------
        X, y, lengths, sample_weight, mask, reset
            As for :meth:`Trainer.fit`; y is None for data that are only to be predicted.
        names, weight_name, mask_names : str
            What to call X and y, the weights, mask and reset in messages.
        learns : bool
            Whether unknown labels become the classes.
        """
        if sample_weight is not None:
            check_takes_weights(self.loss, weight_name)
        if not isinstance(X, Sequence) and gives_batches(X, y):
            raise TypeError(
                f"{names[0]} must be an array or a list of arrays, got {type_and_length(X)}"
            )
        if isinstance(X, Mapping) and self.model.reads != "pairs":
            raise TypeError(
                f"{names[0]} must be an array or a list of arrays, got {type_and_length(X)}"
            )
        if y is None and is_of_pygru(self.loss):
            raise TypeError(f"{names[1]} must be array-like of numbers, got NoneType")
        data: Data
        if isinstance(X, Mapping):
            for name, value in zip(mask_names, (mask, reset), strict=True):
                if value is not None:
                    raise ValueError(f"{name} must be None for pairs of source and target")
            data = PairDataset(
                X, y, lengths, names=names, sample_weight=sample_weight, weight_name=weight_name
            )
        else:
            read_labels = None
            if self._takes_labels and y is not None:
                read_labels = labels.label_samples(names[1], y)
            data = Dataset(
                X,
                y,
                lengths,
                per_step=self.model.predicts_steps,
                features=0 if self.model.reads == "tokens" else 1,
                names=names,
                sample_weight=sample_weight,
                weight_name=weight_name,
                mask=mask,
                reset=reset,
                mask_names=mask_names,
                labels=read_labels,
            )
            _check_axes(self.model, data, names[0])
        if self.bptt_steps is not None:
            check_windows(self.model)
            data.check_targets_per_step()
        if self._takes_labels and y is not None:
            self._translate(data, names[1], learns=learns)
        data.check(_expected(self.model, self.loss), self._share_now)
        with np.errstate(over="ignore", invalid="ignore"):
            self._try(data, names[1], learns=learns)
        return data

    def stream(self, batches: Any, name: str = "X", **others: Any) -> BatchStream:
        """Return the batches that a user makes; ``others`` are arguments that must be None."""
        for other, value in others.items():
            if value is not None:
                raise ValueError(f"{other} must be None if {name} gives batches")
        self._is_stream = True

        def read(item: tuple[Any, ...], place: str) -> Data:
            return self.read(*_entries(item), **_names_in(place))

        return BatchStream(batches, read, name)

    def held_out(self, validation_data: Any) -> Data | BatchStream | None:
        """Return the data set of ``fit``'s argument ``validation``; None without one."""
        if validation_data is None:
            return None
        # A tuple is (X, y); a list of tuples holds batches, as it does for X.
        if not isinstance(validation_data, tuple) and gives_batches(validation_data, None):
            return Reader(self.model, self.loss, self.classes, share=self.share).stream(
                validation_data, "validation"
            )
        if (
            not isinstance(validation_data, (tuple, list))
            or not 2 <= len(validation_data) <= MOST_ENTRIES
        ):
            raise TypeError(
                "validation must be a tuple (X, y) or (X, y, lengths[, sample_weight[, mask[, "
                f"reset]]]), got {type_and_length(validation_data)}"
            )
        other = Reader(self.model, self.loss, self.classes, share=self.share)
        return other.read(*_entries(validation_data), **_names_in("validation"))

    @property
    def _share_now(self) -> Share:
        """The part of the data to check: all of a batch that a user makes on this rank."""
        return WHOLE if self._is_stream else self.share

    # ---- labels ----------------------------------------------------------------------------

    @property
    def _takes_labels(self) -> bool:
        return kind_of(self.loss) == "classes" and self.model.reads != "pairs"

    def _translate(self, data: Data, name: str, *, learns: bool) -> None:
        """Replace labels by the numbers of their columns; integers may be such numbers."""
        samples, lengths = data.read_targets
        if self.classes is None:
            if not labels.are_labels(samples):
                return
            if not learns:
                # The first batch need not have all labels, so fit cannot learn them from it.
                way = "" if self._is_stream else "call fit first, or "
                raise ValueError(
                    f"{name} holds labels, but the trainer knows no classes: {way}pass "
                    "classes= to the Trainer"
                )
            self.classes = labels.found_in(samples, lengths, None)
        data.replace_targets(
            labels.translated(name, samples, lengths, self.classes, ignored_by(self.loss))
        )

    def _learn_integers(self, data: Data, name: str, columns: int) -> None:
        """Take integers for labels if they are no columns, but as many as there are columns."""
        samples, lengths = data.read_targets
        first = samples[0] if isinstance(samples, list) else samples
        if first.dtype.kind not in "iu":
            return
        ignored = ignored_by(self.loss)
        found = labels.found_in(samples, lengths, ignored)
        if len(found) == columns and (found[0] < 0 or found[-1] >= columns):
            data.replace_targets(labels.translated(name, samples, lengths, found, ignored))
            self.classes = found

    def _check_columns(self, columns: int, name: str) -> None:
        """Raise unless the model has one column for each class."""
        if self.classes is not None and len(self.classes) != columns:
            check_classes(columns)
            raise ValueError(
                f"the model has {columns} outputs, but there are {len(self.classes)} classes "
                f"of {name}: {labels.listed(self.classes)}; it needs one output for each class"
            )

    # ---- one sample ------------------------------------------------------------------------

    def _try(self, data: Data, name: str, *, learns: bool) -> None:
        """Run model and loss on one sample, and let the loss check all targets."""
        loss = self.loss
        if self._tried is not None:
            self._check_like_first(data, name)
            return
        tried = try_model(self.model, data, self.bptt_steps)
        if tried is None or loss is None or not is_of_pygru(loss):
            return
        window, prediction = tried
        columns = prediction.shape[-1]
        if self._takes_labels:
            self._check_columns(columns, name)
            if self.classes is None and learns and columns > 1:
                self._learn_integers(data, name, columns)
                window, prediction = try_model(self.model, data, self.bptt_steps) or tried
        self._check_targets(data, name, columns)
        if self.model.predicts_steps:
            data.refuse_targets_per_sequence(prediction.shape)
        if is_one_to_one(loss) and prediction.shape == (*window.y.shape, 1):
            data.add_axis_to_targets()
            window = window._replace(y=window.y[..., np.newaxis])
        _check_shape(loss, name, window.y.shape, prediction.shape)
        if not has_own_weights(loss):
            evaluate_loss(loss, prediction, window.y, window.lengths, mask=window.flags.mask)
        if self._is_stream:
            self._tried = prediction.ndim, columns

    def _check_targets(self, data: Data, name: str, columns: int) -> None:
        """Let the loss check all targets."""
        assert self.loss is not None
        samples, lengths = data.read_targets
        look = functools.partial(check_targets, self.loss, classes=columns, name=name)
        try:
            for block in blocks_of(samples, lengths, self._share_now):
                look(block.values)
        except (TypeError, ValueError):
            look(samples, lengths=lengths)  # slower, but it knows the place

    def _check_like_first(self, data: Data, name: str) -> None:
        """Do what :meth:`_try` does, for a batch like one that was tried."""
        assert self._tried is not None
        axes, columns = self._tried
        self._check_targets(data, name, columns)
        y = data.targets(np.array([0]))[0]
        if is_one_to_one(self.loss) and columns == 1 and y.ndim == axes - 1:
            data.add_axis_to_targets()


def _entries(item: Sequence[Any]) -> tuple[Any, ...]:
    """Return X, y, lengths, sample_weight, mask and reset; those at the end may be missing."""
    return (*item, *[None] * MOST_ENTRIES)[:MOST_ENTRIES]


def _names_in(place: str) -> dict[str, Any]:
    """Return what messages call the entries of a tuple."""
    return {
        "names": (f"{place}[0]", f"{place}[1]"),
        "weight_name": f"{place}[3]",
        "mask_names": (f"{place}[4]", f"{place}[5]"),
    }


def _check_shape(
    loss: Loss, name: str, found: tuple[int, ...], predicted: tuple[int, ...]
) -> None:
    """Raise unless the target of one sample has the shape that the loss compares."""
    if kind_of(loss) == "classes":
        expected, what = predicted[:-1], ", one class for each prediction"
    elif is_one_to_one(loss):
        expected, what = predicted, " like the predictions"
    else:
        return
    if found != expected:
        raise ValueError(
            f"{name} must have shape {_for_all(expected)}{what}, got {_for_all(found)}"
        )


def _for_all(shape: tuple[int, ...]) -> str:
    """The shape for N samples, where ``shape`` is that for one."""
    return f"(N, {', '.join(map(str, shape[1:]))})" if len(shape) > 1 else "(N,)"


def layers_of(model: Model) -> tuple[Model, ...]:
    """The layers of a model of layers, or the model itself."""
    return model.layers or (model,)


def check_windows(model: Model) -> None:
    """Raise if a model cannot be trained in windows of a sequence."""
    if not model.predicts_steps:
        raise ValueError("bptt_steps needs a model that predicts every step (without Last)")
    for layer in layers_of(model):
        if layer.bidirectional:
            raise ValueError(
                f"bptt_steps needs layers that are not bidirectional, got {layer}: a reverse "
                "direction begins at the end of the sequence"
            )
        if layer.needs_whole_sequences and layer.reads != "pairs":  # the data refuse those
            raise ValueError(f"bptt_steps must be None: {layer} needs whole sequences")


def _check_axes(model: Model, data: Dataset, name: str) -> None:
    """Raise for a single sequence, whose steps a recurrent layer would take for samples."""
    first = layers_of(model)[0]
    if first.is_recurrent and first.reads == "features" and data.ndim != 3:
        F = getattr(first, "input_size", "features")
        raise ValueError(
            f"{name} must have shape (N, T, {F}) or be a list of N arrays (T_i, {F}), got an "
            f"array of {data.ndim} dimensions; one sequence is {name}[np.newaxis]"
        )


def _expected(model: Any, loss: Loss | None) -> Expected:
    """Return what the values of the data must be."""
    dtypes = [view.dtype for view in model.parameters.values()]
    first = layers_of(model)[0]
    tokens = target_tokens = None
    if model.reads == "pairs":
        tokens = getattr(model, "source_vocab_size", None)
        target_tokens = getattr(model, "target_vocab_size", None)
    elif model.reads == "tokens":
        tokens = getattr(first, "num_embeddings", None)
    return Expected(
        dtype=np.result_type(*dtypes) if dtypes else None,
        tokens=tokens,
        target_tokens=target_tokens,
        y_is_in_range=is_of_pygru(loss),
    )


def split_off(data: Data, validation_split: float) -> tuple[Data, Data]:
    """Divide data into a part for training and the last samples for validation."""
    share = validation.check_fraction("validation_split", validation_split)
    first = math.floor(len(data) * (1 - share))
    if not 0 < first < len(data):
        raise ValueError(
            f"validation_split={validation_split} must leave at least one of {len(data)} "
            f"samples for training and one for validation, got {first} and {len(data) - first}"
        )
    return data.part(0, first), data.part(first, len(data))
