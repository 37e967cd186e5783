"""The weights as textbooks write them: one matrix per gate for the concatenation ``[h, x]``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pygru import gate_order
from pygru.core import validation
from pygru.typing import Floats

if TYPE_CHECKING:
    from pygru.gru_base import GRUBase


class ConcatenatedWeights(NamedTuple):
    """One cell as textbooks write it: one matrix per gate for the concatenation ``[h, x]``.

    Attributes
    ----------
    W_r, W_z, W_n : ndarray
        (H, H + I) each. The first H columns multiply the state, the others the input. With
        the reset before the product, ``W_n`` multiplies ``[r * h, x]``.
    b_r, b_z, b_n : ndarray
        (H,) each, the sum of the two biases of a gate; zeros without bias.
    b_hn : ndarray or None
        (H,) the bias that r multiplies, ``r * (U h + b_hn)``. None with the reset before the
        product.
    """

    W_r: Floats
    W_z: Floats
    W_n: Floats
    b_r: Floats
    b_z: Floats
    b_n: Floats
    b_hn: Floats | None


def _refuse_layer_norm(gru: GRUBase) -> None:
    if gru.layer_norm:
        raise ValueError(
            "layer_norm normalises W x and U h separately, so there is no single matrix "
            "for [h, x]"
        )


def joined_weights(gru: GRUBase) -> list[ConcatenatedWeights]:
    """Implement ``GRU.concatenated_weights``; see there."""
    _refuse_layer_norm(gru)
    after = gru.variant.reset == "after"
    zeros = np.zeros(3 * gru.hidden_size, gru.dtype)
    cells = []
    for name in gru.options.cell_names():
        of_h, of_x = (gru.parameters[f"weight_{kind}_{name}"] for kind in ("hh", "ih"))
        matrices = gate_order.split(np.hstack([of_h, of_x]))
        b_x = gate_order.split(gru.parameters[f"bias_ih_{name}"] if gru.bias else zeros)
        b_h = gate_order.split(gru.parameters[f"bias_hh_{name}"] if gru.bias else zeros)
        cells.append(
            ConcatenatedWeights(
                W_r=matrices["r"].copy(),
                W_z=matrices["z"].copy(),
                W_n=matrices["n"].copy(),
                b_r=b_x["r"] + b_h["r"],
                b_z=b_x["z"] + b_h["z"],
                b_n=b_x["n"].copy() if after else b_x["n"] + b_h["n"],
                b_hn=b_h["n"].copy() if after else None,
            )
        )
    return cells


def separated_weights(gru: GRUBase, cells: Sequence[ConcatenatedWeights]) -> dict[str, Floats]:
    """Return the state dict for ``GRU.load_concatenated_weights``; see there."""
    _refuse_layer_norm(gru)
    names = gru.options.cell_names()
    if isinstance(cells, str) or not isinstance(cells, Sequence):
        raise TypeError(
            f"cells must be a list of ConcatenatedWeights, got {validation.type_name(cells)}"
        )
    if len(cells) != len(names):
        raise ValueError(
            f"cells must have one entry per layer and direction ({len(names)}), "
            f"got {len(cells)}"
        )
    state: dict[str, Floats] = {}
    for index, (name, cell) in enumerate(zip(names, cells, strict=True)):
        pieces = _checked(gru, f"cells[{index}]", name, cell)
        H = gru.hidden_size
        matrix = gate_order.join([pieces["W_r"], pieces["W_z"], pieces["W_n"]])
        state[f"weight_hh_{name}"], state[f"weight_ih_{name}"] = matrix[:, :H], matrix[:, H:]
        zeros = np.zeros_like(pieces["b_hn"])
        b_x = gate_order.join([pieces["b_r"], pieces["b_z"], pieces["b_n"]])
        b_h = gate_order.join([zeros, zeros, pieces["b_hn"]])
        if gru.bias:
            state[f"bias_ih_{name}"], state[f"bias_hh_{name}"] = b_x, b_h
        elif b_x.any() or b_h.any():
            raise ValueError("the cells have biases, but this GRU was made with bias=False")
    if gru.learn_h0:  # it is not part of this form and does not change
        state["h0"] = gru.parameters["h0"]
    return state


def _checked(
    gru: GRUBase, where: str, name: str, cell: ConcatenatedWeights
) -> dict[str, Floats]:
    """Return every piece of a cell as an array of its right shape, by its name."""
    try:
        given = ConcatenatedWeights(*cell)
    except TypeError:
        fields = ", ".join(ConcatenatedWeights._fields)
        raise TypeError(
            f"{where} must hold {fields}, got {validation.type_name(cell)}"
        ) from None
    H = gru.hidden_size
    width = H + gru.parameters[f"weight_ih_{name}"].shape[1]
    pieces = {}
    for piece, value in given._asdict().items():
        if piece == "b_hn" and value is None:
            value = np.zeros(H, gru.dtype)
        array = validation.as_real(f"{where}.{piece}", value, gru.dtype)
        shape: tuple[int, ...] = (H, width) if piece.startswith("W") else (H,)
        meaning = (
            f"(hidden_size={H}, {width})" if piece.startswith("W") else f"(hidden_size={H},)"
        )
        validation.check_shape(f"{where}.{piece}", array, shape, meaning)
        pieces[piece] = array
    if gru.variant.reset == "before" and pieces["b_hn"].any():
        raise ValueError(f"{where}.b_hn must be None for a variant with the reset before")
    return pieces
