"""How pygru is built and imported.

The tests check the lists of files, that the import prints nothing, that the module exports no
foreign symbols, and that no global state is changed.
"""

import ast
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from patience import PATIENCE
from programs import run_program

import pygru
from pygru.core import _core

ROOT = Path(__file__).resolve().parent.parent


def python(code, cwd, **environment):
    """Run code in a new process; return what it printed as JSON."""
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env={**os.environ, **environment},
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def test_every_source_is_in_the_build():
    lists = runpy.run_path(str(ROOT / "build_support" / "sources.py"))
    core = ROOT / "src_c"
    sources = {path.relative_to(core).as_posix() for path in core.rglob("*") if path.is_file()}
    assert sources == {*lists["CORE"], *lists["HEADERS"], *lists["TEMPLATES"]}


def test_version():
    assert pygru.__version__ == pygru.show_config(mode="dicts")["pygru"]


def test_show_config_has_its_keys(capsys):
    values = pygru.show_config(mode="dicts")
    assert set(values) == {
        "pygru",
        "python",
        "numpy",
        "scipy",
        "compiler",
        "openmp",
        "blas",
        "engine",
        "kernels",
        "kernel_sets",
        "threading",
        "threads",
        "threads_from",
        "limits",
        "mpi",
    }
    assert values["engine"] in ("simd", "blas")
    assert set(values["blas"]) == {
        "library",
        "version",
        "core",
        "threading_layer",
        "int_bytes",
    }
    assert set(values["limits"]) == {"affinity", "quota", "ranks", "openmp"}
    assert set(values["mpi"]) == {"rank", "ranks_on_node"}
    assert pygru.show_config() is None
    assert "int_bytes" in capsys.readouterr().out
    with pytest.raises(ValueError, match="mode must be 'stdout' or 'dicts'"):
        pygru.show_config("json")


def test_import_is_quiet(tmp_path):
    """P-27: no thread, setting or file of the process changes, and nothing is printed."""
    code = """
import atexit, json, locale, os, random, signal, sys, threading, warnings
import numpy, scipy.linalg, scipy.linalg.cython_blas
tasks, files = "/proc/self/task", "/proc/self/fd"
state = lambda: (
    dict(os.environ), os.getcwd(), os.umask(os.umask(0o22)), locale.setlocale(locale.LC_ALL),
    warnings.filters[:], warnings.showwarning, sys.excepthook, threading.excepthook,
    [repr(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
    threading.active_count(), os.path.exists(tasks) and len(os.listdir(tasks)),
    os.path.exists(files) and len(os.listdir(files)),
    sys.path[:], sys.getrecursionlimit(), sys.getswitchinterval(), sys.gettrace(),
    random.getstate(), str(numpy.random.get_state()), numpy.geterr(), numpy.geterrcall(),
    numpy.get_printoptions(),
)
before, old = set(sys.modules), state()
import pygru
print(json.dumps({"same": [was == now for was, now in zip(old, state())],
                  "new": sorted(set(sys.modules) - before),
                  "denormal": sys.float_info.min / 2 != 0}))
"""
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert all(result["same"]), result["same"]
    assert result["denormal"]
    loaded = {name.split(".")[0] for name in result["new"]}
    assert not loaded & OPTIONAL
    # More than a half of all modules, for programs that need only a GRU.
    later = {"conformance", "io.native", "nn.linear", "nn.losses", "nn.sequential", "plot"}
    later |= {"quantized.gru", "train"}
    assert not {f"pygru.{name}" for name in later} & set(result["new"])


#: Packages that `import pygru` may not import: they are optional, slow, or without wheels for
#: some Pythons.
OPTIONAL = {
    *("IPython", "aeon", "dask", "distributed", "h5py", "ipywidgets", "jax", "joblib", "keras"),
    *("matplotlib", "mpi4py", "onnx", "onnxruntime", "optuna", "pandas", "polars", "pyarrow"),
    *("pytest", "safetensors", "sklearn", "sktime", "tensorboardX", "torch", "tqdm", "xarray"),
    *("zarr",),
}


def test_import_needs_no_optional_package(tmp_path):
    """Where importing any of them fails, a GRU computes and trains, and save says why not."""
    code = f"""
import json, sys
for name in {sorted(OPTIONAL)}:
    sys.modules[name] = None  # the import of it fails
import numpy as np, pygru
model = pygru.Sequential(pygru.GRU(2, 3, batch_first=True), pygru.Last(), pygru.Linear(3, 1))
trainer = pygru.Trainer(model, loss="mse")
trainer.fit(np.ones((4, 5, 2)), np.ones((4, 1)), epochs=1, progress=False)
try:
    pygru.save(model, "m.safetensors")
except ImportError as error:
    print(json.dumps(error.name))
"""
    assert python(code, tmp_path) == "safetensors.numpy"


