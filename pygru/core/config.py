"""The configuration of this installation: versions, compiler, OpenMP, BLAS, threads."""

import platform
from typing import Any

import numpy
import scipy

from pygru.core import _core, backend, kernels, threads
from pygru.core.validation import shown


def _blas_info() -> dict[str, Any]:
    found = threads.blas_libraries.controllers
    library = found[0].info() if found else {}  # none of those that threadpoolctl knows
    return {
        "library": library.get("internal_api"),
        "version": library.get("version"),
        "core": library.get("architecture"),
        "threading_layer": library.get("threading_layer"),
    }


def config() -> dict[str, Any]:
    """Return versions, compiler, OpenMP, BLAS and threads of this pygru as a nested dict.

    Returns
    -------
    dict
        Keys ``pygru``, ``python``, ``numpy``, ``scipy`` (versions), ``compiler``, ``openmp``
        (with ``enabled`` and ``date``), ``blas`` (with ``library``, ``version``, ``core``,
        ``threading_layer`` and ``int_bytes``), ``engine``, ``kernels`` (the instruction set in
        use), ``kernel_sets`` (whether each set is in use, or why it is not), ``threading``
        ("pool", "openmp" or "none"), ``threads``, ``threads_from`` (the setting or limit that
        the number of threads comes from), ``limits`` (the most threads by ``affinity``,
        ``quota``, ``ranks`` and ``openmp``, each None without a limit) and ``mpi`` (with
        ``rank`` and ``ranks_on_node`` as the launcher of MPI tells them, else None).
    """
    from importlib import metadata  # its import takes longer than that of pygru's core

    launch = threads.LAUNCH
    date, used = _core.openmp_version(), backend.current()
    return {
        "pygru": metadata.version("pygru"),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
        "compiler": _core.compiler(),
        "openmp": {"enabled": date > 0, "date": date},
        "blas": {**_blas_info(), "int_bytes": used.blas.int_bytes},
        "engine": used.engine,
        "kernels": used.kernels.name,
        "kernel_sets": kernels.states(used.kernels.name),
        "threading": used.threading,
        "threads": threads.get_num_threads(),
        "threads_from": threads.reason(),
        "limits": threads.limits(),
        "mpi": {
            "rank": launch.rank if launch else None,
            "ranks_on_node": launch.ranks_on_node if launch else None,
        },
    }


def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Print the configuration of this pygru, or return it.

    Parameters
    ----------
    mode : {"stdout", "dicts"}
        Print the configuration, or return it as a nested dict.

    Returns
    -------
    dict or None
        The configuration with ``mode="dicts"``.

    Examples
    --------
    >>> import pygru
    >>> sorted(pygru.show_config(mode="dicts"))[:3]
    ['blas', 'compiler', 'engine']
    """
    if not isinstance(mode, str) or mode not in ("stdout", "dicts"):
        raise ValueError(f"mode must be 'stdout' or 'dicts', got {shown(mode)}")
    values = config()
    if mode == "dicts":
        return values
    for key, value in values.items():
        if isinstance(value, dict):
            value = ", ".join(f"{name} {item}" for name, item in value.items())
        print(f"{key:<12} {value}")
    return None
