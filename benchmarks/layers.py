"""One layer over whole sequences or single steps: pygru and each rival do the same work."""

from benchmarks import sgemm
from benchmarks.agreement import TOLERANCE, dropped
from benchmarks.problem import Problem
from benchmarks.results import SGEMM, Row
from benchmarks.timing import take

ONE_THREAD = "pygru 1 thread"
VARIANTS = ("chung", "cho")  # beside "pytorch", which the rivals compute


def row(kind, cell, options, runners, bounds):
    """Measure a cell of the kind "step", "inference" or "training"."""
    p = Problem(*cell, dtype=options.dtype)
    functions = {runner.name: getattr(runner, kind)(p) for runner in runners}
    functions = {name: f for name, f in functions.items() if f is not None}
    failed = {}
    if kind != "step":  # a stream continues from its state, so outputs differ
        failed = dropped(functions, functions["pygru"](), TOLERANCE[options.dtype])
    for variant in VARIANTS:
        same = Problem(*cell, dtype=options.dtype, variant=variant)
        functions[f"pygru {variant}"] = getattr(runners[0], kind)(same)
    alone = options.threads == 1
    if alone:
        functions[SGEMM] = sgemm.large_product(options.dtype)
    elif kind != "step":
        functions[ONE_THREAD] = getattr(runners[0], kind)(p, n_threads=1)
    seconds, spread = take(functions, options.repeats, options.threads)
    factor = 3 if kind == "training" else 1
    result = Row(kind, cell, options.dtype, options.threads, seconds, spread)
    result.operations = factor * p.operations
    result.failed = failed
    for variant in VARIANTS:
        result.of_variants[variant] = seconds[f"pygru {variant}"] / seconds["pygru"]
    if ONE_THREAD in seconds:
        result.speed_up = seconds[ONE_THREAD] / seconds["pygru"]
    if alone:
        rate = sgemm.OPERATIONS / seconds[SGEMM]
        result.of_sgemm = result.operations_per_second / rate
    if alone and bounds is not None:
        result.of_limit = bounds.seconds(p, kind) / seconds["pygru"]
    return result
