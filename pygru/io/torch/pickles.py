"""Reads a pickle as plain data: a machine for pickle's opcodes that imports and calls nothing.

A pickle is a program for a small stack machine. Python's own unpickler imports what the program
names and calls it. This one writes down the names and the arguments, as a :class:`Record`, and
nothing else. So there is no list of names that would have to be complete: ``os.system`` becomes
a record with two texts, like any other name.

Sizes that the program states are compared with the bytes that are left before anything is made.
The number of opcodes is limited, and so is the memory, because each makes at most one small
object, and what a call copies counts as opcodes. Nothing here is recursive.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pygru.errors import FormatError

MOST_OPCODES = 2**22  # a checkpoint with a vocabulary of half a million words has fewer
LONGEST_LINE = 4096  # bytes of a name or a number that is written as text
LONGEST_INTEGER = 1024  # bytes
LARGEST_KEY = 2**60  # larger integers can have equal hashes, and a dict of those is slow


@dataclass(frozen=True, slots=True)
class Name:
    """A class or a function that a pickle names. It is not imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"[:200]


@dataclass(eq=False, slots=True)
class Record:
    """What the pickle makes by a call: the name of the callable and all that it is given."""

    made_by: Any  # a Name, except in odd pickles
    arguments: tuple[Any, ...]
    state: Any = None
    items: dict[Any, Any] | None = None
    elements: list[Any] | None = None


@dataclass(eq=False, slots=True)
class Outside:
    """A reference to something that is stored outside of the pickle, such as numbers."""

    value: Any


# These make containers of plain data, so that nobody has to look into records for them.
DICTS = (
    Name("collections", "OrderedDict"),
    Name("collections", "defaultdict"),
    Name("collections", "Counter"),
    Name("builtins", "dict"),
    Name("__builtin__", "dict"),
)
SEQUENCES = (Name("torch", "Size"), Name("builtins", "list"), Name("builtins", "tuple"))
ENCODE = Name("_codecs", "encode")  # how protocol 2 writes bytes
BYTES = tuple(
    Name(module, name)
    for module in ("builtins", "__builtin__")
    for name in ("bytes", "bytearray")
)
# These make an object of the class that is their first argument.
OF_CLASS = tuple(
    Name(module, name)
    for module in ("copyreg", "copy_reg")
    for name in ("_reconstructor", "__newobj__", "__newobj_ex__")
)


class Unpickled(NamedTuple):
    """The value of a pickle, where the pickle ends, and what it refers to outside of it."""

    value: Any
    end: int
    outside: list[Outside]


def read_pickle(data: bytes, start: int = 0) -> Unpickled:
    """Return the value of a pickle as plain data.

    Parameters
    ----------
    data : bytes
        What contains the pickle.
    start : int
        Where it begins.

    Raises
    ------
    FormatError
        If it is damaged, or is larger than the limits above.

    Examples
    --------
    >>> from pygru.io.torch.pickles import read_pickle
    >>> read_pickle(b"cos\\nsystem\\n(S'echo hello'\\ntR.").value
    Record(made_by=Name(module='os', name='system'), arguments=('echo hello',), state=None, \
items=None, elements=None)
    """
    machine = _Machine(data, start)
    try:
        return Unpickled(machine.run(), machine.position, machine.outside)
    except FormatError:
        raise
    except (IndexError, ValueError, OverflowError) as error:
        raise FormatError(
            f"the pickle is damaged at byte {machine.position}: {str(error)[:200]}"
        ) from None


