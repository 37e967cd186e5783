"""What goes from one layer to the next in a graph, and which steps of the batch count."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pygru.io.onnx.graph import Graph

#: The axes of a batch: what a call may choose.
BATCH, TIME = "batch", "time"


class Value(NamedTuple):
    """The output of a layer: (B, T, F), or (B, F) without an axis of time.

    ``features`` is F, or None if no layer has said it. Steps after the end of a sequence, and
    steps that a mask leaves out, may hold anything until the end of the model: not every
    runtime returns zeros there.
    """

    name: str
    dtype: np.dtype[Any]
    has_steps: bool
    features: int | None = None


class Steps:
    """Which steps of a batch count, in the forms that layers need.

    A step is valid if it is not after the end of its sequence. It counts if it is valid and the
    mask does not leave it out. Each form is added to the graph when a layer first asks for it.

    Parameters
    ----------
    graph : Graph
    x : str
        The input of the whole model.
    time_axis : int
        The axis of the steps in ``x``.
    lengths : str or None
        (B,) int64, the valid steps of each sequence; None if all are valid.
    mask : str or None
        (B, T) bool; None if no step is left out.
    """

    def __init__(
        self, graph: Graph, x: str, time_axis: int, lengths: str | None, mask: str | None
    ) -> None:
        self.lengths, self.mask = lengths, mask
        self._graph, self._x, self._time_axis = graph, x, time_axis
        self._made: dict[str, str] = {}

    def masked(self, mask: str) -> Steps:
        """Return the same batch with more steps left out: those where ``mask`` is False."""
        if self.mask is not None:
            mask = self._graph.node("And", self.mask, mask)
        return Steps(self._graph, self._x, self._time_axis, self.lengths, mask)

    @property
    def all_count(self) -> bool:
        """Whether every step counts, whatever the inputs are."""
        return self.lengths is None and self.mask is None

    def _add(self, name: str, op: str, *inputs: str, **attributes: Any) -> str:
        if name not in self._made:
            with self._graph.named(""):
                self._made[name] = self._graph.node(op, *inputs, name=name, **attributes)
        return self._made[name]

    def _cast(self, name: str, value: str, dtype: type) -> str:
        if name not in self._made:
            with self._graph.named(""):
                self._made[name] = self._graph.cast(value, dtype)
        return self._made[name]

    def _number(self, value: int) -> str:
        return self._graph.constant(value)

    def _axis(self, value: int) -> str:
        return self._graph.constant([value])

    # ---- one number for each sequence --------------------------------------------------------

    @property
    def counts(self) -> str:
        """(B, 1) how many steps of each sequence count."""
        if self.mask is None:
            assert self.lengths is not None
            return self._add("lengths_column", "Unsqueeze", self.lengths, self._axis(1))
        return self._add("counts", "ReduceSum", self._flags, self._axis(1), keepdims=1)

    @property
    def counts_of_gru(self) -> str:
        """(B,) int32, the counts as a node GRU takes them."""
        counts = self._add("counts_of_sequences", "Squeeze", self.counts, self._axis(1))
        return self._cast("counts_int32", counts, np.int32)

    @property
    def ran(self) -> str:
        """(B, 1) whether any step of a sequence counts."""
        return self._add("any_step", "Greater", self.counts, self._number(0))

    @property
    def first_place(self) -> str:
        """(B, 1) the first step that counts; any step if there is none. Needed for masks."""
        return self._add("first_place", "ArgMax", self._small_flags, axis=1)

    @property
    def last_place(self) -> str:
        """(B, 1) the last step that counts; any step if there is none."""
        if self.mask is None:
            place = self._add("length_minus_one", "Sub", self.counts, self._number(1))
            return self._add("last_place", "Max", place, self._number(0))
        flags = self._small_flags
        return self._add("last_place", "ArgMax", flags, axis=1, select_last_index=1)

    # ---- one flag for each step --------------------------------------------------------------

    @property
    def number_of_steps(self) -> str:
        """T, as an array without axes."""
        shape = self._add("shape_of_x", "Shape", self._x)
        return self._add("number_of_steps", "Gather", shape, self._number(self._time_axis))

    @property
    def _numbers(self) -> str:
        """(T,) the numbers of the steps."""
        zero, one = self._number(0), self._number(1)
        return self._add("steps", "Range", zero, self.number_of_steps, one)

    @property
    def valid(self) -> str:
        """(B, T) whether a step is not after the end of its sequence."""
        assert self.lengths is not None
        lengths = self._add("ends", "Unsqueeze", self.lengths, self._axis(1))
        return self._add("valid", "Less", self._numbers, lengths)

    @property
    def counted(self) -> str:
        """(B, T) whether a step counts."""
        if self.mask is None:
            return self.valid
        if self.lengths is None:
            return self.mask
        return self._add("counted", "And", self.valid, self.mask)

    @property
    def counted_features(self) -> str:
        """(B, T, 1) whether a step counts."""
        return self._add("counted_features", "Unsqueeze", self.counted, self._axis(2))

    @property
    def _flags(self) -> str:
        """(B, T) int64, 1 for each step that counts."""
        return self._cast("flags", self.counted, np.int64)

    @property
    def _small_flags(self) -> str:
        """(B, T) int32, 1 for each step that counts."""
        return self._cast("small_flags", self.counted, np.int32)

    # ---- shorter sequences, for a mask -------------------------------------------------------

    @property
    def order(self) -> str:
        """(B, T, 1) the steps in the order of shorter sequences: first those that count."""
        later = self._add("later", "Add", self._numbers, self.number_of_steps)
        keys = self._add("keys", "Where", self.counted, self._numbers, later)
        if "order" not in self._made:
            with self._graph.named(""):
                count = self._graph.node("Unsqueeze", self.number_of_steps, self._axis(0))
                outputs = ("_keys", "_places")
                _, order = self._graph.nodes(
                    "TopK", keys, count, outputs=outputs, name="shorter", axis=1, largest=0
                )
                self._made["order"] = self._graph.node("Unsqueeze", order, self._axis(2))
        return self._made["order"]

    @property
    def _so_far(self) -> str:
        """(B, T) how many steps count up to each step, with this one."""
        return self._add("so_far", "CumSum", self._flags, self._number(1))

    def place(self, backwards: bool) -> tuple[str, str]:
        """Where in the shorter sequences the state at each step is, and if there is any.

        A direction that reads forwards has the state of the last step that counts up to here,
        the other one that of the next step that counts, from here on.

        Returns
        -------
        place : str
            (B, T) int64
        known : str
            (B, T) bool; the state is the initial one where it is False.
        """
        if backwards:
            place = self._add("before_here", "Sub", self._so_far, self._flags)
            return place, self._add("more_to_come", "Less", place, self.counts)
        place = self._add("last_so_far", "Sub", self._so_far, self._number(1))
        known = self._add("some_so_far", "Greater", self._so_far, self._number(0))
        return self._add("place_so_far", "Max", place, self._number(0)), known
