"""Parts of the site that are made from other files: links, and the note on quick runs.

None of this needs Sphinx. The tests would find a link that ``pyproject.toml`` does not give, a
note that is missing or stands above the title of a page, a name that the overview of the
reference leaves out, and a bar of the picture of speed that is not in the table.
"""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def parts():
    return load("site_parts")


def load(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_are_those_of_the_project(parts, tmp_path):
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text('[project]\nname = "x"\n')
    assert parts.project_links(pyproject) == []
    pyproject.write_text(
        '[project]\nname = "x"\n[project.urls]\n'
        '"Source Code" = "https://example.org/x"\nFunding = "https://example.org/y"\n'
    )
    code, funding = parts.project_links(pyproject)
    assert (code["name"], code["url"]) == ("Source Code", "https://example.org/x")
    assert code["icon"] == parts.ICONS["sourcecode"] != funding["icon"] == parts.OTHER_ICON


def test_a_quick_page_says_so_below_its_title(parts):
    page = ".. _label:\n\nClassify series\n===============\n\nText.\n\nMore\n----\n"
    marked = parts.with_quick_note("gallery/plot_06", page)
    title, note, rest = (marked.index(part) for part in ("=====\n", "Quick run", "\nText."))
    assert title < note < rest
    assert marked.count("Quick run") == 1
    assert "pictures on this page" in marked.replace("\n   ", " ")
    assert "pictures on these pages" in parts.with_quick_note("gallery/index", page)


@pytest.mark.slow
def test_the_overview_of_the_reference_has_every_name(tmp_path):
    pytest.importorskip("sklearn")
    pages = load("reference_pages")
    for name in ("pygru.GRU", "pygru.Gone"):  # pages of an earlier build
        page = tmp_path / "reference" / "generated" / f"{name}.rst"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(name)
    pages.write(tmp_path / "reference", changelog=ROOT / "CHANGELOG.md")
    overview = (tmp_path / "reference" / "overview.txt").read_text().splitlines()
    for name in pages.public_names():
        assert overview.count(f"   {name}") == 1, name
    left = [page.name for page in (tmp_path / "reference" / "generated").iterdir()]
    assert left == ["pygru.GRU.rst"]
    copied = (tmp_path / "reference" / "changelog.md").read_text()
    assert copied == (ROOT / "CHANGELOG.md").read_text()
