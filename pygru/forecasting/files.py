"""The file of a forecaster: a model file of pygru with the rest in its metadata, as JSON.

Everything in the metadata is checked against the network, whose sizes the header of the file
fixes. Nothing is executed. What belongs to a run and not to the forecaster is left out: how
long training took, the number of threads, the progress bar. So equal forecasters give equal
files.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pygru.core.validation import check_int, check_number, type_name
from pygru.errors import FormatError
from pygru.forecasting.fitting import Fitted, check_validation_size, shape_of
from pygru.forecasting.network import ForecastNetwork
from pygru.forecasting.scaling import Affine, Spread
from pygru.forecasting.schema import Schema, name_from_json, name_to_json
from pygru.forecasting.settings import Settings
from pygru.forecasting.stack import Values
from pygru.forecasting.task import Task, check_steps
from pygru.io import native
from pygru.train.history import History
from pygru.typing import Path

LAYERS = {"ForecastNetwork": ForecastNetwork}


def save(fitted: Fitted, path: Path) -> None:
    """Write a forecaster; see :meth:`GRUForecaster.save`."""
    for name, values in fitted.model.state_dict().items():
        if not np.isfinite(values).all():
            raise ValueError(f"the forecaster is not saved: {name} contains NaN or infinity")
    note = {"settings": _settings_to_json(fitted.settings), **_note(fitted)}
    native.save(fitted.model, path, {"forecaster": note})


def check_fitted(fitted: Any, settings: Settings) -> None:
    """Raise unless what a pickled forecaster has found could be read from a file, too.

    ``settings`` are those of the forecaster, which have been checked.
    """
    if not isinstance(fitted, Fitted):
        raise TypeError(f"_fitted must be None or a Fitted, got {type_name(fitted)}")
    if not isinstance(fitted.model, ForecastNetwork):
        raise TypeError(f"the model must be a ForecastNetwork, got {type_name(fitted.model)}")
    if not isinstance(fitted.history, History):
        raise TypeError(f"the history must be a History, got {type_name(fitted.history)}")
    if fitted.settings != settings:
        raise ValueError("the options of what was fitted are not those of the forecaster")
    _found(fitted.model, settings, _note(fitted))


def _note(fitted: Fitted) -> dict[str, Any]:
    """All that training has found out but the settings and the weights, ready for JSON."""
    return {
        "season": fitted.task.season,
        "window": fitted.task.window,
        "schema": fitted.schema.to_json(),
        "series": [
            [name_to_json(id), spread.read.tolist(), spread.error.tolist()]
            for id, spread in fitted.spreads.items()
        ],
        "ratio": fitted.ratio.tolist(),
        **{
            role: [part.centre.tolist(), part.spread.tolist()]
            for role, part in _affines(fitted).items()
        },
        "validation_size": fitted.validation_size,
        "history": [
            {name: value for name, value in record.items() if name != "seconds"}
            for record in fitted.history.records
        ],
    }


def load(path: Path) -> Fitted:
    """Read a forecaster; see :meth:`GRUForecaster.load`."""
    try:
        model, metadata = native.load_with_metadata(path, check_finite=True, layers=LAYERS)
    except FormatError:
        raise
    except ValueError as error:  # NaN among the weights
        raise FormatError(f"{path}: {error}") from None
    note = metadata.get("forecaster")
    if not isinstance(note, dict) or not isinstance(model, ForecastNetwork):
        raise FormatError(f"{path}: the model is not a forecaster")
    try:
        return _read(model, note)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        text = f"{error.args[0] if error.args else error!r}"[:500]
        if isinstance(error, KeyError):
            text = f"{text} is missing"
        raise FormatError(f"{path}: the forecaster's settings are not valid: {text}") from None


def _settings_to_json(settings: Settings) -> dict[str, Any]:
    values = {**vars(settings), "n_threads": None, "progress": None}
    for name in ("learning_rate", "seed"):
        if values[name] is not None and not isinstance(values[name], (int, float, np.number)):
            raise TypeError(
                f"the forecaster is not saved: {name} must be a number or None to be written, "
                f"got {type_name(values[name])}"
            )
    for name, value in values.items():
        if isinstance(value, np.generic):
            values[name] = value.item()
    return values


def _affines(fitted: Fitted) -> dict[str, Affine]:
    return {"past": fitted.past, "future": fitted.future, "static": fitted.static}


def _read(model: ForecastNetwork, note: Mapping[str, Any]) -> Fitted:
    known = {field.name for field in dataclasses.fields(Settings)}
    if not isinstance(note["settings"], dict) or set(note["settings"]) != known:
        raise ValueError("the options are not those of a forecaster")
    return _found(model, Settings.checked(note["settings"]), note)


def _found(model: ForecastNetwork, settings: Settings, note: Mapping[str, Any]) -> Fitted:
    season = None if note["season"] is None else check_steps("season", note["season"], 2)
    task = Task(settings.horizon, season, check_steps("window", note["window"], 2))
    schema = Schema.from_json(note["schema"])
    found = model.shape
    order = check_int("order", found.order, 1)
    if order > task.window:
        raise ValueError(f"order must be at most the window of {task.window}, got {order}")
    expected = shape_of(settings, task, schema, order)
    if expected != found:
        names = [f.name for f in dataclasses.fields(found)]
        name = next(n for n in names if getattr(expected, n) != getattr(found, n))
        raise ValueError(
            f"they need a network with {name}={getattr(expected, name)}, and the file's has "
            f"{name}={getattr(found, name)}"
        )
    n = found.targets
    spreads = {}
    for id, read, error in note["series"]:
        spreads[name_from_json(id)] = Spread(
            _numbers("series", read, n), _numbers("series", error, n)
        )
    widths = {role: schema.width(role) for role in ("past", "future", "static")}
    affines = {
        role: Affine(
            _numbers(role, note[role][0], width, -math.inf),
            _numbers(role, note[role][1], width, positive=True),
        )
        for role, width in widths.items()
    }
    records = note["history"]
    if not isinstance(records, list) or not all(isinstance(each, dict) for each in records):
        raise ValueError("the history is not a list of epochs")
    return Fitted(
        settings,
        task,
        schema,
        model,
        spreads,
        _numbers("ratio", note["ratio"], n),
        **affines,
        validation_size=check_validation_size(note["validation_size"], settings.horizon),
        history=History(records),
    )


def _numbers(
    name: str, values: Any, count: int, least: float = 0.0, *, positive: bool = False
) -> Values:
    """A list of finite numbers as an array, or ValueError."""
    if not isinstance(values, list) or len(values) != count:
        raise ValueError(f"{name} must have lists of {count} numbers")
    numbers = np.array([check_number(name, value) for value in values], np.float64)
    if (
        not np.isfinite(numbers).all()
        or (numbers < least).any()
        or (positive and (numbers <= 0).any())
    ):
        raise ValueError(f"{name} has a number that is not possible")
    return numbers
