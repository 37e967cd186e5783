"""What is known of a target after it was checked, as an object and as text."""

from __future__ import annotations

import math
import textwrap
from typing import Any, NamedTuple

from pygru.conformance.case import Case
from pygru.conformance.comparing import Difference
from pygru.conformance.explaining import Finding
from pygru.core.pickled import CheckedState

VARIANTS = ("before-replace", "before-keep", "after-keep", "after-replace")

#: Who computes exactly this.
KNOWN = {
    "before-replace": "Chung et al. 2014 and DyNet; pygru's default, 'chung'",
    "before-keep": (
        "Cho et al. 2014 (v3), Keras with reset_after=False, and ONNX with "
        "linear_before_reset=0; pygru's 'cho'"
    ),
    "after-keep": (
        "torch.nn.GRU, cuDNN, Keras' default, and ONNX with linear_before_reset=1; pygru's "
        "'pytorch'"
    ),
    "after-replace": "pygru's Variant('after', 'replace'), of no other known library",
}

WIDTH = 96


class CaseResult(NamedTuple):
    """The result of one case.

    ``outputs`` is ``"right"``, ``"wrong"``, ``"not supported"``, ``"error"`` or ``"other
    variant"``; ``gradients`` is ``"right"``, ``"wrong"``, ``"none"`` or ``"not judged"``.
    """

    case: Case
    outputs: str
    gradients: str
    message: str
    differences: list[Difference]
    trace: str

    @property
    def word(self) -> str:
        """The result in one word, for a table."""
        if self.outputs == "right":
            return {"wrong": "GRADIENT", "none": "outputs"}.get(self.gradients, "right")
        return {"wrong": "WRONG", "error": "ERROR"}.get(self.outputs, "-")


