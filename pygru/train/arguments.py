"""What is passed to a Trainer and its methods, checked: each message names the argument."""

import warnings
from collections.abc import Mapping

from pygru.core import validation
from pygru.gru import GRU
from pygru.nn.embedding import Embedding
from pygru.nn.layers import Last, Layer
from pygru.nn.losses import LOSSES
from pygru.train.batches import dataset_of
from pygru.train.callbacks import Callback


def describe(value):
    """The type of a value, and of a sequence how many it holds."""
    name = validation.type_name(value)
    return f"{name} of {len(value)}" if isinstance(value, (tuple, list)) else name


def loss_of(loss):
    """The function of a loss, which may be given by its name."""
    if isinstance(loss, str):
        return LOSSES[validation.check_choice("loss", loss, tuple(LOSSES))]
    if not callable(loss):
        raise TypeError(f"loss must be a str or a function, got {describe(loss)}")
    return loss


def callbacks_of(callbacks):
    """Callbacks as a list."""
    if isinstance(callbacks, Callback):
        raise TypeError(
            f"callbacks must be a list of Callbacks, got a single {describe(callbacks)}"
        )
    callbacks = list(callbacks)
    for index, callback in enumerate(callbacks):
        if not isinstance(callback, Callback):
            raise TypeError(
                f"callbacks[{index}] must be a pygru.Callback, got {describe(callback)}"
            )
    return callbacks


def check_model(model):
    """Refuse what cannot be trained."""
    if not hasattr(model, "flat_pairs"):
        raise TypeError(f"model must be a pygru model, got {describe(model)}")
    if isinstance(model, GRU) and not model.batch_first:
        raise ValueError("model must be a GRU with batch_first=True")


def layers_of(model):
    """The layers of a model of layers, or the model itself."""
    return getattr(model, "layers", (model,))


def predicts_every_step(model):
    """Whether a model's output has a time axis, as far as that can be seen."""
    return not any(isinstance(layer, Last) for layer in layers_of(model))


def check_windows(model):
    """Refuse models that cannot be trained in windows of a sequence."""
    if not predicts_every_step(model):
        raise ValueError("bptt_steps needs a model that predicts every step (without Last)")
    if any(isinstance(layer, GRU) and layer.bidirectional for layer in layers_of(model)):
        raise ValueError(
            "bptt_steps needs GRUs that are not bidirectional: a reverse direction begins at "
            "the end of the sequence"
        )


def data_for(model, X, y, lengths):
    """The data set, checked against what the model takes and predicts.

    y is None for data that are only to be predicted.
    """
    first = next(iter(layers_of(model)), None)
    if isinstance(X, Mapping) and isinstance(first, (GRU, Layer)):
        raise TypeError(f"X must be an array or a list of arrays, got {describe(X)}")
    data = dataset_of(
        X,
        y,
        lengths,
        per_step=predicts_every_step(model),
        features=0 if isinstance(first, Embedding) else 1,
    )
    if isinstance(first, GRU) and data.ndim != 3:
        # A GRU would take it for one sequence, its steps for samples.
        F = first.input_size
        raise ValueError(
            f"X must have shape (N, T, {F}) or be a list of N arrays (T_i, {F}), got an "
            f"array of {data.ndim} dimensions; one sequence is X[np.newaxis]"
        )
    return data


def held_out_for(model, validation_data):
    """The data set of ``fit``'s argument ``validation``, None without."""
    if validation_data is None:
        return None
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
        raise TypeError(
            "validation must be a tuple (X, y) or (X, y, lengths), "
            f"got {describe(validation_data)}"
        )
    X, y, *lengths = validation_data
    return data_for(model, X, y, *lengths or [None])


def batch_size_for(batch_size, samples):
    """The batch size, at most the number of samples; scikit-learn warns in these words."""
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
