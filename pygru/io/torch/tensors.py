"""Makes arrays of the tensors that a file of PyTorch describes.

A tensor is a view of a storage: an offset, a shape and strides. Several tensors may share one
storage, as tied weights do. The pickle describes the views, and the numbers are elsewhere. Here
the description is checked against the storage, and the array becomes a view too, read-only, so
that no description can make more memory of a storage than it has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pygru.errors import FormatError
from pygru.io.torch.pickles import Name, Outside, Record

#: The numbers of each kind of storage, by PyTorch's names.
STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "untyped",
    "_UntypedStorage": "untyped",
}
DTYPES = {*STORAGES.values(), "uint16", "uint32", "uint64"} - {"untyped"}
SIZES = {"bfloat16": 2, "untyped": 1}  # bytes of a number that NumPy has no dtype for

#: What Python's own pickler makes a storage with.
INSIDE = "torch.storage._load_from_bytes"

#: Why a tensor on PyTorch's device ``meta`` cannot be read.
META = "it is a tensor of the device 'meta', where a tensor has a shape and no numbers"

Order: TypeAlias = Literal["<", ">"]  # of bytes, as NumPy writes it

MOST_AXES = 32  # the limit of NumPy 1
#: Elements that a tensor may have beyond those of its storage, by a stride of zero.
MOST_REPEATED = 2**20


@dataclass(frozen=True, slots=True)
class Storage:
    """Numbers in a file: ``count`` of ``dtype``, under ``key``, beginning at ``first``.

    ``inside`` is a file of the old format within the pickle, if the numbers are in one.
    """

    key: str
    dtype: str
    count: int
    first: int = 0
    inside: bytes | None = None


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor that is known to lie within its storage, but has not been read."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A tensor that is no array of numbers, and why."""

    reason: str


def item_size(dtype: str) -> int:
    """Return the bytes of one number of a storage."""
    return SIZES.get(dtype) or np.dtype(dtype).itemsize


def as_tensor(value: Any) -> StoredTensor | Unreadable | None:
    """Return the tensor that a record describes, or None if it describes something else.

    Raises
    ------
    FormatError
        If the description is damaged, or does not fit the storage.
    """
    for _ in range(4):  # a parameter holds a tensor, which may be of a class of its own
        if not isinstance(value, Record) or not isinstance(value.made_by, Name):
            return None
        name, arguments = str(value.made_by), value.arguments
        if name == "torch.ScriptObject":
            return Unreadable("it is a packed object, as in a quantised layer")
        if name == "torch._tensor._rebuild_from_type_v2" and len(arguments) >= 3:
            made_by, _, inner, *_ = arguments
            value = Record(made_by, inner if isinstance(inner, tuple) else ())
        elif name in (
            "torch._utils._rebuild_parameter",
            "torch._utils._rebuild_parameter_with_state",
            "torch.nn.parameter.Parameter",
            "torch.nn.parameter.Buffer",
        ):
            value = arguments[0] if arguments else None
        else:
            break
    if not isinstance(value, Record):
        return None
    return _rebuilt(name, arguments)


def _rebuilt(name: str, arguments: tuple[Any, ...]) -> StoredTensor | Unreadable | None:
    """Return what one of PyTorch's functions that rebuild tensors is to make."""
    function = name.removeprefix("torch._utils.")
    if function in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"):
        if len(arguments) < 4:
            raise FormatError("the pickle describes a tensor without a shape or strides")
        dtype, metadata = None, None
        if function == "_rebuild_tensor_v3":
            dtype, metadata = (*arguments[6:8], None, None)[:2]
            if not isinstance(dtype, Name) or dtype.module != "torch":
                raise FormatError("the pickle describes a tensor without a dtype")
            if dtype.name not in DTYPES:
                return Unreadable(f"its numbers are torch.{dtype.name[:80]}")
        elif len(arguments) > 6:
            metadata = arguments[6]
        if isinstance(metadata, dict) and any(metadata.values()):
            return Unreadable("it is a conjugated or negated view")
        stated = None if dtype is None else dtype.name
        return _view(arguments[0], arguments[1], arguments[2], arguments[3], stated)
    if function == "_rebuild_qtensor":
        return Unreadable("it is quantised")
    if function == "_rebuild_meta_tensor_no_storage":
        return Unreadable(META)
    if function.startswith("_rebuild_") and name.startswith("torch._utils."):
        what = function.removeprefix("_rebuild_").replace("_", " ")
        return Unreadable(f"it is stored as a {what[:80]}")
    return None


def _view(
    reference: Any, offset: Any, shape: Any, strides: Any, dtype: str | None
) -> StoredTensor | Unreadable:
    """Return a view of a storage, after checking that the storage contains it."""
    storage = as_storage(reference)
    if isinstance(storage, Unreadable):
        return storage
    if not _are_sizes(shape) or not _are_sizes(strides) or len(shape) != len(strides):
        raise FormatError("the pickle describes a tensor with an impossible shape or strides")
    if len(shape) > MOST_AXES:
        raise FormatError(f"the pickle describes a tensor of {len(shape)} axes")
    if not _are_sizes((offset,)):
        raise FormatError("the pickle describes a tensor with an impossible offset")
    if dtype is None:
        dtype = storage.dtype
        count = storage.count
    else:
        count = storage.count * item_size(storage.dtype) // item_size(dtype)
    if dtype == "untyped":
        raise FormatError("the pickle describes a tensor whose numbers have no dtype")
    size = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if size and last >= count:
        raise FormatError(
            f"the pickle describes a tensor of shape {shape} that ends beyond its storage "
            f"of {count} numbers"
        )
    if size > count + MOST_REPEATED:
        raise FormatError(
            f"the pickle describes a tensor of shape {shape} in a storage of {count} numbers"
        )
    return StoredTensor(storage, dtype, offset, tuple(shape), tuple(strides))


