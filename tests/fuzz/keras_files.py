"""Files of Keras, and parts of them in sound archives, damaged.

What a file leaves open is asked for with a ValueError that names the argument; anything else
that a reader does not accept is a FormatError.
"""

import io
import pathlib
import re
import warnings
import zipfile

from fuzz.fuzzer import Fuzzer
from fuzz.mutations import mutant
from pygru import FormatError
from pygru.io.keras.reading import KerasModel, arrays
from pygru.io.keras.stored import open_stored

DATA = pathlib.Path(__file__).parent.parent / "data"
#: What a sound file may say, too: something is to be chosen.
QUESTIONS = re.compile(r"pass (name|activation|recurrent_activation|variant)=")


def unpacked(path):
    """A file that stands in a compressed archive."""
    with zipfile.ZipFile(path) as archive:
        (name,) = archive.namelist()
        return archive.read(name)


def read(data):
    """Do all that can be done with a file."""
    arrays(data)
    model = KerasModel.stored(open_stored(data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            model.build("the file", None, {"seed": 0})
        except FormatError:
            raise
        except ValueError as error:
            assert QUESTIONS.search(str(error)), error


def damaged(data, rng):
    """Damage a file, one member of an archive, or the structure of an HDF5 file."""
    if zipfile.is_zipfile(io.BytesIO(data)) and rng.randrange(10):
        return in_archive(data, rng)
    if rng.randrange(2):
        return mutant(data, rng)
    # Most of the structure stands in the beginning, and most of the rest is numbers.
    return mutant(data[:4096], rng) + data[4096:]


def in_archive(data, rng):
    """Damage one member of an archive, and write the archive anew with right checksums."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(file, "w") as target:
        names = source.namelist()
        chosen = rng.choice([name for name in names if name != "metadata.json"])
        for name in names:
            member = source.read(name)
            target.writestr(name, mutant(member, rng) if name == chosen else member)
    return file.getvalue()


class Keras(Fuzzer):
    """Files of Keras: HDF5 and archives, of Keras 2 and 3."""

    name = "keras"
    cases = 1200

    def __init__(self):
        self.files = [unpacked(path) for path in sorted(DATA.glob("keras*.h5.zip"))]
        self.files += [path.read_bytes() for path in sorted(DATA.glob("keras*.keras"))]
        assert len(self.files) == 12
        for data in self.files:
            read(data)

    def case(self, rng):
        return damaged(rng.choice(self.files), rng)

    def run(self, case):
        read(case)
        return "read"
