"""A run of pygru.predict that failed, was interrupted or killed continues with the same bits.

The expected outputs are those of runs without interruption.
"""

import errno
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from patience import PATIENCE

import pygru
from pygru import GRU, Last, Linear, Sequential, Trainer
from pygru.prediction import buffered, display, files, iterated, npy_file, record, rows

N, T, F = 23, 7, 3
X = np.random.default_rng(0).standard_normal((N, T, F)).astype(np.float32)
RAGGED = [X[i, : i % T] for i in range(N)]


def model(*, per_step=False, seed=0):
    layers = [GRU(F, 5, batch_first=True), Last(), Linear(5, 2)]
    if per_step:
        del layers[1]
    return Sequential(*layers, seed=seed)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    np.savez_compressed("x.npz", X)


@pytest.fixture
def always_recorded(monkeypatch):
    """A record after every chunk, and not only twice a second."""
    monkeypatch.setattr(record, "PAUSE", -1.0)
    monkeypatch.setattr(record, "SHARE", 0.0)


class Failure(Exception):
    pass


def fail_after(monkeypatch, done, error=Failure):
    """End a run when so many sequences are done."""
    update = display.Display.update

    def failing(self, now):
        update(self, now)
        if now >= done:
            raise error

    monkeypatch.setattr(display.Display, "update", failing)


def written(path):
    """What an output holds, as lists and arrays that can be compared."""
    if path.endswith(".npy"):
        return [np.load(path)]
    if path.endswith(".zarr"):
        found = pytest.importorskip("zarr").open(path)
        if hasattr(found, "shape"):
            return [found[:]]
        return [found["values"][:], found["row_size"][:]]
    table = pytest.importorskip("pandas").read_parquet(path)
    return [table[name].to_numpy() for name in table]


def mapped(path):
    if not os.path.exists(path):
        np.lib.format.open_memmap(path, "w+", np.float32, (N, 2))
    return np.load(path, mmap_mode="r+")


#: Source, whether each step is predicted, and what makes the output of a path.
CASES = {
    "npy": ("x.npy", False, "out.npy", str),
    "npy per step": ("x.npz", True, "out.npy", str),
    "memmap": ("x.npy", False, "out.npy", mapped),
    "zarr": ("x.npy", False, "out.zarr", str),
    "ragged zarr": (RAGGED, True, "out.zarr", str),
    "zarr of an iterator": (lambda: iter(RAGGED), False, "out.zarr", str),
    "zarr of chunks": (
        lambda: (RAGGED[i : i + 4] for i in range(0, N, 4)),
        True,
        "out.zarr",
        str,
    ),
    "parquet": ("x.npy", False, "out.parquet", str),
    "parquet of an iterator": (lambda: iter(RAGGED), True, "out.parquet", str),
}


def need(path):
    if path.endswith(".zarr"):
        pytest.importorskip("zarr")
    if path.endswith(".parquet"):
        pytest.importorskip("pyarrow")
        pytest.importorskip("pandas")


