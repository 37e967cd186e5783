"""Check what every released wheel promises: its size, its libraries, and its names.

    python tools/check_wheel.py WHEEL...

It reads the archive only, so it also checks wheels of other systems.
"""

import sys
import zipfile
from pathlib import Path

LARGEST = 2_000_000  # bytes
LIBRARIES = (".so", ".dylib", ".dll")  # of a library that is no module of Python


def faults(path):
    """Return what is wrong with a wheel, as sentences."""
    wrong = []
    size = path.stat().st_size
    if size >= LARGEST:
        wrong.append(f"it has {size} bytes; less than {LARGEST} are promised")
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        if bad := wheel.testzip():
            wrong.append(f"{bad} is damaged")
    modules = [name for name in names if name.startswith("pygru/core/_")]
    if not any(name.endswith((".so", ".pyd")) for name in modules):
        wrong.append("it has no compiled module")
    tops = {name.split("/")[0] for name in names}
    extra = sorted(top for top in tops if top != "pygru" and not top.startswith("pygru-"))
    if extra:
        wrong.append(f"it vendors libraries or packages: {', '.join(extra)}")
    foreign = [name for name in names if name.endswith(LIBRARIES) and "/core/_" not in name]
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
