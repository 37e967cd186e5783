#!/usr/bin/env bash
# Tests a wheel in a clean environment, and then beside other packages that have threads.
#
#   tools/test_wheel.sh WHEEL [PYTHON]           (python3.11 if none is given)
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
wheel=$(realpath "${1:?give the wheel}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${2:-python3.11}" -m venv "$work/test"
test=$work/test/bin

# First with the packages that it needs, and then with those that its tests need.
"$test/pip" install -q --only-binary :all: "$wheel"
"$test/pip" check
"$test/python" -P -m pygru.tests
"$test/pip" install -q --only-binary :all: "$wheel[test]" "pytest-xdist>=3.5"
(cd "$work" && "$test/python" -P -m pytest -q -n auto -c "$root/pyproject.toml" --rootdir "$root" "$root/tests")
"$test/pygru" info
# The wheel has no OpenMP, and says so to who asks for its threads.
if PYGRU_THREADING=openmp "$test/python" -P -c "import pygru" 2> "$work/refused.txt"; then exit 1; fi
tail -n 1 "$work/refused.txt"
echo "result hashes: $("$test/python" -P tests/result_hashes.py | sha256sum)"

# PyTorch and scikit-learn bring a libgomp each. Not every Python has wheels of both. The version
# of PyTorch is that of .ci/run, because its size differs widely by version.
if "$test/pip" install -q --only-binary :all: "torch==2.13.0" "scikit-learn>=1.6" > "$work/pip.txt" 2>&1; then
    "$test/python" -P tests/check_beside_others.py
elif grep "No matching distribution found" "$work/pip.txt"; then
    echo "beside others: no wheel of PyTorch or scikit-learn, skipped"
else
    cat "$work/pip.txt"
    exit 1
fi
