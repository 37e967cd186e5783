"""A few cases of every fuzzer, and what the fuzzers have found.

Each case is read, computed or refused as documented: no other exception, no warning, no memory
beyond a limit. ``python tests/fuzz`` tries as many cases as you like; see ``tests/fuzz``.
"""

import os
import random
import subprocess
import sys

import numpy as np
import pytest
from fuzz.campaign import Campaign
from fuzz.fuzzer import Failure, Fuzzer, files_left_open, numbered, outcome_of
from fuzz.fuzzers import FUZZERS, make
from fuzz.model_files import forged, small_trainer, stopped
from fuzz.onnx_files import a_part
from numpy.lib.stride_tricks import as_strided
from onnx_models import gru_model, random_weights
from patience import PATIENCE
from quick import quick_and_slow

import pygru
from pygru import GRU, FormatError
from pygru.io.onnx import messages, reading

# Making the good files takes a fuzzer most of its time here.
CASES = {"commands": 10, "gru": 25, "quantized": 25, "forecasters": 30, "checkpoints": 30}
SEVERAL = {
    "commands", "models", "torch", "keras", "onnx", "forecasters", "checkpoints", "npz",
    "sequences", "states",
}  # fmt: skip


@pytest.mark.parametrize(
    "name", quick_and_slow([n for n in FUZZERS if n != "commands"], ["commands"])
)
def test_cases(name):
    fuzzer = make(name)
    try:
        outcomes = set()
        for number in range(CASES.get(name, 60)):
            outcome = outcome_of(fuzzer, numbered(fuzzer, 0, number), number % 3 == 0)
            outcomes.add(outcome.partition("#")[0])
    finally:
        fuzzer.close()
    assert len(outcomes) > 1 or name not in SEVERAL  # some read, some refused


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("name", ["onnx", "torch", "keras"])
def test_a_file_is_closed_when_it_is_refused(name, tmp_path):
    """Those fuzzers pass bytes; here the same cases are files."""
    fuzzer, read = make(name), getattr(pygru, f"from_{name}")
    refused = 0
    for number in range(60):
        case = numbered(fuzzer, 0, number)
        path = tmp_path / ("case.keras" if case.startswith(b"PK") else "case.h5")
        path.write_bytes(case)
        try:
            read(path)
        except (*fuzzer.refusals, ValueError):  # some files hold several GRUs
            refused += 1
            assert files_left_open(str(tmp_path)) == []
        except pygru.DataWarning:
            pass
    assert refused > 10
    with open(path, "rb"):
        assert files_left_open(str(tmp_path)) == [str(path)]


# ---- the fuzzers themselves ----------------------------------------------------------------


class Planted(Fuzzer):
    """A fuzzer of something with a fault of each kind."""

    name = "planted"
    memory = 2**20

    def case(self, rng):
        return bytes([rng.randrange(8)])

    def run(self, case):
        if case[0] == 0:
            raise KeyError("not documented")
        if case[0] == 1:
            bytes(2**21)
        if case[0] == 2:
            os._exit(3)
        if case[0] == 3:
            raise FormatError("x" * 10_000)
        if case[0] == 4:
            raise FormatError("documented")
        return "read"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="cases run in child processes")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_every_kind_of_failure_is_found_and_the_rest_goes_on(tmp_path):
    fuzzer = Planted()
    campaign = Campaign(fuzzer, 0, 0, 150, tmp_path)
    campaign.run()
    first = {kind.partition(" ")[0] for kind in campaign.failures}
    assert first == {"KeyError", "Failure", "it"} and len(campaign.failures) == 4
    numbers = [number for found in campaign.failures.values() for number in found]
    assert len(numbers) + campaign.outcomes.total() == 150
    assert set(campaign.outcomes) == {"read", "refused"}
    for found in campaign.failures.values():
        path = tmp_path / f"planted-0-{found[0]}.bin"
        assert path.read_bytes() == numbered(fuzzer, 0, found[0])
    with pytest.raises(Failure, match="bytes of Python's memory"):
        outcome_of(fuzzer, b"\1", traced=True)


def test_the_same_number_is_the_same_case():
    fuzzer = Planted()
    assert numbered(fuzzer, 3, 5) == numbered(fuzzer, 3, 5)
    assert len({numbered(fuzzer, 0, number) for number in range(99)}) == 8


def test_all_messages_of_onnx_are_part_of_the_mutations():
    rng = random.Random(0)
    fuzzer = make("onnx")
    seen = {
        type(a_part(messages.decode(messages.ModelProto, data), rng))
        for data in fuzzer.files
        for _ in range(500)
    }
    assert {messages.TensorProto, messages.AttributeProto, messages.FunctionProto} <= seen


# ---- what they have found ------------------------------------------------------------------


