"""pygru's model files: safetensors, with the configuration in the metadata.

Nothing in such a file is executed. The header is checked against the configuration, name by
name and shape by shape, before any array is read; the arrays are then read by the safetensors
package, which checks their offsets.
"""

import contextlib
import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pygru.core import memory, validation
from pygru.errors import FormatError, InternalError
from pygru.gru import GRU
from pygru.io.files import named_in_errors, open_regular_file, write_atomically
from pygru.io.header import (
    FORMAT_VERSION,
    HEADER_LIMIT,
    check_tensors,
    parse_json,
    read_header,
)
from pygru.io.json_values import check_json_object
from pygru.nn.activation import Activation
from pygru.nn.attention import Attention
from pygru.nn.attention_pooling import AttentionOverTime
from pygru.nn.dropout import Dropout
from pygru.nn.embedding import Embedding
from pygru.nn.feature_scale import FeatureScale
from pygru.nn.last import Last
from pygru.nn.layer_norm import LayerNorm
from pygru.nn.linear import Linear
from pygru.nn.masking import Masking
from pygru.nn.model import Model
from pygru.nn.pooling import MaxOverTime, MeanOverTime
from pygru.nn.seq2seq import Seq2Seq
from pygru.nn.sequential import Sequential
from pygru.quantized.gru import QuantizedGRU
from pygru.typing import Path

#: What the description of a model in a file may name, and what each name means.
Classes: TypeAlias = Mapping[str, type[Any]]

#: The dtype and the shape of each parameter by name.
Shapes: TypeAlias = dict[str, tuple[str, tuple[int, ...]]]

# A checkpoint is a model file with more tensors, under names that begin with this.
CHECKPOINT = "checkpoint/"
CLASSES: Classes = {
    cls.__name__: cls
    for cls in (
        GRU,
        QuantizedGRU,
        Embedding,
        Masking,
        Linear,
        Dropout,
        Activation,
        LayerNorm,
        FeatureScale,
        Last,
        MeanOverTime,
        MaxOverTime,
        AttentionOverTime,
        Attention,
        Seq2Seq,
        Sequential,
    )
}


class Contents(NamedTuple):
    """What a model file holds; see :func:`read_file`."""

    description: dict[str, Any]
    shapes: Shapes
    metadata: dict[str, Any]
    notes: dict[str, str]
    arrays: dict[str, NDArray[Any]]


def save(model: Model, path: Path | bytes, metadata: dict[str, Any] | None = None) -> None:
    """Save a model to a ``.safetensors`` file, atomically.

    Parameters
    ----------
    model : GRU, Sequential or layer
        What to save: its configuration and its parameters. It may consist of layers of your
        own; :func:`load` must then be given their classes.
    path : path-like
        An existing file is replaced, and stays intact if saving fails.
    metadata : dict, optional
        More to keep beside the model, as JSON. Tuples become lists. All texts of a file
        together may take 1 MiB.

    Raises
    ------
    TypeError
        If the model is of an unknown class, or its configuration or the metadata is not JSON.
    ValueError
        If the metadata is too large, or if a layer of your own could not be loaded: its
        parameters are not those that its ``parameter_shapes`` makes of its ``get_config``, or
        ``from_config`` refuses that.
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


def _check_memory_for(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raise MemoryError if the writer would not get its memory: it would end the process then.

    It holds the bytes of all arrays three times: as an argument, while it writes, and as its
    result. The memory is given back at once, without having been used.
    """
    size = sum(array.nbytes for array in arrays.values())
    memory.allocate(3 * size + HEADER_LIMIT, np.uint8, "the contents of a file")


