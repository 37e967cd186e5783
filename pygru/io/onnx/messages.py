"""The messages of an ONNX file, and how they are read and written.

Each class is one message of ``onnx.proto``, with those of its fields that pygru uses. Beside a
field stand its number and its kind, which are frozen: ONNX adds fields, but never changes one.
Fields that are not listed here are skipped. None and an empty sequence mean that a field is
absent; an empty string is not written.

>>> from pygru.io.onnx.messages import NodeProto, decode, encode
>>> data = encode(NodeProto(op_type="GRU", input=["X", "W", "R"], output=["Y"]))
>>> decode(NodeProto, data).input
['X', 'W', 'R']
"""

# ruff: noqa: RUF009 (the calls in the classes only describe fields, as dataclasses.field does)

from __future__ import annotations

import dataclasses
import struct
import sys
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np

from pygru.errors import FormatError
from pygru.io.onnx import wire

Bytes = bytes | memoryview
Message = TypeVar("Message")

#: Levels of messages in messages, as protocol buffers themselves allow by default.
MOST_DEPTH = 100

#: Messages in one file, and fields in all of them. A message takes about a hundred bytes of
#: memory and as little as two bytes in a file, so that without a limit a file could take fifty
#: times its own size. The largest models have some hundred thousand nodes.
MOST_MESSAGES = 2**20
MOST_FIELDS = 2**22

#: No program reads a larger message: lengths are numbers of 32 bits with a sign there.
MOST_BYTES = 2**31 - 1


class Kind(NamedTuple):
    """How the values of a field are encoded: the wire type, and what stands in it.

    ``typecode`` is that of the :class:`array.array` which holds many such numbers, or "".
    """

    wire: int
    typecode: str = ""


# By the names in onnx.proto. "blob" is bytes that may be large: they are not copied in reading.
KINDS = {
    "int32": Kind(wire.VARINT, "i"),
    "int64": Kind(wire.VARINT, "q"),
    "uint64": Kind(wire.VARINT, "Q"),
    "float": Kind(wire.FIXED32, "f"),
    "double": Kind(wire.FIXED64, "d"),
    "string": Kind(wire.LENGTH),
    "bytes": Kind(wire.LENGTH),
    "blob": Kind(wire.LENGTH),
    "message": Kind(wire.LENGTH),
}


def _one(number: int, kind: str) -> Any:
    """A field with one value."""
    default = "" if kind == "string" else None
    return dataclasses.field(default=default, metadata={"number": number, "kind": kind})


def _many(number: int, kind: str, *, packed: bool = False) -> Any:
    """A field with a list of values; packed numbers stand in one value without keys."""
    how = {"number": number, "kind": kind, "many": True, "packed": packed}
    return dataclasses.field(default=(), metadata=how)


@dataclasses.dataclass(slots=True)
class StringStringEntryProto:
    """A pair of texts."""

    key: str = _one(1, "string")
    value: str = _one(2, "string")


@dataclasses.dataclass(slots=True)
class OperatorSetIdProto:
    """A version of the operators of a domain."""

    domain: str = _one(1, "string")
    version: int | None = _one(2, "int64")


@dataclasses.dataclass(slots=True)
class TensorProto:
    """An array of constants. Its numbers stand in one of the fields ``*_data``."""

    dims: Sequence[int] = _many(1, "int64")
    data_type: int | None = _one(2, "int32")
    float_data: Sequence[float] = _many(4, "float", packed=True)
    int32_data: Sequence[int] = _many(5, "int32", packed=True)
    string_data: Sequence[bytes] = _many(6, "bytes")
    int64_data: Sequence[int] = _many(7, "int64", packed=True)
    name: str = _one(8, "string")
    raw_data: Bytes | None = _one(9, "blob")
    double_data: Sequence[float] = _many(10, "double", packed=True)
    uint64_data: Sequence[int] = _many(11, "uint64", packed=True)
    doc_string: str = _one(12, "string")
    external_data: Sequence[StringStringEntryProto] = _many(13, "message")
    data_location: int | None = _one(14, "int32")


