"""The weights as textbooks write them: one matrix per gate for the concatenation ``[h, x]``."""

from typing import NamedTuple

import numpy as np

from pygru.core import validation


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

    W_r: np.ndarray
    W_z: np.ndarray
    W_n: np.ndarray
    b_r: np.ndarray
    b_z: np.ndarray
    b_n: np.ndarray
    b_hn: np.ndarray | None


def _cell_names(gru):
    """The name suffix of each layer and direction, in order."""
    return [
        f"l{layer}{suffix}"
        for layer in range(gru.num_layers)
        for suffix in ("", "_reverse")[: gru.num_directions]
    ]


def _refuse_layer_norm(gru):
    if gru.layer_norm:
        raise ValueError(
            "layer_norm normalises W x and U h apart: no one matrix multiplies [h, x]"
        )


def weights_of(gru):
    """Implement ``GRU.concatenated_weights``; see there."""
    _refuse_layer_norm(gru)
    H = gru.hidden_size
    after = gru.variant.reset == "after"
    cells = []
    for name in _cell_names(gru):
        matrix = np.hstack(
            [gru.parameters[f"weight_hh_{name}"], gru.parameters[f"weight_ih_{name}"]]
        )
        b_i = b_h = np.zeros(3 * H, gru.dtype)
        if gru.bias:
            b_i, b_h = (
                gru.parameters[f"bias_ih_{name}"],
                gru.parameters[f"bias_hh_{name}"],
            )
        b_n = b_i[2 * H :] if after else b_i[2 * H :] + b_h[2 * H :]
        cells.append(
            ConcatenatedWeights(
                *(matrix[k * H : (k + 1) * H].copy() for k in range(3)),
                b_i[:H] + b_h[:H],
                b_i[H : 2 * H] + b_h[H : 2 * H],
                b_n.copy(),
                b_h[2 * H :].copy() if after else None,
            )
        )
    return cells


def state_from(gru, cells):
    """Return the state dict for ``GRU.load_concatenated_weights``; see there."""
    _refuse_layer_norm(gru)
    names = _cell_names(gru)
    if len(cells) != len(names):
        raise ValueError(
            f"cells must have one entry per layer and direction ({len(names)}), "
            f"got {len(cells)}"
        )
    H = gru.hidden_size
    state = {}
    for name, cell in zip(names, (ConcatenatedWeights(*cell) for cell in cells), strict=True):
        width = H + gru.parameters[f"weight_ih_{name}"].shape[1]
        for gate in ("W_r", "W_z", "W_n"):
            matrix = validation.as_real(gate, getattr(cell, gate), gru.dtype)
            validation.check_shape(gate, matrix, (H, width), f"(hidden_size={H}, {width})")
        matrix = np.vstack([cell.W_r, cell.W_z, cell.W_n])
        state[f"weight_hh_{name}"], state[f"weight_ih_{name}"] = (
            matrix[:, :H],
            matrix[:, H:],
        )
        b_hn = np.zeros(H, gru.dtype) if cell.b_hn is None else np.asarray(cell.b_hn)
        b_i = np.concatenate([cell.b_r, cell.b_z, cell.b_n])
        b_h = np.concatenate([np.zeros(2 * H, gru.dtype), b_hn])
        if gru.variant.reset == "before" and b_hn.any():
            raise ValueError("b_hn must be None for a variant with the reset before")
        if gru.bias:
            state[f"bias_ih_{name}"], state[f"bias_hh_{name}"] = b_i, b_h
        elif b_i.any() or b_h.any():
            raise ValueError("the cells have biases, but this GRU was made with bias=False")
    if gru.learn_h0:  # it is not part of this form and does not change
        state["h0"] = gru.parameters["h0"]
    return state
