"""The choice of kernels, engine and threads: the best here, or what the environment asks for.

The environment variable ``PYGRU_SIMD`` names the instruction set, ``PYGRU_ENGINE`` the engine:
"simd" (packed weights, pygru's own products) or "blas", and ``PYGRU_THREADING`` whose threads
work: those of pygru's "pool" or those of "openmp". They exist for tests and measurements;
``backend.py`` reads them once, when pygru is imported.
"""

from pygru.core import _core
from pygru.core.settings import SettingError
from pygru.core.validation import shown

ENGINES = {"blas": _core.ENGINE_BLAS, "simd": _core.ENGINE_SIMD}
THREADING = {"openmp": _core.OPENMP, "pool": _core.POOL}


def choose(
    wanted: str | None = None, engine: str | None = None, threading: str | None = None
) -> _core.Kernels:
    """Return the kernels ``wanted``, by default the best that run here, for ``engine``.

    Raises
    ------
    SettingError
        If there are no such kernels, this CPU cannot run them, or there is no such engine, or
        this build has no such threads.
    """
    usable = [name for name, runs in _core.kernel_names().items() if runs]
    if wanted is not None and wanted not in usable:
        reason = _core.kernel_obstacles().get(wanted)
        raise SettingError(
            f"PYGRU_SIMD={shown(wanted)} is not supported by this CPU and build "
            f"({reason + '; ' if reason else ''}they have: {', '.join(usable)})"
        )
    engines = list(ENGINES) if _core.has_simd_engine() else ["blas"]
    if engine is not None and engine not in engines:
        raise SettingError(
            f"PYGRU_ENGINE={shown(engine)} is not supported by this build "
            f"(it has: {', '.join(engines)})"
        )
    kinds = ["openmp"] * (_core.openmp_version() > 0) + ["pool"] * _core.has_pool()
    kinds = kinds or ["none"]  # a build with plain loops
    if threading is not None and threading not in kinds:
        raise SettingError(
            f"PYGRU_THREADING={shown(threading)} is not supported by this build "
            f"(it has: {', '.join(kinds)})"
        )
    return _core.Kernels(
        wanted or usable[-1],
        ENGINES[engine or engines[-1]],
        THREADING.get(threading or kinds[-1], _core.POOL),
    )


def states(used: str) -> dict[str, str]:
    """Return for each set of kernels whether it is the one in use, or why it is not."""
    better = False
    found = {}
    for name, obstacle in _core.kernel_obstacles().items():
        better = better or name == used
        if name == used:
            found[name] = "in use"
        elif obstacle is not None:
            found[name] = f"cannot run: {obstacle}"
        else:
            found[name] = f"could run, but PYGRU_SIMD={used}" if better else "could run"
    return found
