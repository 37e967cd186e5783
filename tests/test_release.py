"""What a release consists of: one version everywhere, and files that are true on other sites.

The tests would find a version that was raised in one place only, a link of the README that is
broken on an index page, an sdist that depends on who packs it, and a recipe that has other
requirements than pyproject.toml.
"""

import gzip
import io
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import pygru

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "tools"
ADDRESS = "https://example.org/somebody/pygru"


def run(*command, **environment):
    """Run a tool with this Python."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.fixture
def checkout(tmp_path):
    """The files that prepare_release.py reads, as those of a release.

    They may come from the sdist of a release, where the addresses are filled in already.
    """
    for name in ("pyproject.toml", "CITATION.cff", "CHANGELOG.md", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "src_c").mkdir()
    shutil.copy(ROOT / "src_c/pygru.h", tmp_path / "src_c")
    for name in ("tools", "docs", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "CONTRIBUTING.md", tmp_path)
    changelog = (tmp_path / "CHANGELOG.md").read_text()
    changelog = re.sub(r"(?m)^(## \[.*\] - )\S+$", r"\g<1>2026-01-31", changelog, count=1)
    (tmp_path / "CHANGELOG.md").write_text(changelog)
    readme = (tmp_path / "README.md").read_text()
    readme = readme.replace("not on a package index", "here")
    pyproject = (tmp_path / "pyproject.toml").read_text()
    if urls := tomllib.loads(pyproject)["project"].get("urls"):
        readme = re.sub(re.escape(urls["Source"]) + "/(raw|blob|tree)/[^/]+/", "", readme)
        pyproject = re.sub(r"\n\[project\.urls\]\n(.+\n)+", "", pyproject)
    (tmp_path / "README.md").write_text(readme)
    (tmp_path / "pyproject.toml").write_text(pyproject)
    return tmp_path


def prepare(checkout, *arguments):
    return run(checkout / "tools/prepare_release.py", *arguments)


def test_every_place_has_the_same_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert pygru.__version__ == metadata.version("pygru") == version
    found = runpy.run_path(str(TOOLS / "prepare_release.py"))["versions"](f"v{version}")
    assert set(found.values()) == {version}, found


def test_the_readme_says_how_pygru_is_installed():
    """In the words that prepare_release.py looks for, or as after a release."""
    readme = (ROOT / "README.md").read_text()
    assert ("not on a package index" in readme) != ("pip install pygru\n" in readme)


class TestPrepareRelease:
    tag = f"v{pygru.__version__}"

    def test_a_checkout_that_is_a_release(self, checkout):
        before = {path: path.read_bytes() for path in checkout.iterdir() if path.is_file()}
        process = prepare(checkout, self.tag)
        assert process.returncode == 0, process.stderr
        assert before == {path: path.read_bytes() for path in before}

    @pytest.mark.parametrize(
        ("name", "old", "new", "message"),
        [
            (
                "CITATION.cff",
                "\nversion: ",
                "\nversion: 9",
                "the versions differ: .*CITATION.cff",
            ),
            (
                "src_c/pygru.h",
                '_VERSION "',
                '_VERSION "9',
                "the versions differ: .*pygru.h has 9",
            ),
            ("CHANGELOG.md", "## [", "## [9", "the versions differ: .*CHANGELOG.md has 9"),
            ("CHANGELOG.md", "- 2026-01-31", "- unreleased", "CHANGELOG.md has no date"),
            (
                "README.md",
                "\n\n",
                "\n\npygru is not on a package index.",
                "README.md still says",
            ),
        ],
    )
    def test_what_is_refused(self, checkout, name, old, new, message):
        path = checkout / name
        path.write_text(path.read_text().replace(old, new, 1))
        process = prepare(checkout, self.tag, ADDRESS)
        assert process.returncode == 1
        assert re.search(message, process.stderr), process.stderr
        assert ADDRESS not in (checkout / "pyproject.toml").read_text()

    @pytest.mark.parametrize("tag", ["main", pygru.__version__, "v9.9", "v9.9.9"])
    def test_a_tag_that_is_refused(self, checkout, tag):
        assert prepare(checkout, tag).returncode == 1

    def test_the_addresses_of_the_project(self, checkout):
        old = tomllib.loads((checkout / "pyproject.toml").read_text())
        assert prepare(checkout, self.tag, ADDRESS + "/").returncode == 0
        new = tomllib.loads((checkout / "pyproject.toml").read_text())
        urls = new["project"].pop("urls")
        assert new == old
        assert urls["Source"] == ADDRESS
        assert urls["Changelog"] == f"{ADDRESS}/blob/{self.tag}/CHANGELOG.md"
        assert prepare(checkout, self.tag, ADDRESS).returncode == 1  # not a second time

    def test_every_link_of_the_readme_is_absolute(self, checkout):
        old = (checkout / "README.md").read_text()
        assert prepare(checkout, self.tag, ADDRESS).returncode == 0
        new = (checkout / "README.md").read_text()
        targets = re.findall(r"\]\(([^)\s]+)\)", new)
        assert len(targets) > 30
        assert [target for target in targets if not target.startswith("https://")] == []
        assert f"![Forecasts of CO2 beside the truth]({ADDRESS}/raw/{self.tag}/docs/fore" in new
        assert f"({ADDRESS}/blob/{self.tag}/docs/math.md#how-exact)" in new
        # Nothing else has changed.
        for kind in ("raw", "blob", "tree"):
            new = new.replace(f"{ADDRESS}/{kind}/{self.tag}/", "")
        assert new == old


def sdist(path, when, mode, owner):
    """An archive of two files, as setuptools makes it."""
    with tarfile.open(path, "w:gz") as archive:
        folder = tarfile.TarInfo("x-1")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(folder)
        for name in ("b", "a") if when % 2 else ("a", "b"):
            member = tarfile.TarInfo(f"x-1/{name}")
            member.size, member.mtime, member.mode, member.uname = 1, when, mode, owner
            archive.addfile(member, io.BytesIO(name.encode()))


def test_an_sdist_has_the_same_bytes_whoever_packs_it(tmp_path):
    paths = tmp_path / "x-1.tar.gz", tmp_path / "y" / "x-1.tar.gz"
    paths[1].parent.mkdir()
    sdist(paths[0], 1, 0o644, "a")
    sdist(paths[1], 2, 0o600, "b")
    assert paths[0].read_bytes() != paths[1].read_bytes()
    process = run(TOOLS / "normalise_sdist.py", *paths, SOURCE_DATE_EPOCH="1700000000")
    assert process.returncode == 0, process.stderr
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with tarfile.open(paths[0]) as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == ["x-1/a", "x-1/b"]
    assert {(member.mtime, member.mode) for member in members} == {(1700000000, 0o644)}
    assert gzip.decompress(paths[0].read_bytes())


MODULE = "pygru/core/_core.cpython-314t-x86_64-linux-gnu.so"


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({}, "as promised"),
        ({"pygru.libs/libgomp-1.so": b""}, "it vendors libraries or packages: pygru.libs"),
        ({"pygru/.dylibs/libomp.dylib": b""}, "it has libraries that are no modules"),
        ({"pygru/libgomp.so.1": b""}, "no modules of pygru: pygru/libgomp.so.1"),
        ({"pygru/core/_libgomp-1.so.1.0.0": b""}, "no modules of pygru: pygru/core/_libgomp"),
        ({"pygru/large": os.urandom(2_000_000)}, "less than 2000000 are promised"),
    ],
)
def test_what_a_wheel_must_not_have(tmp_path, extra, message):
    path = tmp_path / "pygru-1-cp311-cp311-linux_x86_64.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in {MODULE: b"x", **extra}.items():
            wheel.writestr(name, content)
    process = run(TOOLS / "check_wheel.py", path)
    assert message in process.stdout
    assert process.returncode == (1 if extra else 0)


def test_a_file_that_is_no_wheel_hides_no_other(tmp_path):
    (tmp_path / "a.whl").write_text("no archive")
    with zipfile.ZipFile(tmp_path / "b.whl", "w") as wheel:
        wheel.writestr("pygru/core/_core.cp311-win_amd64.pyd", b"x")
    process = run(TOOLS / "check_wheel.py", tmp_path / "a.whl", tmp_path / "b.whl")
    assert process.returncode == 1
    assert "a.whl: 10 bytes, it is no archive" in process.stdout
    assert "as promised" in process.stdout.splitlines()[1]


def test_the_conda_recipe_has_the_requirements_of_pyproject():
    jinja2 = pytest.importorskip("jinja2")
    yaml = pytest.importorskip("yaml")
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    text = (ROOT / "packaging/conda/meta.yaml").read_text()
    recipe = yaml.safe_load(
        jinja2.Template(text, undefined=jinja2.StrictUndefined).render(
            load_file_data=lambda name, from_recipe_dir: pyproject,
            compiler=lambda language: f"compiler-{language}",
            PYTHON="python",
        )
    )
    assert str(recipe["package"]["version"]) == pygru.__version__

    def plain(requirements):
        return {requirement.replace(" ", "").lower() for requirement in requirements}

    assert plain(pyproject["build-system"]["requires"]) <= plain(recipe["requirements"]["host"])
    run_requirements = plain(recipe["requirements"]["run"])
    assert run_requirements == {*plain(pyproject["project"]["dependencies"]), "python"}
    assert recipe["build"]["entry_points"] == [
        f"{name} = {target}" for name, target in pyproject["project"]["scripts"].items()
    ]
