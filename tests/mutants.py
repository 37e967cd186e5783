"""Damaged files: random changes of good ones, such as chance and attackers make.

Each reader of files has a test with ``survive``: whatever the bytes are, it returns something
or raises FormatError. How many mutants are tried:

    pytest                                 100, in the quick tests
    pytest -m "slow or not slow"           2,000 more
    PYGRU_MUTANTS=100000 pytest -m slow    as many as the variable says, for a nightly run
"""

import os
import random
import tracemalloc
import warnings

import pytest

from pygru import FormatError

QUICK = 100
SLOW = int(os.environ.get("PYGRU_MUTANTS", "2000"))

#: For ``parametrize``: the seed and the number of mutants.
RUNS = [(0, QUICK), pytest.param((1, SLOW), marks=pytest.mark.slow)]

# Numbers that are often limits, in the widths in which files store them.
LIMITS = [0, 1, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1,
          2**63, 2**64 - 1]  # fmt: skip


def flip_bits(data, rng):
    for _ in range(rng.choice([1, 1, 2, 8])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def set_bytes(data, rng):
    for _ in range(rng.choice([1, 1, 4])):
        data[rng.randrange(len(data))] = rng.choice(
            [0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)]
        )


def set_number(data, rng):
    width = rng.choice([1, 2, 4, 8])
    number = rng.choice(LIMITS) % 256**width
    at = rng.randrange(len(data))
    data[at : at + width] = number.to_bytes(width, rng.choice(["little", "big"]))


def cut_off(data, rng):
    del data[rng.randrange(len(data)) :]


def remove(data, rng):
    at = rng.randrange(len(data))
    del data[at : at + rng.choice([1, 2, 8, 64])]


def insert(data, rng):
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.randbytes(rng.choice([1, 2, 8, 64]))


def repeat(data, rng):
    at = rng.randrange(len(data))
    data[at:at] = data[at : at + rng.choice([1, 8, 64, len(data)])]


def swap(data, rng):
    size = rng.choice([1, 4, 16])
    a, b = rng.randrange(len(data)), rng.randrange(len(data))
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]


CHANGES = [flip_bits, set_bytes, set_number, cut_off, remove, insert, repeat, swap]


def mutant(original, rng):
    """Return a copy of some bytes with one to three changes."""
    data = bytearray(original)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if data:
            rng.choice(CHANGES)(data, rng)
    return bytes(data)


def survive(read, originals, run, memory, change=mutant):
    """Read many mutants of some files; each must be read, or refused by a FormatError.

    Parameters
    ----------
    read : callable
        Reads bytes.
    originals : list of bytes
        Good files, which must be readable.
    run : (int, int)
        The seed and the number of mutants, one of ``RUNS``.
    memory : int
        Bytes that Python may hold more than before, at any moment of a read. Of three reads
        one is looked at.
    change : callable
        Returns a mutant of an original for a random generator.

    Returns
    -------
    int
        How many mutants could be read.
    """
    seed, count = run
    for original in originals:
        read(original)
    readable = 0
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        data = change(rng.choice(originals), rng)
        traced = number % 3 == 0  # what is traced takes four times as long
        if traced:
            tracemalloc.start()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                read(data)
            readable += 1
        except FormatError:
            pass
        except BaseException as error:
            raise AssertionError(f"seed {seed}, mutant {number}: {error!r}") from error
        finally:
            used = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert used <= memory, f"seed {seed}, mutant {number} took {used} bytes"
    return readable
