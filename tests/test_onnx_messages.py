"""The encoding of ONNX files: what is written can be read, also by others, and damage is seen.

The bytes in these tests are written by hand from the rules of protocol buffers. Where the
package ``onnx`` is installed, its own tables and messages are the truth.
"""

import dataclasses

import numpy as np
import pytest

from pygru import FormatError
from pygru.io.onnx import messages, wire
from pygru.io.onnx.messages import (
    MESSAGES,
    AttributeProto,
    Dimension,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    decode,
    encode,
)

EXTREMES = [0, 1, -1, 127, 128, 300, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)]
VALUES = {
    "string": "ü",
    "bytes": b"\0\xff",
    "blob": b"\x80" * 200,
    "float": 0.5,
    "double": 1e300,
    "int32": -(2**31),
    "int64": -(2**63),
    "uint64": 2**64 - 1,
}


def filled(cls, depth=3):
    """A message with a value in each field, and messages in it down to a depth."""
    values = {}
    for field in messages.FIELDS[cls]:
        if (field.kind == "message" and not depth) or field.name == "dim_param":
            continue  # an axis has either a number or a name
        is_message = field.kind == "message"
        value = filled(field.message, depth - 1) if is_message else VALUES[field.kind]
        if field.name in ("type", "data_location") and not is_message:
            value = 1  # an enumeration, of which onnx takes known values only
        values[field.name] = [value, value] if field.many else value
    return cls(**values)


def plain(value):
    """A message as a dict, and every sequence in it as a list, for comparisons."""
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (bytes, memoryview)):
        return bytes(value)
    return [plain(each) for each in value]


def varints(*values):
    return memoryview(b"".join(map(wire.varint, values)))


# ---- reading and writing ------------------------------------------------------------------


@pytest.mark.parametrize("cls", MESSAGES.values())
def test_every_field_of_every_message_can_be_written_and_read(cls):
    message = filled(cls)
    assert plain(decode(cls, encode(message))) == plain(message)
    assert decode(cls, b"") == cls()
    assert encode(cls()) == b""


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("080a", ModelProto(ir_version=10)),
        ("08f6ffffffffffffffff01", ModelProto(ir_version=-10)),
        ("12057079677275", ModelProto(producer_name="pygru")),
        ("3a041202 6162", ModelProto(graph=GraphProto(name="ab"))),
        ("0a0158 0a00 220347 5255", NodeProto(input=["X", ""], op_type="GRU")),
        ("0803 0802 1001", TensorProto(dims=[3, 2], data_type=1)),
        ("15 0000003f", AttributeProto(f=0.5)),
        ("12014e", Dimension(dim_param="N")),
        ("3d 0000003f 3d 000000bf", AttributeProto(floats=[0.5, -0.5])),
    ],
)
def test_the_bytes_are_those_of_protocol_buffers(data, expected):
    data = bytes.fromhex(data)
    assert decode(type(expected), data) == expected
    assert encode(expected) == data


@pytest.mark.parametrize(
    ("cls", "data", "expected"),
    [
        (ModelProto, "0801 08ac02", {"ir_version": 300}),  # the last value counts
        # The second graph adds to the first.
        (ModelProto, "3a031201 61 3a042a02 0802", {"graph": plain(
            GraphProto(name="a", initializer=[TensorProto(dims=[2])]))}),
        (TensorProto, "0a020305 0a0102", {"dims": [3, 5, 2]}),  # packed
        (AttributeProto, "3a08 0000003f 000000bf", {"floats": [0.5, -0.5]}),  # packed
        (TensorProto, "25 0000003f 2204 000000bf", {"float_data": [0.5, -0.5]}),  # both
        (TensorProto, "28 05 2a0b ffffffffffffffffff01 07", {"int32_data": [5, -1, 7]}),
        (TensorProto, "f83f01 8240 0100 8540 00000000 8140 0000000000000000", {"dims": []}),
    ],
)  # fmt: skip
def test_other_writers_may_write_the_same_in_other_bytes(cls, data, expected):
    message = plain(decode(cls, bytes.fromhex(data)))
    assert {name: message[name] for name in expected} == expected


@pytest.mark.parametrize("value", EXTREMES)
def test_numbers_of_every_size(value):
    data = varints(value)
    number, end = wire.read_varint(data, 0, len(data))
    assert (wire.signed(number, 64), end) == (value, len(data))


def test_many_numbers_at_once_are_the_numbers_one_by_one():
    values = [2**k + d for k in range(63) for d in (-1, 0, 1)] + EXTREMES
    for some in (values, *([value] for value in values), []):
        assert wire.read_varints(varints(*some)).astype(np.int64).tolist() == some


@pytest.mark.parametrize(
    "message",
    [
        ModelProto(ir_version=2**64),
        TensorProto(int64_data=[2**64]),
        AttributeProto(f=1e39),
        GraphProto(name="\ud800"),
    ],
)
def test_what_a_field_cannot_hold_is_not_written(message):
    with pytest.raises(ValueError, match=f"{type(message).__name__}[.]"):
        encode(message)


def test_raw_data_is_not_copied():
    data = bytearray(encode(TensorProto(raw_data=bytes(1000))))
    view = decode(TensorProto, data).raw_data
    data[-1] = 7
    assert view[-1] == 7


