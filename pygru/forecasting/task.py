"""The steps of a forecast: horizon, season and window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pygru.core import validation

#: More steps than this in a window or a horizon are taken for a mistake, or a damaged file.
MOST_STEPS = 1_000_000


@dataclass(frozen=True)
class Task:
    """The steps of one forecast.

    Attributes
    ----------
    horizon : int
        Steps to forecast.
    season : int or None
        Steps of one season.
    window : int
        Steps that the GRU reads.
    """

    horizon: int
    season: int | None
    window: int

    @property
    def ahead(self) -> NDArray[np.int64]:
        """The steps of a forecast, counted from its origin: 1, 2, ..., horizon."""
        return np.arange(1, self.horizon + 1)

    @property
    def seasons_ahead(self) -> NDArray[np.int64]:
        """How many seasons before each step the last season that is known lies; at least 1."""
        return (self.ahead - 1) // (self.season or self.horizon) + 1


def check_steps(name: str, value: object, least: int) -> int:
    """Return a number of steps, at least ``least`` and not absurdly large."""
    steps = validation.check_int(name, value, least)
    if steps > MOST_STEPS:
        raise ValueError(f"{name} must be at most {MOST_STEPS}, got {steps}")
    return steps


def default_window(horizon: int, season: int | None) -> int:
    """Two seasons; without a season twice the horizon, at least 32 steps."""
    return 2 * season if season else max(2 * horizon, 32)
