"""A block in which the model of a trainer has other weights, such as an average."""

from __future__ import annotations

from types import TracebackType

from pygru.train.state import TrainingState
from pygru.typing import Floats


class OtherWeights:
    """A block in which the model has other weights than the trained ones.

    This is a class and not a generator function. If Ctrl-C interrupts a generator, its
    ``finally`` runs when the traceback is dropped. By then the model may have other weights.
    """

    def __init__(self, state: TrainingState, weights: list[Floats] | None) -> None:
        self._state = state
        self._weights = weights

    def __enter__(self) -> None:
        if self._weights is not None:
            try:
                self._state.lend(self._weights)
            except BaseException:
                self._state.take_back()
                raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._weights is not None:
            try:
                self._state.take_back()
            except BaseException:  # an interrupt before anything has changed
                self._state.take_back()
                raise
