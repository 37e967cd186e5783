"""Makes a GRU of weight arrays in any layout, for formats that no reader knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pygru.core import validation
from pygru.gate_order import check_order
from pygru.gru import GRU
from pygru.io.cells import cell_of, parameters_of
from pygru.io.found import FoundGRU
from pygru.options import GRUOptions
from pygru.variant import Variant

#: One array, a list with one for each layer, or a list with a list of two for each layer.
Arrays: TypeAlias = ArrayLike | Sequence[ArrayLike] | Sequence[Sequence[ArrayLike]]


def from_arrays(
    input_weights: Arrays,
    recurrent_weights: Arrays,
    input_bias: Arrays | None = None,
    recurrent_bias: Arrays | None = None,
    *,
    gate_order: str = "rzn",
    units: Literal["rows", "columns"] = "rows",
    variant: str | Variant,
    **options: Any,
) -> GRU:
    """Return a GRU with given weights, which may be laid out as in another library.

    Parameters
    ----------
    input_weights : array_like, or list of array_like
        (3H, I), or (I, 3H) with ``units="columns"``. For several layers a list with one array
        for each. For two directions a list with a pair (forward, reverse) for each layer.
        Later layers take the output of the one below, which has D*H features.
    recurrent_weights : array_like, or list of array_like
        (3H, H), or (H, 3H) with ``units="columns"``; a list as for ``input_weights``.
    input_bias : array_like or list of array_like, optional
        (3H,), added to the product of the input.
    recurrent_bias : array_like or list of array_like, optional
        (3H,), added to the product of the state; or (H,), the candidate's alone, for a library
        that has added the others to ``input_bias``.
    gate_order : str
        The order in which the gates stand there: ``"rzn"`` as in PyTorch, ``"zrn"`` as in
        Keras and ONNX, or another. The candidate is n.
    units : {"rows", "columns"}
        Whether the gates are rows of the matrices, as in PyTorch and ONNX, or columns, as in
        Keras.
    variant : {"chung", "cho", "pytorch"} or Variant
        The equations that the weights were trained for; see :class:`Variant`. There is no
        default, because a wrong variant gives wrong numbers and no error.
    **options
        Further arguments of :class:`GRU`, such as ``activation``, ``batch_first`` and
        ``dtype``. ``dtype`` is float64 by default if an array is, and float32 otherwise.

    Returns
    -------
    GRU

    Raises
    ------
    TypeError
        If an argument is not an array of numbers, or an option does not exist.
    ValueError
        If shapes do not fit one another. The message names layer and direction.

    See Also
    --------
    from_torch, from_keras, from_onnx : GRUs from files.
    io.read_arrays : All arrays of a file by name.

    Examples
    --------
    Weights as Keras keeps them, of a layer with ``reset_after=False``:

    >>> import numpy as np
    >>> import pygru
    >>> kernel, recurrent_kernel, bias = np.ones((2, 9)), np.ones((3, 9)), np.ones(9)
    >>> pygru.from_arrays(
    ...     kernel, recurrent_kernel, bias, gate_order="zrn", units="columns", variant="cho"
    ... )
    GRU(2, 3, variant='cho', dtype='float64')
    """
    validation.check_choice("units", units, ("rows", "columns"))
    check_order("gate_order", gate_order)
    layers = _nested("input_weights", input_weights, 2)
    num_layers, directions = len(layers), len(layers[0])
    others = {
        name: _nested(name, value, depth, (num_layers, directions))
        for name, value, depth in (
            ("recurrent_weights", recurrent_weights, 2),
            ("input_bias", input_bias, 1),
            ("recurrent_bias", recurrent_bias, 1),
        )
        if value is not None
    }
    cells = []
    for layer in range(num_layers):
        for direction in range(directions):
            where = f"layer {layer}" + (", reverse direction" if direction else "")
            of_cell = {name: value[layer][direction] for name, value in others.items()}
            cell = cell_of(
                where,
                layers[layer][direction],
                of_cell["recurrent_weights"],
                of_cell.get("input_bias"),
                of_cell.get("recurrent_bias"),
                order=gate_order,
                units=units,
            )
            cells.append(cell)
    H = cells[0].weight_hh.shape[1]
    for index, cell in enumerate(cells):
        layer = index // directions
        width = cells[0].weight_ih.shape[1] if layer == 0 else directions * H
        if cell.weight_hh.shape[1] != H or cell.weight_ih.shape[1] != width:
            raise ValueError(
                f"layer {layer}: expected I = {width} and H = {H}, got "
                f"I = {cell.weight_ih.shape[1]} and H = {cell.weight_hh.shape[1]}"
            )
    sizes = {
        "input_size": cells[0].weight_ih.shape[1],
        "hidden_size": H,
        "num_layers": num_layers,
        "bidirectional": directions == 2,
        "bias": input_bias is not None or recurrent_bias is not None,
    }
    arrays = parameters_of(cells, GRUOptions(**sizes).cell_names())
    is_double = any(array.dtype == np.float64 for array in arrays.values())
    found = FoundGRU(
        name="",
        format="arrays",
        options={
            **sizes,
            "variant": Variant.named(variant),
            "dtype": "float64" if is_double else "float32",
        },
        arrays=arrays,
    )
    return found.build(**options)


def _nested(
    name: str, value: Any, ndim: int, counts: tuple[int, int] | None = None
) -> list[list[NDArray[Any]]]:
    """Return an argument as arrays by layer and direction, of ``counts`` if these are given."""
    depth = _depth(value, ndim)
    if depth == 0:
        layers = [[validation.as_numeric(name, value)]]
    elif depth == 1:
        layers = [[validation.as_numeric(f"{name}[{i}]", each)] for i, each in enumerate(value)]
    else:
        layers = [
            [validation.as_numeric(f"{name}[{i}][{d}]", each) for d, each in enumerate(pair)]
            for i, pair in enumerate(value)
        ]
    sizes = {len(pair) for pair in layers}
    if not layers or len(sizes) != 1 or sizes.pop() not in (1, 2):
        raise ValueError(
            f"{name} must be one array, a list with one for each layer, or a list with a pair "
            "(forward, reverse) for each layer"
        )
    if counts is not None and (len(layers), len(layers[0])) != counts:
        raise ValueError(
            f"{name} must be for {counts[0]} layers and {counts[1]} directions, as "
            f"input_weights is; got {len(layers)} and {len(layers[0])}"
        )
    return layers


def _depth(value: Any, ndim: int) -> int:
    """How many lists are around the arrays, which have ``ndim`` dimensions: 0, 1 or 2."""
    depth = 0
    while depth < 2 and isinstance(value, (list, tuple)) and len(value):
        dimensions = _dimensions_of_numbers(value)
        if dimensions is not None:
            return min(2, depth + max(0, dimensions - ndim))
        value, depth = value[0], depth + 1
    return depth


def _dimensions_of_numbers(value: Any) -> int | None:
    """The dimensions of nested lists of numbers; None where arrays are in the lists."""
    if not isinstance(value, (list, tuple)):
        return None if getattr(value, "ndim", 0) else 0
    inner = _dimensions_of_numbers(value[0]) if len(value) else 0
    return None if inner is None else 1 + inner
