"""Restores random generators and gradients when a part of a model fails.

A model of several parts calls one after the other. If a later part refuses its input or finds
no memory, the earlier ones have already drawn numbers or added gradients. The context managers
here remember both and put them back, so that a failed call changes nothing. They are compiled:
a generator with ``contextlib`` that Ctrl-C has ended before its block began would be closed
later, when the frames of the exception are gone, and put back what an outer block has restored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from pygru.core._uninterrupted import Undone
from pygru.core.atomic import Action, assignment
from pygru.typing import Floats


class Undoable:
    """Mixin: what to put back after a backward pass, of any layer."""

    @property
    def flat_pairs(self) -> list[tuple[Floats, Floats]]:
        """List of (values, gradients): the flat arrays that an optimiser updates."""
        raise NotImplementedError

    def gradients_before(self, tape: Any) -> list[Action]:
        """Return actions that undo what the backward pass of ``tape`` adds to the gradients."""
        return [
            assignment(gradients, gradients.copy())
            for _, gradients in self.flat_pairs
            if gradients.size
        ]


def draws_undone(generators: Iterable[np.random.Generator], *more: Action) -> Undone:
    """Restore the generators, and apply the actions ``more``, if the ``with`` block fails."""
    states = [
        (setattr, bits, "state", bits.state) for bits in (g.bit_generator for g in generators)
    ]
    return Undone([*states, *more])


def reseeding_undone(parts: Iterable[Any]) -> Undone:
    """Give the parts their weights and generators back if the ``with`` block fails.

    A part that is reseeded gets another generator, so the old one is as it was.
    """
    before: list[Action] = []
    for part in parts:
        values = getattr(part, "flat_parameters", None)  # a model of parts has none of its own
        if values is not None:
            before.append(assignment(values, values.copy()))
        # A GRU has a property of the name "generator". object.__setattr__ is a function in C.
        name = "_generator" if hasattr(part, "_generator") else "generator"
        if hasattr(part, name):
            before.append((object.__setattr__, part, name, getattr(part, name)))
    return Undone(before)  # of a part that occurs twice the first copy wins


def gradients_undone() -> AbstractContextManager[Callable[[Undoable, Any], None]]:
    """Put gradients back if what happens inside the ``with`` block fails.

    The block receives a function that it must call with every part and its tape, just before
    the part's ``backward``.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru import Linear
    >>> from pygru.nn.undo import gradients_undone
    >>> linear = Linear(1, 1, seed=0)
    >>> try:
    ...     with gradients_undone() as about_to_change:
    ...         about_to_change(linear, None)
    ...         linear.flat_grads += 1
    ...         raise ValueError
    ... except ValueError:
    ...     print(linear.flat_grads.tolist())
    [0.0, 0.0]
    """
    undo: list[Action] = []

    def about_to_change(part: Undoable, tape: Any) -> None:
        undo.extend(part.gradients_before(tape))

    return Undone(undo, about_to_change)  # of a part that occurs twice the first copy wins
