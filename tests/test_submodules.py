"""Submodules after nothing but ``import pygru``, which loads few of them."""

import pytest
from programs import run_program

import pygru

PACKAGES = ["core", "io", "nn", "quantized", "train"]
# None of them is loaded when its turn comes.
NAMES = ["core.affine", "nn.losses", "nn.linear", "quantized.gru", "io.native", "train.history"]
PROGRAM = """
import functools, sys
import pygru
for name in {!r}:
    assert f"pygru.{{name}}" not in sys.modules, name
    try:
        module = functools.reduce(getattr, name.split("."), pygru)
        assert module is sys.modules[f"pygru.{{name}}"]
    except AttributeError as error:
        print(error)
"""


def test_submodules_are_imported_when_they_are_used():
    done = run_program(PROGRAM.format(NAMES))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("package", PACKAGES)
def test_other_names_are_unknown(package):
    module = getattr(pygru, package)
    for name in ("nonsense", "no.name", "__wrapped__", ""):
        message = f"module 'pygru.{package}' has no attribute {name!r}"
        with pytest.raises(AttributeError) as caught:
            getattr(module, name)
        assert str(caught.value) == message
        assert caught.value.name == name


def test_a_submodule_that_misses_something_says_so(tmp_path, monkeypatch):
    (tmp_path / "needy.py").write_text("import a_module_that_does_not_exist")
    monkeypatch.setattr(pygru.nn, "__path__", [*pygru.nn.__path__, str(tmp_path)])
    with pytest.raises(ModuleNotFoundError, match="a_module_that_does_not_exist"):
        _ = pygru.nn.needy
