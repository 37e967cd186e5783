"""Chooses what the tape of a call keeps: a policy by name, or the fastest within a budget.

``forward(memory=...)`` and ``Trainer(memory=...)`` accept the same values, and both check them
here. This module allocates nothing; the sizes come from plans of the core.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pygru import noise as noises
from pygru.core import _core, threads, validation
from pygru.inputs import Inputs

if TYPE_CHECKING:
    from pygru.gru_base import GRUBase
    from pygru.runner import Planned

POLICIES = {"gates": _core.KEEP_GATES, "outputs": _core.KEEP_OUTPUTS}
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
BUDGET = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)b?\s*", re.IGNORECASE | re.ASCII)

ONE_DIRECTION = (
    "{} needs a GRU of one direction: the reverse direction would need every segment's future"
)


class Choice(NamedTuple):
    """What to keep of a batch: one of the core's ``KEEP_*``, and the steps of a segment.

    ``n_threads`` is the argument of that name, or fewer threads if the budget asks for that.
    """

    keep: int
    segment: int | None
    n_threads: int | None


def check_memory(memory: object) -> int | None:
    """Return the bytes that a ``memory`` argument allows; None for the name of a policy.

    Raises
    ------
    ValueError
        If it is neither a policy nor a budget.

    Examples
    --------
    >>> from pygru.budget import check_memory
    >>> check_memory("1.5 MB"), check_memory(2**20), check_memory("sqrt")
    (1500000, 1048576, None)
    """
    if isinstance(memory, str):
        if memory in (*POLICIES, "sqrt"):
            return None
        text = BUDGET.fullmatch(memory)
        if text is not None:
            from decimal import Decimal  # not on top, because it takes a while

            return int(Decimal(text[1]) * UNITS[text[2].lower()])
    elif isinstance(memory, (int, np.integer)) and not isinstance(memory, bool) and memory > 0:
        return int(memory)
    raise ValueError(
        "memory must be one of 'gates', 'outputs', 'sqrt', or a number of bytes such as "
        f"2**20 or '500 MB', got {validation.shown(memory)}"
    )


def whole(memory: object) -> int | None:
    """Return what the tape of a whole batch keeps, if ``memory`` says it without its sizes.

    Raises
    ------
    ValueError
        If it is neither a policy nor a budget.
    """
    keep = POLICIES.get(memory) if isinstance(memory, str) else None
    if keep is None:
        check_memory(memory)
    return keep


def share(memory: Any, part: int, whole: int) -> Any:
    """Return what ``memory`` allows for ``part`` of ``whole`` steps; a policy stays."""
    budget = check_memory(memory)
    return memory if budget is None or part == whole else max(1, budget * part // whole)


def choose(
    gru: GRUBase, inputs: Inputs, memory: object, training: bool, n_threads: int | None
) -> Choice:
    """Return what to keep of a batch for a ``memory`` argument, and how many threads to use.

    Gradients of segments are sums in another order, and the number of threads never changes a
    result. So what to keep follows from what one thread needs. Then as many threads are allowed
    as have room for their workspaces in what is left of the budget.

    Raises
    ------
    ValueError
        If nothing fits into the budget, or if a bidirectional GRU would need segments.
    """
    budget = check_memory(memory)
    if memory == "sqrt":
        if gru.bidirectional:
            raise ValueError(ONE_DIRECTION.format("memory='sqrt'"))
        return Choice(_core.KEEP_GATES, max(1, math.isqrt(inputs.T)), n_threads)
    if budget is None:
        return Choice(POLICIES[str(memory)], None, n_threads)
    inputs.refuse_huge()
    needs = []
    for keep in POLICIES.values():
        planned = gru._runner.plan(inputs.T, inputs.B, inputs.lengths, keep)
        kept = _bytes_of_whole(gru, planned.sizes, training)
        needs.append(kept + _workspace(planned.sizes))
        if needs[-1] <= budget:
            return Choice(keep, None, _threads(n_threads, planned, budget - kept))
    segment = inputs.T
    while segment > 1 and not gru.bidirectional:
        segment = (segment + 1) // 2
        planned = gru._runner.plan(segment, inputs.B, None, _core.KEEP_GATES)
        kept = _bytes_in_segments(gru, inputs, segment, planned.sizes, training)
        needs.append(kept + _workspace(planned.sizes))
        if needs[-1] <= budget:
            allowed = _threads(n_threads, planned, budget - kept)
            return Choice(_core.KEEP_GATES, segment, allowed)
    raise ValueError(
        f"memory={memory!r} is too little: {inputs.T} steps of {inputs.B} sequences need at "
        f"least {min(needs)} bytes for the tape and for backward"
        + ("; " + ONE_DIRECTION.format("less") if gru.bidirectional else "")
    )


def _workspace(sizes: dict[str, int]) -> int:
    """Bytes of the workspace that both passes use, one after the other."""
    return max(sizes["forward_workspace"], sizes["backward_workspace"])


def _threads(n_threads: int | None, planned: Planned, room: int) -> int | None:
    """Return ``n_threads``, or the most threads whose workspaces take ``room`` bytes.

    If there is room for every number of threads, the settings at the time of backward count
    for backward, as they do without a budget.
    """
    most = max(1, min(planned.sizes["max_threads"], threads.MOST_THREADS))
    if _workspace(planned.plan.sizes(most)) <= room:
        return n_threads
    count = min(threads.resolve(n_threads), most)
    while count > 1 and _workspace(planned.plan.sizes(count)) > room:
        count -= 1
    return count


def _bytes_of_whole(gru: GRUBase, sizes: dict[str, int], training: bool) -> int:
    """Bytes of a tape of the whole batch."""
    masks = noises.bytes_of_noise(gru, sizes) if training else 0
    return sizes["tape"] * gru.dtype.itemsize + masks


def _bytes_in_segments(
    gru: GRUBase, inputs: Inputs, segment: int, sizes: dict[str, int], training: bool
) -> int:
    """Bytes of the longest segment, and of what is kept between the two passes."""
    states = math.prod(inputs.state_shape())
    elements: int = (
        sizes["tape"]
        + segment * inputs.B * gru.hidden_size  # the output of a segment, not reused
        + (math.ceil(inputs.T / segment) + 4) * states
        + inputs.T * inputs.B * gru.input_size  # the tape's copy of x
        + sizes["parameters"]
    )
    masks = 0
    if training:
        rows = int(inputs.full_lengths().sum())
        recurrent = sizes["recurrent"] if gru.recurrent_dropout else 0
        masks = recurrent + noises.bytes_for_segments(gru, rows, segment * inputs.B)
    return elements * gru.dtype.itemsize + masks
