"""Writes files as ``torch.save`` does, without PyTorch and without a pickler.

A pickle is put together from its opcodes by hand. So the tests of the reader do not depend on
what PyTorch or Python's pickler happen to write, and can also write what neither would.
"""

import io
import json
import struct
import zipfile

import numpy as np

STORAGES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "int16": "ShortStorage",
    "int32": "IntStorage",
    "int64": "LongStorage",
    "bool": "BoolStorage",
    "complex64": "ComplexFloatStorage",
    "complex128": "ComplexDoubleStorage",
}
MAGIC = bytes.fromhex("6cfc9c46f9206aa85019")


# ---- values as opcodes --------------------------------------------------------------------


def text(value):
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def integer(value):
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def value(item):
    """Return the opcodes of a plain value; bytes are opcodes already."""
    if isinstance(item, bytes):
        return item
    if item is None:
        return b"N"
    if isinstance(item, bool):
        return b"\x88" if item else b"\x89"
    if isinstance(item, int):
        return integer(item)
    if isinstance(item, float):
        return b"G" + struct.pack(">d", item)
    if isinstance(item, str):
        return text(item)
    if isinstance(item, tuple):
        return b"(" + b"".join(map(value, item)) + b"t"
    if isinstance(item, list):
        return b"](" + b"".join(map(value, item)) + b"e"
    return b"}" + items(item)


def items(mapping):
    return b"(" + b"".join(value(key) + value(item) for key, item in mapping.items()) + b"u"


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def call(module, attribute, *arguments):
    return name(module, attribute) + value(tuple(arguments)) + b"R"


def ordered(mapping):
    """An OrderedDict, with an attribute as the state dict of a module has it."""
    attribute = value({"_metadata": call("collections", "OrderedDict")})
    return call("collections", "OrderedDict") + items(mapping) + attribute + b"b"


def module(class_module, class_name, state):
    """An object of a class that the reader does not have, with its attributes."""
    return name(class_module, class_name) + b")\x81" + value(state) + b"b"


def pickled(item):
    return b"\x80\x02" + value(item) + b"."


# ---- tensors --------------------------------------------------------------------------------


