"""The activations of a cell: which names there are, and the checks of what a user passes.

The functions themselves, and their derivatives, are in ``src_c/``. The layer
:class:`pygru.Activation` is something else: it stands after other layers.
"""

from __future__ import annotations

from pygru.core import _core, validation
from pygru.core.hints import nearest
from pygru.typing import CellActivation

NAMES = _core.activations()
HARD_SIGMOID = "hard_sigmoid"
# clip(0.2 x + 0.5, 0, 1), as in Keras 1 and 2 and by default in ONNX.
ALPHA, BETA = 0.2, 0.5
# The names of others for the same.
SAME = {
    "logistic": "sigmoid",
    "identity": "linear",
    "affine": "linear",
    "rectifier": "relu",
    "hardsigmoid": HARD_SIGMOID,
}
# Activations of others, with a slope that does not follow from their value.
# Other functions that have such names elsewhere, and are none of these.
OTHERS = ("elu", "selu", "celu", "prelu", "leaky_relu", "thresholded_relu", "relu6", "softmax")
NOT_INCREASING = ("gelu", "mish", "silu", "swish")
# float32 can hold such numbers.
LEAST_ALPHA, MOST = 1e-30, 1e30


def check(name: str, value: object) -> CellActivation:
    """Return an activation: a name, or ``("hard_sigmoid", alpha, beta)``.

    Parameters
    ----------
    name : str
        The name of the argument, for messages.
    value : str, or a tuple or list of str and two numbers
        What a user passed, or what a configuration contains.

    Raises
    ------
    TypeError
        If ``value`` is neither, or alpha or beta is not a number.
    ValueError
        If there is no such activation, or alpha or beta is out of range.

    Examples
    --------
    >>> from pygru.activations import check
    >>> check("activation", "relu"), check("activation", "hard_sigmoid")
    ('relu', ('hard_sigmoid', 0.2, 0.5))
    """
    if isinstance(value, str):
        return _named(name, value)
    if not isinstance(value, (tuple, list)):
        raise TypeError(
            f"{name} must be the name of an activation or ({HARD_SIGMOID!r}, alpha, beta), got "
            f"{validation.type_name(value)}"
        )
    if len(value) != 3 or value[0] != HARD_SIGMOID:
        raise ValueError(
            f"{name} must be ({HARD_SIGMOID!r}, alpha, beta) if it is not a name, got "
            f"{validation.shown(value)}; no other activation has parameters"
        )
    alpha = validation.check_number(f"alpha of {name}", value[1])
    beta = validation.check_number(f"beta of {name}", value[2])
    if not LEAST_ALPHA <= alpha <= MOST:
        raise ValueError(
            f"alpha of {name} must be in [{LEAST_ALPHA}, {MOST}], got "
            f"{validation.shown_number(value[1])}"
        )
    if not -MOST <= beta <= MOST:
        raise ValueError(
            f"beta of {name} must be in [{-MOST}, {MOST}], got "
            f"{validation.shown_number(value[2])}"
        )
    return (HARD_SIGMOID, alpha, beta)


def _named(name: str, value: str) -> CellActivation:
    """Return the activation of a name."""
    if value not in NAMES:
        listed = ", ".join(repr(each) for each in NAMES)
        near = SAME.get(value.lower())
        if near is None and value.lower() not in OTHERS:
            near = nearest(value[:200], NAMES)
        hint = f"; did you mean {near!r}?" if near else ""
        if value in NOT_INCREASING:
            hint = (
                f"; {value!r} is not among them because its slope does not follow from its "
                "value, which is all that a tape keeps"
            )
        raise ValueError(
            f"{name} must be one of {listed} or ({HARD_SIGMOID!r}, alpha, beta), got "
            f"{validation.shown(value)}{hint}"
        )
    return (HARD_SIGMOID, ALPHA, BETA) if value == HARD_SIGMOID else str(value)
