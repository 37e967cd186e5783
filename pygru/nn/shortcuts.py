"""What becomes of the faster ways to run a layer in a class that overrides the general way.

Some classes have two methods for one thing: ``forward``, and ``infer``, which needs no tape;
``backward``, and ``accumulate``, which leaves out the gradient of x. Such a class names the
faster ones in ``_shortcuts``. A subclass that overrides the general method would be trained
with one model and predict with another, so there the shortcut is replaced by what calls the
general method. This happens once, when the class is made; calls take no longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

#: The methods that say what a model computes, and how its gradients are computed.
FORWARD = ("forward", "run")
BACKWARD = ("backward", "run_backward")
#: The methods of inference; a model of pygru's own does the same with each of them.
CALLS = (*FORWARD, "__call__", "infer")


class Shortcut(NamedTuple):
    """A method that does what others say without calling them.

    Attributes
    ----------
    of : tuple of str
        The general methods.
    otherwise : callable
        The method of a subclass that overrides one of them.
    """

    of: tuple[str, ...]
    otherwise: Callable[..., Any]


def replace_shortcuts(cls: type) -> None:
    """Replace the inherited shortcuts that do not know the general methods of ``cls``."""
    for base in cls.__mro__:
        shortcuts: dict[str, Shortcut] = vars(base).get("_shortcuts", {})
        for name, shortcut in shortcuts.items():
            inherited = getattr(cls, name) is getattr(base, name)
            if inherited and overridden(cls, base, shortcut.of):
                setattr(cls, name, shortcut.otherwise)


def overridden(cls: type, base: type, names: tuple[str, ...]) -> list[str]:
    """Return those of the methods that are others in ``cls`` than in ``base``."""
    return [name for name in names if getattr(cls, name, None) is not getattr(base, name, None)]


def refuse_unused(name: str, model: Any) -> None:
    """Raise if the class of a model overrides a method that other models do not call.

    The error says what to override instead; it calls the model ``name``.
    """
    cls = type(model)
    for unused in ("__call__", "forward"):
        shortcut = cls._shortcuts.get(unused)
        if shortcut is not None and getattr(cls, unused) is shortcut.otherwise:
            continue  # what has been put there instead is no override
        if _depth(cls, unused) < min(_depth(cls, used) for used in cls._runs_with):
            raise TypeError(
                f"{name} is a {cls.__name__}, which overrides {unused}(), and training would "
                f"not call it: override {cls._runs_with[0]}() instead"
            )


def _depth(cls: type, name: str) -> int:
    """How many classes come before the one that defines a method."""
    bases = cls.__mro__
    return next((n for n, base in enumerate(bases) if name in vars(base)), len(bases))


def no_steps(self: Any, batch: int | None = None) -> NoReturn:
    """Raise: single steps are computed in another way than whole sequences."""
    raise ValueError(
        f"{type(self).__name__} overrides forward() or run(), which single steps do not call; "
        "its class must override the stream too: begin_stream() for the stream of a model"
    )