class _Machine:
    """The state of one run: the bytes, the stack, and what the memo holds."""

    def __init__(self, data: bytes, start: int) -> None:
        self.data = data
        self.position = start
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under the marks
        self.memo: dict[int, Any] = {}
        self.outside: list[Outside] = []
        self.left = MOST_OPCODES
        self.bytes_left = len(data)

    def run(self) -> Any:
        data, end, find = self.data, len(self.data), HANDLERS.get
        while self.position < end:
            opcode = data[self.position]
            self.position += 1
            self.left -= 1
            handler = find(opcode)
            if handler is not None and self.left >= 0:
                handler(self)
            elif opcode == STOP:
                return self.stack.pop()
            else:
                self.spend(0)
                raise FormatError(
                    f"the pickle has the opcode {bytes([opcode])!r} at byte "
                    f"{self.position - 1}, which is unknown or is not for data"
                )
        raise FormatError("the pickle ends before its last opcode")

    def spend(self, count: int) -> None:
        """Count opcodes, and what one of them copies, up to the limit."""
        self.left -= count
        if self.left < 0:
            raise FormatError(f"the pickle is larger than {MOST_OPCODES} opcodes")

    # ---- bytes --------------------------------------------------------------------------

    def take(self, count: int) -> bytes:
        if not 0 <= count <= len(self.data) - self.position:
            raise FormatError("the pickle ends within a value")
        self.position += count
        return self.data[self.position - count : self.position]

    def count(self, size: int) -> int:
        """Read a number of some bytes that has no sign."""
        return int.from_bytes(self.take(size), "little")

    def byte(self) -> int:
        self.position += 1
        return self.data[self.position - 1]

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.position, self.position + LONGEST_LINE)
        if end < 0:
            raise FormatError("the pickle has a line without an end, or one that is too long")
        return self.take(end + 1 - self.position)[:-1]

    def text(self, size: int) -> str:
        """Read a text that has its length before it, in some bytes."""
        return self.take(self.count(size)).decode("utf-8", "surrogatepass")

    def old_text(self, size: int) -> str:
        """Read a ``str`` of Python 2, which does not say how it is encoded."""
        raw = self.take(self.count(size))
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw.decode("latin-1")

    def integer(self, size: int) -> int:
        size = self.count(size)
        if size > LONGEST_INTEGER:
            raise FormatError(f"the pickle has an integer of {size} bytes")
        return int.from_bytes(self.take(size), "little", signed=True)

    # ---- the stack ----------------------------------------------------------------------

    def pop_to_mark(self) -> list[Any]:
        above = self.stack
        self.stack = self.below.pop()
        return above

    def pop_tuple(self) -> tuple[Any, ...]:
        """Pop the arguments of a call."""
        arguments = self.stack.pop()
        if not isinstance(arguments, tuple):
            raise FormatError("the pickle makes a call whose arguments are no tuple")
        return arguments

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_to_mark()

    def push_last(self, count: int) -> None:
        """Replace the last values by a tuple of them."""
        if len(self.stack) < count:
            raise FormatError("the pickle makes a tuple of more values than there are")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def push_text_integer(self) -> None:
        raw = self.line()
        # Protocol 0 has no opcodes for the two truth values.
        values = {b"00": False, b"01": True}
        self.stack.append(values[raw] if raw in values else int(raw.rstrip(b"L")))

    def push_text_string(self) -> None:
        raw = self.line().strip()
        if len(raw) < 2 or raw[0] != raw[-1] or raw[:1] not in (b"'", b'"'):
            raise FormatError("the pickle has a string without quotes")
        self.stack.append(raw[1:-1].decode("unicode_escape"))

    # ---- the memo -----------------------------------------------------------------------

    def put(self, index: int) -> None:
        if index < 0:
            raise FormatError("the pickle has a negative place in its memo")
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise FormatError(f"the pickle reads place {index} of its memo, which is empty")
        self.stack.append(self.memo[index])

    # ---- containers ---------------------------------------------------------------------

    def set_items(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Record):
            if target.items is None:
                target.items = {}
            target = target.items
        if not isinstance(target, dict) or len(pairs) % 2:
            raise FormatError("the pickle sets items of something that is no mapping")
        _fill(target, pairs[::2], pairs[1::2])

    def append_all(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Record):
            if target.elements is None:
                target.elements = []
            target = target.elements
        if not isinstance(target, list):
            raise FormatError("the pickle appends to something that is no list")
        target.extend(values)

    def push_dict(self) -> None:
        pairs = self.pop_to_mark()
        self.stack.append({})
        self.set_items(pairs)

    # ---- objects, which stay records ----------------------------------------------------

    def push_name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise FormatError("the pickle has a name that is no text")
        self.stack.append(Name(module, name))

    def push_name_of_lines(self) -> None:
        module = self.line().decode()
        self.push_name(module, self.line().decode())

    def push_name_of_stack(self) -> None:
        name = self.stack.pop()
        self.push_name(self.stack.pop(), name)

    def call(self) -> None:
        arguments = self.pop_tuple()
        self.stack[-1] = self.made(self.stack[-1], arguments)

    def call_with_keywords(self) -> None:
        self.stack.pop()  # no tensor is made with keywords
        self.call()

    def push_instance_of_lines(self) -> None:
        self.push_name_of_lines()
        made_by = self.stack.pop()
        self.stack, arguments = self.below.pop(), self.stack
        self.stack.append(self.made(made_by, tuple(arguments)))

    def push_instance_of_stack(self) -> None:
        made_by, *arguments = self.pop_to_mark()
        self.stack.append(self.made(made_by, tuple(arguments)))

    def refer(self, value: Any) -> None:
        self.outside.append(Outside(value))
        self.stack.append(self.outside[-1])

    def set_state(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Record):
            target.state = state
        # An OrderedDict may have attributes, such as the versions of PyTorch's modules.
        elif not isinstance(target, dict):
            raise FormatError("the pickle sets the state of something that has none")

    def made(self, made_by: Any, arguments: tuple[Any, ...]) -> Any:
        """Return a container where the call makes one of plain data, or else a record."""
        if isinstance(made_by, Outside):  # a class of a module, beside its source
            parts = made_by.value if isinstance(made_by.value, tuple) else ()
            made_by = next((part for part in parts if isinstance(part, Name)), made_by)
        if made_by in OF_CLASS and arguments and isinstance(arguments[0], Name):
            made_by, arguments = arguments[0], ()
        if isinstance(made_by, Name) and made_by in DICTS:
            result: dict[Any, Any] = {}
            pairs = arguments[0] if arguments else ()
            if isinstance(pairs, list):  # Python 2 wrote [[key, value], ...]
                self.spend(len(pairs))
                pairs = [pair for pair in pairs if isinstance(pair, (list, tuple))]
                pairs = [pair for pair in pairs if len(pair) == 2]
                _fill(result, [pair[0] for pair in pairs], [pair[1] for pair in pairs])
            elif isinstance(pairs, dict):
                self.spend(len(pairs))
                result.update(pairs)
            return result
        if isinstance(made_by, Name) and len(arguments) == 1:
            (argument,) = arguments
            if made_by in SEQUENCES and isinstance(argument, (list, tuple)):
                return argument
            if made_by in BYTES and isinstance(argument, bytes):
                return argument
        if isinstance(made_by, Name) and made_by in BYTES and not arguments:
            return b""
        if made_by == ENCODE and len(arguments) == 2 and arguments[1] == "latin1":
            text = arguments[0]
            if isinstance(text, str):
                # Each text is encoded once, so all of them are not longer than the pickle.
                self.bytes_left -= len(text)
                if self.bytes_left < 0:
                    raise FormatError("the pickle encodes more text than it has")
                return text.encode("latin-1")
        return Record(made_by, arguments)


