"""Beam search over all sources of a batch at once.

Each source has ``beam_size`` slots, and each hypothesis takes one of them. A hypothesis that
has ended keeps its slot, so the others have fewer, but it is not computed any more. The search
of a source ends when all of its hypotheses have ended, or when none of those that continue
could become one of the ``n_best`` targets. Only the live hypotheses are rows of the decoder's
batch, and no Python loop runs over them.
"""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np

from pygru.core import validation
from pygru.nn.decoding import DecoderSteps
from pygru.typing import Booleans, Floats, Integers

Item = TypeVar("Item")

MOST_SLOTS = 2**31 - 1  # the slots of a source are numbered in arrays


class Translation(NamedTuple):
    """A target that :meth:`Seq2Seq.beam_search` found for a source.

    Attributes
    ----------
    tokens : list of int
        The target without begin token and end token.
    score : float
        Its log-probability, divided by ``length ** length_penalty``. The end token counts in
        the length.
    attention : ndarray
        (len(tokens), source length) the attention weights with which each token was chosen.
    has_ended : bool
        Whether the target has an end token. Otherwise ``max_length`` has cut it off.

    Examples
    --------
    >>> import pygru
    >>> model = pygru.Seq2Seq(5, 6, 4, 8, seed=0)
    >>> found = model.beam_search([[1, 2, 3]], max_length=4, beam_size=2)[0]
    >>> found.attention.shape == (len(found.tokens), 3)
    True
    """

    tokens: list[int]
    score: float
    attention: Floats
    has_ended: bool


class Found(NamedTuple):
    """What a search found for all sources: ``counts`` targets of each, one after the other."""

    counts: list[int]
    tokens: list[list[int]]
    scores: list[float]
    have_ended: list[bool]


def grouped(items: list[Item], counts: list[int]) -> list[list[Item]]:
    """Divide a list into lists of ``counts`` items.

    Examples
    --------
    >>> from pygru.nn.beam import grouped
    >>> grouped(["a", "b", "c"], [2, 0, 1])
    [['a', 'b'], [], ['c']]
    """
    items_left = iter(items)
    return [list(islice(items_left, count)) for count in counts]


class _Step(NamedTuple):
    """The choices of one step: for each source still searched and each slot."""

    sources: Integers  # (n,) ascending
    parents: Integers  # (n, K) the slot that a hypothesis continues
    tokens: Integers  # (n, K)


class BeamSearch:
    """The options of a search; ``run`` performs it.

    Parameters
    ----------
    max_length : int
        The largest number of tokens of a target, including its end token.
    beam_size : int
        The number of slots of each source.
    length_penalty : float
        Log-probabilities are divided by the length to the power of this.
    n_best : int
        The number of targets that are looked for.
    bos_idx, eos_idx : int
        The token before the first, and the one that ends a target.
    """

    def __init__(
        self,
        max_length: int,
        beam_size: int,
        length_penalty: float,
        n_best: int,
        bos_idx: int,
        eos_idx: int,
    ) -> None:
        self.max_length = validation.check_int("max_length", max_length, 1)
        self.beam_size = validation.check_int("beam_size", beam_size, 1)
        if self.beam_size > MOST_SLOTS:
            raise ValueError(f"beam_size must be <= {MOST_SLOTS}, got {beam_size}")
        self.n_best = validation.check_int("n_best", n_best, 1)
        if self.n_best > self.beam_size:
            raise ValueError(f"n_best must be <= beam_size={self.beam_size}, got {n_best}")
        self.length_penalty = validation.check_number("length_penalty", length_penalty)
        if not 0 <= self.length_penalty < np.inf:
            raise ValueError(
                f"length_penalty must be a finite number >= 0, got {length_penalty}"
            )
        try:
            self.divisor(self.max_length)
        except OverflowError:
            raise ValueError(
                f"length_penalty={length_penalty} is too large for max_length={max_length}: "
                "max_length ** length_penalty is beyond the range of a float"
            ) from None
        self.bos_idx = bos_idx
        self.eos_idx = eos_idx

    def divisor(self, length: int) -> float:
        """The number by which the log-probability of ``length`` tokens is divided."""
        return float(float(length) ** self.length_penalty)

    def run(self, steps: DecoderSteps, n_sources: int) -> Found:
        """Return the best targets of each source: those that have ended, then those cut off.

        Parameters
        ----------
        steps : DecoderSteps
            The sources, at the beginning.
        n_sources : int
        """
        progress = _Progress(self, steps, n_sources)
        for step in range(self.max_length):
            if progress.is_done:
                break
            progress.step(step)
        return progress.found()


