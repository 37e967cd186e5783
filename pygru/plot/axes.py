"""What all pictures have in common: colours, axes, labels, and lines with gaps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pygru.core import validation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, GRU_COLOUR, NAIVE_COLOUR = "#1b1f24", "#9aa4b1", "#d1495b", "#3d7ea6"
FRAME = "#c9cfd6"


def pyplot() -> Any:
    """Return matplotlib.pyplot, or raise an ImportError that says how to install it."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError(
            'pygru.plot needs matplotlib; install it with  pip install "pygru[plot]"'
        ) from None
    return pyplot


def tidy(ax: Axes) -> Axes:
    """Give axes with curves pygru's look."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#e6e9ed", linewidth=0.8)
    ax.set_axisbelow(True)
    return ax


def axes_or_new(ax: Axes | None, width: float, height: float) -> Axes:
    """Return ``ax``, or the axes of a new figure of this size in inches."""
    if ax is None:
        new: Axes = pyplot().subplots(figsize=(width, height), layout="constrained")[1]
        return new
    if not hasattr(ax, "imshow"):
        raise TypeError(f"ax must be a matplotlib Axes, got {validation.type_name(ax)}")
    return ax


def check_labels(
    name: str, labels: Iterable[object] | None, count: int, what: str
) -> list[str] | None:
    """Return the labels as texts; None stays None."""
    if labels is None:
        return None
    if not np.iterable(labels):
        raise TypeError(
            f"{name} must be a sequence of labels, got {validation.type_name(labels)}"
        )
    texts = [str(label) for label in labels]
    if len(texts) != count:
        raise ValueError(f"{name} must hold {count} labels, one per {what}, got {len(texts)}")
    return texts


def line_with_gaps(
    ax: Axes,
    x: NDArray[Any],
    values: NDArray[Any],
    colour: str,
    label: str,
    lw: float = 1.4,
) -> None:
    """Draw a line that NaN interrupts; a single value between two NaN becomes a dot."""
    ax.plot(x, values, color=colour, lw=lw, label=label)
    there = np.concatenate([[False], np.isfinite(values), [False]])
    alone = there[1:-1] & ~there[:-2] & ~there[2:]
    if alone.any():
        ax.plot(x[alone], values[alone], ".", color=colour, ms=4 * lw)
