"""What goes from one layer to the next in a graph, and where the sequences of the batch end."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pygru.io.onnx.graph import ELEMENT_TYPES, Graph

#: The axes of a batch: what a call may choose.
BATCH, TIME = "batch", "time"


class Value(NamedTuple):
    """The output of a layer: (B, T, F), or (B, F) without an axis of time.

    ``features`` is F, or None if no layer has said it. ``ends_with_zeros`` says that all steps
    after the end of each sequence are known to be 0.
    """

    name: str
    dtype: np.dtype[Any]
    has_steps: bool
    features: int | None = None
    ends_with_zeros: bool = False


class Ends:
    """Where each sequence of a batch ends, in the forms that layers need.

    Each form is added to the graph when the first layer asks for it.

    Parameters
    ----------
    graph : Graph
    lengths : str
        (B,) int64, the valid steps of each sequence.
    x : str
        The input of the whole model.
    time_axis : int
        The axis of the steps in ``x``.
    """

    def __init__(self, graph: Graph, lengths: str, x: str, time_axis: int) -> None:
        self.lengths = lengths
        self._graph, self._x, self._time_axis = graph, x, time_axis
        self._made: dict[str, str] = {}

    def _add(self, name: str, op: str, *inputs: str, **attributes: Any) -> str:
        if name not in self._made:
            with self._graph.named(""):
                self._made[name] = self._graph.node(op, *inputs, name=name, **attributes)
        return self._made[name]

    @property
    def as_int32(self) -> str:
        """(B,) the lengths as a node GRU takes them."""
        return self._add("lengths_int32", "Cast", self.lengths, to=ELEMENT_TYPES["int32"])

    @property
    def column(self) -> str:
        """(B, 1) the lengths."""
        axis = self._graph.constant([1])
        return self._add("lengths_column", "Unsqueeze", self.lengths, axis)

    @property
    def ran(self) -> str:
        """(B, 1) whether a sequence has any step."""
        return self._add("has_steps", "Greater", self.column, self._graph.constant(0))

    @property
    def valid(self) -> str:
        """(B, T, 1) whether a step is a valid one."""
        return self._add("valid_steps", "Unsqueeze", self.valid_tokens, self._axis(2))

    @property
    def valid_tokens(self) -> str:
        """(B, T) whether a step is a valid one."""
        graph = self._graph
        zero, one = graph.constant(0), graph.constant(1)
        shape = self._add("shape_of_x", "Shape", self._x)
        place = graph.constant(self._time_axis)
        count = self._add("number_of_steps", "Gather", shape, place)
        steps = self._add("steps", "Range", zero, count, one)
        return self._add("valid", "Less", steps, self.column)

    def _axis(self, number: int) -> str:
        return self._graph.constant([number])
