"""The stubs of the compiled modules agree with the modules."""

import subprocess
import sys
from pathlib import Path

import pytest

import pygru.core

ALLOWLIST = Path(__file__).with_name("stubtest_allowlist.txt")


def compiled_modules():
    folder = Path(pygru.core.__path__[0])
    names = {path.name.split(".")[0] for path in folder.glob("_*.*") if path.suffix != ".py"}
    return sorted(f"pygru.core.{name}" for name in names if not name.startswith("__"))


@pytest.mark.slow
def test_stubs_of_the_compiled_modules(tmp_path):
    pytest.importorskip("mypy.stubtest")
    command = [sys.executable, "-m", "mypy.stubtest", "--allowlist", str(ALLOWLIST)]
    process = subprocess.run(
        [*command, *compiled_modules()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout
