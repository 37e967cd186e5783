"""Which steps of a batch count, and the shorter sequences that they make: only indices.

A mask leaves steps out, and a reset begins a new episode. An episode is a sequence of its own,
because nothing is carried into it. So the steps of a row that count are cut into *pieces*, one
per episode. The pieces are the sequences of a shorter batch, which the core runs as usual.
Nothing here knows what a GRU is.

Three forms of the same values occur: the batch of the caller (T, B, F); the counted steps
(n, F), row by row and each row in the order of time, so that those of a piece follow one
another; and the batches of pieces that the core runs, (T', P', F).
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pygru.core.memory import allocate
from pygru.typing import Booleans, Floats, Integers

# Pieces are divided into several batches if a single one would have more than this many times
# as many steps, padding included, as the batch of the caller. Masks alone never do that.
MOST_PADDING = 2


class Group(NamedTuple):
    """Pieces that run as one batch.

    Attributes
    ----------
    members : ndarray
        (P',) the pieces, in ascending order.
    lengths : ndarray
        (P',) the counted steps of each.
    counted : ndarray or slice
        (n',) which of all counted steps are theirs.
    place : ndarray
        (n',) where each of these steps is in the batch, as an index into (T' * P', F).
    """

    members: Integers
    lengths: NDArray[np.int64]
    counted: Integers | slice
    place: Integers

    def batch(self, rows: Floats) -> Floats:
        """Return the batch (T', P', F) of counted steps (n, F); padding is not set."""
        shape = (int(self.lengths.max(initial=0)), len(self.members), rows.shape[1])
        batch: Floats = allocate(shape, rows.dtype, "the steps that count")
        batch.reshape(-1, rows.shape[1])[self.place] = rows[self.counted]
        return batch

    def read(self, batch: Floats, rows: Floats) -> None:
        """Copy a batch (T', P', F) into the counted steps (n, F)."""
        found = batch.reshape(-1, rows.shape[1])
        if isinstance(self.counted, slice):  # all of them, without a copy between
            np.take(found, self.place, axis=0, out=rows, mode="clip")
        else:
            rows[self.counted] = found[self.place]


class Pieces:
    """The counted steps of a batch, and the pieces that they make.

    Parameters
    ----------
    lengths : ndarray
        (B,) the valid steps of each row.
    mask : ndarray or None
        (B, T) which steps count; None for all. Steps after the end of a row never do.
    reset : ndarray or None
        (B, T) before which steps an episode begins.

    Attributes
    ----------
    counts : ndarray
        (P,) the counted steps of each piece. A piece of masked steps has none.
    row : ndarray
        (P,) the row of each piece, ascending; the pieces of a row are in the order of time.
    first, last : ndarray
        (B,) the first and the last piece of each row. Every row has at least one.
    is_fresh : ndarray
        (B,) whether a reset precedes the first step of a row.
    time, row_of_step : ndarray
        (n,) where each counted step is.
    groups : list of Group
        All pieces; mostly in a single group.
    """

    def __init__(
        self, lengths: Integers, mask: Booleans | None, reset: Booleans | None
    ) -> None:
        T = next(flags.shape[1] for flags in (mask, reset) if flags is not None)
        B = len(lengths)
        valid = np.arange(T) < lengths[:, np.newaxis]
        counted = valid if mask is None else valid & mask
        begins = np.zeros((B, T), np.bool_) if reset is None else valid & reset
        # A reset before the first step leaves no piece before it.
        self.is_fresh = begins[:, 0].copy() if T else np.zeros(B, np.bool_)
        begins[:, :1] = False

        pieces_of_row = 1 + begins.sum(axis=1)
        self.last = np.cumsum(pieces_of_row) - 1
        self.first = self.last - pieces_of_row + 1
        self.row = np.repeat(np.arange(B), pieces_of_row)
        piece = self.first[:, np.newaxis] + np.cumsum(begins, axis=1)

        self.row_of_step, self.time = np.nonzero(counted)
        self._piece_of_step = piece[self.row_of_step, self.time]
        counts = np.bincount(self._piece_of_step, minlength=len(self.row))
        self.counts: NDArray[np.int64] = counts.astype(np.int64)
        self._end = np.cumsum(self.counts)  # of each piece in the counted steps
        self.groups = self._grouped(T * B)

        # All valid steps, row by row, for the outputs of those that do not count.
        self.leaves_out = bool((counted != valid).any())
        if self.leaves_out:
            self._valid_row, self._valid_time = np.nonzero(valid)
            self._is_counted = counted[valid]
            self._valid_piece = piece[valid]

    def __len__(self) -> int:
        return len(self.row)

    def _grouped(self, steps: int) -> list[Group]:
        counts = self.counts
        step = np.arange(len(self.time)) - np.repeat(self._end - counts, counts)
        order = np.argsort(-counts, kind="stable")
        ends = _cuts(counts[order], MOST_PADDING * steps)
        if len(ends) == 1:
            members = np.arange(len(counts))
            place = step * len(members) + self._piece_of_step
            return [Group(members, counts, slice(None), place)]
        group_of, column = np.full((2, len(counts)), -1)
        groups = []
        for number, (begin, end) in enumerate(pairwise([0, *ends])):
            members = np.sort(order[begin:end])
            group_of[members] = number
            column[members] = np.arange(len(members))
            own = np.flatnonzero(group_of[self._piece_of_step] == number)
            place = step[own] * len(members) + column[self._piece_of_step[own]]
            groups.append(Group(members, counts[members], own, place))
        return groups

    # ---- values of counted steps ------------------------------------------------------------

    def take(self, array: Floats) -> Floats:
        """Return the counted steps (n, F) of an array (T, B, F); no other step is read."""
        rows: Floats = array[self.time, self.row_of_step]
        return rows

    def put(self, rows: Floats, target: Floats) -> None:
        """Copy counted steps (n, F) to their places in (T, B, F)."""
        target[self.time, self.row_of_step] = rows

    # ---- steps that do not count ------------------------------------------------------------

    def repeat(
        self, rows: Floats, initial: Floats | None, target: Floats, backwards: bool
    ) -> None:
        """Give every step that is left out the value of the counted step read before it.

        Parameters
        ----------
        rows : ndarray
            (n, F) the counted steps.
        initial : ndarray or None
            (P, F) what was there before the first counted step of each piece; None for zeros.
        target : ndarray
            (T, B, F) whose left-out steps are set.
        backwards : bool
            Whether the steps are read from the last to the first, so that the step that is
            read before is the next one in time.
        """
        out = ~self._is_counted
        piece, time, row = self._valid_piece[out], self._valid_time[out], self._valid_row[out]
        source, is_there = self._read_before(out, piece, backwards)
        target[time[is_there], row[is_there]] = rows[source[is_there]]
        first = ~is_there
        target[time[first], row[first]] = 0 if initial is None else initial[piece[first]]

    def _read_before(
        self, out: Booleans, piece: Integers, backwards: bool
    ) -> tuple[Integers, Booleans]:
        """Return which counted step was read before each left-out one, and if there is one."""
        following = np.cumsum(self._is_counted, dtype=np.int64)[out]  # the next counted step
        if backwards:
            return following, following < self._end[piece]
        begin = self._end[piece] - self.counts[piece]
        return following - 1, following > begin

    def sum_repeats(self, d_values: Floats, backwards: bool) -> tuple[Floats, Floats]:
        """Return the gradients of :meth:`repeat`: of ``rows``, and of ``initial``.

        ``d_values`` (T, B, F) is the gradient of all steps; those after the end are not read.
        """
        from scipy.sparse import csr_array

        out = ~self._is_counted
        piece, time, row = self._valid_piece[out], self._valid_time[out], self._valid_row[out]
        source, is_there = self._read_before(out, piece, backwards)
        # The steps that repeat one value follow one another. NumPy's reduceat would take many
        # times as long as this product with a matrix of ones.
        changes = (source[1:] != source[:-1]) | (piece[1:] != piece[:-1])
        starts = np.flatnonzero(np.concatenate([[True], changes]))
        ones = np.ones(len(piece), d_values.dtype)
        ends = np.append(starts, len(piece))
        repeats = csr_array((ones, np.arange(len(piece)), ends), (len(starts), len(piece)))
        sums = repeats @ d_values[time, row]
        rows, is_there = self.take(d_values), is_there[starts]
        rows[source[starts[is_there]]] += sums[is_there]
        d_initial = np.zeros((len(self), rows.shape[1]), rows.dtype)
        d_initial[piece[starts[~is_there]]] = sums[~is_there]
        return rows, d_initial


def _cuts(lengths: Integers, most: int) -> list[int]:
    """Return where to cut sequences (P,), longest first, into batches of ``most`` steps in all.

    The result are the ends of the batches. Each is padded to its first sequence. As few cuts
    are made as this takes, each one where it saves most.
    """
    ends = [len(lengths)]
    while True:
        spans = list(pairwise([0, *ends]))
        padded = [int(lengths[begin]) * (end - begin) if end else 0 for begin, end in spans]
        if sum(padded) <= most:
            return ends
        begin, end = spans[int(np.argmax(padded))]
        cuts = np.arange(begin + 1, end)
        areas = lengths[begin] * (cuts - begin) + lengths[cuts] * (end - cuts)
        ends = sorted([*ends, int(cuts[areas.argmin()])])
