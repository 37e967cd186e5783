"""Checks of the arguments of a Trainer and its methods. Each message names the argument."""

from __future__ import annotations

import functools
import inspect
import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from pygru.core import validation
from pygru.nn.losses import LOSSES, check_targets, quantile
from pygru.nn.model import Model
from pygru.train.callbacks import Callback
from pygru.train.datasets import Data, Dataset, Expected, PairDataset
from pygru.train.evaluation import Loss, evaluate_loss, try_model, type_and_length
from pygru.train.optimizer_base import Optimizer
from pygru.train.optimizers import SGD, Adam, AdamW, RMSprop
from pygru.train.scan import blocks_of
from pygru.train.state import TrainingState

#: Samples per step if nothing else is said, as in Keras.
BATCH_SIZE = 32

#: Optimisers that can be given by their names.
OPTIMIZERS: dict[str, Callable[[], Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "sgd": SGD,
    "rmsprop": RMSprop,
}


def optimizer_of(optimizer: str | Optimizer | None) -> Optimizer:
    """Return an optimiser, which may be given by its name; Adam by default."""
    if optimizer is None:
        return Adam()
    if isinstance(optimizer, str):
        name = validation.check_choice("optimizer", optimizer, tuple(OPTIMIZERS))
        return OPTIMIZERS[name]()
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"optimizer must be a pygru optimizer or the name of one, got "
            f"{type_and_length(optimizer)}"
        )
    return optimizer


def loss_of(loss: str | Loss) -> Loss:
    """Return the function of a loss, which may be given by its name."""
    if isinstance(loss, str):
        return LOSSES[validation.check_choice("loss", loss, tuple(LOSSES))]
    if not callable(loss):
        raise TypeError(f"loss must be a str or a function, got {type_and_length(loss)}")
    return loss


def callbacks_of(callbacks: Iterable[Callback]) -> list[Callback]:
    """Return the callbacks as a list."""
    if isinstance(callbacks, Callback):
        raise TypeError(
            f"callbacks must be a list of Callbacks, got a single {type_and_length(callbacks)}"
        )
    result = list(callbacks)
    for index, callback in enumerate(result):
        if not isinstance(callback, Callback):
            raise TypeError(
                f"callbacks[{index}] must be a pygru.Callback, got {type_and_length(callback)}"
            )
    return result


def check_model(model: Any) -> None:
    """Raise unless the model can be trained."""
    if not isinstance(model, Model):
        raise TypeError(f"model must be a pygru model, got {type_and_length(model)}")
    if not model.batch_first:
        raise ValueError(f"model must be a {type(model).__name__} with batch_first=True")


def check_trainable(state: TrainingState) -> None:
    """Raise unless the trainer can train the layers that are trainable now."""
    if state.is_resumed:
        state.check_frozen()
    state.optimizer.check_model(state.model)
    parameters = state.model.parameters.values()
    if any(view.size for view in parameters) and not any(
        values.size for values, _ in state.model.flat_pairs
    ):
        raise ValueError("all layers of the model are frozen, so there is nothing to train")


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


def data_for(
    model: Model,
    X: Any,
    y: Any,
    lengths: Any,
    *,
    loss: Loss | None = None,
    bptt_steps: int | None = None,
    names: tuple[str, str] = ("X", "y"),
    sample_weight: Any = None,
    weight_name: str = "sample_weight",
) -> Data:
    """Return the data set, after checking it against the model and the loss.

    y and ``loss`` are None for data that are only to be predicted.
    """
    if sample_weight is not None:
        _check_takes_weights(loss, weight_name)
    if isinstance(X, Mapping) and model.reads != "pairs":
        raise TypeError(
            f"{names[0]} must be an array or a list of arrays, got {type_and_length(X)}"
        )
    if y is None and _is_of_pygru(loss):
        raise TypeError(f"{names[1]} must be array-like of numbers, got NoneType")
    data: Data
    if isinstance(X, Mapping):
        data = PairDataset(
            X, y, lengths, names=names, sample_weight=sample_weight, weight_name=weight_name
        )
    else:
        features = 0 if model.reads == "tokens" else 1
        data = Dataset(
            X,
            y,
            lengths,
            per_step=model.predicts_steps,
            features=features,
            names=names,
            sample_weight=sample_weight,
            weight_name=weight_name,
        )
        _check_axes(model, data, names[0])
    if bptt_steps is not None:
        check_windows(model)
        data.check_targets_per_step()
    data.check(_expected(model, loss))
    with np.errstate(over="ignore", invalid="ignore"):
        _try(model, loss, data, bptt_steps, names[1])
    return data


