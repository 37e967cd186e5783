"""Prints tables, draws the picture, and lists the machine and the versions."""

import datetime
import importlib.metadata
import platform
from pathlib import Path

import pygru

RIVALS = ("torch", "onnxruntime", "openvino", "jax")


def machine(threads):
    """The machine and the versions that the figures depend on, as a dict of strings."""
    config = pygru.show_config(mode="dicts")
    versions = {"pygru": config["pygru"], "numpy": config["numpy"], "scipy": config["scipy"]}
    for name in RIVALS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    blas = config["blas"]
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": _cpu(),
        "threads": threads,
        "engine": f"{config['engine']}, kernels {config['kernels']}",
        "compiler": config["compiler"],
        "blas": f"{blas['library']} {blas['version']}, core {blas['core']}",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def _cpu():
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


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


def print_rows(kind, rows, options, results):
    """Print one line per cell as it is measured, and keep the rows."""
    print(f"\n{kind}, {options.dtype}, {options.threads} thread(s); microseconds per call")
    names = None
    for row in rows:
        if names is None:
            names = list(row["seconds"])
            print("B,T,H".ljust(12) + "".join(name.rjust(14) for name in names), end="")
            print("  rival/pygru  GFLOP/s  of limit")
        cell = ",".join(map(str, row["cell"]))
        times = "".join(f"{row['seconds'][name] * 1e6:14.1f}" for name in names)
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
        share = "-" if row["of_limit"] is None else f"{row['of_limit'] * 100:.0f} %"
        rate = f"{row['operations_per_second'] / 1e9:.1f}"
        print(f"{cell:<12}{times}{ratio:>13}{rate:>9}{share:>10}", flush=True)
        results.append(row)


def draw(results, machine_info, path):
    """Bars of best rival / pygru, one per cell."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = [row for row in results if row["ratio"] is not None]
    labels = [f"{row['kind']} {','.join(map(str, row['cell']))}" for row in shown]
    figure, axes = plt.subplots(figsize=(7, 0.3 * len(shown) + 1.4), layout="constrained")
    bars = axes.barh(labels, [row["ratio"] for row in shown], color="#4878a8")
    axes.bar_label(bars, [f"{row['ratio']:.1f}" for row in shown], padding=3)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.set_xlabel("time of the fastest rival / time of pygru")
    threads = machine_info["threads"]
    axes.set_title(f"{machine_info['cpu']}, {threads} thread(s), {machine_info['date']}")
    figure.savefig(path, dpi=150)