class _Progress:
    """The state of a search."""

    def __init__(self, search: BeamSearch, steps: DecoderSteps, n_sources: int) -> None:
        self._search = search
        self._steps = steps
        # Live hypotheses, one row each.
        self._tokens = np.full(n_sources, search.bos_idx)
        self._scores: Floats = np.zeros(n_sources)
        self._source = np.arange(n_sources)  # index among the sources still searched
        self._slot = np.zeros(n_sources, np.int64)
        # Sources still searched, and how many of their slots are free of ended hypotheses.
        self._searched = np.arange(n_sources)
        self._width = np.full(n_sources, search.beam_size)
        # The best hypotheses of every source, best first: scores, last steps and slots. Those
        # that have ended come before those that were cut off.
        shape = n_sources, search.n_best
        self._best = np.full(shape, -np.inf)
        self._last_step = np.full(shape, -1)
        self._last_slot = np.zeros(shape, np.int64)
        self._history: list[_Step] = []

    @property
    def is_done(self) -> bool:
        return len(self._searched) == 0

    def step(self, step: int) -> None:
        """Continue every live hypothesis by a token, and keep the best of each source."""
        scores, parents, tokens = self._choose()
        self._history.append(_Step(self._searched, parents, tokens))
        live = scores > -np.inf
        ended = live & (tokens == self._search.eos_idx)
        live &= ~ended
        self._note_best(step, np.where(ended, scores, -np.inf))
        self._width -= ended.sum(axis=1)
        alive = np.where(live, scores, -np.inf)
        if step + 1 == self._search.max_length:
            self._note_best(step, alive, cut_off=True)
            return
        # Log-probabilities are at most 0 and only fall. So no continuation can have a better
        # score than the present log-probability divided by the largest divisor.
        reachable = alive.max(axis=1) / self._search.divisor(self._search.max_length)
        going_on = reachable > self._best[self._searched, -1]
        self._go_on(live & going_on[:, np.newaxis], going_on, scores, parents, tokens)

    def _choose(self) -> tuple[Floats, Integers, Integers]:
        """The best continuations of each source, best first: scores, parents, tokens (n, K)."""
        logits = self._steps.advance(self._tokens, self._source, self._slot)
        log_total = _log_sum_exp(logits)
        logits[:, self._search.bos_idx] = -np.inf  # it is never part of a target
        n, K = len(self._searched), self._search.beam_size
        # At most K tokens of one hypothesis can be among the K best continuations.
        C = min(K, logits.shape[1])
        top = np.argpartition(logits, -C, axis=1)[:, -C:]
        gains = np.take_along_axis(logits, top, axis=1) - log_total
        if np.isnan(gains).any():
            raise ValueError("the model gives NaN: its weights are not finite")
        scores = np.full((n, K, C), -np.inf)
        scores[self._source, self._slot] = self._scores[:, np.newaxis] + gains
        tokens = np.zeros((n, K, C), np.int64)
        tokens[self._source, self._slot] = top
        scores, tokens = scores.reshape(n, K * C), tokens.reshape(n, K * C)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :K]
        scores = np.take_along_axis(scores, order, axis=1)
        scores[np.arange(K) >= self._width[:, np.newaxis]] = -np.inf
        return scores, order // C, np.take_along_axis(tokens, order, axis=1)

    def _note_best(self, step: int, scores: Floats, *, cut_off: bool = False) -> None:
        """Store hypotheses that end at this step, (n, K), if they are among the best so far.

        Those that are cut off come after all that have ended.
        """
        searched, slots = self._searched, np.arange(scores.shape[1])
        scores = scores / self._search.divisor(step + 1)
        joined = np.concatenate((self._best[searched], scores), axis=1)
        class_of = np.where(joined > -np.inf, 0, 2)  # 2: no hypothesis at all
        if cut_off:
            class_of[:, self._search.n_best :] += joined[:, self._search.n_best :] > -np.inf
        order = np.lexsort((-joined, class_of), axis=1)[:, : self._search.n_best]
        self._best[searched] = np.take_along_axis(joined, order, axis=1)
        for kept, new in (
            (self._last_step, np.full(scores.shape, step)),
            (self._last_slot, np.broadcast_to(slots, scores.shape)),
        ):
            joined = np.concatenate((kept[searched], new), axis=1)
            kept[searched] = np.take_along_axis(joined, order, axis=1)

    def _go_on(
        self,
        live: Booleans,
        going_on: Booleans,
        scores: Floats,
        parents: Integers,
        tokens: Integers,
    ) -> None:
        """Make the chosen live hypotheses, (n, K), the rows of the next step."""
        row_of = np.zeros(live.shape, np.int64)
        row_of[self._source, self._slot] = np.arange(len(self._source))
        source, slot = np.nonzero(live)
        sources = slice(None) if going_on.all() else going_on  # a slice copies nothing
        self._steps.keep(row_of[source, parents[source, slot]], sources)
        self._tokens, self._scores = tokens[source, slot], scores[source, slot]
        self._source, self._slot = (np.cumsum(going_on) - 1)[source], slot
        self._searched, self._width = self._searched[going_on], self._width[going_on]

    def found(self) -> Found:
        """The best targets, followed from their last steps to the first ones."""
        last_step = np.where(self._best > -np.inf, self._last_step, -1)
        chosen = np.zeros((*last_step.shape, len(self._history)), np.int64)
        slot = self._last_slot.copy()
        for t in reversed(range(len(self._history))):
            step = self._history[t]
            source, rank = np.nonzero(last_step >= t)
            place = np.searchsorted(step.sources, source), slot[source, rank]
            chosen[source, rank, t] = step.tokens[place]
            slot[source, rank] = step.parents[place]
        of = np.nonzero(last_step >= 0)
        targets = chosen[of]
        last = targets[np.arange(len(targets)), last_step[of]]
        ended = last == self._search.eos_idx
        lengths = last_step[of] + ~ended
        return Found(
            (last_step >= 0).sum(axis=1).tolist(),
            [row[:length].tolist() for row, length in zip(targets, lengths, strict=True)],
            self._best[of].tolist(),
            ended.tolist(),
        )


def _log_sum_exp(logits: Floats) -> Floats:
    """Return log(sum(exp(logits))) over the last axis, which is kept, in double precision."""
    largest = logits.max(axis=1, keepdims=True)
    total = np.exp(logits - largest).sum(axis=1, keepdims=True, dtype=np.float64)
    result: Floats = largest + np.log(total)
    return result
