"""The limits of the machine, measured in this process, and a lower bound for a GRU's time."""

import ctypes
import os
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SIZES = [2**exponent for exponent in range(14, 27)]  # 16 KiB to 64 MiB
FLAGS = ["-O3", "-march=native", "-ffp-contract=fast", "-std=gnu11", "-shared", "-fPIC"]

# Cycles for the activations and the new state of one vector of units, or for their derivatives:
# three exponentials of about a dozen multiply-adds each, and two or three divisions.
FORWARD_CYCLES = 50
BACKWARD_CYCLES = 14


@dataclass
class Limits:
    """Operations per second from registers, and bytes per second by buffer size: one core."""

    peak: dict  # dtype name -> operations per second
    bandwidth: dict  # bytes -> bytes per second
    lanes: dict  # dtype name -> lanes of a vector

    def read_time(self, size):
        """Seconds for one pass over ``size`` bytes that are read again and again."""
        fitting = min((s for s in self.bandwidth if s >= size), default=max(self.bandwidth))
        return size / self.bandwidth[fitting]

    def seconds(self, p, kind):
        """The least time of one call on one core, from its operations and the weights it reads.

        A step takes the time of its multiply-adds or the time to read the recurrent weights,
        whichever is longer, plus the activations. The products over all steps are limited by
        their arithmetic only.
        """
        itemsize = np.dtype(p.dtype).itemsize
        peak = self.peak[p.dtype]
        clock = peak / (4 * self.lanes[p.dtype])  # two multiply-adds of a vector a cycle
        weights = self.read_time(3 * p.H * p.H * itemsize)
        product = max(6 * p.B * p.H * p.H / peak, weights)
        vectors = p.B * p.H / self.lanes[p.dtype]
        inputs = 6 * p.T * p.B * p.I * p.H / peak
        time = p.T * (product + FORWARD_CYCLES * vectors / clock) + inputs
        if kind == "training":
            time += p.T * (product + BACKWARD_CYCLES * vectors / clock)
            time += 6 * p.T * p.B * p.H * (2 * p.I + p.H) / peak  # of inputs and weights
        return time


def measure():
    """Return the :class:`Limits` of this machine, or None without a C compiler."""
    source = Path(__file__).with_name("limits.c")
    with tempfile.TemporaryDirectory() as folder:
        library = str(Path(folder, "limits.so"))
        compiler = shlex.split(os.environ.get("CC") or "cc")
        command = [*compiler, *FLAGS, str(source), "-o", library]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        functions = ctypes.CDLL(library)
        for name in ("peak_f32", "peak_f64", "read_bandwidth"):
            getattr(functions, name).restype = ctypes.c_double
        functions.read_bandwidth.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        peak = {"float32": functions.peak_f32(), "float64": functions.peak_f64()}
        memory = np.ones(max(SIZES) // 4 + 16, np.float32)
        aligned = memory.ctypes.data + (-memory.ctypes.data) % 64
        bandwidth = {size: functions.read_bandwidth(aligned, size) for size in SIZES}
    bytes_of_vector = _vector_bytes()
    lanes = {"float32": bytes_of_vector // 4, "float64": bytes_of_vector // 8}
    return Limits(peak, bandwidth, lanes)


def _vector_bytes():
    """The lanes of a vector as limits.c is compiled on this CPU."""
    macros = subprocess.run(
        [*shlex.split(os.environ.get("CC") or "cc"), "-march=native", "-dM", "-E", "-"],
        input="",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return 64 if "__AVX512F__" in macros else 32 if "__AVX__" in macros else 16
