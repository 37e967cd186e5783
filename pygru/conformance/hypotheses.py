"""A hypothesis: one mistake, and what a library that makes it would compute.

A hypothesis changes the inputs of a case before the kit's own GRU runs, or the recurrence
itself, or the results. If a target's results are those of a hypothesis, this mistake explains
them. :mod:`pygru.conformance.known` lists all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from pygru.conformance.case import Arrays, Case
from pygru.conformance.forward import RIGHT, Mistakes, run

#: Returns the case as a target with the mistake sees it, or None where it makes no difference.
Before: TypeAlias = Callable[[Case], Case | None]

#: Returns the results as a target with the mistake gives them.
After: TypeAlias = Callable[[Case, Arrays], Arrays]


def unchanged(case: Case) -> Case:
    """The inputs of a mistake that changes none of them."""
    return case


@dataclass(frozen=True)
class Hypothesis:
    """A mistake: its short name, what to say about it, and how it comes about.

    In ``text``, ``{reset}`` and the other words of :func:`words_of` are filled in.
    """

    key: str
    text: str
    advice: str = ""
    before: Before = unchanged
    mistakes: Mistakes = RIGHT
    after: After = lambda case, results: results

    def says(self, case: Case) -> str:
        """Return the text for a case."""
        return self.text.format(**words_of(case))


def words_of(case: Case) -> dict[str, str]:
    """Return the words that the texts of hypotheses may contain."""
    other = {"before": "after", "after": "before", "keep": "replace", "replace": "keep"}
    name = case.recurrent_activation
    return {
        "reset": case.reset,
        "other_reset": other[case.reset],
        "update": f"{case.update}s",
        "other_update": f"{other[case.update]}s",
        "activation": str(case.activation),
        "recurrent_activation": name if isinstance(name, str) else f"{name[0]}{name[1:]}",
        "masked_output": case.masked_output or "",
    }


def simulate(case: Case, hypotheses: Iterable[Hypothesis]) -> Arrays | None:
    """Return ``output`` and ``h_n`` of a target with these mistakes.

    None stands for mistakes that exclude each other, or that do not concern the case.
    """
    changed, mistakes = case, RIGHT
    for hypothesis in hypotheses:
        after_this = hypothesis.before(changed)
        if after_this is None:
            return None
        changed = after_this
        wrong = {
            name: value
            for name, value in hypothesis.mistakes._asdict().items()
            if value != getattr(RIGHT, name)
        }
        if any(getattr(mistakes, name) != getattr(RIGHT, name) for name in wrong):
            return None
        mistakes = mistakes._replace(**wrong)
    results, _ = run(changed, mistakes)
    for hypothesis in hypotheses:
        results = hypothesis.after(case, results)
    return results
