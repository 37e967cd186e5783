"""Where training is: what a checkpoint needs beside the arrays, kept so that Ctrl-C at any
moment leaves it right.
"""

from typing import NamedTuple

import numpy as np


class Event(NamedTuple):
    """Something that callbacks are told: a method of theirs and its arguments."""

    method: str
    arguments: tuple
    told: set  # the indices of the callbacks that know; grows while they are told


class Position(NamedTuple):
    """What comes next. Between epochs there is no order, between batches are no states."""

    epoch: int = 0
    order: np.ndarray | None = None  # of the samples, in the epoch under way
    batch: int = 0  # batches of that epoch which are done
    window: int = 0  # windows of the next batch which are done
    states: object = None  # of the model at the end of the last of them, as its run returned it
    total: float = 0.0  # the losses of the epoch, each times its weight
    weight: float = 0.0  # the sum of these weights
    seconds: float = 0.0
    event: Event | None = None  # what some callbacks have still to be told


class Bookmark:
    """The position of a training run, right whenever it is asked for.

    A step of an optimiser counts itself at the moment when it is made. So what is written down
    before it are two positions, and the count tells which of them holds.

    Parameters
    ----------
    optimizer : Optimizer
        Whose steps count.
    chance : function
        Returns the state of all that training draws from.
    """

    def __init__(self, optimizer, chance, position):
        self._optimizer = optimizer
        self._chance = chance
        self._following = None
        self.move(position)

    def move(self, position):
        """Training is at ``position`` now, with the generators as they are."""
        self._page = position, self._optimizer.steps, None

    def draw(self, position):
        """Training is at ``position``, and is about to draw numbers."""
        self._page = position, self._optimizer.steps, self._chance()

    def step_to(self, position):
        """The next step of the optimiser leads to ``position``."""
        self._following = position

    def read(self):
        """Return the position, and what ``chance`` gave there."""
        position, steps, chance = self._page
        if self._optimizer.steps > steps:
            position, chance = self._following, None
        return position, self._chance() if chance is None else chance
