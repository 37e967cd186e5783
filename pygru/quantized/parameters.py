"""The parameters of a GRU with weights of 8 bits: integers, their scales, and float vectors.

All lie in one array of bytes, in the order of the core: the scales of all cells, then their
other vectors, then their matrices of int8, and at the end a learned h0, which the core does not
read. Here is also how weights become integers. No state is computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pygru.core import validation
from pygru.core._weights import Owner
from pygru.core.atomic import Action, assignment
from pygru.core.memory import allocate
from pygru.options import GRUOptions
from pygru.typing import Floats

#: The largest integer of a weight. The range is symmetric, so -128 is none.
MOST = 127

Int8 = NDArray[np.int8]


def quantize(weights: Floats) -> tuple[Int8, Floats]:
    """Return the integers of a matrix of finite float32 weights, and the scale of each row.

    A weight is about its integer times the scale of its row. The scale is the largest absolute
    value of the row divided by 127. A row whose scale is not a normal number becomes zero.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru.quantized.parameters import quantize
    >>> integers, scales = quantize(np.array([[1.27, -0.64, 0.0], [0.0, 0.0, 0.0]], np.float32))
    >>> integers.tolist(), [round(float(scale), 4) for scale in scales]
    ([[127, -64, 0], [0, 0, 0]], [0.01, 0.0])
    """
    scales = np.abs(weights).max(axis=1) / np.float32(MOST)
    scales[scales < np.finfo(np.float32).tiny] = 0
    divisors = np.where(scales > 0, scales, np.float32(np.inf))
    integers = np.rint(weights / divisors[:, np.newaxis])
    return np.clip(integers, -MOST, MOST).astype(np.int8), scales


class _Place(NamedTuple):
    begin: int  # in bytes
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def end(self) -> int:
        return self.begin + math.prod(self.shape) * self.dtype.itemsize


def kinds_of(options: GRUOptions) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    """Return dtype and shape of each parameter by name, in the order of a model file.

    Examples
    --------
    >>> from pygru import GRUOptions
    >>> from pygru.quantized.parameters import kinds_of
    >>> {name: shape for name, (_, shape) in kinds_of(GRUOptions(2, 1, bias=False)).items()}
    {'weight_ih_l0': (3, 2), 'scale_ih_l0': (3,), 'weight_hh_l0': (3, 1), 'scale_hh_l0': (3,)}
    """
    float32, int8 = np.dtype(np.float32), np.dtype(np.int8)
    kinds: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
    for name, shape in options.parameter_shapes().items():
        if name.startswith("weight_"):
            kinds[name] = int8, shape
            kinds[f"scale_{name.removeprefix('weight_')}"] = float32, shape[:1]
        else:
            kinds[name] = float32, shape
    return kinds


def _places(options: GRUOptions) -> dict[str, _Place]:
    """Return where each parameter lies among the bytes, in the order of kinds_of."""
    kinds = kinds_of(options)
    order = [
        f"{kind}_{of}_{cell}"
        for of_cell in (("scale",), ("bias", "gain"), ("weight",))
        for cell in options.cell_names()
        for kind in of_cell
        for of in ("ih", "hh")
    ]
    begin = 0
    places: dict[str, _Place] = {}
    for name in (*order, "h0"):
        if name in kinds:
            dtype, shape = kinds[name]
            begin += -begin % dtype.itemsize
            places[name] = _Place(begin, dtype, shape)
            begin = places[name].end
    return {name: places[name] for name in kinds}


class QuantizedParameters(Mapping[str, NDArray[Any]]):
    """The parameters of a quantised GRU by name.

    Reading gives a view that cannot be written, because the core relies on the range of the
    integers. An assignment checks the values and copies them.

    Attributes
    ----------
    owner : Owner
        The bytes that the core packs.
    """

    def __init__(self, options: GRUOptions) -> None:
        self._places = _places(options)
        size = max(place.end for place in self._places.values())
        flat = allocate(size, np.uint8, "the weights of a QuantizedGRU")
        flat.fill(0)
        self.owner = Owner(flat)

    def __getitem__(self, name: str) -> NDArray[Any]:
        view = self._in(self.owner.borrow(), name)
        view.flags.writeable = False
        return view

    def __setitem__(self, name: str, value: ArrayLike) -> None:
        array = self.check(name, value)
        self._in(self.owner.view(), name)[...] = array

    def _in(self, flat: NDArray[Any], name: str) -> NDArray[Any]:
        if name not in self._places:
            raise KeyError(validation.unexpected_key(name, self._places))
        place = self._places[name]
        return flat[place.begin : place.end].view(place.dtype).reshape(place.shape)

    def place_of(self, name: str) -> tuple[Self, str]:
        """Return these views and the name; see :class:`pygru.core.parameters.Views`."""
        return self, name

    def check(self, name: str, value: ArrayLike, shown: str | None = None) -> NDArray[Any]:
        """Return ``value`` as an array that fits the parameter ``name``, or raise.

        Error messages use the name ``shown``, by default ``name``.
        """
        shown = shown or name
        if name not in self._places:
            raise KeyError(validation.unexpected_key(name, self._places))
        _, dtype, shape = self._places[name]
        array = validation.as_numeric(shown, value)
        if dtype == np.int8:
            if array.dtype != dtype:
                raise ValueError(f"{shown} must have dtype int8, got {array.dtype}")
        else:
            array = validation.as_real(shown, array, dtype)
        validation.check_shape(shown, array, shape, str(shape))
        array = array.copy()  # nobody can change the values after they were checked
        if dtype == np.int8 and (array < -MOST).any():
            raise ValueError(f"{shown} must be integers from -{MOST} to {MOST}, got -128")
        if name.startswith("scale_") and not ((array >= 0) & np.isfinite(array)).all():
            raise ValueError(f"{shown} must be finite numbers >= 0")
        return array

    def actions_to_load(self, arrays: Mapping[str, NDArray[Any]]) -> list[Action]:
        """Return the actions that copy ``arrays``, which have been checked, into the views."""
        flat = self.owner.view()
        prepared = allocate(flat.shape, flat.dtype, "a copy of the parameters")
        prepared[...] = flat
        for name, array in arrays.items():
            self._in(prepared, name)[...] = array
        return [assignment(flat, prepared)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}: {place.shape}" for name, place in self._places.items())
        return f"{type(self).__name__}({shapes})"
