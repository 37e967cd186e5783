"""What pickle, joblib and skops keep of an estimator: its model and optimiser as plain values.

They become dictionaries of numbers, texts and arrays, so a file does not depend on pygru's
inner classes, and a loader such as skops has to trust the class of the estimator only. Random
generators and the optimiser's averages are kept, so training goes on with the same bits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pygru.core import validation
from pygru.io.native import describe, from_description
from pygru.train.optimizer_base import Optimizer
from pygru.train.optimizers import SGD, Adam, AdamW, RMSprop

OPTIMIZERS: dict[str, type[Optimizer]] = {
    cls.__name__: cls for cls in (Adam, AdamW, SGD, RMSprop)
}


def plain_model(model: Any) -> dict[str, Any]:
    """Return a model as a dictionary: description, parameters, random generators."""
    return {
        "description": json.dumps(describe(model)),
        "parameters": dict(model.state_dict()),
        "generators": json.dumps([each.bit_generator.state for each in model.generators]),
    }


def model_from(plain: Mapping[str, Any]) -> Any:
    """Return the model that :func:`plain_model` has described."""
    model = from_description(json.loads(plain["description"]), plain["parameters"])
    states = json.loads(plain["generators"])
    for generator, state in zip(model.generators, states, strict=True):
        generator.bit_generator.state = state
    return model


def plain_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """Return an optimiser as a dictionary: class, settings, and its state."""
    return {
        "class": type(optimizer).__name__,
        "config": json.dumps(optimizer.get_config()),
        "state": optimizer.state_dict(),
    }


def optimizer_from(plain: Mapping[str, Any]) -> Optimizer:
    """Return the optimiser that :func:`plain_optimizer` has described."""
    state = plain["state"]
    make = OPTIMIZERS[plain["class"]]
    optimizer = make(state["learning_rate"], **json.loads(plain["config"]))
    optimizer.load_state_dict(state)
    return optimizer


def check_numbers(name: str, values: Any) -> None:
    """Raise unless an attribute is a list of numbers."""
    if not isinstance(values, list):
        raise TypeError(f"{name} must be a list, got {validation.type_name(values)}")
    for value in values:
        validation.check_number(name, value)
