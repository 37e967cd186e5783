"""The options of each kind of compiler.

Compilers are told apart by their command line: "gnu" is that of gcc and clang, also of MinGW;
"msvc" that of Microsoft's; "clang-cl" is a clang with the command line of Microsoft's. No
option changes the arithmetic of the whole process or depends on the CPU of this machine.
"""

import os
from pathlib import Path

from build_support.sources import CORE, MODULES

COMMON = {
    "gnu": [
        "-std=c11",
        "-O3",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-ffp-contract=off",
        "-fvisibility=hidden",
        # gcc 14 and clang 16 take it for an error: so it is one with older compilers, too.
        "-Werror=incompatible-pointer-types",
        "-g0",  # Python's flags may ask for debugging symbols, six times as large as the code
    ],
    "msvc": ["/O2", "/std:c11", "/fp:precise"],
    "clang-cl": [
        "/O2",
        "/std:c11",
        "/clang:-fno-math-errno",
        "/clang:-fno-trapping-math",
        "/clang:-ffp-contract=off",
    ],
}

# The modules of Cython call functions and have no loops of their own. Space between functions
# and before loops, jumps to other modules by way of a table, and what -O3 writes out twice make
# them a sixth larger and no faster.
MODULE = {
    "gnu": ["-O2", "-fno-plt", "-falign-functions=1", "-fno-align-jumps", "-fno-align-loops"],
    "msvc": [],
    "clang-cl": [],
}
# These are not called thousands of times a second.
SMALL_MODULES = ["_quantized", "_testing", "_uninterrupted"]
SMALL = {"gnu": ["-Os"], "msvc": ["/O1"], "clang-cl": ["/O1"]}

# For the core. The C code that Cython writes has warnings that nobody here can mend.
STRICT = {
    "gnu": ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"],
    "msvc": ["/W4", "/WX"],
    "clang-cl": ["/W4", "-Wshadow", "-Wconversion", "/WX"],
}


def dialect_of(compiler, environment=os.environ):
    """Return "gnu", "msvc" or "clang-cl".

    setuptools has one class for both compilers of Windows. It takes no notice of CC there.
    """
    if compiler.compiler_type != "msvc":
        return "gnu"
    return "clang-cl" if "clang-cl" in environment.get("CC", "") else "msvc"


def flags_of(source, dialect, strict=False):
    """Return the options for one file, in the order in which the last one decides."""
    path = Path(source)
    flags = list(COMMON[dialect])
    if path.stem in ["_core", *MODULES]:
        flags += MODULE[dialect]
        if path.stem in SMALL_MODULES:
            flags += SMALL[dialect]
    elif strict and path.as_posix().removeprefix("src_c/") in CORE:
        flags += STRICT[dialect]
    return flags


def sanitizer_flags(names, dialect):
    """Return the options of PYGRU_SANITIZE, for the compiler and for the linker."""
    if not names:
        return [], []
    if dialect != "gnu":
        raise SystemExit(f"pygru: PYGRU_SANITIZE={names!r} needs gcc or clang")
    # The last -g and -O win. At -O3 a file of kernels would take gcc ten minutes.
    return ["-g", "-O1", f"-fsanitize={names}"], [f"-fsanitize={names}"]
