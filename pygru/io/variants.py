"""Changes between the two updates of a GRU, which are exact, and refuses all others.

With the logistic function, ``1 - sigmoid(a) = sigmoid(-a)``. So a GRU whose update gate keeps
the old state, and one whose gate replaces it, compute the same if the rows of z are negated.
Negation changes no digit. No weights make a GRU with the reset before the product equal to one
with the reset after it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru import gate_order
from pygru.core import validation
from pygru.gru import GRU
from pygru.quantized.gru import QuantizedGRU
from pygru.variant import Variant


def to_variant(gru: GRU, variant: str | Variant) -> GRU:
    """Return a GRU of another variant that computes the same.

    Parameters
    ----------
    gru : GRU
        It stays as it is.
    variant : {"chung", "cho", "pytorch"} or Variant
        The variant of the result. It must have the same ``reset``.

    Returns
    -------
    GRU
        Its weights are those of ``gru``, with the rows of the update gate negated if the two
        variants update differently. It has a copy of the random generator of ``gru``.

    Raises
    ------
    ValueError
        If the variants differ in ``reset``, or if the recurrent activation f is one for which
        ``1 - f(a) = f(-a)`` does not hold.

    Examples
    --------
    >>> import numpy as np
    >>> import pygru
    >>> gru = pygru.GRU(2, 3, variant="chung", seed=0)
    >>> same = pygru.io.to_variant(gru, "cho")
    >>> x = np.ones((4, 2))
    >>> bool(np.allclose(gru(x)[0], same(x)[0], rtol=0, atol=1e-6))
    True
    """
    target = Variant.named(variant)
    check_gru(gru)
    options = gru.options
    refusal = why_not(options.variant, target, options.recurrent_activation)
    if refusal:
        raise ValueError(refusal)
    result = GRU.from_options(options.replace(variant=target), seed=0)
    result.generator = copy.deepcopy(gru.generator)
    arrays: Mapping[str, NDArray[Any]] = gru.state_dict()
    if options.variant.update != target.update:
        arrays = with_z_negated(arrays, options.layer_norm)
    result.load_state_dict(arrays)
    result.trainable = gru.trainable
    return result


def check_gru(gru: object) -> None:
    """Raise unless ``gru`` is a GRU with weights of floats."""
    if isinstance(gru, GRU):
        return
    text = f"gru must be a pygru.GRU, got {validation.type_name(gru)}"
    if isinstance(gru, QuantizedGRU):
        text += ", whose weights are integers; pass the GRU that it was made from"
    raise TypeError(text)


def why_not(source: Variant, target: Variant, recurrent_activation: object) -> str | None:
    """Return why weights of ``source`` have no equal in ``target``, or None if they have."""
    if source.reset != target.reset:
        return (
            f"the GRU applies the reset gate {source.reset} the recurrent product, and variant "
            f"{target.name or target} {target.reset} it; no weights make the two equal"
        )
    if source.update != target.update and not _is_odd_around_half(recurrent_activation):
        return (
            f"the GRU's update gate {'keeps' if source.update == 'keep' else 'replaces'} the "
            f"old state, and that of variant {target.name or target} does the opposite; with "
            f"recurrent_activation={recurrent_activation!r} no weights make the two equal"
        )
    return None


def _is_odd_around_half(recurrent_activation: object) -> bool:
    """Whether ``1 - f(a) = f(-a)`` for every a."""
    if isinstance(recurrent_activation, tuple):  # ("hard_sigmoid", alpha, beta)
        return bool(recurrent_activation[2] == 0.5)
    return recurrent_activation in (None, "sigmoid", "hard_sigmoid")


def with_z_negated(
    arrays: Mapping[str, NDArray[Any]], layer_norm: bool = False
) -> dict[str, NDArray[Any]]:
    """Return parameters by name with the rows of z negated wherever they reach the gate.

    With layer normalisation, the sign of a matrix is not lost in the normalised sums, but the
    gains come after them, so there the gains and biases are negated instead of the matrices.
    """
    kinds = ("gain_", "bias_") if layer_norm else ("weight_", "bias_")
    result = {}
    for name, array in arrays.items():
        if name.startswith(kinds):
            parts = gate_order.split(np.asarray(array))
            array = gate_order.join([parts["r"], -parts["z"], parts["n"]])
        result[name] = array
    return result
