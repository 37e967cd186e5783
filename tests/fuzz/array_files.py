"""Files of arrays: weights in NumPy's archives, and the sequences that ``predict`` reads.

Files of NumPy state shapes and names themselves, and an archive states sizes. Parquet files are
tried where pyarrow is installed.
"""

import importlib.util
import io
import json
import re
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np

import pygru
from fuzz.fuzzer import FOLDER, Failure, Fuzzer
from fuzz.model_files import FileFuzzer, usable
from fuzz.mutations import LIMITS, changed, mutant
from pygru import GRU, FormatError, Last, Linear, Sequential
from pygru.io import npz

#: How a member of an archive may be compressed. Some Pythons are built without bz2 or lzma.
COMPRESSIONS = [
    zipfile.ZIP_STORED,
    zipfile.ZIP_DEFLATED,
    *([zipfile.ZIP_BZIP2] if importlib.util.find_spec("_bz2") else []),
    *([zipfile.ZIP_LZMA] if importlib.util.find_spec("_lzma") else []),
]

#: What a sound file may say, too: something is to be chosen.
QUESTIONS = re.compile(r"pass (name|variant|gate_order|activation|recurrent_activation)=")
ANSWERS = {
    "variant": "pytorch",
    "gate_order": "rzn",
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
}


def npy(array):
    """The bytes of an ``.npy`` file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def archive(members, compression=zipfile.ZIP_STORED):
    """The bytes of an archive, from names and contents."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as target, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a name is there twice
        for name, data in members:
            target.writestr(name, data)
    return file.getvalue()


def members_of(data):
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        return [(name, source.read(name)) for name in source.namelist()]


def with_other_header(data, rng):
    """An ``.npy`` file that states another shape, order or dtype, and is as long as before."""
    size = int.from_bytes(data[8:10], "little")
    text = data[10 : 10 + size].decode("latin-1")
    kind = rng.randrange(4)
    if kind == 0:
        axes = [str(rng.choice([0, 1, 2, 3, 4, *LIMITS])) for _ in range(rng.randrange(5))]
        text = re.sub(r"\(.*?\)", f"({', '.join(axes)},)" if axes else "()", text)
    elif kind == 1:
        text = text.replace("False", rng.choice(["True", "None", "1"]))
    elif kind == 2:
        dtypes = ["<f4", ">f8", "<c8", "|O", "<U3", "|b1", "<M8[D]", "<i8", "|V4", "<f2", "x"]
        text = re.sub(r"'[<>|].*?'", repr(rng.choice(dtypes)), text)
    else:
        text = mutant(text.encode("latin-1"), rng).decode("latin-1")
    head = text.rstrip().ljust(size)[:65_000].encode("latin-1", "replace")
    return data[:8] + len(head).to_bytes(2, "little") + head + data[10 + size :]


