"""One cell's weights as another library stores them, turned into pygru's own form.

Every reader of a file passes its arrays through here, so that sizes are checked and gates are
permuted in one place. pygru keeps the gates as rows, in the order r, z, n.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pygru import gate_order

Units = Literal["rows", "columns"]

#: What a recurrent matrix of (k H, H) belongs to, by k.
GATES = 3
OTHERS = {1: "a plain RNN", 4: "an LSTM"}


class Cell(NamedTuple):
    """The weights of one layer and direction: (3H, I), (3H, H) and two of (3H,) or None."""

    weight_ih: NDArray[Any]
    weight_hh: NDArray[Any]
    bias_ih: NDArray[Any] | None
    bias_hh: NDArray[Any] | None


def other_kind(recurrent_weights: NDArray[Any], units: Units = "rows") -> str | None:
    """Return what a recurrent matrix belongs to if it is not that of a GRU, or None.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru.io.cells import other_kind
    >>> other_kind(np.zeros((8, 2))), other_kind(np.zeros((6, 2)))
    ('an LSTM', None)
    """
    if recurrent_weights.ndim != 2:
        return f"an array of {recurrent_weights.ndim} dimensions instead of 2"
    rows, H = recurrent_weights.shape if units == "rows" else recurrent_weights.shape[::-1]
    if H > 0 and rows == GATES * H:
        return None
    times = rows / H if H else 0
    return OTHERS.get(int(times) if times == int(times) else 0, f"a matrix of {rows} by {H}")


def cell_of(
    where: str,
    input_weights: NDArray[Any],
    recurrent_weights: NDArray[Any],
    input_bias: NDArray[Any] | None,
    recurrent_bias: NDArray[Any] | None,
    *,
    order: str,
    units: Units,
) -> Cell:
    """Return one cell in pygru's form, after checking that the shapes fit each other.

    Parameters
    ----------
    where : str
        What messages call this cell, such as ``"layer 0"``.
    input_weights : ndarray
        (3H, I), or (I, 3H) with ``units="columns"``.
    recurrent_weights : ndarray
        (3H, H), or (H, 3H) with ``units="columns"``.
    input_bias : ndarray or None
        (3H,)
    recurrent_bias : ndarray or None
        (3H,), or (H,) for the bias of the candidate alone.
    order : str
        The gates in the order in which they stand there, such as ``"zrn"``.
    units : {"rows", "columns"}
        Which axis of a matrix the gates are on.

    Raises
    ------
    ValueError
        If a shape does not fit, or the weights are those of an LSTM or a plain RNN.
    """
    kind = other_kind(recurrent_weights, units)
    if kind is not None:
        raise ValueError(
            f"{where}: the recurrent weights must be "
            f"{'(3H, H)' if units == 'rows' else '(H, 3H)'}, got {recurrent_weights.shape}: "
            f"this is {kind}"
        )
    H = min(recurrent_weights.shape)
    axis = 0 if units == "rows" else 1
    if input_weights.ndim != 2 or input_weights.shape[axis] != GATES * H:
        expected = f"({GATES * H}, I)" if units == "rows" else f"(I, {GATES * H})"
        raise ValueError(
            f"{where}: the input weights must be {expected}, got {input_weights.shape}"
        )
    if recurrent_bias is not None and recurrent_bias.shape == (H,):
        zero = np.zeros(H, recurrent_bias.dtype)
        recurrent_bias = gate_order.join([zero, zero, recurrent_bias], order)
    for name, bias in (("input", input_bias), ("recurrent", recurrent_bias)):
        if bias is not None and bias.shape != (GATES * H,):
            raise ValueError(
                f"{where}: the {name} bias must be ({GATES * H},), got {bias.shape}"
                + _how_to_split(bias.shape, H)
            )

    def own(array: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if array is None else gate_order.reordered(array, order, units)

    return Cell(
        gate_order.reordered(input_weights, order, units),
        gate_order.reordered(recurrent_weights, order, units),
        own(input_bias),
        own(recurrent_bias),
    )


def _how_to_split(shape: tuple[int, ...], H: int) -> str:
    """What to do with the two biases of a cell in one array, as Keras and ONNX have them."""
    if shape == (2, GATES * H):
        return "; pass bias[0] as input_bias and bias[1] as recurrent_bias"
    if shape == (2 * GATES * H,):
        return "; pass its first half as input_bias and its second half as recurrent_bias"
    return ""


def parameters_of(cells: list[Cell], names: list[str]) -> dict[str, NDArray[Any]]:
    """Return the arrays of all cells by pygru's names; a missing bias is zero if any has one.

    ``names`` are those of :meth:`GRUOptions.cell_names`.
    """
    has_bias = any(cell.bias_ih is not None or cell.bias_hh is not None for cell in cells)
    arrays: dict[str, NDArray[Any]] = {}
    for name, cell in zip(names, cells, strict=True):
        arrays[f"weight_ih_{name}"] = cell.weight_ih
        arrays[f"weight_hh_{name}"] = cell.weight_hh
        if has_bias:
            zeros = np.zeros(len(cell.weight_hh), cell.weight_hh.dtype)
            arrays[f"bias_ih_{name}"] = zeros if cell.bias_ih is None else cell.bias_ih
            arrays[f"bias_hh_{name}"] = zeros if cell.bias_hh is None else cell.bias_hh
    return arrays
