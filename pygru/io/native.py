"""pygru's model files: safetensors, with the configuration in the metadata.

Nothing in such a file is executed. The header is checked against the configuration, name by
name and shape by shape, before any array is made; the arrays are read by the safetensors
package, which checks their offsets.
"""

import json
import struct

import numpy as np
import safetensors
import safetensors.numpy

from pygru.core import validation
from pygru.errors import FormatError
from pygru.gru import GRU
from pygru.io.files import read_regular_file, write_atomically
from pygru.nn.attention import Attention
from pygru.nn.embedding import Embedding
from pygru.nn.layers import Dropout, Last, Linear
from pygru.nn.model import Model
from pygru.nn.seq2seq import Seq2Seq
from pygru.nn.sequential import Sequential

FORMAT_VERSION = 1
HEADER_LIMIT = 2**20
# A checkpoint is a model file with more tensors, under names that begin with this.
CHECKPOINT = "checkpoint/"
CLASSES = {
    cls.__name__: cls
    for cls in (GRU, Embedding, Linear, Dropout, Last, Attention, Seq2Seq, Sequential)
}
DTYPES = {"F32": "float32", "F64": "float64"}


def save(model, path, metadata=None):
    """Save a model to a ``.safetensors`` file, atomically.

    Parameters
    ----------
    model : GRU, Sequential or layer
        What to save: its configuration and its parameters. It may consist of layers of your
        own; :func:`load` must then be given their classes.
    path : path-like
        An existing file is replaced, and stays intact if saving fails.
    metadata : dict, optional
        More to keep beside the model, as JSON.

    Raises
    ------
    TypeError
        If the model is of an unknown class, or its configuration or the metadata is not JSON.
    ValueError
        If a layer of your own could not be loaded: its parameters are not those that its
        ``parameter_shapes`` makes of its ``get_config``, or ``from_config`` refuses that.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile, pygru
    >>> path = os.path.join(tempfile.mkdtemp(), "gru.safetensors")
    >>> pygru.save(pygru.GRU(2, 3, seed=0), path)
    >>> pygru.load(path)
    GRU(2, 3, variant='chung', dtype='float32')
    """
    description = describe(model)
    write_atomically(path, to_bytes(description, model.state_dict(), metadata))


def to_bytes(description, arrays, metadata=None, notes=()):
    """A model file of ``arrays`` by name; ``notes`` are (name, text) for its header."""
    text = {
        "format": "pygru",
        "format_version": str(FORMAT_VERSION),
        "config": json.dumps(description),
        "metadata": json.dumps(metadata or {}),
        **dict(notes),
    }
    return _in_fixed_order(safetensors.numpy.save(arrays, text))


def load(path, *, check_finite=False, layers=None):
    """Load a model that :func:`save` has written.

    Parameters
    ----------
    path : path-like
        The file.
    check_finite : bool
        Whether to refuse NaN and infinities among the parameters.
    layers : mapping of str to class, optional
        The classes of your own layers that the file may name, such as ``{"Scale": Scale}``.
        The file holds their names and arguments, and no code.

    Returns
    -------
    GRU, Sequential or layer

    Raises
    ------
    FormatError
        If the file is not a pygru model, is damaged, was written by a newer pygru, or names a
        class that is neither pygru's nor among ``layers``.
    OSError
        If the file cannot be read.
    TypeError
        If ``layers`` is no mapping from names to classes of layers.
    ValueError
        If a parameter is not finite and ``check_finite`` is given.

    Examples
    --------
    >>> import os, tempfile, pygru
    >>> path = os.path.join(tempfile.mkdtemp(), "linear.safetensors")
    >>> pygru.save(pygru.Linear(3, 1, seed=0), path)
    >>> pygru.load(path)([[0.0, 0.0, 0.0]]).shape
    (1, 1)
    """
    classes = _with_own(layers)
    description, shapes, _, _, arrays = read_file(path, classes)
    if check_finite:
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise ValueError(f"{name} contains NaN or infinity")
    try:
        model = _build(description, classes)
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"the configuration is not valid: {error}") from None
    model.load_state_dict({name: arrays[name] for name in shapes})
    return model


