"""Random generators of layers: one integer seed gives every class numbers of its own.

A GRU draws from ``default_rng(seed)`` itself. Every other class draws from a
:class:`numpy.random.SeedSequence` whose key contains the name of the class. So
``GRU(4, 4, seed=0)``, ``Linear(4, 4, seed=0)`` and ``Embedding(4, 4, seed=0)`` draw unrelated
numbers. Two layers of one class with the same integer seed are equal. ``Sequential(...,
seed=n)`` gives every layer a child of ``n`` instead. This module only makes generators and
draws no numbers.
"""

import zlib

import numpy as np

from pygru.core import validation
from pygru.typing import Seed


def generator_for(seed: Seed, class_name: str) -> np.random.Generator:
    """Return the generator of a layer of that class.

    A Generator or BitGenerator is used as it is. An integer, a sequence of integers and a
    SeedSequence are left as they are, and the class's name is added to their key; None takes
    fresh entropy from the system.

    Raises
    ------
    TypeError, ValueError
        If ``seed`` is none of these.
    """
    if isinstance(seed, (np.random.Generator, np.random.BitGenerator)):
        return np.random.default_rng(seed)
    sequence = _sequence(seed)
    # A checksum rather than a table of numbers, so that classes of users have one too.
    key = (*sequence.spawn_key, zlib.crc32(class_name.encode()))
    return np.random.default_rng(
        np.random.SeedSequence(sequence.entropy, spawn_key=key, pool_size=sequence.pool_size)
    )


def spawn(seed: Seed, count: int) -> list[np.random.Generator]:
    """Return independent generators, one for each part of a model.

    A Generator, BitGenerator or SeedSequence gives other ones at every call, as their own
    ``spawn`` does.

    Raises
    ------
    TypeError, ValueError
        If ``seed`` is no seed, or a generator that was made without a SeedSequence.
    """
    if not isinstance(seed, (np.random.Generator, np.random.BitGenerator)):
        seed = _sequence(seed)
    return list(np.random.default_rng(seed).spawn(count))


def _sequence(seed: Seed) -> np.random.SeedSequence:
    """A seed that is no generator as a SeedSequence."""
    if isinstance(seed, np.random.SeedSequence):
        return seed
    try:
        return np.random.SeedSequence(seed)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        shown = seed if isinstance(seed, int) else validation.type_name(seed)
        raise type(error)(
            "seed must be an int >= 0, a sequence of them, a SeedSequence, a Generator or "
            f"None, got {shown}"
        ) from None
