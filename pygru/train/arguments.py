"""Checks of the arguments of a Trainer and its methods. Each message names the argument."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

from numpy.typing import ArrayLike, NDArray

from pygru.core import validation
from pygru.nn.losses import LOSSES
from pygru.nn.model import Model
from pygru.nn.sequential import Sequential
from pygru.nn.shapes import place
from pygru.nn.shortcuts import refuse_unused
from pygru.quantized.gru import INFERENCE_ONLY, QuantizedGRU
from pygru.train.callbacks import Callback
from pygru.train.evaluation import Loss, type_and_length
from pygru.train.labels import checked_classes
from pygru.train.loss_kinds import kind_of
from pygru.train.optimizer_base import Optimizer
from pygru.train.optimizers import SGD, Adam, AdamW, RMSprop
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
    refuse_unused("model", model)
    if not model.batch_first:
        raise ValueError(f"model must be a {type(model).__name__} with batch_first=True")


def classes_of_columns(
    classes: ArrayLike | None, model: Model, loss: Loss
) -> NDArray[Any] | None:
    """Return the labels of the columns of a model, a copy; None stays None."""
    if classes is None:
        return None
    if kind_of(loss) != "classes" or model.reads == "pairs":
        raise ValueError(
            "classes must be None unless the loss is 'cross_entropy' and the model reads one "
            "sequence per sample"
        )
    return checked_classes(classes).copy()


def check_trainable(state: TrainingState) -> None:
    """Raise unless the trainer can train the layers that are trainable now."""
    _refuse_quantized(state.model)
    if state.is_resumed:
        state.check_frozen()
    state.optimizer.check_model(state.model)
    parameters = state.model.parameters.values()
    if any(view.size for view in parameters) and not any(
        values.size for values, _ in state.model.flat_pairs
    ):
        raise ValueError("all layers of the model are frozen, so there is nothing to train")


def _refuse_quantized(model: Model) -> None:
    if isinstance(model, QuantizedGRU):
        raise ValueError(INFERENCE_ONLY)
    for index, layer in enumerate(model.layers if isinstance(model, Sequential) else ()):
        if isinstance(layer, QuantizedGRU):
            raise ValueError(f"{place(index, layer)}: {INFERENCE_ONLY}")


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
            stacklevel=4,
        )
        return samples
    return batch_size
