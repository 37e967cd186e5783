"""Weights of a GRU as a layer of Keras takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru import gate_order
from pygru.gru import GRU
from pygru.io.variants import check_gru, to_variant
from pygru.variant import VARIANTS

ORDER = "zrn"
#: What a message adds for an option whose effect may surprise.
INSTEAD = {"zoneout": ": in inference each unit keeps this share of its old state"}


def to_keras(gru: GRU) -> list[NDArray[Any]]:
    """Return the weights of a GRU in the order of ``set_weights`` of Keras.

    Parameters
    ----------
    gru : GRU
        Of one layer, in any variant with an equal in Keras. For several layers see Notes.

    Returns
    -------
    list of ndarray
        For each layer and direction the kernel (I, 3H), the recurrent kernel (H, 3H) and, if
        there are biases, the bias: (2, 3H) for ``reset_after=True`` and (3H,) otherwise. The
        gates are in Keras' order z, r, h.

    Raises
    ------
    TypeError
        If ``gru`` is not a GRU.
    ValueError
        If Keras has no such GRU: one with layer normalisation, a learned ``h0``, ``clip``,
        ``zoneout``, or several layers in two directions.

    See Also
    --------
    from_keras : The other way.

    Notes
    -----
    The layer of Keras needs ``reset_after=True`` if the variant applies the reset after the
    product, as ``"pytorch"`` does, and ``reset_after=False`` otherwise; ``use_bias`` as
    ``gru.bias``; the same activations (see below for hard_sigmoid); ``go_backwards=True`` for
    ``reverse=True``; and a ``Bidirectional`` with ``merge_mode=gru.merge`` around it if there
    are two directions. A GRU of several layers is an ``RNN`` of a list of ``GRUCell``.
    ``recurrent_dropout`` and ``zero_output_for_mask`` are no weights: the layer has arguments
    of the same names.

    Keras' update gate keeps the old state. For a variant whose gate replaces it, as in
    ``"chung"``, the weights of this gate are negated, which is exact. With the reset before the
    product, the two biases of pygru are added.

    The name ``"hard_sigmoid"`` of pygru is the function of Keras 1 and 2,
    ``clip(0.2 x + 0.5, 0, 1)``. That of Keras 3 is ``clip(x / 6 + 0.5, 0, 1)``, which pygru
    calls ``("hard_sigmoid", 1 / 6, 0.5)``. A layer of Keras takes the other one as a function
    of your own.

    Examples
    --------
    >>> import pygru
    >>> gru = pygru.GRU(3, 5, batch_first=True, variant="pytorch", seed=0)
    >>> [array.shape for array in pygru.to_keras(gru)]
    [(3, 15), (5, 15), (2, 15)]

    ``keras.layers.GRU(5, return_sequences=True)`` takes them with ``set_weights`` after it has
    been built.
    """
    check_gru(gru)
    options = gru.options
    refusals = {
        "layer_norm": options.layer_norm,
        "learn_h0": options.learn_h0,
        "clip": options.clip is not None,
        "zoneout": options.zoneout > 0,
    }
    for name, is_set in refusals.items():
        if is_set:
            raise ValueError(
                f"a GRU of Keras cannot have {name}={getattr(options, name)!r}"
                + INSTEAD.get(name, "")
            )
    if options.num_layers > 1 and options.bidirectional:
        raise ValueError(
            "a GRU of several layers in two directions is no single layer of Keras: write each "
            "of its layers as a GRU of its own"
        )
    is_after = options.variant.reset == "after"
    equal = to_variant(gru, VARIANTS["pytorch" if is_after else "cho"])
    arrays: list[NDArray[Any]] = []
    for cell in options.cell_names():
        parts = {
            name: equal.parameters[f"{name}_{cell}"] for name in ("weight_ih", "weight_hh")
        }
        arrays += [np.ascontiguousarray(_in_order(part).T) for part in parts.values()]
        if options.bias:
            biases = [
                _in_order(equal.parameters[f"bias_{kind}_{cell}"]) for kind in ("ih", "hh")
            ]
            arrays.append(np.stack(biases) if is_after else biases[0] + biases[1])
    return arrays


def _in_order(rows: NDArray[Any]) -> NDArray[Any]:
    """Rows of r, z and n in Keras' order."""
    return gate_order.join(list(gate_order.split(rows).values()), ORDER)
