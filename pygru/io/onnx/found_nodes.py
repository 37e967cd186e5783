"""What a node GRU of an ONNX graph says about its GRU.

ONNX and pygru compute the same equations. They differ in the order of the gates, in the names
of the functions, and in what stands in the node: ONNX has one layer in a node, with one or both
directions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pygru.io.cells import cell_of, other_kind, parameters_of
from pygru.io.found import FoundGRU
from pygru.io.onnx.messages import NodeProto
from pygru.io.onnx.operators import Attributes
from pygru.io.onnx.scopes import NotConstantError, Scope
from pygru.io.onnx.tensors import Array
from pygru.options import GRUOptions
from pygru.variant import Variant

FORMAT = "ONNX"

#: How the evidence for lengths begins that are not given in a call.
CONSTANT = "a constant of the graph"
GATE_ORDER = "zrn"  # ONNX calls the candidate h

# The inputs of the node, by their places.
WEIGHTS, RECURRENT_WEIGHTS, BIAS, LENGTHS, INITIAL_STATE = 1, 2, 3, 4, 5

DIRECTIONS = {b"forward": 1, b"reverse": 1, b"bidirectional": 2}

#: The attributes of all versions of the operator. One that is not among them may change what
#: the node computes. ``output_sequence``, which is older than version 7, does not.
ATTRIBUTES = {
    "activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size",
    "layout", "linear_before_reset", "output_sequence",
}  # fmt: skip


class Refusal(Exception):
    """Why a node is no GRU that pygru can compute."""


# ---- activations --------------------------------------------------------------------------


class Function(NamedTuple):
    """An activation of ONNX: the defaults of its parameters, and what pygru calls it.

    A default is None where ONNX defines none, and a function without a parameter has no entry
    for it. ``own`` gets alpha and beta, and returns None if pygru has no such function.
    """

    own: Callable[..., Any]
    alpha: tuple[float | None] | tuple[()] = ()
    beta: tuple[float | None] | tuple[()] = ()


def _only(name: str, *expected: float) -> Callable[..., Any]:
    """An activation that is one of pygru's for one choice of its parameters."""
    return lambda *given: name if given == expected else None


FUNCTIONS = {
    "Affine": Function(_only("linear", 1, 0), (None,), (None,)),
    "Elu": Function(_only("relu", 0), (1.0,)),
    "HardSigmoid": Function(
        lambda *given: "hard_sigmoid" if given == (0.2, 0.5) else ("hard_sigmoid", *given),
        (0.2,),
        (0.5,),
    ),
    "LeakyRelu": Function(_only("relu", 0), (0.01,)),
    "Relu": Function(_only("relu")),
    "ScaledTanh": Function(_only("tanh", 1, 1), (None,), (None,)),
    "Sigmoid": Function(_only("sigmoid")),
    "Softplus": Function(lambda: None),
    "Softsign": Function(_only("softsign")),
    "Tanh": Function(_only("tanh")),
    "ThresholdedRelu": Function(_only("relu", 0), (1.0,)),
}
LOWER_CASE = {name.lower(): name for name in FUNCTIONS}  # ONNX Runtime reads any case


def _activations(attributes: Attributes, directions: int) -> tuple[Any, Any, str]:
    """The recurrent activation, the activation, and the evidence for them."""
    if "activations" not in attributes:
        return "sigmoid", "tanh", "no attribute activations, which means Sigmoid and Tanh"
    given = [text.decode("ascii", "replace") for text in attributes["activations"].strings]
    if len(given) != 2 * directions:
        raise Refusal(
            f"it has {len(given)} activations instead of {2 * directions}: "
            f"{', '.join(given)[:80]}"
        )
    alphas = _floats(attributes, "activation_alpha")
    betas = _floats(attributes, "activation_beta")
    own = []
    for name in given:
        function = FUNCTIONS.get(LOWER_CASE.get(name.lower(), ""))
        if function is None:
            raise Refusal(f"its activation {name[:80]} does not exist in ONNX")
        # A function takes the next value of each list, if it has such a parameter.
        parameters = [
            values.pop(0) if values else default
            for defaults, values in ((function.alpha, alphas), (function.beta, betas))
            for default in defaults
        ]
        result = None if None in parameters else function.own(*parameters)
        if result is None:
            values = ", ".join("?" if value is None else f"{value:g}" for value in parameters)
            raise Refusal(
                f"its activation {name}{values and f'({values})'} does not exist in pygru"
            )
        own.append(result)
    if alphas or betas:
        raise Refusal(
            "activation_alpha or activation_beta has more values than activations use"
        )
    if own[:2] != own[-2:]:
        raise Refusal(f"its two directions have different activations: {', '.join(given)}")
    return own[0], own[1], f"activations={given}"


