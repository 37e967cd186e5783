"""The linear autoregression: for each step ahead, least squares on the last steps.

It is direct: each step of the horizon has coefficients of its own, and no forecast is used to
make another one. It reads what the GRU reads of one target, scaled, and a constant. All series
share the coefficients. Time and memory are linear in the number of windows, which are made
batch by batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pygru.forecasting.stack import Origins, Values
from pygru.forecasting.windows import Windows
from pygru.nn.linear import Linear
from pygru.typing import Floats

BATCH = 2048
MOST_LAGS = 200
WINDOWS_PER_LAG = 4

# Relative to the mean square of the inputs. Least squares of lags that depend on one another
# have no single solution; this chooses a small one, and hardly changes any other.
RIDGE = 1e-6


def order_for(window: int, windows: int) -> int:
    """Return how many lags are used: the window, but not more than the data can tell."""
    return max(1, min(window, MOST_LAGS, windows // WINDOWS_PER_LAG))


def fit_autoregression(windows: Windows, origins: Origins, lines: Sequence[Linear]) -> None:
    """Give the layers ``lines``, one for each target, their weights and biases.

    Parameters
    ----------
    windows : Windows
    origins : Origins
        Of the training part. Steps without an observed target are left out, each by itself.
    lines : sequence of Linear
        Each reads the last ``in_features`` steps and returns ``horizon`` steps.
    """
    n, horizon = windows.stack.values.shape[1], windows.stack.task.horizon
    order = lines[0].in_features
    products = [_Products(order + 1, horizon) for _ in range(n)]
    for first in range(0, len(origins), BATCH):
        some = origins.take(slice(first, first + BATCH))
        read, wanted = windows.read_targets(some), windows.targets(some)
        for target in range(n):
            lags = read[:, -order:, target].astype(np.float64)
            inputs = np.column_stack([lags, np.ones(len(lags))])
            products[target].add(inputs, wanted[:, :, target, 0], wanted[:, :, target, 1] > 0)
    for line, each in zip(lines, products, strict=True):
        coefficients = each.solve()
        line.parameters["weight"] = coefficients[:-1].T
        line.parameters["bias"] = coefficients[-1]


def autoregress(lines: Sequence[Linear], read: NDArray[np.float32]) -> Floats:
    """Return (M, horizon, n) from the targets that were read, (M, window, n)."""
    return np.stack(
        [line.infer(read[:, -line.in_features :, i]) for i, line in enumerate(lines)], axis=2
    )


class _Products:
    """The normal equations of one target: sums of products of inputs and of outputs."""

    def __init__(self, inputs: int, horizon: int) -> None:
        self.all = np.zeros((inputs, inputs))
        self.rows = 0
        # What is missing at a step is subtracted, since little is missing as a rule.
        self.missing: dict[int, Values] = {}
        self.missing_rows = np.zeros(horizon, np.int64)
        self.with_outputs = np.zeros((inputs, horizon))

    def add(
        self, inputs: Values, outputs: NDArray[np.float32], seen: NDArray[np.bool_]
    ) -> None:
        self.all += inputs.T @ inputs
        self.rows += len(inputs)
        self.with_outputs += inputs.T @ np.where(seen, outputs, 0).astype(np.float64)
        for step in np.flatnonzero(~seen.all(axis=0)).tolist():
            without = inputs[~seen[:, step]]
            self.missing.setdefault(step, np.zeros_like(self.all))
            self.missing[step] += without.T @ without
            self.missing_rows[step] += len(without)

    def solve(self) -> Values:
        lags = len(self.all) - 1
        size = np.trace(self.all[:-1, :-1]) / max(self.rows * lags, 1)
        result = np.zeros_like(self.with_outputs)
        complete = [s for s in range(result.shape[1]) if s not in self.missing]
        groups = [(self.all, self.rows, complete)] if complete else []
        for step, products in self.missing.items():
            groups.append(
                (self.all - products, self.rows - int(self.missing_rows[step]), [step])
            )
        for matrix, rows, steps in groups:
            if rows == 0:
                continue  # nothing was observed at this step: the naive forecast stays
            ridge = np.full(lags + 1, RIDGE * rows * (size or 1.0))
            ridge[-1] = 1e-9 * rows
            result[:, steps] = np.linalg.solve(
                matrix + np.diag(ridge), self.with_outputs[:, steps]
            )
        return result
