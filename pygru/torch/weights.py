"""The weights of a module in the form of the core: one flat array, and packed for SIMD.

The parameters of a module belong to PyTorch: separate tensors, which anybody may change at any
time and in many ways. PyTorch's version counters miss some of them (``p.data.copy_(...)``). So
every call compares fingerprints of the contents, as pygru's own GRU does. Only weights that
have changed are copied and packed again.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pygru.core import _core, _weights
from pygru.core.memory import allocate
from pygru.noise import Bytes
from pygru.options import GRUOptions
from pygru.runner import Runner
from pygru.typing import Floats

NUMPY_TYPES = {torch.float32: np.float32, torch.float64: np.float64}


class Kind:
    """What all GRUs of the same sizes and precision share: the calls of the core, and shapes.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, bidirectional
        As for ``torch.nn.GRU``.
    dtype : torch.dtype
        ``torch.float32`` or ``torch.float64``.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        bidirectional: bool,
        dtype: torch.dtype,
    ) -> None:
        self.options = GRUOptions(
            input_size,
            hidden_size,
            num_layers,
            bias,
            bidirectional=bidirectional,
            variant="pytorch",
            dtype=NUMPY_TYPES[dtype],
        )
        self.dtype, self.numpy_dtype = dtype, self.options.dtype
        self.num_states = self.options.num_states
        self.hidden_size, self.output_size = hidden_size, self.options.output_size
        shapes = self.options.parameter_shapes()
        self.shapes = {name: torch.Size(shape) for name, shape in shapes.items()}
        self.counts = tuple(shape.numel() for shape in self.shapes.values())
        self.count = sum(self.counts)
        self.nbytes = tuple(count * self.options.dtype.itemsize for count in self.counts)
        # Every call brings its own parameters, so those of the runner are empty.
        self.runner = Runner(self.options, _weights.Owner(np.empty(0, self.options.dtype)))
        self._packing = _weights.CellsPacking(self.runner.config, self.runner.backend.kernels)

        ends = itertools.accumulate(self.counts)
        self._places = [
            (shape, (shape[1], 1) if len(shape) == 2 else (1,), end - count)
            for shape, count, end in zip(shapes.values(), self.counts, ends, strict=True)
        ]
        # A tape has values per row and per sequence, and some more at its end.
        one, two_rows, two_sequences = (
            self.runner.plan(T, B, None, _core.KEEP_GATES).sizes["tape"]
            for T, B in ((1, 1), (2, 1), (1, 2))
        )
        self._per_row = two_rows - one
        self._per_sequence = two_sequences - two_rows
        self.tape_slack = one - self._per_row - self._per_sequence

    def check(self, weights: Sequence[Tensor]) -> None:
        """Raise unless the core can read these weights, in the order of ``shapes``.

        The core gets addresses, so a tensor of another size must not pass.
        """
        if len(weights) != len(self.shapes):
            raise ValueError(f"expected {len(self.shapes)} weights, got {len(weights)}")
        for (name, shape), weight in zip(self.shapes.items(), weights, strict=True):
            if weight.shape != shape:
                raise ValueError(
                    f"{name} must have the shape {tuple(shape)}, got {tuple(weight.shape)}"
                )
            if weight.dtype is not self.dtype or not weight.is_cpu:
                raise ValueError(
                    f"{name} must be {self.dtype} on the CPU like the input, got "
                    f"{weight.dtype} on {weight.device}"
                )

    def snapshot(self, weights: Sequence[Tensor], last: Snapshot | None) -> Snapshot:
        """Return the weights in the form of the core; ``last`` if they have not changed."""
        self.check(weights)
        if not all(map(Tensor.is_contiguous, weights)):
            weights = [weight.contiguous() for weight in weights]
        addresses = map(Tensor.data_ptr, weights)
        fingerprints = _weights.fingerprints_at(tuple(zip(addresses, self.nbytes, strict=True)))
        if last is not None and last.fingerprints == fingerprints and last.kind is self:
            return last
        flat = allocate(self.count, self.numpy_dtype, "a copy of the weights")
        begin = 0
        for weight, count in zip(weights, self.counts, strict=True):
            flat[begin : begin + count] = weight.detach().numpy().reshape(-1)
            begin += count
        # Somebody may have written since the fingerprints were taken; the copy stays as it is.
        parts = np.split(flat, list(itertools.accumulate(self.counts))[:-1])
        fingerprints = tuple(map(_weights.fingerprint, parts))
        packed = None
        if self.runner.is_simd:
            packed = _weights.packed_once(self._packing, flat)
        return Snapshot(self, fingerprints, flat, packed)

    def tape_size(self, rows: Any, sequences: Any) -> Any:
        """Return the values of a tape. The numbers may be symbolic, as in ``torch.compile``."""
        return rows * self._per_row + sequences * self._per_sequence + self.tape_slack

    def split(self, flat: Tensor) -> list[Tensor]:
        """Return views of a flat tensor, such as the gradients, shaped like the weights."""
        return [flat.as_strided(*place) for place in self._places]


kind_of = lru_cache(maxsize=256)(Kind)


class Snapshot(NamedTuple):
    """The weights at one time. Nobody changes the arrays, so all threads may share them."""

    kind: Kind
    fingerprints: tuple[int, ...]
    flat: Floats
    packed: Bytes | None


class WeightCache:
    """The snapshot of the weights that a module used last.

    An operator of PyTorch gets tensors and plain numbers only, so it finds the cache of a
    module by its number. A wrong cache costs time and nothing else, because a snapshot is used
    only if the fingerprints are those of the weights.
    """

    def __init__(self) -> None:
        self.number = next(_numbers)
        self._last: Snapshot | None = None
        _caches[self.number] = self

    def snapshot(self, kind: Kind, weights: Sequence[Tensor]) -> Snapshot:
        """Return the weights in the form of the core."""
        snapshot = self._last = kind.snapshot(weights, self._last)
        return snapshot


_numbers = itertools.count(1)
_caches: weakref.WeakValueDictionary[int, WeightCache] = weakref.WeakValueDictionary()


def cached_snapshot(number: int, kind: Kind, weights: Sequence[Tensor]) -> Snapshot:
    """Return a snapshot through the cache of this number; without one, a new snapshot."""
    cache = _caches.get(number)
    return kind.snapshot(weights, None) if cache is None else cache.snapshot(kind, weights)
