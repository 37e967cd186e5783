"""Pictures, with matplotlib: axes in, axes out. matplotlib is imported when one is drawn."""

import numpy as np

INK, MUTED, GRU_COLOUR, NAIVE_COLOUR = "#1b1f24", "#9aa4b1", "#d1495b", "#3d7ea6"


def _pyplot():
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError(
            'pygru.plot needs matplotlib; install it with  pip install "pygru[plot]"'
        ) from None
    return pyplot


def _tidy(ax):
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#e6e9ed", linewidth=0.8)
    ax.set_axisbelow(True)
    return ax


def plot_history(history, ax=None):
    """Draw training and validation loss over epochs; see :meth:`History.plot`."""
    if ax is None:
        ax = _pyplot().subplots(figsize=(7, 4), layout="constrained")[1]
    epochs = history["epoch"]
    ax.plot(epochs, history["loss"], color=INK, label="training")
    if "val_loss" in history:
        losses = history["val_loss"]
        ax.plot(epochs, losses, color=GRU_COLOUR, label="validation")
        best = int(np.argmin(losses))
        ax.plot(epochs[best], losses[best], "o", color=GRU_COLOUR, label="best")
    ax.set(xlabel="epoch", ylabel="loss")
    ax.legend(frameon=False)
    return _tidy(ax)


def plot_forecast(series, forecaster, split, scores, path):
    """Draw a forecaster's test part and its errors, and save the picture.

    Above: the last of the history, the truth, and forecasts one after another, each made
    without looking beyond its beginning. Below: the mean absolute error at each step ahead,
    beside the baselines.

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
    pyplot = _pyplot()
    task = forecaster.task
    figure, (top, bottom) = pyplot.subplots(
        2, 1, figsize=(11, 7.5), height_ratios=(2, 1), layout="constrained"
    )
    x = np.array(series.positions())
    begin = max(0, split.test - 2 * (split.end - split.test) // 3)
    top.plot(
        x[begin : split.test],
        series.values[begin : split.test],
        color=MUTED,
        lw=1.4,
        label="history",
    )
    top.plot(
        x[split.test : split.end],
        series.values[split.test : split.end],
        color=INK,
        lw=1.4,
        label="truth, not seen in training",
    )
    origins = forecaster.origins(split.test, split.end)[:: task.horizon]
    for number, forecast in enumerate(forecaster.predict(series.values, origins)):
        steps = slice(origins[number] + 1, origins[number] + 1 + task.horizon)
        top.plot(
            x[steps],
            forecast,
            color=GRU_COLOUR,
            lw=2.2,
            alpha=0.85,
            label=f"GRU, up to {task.horizon} steps ahead" if number == 0 else None,
        )
        top.axvline(x[origins[number]], color=GRU_COLOUR, lw=0.6, ls=":", alpha=0.7)
    top.set_ylabel(series.name)
    top.set_title(f"{series.name}: forecasts on the test part", loc="left", fontsize=13)
    top.legend(frameon=False, loc="upper left")
    steps = np.arange(1, task.horizon + 1)
    colours = {"GRU": GRU_COLOUR, "seasonal naive": NAIVE_COLOUR, "last value": MUTED}
    for name, score in scores.items():
        bottom.plot(
            steps,
            score["by_step"],
            lw=2.2 if name == "GRU" else 1.4,
            color=colours.get(name, "#7cb0c9"),
            ls="-" if name == "GRU" else "--",
            label=f"{name} ({score['mae']:.3g})",
        )
    # Room above the curves for the legend.
    highest = max(max(score["by_step"]) for score in scores.values())
    bottom.set(
        xlabel="steps ahead",
        ylabel="mean absolute error",
        ylim=(0, 1.3 * highest),
        xlim=(1, max(2, task.horizon)),
    )
    bottom.legend(frameon=False, ncols=len(scores), loc="upper left")
    for ax in (top, bottom):
        _tidy(ax)
    figure.savefig(path, dpi=130, format="png")
    pyplot.close(figure)
