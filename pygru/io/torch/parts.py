"""Makes a :class:`pygru.Sequential` of the layers in a file, which the caller names in order.

A file of PyTorch holds the parameters of a model, and no order of its layers, nor what happens
between them. The caller knows both. A layer is recognised only where its parameters can be
those of no other layer.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pygru.core import validation
from pygru.core.hints import nearest
from pygru.gru import GRU
from pygru.io.found import Contents
from pygru.io.torch.finding import Source, find
from pygru.io.torch.walk import Module
from pygru.nn.embedding import Embedding
from pygru.nn.layer_norm import LayerNorm
from pygru.nn.linear import Linear
from pygru.nn.model import Model
from pygru.nn.sequential import Sequential

#: One layer: a prefix, a pair of a prefix and a class or a layer, or a layer without weights.
Part: TypeAlias = str | tuple[str, "type[Model] | Model"] | Model

#: The classes of PyTorch by the classes of pygru that compute the same.
SAME = {
    "torch.nn.modules.linear.Linear": Linear,
    "torch.nn.modules.sparse.Embedding": Embedding,
    "torch.nn.modules.normalization.LayerNorm": LayerNorm,
}


def sequential_of(
    sources: list[Source], layers: Sequence[Part], options: dict[str, Any]
) -> Sequential:
    """Return the model whose layers have these parts; see :func:`pygru.from_torch`.

    The prefixes are those of the one source that there is.

    Raises
    ------
    TypeError, ValueError
        If something is no part, or a part is not what the caller says. The message names it.
    """
    if isinstance(layers, str) or not isinstance(layers, Sequence):
        raise TypeError(f"layers must be a list, got {validation.type_name(layers)}")
    if len(sources) != 1:
        raise ValueError(f"layers: the archive holds {len(sources)} files; unpack it first")
    (source,) = sources
    options = dict(options)
    if not validation.check_bool("batch_first", options.setdefault("batch_first", True)):
        raise ValueError("batch_first must be True in a Sequential")
    grus = find(source)
    made = []
    for index, part in enumerate(layers):
        where = f"layers[{index}]"
        if isinstance(part, Model):
            made.append(part)
            continue
        prefix, kind = _checked(where, part)
        try:
            made.append(_layer(source, grus, prefix, kind, options))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    return Sequential(*made)


def _checked(where: str, part: Any) -> tuple[str, Any]:
    """Return the prefix of a part and its class or layer, if it has one.

    Raises
    ------
    TypeError
        If it is no part.
    """
    if isinstance(part, str):
        return part, None
    if isinstance(part, tuple) and len(part) == 2 and isinstance(part[0], str):
        is_class = isinstance(part[1], type) and issubclass(part[1], Model)
        if is_class or isinstance(part[1], Model):
            return part
    raise TypeError(
        f"{where} must be a prefix, a pair of a prefix and a class or a layer of pygru, or a "
        f"layer of pygru; got {validation.type_name(part)}"
    )


def full_name(prefix: str, names: list[str]) -> str:
    """Return the one of ``names`` that a user means by ``prefix``, or ``prefix`` itself.

    The last dot may be left out, and so may the beginning of the name if only one ends so.

    Examples
    --------
    >>> from pygru.io.torch.parts import full_name
    >>> full_name("rnn.", ["model.rnn", "model.fc"])
    'model.rnn'
    """
    short = prefix.removesuffix(".")
    for name in (prefix, short):
        if name in names:
            return name
    longer = [name for name in names if name.endswith(f".{short}")]
    return longer[0] if len(longer) == 1 and short else prefix


def _layer(
    source: Source, grus: Contents, prefix: str, kind: Any, options: dict[str, Any]
) -> Model:
    """Return the layer with a prefix, as a ``kind`` or as what its parameters say.

    Raises
    ------
    ValueError
        If there is no such layer, or it is another one, or several layers could be it.
    """
    found = {gru.name: gru for gru in grus.grus}
    parts: dict[str, dict[str, str]] = {}  # by the name of a part the names of its parameters
    for name in source.tensors:
        part, _, own = name.rpartition(".")
        parts.setdefault(part, {})[own] = name
    name = full_name(prefix, [*parts, *grus.refused])
    if name in grus.refused:
        raise ValueError(f"{name!r} is not a layer that pygru has: {grus.refused[name]}")
    if name not in parts and name not in found:
        near = nearest(name, parts)
        raise ValueError(
            f"no parameters begin with {prefix!r}"
            + (f"; did you mean {near!r}?" if near else "")
        )
    if name in found and (kind in (None, GRU) or isinstance(kind, GRU)):
        return found[name].build(**_options_of(kind, options))
    module = source.modules.get(name)
    if module is not None and "max_norm" in module.attributes:
        raise ValueError(
            f"{name!r} has max_norm={module.attributes['max_norm']!r}, with which PyTorch "
            "shortens rows of the weight when it uses them; an Embedding of pygru does not"
        )
    arrays = {own: source.read(full) for own, full in parts.get(name, {}).items()}
    if isinstance(kind, Model) and not isinstance(kind, GRU):
        layer = copy.deepcopy(kind)
    else:
        layer = _empty(name, kind, arrays, module, options.get("dtype"))
    layer.load_state_dict(arrays)  # type: ignore[attr-defined]
    return layer


def _options_of(kind: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a GRU: those of a given one, replaced by those of the call."""
    return {**vars(kind.options), **options} if isinstance(kind, GRU) else options


