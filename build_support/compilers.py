"""Whether there is a compiler, and whether it can do OpenMP: small programs find out."""

import os
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

OPENMP_PROGRAM = """
#include <omp.h>
int main(void) { return omp_get_max_threads() < 1; }
"""
PYTHON_PROGRAM = """
#include <Python.h>
int main(void) { return 0; }
"""
INSTALL = (
    "install one (Debian and Ubuntu: apt-get install gcc; Fedora: dnf install gcc; macOS: "
    "xcode-select --install; Windows: Build Tools for Visual Studio) or use a wheel "
    "(pip install --only-binary pygru pygru)"
)


def use_clang_cl(compiler, path):
    """Let setuptools' compiler for Windows call clang-cl, which has the same options."""
    if not compiler.initialized:
        compiler.initialize()
    compiler.cc = path


def require_compiler(compiler, which=shutil.which):
    """End the build in one line if nothing can be compiled here."""
    command = getattr(compiler, "compiler_so", None)
    if command and which(command[0]) is None:
        raise SystemExit(
            f"pygru: no C compiler found: {command[0]!r} does not exist; {INSTALL}"
        )
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text(PYTHON_PROGRAM)
        try:
            compiler.compile([str(source)], output_dir=folder)
        except Exception as error:
            header = Path(sysconfig.get_path("include"), "Python.h")
            if not header.exists():
                raise SystemExit(
                    f"pygru: {header} does not exist; install the C headers of this Python "
                    "(Debian and Ubuntu: apt-get install python3-dev; Fedora: dnf install "
                    "python3-devel) or use a wheel (pip install --only-binary pygru pygru)"
                ) from None
            if command is None:  # setuptools did not find Microsoft's compiler
                raise SystemExit(f"pygru: no C compiler found: {error}; {INSTALL}") from None
            raise SystemExit(f"pygru: the C compiler does not work: {error}") from None


def openmp_works(compiler, compile_flags, link_flags, environment=os.environ):
    """Compile, link and run a program with OpenMP, the only proof that it works.

    setuptools passes LDFLAGS only to the linker of modules, so they are passed here.
    """
    link_flags = [*shlex.split(environment.get("LDFLAGS", "")), *link_flags]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text(OPENMP_PROGRAM)
        program = str(Path(folder, "probe"))
        try:
            objects = compiler.compile(
                [str(source)], output_dir=folder, extra_postargs=compile_flags
            )
            compiler.link_executable(objects, program, extra_postargs=link_flags)
            if "PYTHON_CROSSENV" in environment:  # a build for another machine, and says so
                return True
        except Exception as error:
            print(f"pygru: no OpenMP: {error}")
            return False
        try:
            return subprocess.run([program], check=False).returncode == 0
        except OSError:  # a program for another machine, which cannot run here
            return True
