"""Shows pygru's pool of threads to threadpoolctl, and obeys its limit.

``threadpoolctl.threadpool_info()`` then lists the pool, and ``threadpool_limits(1)`` limits it,
in builds with and without OpenMP. threadpoolctl finds libraries by their file; this one is the
compiled module that contains the core.
"""

from __future__ import annotations

import functools
import operator
import os
from typing import TYPE_CHECKING

import threadpoolctl

from pygru.core import _core

if TYPE_CHECKING:
    from pygru.core import threads

_PATH = os.path.realpath(_core.__file__)


class PoolController(threadpoolctl.LibController):  # type: ignore[misc]  # it has no types
    """What threadpoolctl calls for pygru's pool."""

    user_api = "pygru"
    internal_api = "pygru"
    filename_prefixes = (os.path.basename(_PATH).lower(),)
    check_symbols = ("PyInit__core",)
    __slots__ = ("_begun", "_read")  # threadpoolctl shows what is in __dict__
    _begun: list[tuple[int | None, threads.Limit]]
    _read: int | None

    def get_num_threads(self) -> int:
        """Return how many threads a call without ``n_threads`` may use."""
        from pygru.core import threads

        count = self._read = threads.most_of_process()
        return count

    def set_num_threads(self, num_threads: int) -> None:
        """Limit the calls that ask for no number; the number before a limit ends it.

        threadpoolctl reads the number when a block begins, and sets it again when the block
        ends, even if the block limits other libraries only. So that number is never a limit.
        """
        from pygru.core import threads

        try:  # the functions of the other libraries refuse a float, too
            num_threads = int(operator.index(num_threads))
        except TypeError:
            kind = type(num_threads).__name__
            raise TypeError(f"the limit of 'pygru' must be an int, got {kind}") from None
        if self._begun and num_threads == self._begun[-1][0]:
            threads.end_limit(self._begun.pop()[1])
        elif num_threads != self._read:
            limit = threads.Limit(num_threads, self)
            self._begun.append((self._read, limit))
            threads.begin_limit(limit)

    def get_version(self) -> str:
        """Return the version of pygru."""
        return _version()

    def set_additional_attributes(self) -> None:
        """Refuse a module of another package with the same file name: it has no symbols."""
        self._begun, self._read = [], None
        if os.path.realpath(self.filepath) != _PATH:
            self.dynlib = None  # type: ignore[misc]  # not in __slots__, but in those of the base


@functools.cache
def _version() -> str:
    from importlib import metadata

    return metadata.version("pygru")
