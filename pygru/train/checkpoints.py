"""Checkpoints: one file with all that training needs to go on as if it had never stopped.

A checkpoint is a model file of :mod:`pygru.io.native` with more tensors. The tensor
``checkpoint/state`` holds JSON text; where an array belongs in it stands its number, and the
array is the tensor ``checkpoint/<number>``. A digest of all tensors stands in the header.
Reading checks everything before anything is changed.
"""

import contextlib
import copy
import dataclasses
import hashlib
import json

import numpy as np

from pygru.core import validation
from pygru.errors import FormatError
from pygru.io.files import write_atomically
from pygru.io.native import CHECKPOINT, classes_of, describe, read_file, to_bytes
from pygru.train.history import History
from pygru.train.position import Event, Position

VERSION = 2
STATE = f"{CHECKPOINT}state"
GENERATOR = "PCG64"  # of np.random.default_rng


# ---- writing -----------------------------------------------------------------------------


def write(trainer, path):
    """Write a trainer's checkpoint."""
    description = describe(trainer.model)
    position, chance = trainer._bookmark.read()
    _check_generators(chance["generators"])
    raw = trainer._raw or [values.copy() for values, _ in trainer.model.flat_pairs]
    with trainer.evaluation_weights():
        shown = trainer.model.state_dict()
        same = all(
            np.array_equal(values, trained)
            for (values, _), trained in zip(trainer.model.flat_pairs, raw, strict=True)
        )
    state = {
        "weights": None if same else raw,
        "optimizer": _describe_optimizer(trainer.optimizer),
        "optimizer_state": trainer.optimizer.state_dict(),
        "chance": chance,
        "position": _position_to_state(position),
        "history": [r for r in trainer.history.records if r["epoch"] < position.epoch],
        "callbacks": _callbacks_to_state(trainer, position),
        "settings": trainer._settings,
        "stop": trainer.stop,
    }
    arrays = []
    text = json.dumps(_without_arrays("the checkpoint", state, arrays)).encode()
    tensors = {f"{CHECKPOINT}{number}": array for number, array in enumerate(arrays)}
    tensors |= {STATE: np.frombuffer(text, np.uint8)} | shown
    notes = {"checkpoint": str(VERSION), "digest": _digest(tensors)}.items()
    write_atomically(path, to_bytes(description, tensors, notes=notes))


def _check_generators(states):
    for state in states:
        if state["bit_generator"] != GENERATOR:
            raise TypeError(
                f"a checkpoint holds generators of np.random.default_rng ({GENERATOR}) only, "
                f"got {state['bit_generator']}"
            )


def _describe_optimizer(optimizer):
    """What an optimiser is: class, settings, and the schedule if there is one."""
    rate = optimizer.learning_rate
    if not callable(rate):
        schedule = "a number"
    elif type(rate).__module__.startswith("pygru."):
        schedule = repr(rate)
    else:
        schedule = getattr(rate, "__qualname__", type(rate).__qualname__)
    return {
        "class": type(optimizer).__name__,
        **optimizer.get_config(),
        "learning_rate": schedule,
    }


def _position_to_state(position):
    event = position.event
    return position._asdict() | {
        "event": None if event is None else [event.method, event.arguments]
    }


def _callbacks_to_state(trainer, position):
    """Class and state of every callback, and whether it knows of the position's event."""
    resumed = trainer._resumed
    waiting = {} if resumed is None else resumed.states_of(trainer.callbacks)
    told = () if position.event is None else position.event.told
    return [
        {
            "class": _name(callback),
            "state": waiting[index] if index in waiting else callback.state_dict(),
            "told": index in told,
        }
        for index, callback in enumerate(trainer.callbacks)
    ]