@pytest.mark.parametrize(
    ("case", "error", "done"),
    [
        *((case, KeyboardInterrupt, 12) for case in CASES),
        *(
            pytest.param(case, Failure, done, marks=pytest.mark.slow)
            for case, done in itertools.product(CASES, [4, N])
        ),
    ],
)
def test_continues_after_an_error(case, error, done, monkeypatch):
    """Also without a record twice a second: an error is time enough to write one."""
    source, per_step, path, output = CASES[case]
    need(path)
    predictor = model(per_step=per_step)
    pygru.predict(predictor, source, out=output(f"whole.{path}"), chunk_size=4)
    with monkeypatch.context() as patch:
        fail_after(patch, done, error)
        with pytest.raises(error):
            pygru.predict(predictor, source, out=output(path), chunk_size=4)
    folder = Path(path + record.ENDING)
    told = json.loads((folder / record.FILE).read_text())
    assert told["done"] >= done > told["done"] - 4
    with pytest.raises(FileExistsError, match="resume=True"):
        pygru.predict(predictor, source, out=output(path), chunk_size=4)
    computed = []
    with monkeypatch.context() as patch:
        update = display.Display.update
        patch.setattr(
            display.Display, "update", lambda s, now: [computed.append(now), update(s, now)]
        )
        pygru.predict(predictor, source, out=output(path), chunk_size=4, resume=True)
    assert all(now > told["done"] for now in computed)
    assert [now for now in computed if now == N] == ([N] if told["done"] < N else [])
    assert not folder.exists()
    for one, other in zip(written(path), written(f"whole.{path}"), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("buffer", [0, 10**6])
@pytest.mark.parametrize("case", [case for case in CASES if "npy" not in case])
def test_what_was_written_and_not_counted_is_written_again(case, buffer, monkeypatch):
    """An interrupt comes when a chunk has just been written."""
    source, per_step, path, output = CASES[case]
    need(path)
    predictor = model(per_step=per_step)
    pygru.predict(predictor, source, out=output(f"whole.{path}"), chunk_size=4)
    monkeypatch.setattr(buffered, "BUFFER", buffer)
    with monkeypatch.context() as patch:
        for kind in (rows.Rows, iterated.Iterated):
            counted = kind.fingerprint
            calls = []

            def failing(self, counted=counted, calls=calls):
                calls.append(self)
                if len(calls) == 4:  # after the fourth chunk; nothing was done before the first
                    raise KeyboardInterrupt
                return counted(self)

            patch.setattr(kind, "fingerprint", failing)
        with pytest.raises(KeyboardInterrupt):
            pygru.predict(predictor, source, out=output(path), chunk_size=4)
    told = json.loads(Path(path + record.ENDING, record.FILE).read_text())
    assert told["done"] in (8, 12)
    pygru.predict(predictor, source, out=output(path), chunk_size=3, resume=True)
    for one, other in zip(written(path), written(f"whole.{path}"), strict=True):
        assert np.array_equal(one, other)


KILLED = """
    import os, signal, sys
    import numpy as np
    sys.path.insert(0, {folder!r})
    import test_chunked_prediction_resume as test
    from pygru.prediction import display, record
    import pygru
    record.PAUSE, record.SHARE = -1.0, 0.0
    left = {calls}
    owner, name = {where}
    before = getattr(owner, name)
    def killing(*arguments, **options):
        global left
        left -= 1
        if left == 0 and {before}:
            os.kill(os.getpid(), signal.SIGKILL)
        result = before(*arguments, **options)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, killing)
    source, per_step, path, output = test.CASES[{case!r}]
    pygru.predict(
        test.model(per_step=per_step), source, out=output(path), chunk_size=4, progress=False
    )
"""

#: What is running when the process is killed, and at which call.
MOMENTS = {
    "first chunk": ("display.Display, 'update'", 1),
    "while it writes": ("display.Display, 'update'", 3),
    "while it records": ("record.Record, 'save'", 3),
    "at the last chunk": ("display.Display, 'update'", 6),
    "before it says that it is complete": ("record.Record, 'save'", 7),
    "before it removes the folder": ("record.Record, 'remove'", 1),
}


def kill(case, where, calls, *, before):
    code = KILLED.format(
        folder=str(Path(__file__).parent), calls=calls, where=where, before=before, case=case
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(code)],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGKILL")
@pytest.mark.parametrize(
    ("case", "moment", "before"),
    [
        *itertools.product(["npy"], MOMENTS, [True, False]),
        *itertools.product(["ragged zarr"], list(MOMENTS)[1:], [True]),
        *itertools.product(["memmap", "parquet of an iterator"], list(MOMENTS)[2::3], [True]),
    ],
)
def test_continues_after_a_kill(case, moment, before):
    source, per_step, path, output = CASES[case]
    need(path)
    predictor = model(per_step=per_step)
    pygru.predict(predictor, source, out=output(f"whole.{path}"), chunk_size=4)
    kill(case, *MOMENTS[moment], before=before)
    assert before or moment != "before it removes the folder" or written(path)
    pygru.predict(predictor, source, out=output(path), chunk_size=4, resume=True)
    assert not Path(path + record.ENDING).exists()
    for one, other in zip(written(path), written(f"whole.{path}"), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("case", CASES)
def test_resume_begins_where_nothing_is_there(case):
    source, per_step, path, output = CASES[case]
    need(path)
    predictor = model(per_step=per_step)
    pygru.predict(predictor, source, out=output(path), chunk_size=4, resume=True)
    assert not Path(path + record.ENDING).exists()
    assert len(written(path)[0])


def test_another_size_of_chunks_may_go_on(monkeypatch):
    with monkeypatch.context() as patch:
        fail_after(patch, 8)
        with pytest.raises(Failure):
            pygru.predict(model(), X, out="out.npy", chunk_size=4)
    pygru.predict(model(), X, out="out.npy", chunk_size=3, resume=True)
    assert np.array_equal(np.load("out.npy"), model()(X))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": model(seed=1)}, "had another model (other weights)"),
        ({"model": model(per_step=True)}, "had another model (other configuration)"),
        ({"source": X[:-1]}, "had other data (number of sequences 23, now 22)"),
        ({"source": X[:, 1:]}, "had other data (shape (23, 7, 3), now (23, 6, 3))"),
        ({"source": X[::-1]}, "had other data (other values)"),
        ({"source": X.astype("f8")}, "had other data (dtype float32, now float64)"),
        ({"lengths": np.full(N, T - 1)}, "had other data (other lengths, mask or reset)"),
        (
            {"model": lambda x: x[:, 0, :2]},
            "had another model (class Sequential, now function)",
        ),
    ],
)
def test_another_model_or_source_is_refused(change, message, monkeypatch):
    with monkeypatch.context() as patch:
        fail_after(patch, 8)
        with pytest.raises(Failure):
            pygru.predict(model(), X, out="out.npy", chunk_size=4)
    before = {p.name: p.read_bytes() for p in Path("out.npy.unfinished").iterdir()}
    arguments = {"model": model(), "source": X, **change}
    with pytest.raises(ValueError, match=re.escape(message)):
        pygru.predict(**arguments, out="out.npy", chunk_size=4, resume=True)
    assert {p.name: p.read_bytes() for p in Path("out.npy.unfinished").iterdir()} == before
    # It still goes on, and the method has the name that it has by default.
    options = {"chunk_size": 4, "method": "predict", "resume": True}
    pygru.predict(Trainer(model()), X, out="out.npy", **options)
    assert np.array_equal(np.load("out.npy"), model()(X))


