"""The noise of a training call of a GRU: dropout, recurrent dropout and zoneout.

This module only draws masks; the equations are in ``src_c/``. Masks are drawn in a fixed order:
recurrent dropout, dropout, zoneout, each by layer and then by the rows of the plan of the whole
batch. This is also true for a call in segments. So ``memory=`` changes no mask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pygru.core.memory import allocate

if TYPE_CHECKING:
    from pygru.gru_base import GRUBase
    from pygru.inputs import Inputs
    from pygru.options import GRUOptions

# So many random numbers are made at a time, so that they stay in the cache.
BLOCK = 1 << 14

Bytes = NDArray[np.uint8]


class Noise(NamedTuple):
    """The masks of one call; see ``pygru_noise`` in the C headers."""

    dropout: Bytes | None = None
    dropout_scale: float = 1.0
    recurrent: Bytes | None = None
    recurrent_scale: float = 1.0
    zoneout: Bytes | None = None
    zoneout_rate: float = 0.0

    @property
    def nbytes(self) -> int:
        """Bytes of all masks."""
        masks = (self.dropout, self.recurrent, self.zoneout)
        return sum(mask.nbytes for mask in masks if mask is not None)


def allocate_noise(gru: GRUBase, sizes: dict[str, int]) -> Noise | None:
    """Allocate the masks of a training call; None if nothing is dropped."""
    return _noise(
        gru,
        _room(gru.dropout, sizes["dropout"], "the dropout mask"),
        _room(gru.recurrent_dropout, sizes["recurrent"], "the recurrent dropout mask"),
        _room(gru.zoneout, sizes["zoneout"], "the zoneout mask"),
    )


def _room(rate: float, shape: int | tuple[int, ...], purpose: str) -> Bytes | None:
    """Allocate a mask; None if it would be empty or drop nothing."""
    if rate == 0 or np.prod(shape) == 0:
        return None
    return allocate(shape, np.uint8, purpose)


def _noise(
    gru: GRUBase, dropout: Bytes | None, recurrent: Bytes | None, zoneout: Bytes | None
) -> Noise | None:
    """Return the masks with the scales that belong to them, None if there is no mask."""
    noise = Noise(
        dropout, _scale(gru.dropout), recurrent, _scale(gru.recurrent_dropout), zoneout
    )
    return noise if noise.nbytes else None


def bytes_of_noise(gru: GRUBase, sizes: dict[str, int]) -> int:
    """Return the bytes that :func:`allocate_noise` would take."""
    rates = {
        "dropout": gru.dropout,
        "recurrent": gru.recurrent_dropout,
        "zoneout": gru.zoneout,
    }
    return sum(sizes[name] for name, rate in rates.items() if rate)


def bytes_for_segments(gru: GRUBase, rows: int, segment_rows: int) -> int:
    """Return the bytes of the masks of ``rows`` rows in segments of up to ``segment_rows``."""
    H, width = gru.hidden_size, -(-gru.hidden_size // 8)
    layers = (gru.num_layers - 1) * (gru.dropout > 0) + gru.num_layers * (gru.zoneout > 0)
    packed = layers * rows * width
    unpacked = segment_rows * (layers * H + H + width)  # and one layer's before it is copied
    indices = segment_rows * 8 * 8
    return packed + unpacked + indices if layers else 0


def draw(gru: GRUBase, noise: Noise | None, generator: np.random.Generator) -> None:
    """Fill the masks of ``noise`` with random bits; None has no masks."""
    if noise is None:
        return
    if noise.recurrent is not None:
        _fill(noise.recurrent, np.greater_equal, gru.recurrent_dropout, generator)
    if noise.dropout is not None:
        _fill(noise.dropout, np.greater_equal, gru.dropout, generator)
    if noise.zoneout is not None:
        _fill(noise.zoneout, np.less, gru.zoneout, generator)


def expected(options: GRUOptions) -> Noise | None:
    """Return the noise of inference: the mean effect of zoneout."""
    return Noise(zoneout_rate=options.zoneout) if options.zoneout else None


def _scale(rate: float) -> float:
    return 1 / (1 - rate) if rate < 1 else 0.0


def _fill(
    mask: Bytes, compare: Callable[..., Any], rate: float, generator: np.random.Generator
) -> None:
    numbers = np.empty(BLOCK, np.float32)
    bits = mask.view(np.bool_)
    for first in range(0, len(bits), BLOCK):
        part = bits[first : first + BLOCK]
        compare(generator.random(out=numbers[: len(part)], dtype=np.float32), rate, out=part)


# ---- segments ------------------------------------------------------------------------------


class PackedNoise:
    """The masks of a whole batch with one bit per element; each segment takes its part.

    A call in segments needs the masks of each segment twice, forward and backward. With a byte
    per element, the masks of the whole batch would take the memory that segments save. With one
    bit per element, each mask of a layer takes a 32nd of the memory of a float32 output.

    Parameters
    ----------
    gru : GRUBase
        A GRU of one direction.
    inputs : Inputs
        The whole batch.
    chunk_rows : int
        The number of sequences of a chunk, from which the order of rows follows.
    """

    def __init__(self, gru: GRUBase, inputs: Inputs, chunk_rows: int) -> None:
        self._gru = gru
        self._order = _RowOrder(inputs.full_lengths(), chunk_rows)
        rows, width = self._order.count, -(-gru.hidden_size // 8)

        L, of_sequences = gru.num_layers, gru.num_layers * inputs.B * gru.hidden_size
        self._dropout = _room(gru.dropout, (L - 1, rows, width), "the dropout mask")
        self._recurrent = _room(
            gru.recurrent_dropout, of_sequences, "the recurrent dropout mask"
        )
        self._zoneout = _room(gru.zoneout, (L, rows, width), "the zoneout mask")

    def draw(self, generator: np.random.Generator) -> None:
        """Fill the masks with random bits, in the same order as :func:`draw`."""
        gru = self._gru
        if self._recurrent is not None:
            _fill(self._recurrent, np.greater_equal, gru.recurrent_dropout, generator)
        if self._dropout is not None:
            self._fill_packed(self._dropout, np.greater_equal, gru.dropout, generator)
        if self._zoneout is not None:
            self._fill_packed(self._zoneout, np.less, gru.zoneout, generator)

    def _fill_packed(
        self,
        mask: Bytes,
        compare: Callable[..., Any],
        rate: float,
        generator: np.random.Generator,
    ) -> None:
        H = self._gru.hidden_size
        at_once = max(1, BLOCK // H)
        numbers = np.empty((at_once, H), np.float32)
        rows = mask.reshape(-1, mask.shape[-1])
        for first in range(0, len(rows), at_once):
            part = rows[first : first + at_once]
            drawn = generator.random(out=numbers[: len(part)], dtype=np.float32)
            part[...] = np.packbits(compare(drawn, rate), axis=1)

    def segment(
        self, begin: int, end: int, step: NDArray[np.int64], sequence: NDArray[np.int64]
    ) -> Noise | None:
        """Return the masks of a segment.

        Parameters
        ----------
        begin, end : int
            First step of the segment, and the one after its last.
        step, sequence : ndarray
            (R,) the step inside the segment, and the sequence, of each row of its plan.
        """
        # Dropout masks are in the order of time, those of zoneout in the order of reading: a
        # sequence that is read in reverse has read its steps after the segment before.
        before = self._order.steps_from(end)[sequence] if self._gru.reverse else begin
        return _noise(
            self._gru,
            self._unpacked(self._dropout, begin + step, sequence),
            self._recurrent,
            self._unpacked(self._zoneout, before + step, sequence),
        )

    def _unpacked(
        self, packed: Bytes | None, step: NDArray[np.int64], sequence: NDArray[np.int64]
    ) -> Bytes | None:
        """Return the mask of some steps of sequences, flat, with one byte per element."""
        if packed is None or not len(step):
            return None
        rows = self._order.rows(step, sequence)
        H = self._gru.hidden_size
        mask: Bytes = allocate((len(packed), len(rows), H), np.uint8, "the mask of a segment")
        for of_layer, bits in zip(mask, packed, strict=True):
            of_layer[...] = np.unpackbits(bits[rows], axis=1, count=H)
        return mask.reshape(-1)

    @property
    def nbytes(self) -> int:
        """Bytes of all masks."""
        masks = (self._dropout, self._zoneout, self._recurrent)
        return sum(mask.nbytes for mask in masks if mask is not None)


class _RowOrder:
    """The order of the rows of a plan: by chunk, then by step, then by sequence.

    The core sorts the sequences by length, longest first, and cuts them into chunks; sequences
    of equal length keep their order. A segment sorts by the remaining lengths, so its rows have
    another order than the same steps of the whole batch.
    """

    def __init__(self, lengths: NDArray[np.int64], chunk_rows: int) -> None:
        order = np.argsort(-lengths, kind="stable")
        place = np.empty(len(lengths), np.int64)
        place[order] = np.arange(len(lengths))
        self.count = int(lengths.sum())
        self._lengths = lengths
        self._chunk = place // chunk_rows
        self._rank = place % chunk_rows
        # The sequences again, by chunk and then by length, the shortest first.
        by_length = np.lexsort((lengths, self._chunk))
        self._steps = int(lengths.max(initial=0)) + 1  # more than any length
        self._keys = self._chunk[by_length] * self._steps + lengths[by_length]
        self._rows_before = np.concatenate(([0], np.cumsum(lengths[by_length])))
        self._chunk_rows = chunk_rows

    def steps_from(self, end: int) -> NDArray[np.int64]:
        """Return how many steps of each sequence are at ``end`` or later."""
        later: NDArray[np.int64] = np.maximum(self._lengths - end, 0)
        return later

    def rows(self, step: NDArray[np.int64], sequence: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the row in the whole batch of each (step of the batch, sequence)."""
        # Before a step of a chunk there are all rows of the chunks before. Of the chunk itself
        # there are those of every sequence up to this step or, if it is shorter, up to its end.
        chunk = self._chunk[sequence]
        shorter = np.searchsorted(self._keys, chunk * self._steps + step)
        longer = np.minimum((chunk + 1) * self._chunk_rows, len(self._lengths)) - shorter
        row: NDArray[np.int64] = self._rows_before[shorter]
        row += longer * step
        row += self._rank[sequence]
        return row
