"""Pictures with matplotlib, which is imported only when a picture is drawn.

Every function draws on the axes it is given, or on those of a new figure, and returns the axes.
It neither shows the figure nor saves it.

>>> import numpy as np
>>> import pygru
>>> gru = pygru.GRU(2, 3, seed=0)
>>> ax = pygru.plot.gates(gru.gates(np.ones((4, 2)))[0], "z")
>>> ax.figure.savefig("gates.png")  # doctest: +SKIP
"""

from pygru.plot.curves import forecast, plot_history, plot_learning_rates
from pygru.plot.heat_maps import attention, gates

__all__ = [
    "attention",
    "forecast",
    "gates",
    "plot_history",
    "plot_learning_rates",
]
