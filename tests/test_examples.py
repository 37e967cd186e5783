"""The examples are built and run, and give pygru's own results bit for bit."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pygru
from pygru import GRU

EXAMPLES = Path(__file__).parent.parent / "examples"
COMPILER = os.environ.get("CC", "cc")
FLAGS = ["-O1", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]

needs_compiler = pytest.mark.skipif(shutil.which(COMPILER) is None, reason="no C compiler")


def signal(steps, width):
    return np.random.default_rng(1).standard_normal((steps, width)).astype(np.float32)


def streamed(gru, x):
    stream = gru.stream()
    return np.array([stream(x_t).copy() for x_t in x])


def run(command, folder, **options):
    result = subprocess.run(command, cwd=folder, capture_output=True, check=False, **options)
    assert result.returncode == 0, result.stderr.decode(errors="replace")[-2000:]
    return result


def test_headers_and_sources_are_installed():
    assert Path(pygru.get_include(), "pygru.h").exists()
    assert all(Path(name).exists() for name in pygru.get_sources())


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The C program, compiled with the core in it: no Python and no BLAS in its process."""
    folder = tmp_path_factory.mktemp("c")
    sources = [str(EXAMPLES / "c" / "stream.c"), *pygru.get_sources()]
    command = [COMPILER, *FLAGS, f"-I{pygru.get_include()}", *sources, "-lm", "-lpthread"]
    run([*command, "-o", "stream"], folder)
    return folder / "stream"


@needs_compiler
@pytest.mark.parametrize("variant", ["chung", "pytorch"])
def test_c_program(tmp_path, program, variant):
    spec = importlib.util.spec_from_file_location("export", EXAMPLES / "c" / "export.py")
    export = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(export)
    gru = GRU(3, 20, 2, variant=variant, seed=0)
    export.export(gru, tmp_path / "weights.bin")
    x = signal(50, 3)
    output = run([str(program), "weights.bin"], tmp_path, input=x.tobytes()).stdout
    np.testing.assert_array_equal(
        np.frombuffer(output, np.float32).reshape(50, 20), streamed(gru, x)
    )


@needs_compiler
def test_c_program_refuses_a_short_file(tmp_path, program):
    np.array([3, 4, 1, 0, 0], np.int64).tofile(tmp_path / "weights.bin")
    command = [str(program), "weights.bin"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert result.returncode == 1
    assert b"too short" in result.stderr


@needs_compiler
def test_cython_package(tmp_path):
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools")
    shutil.copytree(EXAMPLES / "cython", tmp_path / "package")
    folder = tmp_path / "package"
    run([sys.executable, "-P", "setup.py", "-q", "build_ext", "--inplace"], folder)
    program = """
import sys; sys.path.insert(0, ".")
import numpy as np, pygru, gru_filter
x = np.load("x.npy")
outputs = np.empty((len(x), 12), np.float32)
gru_filter.Filter(pygru.GRU(4, 12, seed=0)).run(x, outputs)
np.save("outputs.npy", outputs)
"""
    x = signal(30, 4)
    np.save(folder / "x.npy", x)
    run([sys.executable, "-P", "-c", program], folder)
    np.testing.assert_array_equal(
        np.load(folder / "outputs.npy"), streamed(GRU(4, 12, seed=0), x)
    )
