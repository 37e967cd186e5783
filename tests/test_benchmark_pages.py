"""The tables, sentences and pictures of the pages on speed show what was measured."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
VERSIONS = {"pygru": "0.1.0", "numpy": "2.4.6", "scipy": "1.17.1", "torch": "2.13.0"}
MACHINE = {
    "date": "2026-11-07",
    "cpu": "Some CPU",
    "kernels": "avx2",
    "versions": VERSIONS,
    "limits": {"peak_gflops": {"float32": 99.6}},
}


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Make ``import benchmarks`` possible; the package itself takes the checkout out again."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])


@pytest.fixture
def measured(tmp_path):
    """A function that writes rows to a file of results, and reads it."""
    from benchmarks.measured import Measured
    from benchmarks.results import Row

    def measured(*rows):
        made = [Row(*row[:3], row[3], row[4], {}, **row[5]).as_dict() for row in rows]
        path = tmp_path / "results.json"
        path.write_text(json.dumps({"machine": MACHINE, "rows": made}))
        return Measured([path])

    return measured


def row(kind, cell, seconds, *, dtype="float32", threads=1, **more):
    return kind, cell, dtype, threads, seconds, more


SIZES = {
    "step": (1, 1, 128, 128),
    "inference": (32, 100, 128, 128),
    "training": (1, 1, 128, 128),
}
LAYERS = [
    row(
        kind,
        cell,
        {"pygru": 2e-6, "torch": 80.4e-6, "jax": ratio * 2e-6, "sgemm": 1e-9},
        of_limit=0.714,
        of_variants={"chung": 1.04, "cho": 0.96},
    )
    for (kind, cell), ratio in zip(SIZES.items(), (4.0, 1.5, 0.9), strict=True)
]


def test_layers_means_and_those_that_are_slower(measured):
    from benchmarks import tables

    found = measured(*LAYERS)
    lines = tables.layers(found).splitlines()
    assert lines[0].count("|") == lines[2].count("|")
    assert (
        "| inference | 32, 100, 128 | 2.0 us | 80 us | - | - | 3.0 us | **1.50** | 71 % | - |"
        in lines
    )
    assert tables.means(found).splitlines()[-1] == "| geometric mean | 4.00 | 1.50 | 0.90 |"
    assert tables.slower(found) == (
        "Another library is faster in 1 of the 3 cases: JAX in training 1, 1, 128 (0.90)."
    )
    assert "No other library is faster" in tables.summary(
        measured(*LAYERS[:2], row("training", (1, 1, 2, 2), {"pygru": 1.0, "torch": 2.0}))
    )
    assert "| inference | 1.04 (1.04) | 0.96 (0.96) |" in tables.variants(found)
    assert tables.machine(found) == (
        "Some CPU, AVX2, 100 GFLOP/s a core, 7 November 2026; PyTorch 2.13.0, SciPy 1.17.1:"
    )


def test_calls_in_steps_of_a_stream(measured):
    from benchmarks import tables

    rows = []
    for H, factor in {64: 1, 128: 2}.items():
        times = {"stream": 1e-6, "g(x)": 2.5e-6, "g(x, h0)": 3e-6, "forward + backward": 9e-6}
        for call, seconds in times.items():
            rivals = (
                {"torch": 5e-5} if "backward" in call else {"torch": 2e-5, "onnxruntime": 7e-6}
            )
            of_call = {"pygru": seconds * factor} | rivals
            rows.append(
                row("calls", (1, 1, H, H), of_call, call=call, stream_steps=seconds / 1e-6)
            )
    lines = tables.calls(measured(*rows)).splitlines()
    assert lines[0] == "|  | H = 64 | H = 128 |"
    assert "| `stream` | 1.0 us | 2.0 us |" in lines
    assert "| `g(x)` | 2.5 us (2.5) | 5.0 us (2.5) |" in lines
    assert "| ONNX Runtime, `run` | 7.0 us | 7.0 us |" in lines
    assert "| PyTorch, training | 50 us | 50 us |" in lines
    assert not any("Runtime" in line and "training" in line for line in lines)


def test_the_other_tables(measured):
    from benchmarks import tables

    differences = {
        "pygru 8 bits": {"largest": 0.0123, "rms": 0.0045},
        "torch int8": {"largest": 0.1, "rms": 0.0789},
    }
    times = {
        "pygru": 2e-3,
        "pygru 8 bits": 1e-3,
        "torch int8": 5e-3,
        "torch": 4e-3,
        "jax": 3e-3,
    }
    found = measured(
        row("trainer", (32, 50, 16, 64), {"pygru": 2e-3, "torch": 1.2e-2}, operations=1e8),
        row("quantized", (1, 1, 8, 8), times, differences=differences),
        row(
            "torch",
            (1, 1, 8, 8),
            {"pygru": 1e-6, "pygru.torch": 2e-6, "torch": 6e-6},
            call="inference",
        ),
        row(
            "torch",
            (1, 1, 8, 8),
            {"pygru": 1e-6, "pygru.torch": 4e-6, "torch": 2e-6},
            call="training",
        ),
        row(
            "inference",
            (8, 1, 8, 8),
            {"pygru": 1.0, "torch": 2.0},
            dtype="float64",
            of_limit=0.5,
        ),
        row(
            "training",
            (8, 1, 8, 8),
            {"pygru": 1.0, "torch": 3.0},
            dtype="float64",
            of_limit=0.6,
        ),
        row("inference", (8, 1, 8, 8), {"pygru": 1.0}, threads=2, speed_up=1.9),
        row("training", (8, 2, 8, 8), {"pygru": 1.0}, threads=2, speed_up=1.8),
    )
    assert "| 32, 50, 16, 64 | 2.00 ms | 12.0 ms | **6.00** | 50 |" in tables.trainer(found)
    assert "takes 2.00 ms. The same step takes 12.0 ms in PyTorch, 6.0 times as long." in (
        tables.trainer_sentence(found).replace("\n", " ")
    )
    assert tables.quantized(found).splitlines()[-1] == (
        "| 1, 1, 8 | 1.00 ms | 2.00 ms | 5.00 ms | 3.00 ms (JAX) | **2.00** | **3.00** "
        "| 0.0123 | 0.0045 | 0.0789 |"
    )
    of_torch = tables.torch(found)
    assert "| inference | 1, 1, 8 | 6.0 us | 2.0 us | 1.0 us | **3.00** |" in of_torch
    assert "3.0 in inference and 0.5 in training" in of_torch
    assert "(geometric mean 3.00)" in tables.float64(found).replace("\n", " ")
    assert "reach 60 % of the limit" in tables.float64(found).replace("\n", " ")
    assert "| 8, 1, 8 | 1.90 | - |" in tables.threads(found)
    assert "| 8, 2, 8 | - | 1.80 |" in tables.threads(found)


def test_only_measured_blocks_of_a_page_are_written(measured):
    from benchmarks.pages import rewritten

    old = "<!-- figures: {} -->\n\nold {}\n\n<!-- end of figures -->\n"
    page = "A\n\n" + old.format("means", "means") + "\nB\n\n" + old.format("calls", "calls")
    text, missing = rewritten(page, measured(*LAYERS))
    assert missing == ["calls"]
    assert "old means" not in text and "| geometric mean | 4.00" in text and "old calls" in text
    assert text.startswith("A\n\n<!-- figures: means -->\n\n|") and "\nB\n\n<!--" in text
    assert rewritten(text, measured(*LAYERS))[0] == text
    with pytest.raises(KeyError, match="menas"):
        rewritten(old.format("menas", ""), measured(*LAYERS))


def test_one_case_is_in_one_file_only(measured):
    with pytest.raises(ValueError, match="another file also has step, "):
        measured(LAYERS[0], LAYERS[0])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.44e-6, "1.4 us"),
        (9.96e-6, "10 us"),
        (9.994e-4, "999 us"),
        (9.996e-4, "1.00 ms"),
        (9.996e-3, "10.0 ms"),
        (0.09996, "100 ms"),
        (1.1662, "1166 ms"),
    ],
)
def test_times_have_two_or_three_digits(seconds, text):
    from benchmarks.words import time_text

    assert time_text(seconds) == text


def test_the_pages_show_the_stored_results():
    from benchmarks import pages, pictures, tables
    from benchmarks.measured import Measured

    stored = Measured(sorted(pages.RESULTS.glob("*.json")))
    used = []
    for page in pages.PAGES:
        text = page.read_text(encoding="utf-8")
        used += [name for _, name, _ in pages.BLOCK.findall(text)]
        assert pages.rewritten(text, stored)[0] == text, (
            f"run python -m benchmarks.pages: {page}"
        )
    assert sorted(used) == sorted(tables.BLOCKS)
    found = pictures.tasks(stored)
    assert [*found] == [*pictures.TASKS]
    live, _, _, training = found.values()
    (step,) = (r for r in stored.of("step") if r["cell"] == [1, 1, 128, 128])
    assert live["torch"] == pytest.approx(step["seconds"]["torch"] * 1e6)  # ms of 1000 steps
    assert [*training] == ["pygru", "torch", "jax"]
