"""Attributes that are set once: assigning to one later is an error, not a silent no-op.

A layer reads its settings when it is made: it allocates parameters of their shapes, tells the
core about them, and so on. An assignment afterwards could not change what was made from the
old value, so the object would report one thing and compute another. Only this is prevented
here; what the values may be is checked where they are set.
"""

from typing import Any, ClassVar

from pygru.core.hints import NamedArguments


class FixedAttributes(NamedArguments):
    """Base class of objects whose settings can be read but no longer be assigned.

    A subclass sets them with ``self._fix(name=value, ...)`` in its ``__init__``. Reading them
    takes no longer than before. ``_how_to_change`` gives the advice in the error message.

    Examples
    --------
    >>> from pygru.core.fixed import FixedAttributes
    >>> class Scale(FixedAttributes):
    ...     def __init__(self, factor):
    ...         self._fix(factor=float(factor))
    >>> Scale(2).factor
    2.0
    >>> Scale(2).factor = 3
    Traceback (most recent call last):
        ...
    AttributeError: factor of a Scale cannot be assigned: make a new Scale
    """

    _fixed: frozenset[str] = frozenset()
    _later: ClassVar[frozenset[str]] = frozenset({"_fixed"})  # see pygru.core.pickled

    def _fix(self, **values: Any) -> None:
        """Set attributes that cannot be assigned from now on."""
        # Not through __dict__: an object whose __dict__ was asked for is slower to read.
        for name, value in values.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_fixed", self._fixed | values.keys())

    def _how_to_change(self, name: str, value: object) -> str:
        """Return what a user does instead of assigning ``value`` to the attribute ``name``."""
        return f"make a new {type(self).__name__}"

    def __refuse(self, what: str, name: str, value: object) -> None:
        if name in self._fixed:
            owner = type(self).__name__
            article = "an" if owner[0] in "AEIO" else "a"
            raise AttributeError(
                f"{name} of {article} {owner} cannot be {what}: "
                f"{self._how_to_change(name, value)}",
                name=name,
                obj=self,
            )

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute, unless it is fixed."""
        self.__refuse("assigned", name, value)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        """Delete an attribute, unless it is fixed."""
        self.__refuse("deleted", name, None)
        super().__delattr__(name)