def _floats(attributes: Attributes, name: str) -> list[float]:
    """The values of an attribute, with the fewest digits that a float32 needs."""
    values = attributes[name].floats if name in attributes else ()
    return [float(str(np.float32(value))) for value in values]


# ---- the node -----------------------------------------------------------------------------


def found_gru(name: str, node: NodeProto, scope: Scope) -> FoundGRU:
    """Return the GRU of a node.

    Parameters
    ----------
    name : str
        What the caller calls the node.
    node : NodeProto
    scope : Scope
        That of the graph in which the node is.

    Raises
    ------
    Refusal
        If pygru cannot compute what the node says, or the file does not hold its weights.
    FormatError
        If the file is damaged.
    """
    attributes = scope.attributes_of(node)
    unknown = sorted(attributes.keys() - ATTRIBUTES)
    if unknown:
        raise Refusal(f"it has the attribute {unknown[0][:80]}, which pygru does not know")
    direction = attributes["direction"].s if "direction" in attributes else b"forward"
    if direction not in DIRECTIONS:
        raise Refusal(f"its direction is {str(direction)[:80]}")
    D = DIRECTIONS[direction]
    options, arrays = _weights(node, scope, D)
    stated = attributes.integer("hidden_size", options["hidden_size"])
    if stated != options["hidden_size"]:
        raise Refusal(
            f"hidden_size is {stated}, but the weights are for {options['hidden_size']}"
        )
    after = attributes.integer("linear_before_reset", 0) != 0
    options["variant"] = Variant.named("pytorch" if after else "cho")
    said = f"linear_before_reset={int(after)}"
    if "linear_before_reset" not in attributes:
        said = "no attribute linear_before_reset, which means 0"
    evidence = {"variant": said, "gate_order": "ONNX defines z, r, h"}
    recurrent, candidate, evidence["activation"] = _activations(attributes, D)
    evidence["recurrent_activation"] = evidence["activation"]
    if candidate != "tanh":
        options["activation"] = candidate
    if recurrent != "sigmoid":
        options["recurrent_activation"] = recurrent
    if "clip" in attributes:
        options["clip"] = _clip(attributes)
        evidence["clip"] = f"clip={options['clip']:g}"
    if direction == b"reverse":
        options["reverse"] = True
        evidence["reverse"] = "direction=reverse"
    layout = attributes.integer("layout", 0)
    if layout not in (0, 1):
        raise Refusal(f"its layout is {layout}")
    if layout:
        options["batch_first"] = True
        evidence["batch_first"] = "layout=1"
    _add_initial_state(node, scope, D, layout, options, arrays, evidence)
    lengths = scope.present(node, LENGTHS)
    if lengths:
        evidence["lengths"] = _lengths(scope, lengths)
    try:
        GRUOptions(**{**options, "dtype": "float32"})
    except ValueError as error:  # a parameter of an activation that is not finite, for example
        raise Refusal(str(error)) from None
    return FoundGRU(name, FORMAT, options, evidence, arrays=arrays)


def _clip(attributes: Attributes) -> float:
    clip = attributes["clip"].f
    if clip is None or not 0 < clip < math.inf:
        raise Refusal(f"its clip is {clip}, and not a number above 0")
    return float(str(np.float32(clip)))


