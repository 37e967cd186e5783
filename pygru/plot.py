"""Pictures with matplotlib, which is imported only when a picture is drawn.

Every function draws on the axes it is given, or on those of a new figure, and returns the axes.
It neither shows the figure nor saves it.

>>> import numpy as np
>>> import pygru
>>> gru = pygru.GRU(2, 3, seed=0)
>>> ax = pygru.plot.gates(gru.gates(np.ones((4, 2)))[0], "z")
>>> ax.figure.savefig("gates.png")  # doctest: +SKIP
"""

import numpy as np

from pygru.core import validation
from pygru.gates import Gates

INK, MUTED, GRU_COLOUR, NAIVE_COLOUR = "#1b1f24", "#9aa4b1", "#d1495b", "#3d7ea6"
FRAME = "#c9cfd6"


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


def _axes(ax, width, height):
    """``ax``, or the axes of a new figure of this size in inches."""
    if ax is None:
        return _pyplot().subplots(figsize=(width, height), layout="constrained")[1]
    if not hasattr(ax, "imshow"):
        raise TypeError(f"ax must be a matplotlib Axes, got {validation.type_name(ax)}")
    return ax


def _check_labels(name, labels, count, what):
    if labels is None:
        return None
    labels = [str(label) for label in labels]
    if len(labels) != count:
        raise ValueError(f"{name} must hold {count} labels, one per {what}, got {len(labels)}")
    return labels


def _heat_map(ax, values, x_labels, y_labels, *, colours, limits, meaning):
    """Draw a matrix, row 0 at the top, with a colour bar."""
    image = ax.imshow(
        values,
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
    )
    if y_labels is not None:
        ax.set_yticks(np.arange(len(y_labels)), y_labels)
        ax.tick_params(axis="y", length=0)
    longest = max(map(len, x_labels), default=0) if x_labels is not None else 0
    if x_labels is not None and (longest + 1) * len(x_labels) > 70:
        ax.set_xticks(np.arange(len(x_labels)), x_labels, rotation=90)
        ax.tick_params(axis="x", length=0)
    elif x_labels is not None:  # align labels with and without accents
        ax.set_xticks(np.arange(len(x_labels)), x_labels, va="baseline")
        ax.tick_params(axis="x", length=0, pad=13)
    bar = ax.figure.colorbar(image, ax=ax, pad=0.02)
    bar.set_label(meaning)
    bar.outline.set_color(FRAME)
    ax.spines[:].set_color(FRAME)
    return ax


# The names of the gates in a heat map, and the range of their values.
_GATES = {
    "r": ("reset gate r", "viridis", (0, 1)),
    "z": ("update gate z", "viridis", (0, 1)),
    "n": ("candidate n", "RdBu_r", (-1, 1)),
    "h": ("state h", "RdBu_r", (-1, 1)),
}


def gates(gates, gate="z", *, labels=None, units=None, ax=None):
    """Draw the values of a gate: one row per unit, one column per step.

    r and z are between 0 and 1. The candidate n and the state h are between -1 and 1, unless
    the first state was larger, and their colours are white at 0.

    Parameters
    ----------
    gates : Gates
        The gates of one sequence, arrays (T, H): an element of the list that :meth:`GRU.gates`
        returns for x (T, I), or one sequence of a batch.
    gate : {"z", "r", "n", "h"}
        What to draw.
    labels : sequence of str, optional
        One per step, such as the words of a sentence. If matplotlib's font lacks the
        script, set ``matplotlib.rcParams["font.family"]`` to a font that has it.
    units : array_like of int, optional
        Which units to draw, from top to bottom; all by default.
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
    IndexError
        If a unit does not exist.

    Examples
    --------
    >>> import numpy as np
    >>> import pygru
    >>> gru = pygru.GRU(2, 3, seed=0)
    >>> ax = pygru.plot.gates(gru.gates(np.ones((4, 2)))[0], "z", labels="abcd")
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['a', 'b', 'c', 'd']
    """
    if not isinstance(gates, Gates):
        raise TypeError(
            f"gates must be a Gates, an element of gru.gates(x), "
            f"got {validation.type_name(gates)}"
        )
    meaning, colours, limits = _GATES[validation.check_choice("gate", gate, tuple(_GATES))]
    values = validation.as_numeric("gates", getattr(gates, gate))
    if values.ndim != 2 or not values.size:
        raise ValueError(
            f"gates must hold arrays (time, hidden_size) of one sequence, got {values.shape}"
        )
    T, H = values.shape
    labels = _check_labels("labels", labels, T, "step")
    if units is not None:
        units = validation.as_numeric("units", units)
        if units.dtype.kind not in "iu" or units.ndim != 1 or not units.size:
            raise ValueError("units must be a sequence of int, and not empty")
        if units.min() < -H or units.max() >= H:
            raise IndexError(f"units must be in [0, hidden_size={H}), got {units.tolist()}")
        values = values[:, units]
    largest = np.abs(values).max()
    if largest > limits[1]:
        limits = (-largest, largest)
    ax = _axes(ax, 7, 4)
    ax.set(xlabel="step" if labels is None else "", ylabel="unit")
    return _heat_map(
        ax,
        values.T,
        labels,
        None if units is None else [str(unit % H) for unit in units],
        colours=colours,
        limits=limits,
        meaning=meaning,
    )


