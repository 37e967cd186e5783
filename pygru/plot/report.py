"""The picture that ``pygru train`` writes: forecasts on the test part, and the errors."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from pygru.plot.axes import GRU_COLOUR, INK, MUTED, NAIVE_COLOUR, line_with_gaps, pyplot, tidy
from pygru.typing import Path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pygru.forecasting.backtest import Backtest
    from pygru.forecasting.panel import Panel

COLOURS = {"GRU": GRU_COLOUR, "seasonal naive": NAIVE_COLOUR, "last value": MUTED}
OTHER_COLOURS = ("#7cb0c9", "#8d6cab", "#5f8f5f")
MOST_CURVES = 4  # of many series, so many are drawn


class _Curve(NamedTuple):
    """One target of one series, and its forecasts, a row for each origin and step."""

    title: str
    index: Any
    values: Any
    forecasts: Any


def plot_forecast(
    panel: Panel,
    backtest: Backtest,
    quantiles: Sequence[float],
    start: Any,
    path: Path | BinaryIO,
) -> None:
    """Draw forecasts on the test part and the errors of all methods, and save the picture.

    The upper parts show the end of the history, the truth, and several forecasts one after the
    other. Each forecast uses only values from before its beginning. Of many series, a few are
    drawn: those whose errors, as shares of their spread, are the smallest, the largest, and
    between them. The lowest part shows the mean absolute error at each step ahead.

    Parameters
    ----------
    panel : Panel
        The series, with the test part.
    backtest : Backtest
        Of the test part.
    quantiles : sequence of float
        The forecaster's, ascending; the first and the last are the limits of a band.
    start : Timestamp, Period or int
        The first time of the test part.
    path : path-like or file object
        Where to write a PNG.
    """
    curves = _some(_curves(panel, backtest))
    count = len(curves)
    figure, axes = pyplot().subplots(
        count + 1,
        1,
        figsize=(11, 7.5 if count == 1 else 3 + 2.6 * count),
        height_ratios=[2] * count + [1 if count == 1 else 1.6],
        layout="constrained",
    )
    try:
        for number, (ax, curve) in enumerate(zip(axes[:-1], curves, strict=True)):
            _draw_forecasts(ax, curve, quantiles, start)
            if count == 1:
                ax.legend(frameon=False, loc="upper left")
            elif number == 0:  # one legend for all, above them
                handles = ax.get_legend_handles_labels()
                figure.legend(*handles, frameon=False, loc="outside upper right", ncols=4)
        _draw_errors(axes[-1], backtest)
        figure.savefig(path, dpi=130, format="png")
    finally:
        pyplot().close(figure)


# ---- which curves ------------------------------------------------------------------------


def _curves(panel: Panel, backtest: Backtest) -> list[_Curve]:
    """All targets of all series that have a forecast in the test part."""
    keys = [*backtest.id_columns, "target"]
    groups = dict(list(backtest.forecasts.groupby(keys, sort=False)))
    curves = []
    for series in panel.series:
        id: Any = series.id if len(panel.schema.id) > 1 else (series.id,)
        for number, name in enumerate(panel.schema.target_names):
            rows = groups.get((*id, name) if panel.schema.id else (name,))
            if rows is not None:
                title = f"{name}, {_title(series.id)}" if panel.schema.id else str(name)
                curves.append(_Curve(title, series.index, series.targets[:, number], rows))
    return curves


def _title(id: Hashable) -> str:
    text = ", ".join(map(str, id)) if isinstance(id, tuple) else str(id)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _some(curves: list[_Curve]) -> list[_Curve]:
    """A few curves, from the one that is forecast best to the one that is forecast worst."""
    if len(curves) <= MOST_CURVES:
        return curves
    order = sorted(range(len(curves)), key=lambda number: _relative_error(curves[number]))
    places = np.linspace(0, len(order) - 1, MOST_CURVES).round().astype(int)
    return [curves[order[place]] for place in places]


def _relative_error(curve: _Curve) -> float:
    errors = (curve.forecasts["GRU"] - curve.forecasts["actual"]).abs()
    known = curve.values[np.isfinite(curve.values)]
    spread = float(known.std()) if known.size else 0.0
    share = float(errors.mean()) / (spread or 1.0)
    return share if np.isfinite(share) else np.inf


# ---- drawing -----------------------------------------------------------------------------


def _positions(index: Any) -> Any:
    """Where the times of an index are on an axis: dates without zone and period, or numbers."""
    if hasattr(index, "to_timestamp"):
        index = index.to_timestamp()
    if getattr(index, "tz", None) is not None:
        index = index.tz_localize(None)
    return np.asarray(index)


def _draw_forecasts(ax: Axes, curve: _Curve, quantiles: Sequence[float], start: Any) -> None:
    """Draw the end of the history, the truth, and forecasts one after the other."""
    x, test = _positions(curve.index), int(curve.index.searchsorted(start))
    begin = max(0, test - 2 * (len(x) - test) // 3)
    known, truth = slice(begin, test), slice(test, None)
    line_with_gaps(ax, x[known], curve.values[known], MUTED, "history")
    line_with_gaps(ax, x[truth], curve.values[truth], INK, "truth, not seen in training")
    horizon = int(curve.forecasts["step"].max())
    for number, rows in enumerate(_one_after_the_other(curve, horizon)):
        places = curve.index.get_indexer(rows["time"])
        label = f"GRU, up to {horizon} steps ahead" if number == 0 else None
        ax.plot(x[places], rows["GRU"], color=GRU_COLOUR, lw=2.2, alpha=0.85, label=label,
                marker="o" if horizon == 1 else None, ms=3)  # fmt: skip
        if len(quantiles) > 1:
            low, high = quantiles[0], quantiles[-1]
            label = f"{100 * (high - low):.3g} % band" if number == 0 else None
            limits = rows[f"q{low:g}"], rows[f"q{high:g}"]
            ax.fill_between(x[places], *limits, color=GRU_COLOUR, alpha=0.18, lw=0, label=label)
        ax.axvline(x[max(places[0] - 1, 0)], color=GRU_COLOUR, lw=0.6, ls=":", alpha=0.7)
    # The name comes from the header of a file; a dollar sign in it must not begin a formula.
    ax.set_title(curve.title, loc="left", fontsize=12, parse_math=False)
    tidy(ax)


def _one_after_the_other(curve: _Curve, horizon: int) -> list[Any]:
    """The forecasts of origins that are a horizon apart, each in the order of its steps."""
    chosen, free = [], -1
    for _, rows in curve.forecasts.groupby("origin", sort=True):
        rows = rows.sort_values("step")
        first = int(curve.index.get_indexer(rows["time"].iloc[:1])[0])
        if first >= free:
            chosen.append(rows)
            free = first + horizon
    return chosen


def _draw_errors(ax: Axes, backtest: Backtest) -> None:
    """Draw the mean absolute error of each method at each step ahead."""
    errors = backtest.scores_by("step")["MAE"]
    others = iter(OTHER_COLOURS * len(backtest.methods))
    for name in backtest.methods:
        by_step = errors.xs(name, level="method")
        ax.plot(
            by_step.index,
            by_step,
            lw=2.2 if name == "GRU" else 1.4,
            color=COLOURS[name] if name in COLOURS else next(others),
            ls="-" if name == "GRU" else "--",
            label=f"{name} ({backtest.scores['MAE'][name]:.3g})",
        )
    ax.set(
        xlabel="steps ahead",
        ylabel="mean absolute error",
        ylim=(0, 1.3 * float(errors.max()) or 1),  # with room for the legend above the curves
        xlim=(1, max(2, len(by_step))),
    )
    ax.legend(frameon=False, ncols=3, loc="upper left", fontsize=9)
    tidy(ax)
