"""All code in docstrings, the README and docs/ runs, and every public name has a docstring.

The tests also check that a page shows what its code prints; that links between pages lead
somewhere; that every page can be reached from the first one; and that every public name has its
place in the reference.
None of this needs Sphinx.
"""

import contextlib
import doctest
import importlib
import importlib.util
import inspect
import io
import pkgutil
import re
from pathlib import Path

import pytest
from quick import quick_and_slow

import pygru

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
MADE = {DOCS / "gallery", DOCS / "reference"}  # made by a build of the site, if there was one
SITE = sorted(page for page in DOCS.glob("**/*.md") if not MADE & set(page.parents))
PAGES = [ROOT / "README.md", *SITE]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(pygru.__path__, "pygru.")
    if module.name != "pygru.__main__" and not module.name.startswith("pygru.core._")
)

pytestmark = pytest.mark.every_case

#: Modules that need a package which is not always there.
NEEDS = {
    "pygru.sklearn": "sklearn",
    "pygru.sktime": "sktime",
    "pygru.aeon": "aeon",
    "pygru.dask": "dask",
    "pygru.train.optuna": "optuna",
    "pygru.torch": "torch",
}


def skip_without(package):
    """Skip a test where a package of ``NEEDS`` is missing."""
    if package is not None:
        pytest.importorskip(package)


@pytest.mark.parametrize("name", ["pygru", *MODULES])
def test_docstring_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where an example may write a file
    skip_without(NEEDS.get(name, NEEDS.get(".".join(name.split(".")[:2]))))
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0


def relative(page):
    return str(page.relative_to(ROOT))


# A block of code, and the block of text that may follow it: what the code prints.
BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.S)
NUMBER = re.compile(r"-?\b\d+(?:\.(\d+))?")


def check_output(shown, printed):
    """Compare words and integers exactly, and other numbers to 5 % or the last digit shown.

    A CPU without fused multiply-adds rounds differently, and training makes this larger.
    """
    assert NUMBER.sub("#", printed).split() == NUMBER.sub("#", shown).split()
    for wanted, got in zip(NUMBER.finditer(shown), NUMBER.finditer(printed), strict=True):
        if wanted[1] is None:
            assert got[0] == wanted[0], printed
        else:
            off = abs(float(got[0]) - float(wanted[0]))
            last_digit = 10 ** -len(wanted[1])
            assert off <= max(1.01 * last_digit, 0.05 * abs(float(wanted[0]))), printed


#: Packages of recipes. A block that imports a missing one is left out, and so no later block
#: may need what it defines.
RECIPES = ("optuna", "skops", "sktime", "torch")


def is_left_out(code):
    """Whether a block of code needs a package that is not installed."""
    imported = set(re.findall(r"^(?:from|import) (\w+)", code, re.M))
    return any(name in imported and importlib.util.find_spec(name) is None for name in RECIPES)


#: Pages about other packages, most of whose blocks need them.
PACKAGES_OF = {
    "archives.md": ("distributed", "xarray", "sklearn"),
    "searching.md": ("distributed", "optuna", "sklearn"),
}

LONG = (
    "docs/index.md",  # whose code is also in README.md
    "howto/archives.md",
    "howto/searching.md",
    "howto/scikit_learn.md",
    "start/classify.md",
    "start/forecast.md",
    "start/generate.md",
    "docs/tutorial.md",
)
BY_LENGTH = quick_and_slow(
    [page for page in PAGES if not str(page).endswith(LONG)],
    [page for page in PAGES if str(page).endswith(LONG)],
)


@pytest.mark.parametrize("page", BY_LENGTH, ids=relative)
def test_code_blocks_run_in_order(page, tmp_path, monkeypatch):
    text = page.read_text(encoding="utf-8")
    if "pygru.sklearn import" in text:
        pytest.importorskip("sklearn")
    for package in PACKAGES_OF.get(page.name, ()):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    names = {}
    for code, shown in BLOCK.findall(text):
        if is_left_out(code):
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), pygru.num_threads(1):
            exec(compile(code, str(page), "exec"), names)  # any exception fails
        if shown:
            check_output(shown, printed.getvalue())


def test_a_wrong_output_is_seen():
    check_output("error 0.79 of 3\n", "error  0.80 of 3")
    for wrong in ("error 0.89 of 3", "error 0.79 of 4", "mean 0.79 of 3", "error 0.79"):
        with pytest.raises(AssertionError):
            check_output("error 0.79 of 3\n", wrong)


