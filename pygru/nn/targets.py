"""Rules for the targets that a loss can learn, and the place of the first wrong one.

The rules here check targets only. Before the first step of training they check all targets of
a data set. Losses use them for the elements that count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from pygru.core import validation
from pygru.typing import Booleans, Integers


class Verdict(NamedTuple):
    """The result of a rule for an array of targets."""

    bad: Booleans  # True for those that cannot be learned
    reason: Callable[[str, Any], str]  # from a place and a value to the text of an error


#: A rule: targets, options of the loss, and the number of classes if it is known.
Rule: TypeAlias = Callable[[str, Any, Mapping[str, Any], "int | None"], Verdict]


def finite(name: str, values: Any, options: Mapping[str, Any], classes: int | None) -> Verdict:
    """NaN and infinities are wrong."""

    def reason(place: str, value: Any) -> str:
        kind = "NaN" if np.isnan(value) else "infinity"
        return f"Input {name} contains {kind}: {place} = {value}"

    if values.dtype.kind != "f":
        return Verdict(np.zeros(values.shape, bool), reason)
    return Verdict(~np.isfinite(values), reason)


def probabilities(
    name: str, values: Any, options: Mapping[str, Any], classes: int | None
) -> Verdict:
    """Numbers outside [0, 1] are wrong, and so is NaN."""
    return Verdict(
        ~((values >= 0) & (values <= 1)),
        lambda place, value: f"{place} = {value} must be in [0, 1] for bce_with_logits",
    )


def class_numbers(
    name: str, values: Any, options: Mapping[str, Any], classes: int | None
) -> Verdict:
    """Numbers outside [0, classes) are wrong, except for the ignored class."""
    if values.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, got dtype {values.dtype}")
    if classes is not None:
        check_classes(classes)
    bad = values < 0
    if classes is not None:
        bad = bad | (values >= classes)
    if options.get("ignore_index") is not None:
        bad = bad & (values != options["ignore_index"])

    def reason(place: str, value: Any) -> str:
        known = (
            "must be a class >= 0"
            if classes is None
            else (f"is out of bounds for {classes} classes")
        )
        return f"{place} = {value} {known}"

    return Verdict(bad, reason)


def check_classes(classes: int) -> None:
    """Raise for a single class: every prediction is right, so nothing can be learned."""
    if classes == 1:
        raise ValueError(
            "cross_entropy needs logits of at least 2 classes, got 1: the loss would always be "
            "0. For one logit per target use bce_with_logits"
        )


def refuse_first(name: str, values: Any, verdict: Verdict, sample: int | None = None) -> None:
    """Raise a ValueError for the first bad element, with its place; do nothing without one.

    If ``values`` is one element of a list of samples, ``sample`` is its index.
    """
    if not verdict.bad.any():
        return
    at = tuple(np.argwhere(verdict.bad)[0].tolist())
    place = name if sample is None else f"{name}[{sample}]"
    if at:
        place += f"[{', '.join(map(str, at))}]"
    raise ValueError(verdict.reason(place, values[at]))


def check_all(
    rule: Rule,
    options: Mapping[str, Any],
    targets: Any,
    lengths: Integers | None,
    classes: int | None,
    name: str,
) -> None:
    """Apply a rule to the targets of all samples, up to the length of each."""
    if isinstance(targets, np.ndarray) and (lengths is None or targets.ndim < 2):
        refuse_first(name, targets, rule(name, targets, options, classes))
        return
    for number, values in _samples(name, targets, lengths):
        refuse_first(name, values, rule(name, values, options, classes), number)


def _samples(
    name: str, targets: Iterable[Any], lengths: Integers | None
) -> Iterable[tuple[int, Any]]:
    """The number and the valid steps of each sample."""
    for number, sample in enumerate(targets):
        values = validation.as_numeric(f"{name}[{number}]", sample)
        yield (
            number,
            values if lengths is None or not values.ndim else values[: lengths[number]],
        )