def _without_arrays(name, value, arrays):
    """``value`` as JSON, its arrays replaced by their numbers in the list ``arrays``."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) and key != "array" for key in value):
            raise TypeError(f"{name} has a key that is no str, or 'array'")
        return {key: _without_arrays(key, item, arrays) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_arrays(name, item, arrays) for item in value]
    if isinstance(value, np.ndarray):
        arrays.append(np.ascontiguousarray(value))
        return {"array": len(arrays) - 1}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{name} holds a {validation.type_name(value)}, which no checkpoint can")


def _digest(tensors):
    total = hashlib.sha256()
    for name, array in sorted(tensors.items()):
        total.update(f"{name} {array.dtype} {array.shape} ".encode())
        total.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return total.hexdigest()


# ---- reading -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds, checked against the trainer that is to take it over."""

    parameters: dict  # all of the model's by name, also those that are not trained
    weights: list | None  # those that were trained, if the parameters are other ones
    optimizer_state: dict
    chance: dict
    position: Position
    history: list
    callbacks: list
    settings: dict | None
    stop: bool

    def apply(self, trainer):
        """Make the trainer what it was; its callbacks follow when ``fit`` has begun."""
        trainer.model.load_state_dict(self.parameters)
        if self.weights is not None:
            for (values, _), kept in zip(trainer.model.flat_pairs, self.weights, strict=True):
                values[...] = kept
        trainer.optimizer.load_state_dict(self.optimizer_state)
        give_back_chance(trainer, self.chance)
        trainer.history = History(self.history)
        trainer.stop = self.stop
        trainer._settings = self.settings
        trainer._raw = None
        trainer._bookmark = trainer._new_bookmark(self.position)
        trainer._resumed = self

    def states_of(self, callbacks):
        """The callbacks that have a state here, by their index, with that state."""
        return {index: saved["state"] for index, saved in _matched(callbacks, self.callbacks)}


def _generators_of(trainer):
    return [trainer.generator, *trainer.model.generators]


def chance_of(trainer):
    """The state of all that training draws from.

    That is every generator, and how often a :class:`Seq2Seq` has been trained, on which a
    schedule of teacher forcing depends.
    """
    return {
        "generators": [each.bit_generator.state for each in _generators_of(trainer)],
        "training_steps": getattr(trainer.model, "training_steps", None),
    }


def give_back_chance(trainer, chance):
    """Go back to what :func:`chance_of` has returned."""
    for generator, state in zip(_generators_of(trainer), chance["generators"], strict=True):
        generator.bit_generator.state = state
    if chance["training_steps"] is not None:
        trainer.model.training_steps = chance["training_steps"]


def _matched(callbacks, saved):
    """(index, what is saved) of callbacks: those of one class in their order."""
    left, pairs = list(saved), []
    for index, callback in enumerate(callbacks):
        entry = next((each for each in left if each["class"] == _name(callback)), None)
        if entry is not None:
            left.remove(entry)
            pairs.append((index, entry))
    return pairs


def _name(value):
    return type(value).__name__


def read(trainer, path):
    """Return the :class:`Checkpoint` in a file, after all checks; nothing is changed."""
    description, shapes, _, notes, arrays = read_file(path, classes_of(trainer.model))
    if "checkpoint" not in notes:
        raise FormatError("the file holds a model but no checkpoint: use pygru.load")
    if notes["checkpoint"] != str(VERSION):
        raise FormatError(f"checkpoint version {notes['checkpoint']}, expected {VERSION}")
    if notes.get("digest") != _digest(arrays):
        raise FormatError("damaged file: its digest does not fit its contents")
    _refuse_difference("model", description, describe(trainer.model))
    with _invalid_is_format_error():
        state = _with_arrays(json.loads(arrays[STATE].tobytes()), arrays)
        optimizer, callbacks = dict(state["optimizer"]), list(state["callbacks"])
        with_state = [each["class"] for each in callbacks if each["state"]]
    _refuse_difference("optimizer", optimizer, _describe_optimizer(trainer.optimizer))
    _refuse_missing(with_state, trainer.callbacks)
    with _invalid_is_format_error():
        return Checkpoint(
            parameters={name: arrays[name] for name in shapes},
            weights=_weights(trainer.model, state["weights"]),
            optimizer_state=_optimizer_state(trainer, state["optimizer_state"]),
            chance=_chance(trainer, state["chance"]),
            position=_position(state["position"], state["settings"], callbacks, trainer),
            history=[dict(record) for record in state["history"]],
            callbacks=callbacks,
            settings=state["settings"],
            stop=validation.check_bool("stop", state["stop"]),
        )


@contextlib.contextmanager
def _invalid_is_format_error():
    try:
        yield
    except FormatError:
        raise
    except (LookupError, AttributeError, OverflowError, TypeError, ValueError) as error:
        raise FormatError(f"the checkpoint is not valid: {error!r}") from None