def test_another_method_is_refused(monkeypatch):
    trainer = Trainer(model(), loss="cross_entropy")
    with monkeypatch.context() as patch:
        fail_after(patch, 8)
        with pytest.raises(Failure):
            pygru.predict(trainer, X, out="out.npy", chunk_size=4)
    with pytest.raises(ValueError, match=r"had another model \(classes none, now"):
        pygru.predict(trainer, X, out="out.npy", method="predict_classes", resume=True)


@pytest.mark.parametrize("change", ["another", "shorter"])
def test_an_iterator_that_gives_others_is_refused(change, monkeypatch):
    pytest.importorskip("zarr")
    with monkeypatch.context() as patch:
        fail_after(patch, 8)
        with pytest.raises(Failure):
            pygru.predict(model(), iter(X), out="out.zarr", chunk_size=4)
    other = X.copy()
    other[3] = 0
    source, message = (other, "other data") if change == "another" else (X[:5], "ended after 5")
    with pytest.raises(ValueError, match=message):
        pygru.predict(model(), iter(source), out="out.zarr", chunk_size=4, resume=True)
    other = X.copy()
    other[9] = 0  # which was not read before
    chunks = iter([other[:5], other[5:6], other[6:]])  # the sequences count, not how they come
    pygru.predict(model(), chunks, out="out.zarr", chunk_size=4, resume=True)
    assert np.array_equal(written("out.zarr")[0], model()(other))


def remove(path):
    path.unlink()


def cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def change(path):
    data = bytearray(path.read_bytes())
    data[-30] ^= 1
    path.write_bytes(data)


def make_anew(path):
    np.lib.format.open_memmap(path, "w+", np.float32, (N, 2))


#: The output, which part of it is damaged, and how.
DAMAGES = [
    ("npy", "out.npy.unfinished/data.npy", remove),
    ("npy", "out.npy.unfinished/data.npy", lambda path: path.write_bytes(b"")),
    ("npy", "out.npy.unfinished/data.npy", lambda path: os.truncate(path, 190)),
    ("npy", "out.npy.unfinished/data.npy", make_anew),
    ("memmap", "out.npy", make_anew),
    ("zarr", "out.zarr.unfinished/data.zarr/c/0/0", remove),
    ("zarr", "out.zarr.unfinished/data.zarr/c/0/0", cut),
    ("zarr", "out.zarr.unfinished/data.zarr/zarr.json", remove),
    ("ragged zarr", "out.zarr.unfinished/data.zarr/values/c/0/0", remove),
    ("ragged zarr", "out.zarr.unfinished/data.zarr/row_size/c/0", remove),
    ("ragged zarr", "out.zarr.unfinished/data.zarr/values", shutil.rmtree),
    ("parquet", "out.parquet.unfinished/part-000000000000-000000000004.parquet", remove),
    ("parquet", "out.parquet.unfinished/part-000000000004-000000000008.parquet", cut),
    ("parquet", "out.parquet.unfinished/part-000000000004-000000000008.parquet", change),
]


