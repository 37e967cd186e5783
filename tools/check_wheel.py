"""Check what every released wheel promises: its size, and no library of others.

    python tools/check_wheel.py WHEEL...

It reads the archive only, so it also checks wheels of other systems.
"""

import re
import sys
import zipfile
from pathlib import Path

LARGEST = 2_000_000  # bytes
LIBRARY = re.compile(r"\.(so|dylib|dll|pyd)(\.[\d.]+)?$")
# A module says for which Python it is: _core.cpython-311-darwin.so, _core.cp311-win_amd64.pyd.
MODULE = re.compile(r"pygru/core/_[a-z_]+\.(cpython-|cp)\d+t?-\w[\w-]*\.(so|pyd)")


def faults(path):
    """Return what is wrong with a wheel, as sentences."""
    wrong = []
    size = path.stat().st_size
    if size >= LARGEST:
        wrong.append(f"it has {size} bytes; less than {LARGEST} are promised")
    try:
        with zipfile.ZipFile(path) as wheel:
            names = wheel.namelist()
            if bad := wheel.testzip():
                wrong.append(f"{bad} is damaged")
    except zipfile.BadZipFile:
        return [*wrong, "it is no archive"]
    if not any(MODULE.fullmatch(name) for name in names):
        wrong.append("it has no compiled module")
    tops = {name.split("/")[0] for name in names}
    extra = sorted(top for top in tops if top != "pygru" and not top.startswith("pygru-"))
    if extra:
        wrong.append(f"it vendors libraries or packages: {', '.join(extra)}")
    foreign = [name for name in names if LIBRARY.search(name) and not MODULE.fullmatch(name)]
    if foreign:
        wrong.append(f"it has libraries that are no modules of pygru: {', '.join(foreign)}")
    return wrong


def main(paths):
    """Print a line for each wheel; return the exit status."""
    if not paths:
        print(__doc__)
        return 2
    failed = False
    for path in map(Path, paths):
        wrong = faults(path)
        failed = failed or bool(wrong)
        print(f"{path.name}: {path.stat().st_size} bytes, {'; '.join(wrong) or 'as promised'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
