"""The order of the gates: the one place of the Python side that names and permutes them.

A GRU has three gates: ``r`` (reset), ``z`` (update) and ``n`` (the candidate, which is a gate
in name only). pygru keeps the rows of weights, biases and gains in the order ``"rzn"``, as
PyTorch does. Others use ``"zrn"`` (Keras, ONNX), and put the gates in columns. Nothing here
knows what a gate computes; the order inside a tape is the core's, and stands in the C headers.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

#: The order of the rows of pygru's own weights.
OWN = "rzn"

#: The order of the columns in a tape that keeps gates; ``hn`` comes after them.
TAPE = "nrz"


def check_order(name: str, order: str) -> str:
    """Return ``order`` if it names each gate once.

    Examples
    --------
    >>> from pygru.gate_order import check_order
    >>> check_order("gate_order", "zrh")
    Traceback (most recent call last):
        ...
    ValueError: gate_order must have each of 'r', 'z' and 'n' once, got 'zrh'; n is the \
candidate, which others call h: 'zrn'
    """
    if not isinstance(order, str) or sorted(order) != sorted(OWN):
        hint = ""
        if isinstance(order, str) and sorted(order) == sorted("rzh"):
            hint = f"; n is the candidate, which others call h: {order.replace('h', 'n')!r}"
        raise ValueError(f"{name} must have each of 'r', 'z' and 'n' once, got {order!r}{hint}")
    return order


def split(array: NDArray[Any], order: str = OWN, axis: int = 0) -> dict[str, NDArray[Any]]:
    """Return views of the part of each gate, by its letter and in the order r, z, n.

    Parameters
    ----------
    array : ndarray
        3H long along ``axis``.
    order : str
        The gates in the order in which they stand there.
    axis : int
        0 where the gates are rows, 1 where they are columns.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru.gate_order import split
    >>> {gate: part.tolist() for gate, part in split(np.arange(6), "zrn").items()}
    {'r': [2, 3], 'z': [0, 1], 'n': [4, 5]}
    """
    parts = dict(zip(check_order("order", order), np.split(array, len(OWN), axis), strict=True))
    return {gate: parts[gate] for gate in OWN}


def join(parts: Sequence[NDArray[Any]], order: str = OWN, axis: int = 0) -> NDArray[Any]:
    """Return one array of the parts of the gates r, z and n, put into ``order``.

    Raises
    ------
    ValueError
        If the parts have different shapes: a longer one would shift the gates after it.
    """
    shapes = [part.shape for part in parts]
    if len(set(shapes)) != 1 or len(shapes) != len(OWN):
        raise ValueError(f"the parts of r, z and n must have one shape, got {shapes}")
    of_gate = dict(zip(OWN, parts, strict=True))
    return np.concatenate([of_gate[gate] for gate in check_order("order", order)], axis)


def reordered(
    array: NDArray[Any], order: str, units: Literal["rows", "columns"] = "rows"
) -> NDArray[Any]:
    """Return a copy of weights or biases with rows in the order r, z, n.

    Parameters
    ----------
    array : ndarray
        (3H, n), or (n, 3H) where the units are columns; or a vector (3H,).
    order : str
        The gates in the order in which they stand there.
    units : {"rows", "columns"}
        Which axis of a matrix the gates are on.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru.gate_order import reordered
    >>> reordered(np.array([[1, 2, 3], [4, 5, 6]]), "zrn", "columns").tolist()
    [[2, 5], [1, 4], [3, 6]]
    """
    if units not in ("rows", "columns"):
        raise ValueError(f"units must be 'rows' or 'columns', got {units!r}")
    rows = array.T if units == "columns" and array.ndim > 1 else array
    return join(list(split(rows, order).values()))
