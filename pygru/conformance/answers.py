"""Asks a target for one case, and checks the form of what it gives back.

A wrong number is not found here. What is found: an error of the target, a result with another
name or shape, and what is no array of floats.
"""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pygru.commands.errors import bounded
from pygru.conformance.case import Arrays, Case

#: A function from a case to its results by name.
Target: TypeAlias = Callable[[Case], Mapping[str, Any]]


LONGEST_TRACE = 5000  # characters of a traceback: its end says most


class WrongAnswer(ValueError):
    """What a target returned has the wrong form; the message says how."""


class Answer(NamedTuple):
    """What a target gave for a case: arrays, or why there are none.

    ``status`` is ``"answered"``, ``"not supported"`` or ``"error"``. ``trace`` is the traceback
    of an error that the target raised, without the frames of pygru.
    """

    status: str
    results: Arrays
    message: str = ""
    trace: str = ""


def ask(target: Target, case: Case) -> Answer:
    """Run the target on a copy of a case."""
    try:
        returned = target(case.copy())
    except NotImplementedError as error:
        reason = bounded(str(error)) or "the target gives no reason"
        return Answer("not supported", {}, reason)
    except (Exception, SystemExit) as error:
        inner = error.__traceback__.tb_next if error.__traceback__ else None
        trace = "".join(traceback.format_exception(type(error), error, inner))
        said = bounded(traceback.format_exception_only(error)[-1])
        return Answer("error", {}, f"the target raised {said}", trace[-LONGEST_TRACE:])
    if returned is NotImplemented:
        return Answer("not supported", {}, "the target gives no reason")
    try:
        return Answer("answered", _checked(case, returned))
    except WrongAnswer as error:
        return Answer("error", {}, bounded(str(error)))


def _checked(case: Case, returned: Any) -> Arrays:
    """Return the results as arrays of floats; None stands for a result that is not given."""
    if not isinstance(returned, Mapping):
        raise WrongAnswer(
            "the target must return a dict with 'output', 'h_n' and, if it has them, "
            f"gradients; it returned {_kind(returned)}"
        )
    results = {}
    for name, value in returned.items():
        if name not in case.expected:
            if name == "d_h0" and case.h0 is None:
                continue  # there is nothing to be compared with
            raise WrongAnswer(_unknown(name, case))
        if value is not None:
            results[name] = _array(name, value)
            _check_shape(case, name, results[name])
    if not {"output", "h_n"} & set(results):
        raise WrongAnswer("the target returned neither 'output' nor 'h_n'")
    return results


def _kind(value: Any) -> str:
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return "None" if value is None else f"an object of type {type(value).__name__}"


def _unknown(name: Any, case: Case) -> str:
    near = difflib.get_close_matches(str(name), case.expected, n=1)
    hint = f" Did it mean {near[0]!r}?" if near else ""
    known = ", ".join(case.expected)
    return f"the target returned an unknown result {name!r}; the results are {known}.{hint}"


def _array(name: str, value: Any) -> NDArray[Any]:
    """Return a result as an array of floats."""
    try:
        array = np.asarray(value)
    except Exception as error:
        raise WrongAnswer(
            f"{name} cannot be made an array: {type(error).__name__}: {error}"
        ) from None
    is_float = array.dtype.kind == "f" or (
        array.dtype.kind == "V" and array.dtype.itemsize == 2
    )
    if not is_float:
        raise WrongAnswer(f"{name} must have floats, got an array of dtype {array.dtype}")
    return array


def _check_shape(case: Case, name: str, array: NDArray[Any]) -> None:
    right = case.expected[name].shape
    if array.shape == right:
        return
    letters = {"output": "T, B, D*H", "h_n": "L*D, B, H", "d_x": "T, B, I", "d_h0": "L*D, B, H"}
    meaning = f" = ({letters[name]})" if name in letters else ""
    text = f"{name} must have the shape {right}{meaning}, got {array.shape}"
    raise WrongAnswer(text + _shape_hint(case, name, array.shape))


def _shape_hint(case: Case, name: str, shape: tuple[int, ...]) -> str:
    """Say what a wrong shape probably means."""
    right = case.expected[name].shape
    T, B, _ = case.x.shape
    H = case.hidden_size
    if name in ("output", "d_x") and shape == (B, T, *right[2:]):
        return "; its axes are batch, time: exchange the first two"
    if name == "h_n" and shape == (right[0], T, H):
        return "; the target takes the first axis of x for the batch, which is the second"
    if name == "h_n" and shape == right[1:]:
        return "; an axis for layers and directions is missing"
    if name == "h_n" and shape[1:] == right[1:]:
        return "; there is one state for each layer and direction"
    if name == "output" and case.direction == "both" and shape == (T, B, H):
        return "; the outputs of both directions stand one after the other, they are not added"
    if name == "output" and shape == right[1:]:
        return "; it has the last step only: return every step"
    if shape == right[::-1] and len(right) == 2:
        return "; it is transposed"
    return ""