def to_bytes(
    description: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, Any] | None = None,
    notes: Iterable[tuple[str, str]] = (),
) -> bytes:
    """A model file of ``arrays`` by name; ``notes`` are (name, text) for its header.

    Raises
    ------
    TypeError, ValueError
        If the metadata is not JSON, or the header would be too large to be read again.
    """
    if metadata is not None:
        check_json_object("metadata", metadata)
    text = {
        "format": "pygru",
        "format_version": str(FORMAT_VERSION),
        "config": json.dumps(description),
        "metadata": json.dumps(metadata or {}),
        **dict(notes),
    }
    import safetensors.numpy  # here, so that `import pygru` works without it

    _check_memory_for(arrays)
    data = _in_fixed_order(safetensors.numpy.save(dict(arrays), text))
    (length,) = struct.unpack("<Q", data[:8])
    if length > HEADER_LIMIT:
        raise ValueError(
            f"the header of the file would have {length} bytes, of which the metadata takes "
            f"{len(text['metadata'])}; the limit is {HEADER_LIMIT}. Keep large metadata, such "
            "as a vocabulary, in a file of its own"
        )
    return data


def load(
    path: Path | bytes,
    *,
    check_finite: bool = False,
    layers: Mapping[str, type[Model]] | None = None,
) -> Any:
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
    return load_with_metadata(path, check_finite=check_finite, layers=layers)[0]


def load_with_metadata(
    path: Path | bytes,
    *,
    check_finite: bool = False,
    layers: Mapping[str, type[Model]] | None = None,
) -> tuple[Any, dict[str, Any]]:
    """Return the model and the metadata of a file, which is read once; see :func:`load`."""
    check_finite = validation.check_bool("check_finite", check_finite)
    classes = _with_own(layers)
    with named_in_errors(path):
        description, shapes, metadata, _, arrays = read_file(path, classes)
    if check_finite:
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise ValueError(f"{name} contains NaN or infinity")
    with named_in_errors(path), _invalid_configuration():
        model = _build(description, classes)
        if list(model.parameters) != list(shapes):
            raise ValueError(f"it makes other parameters than {description['class']} has")
    with named_in_errors(path):
        for name in shapes:
            try:
                model.parameters[name] = arrays.pop(name)
            except ValueError as error:  # an integer or a scale that no weight has
                raise FormatError(str(error)) from None
    return model, metadata


def read_file(path: Path | bytes, classes: Classes = CLASSES) -> Contents:
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
    import safetensors.numpy

    with open_regular_file(path) as (file, size):
        header = read_header(file, size)
        description = parse_json("the configuration", header.notes["config"])
        metadata = _metadata_in(header.notes)
        with _invalid_configuration():
            shapes = _shapes(description, len(header.tensors), classes)
        is_checkpoint = "checkpoint" in header.notes
        check_tensors(
            header, size, shapes, lambda name: is_checkpoint and name.startswith(CHECKPOINT)
        )
        file.seek(0)
        data = file.read(size)
    if not data.startswith(header.raw):
        raise FormatError("the file has changed while it was read")
    try:
        # The reader, too, would end the process if it got no memory for its copies.
        memory.allocate(len(data), np.uint8, "the arrays of a file")
        arrays = safetensors.numpy.load(data)
    except safetensors.SafetensorError as error:
        raise FormatError(f"damaged file: {error}") from None
    return Contents(description, shapes, metadata, header.notes, arrays)


def read_metadata(path: Path | bytes) -> dict[str, Any]:
    """Return the ``metadata`` dict that was given to :func:`save`; the tensors are not read.

    Raises
    ------
    FormatError, OSError
        As :func:`load`.
    """
    with named_in_errors(path), open_regular_file(path) as (file, size):
        return _metadata_in(read_header(file, size).notes)


def _metadata_in(notes: Mapping[str, str]) -> dict[str, Any]:
    metadata = parse_json("the metadata", notes["metadata"])
    if not isinstance(metadata, dict):
        raise FormatError("the metadata is not a JSON object")
    return metadata


@contextlib.contextmanager
def _invalid_configuration() -> Iterator[None]:
    """Turn what a class raises for the configuration of a file into a FormatError.

    A class of the user's may raise anything, given arguments that nobody meant for it.
    """
    try:
        yield
    except (FormatError, InternalError, MemoryError, OSError):
        raise
    except Exception as error:
        try:
            text = (
                f"{error.args[0]}" if isinstance(error, ValueError | TypeError) else repr(error)
            )
        except Exception:  # deeply nested values have no repr
            text = validation.type_name(error)
        raise FormatError(f"the configuration is not valid: {text[:500]}") from None


