"""Calls the core with weights of 8 bits: another precision, another packing, one engine."""

from __future__ import annotations

from pygru.core import _core, _weights, backend
from pygru.core._quantized import IntegersPacking
from pygru.core.kernels import choose
from pygru.options import GRUOptions
from pygru.runner import Runner


class QuantizedRunner(Runner):
    """The runner of a :class:`QuantizedGRU`; its parameters are bytes.

    Raises
    ------
    RuntimeError
        If this build of pygru has no SIMD engine: BLAS multiplies no integers.
    """

    def new_backend(self) -> backend.Backend:
        """Return the current kernels, and the SIMD engine whatever the current one is."""
        if not _core.has_simd_engine():
            raise RuntimeError(
                "weights of 8 bits need pygru's own products, which this build does not have"
            )
        current = backend.current()
        kernels = choose(current.kernels.name, "simd", current.threading)
        return current._replace(kernels=kernels)

    def precision(self, options: GRUOptions) -> str:
        """Return the precision with integers for weights and float32 for all other values."""
        return "int8"

    def new_packing(self) -> _weights.Packing:
        """Return how the integers, scales and vectors are packed."""
        return IntegersPacking(self.config, self.backend.kernels)
