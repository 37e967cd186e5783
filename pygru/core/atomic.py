"""Change several objects as one step, which no interrupt can stop half-way.

Ctrl-C, or any other signal whose Python handler raises, can end a Python function between two
of its instructions. A method that changes several arrays and attributes one after another
would then leave a mixture of old and new. This module prevents that in two steps: first every
new value is computed, converted and checked, without changing any object; then :func:`commit`
applies all of them.

CPython runs signal handlers only where its interpreter loop looks for signals: when a Python
function begins, after a call from Python code, and when a loop jumps back. ``commit`` makes one
call of a compiled function, which applies all changes. The exception of a handler that runs
nevertheless, because a function that was called looks for signals, waits until all is done.

This module cannot undo anything, so an action must not fail. The functions here that make
actions check this in advance. Other threads may see some of the changes before the others.
"""

import operator
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pygru.core import _uninterrupted
from pygru.errors import InternalError

#: A function and its arguments.
Action: TypeAlias = tuple[Any, ...]


def commit(actions: Iterable[Action]) -> None:
    """Apply all ``actions``, in their order; an interrupt comes before or after all of them.

    Parameters
    ----------
    actions : iterable of tuple
        Each is ``(function, *arguments)``, such as :func:`assignment`, :func:`attributes`,
        :func:`generator_state` and :func:`replacement` make them. For others: the call must
        not fail, and making it again must change nothing more, because a call that the handler
        of a signal ended is repeated. Functions written in C that run no Python code are best:
        no handler runs while they do. If ``actions`` is a generator, it has ended before the
        first call.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru.core.atomic import assignment, commit
    >>> weights, gains = np.zeros(2), np.zeros(2)
    >>> commit([assignment(weights, np.ones(2)), assignment(gains, np.full(2, 3.0))])
    >>> weights, gains
    (array([1., 1.]), array([3., 3.]))
    """
    _uninterrupted.apply(tuple(actions))


def assignment(array: NDArray[Any], value: NDArray[Any]) -> Action:
    """Return the action ``array[...] = value``, for arrays of equal shape and dtype.

    Raises
    ------
    InternalError
        If the assignment would need a conversion, broadcasting or temporary memory.
    """
    if type(array) is not np.ndarray or type(value) is not np.ndarray:
        raise InternalError(
            f"both must be plain arrays, got {type(array).__name__} and {type(value).__name__}"
        )
    if array.shape != value.shape or array.dtype != value.dtype or array.dtype.hasobject:
        raise InternalError(
            f"cannot assign {value.dtype} of shape {value.shape} to {array.dtype} of shape "
            f"{array.shape} in one step"
        )
    if not array.flags.writeable:
        raise InternalError("the array to be assigned is read-only")
    if array.size and np.may_share_memory(array, value):
        raise InternalError("the array and its new value share memory")
    # numpy.copyto would run Python code, its dispatcher; this does not.
    return operator.setitem, array, Ellipsis, value


def attributes(obj: object, **values: object) -> Action:
    """Return the action that sets attributes of ``obj``, all of them in its ``__dict__``.

    ``__setattr__`` is not called, so this works for frozen dataclasses too.

    Raises
    ------
    InternalError
        If the object has no ``__dict__``, or its class has a property of such a name.
    """
    found = getattr(obj, "__dict__", None)
    if type(found) is not dict:
        raise InternalError(f"a {type(obj).__name__} has no __dict__ of its own")
    for name in values:
        if hasattr(getattr(type(obj), name, None), "__set__"):
            raise InternalError(f"{name} is a property of {type(obj).__name__}")
    return found.update, values


def replacement(
    container: dict[Any, Any] | list[Any], value: dict[Any, Any] | list[Any]
) -> list[Action]:
    """Return the actions that give a dict or a list new contents; it stays the same object.

    The keys of a dict must have a hash that C code computes: those of ``str`` or ``int`` do.

    Raises
    ------
    InternalError
        If the two are not both plain dicts or both plain lists.
    """
    if type(container) is dict and type(value) is dict:
        return [(container.clear,), (container.update, dict(value))]
    if type(container) is list and type(value) is list:
        return [(operator.setitem, container, slice(None), list(value))]
    raise InternalError(
        f"cannot replace the contents of a {type(container).__name__} by a "
        f"{type(value).__name__}"
    )


def generator_state(generator: np.random.Generator, state: dict[str, Any]) -> Action:
    """Return the action that puts a NumPy generator into ``state``.

    Raises
    ------
    ValueError, TypeError, KeyError
        If the generator does not take such a state; this is tried on another one.
    """
    bit_generator = generator.bit_generator
    trial: Any = type(bit_generator)()
    trial.state = state
    return setattr, bit_generator, "state", trial.state
