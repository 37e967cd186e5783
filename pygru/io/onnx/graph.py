"""Builds an ONNX model: nodes and constants with unique names, inputs and outputs with shapes.

This file knows how ONNX writes a graph down, and which versions of it there are. It knows no
layer: those are in ``gru_nodes.py`` and ``layer_nodes.py``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pygru.io.onnx import messages
from pygru.io.onnx.messages import (
    AttributeProto,
    Dimension,
    GraphProto,
    ModelProto,
    NodeProto,
    OperatorSetIdProto,
    StringStringEntryProto,
    TensorProto,
    TensorShapeProto,
    TensorTypeProto,
    TypeProto,
    ValueInfoProto,
)

#: The version of the file format that belongs to each version of the operators, which is the
#: oldest one that allows it. All operators that pygru writes are the same in these versions.
IR_VERSIONS = {
    **dict.fromkeys((13, 14), 7),
    **dict.fromkeys((15, 16, 17, 18), 8),
    **dict.fromkeys((19, 20), 9),
    **dict.fromkeys((21, 22), 10),
    23: 11,
    24: 12,
    **dict.fromkeys((25, 26), 13),
}

#: From this version on, the axes of ReduceMean and ReduceMax are an input. Before it they are
#: an attribute.
AXES_ARE_AN_INPUT = 18

#: ``TensorProto.DataType`` by the name of the dtype.
ELEMENT_TYPES = {"float32": 1, "int32": 6, "int64": 7, "bool": 9, "float64": 11}

#: The length of an axis, or the name of a length that each call may choose.
Axis: TypeAlias = int | str


class Graph:
    """A graph under construction. A value in it is the name of what a node returns.

    Parameters
    ----------
    opset : int
        The version of the operators.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru.io.onnx.graph import Graph
    >>> graph = Graph(17)
    >>> x = graph.input("x", np.float32, ("batch",), "numbers")
    >>> doubled = graph.node("Mul", x, graph.constant(np.float32(2)))
    >>> graph.output("y", doubled, np.float32, ("batch",), "twice the numbers")
    >>> [node.op_type for node in graph.model("an example").graph.node]
    ['Mul']
    """

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, TensorProto] = {}
        self._inputs: list[ValueInfoProto] = []
        self._outputs: list[ValueInfoProto] = []
        self._small: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._taken: set[str] = set()
        self._prefix = ""

    @contextlib.contextmanager
    def named(self, prefix: str) -> Iterator[None]:
        """Put ``prefix`` before all names that are made in a ``with`` block."""
        before, self._prefix = self._prefix, prefix
        try:
            yield
        finally:
            self._prefix = before

    def input(self, name: str, dtype: DTypeLike, shape: Sequence[Axis], about: str) -> str:
        """Add an input of the graph, which has exactly this name."""
        self._taken.add(name)
        self._inputs.append(_described(name, dtype, shape, about))
        return name

    def output(
        self, name: str, value: str, dtype: DTypeLike, shape: Sequence[Axis], about: str
    ) -> None:
        """Make a value an output of the graph, and give it exactly this name."""
        outputs = {output.name for output in self._outputs}
        is_made = any(value in node.output for node in self._nodes)
        if is_made and value not in outputs:
            self._rename(value, name)
        else:  # an input, or a value that is an output already, keeps its own name
            self._nodes.append(
                NodeProto(
                    op_type="Identity",
                    name=self._unique("Identity"),
                    input=[value],
                    output=[name],
                )
            )
        self._taken.add(name)
        self._outputs.append(_described(name, dtype, shape, about))

    def constant(self, array: Any, name: str | None = None) -> str:
        """Return an array of constants; equal ones without a name are stored once."""
        array = np.asarray(array)
        tensor = _tensor(array)
        if name is None:
            key = (array.dtype.name, array.shape, bytes(tensor.raw_data or b""))
            if key not in self._small:
                with self.named(""):
                    self._small[key] = self._add_constant(tensor, "constant")
            return self._small[key]
        return self._add_constant(tensor, name)

    def _add_constant(self, tensor: TensorProto, name: str) -> str:
        tensor.name = self._unique(name)
        self._constants[tensor.name] = tensor
        return tensor.name

    def node(self, op: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add a node with one output, and return this. An input "" is one that is left out."""
        return self.nodes(op, *inputs, outputs=("",), name=name, **attributes)[0]

    def nodes(
        self,
        op: str,
        *inputs: str,
        outputs: Sequence[str | None],
        name: str | None = None,
        **attributes: Any,
    ) -> list[str]:
        """Add a node with several outputs.

        Parameters
        ----------
        op : str
            The operator.
        *inputs : str
            Values; "" is one that is left out.
        outputs : sequence of str or None
            What is put after the node's name in the name of each output. None is an output
            that is left out.
        name : str, optional
            The name of the node; by default it is that of the operator.
        **attributes
            Numbers, texts, and lists of them.

        Returns
        -------
        list of str
            The outputs; "" is one that is left out.
        """
        unique = self._unique(name or op)
        made = ["" if each is None else unique + each for each in outputs]
        self._nodes.append(
            NodeProto(
                op_type=op,
                name=unique,
                input=_without_omitted_end(inputs),
                output=_without_omitted_end(made),
                attribute=[_attribute(key, value) for key, value in attributes.items()],
            )
        )
        return made

    def reduce(self, op: str, value: str, axis: int) -> str:
        """Add a node that reduces one axis, which is then gone: ReduceSum, -Mean or -Max."""
        if op == "ReduceSum" or self.opset >= AXES_ARE_AN_INPUT:
            return self.node(op, value, self.constant([axis]), keepdims=0)
        return self.node(op, value, axes=[axis], keepdims=0)

    def cast(self, value: str, dtype: DTypeLike) -> str:
        """Add a node that converts to another dtype."""
        return self.node("Cast", value, to=ELEMENT_TYPES[np.dtype(dtype).name])

    def _unique(self, name: str) -> str:
        """Return a new name: ``name`` itself if no other has it."""
        wanted = unique = self._prefix + name
        count = 1
        while unique in self._taken:
            count += 1
            unique = f"{wanted}_{count}"
        self._taken.add(unique)
        return unique

    def _rename(self, old: str, new: str) -> None:
        for node in self._nodes:
            node.input = [new if each == old else each for each in node.input]
            node.output = [new if each == old else each for each in node.output]

    def model(self, about: str, metadata: Mapping[str, str] | None = None) -> ModelProto:
        """Return the whole model.

        Parameters
        ----------
        about : str
            What the model is, for people.
        metadata : mapping of str to str, optional
            More about it, for programs.
        """
        from pygru import __version__

        return ModelProto(
            ir_version=IR_VERSIONS[self.opset],
            producer_name="pygru",
            producer_version=__version__,
            doc_string=about,
            graph=GraphProto(
                name="pygru",
                node=self._nodes,
                initializer=list(self._constants.values()),
                input=self._inputs,
                output=self._outputs,
            ),
            opset_import=[OperatorSetIdProto(version=self.opset)],
            metadata_props=[
                StringStringEntryProto(key=key, value=value)
                for key, value in (metadata or {}).items()
            ],
        )


