"""The position of a training run in its data, and the callbacks still to be called."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Event(NamedTuple):
    """Something that has happened, for which every callback is called once."""

    method: str  # of the callbacks, such as "on_epoch_end"
    arguments: tuple[Any, ...]  # its arguments after the trainer
    notified: set[int]  # the indices of the callbacks called so far


class Position(NamedTuple):
    """What training does next. Between two epochs ``order`` is None.

    Between two batches ``states`` is None.
    """

    epoch: int = 0
    order: NDArray[np.int64] | None = None  # of the samples in the current epoch
    batch: int = 0  # finished batches of this epoch
    window: int = 0  # finished windows of the next batch
    states: Any = None  # of the recurrent layers at the end of the last of these windows
    total: float = 0.0  # the losses of the epoch so far, each times its weight
    weight: float = 0.0  # the sum of these weights
    seconds: float = 0.0  # the time that the epoch has taken so far
    sequences: int = 0  # in the finished batches of this epoch
    seen: str = ""  # what tells the batches so far from others, if they are not in memory
    kept: int = 0  # for how many steps of the epoch the state has outputs, for metrics
    event: Event | None = None  # for which some callbacks must still be called