@pytest.mark.parametrize("done", [8, N])
@pytest.mark.parametrize(("case", "part", "damage"), DAMAGES)
def test_an_output_that_has_changed_is_refused(
    case, part, damage, done, always_recorded, monkeypatch
):
    """Whatever happened to it, its missing rows would otherwise be zeros, or not be there."""
    source, per_step, path, output = CASES[case]
    need(path)
    predictor = model(per_step=per_step)
    with monkeypatch.context() as patch:
        fail_after(patch, done)
        with pytest.raises(Failure):
            pygru.predict(predictor, source, out=output(path), chunk_size=4)
    damage(Path(part))
    before = {p: p.read_bytes() for p in Path().rglob("*") if p.is_file()}
    message = rf"resume: .*{re.escape(path)}.* has changed .*; remove .*{re.escape(path)}\.unf"
    with pytest.raises(ValueError, match=message) as caught:
        pygru.predict(predictor, source, out=output(path), chunk_size=4, resume=True)
    assert "\n" not in str(caught.value)
    assert {p: p.read_bytes() for p in Path().rglob("*") if p.is_file()} == before
    shutil.rmtree(path + record.ENDING)
    pygru.predict(predictor, source, out=output(path), chunk_size=4, resume=True)
    assert not Path(path + record.ENDING).exists()


def test_a_mapped_file_that_is_made_anew_each_time_is_refused(monkeypatch):
    """Also if the first run was killed after its last record."""
    new = lambda: np.lib.format.open_memmap("w.npy", "w+", np.float32, (N, 2))  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(record.Record, "remove", record.Record.release)
        pygru.predict(model(), X, out=new())
    with pytest.raises(ValueError, match=r"w\.npy \(to map it again, use mode 'r\+'"):
        pygru.predict(model(), X, out=new(), resume=True)


def test_predictions_that_are_zero_are_no_damage(always_recorded, monkeypatch):
    """Zarr leaves out chunks of zeros."""
    need("out.zarr")
    with monkeypatch.context() as patch:
        fail_after(patch, 8)
        with pytest.raises(Failure):
            pygru.predict(lambda x: -0.0 * x[:, 0], X, out="out.zarr", chunk_size=4)
    pygru.predict(lambda x: -0.0 * x[:, 0], X, out="out.zarr", chunk_size=4, resume=True)
    assert np.signbit(written("out.zarr")[0]).tolist() == np.signbit(-0.0 * X[:, 0]).tolist()


def test_an_interrupt_while_a_part_is_counted_loses_nothing(monkeypatch):
    """Ctrl-C comes when several chunks have just been written together."""
    need("out.parquet")
    monkeypatch.setattr(buffered, "BUFFER", 150)
    for calls in range(2, 7):
        left = [calls]

        def failing(self, left=left, counted=rows.Rows.fingerprint):
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt
            return counted(self)

        with monkeypatch.context() as patch:
            patch.setattr(rows.Rows, "fingerprint", failing)
            with pytest.raises(KeyboardInterrupt):
                pygru.predict(model(), X, out="out.parquet", chunk_size=4)
        pygru.predict(model(), X, out="out.parquet", chunk_size=4, resume=True)
        assert np.array_equal(np.stack(written("out.parquet")[1:], 1), model()(X))
        os.remove("out.parquet")


def test_a_damaged_record_is_refused(monkeypatch):
    with monkeypatch.context() as patch:
        fail_after(patch, 8)
        with pytest.raises(Failure):
            pygru.predict(model(), X, out="out.npy", chunk_size=4)
    path = Path("out.npy.unfinished", record.FILE)
    whole = path.read_text()
    good = json.loads(whole)
    others = [dict(good, done=value) for value in (-1, 1.5, "4", None, True)]
    texts = ["", "{", "[]", "null", whole[:-2], *map(json.dumps, others)]
    texts += [json.dumps({k: v for k, v in good.items() if k != key}) for key in good]
    for text in texts:
        path.write_text(text)
        with pytest.raises(ValueError, match="not valid"):
            pygru.predict(model(), X, out="out.npy", chunk_size=4, resume=True)


def test_two_runs_do_not_write_the_same_output(always_recorded):
    def out(first, predictions):
        raise AssertionError

    def also(x):
        with pytest.raises(RuntimeError, match=r"another process is writing out\.npy"):
            pygru.predict(model(), X, out="out.npy", resume=True)
        return x[:, 0]

    pygru.predict(also, X, out="out.npy", chunk_size=10)
    assert np.array_equal(np.load("out.npy"), X[:, 0])


