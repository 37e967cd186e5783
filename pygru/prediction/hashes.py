"""Fingerprints by which a run knows its model and its data again.

A fingerprint has parts with names, so that a message can say which of them differs. A part is
text for people, or a hash: of all values, or of some sequences of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

#: The parts by their names, the most telling one first.
Fingerprint = Mapping[str, str]
#: How the text of a part begins that is a hash.
HASH = "hash "
#: Sequences, spread over a source, whose values are in its fingerprint.
LOOKED_AT = 16


def text(found: Any) -> str:
    """Return the part of a fingerprint that a hash makes."""
    return HASH + str(found.hexdigest())


def difference(found: Fingerprint, own: Fingerprint) -> str:
    """Say in words in which part two fingerprints differ; nothing if they are the same."""
    for name in (*own, *found):
        before, now = found.get(name, "none"), own.get(name, "none")
        if before != now:
            is_hash = HASH in f"{before}{now}"
            return f"other {name}" if is_hash else f"{name} {before}, now {now}"
    return ""


def add(found: Any, values: Any) -> None:
    """Add a sequence, or several, to a hash."""
    if values is None or isinstance(values, str):
        found.update(str(values).encode())
        return
    array = None if isinstance(values, list) else np.asarray(values)
    if array is None or array.dtype == object:
        for each in values if array is None else array.ravel().tolist():
            add(found, each)
        return
    found.update(f"{array.dtype.str} {array.shape} ".encode())
    found.update(array.tobytes())


def add_some(found: Any, values: Any, count: int, read: Callable[[int, int], Any]) -> None:
    """Add a checksum of the values to a hash, or some rows that are spread over them."""
    content = getattr(values, "content", None)
    if content is not None:
        found.update(content.encode())
        return
    if not count:
        return
    places = {i * (count - 1) // (LOOKED_AT - 1) for i in range(LOOKED_AT)}
    for row in sorted(places):
        add(found, read(row, row + 1))
