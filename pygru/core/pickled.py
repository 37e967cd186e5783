"""States of pickles and copies: an object is made of one only as its constructor would make it.

The state of an object holds its attributes by name. What its class makes of others, such as
packed weights, is not in it. When a state is read, the constructor of pygru's class is called
with the arguments that the state names, so it checks them, and the attributes that it sets have
to be those of the state. No parameter is drawn or allocated for that. Attributes that users
have added, in a class of their own or on the object, stay as they are. What else a class needs
to check is in its ``_restore``. None of this makes it safe to read a pickle of others, because
a pickle is a program; see ``docs/security.md``.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from types import MemberDescriptorType
from typing import Any, ClassVar, NoReturn, Self

from pygru.core.validation import shown, type_name
from pygru.errors import FormatError

# The entry with the attributes of users, in states that do not consist of attributes.
ADDED = "own_attributes"


class CheckedState:
    """Mixin of classes whose objects are pickled by their attributes and checked when read.

    A class names attributes of its own in the sets below; those of its bases are added.
    """

    # Attributes that are no part of a state, because they are made of others.
    _made_again: ClassVar[frozenset[str]] = frozenset()
    # Attributes that change after the constructor; ``_restore`` checks them.
    _changing: ClassVar[frozenset[str]] = frozenset()
    # Attributes that the class has and the constructor does not set; an object may have its
    # own value.
    _later: ClassVar[frozenset[str]] = frozenset()
    # The method that the constructor calls at its end to allocate and draw, if there is one.
    _filled_by: ClassVar[str | None] = None

    @classmethod
    def _arguments_in(cls, attributes: dict[str, Any]) -> dict[str, Any]:
        """The values of a state in which the arguments of the constructor are found by name."""
        return attributes

    def __getstate__(self) -> Any:
        cls: type = type(self)
        attributes, slots = _parts(cls, object.__getstate__(self))
        for name in _declared(cls, "_made_again"):
            attributes.pop(name, None)
        return attributes if slots is None else (attributes, slots)

    def __setstate__(self, state: Any) -> None:
        cls: type = type(self)
        attributes, slots = _parts(cls, state)
        for name in _declared(cls, "_made_again"):
            attributes.pop(name, None)
        known = _pygru_class(cls)
        made = _made(known, attributes, cls)
        _compare(known, made, attributes, cls)
        _check_fixed(made.get("_fixed", frozenset()), attributes, cls)
        vars(self).update(made)
        vars(self).update(attributes)  # which are equal, unless a class of users differs
        _fill_slots(self, slots)
        with naming(cls):
            self._restore()

    def __copy__(self) -> Self:
        # A shallow copy shares what the object has, so there is nothing to check.
        cls = type(self)
        known = _pygru_class(cls)
        twin = cls.__new__(cls)
        own = cls.__getstate__ is not known.__getstate__
        if own or cls.__setstate__ is not known.__setstate__:
            twin.__setstate__(self.__getstate__())
            return twin
        attributes, slots = _parts(cls, object.__getstate__(self))
        vars(twin).update(attributes)
        _fill_slots(twin, slots)
        return twin

    def _restore(self) -> None:
        """Check what no constructor has checked, and make what is no part of the state."""


def refuse(cls: type, reason: str) -> NoReturn:
    """Raise the error for a state that an object of class ``cls`` cannot have."""
    raise ValueError(f"{_beginning(cls)}{reason}") from None


@contextlib.contextmanager
def naming(cls: type) -> Iterator[None]:
    """Let each error that is found in a state name the class; a wrong value may fail anywhere.

    A MemoryError stays a MemoryError. So does an ImportError, because the state may be right
    where a package is missing.
    """
    try:
        yield
    except (MemoryError, ImportError):
        raise
    except Exception as error:
        raise _named(cls, error) from None


def _named(cls: type, error: Exception) -> Exception:
    text = f"it has no {error}" if isinstance(error, KeyError) else str(error)
    kinds = (TypeError, FormatError)
    kind = next((each for each in kinds if isinstance(error, each)), ValueError)
    return kind(text if text.startswith(_beginning(cls)) else f"{_beginning(cls)}{text}")


def _beginning(cls: type) -> str:
    """How each message about a state begins."""
    name = cls.__name__
    return f"this is no state of {'an' if name[0] in 'AEIO' else 'a'} {name}: "


def check_keys(cls: type, state: Any, *names: str) -> None:
    """Raise unless a state that no constructor checks is a dict with these names.

    It may have more of them, because a class of users may add some.
    """
    if not isinstance(state, dict):
        raise TypeError(f"{_beginning(cls)}it must be a dict, got {type_name(state)}")
    if not state.keys() >= set(names) or not all(isinstance(name, str) for name in state):
        refuse(cls, f"it must have {', '.join(names)}, got {shown(list(state))}")


def added_to(target: Any) -> dict[str, Any]:
    """What users have added to an object of a class whose state does not hold its attributes.

    It is an entry of the state. There is none if nothing was added.
    """
    cls = type(target)
    attributes, slots = _parts(cls, object.__getstate__(target))
    ours = _ours(cls)
    added = {
        name: value
        for name, value in attributes.items()
        if name not in ours and not _is_of_class(cls, name)
    }
    if fixed := target._fixed - ours:
        added["_fixed"] = fixed
    if slots is not None:
        return {ADDED: (added, slots)}
    return {ADDED: added} if added else {}


def restore_added(target: Any, state: dict[str, Any]) -> None:
    """Give an object the attributes that :func:`added_to` has put into the state, if any."""
    cls = type(target)
    if ADDED not in state:
        return
    attributes, slots = _parts(cls, state[ADDED])
    _check_fixed(frozenset(), attributes, cls)
    fixed = attributes.pop("_fixed", frozenset())
    check_added(cls, attributes.keys())
    vars(target).update(attributes)
    _fill_slots(target, slots)
    vars(target)["_fixed"] = target._fixed | fixed


def check_added(cls: type, names: Iterable[str]) -> None:
    """Raise unless users may have added attributes of these names to an object."""
    for name in names:
        if name in _ours(cls) or _is_of_class(cls, name):
            refuse(cls, f"it sets {name}, which is no attribute that can be set")


def _ours(cls: type) -> frozenset[str]:
    """The attributes that a class of pygru has, where no constructor says so."""
    return _declared(cls, "_made_again") | _declared(cls, "_later")


def _is_of_class(cls: type, name: str) -> bool:
    """Whether a name is that of a method or the like, which no state may replace.

    Classes of users may give their objects other values of what a class of pygru has.
    """
    known = _pygru_class(cls)
    return name.startswith("__") or (cls is known and hasattr(known, name))


def _parts(cls: type, state: Any) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The attributes of a state, in a dict of their own, and those in slots, if there are."""
    slots = None
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state
    for part in ({} if state is None else state, {} if slots is None else slots):
        if not isinstance(part, dict) or not all(isinstance(name, str) for name in part):
            raise TypeError(
                f"{_beginning(cls)}it must be a dict from names to values, got "
                f"{type_name(part)}"
            )
    return dict(state or {}), slots


