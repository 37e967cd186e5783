"""Shows pygru's pool of threads to threadpoolctl, and obeys its limit.

``threadpoolctl.threadpool_info()`` then lists the pool, and ``threadpool_limits(1)`` limits it,
in builds with and without OpenMP. threadpoolctl finds libraries by their file; this one is the
compiled module that contains the core.
"""

import functools
import os

import threadpoolctl

from pygru.core import _core

_PATH = os.path.realpath(_core.__file__)


class PoolController(threadpoolctl.LibController):  # type: ignore[misc]  # it has no types
    """What threadpoolctl calls for pygru's pool."""

    user_api = "pygru"
    internal_api = "pygru"
    filename_prefixes = (os.path.basename(_PATH).lower(),)
    check_symbols = ("PyInit__core",)

    def get_num_threads(self) -> int:
        """Return how many threads a call without ``n_threads`` may use."""
        from pygru.core import threads

        return threads.most_of_process()

    def set_num_threads(self, num_threads: int) -> None:
        """Limit the calls that ask for no number; the former number ends the limit."""
        from pygru.core import threads

        threads.limit_process(num_threads)

    def get_version(self) -> str:
        """Return the version of pygru."""
        return _version()

    def set_additional_attributes(self) -> None:
        """Refuse a module of another package with the same file name: it has no symbols."""
        if os.path.realpath(self.filepath) != _PATH:
            self.dynlib = None


@functools.cache
def _version() -> str:
    from importlib import metadata

    return metadata.version("pygru")
