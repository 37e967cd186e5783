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
import tempfile
from pathlib import Path

import numpy as np
import pytest

import pygru
from pygru.core import _core

HERE = Path(__file__).parent
STORED = HERE / "data" / "abi.json"
# The lists from which pygru.h makes constants, and how a program shows them.
LISTS = {
    "activations.def": "PYGRU_ACTIVATION(name) "
    'SHOW("PYGRU_ACTIVATION_" #name, PYGRU_ACTIVATION_##name);',
    "optimizers.def": "PYGRU_OPTIMIZER(name, ...) "
    'SHOW("PYGRU_OPTIMIZER_" #name, PYGRU_OPTIMIZER_##name);',
    "precisions.def": 'PYGRU_PRECISION(code, name, ...) SHOW("PYGRU_" #name, PYGRU_##name);',
    "status.def": 'PYGRU_STATUS(code, name, ...) SHOW("PYGRU_" #name, PYGRU_##name);',
}


def headers():
    """The texts of pygru.h and api.h without comments."""
    folder = Path(pygru.get_include())
    texts = [(folder / name).read_text() for name in ("pygru.h", "api.h")]
    return [re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL) for text in texts]


def declarations():
    """What a compiled program depends on: calls of the table, types, the number of the ABI."""
    texts = headers()
    version = int(re.search(r"PYGRU_ABI_VERSION (\d+)", texts[0])[1])
    table = re.search(r"typedef struct pygru_api \{(.*?)\}", texts[1], re.DOTALL)[1]
    found = re.findall(r"typedef (?:struct|enum) (\w+) \{(.*?)\} \1;", texts[0], re.DOTALL)
    constants = re.findall(r"^enum \{(.*?)\};", texts[0], re.DOTALL | re.MULTILINE)
    return {
        "abi_version": version,
        "table": [" ".join(entry.split()) for entry in table.split(";") if entry.strip()],
        "types": {name: " ".join(body.split()) for name, body in found},
        "constants": [" ".join(body.split()) for body in constants],
        "lists": {
            name: [
                line
                for line in (Path(pygru.get_include()) / name).read_text().splitlines()
                if line.startswith("PYGRU_")
            ]
            for name in LISTS
        },
    }


def fields(body):
    """The names of the fields of a struct."""
    entries = [" ".join(entry.split()) for entry in body.split(";") if entry.strip()]
    return [re.search(r"\(\*(\w+)\)\(|(\w+)(?:\[\w+\])?$", e).expand(r"\1\2") for e in entries]


def layout(folder):
    """What this compiler makes of pygru.h: sizes, places of fields, values of constants."""
    text = headers()[0]
    lines = []
    for name, body in re.findall(r"typedef struct (\w+) \{(.*?)\} \1;", text, re.DOTALL):
        lines += [f'SHOW("sizeof {name}", sizeof({name}));']
        lines += [f'SHOW("{name}.{f}", offsetof({name}, {f}));' for f in fields(body)]
    for body in re.findall(r"\benum (?:\w+ )?\{(.*?)\}", text, re.DOTALL):
        plain = re.sub(r"^#.*$", "", body, flags=re.MULTILINE)
        lines += [f'SHOW("{name}", {name});' for name in re.findall(r"\bPYGRU_\w+", plain)]
    for file, row in LISTS.items():
        lines += [f"#define {row}", f'#include "{file}"', f"#undef {row.split('(')[0]}"]
    program = """
#include "pygru.h"
#include <stdio.h>
#define SHOW(name, value) printf("%s %lld\\n", name, (long long)(value))
int main(void) {
"""
    (folder / "layout.c").write_text("\n".join([program, *lines, "return 0; }\n"]))
    command = [shutil.which("cc"), "-std=c11", f"-I{pygru.get_include()}"]
    command += [folder / "layout.c", "-o", folder / "layout"]
    subprocess.run(command, check=True)
    shown = subprocess.run([folder / "layout"], capture_output=True, text=True, check=True)
    return {name: int(value) for name, value in re.findall(r"(.+) (-?\d+)\n", shown.stdout)}


def grown(stored, now):
    """Whether the rows are those that were stored, and perhaps more at the end."""
    return now[: len(stored)] == stored


