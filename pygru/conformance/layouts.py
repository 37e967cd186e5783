"""The layouts in which libraries store the weights of a GRU, beside that of the vectors.

The vectors have the gates in the order r, z, n, and a row for each unit of a gate.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.core.validation import check_choice

STANDARD = "rzn"


def gate_blocks(array: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return the blocks of the gates by their letters; the first axis has 3H entries."""
    return dict(zip(STANDARD, np.split(array, 3), strict=True))


def in_order(array: NDArray[Any], gate_order: str) -> NDArray[Any]:
    """Return an array of the order r, z, n with its blocks in another order."""
    if not isinstance(gate_order, str) or sorted(gate_order) != sorted(STANDARD):
        raise ValueError(
            f"gate_order must have the letters r, z, n once each, got {gate_order!r}"
        )
    blocks = gate_blocks(array)
    return np.concatenate([blocks[letter] for letter in gate_order])


def from_order(array: NDArray[Any], gate_order: str) -> NDArray[Any]:
    """Return an array whose blocks are in ``gate_order`` with the blocks as r, z, n."""
    blocks = dict(zip(gate_order, np.split(array, 3), strict=True))
    return np.concatenate([blocks[letter] for letter in STANDARD])


def to_layout(array: NDArray[Any], gate_order: str, units: str) -> NDArray[Any]:
    """Return weights (3H, N) or a bias (3H,) in another layout."""
    check_choice("units", units, ("rows", "columns"))
    array = in_order(array, gate_order)
    return array.T.copy() if units == "columns" else array


def from_layout(array: NDArray[Any], gate_order: str, units: str) -> NDArray[Any]:
    """Undo :func:`to_layout`, for the gradients of a library."""
    check_choice("units", units, ("rows", "columns"))
    return from_order(array.T if units == "columns" else array, gate_order)
