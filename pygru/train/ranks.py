"""Training on many processes: what the ranks of an MPI communicator have to tell each other.

Every rank trains on its share of each batch. Before each step of the optimiser the ranks meet:
they average their gradients, and from then on all of them make the same step, with the same
bits. A training loop always works with a team; :class:`Alone` is that of a single process.

A meeting begins with a report of each rank, a few numbers, which says what the rank has come
for. A rank on which anything fails goes to the next meeting all the same, wherever the others
are, and reports its failure there. So no rank ever waits for one that does not come any more,
and the communicator stays usable.
"""

from __future__ import annotations

import functools
import hashlib
import pickle
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from pygru.core import _uninterrupted, _weights
from pygru.core.atomic import Action
from pygru.core.validation import type_name
from pygru.errors import RankError
from pygru.train.batches import BatchStream
from pygru.typing import Integers

#: After so many steps the ranks compare their weights.
STEPS_BETWEEN_CHECKS = 100

# What a rank comes to a meeting for, as in pygru/core/_uninterrupted.pyx.
FAILED, TALK, STEP, LEAVE = range(4)

# The numbers in a report. The first four are known to _uninterrupted.pyx.
COLUMNS = (
    "kind",
    "bytes",
    "weight",
    "loss",
    "steps",
    "weights_high",  # the two halves of a fingerprint of the weights
    "weights_low",
    "samples",
    "is_last",
    "has_run",
)

METHODS = ("Get_rank", "Get_size", "Allgather", "Allgatherv", "Alltoallv")

Value = TypeVar("Value")


class Part(NamedTuple):
    """What one rank, or all of them together, have done in one window of a batch.

    Attributes
    ----------
    loss, weight : float
        The mean loss, and the weight with which it counts.
    samples : int
        The samples of the batch.
    is_last : bool
        Whether the batch ends with this window.
    has_run : bool
        Whether the model has been run.
    """

    loss: float = 0.0
    weight: float = 0.0
    samples: int = 0
    is_last: bool = True
    has_run: bool = False


class Alone:
    """The team of a program of one process."""

    rank, size = 0, 1

    @property
    def first_failed(self) -> int | None:
        """The first rank that has failed, if others have to be told of a failure."""
        return None

    @property
    def is_main(self) -> bool:
        """Whether this rank writes files and shows how far training is."""
        return self.rank == 0

    def together(self) -> AbstractContextManager[None]:
        """A block that ends on all ranks if it ends by an exception on one of them."""
        return nullcontext()

    def own_noise(
        self, generators: Sequence[np.random.Generator]
    ) -> AbstractContextManager[None]:
        """A block in which each rank draws other numbers, and after which all agree again."""
        return nullcontext()

    def gather(self, value: Value, topic: str) -> list[Value]:
        """Return the values of all ranks, in their order.

        Parameters
        ----------
        value
            What can be pickled.
        topic : str
            What it is, in words. Ranks that have come for something else do not understand one
            another, so that is an error on all of them.
        """
        return [value]

    def from_main(self, value: Value, topic: str) -> Value:
        """Return the value of the first rank."""
        return value

    def warn(self, text: str) -> None:
        """Warn once, although all ranks would have reason to."""
        if self.is_main:
            warnings.warn(text, UserWarning, stacklevel=6)

    def share(self, samples: Integers) -> Integers:
        """Return the samples of a batch that are this rank's."""
        return samples

    def share_of(self, data: Any) -> Any:
        """Return this rank's share of a data set; batches of a user are its share."""
        return data

    def states_of_all(self, states: Any) -> Any:
        """Return what a position stores as the states of a batch."""
        return states

    def own_states(self, states: Any) -> Any:
        """Return this rank's part of what a position stores as the states of a batch."""
        return states

    def average(self, part: Part, steps: int, pairs: Sequence[tuple[Any, Any]]) -> Part:
        """Replace the gradients by those of the whole batch; return what all have done."""
        return part

    def check_weights(self, steps: int, pairs: Sequence[tuple[Any, Any]]) -> None:
        """Raise RuntimeError on all ranks if their weights differ."""

    def fail_of_first(self, error: Exception, *, is_reason: bool) -> NoReturn:
        """Raise on all ranks the error of the first one that is the reason for it."""
        raise error


