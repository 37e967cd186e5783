"""The parameters of the estimators: each with its default and its description, written once.

Dataclasses make the constructors, with real signatures, and :func:`described` writes the
section ``Parameters`` of each estimator's docstring. Values are checked in ``fit``, as
scikit-learn demands, and not here.
"""

import dataclasses
import inspect
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

from pygru.core.hints import NamedArguments

parameters = dataclasses.dataclass(eq=False, repr=False, kw_only=True)


@parameters
class SharedParameters(NamedArguments):
    """Those of every estimator."""

    hidden_layer_sizes: Any = dataclasses.field(default=(64,), kw_only=False)
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    variant: Any = "chung"
    pooling: str | None = "last"
    embedding: Any = None
    solver: str = "adam"
    alpha: float = 0.0
    batch_size: int | str = "auto"
    learning_rate_init: float = 0.002
    learning_rate: str = "constant"
    power_t: float = 0.5
    max_iter: int = 200
    tol: float = 1e-4
    n_iter_no_change: int = 10
    clip_norm: float | None = 1.0
    random_state: Any = None
    verbose: bool = False
    n_threads: int | None = 1


@parameters
class SupervisedParameters(SharedParameters):
    """Those of the classifier and the regressor."""

    bidirectional: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    warm_start: bool = False


@parameters
class ClassifierParameters(SupervisedParameters):
    """Those of the classifier."""

    class_weight: Any = None


@parameters
class TransformerParameters(SharedParameters):
    """Those of the transformer."""

    output: str = "vector"
    max_iter: int = 50


#: In the order of the docstrings: what each parameter accepts, and what it means.
DESCRIPTIONS = {
    "hidden_layer_sizes": (
        "int or sequence of int",
        "The hidden size of each GRU, one after the other.",
    ),
    "bidirectional": ("bool", "Whether each GRU also reads the sequence from its end."),
    "dropout": (
        "float",
        "Probability in [0, 1] with which outputs of the GRUs are set to zero in training.",
    ),
    "recurrent_dropout": (
        "float",
        "The same for the state, with one mask per sequence, as in :class:`pygru.GRU`.",
    ),
    "variant": ('{"chung", "cho", "pytorch"} or Variant', "The equations of the GRU."),
    "pooling": (
        '{"last", "mean", "max", "attention"} or None',
        "What represents the sequence: the output of its last step; the mean or the largest "
        "value of each feature over all steps; or a mean with learned weights. None makes a "
        "prediction for every step, and y then has one value per step.",
    ),
    "output": (
        '{"vector", "states"}',
        "Whether ``transform`` returns one vector per sequence, or the state at each step.",
    ),
    "embedding": (
        "int, (int, int) or None",
        "For tokens: the size of their vectors, or the number of tokens and this size. X then "
        "holds integers >= 0. By default the number of tokens is the largest one in ``fit`` + "
        "1.",
    ),
    "solver": (
        '{"adam", "adamw", "sgd", "rmsprop"}',
        'The optimiser. ``"sgd"`` has Nesterov\'s momentum of 0.9.',
    ),
    "alpha": (
        "float",
        "The weight decay of the optimiser: ``alpha * weight`` is added to each gradient, "
        'except for ``"adamw"``, which decouples it.',
    ),
    "batch_size": (
        'int or "auto"',
        'Samples per step. ``"auto"`` is a fiftieth of the samples, at least 32 and at most '
        "256.",
    ),
    "learning_rate_init": ("float", "The learning rate of the first epoch."),
    "learning_rate": (
        '{"constant", "invscaling", "adaptive"}',
        '``"invscaling"`` sets the rate after each epoch to ``learning_rate_init / (t_ + 1) ** '
        'power_t``. ``"adaptive"`` divides the rate by 5 where training would otherwise end.',
    ),
    "power_t": ("float", 'The exponent for ``learning_rate="invscaling"``.'),
    "max_iter": ("int", "The largest number of epochs."),
    "tol": (
        "float",
        "Training ends if the loss has improved by less than ``tol`` in more than "
        "``n_iter_no_change`` epochs in a row.",
    ),
    "n_iter_no_change": ("int", "See ``tol``."),
    "early_stopping": (
        "bool",
        "Whether to keep some samples for validation, watch the score on them instead of the "
        "loss, and keep the weights with the best score.",
    ),
    "validation_fraction": ("float", "The share of the samples that is kept then."),
    "clip_norm": ("float or None", "Largest joint norm of all gradients."),
    "class_weight": (
        'dict, "balanced" or None',
        "The weight of each class, as everywhere in scikit-learn.",
    ),
    "random_state": (
        "int, RandomState or None",
        "An int gives the same weights, bit for bit, in every call of ``fit``.",
    ),
    "warm_start": (
        "bool",
        "Whether ``fit`` continues from the weights of the last ``fit``, with a new optimiser.",
    ),
    "verbose": ("bool", "Whether to show a progress bar."),
    "n_threads": (
        "int or None",
        "Threads of this estimator, None for the number of :func:`pygru.set_num_threads`. The "
        "result does not depend on it. One thread suits small models and parallel searches.",
    ),
}

Class = TypeVar("Class", bound=type)


def described(**special: tuple[str, str]) -> Callable[[Class], Class]:
    """Make a decorator that writes all parameters of an estimator into its docstring.

    The descriptions replace the line ``{parameters}``. ``special`` holds those that differ
    from the common ones. A parameter without a description is a KeyError.
    """

    def describe(cls: Class) -> Class:
        names = inspect.signature(cls).parameters
        texts = {name: special.get(name, DESCRIPTIONS[name]) for name in names}
        entries = [
            f"{name} : {texts[name][0]}\n"
            + textwrap.indent(textwrap.fill(texts[name][1], 92), "    ")
            for name in DESCRIPTIONS
            if name in texts
        ]
        if cls.__doc__ is not None:  # python -OO removes docstrings
            text = inspect.cleandoc(cls.__doc__)
            cls.__doc__ = text.replace("{parameters}", "\n".join(entries))
        return cls

    return describe
