#!/usr/bin/env bash
# Checks what a release consists of, without publishing anything:
#
#   tests/check_release.sh DIST
#
# DIST has an sdist and wheels. Their metadata, their files and their sizes are checked, and from
# the checkout the list of files, pyproject.toml, the release workflow, the list of wheels that it
# builds, that an sdist has the same bytes from two folders, and that the tests of all this
# pass in the sdist of a release. Needs a package index.
set -euo pipefail
cd "$(dirname "$0")/.."
dist=$(cd "${1:?give the folder with the sdist and the wheels}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/tools"
# The packages that a build needs are for the sdists below, which are packed without isolation.
"$work/tools/bin/pip" install -q -r tools/release_requirements.txt "setuptools>=77" "Cython>=3.1,<4" "numpy>=2"
export PATH="$work/tools/bin:$PATH"

twine check --strict "$dist"/*
check-wheel-contents "$dist"/*.whl
python tools/check_wheel.py "$dist"/*.whl
validate-pyproject pyproject.toml
check-manifest --no-build-isolation

workflow=.github/workflows/release.yml
check-jsonschema --builtin-schema vendor.github-workflows "$workflow"
zizmor --offline --quiet --no-progress "$workflow"
# Every action is pinned to a commit, and says of which version that is.
if grep -nE '^ +-? *uses:' "$workflow" | grep -vE '@[0-9a-f]{40} # v[0-9]+\.[0-9]+\.[0-9]+$'; then
    echo "$workflow: an action is not pinned to a commit with its version"
    exit 1
fi

# The wheels of a release: two C libraries on Linux, five Pythons, on each of five systems.
wheels() { cibuildwheel --print-build-identifiers --platform "$1" --archs "$2" .; }
{
    wheels linux x86_64,aarch64
    wheels macos x86_64,arm64
    wheels windows AMD64
} | sort > "$work/wheels.txt"
for python in cp311-cp311 cp312-cp312 cp313-cp313 cp314-cp314 cp314-cp314t; do
    name=${python/cp314-cp314t/cp314t}
    for system in {manylinux,musllinux}_{x86_64,aarch64} macosx_{x86_64,arm64} win_amd64; do
        echo "${name%%-*}-$system"
    done
done | sort > "$work/intended.txt"
diff "$work/intended.txt" "$work/wheels.txt"
echo "cibuildwheel: $(wc -l < "$work/wheels.txt") wheels, as intended"

# The same commit, checked out twice: elsewhere, at another time, by somebody with other habits.
export SOURCE_DATE_EPOCH=1700000000
pack() {
    mkdir -p "$work/$1"
    git ls-files -z | xargs -0 cp --parents -t "$work/$1"
    (cd "$work/$1" && "${@:2}" && python -m build -q --no-isolation --sdist --outdir "$work/$1-sdist" .)
    python tools/normalise_sdist.py "$work/$1-sdist"/*.tar.gz
}
pack here true
umask 077
pack a/longer/path find . -type f -exec touch -d 2001-02-03 {} +
cmp "$work"/here-sdist/*.tar.gz "$work"/a/longer/path-sdist/*.tar.gz
echo "the sdist has the same bytes in two folders: $(sha256sum < "$work"/here-sdist/*.tar.gz)"

# The sdist with the changes of a release: a date, another sentence in the README, and addresses.
# The wheels of the release are tested in it.
mkdir "$work/release"
tar xzf "$dist"/*.tar.gz -C "$work/release" --strip-components 1
version=$(python -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
pip install -q --only-binary pygru --find-links "$dist" "pygru==$version" "pytest>=8"
(
    cd "$work/release"
    sed -i -E '0,/^## \[/s/^(## \[.*\] - ).*/\12026-01-31/' CHANGELOG.md
    sed -i 's/pygru is not on a package index yet\./\n\n    pip install pygru\n/' README.md
    python tools/prepare_release.py "v$version" https://example.org/somebody/pygru
    python -P -m pytest -q tests/test_release.py
)
