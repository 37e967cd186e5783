"""The operators of ONNX that exporters leave between stored arrays and a GRU.

Each function computes one node. It gets the attributes, the inputs (None for one that is left
out) and the budget, from which it takes the bytes of its result before it makes it. Views take
nothing. Where an operator has changed, the function reads the forms of all versions: `axes` was
an attribute first and then an input, for example.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pygru.errors import FormatError
from pygru.io.onnx.messages import AttributeProto
from pygru.io.onnx.tensors import TYPES, Array, DataFiles, to_array

Inputs = Sequence[Array | None]


class Budget:
    """The bytes that all results together may still take."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, size: int) -> None:
        """Count the bytes of a result before it is made."""
        self.left -= max(size, 0)
        if self.left < 0:
            raise FormatError("the constants of the file would take too much memory")


class Attributes(dict[str, AttributeProto]):
    """The attributes of a node by name."""

    def integer(self, name: str, default: int) -> int:
        """Return an integer."""
        value = self[name].i if name in self else None
        return default if value is None else value

    def integers(self, name: str) -> list[int] | None:
        """Return a list of integers, or None if it is absent."""
        return list(self[name].ints) if name in self else None


class Operands:
    """What a function below computes with."""

    def __init__(self, attributes: Attributes, inputs: Inputs, budget: Budget, outputs: int):
        self.attributes = attributes
        self.inputs = inputs
        self.budget = budget
        self.outputs = outputs

    def __getitem__(self, index: int) -> Array:
        value = self.get(index)
        if value is None:
            raise ValueError(f"input {index} is missing")
        return value

    def get(self, index: int) -> Array | None:
        """Return an input, or None if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def integers(self, name: str, index: int) -> list[int] | None:
        """Return integers that are an attribute or an input, or None if they are absent."""
        value = self.get(index)
        if value is None:
            return self.attributes.integers(name)
        if value.dtype.kind not in "iu":
            raise ValueError(f"{name} are no integers")
        return [int(each) for each in value.reshape(-1)]

    def take(self, shape: Sequence[int], itemsize: int) -> None:
        """Count the bytes of a result."""
        self.budget.take(math.prod(shape) * itemsize)


def _identity(node: Operands) -> Array:
    return node[0]


def _transpose(node: Operands) -> Array:
    return np.transpose(node[0], node.attributes.integers("perm"))


def _reshape(node: Operands) -> Array:
    array, shape = node[0], node.integers("shape", 1)
    if shape is None:
        raise ValueError("the shape is missing")
    if not node.attributes.integer("allowzero", 0):  # 0 is the size that the axis has
        shape = [array.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    node.take(array.shape, array.itemsize)  # a copy where the array has been transposed
    return array.reshape(shape)


def _flatten(node: Operands) -> Array:
    array, axis = node[0], node.attributes.integer("axis", 1)
    node.take(array.shape, array.itemsize)
    return array.reshape(math.prod(array.shape[:axis]), -1)


def _unsqueeze(node: Operands) -> Array:
    return np.expand_dims(node[0], tuple(node.integers("axes", 1) or ()))


def _squeeze(node: Operands) -> Array:
    axes = node.integers("axes", 1)
    return np.squeeze(node[0], None if axes is None else tuple(axes))


def _concat(node: Operands) -> Array:
    parts = [node[index] for index in range(len(node.inputs))]
    for part in parts:
        node.take(part.shape, part.itemsize)
    return np.concatenate(parts, node.attributes.integer("axis", 1))


def _slice(node: Operands) -> Array:
    starts, ends = node.integers("starts", 1), node.integers("ends", 2)
    if starts is None or ends is None:
        raise ValueError("starts or ends are missing")
    axes = node.integers("axes", 3) or list(range(len(starts)))
    steps = node.integers("steps", 4) or [1] * len(starts)
    index: list[Any] = [slice(None)] * node[0].ndim
    for axis, *of_axis in zip(axes, starts, ends, steps, strict=True):
        index[axis] = slice(*of_axis)
    part: Array = node[0][tuple(index)]
    return part


def _split(node: Operands) -> list[Array]:
    axis = node.attributes.integer("axis", 0)
    sizes = node.integers("split", 1)
    length = node[0].shape[axis]
    if sizes is None:
        most = -(-length // node.outputs)
        sizes = [most] * (node.outputs - 1)
        sizes.append(length - sum(sizes))
    if sum(sizes) != length or min(sizes) < 0:
        raise ValueError(f"sizes {sizes} of parts of an axis of {length}")
    return np.split(node[0], np.cumsum(sizes)[:-1], axis)


def _gather(node: Operands) -> Array:
    axis = node.attributes.integer("axis", 0)
    array, index = node[0], node[1]
    rest = math.prod(array.shape) // (array.shape[axis] or 1)
    node.take((*index.shape, rest), array.itemsize)
    return np.take(array, index, axis)


def _expand(node: Operands) -> Array:
    shape = np.broadcast_shapes(node[0].shape, tuple(node.integers("shape", 1) or ()))
    node.take(shape, node[0].itemsize)
    return np.broadcast_to(node[0], shape)


def _constant_of_shape(node: Operands) -> Array:
    shape = tuple(node.integers("shape", 0) or ())
    value = np.float32(0)
    if "value" in node.attributes and node.attributes["value"].t is not None:
        value = to_array(node.attributes["value"].t, DataFiles(None)).reshape(-1)[0]
    node.take(shape, value.itemsize)
    return np.full(shape, value)


def _shape(node: Operands) -> Array:
    start = node.attributes.integer("start", 0)
    end = node.attributes.integer("end", node[0].ndim)
    return np.array(node[0].shape[start:end], np.int64)


def _cast(node: Operands) -> Array:
    kind = TYPES.get(node.attributes.integer("to", 0), ("",))[0]
    if kind in ("", "bfloat16"):
        raise ValueError("a type that pygru does not read")
    node.take(node[0].shape, np.dtype(kind).itemsize)
    return node[0].astype(kind)


def _dequantize(node: Operands) -> Array:
    """(x - zero point) * scale, with one scale in all or one for each entry of an axis."""
    array, scale, zero = node[0], node[1], node.get(2)
    if node.attributes.integer("block_size", 0):
        raise ValueError("a scale for each block")
    if scale.size > 1:
        axis = node.attributes.integer("axis", 1)
        form = [1] * array.ndim
        form[axis] = -1
        scale = scale.reshape(form)
        zero = None if zero is None else zero.reshape(form)
    node.take(array.shape, 3 * 4)
    numbers = array.astype(np.int32)
    if zero is not None:
        numbers = numbers - zero.astype(np.int32)
    return numbers.astype(scale.dtype) * scale


def _arithmetic(function: Callable[..., Array]) -> Callable[[Operands], Array]:
    def compute(node: Operands) -> Array:
        inputs = [node[index] for index in range(len(node.inputs))]
        shape = np.broadcast_shapes(*(array.shape for array in inputs))
        node.take(shape, max(array.itemsize for array in inputs))
        return function(*inputs)

    return compute


OPERATORS: dict[str, Callable[[Operands], Array | list[Array]]] = {
    "Add": _arithmetic(np.add),
    "Cast": _cast,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "DequantizeLinear": _dequantize,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Identity": _identity,
    "Mul": _arithmetic(np.multiply),
    "Neg": _arithmetic(np.negative),
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Sub": _arithmetic(np.subtract),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}

#: What gives the elements of its first input, or of all of them, in another form. Where these
#: are all 0, so is the result, whatever its shape.
MOVES = {
    "Cast", "Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split",
    "Squeeze", "Tile", "Transpose", "Unsqueeze",
}  # fmt: skip

#: What repeats its first input along axes.
EXTENSIONS = ("Expand", "Tile")


def compute(op_type: str, operands: Operands) -> list[Array]:
    """Return the outputs of a node.

    Raises
    ------
    FormatError
        If the inputs do not fit the operator, or the result would take too much memory.
    """
    try:
        with np.errstate(all="ignore"):
            result = OPERATORS[op_type](operands)
    except FormatError:
        raise
    except (ValueError, TypeError, IndexError, OverflowError, MemoryError) as error:
        raise FormatError(f"a node {op_type} cannot be computed: {error}") from None
    return result if isinstance(result, list) else [result]
