"""One pass over all samples of a data set: what is wrong in them, and a fingerprint.

Samples are looked at in blocks of about a megabyte. A block holds only what is read in
training, so padding may be anything. A message names the sample and the place in it as they
stand in the user's data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pygru.core import _weights
from pygru.typing import Booleans, Integers

BLOCK = 2**20  # bytes
FEW = 64  # blocks; so many are read by every rank, which costs less than to be sure otherwise

#: N samples: an array of N rows, or a list of N arrays.
Samples: TypeAlias = NDArray[Any] | list[NDArray[Any]]


#: What tells the blocks of some samples from others, for each of several kinds of samples.
Described: TypeAlias = list[list[bytes]]


class Share(NamedTuple):
    """The part of the blocks that this rank looks at, and how it tells the others.

    Attributes
    ----------
    rank, size : int
    gather : callable
        Returns the values of all ranks for that of each.
    """

    rank: int = 0
    size: int = 1
    gather: Callable[[Described], list[Described]] = lambda own: [own]

    def of(self, blocks: int) -> slice:
        """Return the place of this rank's blocks: consecutive ones, or all of a few."""
        if blocks <= FEW:
            return slice(0, blocks)
        return slice(blocks * self.rank // self.size, blocks * (self.rank + 1) // self.size)


WHOLE = Share()


class Block(NamedTuple):
    """Some consecutive samples, their steps one behind the other."""

    first: int  # the index of the first sample
    samples: int
    values: NDArray[Any]
    steps: Integers | None  # how many rows of ``values`` each sample has; None: one each


def blocks_of(
    samples: Samples, lengths: Integers | None, share: Share = WHOLE
) -> Iterator[Block]:
    """Cut samples into blocks, and yield a share of them; nothing else is read.

    The cuts depend on what is read only. ``lengths`` are the steps that are read of each
    sample; None where all is read. Samples of a list have all to be read.
    """
    steps, ends = _cuts(samples, lengths)
    own = share.of(len(ends))
    for first, end in zip([0, *ends][own], ends[own], strict=True):
        yield _block(samples, steps, first, end)


def _cuts(samples: Samples, lengths: Integers | None) -> tuple[Integers | None, list[int]]:
    """Return how many steps are read of each sample, and where the blocks end."""
    steps: Integers | None = None
    if isinstance(samples, list):
        steps = np.array([len(sample) for sample in samples], np.int64)
        sizes = np.array([sample.nbytes for sample in samples], np.int64)
    elif lengths is not None:
        steps = lengths
        sizes = lengths * (samples[:1].nbytes // max(samples.shape[1], 1))
    else:
        sizes = np.full(len(samples), samples[:1].nbytes)
    blocks = np.cumsum(sizes) // BLOCK  # which block each sample is in
    ends: list[int] = np.searchsorted(blocks, np.unique(blocks), "right").tolist()
    return steps, ends


def _block(samples: Samples, steps: Integers | None, first: int, end: int) -> Block:
    inside = None if steps is None else steps[first:end]
    if isinstance(samples, list):
        values = np.concatenate(samples[first:end])
    elif inside is None:
        values = np.asarray(samples[first:end])
    else:
        # Of stored samples no more steps are read than the longest has.
        rows = np.asarray(samples[first:end])[:, : int(inside.max(initial=0))]
        values = rows[np.arange(rows.shape[1]) < inside[:, np.newaxis]]
    return Block(first, end - first, values, inside)


class Problem(NamedTuple):
    """The first value that is not as it should be."""

    sample: int
    place: str  # as Python would write it: X[3, 1, 0], or X[3][1, 0] in a list
    value: Any
    at: tuple[int, ...]  # the index within the sample

    def __str__(self) -> str:
        return f"{self.place} = {self.value}"

    def with_step(self) -> str:
        """The same, and in words which sample and step it is, for samples with steps."""
        return f"{self} (sample {self.sample}, step {self.at[0]})"


def first_problem(name: str, samples: Samples, block: Block, wrong: Booleans) -> Problem | None:
    """The first of a block's values where ``wrong`` is True, None if there is none."""
    if not wrong.any():
        return None
    row, *inner = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    value = block.values[(row, *inner)]
    if block.steps is None:
        sample, at = int(row), [*map(int, inner)]
    else:
        ends = np.cumsum(block.steps)
        sample = int(np.searchsorted(ends, row, "right"))
        at = [int(row - (ends[sample] - block.steps[sample])), *map(int, inner)]
    index = block.first + sample
    if isinstance(samples, list):
        place = f"{name}[{index}]" + (f"[{', '.join(map(str, at))}]" if at else "")
    else:
        place = f"{name}[{', '.join(map(str, [index, *at]))}]"
    return Problem(index, place, value, tuple(at))


def fingerprint_of(
    read: Sequence[tuple[Samples, Integers | None]], share: Share = WHOLE
) -> str:
    """Hashes of all that is read of some samples: values, types, shapes and lengths.

    Every rank reads its share, and gets the hashes of the whole. The core's fingerprint reads
    memory nearly as fast as that allows; it is one number for every block, and these are
    hashed.

    Parameters
    ----------
    read : sequence of tuple
        Samples and their lengths, as for :func:`blocks_of`; each has a hash of its own.
    share : Share
        The part of the samples that this rank reads.

    Returns
    -------
    str
        The hashes one after the other, in hexadecimal.
    """
    own = [[_described(block) for block in blocks_of(*each, share)] for each in read]
    everyone = share.gather(own)
    hashes = []
    for kind, each in enumerate(read):
        parts = own[kind]
        if len(_cuts(*each)[1]) > FEW:
            # A rank with other kinds of samples gets other hashes, and is refused for that.
            parts = [part for other in everyone if kind < len(other) for part in other[kind]]
        hashes.append(hashlib.blake2b(b"".join(parts), digest_size=16).hexdigest())
    return "".join(hashes)


def _described(block: Block) -> bytes:
    """What tells a block from others."""
    values = np.ascontiguousarray(block.values)
    text = f"{values.dtype.str} {values.shape} {block.samples} ".encode()
    if values.size:
        data = values.reshape(-1).view(np.uint8)
        text += _weights.fingerprint(data).to_bytes(8, "little")
    if block.steps is not None:
        text += np.ascontiguousarray(block.steps, np.int64).tobytes()
    return text
