"""How many threads a call uses, and how BLAS is kept to one while it runs.

The number of threads never changes a result. A call asks, in this order: its own
``n_threads`` argument, the innermost ``pygru.num_threads`` block, ``pygru.set_num_threads``,
``PYGRU_NUM_THREADS``, and then what OpenMP (``OMP_NUM_THREADS``), the CPU affinity, the
container's CPU quota and the other ranks of MPI on the node allow. ``threadpoolctl`` limits
what comes after the block. The core uses fewer where several were slower than one lately.
"""

import contextlib
import contextvars
import ctypes
import itertools
import math
import os
import re
import threading
import warnings
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self, SupportsIndex

import numpy as np
from threadpoolctl import ThreadpoolController, register

from pygru.core import _core, launcher
from pygru.core._uninterrupted import BlasLimit, Setting
from pygru.core.settings import setting
from pygru.core.threadpool import PoolController
from pygru.core.validation import shown, type_name

if TYPE_CHECKING:
    from threadpoolctl import LibController

# A build without threads accepts every number, and uses one. SciPy's OpenBLAS has buffers for
# 128 callers at once; 64 is far below that.
HAS_THREADS = _core.has_pool() or _core.openmp_version() > 0
MOST_THREADS = 64 if HAS_THREADS else 1

# Starting threads takes microseconds. With fewer multiply-adds than this, one is faster.
SERIAL_OPERATIONS = 1_000_000

# OpenBLAS computes a product with m*n*k up to this in the calling thread, whatever its limit.
OPENBLAS_SERIAL_PRODUCT = 4 * 65536

_blocks: contextvars.ContextVar[tuple[Setting, ...]] = contextvars.ContextVar(
    "pygru_num_threads", default=()
)
_process_wide: int | None = None


class Limit:
    """A limit that threadpoolctl has set. ``setter`` can end it as long as it lives."""

    def __init__(self, most: int, setter: object) -> None:
        self.most = max(1, most)
        self._setter = weakref.ref(setter)

    def can_end(self) -> bool:
        """Whether the object that has set it still exists."""
        return self._setter() is not None


# The last one counts. Only single operations of the list, which are atomic, change it.
_limits: list[Limit] = []


def _check(n_threads: object, expected: str = "an int or None") -> int:
    if isinstance(n_threads, bool) or not isinstance(n_threads, (int, np.integer)):
        raise TypeError(f"n_threads must be {expected}, got {type_name(n_threads)}")
    if int(n_threads) == 0:
        raise ValueError("n_threads = 0 is invalid; use 1 or more, or -1 for all")
    return int(n_threads)


def set_num_threads(n_threads: SupportsIndex | None) -> None:
    """Set how many threads the calls of this process use, unless a call says otherwise.

    Parameters
    ----------
    n_threads : int or None
        1 or more; -1 means all available, -2 all but one, and so on. None restores the default.
        A build without threads takes every number and uses one thread.

    Examples
    --------
    >>> import pygru
    >>> pygru.set_num_threads(2)
    >>> pygru.set_num_threads(None)
    """
    global _process_wide
    _process_wide = None if n_threads is None else _check(n_threads)


class num_threads(Setting, contextlib.ContextDecorator):
    """Set how many threads pygru uses inside a ``with`` block, in this thread or task.

    A thread that is started inside the block has this setting too only if Python says so: by
    default on free-threaded Python (``sys.flags.thread_inherit_context``). It also serves as a
    decorator of a function.

    Parameters
    ----------
    n_threads : int
        As in :func:`set_num_threads`.

    Examples
    --------
    >>> import pygru
    >>> with pygru.num_threads(1):
    ...     pygru.get_num_threads()
    1
    """

    def __init__(self, n_threads: SupportsIndex) -> None:
        self.n_threads = _check(n_threads, "an int")
        super().__init__(_blocks, self.n_threads)

    def _recreate_cm(self) -> Self:
        return type(self)(self.n_threads)  # each call of a decorated function has its own

    def __repr__(self) -> str:
        return f"num_threads({self.n_threads})"


def get_num_threads() -> int:
    """Return how many threads a call would use here if it has enough work.

    Examples
    --------
    >>> import pygru
    >>> pygru.get_num_threads() >= 1
    True
    """
    return resolve(None)


