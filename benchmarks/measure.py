"""Runs the cases: pygru and each rival do the same work, and the outputs are compared."""

import numpy as np

from benchmarks import grid as cells_of
from benchmarks import rivals
from pygru.bench import medians

AGREEMENT = {"float32": 1e-4, "float64": 1e-10}
VARIANTS = ("chung", "cho")  # beside "pytorch", which the rivals compute


def grid(kind, options, bounds):
    """Yield one dict per cell: median seconds by name, the ratio, the share of the limit."""
    runners = rivals.installed(options.threads, options.only)
    for cell in options.cells or cells_of.CELLS[kind]:
        p = rivals.Problem(*cell, dtype=options.dtype)
        functions = {}
        for runner in runners:
            function = getattr(runner, kind)(p)
            if function is not None:
                functions[runner.name] = function
        if kind != "step":  # a stream continues from its state, so outputs differ
            check(functions, AGREEMENT[options.dtype])
        for variant in VARIANTS:
            same = rivals.Problem(*cell, dtype=options.dtype, variant=variant)
            functions[f"pygru {variant}"] = getattr(runners[0], kind)(same)
        seconds = medians(functions, options.repeats)
        others = [seconds[r.name] for r in runners[1:] if r.name in seconds]
        row = {"kind": kind, "cell": cell, "dtype": options.dtype, "threads": options.threads}
        row["seconds"] = seconds
        row["ratio"] = min(others) / seconds["pygru"] if others else None
        factor = 3 if kind == "training" else 1
        row["operations_per_second"] = factor * p.operations / seconds["pygru"]
        row["of_limit"] = None
        if bounds is not None and options.threads == 1:
            row["of_limit"] = bounds.seconds(p, kind) / seconds["pygru"]
        yield row


def check(functions, tolerance):
    """Raise unless all give the same output."""
    expected = functions["pygru"]()
    for name, function in functions.items():
        difference = float(np.abs(function() - expected).max())
        if not difference <= tolerance:
            raise AssertionError(f"{name} differs from pygru by {difference}")


def trainer(options):
    """Yield one row: a whole training step of a small model, with loss and optimiser."""
    B, T, I, H = 32, 50, 16, 64
    functions = {"pygru": rivals.pygru_trainer(B, T, I, H, options.threads)}
    if options.only is None or "torch" in options.only:
        torch_trainer = rivals.torch_trainer(B, T, I, H, options.threads)
        if torch_trainer is not None:
            functions["torch"] = torch_trainer
    seconds = medians(functions, options.repeats)
    steps = rivals.TRAINER_STEPS
    seconds = {name: value / steps for name, value in seconds.items()}
    row = {"kind": "trainer", "cell": (B, T, H), "dtype": "float32"}
    row["threads"] = options.threads
    row["seconds"] = seconds
    row["ratio"] = seconds["torch"] / seconds["pygru"] if "torch" in seconds else None
    row["operations_per_second"] = 18 * T * B * H * (I + H) / seconds["pygru"]
    row["of_limit"] = None
    yield row
