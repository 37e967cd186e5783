"""What PYGRU_THREADS means: whose threads the core can use.

"pool" is pygru's own pool of threads, "openmp" has OpenMP's beside them, "none" neither. If
nothing is said, OpenMP is built where the compiler has it. Decision 45 says why.
"""

import os
import sys
from typing import NamedTuple

from build_support.environment import choice, setting

WANTED = ("openmp", "pool", "none")

# The options of the compiler and of the linker, in the order in which they are tried. Apple's
# clang has no library of OpenMP; it can use one that was installed, with CFLAGS and LDFLAGS.
OPENMP = {
    "gnu": [(["-fopenmp"], ["-fopenmp"])],
    "msvc": [(["/openmp"], [])],
    "clang-cl": [(["/openmp"], ["libomp.lib"])],
}
APPLE = (["-Xpreprocessor", "-fopenmp"], ["-lomp"])
NO_POOL = {"gnu": "-DPYGRU_NO_POOL", "msvc": "/DPYGRU_NO_POOL", "clang-cl": "/DPYGRU_NO_POOL"}


class ThreadFlags(NamedTuple):
    """The options for a kind of threads."""

    compile: list[str]
    link: list[str]


def wanted_threads(environment=os.environ):
    """Return what PYGRU_THREADS asks for; None if it is not set."""
    if setting("PYGRU_OPENMP", environment):
        raise SystemExit(
            "pygru: PYGRU_OPENMP is not read any more: use PYGRU_THREADS=openmp instead of 1, "
            "PYGRU_THREADS=pool instead of 0, and nothing instead of auto"
        )
    return choice("PYGRU_THREADS", WANTED, environment)


def thread_flags(wanted, dialect, probe, platform=sys.platform):
    """Return the options for the threads that are wanted.

    ``probe`` takes options of the compiler and of the linker, and returns whether a program
    with OpenMP works with them. It is asked only where OpenMP may be built.
    """
    # In C libraries before glibc 2.34 the threads of POSIX are a library of their own.
    pool = ["-pthread"] if platform == "linux" else []
    if wanted == "none":
        return ThreadFlags([NO_POOL[dialect]], [])
    if wanted == "pool":
        return ThreadFlags([], pool)
    ways = OPENMP[dialect] + [APPLE] * (platform == "darwin")
    for compile_flags, link_flags in ways:
        if probe(compile_flags, link_flags):
            return ThreadFlags(compile_flags, link_flags)
    if wanted == "openmp":
        raise SystemExit(
            "pygru: PYGRU_THREADS=openmp, but this compiler cannot build OpenMP, as it says "
            "above; expected another compiler, or PYGRU_THREADS=pool"
        )
    return ThreadFlags([], pool)