def read_file(path, classes=CLASSES):
    """Return what a model file holds, its header checked against its configuration.

    Parameters
    ----------
    path : path-like
    classes : mapping of str to class
        Those that the file may name; pygru's by default.

    Returns
    -------
    description : dict
        Class and configuration of the model.
    shapes : dict
        (dtype, shape) of the model's parameters by name.
    metadata : dict
    notes : dict
        All texts of the header.
    arrays : dict of str to ndarray
    """
    data = read_regular_file(path)
    header = _read_header(data, classes)
    try:
        return *header, safetensors.numpy.load(data)
    except safetensors.SafetensorError as error:
        raise FormatError(f"damaged file: {error}") from None


def read_metadata(path):
    """Return the ``metadata`` dict that was given to :func:`save`.

    Raises
    ------
    FormatError, OSError
        As :func:`load`.
    """
    return _read_header(read_regular_file(path), None)[2]


def _in_fixed_order(data):
    """The same file with a sorted header: the package writes the metadata in random order.

    Equal models then give equal files.
    """
    (length,) = struct.unpack("<Q", data[:8])
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)  # the arrays stay aligned
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


# ---- descriptions ------------------------------------------------------------------------


def describe(model):
    """A model as JSON: class name and configuration, or the layers that it consists of."""
    name = validation.type_name(model)
    known = CLASSES.get(name)
    if known is not None and type(model) is not known:
        raise TypeError(
            f"cannot save a {name} that is not pygru's: give your class another name"
        )
    if known is None and (not isinstance(model, Model) or model.layers is not None):
        raise TypeError(f"cannot save a {name}")
    if isinstance(model, Model) and model.layers is not None:
        return {"class": name, "layers": [describe(layer) for layer in model.layers]}
    description = {"class": name, "config": model.get_config()}
    if known is None:
        _check_own(model, description)
    return description