def _fill(target: dict[Any, Any], keys: list[Any], values: list[Any]) -> None:
    """Add items whose keys are plain; no parameter is found under another key."""
    for key, value in zip(keys, values, strict=True):
        is_text = key is None or isinstance(key, (str, bytes, bool))
        if is_text or (isinstance(key, int) and -LARGEST_KEY < key < LARGEST_KEY):
            target[key] = value


def _pushing(read: Callable[[_Machine], Any]) -> Callable[[_Machine], None]:
    """Return a handler that pushes what ``read`` returns."""

    def handler(machine: _Machine) -> None:
        value = read(machine)  # which may replace the stack
        machine.stack.append(value)

    return handler


STOP = ord(".")

#: What each opcode does. Those for out-of-band buffers and for the registry of extensions are
#: missing, because what they mean is not in the file.
HANDLERS: dict[int, Callable[[_Machine], Any]] = {
    code[0]: handler
    for code, handler in {
        # the frame of the program
        b"\x80": lambda m: m.take(1),
        b"\x95": lambda m: m.take(8),
        # the stack
        b"(": _Machine.mark,
        b"0": _Machine.pop,
        b"1": _Machine.pop_to_mark,
        b"2": _pushing(lambda m: m.stack[-1]),
        # the memo
        b"p": lambda m: m.put(int(m.line())),
        b"q": lambda m: m.put(m.byte()),
        b"r": lambda m: m.put(m.count(4)),
        b"\x94": lambda m: m.put(len(m.memo)),
        b"g": lambda m: m.get(int(m.line())),
        b"h": lambda m: m.get(m.byte()),
        b"j": lambda m: m.get(m.count(4)),
        # plain values
        b"N": _pushing(lambda m: None),
        b"\x88": _pushing(lambda m: True),
        b"\x89": _pushing(lambda m: False),
        b"I": _Machine.push_text_integer,
        b"L": _Machine.push_text_integer,
        b"J": _pushing(lambda m: int.from_bytes(m.take(4), "little", signed=True)),
        b"K": _pushing(_Machine.byte),
        b"M": _pushing(lambda m: m.count(2)),
        b"\x8a": _pushing(lambda m: m.integer(1)),
        b"\x8b": _pushing(lambda m: m.integer(4)),
        b"F": _pushing(lambda m: float(m.line())),
        b"G": _pushing(lambda m: struct.unpack(">d", m.take(8))[0]),
        b"S": _Machine.push_text_string,
        b"T": _pushing(lambda m: m.old_text(4)),
        b"U": _pushing(lambda m: m.old_text(1)),
        b"V": _pushing(lambda m: m.line().decode("raw_unicode_escape")),
        b"X": _pushing(lambda m: m.text(4)),
        b"\x8c": _pushing(lambda m: m.text(1)),
        b"\x8d": _pushing(lambda m: m.text(8)),
        b"B": _pushing(lambda m: m.take(m.count(4))),
        b"C": _pushing(lambda m: m.take(m.count(1))),
        b"\x8e": _pushing(lambda m: m.take(m.count(8))),
        b"\x96": _pushing(lambda m: m.take(m.count(8))),
        # containers
        b")": _pushing(lambda m: ()),
        b"\x85": lambda m: m.push_last(1),
        b"\x86": lambda m: m.push_last(2),
        b"\x87": lambda m: m.push_last(3),
        b"t": _pushing(lambda m: tuple(m.pop_to_mark())),
        b"]": _pushing(lambda m: []),
        b"l": _pushing(lambda m: m.pop_to_mark()),
        b"a": lambda m: m.append_all([m.stack.pop()]),
        b"e": lambda m: m.append_all(m.pop_to_mark()),
        b"}": _pushing(lambda m: {}),
        b"d": _Machine.push_dict,
        b"s": lambda m: m.set_items([m.stack.pop(-2), m.stack.pop()]),
        b"u": lambda m: m.set_items(m.pop_to_mark()),
        b"\x8f": _pushing(lambda m: []),  # a set
        b"\x90": lambda m: m.append_all(m.pop_to_mark()),
        b"\x91": _pushing(lambda m: m.pop_to_mark()),  # a frozenset
        # objects
        b"c": _Machine.push_name_of_lines,
        b"\x93": _Machine.push_name_of_stack,
        b"R": _Machine.call,
        b"\x81": _Machine.call,
        b"\x92": _Machine.call_with_keywords,
        b"i": _Machine.push_instance_of_lines,
        b"o": _Machine.push_instance_of_stack,
        b"b": _Machine.set_state,
        b"P": lambda m: m.refer(m.line().decode()),
        b"Q": lambda m: m.refer(m.stack.pop()),
    }.items()
}
