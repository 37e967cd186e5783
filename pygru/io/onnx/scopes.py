"""The names in the graphs of a model, and the values of those that are constants.

Exporters do not always store the weights of a GRU as the operator takes them. They leave nodes
in the graph which cut, turn and join the stored arrays. Such nodes are computed here, as far as
their inputs are constants and only when they are asked for. Neither a long chain of nodes nor a
circle of them takes much time, because the number of steps from a stored array to its use is
limited.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from pygru.errors import FormatError
from pygru.io.onnx.messages import AttributeProto, NodeProto, SparseTensorProto, TensorProto
from pygru.io.onnx.operators import (
    EXTENSIONS,
    MOVES,
    OPERATORS,
    Attributes,
    Budget,
    Operands,
    compute,
)
from pygru.io.onnx.tensors import EXTERNAL, Array, DataFiles, to_array

#: The domains of the operators that ONNX itself defines.
STANDARD = ("", "ai.onnx")

#: Nodes between a stored array and a GRU. Real files have fewer than ten.
MOST_STEPS = 64

#: Values that are looked at to find where an initial state comes from.
MOST_SOURCES = 1000

#: How many times the bytes of the file all computed values may take.
MOST_COPIES = 16


#: Stands for an array that is stored without its zeros, as the node that would make it.
SPARSE = NodeProto(op_type="a sparse array")


class NotConstantError(Exception):
    """A value depends on an input of the graph, or on a node that is not computed here."""


class Place(NamedTuple):
    """Where a name leads: the scope and the name there, and what it is; None is an input."""

    scope: Scope
    name: str
    what: TensorProto | NodeProto | None


class Sources(NamedTuple):
    """Where the elements of a value come from.

    ``inputs`` are inputs of the graph, and ``nodes`` types of operators that compute them.
    """

    are_zero: bool
    inputs: list[str]
    nodes: list[str]


class Store:
    """What all scopes of a model share: the files of data, and the budget of memory."""

    def __init__(self, folder: str | None, size: int) -> None:
        self.files = DataFiles(folder)
        self.budget = Budget(MOST_COPIES * size)

    def array(self, tensor: TensorProto) -> Array:
        """Return the array of a stored constant."""
        array = to_array(tensor, self.files)
        if tensor.data_location == EXTERNAL:
            self.budget.left += MOST_COPIES * array.nbytes
        return array


def is_zero(array: Array) -> bool:
    """Whether all numbers of an array are 0."""
    with np.errstate(invalid="ignore"):  # a NaN of the kind that signals
        return not np.any(array)


@dataclass
class Scope:
    """The names that the nodes of one graph, or of the body of one function, see.

    Attributes
    ----------
    store : Store
    outer : Scope or None
        That of the graph around this one, whose names are visible too.
    inputs : set of str
        The names that whoever runs the graph gives a value.
    arguments : mapping
        In the body of a function, for each input the scope and the name of the value that the
        call gives it, or None if it gives none.
    attributes : mapping
        In the body of a function, the attributes of the call.
    """

    store: Store
    outer: Scope | None = None
    inputs: set[str] = field(default_factory=set)
    arguments: Mapping[str, tuple[Scope, str] | None] = field(default_factory=dict)
    attributes: Mapping[str, AttributeProto] = field(default_factory=dict)
    _tensors: dict[str, TensorProto] = field(default_factory=dict)
    _producers: dict[str, NodeProto] = field(default_factory=dict)
    _sparse: set[str] = field(default_factory=set)
    _ambiguous: set[str] = field(default_factory=set)
    _values: dict[str, Array] = field(default_factory=dict)

    def add_tensors(self, tensors: Iterable[TensorProto]) -> None:
        """Add stored constants."""
        for tensor in tensors:
            if tensor.name in self._tensors:
                self._ambiguous.add(tensor.name)
            self._tensors[tensor.name] = tensor

    def add_sparse(self, tensors: Iterable[SparseTensorProto]) -> None:
        """Add constants that are stored without their zeros; they are known, but not read."""
        self._sparse.update(tensor.values.name for tensor in tensors if tensor.values)

    def add_nodes(self, nodes: Iterable[NodeProto]) -> None:
        """Add the values that nodes make."""
        for node in nodes:
            for name in node.output:
                if name in self._producers or name in self._tensors:
                    self._ambiguous.add(name)
                self._producers[name] = node

    def find(self, name: str) -> Place:
        """Return what a name stands for.

        Raises
        ------
        FormatError
            If two values have this name, or none.
        """
        scope: Scope | None = self
        while scope is not None:
            if name in scope._ambiguous:
                raise FormatError(f"two values of a graph are called {name[:80]!r}")
            if name in scope._sparse:
                return Place(scope, name, SPARSE)
            if name in scope._tensors:
                return Place(scope, name, scope._tensors[name])
            if name in scope._producers:
                return Place(scope, name, scope._producers[name])
            argument = scope.arguments.get(name)
            if argument is not None:
                scope, name = argument
            elif name in scope.inputs:
                return Place(scope, name, None)
            else:
                scope = scope.outer
        raise FormatError(f"no value of the graph is called {name[:80]!r}")

    def present(self, node: NodeProto, index: int) -> str:
        """Return the name of an input of a node, or "" if it is left out."""
        name = node.input[index] if index < len(node.input) else ""
        return "" if name in self.arguments and self.arguments[name] is None else name

    def attributes_of(self, node: NodeProto) -> Attributes:
        """Return the attributes of a node, after those that refer to a call's are looked up."""
        attributes = Attributes()
        for attribute in node.attribute:
            if not attribute.ref_attr_name:
                attributes[attribute.name] = attribute
            elif attribute.ref_attr_name in self.attributes:
                attributes[attribute.name] = self.attributes[attribute.ref_attr_name]
        return attributes

    def value(self, name: str, steps: int = MOST_STEPS) -> Array:
        """Return the array that a name stands for, if it is a constant.

        Raises
        ------
        NotConstantError
            If it is not one.
        FormatError
            If the file is damaged, or the array would take too much memory.
        """
        scope, name, what = self.find(name)
        if name in scope._values:
            return scope._values[name]
        if what is None:
            raise NotConstantError(f"{name[:80]!r} is an input of the graph")
        if isinstance(what, TensorProto):
            values = {name: self.store.array(what)}
        elif not steps:
            raise NotConstantError(f"more than {MOST_STEPS} nodes are before it")
        else:
            values = dict(zip(what.output, scope._outputs(what, steps - 1), strict=False))
        if name not in values:
            raise FormatError(f"no value of the graph is called {name[:80]!r}")
        scope._values.update(values)
        return values[name]

    def before_expansion(self, name: str, steps: int = MOST_STEPS) -> Array:
        """Return a value, with 1 for the axes that nodes extend to a size that is not known.

        So is an initial state that a model has learned, and that is repeated for each sequence
        of a batch.

        Raises
        ------
        NotConstantError, FormatError
            As for :meth:`value`.
        """
        scope, name, what = self.find(name)
        try:
            return scope.value(name, steps)
        except NotConstantError:
            if not isinstance(what, NodeProto) or not steps or what.domain not in STANDARD:
                raise
            if what.op_type not in (*EXTENSIONS, "Gather", "Identity", "Slice"):
                raise
            part = scope.before_expansion(scope.present(what, 0), steps - 1)
            if what.op_type == "Slice":
                return scope._outputs(what, steps - 1, part)[0]
            axis = scope.attributes_of(what).integer("axis", 0)
            if what.op_type == "Gather" and part.shape[axis : axis + 1] != (1,):
                raise  # it picks some of entries that differ
            return part

    def _outputs(self, node: NodeProto, steps: int, first: Array | None = None) -> list[Array]:
        attributes = self.attributes_of(node)
        if node.domain in STANDARD and node.op_type == "Constant":
            return [constant(attributes, self.store)]
        if node.domain not in STANDARD or node.op_type not in OPERATORS:
            raise NotConstantError(f"it is computed by {node.op_type[:80]}")
        inputs: list[Array | None] = [] if first is None else [first]
        for index in range(len(inputs), len(node.input)):
            name = self.present(node, index)
            inputs.append(self.value(name, steps) if name else None)
        operands = Operands(attributes, inputs, self.store.budget, len(node.output))
        return compute(node.op_type, operands)

    def sources(self, name: str) -> Sources:
        """Return where the elements of a value come from, also if its shape is not known."""
        are_zero = True
        inputs: list[str] = []
        nodes: list[str] = []
        waiting = [(self, name)]
        seen = set()
        while waiting:
            scope, name, what = waiting[-1][0].find(waiting.pop()[1])
            if (id(scope), name) in seen:
                continue
            seen.add((id(scope), name))
            if what is None:
                inputs.append(name)
            elif isinstance(what, TensorProto):
                are_zero &= is_zero(self.store.array(what))
            elif what.op_type in MOVES and what.domain in STANDARD:
                count = len(what.input) if what.op_type == "Concat" else 1
                names = [scope.present(what, index) for index in range(count)]
                waiting += [(scope, each) for each in names if each]
            elif what.op_type in ("Constant", "ConstantOfShape") and what.domain in STANDARD:
                attributes = scope.attributes_of(what)
                is_default = what.op_type == "ConstantOfShape" and not attributes
                try:
                    are_zero &= is_default or is_zero(constant(attributes, self.store))
                except NotConstantError:
                    nodes.append(what.op_type)
            else:
                nodes.append(what.op_type[:80])
            if len(seen) > MOST_SOURCES:
                nodes.append("many nodes")
                break
        return Sources(are_zero and not inputs and not nodes, inputs, nodes)


def constant(attributes: Attributes, store: Store) -> Array:
    """Return the array of a node Constant.

    Raises
    ------
    NotConstantError
        If it is a sparse array or text.
    """
    for name, attribute in attributes.items():
        if name == "value" and attribute.t is not None:
            return store.array(attribute.t)
        if name == "value_float" and attribute.f is not None:
            return np.array(attribute.f, np.float32)
        if name == "value_floats":
            return np.array(attribute.floats, np.float32)
        if name == "value_int" and attribute.i is not None:
            return np.array(attribute.i, np.int64)
        if name == "value_ints":
            return np.array(attribute.ints, np.int64)
    raise NotConstantError("it is stored as a sparse array or as text")
