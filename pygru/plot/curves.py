"""Curves: forecasts with their bands, losses over epochs, and losses over learning rates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pygru.core import validation
from pygru.plot.axes import (
    GRU_COLOUR,
    INK,
    MUTED,
    axes_or_new,
    line_with_gaps,
    pyplot,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pygru.train.history import History
    from pygru.train.lr_finder import LearningRates


def forecast(
    history: ArrayLike,
    prediction: ArrayLike,
    *,
    quantiles: Iterable[float] | None = None,
    truth: ArrayLike | None = None,
    x: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a forecast after the known values: a line, its bands and, if known, the truth.

    Parameters
    ----------
    history : array_like
        (T,) values up to the origin of the forecast; NaN leaves a gap.
    prediction : array_like
        (K,) one value per step ahead, or (K, Q) quantiles of each.
    quantiles : sequence of float, optional
        The Q levels in ascending order within (0, 1), for a prediction (K, Q). The first and
        the last are the limits of one band, the second and the last but one those of the next.
        If Q is odd, the middle one is drawn as a line.
    truth : array_like, optional
        (K,) the true values; NaN leaves a gap.
    x : array_like, optional
        (T + K,) positions of history and prediction, such as dates. By default the positions
        are step numbers, and the last value of the history has number 0.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If an argument does not fit.

    Examples
    --------
    >>> import pygru
    >>> ax = pygru.plot.forecast([1.0, 2.0, 3.0], [[3.5, 4.0, 4.5]], quantiles=(0.1, 0.5, 0.9))
    >>> ax.get_legend_handles_labels()[1]
    ['history', 'median', '80 % band']
    """
    known = validation.as_numeric("history", history)
    columns = validation.as_numeric("prediction", prediction)
    if known.ndim != 1:
        raise ValueError(f"history must have shape (T,), got {known.shape}")
    levels = _check_levels(quantiles, columns)
    T, K = len(known), len(columns)
    places = np.arange(1 - T, K + 1) if x is None else np.asarray(x)
    if places.shape != (T + K,):
        raise ValueError(f"x must have shape (T + K,) = ({T + K},), got {places.shape}")
    if truth is not None:
        truth = validation.as_numeric("truth", truth)
        validation.check_shape("truth", truth, (K,), f"(K,) = ({K},)")
    ax = axes_or_new(ax, 9, 4)
    if x is None:
        ax.set_xlabel("step")
    past, ahead = places[:T], places[T:]
    if T:
        line_with_gaps(ax, past, known, MUTED, "history")
    if truth is not None:
        line_with_gaps(ax, ahead, truth, INK, "truth")
    _draw_prediction(ax, ahead, columns, levels)
    return tidy(ax)


def _draw_prediction(
    ax: Axes, ahead: NDArray[Any], prediction: NDArray[Any], levels: list[float] | None
) -> None:
    """Draw the middle column as a line, and the others as bands."""
    if levels is None:
        line_with_gaps(ax, ahead, prediction, GRU_COLOUR, "prediction", lw=2)
        return
    count = len(levels)
    if count % 2:
        middle, name = prediction[:, count // 2], _name_of(levels[count // 2])
        line_with_gaps(ax, ahead, middle, GRU_COLOUR, name, lw=2)
    for low in range(count // 2):
        high = count - 1 - low
        ax.fill_between(
            ahead,
            prediction[:, low],
            prediction[:, high],
            color=GRU_COLOUR,
            alpha=min(0.18 * (low + 1), 0.6),  # so that the legend shows different bands
            lw=0,
            label=f"{100 * (levels[high] - levels[low]):.3g} % band",
        )
        if len(ahead) == 1:  # a band of one step has no width: draw a bar
            ax.vlines(ahead, prediction[:, low], prediction[:, high], color=GRU_COLOUR, lw=1.4)


def _name_of(level: float) -> str:
    return "median" if level == 0.5 else f"{level:.3g} quantile"


def _check_levels(
    quantiles: Iterable[float] | None, prediction: NDArray[Any]
) -> list[float] | None:
    """The levels of the columns of ``prediction``; None if it has no columns."""
    if quantiles is None:
        if prediction.ndim != 1:
            raise ValueError(
                f"prediction must have shape (K,) unless quantiles are given, "
                f"got {prediction.shape}"
            )
        return None
    if not np.iterable(quantiles):
        raise TypeError(
            f"quantiles must be a sequence of floats, got {validation.type_name(quantiles)}"
        )
    levels = [validation.check_number("quantiles", level) for level in quantiles]
    inside = all(0 < level < 1 for level in levels)
    if not levels or not inside or any(np.diff(levels) <= 0):
        raise ValueError(f"quantiles must ascend within (0, 1), got {levels}")
    if prediction.ndim != 2 or prediction.shape[1] != len(levels):
        raise ValueError(
            f"prediction must have shape (K, {len(levels)}), a column per quantile, "
            f"got {prediction.shape}"
        )
    return levels


def plot_history(history: History, ax: Axes | None = None) -> Axes:
    """Draw training and validation loss over epochs; see :meth:`History.plot`."""
    ax = axes_or_new(ax, 7, 4)
    epochs = np.array(history["epoch"])
    line_with_gaps(ax, epochs, np.array(history["loss"], float), INK, "training")
    if "val_loss" in history:  # not necessarily in every epoch
        losses = np.array([r.get("val_loss", np.nan) for r in history.records], float)
        line_with_gaps(ax, epochs, losses, GRU_COLOUR, "validation")
        if np.isfinite(losses).any():
            best = int(np.nanargmin(losses))
            ax.plot(epochs[best], losses[best], "o", color=GRU_COLOUR, label="best")
    ax.set(xlabel="epoch", ylabel="loss")
    ax.xaxis.set_major_locator(pyplot().MaxNLocator(integer=True, min_n_ticks=1))
    ax.legend(frameon=False)
    return tidy(ax)


def plot_learning_rates(found: LearningRates, ax: Axes | None = None) -> Axes:
    """Draw losses over learning rates; see :meth:`LearningRates.plot`."""
    ax = axes_or_new(ax, 7, 4)
    ax.plot(found.rates, found.losses, color=MUTED, lw=1, label="loss of each step")
    ax.plot(found.rates, found.smoothed, color=INK, lw=1.8, label="smoothed")
    ax.axvline(found.suggestion, color=GRU_COLOUR, lw=1.4, ls="--", label="suggestion")
    # Losses far above the first ones show only that training has failed there.
    first = np.median(found.losses[: max(1, len(found.losses) // 4)])
    lowest, highest = found.losses.min(), 2 * first - found.losses.min()
    margin = 0.1 * (highest - lowest)
    ax.set(xscale="log", xlabel="learning rate", ylabel="loss")
    if margin > 0:
        ax.set_ylim(lowest - margin, highest + margin)
    ax.legend(frameon=False)
    return tidy(ax)