def _with_arrays(value, arrays):
    """The inverse of :func:`_without_arrays`."""
    if isinstance(value, list):
        return [_with_arrays(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"array"}:
        return arrays[f"{CHECKPOINT}{value['array']}"]
    return {key: _with_arrays(item, arrays) for key, item in value.items()}


def _refuse_difference(what, saved, own):
    """Raise if two descriptions differ, with the first place where they do."""
    place = _first_difference(saved, own, "")
    if place is not None:
        raise ValueError(f"the checkpoint is of another {what}: {place}")


def _first_difference(saved, own, path):
    """Where two values of JSON differ, in words; None if they do not."""
    if isinstance(saved, dict) and isinstance(own, dict):
        inner = [
            (saved.get(key), own.get(key), path if key == "config" else f"{path}.{key}")
            for key in dict.fromkeys([*saved, *own])
        ]
    elif isinstance(saved, list) and isinstance(own, list):
        if len(saved) != len(own):
            return f"{len(saved)} {path.strip('.')} in the checkpoint, {len(own)} here"
        inner = [
            (one, other, f"{path}[{index}]")
            for index, (one, other) in enumerate(zip(saved, own, strict=True))
        ]
    elif saved == own:
        return None
    else:
        return f"{path.strip('.')} is {saved} in the checkpoint, {own} here"
    places = (_first_difference(*item) for item in inner)
    return next((place for place in places if place is not None), None)


def _refuse_missing(names, callbacks):
    own = [_name(callback) for callback in callbacks]
    for name in names:
        if name not in own:
            raise ValueError(
                f"the checkpoint holds the state of a callback {name}, which is not among "
                f"those of this trainer: {', '.join(own) or 'it has none'}"
            )
        own.remove(name)


def _weights(model, raw):
    """The weights that were trained, flat as in ``model.flat_pairs``; None stays None."""
    if raw is not None:
        for array, (values, _) in zip(raw, model.flat_pairs, strict=True):
            _check_like("weights", array, values)
    return raw


def _check_like(name, array, like):
    if array.shape != like.shape or array.dtype != like.dtype:
        raise ValueError(
            f"{name} must have shape {like.shape} and dtype {like.dtype}, got {array.shape} "
            f"and {array.dtype}"
        )


def _optimizer_state(trainer, state):
    """The state, if a copy of the optimiser takes it and it fits the model."""
    trial = copy.deepcopy(trainer.optimizer)
    trial.load_state_dict(state)
    if state["states"]:
        for row, (values, _) in zip(state["states"], trainer.model.flat_pairs, strict=True):
            for array in row:
                _check_like("a state of the optimizer", array, values)
    return state


def _chance(trainer, chance):
    """What :func:`chance_of` returned, if it fits the trainer's."""
    count = chance["training_steps"]
    if (count is None) != (chance_of(trainer)["training_steps"] is None):
        raise ValueError(f"training_steps is {count}")
    return {
        "generators": _generator_states(trainer, chance["generators"]),
        "training_steps": count and validation.check_int("training_steps", count, 0),
    }


def _generator_states(trainer, states):
    own = _generators_of(trainer)
    if len(states) != len(own):
        raise ValueError(f"{len(states)} generators, expected {len(own)}")
    for state in states:
        numbers = state["state"]
        whole = (numbers["state"], numbers["inc"], state["has_uint32"], state["uinteger"])
        for number, bits in zip(whole, (128, 128, 1, 32), strict=True):
            if type(number) is not int or not 0 <= number < 2**bits:
                raise ValueError(f"the generator's {number} is no integer of {bits} bits")
        if state["bit_generator"] != GENERATOR or numbers["inc"] % 2 == 0:
            raise ValueError(f"{state['bit_generator']} is no valid {GENERATOR}")
    _check_generators(generator.bit_generator.state for generator in own)
    return states


def _position(state, settings, callbacks, trainer):
    """The position; callbacks that are new to the checkpoint need not be told its event."""
    for name in ("epoch", "batch", "window"):
        validation.check_int(name, state[name], 0)
    order = state["order"]
    if order is not None and not np.array_equal(
        np.sort(order), np.arange(validation.check_int("samples", settings["samples"], 1))
    ):
        raise ValueError("order must be a permutation of all samples")
    if state["event"] is not None:
        method, arguments = state["event"]
        validation.check_choice("event", method, ("on_batch_end", "on_epoch_end"))
        matched = _matched(trainer.callbacks, callbacks)
        told = set(range(len(trainer.callbacks))) - {
            index for index, saved in matched if not saved["told"]
        }
        state["event"] = Event(method, tuple(arguments), told)
    return Position(**state)


def check_settings(saved, own):
    """Raise if an epoch cannot go on with other data or other batches."""
    for name, value in own.items():
        if saved[name] != value:
            if name == "data":
                raise ValueError(
                    "the checkpoint was made inside an epoch of other data, or of the same in "
                    "another order"
                )
            raise ValueError(
                f"the checkpoint was made inside an epoch with {name}={saved[name]}, "
                f"got {value}"
            )