def anchors(page):
    """The anchors that GitHub and similar hosts give to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link
        # The site has only the pages of docs/; programs can be downloaded from it.
        assert page.parent == ROOT or target.suffix != ".md" or target.resolve() in SITE, link


# The chapters of docs/architecture.md that list files; the folder, and the files in question.
LISTED = {
    "## The C core": ("src_c", ("*.c", "*.h", "*.def")),
    "## The compiled boundary": ("pygru/core", ("*.pyx",)),
    "## The Python package": ("pygru", ("*.py",)),
}


def listed_files(chapter):
    """The names in the first column: files, and folders whose files are described together."""
    text = (DOCS / "architecture.md").read_text(encoding="utf-8").split(chapter, 1)[1]
    for line in re.findall(r"^\| (`.*?) \|", text.split("\n## ", 1)[0], re.M):
        folder = ""
        for name in re.findall(r"`([^`]+)`", line):
            if "/" in name and not name.endswith("/"):
                folder = name.rpartition("/")[0] + "/"
                yield name
            else:
                yield folder + name


@pytest.mark.parametrize("chapter", LISTED)
def test_the_architecture_lists_every_file_and_no_other(chapter):
    root, patterns = LISTED[chapter]
    listed = set(listed_files(chapter))
    folders = tuple(name for name in listed if name.endswith("/"))
    files = {
        path.relative_to(ROOT / root).as_posix()
        for pattern in patterns
        for path in (ROOT / root).rglob(pattern)
        if path.name != "__init__.py"
    }
    if chapter == "## The compiled boundary":  # modules are listed, and their one .pxd of C
        files = {name.removesuffix(".pyx") for name in files} | {"cpygru.pxd"}
    assert listed - set(folders) - files == set()
    assert {name for name in files - listed if not name.startswith(folders or ("/",))} == set()


# ---- the site ------------------------------------------------------------------------------


def load_reference_pages():
    path = DOCS / "reference_pages.py"
    spec = importlib.util.spec_from_file_location("reference_pages", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entries(page):
    """The pages in the tables of contents of a page, without suffix, relative to docs/."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"```{toctree}\n(.*?)```", text, re.S):
        for line in filter(None, block.splitlines()):
            if line.startswith(":"):
                continue
            entry = re.sub(r".*<(.+)>", r"\1", line)
            found = sorted(page.parent.glob(f"{entry}.md")) if "*" in entry else []
            for target in found or [page.parent / f"{entry}.md"]:
                yield target.resolve()


def test_every_page_is_reached_from_the_first():
    reached, new = set(), {DOCS / "index.md"}
    while new:
        reached |= new
        new = {entry for page in new if page in SITE for entry in entries(page)} - reached
    assert set(SITE) - reached == set()
    groups = {DOCS / "reference" / f"{key}.md" for key in load_reference_pages().GROUPS}
    made = {DOCS / "gallery" / "index.md", *groups}
    made |= {DOCS / "reference" / f"{name}.md" for name in ("changelog", "command")}
    assert reached - set(SITE) == made


def test_every_public_name_has_a_place_in_the_reference():
    names = load_reference_pages().grouped()  # raises for a name of no group
    placed = [name for group in names.values() for name in group]
    assert len(placed) == len(set(placed))
    for name in pygru.__all__:
        if inspect.ismodule(getattr(pygru, name)):
            assert any(other.startswith(f"pygru.{name}.") for other in placed), name
        else:
            assert f"pygru.{name}" in placed


def test_a_name_of_no_group_is_refused():
    pages = load_reference_pages()
    assert pages.group_of("pygru.load_co2", pygru.data.load_co2)[0] == "data"
    assert pages.group_of("pygru.losses.mse", pygru.losses.mse)[0] == "losses"  # not layers
    with pytest.raises(LookupError, match=r"pygru\.lost.*is in no group"):
        pages.group_of("pygru.lost", type("Lost", (), {"__module__": "pygru.train_of_thought"}))


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_modules_that_a_page_imports_are_in_the_reference(page):
    text = page.read_text(encoding="utf-8")
    found = set(re.findall(r"^(?:from|import) (pygru\.[\w.]+)", text, re.M))
    missing = {
        name for name in found if importlib.util.find_spec(NEEDS.get(name, "re")) is None
    }
    assert found - missing <= set(load_reference_pages().public_modules())


def public_objects():
    for name in pygru.__all__:
        value = getattr(pygru, name)
        yield name, value
        if inspect.isclass(value):
            for member, function in vars(value).items():
                if not member.startswith("_") and callable(function):
                    yield f"{name}.{member}", function


@pytest.mark.parametrize(
    ("name", "value"), list(public_objects()), ids=[name for name, _ in public_objects()]
)
def test_every_public_name_has_a_docstring(name, value):
    assert inspect.getdoc(value), name


@pytest.mark.parametrize(
    "name", [name for name in pygru.__all__ if name not in ("losses", "Callback")]
)
def test_public_docstrings_have_an_example(name):
    without = {
        "ConcatenatedWeights",  # made by GRU.concatenated_weights, shown there
        "DataWarning",
        "DivergenceError",
        "FormatError",
        "InternalError",
        "Gates",
        "RankError",
        "Stream",
        "Tape",
        "read_metadata",
        "Optimizer",
    }
    if name not in without:
        assert ">>>" in inspect.getdoc(getattr(pygru, name)), name


def test_no_page_holds_an_unfilled_place():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"\b[A-Z]+_(TABLE|MACHINE|32|64)\b", text), page