@pytest.mark.skipif(
    not hasattr(sys, "_is_gil_enabled") or not sysconfig.get_config_var("Py_GIL_DISABLED"),
    reason="only a free-threaded Python has no GIL",
)
def test_the_import_leaves_the_gil_off(tmp_path):
    """P-20: every compiled module says that it works without one."""
    code = """
import importlib, json, pkgutil, sys, pygru, pygru.core
names = [module.name for module in pkgutil.iter_modules(pygru.core.__path__, "pygru.core.")]
for name in names:
    importlib.import_module(name)
print(json.dumps([len(names), sys._is_gil_enabled()]))
"""
    count, enabled = python(code, tmp_path, PYTHONWARNINGS="error", PYTHON_GIL="")
    assert count > 20
    assert not enabled


def test_the_process_keeps_its_floating_point_state_after_a_call(tmp_path):
    code = """
import json, sys, numpy as np, pygru
gru = pygru.GRU(8, 64, seed=0)
output, h, tape = gru.forward(np.ones((50, 64, 8)), n_threads=2)
gru.backward(tape, np.ones((50, 64, 64)))
print(json.dumps(sys.float_info.min / 2 != 0 and float(np.float32(1e-40) * 1) != 0))
"""
    assert python(code, tmp_path) is True


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm")
def test_the_core_neither_prints_nor_exits():
    process = subprocess.run(
        ["nm", "-D", "--undefined-only", _core.__file__],
        capture_output=True,
        text=True,
        check=True,
    )
    symbols = set(re.findall(r"\bU (\w+)", process.stdout))
    assert not symbols & {
        "printf",
        "puts",
        "abort",
        "exit",
        "__assert_fail",
        "sgemm_",
        "dgemm_",
    }


def test_source_folder_says_why_it_cannot_be_imported(tmp_path):
    shutil.copytree(
        ROOT / "pygru",
        tmp_path / "pygru",
        ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"),
    )
    process = subprocess.run(
        [sys.executable, "-c", "import pygru"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert "imported from its source folder" in process.stderr.splitlines()[-1]


def test_names_are_listed():
    assert len(set(pygru.__all__)) == len(pygru.__all__)
    for name in pygru.__all__:
        assert hasattr(pygru, name)


def test_the_environment_variable_of_the_compiler_is_reported():
    assert re.match(r"(gcc|clang|msvc) \d", _core.compiler())


def test_the_configuration_says_why_the_best_kernels_are_not_in_use():
    sets = pygru.show_config(mode="dicts")["kernel_sets"]
    assert list(sets) == list(_core.kernel_names())
    first = next(iter(sets))
    code = "import pygru; print(pygru.show_config(mode='dicts')['kernel_sets'])"
    lowest = ast.literal_eval(run_program(code, PYGRU_SIMD=first).stdout)
    assert lowest[first] == "in use"
    for name, runs in list(_core.kernel_names().items())[1:]:
        expected = f"could run, but PYGRU_SIMD={first}" if runs else "cannot run: "
        assert lowest[name].startswith(expected)
        assert (_core.kernel_obstacles()[name] is None) == runs


def test_b73_kernels_that_cannot_run_are_refused_at_import():
    process = run_program("import pygru", PYGRU_SIMD="avx9000")
    assert process.returncode == 1
    message = process.stderr.splitlines()[-1]
    assert message.startswith("ImportError: PYGRU_SIMD='avx9000' is not supported")
    assert "they have: baseline" in message


def test_the_number_of_threads_is_what_will_be_used():
    """Also in a build without threads, which takes every number and uses one."""
    most = 1 if pygru.show_config("dicts")["threading"] == "none" else 3
    code = """
import pygru, threadpoolctl
counts = [pygru.show_config("dicts")["threads"]]
pygru.set_num_threads(3)
counts += [pygru.get_num_threads(), pygru.core.threads.resolve(3)]
with threadpoolctl.threadpool_limits({"pygru": 3}):
    counts.append(pygru.get_num_threads())
with pygru.num_threads(3):
    counts.append(pygru.get_num_threads())
print(counts)
"""
    process = run_program(code, PYGRU_NUM_THREADS="3")
    assert process.stdout == f"{[most] * 5}\n", process.stderr
