"""pygru.conformance finds every planted bug, and gives it its right name.

The bugs are planted in plain_gru.py, which shares no code with the kit. These tests fail if a
case that shows a bug is missing, if a mistake gets the wrong name, or if a right GRU is called
wrong.
"""

from pathlib import Path

import numpy as np
import pytest
from gru_mutants import FORWARD, GRADIENTS
from mutation_score import survives, with_constant_weights, with_one_step
from plain_gru import gru, mutant

from pygru.conformance import check
from pygru.conformance.report import VARIANTS

QUICK = (
    "gates-zrn",
    "reset",
    "update",
    "recurrent-transposed",
    "input-columns",
    "always-h0",
    "h0-ignored",
    "bias-outside-reset",
    "biases-twice",
    "reversed-output",
    "starts-at-padded-end",
    "h_n-of-padded-end",
    "h_n-direction-major",
    "mask-ignored",
)
QUICK_GRADIENTS = ("d_recurrent-last", "d_bias-missing", "d_h0-missing", "divided-by-batch")


def test_the_right_gru_is_right():
    report = check(gru)
    assert report.ok and not report.findings and report.variants == VARIANTS
    assert sum(each.gradients == "right" for each in report.results) == 60
    assert not report.one_gru


def check_outputs(name, variant):
    report = check(mutant(*FORWARD[name]), variant=variant)
    assert not report.ok
    assert [(each.kind, each.keys) for each in report.findings] == [("outputs", (name,))]
    assert report.findings[0].difference is not None
    assert f"WRONG: {report.explanation}."[:60] in str(report)


def check_gradients(name, variant):
    report = check(mutant(*GRADIENTS[name]), variant=variant)
    assert not report.ok
    assert [(each.kind, each.keys) for each in report.findings] == [("gradients", (name,))]
    assert not any(each.outputs == "wrong" for each in report.results)


@pytest.mark.parametrize("name", QUICK)
def test_a_bug_is_found_and_named_in_one_variant(name):
    check_outputs(name, "after-keep")


@pytest.mark.parametrize("name", QUICK_GRADIENTS)
def test_a_bug_in_the_gradients_is_found_and_named_in_one_variant(name):
    check_gradients(name, "after-keep")


@pytest.mark.slow
@pytest.mark.parametrize("name", FORWARD)
def test_a_bug_is_found_and_named(name):
    check_outputs(name, "*")


@pytest.mark.slow
@pytest.mark.parametrize("name", GRADIENTS)
def test_a_bug_in_the_gradients_is_found_and_named(name):
    check_gradients(name, "*")


def test_what_the_page_says_of_other_suites():
    """Without the tests of ONNX, which need its package: see mutation_score.py."""
    page = (Path(__file__).parent.parent / "docs" / "conformance.md").read_text("utf-8")
    assert f"{len(FORWARD)} mistakes in the outputs were planted" in page
    assert f"{len(GRADIENTS)} more mistakes are in the gradients" in page
    assert f"each of the {len(FORWARD) + len(GRADIENTS)} mistakes" in page


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "suite"),
    [("with one step and without h0", with_one_step), ("with constant", with_constant_weights)],
)
def test_how_many_bugs_pass_other_suites(row, suite):
    page = (Path(__file__).parent.parent / "docs" / "conformance.md").read_text("utf-8")
    found = list(suite())
    assert survives(gru, found)
    alive = [name for name, change in FORWARD.items() if survives(mutant(*change), found)]
    line = next(line for line in page.splitlines() if f"| the vectors {row}" in line)
    assert line.endswith(f"| {len(found)} | {len(alive)} |")


@pytest.mark.parametrize("other", ["update", "recurrent-columns"])
def test_two_bugs_at_once(other):
    both = FORWARD["gates-rnz"] + FORWARD[other]
    report = check(mutant(*both), name="plain", variant="after-keep")
    assert [set(each.keys) for each in report.findings] == [{"gates-rnz", other}]
    assert "gates z and n are swapped" in report.explanation
    assert ", and " in report.explanation


@pytest.mark.slow
def test_bugs_of_different_cases_are_told_apart():
    both = FORWARD["h0-ignored"] + FORWARD["mask-ignored"]
    report = check(mutant(*both), variant="after-keep")
    assert {key for each in report.findings for key in each.keys} == {
        "h0-ignored",
        "mask-ignored",
    }


def test_a_bug_without_a_name_is_described():
    cube = mutant("c_n))\n        else", "c_n)) ** 3\n        else")
    report = check(cube, name="no_*", variant="after-keep")
    (first, *_) = report.findings
    assert first.keys == () and "no known mistake explains it: output, h_n wrong" in first.text
    assert first.difference.result == "output" and first.difference.place["step"] == 0


def test_the_first_difference_is_where_it_is():
    def late(case):
        found = gru(case)
        found["output"][3, 1, 2] += 0.5
        return found

    report = check(late, name="plain/after-keep")
    (finding,) = report.findings
    assert finding.difference.place == {"step": 3, "row": 1, "unit": 2}
    assert np.isclose(finding.difference.got - finding.difference.expected, 0.5)
    assert finding.text.endswith("output wrong, h_n right; the first wrong step is 3")


def test_of_a_direction_that_reads_backwards_the_last_step_comes_first():
    def wrong(case):
        found = gru(case)
        found["output"][1:4, 0, -1] += 0.5
        return found

    (finding,) = check(wrong, name="both/after-keep").findings
    assert finding.difference.place == {
        "direction": "backward",
        "step": 3,
        "row": 0,
        "unit": 1,
    }


# ---- a target with one GRU -----------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_target_that_takes_no_notice_of_the_variant(variant):
    from dataclasses import replace

    reset, update = variant.split("-")
    report = check(lambda case: gru(replace(case, reset=reset, update=update)), name="no_*")
    assert report.ok and report.one_gru and report.variants == (variant,)
    assert f"reset {reset}, update {update}s, gates in the order r, z, n" in report.explanation
    assert "It computes the same whatever case.reset and case.update are." in str(report)


def test_a_wrong_target_that_takes_no_notice_of_the_variant():
    from dataclasses import replace

    swapped = mutant(*FORWARD["gates-zrn"])
    report = check(
        lambda case: swapped(replace(case, reset="before", update="keep")), name="l*"
    )
    assert not report.ok and report.one_gru
    assert [each.keys for each in report.findings] == [("gates-zrn",)]
    assert "nearest: reset before, update keeps" in str(report)
    assert "case.weights(gate_order='zrn')" in str(report)


@pytest.mark.slow
def test_two_bugs_of_a_target_that_takes_no_notice_of_the_variant():
    from dataclasses import replace

    bugs = mutant(*FORWARD["gates-zrn"], *FORWARD["h0-ignored"])
    report = check(
        lambda case: bugs(replace(case, reset="before", update="replace")), name="plain"
    )
    assert report.only == "before-replace"
    assert [set(each.keys) for each in report.findings] == [{"gates-zrn", "h0-ignored"}]


@pytest.mark.slow
def test_zeros_are_no_variant():
    report = check(
        lambda case: {name: 0 * array for name, array in case.expected.items()}, name="plain"
    )
    assert report.only is None and not report.ok and report.variants == ()
    assert "no known mistake explains it" in report.explanation


def test_a_variant_can_be_asked_for():
    from dataclasses import replace

    def one(case):
        return gru(replace(case, reset="after", update="keep"))

    assert check(one, name="no_*", variant="after-keep").ok
    report = check(one, name="no_*", variant="before-keep")
    assert not report.ok and [each.keys for each in report.findings] == [("reset",)]
