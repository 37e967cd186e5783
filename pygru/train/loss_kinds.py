"""What a loss expects of targets and means by predictions, as far as that is known.

The losses of :mod:`pygru.losses` are known, also with options that are bound by
``functools.partial``. A loss of the user's may mean anything.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any, Literal

from pygru.nn.activation import Activation
from pygru.nn.losses import LOSSES, bce_with_logits, check_targets, cross_entropy, quantile

#: What a prediction is: scores of classes, log-odds, values like the targets, or none of these.
Kind = Literal["classes", "binary", "values", "other"]

#: The functions that losses apply to predictions.
CONTAINED: dict[str, str] = {"classes": "softmax", "binary": "sigmoid"}


def without_options(loss: Any) -> tuple[Any, dict[str, Any]]:
    """Return the function behind ``functools.partial``, and its options."""
    options: dict[str, Any] = {}
    while isinstance(loss, functools.partial):
        loss, options = loss.func, {**loss.keywords, **options}
    return loss, options


def is_of_pygru(loss: Any) -> bool:
    """Whether a loss is one of :mod:`pygru.losses`. Other losses may accept any target."""
    module = getattr(without_options(loss)[0], "__module__", None)
    return bool(module == check_targets.__module__)


def kind_of(loss: Any) -> Kind:
    """Return what a prediction means to a loss."""
    function = without_options(loss)[0]
    if function is cross_entropy:
        return "classes"
    if function is bce_with_logits:
        return "binary"
    return "values" if function in LOSSES.values() else "other"


def check_takes_output_of(loss: Any, model: Any) -> None:
    """Raise if a model ends with the function that the loss contains, as models in Keras do."""
    last = model.layers[-1] if model.layers else None
    if isinstance(last, Activation) and last.activation == CONTAINED.get(kind_of(loss)):
        name = without_options(loss)[0].__name__
        raise ValueError(
            f"the loss {name} contains the {last.activation}: train the model without its last "
            f"layer, {last!r}, and apply that layer to the predictions"
        )


def ignored_by(loss: Any) -> int | None:
    """Return the target that a loss ignores, if there is one."""
    ignored: int | None = without_options(loss)[1].get("ignore_index")
    return ignored


def is_one_to_one(loss: Any) -> bool:
    """Whether a loss compares each prediction with one target."""
    return without_options(loss)[0] not in (cross_entropy, quantile)


def has_own_weights(loss: Any) -> bool:
    """Whether weights are bound to a loss; they fit a whole batch only."""
    return "weights" in without_options(loss)[1]


def check_takes_weights(loss: Any, name: str) -> None:
    """Raise if a loss cannot be given the weights of the samples."""
    if has_own_weights(loss):
        raise ValueError(f"{name} must be None, because the loss has weights of its own")
    if not has_parameter(loss, "weights"):
        raise ValueError(
            f"{name} needs a loss with an argument 'weights', which {loss} does not have"
        )


def has_parameter(function: Any, name: str) -> bool:
    """Whether a function takes an argument of a name, as far as it says what it takes."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # compiled code may not say what it takes
        return True
    return name in parameters or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
    )
