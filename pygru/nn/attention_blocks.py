"""How attention divides a batch with lengths into blocks of sequences of about equal length.

The work of attention grows with queries times keys, so that padding costs more there than
anywhere else. A block costs something too. Nothing is multiplied here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pygru.typing import Booleans, Floats, Integers

MOST_PADDING = 0.25  # the share of a block's work that may be spent on padding,
PRICE = 100_000  # or so many numbers, which cost about as much as another block


class Block(NamedTuple):
    """Some sequences of a batch, without the steps after their longest queries and keys."""

    rows: Integers | slice  # which
    queries: slice
    keys: slice
    past_queries: Booleans | None  # (n, Tq) True after the last query
    valid_keys: Booleans | None  # (n, 1, Tk)

    def queries_of(self, array: Floats) -> Floats:
        """The block's part of an array (B, Tq, ...), with zeros after the end."""
        part: Floats = array[self.rows, self.queries]
        if self.past_queries is not None:
            part[self.past_queries] = 0  # part is a copy, because rows is an array here
        return part

    def keys_of(self, array: Floats) -> Floats:
        """The block's part of an array (B, Tk, ...)."""
        part: Floats = array[self.rows, self.keys]
        return part


#: All of a batch.
WHOLE = Block(slice(None), slice(None), slice(None), None, None)


def blocks_of(
    shape: tuple[int, int, int],
    query_lengths: Integers | None,
    key_lengths: Integers | None,
    width: int,
) -> list[Block]:
    """Divide a batch (B, Tq, Tk) of vectors of ``width`` numbers into blocks."""
    B, Tq, Tk = shape
    of_queries = np.full(B, Tq) if query_lengths is None else np.asarray(query_lengths)
    of_keys = np.full(B, Tk) if key_lengths is None else np.asarray(key_lengths)
    order = np.lexsort((of_queries, of_keys))[::-1]
    order = order[(of_queries[order] > 0) & (of_keys[order] > 0)]  # the others are zeros
    cuts, work, widest = [0], 0, 0
    for place, (q, k) in enumerate(
        zip(of_queries[order].tolist(), of_keys[order].tolist(), strict=True)
    ):
        if place == cuts[-1]:
            longest = k  # sorted by the number of keys, longest first
        work, widest = work + q * k, max(widest, q)
        padding = (place + 1 - cuts[-1]) * widest * longest - work
        if padding > max(MOST_PADDING * work, PRICE / max(1, width)):
            cuts.append(place)
            work, widest, longest = q * k, q, k
    return [
        _block(order[begin:end], of_queries, of_keys)
        for begin, end in zip(cuts, [*cuts[1:], len(order)], strict=True)
        if begin < end
    ]


def _block(rows: Integers, of_queries: Integers, of_keys: Integers) -> Block:
    of_queries, of_keys = of_queries[rows], of_keys[rows]
    Tq, Tk = int(of_queries.max()), int(of_keys.max())
    past = valid = None
    if (of_queries < Tq).any():
        past = np.arange(Tq) >= of_queries[:, np.newaxis]
    if (of_keys < Tk).any():
        valid = (np.arange(Tk) < of_keys[:, np.newaxis])[:, np.newaxis]
    return Block(rows, slice(Tq), slice(Tk), past, valid)
