"""Chooses what the tape of a call keeps: a policy by name, or the fastest within a budget.

``forward(memory=...)`` and ``Trainer(memory=...)`` accept the same values, and both check them
here. This module allocates nothing; the sizes come from plans of the core.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pygru import noise as noises
from pygru.core import _core, validation
from pygru.inputs import Inputs

if TYPE_CHECKING:
    from pygru.gru_base import GRUBase

POLICIES = {"gates": _core.KEEP_GATES, "outputs": _core.KEEP_OUTPUTS}
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
BUDGET = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)b?\s*", re.IGNORECASE | re.ASCII)

ONE_DIRECTION = (
    "{} needs a GRU of one direction: the reverse direction would need every segment's future"
)


class Choice(NamedTuple):
    """What to keep of a batch: one of the core's ``KEEP_*``, and the steps of a segment."""

    keep: int
    segment: int | None = None


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


def choose(gru: GRUBase, inputs: Inputs, memory: object, training: bool) -> Choice:
    """Return what to keep of a batch for a ``memory`` argument.

    The number of threads has no part in it: gradients of segments are sums in another order,
    and threads never change a result. So a budget is compared with what one thread needs.

    Raises
    ------
    ValueError
        If nothing fits into the budget, or if a bidirectional GRU would need segments.
    """
    budget = check_memory(memory)
    if memory == "sqrt":
        if gru.bidirectional:
            raise ValueError(ONE_DIRECTION.format("memory='sqrt'"))
        return Choice(_core.KEEP_GATES, max(1, math.isqrt(inputs.T)))
    if budget is None:
        return Choice(POLICIES[str(memory)])
    inputs.refuse_huge()
    needs = []
    for keep in POLICIES.values():
        needs.append(_bytes_of_whole(gru, inputs, keep, training))
        if needs[-1] <= budget:
            return Choice(keep)
    segment = inputs.T
    while segment > 1 and not gru.bidirectional:
        segment = (segment + 1) // 2
        needs.append(_bytes_in_segments(gru, inputs, segment, training))
        if needs[-1] <= budget:
            return Choice(_core.KEEP_GATES, segment)
    raise ValueError(
        f"memory={memory!r} is too little: {inputs.T} steps of {inputs.B} sequences need at "
        f"least {min(needs)} bytes for the tape and for backward"
        + ("; " + ONE_DIRECTION.format("less") if gru.bidirectional else "")
    )


def _bytes_of_whole(gru: GRUBase, inputs: Inputs, keep: int, training: bool) -> int:
    sizes = gru._runner.plan(inputs.T, inputs.B, inputs.lengths, keep).sizes
    masks = noises.bytes_of_noise(gru, sizes) if training else 0
    return sizes["tape"] * gru.dtype.itemsize + masks + sizes["backward_workspace"]


def _bytes_in_segments(gru: GRUBase, inputs: Inputs, segment: int, training: bool) -> int:
    """Bytes of the longest segment, and of what is kept between the two passes."""
    sizes = gru._runner.plan(segment, inputs.B, None, _core.KEEP_GATES).sizes
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
    workspace = max(sizes["forward_workspace"], sizes["backward_workspace"])
    return elements * gru.dtype.itemsize + masks + workspace