def _in_fixed_order(data: bytes) -> bytes:
    """The same file with a sorted header: the package writes the metadata in random order.

    Equal models then give equal files.
    """
    (length,) = struct.unpack("<Q", data[:8])
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)  # the arrays stay aligned
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


# ---- descriptions ------------------------------------------------------------------------


def describe(model: Model) -> dict[str, Any]:
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
    description: dict[str, Any] = {"class": name, "config": model.get_config()}
    frozen = model.frozen_parts
    if frozen:  # of a model of named parts the names, of a single layer nothing more to say
        description["frozen"] = True if frozen == ("",) else list(frozen)
    if known is None:
        _check_own(model, description)
    return description


def _check_own(model: Model, description: dict[str, Any]) -> None:
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


def _with_own(layers: Mapping[str, type[Model]] | None) -> Classes:
    """The classes that a file may name: pygru's, and those of the user."""
    if layers is None:
        return CLASSES
    validation.check_mapping("layers", layers, "classes")
    for name, cls in layers.items():
        if not (isinstance(cls, type) and issubclass(cls, Model)):
            raise TypeError(
                f"layers[{name!r}] must be a class derived from pygru.Layer, "
                f"got {cls if isinstance(cls, type) else validation.type_name(cls)}"
            )
        if name in CLASSES:
            raise ValueError(f"layers must not hold {name!r}, the name of a class of pygru")
    return {**CLASSES, **layers}


def classes_of(model: Model) -> Classes:
    """The classes that a file of this model may name: pygru's, and those of its own layers."""
    parts = model.layers or (model,)
    return {**{type(part).__name__: type(part) for part in parts}, **CLASSES}


def _class(description: Mapping[str, Any], classes: Classes) -> type[Any]:
    """The class that a description names."""
    name = description["class"]
    if name == "ForecastNetwork" and name not in classes:
        raise FormatError("it holds a forecaster; use pygru.forecasting.GRUForecaster.load")
    if not isinstance(name, str) or name not in classes:
        raise FormatError(
            f"the configuration is not valid: it names the class {str(name)[:80]!r}, which is "
            "none of pygru's; the class of a layer of your own must be passed to load, as "
            "layers={name: class}"
        )
    return classes[name]


def from_description(description: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """The model of a description, with these parameters; both may come from a file.

    Raises
    ------
    FormatError
        If the description is not valid, or makes other parameters. Nothing of the size that
        it claims is allocated before the parameters are known to have that size.
    """
    with _invalid_configuration():
        shapes = _shapes(description, len(arrays), CLASSES)
        if {name: (array.dtype.name, array.shape) for name, array in arrays.items()} != shapes:
            raise ValueError(f"it makes other parameters than {', '.join(arrays)[:200]}")
        model = _build(description, CLASSES)
    for name in shapes:
        model.parameters[name] = arrays[name]
    return model


def _build(description: Mapping[str, Any], classes: Classes) -> Any:
    cls = _class(description, classes)
    if cls is Sequential:
        return cls(*(_build(layer, classes) for layer in description["layers"]))
    model = cls.from_config(description["config"])
    frozen = description.get("frozen", ())
    model.freeze_only(("",) if frozen is True else tuple(frozen))
    return model


def frozen_in(description: Mapping[str, Any]) -> list[str]:
    """Names of the frozen layers or parts in a description, such as ``layers[0]``."""
    if "layers" in description:
        return [
            f"layers[{index}]{f'.{name}' if name else ''}"
            for index, layer in enumerate(description["layers"])
            for name in frozen_in(layer)
        ]
    frozen = description.get("frozen", ())
    return [""] if frozen is True else list(frozen)


def _shapes(
    description: Mapping[str, Any], at_most: int, classes: Classes, prefix: str = ""
) -> Shapes:
    """Name -> (dtype, shape) of every parameter, computed without allocating anything.

    ``at_most`` is the number of tensors in the file: a configuration with more layers than
    that is refused before its layers are counted out.
    """
    cls = _class(description, classes)
    if cls is Sequential:
        shapes: Shapes = {}
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
    others = cls.parameter_dtypes(config)
    return {
        prefix + name: (others.get(name, dtype), tuple(shape))
        for name, shape in cls.parameter_shapes(config).items()
    }
