"""Batches divided along time: windows for training, and which steps are valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from pygru.nn.step_flags import StepFlags
from pygru.train.datasets import Batch
from pygru.typing import Booleans, Floats


class Window(NamedTuple):
    """Some steps of a batch: all of them, or a window for truncated backpropagation."""

    X: Any
    y: Any
    lengths: Any
    number: int
    is_last: bool
    weights: Floats | None = None  # (B,), or (B, T) for the steps of the window
    flags: StepFlags = StepFlags()  # (B, T) for the steps of the window

    @property
    def is_empty(self) -> bool:
        """Whether no sequence has a step in it."""
        lengths = output_lengths(self.lengths)
        return lengths is not None and not np.any(lengths)


def windows_of(batch: Batch, steps: int | None) -> list[Window]:
    """Cut a batch into windows of ``steps`` steps; None makes one window."""
    X, y, lengths, weights, flags = batch
    if steps is None or steps >= X.shape[1]:
        return [Window(X, y, lengths, 0, True, weights, flags)]
    T, windows = X.shape[1], []
    for number, begin in enumerate(range(0, T, steps)):
        end = min(begin + steps, T)
        inside = None if lengths is None else np.clip(lengths - begin, 0, end - begin)
        w = weights
        if weights is not None and weights.ndim == 2:
            w = weights[:, begin:end]
        some = slice(None), slice(begin, end)
        windows.append(Window(X[some], y[some], inside, number, end == T, w, flags.at(some)))
    return windows


def output_lengths(lengths: Any) -> Any:
    """The valid steps of the output: those of the target if X has source and target."""
    return lengths["target"] if isinstance(lengths, Mapping) else lengths


def step_mask(y: Any, lengths: Any, mask: Booleans | None = None) -> Booleans | None:
    """Which steps of per-step targets (B, T, ...) count; None for all.

    They end after ``lengths``, and ``mask`` (B, T) may leave some of them out.
    """
    lengths = output_lengths(lengths)
    if lengths is None:
        return mask
    valid: Booleans = np.arange(y.shape[1]) < np.asarray(lengths)[:, np.newaxis]
    return valid if mask is None else valid & mask
