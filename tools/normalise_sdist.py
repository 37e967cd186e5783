"""Rewrite sdists so that their bytes do not depend on the folder, the time and who packed.

    SOURCE_DATE_EPOCH=1700000000 python tools/normalise_sdist.py SDIST...

The archive that setuptools makes has the times of this checkout, the name and the umask of
who ran it, and in the header of the compression the time of now. Here files are sorted and
belong to nobody, and have the time of SOURCE_DATE_EPOCH (seconds since 1970) and one of two
modes.

The same bytes need the same version of setuptools, which writes the metadata, and the same
Python, because the zlib of another one may compress differently.
"""

import gzip
import io
import os
import sys
import tarfile
from pathlib import Path


def normalise(path, when):
    """Rewrite one archive in its place."""
    with tarfile.open(path, "r:gz") as old:
        # No folders: they come into being with their files.
        members = sorted((m for m in old if not m.isdir()), key=lambda member: member.name)
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as new:
            for member in members:
                if not member.isfile():
                    raise SystemExit(f"{path}: {member.name} is neither a file nor a folder")
                plain = tarfile.TarInfo(member.name)
                plain.size, plain.mtime = member.size, when
                plain.mode = 0o755 if member.mode & 0o100 else 0o644
                new.addfile(plain, old.extractfile(member))
    # Without a name and a time in the header of the compression.
    with path.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(content.getvalue())


def main(paths):
    """Rewrite every archive that is named."""
    when = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not paths or not when.isdecimal():
        sys.exit(__doc__)
    for path in map(Path, paths):
        normalise(path, int(when))


if __name__ == "__main__":
    main(sys.argv[1:])