def test_the_table_only_grows():
    """Store the new state with  python tests/test_c_api.py  if a call was added at the end.

    If anything else fails here, PYGRU_ABI_VERSION has to be raised, too.
    """
    stored, now = json.loads(STORED.read_text()), declarations()
    del stored["layout"]
    if stored["abi_version"] == now["abi_version"]:
        assert grown(stored["table"], now["table"])
        for name, body in stored["types"].items():
            assert now["types"][name] == body, name
        for constants in stored["constants"]:
            assert any(body.startswith(constants) for body in now["constants"]), constants
        for name, lines in stored["lists"].items():
            assert grown(lines, now["lists"][name]), name
    assert stored == now, "run  python tests/test_c_api.py  to store the new calls"


@pytest.mark.skipif(sys.platform == "win32" or sys.maxsize < 2**32, reason="64 bits, with cc")
def test_no_type_changes_its_layout(tmp_path):
    """The same holds here; the values of PYGRU_*_END_ grow with their lists."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    stored, now = json.loads(STORED.read_text()), layout(tmp_path)
    if stored["abi_version"] == declarations()["abi_version"]:
        for name, value in stored["layout"].items():
            assert now[name] == value or (name.endswith("S_END_") and now[name] > value), name
    assert stored["layout"] == now, "run  python tests/test_c_api.py  to store the new types"


def test_every_public_call_is_in_the_table():
    header = (Path(pygru.get_include()) / "pygru.h").read_text()
    calls = re.findall(r"^PYGRU_API [^;]*?\bpygru_(\w+)\(", header, re.MULTILINE)
    table = re.findall(r"\(\*(\w+)\)\(", " ".join(declarations()["table"]))
    assert sorted(table) == sorted(calls)
    source = (Path(pygru.get_include()) / "api.c").read_text()
    entries = re.findall(r"\.(\w+) = pygru_(\w+)", source)
    assert [name for name, _ in entries] == table
    assert all(name == call for name, call in entries)
    # Cython has the same fields in the same order.
    declared = Path(pygru.core.__file__).with_name("cpygru.pxd").read_text()
    declared = re.search(r"struct pygru_api:\n(.*?)\n\n", declared, re.DOTALL)[1]
    fields = re.findall(r"^        \w.*?(?:\(\*)?(\w+)(?:\)\(.*)?$", declared, re.MULTILINE)
    assert fields == ["abi_version", "bytes", *table]


def test_versions_agree():
    assert _core.version() == pygru.__version__


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="compiles with cc")
@pytest.mark.parametrize("name", ["capsule.c", "capsule_cython.pyx"])
def test_a_module_that_links_nothing(tmp_path, name):
    compiler = shutil.which("cc")
    if compiler is None or not Path(sysconfig.get_path("include"), "Python.h").exists():
        pytest.skip("needs a C compiler and Python's headers")
    source = HERE / "downstream" / name
    command = [compiler, "-std=c11", "-shared", "-fPIC"]
    command += [f"-I{pygru.get_include()}", f"-I{sysconfig.get_path('include')}"]
    if source.suffix == ".pyx":
        pytest.importorskip("Cython")
        translated = tmp_path / f"{source.stem}.c"
        translate = [sys.executable, "-P", "-m", "cython", "-3", source, "-o", translated]
        subprocess.run(translate, check=True, cwd=tmp_path)
        source = translated
        command.append("-Werror=incompatible-pointer-types")
    else:
        command += ["-Wall", "-Wextra", "-Werror"]  # Cython's C code may have warnings
    if sys.platform == "darwin":
        command += ["-undefined", "dynamic_lookup"]
    module = tmp_path / f"{source.stem}{sysconfig.get_config_var('EXT_SUFFIX')}"
    subprocess.run([*command, source, "-o", module], check=True)
    gru = pygru.GRU(3, 5, seed=1)
    x = np.random.default_rng(0).standard_normal((1, 3)).astype(np.float32)
    expected = gru.step(x, np.zeros((1, 1, 5), np.float32))
    np.save(tmp_path / "parameters.npy", gru.flat_parameters)
    np.save(tmp_path / "x.npy", x)
    code = """
import MODULE as module, numpy as np
parameters, x = np.load("parameters.npy"), np.load("x.npy")[0]
print(module.one_step(parameters, x, 5, RESET, UPDATE).hex())
try:
    module.one_step(parameters, x, 0, 0, 0)
except ValueError as error:
    print(error)
"""
    code = code.replace("MODULE", source.stem)
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
    with tempfile.TemporaryDirectory() as folder:
        state = {**declarations(), "layout": layout(Path(folder))}
    STORED.write_text(json.dumps(state, indent=1) + "\n")