@dataclasses.dataclass(slots=True)
class SparseTensorProto:
    """An array of which only the numbers other than 0 are stored."""

    values: TensorProto | None = _one(1, "message")
    indices: TensorProto | None = _one(2, "message")
    dims: Sequence[int] = _many(3, "int64")


@dataclasses.dataclass(slots=True)
class Dimension:
    """The length of one axis: a number, the name of an unknown number, or nothing."""

    dim_value: int | None = _one(1, "int64")
    dim_param: str = _one(2, "string")


@dataclasses.dataclass(slots=True)
class TensorShapeProto:
    """The lengths of all axes."""

    dim: Sequence[Dimension] = _many(1, "message")


@dataclasses.dataclass(slots=True)
class TensorTypeProto:
    """The type of an array: of its elements, and its shape (``TypeProto.Tensor``)."""

    elem_type: int | None = _one(1, "int32")
    shape: TensorShapeProto | None = _one(2, "message")


@dataclasses.dataclass(slots=True)
class TypeProto:
    """The type of a value; kinds other than an array are not read."""

    tensor_type: TensorTypeProto | None = _one(1, "message")


@dataclasses.dataclass(slots=True)
class ValueInfoProto:
    """The name and the type of an input, of an output or of what stands between them."""

    name: str = _one(1, "string")
    type: TypeProto | None = _one(2, "message")
    doc_string: str = _one(3, "string")


@dataclasses.dataclass(slots=True)
class AttributeProto:
    """An attribute of a node. ``type`` is one of the constants below."""

    name: str = _one(1, "string")
    f: float | None = _one(2, "float")
    i: int | None = _one(3, "int64")
    s: bytes | None = _one(4, "bytes")
    t: TensorProto | None = _one(5, "message")
    g: GraphProto | None = _one(6, "message")
    floats: Sequence[float] = _many(7, "float")
    ints: Sequence[int] = _many(8, "int64")
    strings: Sequence[bytes] = _many(9, "bytes")
    graphs: Sequence[GraphProto] = _many(11, "message")
    type: int | None = _one(20, "int32")
    ref_attr_name: str = _one(21, "string")
    sparse_tensor: SparseTensorProto | None = _one(22, "message")


@dataclasses.dataclass(slots=True)
class NodeProto:
    """A call of an operator. A name that is empty stands for an input that is left out."""

    input: Sequence[str] = _many(1, "string")
    output: Sequence[str] = _many(2, "string")
    name: str = _one(3, "string")
    op_type: str = _one(4, "string")
    attribute: Sequence[AttributeProto] = _many(5, "message")
    domain: str = _one(7, "string")
    overload: str = _one(8, "string")


@dataclasses.dataclass(slots=True)
class GraphProto:
    """Nodes, with the constants that they take as inputs."""

    node: Sequence[NodeProto] = _many(1, "message")
    name: str = _one(2, "string")
    initializer: Sequence[TensorProto] = _many(5, "message")
    doc_string: str = _one(10, "string")
    input: Sequence[ValueInfoProto] = _many(11, "message")
    output: Sequence[ValueInfoProto] = _many(12, "message")
    sparse_initializer: Sequence[SparseTensorProto] = _many(15, "message")


@dataclasses.dataclass(slots=True)
class FunctionProto:
    """An operator that the model itself defines by nodes."""

    name: str = _one(1, "string")
    input: Sequence[str] = _many(4, "string")
    output: Sequence[str] = _many(5, "string")
    attribute: Sequence[str] = _many(6, "string")
    node: Sequence[NodeProto] = _many(7, "message")
    opset_import: Sequence[OperatorSetIdProto] = _many(9, "message")
    domain: str = _one(10, "string")
    attribute_proto: Sequence[AttributeProto] = _many(11, "message")
    overload: str = _one(13, "string")


