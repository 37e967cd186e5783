"""The table of calls for other extension modules, and that it stays as it is.

The tests would catch a call that moves within the table, a type that changes without a new ABI
version, and a table that another compiled module cannot use.
"""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import pygru
from pygru.core import _core

HERE = Path(__file__).parent
STORED = HERE / "data" / "abi.json"


def declarations():
    """What a compiled program depends on: calls of the table, types, the number of the ABI."""
    folder = Path(pygru.get_include())
    texts = [(folder / name).read_text() for name in ("pygru.h", "api.h")]
    texts = [re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL) for text in texts]
    version = int(re.search(r"PYGRU_ABI_VERSION (\d+)", texts[0])[1])
    table = re.search(r"typedef struct pygru_api \{(.*?)\}", texts[1], re.DOTALL)[1]
    found = re.findall(r"typedef (?:struct|enum) (\w+) \{(.*?)\} \1;", texts[0], re.DOTALL)
    return {
        "abi_version": version,
        "table": [" ".join(entry.split()) for entry in table.split(";") if entry.strip()],
        "types": {name: " ".join(body.split()) for name, body in found},
        "lists": {
            name: sorted(
                line
                for line in (folder / name).read_text().splitlines()
                if "PYGRU_" in line[:6]
            )
            for name in ("activations.def", "optimizers.def", "precisions.def", "status.def")
        },
    }


def test_the_table_only_grows():
    """Store the new state with  python tests/test_c_api.py  if a call was added at the end.

    If anything else fails here, PYGRU_ABI_VERSION has to be raised, too.
    """
    stored, now = json.loads(STORED.read_text()), declarations()
    if stored["abi_version"] == now["abi_version"]:
        assert now["table"][: len(stored["table"])] == stored["table"]
        for name, body in stored["types"].items():
            assert now["types"][name] == body, name
        for name, lines in stored["lists"].items():
            assert set(lines) <= set(now["lists"][name]), name
    assert stored == now, "run  python tests/test_c_api.py  to store the new calls"


def test_every_public_call_is_in_the_table():
    header = (Path(pygru.get_include()) / "pygru.h").read_text()
    calls = re.findall(r"^PYGRU_API [^;]*?\bpygru_(\w+)\(", header, re.MULTILINE)
    table = re.findall(r"\(\*(\w+)\)\(", " ".join(declarations()["table"]))
    assert sorted(table) == sorted(calls)
    source = (Path(pygru.get_include()) / "api.c").read_text()
    entries = re.findall(r"\.(\w+) = pygru_(\w+)", source)
    assert [name for name, _ in entries] == table
    assert all(name == call for name, call in entries)


def test_versions_agree():
    assert _core.version() == pygru.__version__


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="compiles with cc")
def test_a_module_that_links_nothing(tmp_path):
    compiler = shutil.which("cc")
    if compiler is None or not Path(sysconfig.get_path("include"), "Python.h").exists():
        pytest.skip("needs a C compiler and Python's headers")
    module = tmp_path / f"capsule{sysconfig.get_config_var('EXT_SUFFIX')}"
    command = [compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    command += [f"-I{pygru.get_include()}", f"-I{sysconfig.get_path('include')}"]
    if sys.platform == "darwin":
        command += ["-undefined", "dynamic_lookup"]
    subprocess.run([*command, HERE / "downstream" / "capsule.c", "-o", module], check=True)
    gru = pygru.GRU(3, 5, seed=1)
    x = np.random.default_rng(0).standard_normal((1, 3)).astype(np.float32)
    expected = gru.step(x, np.zeros((1, 1, 5), np.float32))
    np.save(tmp_path / "parameters.npy", gru.flat_parameters)
    np.save(tmp_path / "x.npy", x)
    code = """
import capsule, numpy as np
parameters, x = np.load("parameters.npy"), np.load("x.npy")
print(capsule.one_step(parameters.tobytes(), x.tobytes(), 5, RESET, UPDATE).hex())
try:
    capsule.one_step(parameters.tobytes(), x.tobytes(), 0, 0, 0)
except ValueError as error:
    print(error)
"""
    code = code.replace("RESET", str(int(gru.variant.reset == "after")))
    code = code.replace("UPDATE", str(int(gru.variant.update == "keep")))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    h = expected[0] if isinstance(expected, tuple) else expected
    assert first == np.asarray(h, np.float32).tobytes().hex()
    assert second


if __name__ == "__main__":
    STORED.write_text(json.dumps(declarations(), indent=1) + "\n")
