"""What a user probably meant by a name that does not exist: "Did you mean 'hidden_size'?"

PyTorch, Keras and scikit-learn have other names for the same things. Where pygru has the thing
under its own name, or does it in another way, an error says so. Nothing is translated silently.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

#: The names of others, and what pygru calls the same: the first one that a class has is meant.
SAME: dict[str, tuple[str, ...]] = {
    "units": ("hidden_size", "out_features", "attention_size", "hidden_layer_sizes"),
    "hidden": ("hidden_size", "hidden_layer_sizes"),
    "hidden_dim": ("hidden_size", "hidden_layer_sizes"),
    "hidden_units": ("hidden_size", "hidden_layer_sizes"),
    "hidden_layer_sizes": ("hidden_size",),
    "hidden_size": ("out_features", "hidden_layer_sizes"),
    "n_hidden": ("hidden_size", "hidden_layer_sizes"),
    "n_units": ("hidden_size", "out_features"),
    "num_units": ("hidden_size", "out_features"),
    "state_size": ("hidden_size",),
    "d_model": ("hidden_size", "embedding_dim"),
    "output_dim": ("out_features", "embedding_dim", "hidden_size"),
    "output_size": ("out_features", "embedding_dim", "hidden_size"),
    "out_dim": ("out_features", "embedding_dim", "hidden_size"),
    "n_outputs": ("out_features",),
    "input_dim": ("num_embeddings", "input_size", "in_features", "features"),
    "input_shape": ("input_size", "in_features", "features"),
    "input_size": ("in_features", "features"),
    "in_features": ("input_size", "features"),
    "n_features": ("input_size", "in_features", "features"),
    "num_features": ("input_size", "in_features", "features"),
    "normalized_shape": ("features",),
    "size": ("features", "hidden_size"),
    "vocab_size": ("num_embeddings",),
    "n_tokens": ("num_embeddings",),
    "num_tokens": ("num_embeddings",),
    "weights": ("weight",),
    "embeddings_initializer": ("weight",),
    "layers": ("num_layers",),
    "depth": ("num_layers",),
    "n_layers": ("num_layers",),
    "use_bias": ("bias",),
    "fit_intercept": ("bias",),
    "rate": ("p", "dropout", "learning_rate"),
    "dropout_rate": ("dropout", "p"),
    "drop_prob": ("dropout", "p"),
    "function": ("activation",),
    "nonlinearity": ("activation",),
    "epsilon": ("eps", "layer_norm_eps"),
    "random_state": ("seed",),
    "seed": ("random_state",),
    "epochs": ("max_iter",),
    "optimizer": ("solver",),
    "weight_decay": ("alpha",),
    "patience": ("n_iter_no_change",),
    "rng": ("seed",),
    "time_major": ("batch_first",),
    "kernel_initializer": ("init",),
    "recurrent_initializer": ("init",),
    "reset_after": ("variant",),
    "linear_before_reset": ("variant",),
    "learnable_h0": ("learn_h0",),
    "merge_mode": ("merge",),
    "lr": ("learning_rate_init", "learning_rate"),
    "learning_rate_init": ("learning_rate",),
    "decay": ("weight_decay",),
    "alpha": ("weight_decay",),
    "beta_1": ("betas",),
    "beta_2": ("betas",),
    "clipnorm": ("clip_norm",),
    "max_norm": ("clip_norm",),
    "gradient_clip_val": ("clip_norm",),
    "loss_fn": ("loss",),
    "criterion": ("loss",),
    "restore_best_weights": ("restore_best",),
    "n_iter_no_change": ("patience",),
    "tol": ("min_delta",),
    "n_jobs": ("n_threads",),
    "num_workers": ("n_threads",),
    "src_vocab_size": ("source_vocab_size",),
    "tgt_vocab_size": ("target_vocab_size",),
    "num_beams": ("beam_size",),
    "num_return_sequences": ("n_best",),
    "nbest": ("n_best",),
    "go_backwards": ("reverse",),
    "reversed": ("reverse",),
    "cell_clip": ("clip",),
    "gate_activation": ("recurrent_activation",),
}

#: So many letters stand for the only name that begins with them.
SHORTEST_BEGIN = 3

#: The names of others for what pygru does in another way.
INSTEAD = {
    "return_sequences": "a GRU returns every step; put Last() after it for the last one",
    "return_state": "a call of a GRU returns the output and the last states",
    "stateful": "gru.stream() keeps the state from step to step, h0= passes one on",
    "activation": "after other layers put Activation(...)",
    "device": "pygru computes on the CPU",
    "proj_size": "put a Linear after the GRU",
    "elementwise_affine": "weight and bias are always there",
    "inplace": "layers never write to their input",
    "layers": "the layers are passed one by one, as in Sequential(*layers)",
    "lr": "the optimizer has it, as in optimizer=Adam(0.01)",
    "learning_rate": "the optimizer has it, as in optimizer=Adam(0.01)",
    "optim": "Did you mean 'optimizer'?",
}


#: Public classes that ``import pygru`` does not import, and the modules that have them.
HOMES = {
    "Backtest": "pygru.forecasting",
    "GRUForecaster": "pygru.forecasting",
    "GRUClassifier": "pygru.sklearn",
    "GRURegressor": "pygru.sklearn",
    "GRUTransformer": "pygru.sklearn",
    "Scaler": "pygru.data",
}


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that ``name`` probably stands for, if there is one.

    Examples
    --------
    >>> from pygru.core.hints import nearest
    >>> nearest("units", ["input_size", "hidden_size"]), nearest("hiden_size", ["hidden_size"])
    ('hidden_size', 'hidden_size')
    >>> nearest("acc", ["jaccard", "accuracy"])
    'accuracy'
    """
    names = list(known)
    for same in SAME.get(name, ()):
        if same in names:
            return same
    begun = {each for each in names if each.startswith(name)}
    if len(begun) == 1 and len(name) >= SHORTEST_BEGIN:
        return begun.pop()
    near = difflib.get_close_matches(name, names, n=1)
    return near[0] if near else None


