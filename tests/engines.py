"""The engines of this build, and how a test makes pygru use one of them.

Which engine runs is decided when pygru is imported; here the decision is replaced, for GRUs
that a test makes after it. Not a test file.
"""

import pygru
from pygru.core import _core
from pygru.core.kernels import ENGINES as NUMBERS
from pygru.core.kernels import KERNELS, choose

HAS_SIMD = _core.has_simd_engine()
ENGINES = ["blas", "simd"] if HAS_SIMD else ["blas"]

# Sets of kernels that run here, and those of them that have a fused multiply-add.
SETS = [name for name, runs in _core.kernel_names().items() if runs]
FUSED_SETS = [name for name in SETS if name != "baseline"]


def number_of(engine):
    """The number by which the core knows an engine."""
    return NUMBERS[engine]


def use_engine(monkeypatch, engine, kernels=KERNELS.name):
    """Make GRUs that are constructed from now on run on ``engine`` with these kernels."""
    chosen = choose(kernels, engine)
    monkeypatch.setattr(pygru.gru, "KERNELS", chosen)
    monkeypatch.setattr(pygru.passes, "KERNELS", chosen)
    monkeypatch.setattr(pygru.stream, "KERNELS", chosen)
    monkeypatch.setattr(pygru.stream, "IS_SIMD", engine == "simd")