class Report(CheckedState):
    """What a target computes, whether it is right, and what is wrong.

    Attributes
    ----------
    target : str
        The name of the target.
    about : str
        What it is, with the versions of its packages.
    results : list of CaseResult
        One for each case.
    findings : list of Finding
        The mistakes, with the cases that they explain and the first difference.
    only : str or None
        If the target computes the same for every variant: the variant that this is, or that it
        is nearest to. Only the cases of this variant are judged then.

    Examples
    --------
    >>> import pygru.conformance
    >>> report = pygru.conformance.check("pygru", name="layers", variant="after-keep")
    >>> report
    <Report of pygru: right in 1 of 1 case>
    """

    def __init__(
        self,
        target: str,
        about: str,
        results: list[CaseResult],
        findings: list[Finding],
        only: str | None,
    ) -> None:
        self.target = target
        self.about = about
        self.results = results
        self.findings = findings
        self.only = only

    @property
    def one_gru(self) -> bool:
        """Whether the target computes the same for every variant."""
        return self.only is not None

    @property
    def ok(self) -> bool:
        """Whether some case was answered, and none wrongly."""
        return bool(self._with("right")) and not self.findings and not self._with("error")

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants of which every answered case is right, as in ``"after-keep"``."""
        return tuple(
            variant
            for variant in VARIANTS
            if {each.outputs for each in self.results if each.case.variant == variant}
            - {"not supported"}
            == {"right"}
        )

    @property
    def explanation(self) -> str:
        """What the target computes if it is right, or what is wrong, in one text."""
        if self.findings:
            return "; ".join(finding.text for finding in self.findings)
        errors = self._with("error")
        if errors:
            return errors[0].message
        if not self.ok:
            return "the target supports none of these cases"
        return "; ".join(self._computed(variant) for variant in self.variants)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as what JSON can hold."""
        return {
            "target": self.target,
            "about": self.about,
            "ok": self.ok,
            "explanation": self.explanation,
            "variants": list(self.variants),
            "one_gru": self.one_gru,
            "cases": [
                {
                    "name": each.case.name,
                    "outputs": each.outputs,
                    "gradients": each.gradients,
                    "message": each.message,
                    "differences": [_of_difference(one) for one in each.differences],
                }
                for each in self.results
            ],
            "findings": [
                {
                    "kind": finding.kind,
                    "mistakes": list(finding.keys),
                    "text": finding.text,
                    "advice": finding.advice,
                    "cases": finding.cases,
                    "first_difference": _of_difference(finding.difference),
                }
                for finding in self.findings
            ],
        }

    def __repr__(self) -> str:
        right = sum(each.word in ("right", "outputs") for each in self.results)
        plural = "" if len(self.results) == 1 else "s"
        return (
            f"<Report of {self.target}: right in {right} of {len(self.results)} case{plural}>"
        )

    def __str__(self) -> str:
        parts = [self._head(), self._table(), self._not_supported()]
        parts += [*map(self._finding, self.findings), self._errors(), self._verdict()]
        return "\n\n".join(part for part in parts if part)

    # ---- the parts of the text ---------------------------------------------------------------

    def _with(self, outputs: str) -> list[CaseResult]:
        return [each for each in self.results if each.outputs == outputs]

    def _computed(self, variant: str) -> str:
        reset, update = variant.split("-")
        text = f"reset {reset}, update {update}s, gates in the order r, z, n"
        return f"{text}: this is {KNOWN[variant]}"

    def _head(self) -> str:
        lines = [f"target: {self.target} ({self.about})"]
        for variant in self.variants:
            lines.append(_wrapped(self._computed(variant), "computes: ", " " * 10))
        if self.only is not None:
            if self.findings:
                lines.append("nearest: " + "reset {}, update {}s".format(*self.only.split("-")))
            lines.append("It computes the same whatever case.reset and case.update are.")
        return "\n".join(lines)

    def _table(self) -> str:
        words: dict[str, dict[str, str]] = {}
        for each in self.results:
            words.setdefault(each.case.problem, {})[each.case.variant] = each.word
        shown = [name for name in VARIANTS if any(name in row for row in words.values())]
        rows = [["case", *shown]]
        rows += [[name, *(row.get(each, "") for each in shown)] for name, row in words.items()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [
            "  ".join(
                text.ljust(width) for text, width in zip(row, widths, strict=True)
            ).rstrip()
            for row in rows
        ]
        used = {word for row in words.values() for word in row.values()}
        meanings = {
            "right": "right: outputs and gradients are right",
            "outputs": "outputs: the outputs are right, no gradients are given",
            "GRADIENT": "GRADIENT: the outputs are right, a gradient is wrong",
            "WRONG": "WRONG: an output is wrong",
            "ERROR": "ERROR: the target failed",
            "-": "-: not supported" + (", or another variant" if self.one_gru else ""),
        }
        legend = [text for word, text in meanings.items() if word in used]
        return "\n".join([*lines, "", *legend])

    def _not_supported(self) -> str:
        reasons: dict[str, int] = {}
        for each in self._with("not supported"):
            reasons[each.message] = reasons.get(each.message, 0) + 1
        if not reasons:
            return ""
        lines = [f"  {_cases(count)}: {reason}" for reason, count in reasons.items()]
        return "\n".join(["not supported:", *lines])

    def _finding(self, finding: Finding) -> str:
        what = "WRONG" if finding.kind == "outputs" else "WRONG GRADIENT"
        lines = [_wrapped(f"{finding.text}.", f"{what}: ", "  ")]
        names = ", ".join(finding.cases[:4])
        more = f" and {len(finding.cases) - 4} more" if len(finding.cases) > 4 else ""
        lines.append(f"  in {_cases(len(finding.cases))}: {names}{more}")
        if finding.difference is not None:
            lines.append(f"  first difference in {finding.cases[0]}: {finding.difference}")
        if finding.advice:
            lines.append(_wrapped(finding.advice, "  ", "  "))
        return "\n".join(lines)

    def _errors(self) -> str:
        errors = self._with("error")
        if not errors:
            return ""
        messages: dict[str, list[CaseResult]] = {}
        for each in errors:
            messages.setdefault(each.message, []).append(each)
        parts = []
        for message, found in list(messages.items())[:5]:
            lines = [_wrapped(message, "ERROR: ", "  ")]
            lines.append(f"  in {_cases(len(found))}, first in {found[0].case.name}")
            parts.append("\n".join(lines))
        if len(messages) > 5:
            parts.append(f"and {len(messages) - 5} other errors")
        trace = next((each.trace for each in errors if each.trace), "")
        if trace:
            parts.append(f"The target's own error:\n\n{textwrap.indent(trace.rstrip(), '  ')}")
        return "\n\n".join(parts)

    def _verdict(self) -> str:
        right = [each for each in self.results if each.word in ("right", "outputs")]
        wrong = [each for each in self.results if each.word in ("WRONG", "GRADIENT", "ERROR")]
        with_gradients = sum(each.word == "right" for each in right)
        counts = (
            f"{_cases(len(right))} right ({with_gradients} with gradients), {len(wrong)} wrong"
        )
        return f"{'OK' if self.ok else 'NOT OK'}: {counts}, {len(self.results)} in all"


def _of_difference(difference: Difference | None) -> dict[str, Any] | None:
    """Return a difference as JSON, which has no NaN."""
    if difference is None:
        return None
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in difference._asdict().items()
    }


def _cases(count: int) -> str:
    return f"{count} case{'' if count == 1 else 's'}"


def _wrapped(text: str, first: str, other: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=other)
