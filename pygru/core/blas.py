"""The BLAS that the core calls: found at run time in ``scipy.linalg.cython_blas``.

SciPy exports its BLAS as capsules whose name is the C signature. Reading that name at run
time, instead of cimporting at build time, lets one wheel work with every SciPy and with both
widths of BLAS integers. docs/decisions/0001-blas-by-table.md says why.
"""

import re
from typing import Any

import scipy
from scipy.linalg import cython_blas

from pygru.core import _core

# Arguments of each function: c a character, i an integer, r a real number.
PATTERNS = {"gemm": "cciiirririrri", "gemv": "ciirririrri"}
REALS = {
    "s": ("float", "__pyx_t_5scipy_6linalg_11cython_blas_s"),
    "d": ("double", "__pyx_t_5scipy_6linalg_11cython_blas_d"),
}
INTEGERS = {"int": 4, "int32_t": 4, "int64_t": 8, "npy_int64": 8}
ANY_WIDTH = ("blas_int", "__pyx_t_5scipy_6linalg_11cython_blas_blas_int")


def int_bytes_of(function: str, signature: str, blas_int_bytes: int = 4) -> int:
    """Return the width of a BLAS function's integers, 4 or 8 bytes.

    Parameters
    ----------
    function : str
        Name of the function, such as ``"sgemm"``.
    signature : str
        Its C signature, as the capsule's name gives it.
    blas_int_bytes : int
        The size of the typedef ``blas_int`` in this SciPy, which some signatures use.

    Raises
    ------
    ImportError
        If the signature is not the one of that function.
    """
    found = re.fullmatch(r"void \((.*)\)", signature)
    arguments = found.group(1).split(", ") if found else []
    pattern = PATTERNS[function[1:]]
    widths: set[int] = set()  # 0 means that an argument does not fit
    for letter, argument in zip(pattern, arguments, strict=False):
        kind = argument.removeprefix("const ").removesuffix(" *")
        if not argument.endswith(" *"):
            widths.add(0)
        elif letter == "c":
            widths.update([] if kind == "char" else [0])
        elif letter == "r":
            widths.update([] if kind in REALS[function[0]] else [0])
        else:
            widths.add(blas_int_bytes if kind in ANY_WIDTH else INTEGERS.get(kind, 0))
    if len(arguments) != len(pattern) or len(widths) != 1 or 0 in widths:
        raise ImportError(
            f"pygru cannot use scipy.linalg.cython_blas.{function} from SciPy "
            f"{scipy.__version__}: unexpected signature {signature!r}"
        )
    return widths.pop()


def blas_table(module: Any = cython_blas) -> _core.Blas:
    """Build the table from a module with Cython exports.

    Raises
    ------
    ImportError
        If a function is missing or its signature is not known.
    """
    exports = getattr(module, "__pyx_capi__", {})
    typedef_width = getattr(module, "_blas_int_size", lambda: 4)()
    capsules, widths = {}, set()
    for name in ("sgemm", "dgemm", "sgemv", "dgemv"):
        if name not in exports:
            raise ImportError(
                f"pygru cannot use scipy.linalg.cython_blas from SciPy {scipy.__version__}: "
                f"it has no {name}"
            )
        capsules[name] = exports[name]
        widths.add(int_bytes_of(name, _core.capsule_name(exports[name]), typedef_width))
    if len(widths) != 1:
        raise ImportError("pygru cannot use a BLAS whose functions differ in integer width")
    int_bytes = widths.pop()
    return _core.Blas(capsules, int_bytes, 2 ** (8 * int_bytes - 1) - 1)