@dataclasses.dataclass(slots=True)
class ModelProto:
    """A whole file."""

    ir_version: int | None = _one(1, "int64")
    producer_name: str = _one(2, "string")
    producer_version: str = _one(3, "string")
    domain: str = _one(4, "string")
    model_version: int | None = _one(5, "int64")
    doc_string: str = _one(6, "string")
    graph: GraphProto | None = _one(7, "message")
    opset_import: Sequence[OperatorSetIdProto] = _many(8, "message")
    metadata_props: Sequence[StringStringEntryProto] = _many(14, "message")
    functions: Sequence[FunctionProto] = _many(25, "message")


# AttributeProto.type
FLOAT, INT, STRING, TENSOR, GRAPH, FLOATS, INTS, STRINGS = 1, 2, 3, 4, 5, 6, 7, 8


# ---- the tables that the classes above make ------------------------------------------------


class Field(NamedTuple):
    """A field of a class as reading and writing need it."""

    number: int
    name: str
    kind: str
    many: bool
    packed: bool
    message: Any  # the class of its values if it is a message, or None


MESSAGES = {
    cls.__name__: cls
    for cls in list(globals().values())
    if isinstance(cls, type) and dataclasses.is_dataclass(cls)
}


def _message_in(annotation: str) -> Any:
    """The class of a message in an annotation such as ``"Sequence[NodeProto]"``."""
    inner = annotation.removesuffix(" | None").removeprefix("Sequence[").removesuffix("]")
    return MESSAGES[inner]


def _fields(cls: Any) -> list[Field]:
    return [
        Field(
            field.metadata["number"],
            field.name,
            field.metadata["kind"],
            field.metadata.get("many", False),
            field.metadata.get("packed", False),
            _message_in(str(field.type)) if field.metadata["kind"] == "message" else None,
        )
        for field in dataclasses.fields(cls)
    ]


FIELDS = {cls: _fields(cls) for cls in MESSAGES.values()}
BY_NUMBER = {cls: {field.number: field for field in fields} for cls, fields in FIELDS.items()}


# ---- reading ------------------------------------------------------------------------------


def decode(cls: type[Message], data: bytes | bytearray | memoryview) -> Message:
    """Return a message of which the bytes are known.

    Numbers of the fields ``*_data`` become an :class:`array.array`, other lists a list.
    ``raw_data`` is a view of ``data``, which therefore must not be changed.

    Parameters
    ----------
    cls : type
        One of the classes of this module.
    data : bytes-like

    Raises
    ------
    FormatError
        If the bytes are not such a message.
    """
    return cast(Message, _Decoder(memoryview(data).cast("B")).message(cls, 0, len(data), 1))


