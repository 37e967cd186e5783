"""Which steps of a batch count, and where episodes begin: on their way through a model.

A layer that computes every step on its own needs to know neither. One that looks at several
steps says that it ``takes_mask``, and one that carries a state that it ``takes_reset``; it is
then given them as arguments. :meth:`Model.mask_after` says what a layer makes of a mask.
``docs/decisions`` has a page on the reasons.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pygru.core import validation
from pygru.nn.model import Model
from pygru.typing import Booleans


class StepFlags(NamedTuple):
    """One bool per step of a batch, (B, T) each, or None."""

    mask: Booleans | None = None
    reset: Booleans | None = None

    def at(self, index: Any) -> StepFlags:
        """Return the flags of some rows, or of some rows and steps."""
        return StepFlags(*(None if flags is None else flags[index] for flags in self))

    def told(self, layer: Model) -> dict[str, Any]:
        """Return the arguments by which a layer learns of them.

        Raises
        ------
        ValueError
            If the layer would need to know what it does not take.
        """
        arguments: dict[str, Any] = {}
        if self is NO_FLAGS:
            return arguments
        if self.mask is not None:
            if layer.takes_mask:
                arguments["mask"] = self.mask
            elif layer.is_recurrent or layer.needs_whole_sequences:
                raise ValueError(_not_taken(layer, "mask", "steps do not count"))
        if self.reset is not None:
            if layer.takes_reset:
                arguments["reset"] = self.reset
            elif layer.is_recurrent:
                raise ValueError(_not_taken(layer, "reset", "episodes begin"))
        return arguments

    def after(self, layer: Model, x: Any) -> StepFlags:
        """Return the flags of the output of a layer whose input was ``x``."""
        if not layer.predicts_steps:
            return NO_FLAGS
        mask = layer.mask_after(x, self.mask)
        return self if mask is self.mask else StepFlags(mask, self.reset)


#: Every step counts, and no episode begins: this one object, so that it is known at a glance.
NO_FLAGS = StepFlags()


def _not_taken(layer: Model, name: str, what: str) -> str:
    return (
        f"it is not told which {what}, because a {type(layer).__name__} has takes_{name} = "
        f"False; let it take {name}= and set takes_{name} = True"
    )


def checked(name: str, value: Any, shape: tuple[int, ...]) -> Booleans | None:
    """Return flags (B, T) for an array of ``shape``, (B, T, ...); None stays None."""
    if value is None:
        return None
    array = validation.as_flags(name, value)
    if len(shape) < 2:
        raise ValueError(f"{name} needs an x with steps, (batch, time, ...), got shape {shape}")
    B, T = shape[:2]
    validation.check_shape(name, array, (B, T), f"(batch={B}, time={T})")
    return array


def without_left_out(x: Any, mask: Booleans) -> Any:
    """Return a copy of x (B, T, ...) that is 0 at the steps that do not count.

    What stands there may be anything, even NaN. Layers that compute every step on its own would
    compute with it.
    """
    array = np.array(x)
    array[~mask] = 0
    return array
