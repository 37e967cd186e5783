"""Beam search over all sources of a batch at once.

Each source has ``beam_size`` slots, and each hypothesis takes one of them. A hypothesis that
has ended keeps its slot, so the others have fewer, but it is not computed any more. The search
of a source ends when all of its hypotheses have ended, or when none of those that continue
could become better than the best ended one. Only the live hypotheses are rows of the decoder's
batch, and no Python loop runs over them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pygru.core import validation
from pygru.nn.decoding import DecoderSteps
from pygru.typing import Booleans, Floats, Integers

MOST_SLOTS = 2**31 - 1  # the slots of a source are numbered in arrays


class Translation(NamedTuple):
    """The target that :meth:`Seq2Seq.beam_search` found for one source.

    Attributes
    ----------
    tokens : list of int
        The target without begin token and end token.
    score : float
        Its log-probability, divided by ``length ** length_penalty``. The end token counts in
        the length.
    attention : ndarray
        (len(tokens), source length) the attention weights with which each token was chosen.

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
    bos_idx, eos_idx : int
        The token before the first, and the one that ends a target.
    """

    def __init__(
        self,
        max_length: int,
        beam_size: int,
        length_penalty: float,
        bos_idx: int,
        eos_idx: int,
    ) -> None:
        self.max_length = validation.check_int("max_length", max_length, 1)
        self.beam_size = validation.check_int("beam_size", beam_size, 1)
        if self.beam_size > MOST_SLOTS:
            raise ValueError(f"beam_size must be <= {MOST_SLOTS}, got {beam_size}")
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

    def run(self, steps: DecoderSteps, n_sources: int) -> tuple[list[list[int]], list[float]]:
        """Return the tokens of the best targets, without their ends, and their scores.

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
        return progress.targets(), progress.best.tolist()


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
        # The best hypothesis of every source that has ended: its score, last step and slot.
        self.best = np.full(n_sources, -np.inf)
        self._last_step = np.full(n_sources, -1)
        self._last_slot = np.zeros(n_sources, np.int64)
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
            # If no hypothesis of a source has ended, the live ones are cut off.
            missing = self.best[self._searched] == -np.inf
            self._note_best(step, np.where(missing[:, np.newaxis], alive, -np.inf))
        # Log-probabilities are at most 0 and only fall. So no continuation can have a better
        # score than the present log-probability divided by the largest divisor.
        reachable = alive.max(axis=1) / self._search.divisor(self._search.max_length)
        going_on = reachable > self.best[self._searched]
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

    def _note_best(self, step: int, ended: Floats) -> None:
        """Store hypotheses that have ended, (n, K) scores, if they are the best so far."""
        slot = ended.argmax(axis=1)
        scores = ended[np.arange(len(slot)), slot] / self._search.divisor(step + 1)
        better = scores > self.best[self._searched]
        sources = self._searched[better]
        self.best[sources] = scores[better]
        self._last_step[sources] = step
        self._last_slot[sources] = slot[better]

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

    def targets(self) -> list[list[int]]:
        """The tokens of the best hypotheses, followed from their last step to the first."""
        found = np.zeros((len(self.best), len(self._history)), np.int64)
        slot = self._last_slot.copy()
        for t in reversed(range(len(self._history))):
            step = self._history[t]
            sources = np.flatnonzero(self._last_step >= t)
            place = np.searchsorted(step.sources, sources)
            found[sources, t] = step.tokens[place, slot[sources]]
            slot[sources] = step.parents[place, slot[sources]]
        last = found[np.arange(len(found)), self._last_step]
        lengths = self._last_step + (last != self._search.eos_idx)
        return [row[:length].tolist() for row, length in zip(found, lengths, strict=True)]


def _log_sum_exp(logits: Floats) -> Floats:
    """Return log(sum(exp(logits))) over the last axis, which is kept, in double precision."""
    largest = logits.max(axis=1, keepdims=True)
    total = np.exp(logits - largest).sum(axis=1, keepdims=True, dtype=np.float64)
    result: Floats = largest + np.log(total)
    return result
