"""Check that the files of a checkout are those of a release, and fill in where it is published.

    python tools/prepare_release.py v0.1.0
    python tools/prepare_release.py v0.1.0 https://github.com/OWNER/REPOSITORY

The first form only checks: the tag, pyproject.toml, CITATION.cff, the header of the C core and
the top of CHANGELOG.md have one version, the changelog has its date, and README.md does not say
that pygru is on no index.

The second form also changes two files, in a checkout that is thrown away (the release
workflow): pyproject.toml gets the addresses of the project, and README.md, the page that an
index shows, gets absolute links and pictures, those of the tag. So no file of the repository
names an address that may be wrong, and a fork's releases point to the fork.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNRELEASED = "not on a package index"
# The version in each file but pyproject.toml.
VERSIONS = {
    "CHANGELOG.md": r"^## \[(.*?)\]",
    "CITATION.cff": r"^version: *(.*?) *$",
    # For programs in C, which may have the sources of the core and nothing else.
    "src_c/pygru.h": r'^#define PYGRU_VERSION "(.*)"$',
}
# [text](target) and ![text](target) where the target is a file of the repository.
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?:|#|mailto:)([^)\s]+)\)")


def versions(tag):
    """Return the version that each place says."""
    found = {"the tag": tag.removeprefix("v")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found["pyproject.toml"] = project["version"]
    for name, pattern in VERSIONS.items():
        match = re.search(pattern, (ROOT / name).read_text(), re.MULTILINE)
        found[name] = match and match[1]
    return found


def faults(tag):
    """Return what keeps the checkout from being a release, as sentences."""
    wrong = []
    if not re.fullmatch(r"v\d+\.\d+\.\d+((a|b|rc)\d+)?", tag):
        wrong.append(f"the tag must be like v1.2.3 or v1.2.3rc1, got {tag!r}")
    found = versions(tag)
    if len(set(found.values())) > 1:
        wrong.append(
            "the versions differ: " + ", ".join(f"{k} has {v}" for k, v in found.items())
        )
    top = re.search(r"^## \[.*", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    if top is None or not re.search(r" - \d{4}-\d\d-\d\d$", top[0]):
        wrong.append(
            f"the top entry of CHANGELOG.md has no date (2026-01-31), got {top and top[0]!r}"
        )
    if UNRELEASED in (ROOT / "README.md").read_text():
        wrong.append(f"README.md still says that pygru is {UNRELEASED}")
    return wrong


def with_addresses(pyproject, address, tag):
    """Return the text of pyproject.toml with the addresses of the project."""
    if "\n[project.urls]" in pyproject:
        raise SystemExit("pyproject.toml has [project.urls] already; write it in one place")
    addresses = {
        "Source": address,
        "Documentation": f"{address}/blob/{tag}/docs/index.md",
        "Changelog": f"{address}/blob/{tag}/CHANGELOG.md",
        "Issues": f"{address}/issues",
    }
    section = "".join(f'{name} = "{target}"\n' for name, target in addresses.items())
    return pyproject.replace(
        "\n[project.scripts]", f"\n[project.urls]\n{section}\n[project.scripts]"
    )


def with_absolute_links(readme, address, tag):
    """Return the text of README.md with links and pictures that work on another site."""

    def absolute(match):
        mark, text, target = match.groups()
        text = LINK.sub(absolute, text)  # a picture that is a link
        path, *anchor = target.split("#", 1)
        if not (ROOT / path).exists():
            raise SystemExit(f"README.md: there is no file {path}")
        kind = "raw" if mark else "tree" if (ROOT / path).is_dir() else "blob"
        anchor = "".join(f"#{name}" for name in anchor)
        return f"{mark}[{text}]({address}/{kind}/{tag}/{path}{anchor})"

    prose_and_code = re.split(r"(^```.*?^```)", readme, flags=re.MULTILINE | re.DOTALL)
    prose_and_code[::2] = [LINK.sub(absolute, prose) for prose in prose_and_code[::2]]
    return "".join(prose_and_code)


def main(tag, address=None):
    """Check; with an address, also change the two files."""
    if wrong := faults(tag):
        sys.exit("\n".join(f"no release: {fault}" for fault in wrong))
    if address is not None:
        for name, change in (
            ("pyproject.toml", with_addresses),
            ("README.md", with_absolute_links),
        ):
            path = ROOT / name
            path.write_text(change(path.read_text(), address.rstrip("/"), tag))
    print(f"pygru {tag.removeprefix('v')} can be released")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
