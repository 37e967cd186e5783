"""How many threads a call uses, and how BLAS is kept to one while it runs.

The number of threads never changes a result. A call asks, in this order: its own
``n_threads`` argument, the innermost ``pygru.num_threads`` block, ``pygru.set_num_threads``,
``PYGRU_NUM_THREADS``, and then what OpenMP (``OMP_NUM_THREADS``), the CPU affinity and the
container's CPU quota allow.
"""

import contextlib
import contextvars
import itertools
import os
import threading
import warnings

import numpy as np
from threadpoolctl import ThreadpoolController

from pygru.core import _core
from pygru.core.validation import type_name

# SciPy's OpenBLAS has buffers for 128 callers at once; stay far away from that.
MOST_THREADS = 64

# Starting threads costs microseconds; below this many multiply-adds one is faster.
SERIAL_OPERATIONS = 1_000_000

# OpenBLAS runs a product with m*n*k up to this in the calling thread, without being told.
OPENBLAS_SERIAL_PRODUCT = 4 * 65536

_in_block = contextvars.ContextVar("pygru_num_threads", default=None)
_process_wide = None


def _check(n_threads):
    if isinstance(n_threads, bool) or not isinstance(n_threads, (int, np.integer)):
        raise TypeError(f"n_threads must be an int or None, got {type_name(n_threads)}")
    if int(n_threads) == 0:
        raise ValueError("n_threads = 0 is invalid; use 1 or more, -1 for all, or None")
    return int(n_threads)


def set_num_threads(n_threads):
    """Set how many threads pygru uses in this process when a call does not say.

    Parameters
    ----------
    n_threads : int or None
        1 or more; -1 is all available, -2 all but one, and so on; None is the default again.

    Examples
    --------
    >>> import pygru
    >>> pygru.set_num_threads(2)
    >>> pygru.set_num_threads(None)
    """
    global _process_wide
    _process_wide = None if n_threads is None else _check(n_threads)


@contextlib.contextmanager
def num_threads(n_threads):
    """Set how many threads pygru uses inside a ``with`` block, in this thread or task.

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
    token = _in_block.set(_check(n_threads))
    try:
        yield
    finally:
        _in_block.reset(token)


def get_num_threads():
    """Return how many threads a call would use here if its work allows.

    Examples
    --------
    >>> import pygru
    >>> pygru.get_num_threads() >= 1
    True
    """
    return resolve(None)


def _cgroup_quota():
    """Whole CPUs that the container's quota allows, or None."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        return None if quota == "max" else max(1, -(-int(quota) // int(period)))
    except (OSError, ValueError):
        return None


def _from_environment():
    """PYGRU_NUM_THREADS as a positive int, or None with a warning."""
    text = os.environ.get("PYGRU_NUM_THREADS")
    if text is None:
        return None
    with contextlib.suppress(ValueError):  # no number, or one of thousands of digits
        if int(text) > 0:
            return int(text)
    warnings.warn(
        f"PYGRU_NUM_THREADS={text!r} is not a positive integer; ignored",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


_ENVIRONMENT = _from_environment()
_QUOTA = _cgroup_quota()


def available():
    """Threads that make sense here: OpenMP's limit, the CPU affinity and the quota."""
    limits = [_core.available_threads(), _QUOTA or MOST_THREADS, MOST_THREADS]
    if hasattr(os, "sched_getaffinity"):
        limits.append(len(os.sched_getaffinity(0)))
    return max(1, min(limits))


def resolve(n_threads):
    """Return the number of threads that an ``n_threads`` argument stands for."""
    for wanted in (n_threads, _in_block.get(), _process_wide, _ENVIRONMENT):
        if wanted is not None:
            wanted = _check(wanted)
            if wanted < 0:
                wanted = max(1, available() + 1 + wanted)
            return min(wanted, MOST_THREADS)
    return available()


def threads_for(n_threads, sizes):
    """Return how many threads a planned call gets, from its argument and its size."""
    if sizes["operations"] < SERIAL_OPERATIONS:
        return 1
    return min(resolve(n_threads), sizes["max_threads"])


def on_main_thread():
    """Whether Python handles signals in the calling thread."""
    return threading.current_thread() is threading.main_thread()


# ---- BLAS ----------------------------------------------------------------------------------


class _BlasLimit:
    """Keeps every BLAS of the process single-threaded while any call of pygru is inside.

    The first to enter saves the settings and the last to leave restores them: they are the
    process's, so calls and training runs in several Python threads must not restore them
    under each other.
    """

    def __init__(self):
        self._forget()
        self._libraries = None
        if hasattr(os, "register_at_fork"):
            # In the child no other thread exists that could be inside or hold the lock. A
            # limit that the parent had lowered stays lowered: fewer threads, same results.
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self):
        self._lock = threading.Lock()
        self._users = 0
        self._saved = []

    @property
    def libraries(self):
        """Controllers of the BLAS libraries of this process, SciPy's first."""
        if self._libraries is None:
            found = ThreadpoolController().select(user_api="blas").lib_controllers
            found = sorted(found, key=_is_numpys_own)
            self._setters = [_setter_of(library) for library in found]
            self._libraries = found
        return self._libraries

    def is_needed(self, largest_product):
        """Whether SciPy's BLAS could use threads for m*n*k = ``largest_product``."""
        return largest_product > OPENBLAS_SERIAL_PRODUCT or any(
            library.internal_api != "openblas" for library in self.libraries
        )

    def __enter__(self):
        with self._lock:
            if self._users == 0:
                self._saved = [
                    (set_threads, library.get_num_threads())
                    for library, set_threads in zip(self.libraries, self._setters, strict=True)
                ]
                self._apply(lambda count: 1)
            self._users += 1

    def __exit__(self, *exception):
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._apply(lambda count: count)

    def _apply(self, limit_of):
        for set_threads, count in self._saved:
            if count != 1:
                set_threads(limit_of(count))


def _is_numpys_own(library):
    """Whether a BLAS is the one in NumPy's wheel; SciPy's wheel has another."""
    name = os.path.basename(library.filepath)
    return "64_" in name or "numpy" in name


def _setter_of(library):
    """The function that sets a library's threads, whichever Python thread calls it.

    threadpoolctl finds the libraries, but for OpenBLAS it obeys only one Python thread at a
    time and ignores the others; there the library's own function is called.
    """
    if library.internal_api == "openblas":
        for prefix, suffix in itertools.product(("scipy_", ""), ("", "64_", "_64")):
            name = f"{prefix}openblas_set_num_threads{suffix}"
            if hasattr(library.dynlib, name):
                return getattr(library.dynlib, name)
    return library.set_num_threads


blas_limit = _BlasLimit()


def single_threaded_blas(largest_product):
    """A context in which BLAS multiplies in the calling thread only."""
    return blas_limit if blas_limit.is_needed(largest_product) else contextlib.nullcontext()
