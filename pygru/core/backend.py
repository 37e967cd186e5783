"""The kernels, engine and threads that compute, and the BLAS functions of this process.

They are chosen once, when pygru is imported. All code that calls the core gets them from
:func:`current`, so tests can replace them in one place. A GRU keeps those that were
current when it was made, because its packed weights fit only their kernels.
"""

from typing import NamedTuple

from pygru.core import _core
from pygru.core.blas import blas_table
from pygru.core.kernels import ENGINES, THREADING, choose
from pygru.core.settings import setting
from pygru.core.threads import HAS_THREADS


class Backend(NamedTuple):
    """The kernels, which know their engine and threads, and the table of BLAS functions."""

    kernels: _core.Kernels
    blas: _core.Blas

    @property
    def is_simd(self) -> bool:
        """Whether the SIMD engine runs, with packed weights and products of its own."""
        return bool(self.kernels.engine == _core.ENGINE_SIMD)

    @property
    def engine(self) -> str:
        """The name of the engine, "simd" or "blas"."""
        return next(name for name, number in ENGINES.items() if number == self.kernels.engine)

    @property
    def threading(self) -> str:
        """Whose threads work: "pool" (pygru's own), "openmp", or "none" in a build without."""
        if not HAS_THREADS:
            return "none"
        number = self.kernels.threading
        return next(name for name, each in THREADING.items() if each == number)


_current = Backend(
    choose(*(setting(f"PYGRU_{name}") for name in ("SIMD", "ENGINE", "THREADING"))),
    blas_table(),
)


def current() -> Backend:
    """Return the current kernels and BLAS functions.

    Examples
    --------
    >>> from pygru.core import backend
    >>> backend.current().engine in ("simd", "blas")
    True
    """
    return _current
