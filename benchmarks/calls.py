"""The ways to call one layer for a single step of a single sequence.

Such a call does little arithmetic, so its time shows what the call itself costs. The step of a
stream, which has prepared everything, is the yardstick.
"""

import itertools

import numpy as np

from benchmarks.agreement import TOLERANCE, dropped
from benchmarks.problem import Problem
from benchmarks.results import Row
from benchmarks.rivals import OnnxRuntime
from benchmarks.timing import take

STREAM = "stream"
INFERENCE, WITH_STATE, TRAINING = "inference", "inference from h0", "training"

# Each call, and what a rival does for the same result.
CALLS = {
    STREAM: WITH_STATE,
    "g(x)": INFERENCE,
    "g(x, h0)": WITH_STATE,
    "g(x, h0, lengths)": WITH_STATE,
    "g(x, n_threads=1)": INFERENCE,
    "g(x, out=y)": INFERENCE,
    "batch_first g(x)": INFERENCE,
    "forward": INFERENCE,
    "forward + backward": TRAINING,
    "forward + backward, new weights": TRAINING,
}


def pygrus(p):
    """The calls of pygru by name; each returns its output."""
    gru, batch_first, stream = p.gru(), p.gru(batch_first=True), p.gru().stream()
    lengths = np.full(p.B, p.T)
    out = np.empty((p.T, p.B, p.H), p.dtype)
    step = p.x[0, 0]
    by_sequence = p.x.swapaxes(0, 1).copy()
    changing = p.gru()
    weight = p.weights["weight_hh_l0"][0, 0]
    neighbours = itertools.cycle((np.nextafter(weight, weight + 1), weight))

    def train(gru):
        gru.zero_grad()
        output, _, tape = gru.forward(p.x)
        gru.backward(tape, p.d_y)
        return output

    def train_with_new_weights():
        # One number is enough: pygru has to pack all weights again.
        changing.parameters["weight_hh_l0"][0, 0] = next(neighbours)
        return train(changing)

    functions = [
        lambda: stream(step),
        lambda: gru(p.x)[0],
        lambda: gru(p.x, p.h0)[0],
        lambda: gru(p.x, p.h0, lengths=lengths)[0],
        lambda: gru(p.x, n_threads=1)[0],
        lambda: gru(p.x, out=out)[0],
        lambda: batch_first(by_sequence)[0].swapaxes(0, 1),
        lambda: gru.forward(p.x)[0],
        lambda: train(gru),
        train_with_new_weights,
    ]
    return dict(zip(CALLS, functions, strict=True))


def rivals_functions(runner, p):
    """By work: the functions of a rival by name, of which ONNX Runtime has two."""
    found = {}
    for work, h0 in {INFERENCE: None, WITH_STATE: p.h0}.items():
        if isinstance(runner, OnnxRuntime):
            found[work] = runner.ways(p, h0)
        else:
            found[work] = {runner.name: runner.inference(p, h0)}
    found[TRAINING] = {runner.name: runner.training(p)}
    return {
        work: {name: function for name, function in of_work.items() if function is not None}
        for work, of_work in found.items()
    }


def rows(cell, options, runners):
    """Measure all calls of one cell, and yield a row for each."""
    p = Problem(*cell, dtype=options.dtype)
    functions = pygrus(p)
    expected = {INFERENCE: functions["g(x)"](), WITH_STATE: functions["g(x, h0)"]()}
    expected[TRAINING] = expected[INFERENCE]
    failed = {}
    for call, work in CALLS.items():
        if call != STREAM:  # it continues from its state, so outputs differ
            named = {call: functions.pop(call)}
            failed |= dropped(named, expected[work], TOLERANCE[p.dtype])
            functions |= named
    rivals = []
    for runner in runners[1:]:
        for work, of_rival in rivals_functions(runner, p).items():
            rivals += [name for name in of_rival if name not in rivals]
            named = {f"{name}, {work}": function for name, function in of_rival.items()}
            failed |= dropped(named, expected[work], TOLERANCE[p.dtype])
            functions |= named
    seconds, spread = take(functions, options.repeats, options.threads)
    for call, work in CALLS.items():
        if call not in seconds:
            continue
        names = {"pygru": call} | {rival: f"{rival}, {work}" for rival in rivals}
        names = {name: key for name, key in names.items() if key in seconds}
        yield Row(
            "calls",
            cell,
            options.dtype,
            options.threads,
            {name: seconds[key] for name, key in names.items()},
            {name: spread[key] for name, key in names.items()},
            call=call,
            stream_steps=seconds[call] / seconds[STREAM],
            failed=failed,
        )
        failed = {}  # said once
