"""What the values of data have to be: tokens of the model, finite, in the range of its dtype.

Only what is read is looked at; of several ranks each looks at its share. A message names the
first wrong value and its place.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pygru.train.scan import WHOLE, Samples, Share, blocks_of, first_problem
from pygru.typing import Integers


def check_tokens(
    name: str, samples: Samples, lengths: Integers | None, count: int, share: Share = WHOLE
) -> None:
    """Raise for values that are read and are not integers in [0, count)."""
    for block in blocks_of(samples, lengths, share):
        values = block.values
        if values.dtype.kind not in "iu" and values.size:
            raise TypeError(f"{name} must hold integers, got dtype {values.dtype}")
        found = first_problem(name, samples, block, (values < 0) | (values >= count))
        if found:
            raise ValueError(
                f"sample {found.sample}: token {found.value} is not in 0..{count - 1} "
                f"({found.place})"
            )


def check_finite(
    name: str,
    samples: Samples,
    lengths: Integers | None,
    share: Share = WHOLE,
    *,
    has_steps: bool,
) -> None:
    """Raise for NaN and infinities that are read."""
    if not isinstance(samples, list) and samples.dtype.kind != "f":
        return
    for block in blocks_of(samples, lengths, share):
        found = first_problem(name, samples, block, ~np.isfinite(block.values))
        if found:
            kind = "NaN" if np.isnan(found.value) else "infinity"
            place = found.with_step() if has_steps and found.at else str(found)
            raise ValueError(f"Input {name} contains {kind}: {place}")


def check_range(
    name: str,
    samples: Samples,
    lengths: Integers | None,
    dtype: np.dtype[Any] | None,
    share: Share = WHOLE,
) -> None:
    """Raise for numbers that are read and would become infinite in ``dtype``."""
    if dtype is None or (
        not isinstance(samples, list)
        and (samples.dtype.kind != "f" or samples.dtype.itemsize <= dtype.itemsize)
    ):
        return
    limit = np.finfo(dtype).max
    for block in blocks_of(samples, lengths, share):
        too_large = np.isfinite(block.values) & (np.abs(block.values) > limit)
        found = first_problem(name, samples, block, too_large)
        if found:
            raise ValueError(
                f"Input {name} contains a value too large for {dtype}: {found}; scale the "
                "data, or make the model with dtype='float64'"
            )