class Ranks(Alone):
    """The team of all processes of an MPI communicator.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
    """

    def __init__(self, comm: Any) -> None:
        self.comm = comm
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.table = np.zeros((self.size, len(COLUMNS)))
        self.depth = 0  # of blocks of `together`, one inside another
        self._buffers: _Buffers | None = None

    def together(self) -> AbstractContextManager[None]:
        """A block that ends on all ranks if it ends by an exception on one of them."""
        return _uninterrupted.Together(self)

    def leave(self, error: BaseException | None) -> None:
        """Come to the last meeting of a block, with the error of this rank if there is one.

        Where all ranks have come to it already there is none. That is read from the table of
        the last meeting, since Ctrl-C may have come before Python code has looked at it.
        """
        kinds = self._column("kind")
        if FAILED in kinds or set(kinds) == {LEAVE}:
            return
        if error is None:
            self._meet(b"", None, kind=LEAVE)
            return
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        is_interrupt = any(
            isinstance(each, KeyboardInterrupt) for each in (error, error.__context__)
        )
        self._meet(_pickled((is_interrupt, text)), None, kind=FAILED)

    @property
    def first_failed(self) -> int | None:
        """The first rank that the last meeting has heard to have failed, or None."""
        kinds = self._column("kind")
        return kinds.index(FAILED) if FAILED in kinds else None

    def _meet(
        self, message: bytes, buffers: tuple[Any, ...] | None, *, kind: int, **numbers: float
    ) -> list[bytes]:
        """Hold a meeting, and return the messages of all ranks."""
        numbers |= {"kind": kind, "bytes": len(message)}
        report = np.array([numbers.get(name, 0.0) for name in COLUMNS], np.float64)
        texts = _uninterrupted.meet(self.comm, report, self.table, message, buffers)
        if kind != FAILED:
            self._check_kinds(kind, texts)
        return texts or []

    def _check_kinds(self, kind: int, texts: list[bytes] | None) -> None:
        """Raise if a rank has failed, or has come for something else."""
        kinds = self._column("kind")
        if FAILED in kinds:
            assert texts is not None
            failed = kinds.index(FAILED)
            is_interrupt, text = pickle.loads(texts[failed])
            if is_interrupt:
                raise KeyboardInterrupt(f"rank {failed} was interrupted")
            raise RankError(f"rank {failed} has stopped: {text}")
        if any(other != kind for other in kinds):
            what = {STEP: "makes a step", LEAVE: "has ended", TALK: "is between two steps"}
            listed = [f"rank {rank} {what[int(each)]}" for rank, each in enumerate(kinds[:8])]
            raise RuntimeError(f"ranks diverged: {', '.join(listed)}")

    def _column(self, name: str) -> list[float]:
        column: list[float] = self.table[:, COLUMNS.index(name)].tolist()
        return column

    def gather(self, value: Value, topic: str) -> list[Value]:
        """Return the values of all ranks, in their order; see :meth:`Alone.gather`."""
        texts = self._meet(_pickled((topic, value)), None, kind=TALK)
        said = [pickle.loads(text) for text in texts]
        for rank, (other, _) in enumerate(said):
            if other != said[0][0]:
                raise RuntimeError(
                    "ranks diverged: all ranks need the same program, data and arguments; "
                    f"rank 0 has come to {said[0][0]}, rank {rank} to {other}"
                )
        return [each for _, each in said]

    def from_main(self, value: Value, topic: str) -> Value:
        """Return the value of the first rank."""
        values: list[Any] = self.gather(value if self.is_main else None, topic)
        first: Value = values[0]
        return first

    def share(self, samples: Integers) -> Integers:
        """Return the samples of a batch that are this rank's: consecutive ones."""
        return samples[slice(*bounds(len(samples), self.rank, self.size))]

    def share_of(self, data: Any) -> Any:
        """Return this rank's share of a data set; batches of a user are its share."""
        if isinstance(data, BatchStream):
            return data
        return data.part(*bounds(len(data), self.rank, self.size))

    def states_of_all(self, states: Any) -> Any:
        """Return the states of all ranks in a list; None stays None."""
        everyone = self.gather(states, "the end of a window")
        return None if all(each is None for each in everyone) else everyone

    def own_states(self, states: Any) -> Any:
        """Return the states of this rank."""
        return None if states is None else states[self.rank]

    def own_noise(
        self, generators: Sequence[np.random.Generator]
    ) -> AbstractContextManager[None]:
        """A block in which each rank draws other numbers, and after which all agree again.

        The numbers follow from one that all ranks draw, and from the rank. So a checkpoint
        needs one state for each generator and not one for each rank.
        """
        restoring: list[Action] = []
        # Layers may share a generator, which must not draw from a state of this rank's own.
        distinct = {id(each.bit_generator): each for each in generators}.values()
        for generator in distinct:
            bits: Any = generator.bit_generator
            seed = int(generator.integers(2**64, dtype=np.uint64))
            restoring.append((setattr, bits, "state", bits.state))
            bits.state = type(bits)(np.random.SeedSequence([seed, self.rank])).state
        return _uninterrupted.Afterwards(restoring)

    def average(self, part: Part, steps: int, pairs: Sequence[tuple[Any, Any]]) -> Part:
        """Replace the gradients by those of the whole batch; return what all have done.

        The gradient of the whole batch is the mean of those of the ranks, each with the weight
        of its loss, summed in the order of the ranks and in double precision.

        Raises
        ------
        RuntimeError
            If the ranks are not at the same step, or have other weights.
        """
        check = (0, 0)
        if steps % STEPS_BETWEEN_CHECKS == 0:
            check = divmod(_fingerprint([values for values, _ in pairs]), 2**32)
        if self._buffers is None or not self._buffers.fit(pairs):
            self._buffers = _Buffers(pairs, self.rank, self.size)
        self._buffers.load(pairs)
        self._meet(
            b"",
            self._buffers.arrays,
            kind=STEP,
            **part._asdict(),
            steps=steps,
            weights_high=check[0],
            weights_low=check[1],
        )
        for name in ("steps", "weights_high", "weights_low"):
            column = self._column(name)
            if column != [column[0]] * self.size:
                raise self._divergence(name, column, steps)
        self._buffers.store(pairs)
        weights, losses = self._column("weight"), self._column("loss")
        weight = sum(weights)
        total = sum(
            loss * (own / weight) for loss, own in zip(losses, weights, strict=True) if own
        )
        return Part(
            loss=total,
            weight=weight,
            samples=int(sum(self._column("samples"))),
            is_last=all(self._column("is_last")),
            has_run=any(self._column("has_run")),
        )

    def check_weights(self, steps: int, pairs: Sequence[tuple[Any, Any]]) -> None:
        """Raise RuntimeError on all ranks if their weights differ.

        The check before every so many steps would miss what has happened since the last one.
        """
        own = _fingerprint([values for values, _ in pairs])
        found = self.gather(own, "the weights")
        if found != found[:1] * self.size:
            raise self._divergence("weights", found, steps)

    def _divergence(self, name: str, column: Sequence[float], steps: int) -> RuntimeError:
        """The error for ranks that do not agree."""
        other = next(rank for rank in range(self.size) if column[rank] != column[0])
        if name == "steps":
            return RuntimeError(
                f"ranks diverged at step {int(min(column))}: rank {other} has made "
                f"{int(column[other])} steps, rank 0 {int(column[0])}"
            )
        return RuntimeError(
            f"ranks diverged at step {steps}: rank {other} has other weights than rank 0; a "
            "callback must change a model or an optimizer on all ranks alike, and all ranks "
            "need the same kernels (pygru info)"
        )

    def fail_of_first(self, error: Exception, *, is_reason: bool) -> NoReturn:
        """Raise on all ranks the error of the first one that is the reason for it."""
        errors = self.gather((is_reason, type(error), str(error)), "a loss that is not finite")
        _, kind, text = next((each for each in errors if each[0]), errors[0])
        raise kind(text)


