"""Tapes: what a forward call keeps for backward."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Self

from pygru.core import _plans
from pygru.core._sequences import Record
from pygru.core.fixed import FixedAttributes
from pygru.noise import Noise, PackedNoise
from pygru.typing import Floats

if TYPE_CHECKING:
    from pygru.gru_base import GRUBase
    from pygru.inputs import Inputs


class Tape(FixedAttributes):
    """What a forward call keeps for backward. It is opaque, and made by :meth:`GRU.forward`.

    It has copies of everything it needs, so you may change ``x`` or the output afterwards.
    It cannot be changed, so ``copy.copy`` returns the tape itself. It cannot be pickled and has
    no deep copy, because it belongs to one GRU in this process.

    Attributes
    ----------
    nbytes : int
        The bytes of memory that this tape occupies.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru import GRU
    >>> gru = GRU(2, 3, seed=0)
    >>> output, h_n, tape = gru.forward(np.ones((4, 1, 2)))
    >>> tape.nbytes > output.nbytes
    True
    """

    gru: GRUBase
    inputs: Inputs
    memory: Floats
    noise: Noise | PackedNoise | None
    n_threads: int | None
    fingerprint: int
    learned_h0: bool

    def _how_to_change(self, name: str, value: object) -> str:
        return "make a new tape with gru.forward()"

    def __copy__(self) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            "a Tape can be neither pickled nor copied deeply: it belongs to one GRU in this "
            "process; pickle the GRU and make a new tape with its forward()"
        )

    @property
    def nbytes(self) -> int:
        """The bytes of memory that this tape occupies."""
        return self.memory.nbytes + (0 if self.noise is None else self.noise.nbytes)


class WholeTape(Tape, Record):
    """The tape of one call of the core for a whole batch: states, and perhaps gates.

    The compiled :class:`Sequences` makes it.
    """

    plan: _plans.Plan
    noise: Noise | None

    _fixed = frozenset(
        (
            "gru",
            "inputs",
            "plan",
            "memory",
            "noise",
            "n_threads",
            "fingerprint",
            "learned_h0",
        )
    )
