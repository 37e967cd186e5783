"""Make a wheel for 64-bit Windows from one for this machine, with the MinGW-w64 compiler.

The compiled modules are built again with ``x86_64-w64-mingw32-gcc`` (or ``CC``) against the C
library of Windows 10 (UCRT), which is also that of Python. Their only other dependency is the
DLL of Python. All else in the wheel stays as it is. The result has the threads of pygru's own
pool, and no OpenMP.

The headers of Python are those of the Python that runs this program, so it must have the same
version as the one on Windows.

    python tools/windows_wheel.py WHEEL DLL NUMPY OUT

WHEEL is pygru's wheel for this machine, DLL the file ``python311.dll`` of a Python for Windows,
NUMPY a folder with the package numpy for Windows, and OUT the folder for the result. The
packages Cython, setuptools and wheel must be installed.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from build_support.commands import DIRECTIVES  # noqa: E402
from build_support.flags import flags_of  # noqa: E402
from build_support.sources import CORE, MODULES  # noqa: E402

# What the headers of Python need to know about Windows. Its own file is made for MSVC, and does
# not come with the Python that is embedded in other programs.
PYCONFIG = """
#define MS_WIN32
#define MS_WIN64
#define MS_WINDOWS
#define NT_THREADS
#define WITH_DOC_STRINGS 1
#define WITH_PYMALLOC 1
#define HAVE_DECLSPEC_DLL
#define Py_ENABLE_SHARED 1
#define SIZEOF_SHORT 2
#define SIZEOF_INT 4
#define SIZEOF_LONG 4
#define SIZEOF_LONG_LONG 8
#define SIZEOF_FLOAT 4
#define SIZEOF_DOUBLE 8
#define SIZEOF_VOID_P 8
#define SIZEOF_SIZE_T 8
#define SIZEOF_TIME_T 8
#define SIZEOF_OFF_T 4
#define SIZEOF_FPOS_T 8
#define SIZEOF_WCHAR_T 2
#define HAVE_ERRNO_H 1
#define HAVE_STDINT_H 1
#define HAVE_SYS_STAT_H 1
#define HAVE_SYS_TYPES_H 1
#define HAVE_WCHAR_H 1
#define HAVE_COPYSIGN 1
#define HAVE_HYPOT 1
#define HAVE_ROUND 1
#define HAVE_DECL_ISINF 1
#define HAVE_DECL_ISNAN 1
#define PLATLIBDIR "lib"
#include <io.h>
"""

OPTIONS = [
    "-DNDEBUG",
    "-DNPY_TARGET_VERSION=NPY_1_25_API_VERSION",
    "-DNPY_NO_DEPRECATED_API=NPY_1_25_API_VERSION",
    "-D_UCRT",
    # Windows aligns the stack to 16 bytes only, and gcc puts larger vectors there (bug 54412).
    "-Wa,-muse-unaligned-vector-move",
]


def run(*command):
    """Run a program; end with its output if it fails."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{shlex.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


class Build:
    """Compiles and links the modules in a folder."""

    def __init__(self, folder, dll, numpy):
        self.folder, self.dll, self.numpy = folder, dll, numpy
        self.compiler = shlex.split(os.environ.get("CC") or "x86_64-w64-mingw32-gcc")
        include = folder / "include"
        shutil.copytree(sysconfig.get_paths()["include"], include)
        (include / "pyconfig.h").write_text(PYCONFIG)
        headers = Path(numpy, "numpy", "_core", "include")
        self.options = [f"-I{path}" for path in (include, headers, ROOT / "src_c")]
        # gcc links the older C library of Windows unless its specs say otherwise.
        specs = run(*self.compiler, "-dumpspecs").replace("-lmsvcrt", "-lucrt")
        (folder / "specs").write_text(specs)

    def compile(self, source):
        """Compile a C file, and return its object."""
        # Files of both folders may have the same name.
        place = self.folder / source.parent.name
        place.mkdir(exist_ok=True)
        made = place / f"{source.stem}.o"
        flags = flags_of(source, "gnu")
        run(*self.compiler, *flags, *OPTIONS, *self.options, "-c", source, "-o", made)
        return made

    def objects_of(self, name):
        """Translate and compile a module, and return its objects."""
        made = self.folder / f"{name}.c"
        options = [
            part for item in DIRECTIVES.items() for part in ("-X", "=".join(map(str, item)))
        ]
        # NumPy declares its functions for Cython in its package.
        options += ["-I", self.numpy, "-o", made]
        cython = [sys.executable, "-m", "cython", "-3", *options]
        run(*cython, ROOT / f"pygru/core/{name}.pyx")
        core = [ROOT / "src_c" / each for each in CORE] if name == "_core" else []
        return [self.compile(source) for source in (*core, made)]

    def link(self, name, objects, target):
        """Link a module."""
        run(
            *(*self.compiler, f"-specs={self.folder / 'specs'}", "-shared", "-s"),
            *("-static-libgcc", "-Wl,--no-insert-timestamp", "-o", target / name),
            *(*objects, self.dll),
        )


def main(wheel, dll, numpy, out):
    """Build the modules, and make the wheel."""
    modules = ["_core", *MODULES]
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        build = Build(folder, Path(dll).resolve(), numpy)
        run(sys.executable, "-m", "wheel", "unpack", "--dest", folder / "wheel", wheel)
        [unpacked] = (folder / "wheel").iterdir()
        core = unpacked / "pygru" / "core"
        for old in core.glob("*.so"):
            old.unlink()
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            all_objects = list(pool.map(build.objects_of, modules))
        for name, objects in zip(modules, all_objects, strict=True):
            build.link(f"{name}.{tag}-win_amd64.pyd", objects, core)
        [tags] = unpacked.glob("*.dist-info/WHEEL")
        lines = [
            f"Tag: {tag}-{tag}-win_amd64" if line.startswith("Tag:") else line
            for line in tags.read_text("utf-8").splitlines()
        ]
        tags.write_text("\n".join(lines) + "\n", "utf-8")
        Path(out).mkdir(parents=True, exist_ok=True)
        print(run(sys.executable, "-m", "wheel", "pack", "--dest-dir", out, unpacked), end="")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
