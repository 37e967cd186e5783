"""Finds the mistakes that explain the wrong results of a target.

Every known mistake is tried on the first wrong case, alone and then in pairs. Where several
fit, the one is taken that agrees with the most cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from pygru.conformance.case import Arrays, Case
from pygru.conformance.comparing import TOLERANCES, Difference, all_agree, first_difference
from pygru.conformance.gradient_hypotheses import GRADIENT_HYPOTHESES, GradientHypothesis
from pygru.conformance.hypotheses import Hypothesis, simulate, unchanged
from pygru.conformance.known import HYPOTHESES

FORWARD = ("output", "h_n")


class Answered(NamedTuple):
    """A case and what the target gave for it."""

    case: Case
    results: Arrays

    def outputs(self) -> Arrays:
        """The results that are no gradients."""
        return {name: array for name, array in self.results.items() if name in FORWARD}

    def gradients(self) -> Arrays:
        """The gradients."""
        return {name: array for name, array in self.results.items() if name not in FORWARD}


class Finding(NamedTuple):
    """A mistake of a target, and the cases that it explains.

    ``keys`` are the short names of the hypotheses, none if no known mistake explains the case.
    """

    kind: str  # "outputs" or "gradients"
    keys: tuple[str, ...]
    text: str
    advice: str
    cases: list[str]
    difference: Difference | None


def explain_outputs(
    wrong: Sequence[Answered], every: Sequence[Answered], tolerance: float | None
) -> list[Finding]:
    """Return the mistakes behind wrong outputs; each wrong case belongs to one of them."""

    def fits(found: tuple[Hypothesis, ...], answered: Answered) -> bool:
        simulated = simulate(answered.case, found)
        if simulated is None:  # the mistakes do not concern this case
            simulated = answered.case.expected
        return all_agree(answered.outputs(), simulated, tolerance)

    findings: list[Finding] = []
    left = list(wrong)
    pairs_tried = False
    while left:
        first = left[0]
        fitting = mistakes_of(first, tolerance, pairs=not pairs_tried)
        pairs_tried = pairs_tried or not fitting or len(fitting[0]) > 1
        if fitting:
            best = max(fitting, key=lambda found: sum(fits(found, each) for each in every))
            explained = [each for each in left if each is first or fits(best, each)]
            text = ", and ".join(each.says(first.case) for each in best)
            advice = " ".join(each.advice for each in best if each.advice)
            keys = tuple(each.key for each in best)
        else:
            explained = [first]
            text, advice, keys = _unexplained(first, FORWARD, tolerance), "", ()
        findings.append(_finding("outputs", keys, text, advice, explained, FORWARD, tolerance))
        left = [each for each in left if not any(each is other for other in explained)]
    return _joined(findings)


def mistakes_of(
    answered: Answered, tolerance: float | None, *, pairs: bool
) -> list[tuple[Hypothesis, ...]]:
    """Return the mistakes, or pairs of them, that give exactly these outputs."""
    got = answered.outputs()
    if is_rounding(answered) or not all(
        np.isfinite(a.astype(float)).all() for a in got.values()
    ):
        return []  # no mistake in the equations gives such results

    def gives(found: tuple[Hypothesis, ...]) -> bool:
        simulated = simulate(answered.case, found)
        return simulated is not None and all_agree(got, simulated, tolerance)

    singles = [(each,) for each in HYPOTHESES if gives((each,))]
    if singles or not pairs:
        return list(singles)
    effective = [each for each in HYPOTHESES if _changes(each, answered.case)]
    pairs_of_them: list[tuple[Hypothesis, ...]] = list(combinations(effective, 2))
    found = [pair for pair in pairs_of_them if gives(pair)]
    if found:
        return found
    # The order matters only if both change the inputs.
    turned = [(b, a) for a, b in pairs_of_them if unchanged not in (a.before, b.before)]
    return [pair for pair in turned if gives(pair)]


def _changes(hypothesis: Hypothesis, case: Case) -> bool:
    """Whether a mistake alone makes a difference in a case."""
    simulated = simulate(case, (hypothesis,))
    return simulated is not None and not all_agree(simulated, case.expected, None)


def is_rounding(answered: Answered) -> bool:
    """Whether all differences are as small as those of float32 arithmetic."""
    return all_agree(answered.results, answered.case.expected, TOLERANCES[4])


def explain_gradients(
    wrong: Sequence[Answered], every: Sequence[Answered], tolerance: float | None
) -> list[Finding]:
    """Return the mistakes behind wrong gradients."""

    def fits(found: GradientHypothesis, answered: Answered) -> bool:
        return all_agree(answered.gradients(), found.simulate(answered.case), tolerance)

    findings: list[Finding] = []
    left = list(wrong)
    while left:
        first = left[0]
        fitting = [each for each in GRADIENT_HYPOTHESES if fits(each, first)]
        names = tuple(first.gradients())
        if fitting:
            best = max(fitting, key=lambda found: sum(fits(found, each) for each in every))
            explained = [each for each in left if each is first or fits(best, each)]
            text, advice = best.says(first.case), best.advice
            keys: tuple[str, ...] = (best.key,)
        else:
            explained = [first]
            text, keys, advice = _unexplained(first, names, tolerance), (), ""
        findings.append(_finding("gradients", keys, text, advice, explained, names, tolerance))
        left = [each for each in left if not any(each is other for other in explained)]
    return _joined(findings)


def _finding(
    kind: str,
    keys: tuple[str, ...],
    text: str,
    advice: str,
    explained: Sequence[Answered],
    names: Sequence[str],
    tolerance: float | None,
) -> Finding:
    first = explained[0]
    differences = differences_of(first, names, tolerance)
    cases = [each.case.name for each in explained]
    return Finding(kind, keys, text, advice, cases, differences[0] if differences else None)


def differences_of(
    answered: Answered, names: Sequence[str], tolerance: float | None
) -> list[Difference]:
    """Return the first difference of each wrong result among ``names``."""
    found = (
        first_difference(answered.case, name, answered.results[name], tolerance)
        for name in names
        if name in answered.results
    )
    return [difference for difference in found if difference is not None]


def _unexplained(answered: Answered, names: Sequence[str], tolerance: float | None) -> str:
    """Return what can be said of results that no known mistake explains."""
    differences = differences_of(answered, names, tolerance)
    if is_rounding(answered):
        dtype = answered.results[differences[0].result].dtype
        return (
            f"the results are {dtype} arrays, but are as exact as float32 at best; return "
            "float32 arrays if the arithmetic is float32, or pass a tolerance"
        )
    if any(difference.largest != difference.largest for difference in differences):
        return "there is NaN in " + _listed(
            [each.result for each in differences if each.largest != each.largest]
        )
    wrong = [difference.result for difference in differences]
    right = [name for name in names if name in answered.results and name not in wrong]
    text = f"no known mistake explains it: {_listed(wrong)} wrong"
    if right:
        text += f", {_listed(right)} right"
    first = differences[0]
    if (
        first.result == "output"
        and first.place["step"] != 0
        and answered.case.direction == ("forward")
    ):
        text += f"; the first wrong step is {first.place['step']}"
    return text


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6])
    return shown if len(names) <= 6 else f"{shown} and {len(names) - 6} more"


def _joined(findings: Sequence[Finding]) -> list[Finding]:
    """Join findings that say the same of different cases."""
    joined: dict[str, Finding] = {}
    for finding in findings:
        same = joined.setdefault(finding.text, finding._replace(cases=[]))
        same.cases.extend(finding.cases)
    return list(joined.values())
