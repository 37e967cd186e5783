"""Which elementwise kernels run: the best that this CPU has, or the one that is asked for.

All give the same bits; ``PYGRU_SIMD`` exists for tests and measurements. It is read once, when
pygru is imported.
"""

import os

from pygru.core import _core


def choose(wanted=None):
    """Return the kernels called ``wanted``, by default the best that run here.

    Raises
    ------
    ImportError
        If there are no such kernels or this CPU cannot run them.
    """
    usable = [name for name, runs in _core.kernel_names().items() if runs]
    if wanted is not None and wanted not in usable:
        raise ImportError(
            f"PYGRU_SIMD={wanted!r} is not supported by this CPU and build "
            f"(they have: {', '.join(usable)})"
        )
    return _core.Kernels(wanted or usable[-1])


KERNELS = choose(os.environ.get("PYGRU_SIMD"))