def _weights(node: NodeProto, scope: Scope, D: int) -> tuple[dict[str, Any], dict[str, Array]]:
    """The sizes, and the parameters by pygru's names."""
    weights = _constant(node, scope, WEIGHTS, "W")
    recurrent = _constant(node, scope, RECURRENT_WEIGHTS, "R")
    bias = _constant(node, scope, BIAS, "B") if scope.present(node, BIAS) else None
    for letter, array, ndim in (("W", weights, 3), ("R", recurrent, 3), ("B", bias, 2)):
        if array is None:
            continue
        if array.dtype.kind != "f":
            raise Refusal(f"{letter} has the type {array.dtype}")
        if array.ndim != ndim or len(array) != D:
            expected = {"W": "3H, I", "R": "3H, H", "B": "6H"}[letter]
            raise Refusal(f"{letter} must be ({D}, {expected}), got {array.shape}")
    kind = other_kind(recurrent[0])
    if kind is not None:
        raise Refusal(f"R must be ({D}, 3H, H), got {recurrent.shape}: this is {kind}")
    rows = recurrent.shape[1]
    if bias is not None and bias.shape[1] != 2 * rows:
        raise Refusal(f"B must be ({D}, {2 * rows}), got {bias.shape}")
    # Many nodes could have the same weights, and each GRU has a copy of its own.
    scope.store.budget.take(sum(a.nbytes for a in (weights, recurrent, bias) if a is not None))
    cells = []
    for d in range(D):
        try:
            cell = cell_of(
                "reverse direction" if d else "forward direction",
                weights[d],
                recurrent[d],
                None if bias is None else bias[d, :rows],
                None if bias is None else bias[d, rows:],
                order=GATE_ORDER,
                units="rows",
            )
        except ValueError as error:
            raise Refusal(str(error)) from None
        cells.append(cell)
    sizes = {
        "input_size": weights.shape[2],
        "hidden_size": recurrent.shape[2],
        "bidirectional": D == 2,
        "bias": bias is not None,
    }
    try:
        names = GRUOptions(**sizes).cell_names()
    except ValueError as error:
        raise Refusal(str(error)) from None
    arrays = parameters_of(cells, names)
    dtype = np.result_type(*{array.dtype for array in arrays.values()})
    return {**sizes, "dtype": dtype.name}, arrays


def _constant(node: NodeProto, scope: Scope, place: int, letter: str) -> Array:
    name = scope.present(node, place)
    if not name:
        raise Refusal(f"its input {letter} is missing")
    try:
        return scope.value(name)
    except NotConstantError as error:
        raise Refusal(f"the file does not hold its weights {letter}: {error}") from None


def _add_initial_state(
    node: NodeProto,
    scope: Scope,
    D: int,
    layout: int,
    options: dict[str, Any],
    arrays: dict[str, Array],
    evidence: dict[str, str],
) -> None:
    """Add the initial state: a constant becomes the parameter h0, others are for the caller."""
    name = scope.present(node, INITIAL_STATE)
    if not name:
        return
    sources = scope.sources(name)
    if sources.are_zero:
        evidence["h0"] = "zeros"
        return
    if sources.inputs or sources.nodes:
        made = [f"the input {each[:80]!r}" for each in sources.inputs]
        made += [f"a node {each}" for each in sources.nodes]
        evidence["h0"] = f"given by {' and '.join(made[:3])} of the graph; pass h0="
        return
    try:
        state = scope.before_expansion(name)
    except NotConstantError:
        evidence["h0"] = "computed by the graph from constants; pass h0="
        return
    H = options["hidden_size"]
    if state.ndim != 3 or state.shape[2] != H or state.shape[1 if layout else 0] != D:
        raise Refusal(f"its initial state has the shape {state.shape}")
    rows = state if layout else state.swapaxes(0, 1)  # (B, D, H)
    if not len(rows) or not np.array_equal(rows, np.broadcast_to(rows[:1], rows.shape)):
        raise Refusal("its initial state is a constant that differs within the batch")
    options["learn_h0"] = True
    arrays["h0"] = np.array(rows[0])
    evidence["h0"] = "a constant of the graph, which becomes the parameter h0"


def _lengths(scope: Scope, name: str) -> str:
    """Where the lengths of the sequences come from, in words."""
    try:
        lengths = scope.value(name)
    except NotConstantError:
        return "given by the graph; pass lengths="
    shown = ", ".join(str(each) for each in lengths.reshape(-1)[:8].tolist())
    more = ", ..." if lengths.size > 8 else ""
    return f"{CONSTANT}, [{shown}{more}]; pass lengths="