def test_a_budget_chooses_the_same_whatever_the_number_of_threads():
    """Gradients of segments have other bits than those of the whole sequence."""
    gru = GRU(3, 33, 2, seed=0)
    x = np.random.default_rng(0).standard_normal((5, 33, 3))
    found = set()
    for n_threads in (1, 2, 3, 7):
        output, _, tape = gru.forward(x, memory="1 MB", n_threads=n_threads)
        gru.zero_grad()
        gru.backward(tape, output)
        found.add(gru.flat_grads.tobytes())
    assert len(found) == 1


def test_a_checkpoint_of_more_ranks_than_there_can_be(tmp_path):
    stopped(tmp_path / "c", 3)

    def with_many_ranks(state):
        state["settings"]["ranks"] = 10**400
        return state

    (tmp_path / "c").write_bytes(forged((tmp_path / "c").read_bytes(), with_many_ranks))
    with pytest.raises(FormatError, match=r"ranks must be at most 2\*\*53"):
        small_trainer().resume(tmp_path / "c")


def test_a_signalling_nan_in_an_onnx_file_is_no_warning():
    """NumPy warns when such a number is compared or converted; warnings are errors here."""
    nan = np.full((1, 2, 3), 0x7FA00000, np.uint32).view(np.float32)
    arrays = random_weights(np.random.default_rng(0), 2, 3) | {"S": nan}
    grus, _ = reading.contents(gru_model(arrays, None, "S"))
    for gru in grus:
        for dtype in ("float32", "float64"):
            assert gru.build(dtype=dtype).hidden_size == 3


BASE = np.zeros(100, np.float32)
OVERLAPPING = {
    "neighbours": as_strided(BASE, (5, 2, 4), (4, 4, 4)),
    "a stride of 0": as_strided(BASE, (5, 2, 4), (0, 16, 4)),
    "halves": as_strided(BASE, (5, 2, 4), (32, 8, 4)),
    "between numbers": as_strided(BASE, (5, 2, 4), (32, 16, 3)),
}


@pytest.mark.parametrize("out", OVERLAPPING.values(), ids=OVERLAPPING)
def test_an_output_whose_elements_share_bytes_is_refused(out):
    gru, x = GRU(3, 4, seed=0), np.ones((5, 2, 3), np.float32)
    turned = GRU(3, 4, batch_first=True, seed=0)
    calls = [
        lambda: gru(x, out=out),
        lambda: gru(x, mask=np.ones((5, 2), bool), out=out),
        lambda: gru.quantized()(x, out=out),
        lambda: turned(x.transpose(1, 0, 2), out=out.transpose(1, 0, 2)),
        lambda: gru.step(np.ones((2, 3)), np.zeros((1, 2, 4)), out=out[:1]),
    ]
    for call in calls[: 4 if out.strides[1] >= 16 else 5]:
        with pytest.raises(ValueError, match="out writes several elements to one place"):
            call()


def test_an_output_may_be_any_slice_of_an_array():
    gru, x = GRU(3, 4, seed=0), np.ones((5, 2, 3), np.float32)
    expected, _ = gru(x)
    for out in (
        np.empty((2, 5, 4), np.float32).transpose(1, 0, 2),
        np.empty((5, 2, 4), np.float32)[::-1],
        np.empty((9, 4, 9), np.float32)[::2, 1:3, 1::2],
        np.empty((4, 2, 5), np.float32).T,
    ):
        found, _ = gru(x, out=out)
        assert found is out and (found == expected).all()


@pytest.mark.parametrize("rows", [1.5, "x", np.zeros((1, 2, 4)), [[0], [1, 2]], {0}, object()])
def test_streams_are_not_chosen_by_anything_but_integers(rows):
    stream = GRU(3, 4, seed=0).stream(2)
    stream.h[...] = 1
    with pytest.raises(TypeError, match="rows must be ints, bools or a slice, got"):
        stream.reset(rows)
    assert (stream.h == 1).all()


# ---- the command line of the fuzzers -------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cases", "0"], "argument --cases: expected at least 1, got 0"),
        (["--cases", "-1"], "argument --cases: expected at least 1, got -1"),
        (["--first", "-5"], "argument --first: expected at least 0, got -5"),
        (["--seed", "-1"], "argument --seed: expected at least 0, got -1"),
        (["gru", "--replay", "missing.json"], "--replay missing.json: No such file"),
        (["models", "--replay", "."], "error: --replay .: "),
        (["gru", "--replay", "not.json"], "--replay not.json: expected JSON: "),
    ],
)
def test_command_lines_that_are_refused(words, message, tmp_path):
    (tmp_path / "not.json").write_text("no JSON")
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fuzz")
    command = [sys.executable, folder, *words]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 2 and message in done.stderr.splitlines()[-1], done.stderr
    assert "Traceback" not in done.stderr and not done.stdout
