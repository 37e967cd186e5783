"""The engines of this build, and how a test makes pygru use one of them.

What computes is chosen when pygru is imported; here the choice is replaced: for losses and
optimisers at once, and for GRUs that a test makes afterwards. Not a test file.
"""

from pygru.core import _core, backend
from pygru.core.kernels import ENGINES as NUMBERS
from pygru.core.kernels import choose

HAS_SIMD = _core.has_simd_engine()
ENGINES = ["blas", "simd"] if HAS_SIMD else ["blas"]

# Whose threads a call may use.
THREADING = ["openmp"] * (_core.openmp_version() > 0) + ["pool"] * _core.has_pool()

# Sets of kernels that run here, and those of them that have a fused multiply-add.
SETS = [name for name, runs in _core.kernel_names().items() if runs]
FUSED_SETS = [name for name in SETS if name != "baseline"]

# The set that was chosen when pygru was imported.
CHOSEN = backend.current().kernels.name


def number_of(engine):
    """The number by which the core knows an engine."""
    return NUMBERS[engine]


def use(monkeypatch, **parts):
    """Compute with other ``kernels`` or ``blas`` from now on."""
    monkeypatch.setattr(backend, "_current", backend.current()._replace(**parts))


def use_blas_for(monkeypatch, gru, blas):
    """Compute with another BLAS in a GRU that exists already."""
    runner = gru._runner
    monkeypatch.setattr(runner, "backend", runner.backend._replace(blas=blas))
    monkeypatch.setattr(runner, "sequences", runner.new_sequences())


def use_engine(monkeypatch, engine, kernels=CHOSEN):
    """Compute with ``engine`` and these kernels from now on."""
    use(monkeypatch, kernels=choose(kernels, engine))
