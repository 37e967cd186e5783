"""A GRU as nodes: one per layer, over whole sequences or for one step.

ONNX's operator GRU has the gates in the order z, r, n, and its update keeps the old state. A
GRU whose update replaces it gets the rows of z negated, which is exact. What the operator
cannot compute is refused here, by the name of the option.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pygru import gate_order
from pygru.gru import GRU
from pygru.io import variants
from pygru.io.onnx.graph import Graph
from pygru.io.onnx.values import Steps
from pygru.variant import Variant

#: ONNX's order of the gates; it calls the candidate h.
ORDER = "zrn"

#: What makes one output of those of two directions, for each way to merge them.
REDUCTIONS = {"sum": "ReduceSum", "mul": "ReduceProd", "ave": "ReduceMean"}

#: ONNX's name of each activation, and alpha and beta if it has them and pygru fixes them.
ACTIVATIONS: dict[str, tuple[str, tuple[float, ...]]] = {
    "tanh": ("Tanh", ()),
    "sigmoid": ("Sigmoid", ()),
    "relu": ("Relu", ()),
    "linear": ("Affine", (1.0, 0.0)),
    "softsign": ("Softsign", ()),
}


class States(NamedTuple):
    """What a GRU returns: its output, and the last states (L*D, B, H)."""

    output: str
    h_n: str


def why_not(gru: GRU) -> str | None:
    """Return why ONNX cannot express a GRU, beginning with an option, or None if it can."""
    if gru.layer_norm:
        return "layer_norm=True: the operator GRU of ONNX does not normalise the sums of gates"
    if gru.zoneout:
        return (
            f"zoneout={gru.zoneout}: in inference each unit keeps this share of its old state, "
            "and the operator GRU of ONNX cannot do so"
        )
    # The operator has a reset at both places, but an update that keeps only.
    keeping = Variant(gru.variant.reset, "keep")
    return variants.why_not(gru.variant, keeping, gru.recurrent_activation)


def _attributes(gru: GRU) -> dict[str, Any]:
    """The attributes of a node GRU; those that have ONNX's default value are left out."""
    attributes: dict[str, Any] = {
        "hidden_size": gru.hidden_size,
        "direction": "forward",
        "linear_before_reset": int(gru.variant.reset == "after"),
    }
    if gru.bidirectional:
        attributes["direction"] = "bidirectional"
    elif gru.reverse:
        attributes["direction"] = "reverse"
    if gru.clip is not None:
        attributes["clip"] = gru.clip
    if (gru.recurrent_activation, gru.activation) != ("sigmoid", "tanh"):
        attributes |= _activations(gru)
    return attributes


def _activations(gru: GRU) -> dict[str, Any]:
    """The attributes for the activations: of the gates, then of n, for each direction."""
    functions = [
        ("HardSigmoid", each[1:]) if isinstance(each, tuple) else ACTIVATIONS[each]
        for each in (gru.recurrent_activation, gru.activation)
    ] * gru.num_directions
    attributes: dict[str, Any] = {"activations": [name for name, _ in functions]}
    # A function takes the next value of each list, if it has such a parameter.
    parameters = [given for _, given in functions if given]
    if parameters:
        alphas, betas = zip(*parameters, strict=True)
        attributes |= {"activation_alpha": alphas, "activation_beta": betas}
    return attributes


