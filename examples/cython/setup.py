"""Builds the example: ``python setup.py build_ext --inplace``."""

import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

import pygru

# The core's own flags: -ffp-contract=off, so that results are those of pygru, bit for bit.
FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]

setup(
    name="gru_filter",
    ext_modules=cythonize(
        Extension(
            "gru_filter",
            ["gru_filter.pyx", *pygru.get_sources()],
            include_dirs=[pygru.get_include()],
            extra_compile_args=["/std:c11"] if sys.platform == "win32" else FLAGS,
        )
    ),
)
