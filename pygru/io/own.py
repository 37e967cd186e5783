"""The GRUs in a model file of pygru, in the form in which those of other files are found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from pygru.errors import FormatError
from pygru.io.found import Contents, FoundGRU
from pygru.io.native import read_file
from pygru.options import GRUOptions
from pygru.typing import Path

FORMAT = "pygru"
QUANTIZED = "its weights have 8 bits, from which no GRU is made; pygru.load(path) reads it"


def arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the parameters in a model file by name, in the order of the model."""
    read = read_file(path)
    return {name: read.arrays[name] for name in read.shapes}


def contents(path: Path) -> Contents:
    """Return the GRUs in a model file; those of a Sequential have its prefixes as names."""
    read = read_file(path)
    return grus_in(read.description, read.arrays, FORMAT)


def grus_in(description: Any, arrays: Mapping[str, NDArray[Any]], kind: str) -> Contents:
    """Return the GRUs of a described model.

    Raises
    ------
    FormatError
        If the description is not one of pygru's, or does not fit the arrays.
    """
    try:
        layers = description.get("layers", [description])
        prefixes = [f"{i}." for i in range(len(layers))] if "layers" in description else [""]
        grus = [
            _found(prefix, layer["config"], arrays, kind)
            for prefix, layer in zip(prefixes, layers, strict=True)
            if layer["class"] == "GRU"
        ]
        refused = {
            prefix.rstrip(".") or "gru": QUANTIZED
            for prefix, layer in zip(prefixes, layers, strict=True)
            if layer["class"] == "QuantizedGRU"
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FormatError(f"the description is not valid: {str(error)[:200]}") from None
    return Contents(grus, refused)


def _found(
    prefix: str, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], kind: str
) -> FoundGRU:
    options = GRUOptions.from_config(config)
    if options.num_layers > len(arrays):
        raise ValueError(f"num_layers={options.num_layers} with {len(arrays)} arrays")
    for name, shape in options.parameter_shapes().items():
        array = arrays[prefix + name]
        if array.shape != shape or array.dtype.newbyteorder("=") != options.dtype:
            raise ValueError(
                f"{prefix}{name} must have shape {shape} and dtype {options.dtype}, got "
                f"{array.shape} and {array.dtype}"
            )
    return FoundGRU(
        name=prefix.rstrip(".") or "gru",
        format=kind,
        options={**vars(options), "dtype": options.dtype.name},
        evidence={"variant": "the configuration in the file"},
        arrays={name: arrays[prefix + name] for name in options.parameter_shapes()},
    )
