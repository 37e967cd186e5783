"""Downloads the packages whose trained models the tests of this folder read.

    python tests/models/download.py FOLDER [NAME ...]

Nothing is installed, and no dependency is downloaded.
"""

import subprocess
import sys

#: The packages by name, with the version whose files the tests know.
PACKAGES = {
    "g2p-en": "2.1.0",
}


def main(folder, *names):
    """Download the packages of these names, or all."""
    for name in names or PACKAGES:
        wanted = f"{name}=={PACKAGES[name]}"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*command, "--dest", folder, wanted], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