def _empty(
    name: str,
    kind: Any,
    arrays: dict[str, NDArray[Any]],
    module: Module | None,
    dtype: Any,
) -> Any:
    """Return a new layer of a ``kind`` that the parameters fit; its values do not matter.

    Raises
    ------
    ValueError
        If they fit none, or several.
    """
    shapes = {own: array.shape for own, array in arrays.items()}
    listed = ", ".join(f"{own} {shape}" for own, shape in list(shapes.items())[:5])
    axes = {own: len(shape) for own, shape in shapes.items()}
    attributes = {} if module is None else module.attributes
    if kind is None:
        kind = SAME.get(module.kind) if module is not None else None
    if kind is None and axes == {"weight": 2, "bias": 1}:
        kind = Linear
    if kind is None and axes in ({"weight": 2}, {"weight": 1, "bias": 1}):
        choice = "Embedding" if axes["weight"] == 2 else "LayerNorm"
        other = "a Linear without a bias" if axes["weight"] == 2 else "another normalisation"
        raise ValueError(
            f"{name!r} ({listed}) may be {choice} or {other}; pass ({name!r}, pygru.{choice}), "
            "or a pair of the prefix and such a layer"
        )
    is_double = any(array.dtype == np.float64 for array in arrays.values())
    dtype = dtype or ("float64" if is_double else "float32")
    if kind is Linear and axes in ({"weight": 2, "bias": 1}, {"weight": 2}):
        out_features, in_features = shapes["weight"]
        return Linear(in_features, out_features, bias="bias" in axes, dtype=dtype)
    if kind is Embedding and axes == {"weight": 2}:
        padding = attributes.get("padding_idx")
        # PyTorch returns the row of the padding as it is, and pygru returns zeros for it.
        with np.errstate(invalid="ignore"):  # a NaN of the kind that signals
            is_padding = type(padding) is int and not arrays["weight"][padding].any()
        if not is_padding:
            padding = None
        rows, width = shapes["weight"]
        return Embedding(rows, width, padding_idx=padding, dtype=dtype)
    if kind is LayerNorm and axes == {"weight": 1, "bias": 1}:
        return LayerNorm(shapes["weight"][0], eps=attributes.get("eps", 1e-5), dtype=dtype)
    what = "a layer that pygru has" if kind is None else f"a {kind.__name__} of pygru"
    raise ValueError(f"{name!r} is not {what}: its parameters are {listed}")
