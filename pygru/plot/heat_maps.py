"""Matrices as colours: the gates of a GRU, and attention weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pygru.core import validation
from pygru.gates import Gates
from pygru.plot.axes import FRAME, axes_or_new, check_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _heat_map(
    ax: Axes,
    values: NDArray[Any],
    x_labels: list[str] | None,
    y_labels: list[str] | None,
    *,
    colours: str,
    limits: tuple[float, float],
    meaning: str,
) -> Axes:
    """Draw a matrix, row 0 at the top, with a colour bar.

    Labels are texts as they are: a dollar sign in one begins no formula.
    """
    image = ax.imshow(
        values,
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
    )
    if y_labels is not None:
        ax.set_yticks(np.arange(len(y_labels)), y_labels, parse_math=False)
        ax.tick_params(axis="y", length=0)
    longest = max(map(len, x_labels), default=0) if x_labels is not None else 0
    if x_labels is not None and (longest + 1) * len(x_labels) > 70:
        ax.set_xticks(np.arange(len(x_labels)), x_labels, rotation=90, parse_math=False)
        ax.tick_params(axis="x", length=0)
    elif x_labels is not None:  # align labels with and without accents
        ax.set_xticks(np.arange(len(x_labels)), x_labels, va="baseline", parse_math=False)
        ax.tick_params(axis="x", length=0, pad=13)
    bar = ax.figure.colorbar(image, ax=ax, pad=0.02)
    bar.set_label(meaning)
    bar.outline.set_color(FRAME)
    ax.spines[:].set_color(FRAME)
    return ax


# The names of the gates in a heat map, and the range of their values.
_GATES: dict[str, tuple[str, str, tuple[float, float]]] = {
    "r": ("reset gate r", "viridis", (0, 1)),
    "z": ("update gate z", "viridis", (0, 1)),
    "n": ("candidate n", "RdBu_r", (-1, 1)),
    "h": ("state h", "RdBu_r", (-1, 1)),
}


def gates(
    gates: Gates,
    gate: str = "z",
    *,
    labels: Iterable[object] | None = None,
    units: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
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
    texts = check_labels("labels", labels, T, "step")
    names = None
    if units is not None:
        chosen = validation.as_numeric("units", units).copy()
        if chosen.dtype.kind not in "iu" or chosen.ndim != 1 or not chosen.size:
            raise ValueError("units must be a sequence of int, and not empty")
        if chosen.min() < -H or chosen.max() >= H:
            raise IndexError(
                f"units must be in [0, hidden_size={H}), "
                f"got {validation.shown(chosen.tolist())}"
            )
        values = values[:, chosen]
        names = [str(int(unit) % H) for unit in chosen]
    finite = values[np.isfinite(values)]
    largest = float(np.abs(finite).max(initial=0))
    if largest > limits[1]:
        limits = (-largest, largest)
    ax = axes_or_new(ax, 7, 4)
    ax.set(xlabel="step" if labels is None else "", ylabel="unit")
    return _heat_map(
        ax,
        values.T,
        texts,
        names,
        colours=colours,
        limits=limits,
        meaning=meaning,
    )


def attention(
    weights: ArrayLike,
    source: Iterable[object],
    target: Iterable[object],
    *,
    ax: Axes | None = None,
) -> Axes:
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
    matrix = validation.as_numeric("weights", weights)
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(f"weights must have shape (targets, sources), got {matrix.shape}")
    if not (matrix.min() >= 0 and matrix.max() <= 1 + 1e-5):
        raise ValueError("weights must be in [0, 1]")
    rows = check_labels("target", target, matrix.shape[0], "row of weights")
    columns = check_labels("source", source, matrix.shape[1], "column of weights")
    return _heat_map(
        axes_or_new(ax, 6, 5),
        matrix,
        columns,
        rows,
        colours="Greys",
        limits=(0, 1),
        meaning="attention weight",
    )
