"""``python -m pygru.conformance``, and what targets can do wrong apart from wrong numbers.

These tests fail if an exit code is another one, if a mistake of the user ends in a traceback,
if the target's own error is not shown, or if a wrong shape, name, dtype or NaN passes or gets
an unclear message.
"""

import importlib
import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
from plain_gru import gru

from pygru.conformance import TargetError, cases, check
from pygru.conformance.__main__ import main

PLAIN = "plain/after-keep"
NUMBERS = itertools.count()  # no module has the name of one that was imported before


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write modules with targets into a folder on the path of Python."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text):
        name = f"conformance_target_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()  # the folder may have been listed a moment ago
        return name

    return write


def changed(**changes):
    """A target whose results are changed by functions."""

    def target(case):
        found = gru(case)
        for name, change in changes.items():
            found[name] = change(found[name])
        return found

    return target


# ---- the command ---------------------------------------------------------------------------


def test_a_right_target(capsys):
    assert main(["--target", "pygru", "--case", "plain"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("target: pygru (pygru.GRU ")
    assert "computes: reset after, update keeps, gates in the order r, z, n" in said
    assert said.endswith("OK: 4 cases right (4 with gradients), 0 wrong, 4 in all\n")


def test_a_wrong_target(capsys, module):
    name = module(
        "from plain_gru import mutant\nfrom gru_mutants import FORWARD\n"
        "swapped = mutant(*FORWARD['gates-zrn'])\n"
    )
    assert main(["--target", f"{name}:swapped", "--case", PLAIN]) == 1
    said = capsys.readouterr().out
    assert (
        "WRONG: gates r and z are swapped: the target takes the gates in the order z, r,"
        in said
    )
    assert "first difference in plain/after-keep: output, step 0, row 0, unit 0: got" in said
    assert "NOT OK: 0 cases right" in said


def test_json(capsys):
    assert main(["--target", "pygru", "--case", PLAIN, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True and report["variants"] == ["after-keep"]
    assert report["cases"][0]["name"] == PLAIN and report["cases"][0]["gradients"] == "right"


def test_json_of_a_wrong_target(capsys, module):
    name = module(
        "from plain_gru import gru\n"
        "def target(case):\n    found = gru(case)\n    found['output'][2] = float('nan')\n"
        "    return found\n"
    )
    assert main(["--target", f"{name}:target", "--case", PLAIN, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    (finding,) = report["findings"]
    assert finding["first_difference"]["place"] == {"step": 2, "row": 0, "unit": 0}
    assert finding["first_difference"]["got"] is None and "NaN" in finding["text"]


def test_list(capsys):
    assert main(["--list"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("torch", "keras", "onnxruntime", "module:function"))
    assert "pygru        pygru.GRU (can run here)" in said


def test_cases(capsys):
    assert main(["--cases"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(cases())
    assert lines[0].split() == ["plain/before-replace", "T=5", "B=2", "I=4", "H=3"]
    assert any("mask (output: state)" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one of the arguments --target --list --cases is required"),
        (["--target", "tourch"], "unknown target 'tourch'"),
        (["--target", "tourch"], "Did you mean 'torch'?"),
        (["--target", "no_such_module:f"], "there is no module 'no_such_module'"),
        (["--target", ":f"], "a target is named module:function, got ':f'"),
        (["--target", "json:nothing"], "module 'json' has no function 'nothing'"),
        (["--target", "json:__name__"], "must be a function, it is of type str"),
        (["--target", "pygru", "--case", "nothing"], "no case is called 'nothing'"),
        (["--target", "pygru", "--variant", "sideways"], "has the variant 'sideways'"),
        (["--target", "pygru", "--tolerance", "-1"], "tolerance must be above 0"),
        (["--target", "pygru", "--tolerance", "nan"], "tolerance must be"),
        (["--target", "pygru", "--tolerance", "much"], "invalid float value: 'much'"),
    ],
)
def test_mistakes_on_the_command_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said


def test_modules_that_cannot_be_imported(module):
    with pytest.raises(TargetError, match="cannot be imported: ZeroDivisionError"):
        check(f"{module('1 / 0')}:f")
    with pytest.raises(TargetError, match="needs 'no_such_package', not installed"):
        check(f"{module('import no_such_package')}:f")
    with pytest.raises(TargetError, match="cannot be imported: SyntaxError"):
        check(f"{module('def f(')}:f")
    with pytest.raises(TypeError, match="target must be a function or a str, got int"):
        check(7)


def test_a_package_that_is_missing(monkeypatch):
    from pygru.conformance import named

    monkeypatch.setitem(named.BUILT_IN, "torch", ("a GRU", ("no_such_package",)))
    with pytest.raises(TargetError, match="'torch' needs no_such_package, not installed here"):
        check("torch")
    assert named.missing_packages("torch") == ["no_such_package"]


def test_a_module_in_the_folder_is_found(tmp_path):
    (tmp_path / "mine.py").write_text("def gru(case):\n    return {'output': case.x}\n")
    run = [sys.executable, "-m", "pygru.conformance", "--target", "mine:gru", "--case", PLAIN]
    process = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode == 1 and process.stderr == ""
    assert "output must have the shape (5, 2, 3) = (T, B, D*H), got (5, 2, 4)" in process.stdout


# ---- answers -------------------------------------------------------------------------------


def error_of(target, name=PLAIN):
    """The message about a case that a target fails at."""
    report = check(target, name=name)
    (result,) = report.results
    assert result.outputs == "error" and not report.ok
    assert result.message in " ".join(str(report).split())
    assert report.explanation == result.message
    return result.message


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (lambda case: None, "it returned None"),
        (lambda case: (1, 2), "it returned a tuple of 2"),
        (lambda case: 3.5, "it returned an object of type float"),
        (lambda case: {}, "returned neither 'output' nor 'h_n'"),
        (lambda case: {"hn": 1.0}, "unknown result 'hn'; the results are output, h_n, "),
        (lambda case: {"hn": 1.0}, "Did it mean 'h_n'?"),
        (changed(output=lambda a: a.transpose(1, 0, 2)), "its axes are batch, time"),
        (changed(output=lambda a: a[-1]), "it has the last step only"),
        (changed(h_n=lambda a: a[0]), "an axis for layers and directions is missing"),
        (
            changed(d_weight_ih_l0=lambda a: a.T),
            "must have the shape (9, 4), got (4, 9); it is",
        ),
        (
            changed(output=lambda a: a.astype(complex)),
            "must have floats, got an array of dtype",
        ),
        (changed(output=lambda a: "text"), "output must have floats"),
        (changed(output=lambda a: [[1.0], [2.0, 3.0]]), "output cannot be made an array"),
    ],
)
def test_answers_of_a_wrong_form(target, message):
    assert message in error_of(target)


def test_the_sum_of_both_directions():
    def summed(case):
        found = gru(case)
        first, second = np.split(found["output"], 2, axis=2)
        return {"output": first + second}

    assert "they are not added" in error_of(summed, "both/after-keep")


def test_the_error_of_a_target_is_shown():
    def failing(case):
        raise KeyError("weights of the second layer")

    report = check(failing, name="plain")
    assert "the target raised KeyError: 'weights of the second layer'" in report.explanation
    assert "in failing" in str(report) and "answers.py" not in str(report)
    assert str(report).count("Traceback") == 1
    assert "4 cases, first in plain/before-replace" in str(report)


@pytest.mark.parametrize("error", [SystemExit(0), MemoryError("x" * 10**6)])
def test_no_error_of_a_target_ends_the_check(error):
    def failing(case):
        raise error

    report = check(failing, name="plain")
    assert not report.ok and len(str(report)) < 10_000
    assert report.explanation.startswith(f"the target raised {type(error).__name__}")


def test_not_supported():
    def none(case):
        raise NotImplementedError("it is Friday")

    report = check(none, name="plain")
    assert not report.ok and "4 cases: it is Friday" in str(report)
    assert report.explanation == "the target supports none of these cases"
    assert not check(lambda case: NotImplemented, name="plain").ok


def test_nan_is_wrong():
    def nan(case):
        found = gru(case)
        found["h_n"][0, 1, 1] = np.nan
        return found

    (finding,) = check(nan, name=PLAIN).findings
    assert finding.text == "there is NaN in h_n"
    assert finding.difference.place == {"layer": 0, "row": 1, "unit": 1}


def test_single_and_half_precision():
    def in_dtype(dtype):
        return lambda case: {name: array.astype(dtype) for name, array in gru(case).items()}

    assert check(in_dtype("float32"), name="p*").ok
    assert check(in_dtype("float16"), name="p*").ok
    assert not check(in_dtype("float32"), name="p*", tolerance=1e-12).ok


def test_single_precision_under_another_name():
    def target(case):
        return {name: array.astype("f4").astype("f8") for name, array in gru(case).items()}

    report = check(target, name=PLAIN)
    assert "float64 arrays, but are as exact as float32 at best" in report.explanation
    assert check(target, name=PLAIN, tolerance=1e-6).ok


def test_parts_of_the_results():
    def outputs(case):
        return {"output": gru(case)["output"], "h_n": None}

    report = check(outputs, name="plain")
    assert report.ok and all(each.gradients == "none" for each in report.results)
    assert "the outputs are right, no gradients are given" in str(report)


def test_a_target_may_write_to_its_inputs():
    def careless(case):
        found = gru(case)
        for array in (case.x, case.h0, *case.parameters.values(), *case.expected.values()):
            array[:] = 0
        return found

    assert check(careless, name="plain").ok
