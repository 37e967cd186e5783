"""The extension modules, and whether the compiler can do OpenMP. All else: pyproject.toml.

Environment variables (docs/building.md): PYGRU_OPENMP=auto|1|0, PYGRU_SANITIZE, PYGRU_WERROR;
CC, CFLAGS and LDFLAGS are honoured.
"""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

PACKAGES = [
    "pygru",
    "pygru.commands",
    "pygru.conformance",
    "pygru.conformance.targets",
    "pygru.core",
    "pygru.data",
    "pygru.forecasting",
    "pygru.io",
    "pygru.io.hdf5",
    "pygru.io.keras",
    "pygru.io.onnx",
    "pygru.io.torch",
    "pygru.nn",
    "pygru.plot",
    "pygru.prediction",
    "pygru.quantized",
    "pygru.sklearn",
    "pygru.tests",
    "pygru.torch",
    "pygru.train",
]
CORE = [
    "affine.c",
    "calls.c",
    "core_f32.c",
    "core_f64.c",
    "fingerprint.c",
    "kernels/avx2.c",
    "kernels/avx512.c",
    "kernels/baseline.c",
    "kernels/dispatch.c",
    "model.c",
    "parallel.c",
    "plan.c",
    "pool.c",
    "scratch.c",
    "status.c",
    "system_posix.c",
    "system_windows.c",
    "worth.c",
]
HEADERS = [
    "activations.def",
    "affine.h",
    "atomics.h",
    "calls.h",
    "checked.h",
    "float_state.h",
    "gate_order.h",
    "kernels/both_precisions.h",
    "kernels/entries.tpl.h",
    "kernels/intrinsics.h",
    "kernels/kernels.h",
    "kernels/plain_integers.h",
    "kernels/table.tpl.h",
    "optimizers.def",
    "model.h",
    "parallel.h",
    "plan.h",
    "pool.h",
    "precisions.def",
    "pygru.h",
    "quantized.h",
    "scratch.def",
    "scratch.h",
    "status.def",
    "system.h",
    "template.h",
    "template_macros.h",
    "vectors.h",
    "worth.h",
]
TEMPLATES = [
    f"{name}.tpl.c"
    for name in (
        "affine",
        "arguments",
        "cell",
        "functions",
        "gemm",
        "gradients",
        "kernels/activations",
        "kernels/gates",
        "kernels/losses",
        "kernels/optimizers",
        "kernels/other_gates",
        "kernels/precision",
        "kernels/product",
        "kernels/quantized",
        "kernels/row_sums",
        "kernels/standardise",
        "layer_norm",
        "network",
        "noise",
        "packed",
        "products",
        "rounds",
        "rows",
        "scratch",
        "split",
        "step",
        "sweep",
        "training",
        "weight_sums",
    )
]

# The compiled modules beside _core, which is the only one that contains the C core.
MODULES = [
    "_affine",
    "_arrays",
    "_buffers",
    "_calls",
    "_plans",
    "_quantized",
    "_sequences",
    "_stepper",
    "_testing",
    "_training",
    "_uninterrupted",
    "_weights",
]

# No flag here changes the arithmetic of the process or depends on this machine's CPU.
UNIX_FLAGS = [
    "-std=c11",
    "-O3",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=off",
    "-fvisibility=hidden",
    # gcc 14 and clang 16 take it for an error: so it is one with older compilers, too.
    "-Werror=incompatible-pointer-types",
    "-g0",  # Python's flags may ask for debugging symbols, six times as large as the code
]
# The modules of Cython call functions and have no loops of their own. Space between
# functions and before loops, jumps to other modules by way of a table, and what -O3 writes out
# twice make them a sixth larger and no faster.
MODULE_FLAGS = [
    "-O2",
    "-fno-plt",
    "-falign-functions=1",
    "-fno-align-jumps",
    "-fno-align-loops",
]
# These are not called thousands of times a second.
SMALL_MODULES = ["_quantized", "_testing", "_uninterrupted"]
STRICT_FLAGS = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"]
OPENMP_FLAGS = {"msvc": ["/openmp"], "unix": ["-fopenmp"], "mingw32": ["-fopenmp"]}
OPENMP_PROBE = """
#include <omp.h>
int main(void) { return omp_get_max_threads() < 1; }
"""