class _Buffers:
    """The arrays in which gradients travel; see ``meet`` in ``_uninterrupted.pyx``.

    Parameters
    ----------
    pairs : sequence of tuple
        The flat values and gradients of a model. If their precision differs, all travel in
        double precision.
    rank, size : int
    """

    def __init__(self, pairs: Sequence[tuple[Any, Any]], rank: int, size: int) -> None:
        gradients = [gradient for _, gradient in pairs]
        self._lengths = [len(gradient) for gradient in gradients]
        self._dtype = np.result_type(np.float32, *(each.dtype for each in gradients))
        count = sum(self._lengths)
        counts = [end - first for first, end in (bounds(count, r, size) for r in range(size))]
        own = counts[rank]
        self._whole = np.zeros(count, self._dtype)
        self.arrays = (
            self._whole,
            counts,
            np.zeros((size, own), self._dtype),
            np.zeros(own),
            np.zeros(own),
            np.zeros(own, self._dtype),
            functools.partial(np.multiply, dtype=np.float64),
            np.add,
        )

    def fit(self, pairs: Sequence[tuple[Any, Any]]) -> bool:
        """Whether the buffers are for such gradients."""
        gradients = [gradient for _, gradient in pairs]
        dtype = np.result_type(np.float32, *(each.dtype for each in gradients))
        return self._lengths == [len(each) for each in gradients] and dtype == self._dtype

    def load(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        """Copy the gradients of a model into the buffer."""
        for place, (_, gradient) in self._places(pairs):
            self._whole[place] = gradient

    def store(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        """Copy the buffer into the gradients of a model."""
        for place, (_, gradient) in self._places(pairs):
            gradient[...] = self._whole[place]

    def _places(
        self, pairs: Sequence[tuple[Any, Any]]
    ) -> Iterator[tuple[slice, tuple[Any, Any]]]:
        first = 0
        for length, pair in zip(self._lengths, pairs, strict=True):
            yield slice(first, first + length), pair
            first += length


def team_of(comm: Any) -> Alone:
    """Return the team of a communicator; None is that of a single process.

    A team is returned as it is, so that several blocks of :meth:`Alone.together` of one program
    know of each other.

    Raises
    ------
    TypeError, ValueError
        If ``comm`` is not a communicator of mpi4py, or not one that gradients can be summed on.
    """
    if isinstance(comm, Alone):
        return comm
    if comm is None:
        return Alone()
    if not all(callable(getattr(comm, name, None)) for name in METHODS):
        raise TypeError(
            "comm must be a communicator of mpi4py, such as mpi4py.MPI.COMM_WORLD, or None, "
            f"got {type_name(comm)}"
        )
    if not comm:  # as MPI.COMM_NULL
        raise ValueError("comm must be a communicator with this process in it, got COMM_NULL")
    if getattr(comm, "is_inter", False):
        raise ValueError("comm must be an intracommunicator, got one between two groups")
    return Alone() if comm.Get_size() == 1 else Ranks(comm)


def combined(digests: Sequence[str]) -> str:
    """Return one digest for those of all ranks; that of a single rank is its own."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.blake2b(" ".join(digests).encode(), digest_size=16).hexdigest()


def bounds(count: int, rank: int, size: int) -> tuple[int, int]:
    """Where a rank's share of ``count`` things begins and ends."""
    return count * rank // size, count * (rank + 1) // size


def _pickled(value: object) -> bytes:
    return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)


def _fingerprint(arrays: Sequence[NDArray[Any]]) -> int:
    """A fingerprint of 64 bits of the contents of flat arrays."""
    total = hashlib.blake2b(digest_size=8)
    for array in arrays:
        data = np.ascontiguousarray(array).view(np.uint8)
        total.update(_weights.fingerprint(data).to_bytes(8, "little") if data.size else b"")
    return int.from_bytes(total.digest(), "little")