def _fill_slots(target: Any, slots: dict[str, Any] | None) -> None:
    """Set what a class of users keeps in slots, also where it cannot be assigned."""
    cls = type(target)
    for name, value in (slots or {}).items():
        if not isinstance(getattr(cls, name, None), MemberDescriptorType):
            refuse(cls, f"it sets {name}, which is no slot")
        object.__setattr__(target, name, value)


def _pygru_class(cls: type) -> Any:
    """The first class of pygru among a class and those that it derives from."""
    return next(each for each in cls.__mro__ if each.__module__.partition(".")[0] == "pygru")


@functools.cache
def _declared(cls: type, what: str) -> frozenset[str]:
    """The names that a class and its bases declare, such as ``"_made_again"``."""
    none: frozenset[str] = frozenset()
    return none.union(*(vars(each).get(what, none) for each in cls.__mro__))


def _arguments(
    known: Any, attributes: dict[str, Any], cls: type
) -> tuple[Iterable[Any], dict[str, Any]]:
    """What the state says of the arguments of the constructor of a class of pygru."""
    more: Iterable[Any] = ()
    named = {}
    for name, parameter in _parameters(known.__init__):
        own = name if name in attributes else f"_{name}"  # that of a property
        if own in attributes:
            if parameter.kind is not parameter.VAR_POSITIONAL:
                named[name] = attributes[own]
                continue
            more = attributes[own]
            if not isinstance(more, tuple):
                raise TypeError(
                    f"{_beginning(cls)}{name} must be a tuple, got {type_name(more)}"
                )
        elif parameter.default is parameter.empty:
            refuse(cls, f"it has no attribute {name}")
    return more, named