def openmp_works(compiler, flags):
    """Compile, link and run a program with OpenMP, the only proof that it works."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text(OPENMP_PROBE)
        program = str(Path(folder, "probe"))
        try:
            objects = compiler.compile([str(source)], output_dir=folder, extra_postargs=flags)
            compiler.link_executable(objects, program, extra_postargs=flags)
            if "PYTHON_CROSSENV" in os.environ:  # a program for another machine cannot run here
                return True
            return subprocess.run([program], check=False).returncode == 0
        except Exception as error:
            print(f"pygru: no OpenMP: {error}")
            return False


def openmp_flags(compiler, wanted, probe=openmp_works):
    """Return the flags for OpenMP, or none; ``wanted`` is "auto", "1" or "0"."""
    if wanted not in ("auto", "1", "0"):
        raise SystemExit(f"PYGRU_OPENMP must be auto, 1 or 0, got {wanted!r}")
    flags = OPENMP_FLAGS.get(compiler.compiler_type, ["-fopenmp"])
    if wanted == "0":
        return []
    if probe(compiler, flags):
        return flags
    if wanted == "1":
        raise SystemExit("PYGRU_OPENMP=1, but this compiler cannot build OpenMP; see above")
    print("pygru: this compiler has no OpenMP; building for one thread")
    return []


def flags_of(source):
    """Return what gcc and clang need for one file beside the flags of all files."""
    module = Path(source).stem
    if module not in ["_core", *MODULES]:
        return []
    return [*MODULE_FLAGS, "-Os"] if module in SMALL_MODULES else MODULE_FLAGS


def compile_in_parallel(compiler):
    """Compile the sources of an extension in parallel, because each kernel takes long."""
    if not hasattr(compiler, "_compile"):  # MSVC's compiler object works differently
        return

    def compile_all(
        sources,
        output_dir=None,
        macros=None,
        include_dirs=None,
        debug=False,
        extra_preargs=None,
        extra_postargs=None,
        depends=None,
    ):
        macros, objects, extra_postargs, pp_opts, build = compiler._setup_compile(
            output_dir, macros, include_dirs, sources, depends, extra_postargs
        )
        cc_args = compiler._get_cc_args(pp_opts, debug, extra_preargs)

        def compile_one(item):
            name, (source, extension) = item
            flags = extra_postargs + flags_of(source)
            compiler._compile(name, source, extension, cc_args, flags, pp_opts)

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            list(pool.map(compile_one, build.items()))
        return objects

    compiler.compile = compile_all


class BuildExt(build_ext):
    """build_ext that knows the flags of the C core."""

    def build_extensions(self):
        # A released wheel must not be built without threads by accident.
        default = "1" if os.environ.get("CIBUILDWHEEL") == "1" else "auto"
        openmp = openmp_flags(self.compiler, os.environ.get("PYGRU_OPENMP", default))
        flags = [] if self.compiler.compiler_type == "msvc" else list(UNIX_FLAGS)
        sanitize = os.environ.get("PYGRU_SANITIZE")
        extra = ["-g", f"-fsanitize={sanitize}"] if sanitize else []  # -g after -g0 wins
        for extension in self.extensions:
            extension.extra_compile_args += flags + openmp + extra
            extension.extra_link_args += openmp + extra
            if sys.platform == "linux" and not sanitize:
                extension.extra_link_args.append("-Wl,--strip-all")  # a tenth is local names
        compile_in_parallel(self.compiler)
        if os.environ.get("PYGRU_WERROR") == "1":
            self.compile_core_strictly(openmp)
        super().build_extensions()

    def compile_core_strictly(self, openmp):
        """Compile the core alone with every warning an error, without the C code of Cython."""
        self.compiler.compile(
            [f"src_c/{name}" for name in CORE],
            output_dir=str(Path(self.build_temp, "strict")),
            extra_postargs=UNIX_FLAGS + openmp + STRICT_FLAGS,
        )


def extension(name, *sources):
    """Describe a compiled module of pygru.core, and the C files that become part of it.

    Its functions are of the kind that C code makes. Cython's own kind, the default, has more
    attributes and makes each module a fifth larger.
    """
    module = Extension(
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
    module.cython_directives = {
        "auto_pickle": False,  # a tenth of the code would serve it; a class asks for it
        "binding": False,
        "embedsignature": True,  # for the check of the stubs
        "embedsignature.format": "clinic",
    }
    return module


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
    cmdclass={"build_ext": BuildExt},
)