class GRUNodes:
    """Adds the nodes of one GRU to a graph.

    Parameters
    ----------
    graph : Graph
    gru : GRU
        One for which :func:`why_not` returns None.
    dtype : dtype
        Of the weights and of all values.
    """

    def __init__(self, graph: Graph, gru: GRU, dtype: np.dtype[Any]) -> None:
        self.graph, self.gru, self.dtype = graph, gru, dtype
        self._weights: Mapping[str, NDArray[Any]] = gru.state_dict()
        if gru.variant.update != "keep":
            self._weights = variants.with_z_negated(self._weights)

    def whole_sequences(
        self, x: str, h0: str | None, steps: Steps, *, batch_first: bool
    ) -> States:
        """Add the nodes for whole sequences.

        Parameters
        ----------
        x : str
            (T, B, I), or (B, T, I) with ``batch_first``.
        h0 : str or None
            (L*D, B, H); None for zeros, or for the states that the GRU has learned.
        steps : Steps
        batch_first : bool
            Whether x and the output have the batch as their first axis.

        Returns
        -------
        States
            The output is that of the last layer, with both directions merged.
        """
        graph, gru = self.graph, self.gru
        if h0 is None and gru.learn_h0:
            h0 = self._learned_h0(x, batch_axis=0 if batch_first else 1)
        initial = self._of_layers(h0)
        lengths = "" if steps.all_count else steps.counts_of_gru
        if steps.mask is not None:
            x = self._gathered(x, steps, batch_first)
        elif batch_first:
            x = graph.node("Transpose", x, perm=[1, 0, 2])
        last = []
        for layer in range(gru.num_layers):
            y, y_h = self._layer(layer, x, lengths, initial[layer], ("_Y", "_Y_h"))
            last.append(y_h)
            if layer + 1 < gru.num_layers:
                x = self._joined(y, batch_first=False)
        if steps.mask is not None:
            y = self._put_back(y, steps, initial[-1])
        h_n = last[0] if gru.num_layers == 1 else graph.node("Concat", *last, axis=0)
        if not steps.all_count:  # a sequence without steps keeps its state; a node may not
            h_n = graph.node("Where", steps.ran, h_n, h0 or self._zero)
        return States(self._joined(y, batch_first), h_n)

    @property
    def _zero(self) -> str:
        return self.graph.constant(self.dtype.type(0))

    # ---- masks: the steps that count make shorter sequences ----------------------------------

    def _gathered(self, x: str, steps: Steps, batch_first: bool) -> str:
        """The shorter sequences (T, B, I): after their ends stand the steps left out."""
        graph = self.graph
        if not batch_first:
            x = graph.node("Transpose", x, perm=[1, 0, 2])
        x = graph.node("GatherND", x, steps.order, batch_dims=1)
        return graph.node("Transpose", x, perm=[1, 0, 2])

    def _put_back(self, y: str, steps: Steps, initial: str) -> str:
        """Y (T, D, B, H) of all steps, from Y of the shorter sequences.

        At a step that was left out stands the state there, or 0 with ``zero_output_for_mask``.
        """
        graph, gru = self.graph, self.gru
        axis = graph.constant([1])

        def of_directions(flags: list[str]) -> str:
            """(B, D, T, 1), from (B, T) for each direction."""
            flags = [graph.node("Unsqueeze", each, graph.constant([1, 3])) for each in flags]
            return flags[0] if len(flags) == 1 else graph.node("Concat", *flags, axis=1)

        places = [steps.place(backwards) for backwards in gru.options.reads_backwards]
        y = graph.node("Transpose", y, perm=[2, 1, 0, 3])  # (B, D, T, H)
        place = of_directions([place for place, _ in places])
        y = graph.node("GatherND", y, place, batch_dims=2)
        if gru.zero_output_for_mask:
            shown = graph.node("Unsqueeze", steps.counted_features, axis)
            y = graph.node("Where", shown, y, self._zero)
        else:
            before = self._zero
            if initial:  # (D, B, H)
                before = graph.node("Transpose", initial, perm=[1, 0, 2])
                before = graph.node("Unsqueeze", before, graph.constant([2]))
            known = of_directions([known for _, known in places])
            y = graph.node("Where", known, y, before)
        return graph.node("Transpose", y, perm=[2, 1, 0, 3])

    # ---- single steps ------------------------------------------------------------------------

    def one_step(self, x: str, h: str) -> States:
        """Add the nodes for one step.

        Parameters
        ----------
        x : str
            (B, I)
        h : str
            (L, B, H) the states before the step.

        Returns
        -------
        States
            The output (B, H), and the states after the step.
        """
        graph = self.graph
        axis = graph.constant([0])
        following = []
        x = graph.node("Unsqueeze", x, axis)
        for layer, before in enumerate(self._of_layers(h)):
            # The last state (1, B, H) of a sequence of one step is its output, too.
            _, x = self._layer(layer, x, "", before, (None, "_Y_h"))
            following.append(x)
        if len(following) > 1:
            return States(
                graph.node("Squeeze", x, axis), graph.node("Concat", *following, axis=0)
            )
        return States(graph.node("Squeeze", x, axis), x)

    def _layer(
        self, layer: int, x: str, lengths: str, h0: str, outputs: tuple[str | None, ...]
    ) -> list[str]:
        """Add the node of a layer. Its outputs are Y (T, D, B, H) and Y_h (D, B, H)."""
        gru = self.gru
        cells = gru.options.cell_names()[layer * gru.num_directions :][: gru.num_directions]
        biases = ""
        if gru.bias:
            both = [
                np.concatenate([self._rows("bias_ih", cell), self._rows("bias_hh", cell)])
                for cell in cells
            ]
            biases = self.graph.constant(np.stack(both), f"B_l{layer}")
        return self.graph.nodes(
            "GRU",
            x,
            self._constant("weight_ih", cells, f"W_l{layer}"),
            self._constant("weight_hh", cells, f"R_l{layer}"),
            biases,
            lengths,
            h0,
            name=f"gru_l{layer}",
            outputs=outputs,
            **_attributes(gru),
        )

    def _rows(self, kind: str, cell: str) -> NDArray[Any]:
        """The weights or biases of a cell, in ONNX's order of gates."""
        parts = gate_order.split(self._weights[f"{kind}_{cell}"])
        # As for every array that is converted.
        with np.errstate(over="ignore", invalid="ignore"):
            return gate_order.join(list(parts.values()), ORDER).astype(self.dtype)

    def _constant(self, kind: str, cells: list[str], name: str) -> str:
        return self.graph.constant(np.stack([self._rows(kind, cell) for cell in cells]), name)

    def _learned_h0(self, x: str, batch_axis: int) -> str:
        """The learned initial states (L*D, H), the same for each sequence of the batch."""
        graph = self.graph
        with np.errstate(over="ignore", invalid="ignore"):
            h0 = self._weights["h0"].astype(self.dtype)
        learned = graph.constant(h0[:, np.newaxis], "h0")
        batch = graph.node("Gather", graph.node("Shape", x), graph.constant([batch_axis]))
        one = graph.constant([1])
        return graph.node("Expand", learned, graph.node("Concat", one, batch, one, axis=0))

    def _of_layers(self, h: str | None) -> list[str]:
        """The states of each layer, (D, B, H); "" where they are zeros."""
        layers, directions = self.gru.num_layers, self.gru.num_directions
        if not h:
            return [""] * layers
        if layers == 1:
            return [h]
        sizes = self.graph.constant([directions] * layers)
        outputs = [f"_l{layer}" for layer in range(layers)]
        return self.graph.nodes("Split", h, sizes, outputs=outputs, axis=0)

    def _joined(self, y: str, batch_first: bool) -> str:
        """The output of a layer, (T, B, features) or (B, T, features), of Y (T, D, B, H)."""
        graph, gru = self.graph, self.gru
        if gru.num_directions == 1 or gru.merge != "concat":
            if gru.num_directions == 1:
                y = graph.node("Squeeze", y, graph.constant([1]))
            else:
                y = graph.reduce(REDUCTIONS[gru.merge], y, 1)
            return graph.node("Transpose", y, perm=[1, 0, 2]) if batch_first else y
        y = graph.node("Transpose", y, perm=[2, 0, 1, 3] if batch_first else [0, 2, 1, 3])
        return graph.node("Reshape", y, graph.constant([0, 0, gru.output_size]))