def _are_sizes(values: Any) -> bool:
    """Whether all of some values are sizes that memory can have."""
    return isinstance(values, (tuple, list)) and all(
        type(value) is int and 0 <= value < 2**48 for value in values
    )


def as_storage(reference: Any) -> Storage | Unreadable:
    """Return what a reference to a storage says.

    Raises
    ------
    FormatError
        If it is no reference to a storage.
    """
    if isinstance(reference, Record) and str(reference.made_by) == INSIDE:
        return _storage_inside(reference)
    value = reference.value if isinstance(reference, Outside) else None
    if not isinstance(value, tuple) or len(value) not in (5, 6):
        raise FormatError("the pickle describes a tensor without a storage")
    what, kind, key, _, count = value[:5]
    # The old format of PyTorch 0.4 and before has views of storages in the reference.
    view = value[5] if len(value) == 6 else None
    if _text(what) != "storage" or not isinstance(kind, Name) or not _are_sizes((count,)):
        raise FormatError("the pickle describes a tensor without a storage")
    if kind.name not in STORAGES or not kind.module.startswith("torch"):
        if kind.name.startswith(("QInt", "QUInt")):
            return Unreadable("it is quantised")
        return Unreadable(f"its numbers are a {kind}")
    key = str(key)[:200] if isinstance(key, int) else _text(key)
    if not isinstance(key, str) or len(key) > 200:
        raise FormatError("the pickle describes a storage without a name")
    first = 0
    if view is not None:
        if not isinstance(view, tuple) or len(view) != 3 or not _are_sizes(view[1:]):
            raise FormatError("the pickle describes a damaged view of a storage")
        _, first, count = view
    return Storage(key, STORAGES[kind.name], count, first)


def _storage_inside(record: Record) -> Storage | Unreadable:
    """Return a storage that Python's pickler has written: as a whole file within the pickle.

    Raises
    ------
    FormatError
        If it is no such file.
    """
    from pygru.io.torch.legacy import read_legacy  # which needs this module

    data = record.arguments[0] if record.arguments else None
    legacy = read_legacy(data) if isinstance(data, bytes) else None
    if legacy is None or not isinstance(legacy.value, Outside):
        raise FormatError("the pickle describes a tensor without a storage")
    storage = as_storage(legacy.value)
    if isinstance(storage, Unreadable):
        return storage
    return replace(storage, inside=data)


def tuple_of(value: Any) -> tuple[Any, ...]:
    """Return the parts of a list or a tuple; nothing else has parts."""
    return tuple(value) if isinstance(value, (list, tuple)) else ()


def _text(value: Any) -> Any:
    """A text of Python 2 may have been written as bytes."""
    return value.decode("latin-1") if isinstance(value, bytes) else value


def numbers_of(storage: Storage, dtype: str, raw: bytes, order: Order) -> NDArray[Any]:
    """Return the numbers of a storage, given its bytes in the file.

    Parameters
    ----------
    storage : Storage
    dtype : str
        What the numbers are, which the tensor says if the storage does not.
    raw : bytes
        The bytes; there may be more than the storage has.
    order : {"<", ">"}
        The byte order of the numbers.

    Raises
    ------
    FormatError
        If there are fewer bytes than the pickle says.
    """
    size = item_size(storage.dtype)
    begin, end = storage.first * size, (storage.first + storage.count) * size
    if end > len(raw):
        raise FormatError(f"the storage {storage.key!r} has {len(raw)} bytes instead of {end}")
    count = (end - begin) // item_size(dtype)
    return widened(np.frombuffer(raw, np.uint8, count * item_size(dtype), begin), dtype, order)


def as_array(tensor: StoredTensor, numbers: NDArray[Any]) -> NDArray[Any]:
    """Return a tensor as a view of the numbers of its storage, which cannot be written."""
    begin = tensor.offset if math.prod(tensor.shape) else 0
    strides = tuple(step * numbers.itemsize for step in tensor.strides)
    try:
        return np.lib.stride_tricks.as_strided(
            numbers[begin:], tensor.shape, strides, writeable=False
        )
    except ValueError as error:  # an empty array with axes beyond the memory
        raise FormatError(f"a tensor of shape {tensor.shape}: {error}") from None


def widened(raw: NDArray[np.uint8], dtype: str, order: Order) -> NDArray[Any]:
    """Return bytes as numbers in the machine's order; bfloat16 becomes float32, exactly.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru.io.torch.tensors import widened
    >>> widened(np.array([0x80, 0x3F], np.uint8), "bfloat16", "<")
    array([1.], dtype=float32)
    """
    if dtype == "bfloat16":
        halves = raw.view(np.dtype(f"{order}u2")).astype(np.uint32)
        return (halves << 16).view(np.float32)
    if dtype == "bool":
        return np.not_equal(raw, 0)  # NumPy knows no truth value but the bytes 0 and 1
    numbers = raw.view(np.dtype(dtype).newbyteorder(order))
    return (
        numbers if numbers.dtype.isnative else numbers.astype(numbers.dtype.newbyteorder("="))
    )