# ---- damage -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("08", "ModelProto.ir_version: a number is cut off"),
        ("0880", "ModelProto.ir_version: a number is cut off"),
        ("88", "ModelProto: a number is cut off"),
        ("08" + "80" * 10 + "01", "more than 10 bytes"),
        ("08" + "ff" * 9 + "02", "more than 64 bits"),
        ("1205", "producer_name: a value of 5 bytes starts 0 bytes before the end"),
        ("12ffffffffffffffffff0161", "a value of 18446744073709551615 bytes"),
        ("12ffffffff0f61", "a value of 4294967295 bytes"),
        ("1201ff", "the text is not UTF-8"),
        ("0d00000000", "ir_version: the wire type must be 0, got 5"),
        ("3801", "graph: the wire type must be 2, got 0"),
        ("0b0c", "the wire type 3"),
        ("0e", "the wire type 6"),
        ("0001", "a field has the number 0"),
        ("808080808001", "a field has the number 4294967296"),
        ("fa3f05", "ModelProto: a value of 5 bytes"),  # of a field that is skipped
        ("3a020a05", "GraphProto.node: a value of 5 bytes"),
        ("3a042a022201", "TensorProto.float_data: a value of 1 bytes"),
        ("3a052a03220100", "a list of numbers of 4 bytes each has 1 bytes"),
        ("3a052a032a0180", "int32_data: a number is cut off"),
        ("3a172a152a13" + "01" * 18 + "80", "int32_data: a number is cut off"),
        ("3a172a152a13" + "01" * 8 + "80" * 10 + "01", "more than 10 bytes"),
        ("3a172a152a13" + "01" * 9 + "ff" * 9 + "02", "more than 64 bits"),
        ("3a0f2a0d2a0b" + "80" * 10 + "01", "more than 10 bytes"),
        ("3a0e2a0c2a0a" + "ff" * 9 + "02", "more than 64 bits"),
    ],
)
def test_damage_is_named(data, message):
    with pytest.raises(FormatError, match=message):
        decode(ModelProto, bytes.fromhex(data))


def test_a_file_that_is_cut_off_is_seen_at_every_place():
    data = encode(filled(NodeProto, depth=2))
    complete = 0
    for end in range(1, len(data)):
        try:
            decode(NodeProto, data[:end])
        except FormatError:
            continue
        complete += 1  # it ends between two fields
    assert complete < 30 < len(data)


def nested(levels):
    """A graph in a node in a graph, and so on."""
    graph = GraphProto(name="innermost")
    for _ in range(levels):
        graph = GraphProto(node=[NodeProto(attribute=[AttributeProto(g=graph)])])
    return encode(graph)


def test_messages_may_stand_in_each_other_a_hundred_deep():
    graph = decode(GraphProto, nested(33))
    for _ in range(33):
        (node,) = graph.node
        graph = node.attribute[0].g
    assert graph.name == "innermost"
    with pytest.raises(FormatError, match="more than 100 deep"):
        decode(GraphProto, nested(34))
    endless = b""
    for _ in range(2000):  # far beyond the limit of Python's own stack
        endless = b"\x32" + wire.varint(len(endless)) + endless
        endless = b"\x2a" + wire.varint(len(endless)) + endless
        endless = b"\x0a" + wire.varint(len(endless)) + endless
    with pytest.raises(FormatError, match="more than 100 deep"):
        decode(GraphProto, endless)


def test_the_number_of_messages_is_limited(monkeypatch):
    monkeypatch.setattr(messages, "MOST_MESSAGES", 1000)
    assert len(decode(GraphProto, b"\x0a\0" * 999).node) == 999
    with pytest.raises(FormatError, match="more than 1000 messages"):
        decode(GraphProto, b"\x0a\0" * 1000)


def test_the_number_of_fields_is_limited(monkeypatch):
    monkeypatch.setattr(messages, "MOST_FIELDS", 1000)
    assert len(decode(TensorProto, b"\x08\0" * 1000).dims) == 1000
    for data in (b"\x08\0", b"\x0a\0", b"\x2a\1\1", b"\x2d\0\0\0\0", b"\x98\x06\0"):
        with pytest.raises(FormatError, match=r"more than 1000 fields|wire type"):
            decode(TensorProto, data * 1001)


# ---- the package onnx ---------------------------------------------------------------------


def test_the_tables_are_those_of_onnx():
    onnx = pytest.importorskip("onnx")
    classes = {
        "Dimension": onnx.TensorShapeProto.Dimension,
        "TensorTypeProto": onnx.TypeProto.Tensor,
    }
    for name, cls in MESSAGES.items():
        descriptor = classes.get(name, getattr(onnx, name, None)).DESCRIPTOR
        for field in messages.FIELDS[cls]:
            theirs = descriptor.fields_by_name[field.name]
            assert theirs.number == field.number, (name, field)
            many = theirs.is_repeated if hasattr(theirs, "is_repeated") else theirs.label == 3
            assert many == field.many, (name, field)
            assert theirs.GetOptions().packed == field.packed, (name, field)
            kind = {9: "string", 11: "message", 12: "bytes", 1: "double", 2: "float"}.get(
                theirs.type, {3: "int64", 4: "uint64", 5: "int32", 14: "int32"}.get(theirs.type)
            )
            assert field.kind.replace("blob", "bytes") == kind, (name, field)


@pytest.mark.parametrize("cls", MESSAGES.values())
def test_onnx_reads_and_writes_the_same(cls):
    onnx = pytest.importorskip("onnx")
    if not hasattr(onnx, cls.__name__):
        return  # a message within another one, which the others of these tests contain
    data = encode(filled(cls))
    theirs = getattr(onnx, cls.__name__)()
    assert theirs.ParseFromString(data) == len(data)
    assert not list(unknown_fields(theirs))
    assert plain(decode(cls, theirs.SerializeToString())) == plain(filled(cls))


def unknown_fields(message):
    """What onnx has read but does not know, in a message and those in it."""
    from google.protobuf.unknown_fields import UnknownFieldSet

    yield from UnknownFieldSet(message)
    for field, value in message.ListFields():
        if field.message_type:
            is_list = not hasattr(value, "ListFields")
            for each in value if is_list else [value]:
                yield from unknown_fields(each)
