"""Every example in a docstring, the README and docs/ runs, and every public name has one.

Also: the changelog, the citation and the package agree on the version, links between pages lead
somewhere, and what is called public is listed.
"""

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import pygru

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(pygru.__path__, "pygru.")
    if module.name not in ("pygru.__main__", "pygru.core._core")
)


@pytest.mark.parametrize("name", ["pygru", *MODULES])
def test_docstring_examples(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_code_blocks_run_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.S):
        exec(compile(block, str(page), "exec"), names)  # an exception or assert fails


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def public_objects():
    for name in pygru.__all__:
        value = getattr(pygru, name)
        yield name, value
        if inspect.isclass(value):
            for member, function in vars(value).items():
                if not member.startswith("_") and callable(function):
                    yield f"{name}.{member}", function


@pytest.mark.parametrize(
    ("name", "value"), list(public_objects()), ids=lambda value: str(value)[:40]
)
def test_every_public_name_has_a_docstring(name, value):
    assert inspect.getdoc(value), name


@pytest.mark.parametrize(
    "name", [name for name in pygru.__all__ if name not in ("losses", "Callback")]
)
def test_public_docstrings_have_an_example(name):
    without = {
        "ConcatenatedWeights",  # made by GRU.concatenated_weights, shown there
        "DivergenceError",
        "FormatError",
        "InternalError",
        "Gates",
        "ProgressBar",
        "Stream",
        "Tape",
        "read_metadata",
        "Optimizer",
    }
    if name not in without:
        assert ">>>" in inspect.getdoc(getattr(pygru, name)), name


def test_versions_agree():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## \[(.+?)\]", changelog, re.M).group(1) == pygru.__version__
    assert f"version: {pygru.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_no_page_holds_an_unfilled_place():
    for page in PAGES:
        assert not re.search(r"\b[A-Z]+_(TABLE|MACHINE|32|64)\b", page.read_text()), page
