"""Names, numbers and tables as the documentation shows them."""

import datetime
import textwrap

NAMES = {
    "pygru": "pygru",
    "torch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "jax": "JAX",
    "scipy": "SciPy",
}
LIBRARIES = ("pygru", "torch", "onnxruntime", "openvino", "jax")
KERNELS = {"avx512": "AVX-512", "avx2": "AVX2", "neon": "NEON", "baseline": "no vectors"}


def time_text(seconds):
    """A time in us or ms with two or three digits."""
    us = seconds * 1e6
    if us < 999.5:
        return f"{us:.1f} us" if us < 9.95 else f"{us:.0f} us"
    ms = us / 1e3
    digits = 2 if ms < 9.995 else 1 if ms < 99.95 else 0
    return f"{ms:.{digits}f} ms"


def cell_text(cell):
    """``B, T, H``, or ``B, T, I, H`` if the sizes differ."""
    B, T, I, H = cell
    return ", ".join(map(str, (B, T, H) if I == H else cell))


def share_text(share):
    return "-" if share is None else f"{share * 100:.0f} %"


def between(values, digits=2):
    """``least to largest`` of some numbers, or one number if both look the same."""
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low} to {high}"


def date_text(machine):
    date = datetime.date.fromisoformat(machine["date"])
    return f"{date.day} {date:%B %Y}"


def listed(texts):
    """``a``, ``a and b``, or ``a, b and c``."""
    *most, last = texts
    return f"{', '.join(most)} and {last}" if most else last


def table(head, rows):
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def paragraph(text):
    """A paragraph whose lines are not too long."""
    return textwrap.fill(text, 118, break_on_hyphens=False)
