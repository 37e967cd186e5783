"""The harness in benchmarks/ measures what it says, and leaves out what is wrong."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import pygru

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Make ``import benchmarks`` possible; the package itself takes the checkout out again."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])


@pytest.fixture
def run(monkeypatch, tmp_path):
    """A function that runs the harness here, without pinning it or measuring the machine."""
    from benchmarks import __main__ as program
    from benchmarks import limits

    monkeypatch.setattr(program, "prepare", lambda threads: None)
    monkeypatch.setattr(limits, "measure", lambda: None)
    monkeypatch.setattr("benchmarks.sgemm.SIZE", 32)
    monkeypatch.setattr("benchmarks.sgemm.OPERATIONS", 2 * 32**3)
    monkeypatch.setattr("pygru.bench.LEAST_SECONDS", 0.0)

    def run(*arguments):
        file = tmp_path / "results.json"
        status = program.main([*arguments, "--repeats", "3", "--json", str(file)])
        return status, json.loads(file.read_text())

    yield run
    pygru.set_num_threads(None)


def test_every_kind_without_rivals(run, capsys):
    status, found = run(
        "step", "calls", "inference", "training", "--only", "--cells", "1,1,3,4"
    )
    assert status == 0
    assert found["means"] == {}  # nothing to compare with
    rows = found["rows"]
    assert {row["kind"] for row in rows} == {"step", "calls", "inference", "training"}
    assert all(row["cell"] == [1, 1, 3, 4] and row["ratio"] is None for row in rows)
    of_calls = [row for row in rows if row["kind"] == "calls"]
    assert len(of_calls) == 10 and of_calls[0]["stream_steps"] == 1
    inference, training = (r for r in rows if r["kind"] in ("inference", "training"))
    seconds = inference["seconds"]
    assert inference["of_variants"]["cho"] == seconds["pygru cho"] / seconds["pygru"]
    assert inference["operations"] == 6 * 4 * (3 + 4)
    assert training["operations"] == 3 * inference["operations"]
    rate = inference["operations"] / seconds["pygru"]
    assert inference["of_sgemm"] == pytest.approx(rate / (2 * 32**3 / seconds["sgemm"]))
    printed = capsys.readouterr().out
    assert printed.count("\n1,1,3,4 ") == len(rows)


def test_steps_of_a_trainer(run):
    _, found = run("trainer", "--only", "--cells", "2,3,2,4")
    (row,) = found["rows"]
    assert row["operations"] == 18 * 3 * 2 * 4 * (2 + 4)
    assert 0 < row["seconds"]["pygru"] < 0.1  # of one step, not of an epoch


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["walking"], "kind must be one of step, calls"),
        (["--cells", "3,4"], "must be B,T,H or B,T,I,H, got '3,4'"),
        (["step", "--cells", "2,3,4"], "1,1,H"),
        (["--repeats", "2"], "--repeats must be at least 3, got 2"),
        (["trainer", "--dtype", "float64"], "--dtype float64"),
        (["--only", "torhc"], "'torhc' is none of torch, onnxruntime"),
    ],
)
def test_wrong_arguments_end_with_status_2(run, capsys, arguments, message):
    from benchmarks.__main__ import main

    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_a_missing_rival_is_said_and_is_an_error_only_if_it_was_asked_for(monkeypatch, capsys):
    from benchmarks import rivals
    from benchmarks.__main__ import choose_rivals

    monkeypatch.setattr(rivals.importlib.util, "find_spec", lambda name: None)
    assert choose_rivals(None) == list(rivals.RIVALS)
    assert "openvino is left out: not installed: openvino, onnx" in capsys.readouterr().err
    assert [runner.name for runner in rivals.installed(1, list(rivals.RIVALS))] == ["pygru"]
    pygru.set_num_threads(None)
    with pytest.raises(SystemExit) as error:
        choose_rivals(["jax"])
    assert error.value.code == 2


def test_a_wrong_output_and_a_failure_are_left_out():
    from benchmarks.agreement import dropped

    right = np.ones(3)
    functions = {
        "right": lambda: right + 1e-6,
        "wrong": lambda: right + 1e-3,
        "nan": lambda: right * np.nan,
        "broken": lambda: right.no_such_attribute,
    }
    failed = dropped(functions, right, 1e-4)
    assert list(functions) == ["right"]
    assert list(failed) == ["wrong", "nan", "broken"]
    assert "0.001" in failed["wrong"] and "AttributeError" in failed["broken"]


def test_what_follows_from_the_times_of_a_row():
    from benchmarks.results import Row, means

    seconds = {"pygru": 2.0, "pygru cho": 0.5, "sgemm": 0.1, "torch": 6.0, "jax": 4.0}
    row = Row("inference", (1, 1, 2, 2), "float32", 1, seconds, {}, operations=8)
    assert (row.fastest, row.ratio, row.operations_per_second) == ("jax", 2.0, 4.0)
    other = Row("inference", (1, 1, 2, 2), "float32", 1, {"pygru": 1.0, "torch": 8.0}, {})
    assert means([row, other]) == {"inference": {"mean": pytest.approx(4.0), "cells": 2}}
    alone = Row("step", (1, 1, 2, 2), "float32", 1, {"pygru": 1.0}, {})
    assert (alone.fastest, alone.ratio) == (None, None)
    eight = Row("quantized", (1, 1, 2, 2), "float32", 1, {"pygru 8 bits": 1.0} | seconds, {})
    assert eight.ratio == 4.0


def test_medians_and_spread_of_functions_that_take_turns(monkeypatch):
    from benchmarks import timing

    taken = []

    def samples(functions, repeats, clock, budget):
        taken.append((list(functions), repeats, clock))
        return {"a": [4.0, 1.0, 2.0, 3.0, 100.0]}

    monkeypatch.setattr(timing, "samples", samples)
    seconds, spread = timing.take({"a": None}, 5, 1)
    assert seconds == {"a": 3.0}
    assert spread == {"a": pytest.approx((4 - 2) / 3)}
    timing.take({"a": None}, 5, 2)
    assert [clock for _, _, clock in taken] == [
        timing.time.perf_counter if os.name == "nt" else timing.time.process_time,
        timing.time.perf_counter,
    ]


def test_samples_stop_at_the_budget():
    from pygru.bench import samples

    now = iter(range(10**6))

    def clock():
        return float(next(now))  # a second at each reading

    assert len(samples({"f": lambda: None}, 9, clock)["f"]) == 9
    assert len(samples({"f": lambda: None}, 9, clock, budget=0)["f"]) == 3
    assert samples({"f": lambda: None}, 3, clock)["f"] == [1.0, 1.0, 1.0]