class _Decoder:
    """Reads the messages in one piece of memory."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.messages = 0
        self.fields = 0

    def message(self, cls: Any, at: int, end: int, depth: int, into: Any = None) -> Any:
        """The message in the bytes from ``at`` to ``end``.

        If a message that can be there once is there twice, the second one adds to the first,
        which is the rule of protocol buffers; then ``into`` is the first.
        """
        self.messages += 1
        if depth > MOST_DEPTH:
            raise FormatError(f"messages stand in each other more than {MOST_DEPTH} deep")
        if self.messages > MOST_MESSAGES:
            raise FormatError(f"the file has more than {MOST_MESSAGES} messages")
        message = cls() if into is None else into
        fields = BY_NUMBER[cls]
        data = self.data
        field = None
        try:
            while at < end:
                number, kind, at = wire.read_key(data, at, end)
                field = fields.get(number)
                self.fields += 1
                if self.fields > MOST_FIELDS:
                    raise FormatError(f"the file has more than {MOST_FIELDS} fields")
                start, at = wire.value_end(data, at, end, kind)
                if field is not None:
                    self._set(message, field, kind, start, at, depth)
        except _Located:
            raise
        except FormatError as error:
            where = cls.__name__ if field is None else f"{cls.__name__}.{field.name}"
            raise _Located(f"{where}: {error}") from None
        return message

    def _set(
        self, message: Any, field: Field, kind: int, start: int, stop: int, depth: int
    ) -> None:
        """Give a field the value in the bytes from ``start`` to ``stop``."""
        expected, typecode = KINDS[field.kind]
        value: Any
        if kind != expected:
            if not (field.many and typecode and kind == wire.LENGTH):
                raise FormatError(f"the wire type must be {expected}, got {kind}")
            value = self._numbers(field.kind, start, stop)
        elif field.kind == "message":
            before = None if field.many else getattr(message, field.name)
            value = self.message(field.message, start, stop, depth + 1, before)
        else:
            value = self._value(field.kind, start, stop)
        if not field.many:
            setattr(message, field.name, value)
            return
        values = getattr(message, field.name)
        if isinstance(values, tuple):  # nothing yet
            values = array(typecode) if field.packed else []
            setattr(message, field.name, values)
        if kind == expected:
            values.append(value)
        else:
            values.extend(value)

    def _value(self, kind: str, start: int, stop: int) -> Any:
        """One value that is not a message."""
        data = self.data[start:stop]
        if kind in ("int32", "int64", "uint64"):
            value, _ = wire.read_varint(data, 0, len(data))
            return value if kind == "uint64" else wire.signed(value, int(kind[3:]))
        if kind in ("float", "double"):
            return wire.read_fixed(KINDS[kind].typecode, data)[0]
        if kind == "blob":
            return data
        if kind == "bytes":
            return bytes(data)
        try:
            return str(data, "utf-8")
        except UnicodeDecodeError:
            raise FormatError("the text is not UTF-8") from None

    def _numbers(self, kind: str, start: int, stop: int) -> array[Any]:
        """The numbers of a packed list."""
        data = self.data[start:stop]
        typecode = KINDS[kind].typecode
        if kind in ("float", "double"):
            return wire.read_fixed(typecode, data)
        numbers = wire.read_varints(data)
        return array(typecode, numbers.astype(np.dtype(typecode)).tobytes())


class _Located(FormatError):
    """An error whose text says already in which message it is."""


# ---- writing ------------------------------------------------------------------------------


def encode(message: Any) -> bytes:
    """Return the bytes of a message.

    The fields ``*_data`` take any sequence of numbers, also an ndarray of one axis.

    Raises
    ------
    ValueError
        If a number does not fit into its field, or a message is larger than 2 GiB, which no
        program could read.
    TypeError
        If a value is of another type than its field.
    """
    parts: list[Bytes] = []
    for field in FIELDS[type(message)]:
        value = getattr(message, field.name)
        if value is None or ((field.many or field.kind == "string") and not len(value)):
            continue
        try:
            if field.packed:
                parts += _with_length(field, _packed(field.kind, value))
            else:
                for each in value if field.many else (value,):
                    parts += _encoded(field, each)
        except (struct.error, UnicodeEncodeError, OverflowError) as error:
            raise ValueError(f"{type(message).__name__}.{field.name}: {error}") from None
    data = b"".join(parts)
    if len(data) > MOST_BYTES:
        raise ValueError(
            f"{type(message).__name__} would have {len(data)} bytes; the most is {MOST_BYTES}"
        )
    return data


def _encoded(field: Field, value: Any) -> list[Bytes]:
    """The key and the value of a field."""
    if field.kind == "message":
        return _with_length(field, encode(value))
    if field.kind == "string":
        return _with_length(field, value.encode())
    if field.kind in ("bytes", "blob"):
        return _with_length(field, value)
    expected, typecode = KINDS[field.kind]
    number = wire.varint(value) if expected == wire.VARINT else wire.fixed(typecode, value)
    return [wire.key(field.number, expected), number]


def _with_length(field: Field, value: Bytes) -> list[Bytes]:
    return [wire.key(field.number, wire.LENGTH), wire.varint(len(value)), value]


def _packed(kind: str, values: Any) -> bytes:
    """The bytes of a packed list of numbers."""
    expected, typecode = KINDS[kind]
    if expected == wire.VARINT:
        return b"".join(map(wire.varint, map(int, values)))
    numbers = array(typecode, np.asarray(values, np.dtype(typecode)).tobytes())
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()
