"""What a fuzzer is, and what one of its cases may do."""

import contextlib
import os
import random
import sys
import time
import tracemalloc
import warnings

from pygru import FormatError

# Seconds of the processor. A case takes milliseconds; this is for slow machines, and for cases
# whose memory is traced, which takes four times as long.
MOST_SECONDS = 30.0

# What the names of the folders begin with in which fuzzers write their cases.
FOLDER = "pygru-fuzz-"

# Bytes that the process may need more than it needed before all cases. Python's own memory has
# a closer limit, which each fuzzer sets.
MOST_GROWTH = 2**28


class Failure(Exception):
    """A case did what no case may do."""


class Fuzzer:
    """A source of random cases, and what is done with one.

    Attributes
    ----------
    name : str
        For the command line.
    cases : int
        How many ``.ci/run`` tries.
    memory : int
        Bytes that Python may hold more than before, at any moment of a case.
    refusals : tuple of exception classes
        What refuses a case in a documented way. Any other exception is a failure.
    suffix : str
        Of a file that holds a case.
    traced : int
        Of so many cases, the memory of one is looked at.
    """

    name: str
    cases: int
    memory = 2**26
    refusals: tuple[type[BaseException], ...] = (FormatError, OSError)
    suffix = ".bin"
    traced = 3

    def case(self, rng: random.Random) -> bytes:
        """Return a random case."""
        raise NotImplementedError

    def run(self, case: bytes) -> str:
        """Do with a case what is to be tried; return in a word what happened.

        A word that ends in ``#`` and some digits also says what was computed, so that another
        build, or other kernels, can be compared.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Remove what the fuzzer has written."""


def numbered(fuzzer: Fuzzer, seed: int, number: int) -> bytes:
    """Return the case of this number, the same on every machine."""
    return fuzzer.case(random.Random(f"{fuzzer.name} {seed} {number}"))


def outcome_of(fuzzer: Fuzzer, case: bytes, traced: bool = False) -> str:
    """Run a case: return what it did, or ``refused``.

    Raises
    ------
    Failure
        If it took too much time or memory.
    BaseException
        What the case raised, if that is not one of the documented refusals.
    """
    began = time.process_time()
    if traced:
        tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            outcome = fuzzer.run(case)
    except fuzzer.refusals as error:
        if len(str(error)) > 5000:
            raise Failure(f"a message of {len(str(error))} characters") from error
        # Windows would not let the one who handles the error delete the file.
        if left := files_left_open():
            raise Failure(f"{left} are still open while the error is handled") from error
        outcome = "refused"
    finally:
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    if used > fuzzer.memory:
        raise Failure(f"it took {used} bytes of Python's memory, of {fuzzer.memory} allowed")
    seconds = time.process_time() - began
    if seconds > MOST_SECONDS:
        raise Failure(f"it took {seconds:.0f} s of the processor")
    return outcome


def files_left_open(folder: str = FOLDER) -> list[str]:
    """Return the files in a folder that this process has open; none where nobody says that."""
    if sys.platform != "linux":
        return []
    names = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # another thread has closed it
            names.append(os.readlink(f"/proc/self/fd/{number}"))
    return [name for name in names if folder in name]


def peak_memory() -> int:
    """Return the most memory that this process has needed so far; 0 where nobody says that."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