def _cgroup_quota() -> int | None:
    """The number of whole CPUs that the container's quota allows, or None."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        return None if quota == "max" else max(1, -(-int(quota) // int(period)))
    except (OSError, ValueError, ArithmeticError):
        return None


def _from_environment() -> int | None:
    """PYGRU_NUM_THREADS, 1 or more, or -1 for all; None, with a warning, if it is neither."""
    text = setting("PYGRU_NUM_THREADS")
    if text is None:
        return None
    # int() reads more than this: "1_0", and the digits of every script.
    number = re.fullmatch(r"\+?0*([1-9][0-9]*)", text)
    if number is not None:
        return int(number[1][:9])  # more digits say no more than this
    if text == "-1":
        return -1
    warnings.warn(
        f"PYGRU_NUM_THREADS={shown(text)} is not a positive integer, nor -1 for all threads; "
        "ignored",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


def _openmps_variable() -> int | None:
    """The number in OMP_NUM_THREADS for the outermost region, or None."""
    outermost = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(outermost) or None if re.fullmatch("[0-9]{1,9}", outermost) else None


def _share_of_ranks() -> int | None:
    """The fair share of this rank of MPI in the CPUs of its node, or None.

    Someone who sets OMP_NUM_THREADS has thought of the other ranks.
    """
    if LAUNCH is None or _OPENMPS_VARIABLE:
        return None
    cpus = launcher.cpus_on_node(os.environ)
    return max(1, min(cpus, _QUOTA or cpus) // LAUNCH.ranks_on_node)


LAUNCH = launcher.launch(os.environ)
_ENVIRONMENT = _from_environment()
_QUOTA = _cgroup_quota()
_OPENMPS_VARIABLE = _openmps_variable()
_SHARE = _share_of_ranks()


def limits() -> dict[str, int | None]:
    """The most threads by CPU affinity, quota, ranks on this node and OpenMP; None: no limit.

    A launcher that binds its ranks to CPUs has made the affinity narrow already, so it is not
    divided among the ranks again. The number of a build with OpenMP includes OMP_NUM_THREADS.
    """
    openmp = _core.available_threads()
    if not _core.openmp_version():
        openmp = min(openmp, _OPENMPS_VARIABLE or openmp)
    has_affinity = hasattr(os, "sched_getaffinity")
    return {
        "affinity": len(os.sched_getaffinity(0)) if has_affinity else None,
        "quota": _QUOTA,
        "ranks": _SHARE,
        "openmp": openmp,
    }


def available() -> int:
    """The available threads: the least of all limits."""
    return max(1, min(MOST_THREADS, *filter(None, limits().values())))


def most_of_process() -> int:
    """The most threads of a call without an argument and outside of blocks."""
    return min([_of_process(), *(limit.most for limit in _limits[-1:])])


def begin_limit(limit: Limit) -> None:
    """Limit :func:`most_of_process` until :func:`end_limit`, in place of other limits."""
    for one, following in itertools.pairwise(tuple(_limits)):
        if not (one.can_end() or following.can_end()):  # so it will never count again
            end_limit(one)
    _limits.append(limit)


def end_limit(limit: Limit) -> None:
    """End a limit; what was set inside its block stays."""
    with contextlib.suppress(ValueError):
        _limits.remove(limit)


def _of_process() -> int:
    wanted = _ENVIRONMENT if _process_wide is None else _process_wide
    return available() if wanted is None else _counted(wanted)


def _counted(wanted: SupportsIndex) -> int:
    count = _check(wanted)
    if count < 0:
        count = max(1, available() + 1 + count)
    return min(count, MOST_THREADS)


def _of_block() -> int | None:
    """The number of the innermost ``num_threads`` block."""
    blocks = _blocks.get()
    return blocks[-1].value if blocks else None


def resolve(n_threads: SupportsIndex | None) -> int:
    """Return the number of threads that an ``n_threads`` argument stands for."""
    wanted = _of_block() if n_threads is None else n_threads
    return most_of_process() if wanted is None else _counted(wanted)


def reason() -> str:
    """Say what the number of threads of a call comes from: a setting, or the least limit."""
    if not HAS_THREADS:
        return "a build without threads"
    if _of_block() is not None:
        return "pygru.num_threads"
    if most_of_process() < _of_process():
        return "threadpoolctl"
    if _process_wide is not None:
        return "pygru.set_num_threads"
    if _ENVIRONMENT is not None:
        return "PYGRU_NUM_THREADS"
    least = [name for name, limit in limits().items() if limit == available()]
    name = least[0] if least else "most"
    openmp = "OMP_NUM_THREADS" if _OPENMPS_VARIABLE else "OpenMP"
    words = {"openmp": openmp, "most": f"at most {MOST_THREADS}"}
    if LAUNCH is not None:
        words["ranks"] = f"ranks on this node: {LAUNCH.ranks_on_node}"
    return words.get(name, name)


register(PoolController)


def threads_for(n_threads: SupportsIndex | None, sizes: Mapping[str, int]) -> int:
    """Return how many threads a planned call gets, from its argument and its size."""
    if sizes["operations"] < SERIAL_OPERATIONS:
        return 1
    return min(resolve(n_threads), sizes["max_threads"])


def is_serial(sizes: Mapping[str, int]) -> bool:
    """Return whether a planned call gets one thread, however many are allowed."""
    return sizes["max_threads"] == 1 or sizes["operations"] < SERIAL_OPERATIONS


def on_main_thread() -> bool:
    """Whether Python handles signals in the calling thread."""
    return threading.current_thread() is threading.main_thread()


# ---- BLAS ----------------------------------------------------------------------------------

# The C functions that read and set a library's number of threads, by threadpoolctl's name of
# the library. threadpoolctl finds the libraries, but its own functions for OpenBLAS obey only
# one Python thread at a time; and MKL's that it calls are for the calling thread alone.
_FUNCTIONS = {
    "openblas": [
        (
            f"{prefix}openblas_get_num_threads{suffix}",
            f"{prefix}openblas_set_num_threads{suffix}",
        )
        for prefix, suffix in itertools.product(("scipy_", ""), ("", "64_", "_64"))
    ],
    "mkl": [("MKL_Get_Max_Threads", "MKL_Set_Num_Threads")],
    "blis": [("bli_thread_get_num_threads", "bli_thread_set_num_threads")],
    "flexiblas": [("flexiblas_get_num_threads", "flexiblas_set_num_threads")],
}


class _BlasLibraries:
    """The BLAS libraries of this process, SciPy's first, and the limit on their threads.

    They are searched when they are first needed, which takes milliseconds.
    """

    def _find(self) -> tuple[list["LibController"], BlasLimit]:
        found: tuple[list[LibController], BlasLimit] | None = self.__dict__.get("_found")
        if found is not None:
            return found
        libraries = ThreadpoolController().select(user_api="blas").lib_controllers
        libraries = sorted(libraries, key=_is_numpys_own)
        limit = BlasLimit([each for each in map(_functions_of, libraries) if each])
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=limit.forget)
        # Another thread may have searched at the same time. All use one result.
        return self.__dict__.setdefault("_found", (libraries, limit))  # type: ignore[no-any-return]

    @property
    def controllers(self) -> list["LibController"]:
        """What threadpoolctl reports about each library."""
        return self._find()[0]

    @property
    def limit(self) -> BlasLimit:
        """The context in which each library has one thread."""
        return self._find()[1]

    def may_use_threads(self, largest_product: float) -> bool:
        """Whether SciPy's BLAS could use threads for m*n*k = ``largest_product``."""
        return largest_product > OPENBLAS_SERIAL_PRODUCT or any(
            library.internal_api != "openblas" for library in self.controllers
        )


def _is_numpys_own(library: "LibController") -> bool:
    """Whether a BLAS is the one in NumPy's wheel; SciPy's wheel has another."""
    name = os.path.basename(library.filepath)
    return "64_" in name or "numpy" in name


def _functions_of(library: "LibController") -> tuple[int, int] | None:
    """The addresses of the functions that read and set a library's threads, if known."""
    for names in _FUNCTIONS.get(library.internal_api, []):
        if all(hasattr(library.dynlib, name) for name in names):
            get, set_ = (
                ctypes.cast(getattr(library.dynlib, name), ctypes.c_void_p).value
                for name in names
            )
            return (get, set_) if get and set_ else None
    return None


blas_libraries = _BlasLibraries()
_NOTHING = contextlib.nullcontext()


def single_threaded_blas(
    largest_product: float = math.inf,
) -> contextlib.AbstractContextManager[None]:
    """A context in which BLAS multiplies in the calling thread only.

    Parameters
    ----------
    largest_product : float
        The largest m*n*k that BLAS is asked for. Nothing is limited if it would run in one
        thread anyway.
    """
    if blas_libraries.may_use_threads(largest_product):
        return blas_libraries.limit
    return _NOTHING