class Storages:
    """The storages of one file: arrays become tensors in its pickle, and bytes beside it."""

    def __init__(self, order="<", is_legacy=False):
        self.order = order
        self.is_legacy = is_legacy
        self.raw = []
        self.counts = []

    def add(self, numbers, kind=None):
        """Store an array; return the opcodes of the reference to it."""
        numbers = np.asarray(numbers)
        dtype = numbers.dtype.newbyteorder(self.order)
        self.raw.append(numbers.astype(dtype).tobytes())
        self.counts.append(numbers.size)
        return self.reference(
            len(self.raw) - 1, kind or STORAGES[numbers.dtype.name], numbers.size
        )

    def reference(self, key, kind, count, *more):
        view = (None,) if self.is_legacy else ()
        what = ("storage", name("torch", kind), str(key), "cpu", count, *(more or view))
        return value(what) + b"Q"

    def tensor(self, array):
        """Store a contiguous array; return the opcodes of the tensor."""
        array = np.asarray(array)
        steps = tuple(step // 8 for step in np.zeros(array.shape).strides)
        return view(self.add(array.ravel()), 0, array.shape, steps)


def view(storage, offset, shape, strides, *more):
    """A tensor as a view of a storage."""
    hooks = call("collections", "OrderedDict")
    rest = (storage, offset, tuple(shape), tuple(strides), False, hooks, *more)
    return call("torch._utils", "_rebuild_tensor_v2", *rest)


# ---- files ----------------------------------------------------------------------------------


def archive(members, compression=zipfile.ZIP_STORED):
    """A zip archive of members by name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for member, data in members.items():
            file.writestr(zipfile.ZipInfo(member), data, compression)
    return buffer.getvalue()


def zip_file(pickle, storages, root="archive", order="little", **more):
    """A file of PyTorch 1.6 or later, from the bytes of its pickle."""
    members = {f"{root}/data.pkl": pickle}
    if order is not None:
        members[f"{root}/byteorder"] = order.encode()
    for key, raw in enumerate(storages.raw):
        members[f"{root}/data/{key}"] = raw
    return archive(members | {f"{root}/version": b"3\n"} | more)


def legacy_file(pickle, storages):
    """A file of PyTorch 1.5 or earlier, from the bytes of its pickle."""
    start = (
        b"\x80\x02\x8a\x0a"
        + MAGIC
        + b"."
        + pickled(1001)
        + pickled({"little_endian": True, "protocol_version": 1001})
    )
    keys = pickled([str(key) for key in range(len(storages.raw))])
    stored = b"".join(
        struct.pack("<q", count) + raw
        for count, raw in zip(storages.counts, storages.raw, strict=True)
    )
    return start + pickle + keys + stored


def saved(make, *, is_legacy=False, order="<", **options):
    """A file with what ``make`` returns: it gets the :class:`Storages` and returns a value."""
    storages = Storages(order, is_legacy)
    pickle = pickled(make(storages))
    if is_legacy:
        return legacy_file(pickle, storages)
    stated = {"<": "little", ">": "big"}[order]
    return zip_file(pickle, storages, **{"order": stated} | options)


def state_dict(arrays, **options):
    """A file with a state dict of arrays."""
    return saved(
        lambda storages: ordered({key: storages.tensor(a) for key, a in arrays.items()}),
        **options,
    )


# ---- files with a GRU ------------------------------------------------------------------------

I, H = 4, 3


def parameters(I=I, H=H, layers=1, directions=1, bias=True, dtype=np.float32, seed=0):
    """Random parameters with the names of ``torch.nn.GRU``."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for layer in range(layers):
        for suffix in ("", "_reverse")[:directions]:
            width = directions * H if layer else I
            arrays[f"weight_ih_l{layer}{suffix}"] = rng.normal(size=(3 * H, width))
            arrays[f"weight_hh_l{layer}{suffix}"] = rng.normal(size=(3 * H, H))
            if bias:
                arrays[f"bias_ih_l{layer}{suffix}"] = rng.normal(size=3 * H)
                arrays[f"bias_hh_l{layer}{suffix}"] = rng.normal(size=3 * H)
    return {name: array.astype(dtype) for name, array in arrays.items()}


def under(prefix, arrays):
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def gru_module(storages, arrays, **attributes):
    """A ``torch.nn.GRU`` as it is pickled."""
    tensors = {name: storages.tensor(array) for name, array in arrays.items()}
    members = {
        name: call("torch._utils", "_rebuild_parameter", tensor, True, value({}))
        for name, tensor in tensors.items()
    }
    state = {
        "training": False,
        "mode": "GRU",
        "_parameters": ordered(members),
        "_buffers": {},
        "_modules": {},
        "_flat_weights": [next(iter(tensors.values()))],
        "_all_weights": [list(arrays)],
    }
    return module("torch.nn.modules.rnn", "GRU", state | attributes)


def pickled_alone(arrays):
    """A state dict as Python's own pickler writes it: with a whole file for each storage."""

    def tensor(array):
        inner = saved(lambda storages: storages.add(array.ravel()), is_legacy=True)
        raw = b"B" + struct.pack("<I", len(inner)) + inner
        storage = call("torch.storage", "_load_from_bytes", raw)
        steps = tuple(step // array.itemsize for step in array.strides)
        return view(storage, 0, array.shape, steps)

    return pickled({name: tensor(array) for name, array in arrays.items()})


def safetensors(arrays, notes=None, header=None):
    """A safetensors file, without the package."""
    kinds = {"float32": "F32", "float64": "F64", "float16": "F16", "uint16": "BF16"}
    kinds |= {"int32": "I32", "int64": "I64", "bool": "BOOL", "uint8": "U8"}
    entries, raw = {}, b""
    for name, array in arrays.items():
        data = np.ascontiguousarray(array).tobytes()
        entries[name] = {
            "dtype": kinds[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [len(raw), len(raw) + len(data)],
        }
        raw += data
    if notes is not None:
        entries["__metadata__"] = notes
    text = json.dumps(entries if header is None else header(entries)).encode()
    return struct.pack("<Q", len(text)) + text + raw
