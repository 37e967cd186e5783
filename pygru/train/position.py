"""Where in its data a training run is, and what callbacks have still to be told."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Event(NamedTuple):
    """Something that has happened and that every callback is told of, once."""

    method: str  # of the callbacks, such as "on_epoch_end"
    arguments: tuple[Any, ...]  # what it is called with, after the trainer
    notified: set[int]  # the indices of the callbacks that know of it; grows


class Position(NamedTuple):
    """What training does next; between two epochs ``order``, between two batches ``states``
    is None.
    """

    epoch: int = 0
    order: NDArray[np.int64] | None = None  # of the samples, in the epoch under way
    batch: int = 0  # the batches of that epoch which are done
    window: int = 0  # the windows of the next batch which are done
    states: Any = None  # of the recurrent layers at the end of the last of these windows
    total: float = 0.0  # the losses of the epoch so far, each times its weight
    weight: float = 0.0  # the sum of these weights
    seconds: float = 0.0  # that the epoch has taken so far
    event: Event | None = None  # what some callbacks have still to be told