def _try(
    model: Model, loss: Loss | None, data: Data, bptt_steps: int | None, name: str
) -> None:
    """Run model and loss on one sample, and let the loss check all targets.

    If something does not fit together, this raises before training has changed anything.
    """
    tried = try_model(model, data, bptt_steps)
    if tried is None or loss is None or not _is_of_pygru(loss):
        return
    window, prediction = tried
    samples, lengths = data.read_targets
    look = functools.partial(check_targets, loss, classes=prediction.shape[-1], name=name)
    try:
        for block in blocks_of(samples, lengths):
            look(block.values)
    except (TypeError, ValueError):
        look(samples, lengths=lengths)  # slower, but it knows the place
    if _is_single_output(loss, prediction, window.y):
        data.add_axis_to_targets()
        window = window._replace(y=window.y[..., np.newaxis])
    if "weights" not in _without_options(loss)[1]:  # which fit a whole batch only
        evaluate_loss(loss, prediction, window.y, window.lengths)


def _is_single_output(loss: Loss, prediction: Any, y: Any) -> bool:
    """Whether the model predicts one number where y has a number without an axis for it."""
    one_to_one = _without_options(loss)[0] not in (LOSSES["cross_entropy"], quantile)
    return one_to_one and prediction.shape == (*y.shape, 1)


def _check_takes_weights(loss: Any, name: str) -> None:
    """Raise if a loss cannot be given the weights of the samples."""
    if "weights" in _without_options(loss)[1]:
        raise ValueError(f"{name} must be None, because the loss has weights of its own")
    try:
        parameters = inspect.signature(loss).parameters
    except (TypeError, ValueError):  # compiled code may not say what it takes
        return
    if "weights" not in parameters and not any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
    ):
        raise ValueError(
            f"{name} needs a loss with an argument 'weights', which {loss} does not have"
        )


def _without_options(loss: Any) -> tuple[Any, dict[str, Any]]:
    """The function behind ``functools.partial``, and the options that it is called with."""
    options: dict[str, Any] = {}
    while isinstance(loss, functools.partial):
        loss, options = loss.func, {**loss.keywords, **options}
    return loss, options


def _is_of_pygru(loss: Any) -> bool:
    """Whether a loss is one of :mod:`pygru.losses`. Other losses may accept any target."""
    return getattr(_without_options(loss)[0], "__module__", None) == check_targets.__module__


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
        y_is_in_range=_is_of_pygru(loss),
    )


def held_out_for(model: Model, validation_data: Any, loss: Loss) -> Data | None:
    """Return the data set of ``fit``'s argument ``validation``; None without one."""
    if validation_data is None:
        return None
    if not isinstance(validation_data, (tuple, list)) or not 2 <= len(validation_data) <= 4:
        raise TypeError(
            "validation must be a tuple (X, y) or (X, y, lengths[, sample_weight]), "
            f"got {type_and_length(validation_data)}"
        )
    X, y, lengths, sample_weight = (*validation_data, None, None)[:4]
    return data_for(
        model,
        X,
        y,
        lengths,
        loss=loss,
        names=("validation[0]", "validation[1]"),
        sample_weight=sample_weight,
        weight_name="validation[3]",
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


def batch_size_for(batch_size: int | None, samples: int) -> int:
    """Return the batch size, at most the number of samples; warns as scikit-learn does."""
    if batch_size is None:
        return min(BATCH_SIZE, samples)
    batch_size = validation.check_int("batch_size", batch_size, 1)
    if batch_size > samples:
        warnings.warn(
            f"Got batch_size={batch_size} larger than the sample size {samples}. "
            "It is going to be clipped.",
            UserWarning,
            stacklevel=3,
        )
        return samples
    return batch_size
