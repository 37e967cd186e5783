"""The GRUs in a model file of pygru, in the form in which those of other files are found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from pygru.io.found import Contents, FoundGRU
from pygru.io.native import CHECKPOINT, read_file
from pygru.options import GRUOptions
from pygru.typing import Path

FORMAT = "pygru"


def arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the parameters in a model file by name."""
    return {
        name: array
        for name, array in read_file(path).arrays.items()
        if not name.startswith(CHECKPOINT)
    }


def contents(path: Path) -> Contents:
    """Return the GRUs in a model file; those of a Sequential have its prefixes as names."""
    read = read_file(path)
    grus = []
    if read.description["class"] == "GRU":
        grus.append(_found("", read.description["config"], read.arrays))
    for index, layer in enumerate(read.description.get("layers", ())):
        if layer["class"] == "GRU":
            grus.append(_found(f"{index}.", layer["config"], read.arrays))
    return Contents(grus, {})


def _found(
    prefix: str, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> FoundGRU:
    options = GRUOptions.from_config(config)
    return FoundGRU(
        name=prefix.rstrip(".") or "gru",
        format=FORMAT,
        options={**vars(options), "dtype": options.dtype.name},
        evidence={"variant": "the configuration in the file"},
        arrays={name: arrays[prefix + name] for name in options.parameter_shapes()},
    )
