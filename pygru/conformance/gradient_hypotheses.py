"""The mistakes in gradients that the kit knows: what a library with each of them would compute.

They are tried where the outputs are right and a gradient is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pygru.conformance.backward import RIGHT, GradientMistakes, gradients
from pygru.conformance.case import Arrays, Case
from pygru.conformance.layouts import in_order

After: TypeAlias = Callable[[Case, Arrays], Arrays]


@dataclass(frozen=True)
class GradientHypothesis:
    """A mistake: its short name, what to say about it, and how it comes about."""

    key: str
    text: str
    before: Callable[[Case], Case] = lambda case: case
    mistakes: GradientMistakes = RIGHT
    after: After = lambda case, results: results
    advice: str = ""

    def says(self, case: Case) -> str:
        """Return the text for a case."""
        return self.text

    def simulate(self, case: Case) -> Arrays:
        """Return the gradients of a target with this mistake."""
        return self.after(case, gradients(self.before(case), self.mistakes))


def _times(factor: Callable[[Case], float], *starts: str) -> After:
    """Multiply the gradients whose names start so."""

    def after(case: Case, found: Arrays) -> Arrays:
        return {
            name: array * factor(case) if name.startswith(starts) else array
            for name, array in found.items()
        }

    return after


def _zero(*starts: str) -> After:
    return _times(lambda case: 0.0, *starts)


def _change(change: Callable[[NDArray[Any]], NDArray[Any]], *starts: str) -> After:
    def after(case: Case, found: Arrays) -> Arrays:
        return {
            name: change(array) if name.startswith(starts) else array
            for name, array in found.items()
        }

    return after


def _transpose_each(array: NDArray[Any]) -> NDArray[Any]:
    H = array.shape[1]
    return array.reshape(3, H, H).transpose(0, 2, 1).reshape(3 * H, H)


def _candidate_rows_zero(array: NDArray[Any]) -> NDArray[Any]:
    return array * (np.arange(len(array)) < len(array) // 3 * 2).reshape(
        -1, *[1] * (array.ndim - 1)
    )


def _rows_of_batch(case: Case) -> float:
    return 1 / len(case.x[0])


def _steps(case: Case) -> float:
    return 1 / len(case.x)


GRADIENT_HYPOTHESES: tuple[GradientHypothesis, ...] = (
    GradientHypothesis(
        "d_recurrent-last",
        "the gradient of the recurrent weights has the last step alone, not the sum over all",
        mistakes=GradientMistakes(recurrent_steps="last"),
    ),
    GradientHypothesis(
        "d_recurrent-first",
        "the gradient of the recurrent weights has the first step alone, not the sum over all",
        mistakes=GradientMistakes(recurrent_steps="first"),
    ),
    GradientHypothesis(
        "d_recurrent-state-after",
        "the gradient of the recurrent weights is formed with the state after each step, not "
        "before it",
        mistakes=GradientMistakes(state_in_product="after"),
    ),
    GradientHypothesis(
        "d_recurrent-transposed",
        "the gradient of the recurrent matrix of each gate is transposed",
        after=_change(_transpose_each, "d_weight_hh"),
    ),
    GradientHypothesis(
        "d_recurrent-missing",
        "the gradient of the recurrent weights is missing",
        after=_zero("d_weight_hh"),
    ),
    GradientHypothesis(
        "d_bias-missing", "the gradient of the biases is missing", after=_zero("d_bias")
    ),
    GradientHypothesis(
        "d_bias_hh-missing", "the gradient of bias_hh is missing", after=_zero("d_bias_hh")
    ),
    GradientHypothesis(
        "d_bias_ih-missing", "the gradient of bias_ih is missing", after=_zero("d_bias_ih")
    ),
    GradientHypothesis("d_h0-missing", "the gradient of h0 is missing", after=_zero("d_h0")),
    GradientHypothesis("d_x-missing", "the gradient of x is missing", after=_zero("d_x")),
    GradientHypothesis(
        "divided-by-batch",
        "all gradients are divided by the number of sequences",
        after=_times(_rows_of_batch, "d_"),
    ),
    GradientHypothesis(
        "weights-divided-by-batch",
        "the gradients of the parameters are divided by the number of sequences",
        after=_times(_rows_of_batch, "d_weight", "d_bias"),
    ),
    GradientHypothesis(
        "divided-by-steps",
        "all gradients are divided by the number of steps",
        after=_times(_steps, "d_"),
    ),
    GradientHypothesis(
        "weights-divided-by-steps",
        "the gradients of the parameters are divided by the number of steps",
        after=_times(_steps, "d_weight", "d_bias"),
    ),
    GradientHypothesis(
        "divided-by-both",
        "all gradients are divided by the number of sequences and of steps",
        after=_times(lambda case: _rows_of_batch(case) * _steps(case), "d_"),
    ),
    GradientHypothesis(
        "twice", "all gradients are twice too large", after=_times(lambda case: 2.0, "d_")
    ),
    GradientHypothesis(
        "weights-twice",
        "the gradients of the parameters are twice too large: were they added to old ones?",
        after=_times(lambda case: 2.0, "d_weight", "d_bias"),
    ),
    GradientHypothesis(
        "sign", "all gradients have the wrong sign", after=_times(lambda case: -1.0, "d_")
    ),
    GradientHypothesis(
        "d_h_n-ignored",
        "d_h_n is ignored: the last states add nothing to the gradients",
        lambda case: replace(case, d_h_n=np.zeros_like(case.d_h_n)),
    ),
    GradientHypothesis(
        "d_output-ignored",
        "d_output is ignored: only the last states add to the gradients",
        lambda case: replace(case, d_output=np.zeros_like(case.d_output)),
    ),
    GradientHypothesis(
        "not-through-time",
        "the gradient does not go back in time: each step is treated as if it were the first",
        mistakes=GradientMistakes(through_time=False),
    ),
    GradientHypothesis(
        "not-through-reset",
        "the path through the reset gate to the state before is missing",
        mistakes=GradientMistakes(through_reset=False),
    ),
    GradientHypothesis(
        "not-through-update",
        "the path through the update gate to the state before is missing",
        mistakes=GradientMistakes(through_update=False),
    ),
    GradientHypothesis(
        "candidate-without-reset",
        "the reset gate is missing in the gradient of the candidate's recurrent part",
        mistakes=GradientMistakes(r_in_candidate=False),
    ),
    GradientHypothesis(
        "d_bias_hh-without-reset",
        "the gradient of bias_hh is that of bias_ih: the factor r of the candidate is missing",
        after=lambda case, found: {
            name: found[name.replace("d_bias_hh", "d_bias_ih")] for name in found
        },
    ),
    GradientHypothesis(
        "d_candidate-missing",
        "the gradients of the candidate's recurrent weights are missing",
        after=_change(_candidate_rows_zero, "d_weight_hh"),
    ),
    GradientHypothesis(
        "d_gates-zrn",
        "gates r and z are swapped in the gradients of the parameters",
        after=_change(lambda array: in_order(array, "zrn"), "d_weight", "d_bias"),
    ),
)
