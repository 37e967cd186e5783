"""Inference with weights of 8 bits, beside PyTorch's, and beside float32 in all libraries.

PyTorch's dynamic quantisation also has weights of 8 bits and computes with integers. Results of
both differ from float32, and the difference is measured.
"""

import warnings

import numpy as np

from benchmarks.agreement import TOLERANCE, dropped
from benchmarks.problem import Problem
from benchmarks.results import Row
from benchmarks.timing import fastest, take

PYGRU, TORCH = "pygru 8 bits", "torch int8"
MOST = 0.1  # a larger difference of a state means that something is wrong


def of_torch(runner, p):
    """The layer with PyTorch's dynamic quantisation, in the fastest of its engines."""
    torch = runner.torch
    gru = runner.gru(p)
    # Only the modules inside of a module are quantised.
    outer = torch.nn.ModuleList([gru])
    functions = []
    for engine in ("x86", "fbgemm", "onednn", "qnnpack"):
        if engine in torch.backends.quantized.supported_engines:
            torch.backends.quantized.engine = engine
            with warnings.catch_warnings(action="ignore"):  # that torch.ao will move
                quantized = torch.ao.quantization.quantize_dynamic(
                    outer, {torch.nn.GRU}, dtype=torch.qint8
                )
            functions.append(runner.run_of(quantized[0], p))
    return fastest(functions)


def difference(output, expected):
    """The largest and the RMS difference of all states."""
    d = np.abs(np.asarray(output, np.float64) - expected)
    return {"largest": float(d.max()), "rms": float(np.sqrt(np.mean(d * d)))}


def row(cell, options, runners):
    """Measure a cell of the kind "quantized"."""
    p = Problem(*cell)
    functions = {runner.name: runner.inference(p) for runner in runners}
    expected = functions["pygru"]().copy()
    failed = dropped(functions, expected, TOLERANCE["float32"])
    quantized = p.gru().quantized(bits=8)
    of_8_bits = {PYGRU: lambda: quantized(p.x)[0]}
    for runner in runners:
        if runner.name == "torch":
            of_8_bits[TORCH] = of_torch(runner, p)
    failed |= dropped(of_8_bits, expected, MOST)
    functions |= of_8_bits
    seconds, spread = take(functions, options.repeats, options.threads)
    return Row(
        "quantized",
        cell,
        "float32",
        options.threads,
        seconds,
        spread,
        p.operations,
        differences={name: difference(f(), expected) for name, f in of_8_bits.items()},
        failed=failed,
    )
