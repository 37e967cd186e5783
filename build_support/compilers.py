"""Whether there is a compiler, and whether it can do OpenMP: small programs find out."""

import os
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from build_support.environment import given, setting

OPENMP_PROGRAM = """
#include <omp.h>
int main(void) { return omp_get_max_threads() < 1; }
"""
PYTHON_PROGRAM = """
#include <Python.h>
#ifdef __cplusplus
#error "this is a compiler of C++"
#endif
int main(void) { return 0; }
"""
WHEEL = "or install a wheel that was built on another machine (docs/building.md says how)"
INSTALL = (
    "install one (Debian and Ubuntu: apt-get install gcc; Fedora: dnf install gcc; macOS: "
    f"xcode-select --install; Windows: Build Tools for Visual Studio) {WHEEL}"
)
NO_HEADERS = (
    "pygru: {} does not exist; install the C headers of this Python (Debian and Ubuntu: "
    f"apt-get install python3-dev; Fedora: dnf install python3-devel) {WHEEL}"
)
EXPECTED = "expected the command of a C compiler, such as gcc, clang or 'ccache gcc'"


def use_clang_cl(compiler, path):
    """Let setuptools' compiler for Windows call clang-cl, which has the same options."""
    if not compiler.initialized:
        compiler.initialize()
    compiler.cc = path


def require_compiler(compiler, environment=os.environ, which=shutil.which):
    """End the build in one line if nothing can be compiled here."""
    command = getattr(compiler, "compiler_so", None)
    if command and which(command[0]) is None:
        if said := given(["CC"], environment):
            raise SystemExit(
                f"pygru: no C compiler found: {said} is no program that can be run; {EXPECTED}"
            )
        raise SystemExit(
            f"pygru: no C compiler found: {command[0]!r} does not exist; {INSTALL}"
        )
    try:
        try_to_build(compiler, PYTHON_PROGRAM)
    except Exception as error:
        header = Path(sysconfig.get_path("include"), "Python.h")
        if not header.exists():
            raise SystemExit(NO_HEADERS.format(header)) from None
        why = in_short(error)
        if command is None:  # setuptools did not find Microsoft's compiler
            raise SystemExit(f"pygru: no C compiler found: {why}; {INSTALL}") from None
        if said := given(["CC", "CFLAGS", "CPPFLAGS", "LDFLAGS", "LDSHARED"], environment):
            raise SystemExit(
                f"pygru: the C compiler does not work with {said}: {why}; {EXPECTED}, and "
                "options that it knows"
            ) from None
        raise SystemExit(f"pygru: the C compiler does not work: {why}") from None


def require_sanitizers(compiler, names, compile_flags, link_flags):
    """End the build in one line if the compiler does not have these sanitizers."""
    try:
        try_to_build(compiler, PYTHON_PROGRAM, compile_flags, link_flags)
    except Exception as error:
        raise SystemExit(
            f"pygru: PYGRU_SANITIZE={names!r} does not work here: {in_short(error)}; expected "
            "what this compiler takes after -fsanitize=, such as address,undefined or thread"
        ) from None


def in_short(error):
    """Return what an error says, without the whole command and in one line."""
    cause = error.args[0] if error.args else error
    if isinstance(cause, subprocess.CalledProcessError):
        return f"{cause.cmd[0]!r} has ended with exit code {cause.returncode}"
    return " ".join(str(error).split())


def try_to_build(compiler, program, compile_flags=(), link_flags=()):
    """Compile a program, and make a module of it; an error is raised if that fails.

    Microsoft's linker has no variables of its own, and is not tried.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text(program)
        objects = compiler.compile(
            [str(source)], output_dir=folder, extra_postargs=list(compile_flags)
        )
        if not all(os.path.isfile(name) for name in objects):
            raise FileNotFoundError("it has made no object file")
        if compiler.compiler_type == "msvc":
            return
        module = str(Path(folder, "probe.module"))
        compiler.link_shared_object(objects, module, extra_postargs=list(link_flags))
        if not os.path.isfile(module):
            raise FileNotFoundError("its linker has made no file")


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
            if setting("PYTHON_CROSSENV", environment):  # a build for another machine
                return True
        except Exception as error:
            print(f"pygru: no OpenMP: {in_short(error)}")
            return False
        try:
            return subprocess.run([program], check=False).returncode == 0
        except OSError:  # a program for another machine, which cannot run here
            return True