@functools.cache
def _parameters(constructor: Callable[..., None]) -> list[tuple[str, inspect.Parameter]]:
    """The parameters of a constructor of pygru after ``self``; looking them up takes long."""
    return list(inspect.signature(constructor).parameters.items())[1:]


def _made(known: Any, attributes: dict[str, Any], cls: type) -> dict[str, Any]:
    """What the constructor of pygru's class makes, without the parameters."""
    if "__init__" not in {name for each in known.__mro__[:-1] for name in vars(each)}:
        return {}  # a base class for classes of users
    more, named = _arguments(known, known._arguments_in(attributes), cls)
    probe = known.__new__(known)
    if known._filled_by is not None:
        vars(probe)[known._filled_by] = lambda seed=None: None
    with naming(cls):
        known.__init__(probe, *more, **named)
    made = dict(vars(probe))
    if known._filled_by is not None:
        del made[known._filled_by]
    return made


def _compare(known: Any, made: dict[str, Any], attributes: dict[str, Any], cls: type) -> None:
    """Raise unless the attributes of a state are those that the constructor has made."""
    arguments = {name for name, _ in _parameters(known.__init__)}
    made_again, changing = (_declared(known, what) for what in ("_made_again", "_changing"))
    for name, value in made.items():
        if name == "_fixed" or name in made_again:
            continue
        if name not in attributes:
            refuse(cls, f"it has no attribute {name}")
        is_own = cls is not known and name.removeprefix("_") not in arguments
        if name in changing or is_own:
            continue
        given = attributes[name]
        if not _equal(given, value):
            refuse(cls, f"{name} must be {_text(value)}, got {_text(given)}")
    for name in attributes.keys() - made.keys() - _declared(known, "_later"):
        if _is_of_class(cls, name):
            refuse(cls, f"it sets {name}, which is no attribute that can be set")


def _equal(given: Any, value: Any) -> bool:
    """Whether two values are one object, or are equal and of one type."""
    if given is value:
        return True
    try:
        return type(given) is type(value) and bool(given == value)
    except Exception:  # of an object with attributes that are missing or wrong
        return False


def _text(value: Any) -> str:
    """A value as messages show it, also if it is not complete."""
    try:
        return shown(value)
    except Exception:
        return f"a damaged {type_name(value)}"


def _check_fixed(least: frozenset[str], attributes: dict[str, Any], cls: type) -> None:
    """Raise unless the names of the attributes that cannot be assigned are such names."""
    fixed = attributes.get("_fixed", least)
    is_set = isinstance(fixed, (set, frozenset))
    if not (is_set and all(isinstance(name, str) for name in fixed)):
        refuse(cls, f"_fixed must be a set of names, got {type_name(fixed)}")
    if not fixed >= least:
        refuse(cls, f"_fixed must hold {', '.join(sorted(least - fixed))}")