def attention(weights, source, target, *, ax=None):
    """Draw attention weights: which source tokens each target token used.

    Parameters
    ----------
    weights : array_like
        (targets, sources) in [0, 1], a row for each target.
    source, target : sequence of str
        Labels of the columns and of the rows, such as letters and phonemes.
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
    >>> ax = pygru.plot.attention([[0.9, 0.1], [0.2, 0.8]], ["the", "cat"], ["le", "chat"])
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['le', 'chat']
    """
    weights = validation.as_numeric("weights", weights)
    if weights.ndim != 2 or not weights.size:
        raise ValueError(f"weights must have shape (targets, sources), got {weights.shape}")
    if not (weights.min() >= 0 and weights.max() <= 1 + 1e-5):
        raise ValueError("weights must be in [0, 1]")
    target = _check_labels("target", target, weights.shape[0], "row of weights")
    source = _check_labels("source", source, weights.shape[1], "column of weights")
    return _heat_map(
        _axes(ax, 6, 5),
        weights,
        source,
        target,
        colours="Greys",
        limits=(0, 1),
        meaning="attention weight",
    )


def forecast(history, prediction, *, quantiles=None, truth=None, x=None, ax=None):
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
    history = validation.as_numeric("history", history)
    prediction = validation.as_numeric("prediction", prediction)
    if history.ndim != 1:
        raise ValueError(f"history must have shape (T,), got {history.shape}")
    levels = _check_levels(quantiles, prediction)
    T, K = len(history), len(prediction)
    x_label = "step" if x is None else None
    x = np.arange(1 - T, K + 1) if x is None else np.asarray(x)
    if x.shape != (T + K,):
        raise ValueError(f"x must have shape (T + K,) = ({T + K},), got {x.shape}")
    if truth is not None:
        truth = validation.as_numeric("truth", truth)
        validation.check_shape("truth", truth, (K,), f"(K,) = ({K},)")
    ax = _axes(ax, 9, 4)
    if x_label is not None:
        ax.set_xlabel(x_label)
    past, ahead = x[:T], x[T:]
    if T:
        _line_with_gaps(ax, past, history, MUTED, "history")
    if truth is not None:
        _line_with_gaps(ax, ahead, truth, INK, "truth")
    columns = prediction.reshape(K, -1)
    count = columns.shape[1]
    if count % 2:
        label = "prediction" if levels is None else _name_of(levels[count // 2])
        _line_with_gaps(ax, ahead, columns[:, count // 2], GRU_COLOUR, label, lw=2)
    for low in range(count // 2):
        high = count - 1 - low
        ax.fill_between(
            ahead,
            columns[:, low],
            columns[:, high],
            color=GRU_COLOUR,
            alpha=min(0.18 * (low + 1), 0.6),  # so that the legend shows different bands
            lw=0,
            label=f"{100 * (levels[high] - levels[low]):.3g} % band",
        )
        if K == 1:  # a band of one step has no width: draw a bar
            ax.vlines(ahead, columns[:, low], columns[:, high], color=GRU_COLOUR, lw=1.4)
    return _tidy(ax)


def _line_with_gaps(ax, x, values, colour, label, lw=1.4):
    """Draw a line that NaN interrupts; a single value between two NaN becomes a dot."""
    ax.plot(x, values, color=colour, lw=lw, label=label)
    there = np.concatenate([[False], np.isfinite(values), [False]])
    alone = there[1:-1] & ~there[:-2] & ~there[2:]
    if alone.any():
        ax.plot(x[alone], values[alone], ".", color=colour, ms=4 * lw)


def _name_of(level):
    return "median" if level == 0.5 else f"{level:.3g} quantile"


def _check_levels(quantiles, prediction):
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


def plot_history(history, ax=None):
    """Draw training and validation loss over epochs; see :meth:`History.plot`."""
    ax = _axes(ax, 7, 4)
    epochs = np.array(history["epoch"])
    _line_with_gaps(ax, epochs, np.array(history["loss"], float), INK, "training")
    if "val_loss" in history:  # not necessarily in every epoch
        losses = [record.get("val_loss", np.nan) for record in history.records]
        losses = np.array(losses, float)
        _line_with_gaps(ax, epochs, losses, GRU_COLOUR, "validation")
        if np.isfinite(losses).any():
            best = int(np.nanargmin(losses))
            ax.plot(epochs[best], losses[best], "o", color=GRU_COLOUR, label="best")
    ax.set(xlabel="epoch", ylabel="loss")
    ax.xaxis.set_major_locator(_pyplot().MaxNLocator(integer=True, min_n_ticks=1))
    ax.legend(frameon=False)
    return _tidy(ax)


def plot_learning_rates(found, ax=None):
    """Draw losses over learning rates; see :meth:`LearningRates.plot`."""
    ax = _axes(ax, 7, 4)
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
    return _tidy(ax)


def plot_forecast(series, forecaster, split, scores, path):
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