# ---- nothing is half changed ---------------------------------------------------------------


def test_an_older_file_stays_until_the_new_one_is_complete(monkeypatch):
    for path in ("out.npy", "out.zarr", "out.parquet"):
        need(path)
        pygru.predict(model(seed=1), X, out=path)
        old = written(path)
        with monkeypatch.context() as patch:
            fail_after(patch, N)
            with pytest.raises(Failure):
                pygru.predict(model(), X, out=path)
        for one, other in zip(written(path), old, strict=True):
            assert np.array_equal(one, other)
        pygru.predict(model(), X, out=path, resume=True)
        assert not np.array_equal(written(path)[-1], old[-1])
    assert sorted(os.listdir()) == ["out.npy", "out.parquet", "out.zarr", "x.npy", "x.npz"]


def test_a_run_that_fails_at_once_leaves_nothing():
    wrong = np.full((N, T, F), np.nan, np.float32)
    before = os.listdir()
    for path in ("out.npy", "out.zarr", "out.parquet"):
        need(path)
        with pytest.raises(ValueError, match="contains NaN"):
            pygru.predict(model(), wrong, out=path)
    assert os.listdir() == before


class FullDisk:
    """A file on a disk that takes 100 bytes more, and then a part of a write, and then none."""

    def __init__(self, file):
        self._file = file
        self._left = 300

    def write(self, data):
        data = memoryview(data).cast("B")
        if not self._left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._file.write(data[: self._left])
        self._left -= written
        return written

    def __getattr__(self, name):
        return getattr(self._file, name)


def test_a_full_disk_can_be_resumed(monkeypatch):
    with monkeypatch.context() as patch:
        full = lambda *given, **options: FullDisk(open(*given, **options))  # noqa: E731, SIM115
        patch.setattr(npy_file, "open", full, raising=False)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            pygru.predict(model(), X, out="out.npy", chunk_size=4)
    assert json.loads(Path("out.npy.unfinished", record.FILE).read_text())["done"] == 20
    pygru.predict(model(), X, out="out.npy", chunk_size=4, resume=True)
    assert np.array_equal(np.load("out.npy"), model()(X))


@pytest.mark.parametrize("path", ["out.zarr", "out.parquet"])
def test_a_full_disk_at_the_end_can_be_resumed(path, monkeypatch):
    need(path)
    from pygru.prediction import parquet_file, zarr_file

    kind = zarr_file.ZarrFile if path == "out.zarr" else parquet_file.ParquetFile

    def full(self, ready):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    fine = kind._write
    with monkeypatch.context() as patch:
        calls = []
        patch.setattr(record, "PAUSE", -1.0)
        patch.setattr(record, "SHARE", 0.0)
        patch.setattr(
            kind,
            "_write",
            lambda s, ready: (full if len(calls) > 2 else fine)(s, calls.append(1) or ready),
        )
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            pygru.predict(model(), X, out=path, chunk_size=4)
    assert json.loads(Path(path + record.ENDING, record.FILE).read_text())["done"] == 12
    pygru.predict(model(), X, out=path, chunk_size=4, resume=True)
    pygru.predict(model(), X, out=f"whole.{path}")
    for one, other in zip(written(path), written(f"whole.{path}"), strict=True):
        assert np.array_equal(one, other)


def test_a_function_that_fails_ends_the_run():
    got = []

    def out(first, predictions):
        if first == 8:
            raise Failure
        got.append(first)

    with pytest.raises(Failure):
        pygru.predict(model(), X, out=out, chunk_size=4)
    assert got == [0, 4]


def test_values_are_checked_when_their_chunk_is_read():
    wrong = X.copy()
    wrong[9, 2, 1] = np.nan
    out = np.zeros((N, 2), np.float32)
    with pytest.raises(ValueError, match=r"source\[9, 2, 1\] = nan \(sample 9, step 2\)"):
        pygru.predict(model(), wrong, out=out, chunk_size=4)
    assert np.array_equal(out[:8], model()(X[:8]))
    assert not out[8:].any()


def test_a_mapped_file_is_not_copied_into_memory_for_good(tmp_path):
    mappings = list(files._mappings(np.load("x.npy", mmap_mode="r")[3:]))
    assert [is_private for _, is_private in mappings] == [False]
    assert [p for _, p in files._mappings(np.load("x.npy", mmap_mode="c"))] == [True]
    assert not list(files._mappings(X))
