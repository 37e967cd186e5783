"""Opens files of Keras: what configuration they hold, and where their weights are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from pygru.errors import FormatError
from pygru.io.archives import open_zip, read_member
from pygru.io.files import open_regular_file
from pygru.io.hdf5.file import HDF5, Group
from pygru.io.hdf5.headers import SIGNATURE
from pygru.io.header import parse_json
from pygru.io.keras.grus import Version
from pygru.io.keras.nodes import Node, mapping, tree_of
from pygru.io.keras.weights import NamedWeights, NumberedWeights, Weights, has_names
from pygru.typing import Path

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
ENDINGS = (".keras", ".h5", ".hdf5")
DEEPEST_ARCHIVE = 2  # archives in archives


@dataclass(frozen=True)
class Stored:
    """A file of Keras that is in memory.

    Attributes
    ----------
    format : str
        What the file is called.
    weights : NumberedWeights or NamedWeights
        Its weights.
    root : Group
        The outermost group of its HDF5 file.
    tree : Node or None
        The model that its configuration describes; None for weights alone.
    version : Version
        Of Keras, as far as the file says it.
    """

    format: str
    weights: Weights
    root: Group
    tree: Node | None
    version: Version


def open_stored(source: Path | bytes) -> Stored:
    """Return what a file of Keras holds.

    Parameters
    ----------
    source : path-like or bytes
        The path of the file, or what is in it.

    Raises
    ------
    FormatError
        If it is no file of Keras, or damaged.
    OSError
        If it cannot be read.
    """
    if isinstance(source, bytes):
        return _opened(source, 0)
    with open_regular_file(source) as (file, size):
        return _opened(file.read(size), 0)


def _opened(data: bytes, depth: int) -> Stored:
    if data.startswith(SIGNATURE):
        return _hdf5(data)
    if not data.startswith(ZIP):
        raise FormatError("not a Keras file: it is neither a zip archive nor an HDF5 file")
    archive = open_zip(data)
    names = archive.namelist()
    if WEIGHTS in names or CONFIG in names:
        config = read_member(archive, CONFIG)
        metadata = read_member(archive, METADATA) if METADATA in names else b"{}"
        return _keras(config, metadata, read_member(archive, WEIGHTS))
    inner = [name for name in names if name.endswith(ENDINGS)]
    if depth >= DEEPEST_ARCHIVE or not inner:
        raise FormatError("not a Keras file: the zip archive holds no model of Keras")
    if len(inner) > 1:
        listed = ", ".join(repr(PurePosixPath(name).name[:80]) for name in inner[:5])
        raise FormatError(
            f"the zip archive holds {len(inner)} files of Keras, {listed}; unpack it and pass "
            "the path of one"
        )
    return _opened(read_member(archive, inner[0]), depth + 1)


def _keras(config: bytes, metadata: bytes, weights: bytes) -> Stored:
    notes = mapping("the metadata", _json(METADATA, metadata))
    version = notes.get("keras_version")
    _check_end(weights)
    root = HDF5(weights).root
    return Stored(
        "Keras",
        NumberedWeights(root),
        root,
        tree_of(_json(CONFIG, config)),
        Version(version if isinstance(version, str) else None),
    )


def _check_end(data: bytes) -> None:
    """Refuse an HDF5 file that is shorter than it says itself.

    The weights often stand before the part that is missing, but not always all of them.
    """
    begin = {0: 40, 1: 44, 2: 28, 3: 28}.get(data[8] if len(data) > 8 else -1)
    if begin is None or len(data) < begin + 8:
        return  # the reader of HDF5 says what is wrong
    end = int.from_bytes(data[begin : begin + 8], "little")
    if end > len(data):
        raise FormatError(
            f"damaged HDF5 file: it says that it has {end} bytes, and has {len(data)}"
        )


def _hdf5(data: bytes) -> Stored:
    _check_end(data)
    root = HDF5(data).root
    attributes = root.attrs
    version = Version(_text(attributes.get("keras_version")))
    config = attributes.get("model_config")
    if config is not None:
        described = _json("model_config", config if isinstance(config, bytes) else b"")
        weights = root.get("model_weights")
        if not isinstance(weights, Group):
            raise FormatError("damaged Keras file: it has a model_config and no model_weights")
        if version.text is None:
            version = Version(_text(weights.attrs.get("keras_version")))
        named = NamedWeights(weights)
        return Stored("Keras HDF5", named, root, tree_of(described), version)
    if "layer_names" in attributes or "layer_names0" in attributes:
        return Stored("Keras weights in HDF5", NamedWeights(root), root, None, version)
    if version.text is None and has_names(root):
        version = Version("3")
    return Stored("Keras 3 weights", NumberedWeights(root), root, None, version)


def _json(what: str, data: bytes) -> object:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise FormatError(f"{what} of the Keras model is not UTF-8") from None
    return parse_json(f"{what} of the Keras model", text)


def _text(value: object) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else None
