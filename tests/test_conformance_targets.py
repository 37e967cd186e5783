"""The built-in targets of pygru.conformance: pygru itself, PyTorch, Keras and ONNX Runtime.

These tests fail if pygru, in either engine, is not exact in one of the cases, or if a target
gives a library other weights, lengths, masks or gradients than the case has. Each library that
is not installed is left out.
"""

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from engines import ENGINES, use_engine
from patience import PATIENCE

from pygru.conformance import cases, check
from pygru.conformance.report import VARIANTS
from pygru.conformance.targets import pygru_target

CASES = cases()


def words(report):
    """The number of cases by their result."""
    found = [each.word for each in report.results]
    return {word: found.count(word) for word in set(found)}


@pytest.mark.parametrize("engine", ENGINES)
def test_pygru_is_exact_in_every_case(monkeypatch, engine):
    use_engine(monkeypatch, engine)
    for case in CASES:
        found = pygru_target.run(case.copy())
        assert set(found) == set(case.expected), case.name
        for name, array in found.items():
            right = case.expected[name]
            assert array.dtype == np.float64
            np.testing.assert_allclose(
                array, right, rtol=0, atol=1e-12 * max(1, abs(right).max()), err_msg=case.name
            )


def test_pygru_as_a_target():
    report = check("pygru")
    assert report.ok and report.variants == VARIANTS and words(report) == {"right": len(CASES)}
    assert report.about.startswith("pygru.GRU ")


def test_torch():
    pytest.importorskip("torch")
    report = check("torch")
    assert report.ok and report.variants == ("after-keep",)
    assert words(report) == {"right": 9, "-": len(CASES) - 9}
    reasons = {each.message for each in report.results if each.word == "-"}
    assert "torch.nn.GRU refuses sequences of length 0" in reasons
    assert "torch.nn.GRU" in report.explanation


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_keras(backend, tmp_path):
    if not all(find_spec(package) for package in ("keras", backend)):
        pytest.skip(f"needs keras and {backend}")
    # JAX compiles each case for seconds, so it gets some of them.
    names = ["*"] if backend == "torch" else ["empty_layers_both", "mask_both"]
    code = f"""
from pygru.conformance import check
for name in {names}:
    report = check("keras", name=name)
    print(report)
    assert report.ok and report.variants == ("before-keep", "after-keep")
    assert {{each.word for each in report.results}} == {{"right", "-"}}
    assert {backend!r} in report.about
"""
    environment = {**os.environ, "KERAS_BACKEND": backend}
    run = [sys.executable, "-P", "-c", code]
    subprocess.run(run, cwd=tmp_path, env=environment, check=True, timeout=PATIENCE)


def test_onnxruntime():
    """It gives 0 for the last state of a sequence of length 0, of which ONNX says nothing."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    report = check("onnxruntime")
    found = words(report)
    assert found.pop("WRONG", 0) in (0, 4) and set(found) == {"outputs", "-"}
    assert found["outputs"] >= 36
    assert {each.keys for each in report.findings} <= {("empty-h_n",)}
    assert not any(
        each.gradients != "none" for each in report.results if each.word == "outputs"
    )
