"""The file of conformance vectors, and the kit's own GRU, against an independent reference.

These tests fail if the file does not have the results of conformance_reference.py, if a case
could not show a mistake (equal sizes, zero states, few steps), if the kit's own GRU, forward or
backward, is not that of the vectors, if a layout is permuted wrongly, or if a known mistake
changes no case by more than rounding.
"""

import json
import zlib

import numpy as np
import pytest
import safetensors
from make_conformance_vectors import make
from programs import run_program

import pygru.conformance
from pygru.conformance.backward import gradients
from pygru.conformance.forward import run
from pygru.conformance.gradient_hypotheses import GRADIENT_HYPOTHESES
from pygru.conformance.hypotheses import simulate
from pygru.conformance.known import HYPOTHESES
from pygru.conformance.layouts import from_layout, to_layout
from pygru.conformance.vectors import FILE, cases

CASES = cases()


def test_the_file_has_what_the_reference_computes():
    tensors, described = make()
    with safetensors.safe_open(FILE, "np") as file:
        notes = file.metadata()
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert notes["format"] == "pygru conformance vectors" and notes["version"] == "1"
    assert json.loads(notes["cases"]) == json.loads(json.dumps(described))
    assert set(stored) == set(tensors)
    for name, array in tensors.items():
        assert stored[name].dtype == array.dtype and stored[name].shape == array.shape, name
        np.testing.assert_allclose(stored[name], array, rtol=0, atol=1e-13, err_msg=name)


def test_the_file_is_small():
    assert len(zlib.compress(FILE.read_bytes(), 9)) < 150_000  # in a wheel


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_can_show_mistakes(case):
    T, B, I = case.x.shape
    H, L, D = case.hidden_size, case.num_layers, len(case.directions)
    assert len({T, B, I, H}) == 4 and T >= 5 and min(B, I, H) > 1
    assert case.h0 is None or (case.h0 != 0).all()
    assert all((array != 0).all() for array in case.parameters.values())
    assert case.expected["output"].shape == (T, B, D * H)
    assert case.expected["h_n"].shape == (L * D, B, H)
    for name, array in case.parameters.items():
        assert case.expected[f"d_{name}"].shape == array.shape
        assert array.dtype == np.float64
    unread = ~case.counted
    if unread.any():
        assert abs(case.x[unread]).max() > abs(case.x[~unread]).max()
        assert not case.expected["d_x"][unread].any()


def test_the_kinds_of_cases():
    seen = {(case.reset, case.update) for case in CASES if case.problem == "plain"}
    assert len(seen) == 4
    assert {case.direction for case in CASES} == {"forward", "reverse", "both"}
    assert {case.bias for case in CASES} == {"none", "one", "two"}
    assert {case.num_layers for case in CASES} == {1, 2}
    assert {case.masked_output for case in CASES} == {None, "zero", "state"}
    assert any(case.lengths is not None and 0 in case.lengths for case in CASES)
    assert any(case.h0 is None for case in CASES) and any(case.clip for case in CASES)
    middle = next(case.mask for case in CASES if case.mask is not None)
    assert all("TFT" in "".join("FT"[int(each)] for each in row) for row in middle.T)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_kits_own_gru_computes_the_vectors(case):
    found = {**run(case)[0], **gradients(case)}
    assert set(found) == set(case.expected)
    for name, array in found.items():
        np.testing.assert_allclose(array, case.expected[name], rtol=1e-12, atol=1e-12)


def is_far(case, results):
    return any(abs(a - case.expected[name]).max() > 0.1 for name, a in results.items())


@pytest.mark.parametrize("hypothesis", HYPOTHESES, ids=lambda each: each.key)
def test_every_known_mistake_changes_a_case(hypothesis):
    """By much more than any tolerance, so that it cannot pass for rounding."""
    changed = ((case, simulate(case, [hypothesis])) for case in CASES)
    assert any(is_far(case, results) for case, results in changed if results is not None)
    assert hypothesis.says(CASES[0]) and "{" not in hypothesis.says(CASES[0])


@pytest.mark.parametrize("hypothesis", GRADIENT_HYPOTHESES, ids=lambda each: each.key)
def test_every_known_mistake_changes_a_gradient(hypothesis):
    assert any(is_far(case, hypothesis.simulate(case)) for case in CASES)


def test_names_of_mistakes_are_unique():
    keys = [each.key for each in (*HYPOTHESES, *GRADIENT_HYPOTHESES)]
    assert len(set(keys)) == len(keys)


# ---- the interface -------------------------------------------------------------------------


def test_cases_are_copies():
    before = cases("plain")[0].x.copy()
    case = cases("plain")[0]
    case.x[:] = 0
    case.parameters["weight_hh_l0"][:] = 0
    np.testing.assert_array_equal(cases("plain")[0].x, before)
    assert cases("plain")[0].parameters["weight_hh_l0"].any()


def test_cases_by_name():
    assert [case.name for case in cases("plain/after-keep")] == ["plain/after-keep"]
    assert {case.problem for case in cases("mask*")} == {"mask", "mask_both", "mask_state"}
    for name, variant in (("pytorch", "after-keep"), ("chung", "before-replace")):
        assert {case.variant for case in cases(variant=name)} == {variant}
    with pytest.raises(ValueError, match="no case is called 'nothing' and has the variant"):
        cases("nothing")
    with pytest.raises(ValueError, match="has the variant 'sideways'"):
        cases(variant="sideways")
    with pytest.raises(TypeError, match="name must be a str, got int"):
        cases(7)


def test_layouts():
    (case,) = cases("plain/before-keep")
    W, U, b, c = case.weights()
    H = case.hidden_size
    other, _, merged = case.weights(gate_order="zrn", units="columns", merged_bias=True)
    np.testing.assert_array_equal(other[:, :H], W[H : 2 * H].T)
    np.testing.assert_array_equal(other[:, H : 2 * H], W[:H].T)
    np.testing.assert_array_equal(other[:, 2 * H :], W[2 * H :].T)
    np.testing.assert_allclose(merged[:H], (b + c)[H : 2 * H])
    for order in ("rzn", "zrn", "nrz", "znr"):
        np.testing.assert_array_equal(
            from_layout(to_layout(U, order, "columns"), order, "columns"), U
        )
    (both,) = cases("layers_both/after-keep")
    np.testing.assert_array_equal(
        both.weights("l1_reverse")[0], both.parameters["weight_ih_l1_reverse"]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"suffix": "l7"}, "suffix must be one of l0, got 'l7'"),
        ({"gate_order": 3}, "gate_order must have the letters r, z, n once each, got 3"),
        ({"gate_order": "rz"}, "gate_order must have the letters r, z, n once each, got 'rz'"),
        ({"units": "diagonal"}, "units must be"),
        ({"merged_bias": True}, "merged_bias: with reset after the product"),
    ],
)
def test_a_layout_that_is_none(options, message):
    (case,) = cases("plain/after-keep")
    with pytest.raises(ValueError, match=message):
        case.weights(**options)


def test_the_kit_is_not_imported_with_pygru(tmp_path):
    code = """
import sys, pygru
assert "pygru.conformance" not in sys.modules
pygru.conformance.cases()  # imported by its first use
assert "pygru.conformance" in sys.modules
assert not {"torch", "keras", "jax", "onnx", "onnxruntime"} & set(sys.modules)
"""
    done = run_program(code, tmp_path)
    assert done.returncode == 0, done.stderr


def test_names_are_listed():
    for name in pygru.conformance.__all__:
        assert hasattr(pygru.conformance, name)
