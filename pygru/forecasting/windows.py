"""What the GRU reads and what it learns at an origin, scaled; made batch by batch.

At each step of the window the GRU reads, for each target, the change relative to the anchor and
whether it was observed, and the covariates in the same way. With covariates that are known for
the future, it reads on through the steps of the forecast, where it is given these alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pygru.forecasting.scaling import Affine, Spread, spread_of, thinned
from pygru.forecasting.stack import Origins, Stack, Values

Singles = NDArray[np.float32]


@dataclass(frozen=True)
class Scaling:
    """How everything is scaled; ``spreads`` has one for each series of a stack."""

    spreads: tuple[Spread, ...]
    past: Affine
    future: Affine
    static: Affine


def naive_with_drift(stack: Stack, origins: Origins) -> Values:
    """Return the forecasts (M, horizon, n) that the GRU corrects.

    It is the value of the last season that is known, plus the mean change over a season in the
    window for each season ahead; without a season it is the last value.
    """
    drift = stack.drift(origins, stack.task.window)[:, np.newaxis]
    return stack.naive(origins) + stack.task.seasons_ahead[:, np.newaxis] * drift


def relative(stack: Stack, origins: Origins) -> tuple[Values, NDArray[np.bool_]]:
    """Return what the GRU reads of the targets, not scaled, (M, window, n), and the mask.

    With a season it is the change over a season relative to the mean change in the window;
    without, it is the value relative to the last one.
    """
    seen, mask = stack.seen(origins)
    if stack.task.season is None:
        anchor = stack.last(origins)
    else:
        anchor = stack.drift(origins, stack.task.window)
    return seen - anchor[:, np.newaxis], mask


def measure(stack: Stack, number: int, origins: Origins) -> Spread:
    """Return the spread of series ``number`` in the windows of some of its origins.

    If there are none, it is that of the windows at all its steps, and the error is 0.
    """
    if not len(origins):
        origins = stack.at(number, np.arange(stack.lengths[number]))
    origins = thinned(origins)
    read, mask = relative(stack, origins)
    errors = stack.truth(origins) - naive_with_drift(stack, origins)
    return spread_of(stack, origins, np.where(mask, read, np.nan), errors)


class Windows:
    """The inputs and targets of a stack at its origins.

    Parameters
    ----------
    stack : Stack
    scaling : Scaling
    """

    def __init__(self, stack: Stack, scaling: Scaling) -> None:
        self.stack = stack
        self._read = np.array([spread.read for spread in scaling.spreads])
        self.error = np.array([spread.error for spread in scaling.spreads])
        self._covariates = _with_masks(scaling.past.apply(stack.past))
        self._future = _with_masks(scaling.future.apply(stack.future))
        self._static = np.nan_to_num(scaling.static.apply(stack.static)).astype(np.float32)

    @property
    def features(self) -> int:
        """How many numbers the GRU reads at a step."""
        parts = (self._covariates, self._future, self._static)
        return int(2 * self.stack.values.shape[1] + sum(part.shape[1] for part in parts))

    def inputs(self, origins: Origins) -> Singles:
        """Return what the GRU reads, (M, window, features), or window + horizon steps.

        Raises
        ------
        ValueError
            If a scaled value is beyond the range of float32.
        """
        task, n = self.stack.task, self.stack.values.shape[1]
        steps = task.window + (task.horizon if self._future.shape[1] else 0)
        X = np.zeros((len(origins), steps, self.features), np.float32)
        known = X[:, : task.window]
        known[..., :n], known[..., n : 2 * n] = self._targets_read(origins)
        rows = origins.rows[:, np.newaxis] + np.arange(1 - task.window, 1)
        first = 2 * n
        for part in (self._covariates, self._future):
            known[..., first : first + part.shape[1]] = part[rows]
            first += part.shape[1]
        if self._future.shape[1]:
            width = self._future.shape[1]
            X[:, task.window :, first - width : first] = self._future[self.stack.ahead(origins)]
        X[..., first:] = self._static[origins.series][:, np.newaxis]
        return X

    def read_targets(self, origins: Origins) -> Singles:
        """Return what the GRU reads of the targets alone, (M, window, n)."""
        return self._targets_read(origins)[0]

    def _targets_read(self, origins: Origins) -> tuple[Singles, NDArray[np.bool_]]:
        read, mask = relative(self.stack, origins)
        spread = self._read[origins.series][:, np.newaxis]
        # A target that did not vary in training is read as if it never did.
        constant = spread == 0
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = np.where(
                np.isnan(read) | constant, 0, read / np.where(constant, 1, spread)
            ).astype(np.float32)
        refuse_infinite(scaled)
        return scaled, mask

    def targets(self, origins: Origins) -> Singles:
        """Return the errors of the naive forecast, scaled, and 1 where there is one.

        The shape is (M, horizon, n, 2).
        """
        spread = self.error[origins.series][:, np.newaxis]
        wanted = self.stack.truth(origins) - naive_with_drift(self.stack, origins)
        counts = ~np.isnan(wanted) & (spread > 0)
        result = np.zeros((*wanted.shape, 2), np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            result[..., 0] = np.where(counts, wanted / np.where(spread > 0, spread, 1), 0)
        refuse_infinite(result[..., 0])
        result[..., 1] = counts
        return result

    def forecasts(self, origins: Origins, corrections: NDArray[np.floating]) -> Values:
        """Return forecasts (M, horizon, n, L) from the outputs of the network, so shaped."""
        spread = self.error[origins.series][:, np.newaxis, :, np.newaxis]
        naive = naive_with_drift(self.stack, origins)[..., np.newaxis]
        result: Values = naive + corrections.astype(np.float64) * spread
        return result


def _with_masks(values: Values) -> Singles:
    """Covariates (R, k) with 0 where one is missing, and beside them 1 where one is known."""
    known = ~np.isnan(values)
    with np.errstate(over="ignore"):
        filled = np.where(known, values, 0).astype(np.float32)
    refuse_infinite(filled)
    return np.concatenate([filled, known.astype(np.float32)], axis=1)


def refuse_infinite(scaled: Singles) -> None:
    """Raise for numbers that are beyond the range of float32 after scaling."""
    if not np.isfinite(scaled).all():
        raise ValueError(
            "a value is too far from the others: divided by their spread in the training part, "
            "it is beyond the range of float32"
        )
