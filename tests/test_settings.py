"""Environment variables with wrong values: one message at import, one line from a command.

The tests would catch a variable that is read without a check, one that is wrong when it is
empty, a traceback from a command, and a command that takes a program of a user for itself.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE
from programs import run_program

import pygru
from pygru.commands import beginning, predict_workers, world
from pygru.core import settings

VARIABLES = ["PYGRU_ENGINE", "PYGRU_NUM_THREADS", "PYGRU_SIMD", "PYGRU_THREADING"]
COMMAND = """
import sys
sys.argv = ["/usr/bin/pygru", "info"]
from pygru.cli import main
sys.exit(main())
"""


def test_no_other_file_reads_such_a_variable():
    """So none is read without the rules that hold for all."""
    package = Path(pygru.__file__).parent
    texts = {
        path.relative_to(package).as_posix(): path.read_text(encoding="utf-8")
        for path in package.rglob("*.py")
    }
    asking = {name for name, text in texts.items() if re.search(r"\bsetting\b[(,]", text)}
    # The last one asks only whether the user has set one.
    assert asking == {
        "core/settings.py", "core/backend.py", "core/threads.py", "commands/predict_workers.py",
    }  # fmt: skip
    reading = {
        name
        for name, text in texts.items()
        if re.search(r"\benvironb?\b|getenv", text) and re.search("[\"']PYGRU_", text)
    }
    assert reading == {"core/threads.py", "commands/predict_workers.py"}


@pytest.mark.parametrize("name", ["PYGRU_ENGINE", "PYGRU_SIMD", "PYGRU_THREADING"])
def test_a_wrong_value_is_named(name):
    """At import by the last line of a short traceback, and by a command in its only line."""
    value = "none of these"
    done = run_program("import pygru", **{name: value})
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[-1].startswith(f"ImportError: {name}='{value}' is n")
    assert ("expected" in lines[-1]) or (" have: " in lines[-1]) or (" has: " in lines[-1])
    assert lines.count("Traceback (most recent call last):") == 1
    done = run_program(COMMAND, **{name: value})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == lines[-1].replace("ImportError", "pygru", 1) + "\n"


def test_an_empty_value_is_none():
    code = "import pygru; print(pygru.show_config('dicts'))"
    without = run_program(code, without=VARIABLES)
    assert without.returncode == 0
    for empty in ("", " "):
        done = run_program(code, **dict.fromkeys(VARIABLES, empty))
        assert (done.stdout, done.stderr) == (without.stdout, "")


@pytest.mark.parametrize(
    ("name", "value"), [("PYGRU_SIMD", "baseline"), ("PYGRU_ENGINE", "blas")]
)
def test_blanks_around_a_value(monkeypatch, name, value):
    monkeypatch.setenv(name, f" {value}\t")
    assert settings.setting(name) == value


def test_a_very_long_value_is_cut():
    done = run_program("import pygru", PYGRU_SIMD="x" * 5000)
    assert len(done.stderr.splitlines()[-1]) < 500


@pytest.mark.parametrize(
    ("arguments", "original", "expected"),
    [
        (["/usr/bin/pygru", "info"], [], True),
        (["C:\\Scripts\\pygru.exe"], [], True),
        (["C:\\Scripts\\pygru-script.py"], [], True),
        (["-m", "info"], ["python", "-P", "-m", "pygru", "info"], True),
        (["-m"], ["python", "-mpygru.tests"], True),
        (["-m", "pygru"], ["python", "-m", "timeit", "pygru"], False),
        (["-m"], ["python", "-m", "pygru_tools"], False),
        (["/usr/bin/pytest", "pygru"], ["python", "-m", "pytest", "pygru"], False),
        (["pygru_train.py"], ["python", "pygru_train.py"], False),
        (["-c"], ["python", "-c", "import pygru"], False),
        ([""], ["python"], False),
        ([], [], False),
    ],
)
def test_what_a_command_is(monkeypatch, arguments, original, expected):
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(sys, "orig_argv", original)
    assert beginning.is_command() is expected


@pytest.mark.parametrize("module", ["pygru", "pygru.tests"])
def test_python_m(tmp_path, module):
    """Python itself imports the package of a module, before the module runs."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", module],
        cwd=tmp_path,
        env={**os.environ, "PYGRU_SIMD": "x"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"pygru: PYGRU_SIMD='x' is not supported .*\n", done.stderr)


def test_only_a_missing_module_is_explained_by_the_source_folder():
    name = "pygru.core._core"
    text = beginning.explained(ModuleNotFoundError(f"No module named {name!r}", name=name))
    assert "source folder" in text
    broken = ImportError("_core.so: undefined symbol: PyList_GetItemRef", name=name)
    assert beginning.explained(broken) is None


def test_one_line_from_all_ranks():
    second = run_program(COMMAND, PYGRU_SIMD="x", PMI_SIZE="2", PMI_RANK="1")
    assert (second.returncode, second.stderr) == (2, "")


def test_a_library_that_is_missing():
    """Nothing of pygru explains it better: one line of a command, a traceback otherwise."""
    missing = "import sys\nsys.modules['scipy'] = None\n"
    done = run_program(missing + COMMAND)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch("pygru: import of scipy halted.*\n", done.stderr)
    for code in (missing + COMMAND.replace("info", "--debug"), f"{missing}import pygru"):
        done = run_program(code)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("ModuleNotFoundError: import of scipy")
        assert "pygru/core/blas.py" in done.stderr.replace("\\", "/")


@pytest.mark.parametrize("empty", ["", " "])
def test_empty_variables_of_others(monkeypatch, empty):
    """A launcher's variable, and those that say how many threads a process has."""
    for name in (*world.SIZES, *world.RANKS, "PYGRU_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, empty)
    assert not world.is_one_of_many()
    assert world.is_first()
    assert predict_workers.shared_threads(None, 64) == 1
    for name in predict_workers.BLAS:
        monkeypatch.setenv(name, empty)
    with predict_workers._blas_of_one_thread():
        assert all(os.environ[name] == "1" for name in predict_workers.BLAS)
