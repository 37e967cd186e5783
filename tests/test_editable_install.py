"""``pip install -e .``: what a program finds that is built against such an install.

The tests would catch an install whose declarations Cython cannot find, which asks no hook of
the import where a package is, and one in which the C sources are missing. Nothing is compiled.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from patience import PATIENCE
from quick import quick_and_slow

import pygru

ROOT = Path(__file__).resolve().parent.parent
pytest.importorskip("setuptools")
pytest.importorskip("Cython")
if not (ROOT / "build_support").is_dir():
    pytest.skip("needs the checkout or the sdist", allow_module_level=True)

# setup.py as it is, without its compiled modules, in a copy of the checkout.
INSTALL = """
import runpy, setuptools, sys
setup = setuptools.setup
setuptools.setup = lambda **options: setup(**options | {"ext_modules": []})
sys.argv = ["setup.py", "-q", "editable_wheel", "--dist-dir", "dist", *sys.argv[1:]]
runpy.run_path("setup.py", run_name="__main__")
"""
PROGRAM = """
from pygru.core.cpygru cimport pygru_config
cdef pygru_config config
"""


# What a program that is built against pygru does: it asks for the C sources, and Cython looks
# for declarations in the folders of the path. ``core/sources.py`` needs no compiled module.
LOOK = """
import importlib.machinery, runpy, sys
import cython  # both are imported now, because they may lie beside the installed pygru
from Cython.Compiler.Main import compile
folder = sys.argv[1]
has_pygru = lambda path: importlib.machinery.PathFinder.find_spec("pygru", [path])
sys.path[:] = [folder, *(path for path in sys.path if not has_pygru(path))]
core = runpy.run_path(has_pygru(folder).submodule_search_locations[0] + "/core/sources.py")
print(core["get_include"](), len(core["get_sources"]()))
assert compile("program.pyx", language_level=3).num_errors == 0
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("build_support", "pygru", "src_c"):
        ignored = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("LICENSE", "README.md", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, folder)
    return folder


def run(code, folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("mode", quick_and_slow(["lenient"], ["strict"]))
def test_cython_finds_the_declarations(checkout, tmp_path, mode):
    run(INSTALL, checkout, "--mode", mode)
    (wheel,) = (checkout / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".pth"))
        (folder,) = archive.read(path).decode().splitlines()  # and no line that runs a hook
    wheel.unlink()
    assert Path(folder).samefile(checkout) == (mode == "lenient")
    (tmp_path / "program.pyx").write_text(PROGRAM)
    include, count = run(LOOK, tmp_path, folder).split()
    assert Path(include, "pygru.h").is_file()
    assert Path(include).is_relative_to(folder)
    assert int(count) == len(pygru.get_sources())
    assert "pygru_config" in (tmp_path / "program.c").read_text()
