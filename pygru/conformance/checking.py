"""Runs a target on the cases and judges its results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

from pygru.conformance.answers import Answer, Target, ask
from pygru.conformance.case import Case
from pygru.conformance.comparing import all_agree
from pygru.conformance.explaining import (
    FORWARD,
    Answered,
    differences_of,
    explain_gradients,
    explain_outputs,
    mistakes_of,
)
from pygru.conformance.known import RESET, UPDATE
from pygru.conformance.named import find_target
from pygru.conformance.report import CaseResult, Report
from pygru.conformance.vectors import cases
from pygru.core.validation import check_number


def check(
    target: Target | str,
    *,
    name: str = "*",
    variant: str = "*",
    tolerance: float | None = None,
) -> Report:
    """Say which GRU a target computes, whether it is right, and what is wrong if it is not.

    Parameters
    ----------
    target : callable or str
        A function that takes a :class:`Case` and returns a dict with the arrays ``output`` and
        ``h_n``, and any of the gradients that ``case.expected`` lists. It raises
        NotImplementedError, with the reason, for a case that it does not support. A str is the
        name of a built-in target (``"torch"``, ``"keras"``, ``"onnxruntime"``, ``"pygru"``) or
        ``"module:function"``.
    name : str, default "*"
        The cases to try: a name or a pattern, as :func:`cases` takes it.
    variant : str, default "*"
        The variant that the target must compute, as in ``"after-keep"``, or a pattern.
    tolerance : float, optional
        The largest difference that counts as rounding, for numbers up to 1. By default it is
        1e-9 for float64, 1e-4 for float32 and 3e-2 for 16 bits, by the dtype of a result.

    Returns
    -------
    Report
        ``report.ok`` and ``report.explanation`` have the verdict; ``print(report)`` all of it.

    Raises
    ------
    ValueError
        If there is no such case, if a target cannot be found by its name, or if the tolerance
        is out of range.
    TypeError
        If ``target`` is neither a function nor a str, or another argument is of a wrong kind.

    Notes
    -----
    A target that gives the same results for all variants has one GRU and takes no notice of
    ``case.reset`` and ``case.update``. It is then judged by the variant that it computes.

    Examples
    --------
    >>> import pygru.conformance
    >>> report = pygru.conformance.check("pygru", name="plain")
    >>> report.ok
    True

    A GRU that does not use h0:

    >>> def forgetful(case):
    ...     from pygru.conformance.targets.pygru_target import run
    ...     case.h0[:] = 0
    ...     return run(case)
    >>> pygru.conformance.check(forgetful, name="plain").explanation
    'h0 is ignored: the first state is zeros'
    """
    if tolerance is not None:
        tolerance = check_number("tolerance", tolerance)
        if not 0 < tolerance < 1:
            raise ValueError(f"tolerance must be above 0 and below 1, got {tolerance}")
    found = find_target(target)
    asked = cases(name, variant=variant)
    answers = [ask(found.run, case) for case in asked]
    answered = [
        Answered(case, answer.results)
        for case, answer in zip(asked, answers, strict=True)
        if answer.status == "answered"
    ]
    only = _only_variant(answered, tolerance)
    results = [
        _judged(case, answer, only, tolerance)
        for case, answer in zip(asked, answers, strict=True)
    ]
    judged = {result.case.name for result in results if result.outputs != "other variant"}
    answered = [each for each in answered if each.case.name in judged]
    wrong = _of(answered, results, lambda result: result.outputs == "wrong")
    findings = explain_outputs(wrong, answered, tolerance)
    wrong = _of(answered, results, lambda result: result.gradients == "wrong")
    right = _of(answered, results, lambda result: result.outputs == "right")
    findings += explain_gradients(
        wrong, [each for each in right if each.gradients()], tolerance
    )
    return Report(found.name, found.about, results, findings, only)


def _of(
    answered: Sequence[Answered],
    results: Sequence[CaseResult],
    condition: Callable[[CaseResult], bool],
) -> list[Answered]:
    """Return what was answered for the cases whose result fulfils a condition."""
    names = {result.case.name for result in results if condition(result)}
    return [each for each in answered if each.case.name in names]


def _judged(
    case: Case, answer: Answer, only: str | None, tolerance: float | None
) -> CaseResult:
    """Return the result of a case."""
    if answer.status != "answered":
        return CaseResult(case, answer.status, "none", answer.message, [], answer.trace)
    answered = Answered(case, answer.results)
    if only is not None and case.variant != only:
        return CaseResult(case, "other variant", "none", f"the target computes {only}", [], "")
    differences = differences_of(answered, FORWARD, tolerance)
    if differences:
        return CaseResult(case, "wrong", "not judged", str(differences[0]), differences, "")
    if not answered.gradients():
        return CaseResult(case, "right", "none", "", [], "")
    differences = differences_of(answered, list(answered.gradients()), tolerance)
    gradients = "wrong" if differences else "right"
    message = str(differences[0]) if differences else ""
    return CaseResult(case, "right", gradients, message, differences, "")


# ---- targets with one GRU ------------------------------------------------------------------


UNKNOWN = 3  # more than the mistakes that are tried together


def _only_variant(answered: Sequence[Answered], tolerance: float | None) -> str | None:
    """Return the variant of a target that gives the same results for all of them."""
    problems: dict[str, list[Answered]] = {}
    for each in answered:
        problems.setdefault(each.case.problem, []).append(each)
    several = [group for group in problems.values() if len(group) > 1]
    if not several or not all(_are_alike(group, tolerance) for group in several):
        return None
    variants = [each.case.variant for each in several[0]]

    def cost(variant: str, pairs: bool) -> int:
        """The number of mistakes, other than a wrong variant, that explain the results."""
        own = [each for each in answered if each.case.variant == variant]
        wrong = [each for each in own if not _is_right(each, tolerance)]
        if not wrong:
            return 0
        fitting = mistakes_of(wrong[0], tolerance, pairs=pairs)
        counts = [len(each) for each in fitting if not {RESET, UPDATE} & set(each)]
        return min(counts, default=UNKNOWN)

    for pairs in (False, True):  # pairs take much longer
        costs = {variant: cost(variant, pairs) for variant in variants}
        best = min(costs, key=lambda variant: (costs[variant], variant != "after-keep"))
        if costs[best] < UNKNOWN:
            return best
    return None


def _is_right(answered: Answered, tolerance: float | None) -> bool:
    return all_agree(answered.outputs(), answered.case.expected, tolerance)


def _are_alike(group: Sequence[Answered], tolerance: float | None) -> bool:
    """Whether the outputs for one problem are the same in every variant."""
    return all(
        set(one.outputs()) == set(two.outputs())
        and all_agree(one.outputs(), two.outputs(), tolerance)
        for one, two in combinations(group, 2)
    )
