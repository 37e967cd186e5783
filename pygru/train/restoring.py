"""From plain values and arrays back to the state of a training run, after all checks.

A file may contain anything, so all values are checked before any of them is used, and an error
names the field. Nothing is changed here: the functions return actions for one commit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.core import validation
from pygru.core.atomic import Action, assignment
from pygru.errors import FormatError
from pygru.train.batches import STREAM
from pygru.train.callbacks import Callback
from pygru.train.descriptions import describe_optimizer, refuse_difference
from pygru.train.history import History, check_record
from pygru.train.labels import checked_classes, listed
from pygru.train.outputs import Rows
from pygru.train.position import Event, Position
from pygru.train.ranks import bounds
from pygru.train.state import (
    GENERATOR,
    Page,
    TrainingState,
    check_generators,
    matched,
    plain_position,
)

SETTINGS = ("samples", "batch_size", "bptt_steps", "shuffle", "data", "ranks")


def restoring(
    state: TrainingState,
    parameters: Mapping[str, NDArray[Any]],
    plain: Mapping[str, Any],
    callbacks: Sequence[Callback],
    setup: Mapping[str, Any],
) -> list[Action]:
    """Return the actions that make ``state`` and its model what a checkpoint says.

    Parameters
    ----------
    state : TrainingState
        The state of a trainer that was made like the one that wrote the checkpoint.
    parameters : mapping of str to ndarray
        The parameters of the model in the file.
    plain : mapping
        The result of ``to_plain``.
    callbacks : sequence of Callback
        The callbacks of the trainer.
    setup : mapping
        As for ``to_plain``.

    Raises
    ------
    FormatError
        If a value is wrong; the message names the field.
    ValueError
        If the trainer was made differently, or a callback with a state is missing.
    """
    with _field("setup"):
        saved_setup = dict(plain["setup"])
    own_setup = {**setup, "optimizer": describe_optimizer(state.optimizer)}
    for name, own in own_setup.items():
        refuse_difference(name, saved_setup.get(name), own)
    with _field("callbacks"):
        saved = [_callback(entry) for entry in _list(plain["callbacks"])]
    _refuse_missing([each["class"] for each in saved if each["state"]], callbacks)
    for index, entry in matched(callbacks, saved):
        with _field(f"callbacks: the state of {entry['class']}"):
            callbacks[index].check_state(entry["state"], state.model)
    with _field("settings"):
        settings = _settings(plain["settings"])
    with _field("history"):
        history = _history(plain["history"])
    with _field("position"):
        position = _position(plain["position"], settings, history, state.model)
    with _field("outputs"):
        outputs = _outputs(plain["outputs"], position)
    if position.event is not None:
        position.event.notified.update(_notified(callbacks, saved))
    with _field("classes"):
        classes = _classes(plain["classes"])
    if state.classes is not None and (
        classes is None or classes.tolist() != state.classes.tolist()
    ):
        raise ValueError(
            f"the checkpoint is of other classes than {listed(state.classes)}"
            + (f": {listed(classes)}" if classes is not None else "")
        )
    with _field("stop"):
        stop = validation.check_bool("stop", plain["stop"])
    with _field("random_state"):
        random_actions = state.random_actions(_random_state(plain["random_state"], state))
    with _field("optimizer_state"):
        optimizer_action, steps = _optimizer(plain["optimizer_state"], state)
    with _field("weights"):
        trained = _flat(plain["weights"], state.model)
    return [
        *_parameters(parameters, state.model),
        *random_actions,
        optimizer_action,
        state.resuming(
            position,
            steps,
            history=history,
            stop=stop,
            classes=classes,
            _outputs=outputs,
            settings=settings,
            trained=trained,
            waiting=saved,
        ),
    ]


def check_pickled(state: TrainingState) -> None:
    """Raise unless the state of a trainer in a pickle is one that training can have.

    Its model and its optimiser have been checked already.
    """
    if not isinstance(state.generator, np.random.Generator):
        raise TypeError("generator must be a numpy.random.Generator")
    if not isinstance(state.history, History):
        raise TypeError("history must be a History")
    for name in ("stop", "is_resumed", "_is_lent"):
        validation.check_bool(name, getattr(state, name))
    validation.check_int("begun", state.begun, 0)
    settings = _settings(state.settings)
    for entry in _list([] if state.waiting is None else state.waiting):
        _callback(entry)
    frozen = () if state.frozen is None else state.frozen
    if not isinstance(frozen, tuple) or not all(isinstance(name, str) for name in frozen):
        raise TypeError(f"frozen must be None or a tuple of names, got {frozen!r:.80}")
    if state.classes is not None:
        checked_classes(state.classes.tolist())
    if frozen == state.model.frozen_parts:  # else training refuses to go on
        _flat(state.trained, state.model)
    if not all(isinstance(rows, Rows) for rows in _list(state._outputs)):
        raise TypeError("_outputs must be a list of Rows")
    page, following = state._page, state._following
    if not isinstance(page, Page) or not isinstance(following, Position | None):
        raise TypeError("_page and _following must be places of a training run")
    validation.check_int("steps", page.steps, 0)
    position, random_state = state.now()
    if not isinstance(position, Position):
        raise TypeError("_page must have a Position")
    _position(plain_position(position), settings, state.history, state.model)
    if position.kept > len(state._outputs):
        raise ValueError(f"there must be kept={position.kept} parts of outputs")
    _check_random_state(random_state, state)


@contextlib.contextmanager
def _field(name: str) -> Iterator[None]:
    """Turn the exception for a wrong value into a FormatError that names the field."""
    try:
        yield
    except FormatError:
        raise
    except (LookupError, AttributeError, ArithmeticError, TypeError, ValueError) as error:
        text = f"it has no {error}" if isinstance(error, KeyError) else error
        raise FormatError(f"the checkpoint is not valid: {name}: {text}") from None


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"must be a list, got {validation.type_name(value)}")
    return value


def _keys(value: Any, names: Sequence[str]) -> dict[str, Any]:
    """The value, if it is a dict with these keys and no others."""
    if not isinstance(value, dict) or set(value) != set(names):
        listed = list(value) if isinstance(value, dict) else validation.type_name(value)
        raise ValueError(f"must have the keys {', '.join(names)}, got {listed}")
    return dict(value)


def _finite(name: str, value: Any, least: float) -> float:
    number = validation.check_number(name, value)
    if not least <= number < np.inf:
        raise ValueError(f"{name} must be finite and >= {least}, got {value}")
    return number


# ---- callbacks -----------------------------------------------------------------------------


def _callback(plain: Any) -> dict[str, Any]:
    entry = _keys(plain, ("class", "state", "begun", "notified"))
    if not isinstance(entry["class"], str):
        raise TypeError(f"class must be a str, got {validation.type_name(entry['class'])}")
    for name in ("begun", "notified"):
        validation.check_bool(name, entry[name])
    if not isinstance(entry["state"], dict):
        raise TypeError(f"state must be a dict, got {validation.type_name(entry['state'])}")
    return entry


def _refuse_missing(names: Sequence[str], callbacks: Sequence[Callback]) -> None:
    own = [type(callback).__name__ for callback in callbacks]
    listed = ", ".join(own) or "it has none"
    for name in names:
        if name not in own:
            raise ValueError(
                f"the checkpoint holds the state of a callback {name}, which is not among "
                f"those of this trainer: {listed}"
            )
        own.remove(name)


def _notified(callbacks: Sequence[Callback], saved: Sequence[dict[str, Any]]) -> set[int]:
    """The callbacks that were called for the event. New ones count as called."""
    still_to_tell = {index for index, each in matched(callbacks, saved) if not each["notified"]}
    return set(range(len(callbacks))) - still_to_tell


# ---- position and history ------------------------------------------------------------------


def _settings(settings: Any) -> dict[str, Any] | None:
    if settings is None:
        return None
    # Files of older versions are of one process.
    settings = checked = _keys({"ranks": 1, **settings}, SETTINGS)
    validation.check_count("ranks", settings["ranks"], 1)
    if settings["data"] == STREAM:
        if settings["samples"] is not None or settings["batch_size"] is not None:
            raise ValueError("samples and batch_size must be None for batches")
    else:
        validation.check_int("samples", settings["samples"], 1)
        validation.check_int("batch_size", settings["batch_size"], 1)
    if settings["bptt_steps"] is not None:
        validation.check_int("bptt_steps", settings["bptt_steps"], 1)
    validation.check_bool("shuffle", settings["shuffle"])
    if not isinstance(settings["data"], str):
        raise TypeError(f"data must be a str, got {validation.type_name(settings['data'])}")
    return checked


def _outputs(rows: Any, position: Position) -> list[Rows]:
    """The outputs of the epoch so far; there is one part if there are any."""
    if position.kept != (rows is not None):
        raise ValueError(f"there must be kept={position.kept} parts of outputs")
    if rows is None:
        return []
    result = Rows(**_keys(rows, Rows._fields))
    for name, array in result._asdict().items():
        if array is None and name == "weights":
            continue
        if not isinstance(array, np.ndarray) or array.ndim not in (1, 2):
            raise TypeError(f"{name} must be an array of one or two axes")
        if len(array) != len(result.target):
            raise ValueError(f"{name} must have {len(result.target)} rows, got {len(array)}")
    return [result]


def _classes(labels: Any) -> NDArray[Any] | None:
    return None if labels is None else checked_classes(_list(labels))


def _history(records: Any) -> History:
    history = History()
    for index, record in enumerate(_list(records)):
        check_record(f"record {index}", record)
        if index and not record["epoch"] > history.records[-1]["epoch"]:
            raise ValueError(f"record {index}: epoch must grow, got {record['epoch']}")
        history.records.append(dict(record))
    return history


def _position(
    plain: Any, settings: Mapping[str, Any] | None, history: History, model: Any
) -> Position:
    _keys(plain, Position._fields)
    for name in ("epoch", "batch", "window", "sequences", "kept"):
        validation.check_count(name, plain[name], 0)
    for name, least in (("total", -np.inf), ("weight", 0.0), ("seconds", 0.0)):
        _finite(name, plain[name], least)
    if not isinstance(plain["seen"], str):
        raise TypeError(f"seen must be a str, got {validation.type_name(plain['seen'])}")
    _check_place(plain, settings, model)
    order = plain["order"]
    event = _event(plain["event"], plain["epoch"], order is not None, history)
    return Position(**{**plain, "event": event})


def _check_place(
    plain: Mapping[str, Any], settings: Mapping[str, Any] | None, model: Any
) -> None:
    """Raise unless there is such a place within an epoch, or between two."""
    order, batch, window, states = (plain[n] for n in ("order", "batch", "window", "states"))
    if order is None:
        if batch or window or plain["sequences"] or plain["kept"] or states is not None:
            raise ValueError(
                "batch, window, sequences, kept and states must be 0, 0, 0, 0 and None between "
                "two epochs"
            )
        return
    if settings is None:
        raise ValueError("order must be None before the first fit")
    _check_order(order, settings["samples"] or 0)
    if settings["data"] == STREAM:  # how long the epoch is, nobody knows
        if not window and states is not None:
            raise ValueError("states must be None where no window of the batch is done")
        if window and (
            settings["bptt_steps"] is None or (states is None and model.is_recurrent)
        ):
            raise ValueError("window must be 0 where no batch is cut into windows")
        return
    left = settings["samples"] - batch * settings["batch_size"]
    if left <= -settings["batch_size"]:
        raise ValueError(f"batch must be one of the epoch, got {batch}")
    if not window:
        if states is not None:
            raise ValueError("states must be None where no window of the batch is done")
    elif settings["bptt_steps"] is None or left <= 0:
        raise ValueError(f"window must be 0 where no batch is cut into windows, got {window}")
    elif states is not None or model.is_recurrent:
        sequences = min(left, settings["batch_size"])
        if settings["ranks"] == 1:
            _check_states(states, sequences)
        else:
            _check_states_of_ranks(states, sequences, settings["ranks"])


def _check_order(order: Any, samples: int) -> None:
    """Raise unless this is a permutation, before memory for ``samples`` numbers is taken."""
    if not isinstance(order, np.ndarray) or order.dtype != np.int64:
        raise TypeError("order must be an array of int64")
    if order.shape != (samples,):
        raise ValueError(f"order must have shape ({samples},), got {order.shape}")
    if samples and (order.min() < 0 or order.max() >= samples or np.bincount(order).max() > 1):
        raise ValueError("order must be a permutation of all samples")


def _check_states_of_ranks(states: Any, sequences: int, ranks: int) -> None:
    """Raise unless these are the states of each rank, for its share of the sequences.

    A rank whose sequences have no step in the windows so far has none.
    """
    if len(_list(states)) != ranks:
        raise ValueError(f"states must be of {ranks} ranks, got {len(states)}")
    for rank, own in enumerate(states):
        first, end = bounds(sequences, rank, ranks)
        if own is not None and first < end:
            _check_states(own, end - first)
        elif own is not None:
            raise ValueError(f"states of rank {rank} must be None, since it has no sequence")


def _check_states(states: Any, sequences: int) -> None:
    """Raise unless these are states of so many sequences: arrays, alone or in lists."""
    if isinstance(states, list):
        for each in states:
            _check_states(each, sequences)
    elif not isinstance(states, np.ndarray) or states.dtype.kind != "f":
        raise TypeError("states must be arrays of floats, alone or in lists")
    elif sequences not in states.shape:
        raise ValueError(
            f"states must be of the {sequences} sequences of the batch, got {states.shape}"
        )


def _event(event: Any, epoch: int, within_epoch: bool, history: History) -> Event | None:
    """The event, for which no callback has been called yet."""
    if event is None:
        return None
    method, arguments = _list(event)
    validation.check_choice("event", method, ("on_batch_end", "on_epoch_end"))
    if within_epoch != (method == "on_batch_end"):
        raise ValueError(f"event is {method}, which does not fit the place in the epoch")
    if method == "on_batch_end":
        loss, sequences = _list(arguments)
        _finite("event: loss", loss, -np.inf)
        validation.check_int("event: sequences", sequences, 1)
        return Event(method, (loss, sequences), set())
    if arguments or not history.records or history.records[-1]["epoch"] != epoch - 1:
        raise ValueError("event is on_epoch_end, but the history does not end with that epoch")
    return Event(method, (history.records[-1],), set())


# ---- numbers to draw -----------------------------------------------------------------------


def _random_state(plain: Any, state: TrainingState) -> dict[str, Any]:
    """The result of ``random_state``, if it fits the generators of the trainer."""
    random_state = _check_random_state(plain, state)
    check_generators(state.random_state()["generators"])
    return random_state


def _check_random_state(plain: Any, state: TrainingState) -> dict[str, Any]:
    """The same where generators of every kind are possible, as they are without a file."""
    random_state = _keys(plain, ("generators", "training_steps"))
    count, own = random_state["training_steps"], state.random_state()
    if (count is None) != (own["training_steps"] is None):
        raise ValueError(f"training_steps is {count}")
    if count is not None:
        validation.check_count("training_steps", count, 0)
    states = _list(random_state["generators"])
    if len(states) != len(own["generators"]):
        raise ValueError(f"{len(states)} generators, expected {len(own['generators'])}")
    for each, present in zip(states, own["generators"], strict=True):
        if present["bit_generator"] == GENERATOR:
            _check_generator(each)
        elif each.get("bit_generator") != present["bit_generator"]:
            raise ValueError(f"the state of a generator must be of {present['bit_generator']}")
    return random_state


def _check_generator(state: Any) -> None:
    _keys(state, ("bit_generator", "state", "has_uint32", "uinteger"))
    numbers = _keys(state["state"], ("state", "inc"))
    whole = (numbers["state"], numbers["inc"], state["has_uint32"], state["uinteger"])
    for number, bits in zip(whole, (128, 128, 1, 32), strict=True):
        if type(number) is not int or not 0 <= number < 2**bits:
            raise ValueError(f"the generator's {number} is no integer of {bits} bits")
    if state["bit_generator"] != GENERATOR or numbers["inc"] % 2 == 0:
        raise ValueError(f"{state['bit_generator']} is no valid {GENERATOR}")


# ---- arrays --------------------------------------------------------------------------------


def _flat(arrays: Any, model: Any) -> list[NDArray[Any]] | None:
    """Arrays that are flat as in ``model.flat_pairs``; None stays None."""
    if arrays is None:
        return None
    for array, (values, _) in zip(_list(arrays), model.flat_pairs, strict=True):
        _check_like("weights", array, values)
    return list(arrays)


def _check_like(name: str, array: Any, like: NDArray[Any]) -> None:
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be an array, got {validation.type_name(array)}")
    if array.shape != like.shape or array.dtype != like.dtype:
        raise ValueError(
            f"{name} must have shape {like.shape} and dtype {like.dtype}, got {array.shape} "
            f"and {array.dtype}"
        )


def _optimizer(plain: Any, state: TrainingState) -> tuple[Action, int]:
    """The action that restores the optimiser, and the count of its steps after that."""
    _keys(plain, ("steps", "learning_rate", "states"))
    if plain["states"]:
        for row, (values, _) in zip(plain["states"], state.model.flat_pairs, strict=True):
            for array in _list(row):
                _check_like("a state", array, values)
    return state.optimizer.loading(plain), plain["steps"]


def _parameters(parameters: Mapping[str, NDArray[Any]], model: Any) -> list[Action]:
    """The actions that give a model all its parameters, also those that are not trained."""
    with _field("parameters"):
        return [
            assignment(view, model.parameters.check(name, parameters[name]))
            for name, view in model.parameters.items()
        ]
