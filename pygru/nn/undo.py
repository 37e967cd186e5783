"""Restores random generators and gradients when a part of a model fails.

A model of several parts calls one after the other. If a later part refuses its input or finds
no memory, the earlier ones have already drawn numbers or added gradients. The context managers
here save both and restore them, so that a failed call changes nothing. A part whose own
``backward`` fails must leave its own gradients unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np

from pygru.core.atomic import Action, assignment, commit, generator_state
from pygru.typing import Floats


class HasGradients(Protocol):
    """A layer or a model."""

    @property
    def flat_pairs(self) -> list[tuple[Floats, Floats]]:
        """List of (values, gradients)."""
        ...


@contextmanager
def draws_undone(generators: Iterable[np.random.Generator]) -> Iterator[None]:
    """Restore the generators if the ``with`` block fails."""
    before = [(generator, dict(generator.bit_generator.state)) for generator in generators]
    try:
        yield
    except BaseException:
        commit([generator_state(generator, state) for generator, state in before])
        raise


@contextmanager
def gradients_undone() -> Iterator[Callable[[HasGradients], None]]:
    """Restore gradients if the ``with`` block fails.

    The block receives a function, which it must call with every part just before the part's
    ``backward``. Only the gradients of these parts are copied.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru import Linear
    >>> from pygru.nn.undo import gradients_undone
    >>> linear = Linear(1, 1, seed=0)
    >>> try:
    ...     with gradients_undone() as about_to_change:
    ...         about_to_change(linear)
    ...         linear.flat_grads += 1
    ...         raise ValueError
    ... except ValueError:
    ...     print(linear.flat_grads.tolist())
    [0.0, 0.0]
    """
    undo: list[Action] = []
    seen: set[int] = set()

    def about_to_change(part: HasGradients) -> None:
        if id(part) not in seen:  # if a part occurs twice, the first copy counts
            undo.extend(
                assignment(gradients, gradients.copy()) for _, gradients in part.flat_pairs
            )
            seen.add(id(part))

    try:
        yield about_to_change
    except BaseException:
        commit(undo)
        raise