def damaged(data, rng):
    """Damage the bytes, the header of an array, or one member of an archive."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        is_npy = data.startswith(b"\x93NUMPY") and rng.randrange(3)
        return with_other_header(data, rng) if is_npy else mutant(data, rng)
    if rng.randrange(5) == 0:
        return mutant(data, rng)
    members = members_of(data)
    at = rng.randrange(len(members))
    name, member = members[at]
    kind = rng.randrange(6)
    if kind == 0:
        others = ["X.npy", "lengths.npy", "row_size.npy", "pygru.npy", "x", "../x.npy", ""]
        members[at] = rng.choice(others), member
    elif kind == 1:
        del members[at]
    elif kind == 2:
        members.append((rng.choice(members)[0], member))
    elif kind == 3 and name == "pygru.npy":
        text = json.dumps(changed(json.loads(str(np.load(io.BytesIO(member)))), rng))
        members[at] = name, npy(np.array(text))
    else:
        members[at] = name, with_other_header(member, rng)
    with_names = [(name or "empty", member) for name, member in members]
    return archive(with_names, rng.choice(COMPRESSIONS))


class Weights(FileFuzzer):
    """Weights in NumPy's archives, pygru's own and those of others."""

    name = "npz"
    cases = 500
    memory = 2**24
    suffix = ".npz"

    def originals(self):
        rng = np.random.default_rng(0)
        gru = GRU(2, 3, 2, bidirectional=True, seed=0)
        model = Sequential(GRU(2, 3, batch_first=True), Last(), Linear(3, 1), seed=0)
        others = {"rnn/kernel": (2, 9), "rnn/recurrent_kernel": (3, 9), "rnn/bias": (9,)}
        made = [self.written(lambda path, of=of: npz.save(of, path)) for of in (gru, model)]
        for arrays in (others, {"w_ih": (9, 2), "w_hh": (9, 3), "b_ih": (9,), "b_hh": (9,)}):
            members = [(f"{n}.npy", npy(rng.random(shape))) for n, shape in arrays.items()]
            made.append(archive(members))
        return [*made, npy(rng.random((3, 2)))]

    def damage(self, data, rng):
        return damaged(data, rng)

    def read(self, path):
        pygru.io.read_arrays(path)
        found = pygru.io.inspect(path)
        for gru in found:
            answers = {name: ANSWERS[name] for name in gru.unknown if name in ANSWERS}
            try:
                usable(gru.build(**answers))
            except FormatError:
                raise
            except ValueError as error:
                assert QUESTIONS.search(str(error)), error


class Sequences(Fuzzer):
    """Sequences in .npy, .npz and Parquet files, which predict reads."""

    name = "sequences"
    cases = 1000
    memory = 2**26
    refusals = (TypeError, ValueError)  # no OSError: the system can read the file

    def __init__(self):
        self.model = Sequential(GRU(2, 3, batch_first=True), Last(), Linear(3, 1), seed=0)
        self.tokens = Sequential(pygru.Embedding(5, 2), GRU(2, 3, batch_first=True), seed=0)
        x = np.linspace(-1, 1, 48, dtype=np.float32).reshape(6, 4, 2)
        lengths = npy(np.array([4, 1, 2, 4, 3, 4]))
        self.files = [
            npy(x),
            npy(x.astype(">f8")),
            npy((x > 0).astype(np.int64)[..., 0]),
            *(archive([("X.npy", npy(x)), ("lengths.npy", lengths)], c) for c in COMPRESSIONS),
            archive([("values.npy", npy(x[0])), ("row_size.npy", npy(np.array([1, 0, 3])))]),
        ]
        if importlib.util.find_spec("pyarrow"):
            self.files += [self.parquet(x, compression) for compression in ("none", "snappy")]
        self._folder = tempfile.TemporaryDirectory(prefix=FOLDER)
        for data in self.files:
            assert self.run(data) == "predicted"

    @staticmethod
    def parquet(x, compression):
        import pandas as pd

        file = io.BytesIO()
        ids = np.repeat(["a", "b", "c", "d", "e", "f"], 4)
        table = pd.DataFrame({"id": ids, "t": np.tile(range(4), 6), "u": x[..., 0].ravel()})
        table.assign(v=x[..., 1].ravel()).to_parquet(file, compression=compression)
        return file.getvalue()

    def case(self, rng):
        data = rng.choice(self.files)
        if data.startswith(b"PAR1"):  # the structure of a Parquet file stands at its end
            cut = rng.choice([4, len(data) - 1500])
            return data[:cut] + mutant(data[cut:], rng)
        return damaged(data, rng)

    def run(self, case):
        table = {"id": "id", "time": "t"} if case.startswith(b"PAR1") else {}
        suffix = ".npz" if case.startswith(b"PK") else ".parquet" if table else ".npy"
        path = Path(self._folder.name) / f"case{suffix}"
        path.write_bytes(case)
        try:
            tokens = b"'<i8', 'fortran_order': False, 'shape': (6, 4)" in case
            model = self.tokens if tokens else self.model
            for options in ({"chunk_size": 2}, {}):
                pygru.predict(model, path, progress=False, n_threads=1, **table, **options)
        except UnicodeError as error:  # a ValueError that names no file
            raise Failure(f"{type(error).__name__}: {error}") from error
        finally:
            path.unlink()
        return "predicted"

    def close(self):
        self._folder.cleanup()
