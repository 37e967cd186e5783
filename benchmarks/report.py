"""Prints the machine, one line per row as it is measured, and the means."""

from benchmarks.results import SGEMM

HEADS = {
    "calls": "run() is onnxruntime's; x stream is the time in steps of a stream",
    "torch": "both modules are called from PyTorch",
    "trainer": "a cell is B,T,I,H",
    "quantized": "of the states: the largest and the RMS difference to float32",
}


def print_machine(machine):
    """Print what the figures depend on."""
    for key, value in machine.items():
        if isinstance(value, dict):
            value = ", ".join(f"{name} {version}" for name, version in value.items())
        print(f"{key:<12} {value}")


def print_limits(bounds):
    """Print the limits of one core, and return them ready for JSON."""
    peak = {name: round(value / 1e9, 1) for name, value in bounds.peak.items()}
    read = {f"{s // 1024} KiB": round(b / 1e9) for s, b in bounds.bandwidth.items()}
    print(f"{'peak':<12} " + ", ".join(f"{v} GFLOP/s {k}" for k, v in peak.items()))
    shown = {
        k: v for k, v in read.items() if k in ("16 KiB", "256 KiB", "4096 KiB", "65536 KiB")
    }
    print(f"{'reads':<12} " + ", ".join(f"{v} GB/s of {k}" for k, v in shown.items()))
    return {"peak_gflops": peak, "read_gb_per_s": read}


def print_head(kind, options):
    """Print the line above the rows of a kind."""
    note = f"; {HEADS[kind]}" if kind in HEADS else ""
    clock = "CPU time" if options.threads == 1 else "clock"
    print(f"\n{kind}, {options.dtype}, {options.threads} thread(s), {clock}{note}")
    print("microseconds per call; +- is the distance of the quartiles of pygru's samples")


def cell_text(cell):
    """B,T,H, or B,T,I,H if I is not H."""
    B, T, I, H = cell
    return ",".join(map(str, (B, T, H) if I == H else cell))


def _number(value, form):
    return "-" if value is None else format(value, form)


def columns(row):
    """The cells of a printed line, by the heads of their columns."""
    found = {"cell": cell_text(row.cell)}
    if row.call is not None:
        found["call"] = row.call
    found |= {name: f"{s * 1e6:.1f}" for name, s in row.seconds.items() if name != SGEMM}
    found["+-"] = f"{row.spread[row.best]:.0%}"
    found["rival/pygru"] = _number(row.ratio, ".2f")
    if row.kind == "calls":
        found["run()/pygru"] = _number(row.ratios.get("onnxruntime"), ".2f")
        found["x stream"] = f"{row.stream_steps:.1f}"
    if row.operations_per_second is not None:
        found["GFLOP/s"] = f"{row.operations_per_second / 1e9:.1f}"
    if row.kind in ("step", "inference", "training"):
        found["of limit"] = _number(row.of_limit, ".0%")
        found["of sgemm"] = _number(row.of_sgemm, ".0%")
    if row.speed_up is not None:
        found["speed-up"] = f"{row.speed_up:.2f}"
    found |= {f"{name}/pytorch": f"{ratio:.2f}" for name, ratio in row.of_variants.items()}
    for name, difference in row.differences.items():
        found[f"{name}: differs"] = f"{difference['largest']:.1g}, {difference['rms']:.1g}"
    return found


class Table:
    """Lines whose columns are those of the first row; later rows may lack some of them."""

    def __init__(self):
        self.widths = {}

    def print(self, row):
        """Print one row, below the heads if it is the first."""
        found = columns(row)
        if not self.widths:
            least = {"cell": 13, "call": 32}
            self.widths = {
                head: least.get(head, max(len(head), 8) + 2)
                for head in [*found, *row.failed]  # a rival that failed may do so only here
            }
            print("".join(self._padded(head, head) for head in self.widths))
        print("".join(self._padded(h, found.get(h, "-")) for h in self.widths), flush=True)
        for name, why in row.failed.items():
            print(f"    {name} is left out: {why}")

    def _padded(self, head, text):
        width = self.widths[head]
        return text.ljust(width) if head in ("cell", "call") else text.rjust(width)


def print_means(means):
    """Print the geometric means of fastest rival / pygru by kind."""
    if means:
        print("\ntime of the fastest rival / time of pygru, geometric means:")
    for kind, found in means.items():
        print(f"  {kind:<12}{found['mean']:6.2f}   over {found['cells']} rows")
