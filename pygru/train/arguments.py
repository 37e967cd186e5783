"""What is passed to a Trainer and its methods, checked: each message names the argument."""

import warnings
from collections.abc import Mapping

from pygru.core import validation
from pygru.nn.losses import LOSSES
from pygru.nn.model import Model
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
    if not isinstance(model, Model):
        raise TypeError(f"model must be a pygru model, got {describe(model)}")
    if not model.batch_first:
        raise ValueError(f"model must be a {type(model).__name__} with batch_first=True")


def layers_of(model):
    """The layers of a model of layers, or the model itself."""
    return model.layers or (model,)


def check_windows(model):
    """Refuse models that cannot be trained in windows of a sequence."""
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


def data_for(model, X, y, lengths):
    """The data set, checked against what the model takes and predicts.

    y is None for data that are only to be predicted.
    """
    if isinstance(X, Mapping) and model.reads != "pairs":
        raise TypeError(f"X must be an array or a list of arrays, got {describe(X)}")
    data = dataset_of(
        X,
        y,
        lengths,
        per_step=model.predicts_steps,
        features=0 if model.reads == "tokens" else 1,
    )
    first = layers_of(model)[0]
    if first.is_recurrent and first.reads == "features" and data.ndim != 3:
        # A GRU would take it for one sequence, its steps for samples.
        F = getattr(first, "input_size", "features")
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