def _without_omitted_end(names: Sequence[str]) -> list[str]:
    """The names without the empty ones at the end, which need not be written."""
    names = list(names)
    while names and not names[-1]:
        names.pop()
    return names


def _described(
    name: str, dtype: DTypeLike, shape: Sequence[Axis], about: str
) -> ValueInfoProto:
    axes = [
        Dimension(dim_param=axis) if isinstance(axis, str) else Dimension(dim_value=axis)
        for axis in shape
    ]
    kind = TensorTypeProto(
        elem_type=ELEMENT_TYPES[np.dtype(dtype).name], shape=TensorShapeProto(dim=axes)
    )
    return ValueInfoProto(name=name, type=TypeProto(tensor_type=kind), doc_string=about)


def _tensor(array: NDArray[Any]) -> TensorProto:
    """An array, whose bytes stand in the file in little-endian order."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return TensorProto(
        dims=list(array.shape),
        data_type=ELEMENT_TYPES[array.dtype.name],
        raw_data=little.tobytes(),
    )


def _attribute(name: str, value: Any) -> AttributeProto:
    if isinstance(value, int):
        return AttributeProto(name=name, type=messages.INT, i=value)
    if isinstance(value, float):
        return AttributeProto(name=name, type=messages.FLOAT, f=value)
    if isinstance(value, str):
        return AttributeProto(name=name, type=messages.STRING, s=value.encode())
    if isinstance(value[0], int):
        return AttributeProto(name=name, type=messages.INTS, ints=value)
    if isinstance(value[0], float):
        return AttributeProto(name=name, type=messages.FLOATS, floats=value)
    texts = [each.encode() for each in value]
    return AttributeProto(name=name, type=messages.STRINGS, strings=texts)
