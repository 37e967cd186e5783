"""What goes from one layer of a model to the next: a time axis or none, and how many features.

Layers are made before it is known what stands beside them. So a model checks here whether they
fit, as far as they say which sizes they have, and puts the name of a layer before its errors.
No array is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from pygru.nn.model import Model

#: The options that say what a layer reads and returns, by the ends of their names.
OF_SIZES = ("size", "features", "dim", "num_embeddings", "bidirectional", "reverse")
#: Errors whose text is changed; to others a note is added.
PLAIN = (TypeError, ValueError, IndexError, RuntimeError)


class Shape(NamedTuple):
    """The shape of what a layer returns for a batch of B sequences."""

    has_steps: bool
    features: int | None  # None if the layer does not say

    def __str__(self) -> str:
        features = "?" if self.features is None else str(self.features)
        return f"(B, T, {features})" if self.has_steps else f"(B, {features})"


def shape_after(layer: Model, given: Shape) -> Shape:
    """Return what a layer makes of ``given``, which it can read."""
    features = layer.output_size
    if features is None and layer.keeps_features:
        features = given.features
    return Shape(given.has_steps and layer.predicts_steps, features)


def shapes_of(layers: Iterable[Model]) -> list[Shape]:
    """Return the shape of the output of each layer of a model.

    Raises
    ------
    ValueError
        If a layer cannot read the output of the one before; the text names both.
    """
    shapes: list[Shape] = []
    before: Model | None = None
    given = Shape(True, None)
    for index, layer in enumerate(layers):
        if before is None:
            given = Shape(True, layer.input_size)
        else:
            source = f"{place(index - 1, before)}, "
            try:
                _check_reads(layer, given, source)
            except ValueError as error:
                raise ValueError(f"{place(index, layer)}: {error}") from None
        given = shape_after(layer, given)
        shapes.append(given)
        before = layer
    return shapes


def _check_reads(layer: Model, given: Shape, source: str) -> None:
    """Raise unless a layer can read ``given``, the output of ``source``."""
    if given.features is not None:
        if layer.reads == "tokens":
            raise ValueError(f"it reads integers, but the output of {source}has features")
        if layer.input_size not in (None, given.features):
            raise ValueError(
                f"it reads {layer.input_size} features, but the output of {source}has "
                f"{given.features}"
            )
    if not given.has_steps and (layer.is_recurrent or not layer.predicts_steps):
        raise ValueError(
            f"it reads sequences, but the output of {source}has one vector per sequence"
        )


def sized(layer: Any) -> str:
    """Return the class of a layer, its sizes, and its function if it has one to choose.

    Examples
    --------
    >>> import pygru
    >>> from pygru.nn.shapes import sized
    >>> sized(pygru.GRU(3, 4, bidirectional=True))
    'GRU(input_size=3, hidden_size=4, bidirectional=True)'
    >>> sized(pygru.Activation("relu"))
    "Activation(activation='relu')"
    """
    shown = [
        f"{name}={value!r}"
        for name, value in layer.get_config().items()
        if _is_shown(layer, name, value)
    ]
    return f"{type(layer).__name__}({', '.join(shown)})"


def _is_shown(layer: Any, name: str, value: object) -> bool:
    if name == "activation":  # of a cell it is one option of many
        return isinstance(value, str) and not layer.is_recurrent
    if not isinstance(value, int) or value is False:
        return False
    return name.endswith(OF_SIZES) or (name == "num_layers" and value > 1)


def place(index: int, layer: Model) -> str:
    """Return a layer as messages name it: where it is, and its class and sizes.

    Examples
    --------
    >>> import pygru
    >>> from pygru.nn.shapes import place
    >>> place(2, pygru.Linear(3, 4))
    'layers[2], Linear(in_features=3, out_features=4)'
    """
    return f"layers[{index}], {sized(layer)}"


def name_in(error: Exception, index: int, layer: Model) -> None:
    """Put the name of a layer before the text of the error that it has raised."""
    if type(error) in PLAIN and len(error.args) == 1 and isinstance(error.args[0], str):
        error.args = (f"{place(index, layer)}: {error.args[0]}",)
    else:
        error.add_note(f"This was raised by {place(index, layer)}.")
