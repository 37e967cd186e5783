"""The machine and the versions that all figures depend on."""

import datetime
import importlib.metadata
import platform
import time
from pathlib import Path

import pygru
from benchmarks.timing import clock_for


def description(threads, rivals):
    """The machine and the versions, as a dict of strings and numbers."""
    config = pygru.show_config(mode="dicts")
    versions = {"pygru": config["pygru"], "numpy": config["numpy"], "scipy": config["scipy"]}
    for name in rivals:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    blas = config["blas"]
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": _cpu(),
        "threads": threads,
        "clock": "CPU time" if clock_for(threads) is time.process_time else "wall clock",
        "engine": config["engine"],
        "kernels": config["kernels"],
        "compiler": config["compiler"],
        "blas": f"{blas['library']} {blas['version']}, core {blas['core']}",
        "versions": versions,
    }


def _cpu():
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