def unknown_argument(cls: type, name: str, known: list[str]) -> str:
    """Return the text of the error for an argument that a class does not have."""
    text = f"{cls.__name__}() got an unexpected keyword argument {name[:200]!r}"
    for method in ("fit", "forward"):
        function = getattr(cls, method, None)
        if function is not None and name in inspect.signature(function).parameters:
            return f"{text}; it is an argument of {method}()"
    same = next((same for same in SAME.get(name, ()) if same in known), None)
    if same is None and name in INSTEAD:
        return f"{text}: {INSTEAD[name]}"
    meant = same or nearest(name, known)
    if meant:
        return f"{text}. Did you mean {meant!r}?"
    return f"{text}; its arguments are {', '.join(known)}" if known else text


def unknown_attribute(name: str) -> str:
    """Return the text of the error for a name that ``import pygru`` does not bring.

    Examples
    --------
    >>> from pygru.core.hints import unknown_attribute
    >>> unknown_attribute("GRUForecaster")
    "module 'pygru' has no attribute 'GRUForecaster'; import it from pygru.forecasting"
    """
    text = f"module 'pygru' has no attribute {name!r}"
    if name in HOMES:
        return f"{text}; import it from {HOMES[name]}"
    return text


class _SignatureOfInit:
    """The signature of a class: that of its ``__init__``, also where it has a ``__new__``.

    Python before 3.11.4 would show that of ``__new__``.
    """

    def __get__(self, instance: Any, cls: type) -> inspect.Signature:
        if instance is not None:  # an object that can be called has the one of its ``__call__``
            raise AttributeError("__signature__")
        init: Any = cls.__init__  # type: ignore[misc]
        if init is object.__init__:
            return inspect.Signature()
        signature = inspect.signature(init)
        return signature.replace(parameters=list(signature.parameters.values())[1:])


class NamedArguments:
    """Mixin whose constructor says what was meant by an argument that it does not have.

    The signature of a class stays that of its ``__init__``, for people and for type checkers.

    Examples
    --------
    >>> import pygru
    >>> pygru.GRU(4, units=8)
    Traceback (most recent call last):
        ...
    TypeError: GRU() got an unexpected keyword argument 'units'. Did you mean 'hidden_size'?
    """

    if not TYPE_CHECKING:

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            """Make the object, unless there is an argument that ``__init__`` does not have."""
            if cls.__init__ is object.__init__:
                if args or kwargs:  # which object() would ignore
                    raise TypeError(f"{cls.__name__}() takes no arguments")
            elif kwargs:
                _check_names(cls, kwargs)
            return super().__new__(cls)

        __signature__ = _SignatureOfInit()


def _check_names(cls: type, names: Iterable[str]) -> None:
    """Raise a TypeError for the first argument that the class does not have."""
    _, *parameters = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = [
        parameter.name
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    for name in names:
        if name not in known:
            raise TypeError(unknown_argument(cls, name, known))
