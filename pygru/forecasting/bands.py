"""Where the training of quantiles begins: at those of the errors that the linear part leaves.

A band that began with a width of nothing would need many epochs to become as wide as the errors
are, and a short series has few steps of the optimiser. Only biases are set here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pygru.forecasting.linear import autoregress
from pygru.forecasting.network import ForecastNetwork
from pygru.forecasting.stack import Origins
from pygru.forecasting.windows import Windows

#: Enough windows for a quantile, however long the series are.
MOST_WINDOWS = 10_000


def begin_with_quantiles(
    windows: Windows, origins: Origins, network: ForecastNetwork, levels: Sequence[float]
) -> None:
    """Give the last layer the quantiles ``levels`` of the errors in the training part.

    A step without an observed target keeps the bias that it has.

    Parameters
    ----------
    windows : Windows
    origins : Origins
        Of the training part.
    network : ForecastNetwork
        Its autoregression has been fitted.
    levels : sequence of float
        The quantiles that the network forecasts.
    """
    step = max(1, len(origins) // MOST_WINDOWS)
    some = origins.take(np.arange(0, len(origins), step))
    targets = windows.targets(some)
    errors = targets[..., 0] - autoregress(network.autoregression, windows.read_targets(some))
    errors[targets[..., 1] == 0] = np.nan
    if network.shape.reads_on:  # all steps have the bias in common
        errors = errors.reshape(-1, 1, network.shape.targets)
    seen = ~np.isnan(errors).all(axis=0)
    bias = network.linear.parameters["bias"].reshape(*seen.shape, len(levels))
    if seen.any():
        bias[seen] = np.nanquantile(errors[:, seen], levels, axis=0).T
