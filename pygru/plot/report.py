"""The picture that ``pygru train`` writes: a forecaster's test part and its errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from pygru.plot.axes import GRU_COLOUR, INK, MUTED, NAIVE_COLOUR, pyplot, tidy
from pygru.typing import Path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pygru.data.series import Series
    from pygru.forecasting import Forecaster, Split

COLOURS = {"GRU": GRU_COLOUR, "seasonal naive": NAIVE_COLOUR, "last value": MUTED}
OTHER_COLOUR = "#7cb0c9"


def plot_forecast(
    series: Series,
    forecaster: Forecaster,
    split: Split,
    scores: Mapping[str, Mapping[str, Any]],
    path: Path | BinaryIO,
) -> None:
    """Draw a forecaster's test part and its errors, and save the picture.

    The upper part shows the end of the history, the truth, and several forecasts one after the
    other. Each forecast uses only values from before its beginning. The lower part shows the
    mean absolute error at each step ahead, together with that of the baselines.

    Parameters
    ----------
    series : Series
    forecaster : Forecaster
    split : Split
    scores : dict
        From :func:`pygru.forecasting.evaluate`.
    path : path-like or file object
        Where to write a PNG.
    """
    figure, (top, bottom) = pyplot().subplots(
        2, 1, figsize=(11, 7.5), height_ratios=(2, 1), layout="constrained"
    )
    try:
        _draw_forecasts(top, series, forecaster, split)
        _draw_errors(bottom, forecaster.task.horizon, scores)
        figure.savefig(path, dpi=130, format="png")
    finally:
        pyplot().close(figure)


def _draw_forecasts(ax: Axes, series: Series, forecaster: Forecaster, split: Split) -> None:
    """Draw the end of the history, the truth, and forecasts one after the other."""
    horizon = forecaster.task.horizon
    x: Any = np.array(series.positions())
    begin = max(0, split.test - 2 * (split.end - split.test) // 3)
    for part, colour, label in (
        (slice(begin, split.test), MUTED, "history"),
        (slice(split.test, split.end), INK, "truth, not seen in training"),
    ):
        ax.plot(x[part], series.values[part], color=colour, lw=1.4, label=label)
    origins = forecaster.origins(split.test, split.end)[::horizon]
    for number, forecast in enumerate(forecaster.predict(series.values, origins)):
        steps = slice(origins[number] + 1, origins[number] + 1 + horizon)
        ax.plot(
            x[steps],
            forecast,
            color=GRU_COLOUR,
            lw=2.2,
            alpha=0.85,
            label=f"GRU, up to {horizon} steps ahead" if number == 0 else None,
        )
        ax.axvline(x[origins[number]], color=GRU_COLOUR, lw=0.6, ls=":", alpha=0.7)
    # The name comes from the header of a file; a dollar sign in it must not begin a formula.
    ax.set_ylabel(series.name, parse_math=False)
    title = f"{series.name}: forecasts on the test part"
    ax.set_title(title, loc="left", fontsize=13, parse_math=False)
    ax.legend(frameon=False, loc="upper left")
    tidy(ax)


def _draw_errors(ax: Axes, horizon: int, scores: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw the mean absolute error of each method at each step ahead."""
    steps = np.arange(1, horizon + 1)
    for name, score in scores.items():
        ax.plot(
            steps,
            score["by_step"],
            lw=2.2 if name == "GRU" else 1.4,
            color=COLOURS.get(name, OTHER_COLOUR),
            ls="-" if name == "GRU" else "--",
            label=f"{name} ({score['mae']:.3g})",
        )
    highest = max(max(score["by_step"]) for score in scores.values())
    ax.set(
        xlabel="steps ahead",
        ylabel="mean absolute error",
        ylim=(0, 1.3 * highest or 1),  # with room above the curves for the legend
        xlim=(1, max(2, horizon)),
    )
    ax.legend(frameon=False, ncols=len(scores), loc="upper left")
    tidy(ax)
