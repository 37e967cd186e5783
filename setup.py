"""The compiled modules; build_support says how they are built. All else: pyproject.toml.

Environment variables (docs/building.md): PYGRU_THREADS=openmp|pool|none, PYGRU_SANITIZE,
PYGRU_WERROR; CC, CFLAGS and LDFLAGS are honoured.
"""

import sys
from pathlib import Path

import numpy
from setuptools import Extension, setup

sys.path.insert(0, str(Path(__file__).parent))  # builders do not look here by themselves

from build_support.commands import Build, BuildExt, EditableWheel
from build_support.sources import CORE, HEADERS, MODULES, PACKAGES, TEMPLATES


def extension(name, *sources):
    """Describe a compiled module of pygru.core, and the C files that become part of it."""
    return Extension(
        f"pygru.core.{name}",
        [f"pygru/core/{name}.pyx", *sources],
        include_dirs=["src_c", numpy.get_include()],
        define_macros=[
            ("NDEBUG", "1"),  # also if CFLAGS replaces Python's own flags
            ("NPY_TARGET_VERSION", "NPY_1_25_API_VERSION"),  # the oldest in pyproject.toml
            ("NPY_NO_DEPRECATED_API", "NPY_1_25_API_VERSION"),
        ],
        depends=[f"src_c/{name}" for name in (*HEADERS, *TEMPLATES)],
    )


setup(
    # The core's sources are installed too, for C and Cython programs (pygru.get_sources()).
    packages=[*PACKAGES, "pygru.src_c", "pygru.src_c.kernels"],
    package_dir={"pygru.src_c": "src_c", "pygru.src_c.kernels": "src_c/kernels"},
    exclude_package_data={"pygru.core": ["*.pyx"]},  # nobody compiles them again
    package_data={
        "pygru": ["py.typed"],
        "pygru.core": ["*.pyi", "*.pxd"],
        "pygru.conformance": ["*.safetensors"],
        "pygru.data": ["*.csv"],
        "pygru.src_c": ["*.c", "*.h", "*.def"],
        "pygru.src_c.kernels": ["*.c", "*.h"],
    },
    ext_modules=[
        extension("_core", *(f"src_c/{name}" for name in CORE)),
        *(extension(name) for name in MODULES),
    ],
    cmdclass={"build": Build, "build_ext": BuildExt, "editable_wheel": EditableWheel},
)