def _check_own(model, description):
    """Refuse a layer of the user's that could not be loaded again."""
    name = description["class"]
    try:
        description = json.loads(json.dumps(description))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}.get_config() must return JSON: {error}") from None
    expected = _shapes(description, len(model.parameters), {name: type(model)})
    found = {key: (view.dtype.name, view.shape) for key, view in model.parameters.items()}
    if expected != found:
        raise ValueError(
            f"cannot save a {name}: its parameters are {found}, but parameter_shapes and the "
            f"dtype of its get_config() make {expected}"
        )
    try:
        type(model).from_config(description["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"cannot save a {name}: its get_config() does not make a new one: {error}"
        ) from None


def _with_own(layers):
    """The classes that a file may name: pygru's, and those of the user."""
    if layers is None:
        return CLASSES
    validation.check_mapping("layers", layers)
    for name, cls in layers.items():
        if not (isinstance(cls, type) and issubclass(cls, Model)):
            raise TypeError(
                f"layers[{name!r}] must be a class derived from pygru.Layer, "
                f"got {cls if isinstance(cls, type) else validation.type_name(cls)}"
            )
        if name in CLASSES:
            raise ValueError(f"layers must not hold {name!r}, the name of a class of pygru")
    return CLASSES | dict(layers)


def classes_of(model):
    """The classes that a file of this model may name: pygru's, and those of its own layers."""
    parts = model.layers or (model,)
    return {type(part).__name__: type(part) for part in parts} | CLASSES


def _class(description, classes):
    """The class that a description names."""
    name = description["class"]
    if not isinstance(name, str) or name not in classes:
        raise FormatError(
            f"the configuration is not valid: it names the class {str(name)[:80]!r}, which is "
            "none of pygru's; the class of a layer of your own must be passed to load, as "
            "layers={name: class}"
        )
    return classes[name]


def _build(description, classes):
    cls = _class(description, classes)
    if cls is Sequential:
        return cls(*(_build(layer, classes) for layer in description["layers"]))
    return cls.from_config(description["config"])


def _shapes(description, at_most, classes, prefix=""):
    """Name -> (dtype, shape) of every parameter, computed without allocating anything.

    ``at_most`` is the number of tensors in the file: a configuration with more layers than
    that is refused before its layers are counted out.
    """
    cls = _class(description, classes)
    if cls is Sequential:
        shapes = {}
        for index, layer in enumerate(description["layers"]):
            if layer["class"] == "Sequential":
                raise ValueError("a Sequential inside a Sequential")
            shapes.update(_shapes(layer, at_most, classes, f"{index}."))
        return shapes
    config = dict(description["config"])
    for name, value in config.items() if cls.__name__ in CLASSES else ():
        if value is not None and name.endswith(
            ("_size", "_features", "_layers", "_embeddings", "_dim")
        ):
            validation.check_int(name, value, 1)
    if cls.__name__ in CLASSES and config.get("num_layers", 0) > at_most:
        raise ValueError(f"num_layers={config['num_layers']} with {at_most} tensors")
    dtype = validation.check_dtype(config.get("dtype", "float32")).name
    return {
        prefix + name: (dtype, tuple(shape))
        for name, shape in cls.parameter_shapes(config).items()
    }


# ---- the header --------------------------------------------------------------------------


def _refuse_duplicates(pairs):
    result = dict(pairs)
    if len(result) != len(pairs):
        raise FormatError("the header has a duplicate key")
    return result


def _parse(what, text):
    try:
        return json.loads(text, object_pairs_hook=_refuse_duplicates)
    except (ValueError, RecursionError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{what} is not valid JSON: {error}") from None


def _read_header(data, classes):
    """Check the header; return description, expected shapes, metadata and all its texts.

    ``classes`` are those that the file may name. With None only what needs no class is
    checked, and there are no shapes.
    """
    if len(data) < 8:
        raise FormatError(f"file too short for a safetensors header ({len(data)} bytes)")
    (length,) = struct.unpack("<Q", data[:8])
    if length > len(data) - 8:
        if data[:1] == b"\x80" and data[1] <= 5:
            raise FormatError(
                "not a pygru model file (looks like a pickle); pygru never unpickles"
            )
        if data[:4] == b"PK\x03\x04":
            raise FormatError("not a pygru model file (looks like a zip or npz file)")
        raise FormatError(f"header length {length} exceeds file size {len(data)}")
    if length > HEADER_LIMIT:
        raise FormatError(f"header length {length} exceeds the limit of {HEADER_LIMIT}")
    try:
        text = data[8 : 8 + length].decode()
    except UnicodeDecodeError:
        raise FormatError("the header is not UTF-8") from None
    if not text.startswith("{"):
        raise FormatError("the header does not start with '{'")
    header = _parse("the header", text)
    notes = header.pop("__metadata__", {})
    if not isinstance(notes, dict) or notes.get("format") != "pygru":
        raise FormatError("not a pygru model file: its metadata does not say format=pygru")
    version = notes.get("format_version", "")
    if not isinstance(version, str) or not version.isdigit():
        raise FormatError(f"format_version must be a number, got {version!r}")
    if int(version) > FORMAT_VERSION:
        raise FormatError(
            f"file was written by a newer pygru (format {version}); "
            f"this version reads up to {FORMAT_VERSION}"
        )
    for name in ("config", "metadata"):
        if not isinstance(notes.get(name), str):
            raise FormatError(f"the metadata has no {name}")
    description = _parse("the configuration", notes["config"])
    shapes = {}
    try:
        if classes is not None:
            shapes = _shapes(description, len(header), classes)
            _check_tensors(header, shapes, "checkpoint" in notes)
    except FormatError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"the configuration is not valid: {error!r}") from None
    return description, shapes, _parse("the metadata", notes["metadata"]), notes


def _check_tensors(header, shapes, is_checkpoint):
    """Compare the tensors that the header lists with those that the configuration needs."""
    missing = [name for name in shapes if name not in header]
    if missing:
        raise FormatError(f"missing tensors: {', '.join(missing)}")
    unexpected = [
        name
        for name in header
        if name not in shapes and not (is_checkpoint and name.startswith(CHECKPOINT))
    ]
    if unexpected:
        raise FormatError(f"unexpected tensors: {', '.join(unexpected)}")
    for name, (dtype, shape) in shapes.items():
        entry = header[name]
        if DTYPES.get(entry["dtype"]) != dtype:
            raise FormatError(f"{name} must have dtype {dtype}, got {entry['dtype']}")
        if any(type(size) is not int for size in entry["shape"]):
            raise FormatError(f"{name} has a shape that is not made of integers")
        if tuple(entry["shape"]) != shape:
            raise FormatError(f"{name} must have shape {shape}, got {tuple(entry['shape'])}")
